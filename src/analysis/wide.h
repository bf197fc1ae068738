/* analysis/wide.h - loops compiled for several processors at once, the best one picked when the program starts.
 *
 * Every lane of such a loop is its own sum in a fixed order, and contraction into fused multiply-add is off
 * (cmake/warnings.cmake), so each variant gives the same bits. */
#ifndef CLSP_ANALYSIS_WIDE_H
#define CLSP_ANALYSIS_WIDE_H

#if !defined(CLSP_ROOM_ANALYSIS) && !defined(CLSP_TESTS)
#error "analysis/wide.h is private to the room analysis"
#endif

/* Sanitizers instrument the functions that pick a variant, which run before the sanitizer is ready. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLSP_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLSP_WIDE
#endif

#endif
