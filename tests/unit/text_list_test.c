/* Text lists, and the pools that the project ships. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clipspan/text.h"
#include "scratch.h"

static clipspan_texts *opened(const char *path, int skip_blank)
{
    clipspan_error err;
    clipspan_texts *texts = NULL;
    if (clipspan_texts_open(&texts, path, skip_blank, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return texts;
}

static void assert_texts(const clipspan_texts *texts, const char *const *expected, size_t count)
{
    assert_int_equal(clipspan_texts_count(texts), count);
    for (size_t i = 0; i < count; i++) assert_string_equal(clipspan_texts_get(texts, i), expected[i]);
}

/* Which of the file's lines each text stood on. */
static void assert_places(const clipspan_texts *texts, const size_t *places, size_t lines)
{
    assert_int_equal(clipspan_texts_lines(texts), lines);
    for (size_t i = 0; i < clipspan_texts_count(texts); i++) assert_int_equal(clipspan_texts_line(texts, i), places[i]);
}

static void lines_of_a_file(void **state)
{
    (void)state;
    static const char bytes[] = "\xef\xbb\xbfone\r\n\ntwo \n\xff\r\r\none\n\nlast";
    static const char *const all[] = {"one", "", "two ", "\xff\r", "one", "", "last"};
    static const char *const some[] = {"one", "two ", "\xff\r", "last"};
    static const size_t every[] = {0, 1, 2, 3, 4, 5, 6}, places[] = {0, 2, 3, 6};
    const char *path = scratch_write("lines.txt", bytes, sizeof bytes - 1);
    clipspan_texts *texts = opened(path, 0);
    assert_texts(texts, all, 7);
    assert_places(texts, every, 7);
    clipspan_texts_free(texts);
    texts = opened(path, 1);
    assert_texts(texts, some, 4);
    assert_places(texts, places, 7);
    clipspan_texts_free(texts);
}

/* "-": here a pipe that is already full and closed takes the place of standard input. */
static void lines_of_standard_input(void **state)
{
    (void)state;
    static const char *const expected[] = {"one", "two"};
    int ends[2], kept = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "one\n \t\r\ntwo\n\none", 16), 16);
    close(ends[1]);
    assert_true(dup2(ends[0], STDIN_FILENO) >= 0);
    close(ends[0]);
    clipspan_texts *texts = opened("-", 1);
    if (kept >= 0) dup2(kept, STDIN_FILENO);
    if (kept >= 0) close(kept);
    assert_texts(texts, expected, 2);
    clipspan_texts_free(texts);
}

static void line_ends_at_the_end(void **state)
{
    (void)state;
    static const char *const one[] = {"a", ""};
    static const struct {
        const char *bytes;
        size_t lines;
    } cases[] = {{"", 0}, {"\xef\xbb\xbf", 0}, {"a", 1}, {"a\n", 1}, {"a\r\n", 1}, {"a\n\n", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clipspan_texts *texts = opened(scratch_write("ends.txt", cases[i].bytes, strlen(cases[i].bytes)), 0);
        assert_texts(texts, one, cases[i].lines);
        clipspan_texts_free(texts);
    }
}

static void copies(void **state)
{
    (void)state;
    char first[] = "red";
    const char *const given[] = {first, "", "a\nb", "red"}, *const expected[] = {"red", "", "a\nb", "red"};
    clipspan_texts *texts = NULL;
    clipspan_error err;
    assert_int_equal(clipspan_texts_copy(&texts, given, 4, &err), CLIPSPAN_OK);
    first[0] = 'x';
    assert_texts(texts, expected, 4);
    assert_places(texts, (const size_t[]){0, 1, 2, 3}, 4);
    clipspan_texts_free(texts);
    assert_int_equal(clipspan_texts_copy(&texts, NULL, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_texts_count(texts), 0);
    clipspan_texts_free(texts);
    clipspan_texts_free(NULL);
}

static void bad_files(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_texts *texts = (clipspan_texts *)&err;
    const char *path = scratch_write("zero.txt", "good\nb\0d\n", 9);
    assert_int_equal(clipspan_texts_open(&texts, path, 0, &err), CLIPSPAN_ERROR_FORMAT);
    assert_null(texts);
    assert_message(err, "zero.txt: line 2 holds a zero byte");
    enum { LONG = 1 << 20 };
    char *line = malloc(LONG + 8);
    assert_non_null(line);
    memset(line, 'a', LONG + 8);
    memcpy(line, "good\n", 5);
    line[5 + LONG] = '\n';
    assert_int_equal(clipspan_texts_open(&texts, scratch_write("long.txt", line, 5 + LONG), 0, &err), CLIPSPAN_OK);
    clipspan_texts_free(texts);
    line[5 + LONG] = 'a';
    assert_int_equal(clipspan_texts_open(&texts, scratch_write("long.txt", line, 6 + LONG), 0, &err), CLIPSPAN_ERROR_FORMAT);
    assert_null(texts);
    assert_message(err, "long.txt: line 2 has 1048577 bytes, expected at most 1048576");
    free(line);
    assert_int_equal(clipspan_texts_open(&texts, scratch("none.txt"), 0, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "none.txt");
}

static void allocations_fail(void **state)
{
    (void)state;
    static const char *const given[] = {"a", "b"};
    const char *path = scratch_write("walk.txt", "a\nb\nc\n", 6);
    int failures = 0;
    for (unsigned long n = 1;; n++) {
        clipspan_texts *texts = NULL, *copy = NULL;
        (void)clsp_alloc_fail_at(n);
        clipspan_status status = clipspan_texts_open(&texts, path, 1, NULL);
        if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&copy, given, 2, NULL);
        unsigned long used = clsp_alloc_fail_at(0);
        clipspan_texts_free(texts);
        clipspan_texts_free(copy);
        if (status == CLIPSPAN_OK && used < n) break;
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        failures++;
    }
    assert_true(failures >= 6);
}

static int order_without_case(const void *a, const void *b)
{
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

/* At least 3,000 lines, no two alike, ASCII where the word is English, short enough for any model. */
static void general_pool(void **state)
{
    (void)state;
    clipspan_texts *texts = opened("../models/pools/general.txt", 0);
    size_t count = clipspan_texts_count(texts);
    assert_true(count >= 3000);
    const char **sorted = malloc(count * sizeof *sorted);
    assert_non_null(sorted);
    for (size_t i = 0; i < count; i++) {
        const char *text = sorted[i] = clipspan_texts_get(texts, i);
        size_t length = strlen(text);
        if (length < 5 || length > 80 || text[0] == ' ' || text[length - 1] == ' ' || strstr(text, "  "))
            fail_msg("line %zu: '%s'", i + 1, text);
    }
    qsort(sorted, count, sizeof *sorted, order_without_case);
    for (size_t i = 1; i < count; i++) {
        if (strcasecmp(sorted[i - 1], sorted[i]) == 0) fail_msg("twice: '%s'", sorted[i]);
    }
    free(sorted);
    clipspan_texts_free(texts);
}

static void templates(void **state)
{
    (void)state;
    clipspan_texts *texts = opened("../models/pools/templates.txt", 0);
    assert_true(clipspan_texts_count(texts) >= 10);
    for (size_t i = 0; i < clipspan_texts_count(texts); i++) {
        const char *hole = strstr(clipspan_texts_get(texts, i), "{}");
        assert_non_null(hole);
        assert_null(strstr(hole + 2, "{}"));
    }
    clipspan_texts *compiled = NULL; /* the same lines, in the library */
    assert_int_equal(clipspan_texts_templates(&compiled, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_texts_count(compiled), clipspan_texts_count(texts));
    for (size_t i = 0; i < clipspan_texts_count(texts); i++)
        assert_string_equal(clipspan_texts_get(compiled, i), clipspan_texts_get(texts, i));
    clipspan_texts_free(compiled);
    clipspan_texts_free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_file), cmocka_unit_test(lines_of_standard_input), cmocka_unit_test(line_ends_at_the_end), cmocka_unit_test(copies),
        cmocka_unit_test(bad_files), cmocka_unit_test(allocations_fail), cmocka_unit_test(general_pool),
        cmocka_unit_test(templates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
