/* compute/gemm_kernels.h - what the blocking (gemm.c) and the kernels of each instruction set say to each other.
 *
 * A step is one input, or a pair of them where the processor multiplies bf16 by pairs. A panel is nr columns of weights,
 * step after step. A strip is mr rows of x, of up to CLSP_GEMM_STEPS steps of 4 bytes, CLSP_GEMM_STRIDE apart. A tile is
 * mr x nr sums in fp32.
 */
#ifndef CLSP_COMPUTE_GEMM_KERNELS_H
#define CLSP_COMPUTE_GEMM_KERNELS_H

#include "compute/gemm.h"
#include "compute/isa.h"

#define CLSP_UNROLLED _Pragma("GCC unroll 16")

enum {
    CLSP_GEMM_STEPS = 384, /* a panel of 32 columns is then 48 KB */
    CLSP_GEMM_STRIDE = CLSP_GEMM_STEPS + 16
};

/* How a step is kept in a panel and in a strip. */
typedef enum clsp_gemm_step {
    CLSP_GEMM_F32,  /* both fp32 */
    CLSP_GEMM_PAIR, /* both two of bf16 */
    CLSP_GEMM_WIDEN /* bf16 in panels, fp32 in strips */
} clsp_gemm_step;

/* Where a tile goes: y = act(tile + bias), y += tile + bias, or y = alpha tile + beta y. */
typedef struct clsp_gemm_target {
    void *y; /* of the tile's first element */
    size_t y_stride;
    const float *bias; /* of the tile's first column; NULL: none */
    clsp_type output;
    clsp_epilogue epilogue;
    bool scaled; /* then alpha and beta, and neither bias nor epilogue */
    float alpha, beta;
} clsp_gemm_target;

typedef struct clsp_gemm_kernel {
    const char *name;
    clsp_gemm_step step;
    size_t mr, nr;
    /* tile (+)= strip x panel over some steps; the first `rows` <= mr rows alone, `pitch` floats apart, and the first half
     * of the columns alone if `columns` is no more. Meanwhile `steps` cache lines from `next` on, which may lie anywhere,
     * are brought into L2. */
    void (*multiply)(float *tile, size_t pitch, const float *strip, const void *panel, const void *next, size_t steps,
                     size_t rows, size_t columns, bool first);
    /* tiles [panels, rows, nr] += strip x weights as they came, [steps, columns] and [columns, steps]; few rows. The second
     * may be NULL; what it leaves in columns beyond the last does not matter. */
    void (*multiply_plain)(float *tiles, const float *strip, const float *weights, size_t stride, size_t steps, size_t rows,
                           size_t columns);
    void (*multiply_turned)(float *tiles, const float *strip, const float *weights, size_t stride, size_t steps, size_t rows,
                            size_t columns);
    /* to [rows, columns] = from' with from [columns, rows]; strides in floats. */
    void (*transpose)(float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t columns);
    void (*copy)(float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t columns);
    void (*finish)(const clsp_gemm_target *target, const float *tile, size_t rows, size_t columns);
} clsp_gemm_kernel;

/* NULL: not for this compiler or processor family. */
const clsp_gemm_kernel *clsp_gemm_avx512(clsp_type type, bool dot);
const clsp_gemm_kernel *clsp_gemm_avx2(clsp_type type);
const clsp_gemm_kernel *clsp_gemm_portable(clsp_type type);

#endif
