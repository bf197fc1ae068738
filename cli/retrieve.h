/* cli/retrieve.h - a query's answers, between retrieve.c, which asks, and retrieve_sheet.c, which shows them. */
#ifndef CLIPSPAN_CLI_RETRIEVE_H
#define CLIPSPAN_CLI_RETRIEVE_H

#include "cli.h"
#include "clipspan/picture.h"

typedef struct cli_answers {
    clipspan_neighbours_report report;
    clipspan_neighbours *spaces;     /* [report.count], what report.spaces points to */
    clipspan_retrieval_hit **hits;   /* [report.count] */
    char **names;                    /* [report.count] */
    const char ***values;            /* [report.count]; NULL without a column */
    const char *image;               /* the query's file; NULL: none */
} cli_answers;

/* A contact sheet: the query framed, its answers behind it, a row a space where there are several. images_path: where the
 * store's pictures are now, or NULL. */
clipspan_status cli_retrieve_sheet(const cli_answers *answers, const clipspan_store *store, const char *images_path,
                                   const char *path, clipspan_error *err);

#endif
