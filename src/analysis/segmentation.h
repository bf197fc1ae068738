/* analysis/segmentation.h - private to the room analysis: counts of a segmentation, and bilinear rows. */
#ifndef CLSP_ANALYSIS_SEGMENTATION_H
#define CLSP_ANALYSIS_SEGMENTATION_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/segmentation.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/segmentation.h"

/* Where an output of `size` reads an input of `side`: between first[i] and second[i], with weight[i] for the second. */
typedef struct clsp_taps {
    size_t *first, *second; /* [size] */
    float *weight;          /* [size] */
} clsp_taps;
clipspan_status clsp_taps_make(clsp_taps *taps, size_t size, size_t side, clipspan_error *err);
void clsp_taps_free(clsp_taps *taps);
/* out: [size], row y of the up-sampled map [side, side]. */
void clsp_taps_row(float *out, const clsp_taps *taps, size_t size, const float *map, size_t side, size_t y);

/* One class's pixels in one image. */
typedef struct clsp_overlap {
    uint32_t class_number, intersection, either;
} clsp_overlap;
typedef struct clsp_segmented {
    uint32_t right, scored;
    double precision;
    size_t first; /* of its overlaps */
    uint32_t overlaps;
} clsp_segmented;

struct clipspan_segmentation {
    clipspan_segmentation_options options;
    clsp_segmented *images; /* [count] */
    size_t count, capacity;
    clsp_overlap *overlaps;
    size_t overlap_count, overlap_capacity;
    uint32_t *tally;        /* [3, classes]: both, truth, mask of the image in hand */
    float *up;              /* [S, S] */
    unsigned char *mask;    /* [S, S] */
    float *pair_scores;     /* [2, S, S]: 1 - map, map, without what is not scored */
    unsigned char *pair_truth;
    clsp_taps taps;         /* for side taps_side */
    size_t taps_side;
};

/* Taps for maps of this side, kept for the next image. */
clipspan_status clsp_segmentation_taps(clipspan_segmentation *result, size_t side, clipspan_error *err);
/* Counts result->mask against truth as one more image. */
clipspan_status clsp_segmentation_count(clipspan_segmentation *result, const unsigned char *truth, double precision,
                                        clipspan_error *err);

#endif
