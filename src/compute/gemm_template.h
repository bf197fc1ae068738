/* compute/gemm_template.h - the kernels of one instruction set. Who includes this has defined:
 *   TARGET                        attribute of every function
 *   vec, ivec, LANES              a vector of floats, of as many int32_t, and how many
 *   LOAD(p), STORE(p, v), SET(f)  of floats anywhere
 *   FMA(a, b, c)                  a b + c
 *   LESSER(a, b), GREATER(a, b), ABSOLUTE(a)
 *   MR, NV                        a tile is MR rows of NV vectors
 */
#include <string.h>

#include "compute/gemm_kernels.h"

#define UNROLLED _Pragma("GCC unroll 16")
#define INLINE TARGET __attribute__((always_inline)) static inline

/* ---- activations: x g(x), g rising from 0 to 1 with g(-x) = 1 - g(x) ---------------------------------------- */

/* e^x for x <= 0, to about 1 unit in the last place; below -87 the answer is that of -87.
 * x = n ln 2 + r with |r| <= ln(2)/2; e^r by its series to r^7; 2^n through the exponent's bits. */
INLINE vec exp_nonpositive(vec x)
{
    x = GREATER(x, SET(-87.0f));
    vec shifted = FMA(x, SET(1.44269504f), SET(12582912.0f)); /* the integer n stands in its last bits */
    vec n = shifted - SET(12582912.0f);
    vec r = FMA(n, SET(2.12194440e-4f), FMA(n, SET(-0.693359375f), x)); /* ln 2 in two pieces */
    vec p = FMA(SET(1.98412698e-4f), r, SET(1.38888889e-3f));
    p = FMA(p, r, SET(8.33333333e-3f));
    p = FMA(p, r, SET(4.16666667e-2f));
    p = FMA(p, r, SET(1.66666667e-1f));
    p = FMA(p, r, SET(0.5f));
    p = FMA(p, r * r, r + SET(1.0f));
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

/* max(x, 0) - |x| tail, where tail is next to nothing long before |x| is 100. What is no number stays so. */
INLINE vec less_tail(vec x, vec tail)
{
    return GREATER(SET(0.0f), x) - LESSER(ABSOLUTE(x), SET(100.0f)) * tail;
}

/* x / (1 + e^-u) where u has the sign of x: with e = e^-|u|, the tail is e / (1 + e). */
INLINE vec sigmoid_product(vec x, vec u)
{
    vec e = exp_nonpositive(-ABSOLUTE(u));
    return less_tail(x, e / (SET(1.0f) + e));
}

/* x Phi(x), with erf by Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7):
 * 1 - erf(z) = 2 (1 - Phi(|x|)) is twice the tail. */
INLINE vec gelu(vec x)
{
    vec z = ABSOLUTE(x) * SET(0.707106781f);
    vec t = SET(1.0f) / FMA(z, SET(0.3275911f), SET(1.0f));
    vec p = FMA(SET(1.061405429f), t, SET(-1.453152027f));
    p = FMA(p, t, SET(1.421413741f));
    p = FMA(p, t, SET(-0.284496736f));
    p = FMA(p, t, SET(0.254829592f));
    return less_tail(x, SET(0.5f) * p * t * exp_nonpositive(-z * z));
}

INLINE vec activate(vec x, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return gelu(x);
    case CLSP_EPILOGUE_QUICK_GELU: return sigmoid_product(x, x * SET(1.702f));
    case CLSP_EPILOGUE_GELU_TANH: /* x (1 + tanh(u)) / 2 = x / (1 + e^-2u) */
        return sigmoid_product(x, x * FMA(x * x, SET(1.595769122f * 0.044715f), SET(1.595769122f)));
    case CLSP_EPILOGUE_ADD:
    case CLSP_EPILOGUE_NONE: break;
    }
    return x;
}

/* ---- a tile on its way out ---------------------------------------------------------------------------------- */

INLINE vec load_part(const float *from, size_t count)
{
    if (count >= LANES) return LOAD(from);
    float part[LANES] = {0};
    memcpy(part, from, count * sizeof *part);
    return LOAD(part);
}

INLINE void store_part(float *to, vec v, size_t count)
{
    if (count >= LANES) {
        STORE(to, v);
        return;
    }
    float part[LANES];
    STORE(part, v);
    memcpy(to, part, count * sizeof *part);
}

/* To nearest even; NaN stays NaN. */
INLINE void store_bf16(uint16_t *to, vec v, size_t count)
{
    ivec bits = (ivec)v, nan = (ivec)(v != v);
    bits = ((bits + 0x7fff + ((bits >> 16) & 1)) & ~nan) | ((bits | 0x400000) & nan);
    if (count >= LANES) {
        STORE_HIGH(to, bits);
        return;
    }
    uint16_t part[LANES];
    STORE_HIGH(part, bits);
    memcpy(to, part, count * sizeof *part);
}

INLINE void finish_vector(const clsp_gemm_target *t, vec v, size_t at, size_t column, size_t count,
                          clsp_epilogue epilogue, clsp_type output)
{
    if (t->bias) v = v + load_part(t->bias + column, count);
    v = activate(v, epilogue);
    if (epilogue == CLSP_EPILOGUE_ADD) v = load_part((const float *)t->y + at, count) + v;
    if (output == CLSP_TYPE_BF16)
        store_bf16((uint16_t *)t->y + at, v, count);
    else
        store_part((float *)t->y + at, v, count);
}

INLINE void finish_as(const clsp_gemm_target *t, const float *tile, size_t rows, size_t columns, clsp_epilogue epilogue,
                      clsp_type output)
{
    for (size_t r = 0; r < rows; r++, tile += NV * LANES) {
        size_t at = r * t->y_stride;
        if (columns == NV * LANES) {
            UNROLLED for (size_t j = 0; j < NV * LANES; j += LANES)
                finish_vector(t, LOAD(tile + j), at + j, j, LANES, epilogue, output);
        } else {
            for (size_t j = 0; j < columns; j += LANES)
                finish_vector(t, LOAD(tile + j), at + j, j, columns - j, epilogue, output);
        }
    }
}

TARGET static void finish_scaled(const clsp_gemm_target *t, const float *tile, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j += LANES) {
            float *y = (float *)t->y + r * t->y_stride + j;
            vec v = LOAD(tile + r * NV * LANES + j) * SET(t->alpha);
            if (t->beta != 0.0f) v = FMA(SET(t->beta), load_part(y, columns - j), v);
            store_part(y, v, columns - j);
        }
}

/* One copy of the loop for each activation and type of output. */
TARGET static void finish(const clsp_gemm_target *t, const float *tile, size_t rows, size_t columns)
{
#define CASE_EPILOGUE(name)                                                                                            \
    case CLSP_EPILOGUE_##name:                                                                                         \
        if (t->output == CLSP_TYPE_BF16)                                                                               \
            finish_as(t, tile, rows, columns, CLSP_EPILOGUE_##name, CLSP_TYPE_BF16);                                   \
        else                                                                                                           \
            finish_as(t, tile, rows, columns, CLSP_EPILOGUE_##name, CLSP_TYPE_F32);                                    \
        break;
    if (t->scaled) {
        finish_scaled(t, tile, rows, columns);
        return;
    }
    switch (t->epilogue) {
        CASE_EPILOGUE(NONE) CASE_EPILOGUE(GELU) CASE_EPILOGUE(QUICK_GELU) CASE_EPILOGUE(GELU_TANH)
    case CLSP_EPILOGUE_ADD: finish_as(t, tile, rows, columns, CLSP_EPILOGUE_ADD, CLSP_TYPE_F32); break;
    }
}

/* ---- the inner loop ----------------------------------------------------------------------------------------- */

/* multiply_NAME for one kind of step: WEIGHT is the type in panels, WEIGHTS(p) loads a vector of them, BROADCAST(p) the
 * step of one row, DOT(sum, x, w) adds their product. One copy of the loop for each number of rows. A cache line a step
 * is fetched of what comes next. */
#define CASE_ROWS(name, n)                                                                                             \
    case n: name##_rows(tile, strip, panel, next, steps, clsp_min(n, MR), first); break;
#define MULTIPLY(name, ATTRIBUTES, WEIGHT, WEIGHTS, STEP, BROADCAST, DOT)                                              \
    ATTRIBUTES __attribute__((always_inline)) static inline void name##_rows(                                          \
        float *tile, const float *strip, const WEIGHT *panel, const char *next, size_t steps, const size_t rows,       \
        bool first)                                                                                                    \
    {                                                                                                                  \
        vec sums[MR][NV];                                                                                              \
        UNROLLED for (size_t r = 0; r < rows; r++)                                                                     \
            UNROLLED for (size_t v = 0; v < NV; v++)                                                                   \
                sums[r][v] = first ? SET(0.0f) : LOAD(tile + (r * NV + v) * LANES);                                    \
        for (size_t s = 0; s < steps; s++, strip++, panel += NV * LANES) {                                             \
            STEP w[NV];                                                                                                \
            __builtin_prefetch(next + s * 64, 0, 2);                                                                   \
            UNROLLED for (size_t v = 0; v < NV; v++) w[v] = WEIGHTS(panel + v * LANES);                                \
            UNROLLED for (size_t r = 0; r < rows; r++) {                                                               \
                STEP x = BROADCAST(strip + r * CLSP_GEMM_STRIDE);                                                      \
                UNROLLED for (size_t v = 0; v < NV; v++) sums[r][v] = DOT(sums[r][v], x, w[v]);                        \
            }                                                                                                          \
        }                                                                                                              \
        UNROLLED for (size_t r = 0; r < rows; r++)                                                                     \
            UNROLLED for (size_t v = 0; v < NV; v++) STORE(tile + (r * NV + v) * LANES, sums[r][v]);                   \
    }                                                                                                                  \
    ATTRIBUTES static void name(float *tile, const float *strip, const void *panel, const void *next, size_t steps,    \
                                size_t rows, bool first)                                                               \
    {                                                                                                                  \
        switch (rows) {                                                                                                \
            CASE_ROWS(name, 1) CASE_ROWS(name, 2) CASE_ROWS(name, 3) CASE_ROWS(name, 4) CASE_ROWS(name, 5)             \
            CASE_ROWS(name, 6) MORE_ROWS(name)                                                                         \
        default: break;                                                                                                \
        }                                                                                                              \
    }
