/* text/runes.h - text as an array of Unicode code points ("runes"), and what the Unicode standard says of them.
 *
 * The only door to utf8proc is runes.c. A buffer that ran out of memory stays failed and swallows what follows, so
 * that a chain of steps needs one check at its end.
 */
#ifndef CLSP_TEXT_RUNES_H
#define CLSP_TEXT_RUNES_H

#if !defined(CLSP_ROOM_TEXT) && !defined(CLSP_TESTS)
#error "text/runes.h belongs to src/text/"
#endif

#include "base/base.h"

typedef struct clsp_runes {
    uint32_t *at; /* [count] code points, never surrogates */
    size_t count, capacity;
    bool failed; /* out of memory: the content means nothing */
} clsp_runes;

void clsp_runes_free(clsp_runes *runes);
void clsp_runes_push(clsp_runes *runes, uint32_t rune);
void clsp_runes_append(clsp_runes *runes, const uint32_t *at, size_t count);
bool clsp_runes_equal(const clsp_runes *a, const clsp_runes *b);
void clsp_runes_swap(clsp_runes *a, clsp_runes *b);

/* Appends UTF-8. Invalid bytes become U+FFFD, one for each maximal subpart (Unicode 3.9, table 3-8; Python's
 * errors="replace"). */
void clsp_runes_decode(clsp_runes *runes, const char *text, size_t length);
size_t clsp_rune_encode(uint32_t rune, unsigned char out[4]); /* UTF-8; returns its length */

/* What the tokenizers' regular expressions ask for: \p{L}, \p{N}, \s, and the rest. */
typedef enum clsp_rune_class { CLSP_RUNE_LETTER, CLSP_RUNE_NUMBER, CLSP_RUNE_SPACE, CLSP_RUNE_OTHER } clsp_rune_class;
clsp_rune_class clsp_rune_class_of(uint32_t rune);
bool clsp_rune_is_digit(uint32_t rune);        /* \d: decimal digits of any script */
bool clsp_rune_is_python_space(uint32_t rune); /* str.isspace(): \s and U+001C to U+001F */
/* NFKC of one code point: at most `capacity` runes into out; returns how many. */
size_t clsp_rune_compatible(uint32_t rune, uint32_t *out, size_t capacity);

void clsp_runes_nfc(clsp_runes *runes);
void clsp_runes_nfc_9(clsp_runes *runes); /* by the tables of Unicode 9.0, as the tokenizers library has them */
/* Python's str.lower(): full mapping, with the final form of sigma at a word's end. */
void clsp_runes_lower(clsp_runes *runes);
/* The same rune by rune, without a look at neighbours (what Hugging Face's normalizer does). */
void clsp_runes_lower_each(clsp_runes *runes);

#endif
