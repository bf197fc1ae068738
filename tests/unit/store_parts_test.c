/* Parts of a store: sums are added up in the order of the tree, whoever made them; a part killed at any step goes on, and what is
 * merged at the end has the bytes of a run in one go. */
#include "store_fake.h"

#include <sys/wait.h>

#include "compute/compute.h"

/* Moments of one shard of 12 list positions, image after image, straight from the source. */
static clipspan_status add_batch(void *user, uint64_t first, size_t n, const clipspan_batch *batch, clipspan_error *err)
{
    (void)first, (void)n;
    return batch->images ? clipspan_moments_add(user, batch, err) : CLIPSPAN_OK;
}

static clipspan_moments *shard_moments(store_fake *s, uint64_t shard, uint64_t count)
{
    clipspan_moments *moments = NULL;
    assert_int_equal(clipspan_moments_new(&moments, &s->basis.view, NULL), CLIPSPAN_OK);
    assert_int_equal(fake_source(s, 12 * shard, count, add_batch, moments, NULL, NULL), CLIPSPAN_OK);
    return moments;
}

/* into += from, which is freed. */
static void merge(clipspan_moments *into, clipspan_moments *from)
{
    assert_int_equal(clipspan_moments_merge(into, from, NULL), CLIPSPAN_OK);
    clipspan_moments_free(from);
}

static bool same_bits(const clipspan_moments *a, const clipspan_moments *b)
{
    size_t heads = FAKE_LAYERS * FAKE_HEADS;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++)
        if (memcmp(a->sum[c], b->sum[c], heads * clsp_head_width(&a->basis, c) * sizeof(double)) != 0 ||
            memcmp(a->second[c], b->second[c], heads * clsp_moments_packed(&a->basis, c) * sizeof(double)) != 0)
            return false;
    return a->images == b->images;
}

/* Of 3 shards (2) + (0 + 1), of 4 (0 + 1) + (2 + 3); an order of another shape has other bits, or the test proves nothing. */
static void order_of_the_tree(void **state)
{
    (void)state;
    for (uint64_t shards = 3; shards <= 4; shards++) {
        store_fake s;
        clipspan_store *store = NULL;
        clipspan_moments *found = NULL, *m[4], *row[4];
        store_fake_init(&s, "tree");
        s.options.decompose.count = shards == 3 ? 36 : 47;
        assert_int_equal(store_fake_run(&s, NULL, NULL, NULL), CLIPSPAN_OK);
        assert_int_equal(clipspan_store_open(&store, s.directory, NULL), CLIPSPAN_OK);
        assert_int_equal(clipspan_store_moments(store, &found, NULL), CLIPSPAN_OK);
        for (uint64_t k = 0; k < shards; k++) {
            m[k] = shard_moments(&s, k, k == 3 ? 11 : 12);
            row[k] = shard_moments(&s, k, k == 3 ? 11 : 12);
        }
        for (uint64_t k = 1; k < shards; k++) merge(row[0], row[k]);
        merge(m[0], m[1]);
        if (shards == 4) merge(m[2], m[3]);
        merge(m[0], m[2]);
        assert_true(same_bits(found, m[0]));
        if (shards == 4) assert_false(same_bits(found, row[0]));
        clipspan_moments_free(m[0]);
        clipspan_moments_free(row[0]);
        clipspan_moments_free(found);
        clipspan_store_free(store);
        store_fake_clear(&s);
    }
}

static void run_part(store_fake *s, int part, int of)
{
    clipspan_error err = {0};
    s->options.part = part;
    s->options.part_count = of;
    if (store_fake_run(s, NULL, NULL, &err) != CLIPSPAN_OK) fail_msg("part %d of %d: %s", part, of, err.message);
}

static void merge_and_compare(store_fake *s, const char *whole)
{
    clipspan_error err = {0};
    clipspan_store_summary summary;
    char command[1200];
    if (clipspan_store_merge(s->directory, NULL, 0, NULL, &summary, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(summary.images, 40);
    assert_int_equal(summary.skipped, 7);
    snprintf(command, sizeof command, "diff -r '%s' '%s' > /dev/null", whole, s->directory);
    if (system(command) != 0) fail_msg("%s differs from %s", s->directory, whole);
}

static void killed_at_every_step(void **state)
{
    (void)state;
    for (int moments_only = 0; moments_only <= 1; moments_only++) {
        store_fake whole;
        int deaths = 0;
        store_fake_init(&whole, "whole");
        whole.options.moments_only = moments_only;
        assert_int_equal(store_fake_run(&whole, NULL, NULL, NULL), CLIPSPAN_OK);
        for (bool died = true; died; deaths += died) {
            store_fake s;
            int how = 0;
            store_fake_init(&s, "parts");
            s.options.moments_only = moments_only;
            run_part(&s, 2, 2);
            s.steps_until_death = deaths + 1;
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                run_part(&s, 1, 2);
                _exit(0);
            }
            assert_int_equal(waitpid(child, &how, 0), child);
            died = WIFSIGNALED(how);
            s.steps_until_death = 0;
            run_part(&s, 1, 2);
            merge_and_compare(&s, whole.directory);
            store_fake_clear(&s);
        }
        printf("killed at %d steps\n", deaths);
        assert_int_equal(deaths, 2 * (moments_only ? 3 : 4)); /* two shards of sums, shard, manifest, removal */
        store_fake_clear(&whole);
    }
}

/* Begun in two parts, of which one is done; gone on with in three; the rest by one. */
static void divided_anew(void **state)
{
    (void)state;
    store_fake whole, s;
    clipspan_error err = {0};
    const clipspan_merge_options unfinished = {.unfinished = 1};
    store_fake_init(&whole, "whole");
    assert_int_equal(store_fake_run(&whole, NULL, NULL, NULL), CLIPSPAN_OK);
    store_fake_init(&s, "anew");
    run_part(&s, 2, 2);
    s.options.part = 1;
    s.options.part_count = 3;
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "was begun in 2 parts"));
    assert_int_equal(clipspan_store_merge(s.directory, NULL, 0, &unfinished, NULL, NULL, &err), CLIPSPAN_OK);
    run_part(&s, 2, 3);
    run_part(&s, 3, 3);
    s.options.part = s.options.part_count = 0;
    if (store_fake_run(&s, NULL, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    merge_and_compare(&s, whole.directory);
    store_fake_clear(&s);
    store_fake_clear(&whole);
}

int main(void)
{
    clsp_threads(1); /* a team of threads would not live on in a child */
    const struct CMUnitTest tests[] = {cmocka_unit_test(order_of_the_tree), cmocka_unit_test(killed_at_every_step),
                                       cmocka_unit_test(divided_anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
