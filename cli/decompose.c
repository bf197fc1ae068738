/* clipspan decompose: images to a store of factored contributions. */
#include "cli.h"
#include "ranks.h"

#include "clipspan/neurons.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *output, *dtype_of_store, *token_layers, *part;
    int moments, tokens, mlp, cls, neurons, json;
    size_t shard_images;
    cli_image_settings images;
    cli_engine_settings engine;
    cli_model_settings model;
} settings;

/* "last:2" or "L3,L5" to a list of layers. */
static clipspan_status parse_layers(const char *text, const clipspan_model_info *info, int *layers, int *count,
                                    clipspan_error *err)
{
    size_t all = (size_t)info->layers * (size_t)info->heads;
    unsigned char *chosen = calloc(all, 1);
    if (chosen == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_heads_parse(text, info->layers, info->heads, chosen, err);
    *count = 0;
    for (int l = 0; status == CLIPSPAN_OK && l < info->layers; l++)
        if (memchr(chosen + (size_t)l * (size_t)info->heads, 1, (size_t)info->heads)) layers[(*count)++] = l;
    free(chosen);
    return status;
}

/* What came of it, and what the engines held. */
typedef struct outcome {
    clipspan_store_summary store;
    clipspan_engine_memory memory;
    int engines;
} outcome;

static void print_json(const outcome *o)
{
    printf("{\"images\": %llu, \"skipped\": %llu, \"resumed\": %llu, \"bytes\": %llu, \"engines\": %d, "
           "\"memory\": {\"weights\": %llu, \"mapped\": %llu, \"each_engine\": %llu, \"all_engines\": %llu}}\n",
           (unsigned long long)o->store.images, (unsigned long long)o->store.skipped,
           (unsigned long long)o->store.resumed, (unsigned long long)o->store.bytes, o->engines,
           (unsigned long long)o->memory.weights, (unsigned long long)o->memory.mapped,
           (unsigned long long)o->memory.each_engine, (unsigned long long)o->memory.all_engines);
}

static void print_summary(const settings *s, const outcome *o)
{
    const clipspan_store_summary *store = &o->store;
    if (s->json)
        print_json(o);
    else
        cli_note("%s: %llu images%s%s%s, %.1f MB", s->output, (unsigned long long)store->images,
                 s->moments ? " in moments" : "", s->part ? " in part " : "", s->part ? s->part : "",
                 (double)store->bytes / 1e6);
    if (store->resumed) cli_note("%llu of them were there already", (unsigned long long)store->resumed);
    if (store->skipped) cli_note("%llu images could not be read and were skipped", (unsigned long long)store->skipped);
}

/* "3/8". */
static clipspan_status parse_part(const char *text, clipspan_store_options *options, clipspan_error *err)
{
    char *slash = NULL, *end = NULL;
    if (text == NULL) return CLIPSPAN_OK;
    long part = strtol(text, &slash, 10), count = *slash == '/' ? strtol(slash + 1, &end, 10) : 0;
    if (*text < '0' || *text > '9' || end == NULL || slash[1] < '0' || slash[1] > '9' || *end != '\0' || part < 1 ||
        part > count || count > INT_MAX)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--part %s: expected K/N, part K of N, such as 3/8", text);
    options->part = (int)part;
    options->part_count = (int)count;
    return CLIPSPAN_OK;
}

static clipspan_status choose(const settings *s, clipspan_store_options *options, clipspan_error *err)
{
    options->decompose.parts = (s->mlp ? CLIPSPAN_PART_MLP : 0u) | (s->cls ? CLIPSPAN_PART_CLS : 0u) |
                               (s->tokens || s->token_layers ? CLIPSPAN_PART_TOKENS : 0u);
    options->decompose.strict = s->images.strict;
    options->half = s->dtype_of_store != NULL && strcmp(s->dtype_of_store, "f16") == 0;
    options->moments_only = s->moments;
    options->shard_images = s->shard_images;
    options->neurons = s->neurons ? CLIPSPAN_NEURONS_TOP : 0;
    return parse_part(s->part, options, err);
}

/* A rank stops when another has failed. */
static int rank_progress(void *user, const clipspan_progress *progress)
{
    const clipspan_hooks *hooks = cli_hooks();
    (void)user;
    return hooks->progress(hooks->user, progress) || cli_ranks_stopping();
}

static clipspan_status decompose(const settings *s, clipspan_engine *engine, const clipspan_images *images,
                                 clipspan_store_options *options, outcome *o, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(clipspan_engine_model(engine));
    const clipspan_hooks hooks = {rank_progress, cli_hooks()->warn, NULL};
    int *layers = calloc((size_t)info->layers, sizeof *layers);
    if (layers == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = CLIPSPAN_OK;
    if (s->token_layers != NULL) {
        status = parse_layers(s->token_layers, info, layers, &options->decompose.token_layer_count, err);
        options->decompose.token_layers = layers;
    }
    if (status == CLIPSPAN_OK)
        status = clipspan_store_decompose(engine, images, s->output, options, &o->store, &hooks, err);
    cli_progress_end();
    free(layers);
    if (status == CLIPSPAN_OK) cli_note_engines(engine);
    clipspan_engine_get_memory(engine, &o->memory);
    o->engines = clipspan_engine_engines(engine);
    return status;
}

static clipspan_status open_and_decompose(const settings *s, clipspan_store_options *options, outcome *o,
                                          clipspan_error *err)
{
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_images *images = NULL;
    clipspan_status status = cli_open_model(&model, s->arguments[0], &s->model, err);
    if (status == CLIPSPAN_OK) status = cli_open_images(&images, s->arguments[1], &s->images, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine_for(&engine, model, images, &s->engine, err);
    if (status == CLIPSPAN_OK) {
        cli_hint_bf16(engine, images);
        status = decompose(s, engine, images, options, o, err);
    }
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status;
}

/* Each rank writes a part into one folder. Rank 0 first gathers what a run with another number of ranks left there, and merges
 * the parts at the end. */
static clipspan_status run_ranks(settings *s, const cli_ranks *ranks, clipspan_store_options *options,
                                 outcome *o, clipspan_error *err)
{
    const clipspan_merge_options unfinished = {.unfinished = 1};
    clipspan_status status = CLIPSPAN_OK;
    if (s->part != NULL)
        return cli_ranks_agree(ranks, cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--part under mpirun: it has a part already"), err);
    cli_quiet |= ranks->rank > 0;
    if (s->engine.threads == 0) s->engine.threads = ranks->threads;
    options->part = ranks->rank + 1;
    options->part_count = ranks->count;
    if (ranks->rank == 0) status = clipspan_store_merge(s->output, NULL, 0, &unfinished, &o->store, cli_hooks(), err);
    uint64_t resumed = o->store.images;
    status = cli_ranks_agree(ranks, status, err);
    if (status != CLIPSPAN_OK) return status;
    status = cli_ranks_agree(ranks, open_and_decompose(s, options, o, err), err);
    if (status != CLIPSPAN_OK) return status;
    if (ranks->rank == 0) status = clipspan_store_merge(s->output, NULL, 0, NULL, &o->store, cli_hooks(), err);
    cli_progress_end();
    o->store.resumed = resumed;
    return cli_ranks_agree(ranks, status, err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    settings *s = given;
    cli_ranks ranks = {0};
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    outcome o = {0};
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o STORE is missing");
    if (s->moments && (s->tokens || s->token_layers))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--moments keeps no single images, so no --tokens either");
    clipspan_status status = choose(s, &options, err);
    if (status == CLIPSPAN_OK && cli_ranks_launched()) status = cli_ranks_begin(&ranks, err);
    if (status == CLIPSPAN_OK)
        status = ranks.count > 1 ? run_ranks(s, &ranks, &options, &o, err)
                                 : open_and_decompose(s, &options, &o, err);
    cli_ranks_end();
    if (status == CLIPSPAN_OK && ranks.rank == 0) print_summary(s, &o);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TO_FOLDER, "STORE", "folder of the store; an unfinished one is gone on with", offsetof(settings, output)},
    {"store-dtype", 0, CLI_TEXT, "f32|f16", "type of the stored contributions (default f32)",
     offsetof(settings, dtype_of_store)},
    {"moments", 0, CLI_FLAG, NULL, "keep the streamed moments alone: constant memory and disk", offsetof(settings, moments)},
    {"tokens", 0, CLI_FLAG, NULL, "also keep every head's terms by source token (large)", offsetof(settings, tokens)},
    {"token-layers", 0, CLI_TEXT, "LAYERS", "the same for these layers alone, such as last:4 or L3,L5",
     offsetof(settings, token_layers)},
    {"neurons", 0, CLI_FLAG, NULL, "also keep the MLP terms by neuron: moments and top images (clipspan neurons shows them)",
     offsetof(settings, neurons)},
    {"no-mlp", 0, CLI_UNFLAG, NULL, "leave out the MLP terms", offsetof(settings, mlp)},
    {"no-cls", 0, CLI_UNFLAG, NULL, "leave out the class token's attention to itself", offsetof(settings, cls)},
    {"shard-images", 0, CLI_COUNT, "N", "images a shard (default: about 64 MB)", offsetof(settings, shard_images)},
    {"part", 0, CLI_TEXT, "K/N", "part K of N of the images alone: N such commands, on any machines, then clipspan merge",
     offsetof(settings, part)},
    {"json", 0, CLI_FLAG, NULL, "print a summary as JSON", offsetof(settings, json)},
    CLI_IMAGE_OPTIONS(settings, images),
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_ENGINES_OPTION(settings, engine),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

static const settings defaults = {.mlp = 1, .cls = 1};

const cli_command cli_decompose = {
    .name = "decompose",
    .arguments = {"MODEL", "IMAGES"},
    .summary = "Write every head's contribution to every image's representation",
    .text = "One pass over the images. Finished shards are never lost: after a kill, a full disk or Ctrl-C the same\n"
            "command goes on. Images that cannot be read are reported, skipped and counted; --strict stops at the first.\n"
            "Under mpirun ranks share the images (docs/scaling.md); the store is that of one process, to the bit.",
    .example = "clipspan decompose models/demo/clipspan-demo photos/ -o photos.store --store-dtype f16",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
