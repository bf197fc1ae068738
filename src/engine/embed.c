/* Embeddings of images and texts, and the two one-liners that stand on a model: tokens and pixels. */
#include "engine/towers.h"

#include <stdlib.h>
#include <string.h>

clipspan_status clipspan_tokenize(const clipspan_model *model, const char *text, int32_t *ids, size_t capacity,
                                  size_t *count, clipspan_error *err)
{
    *count = 0;
    if (model->tokenizer == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "%s: no tokenizer.json, vocab.json or merges file was found: texts need a vocabulary (--vocab)",
                         model->info.path);
    if (capacity < 2)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "room for %zu tokens: a text needs 2 at least", capacity);
    return clsp_tokenizer_encode(model->tokenizer, text, strlen(text), ids,
                                 clsp_min(capacity, (size_t)model->text.context_length), count, err);
}

clipspan_status clipspan_images_preprocess(const clipspan_images *images, size_t i, const clipspan_model *model,
                                           float *pixels, clipspan_error *err)
{
    return clsp_images_pixels(images, i, &model->preprocess, pixels, err);
}

clipspan_status clipspan_images_view(const clipspan_images *images, size_t i, const clipspan_model *model,
                                     unsigned char *rgb, clipspan_error *err)
{
    return clsp_images_rgb(images, i, &model->preprocess, rgb, err);
}

/* ---- images ---------------------------------------------------------------------------------------------- */

clipspan_status clipspan_engine_embed_images(clipspan_engine *engine, const float *pixels, size_t n, int normalize,
                                             float *embeddings, clipspan_error *err)
{
    size_t side = (size_t)engine->model->vision.image_size, dim = (size_t)engine->model->embed_dim;
    for (size_t done = 0; done < n;) {
        size_t now = clsp_min(n - done, (size_t)engine->batch);
        clipspan_status status = clsp_engine_forward(engine, pixels + done * 3 * side * side, now, NULL,
                                                     embeddings + done * dim, err);
        if (status != CLIPSPAN_OK) return status;
        done += now;
    }
    if (normalize) clsp_normalize(embeddings, n, dim);
    return CLIPSPAN_OK;
}

typedef struct listing {
    bool normalize;
    float *embeddings; /* [slots, batch, E] */
    size_t slot_floats;
    clipspan_embed_fn fn;
    void *user;
} listing;

static clipspan_status embed_batch(void *user, clipspan_engine *engine, const clsp_pixels *batch, clipspan_error *err)
{
    listing *l = user;
    float *embeddings = l->embeddings + batch->slot * l->slot_floats;
    size_t dim = (size_t)engine->model->embed_dim;
    clipspan_status status = clsp_engine_forward(engine, batch->pixels, batch->n, NULL, embeddings, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < batch->n; i++)
        if (!batch->ok[i]) memset(embeddings + i * dim, 0, dim * sizeof *embeddings);
    if (l->normalize) clsp_normalize(embeddings, batch->n, dim);
    return CLIPSPAN_OK;
}

static clipspan_status hand_over(void *user, clipspan_engine *engine, const clsp_pixels *batch, clipspan_error *err)
{
    const listing *l = user;
    (void)engine;
    return l->fn(l->user, (size_t)batch->first, batch->n, l->embeddings + batch->slot * l->slot_floats, batch->ok, err);
}

clipspan_status clipspan_engine_embed_list(clipspan_engine *engine, const clipspan_images *images, int normalize,
                                           int strict, clipspan_embed_fn fn, void *user, const clipspan_hooks *hooks,
                                           clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    listing l = {.normalize = normalize != 0, .fn = fn, .user = user,
                 .slot_floats = (size_t)engine->batch * (size_t)engine->model->embed_dim};
    const clsp_stream_job job = {.stage = "images", .count = clipspan_images_count(images), .strict = strict != 0,
                                 .work = embed_batch, .finish = hand_over, .user = &l};
    CLSP_ALLOC(l.embeddings, clsp_alloc_aligned(clsp_engine_slots(engine) * l.slot_floats, sizeof *l.embeddings));
    CLSP_TRY(clsp_engine_stream(engine, images, &job, hooks, err));
out:
    clsp_free(l.embeddings);
    return status;
}

/* ---- texts ----------------------------------------------------------------------------------------------- */

static clipspan_status tell(size_t done, size_t total, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_progress progress = {.stage = "texts", .done = done, .total = total};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &progress) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "texts: stopped after %zu of %zu", done, total);
}

typedef struct ordered {
    const int32_t *ids;
    size_t count, prompt;
} ordered;

static int by_ids(const void *a, const void *b)
{
    const ordered *x = a, *y = b;
    for (size_t i = 0; i < x->count && i < y->count; i++)
        if (x->ids[i] != y->ids[i]) return x->ids[i] < y->ids[i] ? -1 : 1;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    return (x->prompt > y->prompt) - (x->prompt < y->prompt);
}

/* Prompts that begin alike stand side by side: the tower shares their rows. */
static clipspan_status sort_prompts(const clsp_prompts *prompts, size_t *which, size_t count, clipspan_error *err)
{
    ordered *list = clsp_alloc(count, sizeof *list);
    if (list == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        size_t p = which[i];
        list[i] = (ordered){prompts->ids + prompts->start[p], prompts->start[p + 1] - prompts->start[p], p};
    }
    qsort(list, count, sizeof *list, by_ids);
    for (size_t i = 0; i < count; i++) which[i] = list[i].prompt;
    clsp_free(list);
    return CLIPSPAN_OK;
}

/* Prompts which[0 .. count), which are sorted, into rows which[i] of embeddings; *done of them when it stops early. */
static clipspan_status embed_prompts(clipspan_engine *engine, const clsp_prompts *prompts, size_t *which, size_t count,
                                     float *embeddings, size_t *done, const clipspan_hooks *hooks,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_text_tower *tower;
    int before = clsp_threads(engine->threads);
    *done = 0;
    CLSP_TRY(sort_prompts(prompts, which, count, err));
    CLSP_TRY(clsp_engine_text(&tower, engine, err));
    while (*done < count) {
        size_t taken;
        CLSP_TRY(clsp_text_tower_run(tower, prompts, which + *done, count - *done, embeddings, &taken, err));
        *done += taken;
        CLSP_TRY(tell(*done, count, hooks, err));
    }
out:
    clsp_threads(before);
    return status;
}

clipspan_status clipspan_engine_embed_texts(clipspan_engine *engine, const char *const *texts, size_t n, int normalize,
                                            float *embeddings, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_prompts prompts = {0};
    size_t *which = NULL, done;
    if (n == 0) return CLIPSPAN_OK;
    CLSP_TRY(clsp_prompts_make(&prompts, engine->model, texts, n, err));
    CLSP_ALLOC(which, clsp_alloc(n, sizeof *which));
    for (size_t i = 0; i < n; i++) which[i] = i;
    CLSP_TRY(embed_prompts(engine, &prompts, which, n, embeddings, &done, NULL, err));
    if (normalize) clsp_normalize(embeddings, n, (size_t)engine->model->embed_dim);
out:
    clsp_prompts_clear(&prompts);
    clsp_free(which);
    return status;
}

/* ---- a pool, with its cache ------------------------------------------------------------------------------ */

static clipspan_status pool_prompts(clsp_prompts *prompts, const clipspan_model *model, const clipspan_texts *texts,
                                    size_t n, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const char **list = NULL;
    CLSP_ALLOC(list, clsp_alloc(n, sizeof *list));
    for (size_t i = 0; i < n; i++) list[i] = clipspan_texts_get(texts, i);
    CLSP_TRY(clsp_prompts_make(prompts, model, list, n, err));
out:
    clsp_free(list);
    return status;
}

/* Rows that the cache holds; the others' indices go to which. Returns their number. */
static size_t take_cached(const clsp_pool_cache *cache, const clsp_prompts *prompts, size_t dim, float *embeddings,
                          size_t *which)
{
    size_t missing = 0;
    for (size_t i = 0; i < prompts->count; i++) {
        const int32_t *ids = prompts->ids + prompts->start[i];
        const float *row = cache ? clsp_pool_cache_find(cache, ids, prompts->start[i + 1] - prompts->start[i]) : NULL;
        if (row)
            memcpy(embeddings + i * dim, row, dim * sizeof *row);
        else
            which[missing++] = i;
    }
    return missing;
}

/* What was finished is kept, also when the run was interrupted. A cache that cannot be written is worth a warning. */
static void save(const clsp_pool_cache *cache, const clsp_prompts *prompts, const size_t *which, size_t count,
                 const float *embeddings, const clipspan_hooks *hooks)
{
    clipspan_error problem;
    if (count == 0 || clsp_pool_cache_save(cache, prompts, which, count, embeddings, &problem) == CLIPSPAN_OK) return;
    if (hooks == NULL || hooks->warn == NULL) return;
    char *line = clsp_format("the cache of text embeddings is not kept: %s", problem.message);
    hooks->warn(hooks->user, line ? line : problem.message);
    clsp_free(line);
}

clipspan_status clipspan_engine_embed_pool(clipspan_engine *engine, const clipspan_texts *texts, int cache,
                                           float *embeddings, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK, outcome;
    size_t n = clipspan_texts_count(texts), dim = (size_t)engine->model->embed_dim, missing, done = 0;
    clsp_prompts prompts = {0};
    clsp_pool_cache *kept = NULL;
    size_t *which = NULL;
    if (n == 0) return CLIPSPAN_OK;
    CLSP_TRY(pool_prompts(&prompts, engine->model, texts, n, err));
    CLSP_ALLOC(which, clsp_alloc(n, sizeof *which));
    if (cache) CLSP_TRY(clsp_pool_cache_open(&kept, engine->model, engine->type, err));
    missing = take_cached(kept, &prompts, dim, embeddings, which);
    outcome = missing ? embed_prompts(engine, &prompts, which, missing, embeddings, &done, hooks, err) : CLIPSPAN_OK;
    for (size_t i = 0; i < done; i++) clsp_normalize(embeddings + which[i] * dim, 1, dim);
    if (kept) save(kept, &prompts, which, done, embeddings, hooks);
    CLSP_TRY(outcome);
out:
    clsp_pool_cache_free(kept);
    clsp_prompts_clear(&prompts);
    clsp_free(which);
    return status;
}
