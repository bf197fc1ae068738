/* analysis/span.h - the subspace of the joint space that one head writes to, and how its contribution varies there.
 *
 * Letters: E joint dimension, n length of the factored vector y (a head's contribution is c = y' M), k numerical rank.
 */
#ifndef CLSP_ANALYSIS_SPAN_H
#define CLSP_ANALYSIS_SPAN_H

#ifndef CLSP_ROOM_ANALYSIS
#ifndef CLSP_TESTS
#error "analysis/span.h is private to the room analysis"
#endif
#endif

#include "base/base.h"
#include "clipspan/contributions.h"

/* A singular value of the contributions counts while it is above this share of the largest: four units of float32
 * round-off. Contributions are float32 data: a matrix of rank k with every entry rounded shows singular values near
 * 1e-8 of the largest past the k-th; what stands above 4.8e-7 was not made by rounding. (In a trained model's heads: the
 * weakest real one at 4e-5 and above, the first past the rank at 3e-8 and below.) */
#define CLSP_SPAN_ROUND_OFF 4.76837158203125e-7

/* Eight running sums, so that the compiler may use wide registers without reordering anything on its own. */
static inline double clsp_span_dot(const double *a, const double *b, size_t n)
{
    enum { LANES = 8 };
    double sum[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) sum[lane] += a[i + lane] * b[i + lane];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

typedef struct clsp_span {
    size_t k, embed_dim;
    double total;     /* trace of the covariance of c over images: squared units of the joint space */
    double *basis;    /* [k, E] orthonormal rows: the principal axes of c's covariance inside the span */
    double *variance; /* [k] of c along them, descending */
} clsp_span;

/* map: [n, E] rows of M. second: [n, n] mean over images of y y' (uncentred). mean: [n]. At most `cap` right singular
 * vectors of c span the space. */
clipspan_status clsp_span_build(clsp_span *span, const double *map, const double *second, const double *mean, size_t n,
                                size_t embed_dim, size_t cap, clipspan_error *err);
void clsp_span_free(clsp_span *span);
/* The span's numerical rank, uncapped, and `total`, without its axes. */
clipspan_status clsp_span_measure(size_t *k, double *total, const double *map, const double *second, const double *mean,
                                  size_t n, size_t embed_dim, clipspan_error *err);

/* The same two of one head, from a store's moments. */
clipspan_status clsp_span_of_head(clsp_span *span, const clipspan_moments *moments, clipspan_convention convention,
                                  int layer, int head, size_t cap, clipspan_error *err);
clipspan_status clsp_spread_of_head(size_t *k, double *total, const clipspan_moments *moments,
                                    clipspan_convention convention, int layer, int head, clipspan_error *err);

#endif
