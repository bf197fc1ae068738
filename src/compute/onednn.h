/* compute/onednn.h - the one thin layer over oneDNN's C API, which changed between 2.x and 3.x: memory descriptors
 * were structs and became opaque, operation descriptors disappeared, post-operations lost their scale.
 *
 *     clsp_product_desc desc = {.m = 197, .n = 768, .k = 768, .a_stride = 768, .c_stride = 768, .packed = &layout};
 *     CLSP_TRY(clsp_product_new(&product, workspace, &desc, err));
 *     clsp_product_run(product, stream, scratch, &(clsp_product_data){.a = x, .b = weights, .c = y}, err);
 *
 * A product is one matmul primitive with the memory objects that it is run with: c = epilogue(a b + bias). Its
 * scratchpad is always the caller's, because oneDNN's own belongs to the thread that created the primitive.
 */
#ifndef CLSP_COMPUTE_ONEDNN_H
#define CLSP_COMPUTE_ONEDNN_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/onednn.h is private to src/compute"
#endif

#include <dnnl.h>

#include "compute/compute.h"

/* A matrix in memory, as oneDNN describes it. Zeroed: none. */
typedef struct clsp_matrix {
    dnnl_memory_desc_t md;
    bool set;
} clsp_matrix;

void clsp_matrix_clear(clsp_matrix *matrix);
size_t clsp_matrix_bytes(const clsp_matrix *matrix);

struct clsp_workspace {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    void *scratch; /* scratchpad of whatever product of this workspace runs */
    size_t scratch_bytes;
};
clipspan_status clsp_workspace_reserve(clsp_workspace *workspace, size_t bytes, clipspan_error *err);

typedef struct clsp_product_desc {
    size_t m, n, k;
    size_t a_stride, b_stride, c_stride; /* of rows, in elements */
    bool b_transposed;                   /* b is kept as [n, k] */
    bool bias;                           /* [n], fp32 */
    clsp_type input, output;             /* of a and b; of c */
    clsp_epilogue epilogue;
    clsp_matrix *packed; /* b's own layout; not yet set: chosen here, and written there. NULL: b_stride says */
    int threads;         /* 1: made to run inside a parallel region; 0: as many as the calling thread has */
} clsp_product_desc;

typedef struct clsp_product_data {
    const void *a, *b;
    const float *bias;
    void *c;
} clsp_product_data;

typedef struct clsp_product {
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, bias, c, scratch;
    size_t scratch_bytes;
    const char *name; /* of the implementation chosen, such as "brg:avx512_core" */
} clsp_product;

clipspan_status clsp_product_new(clsp_product *product, const clsp_workspace *workspace, const clsp_product_desc *desc,
                                 clipspan_error *err);
void clsp_product_clear(clsp_product *product); /* a zeroed one is fine */
clipspan_status clsp_product_run(clsp_product *product, dnnl_stream_t stream, void *scratch,
                                 const clsp_product_data *data, clipspan_error *err);

/* Rows x columns of `from` (fp32; transposed: kept as [columns, rows]) into the layout `to`, at `out`. */
clipspan_status clsp_matrix_pack(const clsp_workspace *workspace, void *out, const clsp_matrix *to, const float *from,
                                 bool transposed, size_t rows, size_t columns, clipspan_error *err);

clipspan_status clsp_dnnl_check(dnnl_status_t status, const char *what, clipspan_error *err);

#endif
