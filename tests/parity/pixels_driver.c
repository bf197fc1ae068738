/* Drives clsp_images_pixels from pixels.py, without a model.
 *
 *     pixels_driver MANNER MODE FILTER SIZE RESIZE FILL EXIF SOURCE OUT
 *
 * MANNER: open_clip or huggingface; MODE: shortest, squash or longest; FILTER: bilinear, bicubic or nearest. OUT gets
 * raw float32 [images, 3, SIZE, SIZE], NaN for an image that cannot be read, whose message goes to standard error. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/preprocess.h"

static int choose(const char *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) return i;
    fprintf(stderr, "unknown word: %s\n", text);
    exit(2);
}

static clsp_preprocess settings(char **argv)
{
    static const char *const MANNERS[] = {"open_clip", "huggingface"};
    static const char *const MODES[] = {"shortest", "squash", "longest"};
    static const char *const FILTERS[] = {"bilinear", "bicubic", "nearest"};
    return (clsp_preprocess){
        .manner = (clsp_preprocess_manner)choose(argv[1], MANNERS, 2),
        .mode = (clsp_resize_mode)choose(argv[2], MODES, 3),
        .interpolation = (clsp_interpolation)choose(argv[3], FILTERS, 3),
        .size = atoi(argv[4]),
        .resize = atoi(argv[5]),
        .do_resize = true,
        .do_crop = true,
        .do_rescale = true,
        .do_normalize = true,
        .rescale = 1.0 / 255,
        .mean = {0.48145466, 0.4578275, 0.40821073},
        .std = {0.26862954, 0.26130258, 0.27577711},
        .fill = atoi(argv[6]),
    };
}

int main(int argc, char **argv)
{
    if (argc != 10) return 2;
    clipspan_error err;
    clipspan_images *images = NULL;
    clsp_preprocess how = settings(argv);
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.exif = atoi(argv[7]);
    if (clipspan_images_open(&images, argv[8], &options, &err) != CLIPSPAN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    size_t floats = 3 * (size_t)how.size * (size_t)how.size;
    float *pixels = malloc(floats * sizeof *pixels);
    FILE *out = fopen(argv[9], "wb");
    if (pixels == NULL || out == NULL) return 1;
    for (size_t i = 0; i < clipspan_images_count(images); i++) {
        if (clsp_images_pixels(images, i, &how, pixels, &err) != CLIPSPAN_OK) {
            fprintf(stderr, "%s\n", err.message);
            for (size_t f = 0; f < floats; f++) pixels[f] = NAN;
        }
        fwrite(pixels, sizeof *pixels, floats, out);
    }
    fclose(out);
    free(pixels);
    clipspan_images_free(images);
    return 0;
}
