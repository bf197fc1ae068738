/* compute/attention_head.h - attention of one head of one sequence: out = softmax(scale q k') v, n tokens of d values.
 *
 * Cache-blocked and fused: k and v are packed once into the caller's scratch; then the scores of 24 queries at a time
 * stay in L1 or L2 from the first product through the softmax (fp32) to the second. attention_kernel.h is the one
 * source of every kernel. A head's bits depend on nothing but its own q, k, v and the instruction set.
 */
#ifndef CLSP_COMPUTE_ATTENTION_HEAD_H
#define CLSP_COMPUTE_ATTENTION_HEAD_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/attention_head.h is private to src/compute"
#endif

#include "compute/compute.h"
#include "compute/isa.h"

typedef struct clsp_head {
    void *out;             /* [n, d] */
    const void *q, *k, *v; /* [n, d] */
    size_t out_stride, q_stride, kv_stride; /* of rows, in elements */
    size_t n, d;
    clsp_type type; /* of all four */
    size_t ahead; /* elements from these rows of q, k, v to those of the head that comes next; 0: none */
    float scale;
    bool causal;  /* query i sees tokens 0 .. i */
    float *alpha; /* [n]: receives the first query's weights; NULL: not asked */
} clsp_head;

typedef struct clsp_head_kernel {
    size_t (*bytes)(size_t n, size_t d); /* of scratch, aligned to 64 bytes, for up to n tokens */
    void (*attend)(const clsp_head *head, void *scratch);
} clsp_head_kernel;

/* The kernel of an instruction set that clsp_isa has reached. In bf16 those below AVX512_BF16 widen to fp32; on it, products
 * are of pairs of bf16, and the weights are rounded to bf16 before their sum divides them. */
const clsp_head_kernel *clsp_head_kernel_for(clsp_isa_level isa, clsp_type type);

extern const clsp_head_kernel clsp_head_portable, clsp_head_avx2, clsp_head_avx512, clsp_head_avx512_bf16;

#endif
