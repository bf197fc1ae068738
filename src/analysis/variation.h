/* analysis/variation.h - how a head's contribution varies over some images, on axes that are the same for all of them.
 *
 * Letters: n factors of a head, k axes of the joint space that all its contributions lie in.
 */
#ifndef CLSP_ANALYSIS_VARIATION_H
#define CLSP_ANALYSIS_VARIATION_H

#ifndef CLSP_ROOM_ANALYSIS
#ifndef CLSP_TESTS
#error "analysis/variation.h is private to the room analysis"
#endif
#endif

#include "base/base.h"

typedef struct clsp_variation {
    size_t axes, rank;  /* k; of the contributions' span */
    double total;       /* trace of the covariance; 0: it does not vary */
    double *covariance; /* [k, k] inside the span */
    double *span;       /* [rank, k] orthonormal rows; not filled where rank is k */
} clsp_variation;
clipspan_status clsp_variation_open(clsp_variation *variation, size_t axes, clipspan_error *err);
void clsp_variation_close(clsp_variation *variation);

/* Doubles of scratch that measuring takes. */
size_t clsp_variation_room(size_t n, size_t axes);
/* map: [k, n] the factors' rows on the axes, transposed. mean: [n] of y; second: [n (n + 1) / 2] lower triangle of the mean of
 * y y'. The span is that of at most `cap` right singular vectors above round-off, as clsp_span_build has it. */
clipspan_status clsp_variation_measure(clsp_variation *variation, const double *map, const double *mean, const double *second,
                                       size_t n, size_t cap, double *scratch, clipspan_error *err);

#endif
