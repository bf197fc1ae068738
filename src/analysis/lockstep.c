/* The formulas are greedy.c's, for S covariances K on axes that all share. What is done to every text is two products in
 * float32, whatever the number of searches that go on together:
 *
 *     score = sum over a <= b of (2 or 1) K[a, b] (p_a p_b)        [S, k (k + 1) / 2] x [k (k + 1) / 2, T], once
 *     p . n and p . w                                              [2 S, k] x [k, T], a pick
 *
 * A search bounds how far off that leaves its scores; every text that could be its best is scored again in double. */
#include "analysis/lockstep.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "analysis/greedy.h"
#include "analysis/span.h"
#include "compute/compute.h"

enum { BLOCK = CLSP_TEXT_BLOCK };

/* ---- a pool on a head's axes ---------------------------------------------------------------------------------- */

/* Largest squared length of a block's texts. x: [k, BLOCK]. */
CLSP_CLONES static double longest_square(const float *x, size_t k)
{
    double square[BLOCK] = {0}, longest = 0;
    for (size_t a = 0; a < k; a++)
        for (size_t j = 0; j < BLOCK; j++) square[j] += (double)x[a * BLOCK + j] * (double)x[a * BLOCK + j];
    for (size_t j = 0; j < BLOCK; j++) longest = square[j] > longest ? square[j] : longest;
    return longest;
}

static clipspan_status turn(clsp_turned *t, const float *pool, const float *axes, size_t e, clipspan_error *err)
{
    clipspan_status outcome = CLIPSPAN_OK;
    double longest = 0;
#pragma omp parallel for schedule(static) reduction(max : longest)
    for (size_t b = 0; b < t->blocks; b++) {
        float *values = t->values + b * t->axes * BLOCK;
        size_t width = clsp_min(BLOCK, t->texts - b * BLOCK);
        if (width < BLOCK) memset(values, 0, t->axes * BLOCK * sizeof *values);
        if (clsp_sgemm(values, BLOCK, axes, e, false, pool + b * BLOCK * e, e, true, t->axes, width, e, 1.0F, 0.0F, NULL) !=
            CLIPSPAN_OK)
#pragma omp atomic write
            outcome = CLIPSPAN_ERROR_MEMORY;
        longest = fmax(longest, longest_square(values, t->axes));
    }
    t->longest = sqrt(longest);
    return outcome == CLIPSPAN_OK ? CLIPSPAN_OK : clsp_fail_memory(err);
}

clipspan_status clsp_turned_open(clsp_turned *turned, const float *pool, size_t texts, const double *axes, size_t count,
                                 size_t embed_dim, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    float *narrow = NULL;
    size_t cells;
    *turned = (clsp_turned){.texts = texts, .axes = count, .blocks = (texts + BLOCK - 1) / BLOCK};
    if (!clsp_mul(&cells, turned->blocks * BLOCK, count)) return clsp_fail_memory(err);
    CLSP_ALLOC(turned->values, clsp_alloc_aligned(cells, sizeof *turned->values));
    CLSP_ALLOC(narrow, clsp_alloc_aligned(count * embed_dim, sizeof *narrow));
    for (size_t i = 0; i < count * embed_dim; i++) narrow[i] = (float)axes[i];
    CLSP_TRY(turn(turned, pool, narrow, embed_dim, err));
out:
    clsp_free(narrow);
    if (status != CLIPSPAN_OK) clsp_turned_close(turned);
    return status;
}

void clsp_turned_close(clsp_turned *turned)
{
    clsp_free(turned->values);
    *turned = (clsp_turned){0};
}

/* ---- searches ------------------------------------------------------------------------------------------------- */

typedef struct search {
    const clsp_variation *variation;
    size_t count;
    bool done;
    float *score;   /* [T, up to whole blocks] */
    float *peak;    /* [blocks] highest of a block's scores */
    double *chosen; /* [size, k]: N */
    double off;     /* bound on the error of a score */
    double first;   /* score of the first pick */
    float nw;       /* n . w of the last pick */
} search;

typedef struct lockstep {
    const clsp_turned *pool;
    size_t searches, size, pairs; /* pairs: k (k + 1) / 2 */
    search *all;
    float *scores, *peaks;
    double *chosen;
    float *weights;  /* [S, pairs] the covariances */
    float *products; /* [pairs, BLOCK] of a block's coordinates */
    float *steps;    /* [2 S, k]: every search's n, then every search's w */
    float *along;    /* [2 S, BLOCK] */
    double *p, *q, *kq, *best, *kbest, *inside; /* [k] */
} lockstep;

size_t clsp_lockstep_bytes(const clsp_turned *pool, size_t size)
{
    return pool->blocks * BLOCK * sizeof(float) + size * pool->axes * sizeof(double) + pool->axes * pool->axes * sizeof(float);
}

static clipspan_status lockstep_open(lockstep *l, const clsp_variation *variations, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = l->pool->axes, texts = l->pool->blocks * BLOCK;
    double **vectors[] = {&l->p, &l->q, &l->kq, &l->best, &l->kbest, &l->inside};
    CLSP_ALLOC(l->all, clsp_alloc_zero(l->searches, sizeof *l->all));
    CLSP_ALLOC(l->scores, clsp_alloc_aligned(l->searches * texts, sizeof *l->scores));
    CLSP_ALLOC(l->peaks, clsp_alloc(l->searches * l->pool->blocks, sizeof *l->peaks));
    CLSP_ALLOC(l->chosen, clsp_alloc(l->searches * l->size * k, sizeof *l->chosen));
    CLSP_ALLOC(l->weights, clsp_alloc_aligned(l->searches * l->pairs, sizeof *l->weights));
    CLSP_ALLOC(l->products, clsp_alloc_aligned(l->pairs * BLOCK, sizeof *l->products));
    CLSP_ALLOC(l->steps, clsp_alloc_zero(2 * l->searches * k, sizeof *l->steps));
    CLSP_ALLOC(l->along, clsp_alloc_aligned(2 * l->searches * BLOCK, sizeof *l->along));
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) CLSP_ALLOC(*vectors[i], clsp_alloc(k, sizeof(double)));
    for (size_t s = 0; s < l->searches; s++)
        l->all[s] = (search){.variation = &variations[s], .score = l->scores + s * texts,
                             .peak = l->peaks + s * l->pool->blocks, .chosen = l->chosen + s * l->size * k};
out:
    return status;
}

static void lockstep_close(lockstep *l)
{
    void *all[] = {l->all, l->scores, l->peaks, l->chosen, l->weights, l->products, l->steps,
                   l->along, l->p, l->q, l->kq, l->best, l->kbest, l->inside};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
}

/* ---- what is done to every text ------------------------------------------------------------------------------- */

CLSP_CLONES static float highest(const float *values, size_t count)
{
    float best = -INFINITY;
    for (size_t i = 0; i < count; i++) best = values[i] > best ? values[i] : best;
    return best;
}

static float peak_of(const lockstep *l, const search *s, size_t b)
{
    return highest(s->score + b * BLOCK, clsp_min(BLOCK, l->pool->texts - b * BLOCK));
}

/* x: [k, BLOCK] */
CLSP_CLONES static void multiply_pairs(float *restrict products, const float *restrict x, size_t k)
{
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b <= a; b++, products += BLOCK)
            for (size_t j = 0; j < BLOCK; j++) products[j] = x[a * BLOCK + j] * x[b * BLOCK + j];
}

/* First scores. The sum of |K[a, b] p_a p_b| is at most trace |p|^2, as |K[a, b]|^2 <= K[a, a] K[b, b]. */
static clipspan_status begin(lockstep *l, clipspan_error *err)
{
    size_t k = l->pool->axes, texts = l->pool->blocks * BLOCK;
    double longest = l->pool->longest, share = 4 * sqrt((double)l->pairs) * (double)FLT_EPSILON * longest * longest;
    for (size_t s = 0; s < l->searches; s++) {
        const double *covariance = l->all[s].variation->covariance;
        float *weight = l->weights + s * l->pairs;
        for (size_t a = 0; a < k; a++)
            for (size_t b = 0; b <= a; b++) *weight++ = (float)((a == b ? 1 : 2) * covariance[a * k + b]);
        l->all[s].off = share * l->all[s].variation->total;
        l->all[s].done = l->all[s].variation->total <= 0;
    }
    for (size_t b = 0; b < l->pool->blocks; b++) {
        multiply_pairs(l->products, l->pool->values + b * k * BLOCK, k);
        clipspan_status status = clsp_sgemm(l->scores + b * BLOCK, texts, l->weights, l->pairs, false, l->products, BLOCK, false,
                                            l->searches, BLOCK, l->pairs, 1.0F, 0.0F, err);
        if (status != CLIPSPAN_OK) return status;
        for (size_t s = 0; s < l->searches; s++) l->all[s].peak[b] = peak_of(l, &l->all[s], b);
    }
    return CLIPSPAN_OK;
}

/* score -= 2 (p.n)(p.w) - (n.w)(p.n)^2 */
CLSP_CLONES static void lower(float *restrict score, const float *restrict along, const float *restrict with, float nw)
{
    for (size_t j = 0; j < BLOCK; j++) score[j] -= along[j] * (2 * with[j] - nw * along[j]);
}

static clipspan_status update(lockstep *l, clipspan_error *err)
{
    size_t k = l->pool->axes;
    for (size_t b = 0; b < l->pool->blocks; b++) {
        clipspan_status status = clsp_sgemm(l->along, BLOCK, l->steps, k, false, l->pool->values + b * k * BLOCK, BLOCK, false,
                                            2 * l->searches, BLOCK, k, 1.0F, 0.0F, err);
        if (status != CLIPSPAN_OK) return status;
        for (size_t s = 0; s < l->searches; s++) {
            search *one = &l->all[s];
            if (one->done) continue;
            lower(one->score + b * BLOCK, l->along + s * BLOCK, l->along + (l->searches + s) * BLOCK, one->nw);
            one->peak[b] = peak_of(l, one, b);
        }
    }
    return CLIPSPAN_OK;
}

/* ---- one search's next pick ----------------------------------------------------------------------------------- */

/* out [m] = a [m, n] x */
CLSP_CLONES static void multiply(double *out, const double *a, const double *x, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++) out[i] = clsp_span_dot(a + i * n, x, n);
}

CLSP_CLONES static void remove_chosen(const search *s, double *x, size_t k)
{
    for (int pass = 0; pass < 2; pass++) /* twice is enough for round-off */
        for (size_t m = 0; m < s->count; m++) {
            const double *n = s->chosen + m * k;
            double part = clsp_span_dot(x, n, k);
            for (size_t i = 0; i < k; i++) x[i] -= part * n[i];
        }
}

/* q: text j projected on the span, without what is chosen; kq: K q. Returns its score, in double. */
static double exact_score(lockstep *l, const search *s, size_t j)
{
    size_t k = l->pool->axes, rank = s->variation->rank;
    const float *x = l->pool->values + j / BLOCK * k * BLOCK + j % BLOCK;
    for (size_t a = 0; a < k; a++) l->q[a] = (double)x[a * BLOCK];
    if (rank < k) {
        multiply(l->inside, s->variation->span, l->q, rank, k);
        memset(l->q, 0, k * sizeof *l->q);
        for (size_t r = 0; r < rank; r++)
            for (size_t a = 0; a < k; a++) l->q[a] += l->inside[r] * s->variation->span[r * k + a];
    }
    remove_chosen(s, l->q, k);
    multiply(l->kq, s->variation->covariance, l->q, k, k);
    return clsp_span_dot(l->q, l->kq, k);
}

static void exchange(double **a, double **b)
{
    double *kept = *a;
    *a = *b;
    *b = kept;
}

/* The best text now, lowest index on a tie; l->best is its deflated vector. Returns its score. */
static double find_best(lockstep *l, const search *s, size_t *text)
{
    double found = -INFINITY, bar = (double)highest(s->peak, l->pool->blocks) - 2 * s->off;
    for (size_t b = 0; b < l->pool->blocks; b++) {
        if ((double)s->peak[b] < bar) continue;
        for (size_t j = b * BLOCK, end = clsp_min(j + BLOCK, l->pool->texts); j < end; j++) {
            if ((double)s->score[j] < bar) continue;
            double score = exact_score(l, s, j);
            if (score <= found) continue;
            exchange(&l->best, &l->q);
            exchange(&l->kbest, &l->kq);
            found = score;
            *text = j;
        }
    }
    return found;
}

/* Takes l->best into N: n and w for the update, and what its float32 may add to the scores' error: of p.n and p.w, as
 * |p.n| <= |p| and |p.w| <= |p| |w|, and of the scores themselves. */
static void take(lockstep *l, search *s, size_t number)
{
    size_t k = l->pool->axes;
    double *n = s->chosen + s->count * k, *w = l->kbest, length = sqrt(clsp_span_dot(l->best, l->best, k));
    double square = l->pool->longest * l->pool->longest, share = 4 * sqrt((double)k) * (double)FLT_EPSILON;
    for (size_t a = 0; a < k; a++) n[a] = l->best[a] / length;
    for (size_t a = 0; a < k; a++) w[a] /= length;
    remove_chosen(s, w, k);
    double nw = clsp_span_dot(n, w, k);
    s->count++;
    for (size_t a = 0; a < k; a++) {
        l->steps[number * k + a] = (float)n[a];
        l->steps[(l->searches + number) * k + a] = (float)w[a];
    }
    s->nw = (float)nw;
    s->off += share * square * (4 * sqrt(clsp_span_dot(w, w, k)) + 2 * nw) + 4 * (double)FLT_EPSILON * s->first;
}

/* false: nothing is left to pick. */
static bool pick(lockstep *l, size_t number, size_t *text)
{
    search *s = &l->all[number];
    size_t at = s->count;
    if (s->count == s->variation->rank) return false;
    double score = find_best(l, s, text);
    if (at == 0) s->first = score;
    if (score <= CLSP_SPAN_ROUND_OFF * CLSP_SPAN_ROUND_OFF * s->first) return false; /* nothing but rounding is left */
    take(l, s, number);
    return true;
}

clipspan_status clsp_lockstep_run(size_t *picks, size_t *counts, const clsp_turned *pool, const clsp_variation *variations,
                                  size_t searches, size_t size, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    lockstep l = {.pool = pool, .searches = searches, .size = size, .pairs = pool->axes * (pool->axes + 1) / 2};
    CLSP_TRY(lockstep_open(&l, variations, err));
    CLSP_TRY(begin(&l, err));
    for (size_t at = 0, left = searches; at < size && left > 0; at++) {
        if (at > 0) CLSP_TRY(update(&l, err));
        left = 0;
        for (size_t s = 0; s < searches; s++) {
            l.all[s].done = l.all[s].done || !pick(&l, s, &picks[s * size + at]);
            left += !l.all[s].done;
        }
    }
    for (size_t s = 0; s < searches; s++) counts[s] = l.all[s].count;
out:
    lockstep_close(&l);
    return status;
}
