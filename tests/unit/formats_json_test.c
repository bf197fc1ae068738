/* JSON in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "formats/json.h"
#include "scratch.h"

static clsp_json *parse(const char *text)
{
    clsp_json *root = NULL;
    clipspan_error err;
    if (clsp_json_parse(&root, text, strlen(text), "test.json", &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return root;
}

static void reads_every_kind(void **state)
{
    (void)state;
    clsp_json *root = parse("{\"i\": -3, \"r\": 2.5, \"whole\": 768.0, \"t\": true, \"s\": \"h\\u00e9\", \"n\": null,"
                            " \"a\": [1, \"x\", []], \"o\": {\"k\": 1}, \"nul\": \"a\\u0000b\"}");
    int64_t i = 0;
    double d = 0;
    bool b = false;
    size_t length;
    assert_true(clsp_json_int(clsp_json_get(root, "i"), &i) && i == -3);
    assert_true(clsp_json_int(clsp_json_get(root, "whole"), &i) && i == 768);
    assert_false(clsp_json_int(clsp_json_get(root, "r"), &i));
    assert_true(clsp_json_number(clsp_json_get(root, "r"), &d) && d == 2.5);
    assert_true(clsp_json_number(clsp_json_get(root, "i"), &d) && d == -3);
    assert_true(clsp_json_bool(clsp_json_get(root, "t"), &b) && b);
    assert_false(clsp_json_bool(clsp_json_get(root, "i"), &b));
    assert_string_equal(clsp_json_string(clsp_json_get(root, "s")), "h\xc3\xa9");
    assert_null(clsp_json_get(root, "n"));
    assert_null(clsp_json_get(root, "absent"));
    assert_int_equal(clsp_json_length(clsp_json_get(root, "a")), 3);
    assert_string_equal(clsp_json_string(clsp_json_at(clsp_json_get(root, "a"), 1)), "x");
    assert_null(clsp_json_at(clsp_json_get(root, "a"), 3));
    assert_null(clsp_json_string(clsp_json_get(root, "nul"))); /* no C string holds it */
    assert_memory_equal(clsp_json_string_n(clsp_json_get(root, "nul"), &length), "a\0b", 3);
    assert_int_equal(length, 3);
    clsp_json_free(root);
}

static void getters_take_nothing(void **state)
{
    (void)state;
    int64_t i;
    double d;
    bool b;
    size_t length;
    assert_null(clsp_json_get(NULL, "x"));
    assert_false(clsp_json_int(NULL, &i) || clsp_json_number(NULL, &d) || clsp_json_bool(NULL, &b));
    assert_null(clsp_json_string(NULL));
    assert_null(clsp_json_string_n(NULL, &length));
    assert_false(clsp_json_is_object(NULL) || clsp_json_is_array(NULL));
    assert_int_equal(clsp_json_length(NULL), 0);
    assert_null(clsp_json_at(NULL, 0));
    assert_null(clsp_json_first(NULL));
    clsp_json_free(NULL);
}

/* tokenizer_config.json says "no limit" so: Python's int(1e30). */
static void reads_integers_beyond_64_bits_as_reals(void **state)
{
    (void)state;
    clsp_json *root = parse("{\"model_max_length\": 1000000000000000019884624838656, \"n\": 77}");
    int64_t i = 0;
    double d = 0;
    assert_false(clsp_json_int(clsp_json_get(root, "model_max_length"), &i));
    assert_true(clsp_json_number(clsp_json_get(root, "model_max_length"), &d));
    assert_true(d == 1e30);
    assert_true(clsp_json_int(clsp_json_get(root, "n"), &i) && i == 77);
    clsp_json_free(root);
}

static void keeps_the_order_of_members(void **state)
{
    (void)state;
    clsp_json *root = parse("{\"z\": 0, \"a\": 1, \"m\": 2, \"b\": 3}");
    static const char *const keys[] = {"z", "a", "m", "b"};
    int64_t n = 0, value = -1;
    for (void *m = clsp_json_first(root); m; m = clsp_json_next(root, m), n++) {
        assert_string_equal(clsp_json_key(m), keys[n]);
        assert_true(clsp_json_int(clsp_json_value(m), &value) && value == n);
    }
    assert_int_equal(n, 4);
    clsp_json_free(root);
}

static void refuses_what_is_not_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"", "bad.json:1:"},
        {"{\"a\": 1,\n \"a\": 2}", "bad.json:2:"}, /* a duplicate key */
        {"{\"a\": 1}}", "bad.json:1:"},
        {"{\"a\": NaN}", "bad.json:1:"},
        {"{\"a\": 1e999}", "bad.json:1:"},
        {"{\"a\": 01}", "bad.json:1:"},
        {"{'a': 1}", "bad.json:1:"},
        {"[1,]", "bad.json:1:"},
        {"\"\xff\"", "bad.json:1:"},
        {"\"\\ud800\"", "bad.json:1:"},
        {"[1,\n2,\n3", "bad.json:3:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clsp_json *root = (clsp_json *)&root;
        clipspan_error err;
        clipspan_status status = clsp_json_parse(&root, cases[i].text, strlen(cases[i].text), "bad.json", &err);
        if (status != CLIPSPAN_ERROR_FORMAT) fail_msg("'%s' gives %d", cases[i].text, status);
        assert_null(root);
        assert_message(err, cases[i].place);
    }
}

static void refuses_depth_and_size(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    clsp_json *root = NULL;
    clipspan_error err;
    char *deep = clsp_alloc(DEPTH, 1);
    memset(deep, '[', DEPTH);
    assert_int_equal(clsp_json_parse(&root, deep, DEPTH, "deep", &err), CLIPSPAN_ERROR_FORMAT);
    clsp_free(deep);
    assert_int_equal(clsp_json_open(&root, scratch_write("long.json", "[1, 2, 3]", 9), 8, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "9 bytes");
    assert_int_equal(clsp_json_open(&root, scratch("long.json"), 9, &err), CLIPSPAN_OK);
    clsp_json_free(root);
    assert_int_equal(clsp_json_open(&root, scratch("absent.json"), 9, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "absent.json");
}

static void writes_and_reads_back(void **state)
{
    (void)state;
    clsp_json *root = clsp_json_new_object(), *array = clsp_json_new_array(), *texts = clsp_json_new_array();
    bool ok = clsp_json_put(root, "name", clsp_json_new_string("a \"red\"\tshape\\\x01\n"));
    ok &= clsp_json_push(array, clsp_json_new_int(INT64_MIN));
    ok &= clsp_json_push(array, clsp_json_new_number(0.1));
    ok &= clsp_json_push(array, clsp_json_new_number(3));
    ok &= clsp_json_push(array, clsp_json_new_number(INFINITY));
    ok &= clsp_json_push(array, clsp_json_new_number(NAN));
    ok &= clsp_json_push(array, clsp_json_new_bool(false));
    ok &= clsp_json_put(root, "values", array);
    ok &= clsp_json_push(texts, clsp_json_new_string("x"));
    ok &= clsp_json_put(root, "texts", texts);
    ok &= clsp_json_put(root, "none", clsp_json_new_null());
    assert_true(ok);
    char *text = clsp_json_text(root), *file = NULL;
    assert_string_equal(text, "{\"name\":\"a \\\"red\\\"\\tshape\\\\\\u0001\\n\",\"values\":[-9223372036854775808,0.1,3.0,"
                              "null,null,false],\"texts\":[\"x\"],\"none\":null}");
    assert_int_equal(clsp_json_write(root, scratch("out.json"), NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_file_read(&file, NULL, scratch("out.json"), 1000, NULL), CLIPSPAN_OK);
    assert_string_equal(file, "{\n  \"name\": \"a \\\"red\\\"\\tshape\\\\\\u0001\\n\",\n  \"values\": "
                              "[-9223372036854775808, 0.1, 3.0, null, null, false],\n  \"texts\": [\n    \"x\"\n  ],\n"
                              "  \"none\": null\n}\n");
    clsp_json *again = parse(file);
    char *second = clsp_json_text(again);
    assert_string_equal(second, text);
    clsp_free(text);
    clsp_free(file);
    clsp_free(second);
    clsp_json_free(again);
    clsp_json_free(root);
}

static void reals_come_back_bit_for_bit(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        double value, back = 0;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = seed ^ seed >> 29;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        clsp_json *node = clsp_json_new_number(value);
        char *text = clsp_json_text(node);
        clsp_json *again = parse(text);
        assert_true(clsp_json_number(again, &back));
        if (memcmp(&back, &value, sizeof value) != 0) fail_msg("%a becomes %s", value, text);
        clsp_free(text);
        clsp_json_free(again);
        clsp_json_free(node);
    }
}

/* A comma locale is compiled into the scratch folder, for few machines have one installed. */
static bool set_comma_locale(void)
{
    char command[8600];
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s' >/dev/null 2>&1", scratch("de_DE.UTF-8"));
    if (system(command) != 0) return false;
    setenv("LOCPATH", scratch(""), 1);
    return setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL && strcmp(localeconv()->decimal_point, ",") == 0;
}

static void decimal_point_is_not_the_locales(void **state)
{
    (void)state;
    if (!set_comma_locale()) skip(); /* no localedef here: nothing was shown */
    clsp_json *node = clsp_json_new_number(0.25), *again = NULL;
    double value = 0;
    char *text = clsp_json_text(node);
    clipspan_status status = clsp_json_parse(&again, "[2.5, 1e-3]", 11, "comma", NULL);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "0.25");
    assert_int_equal(status, CLIPSPAN_OK);
    assert_true(clsp_json_number(clsp_json_at(again, 0), &value) && value == 2.5);
    clsp_free(text);
    clsp_json_free(again);
    clsp_json_free(node);
}

/* Expected: one U+FFFD for every byte that belongs to no well-formed sequence. */
static void repairs_what_is_not_utf8(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a\xff" "b", "a\xef\xbf\xbd" "b"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                         /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},         /* a surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},                         /* cut short */
        {"\xf0\x9f\x98\x80\x80", "\xf0\x9f\x98\x80\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clsp_json *node = clsp_json_new_string(cases[i][0]), *object = clsp_json_new_object();
        assert_string_equal(clsp_json_string(node), cases[i][1]);
        assert_true(clsp_json_put(object, cases[i][0], node));
        assert_string_equal(clsp_json_key(clsp_json_first(object)), cases[i][1]);
        clsp_json_free(object);
    }
}

static void put_takes_over_also_when_it_fails(void **state)
{
    (void)state;
    clsp_json *object = clsp_json_new_object();
    assert_false(clsp_json_put(object, "k", NULL));
    assert_false(clsp_json_put(NULL, "k", clsp_json_new_string("freed")));
    assert_false(clsp_json_push(NULL, clsp_json_new_string("freed")));
    clsp_alloc_fail_at(1);
    assert_false(clsp_json_put(object, "k", clsp_json_new_string("freed")));
    clsp_alloc_fail_at(0);
    assert_int_equal(clsp_json_length(object), 0);
    clsp_json_free(object);
}

static void says_so_when_it_cannot_write(void **state)
{
    (void)state;
    clipspan_error err;
    clsp_json *object = clsp_json_new_object();
    const char *path = scratch("no-such-folder/out.json");
    assert_int_equal(clsp_json_write(object, path, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, path);
    for (unsigned long n = 1; n < 3; n++) {
        clsp_alloc_fail_at(n);
        assert_int_equal(clsp_json_write(object, scratch("out.json"), &err), CLIPSPAN_ERROR_MEMORY);
    }
    clsp_alloc_fail_at(0);
    clsp_json_free(object);
}

/* In a child, whose standard output is the full device. */
static void says_so_when_standard_output_is_full(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY), result = 0;
    if (full < 0) skip();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        clipspan_error err = {CLIPSPAN_OK, ""};
        clsp_json *object = clsp_json_new_object();
        dup2(full, STDOUT_FILENO);
        clipspan_status status = clsp_json_write(object, "-", &err);
        clsp_json_free(object);
        _exit(status == CLIPSPAN_ERROR_IO && strstr(err.message, "standard output") ? 42 : 1);
    }
    close(full);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 42);
}

/* A vocabulary of CLIP's size: 49,408 keys. 0.03 s here without sanitizers. */
static void reads_a_vocabulary_quickly(void **state)
{
    (void)state;
    clsp_buffer text;
    clsp_buffer_init(&text, 16 << 20);
    for (int i = 0; i < 49408; i++)
        assert_true(clsp_buffer_format(&text, "%s\"t%x\\u0120%d</w>\": %d", i ? ", " : "{", i * 7919, i, i));
    assert_true(clsp_buffer_text(&text, "}"));
    clock_t begin = clock();
    clsp_json *root = parse(text.data);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    assert_int_equal(clsp_json_length(root), 49408);
    print_message("49408 keys in %.3f s\n", seconds);
    assert_true(seconds < 1);
    clsp_json_free(root);
    clsp_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(getters_take_nothing),
        cmocka_unit_test(reads_integers_beyond_64_bits_as_reals),
        cmocka_unit_test(keeps_the_order_of_members),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(refuses_depth_and_size),
        cmocka_unit_test(writes_and_reads_back),
        cmocka_unit_test(reals_come_back_bit_for_bit),
        cmocka_unit_test(decimal_point_is_not_the_locales),
        cmocka_unit_test(repairs_what_is_not_utf8),
        cmocka_unit_test(put_takes_over_also_when_it_fails),
        cmocka_unit_test(says_so_when_it_cannot_write),
        cmocka_unit_test(says_so_when_standard_output_is_full),
        cmocka_unit_test(reads_a_vocabulary_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
