/* With contributions c = M y over k orthonormal axes, M: [k, n],
 *
 *     B = mean of c c' = M <y y'> M'         its eigenvectors are the right singular vectors
 *     K = covariance   = B - (M <y>)(M <y>)'
 *
 * Nearly always all k singular values are above round-off, which a Cholesky decomposition shows without an eigenproblem:
 * the smallest eigenvalue is at least 1 / trace(B^-1), the largest at most trace(B). Otherwise, with the singular vectors in
 * the rows of V, K becomes V'V K V'V: texts need not be projected to be scored by it. */
#include "analysis/variation.h"

#include <math.h>
#include <string.h>

#include "analysis/span.h"
#include "compute/compute.h"

static const double NEGLIGIBLE = CLSP_SPAN_ROUND_OFF * CLSP_SPAN_ROUND_OFF; /* share of the largest eigenvalue */

clipspan_status clsp_variation_open(clsp_variation *variation, size_t axes, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *variation = (clsp_variation){.axes = axes};
    CLSP_ALLOC(variation->covariance, clsp_alloc(axes * axes, sizeof(double)));
    CLSP_ALLOC(variation->span, clsp_alloc(axes * axes, sizeof(double)));
out:
    if (status != CLIPSPAN_OK) clsp_variation_close(variation);
    return status;
}

void clsp_variation_close(clsp_variation *variation)
{
    clsp_free(variation->covariance);
    clsp_free(variation->span);
    *variation = (clsp_variation){0};
}

size_t clsp_variation_room(size_t n, size_t axes)
{
    size_t side = clsp_max(n, axes);
    return 3 * side * side + axes;
}

/* c [m, n] = a [m, k] b [k, n], or b' of b [n, k] */
static void product(double *c, const double *a, const double *b, bool transposed, size_t m, size_t n, size_t k)
{
    memset(c, 0, m * n * sizeof *c);
    clsp_dgemm(c, n, a, k, &(clsp_factor){.doubles = b, .stride = transposed ? k : n, .transposed = transposed}, m, n, k);
}

/* c [m, m] = a s a' with a: [m, n], s: [n, n]; scratch: [m, n]. */
static void congruence(double *c, const double *a, const double *s, size_t m, size_t n, double *scratch)
{
    product(scratch, a, s, false, m, n, n);
    product(c, scratch, a, true, m, m, n);
}

static double trace_of(const double *a, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++) sum += a[i * k + i];
    return sum;
}

/* u: [k, k] symmetric in; upper triangle of B = U'U out. false: a pivot is not positive. */
CLSP_CLONES static bool cholesky(double *u, size_t k)
{
    for (size_t r = 0; r < k; r++) {
        double *row = u + r * k, root = sqrt(row[r]);
        if (!(row[r] > 0)) return false;
        for (size_t c = r; c < k; c++) row[c] /= root;
        for (size_t i = r + 1; i < k; i++) {
            double factor = row[i], *below = u + i * k;
            for (size_t c = i; c < k; c++) below[c] -= factor * row[c];
        }
    }
    return true;
}

/* trace of (U'U)^-1: squares of U'^-1, whose rows are made one after another. x: [k, k]. */
CLSP_CLONES static double trace_of_inverse(const double *u, size_t k, double *x)
{
    double sum = 0;
    memset(x, 0, k * k * sizeof *x);
    for (size_t i = 0; i < k; i++) {
        double *row = x + i * k;
        row[i] = 1;
        for (size_t j = 0; j < i; j++) {
            double factor = u[j * k + i];
            for (size_t c = 0; c <= j; c++) row[c] -= factor * x[j * k + c];
        }
        for (size_t c = 0; c <= i; c++) {
            row[c] /= u[i * k + i];
            sum += row[c] * row[c];
        }
    }
    return sum;
}

/* Whether every eigenvalue of b [k, k] is surely above round-off; the factor 2 is for this function's own. scratch: 2 [k, k]. */
static bool surely_full(const double *b, size_t k, double *scratch)
{
    memcpy(scratch, b, k * k * sizeof *b);
    return cholesky(scratch, k) && 1 > 2 * NEGLIGIBLE * trace_of(b, k) * trace_of_inverse(scratch, k, scratch + k * k);
}

/* The span by b's eigenvectors (b is overwritten), and the covariance inside it. scratch: 2 [k, k], values: [k]. */
static clipspan_status restrict_to_span(clsp_variation *v, double *b, size_t cap, double *scratch, double *values,
                                        clipspan_error *err)
{
    size_t k = v->axes;
    double *turned = scratch + k * k;
    clipspan_status status = clsp_eigen_symmetric(b, values, k, err);
    if (status != CLIPSPAN_OK) return status;
    for (v->rank = 0; v->rank < k && v->rank < cap && values[k - 1 - v->rank] > NEGLIGIBLE * values[k - 1]; v->rank++)
        memcpy(v->span + v->rank * k, b + (k - 1 - v->rank) * k, k * sizeof *b);
    if (v->rank == k) return CLIPSPAN_OK;
    congruence(b, v->span, v->covariance, v->rank, k, scratch); /* [rank, rank] */
    product(turned, b, v->span, false, v->rank, k, v->rank);
    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < v->rank; r++) scratch[i * v->rank + r] = v->span[r * k + i];
    product(v->covariance, scratch, turned, false, k, k, v->rank);
    return CLIPSPAN_OK;
}

static bool unpack(double *square, const double *packed, size_t n)
{
    bool finite = true;
    for (size_t r = 0; r < n; packed += ++r)
        for (size_t c = 0; c <= r; c++) {
            square[r * n + c] = square[c * n + r] = packed[c];
            finite = finite && isfinite(packed[c]);
        }
    return finite;
}

clipspan_status clsp_variation_measure(clsp_variation *v, const double *map, const double *mean, const double *second,
                                       size_t n, size_t cap, double *scratch, clipspan_error *err)
{
    size_t k = v->axes, side = clsp_max(n, k);
    double *b = scratch, *room = b + side * side, *values = room + 2 * side * side;
    if (!unpack(room, second, n))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "contributions hold values that are not finite");
    congruence(b, map, room, k, n, room + side * side);
    product(values, mean, map, true, 1, k, n);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) v->covariance[i * k + j] = b[i * k + j] - values[i] * values[j];
    v->total = trace_of(v->covariance, k);
    v->rank = k;
    if (v->total <= NEGLIGIBLE * trace_of(b, k)) v->total = 0; /* constant but for rounding */
    if (v->total == 0 || (k <= cap && surely_full(b, k, room))) return CLIPSPAN_OK;
    return restrict_to_span(v, b, cap, room, values, err);
}
