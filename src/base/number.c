/* Half-width floats. f16: IEEE binary16; bf16: the upper half of binary32. Both round to nearest even. */
#include "base/base.h"

#include <string.h>

float clsp_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0) /* zero and subnormals: fraction * 2^-24, exact in binary32 */
        return clsp_float_of(sign | clsp_bits_of((float)fraction * 0x1p-24f));
    if (exponent == 31) /* a NaN is made quiet, as processors do */
        return clsp_float_of(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x00400000u : 0));
    return clsp_float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t clsp_f32_to_f16(float value)
{
    uint32_t bits = clsp_bits_of(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds past 65504 */
    if (magnitude < 0x38800000u) { /* subnormal: adding 0.5 lets the hardware round to a multiple of 2^-24 */
        float shifted = clsp_float_of(magnitude) + 0.5f;
        return (uint16_t)(sign | (clsp_bits_of(shifted) - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

float clsp_bf16_to_f32(uint16_t value)
{
    return clsp_float_of((uint32_t)value << 16);
}

uint16_t clsp_f32_to_bf16(float value)
{
    uint32_t bits = clsp_bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
