/* Greedy picks in the factored form (ALGORITHMS 3). In the span's principal axes the covariance is diag(v), so a text
 * with coordinates p scores sum v p^2. With the chosen, deflated, unit directions n_1 .. n_m in the rows of N:
 *
 *     q = p - N'N p                         a text as it now is
 *     score = q' diag(v) q                  its variance (its root: the standard deviation over images of c . q)
 *     w = (I - N'N) diag(v) n               for the newly chosen n = q / |q|
 *     score -= 2 (p.n)(p.w) - (n.w)(p.n)^2  for every other text: two dot products
 *
 * Only chosen texts (and the few that screening cannot tell from them) are ever orthogonalised. */
#include "analysis/greedy.h"

#include <float.h>
#include <math.h>
#include <string.h>


enum { BLOCK = 512 }; /* texts whose two dot products run side by side */

typedef struct search {
    const clsp_span *span;
    const clsp_pool *pool;
    const float *projected; /* [k, T] */
    size_t stride, size, count;
    int threads;
    double *score;   /* [T] variances */
    double *chosen;  /* [size, k]: N */
    double *q, *best, *w; /* [k] */
    double trace;    /* of the covariance that is left: bounds its largest eigenvalue */
    double first;    /* score of the first pick */
    double highest;  /* score at the start: scale of the updates' round-off */
} search;

static clipspan_status search_open(search *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = s->span->k;
    CLSP_ALLOC(s->score, clsp_alloc(s->pool->texts, sizeof(double)));
    CLSP_ALLOC(s->chosen, clsp_alloc(clsp_min(s->size, k) * k, sizeof(double)));
    CLSP_ALLOC(s->q, clsp_alloc(k, sizeof(double)));
    CLSP_ALLOC(s->best, clsp_alloc(k, sizeof(double)));
    CLSP_ALLOC(s->w, clsp_alloc(k, sizeof(double)));
    for (size_t i = 0; i < k; i++) s->trace += s->span->variance[i];
out:
    return status;
}

static void search_close(search *s)
{
    clsp_free(s->score);
    clsp_free(s->chosen);
    clsp_free(s->q);
    clsp_free(s->best);
    clsp_free(s->w);
}

/* score = sum v p^2 over texts [first, first + n). */
CLSP_CLONES static void score_block(const search *s, size_t first, size_t n)
{
    double *restrict score = s->score + first;
    memset(score, 0, n * sizeof *score);
    for (size_t i = 0; i < s->span->k; i++) {
        const float *p = s->projected + i * s->stride + first;
        double v = s->span->variance[i];
        for (size_t j = 0; j < n; j++) score[j] += v * ((double)p[j] * (double)p[j]);
    }
}

CLSP_CLONES static void update_block(const search *s, const double *n, double nw, size_t first, size_t count)
{
    double along[BLOCK] = {0}, with[BLOCK] = {0};
    for (size_t i = 0; i < s->span->k; i++) {
        const float *p = s->projected + i * s->stride + first;
        double ni = n[i], wi = s->w[i];
        for (size_t j = 0; j < count; j++) {
            along[j] += ni * (double)p[j];
            with[j] += wi * (double)p[j];
        }
    }
    double *restrict score = s->score + first;
    for (size_t j = 0; j < count; j++) score[j] -= along[j] * (2 * with[j] - nw * along[j]);
}

static void score_all(search *s)
{
    size_t blocks = (s->pool->texts + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(s->threads) if (s->threads > 1)
    for (size_t b = 0; b < blocks; b++) score_block(s, b * BLOCK, clsp_min(BLOCK, s->pool->texts - b * BLOCK));
    s->highest = 0;
    for (size_t j = 0; j < s->pool->texts; j++) s->highest = fmax(s->highest, s->score[j]);
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void remove_chosen(const search *s, double *x)
{
    size_t k = s->span->k;
    for (int pass = 0; pass < 2; pass++) /* twice is enough for round-off */
        for (size_t m = 0; m < s->count; m++) {
            const double *n = s->chosen + m * k;
            double part = dot(x, n, k);
            for (size_t i = 0; i < k; i++) x[i] -= part * n[i];
        }
}

/* q [k] = basis [k, E] t [E], in double. */
CLSP_CLONES static void coordinates(double *q, const double *basis, const float *t, size_t k, size_t e)
{
    enum { LANES = 16 };
    for (size_t i = 0; i < k; i++) {
        const double *axis = basis + i * e;
        double sum[LANES] = {0}, total = 0;
        size_t d = 0;
        for (; d + LANES <= e; d += LANES)
            for (size_t lane = 0; lane < LANES; lane++) sum[lane] += axis[d + lane] * (double)t[d + lane];
        for (; d < e; d++) sum[0] += axis[d] * (double)t[d];
        for (size_t lane = 0; lane < LANES; lane++) total += sum[lane];
        q[i] = total;
    }
}

/* direction [E] = n [k] basis [k, E] */
CLSP_CLONES static void direction_of(float *direction, const double *n, const double *basis, size_t k, size_t e)
{
    enum { STRIP = 64 };
    for (size_t first = 0; first < e; first += STRIP) {
        double sum[STRIP] = {0};
        size_t width = clsp_min(STRIP, e - first);
        for (size_t i = 0; i < k; i++)
            for (size_t d = 0; d < width; d++) sum[d] += n[i] * basis[i * e + first + d];
        for (size_t d = 0; d < width; d++) direction[first + d] = (float)sum[d];
    }
}

/* q: text j as it now is, in double from its own embedding. Returns its score. */
static double exact_score(const search *s, size_t j, double *q)
{
    size_t k = s->span->k, e = s->span->embed_dim;
    coordinates(q, s->span->basis, s->pool->embeddings + j * e, k, e);
    remove_chosen(s, q);
    double score = 0;
    for (size_t i = 0; i < k; i++) score += s->span->variance[i] * (q[i] * q[i]);
    return score;
}

/* How far a screened score may be off: coordinates carry float32 round-off of a product of length E (delta), which moves
 * a score s by at most 2 sqrt(s trace) delta + trace delta^2; updates add double round-off of the first scores. */
static double screening_error(const search *s, double score)
{
    double delta = 4 * sqrt((double)s->span->embed_dim) * (double)FLT_EPSILON * s->pool->longest;
    double updates = 64 * DBL_EPSILON * (double)(s->count + 1) * s->highest;
    return 2 * sqrt(fmax(score, 0) * s->trace) * delta + s->trace * delta * delta + updates;
}

/* The best text now, lowest index on a tie; s->best is its deflated vector. Returns its score. */
static double find_best(search *s, size_t *text)
{
    double highest = -INFINITY, found = -INFINITY;
    for (size_t j = 0; j < s->pool->texts; j++) highest = s->score[j] > highest ? s->score[j] : highest;
    double bar = highest - 2 * screening_error(s, highest);
    for (size_t j = 0; j < s->pool->texts; j++) {
        if (s->score[j] < bar) continue;
        double score = exact_score(s, j, s->q);
        if (score <= found) continue;
        double *swap = s->best;
        s->best = s->q;
        s->q = swap;
        found = score;
        *text = j;
    }
    return found;
}

/* Takes s->best into N and its direction out; updates every score. */
static void take(search *s, float *direction, double *explained)
{
    size_t k = s->span->k, e = s->span->embed_dim, blocks = (s->pool->texts + BLOCK - 1) / BLOCK;
    double length = sqrt(dot(s->best, s->best, k));
    double *n = s->chosen + s->count * k;
    for (size_t i = 0; i < k; i++) n[i] = s->best[i] / length;
    for (size_t i = 0; i < k; i++) s->w[i] = s->span->variance[i] * n[i];
    remove_chosen(s, s->w);
    double nw = dot(n, s->w, k);
    s->count++;
#pragma omp parallel for num_threads(s->threads) if (s->threads > 1)
    for (size_t b = 0; b < blocks; b++) update_block(s, n, nw, b * BLOCK, clsp_min(BLOCK, s->pool->texts - b * BLOCK));
    direction_of(direction, n, s->span->basis, k, e);
    s->trace = fmax(s->trace - nw, 0);
    *explained = nw / s->span->total;
}

clipspan_status clsp_greedy_run(const clsp_span *span, const clsp_pool *pool, const float *projected, size_t stride,
                                size_t size, int threads, clipspan_textspan_text *picks, float *directions,
                                size_t *count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    search s = {.span = span, .pool = pool, .projected = projected, .stride = stride, .size = size, .threads = threads};
    *count = 0;
    CLSP_TRY(search_open(&s, err));
    if (span->total > 0) score_all(&s);
    while (s.count < size && s.count < span->k && span->total > 0) {
        clipspan_textspan_text *pick = picks + s.count;
        double score = find_best(&s, &pick->text);
        if (s.count == 0) s.first = score;
        if (score <= CLSP_SPAN_ROUND_OFF * CLSP_SPAN_ROUND_OFF * s.first) break; /* nothing but rounding is left */
        pick->score = sqrt(score);
        take(&s, directions + s.count * span->embed_dim, &pick->explained);
    }
    *count = s.count;
out:
    search_close(&s);
    return status;
}
