/* Names of heads, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clipspan/contributions.h"

enum { LAYERS = 4, HEADS = 3 };

static const struct {
    const char *text, *chosen; /* one digit a head, layer by layer */
} good[] = {
    {"all", "111111111111"},         {"L0", "111000000000"},           {"L3.H2", "000000000001"},
    {"last:1", "000000000111"},      {"last:4", "111111111111"},       {"L1.H0,L1.H2", "000101000000"},
    {"l1.h0 , last:1", "000100000111"}, {"L0.H0,L0.H0", "100000000000"}, {" L2 ,", "000000111000"},
};

static const struct {
    const char *text, *message;
} bad[] = {
    {"L4", "unknown head \"L4\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"L0.H3", "unknown head \"L0.H3\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"L1,H2", "unknown head \"H2\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"last:0", "unknown head \"last:0\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"last:5", "unknown head \"last:5\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"last:", "unknown head \"last:\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"L99999999999999999999", "unknown head \"L99999999999999999999\": expected L0 to L3, L0.H0 to L3.H2, "
                              "last:1 to last:4, or all"},
    {"L1.", "unknown head \"L1.\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"L1.H1x", "unknown head \"L1.H1x\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"L", "unknown head \"L\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"#", "unknown head \"#\": expected L0 to L3, L0.H0 to L3.H2, last:1 to last:4, or all"},
    {"", "\"\" names no head"},
    {" , ", "\" , \" names no head"},
};

static void expect_chosen(const char *text, const char *expected)
{
    unsigned char chosen[LAYERS * HEADS];
    char digits[LAYERS * HEADS + 1] = "";
    clipspan_error err = {0};
    if (clipspan_heads_parse(text, LAYERS, HEADS, chosen, &err) != CLIPSPAN_OK) fail_msg("%s: %s", text, err.message);
    for (int i = 0; i < LAYERS * HEADS; i++) digits[i] = (char)('0' + chosen[i]);
    assert_string_equal(digits, expected);
}

static void good_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) expect_chosen(good[i].text, good[i].chosen);
}

static void bad_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char chosen[LAYERS * HEADS];
        clipspan_error err = {0};
        assert_int_equal(clipspan_heads_parse(bad[i].text, LAYERS, HEADS, chosen, &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_string_equal(err.message, bad[i].message);
    }
}

static void names_from_a_file(void **state)
{
    (void)state;
    char path[512], text[1024];
    unsigned char chosen[LAYERS * HEADS];
    clipspan_error err = {0};
    snprintf(path, sizeof path, "%s/heads.txt", getenv("CLIPSPAN_TEST_TMP"));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("# shapes, colours\nL0.H1\r\n\n  L2.H2,L3.H0\n#L1", file);
    fclose(file);
    snprintf(text, sizeof text, "@%s", path);
    expect_chosen(text, "010000001100");
    snprintf(text, sizeof text, "L1,@%s", path);
    expect_chosen(text, "010111001100");

    file = fopen(path, "w");
    assert_non_null(file);
    fputs("L0\nL7\n", file);
    fclose(file);
    assert_int_equal(clipspan_heads_parse(text, LAYERS, HEADS, chosen, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "heads.txt: unknown head \"L7\""));
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "@%s\n", path);
    fclose(file);
    assert_int_equal(clipspan_heads_parse(text, LAYERS, HEADS, chosen, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "names another file"));
    assert_int_equal(clipspan_heads_parse("@absent.txt", LAYERS, HEADS, chosen, &err), CLIPSPAN_ERROR_IO);
    assert_non_null(strstr(err.message, "absent.txt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_names),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(names_from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
