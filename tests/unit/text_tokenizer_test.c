/* The tokenizer against what open_clip's SimpleTokenizer and transformers' CLIPTokenizer give (golden/text/make.py),
 * and what holds for every text. The comparison with the full vocabulary is tests/parity/tokens.py. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/tokenizer.h"

enum { CAPACITY = 77, LINE = 1 << 16 };

static clsp_tokenizer *opened(const char *path, clsp_tokenizer_manner manner)
{
    clipspan_error err;
    clsp_tokenizer *tokenizer = NULL;
    if (clsp_tokenizer_open(&tokenizer, path, manner, CAPACITY, 937, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return tokenizer;
}

static size_t encode(const clsp_tokenizer *tokenizer, const char *text, size_t length, int32_t *ids, size_t capacity)
{
    clipspan_error err;
    size_t count = 0;
    clipspan_status status = clsp_tokenizer_encode(tokenizer, text, length, ids, capacity, &count, &err);
    if (status != CLIPSPAN_OK) fail_msg("%s", err.message);
    return count;
}

static size_t unhex(char *out, const char *hex)
{
    size_t n = 0;
    for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++) out[n] = (char)byte;
    return n;
}

/* Compares every text of ids.tsv with the given column (1: open_clip, 2: Hugging Face, 3: the same with special
 * tokens behind the normalizer). Returns how many were compared. */
static int compare_column(const clsp_tokenizer *tokenizer, int column)
{
    static char line[LINE], text[LINE];
    FILE *file = fopen("golden/text/ids.tsv", "r");
    assert_non_null(file);
    int compared = 0;
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        char *fields[4], *at = line;
        for (int i = 0; i < 4; i++, at = at ? at + 1 : NULL) {
            fields[i] = at;
            at = at ? strpbrk(at, "\t\n") : NULL;
            if (at != NULL) *at = '\0';
        }
        if (strcmp(fields[column], "-") == 0) continue;
        int32_t ids[CAPACITY];
        size_t length = unhex(text, fields[0]), count = encode(tokenizer, text, length, ids, CAPACITY);
        char found[CAPACITY * 8] = "", *end = found;
        for (size_t i = 0; i < count; i++) end += sprintf(end, "%s%d", i ? " " : "", (int)ids[i]);
        if (strcmp(found, fields[column]) != 0)
            fail_msg("line %d, text %s\nfound    %s\nexpected %s", number, fields[0], found, fields[column]);
        compared++;
    }
    fclose(file);
    return compared;
}

static void golden_ids(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        clsp_tokenizer_manner manner;
        int column;
    } cases[] = {{"golden/text/bpe.txt.gz", CLSP_TOKENIZER_OPEN_CLIP, 1},
                 {"golden/text/vocab.json", CLSP_TOKENIZER_OPEN_CLIP, 1},
                 {"golden/text/tokenizer.json", CLSP_TOKENIZER_OPEN_CLIP, 1},
                 {"golden/text/vocab.json", CLSP_TOKENIZER_HUGGINGFACE, 2},
                 {"golden/text/tokenizer.json", CLSP_TOKENIZER_HUGGINGFACE, 2},
                 {"golden/text/bpe.txt.gz", CLSP_TOKENIZER_HUGGINGFACE, 2},
                 {"golden/text/lines/tokenizer.json", CLSP_TOKENIZER_HUGGINGFACE, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clsp_tokenizer *tokenizer = opened(cases[i].path, cases[i].manner);
        assert_true(compare_column(tokenizer, cases[i].column) > 500);
        assert_int_equal(clsp_tokenizer_vocab_size(tokenizer), 937);
        assert_int_equal(clsp_tokenizer_start(tokenizer), 935);
        assert_int_equal(clsp_tokenizer_end(tokenizer), 936);
        clsp_tokenizer_free(tokenizer);
    }
}

/* Whatever the capacity, the ids are a prefix of the long ones with the end token behind. */
static void truncation_keeps_the_end(void **state)
{
    (void)state;
    const char *text = "Seven grey umbrellas, half-open, on a wet street in Lisbon &amp; nobody there!";
    for (int manner = 0; manner < 2; manner++) {
        clsp_tokenizer *tokenizer = opened("golden/text/tokenizer.json", (clsp_tokenizer_manner)manner);
        int32_t whole[CAPACITY], cut[CAPACITY];
        size_t count = encode(tokenizer, text, strlen(text), whole, CAPACITY);
        assert_true(count > 30 && count < CAPACITY);
        for (size_t capacity = 2; capacity <= count; capacity++) {
            assert_int_equal(encode(tokenizer, text, strlen(text), cut, capacity), capacity);
            assert_memory_equal(cut, whole, (capacity - 1) * sizeof *cut);
            assert_int_equal(cut[capacity - 1], clsp_tokenizer_end(tokenizer));
        }
        clsp_tokenizer_free(tokenizer);
    }
}

static void context_length_bounds_the_capacity(void **state)
{
    (void)state;
    clipspan_error err;
    clsp_tokenizer *tokenizer = NULL;
    int32_t ids[CAPACITY];
    size_t count = 0;
    assert_int_equal(clsp_tokenizer_open(&tokenizer, "golden/text/vocab.json", CLSP_TOKENIZER_HUGGINGFACE, 5, 0, &err), 0);
    assert_int_equal(encode(tokenizer, "one two three four five six seven", 33, ids, CAPACITY), 5);
    assert_int_equal(clsp_tokenizer_encode(tokenizer, "a", 1, ids, 1, &count, &err), CLIPSPAN_ERROR_ARGUMENT);
    clsp_tokenizer_free(tokenizer);
}

/* A word of a megabyte, a megabyte of combining marks in the wrong order, of spaces, of references within references: none may take more
 * than n log n. (The test's time limit is what notices.) */
static void long_texts_are_quick(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "jqz", "\xcc\x81\xcc\xa3", " ", "&amp;", "'s", "\xce\xa3", "<|endoftext",
                                        "&#", "\x1b[", "amp;"};
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE + 16);
    assert_non_null(text);
    for (int manner = 0; manner < 2; manner++) {
        clsp_tokenizer *tokenizer = opened("golden/text/tokenizer.json", (clsp_tokenizer_manner)manner);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t length = 0, unit = strlen(units[u]);
            if (units[u][0] == 'a' && unit > 1) text[length++] = '&'; /* &amp;amp;amp; ... */
            for (; length + unit <= SIZE; length += unit) memcpy(text + length, units[u], unit);
            int32_t ids[CAPACITY];
            size_t count = encode(tokenizer, text, length, ids, CAPACITY);
            assert_int_equal(ids[0], 935);
            assert_int_equal(ids[count - 1], 936);
        }
        clsp_tokenizer_free(tokenizer);
    }
    free(text);
}

typedef struct worker {
    const clsp_tokenizer *tokenizer;
    int compared, column;
    int32_t ids[CAPACITY];
    size_t count;
} worker;

static const char shared_text[] = "An old lighthouse &amp; three boats in thick fog, 1923 \xe2\x80\x94 l\xc3\xa0-bas";

static void *work(void *user)
{
    worker *w = user;
    for (int i = 0; i < 500; i++) {
        if (clsp_tokenizer_encode(w->tokenizer, shared_text, strlen(shared_text), w->ids, CAPACITY, &w->count, NULL) != CLIPSPAN_OK)
            w->count = 0;
    }
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    clsp_tokenizer *tokenizer = opened("golden/text/vocab.json", CLSP_TOKENIZER_OPEN_CLIP);
    int32_t ids[CAPACITY];
    size_t count = encode(tokenizer, shared_text, strlen(shared_text), ids, CAPACITY);
    pthread_t threads[4];
    worker workers[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        workers[i].tokenizer = tokenizer;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].count, count);
        assert_memory_equal(workers[i].ids, ids, count * sizeof *ids);
    }
    clsp_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ids), cmocka_unit_test(truncation_keeps_the_end),
        cmocka_unit_test(context_length_bounds_the_capacity), cmocka_unit_test(long_texts_are_quick),
        cmocka_unit_test(threads_share_a_tokenizer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
