/* text/bpe.h - one word's bytes joined into tokens. */
#ifndef CLSP_TEXT_BPE_H
#define CLSP_TEXT_BPE_H

#include "text/vocabulary.h"

typedef struct clsp_symbol {
    int32_t id; /* -1: joined to the one before it */
    int32_t previous, next; /* -1: none */
} clsp_symbol;

typedef struct clsp_candidate {
    int32_t rank, position, id;
} clsp_candidate;

/* Scratch of one thread; zero it at first. */
typedef struct clsp_word {
    clsp_symbol *symbols; /* [capacity]; the first stands at 0 */
    clsp_candidate *heap; /* [3 * capacity], then the candidates that wait for the end of a pass */
    size_t capacity, length, heaped, waiting;
} clsp_word;

void clsp_word_free(clsp_word *word);
/* The tokens of a word, length at least 1: walk the symbols from 0 along `next`. */
clipspan_status clsp_word_join(clsp_word *word, const clsp_vocabulary *vocabulary, clsp_tokenizer_manner manner,
                               const unsigned char *bytes, size_t length, clipspan_error *err);

#endif
