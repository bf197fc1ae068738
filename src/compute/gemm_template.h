/* compute/gemm_template.h - the kernels of one instruction set. Who includes this has defined:
 *   TARGET                        attribute of every function
 *   vec, ivec, LANES              a vector of floats, of as many int32_t, and how many
 *   LOAD(p), STORE(p, v), SET(f)  of floats anywhere
 *   FMA(a, b, c)                  a b + c
 *   LESSER(a, b), GREATER(a, b), ABSOLUTE(a)
 *   activate(v, epilogue)         gemm_activations.h, or better
 *   MR, NV                        a tile is MR rows of NV vectors
 */
#include <string.h>

#include "compute/gemm_kernels.h"

/* ---- rows to columns ---------------------------------------------------------------------------------------- */

/* to [rows, columns] = from' with from [columns, rows], in blocks of 8 x 8: few cache lines are open at a time. */
TARGET static void transpose_small(float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t columns)
{
    enum { SIDE = 8 };
    for (size_t i = 0; i < rows; i += SIDE)
        for (size_t j = 0; j < columns; j += SIDE) {
            size_t high = clsp_min(rows - i, SIDE), wide = clsp_min(columns - j, SIDE);
            for (size_t r = 0; r < high; r++)
                for (size_t c = 0; c < wide; c++)
                    to[(i + r) * to_stride + j + c] = from[(j + c) * from_stride + i + r];
        }
}

TARGET static void copy(float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++, to += to_stride, from += from_stride) {
        size_t c = 0;
        for (; c + LANES <= columns; c += LANES) STORE(to + c, LOAD(from + c));
        for (; c < columns; c++) to[c] = from[c];
    }
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

/* Bits without a sign: those of a NaN may wrap around. */
typedef uint32_t bits_vec __attribute__((vector_size(LANES * 4)));

/* To nearest even; NaN stays NaN. */
INLINE void store_bf16(uint16_t *to, vec v, size_t count)
{
    bits_vec bits = (bits_vec)v, nan = (bits_vec)(v != v);
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
            CLSP_UNROLLED for (size_t j = 0; j < NV * LANES; j += LANES)
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

/* ---- few rows, weights as they came -------------------------------------------------------------------------- */

/* `steps` rows of weights, read side by side. */
INLINE void multiply_plain_steps(float *tiles, const float *strip, const float *weights, size_t stride, const size_t steps,
                                 size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += LANES) {
        float *tile = tiles + j / (NV * LANES) * rows * NV * LANES + j % (NV * LANES);
        vec w[4];
        CLSP_UNROLLED for (size_t s = 0; s < steps; s++) w[s] = load_part(weights + s * stride + j, columns - j);
        for (size_t r = 0; r < rows; r++, tile += NV * LANES) {
            vec sum = LOAD(tile);
            CLSP_UNROLLED for (size_t s = 0; s < steps; s++) sum = FMA(SET(strip[r * CLSP_GEMM_STRIDE + s]), w[s], sum);
            STORE(tile, sum);
        }
    }
}

TARGET static void multiply_plain(float *tiles, const float *strip, const float *weights, size_t stride, size_t steps,
                                  size_t rows, size_t columns)
{
    size_t s = 0;
    for (; s + 4 <= steps; s += 4) multiply_plain_steps(tiles, strip + s, weights + s * stride, stride, 4, rows, columns);
    for (; s < steps; s++) multiply_plain_steps(tiles, strip + s, weights + s * stride, stride, 1, rows, columns);
}

/* ---- the inner loop ----------------------------------------------------------------------------------------- */

/* multiply_NAME for one kind of step: WEIGHT is the type in panels, WEIGHTS(p) loads a vector of them, BROADCAST(p) the
 * step of one row, DOT(sum, x, w) adds their product. One copy of the loop for each number of rows, for a whole and for
 * half a panel. A cache line a step is fetched of what comes next. */
#define CASE_ROWS(name, n)                                                                                             \
    case n: name##_rows(tile, pitch, strip, panel, next, steps, clsp_min(n, MR), NV, first); break;                    \
    case MANY + (n): name##_rows(tile, pitch, strip, panel, next, steps, clsp_min(n, MR), NV / 2, first); break;
enum { MANY = 16 }; /* more than MR */
#define MULTIPLY(name, ATTRIBUTES, WEIGHT, WEIGHTS, STEP, BROADCAST, DOT)                                              \
    ATTRIBUTES __attribute__((always_inline)) static inline void name##_rows(                                          \
        float *tile, size_t pitch, const float *strip, const WEIGHT *panel, const char *next, size_t steps,            \
        const size_t rows, const size_t vectors, bool first)                                                                                 \
    {                                                                                                                  \
        vec sums[MR][NV];                                                                                              \
        CLSP_UNROLLED for (size_t r = 0; r < rows; r++)                                                                     \
            CLSP_UNROLLED for (size_t v = 0; v < vectors; v++)                                                                   \
                sums[r][v] = first ? SET(0.0f) : LOAD(tile + r * pitch + v * LANES);                                    \
        for (size_t s = 0; s < steps; s++, strip++, panel += NV * LANES) {                                             \
            STEP w[NV];                                                                                                \
            __builtin_prefetch(next + s * 64, 0, 2);                                                                   \
            CLSP_UNROLLED for (size_t v = 0; v < vectors; v++) w[v] = WEIGHTS(panel + v * LANES);                                \
            CLSP_UNROLLED for (size_t r = 0; r < rows; r++) {                                                               \
                STEP x = BROADCAST(strip + r * CLSP_GEMM_STRIDE);                                                      \
                CLSP_UNROLLED for (size_t v = 0; v < vectors; v++) sums[r][v] = DOT(sums[r][v], x, w[v]);                        \
            }                                                                                                          \
        }                                                                                                              \
        CLSP_UNROLLED for (size_t r = 0; r < rows; r++)                                                                     \
            CLSP_UNROLLED for (size_t v = 0; v < vectors; v++) STORE(tile + r * pitch + v * LANES, sums[r][v]);                   \
    }                                                                                                                  \
    ATTRIBUTES static void name(float *tile, size_t pitch, const float *strip, const void *panel, const void *next,    \
                                size_t steps, size_t rows, size_t columns, bool first)                                 \
    {                                                                                                                  \
        switch (columns > NV / 2 * LANES ? rows : MANY + rows) {                                                                                                \
            CASE_ROWS(name, 1) CASE_ROWS(name, 2) CASE_ROWS(name, 3) CASE_ROWS(name, 4) CASE_ROWS(name, 5)             \
            CASE_ROWS(name, 6) MORE_ROWS(name)                                                                         \
        default: break;                                                                                                \
        }                                                                                                              \
    }
