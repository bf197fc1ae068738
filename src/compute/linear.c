/* Linear layers: packed weights that run, by the products of our own: on matrix tiles (tiles.c) or on vector registers
 * (gemm.c), as the weights were packed. */
#include "compute/packed.h"

#include <omp.h>

struct clsp_workspace {
    void *scratch;
    size_t bytes;
};

struct clsp_linear {
    clsp_workspace *workspace;
    const clsp_packed *packed;
    clsp_type output;
    clsp_epilogue epilogue;
    size_t thread_scratch; /* bytes */
};

clipspan_status clsp_workspace_new(clsp_workspace **out, clipspan_error *err)
{
    *out = clsp_alloc_zero(1, sizeof **out);
    return *out ? CLIPSPAN_OK : clsp_fail_memory(err);
}

void clsp_workspace_free(clsp_workspace *workspace)
{
    if (workspace) clsp_free(workspace->scratch);
    clsp_free(workspace);
}

size_t clsp_workspace_bytes(const clsp_workspace *workspace) { return workspace->bytes; }

static clipspan_status reserve(clsp_workspace *workspace, size_t bytes, clipspan_error *err)
{
    if (bytes <= workspace->bytes) return CLIPSPAN_OK;
    void *larger = clsp_alloc_aligned(bytes, 1);
    if (larger == NULL) return clsp_fail_memory(err);
    clsp_free(workspace->scratch);
    workspace->scratch = larger;
    workspace->bytes = bytes;
    return CLIPSPAN_OK;
}

/* Products inside a parallel region run on their own thread. */
static int threads_now(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

clipspan_status clsp_linear_new(clsp_linear **out, clsp_workspace *workspace, const clsp_packed *packed,
                                clsp_type output, clsp_epilogue epilogue, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_linear *linear = NULL;
    *out = NULL;
    CLSP_ALLOC(linear, clsp_alloc_zero(1, sizeof *linear));
    linear->workspace = workspace;
    linear->packed = packed;
    linear->output = output;
    linear->epilogue = epilogue;
    linear->thread_scratch = clsp_packed_for_tiles(packed) ? CLSP_TILES_SCRATCH
                                                           : clsp_gemm_scratch(packed->type, packed->in, packed->out);
    CLSP_TRY(reserve(workspace, (size_t)omp_get_max_threads() * linear->thread_scratch, err));
    *out = linear;
    linear = NULL;
out:
    clsp_linear_free(linear);
    return status;
}

void clsp_linear_free(clsp_linear *linear) { clsp_free(linear); }

static void tiles_run(const clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride, size_t rows,
                      int threads)
{
    const clsp_packed *w = linear->packed;
    clsp_tiles_product product = {.y = y, .x = x, .y_stride = y_stride, .x_stride = x_stride, .weight = w->weight,
                                  .bias = w->bias, .rows = rows, .in = w->in, .out = w->out, .output = linear->output,
                                  .epilogue = linear->epilogue};
    clsp_tiles_run(&product, linear->workspace->scratch, threads);
}

static void gemm_run(const clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride, size_t rows,
                     int threads)
{
    const clsp_packed *w = linear->packed;
    clsp_gemm_product product = {.y = y, .x = x, .y_stride = y_stride, .x_stride = x_stride, .weight = w->weight,
                                 .bias = w->bias, .rows = rows, .in = w->in, .out = w->out, .compute = w->type,
                                 .output = linear->output, .epilogue = linear->epilogue};
    clsp_gemm_run(&product, linear->workspace->scratch, threads);
}

clipspan_status clsp_linear_run(clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride,
                                size_t rows, clipspan_error *err)
{
    if (rows == 0) return CLIPSPAN_OK;
    int threads = threads_now();
    clipspan_status status = reserve(linear->workspace, (size_t)threads * linear->thread_scratch, err);
    if (status != CLIPSPAN_OK) return status;
    if (clsp_packed_for_tiles(linear->packed))
        tiles_run(linear, y, y_stride, x, x_stride, rows, threads);
    else
        gemm_run(linear, y, y_stride, x, x_stride, rows, threads);
    return CLIPSPAN_OK;
}

const char *clsp_linear_implementation(const clsp_linear *linear) { return linear->packed->layout; }
