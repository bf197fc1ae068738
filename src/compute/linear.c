/* Linear layers: packed weights that run, one oneDNN product for each number of rows that has been seen; or, in bf16 where
 * the processor has matrix tiles, the product of our own for them (tiles.c). */
#include "compute/onednn.h"
#include "compute/tiles.h"

#include <omp.h>

enum { KEPT = 32 };

typedef struct variant {
    size_t rows, x_stride, y_stride;
    clsp_product product;
} variant;

struct clsp_linear {
    clsp_workspace *workspace;
    const clsp_packed *packed;
    clsp_type output;
    clsp_epilogue epilogue;
    variant variants[KEPT]; /* none where the weights are packed for tiles */
    size_t count, oldest;   /* the oldest variant makes room for a new one */
};

static clipspan_status variant_new(variant *v, clsp_linear *linear, size_t rows, size_t x_stride, size_t y_stride,
                                   clipspan_error *err)
{
    const clsp_packed *w = linear->packed;
    clsp_product_desc desc = {.m = rows, .n = w->out, .k = w->in, .a_stride = x_stride, .c_stride = y_stride,
                              .bias = w->bias != NULL, .input = w->type, .output = linear->output,
                              .epilogue = linear->epilogue, .packed = w->matrix};
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_product_new(&v->product, linear->workspace, &desc, err));
    CLSP_TRY(clsp_workspace_reserve(linear->workspace, v->product.scratch_bytes, err));
    v->rows = rows;
    v->x_stride = x_stride;
    v->y_stride = y_stride;
out:
    if (status != CLIPSPAN_OK) clsp_product_clear(&v->product);
    return status;
}

static variant *find(clsp_linear *linear, size_t rows, size_t x_stride, size_t y_stride)
{
    for (size_t i = 0; i < linear->count; i++) {
        variant *v = &linear->variants[i];
        if (v->rows == rows && v->x_stride == x_stride && v->y_stride == y_stride) return v;
    }
    return NULL;
}

static clipspan_status find_or_make(variant **out, clsp_linear *linear, size_t rows, size_t x_stride, size_t y_stride,
                                    clipspan_error *err)
{
    *out = find(linear, rows, x_stride, y_stride);
    if (*out) return CLIPSPAN_OK;
    variant made = {0};
    clipspan_status status = variant_new(&made, linear, rows, x_stride, y_stride, err);
    if (status != CLIPSPAN_OK) return status;
    size_t place = linear->count;
    if (linear->count < KEPT) {
        linear->count++;
    } else {
        place = linear->oldest;
        linear->oldest = (linear->oldest + 1) % KEPT;
        clsp_product_clear(&linear->variants[place].product);
    }
    linear->variants[place] = made;
    *out = &linear->variants[place];
    return CLIPSPAN_OK;
}

static clipspan_status tiles_run(const clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride,
                                 size_t rows, clipspan_error *err)
{
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    clsp_tiles_product product = {.y = y, .x = x, .y_stride = y_stride, .x_stride = x_stride, .weight = linear->packed->weight,
                                  .bias = linear->packed->bias, .rows = rows, .in = linear->packed->in,
                                  .out = linear->packed->out, .output = linear->output, .epilogue = linear->epilogue};
    clipspan_status status = clsp_workspace_reserve(linear->workspace, (size_t)threads * CLSP_TILES_SCRATCH, err);
    if (status == CLIPSPAN_OK) clsp_tiles_run(&product, linear->workspace->scratch, threads);
    return status;
}

static clipspan_status prepare(clsp_linear *linear, clipspan_error *err)
{
    const clsp_packed *w = linear->packed;
    variant *usual;
    if (w->matrix == NULL)
        return clsp_workspace_reserve(linear->workspace, (size_t)omp_get_max_threads() * CLSP_TILES_SCRATCH, err);
    return find_or_make(&usual, linear, w->rows, w->in, w->out, err);
}

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
    CLSP_TRY(prepare(linear, err));
    *out = linear;
    linear = NULL;
out:
    clsp_linear_free(linear);
    return status;
}

void clsp_linear_free(clsp_linear *linear)
{
    if (linear == NULL) return;
    for (size_t i = 0; i < linear->count; i++) clsp_product_clear(&linear->variants[i].product);
    clsp_free(linear);
}

clipspan_status clsp_linear_run(clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride,
                                size_t rows, clipspan_error *err)
{
    if (rows == 0) return CLIPSPAN_OK;
    if (linear->packed->matrix == NULL) return tiles_run(linear, y, y_stride, x, x_stride, rows, err);
    variant *v;
    clipspan_status status = find_or_make(&v, linear, rows, x_stride, y_stride, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_product_data data = {.a = x, .b = linear->packed->weight, .bias = linear->packed->bias, .c = y};
    return clsp_product_run(&v->product, linear->workspace->stream, linear->workspace->scratch, &data, err);
}

const char *clsp_linear_implementation(const clsp_linear *linear)
{
    return linear->packed->matrix == NULL ? linear->packed->layout : linear->variants[0].product.name;
}
