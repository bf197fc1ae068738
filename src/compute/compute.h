/* compute/compute.h - dense algebra with shapes: the only room that knows vector instructions and LAPACKE.
 *
 * All matrices are row-major. `threads` is set once per call site through clsp_threads; inside a parallel region
 * every call runs on its own thread.
 */
#ifndef CLSP_COMPUTE_H
#define CLSP_COMPUTE_H

#include "base/base.h"

typedef enum clsp_type { CLSP_TYPE_F32, CLSP_TYPE_BF16 } clsp_type;

/* What the layers of one engine share: the scratch memory of its products, so that fifty layers need one. Layers made
 * with it are used by one thread at a time. */
typedef struct clsp_workspace clsp_workspace;
clipspan_status clsp_workspace_new(clsp_workspace **out, clipspan_error *err);
void clsp_workspace_free(clsp_workspace *workspace); /* after everything that was made with it */
size_t clsp_workspace_bytes(const clsp_workspace *workspace); /* of scratch, by now */

/* ---- packed weights: laid out once in the order in which products read them ---------------------------- */

/* The weights of one linear layer. Once filled they are read alone: any number of layers, engines and threads may share
 * them. All is borrowed: whoever fills them owns the block, which may be a mapped file. */
typedef struct clsp_packed {
    clsp_type type; /* of the weights and of x */
    size_t in, out;
    const char *layout; /* its name, such as "amx_bf16": equal names and sizes, equal bytes */
    size_t bytes;       /* of weight */
    const void *weight; /* aligned to 64 bytes; NULL: not filled yet */
    const float *bias;  /* [out] or NULL */
} clsp_packed;
/* Chooses the layout and says how many bytes it takes. */
clipspan_status clsp_packed_init(clsp_packed *packed, clsp_type type, size_t in, size_t out, clipspan_error *err);
/* weight: [out, in], or [in, out] if transposed, packed to `to`: [packed->bytes], aligned to 64 bytes, which
 * packed->weight then is. Different weights may be filled at the same time. */
void clsp_packed_fill(clsp_packed *packed, void *to, const float *weight, bool transposed);

/* ---- linear layers: y = act(x W' + b) or y += x W' + b -------------------------------------------------- */

typedef enum clsp_epilogue {
    CLSP_EPILOGUE_NONE, CLSP_EPILOGUE_GELU, CLSP_EPILOGUE_QUICK_GELU, CLSP_EPILOGUE_GELU_TANH,
    CLSP_EPILOGUE_ADD /* y += ...: the residual stream */
} clsp_epilogue;

typedef struct clsp_linear clsp_linear;
/* A layer that runs packed weights, which it borrows, as it does the workspace. output: type of y; ADD needs F32.
 * Products run with the thread count that the calling thread has (clsp_threads). A row's bits depend neither on the other
 * rows nor on threads. */
clipspan_status clsp_linear_new(clsp_linear **out, clsp_workspace *workspace, const clsp_packed *packed,
                                clsp_type output, clsp_epilogue epilogue, clipspan_error *err);
void clsp_linear_free(clsp_linear *linear);
/* y: [rows, out], row stride y_stride; x: [rows, in], row stride x_stride; strides in elements. Any number of rows;
 * no allocation unless there are more threads than when the layer was made. One thread at a time. */
clipspan_status clsp_linear_run(clsp_linear *linear, void *y, size_t y_stride, const void *x, size_t x_stride,
                                size_t rows, clipspan_error *err);
/* Name of the kernels behind it: that of the packed layout. Borrowed. */
const char *clsp_linear_implementation(const clsp_linear *linear);

/* ---- plain products --------------------------------------------------------------------------------- */

/* c [m, n] = alpha a b + beta c; a: [m, k] (or its transpose if ta), b: [k, n] (or its transpose if tb), fp32, leading
 * strides given. Where beta is 0, c is not read. Every element is summed in one order, that of k: a row's bits depend neither on
 * the other rows nor on threads. */
clipspan_status clsp_sgemm(float *c, size_t c_stride, const float *a, size_t a_stride, bool ta, const float *b,
                           size_t b_stride, bool tb, size_t m, size_t n, size_t k, float alpha, float beta,
                           clipspan_error *err);

/* The right factor of a product in double precision, as it lies: the one of the two that is not NULL. */
typedef struct clsp_factor {
    const float *singles;
    const double *doubles;
    size_t stride;
    bool transposed;
} clsp_factor;
/* c [m, n] += a b in double precision; a: [m, k], b: [k, n] (or its transpose). Every element is summed in the order of k,
 * with the same bits on every processor. */
void clsp_dgemm(double *c, size_t c_stride, const double *a, size_t a_stride, const clsp_factor *b, size_t m, size_t n,
                size_t k);

/* ---- products of whole numbers ------------------------------------------------------------------------- */

/* Rows of floats rounded to whole numbers, each by a factor of its own. Sums of their products are exact, so that they have
 * the same bits on every processor, and are off from those of the floats by what rounding took alone (Cauchy-Schwarz):
 *
 *     |x . w - x~ . w~| <= |x - x~| |w~| + |x| |w - w~|        ~ for factor times whole numbers
 *
 * In 16 bits a row's whole numbers have the length CLSP_WHOLE_LENGTH, to within half the root of their count, so no sum of
 * products leaves 32 bits for rows of up to 10^8 numbers (Cauchy-Schwarz again, of any part of a sum); |x - x~| is about
 * 3e-4 |x| for a thousand of them. In 8 bits the largest is 127, a sum has room for CLSP_WHOLE_8_MOST products, and 1 % is lost: rows are
 * turned first, all in the same way, so that no column stands out. */
typedef enum clsp_whole_type { CLSP_WHOLE_16, CLSP_WHOLE_8 } clsp_whole_type;
#define CLSP_WHOLE_LENGTH 32000.0F
enum { CLSP_WHOLE_8_MOST = 65000 };
typedef struct clsp_whole_row {
    float factor, length, lost; /* |x|; |x - x~|, rounding of the difference included */
    int32_t offset;             /* of 8 bits: what a sum has too much */
} clsp_whole_row;
typedef struct clsp_whole {
    clsp_whole_type type;
    size_t in, out;
    const void *weight;  /* packed; borrowed */
    const float *factor; /* [out] of its rows; borrowed */
} clsp_whole;
bool clsp_whole_8_is_fast(void); /* products of 8 bits take less time than those of 16 */
/* Bytes from a rounded row to the next. */
size_t clsp_whole_stride(clsp_whole_type type, size_t in);
/* to: [clsp_whole_stride], x: [n], which 8 bits turn in place. What is not finite, or beyond 1e15, gives the factor NaN; what is below 1e-15, zeros. */
clsp_whole_row clsp_whole_round(void *to, clsp_whole_type type, float *x, size_t n);
/* Bytes of packed weights; 0: too large. */
size_t clsp_whole_bytes(clsp_whole_type type, size_t in, size_t out);
/* rows: [out] rounded ones. to: [clsp_whole_bytes], aligned to 64 bytes. */
void clsp_whole_pack(void *to, clsp_whole_type type, const void *rows, size_t in, size_t out);
/* y: [count] rows of [out], anywhere, = x~ w~', or += that; x: [count] rounded rows of the weights' type. On the calling
 * thread. */
void clsp_whole_run(float *const *y, bool add, const clsp_whole *weights, const void *x, const clsp_whole_row *rows,
                    size_t count);

/* ---- one vector against many rows ----------------------------------------------------------------------- */

/* out[i] += rows[i] . g for rows [n, d] of f16 (half) or f32, unaligned as a mapping gives them; g: [d, padded with zeros
 * to a multiple of 16]. On the calling thread. Sums in f32, in one order on every processor. */
void clsp_rows_dot(float *out, const void *rows, bool half, size_t n, size_t d, const float *g);
/* out: [count] float32 from f16 or f32, unaligned. */
void clsp_widen(float *out, const void *values, bool half, size_t count);

/* ---- one vector against picked rows --------------------------------------------------------------------- */

/* out[j] = a . rows[which[j]]: rows of n floats, `stride` apart; products of `segment` floats (n a multiple) are added up in
 * their order. On the calling thread; sums in f32, whose order is the same on every processor and does not depend on which
 * other rows are asked for, nor on which of two rows is a. */
void clsp_dots(float *out, const float *a, const float *rows, size_t stride, const int32_t *which, size_t count, size_t n,
               size_t segment);
/* Roundings, of 2^-24 at most, between a product and the sum of n that it goes into: its own, those of a lane's sum, of the
 * sixteen lanes and of segments. So a sum is off by that times the product of the lengths (Cauchy-Schwarz; to first order). */
static inline size_t clsp_dots_roundings(size_t n, size_t segment) { return segment / 16 + 6 + n / segment; }
/* out: [count] products of rows of two matrices [count, n]. Likewise. */
void clsp_products(float *out, const float *a, const float *b, size_t count, size_t n);
/* out: [count] sums over n of (size (a - times centre))^2, all of them [count, n]. Likewise. */
void clsp_weighted_squares(float *out, const float *a, const float *centre, float times, const float *size, size_t count,
                           size_t n);

/* ---- norms and conversions ---------------------------------------------------------------------------- */

/* y = (x - mean(x)) / sqrt(var(x) + eps) * gamma + beta over rows of `width`; y in `output` type. x may equal y. */
void clsp_layer_norm(void *y, const float *x, const float *gamma, const float *beta, float eps, size_t rows,
                     size_t width, size_t x_stride, size_t y_stride, clsp_type output);
void clsp_to_bf16(uint16_t *y, const float *x, size_t count);

/* ---- attention ---------------------------------------------------------------------------------------- */

/* Softmax attention of one sequence after another, each cut into heads: out = softmax(q k' / sqrt(d)) v.
 *
 * Rows of q, k, v hold the heads side by side, in `type`; sequence s covers rows [start[s], start[s + 1]) of k and v.
 * Two manners:
 *   all queries: q has the same rows; causal: token i sees tokens 0..i. out: [rows, heads * head_dim] in `type`.
 *   one query:   q is [sequences, ...], one row for each sequence, which sees all of it (`causal` is not asked);
 *                out: [sequences, heads * head_dim]. Computed in fp32 whatever the type.
 * Captures of the (first) query row, all may be NULL, fp32, heads concatenated:
 *   z:      [sequences, heads * head_dim]                sum over source tokens of alpha v
 *   cls:    [sequences, heads * head_dim]                alpha v of source token 0
 *   tokens: [heads, room, tokens, head_dim]              alpha v by source token (sequences of equal length; room for
 *                                                        `room` of them)
 */
typedef struct clsp_attention_desc {
    size_t heads, head_dim, longest; /* longest sequence */
    clsp_type type;
    bool causal;
} clsp_attention_desc;
typedef struct clsp_attention_input {
    const void *q, *k, *v;
    size_t q_stride, kv_stride; /* of rows, in elements */
} clsp_attention_input;
typedef struct clsp_attention_capture {
    float *z, *cls, *tokens;
    size_t room;
} clsp_attention_capture;
typedef struct clsp_attention clsp_attention;
/* One scratch area for each thread that the calling thread's loops have now (clsp_threads). */
clipspan_status clsp_attention_new(clsp_attention **out, const clsp_attention_desc *desc, clipspan_error *err);
void clsp_attention_free(clsp_attention *attention);
/* capture: NULL is fine. */
clipspan_status clsp_attention_run(clsp_attention *attention, void *out, const clsp_attention_input *input,
                                   const size_t *start, size_t sequences, bool one_query,
                                   const clsp_attention_capture *capture, clipspan_error *err);

/* ---- threads, processor ------------------------------------------------------------------------------- */

/* For products and loops started from the calling thread; returns what was set before. 0: every processor. */
int clsp_threads(int threads);
bool clsp_bf16_is_fast(void);        /* there are instructions for products in bf16 */
double clsp_bf16_gain(size_t width); /* fp32 time / bf16 time of a [256, width] x [width, width] product */
/* The instructions that products use here: portable, avx2, avx512, avx512_bf16 or amx. The environment's variable
 * CLIPSPAN_MAX_ISA, one of these words, forbids the ones after it. bf16 runs on all of them, but is fast on the last
 * two alone. Borrowed. */
const char *clsp_compute_name(void);
clipspan_status clsp_compute_check(clipspan_error *err); /* that the variable, where it is set, is one of them */

/* ---- small symmetric problems, double precision (LAPACKE) ---------------------------------------------- */

/* a: [n, n] symmetric in; rows of a on return are eigenvectors (unit length), values ascending. */
clipspan_status clsp_eigen_symmetric(double *a, double *values, size_t n, clipspan_error *err);
/* a: [m, n], destroyed. vt: [min(m, n), n] right singular vectors as rows; s: [min(m, n)] descending. */
clipspan_status clsp_svd_right(double *a, size_t m, size_t n, double *s, double *vt, clipspan_error *err);

#endif
