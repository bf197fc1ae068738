/* Plain products, by the kernels of linear layers: b is packed on the fly. And how fast bf16 is here. */
#include "compute/gemm.h"
#include "compute/isa.h"
#include "compute/tiles.h"

#include <omp.h>
#include <time.h>

int clsp_threads(int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads > 0 ? threads : clsp_cpu_count());
    return before;
}

/* Threads are worth their start from some 10 microseconds of work on. */
static int threads_for(size_t m, size_t n, size_t k)
{
    double work = (double)m * (double)n * (double)k / 500000.0;
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    return work < (double)threads ? (int)clsp_max(work, 1.0) : threads;
}

/* Up to so many rows pass a panel by once. */
enum { FEW_ROWS = 126 };

/* c = beta c, for k = 0. */
static void scale(float *c, size_t c_stride, size_t m, size_t n, float beta)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * c_stride + j] = beta == 0.0f ? 0.0f : beta * c[i * c_stride + j];
}

clipspan_status clsp_sgemm(float *c, size_t c_stride, const float *a, size_t a_stride, bool ta, const float *b,
                           size_t b_stride, bool tb, size_t m, size_t n, size_t k, float alpha, float beta,
                           clipspan_error *err)
{
    if (m == 0 || n == 0) return CLIPSPAN_OK;
    if (k == 0) {
        scale(c, c_stride, m, n, beta);
        return CLIPSPAN_OK;
    }
    int threads = threads_for(m, n, k);
    bool plain = m <= FEW_ROWS;
    size_t packed = clsp_gemm_packed_bytes(CLSP_TYPE_F32, k, n), scratch = clsp_gemm_scratch(CLSP_TYPE_F32, k, n), bytes;
    if (packed == 0 || !clsp_mul(&bytes, scratch, (size_t)threads) || !clsp_add(&bytes, bytes, plain ? 0 : packed))
        return clsp_fail_memory(err);
    char *room = clsp_alloc_aligned(bytes, 1);
    if (room == NULL) return clsp_fail_memory(err);
    clsp_gemm_product product = {.y = c, .x = a, .y_stride = c_stride, .x_stride = a_stride, .rows = m, .in = k, .out = n,
                                 .x_transposed = ta, .scaled = true, .alpha = alpha, .beta = beta, .plain = b,
                                 .plain_stride = b_stride, .plain_transposed = !tb};
    if (!plain) {
        void *weight = room + (size_t)threads * scratch;
        clsp_gemm_pack(weight, CLSP_TYPE_F32, b, b_stride, !tb, k, n);
        product.weight = weight;
    }
    clsp_gemm_run(&product, room, threads);
    clsp_free(room);
    return CLIPSPAN_OK;
}

const char *clsp_compute_name(void)
{
    return clsp_isa_name(clsp_tiles_supported() ? CLSP_ISA_AMX : clsp_isa());
}

bool clsp_bf16_is_fast(void)
{
    return clsp_tiles_supported() || clsp_isa() >= CLSP_ISA_AVX512_BF16;
}

/* ---- how fast bf16 is here ----------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Seconds of the best of some products [256, width] x [width, width]; negative: no memory. */
static double product_seconds(clsp_workspace *workspace, size_t width, clsp_type type)
{
    enum { ROWS = 256, TRIES = 4 };
    clsp_packed packed;
    clsp_linear *linear = NULL;
    double best = -1.0;
    float *zeros = clsp_alloc_zero(width, width * sizeof *zeros), *x = clsp_alloc_zero(2 * ROWS, width * sizeof *x);
    void *weight = NULL;
    if (clsp_packed_init(&packed, type, width, width, NULL) != CLIPSPAN_OK || zeros == NULL || x == NULL ||
        (weight = clsp_alloc_aligned(packed.bytes, 1)) == NULL ||
        clsp_linear_new(&linear, workspace, &packed, type, CLSP_EPILOGUE_NONE, NULL) != CLIPSPAN_OK)
        goto out;
    clsp_packed_fill(&packed, weight, zeros, false);
    for (int i = 0; i < TRIES; i++) {
        double began = now();
        if (clsp_linear_run(linear, x + ROWS * width, width, x, width, ROWS, NULL)) goto out;
        double taken = now() - began;
        if (i > 0 && (best < 0 || taken < best)) best = taken; /* the first one warms up */
    }
out:
    clsp_linear_free(linear);
    clsp_free(weight);
    clsp_free(zeros);
    clsp_free(x);
    return best;
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
