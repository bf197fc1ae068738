/* CLIP's tokenizer in its two published manners: open_clip's SimpleTokenizer and transformers' CLIPTokenizer.
 *
 * Both clean the text, cut it by
 *     <special>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+
 * and join the bytes of each word by the vocabulary's merges. The expression is simple enough to be followed by
 * hand, at every position in its order of alternatives. What differs:
 *   open_clip     cleans with ftfy; matches regardless of case (which after lower-casing shows in two characters:
 *                 the long s counts as an s, and U+0345 as nothing); knows <start_of_text> and <end_of_text>, each
 *                 one token.
 *   Hugging Face  first cuts out the added tokens (<|startoftext|>, ...), cleans what lies between on its own; a
 *                 spelling that only lower-casing makes special is cut at its end, but stays ordinary text.
 */
#include "text/tokenizer.h"

#include <string.h>

#include "text/bpe.h"
#include "text/clean.h"

struct clsp_tokenizer {
    clsp_tokenizer_manner manner;
    int context_length; /* 0: no bound */
    clsp_vocabulary vocabulary;
};

/* One text on its way; all scratch is here. */
typedef struct job {
    const clsp_tokenizer *tokenizer;
    int32_t *ids;
    size_t capacity, count; /* one place is kept for the end token */
    clsp_runes piece;
    unsigned char *bytes; /* [4 * the longest word] */
    size_t byte_capacity;
    clsp_word word;
    clipspan_error *err;
} job;

/* ---- words -------------------------------------------------------------------------------------------- */

static bool full(const job *j)
{
    return j->count + 1 >= j->capacity;
}

static void put(job *j, int32_t id)
{
    if (!full(j)) j->ids[j->count++] = id;
}

static clipspan_status encode_word(job *j, const uint32_t *at, size_t count)
{
    size_t length = 0;
    if (count > SIZE_MAX / 8) return clsp_fail_memory(j->err);
    if (count * 4 > j->byte_capacity) {
        unsigned char *bytes = clsp_grow(j->bytes, count * 4, 1);
        if (bytes == NULL) return clsp_fail_memory(j->err);
        j->bytes = bytes;
        j->byte_capacity = count * 4;
    }
    for (size_t i = 0; i < count; i++) length += clsp_rune_encode(at[i], j->bytes + length);
    clipspan_status status =
        clsp_word_join(&j->word, &j->tokenizer->vocabulary, j->tokenizer->manner, j->bytes, length, j->err);
    if (status != CLIPSPAN_OK) return status;
    for (int32_t i = 0; i >= 0; i = j->word.symbols[i].next) put(j, j->word.symbols[i].id);
    return CLIPSPAN_OK;
}

/* Whether `text` (ASCII) stands at `at`. In open_clip's expression, which ignores case, U+017F is an s. */
static size_t literal(const job *j, const uint32_t *at, size_t count, const char *text)
{
    size_t i = 0;
    for (; text[i] != '\0'; i++) {
        if (i >= count) return 0;
        bool long_s = j->tokenizer->manner == CLSP_TOKENIZER_OPEN_CLIP && at[i] == 0x17f && text[i] == 's';
        if (at[i] != (unsigned char)text[i] && !long_s) return 0;
    }
    return i;
}

static size_t any_of(const job *j, const uint32_t *at, size_t count, const char *const *texts, size_t text_count)
{
    for (size_t i = 0; i < text_count; i++) {
        size_t length = literal(j, at, count, texts[i]);
        if (length > 0) return length;
    }
    return 0;
}

static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
static const char *const special[2][2] = {{"<start_of_text>", "<end_of_text>"}, {"<|startoftext|>", "<|endoftext|>"}};

/* open_clip's expression ignores case, and U+0345 (iota below) is a case variant of iota: so it is no letter, and not
 * outside the letters either. Nothing matches it, and it separates words like white space. */
static clsp_rune_class class_of(const job *j, uint32_t rune)
{
    if (rune == 0x345 && j->tokenizer->manner == CLSP_TOKENIZER_OPEN_CLIP) return CLSP_RUNE_SPACE;
    return clsp_rune_class_of(rune);
}

/* The length of the word at `at`; 0: white space. */
static size_t word_length(const job *j, const uint32_t *at, size_t count)
{
    size_t n = 0;
    if (at[0] == '\'' && (n = any_of(j, at, count, contractions, 7)) > 0) return n;
    const clsp_rune_class class = class_of(j, at[0]);
    if (class == CLSP_RUNE_SPACE) return 0;
    if (class == CLSP_RUNE_NUMBER) return 1;
    while (n < count && class_of(j, at[n]) == class) n++;
    return n;
}

/* open_clip: the special spelling is one token, if it is spelt exactly. */
static clipspan_status special_open_clip(job *j, const uint32_t *at, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (at[i] >= 0x80) return encode_word(j, at, length);
    }
    put(j, at[1] == 's' ? j->tokenizer->vocabulary.start : j->tokenizer->vocabulary.end);
    return CLIPSPAN_OK;
}

/* Words of cleaned text without special spellings, until it ends or the ids are full. */
static clipspan_status encode_plain(job *j, const uint32_t *at, size_t count)
{
    for (size_t i = 0; i < count && !full(j);) {
        size_t length = word_length(j, at + i, count - i);
        clipspan_status status = length > 0 ? encode_word(j, at + i, length) : CLIPSPAN_OK;
        if (status != CLIPSPAN_OK) return status;
        i += length > 0 ? length : 1;
    }
    return CLIPSPAN_OK;
}

/* Words of cleaned text. A special spelling counts where a word would begin, and nowhere else. */
static clipspan_status encode_words(job *j, const uint32_t *at, size_t count)
{
    const clsp_tokenizer_manner manner = j->tokenizer->manner;
    for (size_t i = 0; i < count && !full(j);) {
        size_t length = at[i] == '<' ? any_of(j, at + i, count - i, special[manner], 2) : 0;
        clipspan_status status = CLIPSPAN_OK;
        if (length == 0) {
            length = word_length(j, at + i, count - i);
            if (length > 0) status = encode_word(j, at + i, length);
        } else if (manner == CLSP_TOKENIZER_OPEN_CLIP) {
            status = special_open_clip(j, at + i, length);
        } else {
            status = encode_plain(j, at + i, length); /* cut again by the same rules: "<|", "startoftext", "|>" */
        }
        if (status != CLIPSPAN_OK) return status;
        i += length > 0 ? length : 1;
    }
    return CLIPSPAN_OK;
}

/* ---- added tokens (Hugging Face) ---------------------------------------------------------------------- */

/* The longest added token that stands at `at`. */
static const clsp_added *added_at(const clsp_vocabulary *vocabulary, bool normalized, const uint32_t *at, size_t count)
{
    const clsp_added *best = NULL;
    for (size_t i = 0; i < vocabulary->added_count; i++) {
        const clsp_added *added = &vocabulary->added[i];
        size_t length = added->text.count;
        if (added->normalized != normalized || length > count || length == 0) continue;
        if (best != NULL && length <= best->text.count) continue;
        if (memcmp(added->text.at, at, length * sizeof *at) == 0) best = added;
    }
    return best;
}

typedef clipspan_status (*between_fn)(job *j, const uint32_t *at, size_t count);

/* Puts the added tokens' ids, and hands what lies between them to `between`. */
static clipspan_status cut(job *j, bool normalized, const uint32_t *at, size_t count, between_fn between)
{
    size_t first = 0;
    for (size_t i = 0; i < count && !full(j);) {
        const clsp_added *added = added_at(&j->tokenizer->vocabulary, normalized, at + i, count - i);
        if (added == NULL) {
            i++;
            continue;
        }
        clipspan_status status = i > first ? between(j, at + first, i - first) : CLIPSPAN_OK;
        if (status != CLIPSPAN_OK) return status;
        put(j, added->id);
        i += added->text.count;
        first = i;
    }
    return first < count && !full(j) ? between(j, at + first, count - first) : CLIPSPAN_OK;
}

static clipspan_status between_raw(job *j, const uint32_t *at, size_t count)
{
    j->piece.count = 0;
    clsp_runes_append(&j->piece, at, count);
    clsp_clean_huggingface(&j->piece);
    if (j->piece.failed) return clsp_fail_memory(j->err);
    return cut(j, true, j->piece.at, j->piece.count, encode_words);
}

/* ---- the door ----------------------------------------------------------------------------------------- */

static clipspan_status encode_text(job *j, clsp_runes *runes)
{
    if (j->tokenizer->manner == CLSP_TOKENIZER_OPEN_CLIP) {
        clsp_clean_open_clip(runes);
        return runes->failed ? clsp_fail_memory(j->err) : encode_words(j, runes->at, runes->count);
    }
    return runes->failed ? clsp_fail_memory(j->err) : cut(j, false, runes->at, runes->count, between_raw);
}

clipspan_status clsp_tokenizer_encode(const clsp_tokenizer *tokenizer, const char *text, size_t length,
                                      int32_t *ids, size_t capacity, size_t *count, clipspan_error *err)
{
    if (tokenizer->context_length > 0) capacity = clsp_min(capacity, (size_t)tokenizer->context_length);
    if (capacity < 2)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "room for %zu tokens; the start and end tokens need 2", capacity);
    job j = {.tokenizer = tokenizer, .ids = ids, .capacity = capacity, .err = err};
    clsp_runes runes = {0};
    put(&j, tokenizer->vocabulary.start);
    clsp_runes_decode(&runes, text, length);
    clipspan_status status = encode_text(&j, &runes);
    if (status == CLIPSPAN_OK) {
        ids[j.count++] = tokenizer->vocabulary.end;
        *count = j.count;
    }
    clsp_runes_free(&runes);
    clsp_runes_free(&j.piece);
    clsp_word_free(&j.word);
    clsp_free(j.bytes);
    return status;
}

/* What is looked for behind the normalizer is itself normalized. */
static clipspan_status clean_added(clsp_vocabulary *vocabulary, clipspan_error *err)
{
    for (size_t i = 0; i < vocabulary->added_count; i++) {
        clsp_added *added = &vocabulary->added[i];
        if (added->normalized) clsp_clean_huggingface(&added->text);
        if (added->text.failed) return clsp_fail_memory(err);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_tokenizer_open(clsp_tokenizer **out, const char *path, clsp_tokenizer_manner manner,
                                    int context_length, int vocab_size, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_tokenizer *tokenizer = NULL;
    *out = NULL;
    CLSP_ALLOC(tokenizer, clsp_alloc_zero(1, sizeof *tokenizer));
    tokenizer->manner = manner;
    tokenizer->context_length = context_length;
    CLSP_TRY(clsp_vocabulary_read(&tokenizer->vocabulary, path, vocab_size, err));
    CLSP_TRY(clean_added(&tokenizer->vocabulary, err));
    *out = tokenizer;
    tokenizer = NULL;
out:
    clsp_tokenizer_free(tokenizer);
    return status;
}

void clsp_tokenizer_free(clsp_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    clsp_vocabulary_free(&tokenizer->vocabulary);
    clsp_free(tokenizer);
}

int32_t clsp_tokenizer_start(const clsp_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.start;
}

int32_t clsp_tokenizer_end(const clsp_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.end;
}

int clsp_tokenizer_vocab_size(const clsp_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.size;
}
