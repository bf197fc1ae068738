/* Linear layers: one packed copy of the weights, one oneDNN product for each number of rows that has been seen; or, in
 * bf16 where the processor has matrix tiles, the product of our own for them (tiles.c).
 *
 * The packed layout is the one that oneDNN picks for the usual number of rows; products for other numbers of rows
 * are made for that same layout. */
#include "compute/onednn.h"
#include "compute/tiles.h"

#include <omp.h>
#include <string.h>

enum { KEPT = 32 };

typedef struct variant {
    size_t rows, x_stride, y_stride;
    clsp_product product;
} variant;

struct clsp_linear {
    clsp_workspace *workspace;
    clsp_linear_desc desc;
    clsp_matrix layout;
    void *weight;
    float *bias; /* [out] or NULL */
    bool tiles;  /* the weight is packed for tiles, and there are no variants */
    variant variants[KEPT];
    size_t count, oldest; /* the oldest variant makes room for a new one */
};

static clipspan_status variant_new(variant *v, clsp_linear *linear, size_t rows, size_t x_stride, size_t y_stride,
                                   clipspan_error *err)
{
    const clsp_linear_desc *d = &linear->desc;
    clsp_product_desc desc = {.m = rows, .n = d->out, .k = d->in, .a_stride = x_stride, .c_stride = y_stride,
                              .bias = linear->bias != NULL, .input = d->compute, .output = d->output,
                              .epilogue = d->epilogue, .packed = &linear->layout};
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

static clipspan_status pack(clsp_linear *linear, const float *weight, bool transposed, clipspan_error *err)
{
    const clsp_linear_desc *d = &linear->desc;
    variant *usual;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(find_or_make(&usual, linear, d->rows, d->in, d->out, err));
    CLSP_ALLOC(linear->weight, clsp_alloc_aligned(clsp_matrix_bytes(&linear->layout), 1));
    /* b of the product is [in, out]: what PyTorch keeps as [out, in] is its transpose. */
    CLSP_TRY(clsp_matrix_pack(linear->workspace, linear->weight, &linear->layout, weight, !transposed, d->in, d->out,
                              err));
out:
    return status;
}

static clipspan_status pack_tiles(clsp_linear *linear, const float *weight, bool transposed, clipspan_error *err)
{
    size_t in = linear->desc.in, out = linear->desc.out, count;
    if (!clsp_mul(&count, in, out)) return clsp_fail_memory(err);
    linear->weight = clsp_alloc_aligned(count, sizeof(uint16_t));
    if (linear->weight == NULL) return clsp_fail_memory(err);
    clsp_tiles_pack(linear->weight, weight, transposed, in, out);
    return clsp_workspace_reserve(linear->workspace, (size_t)omp_get_max_threads() * CLSP_TILES_SCRATCH, err);
}

static clipspan_status tiles_run(const clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride,
                                 size_t rows, clipspan_error *err)
{
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    clsp_tiles_product product = {.y = y, .x = x, .y_stride = y_stride, .x_stride = x_stride, .weight = linear->weight,
                                  .bias = linear->bias, .rows = rows, .in = linear->desc.in, .out = linear->desc.out,
                                  .output = linear->desc.output, .epilogue = linear->desc.epilogue};
    clipspan_status status = clsp_workspace_reserve(linear->workspace, (size_t)threads * CLSP_TILES_SCRATCH, err);
    if (status == CLIPSPAN_OK) clsp_tiles_run(&product, linear->workspace->scratch, threads);
    return status;
}

clipspan_status clsp_linear_new(clsp_linear **out, clsp_workspace *workspace, const clsp_linear_desc *desc,
                                const float *weight, bool transposed, const float *bias, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_linear *linear = NULL;
    *out = NULL;
    CLSP_ALLOC(linear, clsp_alloc_zero(1, sizeof *linear));
    linear->workspace = workspace;
    linear->desc = *desc;
    if (bias) {
        CLSP_ALLOC(linear->bias, clsp_alloc_aligned(desc->out, sizeof *bias));
        memcpy(linear->bias, bias, desc->out * sizeof *bias);
    }
    linear->tiles = desc->compute == CLSP_TYPE_BF16 && clsp_tiles_fit(desc->in, desc->out) && clsp_tiles_supported();
    CLSP_TRY(linear->tiles ? pack_tiles(linear, weight, transposed, err) : pack(linear, weight, transposed, err));
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
    clsp_matrix_clear(&linear->layout);
    clsp_free(linear->weight);
    clsp_free(linear->bias);
    clsp_free(linear);
}

clipspan_status clsp_linear_run(clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride,
                                size_t rows, clipspan_error *err)
{
    if (rows == 0) return CLIPSPAN_OK;
    if (linear->tiles) return tiles_run(linear, y, y_stride, x, x_stride, rows, err);
    variant *v;
    clipspan_status status = find_or_make(&v, linear, rows, x_stride, y_stride, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_product_data data = {.a = x, .b = linear->weight, .bias = linear->bias, .c = y};
    return clsp_product_run(&v->product, linear->workspace->stream, linear->workspace->scratch, &data, err);
}

const char *clsp_linear_implementation(const clsp_linear *linear)
{
    return linear->tiles ? "clipspan:amx_bf16" : linear->variants[0].product.name;
}
