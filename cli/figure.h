/* cli/figure.h - what the files of `clipspan figure` share: the options, and one run of it. */
#ifndef CLIPSPAN_CLI_FIGURE_H
#define CLIPSPAN_CLI_FIGURE_H

#include "heads_find.h"

enum { FIGURE_FORMATS = 3, FIGURE_KINDS = 5 };
typedef enum figure_kind { FIGURE_TABLE, FIGURE_GRID, FIGURE_CURVE, FIGURE_SHEETS, FIGURE_MAPS } figure_kind;

typedef struct figure_settings {
    const char *arguments[CLI_ARGUMENTS];
    cli_span_settings span;
    cli_scored_settings scored;
    const char *output, *only, *formats, *images, *rows;
    cli_list mapped;
    size_t pictures;
    int bare;
} figure_settings;

typedef struct figure_job {
    const figure_settings *s;
    const char *formats[FIGURE_FORMATS]; /* endings */
    size_t format_count;
    int asked[FIGURE_KINDS], named; /* named: the kinds were chosen by hand, so what cannot be drawn is an error */
    clipspan_store *store;
    cli_heads found;
    size_t written;
} figure_job;

/* "FOLDER/name.ending": a file is written there next. path: [size]. */
clipspan_status figure_path(figure_job *job, const char *name, const char *ending, char *path, size_t size,
                            clipspan_error *err);
/* What cannot be drawn: an error where it was asked for by name, else a note. */
clipspan_status figure_lacks(const figure_job *job, figure_kind kind, const char *why, clipspan_error *err);

clipspan_status figure_sheets(figure_job *job, clipspan_error *err); /* figure_sheets.c: a contact sheet a head */
clipspan_status figure_maps(figure_job *job, clipspan_error *err);   /* figure_maps.c: maps of rows, texts and heads */

#endif
