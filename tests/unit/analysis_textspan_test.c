/* TextSpan from moments against a direct implementation of ALGORITHMS 3, written here from the formulas: every vector
 * c and t in full, an SVD of c, and deflation of both after each pick. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_fake.h"

#include "analysis/span.h"
#include "clipspan/analysis.h"
#include "compute/compute.h"
#include "worse.h"

/* ---- the direct implementation ------------------------------------------------------------------------- */

typedef struct direct {
    size_t count, rank;
    size_t text[128];
    double explained[128], score[128], variance;
    double *direction; /* [128, E] */
} direct;

/* t: [T, E] becomes its projection on the right singular vectors of c: [I, E] that stand above round-off. */
static size_t project_texts(double *t, size_t texts, const double *c, size_t images, size_t e, size_t cap)
{
    size_t least = images < e ? images : e, rank = 0;
    double *copy = malloc(images * e * sizeof *copy), *s = malloc(least * sizeof *s);
    double *vt = malloc(least * e * sizeof *vt), *part = malloc(e * sizeof *part);
    memcpy(copy, c, images * e * sizeof *copy);
    assert_int_equal(clsp_svd_right(copy, images, e, s, vt, NULL), CLIPSPAN_OK);
    while (rank < least && rank < cap && s[rank] > CLSP_SPAN_ROUND_OFF * s[0]) rank++;
    for (size_t j = 0; j < texts; j++) {
        memset(part, 0, e * sizeof *part);
        for (size_t r = 0; r < rank; r++) {
            double along = 0;
            for (size_t d = 0; d < e; d++) along += vt[r * e + d] * t[j * e + d];
            for (size_t d = 0; d < e; d++) part[d] += along * vt[r * e + d];
        }
        memcpy(t + j * e, part, e * sizeof *part);
    }
    free(copy);
    free(s);
    free(vt);
    free(part);
    return rank;
}

static double deviation(const double *c, size_t images, const double *t, size_t e)
{
    double mean = 0, square = 0;
    double *v = malloc(images * sizeof *v);
    for (size_t i = 0; i < images; i++) {
        v[i] = 0;
        for (size_t d = 0; d < e; d++) v[i] += c[i * e + d] * t[d];
        mean += v[i] / (double)images;
    }
    for (size_t i = 0; i < images; i++) square += (v[i] - mean) * (v[i] - mean) / (double)images;
    free(v);
    return sqrt(square);
}

static double centre(double *c, size_t images, size_t e)
{
    double trace = 0;
    for (size_t d = 0; d < e; d++) {
        double mean = 0;
        for (size_t i = 0; i < images; i++) mean += c[i * e + d] / (double)images;
        for (size_t i = 0; i < images; i++) {
            c[i * e + d] -= mean;
            trace += c[i * e + d] * c[i * e + d] / (double)images;
        }
    }
    return trace;
}

static void deflate(double *rows, size_t count, const double *n, size_t e)
{
    for (size_t i = 0; i < count; i++) {
        double along = 0;
        for (size_t d = 0; d < e; d++) along += rows[i * e + d] * n[d];
        for (size_t d = 0; d < e; d++) rows[i * e + d] -= along * n[d];
    }
}

static void run_direct(direct *out, const float *c32, size_t images, const float *t32, size_t texts, size_t e,
                       size_t size, size_t cap)
{
    double *c = malloc(images * e * sizeof *c), *t = malloc(texts * e * sizeof *t);
    for (size_t i = 0; i < images * e; i++) c[i] = (double)c32[i];
    for (size_t i = 0; i < texts * e; i++) t[i] = (double)t32[i];
    *out = (direct){.direction = malloc(128 * e * sizeof(double))};
    out->rank = project_texts(t, texts, c, images, e, cap);
    out->variance = centre(c, images, e);
    while (out->count < size) {
        size_t best = 0;
        double highest = -1, length = 0;
        for (size_t j = 0; j < texts; j++) {
            double score = deviation(c, images, t + j * e, e);
            if (score > highest) {
                highest = score;
                best = j;
            }
        }
        if (out->count > 0 && highest <= CLSP_SPAN_ROUND_OFF * out->score[0]) break;
        double *n = out->direction + out->count * e;
        for (size_t d = 0; d < e; d++) length += t[best * e + d] * t[best * e + d];
        for (size_t d = 0; d < e; d++) n[d] = t[best * e + d] / sqrt(length);
        double along = deviation(c, images, n, e);
        out->text[out->count] = best;
        out->score[out->count] = highest;
        out->explained[out->count++] = along * along / out->variance;
        deflate(c, images, n, e);
        deflate(t, texts, n, e);
    }
    free(c);
    free(t);
}

/* ---- comparison ------------------------------------------------------------------------------------------ */

typedef struct problem {
    const char *name;
    world_spec world;
    size_t texts, repeated;
    int size, rank;
    /* Picks are compared while their score is above this share of the first: c itself is float32, so scores below some
     * 1e-5 of the first are made of its rounding. */
    double trusted;
} problem;

static const problem problems[] = {
    {"small", {2, 3, 12, 32, 200, 4, 0.05, 0, 1}, 300, 0, 10, 80, 0},
    {"ViT-B head", {1, 2, 64, 128, 400, 8, 0.03, 0, 2}, 500, 0, 20, 80, 0},
    {"fewer images than factors", {2, 2, 20, 48, 9, 3, 0.1, 0, 3}, 100, 0, 12, 80, 1e-5},
    {"all of the rank", {1, 2, 10, 32, 150, 3, 0.2, 0, 4}, 200, 0, 40, 80, 1e-5},
    {"texts run out", {1, 2, 16, 40, 120, 3, 0.1, 0, 5}, 5, 0, 10, 80, 1e-5},
    {"repeated texts", {2, 2, 16, 40, 120, 3, 0.1, 0, 6}, 120, 60, 12, 80, 0},
    {"rank cap, d = 88", {1, 2, 88, 160, 300, 6, 0.05, 0, 7}, 300, 0, 12, 80, 0},
    {"rank cap, d = 104", {1, 1, 104, 160, 300, 6, 0.05, 0, 8}, 300, 0, 12, 80, 0},
    {"narrow joint space", {1, 2, 16, 10, 90, 3, 0.1, 0, 9}, 80, 0, 8, 80, 0},
    {"z of rank 3", {1, 3, 24, 64, 200, 3, 0, 0, 10}, 150, 0, 10, 80, 1e-4},
    {"many texts, each twice", {1, 2, 8, 12, 60, 3, 0.1, 0, 12}, 66000, 33000, 6, 80, 0},
    {"small rank asked", {1, 2, 24, 64, 200, 5, 0.1, 0, 11}, 150, 0, 10, 6, 1e-5},
};

static clipspan_textspan *run_factored(const problem *p, const world *w, clipspan_convention convention,
                                       const float *pool, int threads)
{
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_texts *texts = world_texts(p->texts);
    options.convention = convention;
    options.size = p->size;
    options.rank = p->rank;
    options.threads = threads;
    assert_int_equal(clipspan_moments_new(&moments, &w->basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &w->batch, &err), CLIPSPAN_OK);
    clipspan_status status = clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err);
    if (status != CLIPSPAN_OK) fail_msg("%s: %s", p->name, err.message);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    return result;
}

/* Largest differences seen over all problems. */
static double worst_explained, worst_score, worst_direction, worst_variance;
static size_t compared;

static void note(double *worst, double difference)
{
    if (difference > *worst) *worst = difference;
}

static void compare_head(const problem *p, const clipspan_textspan *result, size_t i, const direct *d, size_t e)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
    if (head->rank != (int)d->rank || head->count != (int)d->count)
        fail_msg("%s L%d.H%d: rank %d and %d texts, directly %zu and %zu", p->name, head->layer, head->head, head->rank,
                 head->count, d->rank, d->count);
    note(&worst_variance, fabs(head->variance / d->variance - 1));
    for (int m = 0; m < head->count && d->score[m] > p->trusted * d->score[0]; m++, compared++) {
        const float *n = clipspan_textspan_direction(result, i, m);
        if (head->texts[m].text != d->text[m])
            fail_msg("%s L%d.H%d: pick %d is text %zu, directly %zu (score %g of %g)", p->name, head->layer, head->head,
                     m, head->texts[m].text, d->text[m], d->score[m], d->score[0]);
        note(&worst_explained, fabs(head->texts[m].explained - d->explained[m]));
        note(&worst_score, fabs(head->texts[m].score - d->score[m]) / d->score[0]);
        for (size_t c = 0; d->score[m] > 1e-3 * d->score[0] && c < e; c++)
            note(&worst_direction, fabs((double)n[c] - d->direction[(size_t)m * e + c]));
    }
}

static void solve(const problem *p, clipspan_convention convention)
{
    world w;
    world_open(&w, &p->world);
    size_t e = (size_t)p->world.embed_dim;
    float *pool = world_pool(p->texts, e, p->repeated, p->world.seed + 1000);
    float *c = malloc(p->world.images * e * sizeof *c);
    clipspan_textspan *result = run_factored(p, &w, convention, pool, 2);
    assert_int_equal(clipspan_textspan_head_count(result), p->world.layers * p->world.heads);
    for (size_t i = 0; i < clipspan_textspan_head_count(result); i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
        direct d;
        assert_int_equal(clipspan_batch_head(&w.batch, convention, head->layer, head->head, c, NULL), CLIPSPAN_OK);
        run_direct(&d, c, p->world.images, pool, p->texts, e, (size_t)p->size, (size_t)p->rank);
        compare_head(p, result, i, &d, e);
        free(d.direction);
    }
    clipspan_textspan_free(result);
    free(c);
    free(pool);
    world_close(&w);
}

static void test_equals_direct(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        for (int convention = 0; convention < 2; convention++) solve(&problems[i], (clipspan_convention)convention);
    printf("%zu picks; largest differences: explained %.1e, score %.1e of the first, direction %.1e, variance %.1e\n",
           compared, worst_explained, worst_score, worst_direction, worst_variance);
    assert_true(compared > 300);
    /* c is rounded to float32 before the direct way sees it: that is what differs. */
    assert_true(worst_explained < 2e-6); /* observed 2.3e-7 */
    assert_true(worst_score < 1e-5);     /* observed 1.4e-6, at scores 1e-5 of the first */
    assert_true(worst_direction < 1e-5); /* observed 1.0e-6 */
    assert_true(worst_variance < 5e-7);  /* observed 5.7e-8 */
}

/* ---- what else must hold ----------------------------------------------------------------------------------- */

static void test_threads_do_not_matter(void **state)
{
    (void)state;
    const problem p = {"threads", {2, 3, 24, 64, 200, 5, 0.05, 0, 20}, 700, 0, 12, 80, 0};
    world w;
    world_open(&w, &p.world);
    float *pool = world_pool(p.texts, 64, 0, 21);
    clipspan_textspan *one = run_factored(&p, &w, CLIPSPAN_PAPER, pool, 1);
    for (int threads = 2; threads <= 5; threads++) {
        clipspan_textspan *many = run_factored(&p, &w, CLIPSPAN_PAPER, pool, threads);
        for (size_t i = 0; i < clipspan_textspan_head_count(one); i++) {
            const clipspan_textspan_head *a = clipspan_textspan_get(one, i), *b = clipspan_textspan_get(many, i);
            assert_int_equal(a->count, 12);
            assert_int_equal(a->count, b->count);
            assert_memory_equal(&a->variance, &b->variance, sizeof a->variance);
            assert_memory_equal(a->texts, b->texts, (size_t)a->count * sizeof *a->texts);
            for (int m = 0; m < a->count; m++)
                assert_memory_equal(clipspan_textspan_direction(one, i, m), clipspan_textspan_direction(many, i, m),
                                    64 * sizeof(float));
        }
        clipspan_textspan_free(many);
    }
    clipspan_textspan_free(one);
    free(pool);
    world_close(&w);
}

static int expect_three_threads(void *user, const clipspan_progress *progress)
{
    int now = clsp_threads(3);
    (void)progress;
    assert_int_equal(now, 3);
    ++*(int *)user;
    return 0;
}

/* Every product and loop of a run keeps to its options' threads; the caller's number comes back. */
static void test_threads_are_kept_to(void **state)
{
    (void)state;
    const problem p = {"kept", {1, 2, 8, 16, 50, 5, 0.05, 0, 20}, 60, 0, 4, 20, 0};
    world w;
    world_open(&w, &p.world);
    int seen = 0, before = clsp_threads(5);
    clipspan_error err;
    clipspan_hooks hooks = {expect_three_threads, NULL, &seen};
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    float *pool = world_pool(p.texts, 16, 0, 21);
    clipspan_texts *texts = world_texts(p.texts);
    options.size = p.size;
    options.rank = p.rank;
    options.threads = 3;
    assert_int_equal(clipspan_moments_new(&moments, &w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    if (clipspan_textspan_run(&result, moments, texts, pool, &options, &hooks, &err)) fail_msg("%s", err.message);
    assert_true(seen >= 2);
    assert_int_equal(clsp_threads(before), 5);
    clipspan_textspan_free(result);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    free(pool);
    world_close(&w);
}

/* Vectors read where they lie: float16 in another order, among rows that are not asked for, scaled on the way, give what
 * the same numbers give as a plain array. */
static void test_vectors_where_they_lie(void **state)
{
    (void)state;
    enum { E = 64, T = 600, ROWS = T + 7 };
    const problem p = {"vectors", {1, 2, 24, E, 200, 5, 0.05, 0, 40}, T, 0, 12, 80, 0};
    static uint16_t half[ROWS * E];
    static size_t rows[T];
    static double scale[T], length[T];
    world w;
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *mapped = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    world_open(&w, &p.world);
    float *pool = world_pool(T, E, 0, 41);
    for (size_t i = 0; i < T; i++) {
        rows[i] = ROWS - 1 - i;
        scale[i] = i % 3 ? 1 : 0.75;
        for (size_t e = 0; e < E; e++) {
            uint16_t *cell = &half[rows[i] * E + e];
            *cell = clsp_f32_to_f16(pool[i * E + e]);
            pool[i * E + e] = (float)((double)clsp_f16_to_f32(*cell) * scale[i]);
        }
    }
    clipspan_vectors vectors = {.values = half, .half = 1, .rows = rows, .scale = scale, .count = T, .embed_dim = E};
    assert_int_equal(clipspan_vectors_lengths(&vectors, length, 2, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < T; i++) assert_true(fabs(length[i] - scale[i]) < 2e-3);
    clipspan_textspan *plain = run_factored(&p, &w, CLIPSPAN_PAPER, pool, 2);
    clipspan_texts *texts = world_texts(T);
    options.size = p.size;
    assert_int_equal(clipspan_moments_new(&moments, &w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run_vectors(&mapped, moments, texts, &vectors, &options, NULL, &err), CLIPSPAN_OK);
    for (size_t h = 0; h < 2; h++) {
        const clipspan_textspan_head *a = clipspan_textspan_get(mapped, h), *b = clipspan_textspan_get(plain, h);
        assert_int_equal(a->count, p.size);
        assert_memory_equal(a->texts, b->texts, (size_t)p.size * sizeof *a->texts);
    }
    clipspan_textspan_free(mapped);
    mapped = NULL;
    vectors.count = T - 1;
    assert_int_equal(clipspan_textspan_run_vectors(&mapped, moments, texts, &vectors, &options, NULL, &err),
                     CLIPSPAN_ERROR_MISMATCH);
    assert_string_equal(err.message, "599 vectors of 64 numbers for 600 texts in 64 dimensions");
    clipspan_textspan_free(plain);
    clipspan_texts_free(texts);
    clipspan_moments_free(moments);
    free(pool);
    world_close(&w);
}

/* One head alone shares its loops over texts between threads: the same numbers again. */
static void test_one_head_as_among_many(void **state)
{
    (void)state;
    const problem p = {"one head", {1, 2, 24, 64, 200, 5, 0.05, 0, 30}, 3000, 0, 12, 80, 0};
    world w;
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *alone = NULL;
    unsigned char chosen[2] = {0, 1};
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    world_open(&w, &p.world);
    float *pool = world_pool(p.texts, 64, 0, 31);
    clipspan_texts *texts = world_texts(p.texts);
    clipspan_textspan *both = run_factored(&p, &w, CLIPSPAN_PAPER, pool, 3);
    options.size = 12;
    options.heads = chosen;
    options.threads = 3;
    assert_int_equal(clipspan_moments_new(&moments, &w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&alone, moments, texts, pool, &options, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_head_count(alone), 1);
    const clipspan_textspan_head *a = clipspan_textspan_get(alone, 0), *b = clipspan_textspan_get(both, 1);
    assert_int_equal(a->head, 1);
    assert_int_equal(a->count, 12);
    assert_memory_equal(a->texts, b->texts, 12 * sizeof *a->texts);
    assert_string_equal(clipspan_textspan_text_of(alone, 17), "text 17");
    assert_null(clipspan_textspan_text_of(alone, p.texts));
    assert_null(clipspan_textspan_direction(alone, 0, 12));
    assert_null(clipspan_textspan_get(alone, 1));
    clipspan_textspan_free(alone);
    clipspan_textspan_free(both);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    free(pool);
    world_close(&w);
}

/* More heads than the memory bound allows at once (256 MiB, here 6.4 MB a head): the last ones come in a second group. */
static void test_groups_of_heads(void **state)
{
    (void)state;
    const problem p = {"groups", {6, 8, 13, 16, 40, 3, 0.2, 0, 35}, 100000, 0, 2, 80, 0};
    world w;
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *alone = NULL;
    unsigned char chosen[48] = {0};
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    world_open(&w, &p.world);
    float *pool = world_pool(p.texts, 16, 0, 36);
    clipspan_texts *texts = world_texts(p.texts);
    clipspan_textspan *all = run_factored(&p, &w, CLIPSPAN_PAPER, pool, 2);
    options.size = 2;
    options.heads = chosen;
    chosen[3] = chosen[47] = 1;
    assert_int_equal(clipspan_moments_new(&moments, &w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&alone, moments, texts, pool, &options, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_head_count(all), 48);
    assert_int_equal(clipspan_textspan_head_count(alone), 2);
    for (size_t i = 0; i < 2; i++) {
        const clipspan_textspan_head *a = clipspan_textspan_get(alone, i), *b = clipspan_textspan_get(all, i ? 47 : 3);
        assert_int_equal(a->count, 2);
        assert_int_equal(a->layer, b->layer);
        assert_memory_equal(a->texts, b->texts, 2 * sizeof *a->texts);
    }
    clipspan_textspan_free(alone);
    clipspan_textspan_free(all);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    free(pool);
    world_close(&w);
}

/* A head whose contribution never changes has no variance to explain; rounding must not be described. */
static void test_constant_head(void **state)
{
    (void)state;
    const problem p = {"constant", {1, 2, 16, 40, 50, 2, 0.1, 1, 40}, 60, 0, 5, 80, 0};
    world w;
    world_open(&w, &p.world);
    float *pool = world_pool(p.texts, 40, 0, 41);
    for (int convention = 0; convention < 2; convention++) {
        clipspan_textspan *result = run_factored(&p, &w, (clipspan_convention)convention, pool, 2);
        for (size_t i = 0; i < 2; i++) {
            const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
            assert_int_equal(head->count, 0);
            assert_true(head->variance == 0);
            assert_true(head->explained == 0);
        }
        clipspan_textspan_free(result);
    }
    free(pool);
    world_close(&w);
}

static int warnings, calls;
static char last_warning[256];
static void count_warning(void *user, const char *message)
{
    (void)user;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}
static int stop_at_once(void *user, const clipspan_progress *progress)
{
    (void)user;
    calls++;
    assert_string_equal(progress->stage, "textspan");
    return 1;
}

static void test_messages(void **state)
{
    (void)state;
    const world_spec spec = {4, 2, 6, 24, 60, 2, 0.2, 0, 50};
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    clipspan_hooks hooks = {NULL, count_warning, NULL};
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    world w;
    world_open(&w, &spec);
    float *pool = world_pool(80, 24, 0, 51);
    clipspan_texts *texts = world_texts(80), *none = NULL;
    assert_int_equal(clipspan_moments_new(&moments, &w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT); /* no images */
    assert_null(result);
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, &hooks, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_get(result, 0)->count, 9); /* d + 3 */
    assert_true(fabs(clipspan_textspan_get(result, 0)->explained - 1) < 1e-6); /* observed 2e-9 */
    assert_int_equal(warnings, 5); /* four heads by name, the other four in one line */
    assert_string_equal(last_warning, "4 more heads ended before 20 texts for the same reason");
    clipspan_textspan_free(result);
    hooks.progress = stop_at_once;
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, &hooks, &err),
                     CLIPSPAN_ERROR_INTERRUPTED);
    assert_null(result);
    assert_int_equal(calls, 1);
    pool[7 * 24 + 3] = NAN;
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "text 7"));
    options.size = 0;
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_texts_copy(&none, NULL, 0, &err), CLIPSPAN_OK);
    options.size = 3;
    assert_int_equal(clipspan_textspan_run(&result, moments, none, pool, &options, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    ((float *)(uintptr_t)w.batch.z)[5] = INFINITY;
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    pool[7 * 24 + 3] = 0;
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err),
                     CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "L0.H0"));
    clipspan_texts_free(none);
    clipspan_texts_free(texts);
    clipspan_moments_free(moments);
    free(pool);
    world_close(&w);
}

/* Axes must stay orthonormal where rows of M nearly depend on one another, and dependent rows must add nothing. */
static void test_span_of_dependent_rows(void **state)
{
    (void)state;
    enum { N = 6, E = 20 };
    uint64_t seed = 60;
    double map[N * E], second[N * N], mean[N];
    for (int i = 0; i < N * E; i++) map[i] = world_normal(&seed);
    for (int d = 0; d < E; d++) {
        map[2 * E + d] = map[0 * E + d] + 1e-4 * map[2 * E + d]; /* nearly the first row */
        map[3 * E + d] = 2 * map[1 * E + d];                     /* another's multiple */
        map[4 * E + d] = 0;
    }
    for (int i = 0; i < N; i++) {
        mean[i] = 0.1 * world_normal(&seed);
        for (int j = 0; j < N; j++) second[i * N + j] = i == j;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) second[i * N + j] += mean[i] * mean[j];
    clsp_span span;
    assert_int_equal(clsp_span_build(&span, map, second, mean, N, E, 80, NULL), CLIPSPAN_OK);
    assert_int_equal(span.k, 4);
    double total = 0, trace = 0, worst = 0;
    for (size_t i = 0; i < span.k; i++) {
        total += span.variance[i];
        for (size_t j = 0; j < span.k; j++) {
            double product = 0;
            for (int d = 0; d < E; d++) product += span.basis[i * E + (size_t)d] * span.basis[j * E + (size_t)d];
            worst = worse(worst, fabs(product - (i == j)));
        }
    }
    for (int i = 0; i < N * E; i++) trace += map[i] * map[i]; /* the covariance of y is the identity */
    printf("orthonormal to %.1e, variance to %.1e\n", worst, fabs(total / trace - 1));
    assert_true(worst < 1e-14);
    assert_true(fabs(total / trace - 1) < 1e-12);
    clsp_span_free(&span);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    const world_spec spec = {1, 2, 6, 16, 40, 2, 0.2, 0, 70};
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    options.size = 4;
    options.threads = 2;
    world w;
    world_open(&w, &spec);
    float *pool = world_pool(30, 16, 0, 71);
    clipspan_texts *texts = world_texts(30);
    assert_int_equal(clipspan_moments_new(&moments, &w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &w.batch, &err), CLIPSPAN_OK);
    unsigned long walked = 0;
    for (unsigned long n = 1;; n++) {
        clipspan_textspan *result = NULL;
        clsp_alloc_fail_at(n);
        clipspan_status status = clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err);
        clsp_alloc_fail_at(0);
        if (status == CLIPSPAN_OK) {
            clipspan_textspan_free(result);
            break;
        }
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        assert_null(result);
        walked = n;
    }
    assert_true(walked > 30);
    clipspan_texts_free(texts);
    clipspan_moments_free(moments);
    free(pool);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_direct),         cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_vectors_where_they_lie),
        cmocka_unit_test(test_one_head_as_among_many), cmocka_unit_test(test_groups_of_heads),
        cmocka_unit_test(test_constant_head),
        cmocka_unit_test(test_threads_are_kept_to),
        cmocka_unit_test(test_messages),              cmocka_unit_test(test_span_of_dependent_rows),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
