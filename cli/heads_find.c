/* Everything about a store's heads. */
#include "heads_find.h"
#include "columns.h"

#include <stdlib.h>
#include <string.h>

static clipspan_status find_spread(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s,
                                   clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_moments *moments = NULL;
    clipspan_status status = clipspan_store_moments(store, &moments, err);
    if (status != CLIPSPAN_OK) return status;
    out->spread = calloc((size_t)info->layers * (size_t)info->heads, sizeof *out->spread);
    status = out->spread ? clipspan_heads_spread(out->spread, moments, out->table.convention, (int)s->span.engine.threads,
                                                 cli_hooks(), err)
                         : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    cli_progress_end();
    clipspan_moments_free(moments);
    return status;
}

/* A list without columns that can be scored is no error: its heads then have no role. */
static clipspan_status score_columns(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s,
                                     const unsigned char *heads, clipspan_error *err)
{
    clipspan_attributes_options options = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    clipspan_error why;
    cli_columns columns = {0};
    clipspan_status status = cli_columns_read(&columns, s->columns, err);
    if (status != CLIPSPAN_OK) return status;
    options.convention = out->table.convention;
    options.threads = (int)s->span.engine.threads;
    options.columns = columns.count ? columns.names : NULL;
    options.column_count = columns.count;
    options.heads = heads;
    status = clipspan_attributes_run(&out->attributes, store, &options, cli_hooks(), &why);
    cli_progress_end();
    cli_columns_free(&columns);
    if (status == CLIPSPAN_OK || (status == CLIPSPAN_ERROR_ARGUMENT && s->columns == NULL)) return CLIPSPAN_OK;
    return cli_fail(err, status, "%s", why.message);
}

static clipspan_status find_roles(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s,
                                  clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (s->roles == CLI_ROLES_NONE || info->moments_only) return CLIPSPAN_OK;
    if (s->roles == CLI_ROLES_ALL) return score_columns(out, store, s, NULL, err);
    unsigned char *heads = calloc((size_t)info->layers * (size_t)info->heads, 1);
    if (heads == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_heads_parse(s->span.heads, info->layers, info->heads, heads, err);
    if (status == CLIPSPAN_OK) status = score_columns(out, store, s, heads, err);
    free(heads);
    return status;
}

static clipspan_status find_effects(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s,
                                    clipspan_error *err)
{
    clipspan_ablation_study_options options = CLIPSPAN_ABLATION_STUDY_OPTIONS_INIT;
    cli_scored_settings settings = s->scored;
    cli_scored scored = {0};
    options.convention = out->table.convention;
    options.threads = (int)s->span.engine.threads;
    options.resamples = (int)s->effect_resamples;
    settings.model = s->span.model;
    settings.vocab = s->span.vocab;
    settings.needs_no_model = 1;
    if (!s->effects) return CLIPSPAN_OK;
    clipspan_status status = cli_scored_open(&scored, store, &settings, &s->span.engine, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_ablation_study_run(&out->effects, store, scored.classifier, scored.count, scored.labels, &options,
                                             cli_hooks(), err);
    cli_progress_end();
    cli_scored_close(&scored);
    return status;
}

static clipspan_status find_texts(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s,
                                  clipspan_error *err)
{
    cli_span_settings span = s->span;
    span.joined = 1;
    return span.texts.count > 0 ? cli_span_find(&out->textspan, &out->first, store, &span, err) : CLIPSPAN_OK;
}

static clipspan_status find_activations(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s,
                                        clipspan_error *err)
{
    const clipspan_activations_options options = {out->table.convention, s->top, s->bins, (int)s->span.engine.threads};
    size_t embed_dim = (size_t)clipspan_store_get_info(store)->embed_dim, count = 0;
    if (out->textspan == NULL || s->top == 0 || clipspan_store_get_info(store)->moments_only) return CLIPSPAN_OK;
    clipspan_direction *directions = calloc(clipspan_textspan_head_count(out->textspan), sizeof *directions);
    if (directions == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < clipspan_textspan_head_count(out->textspan); i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(out->textspan, i);
        if (head->count > 0)
            directions[count++] = (clipspan_direction){head->layer, head->head, out->first + i * embed_dim};
    }
    clipspan_status status = CLIPSPAN_OK;
    if (count > 0)
        status = clipspan_activations_run(&out->activations, store, directions, count, &options, cli_hooks(), err);
    cli_progress_end();
    free(directions);
    return status;
}

static void fill_table(cli_heads *out, const clipspan_store *store, const cli_heads_settings *s)
{
    memcpy(out->sources, s->span.texts.items, s->span.texts.count * sizeof *out->sources);
    out->table.store = store;
    out->table.spread = out->spread;
    out->table.attributes = out->attributes;
    out->table.effects = out->effects;
    out->table.textspan = out->textspan;
    out->table.activations = out->activations;
    out->table.sources = out->sources;
    out->table.source_count = s->span.texts.count;
}

clipspan_status cli_heads_find(cli_heads *out, const clipspan_store *store, const cli_heads_settings *settings,
                               clipspan_error *err)
{
    *out = (cli_heads){.table = {.convention = cli_convention(settings->span.convention)}};
    clipspan_status status = find_texts(out, store, settings, err); /* first: what is wrong with them shows at once */
    if (status == CLIPSPAN_OK) status = find_spread(out, store, settings, err);
    if (status == CLIPSPAN_OK) status = find_effects(out, store, settings, err);
    if (status == CLIPSPAN_OK) status = find_roles(out, store, settings, err);
    if (status == CLIPSPAN_OK) status = find_activations(out, store, settings, err);
    if (status == CLIPSPAN_OK)
        fill_table(out, store, settings);
    else
        cli_heads_free(out);
    return status;
}

void cli_heads_free(cli_heads *heads)
{
    clipspan_activations_free(heads->activations);
    clipspan_textspan_free(heads->textspan);
    clipspan_ablation_study_free(heads->effects);
    clipspan_attributes_free(heads->attributes);
    free(heads->spread);
    free(heads->first);
    *heads = (cli_heads){0};
}
