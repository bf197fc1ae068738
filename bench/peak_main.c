/* peak - prints this machine's peak as JSON, GFLOP/s by kind:  bench_peak [THREADS] */
#include "peak.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    bench_peaks peaks = bench_peaks_measure(threads);
    printf("{\"threads\": %d, \"f32\": %.0f", threads > 0 ? threads : omp_get_max_threads(), peaks.f32);
    if (peaks.dot > 0) printf(", \"bf16_dot\": %.0f", peaks.dot);
    if (peaks.tile > 0) printf(", \"bf16_tile\": %.0f", peaks.tile);
    printf("}\n");
    return 0;
}
