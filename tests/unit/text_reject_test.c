/* Vocabularies that must not be accepted, each with the words that its message must hold; and a walk in which every
 * allocation fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"
#include "text/tokenizer.h"

static char *slurp(const char *path, size_t *size)
{
    clipspan_error err;
    char *bytes = NULL;
    if (clsp_file_read(&bytes, size, path, 1 << 20, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return bytes;
}

/* Writes golden/text/<source> to the scratch file `name`, the first `from` replaced by `to`. */
static const char *edited(const char *source, const char *name, const char *from, const char *to)
{
    size_t size;
    char golden[64];
    snprintf(golden, sizeof golden, "golden/text/%s", source);
    char *bytes = slurp(golden, &size), *at = strstr(bytes, from);
    assert_non_null(at);
    char *out = malloc(size + strlen(to) + 1);
    assert_non_null(out);
    int length = snprintf(out, size + strlen(to) + 1, "%.*s%s%s", (int)(at - bytes), bytes, to, at + strlen(from));
    const char *path = scratch_write(name, out, (size_t)length);
    free(out);
    clsp_free(bytes);
    return path;
}

static void rejected(const char *path, int vocab_size, clipspan_status status, const char *words)
{
    clipspan_error err = {0};
    clsp_tokenizer *tokenizer = (clsp_tokenizer *)&err;
    assert_int_equal(clsp_tokenizer_open(&tokenizer, path, CLSP_TOKENIZER_HUGGINGFACE, 77, vocab_size, &err), status);
    assert_null(tokenizer);
    assert_message(err, words);
}

static void bad_tokenizer_json(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
        clipspan_status status;
    } cases[] = {
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "'Unigram', expected 'BPE'", CLIPSPAN_ERROR_UNSUPPORTED},
        {"\"</w>\",\"fuse", "\"##\",\"fuse", "end_of_word_suffix is '##'", CLIPSPAN_ERROR_UNSUPPORTED},
        {"\"vocab\":{", "\"vocabulary\":{", "no model.vocab object", CLIPSPAN_ERROR_FORMAT},
        {"\"!\":0", "\"!\":\"0\"", "'!': the id is no integer", CLIPSPAN_ERROR_FORMAT},
        {"\"!\":0", "\"!\":-1", "'!' has the id -1", CLIPSPAN_ERROR_FORMAT},
        {"\"!\":0", "\"!!!\":0", "no token '!' for byte 0x21", CLIPSPAN_ERROR_FORMAT},
        {"\"!</w>\":", "\"!!!</w>\":", "no token '!</w>' for byte 0x21", CLIPSPAN_ERROR_FORMAT},
        {"\"merges\":[[\"o\",", "\"merges\":[[\"o\"],[\"o\",", "model.merges[0] is neither", CLIPSPAN_ERROR_FORMAT},
        {"\"merges\":[", "\"merges\":[\"ab\",", "expected two tokens and one space", CLIPSPAN_ERROR_FORMAT},
        {"\"merges\":[", "\"merges\":[\"a b c\",", "expected two tokens and one space", CLIPSPAN_ERROR_FORMAT},
        {"\"merges\":[", "\"merges\":[[\"q\",\"q\"],", "merge 0 joins 'q' and 'q'", CLIPSPAN_ERROR_FORMAT},
        {"\"single_word\":false", "\"single_word\":true", "asks for single_word", CLIPSPAN_ERROR_UNSUPPORTED},
        {"\"content\":\"<|startoftext|>\"", "\"content\":\"\"", "added_tokens[0] has no content", CLIPSPAN_ERROR_FORMAT},
        {"{", "{,", "bad.json", CLIPSPAN_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        rejected(edited("tokenizer.json", "bad.json", cases[i].from, cases[i].to), 0, cases[i].status, cases[i].words);
}

static void ids_beyond_the_model(void **state)
{
    (void)state;
    rejected("golden/text/tokenizer.json", 936, CLIPSPAN_ERROR_MISMATCH,
             "'<|endoftext|>' has the id 936, but the model's vocabulary has 936 entries");
    rejected("golden/text/vocab.json", 900, CLIPSPAN_ERROR_MISMATCH, "vocabulary has 900 entries");
    rejected("golden/text/bpe.txt.gz", 900, CLIPSPAN_ERROR_MISMATCH, "vocabulary has 900 entries");
}

static void bad_vocab_json(void **state)
{
    (void)state;
    size_t size;
    char *vocab = slurp("golden/text/vocab.json", &size);
    remove(scratch("merges.txt"));
    const char *path = scratch_write("vocab.json", vocab, size);
    rejected(path, 0, CLIPSPAN_ERROR_IO, "merges.txt");
    scratch_write("merges.txt", "#version: 0.2\no n\nnonsense\n", 27);
    rejected(path, 0, CLIPSPAN_ERROR_FORMAT, "merges.txt: merge 1, 'nonsense'");
    edited("merges.txt", "merges.txt", "j qz\n", "");
    path = edited("vocab.json", "vocab.json", "\"<|endoftext|>\"", "\"<|end|>\"");
    rejected(path, 0, CLIPSPAN_ERROR_FORMAT, "neither '<|endoftext|>' nor '<end_of_text>'");
    rejected(scratch_write("list.json", "[1, 2]", 6), 0, CLIPSPAN_ERROR_FORMAT, "neither a tokenizer.json nor a vocab.json");
    rejected(scratch("absent.json"), 0, CLIPSPAN_ERROR_IO, "absent.json");
    clsp_free(vocab);
}

static void bad_merges_file(void **state)
{
    (void)state;
    rejected(scratch_write("bpe.txt", "header\no n\nlonely\n", 18), 0, CLIPSPAN_ERROR_FORMAT, "'lonely': expected two tokens");
    rejected(scratch_write("bpe.txt", "header\nqq x", 11), 0, CLIPSPAN_ERROR_FORMAT, "joins 'qq' and 'x'");
    rejected(scratch_write("bpe.gz", "\x1f\x8b\x08garbage", 10), 0, CLIPSPAN_ERROR_FORMAT, "bpe.gz");
}

/* A file of no merges is a vocabulary of bytes alone; its 512 and two special tokens come in open_clip's order. */
static void bytes_alone_are_a_vocabulary(void **state)
{
    (void)state;
    clipspan_error err;
    clsp_tokenizer *tokenizer = NULL;
    const char *path = scratch_write("bytes.txt", "header", 6);
    int32_t ids[8], expected[] = {512, 64, 256 + 65, 0 + 256, 513};
    size_t count;
    if (clsp_tokenizer_open(&tokenizer, path, CLSP_TOKENIZER_OPEN_CLIP, 77, 514, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clsp_tokenizer_encode(tokenizer, "ab!", 3, ids, 8, &count, &err), CLIPSPAN_OK);
    assert_int_equal(count, 5);
    assert_memory_equal(ids, expected, sizeof expected);
    clsp_tokenizer_free(tokenizer);
}

static clipspan_status open_and_encode(const char *path, clsp_tokenizer_manner manner, clipspan_error *err)
{
    clsp_tokenizer *tokenizer = NULL;
    static const char text[] = "It\xe2\x80\x99s a \xef\xac\x81ne &amp;amp;lt; day<|endoftext|>\xce\xa3\xce\xa3 e\xcc\xa3\xcc\x81\n!\xff";
    int32_t ids[77];
    size_t count;
    clipspan_status status = clsp_tokenizer_open(&tokenizer, path, manner, 77, 0, err);
    if (status == CLIPSPAN_OK) status = clsp_tokenizer_encode(tokenizer, text, sizeof text - 1, ids, 77, &count, err);
    if (status != CLIPSPAN_OK && tokenizer == NULL) return status;
    clsp_tokenizer_free(tokenizer);
    return status;
}

/* Every allocation fails once (JSON and gzip readers have walks of their own, so the steps are wide in the thousands
 * of tokens): memory is reported, nothing leaks, which the address sanitizer sees. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    static const char *const paths[] = {"golden/text/bpe.txt.gz", "golden/text/vocab.json", "golden/text/lines/tokenizer.json"};
    for (size_t p = 0; p < 3; p++) {
        for (int manner = 0; manner < 2; manner++) {
            unsigned long failures = 0;
            for (unsigned long n = 1;; n += n < 200 || n % 1000 > 900 ? 1 : 37) {
                clipspan_error err = {0};
                (void)clsp_alloc_fail_at(n);
                clipspan_status status = open_and_encode(paths[p], (clsp_tokenizer_manner)manner, &err);
                unsigned long used = clsp_alloc_fail_at(0);
                if (status != CLIPSPAN_OK) {
                    failures++;
                    if (status != CLIPSPAN_ERROR_MEMORY) fail_msg("allocation %lu: %s", n, err.message);
                } else if (used < n) {
                    break;
                }
            }
            assert_true(failures > 10);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_tokenizer_json), cmocka_unit_test(ids_beyond_the_model), cmocka_unit_test(bad_vocab_json),
        cmocka_unit_test(bad_merges_file), cmocka_unit_test(bytes_alone_are_a_vocabulary),
        cmocka_unit_test(every_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
