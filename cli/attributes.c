/* clipspan attributes: how much of each head's variance a known attribute explains. */
#include "span.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *columns, *output;
    int json, csv;
    cli_span_settings span;
} settings;

enum { MOST_COLUMNS = 64 };

/* Cuts "a,b,c" in place. */
static size_t split(char *text, const char **parts)
{
    size_t count = 0;
    for (char *part = strtok(text, ","); part != NULL && count < MOST_COLUMNS; part = strtok(NULL, ","))
        parts[count++] = part;
    return count;
}

static clipspan_status score(clipspan_attributes **out, const clipspan_store *store, const settings *s,
                             clipspan_error *err)
{
    const char *columns[MOST_COLUMNS];
    size_t count = 0;
    char *copy = s->columns ? strdup(s->columns) : NULL;
    if (copy != NULL) count = split(copy, columns);
    clipspan_status status = clipspan_attributes_run(out, store, cli_convention(s->span.convention), count ? columns : NULL,
                                                     count, cli_hooks(), err);
    cli_progress_end();
    free(copy);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_store *store = NULL;
    clipspan_attributes *result = NULL;
    clipspan_textspan *texts = NULL;
    clipspan_format format = s->json ? CLIPSPAN_JSON : s->csv ? CLIPSPAN_CSV : CLIPSPAN_TEXT;
    clipspan_status status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = score(&result, store, s, err);
    if (status == CLIPSPAN_OK && s->span.texts != NULL) status = cli_span_run(&texts, store, &s->span, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_attributes(result, store, texts, format, s->output ? s->output : "-", err);
    clipspan_textspan_free(texts);
    clipspan_attributes_free(result);
    clipspan_store_free(store);
    return status;
}

static const cli_option options[] = {
    {"columns", 0, CLI_TEXT, "A,B,...", "columns of the image list's CSV (default: all with 2 to 64 values)",
     offsetof(settings, columns)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_FLAG, NULL, "as CSV", offsetof(settings, csv)},
    {"output", 'o', CLI_TEXT, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_SPAN_OPTIONS(settings, span),
    CLI_END,
};

static const settings defaults = {
    .span = {.heads = "all", .convention = "paper", .size = 3, .rank = 80, .images = 0, .cache = 1}};

const cli_command cli_attributes = {
    .name = "attributes",
    .arguments = {"STORE"},
    .summary = "Score heads against attributes that are known for the images",
    .text = "For images listed in a CSV with attribute columns: the share of each head's variance that lies between the\n"
            "images of different value (eta squared), beside what chance alone would give; with --texts also the texts\n"
            "that TextSpan finds for the head.",
    .example = "clipspan attributes out/demo/store --columns colour,shape,setting --texts models/demo/pool.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
