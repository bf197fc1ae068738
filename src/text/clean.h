/* text/clean.h - what each manner does to a text before it is cut into words. */
#ifndef CLSP_TEXT_CLEAN_H
#define CLSP_TEXT_CLEAN_H

#include "text/runes.h"

/* open_clip: ftfy's steps, references unescaped twice, white space collapsed and stripped, lower case. Left out is
 * ftfy's guess at text that was decoded with the wrong encoding. */
void clsp_clean_open_clip(clsp_runes *runes);
/* Hugging Face: form C, runs of white space to one space, lower case rune by rune. */
void clsp_clean_huggingface(clsp_runes *runes);

#endif
