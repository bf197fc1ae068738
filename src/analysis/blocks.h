/* analysis/blocks.h - images in blocks, and the moments of each block: what resamples are summed from.
 *
 * Letters: I rows of the store, B blocks, k factors of a head.
 */
#ifndef CLSP_ANALYSIS_BLOCKS_H
#define CLSP_ANALYSIS_BLOCKS_H

#if !defined(CLSP_ROOM_ANALYSIS) && !defined(CLSP_TESTS)
#error "analysis/blocks.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/store.h"

enum { CLSP_BLOCKS_MOST = 256 };

/* 64 bits of an image's name: the same image falls on the same side, and into the same block, in every store. */
uint64_t clsp_image_hash(const clipspan_store *store, size_t row);

/* of: [I] block of each row; -1: in none. chosen: [I] of 0 and 1, NULL: all rows. Up to CLSP_BLOCKS_MOST chosen rows are
 * a block each. Returns B. */
size_t clsp_blocks_assign(int32_t *of, const clipspan_store *store, const unsigned char *chosen);

/* Sums over each block's images of y and the lower triangle of y y', in double, for the heads of one layer. */
typedef struct clsp_block_moments {
    size_t blocks, heads, width, packed; /* B, heads of the layer, k, k (k + 1) / 2 */
    uint64_t *images; /* [B] */
    double *sums;     /* [heads, B, k]: of chosen heads */
    double *seconds;  /* [heads, B, k (k + 1) / 2] */
} clsp_block_moments;
clipspan_status clsp_block_moments_open(clsp_block_moments *out, const clipspan_basis *basis,
                                        clipspan_convention convention, size_t blocks, clipspan_error *err);
void clsp_block_moments_close(clsp_block_moments *moments);
/* One pass over the layer. heads: [H] of 0 and 1. Zeroes what was there. */
clipspan_status clsp_block_moments_fill(clsp_block_moments *moments, const clipspan_store *store,
                                        clipspan_convention convention, int layer, const unsigned char *heads,
                                        const int32_t *of, const clipspan_hooks *hooks, clipspan_error *err);
/* Means over R resamples of which r takes block b draws[r, b] times: means [R, k] of y, seconds [R, k (k + 1) / 2] of y y' (lower
 * triangles); images: [R]. One without an image has means of zero. */
void clsp_block_moments_draw(const clsp_block_moments *moments, size_t head, const double *draws, size_t resamples, double *means,
                             double *seconds, uint64_t *images);

#endif
