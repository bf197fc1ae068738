/* compute/clones.h - loops compiled for several processors at once, the best one picked when the program starts.
 *
 * Sums over a row are written as 16 running sums that are added at the end in a fixed order, so that every clone
 * gives the same bits: contraction into fused multiply-add is off (cmake/warnings.cmake).
 */
#ifndef CLSP_COMPUTE_CLONES_H
#define CLSP_COMPUTE_CLONES_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/clones.h is private to src/compute"
#endif

#include "compute/compute.h"

/* Sanitizers instrument the functions that pick a clone, which run before the sanitizer is ready. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLSP_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLSP_CLONES
#endif

enum { CLSP_LANES = 16 };

/* s [n] becomes exp(scale (s - max s)) / sum; p (bf16, may be NULL) receives the same, rounded. The entries
 * [n, padded) of both become 0. */
void clsp_softmax_row(float *s, uint16_t *p, float scale, size_t n, size_t padded);

#endif
