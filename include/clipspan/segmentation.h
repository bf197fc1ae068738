/* clipspan/segmentation.h - maps turned into masks, and masks held against the truth.
 *
 *     clipspan_segmentation_options options = {.size = 224, .classes = 2, .positive = 1};
 *     clipspan_segmentation *result = NULL;
 *     clipspan_segmentation_open(&result, &options, &err);
 *     clipspan_segmentation_add(result, map, 14, truth, NULL, &err);
 *     clipspan_segmentation_score(&scores, result, 1000, 1, &err);
 *     clipspan_segmentation_free(result);
 *
 * Protocols and metrics are those of ALGORITHMS 7 and docs/segmentation.md. An analysis: it is fed maps, never runs the
 * model. Letters: S pixels a side, C classes, E joint dimension. One thread at a time.
 */
#ifndef CLIPSPAN_SEGMENTATION_H
#define CLIPSPAN_SEGMENTATION_H

#include "clipspan/map.h"
#include "clipspan/masks.h"
#include "clipspan/relevance.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the steps, each by itself ------------------------------------------------------------------------- */

/* The class of an image: argmax over c of r . classifier[c], the first on a tie. embedding: [E]; classifier: [C, E]. */
CLIPSPAN_API size_t clipspan_segmentation_choose(const float *embedding, const float *classifier, size_t classes,
                                                 size_t embed_dim);
/* out: [E] = classifier[chosen] - mean over c of classifier[c]: the direction whose map is the chosen class's map minus the
 * mean over classes. */
CLIPSPAN_API void clipspan_segmentation_contrast(float *out, const float *classifier, size_t classes, size_t embed_dim,
                                                 size_t chosen);
/* out: [size, size] from map: [side, side]: bilinear, half-pixel centres, corners not aligned, in float32, as torch's
 * interpolate(mode="bilinear", align_corners=False). */
CLIPSPAN_API clipspan_status clipspan_segmentation_upsample(float *out, size_t size, const float *map, size_t side,
                                                            clipspan_error *err);
/* In place, values: [n]: negatives to 0 where `positive`, then (v - least) / (most - least); all 0 where the map is flat.
 * Returns the mean of the result. */
CLIPSPAN_API double clipspan_segmentation_scale(float *values, size_t n, int positive);
/* Sum over the distinct scores, falling, of (recall - recall before) x precision: scikit-learn's average_precision_score,
 * equal scores taken together. truth: [n] of 0 and 1; without a 1 it is 0. Sorted by digits, O(n). */
CLIPSPAN_API clipspan_status clipspan_segmentation_average_precision(double *out, const float *scores,
                                                                     const unsigned char *truth, size_t n,
                                                                     clipspan_error *err);

/* ---- a data set -------------------------------------------------------------------------------------------- */

typedef enum clipspan_background {
    CLIPSPAN_BACKGROUND_NONE, /* every pixel has a class, value 0 is the first */
    CLIPSPAN_BACKGROUND_MEAN, /* value 0 is background: pixels not above the image's own mean */
    CLIPSPAN_BACKGROUND_BELOW /* the same with a threshold in [0, 1] */
} clipspan_background;

typedef struct clipspan_segmentation_options {
    size_t size;    /* S */
    size_t classes; /* values that a truth may have, background included; 2 for _add */
    int positive;   /* _add: negatives become 0 before a map is scaled */
    clipspan_background background; /* _add_classes */
    double threshold;
} clipspan_segmentation_options;

/* Counts of one method over a data set, image by image (some 100 bytes an image are kept, for the intervals). */
typedef struct clipspan_segmentation clipspan_segmentation;
CLIPSPAN_API clipspan_status clipspan_segmentation_open(clipspan_segmentation **out,
                                                        const clipspan_segmentation_options *options,
                                                        clipspan_error *err);
CLIPSPAN_API void clipspan_segmentation_free(clipspan_segmentation *result);
/* The binary protocol: up-sampled (unless side is S), scaled, foreground where above its own mean. map: [side, side];
 * truth: [S, S] of 0, 1 and CLIPSPAN_MASK_UNSCORED; mask: [S, S] out, 0 and 1; may be NULL. */
CLIPSPAN_API clipspan_status clipspan_segmentation_add(clipspan_segmentation *result, const float *map, size_t side,
                                                       const unsigned char *truth, unsigned char *mask,
                                                       clipspan_error *err);
/* Semantic: per pixel the class of the largest up-sampled map, the first on a tie. maps: [classes, side, side], without
 * the background where value 0 is that. A pixel's foreground score is its largest map minus the mean of its maps (the map
 * itself where there is only one, negatives to 0), scaled to [0, 1] over the image. */
CLIPSPAN_API clipspan_status clipspan_segmentation_add_classes(clipspan_segmentation *result, const float *maps,
                                                               size_t side, const unsigned char *truth,
                                                               unsigned char *mask, clipspan_error *err);

typedef struct clipspan_interval {
    double value, low, high; /* 95 %, percentiles of the bootstrap over images; NaN: none */
} clipspan_interval;
typedef struct clipspan_segmentation_scores {
    uint64_t images;
    clipspan_interval accuracy;  /* pixels that are right / pixels scored, over the data set */
    clipspan_interval iou;       /* mean over classes of intersection / union, both summed over the data set; classes that
                                    neither truth nor any mask has are left out */
    clipspan_interval precision; /* mean over images of the average precision of (1 - map, map); NaN when semantic */
} clipspan_segmentation_scores;
/* resamples 0: no intervals. The same seed draws the same images for every method: differences are paired. */
CLIPSPAN_API clipspan_status clipspan_segmentation_score(clipspan_segmentation_scores *out,
                                                         const clipspan_segmentation *result, size_t resamples,
                                                         uint64_t seed, clipspan_error *err);
/* Pixels of class c over the data set. */
CLIPSPAN_API void clipspan_segmentation_of_class(const clipspan_segmentation *result, size_t c, uint64_t *intersection,
                                                 uint64_t *either);
CLIPSPAN_API size_t clipspan_segmentation_class_count(const clipspan_segmentation *result);

#ifdef __cplusplus
}
#endif

#endif
