/* clipspan decompose: images to a store of factored contributions. */
#include "cli.h"

#include "clipspan/neurons.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *output, *dtype_of_store, *token_layers;
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

static void print_json(const clipspan_engine *engine, const clipspan_store_summary *summary)
{
    clipspan_engine_memory memory;
    clipspan_engine_get_memory(engine, &memory);
    printf("{\"images\": %llu, \"skipped\": %llu, \"resumed\": %llu, \"bytes\": %llu, \"engines\": %d, "
           "\"memory\": {\"weights\": %llu, \"mapped\": %llu, \"each_engine\": %llu, \"all_engines\": %llu}}\n",
           (unsigned long long)summary->images, (unsigned long long)summary->skipped,
           (unsigned long long)summary->resumed, (unsigned long long)summary->bytes, clipspan_engine_engines(engine),
           (unsigned long long)memory.weights, (unsigned long long)memory.mapped,
           (unsigned long long)memory.each_engine, (unsigned long long)memory.all_engines);
}

static void print_summary(const settings *s, const clipspan_engine *engine, const clipspan_store_summary *summary)
{
    if (s->json)
        print_json(engine, summary);
    else
        cli_note("%s: %llu images%s, %.1f MB", s->output, (unsigned long long)summary->images,
                 s->moments ? " in moments" : "", (double)summary->bytes / 1e6);
    cli_note_engines(engine);
    if (summary->resumed) cli_note("%llu of them were there already", (unsigned long long)summary->resumed);
    if (summary->skipped) cli_note("%llu images could not be read and were skipped", (unsigned long long)summary->skipped);
}

static clipspan_status decompose(const settings *s, clipspan_engine *engine, const clipspan_images *images,
                                 clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(clipspan_engine_model(engine));
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    clipspan_store_summary summary;
    int *layers = calloc((size_t)info->layers, sizeof *layers);
    if (layers == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    options.decompose.parts = (s->mlp ? CLIPSPAN_PART_MLP : 0u) | (s->cls ? CLIPSPAN_PART_CLS : 0u) |
                              (s->tokens || s->token_layers ? CLIPSPAN_PART_TOKENS : 0u);
    options.decompose.strict = s->images.strict;
    options.half = s->dtype_of_store != NULL && strcmp(s->dtype_of_store, "f16") == 0;
    options.moments_only = s->moments;
    options.shard_images = s->shard_images;
    options.neurons = s->neurons ? CLIPSPAN_NEURONS_TOP : 0;
    clipspan_status status = CLIPSPAN_OK;
    if (s->token_layers != NULL) {
        status = parse_layers(s->token_layers, info, layers, &options.decompose.token_layer_count, err);
        options.decompose.token_layers = layers;
    }
    if (status == CLIPSPAN_OK)
        status = clipspan_store_decompose(engine, images, s->output, &options, &summary, cli_hooks(), err);
    cli_progress_end();
    free(layers);
    if (status == CLIPSPAN_OK) print_summary(s, engine, &summary);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_images *images = NULL;
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o STORE is missing");
    if (s->moments && (s->tokens || s->token_layers))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--moments keeps no single images, so no --tokens either");
    clipspan_status status = cli_open_model(&model, s->arguments[0], &s->model, err);
    if (status == CLIPSPAN_OK) status = cli_open_images(&images, s->arguments[1], &s->images, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine_for(&engine, model, images, &s->engine, err);
    if (status == CLIPSPAN_OK) {
        cli_hint_bf16(engine, images);
        status = decompose(s, engine, images, err);
    }
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TEXT, "STORE", "folder of the store; an unfinished one is gone on with", offsetof(settings, output)},
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
    {"shard-images", 0, CLI_COUNT, "N", "images a shard (default: about 256 MB)", offsetof(settings, shard_images)},
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
            "command goes on. Images that cannot be read are reported, skipped and counted; --strict stops at the first.",
    .example = "clipspan decompose models/demo/clipspan-demo photos/ -o photos.store --store-dtype f16",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
