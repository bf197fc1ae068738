/* clipspan embed: images or texts to the joint space. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *images_path, *texts_path, *output;
    int normalize;
    cli_image_settings images;
    cli_engine_settings engine;
    cli_model_settings model;
} settings;

typedef struct image_sink {
    clipspan_npy *npy;
    size_t embed_dim, skipped, written;
    float *nan_row; /* [E] */
} image_sink;

/* A bad image's row is NaN, so that row i stays image i of the list. */
static clipspan_status write_rows(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                                  clipspan_error *err)
{
    image_sink *sink = user;
    (void)first;
    for (size_t i = 0; i < n; i++) {
        const float *row = ok[i] ? embeddings + i * sink->embed_dim : sink->nan_row;
        clipspan_status status = clipspan_npy_append(sink->npy, row, 1, err);
        if (status != CLIPSPAN_OK) return status;
        sink->skipped += !ok[i];
        sink->written++;
    }
    return CLIPSPAN_OK;
}

static clipspan_status embed_images(const settings *s, clipspan_engine *engine, clipspan_npy *npy,
                                    const clipspan_images *images, clipspan_error *err)
{
    image_sink sink = {.npy = npy, .embed_dim = (size_t)clipspan_model_get_info(clipspan_engine_model(engine))->embed_dim};
    sink.nan_row = malloc(sink.embed_dim * sizeof *sink.nan_row);
    if (sink.nan_row == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t e = 0; e < sink.embed_dim; e++) sink.nan_row[e] = NAN;
    cli_hint_bf16(engine, images);
    clipspan_status status =
        clipspan_engine_embed_list(engine, images, s->normalize, s->images.strict, write_rows, &sink, cli_hooks(), err);
    cli_progress_end();
    free(sink.nan_row);
    if (status != CLIPSPAN_OK) return status;
    cli_note_engines(engine);
    if (sink.skipped == sink.written)
        return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the %zu images could be read", sink.written);
    if (sink.skipped) cli_note("%zu of %zu images could not be read: their rows are NaN", sink.skipped, sink.written);
    return CLIPSPAN_OK;
}

/* Texts in blocks, so that memory stays bounded whatever the list's length. */
static clipspan_status embed_texts(const settings *s, clipspan_engine *engine, clipspan_npy *npy,
                                   const clipspan_texts *texts, clipspan_error *err)
{
    enum { BLOCK = 1024 };
    size_t count = clipspan_texts_count(texts);
    size_t embed_dim = (size_t)clipspan_model_get_info(clipspan_engine_model(engine))->embed_dim;
    const char *block[BLOCK];
    float *out = malloc(BLOCK * embed_dim * sizeof *out);
    if (out == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = CLIPSPAN_OK;
    for (size_t first = 0; status == CLIPSPAN_OK && first < count; first += BLOCK) {
        size_t n = count - first < BLOCK ? count - first : BLOCK;
        for (size_t i = 0; i < n; i++) block[i] = clipspan_texts_get(texts, first + i);
        status = clipspan_engine_embed_texts(engine, block, n, s->normalize, out, err);
        if (status == CLIPSPAN_OK) status = clipspan_npy_append(npy, out, n, err);
        clipspan_progress progress = {"texts", first + n, count, 0};
        if (status == CLIPSPAN_OK && cli_hooks()->progress(NULL, &progress))
            status = cli_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "interrupted; nothing was written");
    }
    free(out);
    return status;
}

static clipspan_status write_file(const settings *s, clipspan_engine *engine, const clipspan_images *images,
                                  const clipspan_texts *texts, clipspan_error *err)
{
    size_t shape[2] = {images ? clipspan_images_count(images) : clipspan_texts_count(texts),
                       (size_t)clipspan_model_get_info(clipspan_engine_model(engine))->embed_dim};
    clipspan_npy *npy = NULL;
    clipspan_status status = clipspan_npy_create(&npy, s->output, shape, 2, err);
    if (status != CLIPSPAN_OK) return status;
    status = images ? embed_images(s, engine, npy, images, err) : embed_texts(s, engine, npy, texts, err);
    if (status == CLIPSPAN_OK) return clipspan_npy_commit(npy, err);
    clipspan_npy_discard(npy);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_images *images = NULL;
    clipspan_texts *texts = NULL;
    if ((s->images_path == NULL) == (s->texts_path == NULL))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "one of --images IMAGES and --texts FILE is needed");
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o FILE.npy is missing");
    clipspan_status status = cli_open_model(&model, s->arguments[0], &s->model, err);
    if (status == CLIPSPAN_OK && s->images_path) status = cli_open_images(&images, s->images_path, &s->images, err);
    if (status == CLIPSPAN_OK && s->texts_path) status = clipspan_texts_open(&texts, s->texts_path, 0, err);
    if (status == CLIPSPAN_OK)
        status = images ? cli_open_engine_for(&engine, model, images, &s->engine, err)
                        : cli_open_engine(&engine, model, &s->engine, err);
    if (status == CLIPSPAN_OK) status = write_file(s, engine, images, texts, err);
    clipspan_engine_free(engine);
    clipspan_texts_free(texts);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status;
}

static const cli_option options[] = {
    {"images", 'i', CLI_TEXT, "IMAGES", "folder, ImageFolder tree, text list, CSV or tar", offsetof(settings, images_path)},
    {"texts", 't', CLI_TEXT, "FILE", "one text a line, UTF-8", offsetof(settings, texts_path)},
    {"output", 'o', CLI_TO_FILE, "FILE.npy", "float32 [n, E]", offsetof(settings, output)},
    {"no-normalize", 0, CLI_UNFLAG, NULL, "leave the embeddings' lengths as they are", offsetof(settings, normalize)},
    CLI_IMAGE_OPTIONS(settings, images),
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_ENGINES_OPTION(settings, engine),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

static const settings defaults = {.normalize = 1};

const cli_command cli_embed = {
    .name = "embed",
    .arguments = {"MODEL"},
    .summary = "Embed images or texts in the joint space",
    .text = "Writes one row an image or text, of unit length unless --no-normalize. The row of an image that cannot be\n"
            "read is NaN, so that row i is always item i.",
    .example = "clipspan embed path/to/ViT-B-16 --images photos/ -o photos.npy",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
