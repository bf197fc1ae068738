/* text/tokenizer.h - CLIP's byte-level BPE in its two published manners. */
#ifndef CLSP_TEXT_TOKENIZER_H
#define CLSP_TEXT_TOKENIZER_H

#include "clipspan/text.h"

#include "base/base.h"

typedef enum clsp_tokenizer_manner { CLSP_TOKENIZER_OPEN_CLIP, CLSP_TOKENIZER_HUGGINGFACE } clsp_tokenizer_manner;
typedef struct clsp_tokenizer clsp_tokenizer; /* immutable, shared by threads */

/* path: tokenizer.json, vocab.json (merges.txt beside it), or a gzipped/plain open_clip merges file. */
clipspan_status clsp_tokenizer_open(clsp_tokenizer **out, const char *path, clsp_tokenizer_manner manner,
                                    int context_length, int vocab_size, clipspan_error *err);
void clsp_tokenizer_free(clsp_tokenizer *tokenizer);
/* text: `length` bytes, may hold anything. ids: start token, at most capacity - 2 pieces, end token. capacity at
 * least 2. Works without allocating beyond its own scratch; thread-safe. */
clipspan_status clsp_tokenizer_encode(const clsp_tokenizer *tokenizer, const char *text, size_t length,
                                      int32_t *ids, size_t capacity, size_t *count, clipspan_error *err);
int32_t clsp_tokenizer_start(const clsp_tokenizer *tokenizer);
int32_t clsp_tokenizer_end(const clsp_tokenizer *tokenizer);
int clsp_tokenizer_vocab_size(const clsp_tokenizer *tokenizer);

#endif
