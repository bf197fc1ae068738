/* Prints token ids, one line a text: tokens_driver VOCABULARY open_clip|huggingface FILE CAPACITY
 *
 * FILE holds texts as bytes of any kind, each behind its length (4 bytes, little endian). Used by
 * tests/parity/tokens.py to compare the tokenizer alone, without a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static char *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    char *data = NULL;
    size_t capacity = 0, got;
    *size = 0;
    do {
        capacity = capacity ? capacity * 2 : 1 << 20;
        data = realloc(data, capacity);
        if (data == NULL) break;
        got = fread(data + *size, 1, capacity - *size, file);
        *size += got;
    } while (got > 0);
    fclose(file);
    return data;
}

static int print_all(const clsp_tokenizer *tokenizer, const char *data, size_t size, size_t capacity)
{
    clipspan_error err;
    int32_t *ids = malloc(capacity * sizeof *ids);
    int bad = ids == NULL;
    for (size_t i = 0; !bad && i + 4 <= size;) {
        const unsigned char *head = (const unsigned char *)data + i;
        size_t length = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24, count;
        if (length > size - i - 4 || clsp_tokenizer_encode(tokenizer, data + i + 4, length, ids, capacity, &count,
                                                           &err) != CLIPSPAN_OK) {
            fprintf(stderr, "text at byte %zu is not to be tokenized\n", i);
            bad = 1;
            break;
        }
        for (size_t k = 0; k < count; k++) printf("%s%d", k ? " " : "", (int)ids[k]);
        putchar('\n');
        i += length + 4;
    }
    free(ids);
    return bad;
}

int main(int argc, char **argv)
{
    clipspan_error err;
    clsp_tokenizer *tokenizer = NULL;
    size_t size = 0;
    if (argc != 5) return 2;
    clsp_tokenizer_manner manner =
        strcmp(argv[2], "open_clip") == 0 ? CLSP_TOKENIZER_OPEN_CLIP : CLSP_TOKENIZER_HUGGINGFACE;
    if (clsp_tokenizer_open(&tokenizer, argv[1], manner, 0, 0, &err) != CLIPSPAN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    char *data = read_all(argv[3], &size);
    int bad = data == NULL || print_all(tokenizer, data, size, (size_t)atol(argv[4]));
    free(data);
    clsp_tokenizer_free(tokenizer);
    return bad;
}
