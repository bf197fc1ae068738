/* The rows of clipspan groups: sets of heads that were given, and those that are searched for. */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

typedef struct scores {
    double *values[3]; /* [L * H] each */
} scores;

static clipspan_status scores_open(scores *out, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    size_t all = (size_t)info->layers * (size_t)info->heads;
    for (size_t i = 0; i < 3; i++) {
        out->values[i] = calloc(all, sizeof(double));
        if (out->values[i] == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    }
    return CLIPSPAN_OK;
}

static void scores_close(scores *s)
{
    for (size_t i = 0; i < 3; i++) free(s->values[i]);
}

/* [T, E] */
static clipspan_status embed(float **out, groups_inputs *in, const clipspan_texts *texts, clipspan_error *err)
{
    size_t embed_dim = (size_t)clipspan_store_get_info(in->store)->embed_dim;
    *out = calloc(clipspan_texts_count(texts), embed_dim * sizeof **out);
    if (*out == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_engine_embed_pool(in->scored.engine, texts, 1, *out, cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status add_cue(groups_inputs *in, const groups_settings *s, scores *score, clipspan_error *err)
{
    static const char *const names[] = {"cue: own variance", "cue: passing", "cue: correlation"};
    clipspan_texts *texts = NULL;
    float *embeddings = NULL;
    clipspan_status status = clipspan_texts_copy(&texts, s->cue.items, s->cue.count, err);
    if (status == CLIPSPAN_OK) status = embed(&embeddings, in, texts, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_groups_cue(in->groups, in->store, embeddings, s->cue.count, score->values[0], score->values[1],
                                     score->values[2], cli_hooks(), err);
    cli_progress_end();
    for (size_t i = 0; i < 3 && status == CLIPSPAN_OK; i++)
        status = clipspan_groups_add_ranked(in->groups, names[i], score->values[i], s->most, err);
    free(embeddings);
    clipspan_texts_free(texts);
    return status;
}

static clipspan_status add_words(groups_inputs *in, const groups_settings *s, scores *score, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_moments *moments = NULL;
    clipspan_textspan *span = NULL;
    float *embeddings = NULL;
    options.convention = cli_convention(s->convention);
    options.size = (int)s->size;
    options.top_images = 0;
    options.threads = (int)s->engine.threads;
    options.heads = in->candidates;
    clipspan_status status = embed(&embeddings, in, in->pool, err);
    if (status == CLIPSPAN_OK) status = clipspan_groups_moments(in->groups, in->store, &moments, cli_hooks(), err);
    if (status == CLIPSPAN_OK)
        status = clipspan_textspan_run(&span, moments, in->pool, embeddings, &options, cli_hooks(), err);
    cli_progress_end();
    if (status == CLIPSPAN_OK)
        status = clipspan_cue_words(span, in->words, info->layers, info->heads, score->values[0], err);
    if (status == CLIPSPAN_OK)
        status = clipspan_groups_add_ranked(in->groups, "cue: words", score->values[0], s->most, err);
    clipspan_textspan_free(span);
    clipspan_moments_free(moments);
    free(embeddings);
    return status;
}

static clipspan_status add_searched(groups_inputs *in, const groups_settings *s, scores *score, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (s->words != NULL) status = add_words(in, s, score, err);
    if (status == CLIPSPAN_OK && s->cue.count > 0) status = add_cue(in, s, score, err);
    if (status == CLIPSPAN_OK) status = clipspan_groups_contrast(in->groups, score->values[0], err);
    if (status == CLIPSPAN_OK)
        status = clipspan_groups_add_ranked(in->groups, "contrast of groups", score->values[0], s->most, err);
    if (status == CLIPSPAN_OK) status = clipspan_groups_mistakes(in->groups, score->values[0], err);
    if (status == CLIPSPAN_OK)
        status = clipspan_groups_add_ranked(in->groups, "right and wrong", score->values[0], s->most, err);
    if (status == CLIPSPAN_OK) status = clipspan_groups_add_greedy(in->groups, "greedy", s->most, cli_hooks(), err);
    cli_progress_end();
    return status;
}

clipspan_status groups_add_rules(groups_inputs *in, const groups_settings *s, clipspan_error *err)
{
    scores score = {{NULL, NULL, NULL}};
    char name[64];
    clipspan_status status = CLIPSPAN_OK;
    if (s->heads != NULL) status = clipspan_groups_add(in->groups, "given", in->given, err);
    if (status == CLIPSPAN_OK && s->published != NULL) {
        snprintf(name, sizeof name, "published, %s", in->published_name);
        status = clipspan_groups_add(in->groups, name, in->published, err);
    }
    if (status == CLIPSPAN_OK && s->search) status = scores_open(&score, in->store, err);
    if (status == CLIPSPAN_OK && s->search) status = add_searched(in, s, &score, err);
    scores_close(&score);
    return status;
}
