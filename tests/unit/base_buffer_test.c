/* Buffers that never pass their maximum, and sizes that never wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

static void grows_to_its_maximum_and_no_further(void **state)
{
    (void)state;
    clsp_buffer buffer;
    clsp_buffer_init(&buffer, 1000);
    char expected[1001] = "";
    for (size_t i = 0; i < 1000; i++) {
        expected[i] = (char)('a' + i % 26);
        assert_true(clsp_buffer_append(&buffer, expected + i, 1));
    }
    assert_int_equal(buffer.length, 1000);
    assert_string_equal(buffer.data, expected);
    assert_false(clsp_buffer_append(&buffer, "x", 1));
    assert_true(clsp_buffer_append(&buffer, "", 0));
    assert_string_equal(buffer.data, expected); /* a refused append changes nothing */
    clsp_buffer_free(&buffer);
    assert_null(buffer.data);
}

static void formats_text(void **state)
{
    (void)state;
    clsp_buffer buffer;
    clsp_buffer_init(&buffer, 20);
    assert_true(clsp_buffer_format(&buffer, "%s-%d", "head", 12));
    assert_true(clsp_buffer_text(&buffer, "/"));
    assert_string_equal(buffer.data, "head-12/");
    assert_false(clsp_buffer_format(&buffer, "%13d", 7));
    assert_true(clsp_buffer_format(&buffer, "%12d", 7));
    assert_string_equal(buffer.data, "head-12/           7");
    clsp_buffer_free(&buffer);
}

static void refuses_lengths_that_wrap(void **state)
{
    (void)state;
    clsp_buffer buffer;
    clsp_buffer_init(&buffer, SIZE_MAX);
    assert_true(clsp_buffer_text(&buffer, "ab"));
    assert_false(clsp_buffer_append(&buffer, "c", SIZE_MAX));
    assert_false(clsp_buffer_append(&buffer, "c", SIZE_MAX - 2));
    assert_string_equal(buffer.data, "ab");
    clsp_buffer_free(&buffer);
}

static void keeps_its_content_when_memory_runs_out(void **state)
{
    (void)state;
    clsp_buffer buffer;
    char block[256];
    memset(block, 'z', sizeof block);
    clsp_buffer_init(&buffer, 4096);
    assert_true(clsp_buffer_text(&buffer, "kept"));
    clsp_alloc_fail_at(1);
    assert_false(clsp_buffer_append(&buffer, block, sizeof block));
    clsp_alloc_fail_at(0);
    assert_string_equal(buffer.data, "kept");
    assert_true(clsp_buffer_append(&buffer, block, sizeof block));
    assert_int_equal(buffer.length, 4 + sizeof block);
    clsp_buffer_free(&buffer);
}

static void checks_products_and_sums(void **state)
{
    (void)state;
    size_t out = 0;
    assert_true(clsp_mul(&out, (size_t)1 << 32, ((size_t)1 << 31)));
    assert_true(out == (size_t)1 << 63);
    assert_false(clsp_mul(&out, (size_t)1 << 32, (size_t)1 << 32));
    assert_true(clsp_mul(&out, SIZE_MAX, 0));
    assert_true(out == 0);
    assert_true(clsp_add(&out, SIZE_MAX - 1, 1));
    assert_true(out == SIZE_MAX);
    assert_false(clsp_add(&out, SIZE_MAX, 1));
    assert_true(clsp_range_ok(3, 4, 7));
    assert_true(clsp_range_ok(7, 0, 7));
    assert_false(clsp_range_ok(8, 0, 7));
    assert_false(clsp_range_ok(4, 4, 7));
    assert_false(clsp_range_ok(1, SIZE_MAX, 7)); /* the sum would wrap to 0 */
}

static void refuses_allocations_that_wrap(void **state)
{
    (void)state;
    assert_null(clsp_alloc(SIZE_MAX, 2));
    assert_null(clsp_alloc_zero(SIZE_MAX / 2, 3));
    assert_null(clsp_alloc_aligned(SIZE_MAX, 1));
    assert_null(clsp_grow(NULL, SIZE_MAX, 8));
}

static void aligns_and_clears(void **state)
{
    (void)state;
    for (size_t size = 0; size < 200; size++) {
        unsigned char *aligned = clsp_alloc_aligned(size, 1), *zeroed = clsp_alloc_zero(size, 1);
        assert_non_null(aligned);
        assert_int_equal((uintptr_t)aligned % 64, 0);
        memset(aligned, 1, size);
        for (size_t i = 0; i < size; i++) assert_int_equal(zeroed[i], 0);
        clsp_free(aligned);
        clsp_free(zeroed);
    }
}

static void joins_paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = clsp_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        clsp_free(path);
    }
}

static void messages_are_one_bounded_line(void **state)
{
    (void)state;
    clipspan_error err;
    char longer[4 * CLIPSPAN_ERROR_LENGTH];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(clsp_fail(&err, CLIPSPAN_ERROR_FORMAT, "a\nb\r%s", "c\nd"), CLIPSPAN_ERROR_FORMAT);
    assert_string_equal(err.message, "a b c d");
    clsp_fail(&err, CLIPSPAN_ERROR_FORMAT, "%s", longer);
    assert_int_equal(strlen(err.message), CLIPSPAN_ERROR_LENGTH - 1);
    errno = ENOENT;
    clsp_fail_errno(&err, "%s", longer);
    static const char reason[] = "x: No such file or directory"; /* is not cut */
    assert_true(strlen(err.message) > CLIPSPAN_ERROR_LENGTH / 2 && strlen(err.message) < CLIPSPAN_ERROR_LENGTH);
    assert_string_equal(err.message + strlen(err.message) - strlen(reason), reason);
    assert_int_equal(clsp_fail(NULL, CLIPSPAN_ERROR_IO, "%d", 1), CLIPSPAN_ERROR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_its_maximum_and_no_further),
        cmocka_unit_test(formats_text),
        cmocka_unit_test(refuses_lengths_that_wrap),
        cmocka_unit_test(keeps_its_content_when_memory_runs_out),
        cmocka_unit_test(checks_products_and_sums),
        cmocka_unit_test(refuses_allocations_that_wrap),
        cmocka_unit_test(aligns_and_clears),
        cmocka_unit_test(joins_paths),
        cmocka_unit_test(messages_are_one_bounded_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
