/* What every term is worth to zero-shot classification (ALGORITHMS 4; the paper's section 3): the result, and how total
 * effects come to stand beside the direct ones. */
#include "analysis/ablation_study.h"

#include <math.h>
#include <string.h>

#include "compute/compute.h"

enum { BLOCK = 256, MOST_RESAMPLES = 100000 };

/* ---- which ablations there are ------------------------------------------------------------------------------ */

static void count_ablations(clipspan_ablation_study *study, const clipspan_store_info *store, const clipspan_means *means)
{
    size_t l = (size_t)store->layers, h = (size_t)store->heads;
    bool known = study->info.zero || means != NULL;
    bool mlps = (store->parts & CLIPSPAN_PART_MLP) && known && (study->info.zero || means->mlps != NULL);
    bool cls = (store->parts & CLIPSPAN_PART_CLS) && known && (study->info.zero || means->cls != NULL);
    const size_t counts[CLIPSPAN_ABLATED_KINDS] = {
        [CLIPSPAN_ABLATED_NOTHING] = 1,
        [CLIPSPAN_ABLATED_MLPS] = mlps,
        [CLIPSPAN_ABLATED_CLS] = cls,
        [CLIPSPAN_ABLATED_MLPS_CLS] = mlps && cls,
        [CLIPSPAN_ABLATED_UP_TO] = l,
        [CLIPSPAN_ABLATED_UP_TO_MLPS] = mlps ? l : 0,
        [CLIPSPAN_ABLATED_LAYER] = l,
        [CLIPSPAN_ABLATED_MLP] = mlps ? l + 1 : 0,
        [CLIPSPAN_ABLATED_HEAD] = l * h,
        [CLIPSPAN_ABLATED_SET] = study->info.named > 0,
    };
    for (int kind = 0; kind < CLIPSPAN_ABLATED_KINDS; kind++) study->first[kind + 1] = study->first[kind] + counts[kind];
}

size_t clipspan_ablation_study_count(const clipspan_ablation_study *study, clipspan_ablated what)
{
    if ((int)what < 0 || what >= CLIPSPAN_ABLATED_KINDS) return 0;
    return study->first[what + 1] - study->first[what];
}

size_t clsp_ablation_place(const clipspan_ablation_study *study, clipspan_ablated what, size_t index)
{
    return index < clipspan_ablation_study_count(study, what) ? study->first[what] + index : SIZE_MAX;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static clipspan_status check_numbers(const clipspan_store_info *store, const float *classifier, size_t classes,
                                     const int *labels, clipspan_error *err)
{
    size_t cells;
    if (classes == 0 || classes > INT32_MAX)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "ablation: %zu classes, expected 1 to %d", classes, INT32_MAX);
    if (!clsp_mul(&cells, classes, (size_t)store->embed_dim)) return clsp_fail_memory(err);
    for (size_t i = 0; i < cells; i++)
        if (!isfinite(classifier[i]))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "ablation: the classifier's row of class %zu is not finite",
                             i / (size_t)store->embed_dim);
    for (size_t i = 0; i < store->images; i++)
        if (labels[i] < -1 || labels[i] >= (int)classes)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "label %d of row %zu: expected -1 to %zu", labels[i], i,
                             classes - 1);
    return CLIPSPAN_OK;
}

static clipspan_status check(const clipspan_store *store, const clipspan_ablation_study_options *options,
                             clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (info->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store holds moments alone: ablations need single images");
    if (options->threads < 0 || options->resamples < 0 || options->resamples > MOST_RESAMPLES)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%d threads, %d resamples: expected 0 or more, and 0 to %d",
                         options->threads, options->resamples, (int)MOST_RESAMPLES);
    if (options->convention != CLIPSPAN_PAPER && options->convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)options->convention);
    if (options->means == NULL || options->zero) return CLIPSPAN_OK;
    if (options->means->convention != options->convention)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "the means are of another convention than was asked for");
    return clsp_means_check(options->means, store, err);
}

static clipspan_status copy_inputs(clipspan_ablation_study *s, const float *classifier, const int *labels,
                                   const unsigned char *heads, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t images = (size_t)s->info.images, all = (size_t)s->info.layers * (size_t)s->info.heads;
    CLSP_ALLOC(s->classifier, clsp_alloc_aligned(s->info.classes * s->embed_dim, sizeof *s->classifier));
    memcpy(s->classifier, classifier, s->info.classes * s->embed_dim * sizeof *classifier);
    CLSP_ALLOC(s->heads, clsp_alloc_zero(all, 1));
    for (size_t h = 0; heads != NULL && h < all; h++) {
        s->heads[h] = heads[h] != 0;
        s->info.named += s->heads[h];
    }
    CLSP_ALLOC(s->labels, clsp_alloc(images, sizeof *s->labels));
    CLSP_ALLOC(s->place, clsp_alloc(images, sizeof *s->place));
    for (size_t i = 0; i < images; i++) {
        s->labels[i] = labels[i];
        s->place[i] = labels[i] >= 0 ? (size_t)s->info.scored++ : SIZE_MAX;
    }
    if (s->info.scored == 0)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "none of the %zu images has a label to score it with", images));
out:
    return status;
}

static clipspan_status outcomes_open(clsp_outcomes *o, size_t images, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells;
    *o = (clsp_outcomes){.images = images, .count = count};
    if (!clsp_mul(&cells, images, count)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(o->rank, clsp_alloc_zero(cells, sizeof *o->rank));
    CLSP_ALLOC(o->logit, clsp_alloc_zero(cells, sizeof *o->logit));
out:
    return status;
}

static void outcomes_close(clsp_outcomes *o)
{
    clsp_free(o->rank);
    clsp_free(o->logit);
}

/* from's ablation `at` as into's ablation `to`. */
static void copy_outcome(clsp_outcomes *into, size_t to, const clsp_outcomes *from, size_t at)
{
    for (size_t i = 0; i < from->images; i++) {
        into->rank[i * into->count + to] = from->rank[i * from->count + at];
        into->logit[i * into->count + to] = from->logit[i * from->count + at];
    }
}

static clipspan_status score(clipspan_ablation_study *s, const clipspan_store *store, const clipspan_means *means,
                             const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_outcomes outcomes = {0};
    size_t count = s->first[CLIPSPAN_ABLATED_KINDS], scored = (size_t)s->info.scored;
    CLSP_ALLOC(s->direct, clsp_alloc_zero(count, sizeof *s->direct));
    CLSP_ALLOC(s->total, clsp_alloc_zero(count, sizeof *s->total));
    CLSP_ALLOC(s->has_total, clsp_alloc_zero(count, 1));
    CLSP_TRY(outcomes_open(&outcomes, scored, count, err));
    CLSP_TRY(outcomes_open(&s->baseline, scored, 1, err));
    CLSP_TRY(clsp_ablation_pass(s, &outcomes, store, means, hooks, err));
    copy_outcome(&s->baseline, 0, &outcomes, 0);
    CLSP_TRY(clsp_bootstrap(s->direct, &outcomes, s->info.resamples, s->info.seed, hooks, err));
out:
    outcomes_close(&outcomes);
    return status;
}

clipspan_status clsp_ablation_study_run(clipspan_ablation_study **out, const clipspan_store *store, const float *classifier,
                                        size_t classes, const int *labels, const clipspan_ablation_study_options *options,
                                        const clsp_ablation_limits *limits, const clipspan_hooks *hooks,
                                        clipspan_error *err)
{
    static const clipspan_ablation_study_options standard = CLIPSPAN_ABLATION_STUDY_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_ablation_study *s = NULL;
    clipspan_means *own = NULL;
    if (options == NULL) options = &standard;
    int before = clsp_threads(options->threads);
    *out = NULL;
    CLSP_TRY(check(store, options, err));
    CLSP_TRY(check_numbers(info, classifier, classes, labels, err));
    CLSP_ALLOC(s, clsp_alloc_zero(1, sizeof *s));
    s->info = (clipspan_ablation_study_info){
        .images = info->images, .classes = classes, .layers = info->layers, .heads = info->heads,
        .convention = options->convention, .zero = options->zero != 0, .resamples = options->resamples,
        .seed = options->seed, .logit_scale = info->logit_scale};
    s->limits = *limits;
    s->embed_dim = (size_t)info->embed_dim;
    s->threads = options->threads ? options->threads : clsp_cpu_count();
    CLSP_TRY(copy_inputs(s, classifier, labels, options->heads, err));
    if (!options->zero && options->means == NULL)
        CLSP_TRY(clipspan_means_open(&own, store, options->convention, options->threads, hooks, err));
    const clipspan_means *means = options->zero ? NULL : own ? own : options->means;
    s->info.mean_images = means ? means->images : 0;
    count_ablations(s, info, means);
    CLSP_TRY(score(s, store, means, hooks, err));
    *out = s;
    s = NULL;
out:
    clsp_threads(before);
    clipspan_means_free(own);
    clipspan_ablation_study_free(s);
    return status;
}

clipspan_status clipspan_ablation_study_run(clipspan_ablation_study **out, const clipspan_store *store,
                                            const float *classifier, size_t classes, const int *labels,
                                            const clipspan_ablation_study_options *options, const clipspan_hooks *hooks,
                                            clipspan_error *err)
{
    static const clsp_ablation_limits limits = CLSP_ABLATION_LIMITS_INIT;
    return clsp_ablation_study_run(out, store, classifier, classes, labels, options, &limits, hooks, err);
}

void clipspan_ablation_study_free(clipspan_ablation_study *study)
{
    if (study == NULL) return;
    outcomes_close(&study->baseline);
    clsp_free(study->classifier);
    clsp_free(study->heads);
    clsp_free(study->labels);
    clsp_free(study->place);
    clsp_free(study->direct);
    clsp_free(study->total);
    clsp_free(study->has_total);
    clsp_free(study);
}

/* ---- total effects ------------------------------------------------------------------------------------------ */

/* outcomes: ablation `at`, from embeddings [I, E]. */
static clipspan_status judge_embeddings(const clipspan_ablation_study *s, clsp_outcomes *outcomes, size_t at,
                                        const float *embeddings, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = s->embed_dim, c = s->info.classes, images = (size_t)s->info.images, cells;
    float *cosine = NULL;
    if (!clsp_mul(&cells, BLOCK, c)) return clsp_fail_memory(err);
    CLSP_ALLOC(cosine, clsp_alloc_aligned(cells, sizeof *cosine));
    for (size_t first = 0; first < images; first += BLOCK) {
        size_t n = clsp_min(BLOCK, images - first);
        CLSP_TRY(clsp_sgemm(cosine, c, embeddings + first * e, e, false, s->classifier, e, true, n, c, e, 1.0F, 0.0F,
                            err));
        for (size_t i = 0; i < n; i++) {
            if (s->labels[first + i] < 0) continue;
            clsp_ablation_judge(s, outcomes, first + i, at, cosine + i * c);
            if (!isfinite(outcomes->logit[s->place[first + i] * outcomes->count + at]))
                CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the embedding of row %zu is not finite", first + i));
        }
    }
out:
    clsp_free(cosine);
    return status;
}

clipspan_status clipspan_ablation_study_add_total(clipspan_ablation_study *study, clipspan_ablated what, size_t index,
                                                  const float *embeddings, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_outcomes pair = {0};
    clipspan_ablation_score scores[2];
    size_t place = clsp_ablation_place(study, what, index);
    int before = clsp_threads(study->threads);
    if (place == SIZE_MAX)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the study has no ablation %zu of kind %d", index, (int)what));
    CLSP_TRY(outcomes_open(&pair, (size_t)study->info.scored, 2, err));
    CLSP_TRY(judge_embeddings(study, &pair, 1, embeddings, err));
    if (what == CLIPSPAN_ABLATED_NOTHING) copy_outcome(&study->baseline, 0, &pair, 1);
    copy_outcome(&pair, 0, &study->baseline, 0);
    CLSP_TRY(clsp_bootstrap(scores, &pair, study->info.resamples, study->info.seed, NULL, err));
    study->total[place] = scores[1];
    study->has_total[place] = 1;
    study->info.totals = 1;
out:
    clsp_threads(before);
    outcomes_close(&pair);
    return status;
}

/* ---- what it says ------------------------------------------------------------------------------------------- */

clipspan_ablation_study_info clipspan_ablation_study_get_info(const clipspan_ablation_study *study)
{
    return study->info;
}

int clipspan_ablation_study_named(const clipspan_ablation_study *study, int layer, int head)
{
    bool known = layer >= 0 && layer < study->info.layers && head >= 0 && head < study->info.heads;
    return known && study->heads[(size_t)layer * (size_t)study->info.heads + (size_t)head];
}

const clipspan_ablation_score *clipspan_ablation_study_direct(const clipspan_ablation_study *study, clipspan_ablated what,
                                                              size_t index)
{
    size_t place = clsp_ablation_place(study, what, index);
    return place == SIZE_MAX ? NULL : &study->direct[place];
}

const clipspan_ablation_score *clipspan_ablation_study_total(const clipspan_ablation_study *study, clipspan_ablated what,
                                                             size_t index)
{
    size_t place = clsp_ablation_place(study, what, index);
    return place == SIZE_MAX || !study->has_total[place] ? NULL : &study->total[place];
}
