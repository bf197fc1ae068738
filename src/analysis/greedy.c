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

enum { BLOCK = CLSP_TEXT_BLOCK, ABREAST = 4 }; /* axes that share each load and store of a block's sums */

typedef struct search {
    const clsp_span *span;
    const clsp_pool *pool;
    const clsp_screen *screen;
    size_t axis;     /* of the screen, the span's first */
    size_t size, count, blocks;
    int threads;
    double off;      /* bound on the length of a text's error in the screen's codes */
    double *score;   /* [T, up to whole blocks] variances */
    double *peak;    /* [blocks] highest of a block's scores */
    double *chosen;  /* [size, k]: N */
    double *q, *best, *w; /* [k] */
    float *row;      /* [E] */
    double trace;    /* of the covariance that is left: bounds its largest eigenvalue */
    double first;    /* score of the first pick */
    double highest;  /* score at the start: scale of the updates' round-off */
} search;

/* Half a scale each axis and a little for the rounding's own: the worst block's length of such errors. */
static double coding_error(const search *s)
{
    double worst = 0;
    for (size_t b = 0; b < s->screen->blocks; b++) {
        const float *scale = s->screen->scales + b * s->screen->rows + s->axis;
        double square = 0;
        for (size_t i = 0; i < s->span->k; i++) square += (double)scale[i] * (double)scale[i];
        worst = fmax(worst, square);
    }
    return 0.51 * sqrt(worst);
}

static clipspan_status search_open(search *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = s->span->k, e = s->span->embed_dim;
    s->blocks = s->screen->blocks;
    CLSP_ALLOC(s->score, clsp_alloc_aligned(s->blocks * BLOCK, sizeof(double)));
    CLSP_ALLOC(s->peak, clsp_alloc(s->blocks, sizeof(double)));
    CLSP_ALLOC(s->row, clsp_alloc_aligned(e, sizeof *s->row));
    CLSP_ALLOC(s->chosen, clsp_alloc(clsp_min(s->size, k) * k, sizeof(double)));
    CLSP_ALLOC(s->q, clsp_alloc(k, sizeof(double)));
    CLSP_ALLOC(s->best, clsp_alloc(k, sizeof(double)));
    CLSP_ALLOC(s->w, clsp_alloc(k, sizeof(double)));
    for (size_t i = 0; i < k; i++) s->trace += s->span->variance[i];
    s->off = coding_error(s);
out:
    return status;
}

static void search_close(search *s)
{
    clsp_free(s->score);
    clsp_free(s->peak);
    clsp_free(s->row);
    clsp_free(s->chosen);
    clsp_free(s->q);
    clsp_free(s->best);
    clsp_free(s->w);
}

/* sum [BLOCK] += f[0] x[0] + .. + f[count - 1] x[count - 1] over rows x of codes. */
static inline void add_rows(double *restrict sum, const int16_t *restrict x, const double *f, size_t count)
{
    if (count == ABREAST)
        for (size_t j = 0; j < BLOCK; j++)
            sum[j] += (f[0] * (double)x[j] + f[1] * (double)x[BLOCK + j]) +
                      (f[2] * (double)x[2 * BLOCK + j] + f[3] * (double)x[3 * BLOCK + j]);
    else
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < BLOCK; j++) sum[j] += f[i] * (double)x[i * BLOCK + j];
}

static inline const int16_t *codes_of(const search *s, size_t b, const float **scale)
{
    size_t row = b * s->screen->rows + s->axis;
    *scale = s->screen->scales + row;
    return s->screen->codes + row * BLOCK;
}

/* score = sum v p^2 over block b. */
CLSP_CLONES static void score_block(const search *s, size_t b, double *score)
{
    const float *scale;
    const int16_t *x = codes_of(s, b, &scale);
    double sum[BLOCK] = {0};
    for (size_t i = 0; i < s->span->k; i++) {
        double factor = s->span->variance[i] * ((double)scale[i] * (double)scale[i]);
        for (size_t j = 0; j < BLOCK; j++) sum[j] += factor * ((double)x[i * BLOCK + j] * (double)x[i * BLOCK + j]);
    }
    memcpy(score, sum, sizeof sum);
}

CLSP_CLONES static void update_block(const search *s, const double *n, double nw, size_t b, double *score)
{
    const float *scale;
    const int16_t *x = codes_of(s, b, &scale);
    double along[BLOCK] = {0}, with[BLOCK] = {0};
    for (size_t i = 0; i < s->span->k; i += ABREAST) {
        size_t count = clsp_min(ABREAST, s->span->k - i);
        double f[ABREAST], g[ABREAST];
        for (size_t r = 0; r < count; r++) {
            f[r] = n[i + r] * (double)scale[i + r];
            g[r] = s->w[i + r] * (double)scale[i + r];
        }
        add_rows(along, x + i * BLOCK, f, count);
        add_rows(with, x + i * BLOCK, g, count);
    }
    for (size_t j = 0; j < BLOCK; j++) score[j] -= along[j] * (2 * with[j] - nw * along[j]);
}

static size_t texts_of_block(const search *s, size_t b)
{
    return clsp_min(BLOCK, s->pool->vectors.count - b * BLOCK);
}

/* Scores every text (n NULL), or updates all scores for the new direction n; and finds each block's highest. */
static void sweep(search *s, const double *n, double nw)
{
#pragma omp parallel for schedule(static) num_threads(s->threads) if (s->threads > 1)
    for (size_t b = 0; b < s->blocks; b++) {
        double *score = s->score + b * BLOCK, highest = -INFINITY;
        if (n == NULL)
            score_block(s, b, score);
        else
            update_block(s, n, nw, b, score);
        for (size_t j = 0, texts = texts_of_block(s, b); j < texts; j++) highest = score[j] > highest ? score[j] : highest;
        s->peak[b] = highest;
    }
}

static double highest_peak(const search *s)
{
    double highest = -INFINITY;
    for (size_t b = 0; b < s->blocks; b++) highest = s->peak[b] > highest ? s->peak[b] : highest;
    return highest;
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
    enum { SUMS = 16 };
    for (size_t i = 0; i < k; i++) {
        const double *axis = basis + i * e;
        double sum[SUMS] = {0}, total = 0;
        size_t d = 0;
        for (; d + SUMS <= e; d += SUMS)
            for (size_t lane = 0; lane < SUMS; lane++) sum[lane] += axis[d + lane] * (double)t[d + lane];
        for (; d < e; d++) sum[0] += axis[d] * (double)t[d];
        for (size_t lane = 0; lane < SUMS; lane++) total += sum[lane];
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
    coordinates(q, s->span->basis, clsp_pool_rows(s->pool, j, 1, s->row), k, e);
    remove_chosen(s, q);
    double score = 0;
    for (size_t i = 0; i < k; i++) score += s->span->variance[i] * (q[i] * q[i]);
    return score;
}

/* How far a screened score may be off: coordinates carry float32 round-off of a product of length E and that of their codes
 * (delta), which moves a score s by at most 2 sqrt(s trace) delta + trace delta^2; updates add double round-off of the first
 * scores. */
static double screening_error(const search *s, double score)
{
    double delta = 4 * sqrt((double)s->span->embed_dim) * (double)FLT_EPSILON * s->pool->longest + s->off;
    double updates = 64 * DBL_EPSILON * (double)(s->count + 1) * s->highest;
    return 2 * sqrt(fmax(score, 0) * s->trace) * delta + s->trace * delta * delta + updates;
}

/* Keeps text j if it is better than what was found. */
static void consider(search *s, size_t j, double *found, size_t *text)
{
    double score = exact_score(s, j, s->q);
    if (score <= *found) return;
    double *swap = s->best;
    s->best = s->q;
    s->q = swap;
    *found = score;
    *text = j;
}

/* The best text now, lowest index on a tie; s->best is its deflated vector. Returns its score. */
static double find_best(search *s, size_t *text)
{
    double highest = highest_peak(s), found = -INFINITY, bar = highest - 2 * screening_error(s, highest);
    for (size_t b = 0; b < s->blocks; b++) {
        if (s->peak[b] < bar) continue;
        for (size_t j = b * BLOCK, end = j + texts_of_block(s, b); j < end; j++)
            if (s->score[j] >= bar) consider(s, j, &found, text);
    }
    return found;
}

/* Takes s->best into N and its direction out; updates every score. */
static void take(search *s, float *direction, double *explained)
{
    size_t k = s->span->k, e = s->span->embed_dim;
    double length = sqrt(dot(s->best, s->best, k));
    double *n = s->chosen + s->count * k;
    for (size_t i = 0; i < k; i++) n[i] = s->best[i] / length;
    for (size_t i = 0; i < k; i++) s->w[i] = s->span->variance[i] * n[i];
    remove_chosen(s, s->w);
    double nw = dot(n, s->w, k);
    s->count++;
    if (s->count < clsp_min(s->size, k)) sweep(s, n, nw); /* nobody asks after the last */
    direction_of(direction, n, s->span->basis, k, e);
    s->trace = fmax(s->trace - nw, 0);
    *explained = nw / s->span->total;
}

clipspan_status clsp_greedy_run(const clsp_span *span, const clsp_pool *pool, const clsp_screen *screen, size_t first,
                                size_t size, int threads, clipspan_textspan_text *picks, float *directions,
                                size_t *count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    search s = {.span = span, .pool = pool, .screen = screen, .axis = first, .size = size, .threads = threads};
    *count = 0;
    CLSP_TRY(search_open(&s, err));
    if (span->total > 0) {
        sweep(&s, NULL, 0);
        s.highest = fmax(highest_peak(&s), 0);
    }
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
