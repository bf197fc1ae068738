/* Small symmetric problems in double precision. The only door to LAPACKE.
 *
 * LAPACK works on columns. A symmetric matrix is its own transpose, and eigenvectors that LAPACK writes as columns
 * are rows to us, so nothing is ever transposed here. For the same reason a row-major [m, n] matrix is LAPACK's
 * [n, m] one, whose left singular vectors are our right ones. */
#include "compute/compute.h"

#include <lapacke.h>
#include <pthread.h>

/* OpenBLAS, where LAPACK is that, has threads of its own. They know nothing of the number that was asked for, and spin
 * beside the loops that call from here. While a call is inside there is one; then as many as there were. Other LAPACKs
 * have no such functions. */
extern int openblas_get_num_threads(void) __attribute__((weak));
extern void openblas_set_num_threads(int threads) __attribute__((weak));
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int inside, outside_threads;

static void enter(void)
{
    if (openblas_get_num_threads == NULL || openblas_set_num_threads == NULL) return;
    pthread_mutex_lock(&lock);
    if (inside++ == 0) {
        outside_threads = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&lock);
}

static void leave(void)
{
    if (openblas_get_num_threads == NULL || openblas_set_num_threads == NULL) return;
    pthread_mutex_lock(&lock);
    if (--inside == 0) openblas_set_num_threads(outside_threads);
    pthread_mutex_unlock(&lock);
}

static bool fits(size_t n) { return n <= (size_t)INT32_MAX; }

clipspan_status clsp_eigen_symmetric(double *a, double *values, size_t n, clipspan_error *err)
{
    if (n == 0) return CLIPSPAN_OK;
    if (!fits(n)) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "eigenproblem of %zu rows is too large", n);
    enter();
    lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', (lapack_int)n, a, (lapack_int)n, values);
    leave();
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
    enter();
    lapack_int info = LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'S', 'N', (lapack_int)n, (lapack_int)m, a, (lapack_int)n, s,
                                     vt, (lapack_int)n, other, 1, spare);
    leave();
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
