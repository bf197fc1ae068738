/* Texts of any bytes through both manners of the tokenizer, and files of any bytes as its vocabulary.
 *
 * The first byte chooses: bit 0 the manner, bit 1 vocabulary or text, bit 2 the vocabulary's file name (.json or
 * .txt). A vocabulary is also used, when it was accepted. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/tokenizer.h"

enum { CAPACITY = 77 };

static const char merges[] = "header\nt h\nth e</w>\na n\nan d</w>\ni n\nq z\njqz j\nj qz\n";

/* A file of these bytes under a fresh name; the name is left in `path`. */
static int written(char *path, int suffix, const void *bytes, size_t size)
{
    int handle = mkstemps(path, suffix);
    if (handle < 0) return 0;
    int good = write(handle, bytes, size) == (ssize_t)size;
    return close(handle) == 0 && good;
}

static clsp_tokenizer *opened(const void *bytes, size_t size, int json, clsp_tokenizer_manner manner)
{
    char path[32];
    strcpy(path, json ? "/tmp/clsp-XXXXXX.json" : "/tmp/clsp-XXXXXX.txt");
    clsp_tokenizer *tokenizer = NULL;
    clipspan_error err;
    if (written(path, json ? 5 : 4, bytes, size)) {
        clipspan_status status = clsp_tokenizer_open(&tokenizer, path, manner, 0, 0, &err);
        if ((status == CLIPSPAN_OK) != (tokenizer != NULL)) abort();
        if (status != CLIPSPAN_OK && memchr(err.message, '\0', sizeof err.message) == NULL) abort();
    }
    unlink(path);
    return tokenizer;
}

/* What must hold for any text: start first, end last, ids of the vocabulary, a shorter capacity gives a prefix. */
static void check(const clsp_tokenizer *tokenizer, const char *text, size_t length)
{
    int32_t ids[CAPACITY], cut[CAPACITY / 2];
    size_t count, cut_count;
    if (clsp_tokenizer_encode(tokenizer, text, length, ids, CAPACITY, &count, NULL) != CLIPSPAN_OK) abort();
    if (clsp_tokenizer_encode(tokenizer, text, length, cut, CAPACITY / 2, &cut_count, NULL) != CLIPSPAN_OK) abort();
    if (count < 2 || count > CAPACITY || ids[0] != clsp_tokenizer_start(tokenizer)) abort();
    if (ids[count - 1] != clsp_tokenizer_end(tokenizer)) abort();
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= clsp_tokenizer_vocab_size(tokenizer)) abort();
    }
    if (cut_count != clsp_min(count, CAPACITY / 2) || memcmp(ids, cut, (cut_count - 1) * sizeof *ids) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static clsp_tokenizer *ready[2]; /* kept from call to call */
    static const char text[] = "the thing and jqzjqz &amp; <|endoftext|>";
    if (size == 0) return 0;
    const clsp_tokenizer_manner manner = (clsp_tokenizer_manner)(data[0] & 1);
    if (data[0] & 2) {
        clsp_tokenizer *tokenizer = opened(data + 1, size - 1, data[0] & 4, manner);
        if (tokenizer != NULL) check(tokenizer, text, sizeof text - 1);
        clsp_tokenizer_free(tokenizer);
        return 0;
    }
    if (ready[manner] == NULL) ready[manner] = opened(merges, sizeof merges - 1, 0, manner);
    if (ready[manner] != NULL) check(ready[manner], (const char *)data + 1, size - 1);
    return 0;
}
