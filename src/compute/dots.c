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

CLSP_CLONES static void dots(float *out, const float *a, const float *rows, size_t stride, const int32_t *which, size_t count,
                             size_t n)
{
    size_t whole = n / CLSP_LANES * CLSP_LANES;
    for (size_t j = 0; j < count; j++) {
        const float *row = rows + (size_t)which[j] * stride;
        clsp_lanes sums = {0}, x, y;
        for (size_t c = 0; c < whole; c += CLSP_LANES) {
            CLSP_LOAD(x, a + c);
            CLSP_LOAD(y, row + c);
            sums += x * y;
        }
        if (whole < n) {
            CLSP_LOAD_TAIL(x, a + whole, n - whole);
            CLSP_LOAD_TAIL(y, row + whole, n - whole);
            sums += x * y;
        }
        out[j] = folded(sums);
    }
}

void clsp_dots(float *out, const float *a, const float *rows, size_t stride, const int32_t *which, size_t count, size_t n)
{
    dots(out, a, rows, stride, which, count, n);
}

CLSP_CLONES static float weighted_square(const float *a, const float *centre, float times, const float *size, size_t n)
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

float clsp_weighted_square(const float *a, const float *centre, float times, const float *size, size_t n)
{
    return weighted_square(a, centre, times, size, n);
}
