/* report/output.h - text on its way to a file or to standard output. */
#ifndef CLSP_REPORT_OUTPUT_H
#define CLSP_REPORT_OUTPUT_H

#ifndef CLSP_ROOM_REPORT
#error "report/output.h is private to the room report"
#endif

#include "base/base.h"
#include "clipspan/report.h"

/* Collects a report. A failed append (no memory) is remembered and said by _finish. */
typedef struct clsp_report {
    clsp_buffer text;
    bool failed;
} clsp_report;

void clsp_report_open(clsp_report *report);
void clsp_report_add(clsp_report *report, const char *format, ...) CLSP_PRINTF(2, 3);
/* `text` in `width` columns of a terminal, cut with ".." where longer, padded where shorter; control characters become
 * spaces. */
void clsp_report_cell(clsp_report *report, const char *text, size_t width);
/* The same without padding: what ends a line. */
void clsp_report_cut(clsp_report *report, const char *text, size_t width);
/* Lines of up to `width` columns, broken at spaces; the first begins with the text's own, later ones stand `indent` in. */
void clsp_report_wrap(clsp_report *report, size_t width, size_t indent, const char *text);
/* A CSV field (RFC 4180: quoted where it holds a comma, a quote or a line end), and a comma before it if not the first
 * of its line. */
void clsp_report_field(clsp_report *report, bool first, const char *text);
void clsp_report_number(clsp_report *report, bool first, double value); /* 9 digits; empty where not finite */
/* Writes (path "-": standard output; else whole or absent) and frees. Call it once, whatever happened before. */
clipspan_status clsp_report_finish(clsp_report *report, const char *path, clipspan_error *err);

/* The whole of a report that is not JSON: one of the two writes what `subject` points to, and the result goes to path. */
typedef void (*clsp_report_fn)(const void *subject, clsp_report *report);
clipspan_status clsp_report_table(const void *subject, clipspan_format format, clsp_report_fn as_csv, clsp_report_fn as_text,
                                  const char *path, clipspan_error *err);

size_t clsp_text_width(const char *text);              /* columns of a terminal */
int clsp_text_bytes(const char *text, size_t most);    /* bytes of the whole characters among the first `most`, for "%.*s" */
const char *clsp_convention_name(clipspan_convention convention);
void clsp_report_head_name(char out[32], int layer, int head); /* "L22.H13" */
clipspan_status clsp_report_check(clipspan_format format, clipspan_error *err);

#endif
