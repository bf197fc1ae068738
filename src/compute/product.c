/* Plain products, the workspace of one engine, and what this processor can do. */
#include "compute/onednn.h"

#include <omp.h>
#include <time.h>

int clsp_threads(int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads > 0 ? threads : clsp_cpu_count());
    return before;
}

clipspan_status clsp_workspace_new(clsp_workspace **out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_workspace *workspace = NULL;
    *out = NULL;
    CLSP_ALLOC(workspace, clsp_alloc_zero(1, sizeof *workspace));
    CLSP_TRY(clsp_dnnl_check(dnnl_engine_create(&workspace->engine, dnnl_cpu, 0), "starting oneDNN", err));
    CLSP_TRY(clsp_dnnl_check(dnnl_stream_create(&workspace->stream, workspace->engine, dnnl_stream_default_flags),
                             "starting oneDNN", err));
    *out = workspace;
    workspace = NULL;
out:
    clsp_workspace_free(workspace);
    return status;
}

void clsp_workspace_free(clsp_workspace *workspace)
{
    if (workspace == NULL) return;
    if (workspace->stream) dnnl_stream_destroy(workspace->stream);
    if (workspace->engine) dnnl_engine_destroy(workspace->engine);
    clsp_free(workspace->scratch);
    clsp_free(workspace);
}

clipspan_status clsp_workspace_reserve(clsp_workspace *workspace, size_t bytes, clipspan_error *err)
{
    if (bytes <= workspace->scratch_bytes) return CLIPSPAN_OK;
    void *larger = clsp_alloc_aligned(bytes, 1);
    if (larger == NULL) return clsp_fail_memory(err);
    clsp_free(workspace->scratch);
    workspace->scratch = larger;
    workspace->scratch_bytes = bytes;
    return CLIPSPAN_OK;
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

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *clsp_compute_name(void)
{
    return "oneDNN " TEXT(DNNL_VERSION_MAJOR) "." TEXT(DNNL_VERSION_MINOR) "." TEXT(DNNL_VERSION_PATCH);
}

/* ---- how fast bf16 is here ----------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Seconds of the best of some products [256, width] x [width, width]; negative: the type does not run here. */
static double product_seconds(clsp_workspace *workspace, size_t width, clsp_type type)
{
    enum { ROWS = 256, TRIES = 4 };
    clsp_packed packed;
    clsp_linear *linear = NULL;
    double best = -1.0;
    float *zeros = clsp_alloc_zero(width, width * sizeof *zeros), *x = clsp_alloc_zero(2 * ROWS, width * sizeof *x);
    void *weight = NULL;
    if (clsp_packed_init(&packed, type, width, width, ROWS, NULL) != CLIPSPAN_OK || zeros == NULL || x == NULL ||
        (weight = clsp_alloc_aligned(packed.bytes, 1)) == NULL ||
        clsp_packed_fill(&packed, weight, zeros, false, NULL) != CLIPSPAN_OK ||
        clsp_linear_new(&linear, workspace, &packed, type, CLSP_EPILOGUE_NONE, NULL) != CLIPSPAN_OK)
        goto out;
    for (int i = 0; i < TRIES; i++) {
        double began = now();
        if (clsp_linear_run(linear, x + ROWS * width, width, x, width, ROWS, NULL)) goto out;
        double taken = now() - began;
        if (i > 0 && (best < 0 || taken < best)) best = taken; /* the first one warms up */
    }
out:
    clsp_linear_free(linear);
    clsp_packed_clear(&packed);
    clsp_free(weight);
    clsp_free(zeros);
    clsp_free(x);
    return best;
}

bool clsp_bf16_supported(void)
{
    clsp_workspace *workspace = NULL;
    if (clsp_workspace_new(&workspace, NULL) != CLIPSPAN_OK) return false;
    clsp_matrix layout = {.set = false};
    clsp_product product;
    clsp_product_desc desc = {.m = 64, .n = 64, .k = 64, .a_stride = 64, .c_stride = 64, .input = CLSP_TYPE_BF16,
                              .output = CLSP_TYPE_BF16, .packed = &layout};
    bool supported = clsp_product_new(&product, workspace, &desc, NULL) == CLIPSPAN_OK;
    if (supported) clsp_product_clear(&product);
    clsp_matrix_clear(&layout);
    clsp_workspace_free(workspace);
    return supported;
}

double clsp_bf16_gain(size_t width)
{
    clsp_workspace *workspace = NULL;
    if (clsp_workspace_new(&workspace, NULL) != CLIPSPAN_OK) return 0.0;
    double f32 = product_seconds(workspace, width, CLSP_TYPE_F32);
    double bf16 = product_seconds(workspace, width, CLSP_TYPE_BF16);
    clsp_workspace_free(workspace);
    return f32 > 0 && bf16 > 0 ? f32 / bf16 : 0.0;
}
