/* analysis/bootstrap.h - intervals of means over images, by resampling images (Efron 1979). */
#ifndef CLSP_ANALYSIS_BOOTSTRAP_H
#define CLSP_ANALYSIS_BOOTSTRAP_H

#if !defined(CLSP_ROOM_ANALYSIS) && !defined(CLSP_TESTS)
#error "analysis/bootstrap.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/ablation.h"

/* What became of n images under `count` ablations, the first of which is the baseline. */
typedef struct clsp_outcomes {
    size_t images, count;
    unsigned char *rank; /* [images, count] classes before the right one; CLSP_RANK_MOST: that many or more */
    float *logit;        /* [images, count] of the right class */
} clsp_outcomes;
enum { CLSP_RANK_MOST = 5 };

/* scores: [count]. Point values are double sums image after image. Resample r of the intervals draws its images by
 * splitmix64 from seed and r alone, so they depend neither on threads nor on how many ablations are scored at once;
 * percentiles 2.5 and 97.5 are interpolated linearly. Works with the calling thread's count (clsp_threads). */
clipspan_status clsp_bootstrap(clipspan_ablation_score *scores, const clsp_outcomes *outcomes, int resamples,
                               uint64_t seed, const clipspan_hooks *hooks, clipspan_error *err);
/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t clsp_random(uint64_t *state);
/* Percentiles 2.5 and 97.5 of values [n], which are sorted here; linear between two, as NumPy's. n 0: NaN. */
void clsp_percentiles(double *values, size_t n, double *low, double *high);
/* draws: [images] out: how often resample r takes each image. */
void clsp_bootstrap_draw(float *draws, size_t images, uint64_t seed, uint64_t r);

#endif
