/* clipspan textspan: what each head says, in texts of a pool. */
#include "span.h"

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *output, *csv;
    int json, stability;
    size_t resamples;
    cli_span_settings span;
} settings;

static clipspan_status write_results(const settings *s, const clipspan_textspan *result, const clipspan_store *store,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_textspan(result, store, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    return clipspan_report_textspan(result, store, format, s->output ? s->output : "-", err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    settings *s = given;
    clipspan_store *store = NULL;
    clipspan_textspan *result = NULL;
    if (s->span.texts.count == 0) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts POOL is missing");
    if (s->stability) s->span.resamples = s->resamples;
    clipspan_status status = cli_check_outputs(s->output, s->csv, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = cli_span_run(&result, store, &s->span, err);
    if (status == CLIPSPAN_OK) status = write_results(s, result, store, err);
    clipspan_textspan_free(result);
    clipspan_store_free(store);
    return status;
}

static const cli_option options[] = {
    CLI_SPAN_OPTIONS(settings, span, "20"),
    {"images", 0, CLI_COUNT, "N", "highest-ranked images for each text (default 8; the text names those that fit)",
     offsetof(settings, span.images)},
    {"stability", 0, CLI_FLAG, NULL, "also say how often each text is picked again when the images are drawn anew",
     offsetof(settings, stability)},
    {"resamples", 0, CLI_COUNT, "N", "bootstrap resamples behind --stability (default 100)", offsetof(settings, resamples)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TEXT, "FILE", "also write a table, one line a head and text", offsetof(settings, csv)},
    {"output", 'o', CLI_TEXT, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_END,
};

static const settings defaults = {.span = CLI_SPAN_DEFAULTS, .resamples = 100};

const cli_command cli_textspan = {
    .name = "textspan",
    .arguments = {"STORE"},
    .summary = "Say in texts what each head writes (TextSpan)",
    .text = "For each head, the texts of the pool that greedily span its contributions, with the share of the head's\n"
            "variance that each explains and the images that rank highest along it. Reads the store's moments; the\n"
            "images' ranking reads the chosen heads' layers once.",
    .example = "clipspan textspan photos.store --texts models/pools/general.txt --heads last:4 --json -o heads.json",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
