/* clipspan/activations.h - along a direction, how strongly images switch a head on: spread, most and least.
 *
 *     clipspan_activations_run(&result, store, directions, count, NULL, NULL, &err);
 *     const clipspan_activation *a = clipspan_activations_get(result, 0);
 *     clipspan_activations_free(result);
 *
 * An image's activation of head (l,h) along a direction t of the joint space is c[l,h] . t, the head's direct effect on t
 * (ALGORITHMS 2 and 6); with t of unit length, in the paper's convention, in units of change in cosine.
 */
#ifndef CLIPSPAN_ACTIVATIONS_H
#define CLIPSPAN_ACTIVATIONS_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_direction {
    int layer, head;
    const float *vector; /* [E], borrowed during the run */
} clipspan_direction;

typedef struct clipspan_activations_options {
    clipspan_convention convention;
    size_t top;  /* images kept at either end (8) */
    size_t bins; /* of the histogram (32) */
    int threads; /* 0: all */
} clipspan_activations_options;
#define CLIPSPAN_ACTIVATIONS_OPTIONS_INIT { CLIPSPAN_PAPER, 8, 32, 0 }

typedef struct clipspan_activation {
    int layer, head;
    double mean, deviation;  /* over the store's images */
    double low, high;        /* smallest and largest value: the histogram's ends */
    const uint64_t *counts;  /* [bins] images in bins of equal width from low to high; the last holds `high` too */
    size_t bins, top;        /* top: at most as many as there are images */
    const uint64_t *most, *least;              /* [top] rows of the store, the strongest first, the weakest first */
    const double *most_values, *least_values;  /* [top]; equal values in the order of their rows */
} clipspan_activation;

typedef struct clipspan_activations clipspan_activations;
/* Reads the layers of the directions' heads, and nothing else. Bits do not depend on threads. Memory does not grow with the
 * images. A store of moments alone is CLIPSPAN_ERROR_UNSUPPORTED. options may be NULL. Stage "activations". */
CLIPSPAN_API clipspan_status clipspan_activations_run(clipspan_activations **out, const clipspan_store *store,
                                                      const clipspan_direction *directions, size_t count,
                                                      const clipspan_activations_options *options,
                                                      const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_activations_free(clipspan_activations *result);
CLIPSPAN_API size_t clipspan_activations_count(const clipspan_activations *result);
/* As given to the run, in its order; borrowed. */
CLIPSPAN_API const clipspan_activation *clipspan_activations_get(const clipspan_activations *result, size_t i);

#ifdef __cplusplus
}
#endif

#endif
