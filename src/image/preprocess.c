/* From encoded bytes to what enters the network: the steps of open_clip's image_transform and of Hugging Face's
 * Pillow-backed CLIPImageProcessor, each in its own order and its own rounding.
 *
 *     open_clip      resize in the picture's own mode, centre crop, to RGB;  v/255 in float32
 *     Hugging Face   to RGB over white, resize, centre crop;  v * rescale in double, then to float32
 *     both           (v - mean) / std in float32
 */
#include "image/picture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SIDE = 16384 };

/* One side of the picture: its length once resized, and where the network's input begins in it; a negative place
 * is padding. */
typedef struct side {
    int64_t length, begin;
} side;

/* n / 2 as Python's round(n / 2.0): halves to even. */
static int64_t half_even(int64_t n)
{
    int64_t half = n / 2;
    return n % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

static void place_crop(side *s, clsp_preprocess_manner manner, int crop)
{
    int64_t spare = s->length - crop;
    if (manner == CLSP_PREPROCESS_OPEN_CLIP)
        s->begin = spare >= 0 ? half_even(spare) : -(-spare / 2);
    else
        s->begin = spare >= 0 ? spare / 2 : -((1 - spare) / 2);
}

/* Both sides so that the shorter one becomes `target`; the longer is truncated. */
static void fit_shortest(side *across, side *down, int target)
{
    side *shorter = across->length <= down->length ? across : down, *longer = shorter == across ? down : across;
    int64_t length = (int64_t)((double)(target * longer->length) / (double)shorter->length);
    shorter->length = target;
    longer->length = length;
}

/* The longer becomes `target`; sides are rounded, halves to even. */
static void fit_longest(side *across, side *down, int target)
{
    double width = (double)across->length, height = (double)down->length;
    double ratio = fmax(height / target, width / target);
    across->length = (int64_t)rint(width / ratio);
    down->length = (int64_t)rint(height / ratio);
}

static clipspan_status plan(side *across, side *down, const clsp_preprocess *how, const clsp_picture *picture,
                            const char *name, clipspan_error *err)
{
    bool hugging = how->manner == CLSP_PREPROCESS_HUGGINGFACE;
    int target = how->resize > 0 && (hugging || how->mode == CLSP_RESIZE_SHORTEST) ? how->resize : how->size;
    *across = (side){picture->width, 0};
    *down = (side){picture->height, 0};
    if (how->do_resize && how->mode == CLSP_RESIZE_SHORTEST) fit_shortest(across, down, target);
    if (how->do_resize && how->mode == CLSP_RESIZE_LONGEST) fit_longest(across, down, how->size);
    if (how->do_resize && how->mode == CLSP_RESIZE_SQUASH) across->length = down->length = target;
    if (across->length < 1 || down->length < 1 || across->length > INT32_MAX || down->length > INT32_MAX)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %d x %d pixels are too elongated to be resized to %d", name,
                         picture->width, picture->height, target);
    if (how->do_crop || how->mode == CLSP_RESIZE_LONGEST) {
        place_crop(across, how->manner, how->size);
        place_crop(down, how->manner, how->size);
    } else if (across->length != how->size || down->length != how->size)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                         "%s: %lld x %lld pixels after preprocessing without a crop, expected %d x %d", name,
                         (long long)across->length, (long long)down->length, how->size, how->size);
    return CLIPSPAN_OK;
}

static void fill(clsp_picture *picture, int value)
{
    size_t size = clsp_picture_row(picture) * (size_t)picture->height;
    if (picture->sample == 1) {
        memset(picture->data, value, size);
        return;
    }
    uint16_t wide = (uint16_t)value;
    for (size_t i = 0; i < size; i += 2) memcpy(picture->data + i, &wide, 2);
}

/* Lays `inside` on a square of `size` pixels of value `padding`, in its own mode. */
static clipspan_status pad(clsp_picture *inside, int size, int left, int top, int padding, clipspan_error *err)
{
    clsp_picture square = *inside;
    clipspan_status status = clsp_picture_allocate(&square, inside->mode, size, size, err);
    if (status != CLIPSPAN_OK) return status;
    fill(&square, padding);
    size_t from = clsp_picture_row(inside), to = clsp_picture_row(&square);
    size_t pixel = (size_t)(inside->channels * inside->sample);
    for (int y = 0; y < inside->height; y++)
        memcpy(square.data + (size_t)(top + y) * to + (size_t)left * pixel, inside->data + (size_t)y * from, from);
    clsp_picture_replace(inside, &square);
    return CLIPSPAN_OK;
}

static int64_t visible(const side *s, int size)
{
    int64_t begin = s->begin > 0 ? s->begin : 0, end = s->begin + size;
    return (end < s->length ? end : s->length) - begin;
}

/* What is laid around a picture that does not fill the square. */
static int padding_of(const clsp_preprocess *how)
{
    return how->mode == CLSP_RESIZE_LONGEST && how->manner == CLSP_PREPROCESS_OPEN_CLIP ? how->fill : 0;
}

static clipspan_status resize_and_crop(clsp_picture *picture, const clsp_preprocess *how, int padding, const char *name,
                                       clipspan_error *err)
{
    side across, down;
    clsp_picture resized = {0};
    clipspan_status status = plan(&across, &down, how, picture, name, err);
    if (status != CLIPSPAN_OK) return status;
    bool same = across.length == picture->width && down.length == picture->height;
    clsp_window window = {.width = across.length, .height = down.length};
    window.left = across.begin > 0 ? across.begin : 0;
    window.top = down.begin > 0 ? down.begin : 0;
    window.across = (int)visible(&across, how->size);
    window.down = (int)visible(&down, how->size);
    bool weighted = !same && how->interpolation != CLSP_NEAREST; /* then alpha weighs the colours */
    if (weighted) clsp_premultiply(picture);
    status = clsp_resize(&resized, picture, &window, how->interpolation, err);
    if (status == CLIPSPAN_ERROR_UNSUPPORTED)
        return clsp_fail(err, status, "%s: %d x %d pixels are too elongated to be resized to %lld x %lld", name,
                         picture->width, picture->height, (long long)across.length, (long long)down.length);
    if (status != CLIPSPAN_OK) return status;
    if (weighted) clsp_unpremultiply(&resized);
    clsp_picture_replace(picture, &resized);
    if (window.across == how->size && window.down == how->size) return CLIPSPAN_OK;
    return pad(picture, how->size, across.begin < 0 ? (int)-across.begin : 0, down.begin < 0 ? (int)-down.begin : 0,
               padding, err);
}

/* What each sample value becomes: 256 divisions instead of one a sample. */
static float sample_value(const clsp_preprocess *how, int channel, int value)
{
    float x = (float)value;
    if (how->manner == CLSP_PREPROCESS_OPEN_CLIP)
        x = x / 255.0f;
    else if (how->do_rescale)
        x = (float)((double)value * how->rescale);
    if (how->manner == CLSP_PREPROCESS_HUGGINGFACE && !how->do_normalize) return x;
    x -= (float)how->mean[channel];
    return x / (float)how->std[channel];
}

/* pixels [3, S, S] from rgb [S, S, 3] */
static void to_floats(float *pixels, const clsp_picture *rgb, const clsp_preprocess *how)
{
    size_t plane = (size_t)how->size * (size_t)how->size;
    for (int c = 0; c < 3; c++) {
        float table[256];
        for (int v = 0; v < 256; v++) table[v] = sample_value(how, c, v);
        for (size_t i = 0; i < plane; i++) pixels[(size_t)c * plane + i] = table[rgb->data[3 * i + (size_t)c]];
    }
}

static clipspan_status check(const clsp_preprocess *how, clipspan_error *err)
{
    if (how->size < 1 || how->size > MAX_SIDE || how->resize < 0 || how->resize > MAX_SIDE)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "preprocessing to %d pixels (resized to %d), expected 1 to %d",
                         how->size, how->resize, (int)MAX_SIDE);
    if (how->fill < 0 || how->fill > 255)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "preprocessing: padding with %d, expected 0 to 255", how->fill);
    bool hugging = how->manner == CLSP_PREPROCESS_HUGGINGFACE;
    if (hugging && how->do_resize && how->mode == CLSP_RESIZE_LONGEST)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "preprocessing: Hugging Face's CLIP processor cannot resize the longest edge and pad");
    for (int c = 0; c < 3; c++)
        if ((!hugging || how->do_normalize) && !(fabs(how->std[c]) > 0))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "preprocessing: a standard deviation of %g", how->std[c]);
    return CLIPSPAN_OK;
}

clipspan_status clsp_preprocess_rgb(const clsp_preprocess *how, clsp_picture *picture, const char *name,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(check(how, err));
    if (how->manner == CLSP_PREPROCESS_HUGGINGFACE) CLSP_TRY(clsp_convert_rgb_over_white(picture, err));
    CLSP_TRY(resize_and_crop(picture, how, padding_of(how), name, err));
    CLSP_TRY(clsp_convert_rgb(picture, err)); /* open_clip's place for it; nothing is left to do for the other */
out:
    return status;
}

clipspan_status clsp_preprocess_picture(const clsp_preprocess *how, clsp_picture *picture, const char *name,
                                        float *pixels, clipspan_error *err)
{
    clipspan_status status = clsp_preprocess_rgb(how, picture, name, err);
    if (status == CLIPSPAN_OK) to_floats(pixels, picture, how);
    return status;
}

clipspan_status clsp_preprocess_mask(const clsp_preprocess *how, clsp_picture *mask, int outside, const char *name,
                                     clipspan_error *err)
{
    clsp_preprocess nearest = *how;
    nearest.interpolation = CLSP_NEAREST;
    clipspan_status status = check(how, err);
    return status == CLIPSPAN_OK ? resize_and_crop(mask, &nearest, outside, name, err) : status;
}

clipspan_status clsp_preprocess_bytes(const clsp_preprocess *how, const clsp_decoded_options *options,
                                      const unsigned char *bytes, size_t length, const char *name, float *pixels,
                                      clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_picture picture = {0};
    CLSP_TRY(clsp_decode_as(&picture, options, bytes, length, name, err));
    CLSP_TRY(clsp_preprocess_picture(how, &picture, name, pixels, err));
out:
    clsp_picture_free(&picture);
    return status;
}

/* ---- in words ----------------------------------------------------------------------------------------- */

static const char *filter_name(clsp_interpolation interpolation)
{
    static const char *const NAMES[] = {"bilinear", "bicubic", "nearest"};
    return NAMES[interpolation];
}

static char *resize_words(const clsp_preprocess *how)
{
    const char *filter = filter_name(how->interpolation);
    int target = how->resize > 0 ? how->resize : how->size;
    if (!how->do_resize) return clsp_strdup("not resized");
    if (how->mode == CLSP_RESIZE_SQUASH)
        return clsp_format("both sides to %d (%s)",
                           how->manner == CLSP_PREPROCESS_HUGGINGFACE ? target : how->size, filter);
    if (how->mode == CLSP_RESIZE_LONGEST)
        return clsp_format("long side to %d (%s), padded with %d", how->size, filter, how->fill);
    return clsp_format("short side to %d (%s)", target, filter);
}

char *clsp_preprocess_words(const clsp_preprocess *how)
{
    bool hugging = how->manner == CLSP_PREPROCESS_HUGGINGFACE;
    bool crops = how->do_crop && how->mode == CLSP_RESIZE_SHORTEST;
    char *resize = resize_words(how), *words = NULL;
    char crop[64] = "", normalize[160] = ", not normalised";
    if (crops) snprintf(crop, sizeof crop, ", centre crop of %d", how->size);
    if (!hugging || how->do_normalize)
        snprintf(normalize, sizeof normalize, ", mean %g %g %g, std %g %g %g", how->mean[0], how->mean[1], how->mean[2],
                 how->std[0], how->std[1], how->std[2]);
    if (resize != NULL)
        words = clsp_format("%s: %s%s%s%s", hugging ? "as Hugging Face, RGB first" : "as open_clip, RGB after resizing",
                            resize, crop, hugging && !how->do_rescale ? ", not rescaled" : "", normalize);
    clsp_free(resize);
    return words;
}
