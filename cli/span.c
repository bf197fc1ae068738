/* TextSpan from a store and a pool file. */
#include "span.h"
#include "pools.h"

#include <stdlib.h>
#include <string.h>

typedef struct inputs {
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_texts *pool;
    clipspan_moments *moments;
    float *embeddings;     /* [T, E], or NULL where the file's are read where they lie: */
    cli_embeddings file;
    unsigned char *chosen; /* [L * H] */
    int copied;            /* 1: embeddings are wanted as float32 of their own */
} inputs;

clipspan_convention cli_convention(const char *name)
{
    return strcmp(name, "exact") == 0 ? CLIPSPAN_EXACT : CLIPSPAN_PAPER;
}

static clipspan_status embed_pool(inputs *in, const clipspan_store *store, const cli_span_settings *s,
                                  clipspan_error *err)
{
    size_t embed_dim = (size_t)clipspan_store_get_info(store)->embed_dim;
    const char *path = s->embeddings.count > 0 ? s->embeddings.items[0] : NULL;
    if (in->embeddings != NULL) return CLIPSPAN_OK; /* several files, put together */
    if (path != NULL && in->copied)
        return cli_embeddings_open(&in->embeddings, path, in->pool, s->texts.items[0], embed_dim, err);
    if (path != NULL)
        return cli_embeddings_map(&in->file, path, in->pool, s->texts.items[0], embed_dim, s->engine.threads, err);
    clipspan_status status = CLIPSPAN_OK;
    if (s->opened == NULL) status = cli_open_store_model(&in->model, store, s->model, s->vocab, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine(&in->engine, s->opened ? s->opened : in->model, &s->engine, err);
    if (status != CLIPSPAN_OK) return status;
    in->embeddings = calloc(clipspan_texts_count(in->pool), embed_dim * sizeof *in->embeddings);
    if (in->embeddings == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    status = clipspan_engine_embed_pool(in->engine, in->pool, s->cache, in->embeddings, cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status check(const clipspan_store *store, const cli_span_settings *s, clipspan_error *err)
{
    enum { MOST = 100000 };
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (s->texts.count > 1 && !s->joined) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts is given more than once");
    if (cli_check_embeddings(&s->texts, &s->embeddings, err) != CLIPSPAN_OK) return err->status;
    if (s->resamples > MOST) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--resamples is at most %d", (int)MOST);
    if (s->resamples > 0 && info->moments_only)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store holds moments alone: --stability needs single images");
    if (s->size < 1 || s->size > MOST || s->rank < 1 || s->rank > MOST || s->images > MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--size and --rank are 1 to %d, --pictures 0 to %d", (int)MOST, (int)MOST);
    if (!info->complete)
        cli_warn("the store is unfinished: %llu images of %llu are used", (unsigned long long)info->images,
                 (unsigned long long)info->listed);
    return CLIPSPAN_OK;
}

static clipspan_status prepare(inputs *in, const clipspan_store *store, const cli_span_settings *s, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    in->chosen = calloc((size_t)info->layers * (size_t)info->heads, 1);
    if (in->chosen == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_heads_parse(s->heads ? s->heads : "all", info->layers, info->heads, in->chosen, err);
    if (status == CLIPSPAN_OK && s->texts.count == 1) status = cli_open_texts(&in->pool, s->texts.items[0], err);
    if (status == CLIPSPAN_OK && s->texts.count > 1)
        status = cli_pools_open(&in->pool, &in->embeddings, &s->texts, &s->embeddings, (size_t)info->embed_dim, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_moments(store, &in->moments, err);
    if (status == CLIPSPAN_OK) status = embed_pool(in, store, s, err);
    return status;
}

static clipspan_status span(clipspan_textspan **out, const inputs *in, const clipspan_store *store,
                            const cli_span_settings *s, clipspan_error *err)
{
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    options.convention = cli_convention(s->convention);
    options.size = (int)s->size;
    options.rank = (int)s->rank;
    options.top_images = (int)s->images;
    options.threads = (int)s->engine.threads;
    options.heads = in->chosen;
    clipspan_vectors vectors = in->file.vectors;
    if (in->embeddings != NULL)
        vectors = (clipspan_vectors){.values = in->embeddings, .count = clipspan_texts_count(in->pool),
                                     .embed_dim = (size_t)clipspan_store_get_info(store)->embed_dim};
    clipspan_status status =
        clipspan_textspan_run_vectors(out, in->moments, in->pool, &vectors, &options, cli_hooks(), err);
    if (status == CLIPSPAN_OK && s->images > 0 && !clipspan_store_get_info(store)->moments_only)
        status = clipspan_textspan_rank_images(*out, store, cli_hooks(), err);
    if (status == CLIPSPAN_OK && s->resamples > 0)
        status = clipspan_textspan_measure_stability(*out, store, in->embeddings, (int)s->resamples, cli_hooks(), err);
    cli_progress_end();
    return status;
}

/* [heads, E] embedding of each head's first text, zeros where it has none. */
static clipspan_status keep_first(float **out, const inputs *in, const clipspan_textspan *textspan, clipspan_error *err)
{
    size_t heads = clipspan_textspan_head_count(textspan), embed_dim = clipspan_textspan_get_info(textspan).embed_dim;
    *out = calloc(heads, embed_dim * sizeof **out);
    if (*out == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < heads; i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(textspan, i);
        if (head->count > 0)
            memcpy(*out + i * embed_dim, in->embeddings + head->texts[0].text * embed_dim, embed_dim * sizeof **out);
    }
    return CLIPSPAN_OK;
}

clipspan_status cli_span_find(clipspan_textspan **out, float **first, const clipspan_store *store,
                              const cli_span_settings *s, clipspan_error *err)
{
    inputs in = {.copied = first != NULL || s->resamples > 0}; /* resamples turn the whole pool, head by head */
    *out = NULL;
    clipspan_status status = check(store, s, err);
    if (status == CLIPSPAN_OK) status = prepare(&in, store, s, err);
    if (status == CLIPSPAN_OK) status = span(out, &in, store, s, err);
    if (status == CLIPSPAN_OK && first != NULL) status = keep_first(first, &in, *out, err);
    clipspan_moments_free(in.moments);
    clipspan_texts_free(in.pool);
    clipspan_engine_free(in.engine);
    clipspan_model_free(in.model);
    free(in.embeddings);
    cli_embeddings_close(&in.file);
    free(in.chosen);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    clipspan_textspan_free(*out);
    *out = NULL;
    return status;
}

clipspan_status cli_span_run(clipspan_textspan **out, const clipspan_store *store, const cli_span_settings *s,
                             clipspan_error *err)
{
    return cli_span_find(out, NULL, store, s, err);
}
