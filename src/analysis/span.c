/* The span of one head's contributions and their covariance in it, from moments of the factored vector y alone.
 *
 *     c = y' M                       M: [n, E], one row an entry of y
 *     M = D T' U                     D: lengths of the rows; U: [r, E] orthonormal; T: [r, n] triangular (pivoted)
 *     mean of c c' = U' B U          B = T D <y y'> D T', [r, r]: its eigenvectors are c's right singular vectors
 *     cov of c     = U' K U          K = B - b b', b = T D <y>
 *
 * U is never formed: M's Gram matrix gives T (Cholesky with pivoting), and the axes that are wanted are read off as
 * combinations of M's own rows. Scaling the rows to unit length first keeps the small parts of the contribution (a bias,
 * a mean) from being lost beside the large ones. */
#include "analysis/span.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "compute/compute.h"

/* A pivot below this share of a row's squared length means that the row depends on those before it. */
static const double DEPENDENT = 1e-13;
/* Below this smallest pivot the axes are orthonormalised once more: their error grows as round-off / pivot. */
static const double UNSAFE = 1e-6;

typedef struct workspace {
    size_t n, embed_dim, rank;   /* rank: r, of M */
    double *length;              /* [n] of M's rows */
    double *gram;                /* [n, n] of M's rows, scaled to unit length */
    double *triangle;            /* [n, n]: T, of which [r, n] are filled */
    size_t *pivot;               /* [n]: row of M behind each row of T */
    double *left;                /* [n]: squared length not yet explained */
    double *second, *covariance; /* [r, r]: B, then its eigenvectors; K */
    double *values;              /* [n] */
    double *axes, *rotated;      /* [n, n] */
    double *scratch;             /* [n, n] */
    double smallest;             /* pivot */
} workspace;

/* c [m, n] = a [m, k] b [k, n] */
CLSP_CLONES static void product(double *restrict c, const double *a, const double *b, size_t m, size_t n, size_t k)
{
    memset(c, 0, m * n * sizeof *c);
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++) {
            double factor = a[i * k + l];
            for (size_t j = 0; j < n; j++) c[i * n + j] += factor * b[l * n + j];
        }
}

/* c [m, m] = a s a' with a: [m, n], s: [n, n] symmetric; scratch: [n, m]. */
CLSP_CLONES static void congruence(double *c, const double *a, const double *s, size_t m, size_t n, double *scratch)
{
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < m; i++) scratch[j * m + i] = clsp_span_dot(s + j * n, a + i * n, n);
    product(c, a, scratch, m, m, n);
}

static clipspan_status workspace_open(workspace *w, size_t n, size_t embed_dim, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t square;
    *w = (workspace){.n = n, .embed_dim = embed_dim};
    if (!clsp_mul(&square, n, n)) return clsp_fail_memory(err);
    CLSP_ALLOC(w->length, clsp_alloc(n, sizeof(double)));
    CLSP_ALLOC(w->left, clsp_alloc(n, sizeof(double)));
    CLSP_ALLOC(w->values, clsp_alloc(n, sizeof(double)));
    CLSP_ALLOC(w->pivot, clsp_alloc(n, sizeof(size_t)));
    double **matrices[] = {&w->gram, &w->triangle, &w->second, &w->covariance, &w->axes, &w->rotated, &w->scratch};
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
        CLSP_ALLOC(*matrices[i], clsp_alloc_zero(square, sizeof(double)));
out:
    return status;
}

static void workspace_close(workspace *w)
{
    double *all[] = {w->length, w->left,    w->values,     w->gram, w->triangle,
                     w->second, w->covariance, w->axes, w->rotated, w->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
    clsp_free(w->pivot);
}

CLSP_CLONES static void gram_of_unit_rows(workspace *w, const double *map)
{
    size_t n = w->n, e = w->embed_dim;
    for (size_t i = 0; i < n; i++) w->length[i] = sqrt(clsp_span_dot(map + i * e, map + i * e, e));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double scale = w->length[i] * w->length[j];
            double value = i == j ? scale > 0 : scale > 0 ? clsp_span_dot(map + i * e, map + j * e, e) / scale : 0;
            w->gram[i * n + j] = w->gram[j * n + i] = value;
        }
}

/* Row `row` of T once its pivot is known: what the rows above leave of the Gram matrix's row. */
static void triangle_row(workspace *w, size_t row, size_t pivot)
{
    size_t n = w->n;
    double *t = w->triangle + row * n, root = sqrt(w->left[pivot]);
    memcpy(t, w->gram + pivot * n, n * sizeof *t);
    for (size_t above = 0; above < row; above++) {
        const double *u = w->triangle + above * n;
        double factor = u[pivot];
        for (size_t i = 0; i < n; i++) t[i] -= factor * u[i];
    }
    for (size_t i = 0; i < n; i++) t[i] /= root;
    for (size_t before = 0; before < row; before++) t[w->pivot[before]] = 0;
    t[pivot] = root;
    for (size_t i = 0; i < n; i++) w->left[i] -= t[i] * t[i];
    w->left[pivot] = -1; /* done */
    w->pivot[row] = pivot;
}

/* Cholesky with pivoting of the Gram matrix, ended where the remaining rows depend on those before. */
static void factor_gram(workspace *w)
{
    size_t n = w->n;
    for (size_t i = 0; i < n; i++) w->left[i] = w->gram[i * n + i];
    w->smallest = 1;
    for (w->rank = 0; w->rank < n; w->rank++) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (w->left[i] > w->left[best]) best = i;
        if (w->left[best] <= DEPENDENT) break;
        w->smallest = fmin(w->smallest, w->left[best]);
        triangle_row(w, w->rank, best);
    }
}

/* B and K of the head of the file; returns K's trace. */
static double moments_in_span(workspace *w, const double *second, const double *mean)
{
    size_t n = w->n, r = w->rank;
    double *scaled = w->axes, trace = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) scaled[i * n + j] = second[i * n + j] * w->length[i] * w->length[j];
    congruence(w->second, w->triangle, scaled, r, n, w->scratch);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            scaled[i * n + j] = (second[i * n + j] - mean[i] * mean[j]) * w->length[i] * w->length[j];
    congruence(w->covariance, w->triangle, scaled, r, n, w->scratch);
    for (size_t i = 0; i < r; i++) trace += w->covariance[i * r + i];
    return trace;
}

/* Right singular vectors of c above round-off, at most `cap`: [k, r] rows in w->axes, largest first. Returns k. */
static clipspan_status singular_vectors(workspace *w, size_t cap, size_t *k, double *total, clipspan_error *err)
{
    size_t r = w->rank;
    double trace = 0;
    for (size_t i = 0; i < r; i++) trace += w->second[i * r + i];
    if (*total <= CLSP_SPAN_ROUND_OFF * CLSP_SPAN_ROUND_OFF * trace) *total = 0; /* constant but for rounding */
    clipspan_status status = clsp_eigen_symmetric(w->second, w->values, r, err);
    if (status != CLIPSPAN_OK) return status;
    double largest = r ? w->values[r - 1] : 0;
    *k = 0;
    while (*k < r && *k < cap && *total > 0 &&
           w->values[r - 1 - *k] > CLSP_SPAN_ROUND_OFF * CLSP_SPAN_ROUND_OFF * largest) {
        memcpy(w->axes + *k * r, w->second + (r - 1 - *k) * r, r * sizeof(double));
        ++*k;
    }
    return CLIPSPAN_OK;
}

/* Turns the singular vectors into the principal axes of the covariance in their span: [k, r] rows in w->rotated, and
 * the variances. In these axes a score is a plain weighted sum of squares, with nothing to cancel. */
static clipspan_status principal_axes(workspace *w, size_t k, double *variance, clipspan_error *err)
{
    size_t r = w->rank;
    double *inside = w->second; /* [k, k]: the eigenvectors there have been copied out */
    congruence(inside, w->axes, w->covariance, k, r, w->scratch);
    clipspan_status status = clsp_eigen_symmetric(inside, w->values, k, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < k; i++) {
        variance[i] = fmax(w->values[k - 1 - i], 0);
        memcpy(w->scratch + i * k, inside + (k - 1 - i) * k, k * sizeof(double));
    }
    product(w->rotated, w->scratch, w->axes, k, r, k);
    return CLIPSPAN_OK;
}

/* Rewrites rows of coefficients over U as coefficients over the pivot rows of M: x U = x L^-1 D^-1 M_pivot, where
 * L[s][t] = T[t][pivot s] is lower triangular; solved from the last column back. */
static void coefficients_over_rows(const workspace *w, size_t k)
{
    size_t n = w->n, r = w->rank;
    for (size_t row = 0; row < k; row++) {
        double *x = w->rotated + row * r;
        for (size_t t = r; t-- > 0;) {
            x[t] /= w->triangle[t * n + w->pivot[t]];
            for (size_t s = 0; s < t; s++) x[s] -= x[t] * w->triangle[s * n + w->pivot[t]];
        }
        for (size_t s = 0; s < r; s++) x[s] /= w->length[w->pivot[s]];
    }
}

enum { STRIP = 64, PAIR = 2 };

/* PAIR rows of the basis over one whole strip: sums stay in registers, each of M's strips is read once for both. */
static inline void strip_of_axes(const workspace *w, const double *map, size_t row, size_t first,
                                 double sum[PAIR][STRIP])
{
    const double *x = w->rotated + row * w->rank;
    memset(sum, 0, sizeof(double[PAIR][STRIP]));
    for (size_t s = 0; s < w->rank; s++) {
        const double *m = map + w->pivot[s] * w->embed_dim + first;
        for (size_t p = 0; p < PAIR; p++)
            for (size_t i = 0; i < STRIP; i++) sum[p][i] += x[p * w->rank + s] * m[i];
    }
}

/* What is left over: one row, fewer than STRIP columns or the last row of an odd number. */
static inline void piece_of_axis(const workspace *w, const double *map, size_t row, size_t first, size_t width,
                                 double *out)
{
    memset(out, 0, width * sizeof *out);
    for (size_t s = 0; s < w->rank; s++) {
        const double *m = map + w->pivot[s] * w->embed_dim + first;
        for (size_t i = 0; i < width; i++) out[i] += w->rotated[row * w->rank + s] * m[i];
    }
}

/* basis [k, E] = coefficients [k, r] times the pivot rows of M, in strips of E that stay in the first cache. */
CLSP_CLONES static void axes_in_joint_space(const workspace *w, const double *map, size_t k, double *basis)
{
    size_t e = w->embed_dim;
    for (size_t first = 0; first < e; first += STRIP) {
        size_t width = clsp_min(STRIP, e - first), row = 0;
        for (; width == STRIP && row + PAIR <= k; row += PAIR) {
            double sum[PAIR][STRIP];
            strip_of_axes(w, map, row, first, sum);
            for (size_t p = 0; p < PAIR; p++) memcpy(basis + (row + p) * e + first, sum[p], sizeof sum[p]);
        }
        for (; row < k; row++) piece_of_axis(w, map, row, first, width, basis + row * e + first);
    }
}

/* Gram-Schmidt, twice, in the order of the rows. */
static void orthonormalise(double *rows, size_t k, size_t e)
{
    for (size_t i = 0; i < k; i++) {
        double *x = rows + i * e;
        for (int pass = 0; pass < 2; pass++) {
            for (size_t j = 0; j < i; j++) {
                double part = clsp_span_dot(x, rows + j * e, e);
                for (size_t d = 0; d < e; d++) x[d] -= part * rows[j * e + d];
            }
            double length = sqrt(clsp_span_dot(x, x, e));
            for (size_t d = 0; d < e; d++) x[d] /= length;
        }
    }
}

static bool all_finite(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Everything up to the singular vectors, in an open workspace. */
static clipspan_status measure(workspace *w, const double *map, const double *second, const double *mean, size_t cap,
                               size_t *k, double *total, clipspan_error *err)
{
    size_t n = w->n;
    if (!all_finite(second, n * n) || !all_finite(mean, n) || !all_finite(map, n * w->embed_dim))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "contributions hold values that are not finite");
    gram_of_unit_rows(w, map);
    factor_gram(w);
    *total = moments_in_span(w, second, mean);
    return singular_vectors(w, cap, k, total, err);
}

clipspan_status clsp_span_build(clsp_span *span, const double *map, const double *second, const double *mean, size_t n,
                                size_t embed_dim, size_t cap, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    workspace w;
    *span = (clsp_span){.embed_dim = embed_dim};
    CLSP_TRY(workspace_open(&w, n, embed_dim, err));
    CLSP_TRY(measure(&w, map, second, mean, cap, &span->k, &span->total, err));
    CLSP_ALLOC(span->variance, clsp_alloc(span->k, sizeof(double)));
    CLSP_ALLOC(span->basis, clsp_alloc(span->k * embed_dim, sizeof(double)));
    CLSP_TRY(principal_axes(&w, span->k, span->variance, err));
    coefficients_over_rows(&w, span->k);
    axes_in_joint_space(&w, map, span->k, span->basis);
    if (w.smallest < UNSAFE) orthonormalise(span->basis, span->k, embed_dim);
out:
    workspace_close(&w);
    if (status != CLIPSPAN_OK) clsp_span_free(span);
    return status;
}

clipspan_status clsp_span_measure(size_t *k, double *total, const double *map, const double *second, const double *mean,
                                  size_t n, size_t embed_dim, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    workspace w;
    CLSP_TRY(workspace_open(&w, n, embed_dim, err));
    CLSP_TRY(measure(&w, map, second, mean, n, k, total, err));
out:
    workspace_close(&w);
    return status;
}

void clsp_span_free(clsp_span *span)
{
    clsp_free(span->basis);
    clsp_free(span->variance);
    *span = (clsp_span){0};
}
