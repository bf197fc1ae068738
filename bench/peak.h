/* peak.h - what this processor's arithmetic units give at most, measured on registers alone. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

typedef struct bench_peaks {
    double f32, dot, tile; /* GFLOP/s: fp32 fused multiply-adds, bf16 dot products, bf16 tile products; 0: not there */
} bench_peaks;
/* threads: 0: all. Some tenths of a second. */
bench_peaks bench_peaks_measure(int threads);

#endif
