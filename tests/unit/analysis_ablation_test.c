/* Means and ablations of a store's terms, against their definition in the joint space. */
#include "ablation_terms.h"

#include "compute/compute.h"
#include "scratch.h"

static ablation_terms terms;

enum { EVERYTHING = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS };
/* float32 sums of about ten terms; the largest difference seen is 2.4e-7, of a scale of 1 (paper) or 10 (exact) */
#define NEAR 3e-6

static clipspan_means *means_of(clipspan_store *store, clipspan_convention convention)
{
    clipspan_error err = {0};
    clipspan_means *means = NULL;
    if (clipspan_means_open(&means, store, convention, 0, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return means;
}

static void assert_near(double a, double b, double scale)
{
    if (!(fabs(a - b) <= NEAR * scale)) fail_msg("%.9g is not %.9g", a, b);
}

static void the_means(void **state)
{
    (void)state;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        ablation_terms_read(&terms, c);
        clipspan_means *means = means_of(terms.store, c);
        assert_int_equal(clipspan_means_images(means), ABLATION_ROWS);
        assert_int_equal(clipspan_means_convention(means), c);
        double largest = 0;
        for (size_t e = 0; e < FAKE_EMBED; e++) {
            for (size_t h = 0; h < ABLATION_HEADS; h++) {
                double mean = ablation_mean(&terms, terms.heads[h], e);
                largest = fmax(largest, fabs(mean));
                assert_near((double)clipspan_means_heads(means)[h * FAKE_EMBED + e], mean, 1);
            }
            for (size_t m = 0; m < ABLATION_MLPS; m++)
                assert_near((double)clipspan_means_mlps(means)[m * FAKE_EMBED + e],
                            ablation_mean(&terms, terms.mlps[m], e), 1);
            for (size_t l = 0; l < FAKE_LAYERS; l++)
                assert_near((double)clipspan_means_cls(means)[l * FAKE_EMBED + e],
                            ablation_mean(&terms, terms.cls[l], e), 1);
        }
        assert_true(largest > 0.01); /* means of nothing would agree too */
        clipspan_means *alone = NULL;
        assert_int_equal(clipspan_means_open_heads(&alone, terms.store, c, NULL), CLIPSPAN_OK);
        assert_memory_equal(clipspan_means_heads(alone), clipspan_means_heads(means), ABLATION_HEADS * FAKE_EMBED * sizeof(float));
        assert_true(clipspan_means_mlps(alone) == NULL && clipspan_means_cls(alone) == NULL);
        clipspan_means_free(alone);
        clipspan_means_free(means);
    }
}

/* Random sets, from a few terms to nearly all, so that both manners of summing are met. */
static void random_set(clipspan_ablation *a, unsigned char flags[3][ABLATION_HEADS], uint64_t *state, int share, int zero)
{
    for (size_t h = 0; h < ABLATION_HEADS; h++) flags[0][h] = fake_next(state) % 10 < (uint64_t)share;
    for (size_t m = 0; m < ABLATION_MLPS; m++) flags[1][m] = fake_next(state) % 10 < (uint64_t)share;
    for (size_t l = 0; l < FAKE_LAYERS; l++) {
        int with = 0;
        for (size_t h = 0; h < FAKE_HEADS; h++) with += flags[0][l * FAKE_HEADS + h];
        flags[2][l] = with == 0 && fake_next(state) % 2;
    }
    *a = (clipspan_ablation){.heads = flags[0], .mlps = flags[1], .cls = flags[2], .zero = zero,
                             .convention = terms.convention};
}

static void check_set(const clipspan_ablation *a, const clipspan_means *means)
{
    static double expected[ABLATION_ROWS][FAKE_EMBED];
    float out[ABLATION_ROWS * FAKE_EMBED];
    clipspan_error err = {0};
    double scale = terms.convention == CLIPSPAN_PAPER ? 1 : 10;
    if (clipspan_ablate(out, terms.store, a, means, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    ablation_by_hand(&terms, a, expected);
    for (size_t i = 0; i < terms.images; i++)
        for (size_t e = 0; e < FAKE_EMBED; e++) assert_near((double)out[i * FAKE_EMBED + e], expected[i][e], scale);
}

static void any_set_of_terms(void **state)
{
    (void)state;
    unsigned char flags[3][ABLATION_HEADS];
    clipspan_ablation a;
    uint64_t random = 3;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        ablation_terms_read(&terms, c);
        clipspan_means *means = means_of(terms.store, c);
        for (int turn = 0; turn < 44; turn++) {
            random_set(&a, flags, &random, turn % 11, turn >= 33);
            check_set(&a, turn >= 33 && turn % 2 ? NULL : means);
        }
        clipspan_means_free(means);
    }
}

/* All of a layer's heads carry the class token's own part with them. */
static void whole_layers_carry_the_class_token(void **state)
{
    (void)state;
    unsigned char heads[ABLATION_HEADS] = {1, 1}, cls[FAKE_LAYERS] = {1, 0, 0};
    float with[ABLATION_ROWS * FAKE_EMBED], without[ABLATION_ROWS * FAKE_EMBED];
    ablation_terms_read(&terms, CLIPSPAN_PAPER);
    clipspan_means *means = means_of(terms.store, CLIPSPAN_PAPER);
    clipspan_ablation a = {.heads = heads, .cls = cls};
    assert_int_equal(clipspan_ablate(with, terms.store, &a, means, NULL, NULL), CLIPSPAN_OK);
    a.cls = NULL;
    assert_int_equal(clipspan_ablate(without, terms.store, &a, means, NULL, NULL), CLIPSPAN_OK);
    assert_memory_equal(with, without, sizeof with);
    clipspan_means_free(means);
}

static void what_is_refused(void **state)
{
    (void)state;
    static ablation_terms bare;
    clipspan_error err = {0};
    unsigned char one[ABLATION_HEADS] = {1};
    float out[ABLATION_ROWS * FAKE_EMBED];
    clipspan_means *means = means_of(terms.store, CLIPSPAN_PAPER);
    clipspan_ablation a = {.heads = one};
    assert_int_equal(clipspan_ablate(out, terms.store, &a, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "means are needed");
    a.cls = one;
    assert_int_equal(clipspan_ablate(out, terms.store, &a, means, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "layer 0: the class token's attention");
    ablation_terms_open(&bare, "bare", 0);
    a = (clipspan_ablation){.mlps = one};
    assert_int_equal(clipspan_ablate(out, bare.store, &a, means, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "keeps no MLP terms");
    clipspan_means *of_bare = means_of(bare.store, CLIPSPAN_PAPER);
    assert_null(clipspan_means_mlps(of_bare));
    assert_null(clipspan_means_cls(of_bare));
    assert_int_equal(clipspan_ablate(out, terms.store, &a, of_bare, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "the means are of a store without MLP terms");
    clipspan_means_free(of_bare);
    ablation_terms_close(&bare);
    clipspan_means_free(means);
    assert_int_equal(clipspan_means_open(&means, terms.store, 7, 0, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_means_open_heads(&means, terms.store, 7, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(means);
}

static int see_threads(void *user, const clipspan_progress *now)
{
    int *most = user, threads = clsp_threads(1);
    (void)now;
    clsp_threads(threads);
    *most = threads > *most ? threads : *most;
    return 0;
}

/* The loops run with the number that is asked for, and the caller's own is what it was. */
static void threads_are_as_asked(void **state)
{
    (void)state;
    int during = 0, own = clsp_threads(5);
    const clipspan_hooks hooks = {.progress = see_threads, .user = &during};
    unsigned char one[ABLATION_HEADS] = {1};
    float out[ABLATION_ROWS * FAKE_EMBED];
    clipspan_means *means = NULL;
    assert_int_equal(clipspan_means_open(&means, terms.store, CLIPSPAN_PAPER, 2, &hooks, NULL), CLIPSPAN_OK);
    assert_int_equal(during, 2);
    const clipspan_ablation a = {.heads = one, .threads = 3};
    assert_int_equal(clipspan_ablate(out, terms.store, &a, means, &hooks, NULL), CLIPSPAN_OK);
    assert_int_equal(during, 3);
    assert_int_equal(clsp_threads(own), 5);
    clipspan_means_free(means);
}

static int open_terms(void **state)
{
    (void)state;
    ablation_terms_open(&terms, "terms", EVERYTHING);
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
        cmocka_unit_test(the_means),
        cmocka_unit_test(any_set_of_terms),
        cmocka_unit_test(whole_layers_carry_the_class_token),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(threads_are_as_asked),
    };
    return cmocka_run_group_tests(tests, open_terms, close_terms);
}
