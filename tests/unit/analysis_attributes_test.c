/* Attributes and the ranking of images, over a real store, against brute force in the joint space. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_store.h"

#include "clipspan/analysis.h"
#include "worse.h"

enum { IMAGES = 150, EMBED = 30 };
static const world_spec spec = {2, 3, 10, EMBED, IMAGES, 3, 0.1, 0, 11};

/* colour: follows head 0's first factor; place: random, with empty cells; serial: all different; same: one value. */
typedef struct table {
    int colour[IMAGES], place[IMAGES];
    char csv[IMAGES * 64 + 64];
} table;

static void make_table(table *t, const world *w)
{
    uint64_t state = 5;
    double mean = 0;
    for (int i = 0; i < IMAGES; i++) mean += (double)w->batch.z[i * spec.head_dim] / IMAGES;
    size_t at = (size_t)snprintf(t->csv, sizeof t->csv, "path,colour,place,serial,same\n");
    for (int i = 0; i < IMAGES; i++) {
        double z = (double)w->batch.z[i * spec.head_dim] - mean;
        t->colour[i] = z > 0.1 ? 2 : z > -0.1 ? 1 : 0;
        t->place[i] = (int)(world_next(&state) % 5) - 1;
        at += (size_t)snprintf(t->csv + at, sizeof t->csv - at, "image%03d.png,colour %d,%.*s,%d,yes\n", i, t->colour[i],
                               t->place[i] >= 0, &"nesw"[t->place[i] < 0 ? 0 : t->place[i]], i);
    }
}

/* Eta squared straight from the vectors c: [I, E]; group -1: left out. */
static double brute_share(const float *c, const int *group)
{
    double mean[EMBED] = {0}, means[8][EMBED] = {{0}}, sizes[8] = {0}, between = 0, total = 0, n = 0;
    for (int i = 0; i < IMAGES; i++) {
        if (group[i] < 0) continue;
        n++;
        sizes[group[i]]++;
        for (int d = 0; d < EMBED; d++) {
            mean[d] += (double)c[i * EMBED + d];
            means[group[i]][d] += (double)c[i * EMBED + d];
        }
    }
    for (int d = 0; d < EMBED; d++) {
        for (int g = 0; g < 8; g++)
            if (sizes[g] > 0) between += sizes[g] * pow(means[g][d] / sizes[g] - mean[d] / n, 2);
        for (int i = 0; i < IMAGES; i++)
            if (group[i] >= 0) total += pow((double)c[i * EMBED + d] - mean[d] / n, 2);
    }
    return between / total;
}

static void test_shares(void **state)
{
    (void)state;
    static table t;
    world w;
    clipspan_error err;
    float *c = malloc(IMAGES * EMBED * sizeof *c);
    double worst = 0, strongest = 0;
    clipspan_attributes_options options = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    world_open(&w, &spec);
    make_table(&t, &w);
    clipspan_store *store = world_store(&w, "attributes_store", t.csv, 0);
    for (int convention = 0; convention < 2; convention++) {
        clipspan_attributes *result = NULL;
        options.convention = (clipspan_convention)convention;
        clipspan_status status = clipspan_attributes_run(&result, store, &options, NULL, &err);
        if (status != CLIPSPAN_OK) fail_msg("%s", err.message);
        assert_int_equal(clipspan_attributes_count(result), 2); /* serial has too many values, same too few */
        assert_string_equal(clipspan_attributes_name(result, 0), "colour");
        assert_string_equal(clipspan_attributes_name(result, 1), "place");
        assert_int_equal(clipspan_attributes_convention(result), convention);
        assert_int_equal(clipspan_attributes_groups(result, 1), 4);
        for (int l = 0; l < spec.layers; l++)
            for (int h = 0; h < spec.heads; h++) {
                clipspan_batch_head(&w.batch, (clipspan_convention)convention, l, h, c, NULL);
                double colour = brute_share(c, t.colour), place = brute_share(c, t.place);
                worst = worse(worst, fabs(clipspan_attributes_share(result, 0, l, h) - colour));
                worst = worse(worst, fabs(clipspan_attributes_share(result, 1, l, h) - place));
                strongest = fmax(strongest, colour);
            }
        assert_true(fabs(clipspan_attributes_chance(result, 0) - 2.0 / (IMAGES - 1)) < 1e-15);
        uint64_t with = clipspan_attributes_images(result, 1);
        assert_true(with > 80 && with < IMAGES);
        assert_true(fabs(clipspan_attributes_chance(result, 1) - 3.0 / ((double)with - 1)) < 1e-15);
        assert_true(isnan(clipspan_attributes_share(result, 2, 0, 0)));
        assert_true(isnan(clipspan_attributes_share(result, 0, spec.layers, 0)));
        clipspan_attributes_free(result);
    }
    printf("share of variance: largest difference %.1e, strongest attribute %.2f\n", worst, strongest);
    assert_true(worst < 3e-8); /* observed 2.6e-9: the brute way's c is float32 */
    assert_true(strongest > 0.2);
    free(c);
    clipspan_store_free(store);
    world_close(&w);
}

static clipspan_status run_on(clipspan_attributes **out, const clipspan_store *store, const char *const *columns,
                              size_t count, clipspan_error *err)
{
    clipspan_attributes_options options = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    options.columns = columns;
    options.column_count = count;
    return clipspan_attributes_run(out, store, &options, NULL, err);
}

static void test_columns(void **state)
{
    (void)state;
    static table t;
    world w;
    clipspan_error err;
    clipspan_attributes *result = NULL;
    world_open(&w, &spec);
    make_table(&t, &w);
    clipspan_store *store = world_store(&w, "columns_store", t.csv, 0);
    const char *serial[] = {"serial", "colour"}, *unknown[] = {"colour", "weight"}, *same[] = {"same"};
    assert_int_equal(run_on(&result, store, serial, 2, &err), CLIPSPAN_OK);
    assert_true(fabs(clipspan_attributes_share(result, 0, 1, 2) - 1) < 1e-9); /* every image its own group */
    assert_true(fabs(clipspan_attributes_chance(result, 0) - 1) < 1e-15);
    assert_true(clipspan_attributes_excess(result, 0, 1, 2) == 0);            /* which says nothing */
    assert_int_not_equal(clipspan_attributes_strongest(result, 0, 0), 0);
    assert_string_equal(clipspan_attributes_name(result, 1), "colour");
    clipspan_attributes_free(result);
    assert_int_equal(run_on(&result, store, unknown, 2, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(result);
    assert_non_null(strstr(err.message, "weight"));
    assert_non_null(strstr(err.message, "colour, place, serial, same"));
    assert_int_equal(run_on(&result, store, same, 1, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "1 values"));
    clipspan_store_free(store);
    store = world_store(&w, "moments_store", t.csv, 1);
    assert_int_equal(run_on(&result, store, NULL, 0, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "moments alone"));
    clipspan_store_free(store);
    world_close(&w);
}

/* Values dealt at random: the mean share over many deals is chance, so the mean excess is 0. */
static void test_chance(void **state)
{
    (void)state;
    enum { DEALS = 60, VALUES = 20 };
    static char csv[IMAGES * (DEALS * 3 + 32) + 4096];
    world w;
    clipspan_error err;
    clipspan_attributes *result = NULL;
    uint64_t random = 3;
    double mean = 0, chance = 0, largest = -1, heads = spec.layers * spec.heads;
    size_t at = (size_t)snprintf(csv, sizeof csv, "path");
    for (int deal = 0; deal < DEALS; deal++) at += (size_t)snprintf(csv + at, sizeof csv - at, ",d%d", deal);
    for (int i = 0; i < IMAGES; i++) {
        at += (size_t)snprintf(csv + at, sizeof csv - at, "\nimage%03d.png", i);
        for (int deal = 0; deal < DEALS; deal++)
            at += (size_t)snprintf(csv + at, sizeof csv - at, ",%d", (int)(world_next(&random) % VALUES));
    }
    csv[at] = '\n';
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "chance_store", csv, 0);
    if (run_on(&result, store, NULL, 0, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clipspan_attributes_count(result), DEALS);
    for (size_t a = 0; a < DEALS; a++)
        for (int h = 0; h < spec.layers * spec.heads; h++) {
            double share = clipspan_attributes_share(result, a, h / spec.heads, h % spec.heads);
            double excess = clipspan_attributes_excess(result, a, h / spec.heads, h % spec.heads);
            double n = (double)clipspan_attributes_images(result, a), g = (double)clipspan_attributes_groups(result, a);
            assert_true(fabs(excess - (1 - (1 - share) * (n - 1) / (n - g))) < 1e-12);
            mean += excess / (DEALS * heads);
            chance += clipspan_attributes_chance(result, a) / (DEALS * heads);
            largest = fmax(largest, excess);
        }
    printf("values dealt at random: chance %.3f, mean excess %.4f, largest %.3f\n", chance, mean, largest);
    assert_true(chance > 0.12 && fabs(mean) < 0.01); /* observed 0.128, -0.0018 */
    assert_true(largest > 0);
    clipspan_attributes_free(result);
    clipspan_store_free(store);
    world_close(&w);
}

/* A column of many values has the larger share by chance alone; the strongest is the one that tells something. */
static void test_strongest(void **state)
{
    (void)state;
    static table t;
    static char csv[IMAGES * 64 + 64];
    world w;
    clipspan_error err;
    clipspan_attributes *result = NULL;
    const char *columns[] = {"colour", "serial"};
    world_open(&w, &spec);
    make_table(&t, &w);
    size_t at = (size_t)snprintf(csv, sizeof csv, "path,colour,serial,few\n");
    for (int i = 0; i < IMAGES; i++)
        at += (size_t)snprintf(csv + at, sizeof csv - at, "image%03d.png,%d,%d,%.*s\n", i, t.colour[i], i / 2, i < 40,
                               &"abcdefghijklmnopqrstuvwxyzabcdefghijklmn"[i % 40]);
    clipspan_store *store = world_store(&w, "strongest_store", csv, 0);
    assert_int_equal(run_on(&result, store, columns, 2, &err), CLIPSPAN_OK);
    double colour = clipspan_attributes_share(result, 0, 0, 0), serial = clipspan_attributes_share(result, 1, 0, 0);
    printf("share of three values %.2f, of 75 pairs %.2f\n", colour, serial);
    assert_true(serial > colour);
    assert_int_equal(clipspan_attributes_strongest(result, 0, 0), 0);
    clipspan_attributes_free(result);
    assert_int_equal(run_on(&result, store, NULL, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_attributes_count(result), 1); /* few: 40 images, 26 values */
    clipspan_attributes_free(result);
    clipspan_store_free(store);
    world_close(&w);
}

/* Heads that were not asked for have no share; those that were, the same one. */
static void test_chosen_heads(void **state)
{
    (void)state;
    static table t;
    world w;
    clipspan_error err;
    clipspan_attributes *result = NULL, *all = NULL;
    clipspan_attributes_options options = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    const unsigned char heads[6] = {0, 0, 0, 0, 1, 0}, none[6] = {0};
    world_open(&w, &spec);
    make_table(&t, &w);
    clipspan_store *store = world_store(&w, "chosen_store", t.csv, 0);
    assert_int_equal(clipspan_attributes_run(&all, store, NULL, NULL, &err), CLIPSPAN_OK);
    options.heads = heads;
    options.threads = 2;
    assert_int_equal(clipspan_attributes_run(&result, store, &options, NULL, &err), CLIPSPAN_OK);
    for (size_t a = 0; a < 2; a++)
        for (int h = 0; h < 6; h++) {
            double share = clipspan_attributes_share(result, a, h / 3, h % 3);
            if (heads[h])
                assert_true(share == clipspan_attributes_share(all, a, h / 3, h % 3));
            else
                assert_true(isnan(share) && isnan(clipspan_attributes_excess(result, a, h / 3, h % 3)));
        }
    assert_true(clipspan_attributes_strongest(result, 0, 0) == SIZE_MAX);
    clipspan_attributes_free(result);
    clipspan_attributes_free(all);
    options.heads = none;
    assert_int_equal(clipspan_attributes_run(&result, store, &options, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "no head"));
    clipspan_store_free(store);
    world_close(&w);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    static table t;
    world w;
    clipspan_error err;
    world_open(&w, &spec);
    make_table(&t, &w);
    clipspan_store *store = world_store(&w, "walk_store", t.csv, 0);
    unsigned long n = 1;
    for (;; n++) {
        clipspan_attributes *result = NULL;
        clsp_alloc_fail_at(n);
        clipspan_status status = clipspan_attributes_run(&result, store, NULL, NULL, &err);
        clsp_alloc_fail_at(0);
        clipspan_attributes_free(result);
        if (status == CLIPSPAN_OK) break;
        assert_null(result);
    }
    assert_true(n > 20);
    clipspan_store_free(store);
    world_close(&w);
}

/* ---- images that a direction ranks highest ---------------------------------------------------------------- */

static clipspan_textspan *span_of(const clipspan_store *store, clipspan_convention convention, int top, int threads)
{
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    unsigned char heads[6] = {0, 1, 0, 0, 1, 1};
    clipspan_texts *texts = world_texts(60);
    float *pool = world_pool(60, EMBED, 0, 77);
    options.convention = convention;
    options.size = 4;
    options.heads = heads;
    options.top_images = top;
    options.threads = threads;
    assert_int_equal(clipspan_store_moments(store, &moments, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&result, moments, texts, pool, &options, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_images(result, 0, 0, NULL, NULL), 0);
    if (clipspan_textspan_rank_images(result, store, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    free(pool);
    clipspan_texts_free(texts);
    clipspan_moments_free(moments);
    return result;
}

/* Values of every image by brute force; checks order and membership of the list. */
static double check_list(const clipspan_textspan *result, size_t i, int m, const float *c, size_t top)
{
    const uint64_t *rows;
    const float *values, *n = clipspan_textspan_direction(result, i, m);
    double all[IMAGES], worst = 0;
    assert_int_equal(clipspan_textspan_images(result, i, m, &rows, &values), top);
    for (int image = 0; image < IMAGES; image++) {
        all[image] = 0;
        for (int d = 0; d < EMBED; d++) all[image] += (double)c[image * EMBED + d] * (double)n[d];
    }
    for (size_t k = 0; k < top; k++) {
        worst = worse(worst, fabs((double)values[k] - all[rows[k]]));
        if (k > 0) assert_true(values[k] < values[k - 1] || (values[k] == values[k - 1] && rows[k] > rows[k - 1]));
        all[rows[k]] = -INFINITY;
    }
    for (int image = 0; image < IMAGES; image++) assert_true(all[image] <= (double)values[top - 1] + 1e-6);
    return worst;
}

static void test_ranked_images(void **state)
{
    (void)state;
    static table t;
    world w;
    double worst = 0;
    float *c = malloc(IMAGES * EMBED * sizeof *c);
    world_open(&w, &spec);
    /* Images 40 and 100 are image 7 again: equal values, in the order of their rows, across shards. */
    for (int h = 0; h < 6; h++)
        for (int k = 0; k < 2; k++)
            memcpy((float *)(uintptr_t)w.batch.z + (h * IMAGES + (k ? 100 : 40)) * 10, w.batch.z + (h * IMAGES + 7) * 10,
                   10 * sizeof(float));
    for (int k = 0; k < 2; k++) {
        int copy = k ? 100 : 40;
        ((float *)(uintptr_t)w.batch.mu)[copy] = w.batch.mu[7];
        ((float *)(uintptr_t)w.batch.sigma)[copy] = w.batch.sigma[7];
        ((float *)(uintptr_t)w.batch.norm)[copy] = w.batch.norm[7];
    }
    make_table(&t, &w);
    clipspan_store *store = world_store(&w, "rank_store", t.csv, 0);
    for (int convention = 0; convention < 2; convention++) {
        clipspan_textspan *result = span_of(store, (clipspan_convention)convention, 8, 1);
        clipspan_textspan *every = span_of(store, (clipspan_convention)convention, 1000, 3);
        for (size_t i = 0; i < 3; i++) {
            const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
            clipspan_batch_head(&w.batch, (clipspan_convention)convention, head->layer, head->head, c, NULL);
            for (int m = 0; m < head->count; m++) {
                const uint64_t *rows, *few;
                const float *values, *best;
                size_t seven = 0;
                worst = worse(worst, check_list(result, i, m, c, 8));
                check_list(every, i, m, c, IMAGES);
                clipspan_textspan_images(every, i, m, &rows, &values);
                clipspan_textspan_images(result, i, m, &few, &best);
                assert_memory_equal(rows, few, 8 * sizeof *rows); /* whatever the threads and the length of the list */
                assert_memory_equal(values, best, 8 * sizeof *values);
                while (rows[seven] != 7) seven++;
                assert_int_equal(rows[seven + 1], 40);
                assert_int_equal(rows[seven + 2], 100);
                assert_true(values[seven] == values[seven + 2]);
            }
        }
        clipspan_textspan_free(result);
        clipspan_textspan_free(every);
    }
    printf("value of an image: largest difference %.1e\n", worst);
    assert_true(worst < 1e-6); /* observed 1.5e-7: c and the values are float32 */
    free(c);
    clipspan_store_free(store);
    world_close(&w);
}

static void test_ranking_refused(void **state)
{
    (void)state;
    static table t;
    world w, other;
    clipspan_error err;
    world_spec smaller = spec;
    smaller.layers = 1;
    world_open(&w, &spec);
    world_open(&other, &smaller);
    make_table(&t, &w);
    clipspan_store *store = world_store(&w, "whole_store", t.csv, 0);
    clipspan_store *moments = world_store(&w, "bare_store", t.csv, 1);
    clipspan_store *misfit = world_store(&other, "misfit_store", t.csv, 0);
    clipspan_textspan *result = span_of(store, CLIPSPAN_PAPER, 8, 2);
    assert_int_equal(clipspan_textspan_rank_images(result, moments, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_textspan_rank_images(result, misfit, NULL, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "L1.H1"));
    assert_int_equal(clipspan_textspan_images(result, 0, 0, NULL, NULL), 8); /* what was there stays */
    clipspan_textspan_free(result);
    clipspan_store_free(store);
    clipspan_store_free(moments);
    clipspan_store_free(misfit);
    world_close(&w);
    world_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_ranked_images), cmocka_unit_test(test_ranking_refused),
        cmocka_unit_test(test_allocation_failures), cmocka_unit_test(test_chance),
        cmocka_unit_test(test_strongest),     cmocka_unit_test(test_chosen_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
