/* The steps from a map to a scored mask, each by itself (ALGORITHMS 7). */
#include <math.h>
#include <string.h>

#include "analysis/segmentation.h"

size_t clipspan_segmentation_choose(const float *embedding, const float *classifier, size_t classes, size_t embed_dim)
{
    size_t best = 0;
    double most = 0;
    for (size_t c = 0; c < classes; c++) {
        double sum = 0;
        for (size_t e = 0; e < embed_dim; e++) sum += (double)embedding[e] * (double)classifier[c * embed_dim + e];
        if (c > 0 && !(sum > most)) continue;
        most = sum;
        best = c;
    }
    return best;
}

void clipspan_segmentation_contrast(float *out, const float *classifier, size_t classes, size_t embed_dim, size_t chosen)
{
    for (size_t e = 0; e < embed_dim; e++) {
        double sum = 0;
        for (size_t c = 0; c < classes; c++) sum += (double)classifier[c * embed_dim + e];
        out[e] = (float)((double)classifier[chosen * embed_dim + e] - sum / (double)classes);
    }
}

/* ---- bilinear up-sampling ---------------------------------------------------------------------------------- */

/* Output i lies at (i + 1/2) side / size - 1/2 of the input, not before its first value. The scale is float32 and the place
 * is rounded once, as torch's fused multiply-add does. */
clipspan_status clsp_taps_make(clsp_taps *taps, size_t size, size_t side, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    float scale = (float)side / (float)size;
    CLSP_ALLOC(taps->first, clsp_alloc(size, sizeof *taps->first));
    CLSP_ALLOC(taps->second, clsp_alloc(size, sizeof *taps->second));
    CLSP_ALLOC(taps->weight, clsp_alloc(size, sizeof *taps->weight));
    for (size_t i = 0; i < size; i++) {
        float at = fmaxf((float)((double)scale * ((double)i + 0.5) - 0.5), 0.0F);
        size_t first = clsp_min((size_t)at, side - 1);
        taps->first[i] = first;
        taps->second[i] = first + (first + 1 < side);
        taps->weight[i] = fminf(fmaxf(at - (float)first, 0.0F), 1.0F);
    }
out:
    return status;
}

void clsp_taps_free(clsp_taps *taps)
{
    clsp_free(taps->first);
    clsp_free(taps->second);
    clsp_free(taps->weight);
    *taps = (clsp_taps){0};
}

void clsp_taps_row(float *out, const clsp_taps *taps, size_t size, const float *map, size_t side, size_t y)
{
    const float *above = map + taps->first[y] * side, *below = map + taps->second[y] * side;
    float down = taps->weight[y], up = 1.0F - down;
    for (size_t x = 0; x < size; x++) {
        size_t a = taps->first[x], b = taps->second[x];
        float right = taps->weight[x], left = 1.0F - right;
        out[x] = up * (left * above[a] + right * above[b]) + down * (left * below[a] + right * below[b]);
    }
}

clipspan_status clipspan_segmentation_upsample(float *out, size_t size, const float *map, size_t side,
                                               clipspan_error *err)
{
    clsp_taps taps = {0};
    if (size == 0 || side == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a map of %zu pixels a side to %zu", side, size);
    clipspan_status status = clsp_taps_make(&taps, size, side, err);
    for (size_t y = 0; status == CLIPSPAN_OK && y < size; y++) clsp_taps_row(out + y * size, &taps, size, map, side, y);
    clsp_taps_free(&taps);
    return status;
}

double clipspan_segmentation_scale(float *values, size_t n, int positive)
{
    float least = HUGE_VALF, most = -HUGE_VALF;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (positive && values[i] < 0) values[i] = 0;
        least = fminf(least, values[i]);
        most = fmaxf(most, values[i]);
    }
    for (size_t i = 0; i < n; i++) {
        values[i] = most > least ? (values[i] - least) / (most - least) : 0.0F;
        sum += (double)values[i];
    }
    return n ? sum / (double)n : 0;
}

/* ---- average precision --------------------------------------------------------------------------------------- */

enum { DIGIT = 11, BUCKETS = 1 << DIGIT, PASSES = 3 };

/* A key that rises as the float does (-0 as 0), the truth behind it. */
static uint64_t item_of(float score, unsigned char truth)
{
    uint32_t bits;
    score += 0.0F;
    memcpy(&bits, &score, sizeof bits);
    bits = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
    return (uint64_t)bits << 1 | (truth != 0);
}

/* Sorts by the key, 11 bits at a time; an odd number of passes, so the result lies in `other`. */
static void sort_items(uint64_t *items, uint64_t *other, size_t n)
{
    for (int pass = 0; pass < PASSES; pass++) {
        size_t places[BUCKETS] = {0}, at = 0;
        int shift = 1 + pass * DIGIT;
        for (size_t i = 0; i < n; i++) places[items[i] >> shift & (BUCKETS - 1)]++;
        for (int b = 0; b < BUCKETS; b++) {
            size_t size = places[b];
            places[b] = at;
            at += size;
        }
        for (size_t i = 0; i < n; i++) other[places[items[i] >> shift & (BUCKETS - 1)]++] = items[i];
        uint64_t *swap = items;
        items = other;
        other = swap;
    }
}

/* sorted: rising. */
static double precision_of(const uint64_t *sorted, size_t n, size_t positives)
{
    double sum = 0;
    size_t right = 0, before = 0;
    for (size_t taken = 0; taken < n;) {
        uint64_t key = sorted[n - 1 - taken] >> 1;
        for (; taken < n && sorted[n - 1 - taken] >> 1 == key; taken++) right += sorted[n - 1 - taken] & 1;
        sum += ((double)right / (double)positives - (double)before / (double)positives) * ((double)right / (double)taken);
        before = right;
    }
    return sum;
}

clipspan_status clipspan_segmentation_average_precision(double *out, const float *scores, const unsigned char *truth,
                                                        size_t n, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t *items = NULL;
    size_t positives = 0, both;
    *out = 0;
    if (!clsp_mul(&both, 2, n)) return clsp_fail_memory(err);
    CLSP_ALLOC(items, clsp_alloc(both, sizeof *items));
    for (size_t i = 0; i < n; i++) {
        if (isnan(scores[i])) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "score %zu is not a number", i));
        items[i] = item_of(scores[i], truth[i]);
        positives += truth[i] != 0;
    }
    sort_items(items, items + n, n);
    if (positives > 0) *out = precision_of(items + n, n, positives);
out:
    clsp_free(items);
    return status;
}
