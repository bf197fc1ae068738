/* Rows of f16 to float32 and back: by the processor's own instructions where it has them, else in loops that a compiler
 * vectorises: no branch, no table, blocks copied to and from aligned scratch because a mapping guarantees no alignment.
 * All ways give the bits of clsp_f16_to_f32 and clsp_f32_to_f16. */
#include "base/base.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "files are little endian, and clipspan reads and writes their numbers as they lie in memory"
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define HAS_X86 1
#else
#define HAS_X86 0
#endif
#if defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__)
#include <arm_neon.h>
#define HAS_ARM64 1
#else
#define HAS_ARM64 0
#endif

enum { BLOCK = 1024, VECTOR = 16 };

static int widest_way = 2;

int clsp_f16_way(int most)
{
    int before = widest_way;
    widest_way = most;
    return before;
}

#if HAS_X86
/* Asked of the processor itself, once: older Clang's __builtin_cpu_supports knows no F16C. */
static bool has_f16c(void)
{
    static int answer; /* 0: not asked yet; two threads that ask at once get the same answer */
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (known == 0) {
        unsigned a, b, c, d;
        known = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) ? 1 : -1;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known > 0;
}
#endif

int clsp_f16_ways(void)
{
#if HAS_X86
    if (widest_way >= 2 && __builtin_cpu_supports("avx512f")) return 2;
    if (widest_way >= 1 && __builtin_cpu_supports("avx2") && has_f16c()) return 1;
#elif HAS_ARM64
    if (widest_way >= 1) return 1;
#endif
    return 0;
}

/* ---- to float32 --------------------------------------------------------------------------------------- */

/* Three readings of the half, of which masks choose one: normal (exponent + 112), infinity or NaN (exponent
 * 255; a NaN is made quiet), and subnormal, where 2^-14 (1 + fraction) - 2^-14 is exact and needs no subnormal float32. */
static void widen_block(float *restrict out, const uint16_t *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t sign = (in[i] & 0x8000u) << 16, wide = (in[i] & 0x7fffu) << 13;
        uint32_t special = 0u - (uint32_t)(wide >= 0x0f800000u), tiny = 0u - (uint32_t)(wide < 0x00800000u);
        uint32_t nan = 0u - (uint32_t)(wide > 0x0f800000u);
        uint32_t subnormal = clsp_bits_of(clsp_float_of(wide + 0x38800000u) - 0x1p-14f);
        uint32_t normal = (wide + 0x38000000u + (special & 0x38000000u)) | (nan & 0x00400000u);
        out[i] = clsp_float_of(sign | (tiny & subnormal) | (~tiny & normal));
    }
}

static void widen_plain(float *out, const unsigned char *in, size_t count)
{
    for (size_t at = 0; at < count; at += BLOCK) {
        uint16_t block[BLOCK];
        size_t n = clsp_min(BLOCK, count - at);
        memcpy(block, in + 2 * at, 2 * n);
        widen_block(out + at, block, n);
    }
}

#if HAS_X86
__attribute__((target("avx2,f16c"))) static void widen_avx2(float *out, const unsigned char *in, size_t count)
{
    for (size_t i = 0; i < count; i += VECTOR / 2)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)(in + 2 * i))));
}

__attribute__((target("avx512f,f16c"))) static void widen_avx512(float *out, const unsigned char *in, size_t count)
{
    for (size_t i = 0; i < count; i += VECTOR)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)(in + 2 * i))));
}
#elif HAS_ARM64
static void widen_neon(float *out, const unsigned char *in, size_t count)
{
    for (size_t i = 0; i < count; i += VECTOR / 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(in + 2 * i))));
}
#endif

void clsp_f16_widen(float *out, const void *halves, size_t count)
{
    size_t whole = 0;
#if HAS_X86
    int best = clsp_f16_ways();
    if (best > 0) whole = count / VECTOR * VECTOR;
    if (best == 2)
        widen_avx512(out, halves, whole);
    else if (best == 1)
        widen_avx2(out, halves, whole);
#elif HAS_ARM64
    if (clsp_f16_ways() > 0) whole = count / VECTOR * VECTOR;
    widen_neon(out, halves, whole);
#endif
    widen_plain(out + whole, (const unsigned char *)halves + 2 * whole, count - whole);
}

/* ---- from float32 ------------------------------------------------------------------------------------- */

/* The arithmetic of clsp_f32_to_f16, with masks in place of branches. Returns the largest magnitude written,
 * NaN left out, so that the caller sees whether anything became infinite. */
static uint32_t narrow_plain(uint16_t *restrict out, const float *restrict in, size_t count)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = clsp_bits_of(in[i]), magnitude = bits & 0x7fffffffu;
        uint32_t nan = 0u - (uint32_t)(magnitude > 0x7f800000u), tiny = 0u - (uint32_t)(magnitude < 0x38800000u);
        uint32_t big = 0u - (uint32_t)(magnitude >= 0x477ff000u);
        uint32_t subnormal = clsp_bits_of(clsp_float_of(magnitude & tiny) + 0.5f) - 0x3f000000u;
        uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
        uint32_t half = (tiny & subnormal) | (~tiny & normal);
        half = (big & 0x7c00u) | (~big & half);
        largest = largest > (half & ~nan) ? largest : (half & ~nan);
        half = (nan & 0x7e00u) | (~nan & half);
        out[i] = (uint16_t)((bits >> 16 & 0x8000u) | half);
    }
    return largest;
}

#if HAS_X86
/* Every NaN becomes the one of its sign. Returns 0x7c00 where anything became infinite, else less. */
__attribute__((target("avx2,f16c"))) static uint32_t narrow_vectors(uint16_t *out, const float *in, size_t count)
{
    const __m256 sign = _mm256_set1_ps(-0.0F), quiet = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
    const __m128i infinity = _mm_set1_epi16(0x7c00), magnitude = _mm_set1_epi16(0x7fff);
    __m128i infinite = _mm_setzero_si128();
    for (size_t i = 0; i < count; i += VECTOR / 2) {
        __m256 x = _mm256_loadu_ps(in + i), nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
        x = _mm256_blendv_ps(x, _mm256_or_ps(_mm256_and_ps(x, sign), quiet), nan);
        __m128i half = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
        infinite = _mm_or_si128(infinite, _mm_cmpeq_epi16(_mm_and_si128(half, magnitude), infinity));
        _mm_storeu_si128((__m128i_u *)(void *)(out + i), half);
    }
    return _mm_movemask_epi8(infinite) != 0 ? 0x7c00u : 0;
}
#elif HAS_ARM64
static uint32_t narrow_vectors(uint16_t *out, const float *in, size_t count)
{
    const uint32x4_t sign = vdupq_n_u32(0x80000000u), quiet = vdupq_n_u32(0x7fc00000u);
    uint16x4_t largest = vdup_n_u16(0);
    for (size_t i = 0; i < count; i += VECTOR / 4) {
        float32x4_t x = vld1q_f32(in + i);
        float32x4_t nan = vreinterpretq_f32_u32(vorrq_u32(vandq_u32(vreinterpretq_u32_f32(x), sign), quiet));
        uint32x4_t number = vceqq_f32(x, x);
        uint16x4_t half = vreinterpret_u16_f16(vcvt_f16_f32(vbslq_f32(number, x, nan)));
        largest = vmax_u16(largest, vand_u16(vand_u16(half, vdup_n_u16(0x7fff)), vmovn_u32(number)));
        vst1_u16(out + i, half);
    }
    return vmaxv_u16(largest);
}
#endif

bool clsp_f16_narrow(uint16_t *out, const float *values, size_t count, size_t *where)
{
    size_t whole = 0;
    uint32_t largest = 0;
#if HAS_X86 || HAS_ARM64
    if (clsp_f16_ways() > 0) {
        whole = count / VECTOR * VECTOR;
        largest = narrow_vectors(out, values, whole);
    }
#endif
    uint32_t last = narrow_plain(out + whole, values + whole, count - whole);
    if (largest < 0x7c00u && last < 0x7c00u) return true;
    for (*where = 0; (out[*where] & 0x7fffu) != 0x7c00u; ++*where) continue;
    return false;
}
