/* clipspan preprocess: images to the network's input. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *output;
    cli_image_settings images;
    cli_model_settings model;
} settings;

static int report_progress(size_t done, size_t total, size_t skipped)
{
    clipspan_progress progress = {"preprocess", done, total, skipped};
    return cli_hooks()->progress(NULL, &progress);
}

/* An image that cannot be read becomes a row of NaN, so that row i stays image i of the list. */
static clipspan_status write_images(const clipspan_model *model, const clipspan_images *images, clipspan_npy *npy,
                                    float *pixels, size_t row, int strict, clipspan_error *err)
{
    size_t total = clipspan_images_count(images), skipped = 0;
    for (size_t i = 0; i < total; i++) {
        clipspan_error reason = {CLIPSPAN_OK, ""};
        clipspan_status status = clipspan_images_preprocess(images, i, model, pixels, &reason);
        if (status != CLIPSPAN_OK && (strict || status == CLIPSPAN_ERROR_MEMORY)) {
            *err = reason;
            return status;
        }
        if (status != CLIPSPAN_OK) {
            cli_warn("%s", reason.message);
            skipped++;
            for (size_t p = 0; p < row; p++) pixels[p] = NAN;
        }
        status = clipspan_npy_append(npy, pixels, 1, err);
        if (status != CLIPSPAN_OK) return status;
        if (report_progress(i + 1, total, skipped))
            return cli_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "interrupted; nothing was written");
    }
    cli_progress_end();
    if (skipped == total) return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the %zu images could be read", total);
    if (skipped) cli_note("%zu of %zu images could not be read: their rows are NaN", skipped, total);
    return CLIPSPAN_OK;
}

static clipspan_status write_file(const settings *s, const clipspan_model *model, const clipspan_images *images,
                                  clipspan_error *err)
{
    size_t size = (size_t)clipspan_model_get_info(model)->image_size, row = 3 * size * size;
    size_t shape[4] = {clipspan_images_count(images), 3, size, size};
    clipspan_npy *npy = NULL;
    float *pixels = malloc(row * sizeof *pixels);
    if (pixels == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_npy_create(&npy, s->output, shape, 4, err);
    if (status == CLIPSPAN_OK) {
        status = write_images(model, images, npy, pixels, row, s->images.strict, err);
        if (status == CLIPSPAN_OK)
            status = clipspan_npy_commit(npy, err);
        else
            clipspan_npy_discard(npy);
    }
    free(pixels);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_model *model = NULL;
    clipspan_images *images = NULL;
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o FILE.npy is missing");
    clipspan_status status = cli_open_model(&model, s->arguments[0], &s->model, err);
    if (status == CLIPSPAN_OK) status = cli_open_images(&images, s->arguments[1], &s->images, err);
    if (status == CLIPSPAN_OK) status = write_file(s, model, images, err);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TO_FILE, "FILE.npy", "float32 [images, 3, size, size]", offsetof(settings, output)},
    CLI_IMAGE_OPTIONS(settings, images),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

const cli_command cli_preprocess = {
    .name = "preprocess",
    .arguments = {"MODEL", "IMAGES"},
    .summary = "Write what enters the network",
    .text = "Decodes, resizes, crops and normalises as the model's own files say, bit for bit as open_clip or Hugging\n"
            "Face with Pillow do. IMAGES is a folder, an ImageFolder tree, a text list, a CSV or a tar. The row of an\n"
            "image that cannot be read is NaN.",
    .example = "clipspan preprocess path/to/ViT-B-16 photos/ -o pixels.npy",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
