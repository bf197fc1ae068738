/* A file is whole or absent: also on a full disk, also where it may not be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "scratch.h"

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void appears_only_at_the_commit(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    char *text = NULL;
    size_t size = 0;
    const char *path = scratch("whole.txt");
    remove(path);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "0123456789", 10, &err), CLIPSPAN_OK);
    assert_false(clsp_file_exists(path));
    assert_int_equal(clsp_output_seek(&output, 2, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "xy", 2, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
    clsp_output_discard(&output); /* safe behind a commit */
    assert_int_equal(clsp_file_read(&text, &size, path, 100, &err), CLIPSPAN_OK);
    assert_int_equal(size, 10);
    assert_string_equal(text, "01xy456789");
    clsp_free(text);
    remove(path);
    assert_nothing_left(path);
}

static void replaces_what_stood_there_at_once(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    char *text = NULL;
    const char *path = scratch_write("replaced.txt", "old", 3);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "newer", 5, &err), CLIPSPAN_OK);
    clsp_output_discard(&output);
    assert_int_equal(clsp_file_read(&text, NULL, path, 100, &err), CLIPSPAN_OK);
    assert_string_equal(text, "old"); /* a discarded file leaves the old one alone */
    clsp_free(text);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "newer", 5, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_file_read(&text, NULL, path, 100, &err), CLIPSPAN_OK);
    assert_string_equal(text, "newer");
    clsp_free(text);
    remove(path);
    assert_nothing_left(path);
}

/* RLIMIT_FSIZE stands for the full disk: a write beyond it fails in the middle. The error may come from the
 * write or, being buffered, from the commit; the file must not come in either case. */
static void leaves_nothing_on_a_full_disk(void **state)
{
    (void)state;
    static char block[1 << 16];
    const char *path = scratch("full.bin");
    for (size_t length = 4096; length <= sizeof block; length *= 16) {
        clsp_output output;
        clipspan_error err = {CLIPSPAN_OK, ""};
        set_file_limit(length / 2);
        clipspan_status status = clsp_output_open(&output, path, &err);
        assert_int_equal(status, CLIPSPAN_OK);
        status = clsp_output_write(&output, block, length, &err);
        if (status == CLIPSPAN_OK)
            status = clsp_output_commit(&output, &err);
        else
            clsp_output_discard(&output);
        set_file_limit(RLIM_INFINITY);
        assert_int_equal(status, CLIPSPAN_ERROR_IO);
        assert_int_equal(err.status, CLIPSPAN_ERROR_IO);
        assert_message(err, path);
        assert_message(err, strerror(EFBIG));
        assert_nothing_left(path);
    }
}

static void names_the_file_it_cannot_open(void **state)
{
    (void)state;
    clsp_output output;
    clsp_map map;
    clipspan_error err;
    const char *path = scratch("no-such-folder/file.txt");
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, path);
    clsp_output_discard(&output);
    assert_int_equal(clsp_map_open(&map, path, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, path);
    assert_int_equal(clsp_map_open(&map, scratch(""), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "not a regular file");
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    const char *path = scratch("walk.txt");
    for (unsigned long n = 1;; n++) {
        clsp_output output;
        clsp_alloc_fail_at(n);
        clipspan_status status = clsp_output_open(&output, path, NULL);
        unsigned long seen = clsp_alloc_fail_at(0);
        clsp_output_discard(&output);
        assert_nothing_left(path);
        if (seen < n) {
            assert_int_equal(status, CLIPSPAN_OK);
            break;
        }
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
    }
}

static void maps_empty_and_small_files(void **state)
{
    (void)state;
    clsp_map map;
    clipspan_error err;
    char *text = NULL;
    assert_int_equal(clsp_map_open(&map, scratch_write("empty", "", 0), &err), CLIPSPAN_OK);
    assert_int_equal(map.size, 0);
    clsp_map_close(&map);
    assert_int_equal(clsp_map_open(&map, scratch_write("three", "abc", 3), &err), CLIPSPAN_OK);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.bytes, "abc", 3);
    clsp_map_close(&map);
    clsp_map_close(&map);
    assert_int_equal(clsp_file_read(&text, NULL, scratch("three"), 2, &err), CLIPSPAN_ERROR_FORMAT);
    assert_null(text);
}

static void makes_folders_and_their_parents(void **state)
{
    (void)state;
    clipspan_error err;
    assert_int_equal(clsp_directory_make(scratch("a/b/c"), &err), CLIPSPAN_OK);
    assert_int_equal(clsp_directory_make(scratch("a/b/c/"), &err), CLIPSPAN_OK);
    assert_true(clsp_directory_exists(scratch("a/b/c")));
    assert_false(clsp_file_exists(scratch("a/b/c")));
    scratch_write("file", "", 0);
    assert_int_equal(clsp_directory_make(scratch("file/d"), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appears_only_at_the_commit),
        cmocka_unit_test(replaces_what_stood_there_at_once),
        cmocka_unit_test(leaves_nothing_on_a_full_disk),
        cmocka_unit_test(names_the_file_it_cannot_open),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(maps_empty_and_small_files),
        cmocka_unit_test(makes_folders_and_their_parents),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
