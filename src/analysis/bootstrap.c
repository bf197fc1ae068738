/* All resamples at once: with W [R, I] how often each resample takes each image, and V [I, A] the outcome of each image
 * under each ablation, the resampled sums are W V. Two things are kept small: W comes in blocks of resamples, V in
 * blocks of images, whose float32 sums are added up in double. Under an ablation V holds the difference to the baseline,
 * image by image, so that what is common to both does not drown it. */
#include "analysis/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute/compute.h"

enum { MEASURES = 3, IMAGES = 2048, MOST_RESAMPLES = 128, FEWEST_RESAMPLES = 8, DRAW_BYTES = 64 << 20 };

typedef struct sampler {
    const clsp_outcomes *o;
    size_t resamples, block; /* resamples in a block */
    float *draws;            /* [block, I]: W */
    float *values;           /* [IMAGES, A]: V of one measure */
    float *product;          /* [block, A] */
    double *sums;            /* [MEASURES, R, A]: of the baseline in column 0, of drops in the others */
} sampler;

static uint64_t mix(uint64_t z) /* splitmix64's finaliser (Steele, Lea, Flood 2014) */
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static const uint64_t STEP = 0x9E3779B97F4A7C15U;

uint64_t clsp_random(uint64_t *state)
{
    return mix(*state += STEP);
}

void clsp_bootstrap_draw(float *draws, size_t images, uint64_t seed, uint64_t r)
{
    uint64_t state = mix(seed + STEP) ^ mix((r + 1) * STEP);
    memset(draws, 0, images * sizeof *draws);
    for (size_t i = 0; i < images; i++) draws[((clsp_random(&state) >> 32) * (uint64_t)images) >> 32] += 1.0F;
}

static float value_of(const clsp_outcomes *o, int measure, size_t at)
{
    if (measure == 2) return o->logit[at];
    return o->rank[at] < (measure == 0 ? 1 : CLSP_RANK_MOST) ? 1.0F : 0.0F;
}

/* V of images [first, first + n): the baseline, and what each ablation takes from it. */
static void fill_values(sampler *s, int measure, size_t first, size_t n)
{
    size_t count = s->o->count;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        size_t at = (first + i) * count;
        float base = value_of(s->o, measure, at), *to = s->values + i * count;
        to[0] = base;
        for (size_t a = 1; a < count; a++) to[a] = base - value_of(s->o, measure, at + a);
    }
}

/* Adds images [first, first + n) to the sums of resamples [at, at + block). */
static clipspan_status add_images(sampler *s, size_t at, size_t block, size_t first, size_t n, clipspan_error *err)
{
    size_t count = s->o->count;
    for (int m = 0; m < MEASURES; m++) {
        fill_values(s, m, first, n);
        clipspan_status status = clsp_sgemm(s->product, count, s->draws + first, s->o->images, false, s->values, count,
                                            false, block, count, n, 1.0F, 0.0F, err);
        if (status != CLIPSPAN_OK) return status;
        double *sums = s->sums + ((size_t)m * s->resamples + at) * count;
        for (size_t i = 0; i < block * count; i++) sums[i] += (double)s->product[i];
    }
    return CLIPSPAN_OK;
}

static clipspan_status tell(const clipspan_hooks *hooks, size_t done, size_t total, clipspan_error *err)
{
    const clipspan_progress now = {"resamples", done, total, 0};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &now) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu resamples", done, total);
}

static clipspan_status resample(sampler *s, uint64_t seed, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t images = s->o->images;
    for (size_t at = 0; at < s->resamples; at += s->block) {
        size_t block = clsp_min(s->block, s->resamples - at);
        CLSP_TRY(tell(hooks, at, s->resamples, err));
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < block; r++) clsp_bootstrap_draw(s->draws + r * images, images, seed, at + r);
        for (size_t first = 0; first < images; first += IMAGES)
            CLSP_TRY(add_images(s, at, block, first, clsp_min(IMAGES, images - first), err));
    }
out:
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sorted: [n] ascending. */
static double percentile(const double *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t below = (size_t)at;
    double part = at - (double)below;
    return below + 1 < n ? sorted[below] + part * (sorted[below + 1] - sorted[below]) : sorted[n - 1];
}

void clsp_percentiles(double *values, size_t n, double *low, double *high)
{
    *low = *high = (double)NAN;
    if (n == 0) return;
    qsort(values, n, sizeof *values, ascending);
    *low = percentile(values, n, 0.025);
    *high = percentile(values, n, 0.975);
}

/* The points are there already. values: [R] scratch. */
static void intervals(clipspan_ablation_score *score, const sampler *s, size_t ablation, double *values)
{
    clipspan_estimate *const plain[MEASURES] = {&score->top1, &score->top5, &score->logit};
    clipspan_estimate *const drops[MEASURES] = {&score->top1_drop, &score->top5_drop, &score->logit_drop};
    double images = (double)s->o->images;
    for (size_t m = 0; m < MEASURES; m++) {
        const double *sums = s->sums + m * s->resamples * s->o->count;
        for (size_t r = 0; r < s->resamples; r++) {
            const double *row = sums + r * s->o->count;
            values[r] = (ablation == 0 ? row[0] : row[0] - row[ablation]) / images;
        }
        clsp_percentiles(values, s->resamples, &plain[m]->low, &plain[m]->high);
        for (size_t r = 0; r < s->resamples; r++)
            values[r] = ablation == 0 ? 0 : sums[r * s->o->count + ablation] / images;
        clsp_percentiles(values, s->resamples, &drops[m]->low, &drops[m]->high);
    }
}

static void point_values(clipspan_ablation_score *scores, const clsp_outcomes *o)
{
    enum { TERMS = 2 * MEASURES };
    for (size_t a = 0; a < o->count; a++) scores[a] = (clipspan_ablation_score){0};
    for (size_t i = 0; i < o->images; i++)
        for (size_t a = 0; a < o->count; a++) {
            clipspan_ablation_score *s = &scores[a];
            clipspan_estimate *const plain[MEASURES] = {&s->top1, &s->top5, &s->logit};
            clipspan_estimate *const drops[MEASURES] = {&s->top1_drop, &s->top5_drop, &s->logit_drop};
            for (int m = 0; m < MEASURES; m++) {
                double value = (double)value_of(o, m, i * o->count + a);
                plain[m]->value += value;
                drops[m]->value += (double)value_of(o, m, i * o->count) - value;
            }
        }
    for (size_t a = 0; a < o->count; a++) {
        clipspan_ablation_score *s = &scores[a];
        clipspan_estimate *const all[TERMS] = {&s->top1,      &s->top5,      &s->logit,
                                               &s->top1_drop, &s->top5_drop, &s->logit_drop};
        for (int m = 0; m < TERMS; m++) all[m]->value /= (double)o->images;
    }
}

static clipspan_status sampler_open(sampler *s, const clsp_outcomes *o, int resamples, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells, row = o->images * sizeof *s->draws;
    *s = (sampler){.o = o, .resamples = (size_t)resamples};
    s->block = clsp_min(clsp_max(DRAW_BYTES / row, FEWEST_RESAMPLES), MOST_RESAMPLES);
    CLSP_ALLOC(s->draws, clsp_alloc_aligned(s->block * o->images, sizeof *s->draws));
    CLSP_ALLOC(s->values, clsp_alloc_aligned(IMAGES * o->count, sizeof *s->values));
    CLSP_ALLOC(s->product, clsp_alloc_aligned(s->block * o->count, sizeof *s->product));
    if (!clsp_mul(&cells, MEASURES * s->resamples, o->count)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(s->sums, clsp_alloc_zero(cells, sizeof *s->sums));
out:
    return status;
}

static void sampler_close(sampler *s)
{
    clsp_free(s->draws);
    clsp_free(s->values);
    clsp_free(s->product);
    clsp_free(s->sums);
}

clipspan_status clsp_bootstrap(clipspan_ablation_score *scores, const clsp_outcomes *outcomes, int resamples,
                               uint64_t seed, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double *values = NULL;
    sampler s = {0};
    if (outcomes->images == 0 || outcomes->images > UINT32_MAX)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu images cannot be resampled", outcomes->images);
    CLSP_ALLOC(values, clsp_alloc((size_t)resamples, sizeof *values));
    CLSP_TRY(sampler_open(&s, outcomes, resamples, err));
    CLSP_TRY(resample(&s, seed, hooks, err));
    point_values(scores, outcomes);
    for (size_t a = 0; a < outcomes->count; a++) intervals(&scores[a], &s, a, values);
out:
    sampler_close(&s);
    clsp_free(values);
    return status;
}
