/* text/html.h - HTML character references replaced by what they stand for. */
#ifndef CLSP_TEXT_HTML_H
#define CLSP_TEXT_HTML_H

#include "text/runes.h"

typedef struct clsp_entity {
    const char *name;  /* without "&", with its semicolon where it has one */
    const char *value; /* UTF-8, one or two characters */
} clsp_entity;
extern const clsp_entity clsp_entities[], clsp_entity_capitals[];
extern const size_t clsp_entities_count, clsp_entity_capitals_count;

/* As Python's html.unescape: names also without their semicolon, by the longest prefix; invalid numbers. */
void clsp_html_unescape(clsp_runes *runes);
/* As ftfy: only references that end in a semicolon, and some names in capitals. */
void clsp_html_unescape_strict(clsp_runes *runes);
/* The same until no reference is left, in linear time: what a value closes or completes is replaced too. `settle`
 * brings a value into the form that the next look at it would find (false: no memory). */
void clsp_html_unescape_nested(clsp_runes *runes, bool (*settle)(clsp_runes *value));

#endif
