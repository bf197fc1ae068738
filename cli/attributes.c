/* clipspan attributes: how much of each head's variance a known attribute explains. */
#include "columns.h"
#include "span.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *columns, *output, *csv;
    int json;
    cli_span_settings span;
} settings;

static int is_scored(const clipspan_attributes *result, const char *column)
{
    for (size_t a = 0; a < clipspan_attributes_count(result); a++)
        if (strcmp(clipspan_attributes_name(result, a), column) == 0) return 1;
    return 0;
}

static void note_left_out(const clipspan_attributes *result, const clipspan_store *store)
{
    char names[512] = "";
    size_t used = 0;
    for (size_t c = 0; c < clipspan_store_column_count(store); c++) {
        const char *column = clipspan_store_column(store, c);
        if (is_scored(result, column) || used >= sizeof names) continue;
        int length = snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", column);
        used += length > 0 ? (size_t)length : 0;
    }
    if (used) cli_note("left out (not 2 to 64 values, or fewer than two images a value): %s", names);
}

static clipspan_status score(clipspan_attributes **out, const clipspan_store *store, const settings *s,
                             clipspan_error *err)
{
    clipspan_attributes_options options = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    cli_columns columns = {0};
    unsigned char *heads = calloc((size_t)info->layers * (size_t)info->heads, 1);
    clipspan_status status = heads != NULL ? clipspan_heads_parse(s->span.heads, info->layers, info->heads, heads, err)
                                           : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK) status = cli_columns_read(&columns, s->columns, err);
    options.convention = cli_convention(s->span.convention);
    options.column_count = columns.count;
    options.columns = columns.count ? columns.names : NULL;
    options.heads = heads;
    options.threads = (int)s->span.engine.threads;
    if (status == CLIPSPAN_OK) status = clipspan_attributes_run(out, store, &options, cli_hooks(), err);
    cli_progress_end();
    if (status == CLIPSPAN_OK && options.columns == NULL) note_left_out(*out, store);
    cli_columns_free(&columns);
    free(heads);
    return status;
}

static clipspan_status write_results(const settings *s, const clipspan_attributes *result, const clipspan_store *store,
                                     const clipspan_textspan *texts, clipspan_error *err)
{
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_attributes(result, store, texts, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_attributes(result, store, texts, format, s->output ? s->output : "-", err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_store *store = NULL;
    clipspan_attributes *result = NULL;
    clipspan_textspan *texts = NULL;
    clipspan_status status = cli_check_embeddings(&s->span.texts, &s->span.embeddings, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = score(&result, store, s, err);
    if (status == CLIPSPAN_OK && s->span.texts.count > 0) status = cli_span_run(&texts, store, &s->span, err);
    if (status == CLIPSPAN_OK) status = write_results(s, result, store, texts, err);
    clipspan_textspan_free(texts);
    clipspan_attributes_free(result);
    clipspan_store_free(store);
    return status;
}

static const cli_option options[] = {
    {"columns", 0, CLI_TEXT, "A,B,...", CLI_COLUMNS_HELP, offsetof(settings, columns)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line a head and attribute", offsetof(settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_SPAN_OPTIONS(settings, span, "all", "3"),
    CLI_END,
};

static const settings defaults = {
    .span = {.heads = "all", .convention = "paper", .size = 3, .rank = 80, .images = 0, .cache = 1}};

const cli_command cli_attributes = {
    .name = "attributes",
    .arguments = {"STORE"},
    .summary = "Score heads against attributes that are known for the images",
    .text = "For images listed in a CSV with attribute columns: the share of each head's variance that lies between the\n"
            "images of different value (eta squared), beside what chance alone would give. The strongest attribute is\n"
            "that of the largest share with chance taken out, (share - chance) / (1 - chance) (epsilon squared). Images\n"
            "whose cell is empty are left out of that column's share. With --texts also the texts that TextSpan finds.",
    .example = "clipspan attributes out/demo/store --columns colour,shape,setting --texts models/demo/pool.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
