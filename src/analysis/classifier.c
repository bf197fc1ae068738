/* The zero-shot classifier (ALGORITHMS 8): for each class the mean of its templates' unit embeddings, made unit
 * again. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "clipspan/analysis.h"

enum { PROMPTS = 512 }; /* embedded in one call, about */

typedef struct builder {
    clipspan_engine *engine;
    const clipspan_texts *classes, *templates;
    size_t embed_dim;
    char **prompts;    /* [room] */
    float *embeddings; /* [room, E] */
    double *mean;      /* [E] */
} builder;

/* Every "{}" of the template becomes the name. NULL: out of memory. */
static char *fill(const char *template, const char *name)
{
    clsp_buffer out;
    clsp_buffer_init(&out, SIZE_MAX / 2);
    bool good = true;
    for (const char *gap; good && (gap = strstr(template, "{}")) != NULL; template = gap + 2)
        good = clsp_buffer_append(&out, template, (size_t)(gap - template)) && clsp_buffer_text(&out, name);
    if (good && clsp_buffer_text(&out, template)) return out.data;
    clsp_buffer_free(&out);
    return NULL;
}

static clipspan_status check(const clipspan_texts *classes, const clipspan_texts *templates, clipspan_error *err)
{
    if (clipspan_texts_count(classes) == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "classifier: the list of classes is empty");
    if (clipspan_texts_count(templates) == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "classifier: the list of templates is empty");
    for (size_t i = 0; i < clipspan_texts_count(templates); i++)
        if (strstr(clipspan_texts_get(templates, i), "{}") == NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                             "classifier: template %zu (\"%s\") has no {} for the class name", i + 1,
                             clipspan_texts_get(templates, i));
    return CLIPSPAN_OK;
}

static clipspan_status mean_of_class(builder *b, const float *rows, size_t class, float *out, clipspan_error *err)
{
    size_t n = clipspan_texts_count(b->templates), e = b->embed_dim;
    double square = 0;
    memset(b->mean, 0, e * sizeof *b->mean);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < e; d++) b->mean[d] += (double)rows[i * e + d];
    for (size_t d = 0; d < e; d++) square += b->mean[d] * b->mean[d];
    if (!(square > 0) || !isfinite(square))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "classifier: class \"%s\": its prompts' embeddings sum to %s",
                         clipspan_texts_get(b->classes, class), square == 0 ? "zero" : "no finite vector");
    for (size_t d = 0; d < e; d++) out[d] = (float)(b->mean[d] / sqrt(square));
    return CLIPSPAN_OK;
}

/* Classes [first, first + n). */
static clipspan_status some_classes(builder *b, size_t first, size_t n, float *classifier, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t templates = clipspan_texts_count(b->templates);
    for (size_t c = 0; c < n; c++)
        for (size_t t = 0; t < templates; t++)
            CLSP_ALLOC(b->prompts[c * templates + t],
                       fill(clipspan_texts_get(b->templates, t), clipspan_texts_get(b->classes, first + c)));
    CLSP_TRY(clipspan_engine_embed_texts(b->engine, (const char *const *)b->prompts, n * templates, 1, b->embeddings,
                                         err));
    for (size_t c = 0; c < n; c++)
        CLSP_TRY(mean_of_class(b, b->embeddings + c * templates * b->embed_dim, first + c,
                               classifier + (first + c) * b->embed_dim, err));
out:
    for (size_t i = 0; i < n * templates; i++) {
        clsp_free(b->prompts[i]);
        b->prompts[i] = NULL;
    }
    return status;
}

static clipspan_status tell(const clipspan_hooks *hooks, size_t done, size_t total, clipspan_error *err)
{
    const clipspan_progress now = {"classes", done, total, 0};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &now) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after the prompts of %zu of %zu classes", done, total);
}

clipspan_status clipspan_classifier_build(clipspan_engine *engine, const clipspan_texts *classes,
                                          const clipspan_texts *templates, float *classifier,
                                          const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    builder b = {.engine = engine, .classes = classes, .templates = templates};
    CLSP_TRY(check(classes, templates, err));
    b.embed_dim = (size_t)clipspan_model_get_info(clipspan_engine_model(engine))->embed_dim;
    size_t count = clipspan_texts_count(classes), each = clipspan_texts_count(templates);
    size_t step = clsp_min(count, clsp_max(PROMPTS / each, 1)), cells;
    if (!clsp_mul(&cells, step * each, b.embed_dim)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(b.prompts, clsp_alloc_zero(step * each, sizeof *b.prompts));
    CLSP_ALLOC(b.embeddings, clsp_alloc(cells, sizeof *b.embeddings));
    CLSP_ALLOC(b.mean, clsp_alloc(b.embed_dim, sizeof *b.mean));
    CLSP_TRY(tell(hooks, 0, count, err));
    for (size_t first = 0; first < count; first += step) {
        size_t n = clsp_min(step, count - first);
        CLSP_TRY(some_classes(&b, first, n, classifier, err));
        CLSP_TRY(tell(hooks, first + n, count, err));
    }
out:
    clsp_free(b.prompts);
    clsp_free(b.embeddings);
    clsp_free(b.mean);
    return status;
}
