/* compute/gemm.h - products of our own on vector registers: y = act(x W' + b) or y += x W' + b, in f32 and in bf16.
 *
 * Weights are packed once into panels of columns, in the order in which they are read; the layout depends on the
 * processor's instructions (clsp_gemm_layout), never on rows or threads. Every element of a product is summed in one
 * fixed order of its inputs, whatever the number of rows or threads, so a row's bits do not depend on its company.
 *
 * Letters: R rows, K inputs, M outputs. Any sizes; no alignment is asked of rows.
 */
#ifndef CLSP_COMPUTE_GEMM_H
#define CLSP_COMPUTE_GEMM_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/gemm.h is private to src/compute"
#endif

#include "compute/compute.h"

/* Name of the layout that this processor's kernels want for the type, such as "avx512_bf16": part of a weight cache's
 * key. Borrowed. */
const char *clsp_gemm_layout(clsp_type type);
/* Bytes of packed weights; 0: too large. */
size_t clsp_gemm_packed_bytes(clsp_type type, size_t in, size_t out);
/* weight: [M, K] or, transposed, [K, M], fp32, row stride in elements. to: clsp_gemm_packed_bytes, aligned to 64 bytes. */
void clsp_gemm_pack(void *to, clsp_type type, const float *weight, size_t stride, bool transposed, size_t in, size_t out);

typedef struct clsp_gemm_product {
    void *y;                   /* [R, M] in `output` */
    const void *x;             /* [R, K] in `compute` */
    size_t y_stride, x_stride; /* elements */
    const void *weight;        /* packed; NULL: `plain` */
    const float *bias;         /* [M] or NULL */
    size_t rows, in, out;
    clsp_type compute, output;
    clsp_epilogue epilogue;
    /* Of plain fp32 products alone: */
    bool x_transposed; /* x is [K, R] */
    bool scaled;       /* y = alpha x W' + beta y, and neither bias nor epilogue */
    float alpha, beta;
    /* Weights not packed, [M, K] or, transposed, [K, M]: each panel is laid out where it is used, for every 126 rows anew. */
    const float *plain;
    size_t plain_stride;
    bool plain_transposed;
} clsp_gemm_product;
/* Bytes of scratch that one thread of a product wants. */
size_t clsp_gemm_scratch(clsp_type type, size_t in, size_t out);
/* scratch: [threads, clsp_gemm_scratch], aligned to 64 bytes. */
void clsp_gemm_run(const clsp_gemm_product *product, void *scratch, int threads);

#endif
