/* The study's figures against their definition: every ablation made by hand in the joint space, scored by sorting. */
#include "ablation_terms.h"

#include "analysis/bootstrap.h"
#include "scratch.h"
#include "worse.h"

enum { CLASSES = 9, EVERYTHING = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, RESAMPLES = 60 };
/* Logits are of size 100; float32 sums of 17 terms: 3.7e-6 seen at most. */
#define NEAR 4e-5

static ablation_terms terms;
static float classifier[CLASSES][FAKE_EMBED];
static int labels[ABLATION_ROWS];

static void make_classes(void)
{
    uint64_t random = 4;
    for (size_t c = 0; c < CLASSES; c++) {
        double square = 0;
        for (size_t e = 0; e < FAKE_EMBED; e++) {
            classifier[c][e] = fake_normal(&random);
            square += (double)classifier[c][e] * (double)classifier[c][e];
        }
        for (size_t e = 0; e < FAKE_EMBED; e++) classifier[c][e] = (float)((double)classifier[c][e] / sqrt(square));
    }
    for (size_t i = 0; i < ABLATION_ROWS; i++) labels[i] = i % 5 == 2 ? -1 : (int)(fake_next(&random) % CLASSES);
}

/* ---- by hand ------------------------------------------------------------------------------------------------ */

typedef struct outcome {
    double right, right5, logit;
} outcome;

static outcome judge(const double vector[FAKE_EMBED], size_t image)
{
    double cosine[CLASSES], norm = terms.convention == CLIPSPAN_PAPER ? 1 : (double)terms.norm[image];
    size_t y = (size_t)labels[image], before = 0;
    for (size_t c = 0; c < CLASSES; c++) {
        cosine[c] = 0;
        for (size_t e = 0; e < FAKE_EMBED; e++) cosine[c] += vector[e] * (double)classifier[c][e] / norm;
    }
    for (size_t c = 0; c < CLASSES; c++) before += cosine[c] > cosine[y] || (c < y && cosine[c] == cosine[y]);
    return (outcome){before == 0, before < 5, 100 * cosine[y]};
}

static size_t outcomes_of(const clipspan_ablation *a, outcome out[ABLATION_ROWS])
{
    static double vectors[ABLATION_ROWS][FAKE_EMBED];
    size_t n = 0;
    ablation_by_hand(&terms, a, vectors);
    for (size_t i = 0; i < terms.images; i++) { /* where all is zero, what rounding leaves is no representation */
        double most = 0;
        for (size_t e = 0; e < FAKE_EMBED; e++) most = fmax(most, fabs(vectors[i][e]));
        if (most < 1e-5) memset(vectors[i], 0, sizeof vectors[i]);
    }
    for (size_t i = 0; i < terms.images; i++)
        if (labels[i] >= 0) out[n++] = judge(vectors[i], i);
    return n;
}

typedef struct flags {
    unsigned char heads[ABLATION_HEADS], mlps[ABLATION_MLPS], cls[FAKE_LAYERS];
} flags;

/* What an ablation of the study replaces. */
static void replaced(flags *f, clipspan_ablated what, size_t index, const unsigned char *named)
{
    bool mlps = what == CLIPSPAN_ABLATED_MLPS || what == CLIPSPAN_ABLATED_MLPS_CLS || what == CLIPSPAN_ABLATED_UP_TO_MLPS;
    bool cls = what == CLIPSPAN_ABLATED_CLS || what == CLIPSPAN_ABLATED_MLPS_CLS;
    memset(f, 0, sizeof *f);
    memset(f->mlps, mlps, sizeof f->mlps);
    memset(f->cls, cls, sizeof f->cls);
    if (what == CLIPSPAN_ABLATED_MLP) f->mlps[index] = 1;
    for (size_t h = 0; h < ABLATION_HEADS; h++) {
        size_t layer = h / FAKE_HEADS;
        bool up_to = what == CLIPSPAN_ABLATED_UP_TO || what == CLIPSPAN_ABLATED_UP_TO_MLPS;
        f->heads[h] = (up_to && layer <= index) || (what == CLIPSPAN_ABLATED_LAYER && layer == index) ||
                      (what == CLIPSPAN_ABLATED_HEAD && h == index) || (what == CLIPSPAN_ABLATED_SET && named[h]);
    }
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

static void expect_near(double a, double b, double near)
{
    if (!(fabs(a - b) <= near)) fail_msg("%.9g is not %.9g", a, b);
}

static double differs; /* how far ablations move the figures: a test of nothing would agree too */

static void check_score(const clipspan_ablation_score *s, const outcome *base, const outcome *now, size_t n)
{
    double right = 0, right5 = 0, logit = 0, drop[3] = {0};
    for (size_t i = 0; i < n; i++) {
        right += now[i].right / (double)n;
        right5 += now[i].right5 / (double)n;
        logit += now[i].logit / (double)n;
        drop[0] += (base[i].right - now[i].right) / (double)n;
        drop[1] += (base[i].right5 - now[i].right5) / (double)n;
        drop[2] += (base[i].logit - now[i].logit) / (double)n;
    }
    expect_near(s->top1.value, right, 1e-12);
    expect_near(s->top5.value, right5, 1e-12);
    expect_near(s->logit.value, logit, NEAR);
    expect_near(s->top1_drop.value, drop[0], 1e-12);
    expect_near(s->top5_drop.value, drop[1], 1e-12);
    expect_near(s->logit_drop.value, drop[2], NEAR);
    differs += fabs(drop[0]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One interval by hand: values [n], resampled as the study says it does. */
static void check_interval(const clipspan_estimate *e, const double *values, size_t n, double near)
{
    float draws[ABLATION_ROWS];
    double means[RESAMPLES];
    for (size_t r = 0; r < RESAMPLES; r++) {
        clsp_bootstrap_draw(draws, n, 5, r);
        means[r] = 0;
        for (size_t i = 0; i < n; i++) means[r] += (double)draws[i] * values[i] / (double)n;
    }
    qsort(means, RESAMPLES, sizeof *means, by_size);
    for (int end = 0; end < 2; end++) {
        double at = (end ? 0.975 : 0.025) * (RESAMPLES - 1);
        size_t below = (size_t)at;
        double expected = means[below] + (at - (double)below) * (means[below + 1] - means[below]);
        expect_near(end ? e->high : e->low, expected, near);
    }
}

static void check_intervals(const clipspan_ablation_score *s, const outcome *base, const outcome *now, size_t n)
{
    double values[4][ABLATION_ROWS];
    for (size_t i = 0; i < n; i++) {
        values[0][i] = now[i].right;
        values[1][i] = now[i].logit;
        values[2][i] = base[i].right - now[i].right;
        values[3][i] = base[i].logit - now[i].logit;
    }
    check_interval(&s->top1, values[0], n, 1e-6);
    check_interval(&s->logit, values[1], n, NEAR);
    check_interval(&s->top1_drop, values[2], n, 1e-6);
    check_interval(&s->logit_drop, values[3], n, NEAR);
}

static clipspan_ablation_study *study_of(clipspan_store *store, const clipspan_ablation_study_options *options)
{
    clipspan_error err = {0};
    clipspan_ablation_study *study = NULL;
    if (clipspan_ablation_study_run(&study, store, classifier[0], CLASSES, labels, options, NULL, &err) != CLIPSPAN_OK)
        fail_msg("%s", err.message);
    return study;
}

static const unsigned char named[ABLATION_HEADS] = {0, 1, 0, 0, 1, 1};

static void check_study(clipspan_convention convention, int zero)
{
    outcome base[ABLATION_ROWS], now[ABLATION_ROWS];
    const clipspan_ablation_study_options options = {.convention = convention, .zero = zero, .heads = named,
                                                     .resamples = RESAMPLES, .seed = 5};
    ablation_terms_read(&terms, convention);
    clipspan_ablation_study *study = study_of(terms.store, &options);
    size_t n = outcomes_of(&(clipspan_ablation){0}, base), all = 0;
    assert_int_equal(clipspan_ablation_study_get_info(study).scored, n);
    for (int what = 0; what < CLIPSPAN_ABLATED_KINDS; what++)
        for (size_t index = 0; index < clipspan_ablation_study_count(study, what); index++, all++) {
            flags f;
            replaced(&f, what, index, named);
            const clipspan_ablation a = {.heads = f.heads, .mlps = f.mlps, .cls = f.cls, .zero = zero};
            outcomes_of(&a, now);
            const clipspan_ablation_score *score = clipspan_ablation_study_direct(study, what, index);
            check_score(score, base, now, n);
            check_intervals(score, base, now, n);
        }
    assert_int_equal(all, 4 + 3 * FAKE_LAYERS + ABLATION_MLPS + ABLATION_HEADS + 1);
    clipspan_ablation_study_free(study);
}

static void every_ablation(void **state)
{
    (void)state;
    differs = 0;
    for (int convention = CLIPSPAN_PAPER; convention <= CLIPSPAN_EXACT; convention++)
        for (int zero = 0; zero <= 1; zero++) check_study(convention, zero);
    assert_true(differs > 2);
}

/* Against NumPy's figures: tests/golden/analysis/make_ablation.py. */
static void equals_the_golden(void **state)
{
    (void)state;
    char line[256];
    int scored, convention, zero, kind, right, right5, compared = 0;
    size_t index;
    double logit, drop, worst = 0;
    clipspan_ablation_study *studies[2][2];
    for (int s = 0; s < 4; s++) {
        const clipspan_ablation_study_options options = {.convention = s / 2, .zero = s % 2, .heads = named};
        studies[s / 2][s % 2] = study_of(terms.store, &options);
    }
    FILE *golden = fopen("golden/analysis/ablation.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    assert_int_equal(fscanf(golden, "%d", &scored), 1);
    while (fscanf(golden, "%d %d %d %zu %d %d %lf %lf", &convention, &zero, &kind, &index, &right, &right5, &logit, &drop) == 8) {
        const clipspan_ablation_study *study = studies[convention][zero];
        const clipspan_ablation_score *score = clipspan_ablation_study_direct(study, kind, index);
        assert_int_equal(clipspan_ablation_study_get_info(study).scored, scored);
        assert_int_equal(lround(score->top1.value * scored), right);
        assert_int_equal(lround(score->top5.value * scored), right5);
        worst = worse(worst, worse(fabs(score->logit.value - logit), fabs(score->logit_drop.value - drop)));
        compared++;
    }
    fclose(golden);
    printf("golden: logits differ by %.1e at most\n", worst);
    assert_true(worst < NEAR);
    assert_int_equal(compared, 4 * (4 + 3 * FAKE_LAYERS + ABLATION_MLPS + ABLATION_HEADS + 1));
    for (int s = 0; s < 4; s++) clipspan_ablation_study_free(studies[s / 2][s % 2]);
}

/* Threads, and who is scored, change nothing for the others. */
static void threads_do_not_matter(void **state)
{
    (void)state;
    const clipspan_ablation_score *scores[2];
    clipspan_ablation_study *studies[2];
    for (int i = 0; i < 2; i++) {
        const clipspan_ablation_study_options options = {.resamples = 20, .seed = 3, .threads = i ? 3 : 1};
        studies[i] = study_of(terms.store, &options);
        scores[i] = clipspan_ablation_study_direct(studies[i], CLIPSPAN_ABLATED_UP_TO_MLPS, 1);
    }
    assert_memory_equal(scores[0], scores[1], sizeof *scores[0]);
    for (int i = 0; i < 2; i++) clipspan_ablation_study_free(studies[i]);
}

static void a_store_without_parts(void **state)
{
    (void)state;
    static ablation_terms bare;
    ablation_terms_open(&bare, "heads-alone", 0);
    const clipspan_ablation_study_options options = {.resamples = 0};
    clipspan_ablation_study *whole = study_of(terms.store, &options), *study = study_of(bare.store, &options);
    const clipspan_ablated lacking[] = {CLIPSPAN_ABLATED_MLPS, CLIPSPAN_ABLATED_CLS, CLIPSPAN_ABLATED_MLPS_CLS,
                                        CLIPSPAN_ABLATED_UP_TO_MLPS, CLIPSPAN_ABLATED_MLP, CLIPSPAN_ABLATED_SET};
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
        assert_int_equal(clipspan_ablation_study_count(study, lacking[i]), 0);
        assert_null(clipspan_ablation_study_direct(study, lacking[i], 0));
    }
    for (size_t h = 0; h < ABLATION_HEADS; h++) {
        const clipspan_ablation_score *a = clipspan_ablation_study_direct(whole, CLIPSPAN_ABLATED_HEAD, h);
        const clipspan_ablation_score *b = clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_HEAD, h);
        assert_true(a->top1.value == b->top1.value && a->logit_drop.value == b->logit_drop.value);
        assert_true(isnan(a->top1.low) && isnan(a->logit_drop.high));
    }
    clipspan_ablation_study_free(whole);
    clipspan_ablation_study_free(study);
    ablation_terms_close(&bare);
}

/* Embeddings that are the store's own change nothing; others are scored as they are. */
static void totals(void **state)
{
    (void)state;
    clipspan_error err = {0};
    ablation_terms_read(&terms, CLIPSPAN_PAPER);
    const clipspan_ablation_study_options options = {.resamples = RESAMPLES, .seed = 5};
    clipspan_ablation_study *study = study_of(terms.store, &options);
    outcome base[ABLATION_ROWS], now[ABLATION_ROWS];
    float turned[ABLATION_ROWS][FAKE_EMBED];
    size_t n = outcomes_of(&(clipspan_ablation){0}, base), at = 0;
    for (size_t i = 0; i < ABLATION_ROWS; i++)
        for (size_t e = 0; e < FAKE_EMBED; e++) turned[i][e] = -terms.whole[i][e];
    for (size_t i = 0; i < ABLATION_ROWS; i++) {
        double vector[FAKE_EMBED];
        for (size_t e = 0; e < FAKE_EMBED; e++) vector[e] = (double)turned[i][e];
        if (labels[i] >= 0) now[at++] = judge(vector, i);
    }
    assert_null(clipspan_ablation_study_total(study, CLIPSPAN_ABLATED_HEAD, 2));
    assert_int_equal(clipspan_ablation_study_add_total(study, CLIPSPAN_ABLATED_HEAD, 2, terms.whole[0], &err), CLIPSPAN_OK);
    const clipspan_ablation_score *same = clipspan_ablation_study_total(study, CLIPSPAN_ABLATED_HEAD, 2);
    assert_true(same->top1_drop.value == 0 && fabs(same->logit_drop.value) < NEAR);
    assert_int_equal(clipspan_ablation_study_add_total(study, CLIPSPAN_ABLATED_LAYER, 1, turned[0], &err), CLIPSPAN_OK);
    check_score(clipspan_ablation_study_total(study, CLIPSPAN_ABLATED_LAYER, 1), base, now, n);
    check_intervals(clipspan_ablation_study_total(study, CLIPSPAN_ABLATED_LAYER, 1), base, now, n);
    assert_int_equal(clipspan_ablation_study_add_total(study, CLIPSPAN_ABLATED_LAYER, 3, turned[0], &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    clipspan_ablation_study_free(study);
}

static void expect_refusal(const clipspan_ablation_study_options *options, const int *given, size_t classes,
                           clipspan_status status, const char *message)
{
    clipspan_error err = {0};
    clipspan_ablation_study *study = NULL;
    assert_int_equal(clipspan_ablation_study_run(&study, terms.store, classifier[0], classes, given, options, NULL, &err),
                     status);
    assert_null(study);
    assert_message(err, message);
}

static void what_is_refused(void **state)
{
    (void)state;
    int none[ABLATION_ROWS], wrong[ABLATION_ROWS] = {0};
    clipspan_means *exact = NULL;
    for (size_t i = 0; i < ABLATION_ROWS; i++) none[i] = -1;
    wrong[7] = CLASSES;
    assert_int_equal(clipspan_means_open(&exact, terms.store, CLIPSPAN_EXACT, 0, NULL, NULL), CLIPSPAN_OK);
    expect_refusal(NULL, none, CLASSES, CLIPSPAN_ERROR_ARGUMENT, "none of the 40 images has a label");
    expect_refusal(NULL, wrong, CLASSES, CLIPSPAN_ERROR_ARGUMENT, "label 9 of row 7: expected -1 to 8");
    expect_refusal(NULL, labels, 0, CLIPSPAN_ERROR_ARGUMENT, "0 classes");
    expect_refusal(&(clipspan_ablation_study_options){.means = exact}, labels, CLASSES, CLIPSPAN_ERROR_MISMATCH,
                   "another convention");
    expect_refusal(&(clipspan_ablation_study_options){.resamples = -1}, labels, CLASSES, CLIPSPAN_ERROR_ARGUMENT,
                   "-1 resamples");
    clipspan_means_free(exact);
}

static clipspan_status whole_study(void)
{
    clipspan_ablation_study *study = NULL;
    const clipspan_ablation_study_options options = {.heads = named, .resamples = 3, .threads = 1};
    clipspan_status status =
        clipspan_ablation_study_run(&study, terms.store, classifier[0], CLASSES, labels, &options, NULL, NULL);
    if (status == CLIPSPAN_OK)
        status = clipspan_ablation_study_add_total(study, CLIPSPAN_ABLATED_SET, 0, terms.whole[0], NULL);
    clipspan_ablation_study_free(study);
    return status;
}

static void memory_runs_out(void **state)
{
    (void)state;
    walk_failed_allocations(whole_study);
}

static int open_terms(void **state)
{
    (void)state;
    make_classes();
    ablation_terms_open(&terms, "study", EVERYTHING);
    return 0;
}

static int close_terms(void **state)
{
    (void)state;
    ablation_terms_close(&terms);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ablation),  cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(equals_the_golden),
        cmocka_unit_test(a_store_without_parts), cmocka_unit_test(totals),
        cmocka_unit_test(what_is_refused), cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, open_terms, close_terms);
}
