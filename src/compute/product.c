/* Plain products and the thread count they run with. */
#include "compute/compute.h"

#include <dnnl.h>
#include <omp.h>

void clsp_threads(int threads)
{
    omp_set_num_threads(threads > 0 ? threads : clsp_cpu_count());
}

clipspan_status clsp_sgemm(float *c, size_t c_stride, const float *a, size_t a_stride, bool ta, const float *b,
                           size_t b_stride, bool tb, size_t m, size_t n, size_t k, float alpha, float beta,
                           clipspan_error *err)
{
    dnnl_status_t status = dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k,
                                      alpha, a, (dnnl_dim_t)a_stride, b, (dnnl_dim_t)b_stride, beta, c,
                                      (dnnl_dim_t)c_stride);
    if (status == dnnl_success) return CLIPSPAN_OK;
    if (status == dnnl_out_of_memory) return clsp_fail_memory(err);
    return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "product of %zu x %zu x %zu: oneDNN answered %d", m, n, k,
                     (int)status);
}
