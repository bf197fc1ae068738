/* Loops of independent fused multiply-adds (fp32), and of bf16 dot products and bf16 tile products where there are any.
 * A multiply and an add count as two. Each figure is the best of several runs: units, not the machine's other work. */
#include "peak.h"
#include "programs.h"

#include <omp.h>
#include <stdint.h>

#include "compute/isa.h"

#if CLSP_X86
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif CLSP_ARM64
#include <arm_neon.h>
#endif

enum { CHAINS = CLSP_X86 ? 12 : 24, ROUNDS = 2000000, TRIES = 5, TILE_ROUNDS = 400000 };

/* CHAINS independent sums in registers: a loop that waits for no result. */
#define UNROLL _Pragma("GCC unroll 24") for (int c = 0; c < CHAINS; c++)
#define LOOP(name, TARGET, vector, lanes, start, step, first)                                                           \
    TARGET static double name(void)                                                                                     \
    {                                                                                                                   \
        vector sums[CHAINS];                                                                                            \
        volatile float sink = 0;                                                                                        \
        UNROLL sums[c] = start((float)c);                                                                               \
        for (int i = 0; i < ROUNDS; i++) UNROLL sums[c] = step;                                                         \
        UNROLL sink += first(sums[c]);                                                                                  \
        return 2.0 * (lanes) * CHAINS * (double)ROUNDS;                                                                 \
    }
#if CLSP_X86
#define TARGET(instructions) __attribute__((target(instructions)))
LOOP(fma512, TARGET("avx512f"), __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps(sums[c], _mm512_set1_ps(0.999f), _mm512_set1_ps(1e-3f)),
     _mm512_cvtss_f32)
LOOP(fma256, TARGET("avx2,fma"), __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps(sums[c], _mm256_set1_ps(0.999f), _mm256_set1_ps(1e-3f)),
     _mm256_cvtss_f32)
LOOP(dot512, TARGET("avx512bf16,avx512f"), __m512, 32, _mm512_set1_ps,
     _mm512_dpbf16_ps(sums[c], (__m512bh)_mm512_set1_epi32(0x3f803f80), (__m512bh)_mm512_set1_epi32(0x3a803a80)),
     _mm512_cvtss_f32)

typedef struct tiles {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tiles;

TARGET("amx-tile,amx-bf16") static double tile(void)
{
    static uint8_t zeros[1024];
    tiles config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.bytes[i] = 64, config.rows[i] = 16;
    __asm__ volatile("" ::"r"(&config) : "memory"); /* the intrinsic names 8 of its 64 bytes */
    _tile_loadconfig(&config);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(5, zeros, 64);
    _tile_loadd(6, zeros, 64);
    _tile_loadd(7, zeros, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int i = 0; i < TILE_ROUNDS; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
    return 4.0 * 2 * 16 * 16 * 32 * (double)TILE_ROUNDS;
}

static int tiles_allowed(void)
{
    return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */) == 0;
}
#elif CLSP_ARM64
LOOP(fma128, , float32x4_t, 4, vdupq_n_f32, vfmaq_f32(sums[c], vdupq_n_f32(0.999f), vdupq_n_f32(1e-3f)), vaddvq_f32)
#endif

#if CLSP_X86 || CLSP_ARM64
static double measure(double (*loop)(void), int threads)
{
    double best = 0;
    for (int t = 0; t < TRIES; t++) {
        double work = 0, began = now();
#pragma omp parallel num_threads(threads) reduction(+ : work)
        work += loop();
        double rate = work / (now() - began) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}
#endif

bench_peaks bench_peaks_measure(int threads)
{
    bench_peaks peaks = {0};
    if (threads <= 0) threads = omp_get_max_threads();
#if CLSP_X86
    peaks.f32 = measure(__builtin_cpu_supports("avx512f") ? fma512 : fma256, threads);
    if (__builtin_cpu_supports("avx512bf16")) peaks.dot = measure(dot512, threads);
    if (tiles_allowed()) peaks.tile = measure(tile, threads);
#elif CLSP_ARM64
    peaks.f32 = measure(fma128, threads);
#endif
    return peaks;
}
