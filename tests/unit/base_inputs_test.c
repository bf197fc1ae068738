/* What was read is not written over, by whatever path; what is the library's own may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "clipspan/inputs.h"
#include "scratch.h"

static void read_it(const char *path)
{
    clsp_map map;
    clipspan_error err;
    if (clsp_map_open(&map, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_map_close(&map);
}

static void assert_holds(const char *path, const char *text)
{
    char *found = NULL;
    assert_int_equal(clsp_file_read(&found, NULL, path, 100, NULL), CLIPSPAN_OK);
    assert_string_equal(found, text);
    clsp_free(found);
}

static void refuses_by_any_path(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    char *path = clsp_strdup(scratch_write("input.txt", "mine", 4)), *dotted = clsp_strdup(scratch("./input.txt"));
    char *symbolic = clsp_strdup(scratch("input-link")), *hard = clsp_strdup(scratch("input-hard"));
    const char *const ways[] = {path, dotted, symbolic, hard};
    remove(symbolic), remove(hard);
    assert_int_equal(symlink("input.txt", symbolic), 0);
    assert_int_equal(link(path, hard), 0);
    clipspan_inputs_remember(1);
    for (size_t i = 0; i < 4; i++) assert_int_equal(clipspan_inputs_check(ways[i], &err), CLIPSPAN_OK);
    read_it(symbolic);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(clipspan_inputs_check(ways[i], &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_int_equal(clsp_output_open(&output, ways[i], &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_message(err, ways[i]);
        assert_message(err, "an input would be written over");
    }
    assert_holds(path, "mine");
    clipspan_inputs_remember(0);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK); /* forgotten */
    clsp_output_discard(&output);
    for (size_t i = 0; i < 4; i++) {
        remove(ways[i]);
        clsp_free((char *)ways[i]);
    }
}

/* An output is opened, then what it would replace is read. */
static void refuses_at_the_commit_too(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    char *path = clsp_strdup(scratch_write("late.txt", "mine", 4));
    clipspan_inputs_remember(1);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "other", 5, &err), CLIPSPAN_OK);
    read_it(path);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "late.txt: an input");
    assert_holds(path, "mine");
    assert_int_equal(clsp_output_open_file(&output, path, &err), CLIPSPAN_OK); /* of a name that clipspan gave */
    assert_int_equal(clsp_output_write(&output, "other", 5, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
    assert_holds(path, "other");
    clipspan_inputs_remember(0);
    remove(path);
    assert_nothing_left(path);
    clsp_free(path);
}

/* More than the first set has room for; others stay free. */
static void remembers_many(void **state)
{
    (void)state;
    enum { FILES = 700 };
    char name[32];
    clipspan_inputs_remember(1);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        scratch_write(name, "x", 1);
        if (i % 2 == 0) assert_int_equal(clipspan_inputs_add(scratch(name), NULL), CLIPSPAN_OK);
        if (i % 2 == 0) assert_int_equal(clipspan_inputs_add(scratch(name), NULL), CLIPSPAN_OK); /* again */
    }
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        assert_int_equal(clipspan_inputs_check(scratch(name), NULL), i % 2 == 0 ? CLIPSPAN_ERROR_ARGUMENT : CLIPSPAN_OK);
        remove(scratch(name));
    }
    assert_int_equal(clipspan_inputs_add(scratch("nowhere"), NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_inputs_add("/dev/null", NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_inputs_check("/dev/null", NULL), CLIPSPAN_OK);
    clipspan_inputs_remember(0);
}

static void says_when_memory_runs_out(void **state)
{
    (void)state;
    clsp_map map;
    const char *path = scratch_write("memory.txt", "mine", 4);
    clipspan_inputs_remember(1);
    clsp_alloc_fail_at(1);
    assert_int_equal(clsp_map_open(&map, path, NULL), CLIPSPAN_ERROR_MEMORY);
    clsp_alloc_fail_at(0);
    assert_null(map.mapping);
    clipspan_inputs_remember(0);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_by_any_path),
        cmocka_unit_test(refuses_at_the_commit_too),
        cmocka_unit_test(remembers_many),
        cmocka_unit_test(says_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
