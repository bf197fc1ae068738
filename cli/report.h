/* cli/report.h - `clipspan report`: what its files share. A section is another subcommand's JSON, with its command line. */
#ifndef CLIPSPAN_CLI_REPORT_H
#define CLIPSPAN_CLI_REPORT_H

#include "clipspan/page.h"
#include "command_line.h"
#include "heads_find.h"

#include "clipspan/memory_file.h"

typedef struct report_settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *output, *title, *beside, *images, *columns, *attribute;
    const char *segment, *segment_classes, *segment_templates, *segment_methods;
    cli_list where, cue, rows;
    cli_span_settings span;
    cli_scored_settings scored; /* model and vocab: the span's */
    size_t pictures, maps;
} report_settings;

/* Rows whose pictures are wanted: those of queries and answers before those under maps, and heads' lists last. */
enum { REPORT_QUERIES, REPORT_MAPPED, REPORT_LISTED, REPORT_WISHES };
typedef struct report_rows {
    uint64_t *rows;
    size_t count;
} report_rows;

/* One store on its way into the page. */
typedef struct report_side {
    const report_settings *s;
    const char *path, *model_path, *images_path; /* of the store; NULL: where the store says */
    const char *columns; /* that heads may tell, as --columns; NULL: all */
    int second;          /* what the command line names may be missing here */
    clipspan_page *page;
    clipspan_store *store;
    clipspan_model *model;   /* NULL: not at hand; no_model says why */
    clipspan_images *images; /* NULL: likewise */
    char no_model[CLIPSPAN_ERROR_LENGTH], no_images[CLIPSPAN_ERROR_LENGTH];
    cli_heads heads;
    report_rows wanted[REPORT_WISHES];
    size_t most_bytes; /* of the page, with this side's pictures */
} report_side;

/* ---- report_sections.c ---------------------------------------------------------------------------------------- */

/* Adds the file's JSON under the line, and remembers the rows that it names as wish `wish` (REPORT_WISHES: as none). */
clipspan_status report_add(report_side *side, const char *kind, const cli_line *line, clipspan_memory_file *file, int wish,
                           clipspan_error *err);
/* Runs the command for its JSON. What fails is left out, and said; only what no other section could do better is an error. */
clipspan_status report_capture(report_side *side, const char *kind, const cli_command *command, cli_line *line, int wish,
                               void (*prepare)(void *settings, void *user), void *user, clipspan_error *err);
/* `status` came of trying a section: what is not this section's own fault comes back, the rest is said on the page. */
clipspan_status report_leave_out(report_side *side, const char *kind, clipspan_status status, clipspan_error *err);
/* `status` came of trying the side's columns: where they failed, all are taken in their place, and that is said. */
clipspan_status report_all_columns(report_side *side, clipspan_status status, clipspan_error *err);
/* --model and --vocab, as they were given. */
void report_model_options(cli_line *line, const report_side *side);
clipspan_status report_attributes(report_side *side, clipspan_error *err);
clipspan_status report_scores(report_side *side, clipspan_error *err); /* classify, ablate */
clipspan_status report_groups(report_side *side, clipspan_error *err);
clipspan_status report_retrieval(report_side *side, clipspan_error *err);

/* ---- report_heads.c, report_maps.c, report_segment.c, report_pictures.c ------------------------------------------ */

clipspan_status report_heads(report_side *side, clipspan_error *err);
/* The activation of textspan's head i along its first text; NULL: not known. */
const clipspan_activation *report_activation(const report_side *side, size_t i);
clipspan_status report_maps(report_side *side, clipspan_error *err);
clipspan_status report_segmentation(report_side *side, clipspan_error *err);
clipspan_status report_pictures(report_side *side, clipspan_error *err);

#endif
