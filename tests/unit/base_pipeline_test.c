/* Items come in order, none twice, none lost, and no slot is written while the consumer holds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

enum { AHEAD_MAXIMUM = 64 };

typedef struct job {
    size_t slots[AHEAD_MAXIMUM];
    atomic_int held[AHEAD_MAXIMUM]; /* 1 while the consumer reads the slot */
    atomic_int trespasses;
    atomic_size_t runs;
} job;

/* Work of uneven length, so that later items are often ready before earlier ones. */
static void work(void *user, size_t index, size_t slot)
{
    job *j = user;
    for (size_t i = 0; i < index * 7919 % 13; i++) sched_yield();
    if (atomic_load(&j->held[slot])) atomic_fetch_add(&j->trespasses, 1);
    j->slots[slot] = index * 3 + 1;
    atomic_fetch_add(&j->runs, 1);
}

static void run_all(int threads, size_t ahead, size_t count, size_t held)
{
    static job j;
    memset(&j, 0, sizeof j);
    clsp_pipeline *pipeline = NULL;
    assert_int_equal(clsp_pipeline_start(&pipeline, threads, ahead, count, work, &j, NULL), CLIPSPAN_OK);
    size_t slots[AHEAD_MAXIMUM], first = 0;
    for (size_t i = 0; i < count; i++) {
        size_t slot = clsp_pipeline_take(pipeline);
        assert_true(slot < ahead);
        assert_int_equal(j.slots[slot], i * 3 + 1);
        atomic_store(&j.held[slot], 1);
        slots[i % AHEAD_MAXIMUM] = slot;
        if (i + 1 < held) continue;
        size_t oldest = slots[first++ % AHEAD_MAXIMUM];
        atomic_store(&j.held[oldest], 0);
        clsp_pipeline_release(pipeline);
    }
    assert_true(clsp_pipeline_take(pipeline) == SIZE_MAX);
    assert_true(clsp_pipeline_take(pipeline) == SIZE_MAX);
    clsp_pipeline_free(pipeline);
    assert_int_equal(atomic_load(&j.trespasses), 0);
    assert_int_equal(atomic_load(&j.runs), count);
}

static void keeps_the_order(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8, 32};
    static const size_t ahead[] = {1, 2, 5, 64};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
        for (size_t a = 0; a < sizeof ahead / sizeof *ahead; a++) {
            run_all(threads[t], ahead[a], 500, 1);
            if (ahead[a] > 1) run_all(threads[t], ahead[a], 500, ahead[a]); /* a whole batch held at once */
        }
}

static void has_nothing_to_give_for_no_items(void **state)
{
    (void)state;
    job j = {0};
    clsp_pipeline *pipeline = NULL;
    assert_int_equal(clsp_pipeline_start(&pipeline, 4, 3, 0, work, &j, NULL), CLIPSPAN_OK);
    assert_true(clsp_pipeline_take(pipeline) == SIZE_MAX);
    clsp_pipeline_free(pipeline);
    clsp_pipeline_free(NULL);
}

static void stops_in_the_middle(void **state)
{
    (void)state;
    for (size_t taken = 0; taken < 20; taken++) {
        static job j;
        memset(&j, 0, sizeof j);
        clsp_pipeline *pipeline = NULL;
        assert_int_equal(clsp_pipeline_start(&pipeline, 6, 4, 100000, work, &j, NULL), CLIPSPAN_OK);
        for (size_t i = 0; i < taken; i++) {
            assert_int_equal(clsp_pipeline_take(pipeline), i % 4);
            clsp_pipeline_release(pipeline);
        }
        clsp_pipeline_free(pipeline);
        assert_true(atomic_load(&j.runs) >= taken && atomic_load(&j.runs) <= taken + 4);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    for (unsigned long n = 1;; n++) {
        static job j;
        clsp_pipeline *pipeline = NULL;
        clsp_alloc_fail_at(n);
        clipspan_status status = clsp_pipeline_start(&pipeline, 2, 2, 5, work, &j, NULL);
        unsigned long seen = clsp_alloc_fail_at(0);
        clsp_pipeline_free(pipeline);
        assert_int_equal(status, seen < n ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY);
        if (seen < n) break;
        assert_null(pipeline);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(has_nothing_to_give_for_no_items),
        cmocka_unit_test(stops_in_the_middle),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
