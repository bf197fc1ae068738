/* TextSpan's evaluation and stability over a real store, against the same done on vectors of the joint space. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_store.h"

#include "analysis/blocks.h"
#include "analysis/bootstrap.h"
#include "clipspan/textspan_evaluation.h"

enum { LAYERS = 4, HEADS = 3, LAST = 2, EMBED = 24, CLASSES = 6, TEXTS = 90, SIZES = 3, MOST_IMAGES = 700 };
static const int sizes[SIZES] = {1, 4, 9};

/* A world with embeddings, its store, a pool, a classifier, and labels that the representation half follows. */
typedef struct scene {
    world w;
    clipspan_store *store;
    clipspan_texts *texts;
    float *pool, *classifier, *embedding;
    float *terms[2]; /* by convention: [L * H, I, E] */
    int labels[MOST_IMAGES];
    clipspan_textspan_pool pools[2];
    clipspan_textspan_scoring scoring;
} scene;

static void scene_open(scene *s, size_t images, uint64_t seed, const char *name)
{
    clipspan_error err;
    const world_spec spec = {LAYERS, HEADS, 7, EMBED, images, 4, 0.15, 0, seed};
    uint64_t state = seed + 99, same = 4; /* the basis of two worlds of one seed is one; the images need not be */
    static char csv[MOST_IMAGES * 32];
    world_open(&s->w, &spec);
    s->embedding = calloc(images * EMBED, sizeof(float));
    for (int c = 0; c < 2; c++) {
        s->terms[c] = malloc((size_t)LAYERS * HEADS * images * EMBED * sizeof(float));
        for (size_t h = 0; h < (size_t)LAYERS * HEADS; h++)
            if (clipspan_batch_head(&s->w.batch, (clipspan_convention)c, (int)h / HEADS, (int)h % HEADS,
                                    s->terms[c] + h * images * EMBED, &err) != CLIPSPAN_OK)
                fail_msg("%s", err.message);
    }
    double mean[EMBED] = {0}; /* of the heads' sum: taken out, as if MLPs did, so that what varies decides the class */
    for (size_t h = 0; h < (size_t)LAYERS * HEADS; h++)
        for (size_t i = 0; i < images; i++)
            for (size_t d = 0; d < EMBED; d++) mean[d] += (double)s->terms[0][(h * images + i) * EMBED + d] / (double)images;
    for (size_t i = 0; i < images; i++)
        for (size_t d = 0; d < EMBED; d++) {
            double sum = 0.02 * world_normal(&state) - mean[d];
            for (size_t h = 0; h < (size_t)LAYERS * HEADS; h++) sum += (double)s->terms[0][(h * images + i) * EMBED + d];
            s->embedding[i * EMBED + d] = (float)(sum * (double)s->w.batch.norm[i]);
        }
    s->w.batch.embedding = s->embedding;
    s->classifier = world_pool(CLASSES, EMBED, 0, 77);
    size_t at = (size_t)snprintf(csv, sizeof csv, "path\n");
    for (size_t i = 0; i < images; i++) {
        at += (size_t)snprintf(csv + at, sizeof csv - at, "%s%04zu.png\n", name, i);
        double best = -1e9;
        for (int c = 0; c < CLASSES; c++) {
            double sum = 0;
            for (size_t d = 0; d < EMBED; d++)
                sum += (double)s->embedding[i * EMBED + d] * (double)s->classifier[(size_t)c * EMBED + d];
            if (sum > best) best = sum, s->labels[i] = c;
        }
        if (world_next(&same) % 5 == 0) s->labels[i] = -1; /* not known */
        else if (world_next(&same) % 4 == 0) s->labels[i] = (s->labels[i] + 1) % CLASSES; /* never right at first */
    }
    s->store = world_store(&s->w, name, csv, 0);
    s->texts = world_texts(TEXTS);
    s->pool = world_pool(TEXTS, EMBED, 0, 13);
    s->pools[0] = (clipspan_textspan_pool){"all", s->texts, s->pool};
    s->pools[1] = (clipspan_textspan_pool){"all again", s->texts, s->pool};
    s->scoring = (clipspan_textspan_scoring){s->classifier, CLASSES, s->labels};
}

static void scene_close(scene *s)
{
    clipspan_store_free(s->store);
    clipspan_texts_free(s->texts);
    free(s->pool), free(s->classifier), free(s->embedding), free(s->terms[0]), free(s->terms[1]);
    world_close(&s->w);
}

static clipspan_textspan_evaluation *evaluate(const scene *s, clipspan_textspan_evaluation_options *options)
{
    clipspan_error err;
    clipspan_textspan_evaluation *result = NULL;
    options->last = LAST;
    options->sizes = sizes;
    options->size_count = SIZES;
    clipspan_status status =
        clipspan_textspan_evaluate(&result, s->store, s->pools, 2, &s->scoring, options, NULL, &err);
    if (status != CLIPSPAN_OK) fail_msg("%s", err.message);
    return result;
}

/* ---- the plain way ---------------------------------------------------------------------------------------------- */

typedef struct plain {
    const scene *found, *measured;
    const unsigned char *on_found, *on_measured; /* rows; NULL: all */
    clipspan_convention convention;
} plain;

static const float *term(const scene *s, clipspan_convention c, size_t head, size_t i)
{
    return s->terms[c] + (head * s->w.spec.images + i) * EMBED;
}

static void mean_term(double mean[EMBED], const plain *p, size_t head)
{
    double count = 0;
    memset(mean, 0, EMBED * sizeof *mean);
    for (size_t i = 0; i < p->found->w.spec.images; i++) {
        if (p->on_found != NULL && !p->on_found[i]) continue;
        for (size_t d = 0; d < EMBED; d++) mean[d] += (double)term(p->found, p->convention, head, i)[d];
        count++;
    }
    for (size_t d = 0; d < EMBED; d++) mean[d] /= count;
}

/* c -> mean + its projection on the first m directions (spans NULL: c as it is; m 0: the mean). */
static void replaced(double out[EMBED], const float *c, const double mean[EMBED], const clipspan_textspan *spans, size_t at,
                     int m)
{
    memcpy(out, mean, EMBED * sizeof *out);
    for (int t = 0; spans != NULL && t < m && t < clipspan_textspan_get(spans, at)->count; t++) {
        const float *n = clipspan_textspan_direction(spans, at, t);
        double along = 0;
        for (size_t d = 0; d < EMBED; d++) along += ((double)c[d] - mean[d]) * (double)n[d];
        for (size_t d = 0; d < EMBED; d++) out[d] += along * (double)n[d];
    }
}

/* Right answers with early heads at their means and late ones replaced (m < 0: left whole). */
static double plain_accuracy(const plain *p, const clipspan_textspan *spans, int m)
{
    static double mean[LAYERS * HEADS][EMBED];
    const scene *s = p->measured;
    size_t right = 0, scored = 0;
    for (size_t h = 0; h < LAYERS * HEADS; h++) mean_term(mean[h], p, h);
    for (size_t i = 0; i < s->w.spec.images; i++) {
        if (s->labels[i] < 0 || (p->on_measured != NULL && !p->on_measured[i])) continue;
        double r[EMBED], one[EMBED], best = -1e30;
        int choice = 0;
        for (size_t d = 0; d < EMBED; d++)
            r[d] = (double)s->embedding[i * EMBED + d] / (p->convention == CLIPSPAN_PAPER ? (double)s->w.batch.norm[i] : 1);
        for (size_t h = 0; h < LAYERS * HEADS; h++) {
            bool late = h >= (LAYERS - LAST) * HEADS;
            const float *c = term(s, p->convention, h, i);
            if (late && m < 0) continue;
            replaced(one, c, mean[h], late ? spans : NULL, h - (LAYERS - LAST) * HEADS, m);
            for (size_t d = 0; d < EMBED; d++) r[d] += one[d] - (double)c[d];
        }
        for (int k = 0; k < CLASSES; k++) {
            double score = 0;
            for (size_t d = 0; d < EMBED; d++) score += r[d] * (double)s->classifier[(size_t)k * EMBED + d];
            if (score > best) best = score, choice = k;
        }
        scored++;
        right += choice == s->labels[i];
    }
    return (double)right / (double)scored;
}

/* Variance over the rows of one head along a direction, or (n NULL) in all. */
static double plain_variance(const scene *s, const unsigned char *rows, clipspan_convention c, size_t head, const float *n)
{
    double total = 0;
    for (size_t d = 0; d < (n ? 1 : EMBED); d++) {
        double sum = 0, square = 0, count = 0;
        for (size_t i = 0; i < s->w.spec.images; i++) {
            if (rows != NULL && !rows[i]) continue;
            double value = n ? 0 : (double)term(s, c, head, i)[d];
            for (size_t k = 0; n && k < EMBED; k++) value += (double)term(s, c, head, i)[k] * (double)n[k];
            sum += value, square += value * value, count++;
        }
        total += square / count - (sum / count) * (sum / count);
    }
    return total;
}

static void compare(const plain *p, const clipspan_textspan_evaluation *result)
{
    clipspan_textspan_evaluation_info info = clipspan_textspan_evaluation_get_info(result);
    const clipspan_textspan *spans = clipspan_textspan_evaluation_spans(result, 1);
    double told[2] = {0, 0}, totals[2] = {0, 0};
    unsigned char seen[TEXTS] = {0};
    assert_int_equal(clipspan_textspan_head_count(spans), LAST * HEADS);
    assert_true(info.late == plain_accuracy(p, NULL, -1));
    assert_true(info.none == plain_accuracy(p, NULL, 0));
    for (int s = 0, from = 0; s < SIZES; from = sizes[s++]) {
        clipspan_textspan_evaluation_point point = clipspan_textspan_evaluation_get(result, 1, (size_t)s);
        size_t distinct = 0;
        assert_int_equal(point.size, sizes[s]);
        if (point.accuracy != plain_accuracy(p, spans, sizes[s]))
            fail_msg("size %d: %g, directly %g", sizes[s], point.accuracy, plain_accuracy(p, spans, sizes[s]));
        for (size_t i = 0; i < LAST * HEADS; i++) {
            const clipspan_textspan_head *head = clipspan_textspan_get(spans, i);
            size_t h = (size_t)(head->layer * HEADS + head->head);
            if (s == 0) totals[0] += plain_variance(p->found, p->on_found, p->convention, h, NULL);
            if (s == 0) totals[1] += plain_variance(p->measured, p->on_measured, p->convention, h, NULL);
            for (int t = from; t < sizes[s] && t < head->count; t++) {
                const float *n = clipspan_textspan_direction(spans, i, t);
                told[0] += plain_variance(p->found, p->on_found, p->convention, h, n);
                told[1] += plain_variance(p->measured, p->on_measured, p->convention, h, n);
                seen[head->texts[t].text] = 1;
            }
        }
        for (size_t t = 0; t < TEXTS; t++) distinct += seen[t];
        assert_int_equal(point.distinct, distinct);
        assert_true(fabs(point.explained - told[0] / totals[0]) < 1e-5); /* 3e-7 when this was written */
        if (info.apart)
            assert_true(fabs(point.held_out - told[1] / totals[1]) < 1e-5);
        else
            assert_true(isnan(point.held_out));
    }
}

static void equals_the_plain_way(void **state)
{
    scene a, b;
    unsigned char sides[2][MOST_IMAGES];
    (void)state;
    scene_open(&a, 150, 3, "evaluation_a");
    scene_open(&b, 130, 3, "evaluation_b");
    for (size_t i = 0; i < 150; i++) sides[0][i] = !(sides[1][i] = clsp_image_hash(a.store, i) & 1);
    for (int n = 0; n < 6; n++) {
        clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
        options.convention = (clipspan_convention)(n % 2);
        plain p = {&a, &a, NULL, NULL, options.convention};
        if (n / 2 == 1) options.halves = 1, p.on_found = sides[0], p.on_measured = sides[1];
        if (n / 2 == 2) options.held_out = b.store, p.measured = &b, a.scoring.labels = b.labels;
        clipspan_textspan_evaluation *result = evaluate(&a, &options);
        clipspan_textspan_evaluation_info info = clipspan_textspan_evaluation_get_info(result);
        assert_int_equal(info.found_on + (n / 2 == 1 ? info.measured_on : 0), 150);
        assert_int_equal(info.measured_on, n / 2 == 2 ? 130 : info.measured_on);
        assert_true(info.found_on >= 50);
        compare(&p, result);
        /* it is worth comparing: neither all is right nor nothing, and the late heads matter */
        print_message("whole %.2f, late %.2f, 1 text %.2f, 9 texts %.2f, none %.2f\n", info.baseline, info.late,
                      clipspan_textspan_evaluation_get(result, 0, 0).accuracy,
                      clipspan_textspan_evaluation_get(result, 0, 2).accuracy, info.none);
        assert_true(info.none + 0.1 < info.late && info.baseline > 0.5 && info.baseline < 0.95);
        clipspan_textspan_evaluation_free(result);
    }
    scene_close(&a);
    scene_close(&b);
}

/* Against NumPy's figures: tests/golden/analysis/make_evaluation.py. */
static void equals_the_golden(void **state)
{
    scene a, b;
    char line[256];
    int scored[2];
    (void)state;
    scene_open(&a, 150, 3, "golden_a");
    scene_open(&b, 130, 3, "golden_b");
    clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
    clipspan_textspan_evaluation *same = evaluate(&a, &options);
    options.held_out = b.store;
    a.scoring.labels = b.labels;
    clipspan_textspan_evaluation *other = evaluate(&a, &options);
    FILE *golden = fopen("golden/analysis/evaluation.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    assert_int_equal(fscanf(golden, "%d %d", &scored[0], &scored[1]), 2);
    assert_int_equal(clipspan_textspan_evaluation_get_info(same).scored, scored[0]);
    assert_int_equal(clipspan_textspan_evaluation_get_info(other).scored, scored[1]);
    for (size_t s = 0; s < SIZES; s++) {
        int size, here, there;
        size_t distinct;
        double explained, held_out;
        assert_int_equal(fscanf(golden, "%d %d %zu %lf %d %lf", &size, &here, &distinct, &explained, &there, &held_out), 6);
        clipspan_textspan_evaluation_point p = clipspan_textspan_evaluation_get(same, 0, s);
        clipspan_textspan_evaluation_point q = clipspan_textspan_evaluation_get(other, 0, s);
        assert_int_equal(p.size, size);
        assert_int_equal(p.distinct, distinct);
        assert_int_equal(lround(p.accuracy * scored[0]), here);
        assert_int_equal(lround(q.accuracy * scored[1]), there);
        assert_true(fabs(p.explained - explained) < 1e-7); /* 7e-9 when this was written */
        assert_true(fabs(q.held_out - held_out) < 1e-7);
    }
    fclose(golden);
    clipspan_textspan_evaluation_free(same);
    clipspan_textspan_evaluation_free(other);
    scene_close(&a);
    scene_close(&b);
}

/* ---- stability -------------------------------------------------------------------------------------------------- */

/* A resample's images, one after another, through the streamed moments and TextSpan as they are. */
static void plain_resample(const scene *s, uint64_t seed, size_t r, int rank, const clipspan_textspan *full, size_t *hits)
{
    clipspan_error err;
    size_t images = s->w.spec.images, d = (size_t)s->w.spec.head_dim, at = 0;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_textspan *again = NULL;
    clipspan_moments *moments = NULL;
    float draws[MOST_IMAGES], *z = malloc((size_t)LAYERS * HEADS * images * d * sizeof *z);
    float mu[MOST_IMAGES], sigma[MOST_IMAGES], norm[MOST_IMAGES];
    clipspan_batch batch = s->w.batch;
    clsp_bootstrap_draw(draws, images, seed, r);
    for (size_t i = 0; i < images; i++)
        for (int k = 0; k < (int)draws[i]; k++, at++) {
            mu[at] = s->w.batch.mu[i], sigma[at] = s->w.batch.sigma[i], norm[at] = s->w.batch.norm[i];
            for (size_t h = 0; h < (size_t)LAYERS * HEADS; h++)
                memcpy(z + (h * images + at) * d, s->w.batch.z + (h * images + i) * d, d * sizeof *z);
        }
    assert_int_equal(at, images);
    batch.z = z, batch.mu = mu, batch.sigma = sigma, batch.norm = norm;
    options.size = clipspan_textspan_get_info(full).size;
    options.rank = rank;
    assert_int_equal(clipspan_moments_new(&moments, &s->w.basis, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_add(moments, &batch, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&again, moments, s->texts, s->pool, &options, NULL, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < clipspan_textspan_head_count(full); i++)
        for (int t = 0; t < clipspan_textspan_get(full, i)->count; t++)
            for (int k = 0; k < clipspan_textspan_get(again, i)->count; k++)
                hits[i * 5 + (size_t)t] += clipspan_textspan_get(again, i)->texts[k].text == clipspan_textspan_get(full, i)->texts[t].text;
    clipspan_textspan_free(again);
    clipspan_moments_free(moments);
    free(z);
}

static clipspan_textspan *describe(const scene *s, int rank, int threads)
{
    clipspan_error err;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    options.size = 5;
    options.rank = rank;
    options.threads = threads;
    assert_int_equal(clipspan_store_moments(s->store, &moments, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&result, moments, s->texts, s->pool, &options, NULL, &err), CLIPSPAN_OK);
    clipspan_moments_free(moments);
    return result;
}

/* Heads have ten factors: a rank of 80 leaves them whole, 3 cuts every resample's span, and so does a resample of 9 images. */
static void stability_is_an_image_bootstrap(void **state)
{
    enum { RESAMPLES = 25 };
    static const struct { size_t images; int rank; const char *name; } cases[] = {
        {140, 80, "stability"}, {140, 3, "stability_cut"}, {9, 80, "stability_few"}};
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        scene s;
        clipspan_error err;
        size_t hits[LAYERS * HEADS * 5] = {0};
        double lowest = 1;
        scene_open(&s, cases[c].images, 5, cases[c].name);
        clipspan_textspan *result = describe(&s, cases[c].rank, 2);
        assert_true(isnan(clipspan_textspan_stability(result, 0, 0)));
        assert_int_equal(clipspan_textspan_resamples(result), 0);
        if (clipspan_textspan_measure_stability(result, s.store, s.pool, RESAMPLES, NULL, &err) != CLIPSPAN_OK)
            fail_msg("%s", err.message);
        assert_int_equal(clipspan_textspan_resamples(result), RESAMPLES);
        for (size_t r = 0; r < RESAMPLES; r++) plain_resample(&s, 0x636c697073, r, cases[c].rank, result, hits);
        for (size_t i = 0; i < LAYERS * HEADS; i++)
            for (int t = 0; t < clipspan_textspan_get(result, i)->count; t++) {
                double share = clipspan_textspan_stability(result, i, t);
                assert_int_equal(lround(share * RESAMPLES), hits[i * 5 + (size_t)t]);
                lowest = share < lowest ? share : lowest;
            }
        assert_true(lowest < 0.7); /* 0.2 when this was written: not every text is certain */
        clipspan_textspan_free(result);
        scene_close(&s);
    }
}

/* More images than blocks: the same at any number of threads; shares are shares. */
static void stability_in_blocks(void **state)
{
    scene s;
    clipspan_error err;
    (void)state;
    scene_open(&s, MOST_IMAGES, 6, "blocks");
    clipspan_textspan *one = describe(&s, 80, 1), *three = describe(&s, 80, 3);
    assert_int_equal(clipspan_textspan_measure_stability(one, s.store, s.pool, 30, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_measure_stability(three, s.store, s.pool, 30, NULL, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < LAYERS * HEADS; i++) {
        assert_true(clipspan_textspan_stability(one, i, 0) > 0.3); /* 0.8 at least when this was written */
        for (int t = 0; t < 5; t++) {
            double share = clipspan_textspan_stability(one, i, t);
            assert_true(share >= 0 && share <= 1 && share == clipspan_textspan_stability(three, i, t));
        }
    }
    clipspan_textspan_free(one);
    clipspan_textspan_free(three);
    scene_close(&s);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static void refused(const scene *s, const clipspan_textspan_evaluation_options *options, size_t pools, clipspan_status expected,
                    const char *text)
{
    clipspan_error err = {0};
    clipspan_textspan_evaluation *result = (clipspan_textspan_evaluation *)&err;
    assert_int_equal(clipspan_textspan_evaluate(&result, s->store, s->pools, pools, &s->scoring, options, NULL, &err), expected);
    assert_null(result);
    assert_message(err, text);
}

static int stop_now(void *user, const clipspan_progress *progress)
{
    (void)progress;
    return --*(int *)user <= 0;
}

static void refusals(void **state)
{
    scene s;
    clipspan_error err = {0};
    const int falling[] = {5, 5}, zero[] = {0};
    (void)state;
    scene_open(&s, 60, 8, "refused");
    clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
    refused(&s, &options, 0, CLIPSPAN_ERROR_ARGUMENT, "no text pool");
    options.last = 0;
    refused(&s, &options, 1, CLIPSPAN_ERROR_ARGUMENT, "last 0");
    options.last = 2;
    options.sizes = falling, options.size_count = 2;
    refused(&s, &options, 1, CLIPSPAN_ERROR_ARGUMENT, "larger than the one before");
    options.sizes = zero, options.size_count = 1;
    refused(&s, &options, 1, CLIPSPAN_ERROR_ARGUMENT, "size 0");
    options.sizes = NULL;
    options.halves = 1, options.held_out = s.store;
    refused(&s, &options, 1, CLIPSPAN_ERROR_ARGUMENT, "exclude each other");
    options.held_out = NULL;
    for (int i = 0; i < 60; i++) s.labels[i] = -1;
    refused(&s, &options, 1, CLIPSPAN_ERROR_ARGUMENT, "none of the images");
    clipspan_textspan *result = describe(&s, 80, 1);
    assert_int_equal(clipspan_textspan_measure_stability(result, s.store, s.pool, 0, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    for (int at = 1; at <= 8; at++) { /* asked to stop at any of its reports */
        int left = at;
        const clipspan_hooks hooks = {stop_now, NULL, &left};
        assert_int_equal(clipspan_textspan_measure_stability(result, s.store, s.pool, 5, &hooks, &err), CLIPSPAN_ERROR_INTERRUPTED);
        assert_int_equal(clipspan_textspan_resamples(result), 0);
    }
    clipspan_textspan_free(result);
    scene_close(&s);
}

static scene walked;
static clipspan_status evaluate_once(void)
{
    clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
    clipspan_textspan_evaluation *result = NULL;
    options.last = 1, options.sizes = sizes, options.size_count = SIZES;
    options.halves = 1, options.resamples = 2, options.threads = 1;
    clipspan_status status = clipspan_textspan_evaluate(&result, walked.store, walked.pools, 1, &walked.scoring, &options, NULL, NULL);
    clipspan_textspan_evaluation_free(result);
    return status;
}

static void failed_allocations(void **state)
{
    (void)state;
    scene_open(&walked, 40, 9, "walked");
    walk_failed_allocations(evaluate_once);
    scene_close(&walked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_plain_way),
        cmocka_unit_test(equals_the_golden),
        cmocka_unit_test(stability_is_an_image_bootstrap),
        cmocka_unit_test(stability_in_blocks),
        cmocka_unit_test(refusals),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests_name("analysis_evaluation", tests, scratch_begin, NULL);
}
