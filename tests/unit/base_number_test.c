/* Halves and bfloats against a reference that is slow and plain: values as doubles, found by search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The value of a 16-bit float with `fraction` fraction bits, by the definition of the format. */
static double value_of(uint16_t code, int fraction)
{
    int exponent_bits = 15 - fraction, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = code >> fraction & ((1 << exponent_bits) - 1);
    double part = ldexp(code & ((1 << fraction) - 1), -fraction), sign = code & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) return part == 0 ? sign * (double)INFINITY : (double)NAN;
    return sign * (exponent ? ldexp(1 + part, exponent - bias) : ldexp(part, 1 - bias));
}

/* The nearest code to a finite magnitude, ties to the even code; codes of non-negative values are in order. */
static uint16_t nearest(double magnitude, int fraction)
{
    uint16_t low = 0, infinite = (uint16_t)(0x7fff >> fraction << fraction), high = infinite;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (value_of(middle, fraction) <= magnitude) low = middle;
        else high = middle;
    }
    double below = value_of(low, fraction);
    /* what the next step would be if the exponents did not end: rounding sees infinity there */
    double above = high == infinite ? 2 * below - value_of((uint16_t)(low - 1), fraction) : value_of(high, fraction);
    double to_below = magnitude - below, to_above = above - magnitude;
    if (to_below == to_above) return low % 2 ? high : low;
    return to_below < to_above ? low : high;
}

static void every_half_is_read_exactly(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 65536; code++) {
        double wanted = value_of((uint16_t)code, 10);
        float got = clsp_f16_to_f32((uint16_t)code);
        if (isnan(wanted)) {
            assert_true(isnan(got));
            continue;
        }
        if ((double)got != wanted || !signbit(got) != !(code & 0x8000)) fail_msg("%04x gives %g", code, (double)got);
        assert_int_equal(clsp_f32_to_f16(got), code);
    }
}

static void every_bfloat_is_read_exactly(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 65536; code++) {
        double wanted = value_of((uint16_t)code, 7);
        float got = clsp_bf16_to_f32((uint16_t)code);
        if (isnan(wanted)) {
            assert_true(isnan(got));
            continue;
        }
        if ((double)got != wanted) fail_msg("%04x gives %g", code, (double)got);
        assert_int_equal(clsp_f32_to_bf16(got), code);
    }
}

static void check_float(float value)
{
    uint16_t half = clsp_f32_to_f16(value), bfloat = clsp_f32_to_bf16(value), sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value)) {
        assert_true(isnan(clsp_f16_to_f32(half)) && isnan(clsp_bf16_to_f32(bfloat)));
        return;
    }
    uint16_t h = isinf(value) ? 0x7c00 : nearest(fabs((double)value), 10);
    uint16_t b = isinf(value) ? 0x7f80 : nearest(fabs((double)value), 7);
    if (half != (sign | h)) fail_msg("f16 of %a (%08x): %04x, expected %04x", (double)value, bits_of(value), half, sign | h);
    if (bfloat != (sign | b)) fail_msg("bf16 of %a: %04x, expected %04x", (double)value, bfloat, sign | b);
}

/* Random bits spread over all exponents; random values near the halves hit the ties and the subnormals. */
static void random_floats_round_to_nearest_even(void **state)
{
    (void)state;
    uint64_t seed = 20240607;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t random = (uint32_t)(seed >> 32);
        check_float(float_of(random));
        uint16_t code = (uint16_t)(random & 0xfbff);
        float value = clsp_f16_to_f32(code);
        if (!isnan(value) && !isinf(value)) check_float(value + ldexpf((float)(random >> 20) / 2048 - 1, ilogbf(fmaxf(fabsf(value), 0x1p-14f)) - 10));
    }
}

/* Halfway between every two neighbours, and one float to either side. */
static void ties_go_to_the_even_code(void **state)
{
    (void)state;
    for (uint16_t code = 0; code < 0x7c00; code++) {
        double below = value_of(code, 10), above = code == 0x7bff ? 65536.0 : value_of((uint16_t)(code + 1), 10);
        float middle = (float)((below + above) / 2);
        check_float(middle);
        check_float(nextafterf(middle, 0));
        check_float(nextafterf(middle, INFINITY));
        check_float(-middle);
    }
    for (uint32_t code = 0; code < 0x7f80; code++) check_float(float_of(code << 16 | 0x8000u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_read_exactly),
        cmocka_unit_test(every_bfloat_is_read_exactly),
        cmocka_unit_test(random_floats_round_to_nearest_even),
        cmocka_unit_test(ties_go_to_the_even_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
