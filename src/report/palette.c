/* Median cut (Heckbert, Color image quantization for frame buffer display, SIGGRAPH 1982): the box that has most to lose is
 * halved, by pixels, across its longest side, until there are as many boxes as colours; a box's colour is its pixels' mean. */
#include <stdlib.h>

#include "report/pixels.h"

typedef struct bin {
    unsigned char level[3]; /* 0 to 31 */
    uint32_t pixels;
    uint64_t sum[3]; /* of the pixels' own values */
} bin;

typedef struct box {
    bin *bins;
    size_t count;
    uint64_t pixels;
    int longest, extent; /* the side, and how many levels it spans beyond the first */
} box;

static int by_red(const void *a, const void *b) { return ((const bin *)a)->level[0] - ((const bin *)b)->level[0]; }
static int by_green(const void *a, const void *b) { return ((const bin *)a)->level[1] - ((const bin *)b)->level[1]; }
static int by_blue(const void *a, const void *b) { return ((const bin *)a)->level[2] - ((const bin *)b)->level[2]; }

static box measured(bin *bins, size_t count)
{
    box b = {bins, count, 0, 0, -1};
    for (int side = 0; side < 3; side++) {
        int low = 31, high = 0;
        for (size_t i = 0; i < count; i++) {
            low = bins[i].level[side] < low ? bins[i].level[side] : low;
            high = bins[i].level[side] > high ? bins[i].level[side] : high;
        }
        if (high - low > b.extent) {
            b.longest = side;
            b.extent = high - low;
        }
    }
    for (size_t i = 0; i < count; i++) b.pixels += bins[i].pixels;
    return b;
}

/* Bins with a pixel, packed; returns how many. */
static size_t count_bins(bin *bins, const clsp_pixels *pixels)
{
    size_t kept = 0;
    const unsigned char *p = pixels->rgba;
    for (size_t i = 0; i < (size_t)pixels->width * (size_t)pixels->height; i++, p += 4) {
        if (p[3] == 0) continue;
        bin *b = &bins[clsp_palette_bin(p)];
        b->pixels++;
        for (int side = 0; side < 3; side++) {
            b->level[side] = p[side] >> 3;
            b->sum[side] += p[side];
        }
    }
    for (size_t i = 0; i < CLSP_PALETTE_BINS; i++)
        if (bins[i].pixels > 0) bins[kept++] = bins[i];
    return kept;
}

/* The box with most pixels times extent; count: none can be halved. */
static size_t box_to_halve(const box *boxes, size_t count)
{
    size_t best = count;
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t loss = boxes[i].pixels * (uint64_t)boxes[i].extent;
        if (boxes[i].count > 1 && loss > most) {
            most = loss;
            best = i;
        }
    }
    return best;
}

/* At the median pixel, or as near as both halves stay filled. */
static void halve(box *from, box *to)
{
    static int (*const ORDER[])(const void *, const void *) = {by_red, by_green, by_blue};
    uint64_t before = 0;
    size_t first = 0;
    qsort(from->bins, from->count, sizeof *from->bins, ORDER[from->longest]);
    while (first < from->count - 1 && (first == 0 || 2 * (before + from->bins[first].pixels) <= from->pixels))
        before += from->bins[first++].pixels;
    *to = measured(from->bins + first, from->count - first);
    *from = measured(from->bins, first);
}

static void name_colours(clsp_palette *palette, const box *boxes, size_t count)
{
    palette->count = count;
    for (size_t b = 0; b < count; b++) {
        uint64_t sum[3] = {0};
        for (size_t i = 0; i < boxes[b].count; i++) {
            const bin *one = &boxes[b].bins[i];
            for (int side = 0; side < 3; side++) sum[side] += one->sum[side];
            palette->of[(size_t)one->level[0] << 10 | (size_t)one->level[1] << 5 | one->level[2]] = (unsigned char)b;
        }
        for (int side = 0; side < 3; side++)
            palette->rgb[b][side] = (unsigned char)((sum[side] + boxes[b].pixels / 2) / boxes[b].pixels);
    }
}

bool clsp_palette_make(clsp_palette *palette, const clsp_pixels *pixels)
{
    box boxes[CLSP_PALETTE_MOST];
    bin *bins = clsp_alloc_zero(CLSP_PALETTE_BINS, sizeof *bins);
    if (bins == NULL) return false;
    size_t kept = count_bins(bins, pixels), count = kept > 0;
    memset(palette, 0, sizeof *palette);
    if (kept > 0) boxes[0] = measured(bins, kept);
    while (count > 0 && count < CLSP_PALETTE_MOST) {
        size_t widest = box_to_halve(boxes, count);
        if (widest == count) break;
        halve(&boxes[widest], &boxes[count++]);
    }
    name_colours(palette, boxes, count);
    clsp_free(bins);
    return true;
}
