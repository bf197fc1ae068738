/* report/table.h - a result that is a list of named values: one table, three forms. */
#ifndef CLSP_REPORT_TABLE_H
#define CLSP_REPORT_TABLE_H

#include "report/output.h"

typedef struct clsp_entry {
    const char *key;   /* in JSON and CSV */
    const char *words; /* in text; NULL: left out there */
    const char *text;  /* the value, or NULL: it is `number` */
    double number;
    bool whole;        /* number is an integer */
} clsp_entry;

#define CLSP_ENTRY_TEXT(key, words, value) { key, words, (value) ? (value) : "", 0, false }
#define CLSP_ENTRY_INT(key, words, value) { key, words, NULL, (double)(value), true }
#define CLSP_ENTRY_NUMBER(key, words, value) { key, words, NULL, (double)(value), false }

clipspan_status clsp_report_entries(const clsp_entry *entries, size_t count, clipspan_format format, const char *path,
                                    clipspan_error *err);

#endif
