/* Activations along directions, and the spread of heads, over a real store: against the vectors c themselves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_store.h"

#include "clipspan/heads.h"
#include "worse.h"

enum { IMAGES = 150, EMBED = 30, HEADS = 6, TEXTS = 3, COUNT = HEADS * TEXTS, BINS = 20, TOP = 9 };
static const world_spec spec = {2, 3, 10, EMBED, IMAGES, 3, 0.1, 0, 11};
/* Rows that are made the same image. */
static const int same[] = {12, 40, 63, 64, 149};

static char *list(void)
{
    static char csv[IMAGES * 32 + 32];
    size_t at = (size_t)snprintf(csv, sizeof csv, "path\n");
    for (int i = 0; i < IMAGES; i++) at += (size_t)snprintf(csv + at, sizeof csv - at, "image%03d.png\n", i);
    return csv;
}

static void repeat_images(world *w)
{
    size_t d = (size_t)spec.head_dim;
    for (size_t s = 1; s < sizeof same / sizeof *same; s++) {
        size_t from = (size_t)same[0], to = (size_t)same[s];
        for (size_t h = 0; h < HEADS; h++)
            memcpy((float *)w->batch.z + (h * IMAGES + to) * d, w->batch.z + (h * IMAGES + from) * d, d * sizeof(float));
        ((float *)w->batch.mu)[to] = w->batch.mu[from];
        ((float *)w->batch.sigma)[to] = w->batch.sigma[from];
        ((float *)w->batch.norm)[to] = w->batch.norm[from];
    }
}

/* Every head along every text. */
static void make_directions(clipspan_direction *directions, const float *texts)
{
    for (int i = 0; i < COUNT; i++)
        directions[i] = (clipspan_direction){i / TEXTS / spec.heads, i / TEXTS % spec.heads, texts + i % TEXTS * EMBED};
}

static clipspan_activations *run(const clipspan_store *store, const clipspan_direction *directions, size_t count,
                                 clipspan_convention convention, size_t top, int threads)
{
    clipspan_error err;
    clipspan_activations *result = NULL;
    const clipspan_activations_options options = {convention, top, BINS, threads};
    clipspan_status status = clipspan_activations_run(&result, store, directions, count, &options, NULL, &err);
    if (status != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clipspan_activations_count(result), count);
    assert_null(clipspan_activations_get(result, count));
    return result;
}

/* value: [IMAGES] c . t, in double from float32 vectors. */
static void direct_values(const world *w, clipspan_convention convention, const clipspan_direction *d, double *value)
{
    static float c[IMAGES * EMBED];
    assert_int_equal(clipspan_batch_head(&w->batch, convention, d->layer, d->head, c, NULL), CLIPSPAN_OK);
    for (int i = 0; i < IMAGES; i++) {
        value[i] = 0;
        for (int e = 0; e < EMBED; e++) value[i] += (double)c[i * EMBED + e] * (double)d->vector[e];
    }
}

static double compare_numbers(const clipspan_activation *a, const double *value)
{
    double mean = 0, square = 0, low = value[0], high = value[0], worst = 0;
    for (int i = 0; i < IMAGES; i++) {
        mean += value[i] / IMAGES;
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
    }
    for (int i = 0; i < IMAGES; i++) square += (value[i] - mean) * (value[i] - mean) / IMAGES;
    worst = worse(worst, fabs(a->mean - mean) / (high - low));
    worst = worse(worst, fabs(a->deviation - sqrt(square)) / (high - low));
    worst = worse(worst, fabs(a->low - low) / (high - low));
    worst = worse(worst, fabs(a->high - high) / (high - low));
    for (size_t n = 0; n < a->top; n++) {
        worst = worse(worst, fabs(a->most_values[n] - value[a->most[n]]) / (high - low));
        worst = worse(worst, fabs(a->least_values[n] - value[a->least[n]]) / (high - low));
    }
    return worst;
}

/* No value of this world lies within rounding of a bin's edge, or of another image's value but for the repeated ones. */
static void compare_counts(const clipspan_activation *a, const double *value)
{
    uint64_t counts[BINS] = {0};
    double low = value[0], high = value[0];
    for (int i = 0; i < IMAGES; i++) {
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
    }
    for (int i = 0; i < IMAGES; i++) counts[value[i] >= high ? BINS - 1 : (int)((value[i] - low) / (high - low) * BINS)]++;
    assert_int_equal(a->bins, BINS);
    assert_memory_equal(a->counts, counts, sizeof counts);
    assert_true(a->counts[0] > 0 && a->counts[BINS - 1] > 0);
}

static void compare_order(const clipspan_activation *a, const double *value)
{
    assert_true(a->most_values[0] == a->high && a->least_values[0] == a->low);
    for (size_t n = 0; n < a->top; n++) {
        size_t above = 0, below = 0;
        for (uint64_t i = 0; i < IMAGES; i++) {
            above += value[i] > value[a->most[n]] || (value[i] == value[a->most[n]] && i < a->most[n]);
            below += value[i] < value[a->least[n]] || (value[i] == value[a->least[n]] && i < a->least[n]);
        }
        assert_int_equal(above, n);
        assert_int_equal(below, n);
    }
}

static void test_against_vectors(void **state)
{
    (void)state;
    world w;
    clipspan_direction directions[COUNT];
    double value[IMAGES], worst = 0, widest = 0;
    float *texts = world_pool(TEXTS, EMBED, 0, 3);
    world_open(&w, &spec);
    make_directions(directions, texts);
    clipspan_store *store = world_store(&w, "activations_store", list(), 0);
    for (int convention = 0; convention < 2; convention++) {
        clipspan_activations *result = run(store, directions, COUNT, (clipspan_convention)convention, TOP, 2);
        for (size_t i = 0; i < COUNT; i++) {
            const clipspan_activation *a = clipspan_activations_get(result, i);
            assert_int_equal(a->layer, directions[i].layer);
            assert_int_equal(a->head, directions[i].head);
            assert_int_equal(a->top, TOP);
            direct_values(&w, (clipspan_convention)convention, &directions[i], value);
            worst = worse(worst, compare_numbers(a, value));
            widest = fmax(widest, a->deviation / fabs(a->mean));
            compare_counts(a, value);
            compare_order(a, value);
        }
        clipspan_activations_free(result);
    }
    printf("activations: largest difference %.1e of the range, widest deviation %.2f means\n", worst, widest);
    assert_true(worst < 1e-6); /* observed 1.7e-7: the vectors are float32 */
    assert_true(widest > 0.1);
    free(texts);
    clipspan_store_free(store);
    world_close(&w);
}

static void same_bits(const clipspan_activation *a, const clipspan_activation *b)
{
    const double numbers[] = {a->mean, a->deviation, a->low, a->high}, others[] = {b->mean, b->deviation, b->low, b->high};
    assert_memory_equal(numbers, others, sizeof numbers);
    assert_int_equal(a->top, b->top);
    assert_memory_equal(a->counts, b->counts, a->bins * sizeof *a->counts);
    assert_memory_equal(a->most, b->most, a->top * sizeof *a->most);
    assert_memory_equal(a->least, b->least, a->top * sizeof *a->least);
    assert_memory_equal(a->most_values, b->most_values, a->top * sizeof *a->most_values);
    assert_memory_equal(a->least_values, b->least_values, a->top * sizeof *a->least_values);
}

/* Other threads, other directions beside it: the same bits. */
static void test_threads(void **state)
{
    (void)state;
    world w;
    clipspan_direction directions[COUNT];
    float *texts = world_pool(TEXTS, EMBED, 0, 3);
    world_open(&w, &spec);
    make_directions(directions, texts);
    clipspan_store *store = world_store(&w, "threads_store", list(), 0);
    clipspan_activations *one = run(store, directions, COUNT, CLIPSPAN_PAPER, TOP, 1);
    clipspan_activations *two = run(store, directions, COUNT, CLIPSPAN_PAPER, TOP, 2);
    clipspan_activations *alone = run(store, directions + 7, 1, CLIPSPAN_PAPER, TOP, 2);
    for (size_t i = 0; i < COUNT; i++) same_bits(clipspan_activations_get(one, i), clipspan_activations_get(two, i));
    same_bits(clipspan_activations_get(one, 7), clipspan_activations_get(alone, 0));
    clipspan_activations_free(one);
    clipspan_activations_free(two);
    clipspan_activations_free(alone);
    free(texts);
    clipspan_store_free(store);
    world_close(&w);
}

/* Equal images stand in the order of their rows at either end, also where all images are kept. */
static void test_ties_and_all(void **state)
{
    (void)state;
    world w;
    double value[IMAGES];
    clipspan_direction directions[COUNT + 1];
    const float nothing[EMBED] = {0};
    float *texts = world_pool(TEXTS, EMBED, 0, 3);
    world_open(&w, &spec);
    repeat_images(&w);
    make_directions(directions, texts);
    directions[COUNT] = (clipspan_direction){1, 1, nothing};
    clipspan_store *store = world_store(&w, "ties_store", list(), 0);
    clipspan_activations *result = run(store, directions, COUNT + 1, CLIPSPAN_PAPER, 1000, 0);
    for (size_t i = 0; i < COUNT; i++) {
        const clipspan_activation *a = clipspan_activations_get(result, i);
        assert_int_equal(a->top, IMAGES);
        direct_values(&w, CLIPSPAN_PAPER, &directions[i], value);
        for (size_t s = 1; s < sizeof same / sizeof *same; s++) assert_true(value[same[s]] == value[same[0]]);
        compare_order(a, value);
    }
    const clipspan_activation *flat = clipspan_activations_get(result, COUNT); /* every image the same */
    assert_true(flat->low == 0 && flat->high == 0 && flat->mean == 0 && flat->deviation == 0);
    assert_int_equal(flat->counts[BINS - 1], IMAGES);
    for (uint64_t n = 0; n < IMAGES; n++) assert_true(flat->most[n] == n && flat->least[n] == n);
    clipspan_activations_free(result);
    free(texts);
    clipspan_store_free(store);
    world_close(&w);
}

static int stop(void *user, const clipspan_progress *progress)
{
    assert_string_equal(progress->stage, "activations");
    assert_int_equal(progress->total, 2 * IMAGES);
    *(int *)user += 1;
    return 1;
}

static void test_refused(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    clipspan_activations *result = NULL;
    int told = 0;
    float *texts = world_pool(TEXTS, EMBED, 0, 3), broken[EMBED] = {0};
    broken[4] = NAN;
    const clipspan_hooks hooks = {stop, NULL, &told};
    const clipspan_direction good = {1, 2, texts}, far = {2, 0, texts}, beside = {0, -1, texts}, bad = {0, 0, broken};
    const clipspan_activations_options no_bins = {CLIPSPAN_PAPER, 8, 0, 0};
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "refused_store", list(), 0);
    assert_int_equal(clipspan_activations_run(&result, store, &far, 1, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "L2.H0"));
    assert_int_equal(clipspan_activations_run(&result, store, &beside, 1, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_activations_run(&result, store, &bad, 1, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "finite"));
    assert_int_equal(clipspan_activations_run(&result, store, &good, 0, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_activations_run(&result, store, &good, 1, &no_bins, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_activations_run(&result, store, &good, 1, NULL, &hooks, &err), CLIPSPAN_ERROR_INTERRUPTED);
    assert_true(told == 1 && result == NULL);
    clipspan_store_free(store);
    store = world_store(&w, "moments_store", list(), 1);
    assert_int_equal(clipspan_activations_run(&result, store, &good, 1, NULL, NULL, &err), CLIPSPAN_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "moments alone"));
    assert_null(result);
    clipspan_store_free(store);
    free(texts);
    world_close(&w);
}

/* The trace of c's covariance, its shares and rank; the variance is TextSpan's to the bit. */
static void test_spread(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *textspan = NULL;
    clipspan_head_spread spread[HEADS], again[HEADS];
    static float c[IMAGES * EMBED];
    double worst = 0, shares = 0;
    float *embeddings = world_pool(40, EMBED, 0, 3);
    clipspan_texts *pool = world_texts(40);
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "spread_store", list(), 1);
    assert_int_equal(clipspan_store_moments(store, &moments, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_heads_spread(spread, moments, CLIPSPAN_PAPER, 1, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_heads_spread(again, moments, CLIPSPAN_PAPER, 2, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&textspan, moments, pool, embeddings, NULL, NULL, &err), CLIPSPAN_OK);
    for (int h = 0; h < HEADS; h++) {
        double variance = 0, mean[EMBED] = {0};
        clipspan_batch_head(&w.batch, CLIPSPAN_PAPER, h / spec.heads, h % spec.heads, c, NULL);
        for (int i = 0; i < IMAGES * EMBED; i++) mean[i % EMBED] += (double)c[i] / IMAGES;
        for (int i = 0; i < IMAGES * EMBED; i++) variance += pow((double)c[i] - mean[i % EMBED], 2) / IMAGES;
        worst = worse(worst, fabs(spread[h].variance / variance - 1));
        shares += spread[h].share;
        const clipspan_textspan_head *texts = clipspan_textspan_get(textspan, (size_t)h);
        assert_true(texts->variance == spread[h].variance);
        assert_int_equal(texts->rank, spread[h].rank);
        assert_true(again[h].variance == spread[h].variance && again[h].share == spread[h].share);
    }
    printf("spread: largest relative difference %.1e; rank %d\n", worst, spread[0].rank);
    assert_true(worst < 1e-6); /* observed 2.0e-8 */
    assert_true(fabs(shares - 1) < 1e-12);
    clipspan_textspan_free(textspan);
    clipspan_moments_free(moments);
    clipspan_store_free(store);
    clipspan_texts_free(pool);
    free(embeddings);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_vectors), cmocka_unit_test(test_threads), cmocka_unit_test(test_ties_and_all),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
