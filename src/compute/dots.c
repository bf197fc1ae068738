/* One vector against rows that are picked one by one: what is left to do where most rows need no product at all. */
#include "compute/clones.h"

/* Halves added to halves until one number is left. */
static inline float folded(clsp_lanes s)
{
    s += __builtin_shufflevector(s, s, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    s += __builtin_shufflevector(s, s, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    s += __builtin_shufflevector(s, s, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    s += __builtin_shufflevector(s, s, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    return s[0];
}

static inline __attribute__((always_inline)) float product(const float *a, const float *b, size_t n)
{
    size_t whole = n / CLSP_LANES * CLSP_LANES;
    clsp_lanes sums = {0}, x, y;
    for (size_t c = 0; c < whole; c += CLSP_LANES) {
        CLSP_LOAD(x, a + c);
        CLSP_LOAD(y, b + c);
        sums += x * y;
    }
    if (whole < n) {
        CLSP_LOAD_TAIL(x, a + whole, n - whole);
        CLSP_LOAD_TAIL(y, b + whole, n - whole);
        sums += x * y;
    }
    return folded(sums);
}

CLSP_CLONES static void dots(float *out, const float *a, const float *rows, size_t stride, const int32_t *which, size_t count,
                             size_t n, size_t segment)
{
    for (size_t j = 0; j < count; j++) {
        const float *row = rows + (size_t)which[j] * stride, *next = rows + (size_t)which[j + 1 < count ? j + 1 : j] * stride;
        float sum = 0;
        for (size_t at = 0; at < n; at += segment) {
            for (size_t c = at; c < at + segment; c += CLSP_LANES) __builtin_prefetch(next + c, 0, 3);
            sum += product(a + at, row + at, segment);
        }
        out[j] = sum;
    }
}

void clsp_dots(float *out, const float *a, const float *rows, size_t stride, const int32_t *which, size_t count, size_t n,
               size_t segment)
{
    dots(out, a, rows, stride, which, count, n, segment);
}

CLSP_CLONES static void products(float *out, const float *a, const float *b, size_t count, size_t n)
{
    for (size_t i = 0; i < count; i++) out[i] = product(a + i * n, b + i * n, n);
}

void clsp_products(float *out, const float *a, const float *b, size_t count, size_t n)
{
    products(out, a, b, count, n);
}

static inline __attribute__((always_inline)) float weighted_square(const float *a, const float *centre, float times,
                                                                   const float *size, size_t n)
{
    size_t whole = n / CLSP_LANES * CLSP_LANES;
    clsp_lanes sums = {0}, x, y, z;
    for (size_t c = 0; c < whole; c += CLSP_LANES) {
        CLSP_LOAD(x, a + c);
        CLSP_LOAD(y, centre + c);
        CLSP_LOAD(z, size + c);
        x = (x - times * y) * z;
        sums += x * x;
    }
    if (whole < n) {
        CLSP_LOAD_TAIL(x, a + whole, n - whole);
        CLSP_LOAD_TAIL(y, centre + whole, n - whole);
        CLSP_LOAD_TAIL(z, size + whole, n - whole);
        x = (x - times * y) * z;
        sums += x * x;
    }
    return folded(sums);
}

CLSP_CLONES static void weighted_squares(float *out, const float *a, const float *centre, float times, const float *size,
                                         size_t count, size_t n)
{
    for (size_t i = 0; i < count; i++) out[i] = weighted_square(a + i * n, centre + i * n, times, size + i * n, n);
}

void clsp_weighted_squares(float *out, const float *a, const float *centre, float times, const float *size, size_t count,
                           size_t n)
{
    weighted_squares(out, a, centre, times, size, count, n);
}
