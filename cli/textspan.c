/* clipspan textspan: what each head says, in texts of a pool. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *texts, *heads, *output, *csv, *model, *convention;
    size_t size, rank, images;
    int json, cache;
    cli_engine_settings engine;
} settings;

typedef struct inputs {
    clipspan_store *store;
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_texts *pool;
    clipspan_moments *moments;
    clipspan_textspan *result;
    float *embeddings;     /* [T, E] */
    unsigned char *chosen; /* [L * H] */
} inputs;

static clipspan_status embed_pool(const settings *s, inputs *in, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    clipspan_status status = cli_open_store_model(&in->model, in->store, s->model, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine(&in->engine, in->model, &s->engine, err);
    if (status != CLIPSPAN_OK) return status;
    in->embeddings = calloc(clipspan_texts_count(in->pool), (size_t)info->embed_dim * sizeof *in->embeddings);
    if (in->embeddings == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    status = clipspan_engine_embed_pool(in->engine, in->pool, s->cache, in->embeddings, cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status span(const settings *s, inputs *in, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    options.convention = strcmp(s->convention, "exact") == 0 ? CLIPSPAN_EXACT : CLIPSPAN_PAPER;
    options.size = (int)s->size;
    options.rank = (int)s->rank;
    options.top_images = (int)s->images;
    options.threads = (int)s->engine.threads;
    options.heads = in->chosen;
    clipspan_status status =
        clipspan_textspan_run(&in->result, in->moments, in->pool, in->embeddings, &options, cli_hooks(), err);
    if (status == CLIPSPAN_OK && s->images > 0 && !info->moments_only)
        status = clipspan_textspan_rank_images(in->result, in->store, cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status write_results(const settings *s, const inputs *in, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_textspan(in->result, in->store, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    const char *output = s->output ? s->output : "-";
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    return clipspan_report_textspan(in->result, in->store, format, output, err);
}

static clipspan_status run_steps(const settings *s, inputs *in, clipspan_error *err)
{
    enum { MOST = 100000 };
    if (s->texts == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts POOL is missing");
    if (s->size < 1 || s->size > MOST || s->rank < 1 || s->rank > MOST || s->images > MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--size and --rank are 1 to %d, --images 0 to %d", (int)MOST, (int)MOST);
    clipspan_status status = clipspan_store_open(&in->store, s->arguments[0], err);
    if (status != CLIPSPAN_OK) return status;
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    if (!info->complete) cli_warn("%s is unfinished: %llu images of %llu are used", s->arguments[0],
                                  (unsigned long long)info->images, (unsigned long long)info->listed);
    in->chosen = calloc((size_t)info->layers * (size_t)info->heads, 1);
    if (in->chosen == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    status = clipspan_heads_parse(s->heads, info->layers, info->heads, in->chosen, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_open(&in->pool, s->texts, 1, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_moments(in->store, &in->moments, err);
    if (status == CLIPSPAN_OK) status = embed_pool(s, in, err);
    if (status == CLIPSPAN_OK) status = span(s, in, err);
    if (status == CLIPSPAN_OK) status = write_results(s, in, err);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    inputs in = {0};
    clipspan_status status = run_steps(given, &in, err);
    clipspan_textspan_free(in.result);
    clipspan_moments_free(in.moments);
    clipspan_texts_free(in.pool);
    clipspan_engine_free(in.engine);
    clipspan_model_free(in.model);
    clipspan_store_free(in.store);
    free(in.embeddings);
    free(in.chosen);
    return status;
}

static const cli_option options[] = {
    {"texts", 't', CLI_TEXT, "POOL", "one description a line; blank and repeated lines are left out", offsetof(settings, texts)},
    {"heads", 0, CLI_TEXT, "HEADS", "L22.H13, L22, last:4, all, @FILE, comma-separated (default all)",
     offsetof(settings, heads)},
    {"size", 'm', CLI_COUNT, "N", "texts a head (default 20)", offsetof(settings, size)},
    {"rank", 0, CLI_COUNT, "N", "texts are projected on this many singular vectors (default 80)", offsetof(settings, rank)},
    {"images", 0, CLI_COUNT, "N", "highest-ranked images for each text (default 8)", offsetof(settings, images)},
    {"convention", 0, CLI_TEXT, "paper|exact", "how shared terms are spread (default paper)", offsetof(settings, convention)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TEXT, "FILE", "also write a table, one line a head and text", offsetof(settings, csv)},
    {"output", 'o', CLI_TEXT, "FILE", "write there instead of standard output", offsetof(settings, output)},
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(settings, model)},
    {"no-cache", 0, CLI_UNFLAG, NULL, "neither read nor write the cache of text embeddings", offsetof(settings, cache)},
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_END,
};

static const settings defaults = {.heads = "all", .size = 20, .rank = 80, .images = 8, .convention = "paper", .cache = 1};

const cli_command cli_textspan = {
    .name = "textspan",
    .arguments = {"STORE"},
    .summary = "Say in texts what each head writes (TextSpan)",
    .text = "For each head, the texts of the pool that greedily span its contributions, with the share of the head's\n"
            "variance that each explains and the images that rank highest along it. Reads the store's moments; the\n"
            "images' ranking reads the chosen heads' layers once.",
    .example = "clipspan textspan photos.store --texts models/pools/general.txt --heads last:4 --json -o heads.json",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
