/* Zero-shot classification: cosines with the classifier's rows, the five best, accuracy where labels are known. */
#include <math.h>
#include <string.h>

#include "analysis/classification.h"
#include "compute/compute.h"

enum { BEST = 5, BLOCK = 256 };

static clipspan_status check(const float *embeddings, size_t images, size_t embed_dim, const int *labels,
                             size_t classes, clipspan_error *err)
{
    if (classes == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the list of classes is empty");
    if (classes > INT32_MAX)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu classes are too many", classes);
    for (size_t i = 0; i < images; i++) {
        if (labels != NULL && (labels[i] < -1 || labels[i] >= (int)classes))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "label %d of image %zu: expected -1 to %zu",
                             labels[i], i, classes - 1);
        for (size_t d = 0; d < embed_dim; d++)
            if (!isfinite(embeddings[i * embed_dim + d]))
                return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the embedding of image %zu is not finite", i);
    }
    return CLIPSPAN_OK;
}

static clipspan_status result_open(clipspan_classification **out, size_t images, const clipspan_texts *classes,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_classification *r = NULL;
    size_t cells;
    CLSP_ALLOC(r, clsp_alloc_zero(1, sizeof *r));
    r->classes = clipspan_texts_count(classes);
    r->best = clsp_min(BEST, r->classes);
    r->info.images = images;
    CLSP_ALLOC(r->names, clsp_alloc_zero(r->classes, sizeof *r->names));
    for (size_t c = 0; c < r->classes; c++) CLSP_ALLOC(r->names[c], clsp_strdup(clipspan_texts_get(classes, c)));
    CLSP_ALLOC(r->of_class, clsp_alloc_zero(3 * r->classes, sizeof *r->of_class));
    if (!clsp_mul(&cells, images, r->best)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(r->label, clsp_alloc(images, sizeof *r->label));
    CLSP_ALLOC(r->choice, clsp_alloc(cells, sizeof *r->choice));
    CLSP_ALLOC(r->probability, clsp_alloc(cells, sizeof *r->probability));
    *out = r;
    r = NULL;
out:
    clipspan_classification_free(r);
    return status;
}

/* The best classes of one row of cosines, lowest class first on a tie, and their softmax probabilities. */
static void choose(clipspan_classification *r, size_t image, const float *cosine, double scale)
{
    int *choice = r->choice + image * r->best;
    size_t found = 0;
    for (size_t c = 0; c < r->classes; c++) {
        size_t at = found;
        while (at > 0 && cosine[c] > cosine[choice[at - 1]]) at--;
        if (at == r->best) continue;
        found = clsp_min(found + 1, r->best);
        memmove(choice + at + 1, choice + at, (found - 1 - at) * sizeof *choice);
        choice[at] = (int)c;
    }
    double sum = 0, highest = (double)cosine[choice[0]];
    for (size_t c = 0; c < r->classes; c++) sum += exp(scale * ((double)cosine[c] - highest));
    for (size_t k = 0; k < r->best; k++)
        r->probability[image * r->best + k] = (float)(exp(scale * ((double)cosine[choice[k]] - highest)) / sum);
}

static void judge(clipspan_classification *r, size_t image, int label)
{
    r->label[image] = label;
    if (label < 0) return;
    const int *choice = r->choice + image * r->best;
    r->info.labelled++;
    r->of_class[3 * (size_t)label]++;
    r->of_class[3 * (size_t)label + 1] += choice[0] == label;
    r->of_class[3 * (size_t)choice[0] + 2]++;
    r->right += choice[0] == label;
    for (size_t k = 0; k < r->best; k++) r->right5 += choice[k] == label;
}

static clipspan_status all_images(clipspan_classification *r, const float *embeddings, size_t e, const int *labels,
                                  const float *classifier, double scale, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t images = (size_t)r->info.images, cells;
    float *cosine = NULL;
    if (!clsp_mul(&cells, BLOCK, r->classes)) return clsp_fail_memory(err);
    CLSP_ALLOC(cosine, clsp_alloc_aligned(cells, sizeof *cosine));
    for (size_t first = 0; first < images; first += BLOCK) {
        size_t n = clsp_min(BLOCK, images - first);
        CLSP_TRY(clsp_sgemm(cosine, r->classes, embeddings + first * e, e, false, classifier, e, true, n, r->classes, e,
                            1.0F, 0.0F, err));
        for (size_t i = 0; i < n; i++) {
            choose(r, first + i, cosine + i * r->classes, scale);
            judge(r, first + i, labels ? labels[first + i] : -1);
        }
    }
out:
    clsp_free(cosine);
    return status;
}

clipspan_status clipspan_classify_run(clipspan_classification **out, const float *embeddings, size_t images,
                                      size_t embed_dim, const int *labels, const float *classifier,
                                      const clipspan_texts *classes, float logit_scale, int threads, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_classification *r = NULL;
    int before = clsp_threads(threads);
    *out = NULL;
    CLSP_TRY(check(embeddings, images, embed_dim, labels, clipspan_texts_count(classes), err));
    CLSP_TRY(result_open(&r, images, classes, err));
    CLSP_TRY(all_images(r, embeddings, embed_dim, labels, classifier, (double)logit_scale, err));
    double labelled = (double)r->info.labelled;
    r->info.top1 = labelled > 0 ? (double)r->right / labelled : (double)NAN;
    r->info.top5 = labelled > 0 ? (double)r->right5 / labelled : (double)NAN;
    CLSP_TRY(clsp_classification_score(r, err));
    *out = r;
    r = NULL;
out:
    clsp_threads(before);
    clipspan_classification_free(r);
    return status;
}

void clipspan_classification_free(clipspan_classification *result)
{
    if (result == NULL) return;
    for (size_t c = 0; result->names != NULL && c < result->classes; c++) clsp_free(result->names[c]);
    clsp_free(result->names);
    clsp_free(result->label);
    clsp_free(result->choice);
    clsp_free(result->probability);
    clsp_free(result->of_class);
    clsp_free(result->confusions);
    clsp_free(result);
}

const clipspan_classification_info *clipspan_classification_get_info(const clipspan_classification *r)
{
    return &r->info;
}

const char *clipspan_classification_class(const clipspan_classification *r, size_t c)
{
    return c < r->classes ? r->names[c] : NULL;
}

size_t clipspan_classification_class_count(const clipspan_classification *r)
{
    return r->classes;
}

int clipspan_classification_choice(const clipspan_classification *r, size_t i, int k, float *probability)
{
    bool known = i < r->info.images && k >= 0 && (size_t)k < r->best;
    if (probability != NULL) *probability = known ? r->probability[i * r->best + (size_t)k] : 0;
    return known ? r->choice[i * r->best + (size_t)k] : -1;
}

int clipspan_classification_label(const clipspan_classification *r, size_t i)
{
    return i < r->info.images ? r->label[i] : -1;
}

void clipspan_classification_of_class(const clipspan_classification *r, size_t c, uint64_t *images, uint64_t *right)
{
    *images = c < r->classes ? r->of_class[3 * c] : 0;
    *right = c < r->classes ? r->of_class[3 * c + 1] : 0;
}
