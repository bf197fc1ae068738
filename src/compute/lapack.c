/* Small symmetric problems in double precision. The only door to LAPACKE.
 *
 * LAPACK works on columns. A symmetric matrix is its own transpose, and eigenvectors that LAPACK writes as columns
 * are rows to us, so nothing is ever transposed here. For the same reason a row-major [m, n] matrix is LAPACK's
 * [n, m] one, whose left singular vectors are our right ones. */
#include "compute/compute.h"

#include <lapacke.h>

static bool fits(size_t n) { return n <= (size_t)INT32_MAX; }

clipspan_status clsp_eigen_symmetric(double *a, double *values, size_t n, clipspan_error *err)
{
    if (n == 0) return CLIPSPAN_OK;
    if (!fits(n)) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "eigenproblem of %zu rows is too large", n);
    lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', (lapack_int)n, a, (lapack_int)n, values);
    if (info == LAPACK_WORK_MEMORY_ERROR) return clsp_fail_memory(err);
    if (info != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL,
                         "eigenproblem of %zu rows: LAPACK's dsyevd answered %d (values that are not finite?)", n,
                         (int)info);
    return CLIPSPAN_OK;
}

clipspan_status clsp_svd_right(double *a, size_t m, size_t n, double *s, double *vt, clipspan_error *err)
{
    if (m == 0 || n == 0) return CLIPSPAN_OK;
    if (!fits(m) || !fits(n))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "singular values of a %zu x %zu matrix: too large", m, n);
    clipspan_status status = CLIPSPAN_OK;
    size_t rank = clsp_min(m, n);
    double *other = NULL, *spare = NULL; /* the left singular vectors, which nobody wants; dgesvd's remainder */
    CLSP_ALLOC(other, clsp_alloc(1, sizeof *other));
    CLSP_ALLOC(spare, clsp_alloc(rank, sizeof *spare));
    lapack_int info = LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'S', 'N', (lapack_int)n, (lapack_int)m, a, (lapack_int)n, s,
                                     vt, (lapack_int)n, other, 1, spare);
    if (info == LAPACK_WORK_MEMORY_ERROR) {
        status = clsp_fail_memory(err);
    } else if (info != 0) {
        status = clsp_fail(err, CLIPSPAN_ERROR_INTERNAL,
                           "singular values of a %zu x %zu matrix: LAPACK's dgesvd answered %d (values that are not "
                           "finite?)", m, n, (int)info);
    }
out:
    clsp_free(other);
    clsp_free(spare);
    return status;
}
