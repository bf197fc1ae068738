/* References within references: what ftfy makes of them, one level a pass, in linear time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "text/clean.h"

/* Made with ftfy 6.3.1 and Python 3.11:
 *     " ".join(html.unescape(html.unescape(ftfy.fix_text(text, fix_encoding=False))).split()).lower() */
static const struct {
    const char *text, *cleaned;
} CASES[] = {
    {"&#5&#50;;", "4"},
    {"&#5&#5&#50;;;", "6"},
    {"a &am&#112;; b", "a & b"},
    {"&semi&semi&semi;", ";"},
    {"&amp;amp;amp;lt;", "<"},
    {"&#6530&#6530&#6530&#65303;;;;", "\341\246\202\341\246\202;;"},
    {"&#894&#894&#894;", ";"},
    {"&#50&#894;", "2"},
    {"&#652&#65279;79;", ""},
    {"x\033[3&#54;m y", "x y"},
    {"x\033[&amp;#51;6m y", "x[36m y"},
    {"&#59;", ";"},
    {"&#5\001&#50;;", "4"},
    {"&#x&#64256;11;", "1"},
    {"&EACUT&#69;; &fo&#111;;", "\303\251 &foo;"},
    {"&#5&#5&#5&#5&#5&#50;;;;;; or", ":; or"},
    {"<&#5&#50;;", "<2;"},
};

static void expect(const char *text, const char *cleaned)
{
    clsp_runes runes = {0}, wanted = {0};
    clsp_runes_decode(&runes, text, strlen(text));
    clsp_runes_decode(&wanted, cleaned, strlen(cleaned));
    clsp_clean_open_clip(&runes);
    assert_false(runes.failed);
    if (!clsp_runes_equal(&runes, &wanted)) fail_msg("'%s' does not become '%s'", text, cleaned);
    clsp_runes_free(&runes);
    clsp_runes_free(&wanted);
}

static void as_ftfy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) expect(CASES[i].text, CASES[i].cleaned);
}

/* `open` some 50,000 times, a middle, `close` as often. One level a pass, 30,000 levels took 15 s and more; now all
 * of these together take 0.13 s. */
static void deep_nests_are_quick(void **state)
{
    (void)state;
    static const struct {
        const char *open, *middle, *close;
    } NESTS[] = {
        {"&#5", "0", ";"},      {"&#5", "0;", ";"},         {"&#894", ";", ""},      {"&semi", ";", ""},
        {"&#652", "79;", "79;"}, {"&#6530", "&#65303;", ";"}, {"&#6530&#6529", "7;", ";;"}, {"&am", "p;", "p;"},
        {"&#65307", ";", ""},   {"&#x&#xfb0", "0;", "10;"},
    };
    enum { LEVELS = 50000 };
    char *text = malloc(LEVELS * 32);
    assert_non_null(text);
    clock_t begin = clock();
    for (size_t n = 0; n < sizeof NESTS / sizeof NESTS[0]; n++) {
        size_t length = 0, open = strlen(NESTS[n].open), middle = strlen(NESTS[n].middle);
        size_t close = strlen(NESTS[n].close);
        for (int i = 0; i < LEVELS; i++, length += open) memcpy(text + length, NESTS[n].open, open);
        memcpy(text + length, NESTS[n].middle, middle);
        length += middle;
        for (int i = 0; i < LEVELS; i++, length += close) memcpy(text + length, NESTS[n].close, close);
        clsp_runes runes = {0};
        clsp_runes_decode(&runes, text, length);
        clsp_clean_open_clip(&runes);
        assert_false(runes.failed);
        clsp_runes_free(&runes);
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        print_message("%s ...: %.2f s so far\n", NESTS[n].open, seconds);
    }
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 60);
    free(text);
}

/* Whatever allocation fails, the text is marked as failed, or is as it should be. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    for (unsigned long n = 1;; n++) {
        clsp_runes runes = {0};
        clsp_alloc_fail_at(n);
        clsp_runes_decode(&runes, "&#6530&#6530&#65303;;;", 22);
        clsp_clean_open_clip(&runes);
        unsigned long seen = clsp_alloc_fail_at(0);
        bool failed = runes.failed;
        clsp_runes_free(&runes);
        if (seen < n) {
            assert_false(failed);
            assert_true(n > 5);
            break;
        }
        assert_true(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_ftfy),
        cmocka_unit_test(deep_nests_are_quick),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
