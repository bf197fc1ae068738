/* text/width.h - characters one by one, and how wide each is in a terminal. */
#ifndef CLSP_TEXT_WIDTH_H
#define CLSP_TEXT_WIDTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the character at `text`, which ends with a NUL byte and is not empty: the bytes it takes, at least one. What is not
 * UTF-8 is U+FFFD, one for each maximal subpart. */
size_t clsp_text_step(const char *text, uint32_t *rune);
/* Columns of a terminal: 2 for East Asian wide characters and most emoji, 0 for marks that sit on the one before, else 1
 * (control characters too, which are shown as spaces). */
size_t clsp_rune_columns(uint32_t rune);
static inline bool clsp_rune_is_control(uint32_t rune) { return rune < ' ' || (rune >= 0x7f && rune < 0xa0); }

#endif
