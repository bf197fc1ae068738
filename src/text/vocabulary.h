/* text/vocabulary.h - a byte-pair vocabulary: ids of bytes, merges, added tokens. Immutable once read. */
#ifndef CLSP_TEXT_VOCABULARY_H
#define CLSP_TEXT_VOCABULARY_H

#include "text/runes.h"
#include "text/tokenizer.h"

/* What becomes of a pair of neighbouring tokens. */
typedef struct clsp_merge {
    int32_t left, right; /* left -1: an empty place of the table */
    int32_t rank;        /* lower ranks go first */
    int32_t id;          /* of both together */
} clsp_merge;

/* A token that is cut out of the text before anything else. */
typedef struct clsp_added {
    clsp_runes text;
    int32_t id;
    bool normalized; /* looked for behind the normalizer, not before */
} clsp_added;

typedef struct clsp_vocabulary {
    int32_t byte[256], byte_end[256]; /* ids of a byte within a word, and of one that ends it */
    clsp_merge *merges;               /* [merge_capacity], open addressing */
    size_t merge_count, merge_capacity;
    clsp_added *added; /* [added_count] */
    size_t added_count;
    int32_t start, end;
    int size; /* one more than the highest id */
} clsp_vocabulary;

/* Reads what clsp_tokenizer_open describes; vocab_size 0: not checked. On failure nothing is left to free. */
clipspan_status clsp_vocabulary_read(clsp_vocabulary *vocabulary, const char *path, int vocab_size,
                                     clipspan_error *err);
void clsp_vocabulary_free(clsp_vocabulary *vocabulary);
const clsp_merge *clsp_vocabulary_merge(const clsp_vocabulary *vocabulary, int32_t left, int32_t right); /* or NULL */

#endif
