/* Layer norm, softmax of a row, rounding to bf16: everything that is not a product. All in fp32. */
#include "compute/clones.h"
#include "compute/isa.h"

#if CLSP_X86
#include <immintrin.h>
#endif
#include <math.h>
#include <omp.h>
#include <string.h>

CLSP_CLONES static void to_bf16(uint16_t *restrict y, const float *restrict x, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = clsp_round_bf16(x[i]);
}

void clsp_to_bf16(uint16_t *y, const float *x, size_t count)
{
    to_bf16(y, x, count);
}

/* ---- layer norm ---------------------------------------------------------------------------------------- */

/* Four vectors of sums are under way at a time: one would wait for itself at every step. */
CLSP_CLONES static float row_sum(const float *x, size_t width)
{
    clsp_lanes a = {0}, b = {0}, c = {0}, d = {0}, v, w, y, z;
    size_t i = 0;
    for (; i + 4 * CLSP_LANES <= width; i += 4 * CLSP_LANES) {
        CLSP_LOAD(v, x + i);
        CLSP_LOAD(w, x + i + CLSP_LANES);
        CLSP_LOAD(y, x + i + 2 * CLSP_LANES);
        CLSP_LOAD(z, x + i + 3 * CLSP_LANES);
        a += v;
        b += w;
        c += y;
        d += z;
    }
    a = (a + b) + (c + d);
    for (; i + CLSP_LANES <= width; i += CLSP_LANES) {
        CLSP_LOAD(v, x + i);
        a += v;
    }
    CLSP_LOAD_TAIL(v, x + i, width - i);
    a += v;
    return clsp_lanes_sum(&a);
}

CLSP_CLONES static float row_squares(const float *x, float mean, size_t width)
{
    clsp_lanes sums = {0}, others = {0}, v, w;
    size_t i = 0;
    for (; i + 2 * CLSP_LANES <= width; i += 2 * CLSP_LANES) {
        CLSP_LOAD(v, x + i);
        CLSP_LOAD(w, x + i + CLSP_LANES);
        v -= mean;
        w -= mean;
        sums += v * v;
        others += w * w;
    }
    sums += others;
    for (; i + CLSP_LANES <= width; i += CLSP_LANES) {
        CLSP_LOAD(v, x + i);
        v -= mean;
        sums += v * v;
    }
    for (size_t j = 0; i < width; i++, j++) sums[j] += (x[i] - mean) * (x[i] - mean);
    return clsp_lanes_sum(&sums);
}

CLSP_CLONES static void scale_row(float *y, const float *x, float mean, float rstd, const float *restrict gamma,
                                  const float *restrict beta, size_t width)
{
    for (size_t i = 0; i < width; i++) y[i] = (x[i] - mean) * rstd * gamma[i] + beta[i];
}

CLSP_CLONES static void scale_row_bf16(uint16_t *restrict y, const float *restrict x, float mean, float rstd,
                                       const float *restrict gamma, const float *restrict beta, size_t width)
{
    for (size_t i = 0; i < width; i++) y[i] = clsp_round_bf16((x[i] - mean) * rstd * gamma[i] + beta[i]);
}

typedef void (*scale_bf16)(uint16_t *restrict y, const float *restrict x, float mean, float rstd,
                           const float *restrict gamma, const float *restrict beta, size_t width);

#if CLSP_X86
/* With the processor's own rounding to bf16: the one above costs more than all the rest of a row. */
__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void scale_row_avx512(
    uint16_t *restrict y, const float *restrict x, float mean, float rstd, const float *restrict gamma,
    const float *restrict beta, size_t width)
{
    const __m512 centre = _mm512_set1_ps(mean), factor = _mm512_set1_ps(rstd);
    for (size_t i = 0; i < width; i += 16) {
        __mmask16 there = width - i >= 16 ? 0xffff : (__mmask16)((1u << (width - i)) - 1);
        __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(there, x + i), centre), factor);
        v = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(there, gamma + i), _mm512_maskz_loadu_ps(there, beta + i));
        _mm256_mask_storeu_epi16(y + i, there, (__m256i)_mm512_cvtneps_pbh(v));
    }
}
#else
#define scale_row_avx512 scale_row_bf16
#endif

void clsp_layer_norm(void *y, const float *x, const float *gamma, const float *beta, float eps, size_t rows,
                     size_t width, size_t x_stride, size_t y_stride, clsp_type output)
{
    scale_bf16 scale_to_bf16 = clsp_isa() >= CLSP_ISA_AVX512_BF16 ? scale_row_avx512 : scale_row_bf16;
#pragma omp parallel for schedule(static) if (rows * width > 65536)
    for (size_t r = 0; r < rows; r++) {
        const float *row = x + r * x_stride;
        float mean = row_sum(row, width) / (float)width;
        float rstd = 1.0f / sqrtf(row_squares(row, mean, width) / (float)width + eps);
        if (output == CLSP_TYPE_BF16)
            scale_to_bf16((uint16_t *)y + r * y_stride, row, mean, rstd, gamma, beta, width);
        else
            scale_row((float *)y + r * y_stride, row, mean, rstd, gamma, beta, width);
    }
}

/* ---- softmax ------------------------------------------------------------------------------------------- */

/* e^x for x <= 0, to about 1 unit in the last place; below -87 the answer is that of -87, 1.6e-38.
 * x = n ln 2 + r with |r| <= ln(2)/2; e^r by its series to r^7; 2^n through the exponent's bits. */
static inline float exp_nonpositive(float x)
{
    x = x > -87.0f ? x : -87.0f;
    float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounds to the nearest integer */
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  /* ln 2 in two pieces: n times the first is exact */
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + (r + 1.0f);
    int32_t exponent = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &exponent, sizeof power);
    return p * power;
}

CLSP_CLONES static float row_max(const float *s, size_t n)
{
    float maximum = s[0];
    clsp_lanes most = {0}, v;
    most += maximum;
    size_t i = 0;
    for (; i + CLSP_LANES <= n; i += CLSP_LANES) {
        CLSP_LOAD(v, s + i);
        clsp_lane_mask greater = v > most;
        most = (clsp_lanes)((greater & (clsp_lane_mask)v) | (~greater & (clsp_lane_mask)most));
    }
    for (; i < n; i++) maximum = maximum > s[i] ? maximum : s[i];
    for (size_t j = 0; j < CLSP_LANES; j++) maximum = maximum > most[j] ? maximum : most[j];
    return maximum;
}

CLSP_CLONES static void exp_row(float *s, float maximum, float scale, size_t n)
{
    for (size_t i = 0; i < n; i++) s[i] = exp_nonpositive((s[i] - maximum) * scale);
}

CLSP_CLONES static void scale_all(float *s, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++) s[i] *= factor;
}

void clsp_softmax_row(float *s, uint16_t *p, float scale, size_t n, size_t padded)
{
    exp_row(s, row_max(s, n), scale, n);
    scale_all(s, 1.0f / row_sum(s, n), n);
    memset(s + n, 0, (padded - n) * sizeof *s);
    if (p) to_bf16(p, s, padded);
}
