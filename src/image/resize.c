/* Resizing with Pillow's arithmetic, to the last bit.
 *
 * Filtered: two passes, along rows and along columns (columns_first says which goes first), each rounded to the
 * sample's own type. For output position o of a side resized from `in` to `out`, with scale = in/out and
 * s = max(scale, 1):
 *     centre = (o + 0.5) scale;  weight of input i = f((i - centre + 0.5) / s), normalised to sum 1
 * over the inputs within support s of the centre. 8-bit samples use weights rounded to 22 fractional bits and sum in
 * 32-bit integers; 16-bit samples sum in double precision. f: the triangle, or the cubic with a = -1/2.
 *
 * Integer sums do not depend on their order, so the horizontal pass is free to be fast: a row is split into planes of
 * 16-bit samples, and a weight into its upper and lower 11 bits, so that compilers find the multiply-add of 16-bit
 * pairs that every vector unit has.
 *
 * Only the pixels of the window are made: the crop that follows costs nothing, and extreme shapes stay small. */
#include "image/picture.h"

#include <math.h>
#include <string.h>

/* BLOCK: as many taps as 255 times the largest lower half can be summed over in 32 bits. */
enum { FRACTION = 22, HALF_BITS = 11, LANES = 8, BLOCK = 4096 };
static const size_t MAX_TAPS_BYTES = (size_t)256 << 20;

/* The weights of the wanted outputs of one side. Rows of `stride` weights; past `count` they are 0. */
typedef struct taps {
    int outputs, stride;
    int *first, *count;  /* [outputs] */
    double *exact;       /* [outputs, stride]; 16-bit samples */
    int32_t *whole;      /* [outputs, stride]; 8-bit samples: exact * 2^22, rounded */
    int16_t *high, *low; /* [outputs, stride]; whole = high * 2^11 + low */
    int begin, end;      /* the inputs that any output touches */
} taps;

static void taps_free(taps *t)
{
    clsp_free(t->first);
    clsp_free(t->count);
    clsp_free(t->exact);
    clsp_free(t->whole);
    clsp_free(t->high);
    clsp_free(t->low);
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static void weigh(taps *t, int output, int64_t position, double scale, int in, clsp_interpolation how)
{
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = (how == CLSP_BICUBIC ? 2.0 : 1.0) * stretch, squeeze = 1.0 / stretch;
    double centre = ((double)position + 0.5) * scale, sum = 0.0;
    int first = (int)fmax(centre - support + 0.5, 0.0), end = (int)fmin(centre + support + 0.5, in);
    double *k = t->exact + (size_t)output * (size_t)t->stride;
    for (int i = 0; i < end - first; i++) {
        double x = (i + first - centre + 0.5) * squeeze;
        k[i] = how == CLSP_BICUBIC ? cubic(x) : triangle(x);
        sum += k[i];
    }
    for (int i = 0; i < end - first; i++)
        if (sum != 0.0) k[i] /= sum;
    t->first[output] = first;
    t->count[output] = end - first;
    if (output == 0 || first < t->begin) t->begin = first;
    if (end > t->end) t->end = end;
}

static void round_weights(taps *t)
{
    size_t all = (size_t)t->outputs * (size_t)t->stride;
    for (size_t i = 0; i < all; i++) {
        double scaled = t->exact[i] * (1 << FRACTION);
        t->whole[i] = (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
        t->low[i] = (int16_t)(t->whole[i] & ((1 << HALF_BITS) - 1));
        t->high[i] = (int16_t)((t->whole[i] - t->low[i]) / (1 << HALF_BITS));
    }
}

/* Weights for outputs begin .. begin + outputs of a side that goes from `in` to `out`. */
static clipspan_status taps_make(taps *t, int in, int64_t out, int64_t begin, int outputs, clsp_interpolation how,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double scale = (double)in / (double)out, stretch = scale < 1.0 ? 1.0 : scale;
    double reach = ceil((how == CLSP_BICUBIC ? 2.0 : 1.0) * stretch) * 2 + 1;
    *t = (taps){.outputs = outputs, .stride = ((int)reach + LANES - 1) / LANES * LANES};
    size_t rows = (size_t)outputs, all;
    size_t bytes = sizeof *t->exact + sizeof *t->whole + sizeof *t->high + sizeof *t->low;
    if (!clsp_mul(&all, rows, (size_t)t->stride) || all > MAX_TAPS_BYTES / bytes)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "resizing %d pixels to %lld takes more than %zu MB of weights",
                         in, (long long)out, MAX_TAPS_BYTES >> 20);
    CLSP_ALLOC(t->first, clsp_alloc(rows, sizeof *t->first));
    CLSP_ALLOC(t->count, clsp_alloc(rows, sizeof *t->count));
    CLSP_ALLOC(t->exact, clsp_alloc_zero(all, sizeof *t->exact));
    CLSP_ALLOC(t->whole, clsp_alloc(all, sizeof *t->whole));
    CLSP_ALLOC(t->high, clsp_alloc(all, sizeof *t->high));
    CLSP_ALLOC(t->low, clsp_alloc(all, sizeof *t->low));
    for (int o = 0; o < outputs; o++) weigh(t, o, begin + o, scale, in, how);
    round_weights(t);
out:
    if (status != CLIPSPAN_OK) {
        taps_free(t);
        *t = (taps){0};
    }
    return status;
}

/* Sums are kept modulo 2^32. Only where millions of weights are each rounded up can they pass 2^31, and there Pillow's
 * wrap around too. */
static inline unsigned char clip8(uint32_t sum)
{
    int32_t value = (int32_t)sum >> FRACTION;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* ---- along rows --------------------------------------------------------------------------------------- */

/* planes[c * plane + i] = sample c of pixel begin + i. */
static void split(int16_t *restrict planes, size_t plane, const unsigned char *restrict row, int channels, int count)
{
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < count; i++) planes[(size_t)c * plane + (size_t)i] = row[i * channels + c];
}

static inline uint32_t weighted(const int16_t *restrict samples, const int16_t *restrict high,
                                const int16_t *restrict low, int count)
{
    uint32_t sum = 0;
    for (int begin = 0; begin < count; begin += BLOCK) {
        int end = count - begin < BLOCK ? count : begin + BLOCK;
        int32_t upper = 0, lower = 0; /* signed, for the multiply-add */
        for (int i = begin; i < end; i++) {
            upper += (int32_t)samples[i] * high[i];
            lower += (int32_t)samples[i] * low[i];
        }
        sum += ((uint32_t)upper << HALF_BITS) + (uint32_t)lower;
    }
    return sum;
}

static clipspan_status along_rows8(clsp_picture *out, const clsp_picture *in, const taps *t, int top,
                                  clipspan_error *err)
{
    int channels = in->channels, span = t->end - t->begin;
    size_t plane = (size_t)span + (size_t)t->stride; /* the last outputs read zero weights past the end */
    int16_t *planes = clsp_alloc_zero((size_t)channels * plane, sizeof *planes);
    if (planes == NULL) return clsp_fail_memory(err);
    for (int y = 0; y < out->height; y++) {
        const unsigned char *from = in->data + (size_t)(top + y) * clsp_picture_row(in);
        unsigned char *to = out->data + (size_t)y * clsp_picture_row(out);
        split(planes, plane, from + (size_t)t->begin * (size_t)channels, channels, span);
        for (int x = 0; x < t->outputs; x++) {
            size_t k = (size_t)x * (size_t)t->stride;
            int padded = (t->count[x] + LANES - 1) / LANES * LANES;
            for (int c = 0; c < channels; c++) {
                const int16_t *samples = planes + (size_t)c * plane + (t->first[x] - t->begin);
                *to++ = clip8(weighted(samples, t->high + k, t->low + k, padded) + (1U << (FRACTION - 1)));
            }
        }
    }
    clsp_free(planes);
    return CLIPSPAN_OK;
}

static inline uint16_t clip16(double sum)
{
    double value = floor(sum + 0.5);
    return (uint16_t)(value < 0 ? 0 : value > 65535 ? 65535 : value);
}

static void along_rows16(clsp_picture *out, const clsp_picture *in, const taps *t, int top)
{
    uint16_t *to = (uint16_t *)(void *)out->data;
    for (int y = 0; y < out->height; y++) {
        const uint16_t *from = (const uint16_t *)(const void *)in->data + (size_t)(top + y) * (size_t)in->width;
        for (int x = 0; x < t->outputs; x++) {
            const double *k = t->exact + (size_t)x * (size_t)t->stride;
            double sum = 0.0;
            for (int i = 0; i < t->count[x]; i++) sum += from[t->first[x] + i] * k[i];
            *to++ = clip16(sum);
        }
    }
}

/* ---- along columns ------------------------------------------------------------------------------------ */

static clipspan_status along_columns8(clsp_picture *out, const clsp_picture *in, const taps *t, int top,
                                      clipspan_error *err)
{
    size_t row = clsp_picture_row(in);
    uint32_t *sums = clsp_alloc(row, sizeof *sums);
    if (sums == NULL) return clsp_fail_memory(err);
    for (int y = 0; y < t->outputs; y++) {
        for (size_t x = 0; x < row; x++) sums[x] = 1U << (FRACTION - 1);
        for (int i = 0; i < t->count[y]; i++) {
            const unsigned char *restrict from = in->data + (size_t)(t->first[y] + i - top) * row;
            uint32_t k = (uint32_t)t->whole[(size_t)y * (size_t)t->stride + (size_t)i];
            for (size_t x = 0; x < row; x++) sums[x] += from[x] * k;
        }
        unsigned char *to = out->data + (size_t)y * row;
        for (size_t x = 0; x < row; x++) to[x] = clip8(sums[x]);
    }
    clsp_free(sums);
    return CLIPSPAN_OK;
}

static void along_columns16(clsp_picture *out, const clsp_picture *in, const taps *t, int top)
{
    uint16_t *to = (uint16_t *)(void *)out->data;
    const uint16_t *from = (const uint16_t *)(const void *)in->data;
    size_t width = (size_t)in->width;
    for (int y = 0; y < t->outputs; y++) {
        const double *k = t->exact + (size_t)y * (size_t)t->stride;
        for (size_t x = 0; x < width; x++) {
            double sum = 0.0;
            for (int i = 0; i < t->count[y]; i++) sum += from[(size_t)(t->first[y] + i - top) * width + x] * k[i];
            *to++ = clip16(sum);
        }
    }
}

/* ---- both --------------------------------------------------------------------------------------------- */

static clipspan_status crop(clsp_picture *out, const clsp_picture *in, int left, int top, int across, int down,
                            clipspan_error *err)
{
    clipspan_status status = clsp_picture_allocate(out, in->mode, across, down, err);
    if (status != CLIPSPAN_OK) return status;
    size_t to = clsp_picture_row(out), from = clsp_picture_row(in);
    size_t pixel = (size_t)(in->channels * in->sample);
    for (int y = 0; y < down; y++)
        memcpy(out->data + (size_t)y * to, in->data + (size_t)(top + y) * from + (size_t)left * pixel, to);
    return CLIPSPAN_OK;
}

/* Columns left .. left + across of rows top .. top + down, once the width is `width`. */
static clipspan_status rows_pass(clsp_picture *out, const clsp_picture *in, int64_t width, int64_t left, int across,
                                 int top, int down, clsp_interpolation how, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    taps t = {0};
    if (width == in->width) return crop(out, in, (int)left, top, across, down, err);
    CLSP_TRY(taps_make(&t, in->width, width, left, across, how, err));
    CLSP_TRY(clsp_picture_allocate(out, in->mode, across, down, err));
    if (in->sample == 2)
        along_rows16(out, in, &t, top);
    else
        CLSP_TRY(along_rows8(out, in, &t, top, err));
out:
    taps_free(&t);
    return status;
}

/* All columns of `in`, whose first row is row `top` of the picture that the taps were made for. */
static clipspan_status columns_pass(clsp_picture *out, const clsp_picture *in, const taps *t, int top,
                                    clipspan_error *err)
{
    clipspan_status status = clsp_picture_allocate(out, in->mode, in->width, t->outputs, err);
    if (status != CLIPSPAN_OK) return status;
    if (in->sample == 1) return along_columns8(out, in, t, top, err);
    along_columns16(out, in, t, top);
    return CLIPSPAN_OK;
}

/* Since version 13 Pillow takes the columns first where the height shrinks much more than the width. The passes
 * round, so their order shows. */
static bool columns_first(const clsp_picture *in, const clsp_window *w)
{
    return w->height < in->height && w->width != in->width && in->height - w->height > 2 * (in->width - w->width);
}

static clipspan_status filtered(clsp_picture *out, const clsp_picture *in, const clsp_window *w, clsp_interpolation how,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    taps t = {0};
    clsp_picture middle = {0};
    if (w->height == in->height)
        return rows_pass(out, in, w->width, w->left, w->across, (int)w->top, w->down, how, err);
    CLSP_TRY(taps_make(&t, in->height, w->height, w->top, w->down, how, err));
    if (columns_first(in, w)) {
        CLSP_TRY(columns_pass(&middle, in, &t, 0, err));
        CLSP_TRY(rows_pass(out, &middle, w->width, w->left, w->across, 0, w->down, how, err));
    } else {
        CLSP_TRY(rows_pass(&middle, in, w->width, w->left, w->across, t.begin, t.end - t.begin, how, err));
        CLSP_TRY(columns_pass(out, &middle, &t, t.begin, err));
    }
out:
    clsp_picture_free(&middle);
    taps_free(&t);
    return status;
}

/* ---- nearest neighbour -------------------------------------------------------------------------------- */

/* Input position of outputs begin .. begin + count, or -1 outside. Pillow adds up the step, rounding at each
 * addition, so the sum starts from the first output of the whole side. */
static void nearest_positions(int *positions, int in, int64_t out, int64_t begin, int count)
{
    double step = (double)in / (double)out, at = step * 0.5;
    for (int64_t o = 0; o < begin + count; o++, at += step) {
        if (o < begin) continue;
        positions[o - begin] = at < in ? (int)at : -1;
    }
}

static clipspan_status nearest(clsp_picture *out, const clsp_picture *in, const clsp_window *window,
                               clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    int *columns = NULL, *rows = NULL;
    CLSP_ALLOC(columns, clsp_alloc((size_t)window->across, sizeof *columns));
    CLSP_ALLOC(rows, clsp_alloc((size_t)window->down, sizeof *rows));
    CLSP_TRY(clsp_picture_allocate(out, in->mode, window->across, window->down, err));
    nearest_positions(columns, in->width, window->width, window->left, window->across);
    nearest_positions(rows, in->height, window->height, window->top, window->down);
    size_t pixel = (size_t)(in->channels * in->sample);
    unsigned char *to = out->data;
    for (int y = 0; y < window->down; y++)
        for (int x = 0; x < window->across; x++, to += pixel) {
            if (rows[y] < 0 || columns[x] < 0) {
                memset(to, 0, pixel);
                continue;
            }
            memcpy(to, in->data + (size_t)rows[y] * clsp_picture_row(in) + (size_t)columns[x] * pixel, pixel);
        }
out:
    clsp_free(columns);
    clsp_free(rows);
    return status;
}

clipspan_status clsp_resize(clsp_picture *out, const clsp_picture *in, const clsp_window *window,
                            clsp_interpolation interpolation, clipspan_error *err)
{
    clsp_picture made = *in; /* palette and transparency go with it */
    made.data = NULL;
    clipspan_status status;
    if (window->width == in->width && window->height == in->height)
        status = crop(&made, in, (int)window->left, (int)window->top, window->across, window->down, err);
    else if (interpolation == CLSP_NEAREST || in->mode == CLSP_MODE_P || in->mode == CLSP_MODE_1)
        status = nearest(&made, in, window, err);
    else
        status = filtered(&made, in, window, interpolation, err);
    if (status != CLIPSPAN_OK) clsp_picture_free(&made);
    *out = made;
    return status;
}
