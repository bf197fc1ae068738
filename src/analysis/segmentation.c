/* Masks of one method over a data set: made from maps, counted against the truth. */
#include "analysis/segmentation.h"

#include <math.h>
#include <string.h>

enum { MAX_SIZE = 16384, MAX_CLASSES = 255 };

clipspan_status clipspan_segmentation_open(clipspan_segmentation **out, const clipspan_segmentation_options *options,
                                           clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_segmentation *s = NULL;
    size_t pixels = options->size * options->size;
    *out = NULL;
    if (options->size < 1 || options->size > MAX_SIZE)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "segmentation: %zu pixels a side, expected 1 to %d", options->size,
                         (int)MAX_SIZE);
    if (options->classes < 2 || options->classes > MAX_CLASSES)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "segmentation: %zu classes, expected 2 to %d (a mask is a byte a "
                         "pixel, 255 is not scored)", options->classes, (int)MAX_CLASSES);
    CLSP_ALLOC(s, clsp_alloc_zero(1, sizeof *s));
    s->options = *options;
    CLSP_ALLOC(s->tally, clsp_alloc(3 * options->classes, sizeof *s->tally));
    CLSP_ALLOC(s->up, clsp_alloc(pixels, sizeof *s->up));
    CLSP_ALLOC(s->mask, clsp_alloc(pixels, 1));
    CLSP_ALLOC(s->pair_scores, clsp_alloc(2 * pixels, sizeof *s->pair_scores));
    CLSP_ALLOC(s->pair_truth, clsp_alloc(2 * pixels, 1));
    *out = s;
    s = NULL;
out:
    clipspan_segmentation_free(s);
    return status;
}

void clipspan_segmentation_free(clipspan_segmentation *result)
{
    if (result == NULL) return;
    clsp_taps_free(&result->taps);
    clsp_free(result->pair_truth);
    clsp_free(result->pair_scores);
    clsp_free(result->mask);
    clsp_free(result->up);
    clsp_free(result->tally);
    clsp_free(result->overlaps);
    clsp_free(result->images);
    clsp_free(result);
}

clipspan_status clsp_segmentation_taps(clipspan_segmentation *result, size_t side, clipspan_error *err)
{
    if (side == 0 || side > MAX_SIZE)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a map of %zu values a side, expected 1 to %d", side, (int)MAX_SIZE);
    if (result->taps_side == side) return CLIPSPAN_OK;
    clsp_taps_free(&result->taps);
    result->taps_side = 0;
    clipspan_status status = clsp_taps_make(&result->taps, result->options.size, side, err);
    if (status == CLIPSPAN_OK) result->taps_side = side;
    return status;
}

/* ---- counting ------------------------------------------------------------------------------------------------ */

/* Room for one more image and all its classes, so that nothing is half counted. */
static clipspan_status make_room(clipspan_segmentation *s, clipspan_error *err)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        clsp_segmented *images = clsp_grow(s->images, capacity, sizeof *images);
        if (images == NULL) return clsp_fail_memory(err);
        s->images = images;
        s->capacity = capacity;
    }
    if (s->overlap_count + s->options.classes > s->overlap_capacity) {
        size_t capacity = 2 * s->overlap_capacity + s->options.classes + 512;
        clsp_overlap *overlaps = clsp_grow(s->overlaps, capacity, sizeof *overlaps);
        if (overlaps == NULL) return clsp_fail_memory(err);
        s->overlaps = overlaps;
        s->overlap_capacity = capacity;
    }
    return CLIPSPAN_OK;
}

static clipspan_status check_truth(const clipspan_segmentation *s, const unsigned char *truth, clipspan_error *err)
{
    size_t pixels = s->options.size * s->options.size;
    for (size_t i = 0; i < pixels; i++)
        if (truth[i] >= s->options.classes && truth[i] != CLIPSPAN_MASK_UNSCORED)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "the mask has the value %d, expected 0 to %zu or 255 (not scored)",
                             truth[i], s->options.classes - 1);
    return CLIPSPAN_OK;
}

static void tally(clipspan_segmentation *s, const unsigned char *truth, clsp_segmented *image)
{
    size_t pixels = s->options.size * s->options.size, classes = s->options.classes;
    uint32_t *both = s->tally, *true_ones = both + classes, *made = true_ones + classes;
    memset(s->tally, 0, 3 * classes * sizeof *s->tally);
    for (size_t i = 0; i < pixels; i++) {
        if (truth[i] == CLIPSPAN_MASK_UNSCORED) continue;
        image->scored++;
        true_ones[truth[i]]++;
        made[s->mask[i]]++;
        both[truth[i]] += truth[i] == s->mask[i];
        image->right += truth[i] == s->mask[i];
    }
}

clipspan_status clsp_segmentation_count(clipspan_segmentation *result, const unsigned char *truth, double precision,
                                        clipspan_error *err)
{
    clipspan_status status = make_room(result, err);
    if (status != CLIPSPAN_OK) return status;
    size_t classes = result->options.classes;
    clsp_segmented image = {.precision = precision, .first = result->overlap_count};
    tally(result, truth, &image);
    for (size_t c = 0; c < classes; c++) {
        uint32_t both = result->tally[c], either = result->tally[classes + c] + result->tally[2 * classes + c] - both;
        if (either == 0) continue;
        result->overlaps[result->overlap_count++] = (clsp_overlap){(uint32_t)c, both, either};
        image.overlaps++;
    }
    result->images[result->count++] = image;
    return CLIPSPAN_OK;
}

/* ---- the binary protocol --------------------------------------------------------------------------------------- */

static clipspan_status fill_up(clipspan_segmentation *s, const float *map, size_t side, clipspan_error *err)
{
    size_t size = s->options.size;
    for (size_t i = 0; i < side * side; i++)
        if (!isfinite(map[i])) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "value %zu of the map is not finite", i);
    if (side == size) {
        memcpy(s->up, map, size * size * sizeof *map);
        return CLIPSPAN_OK;
    }
    for (size_t y = 0; y < size; y++) clsp_taps_row(s->up + y * size, &s->taps, size, map, side, y);
    return CLIPSPAN_OK;
}

/* Of the flattened pair (1 - map, map) against the one-hot truth. */
static clipspan_status pair_precision(clipspan_segmentation *s, const unsigned char *truth, double *out,
                                      clipspan_error *err)
{
    size_t pixels = s->options.size * s->options.size, n = 0;
    for (int half = 0; half < 2; half++)
        for (size_t i = 0; i < pixels; i++) {
            if (truth[i] == CLIPSPAN_MASK_UNSCORED) continue;
            s->pair_scores[n] = half ? s->up[i] : 1.0F - s->up[i];
            s->pair_truth[n++] = truth[i] == half;
        }
    return clipspan_segmentation_average_precision(out, s->pair_scores, s->pair_truth, n, err);
}

clipspan_status clipspan_segmentation_add(clipspan_segmentation *result, const float *map, size_t side,
                                          const unsigned char *truth, unsigned char *mask, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t pixels = result->options.size * result->options.size;
    double precision;
    if (result->options.classes != 2)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a single map has 2 classes, the segmentation %zu",
                         result->options.classes);
    CLSP_TRY(clsp_segmentation_taps(result, side, err));
    CLSP_TRY(check_truth(result, truth, err));
    CLSP_TRY(fill_up(result, map, side, err));
    double mean = clipspan_segmentation_scale(result->up, pixels, result->options.positive);
    for (size_t i = 0; i < pixels; i++) result->mask[i] = (double)result->up[i] > mean;
    CLSP_TRY(pair_precision(result, truth, &precision, err));
    CLSP_TRY(clsp_segmentation_count(result, truth, precision, err));
    if (mask != NULL) memcpy(mask, result->mask, pixels);
out:
    return status;
}

/* ---- semantic ------------------------------------------------------------------------------------------------ */

/* Row y: in result->mask the best map, in result->up by how much it exceeds the mean over maps. rows: [3, S] scratch. */
static void best_row(clipspan_segmentation *s, const float *maps, size_t count, size_t side, size_t y, float *rows)
{
    size_t size = s->options.size;
    float *row = rows, *best = rows + size, *sum = rows + 2 * size;
    unsigned char *which = s->mask + y * size;
    for (size_t c = 0; c < count; c++) {
        const float *map = maps + c * side * side, *values = row;
        if (side == size)
            values = map + y * size;
        else
            clsp_taps_row(row, &s->taps, size, map, side, y);
        for (size_t x = 0; x < size; x++) {
            sum[x] = c == 0 ? values[x] : sum[x] + values[x];
            if (c > 0 && !(values[x] > best[x])) continue;
            best[x] = values[x];
            which[x] = (unsigned char)c;
        }
    }
    for (size_t x = 0; x < size; x++) s->up[y * size + x] = count == 1 ? best[x] : best[x] - sum[x] / (float)count;
}

/* Classes move up by one, and what is not above the threshold becomes 0. */
static void lay_background(clipspan_segmentation *s)
{
    size_t pixels = s->options.size * s->options.size;
    double mean = clipspan_segmentation_scale(s->up, pixels, 1);
    double threshold = s->options.background == CLIPSPAN_BACKGROUND_MEAN ? mean : s->options.threshold;
    for (size_t i = 0; i < pixels; i++)
        s->mask[i] = (double)s->up[i] > threshold ? (unsigned char)(s->mask[i] + 1) : 0;
}

clipspan_status clipspan_segmentation_add_classes(clipspan_segmentation *result, const float *maps, size_t side,
                                                  const unsigned char *truth, unsigned char *mask, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t size = result->options.size;
    bool background = result->options.background != CLIPSPAN_BACKGROUND_NONE;
    size_t count = result->options.classes - background;
    float *rows = NULL;
    CLSP_TRY(clsp_segmentation_taps(result, side, err));
    CLSP_TRY(check_truth(result, truth, err));
    for (size_t i = 0; i < count * side * side; i++)
        if (!isfinite(maps[i])) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "value %zu of the maps is not finite", i));
    CLSP_ALLOC(rows, clsp_alloc(3 * size, sizeof *rows));
    for (size_t y = 0; y < size; y++) best_row(result, maps, count, side, y, rows);
    if (background) lay_background(result);
    CLSP_TRY(clsp_segmentation_count(result, truth, (double)NAN, err));
    if (mask != NULL) memcpy(mask, result->mask, size * size);
out:
    clsp_free(rows);
    return status;
}
