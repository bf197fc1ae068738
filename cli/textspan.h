/* cli/textspan.h - `clipspan textspan`: what its two manners share. */
#ifndef CLIPSPAN_CLI_TEXTSPAN_H
#define CLIPSPAN_CLI_TEXTSPAN_H

#include "scored.h"
#include "span.h"

typedef struct cli_textspan_settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *output, *csv;
    int json, stability, evaluate;
    size_t resamples, last;
    const char *sizes, *held_out, *plot;
    cli_span_settings span;
    cli_scored_settings scored; /* model and vocab: the span's */
} cli_textspan_settings;

/* --evaluate. */
clipspan_status cli_textspan_evaluate(const cli_textspan_settings *s, const clipspan_store *store, clipspan_error *err);

#endif
