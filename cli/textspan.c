/* clipspan textspan: what each head says, in texts of a pool; and how good an account that is (textspan_evaluate.c). */
#include "textspan.h"

typedef cli_textspan_settings settings;

static clipspan_status write_results(const settings *s, const clipspan_textspan *result, const clipspan_store *store,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_textspan(result, store, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    return clipspan_report_textspan(result, store, format, s->output ? s->output : "-", err);
}

/* What only one of the two manners takes. */
static clipspan_status check(const settings *s, clipspan_error *err)
{
    const struct {
        const char *name;
        int given;
    } evaluation[] = {
        {"sizes", s->sizes != NULL},        {"last", s->last > 0},
        {"held-out", s->held_out != NULL},  {"plot", s->plot != NULL},
        {"classes", s->scored.classes != NULL}, {"column", s->scored.column != NULL},
        {"templates", s->scored.templates != NULL}, {"classifier", s->scored.classifier != NULL},
    };
    for (size_t i = 0; i < sizeof evaluation / sizeof *evaluation; i++)
        if (evaluation[i].given && !s->evaluate)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s is for --evaluate alone", evaluation[i].name);
    if (s->span.texts.count == 0) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts POOL is missing");
    if (s->stability && s->resamples < 1) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--resamples is at least 1");
    if (s->resamples > 100000) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--resamples is at most 100000");
    return CLIPSPAN_OK;
}

static clipspan_status describe(settings *s, const clipspan_store *store, clipspan_error *err)
{
    clipspan_textspan *result = NULL;
    if (s->stability) s->span.resamples = s->resamples;
    clipspan_status status = cli_span_run(&result, store, &s->span, err);
    if (status == CLIPSPAN_OK) status = write_results(s, result, store, err);
    clipspan_textspan_free(result);
    return status;
}

static clipspan_status evaluate(settings *s, const clipspan_store *store, clipspan_error *err)
{
    if (s->sizes == NULL) s->sizes = "5,10,20,40,60";
    if (s->last == 0) s->last = 8;
    return cli_textspan_evaluate(s, store, err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    settings *s = given;
    clipspan_store *store = NULL;
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = s->evaluate ? evaluate(s, store, err) : describe(s, store, err);
    clipspan_store_free(store);
    return status;
}

static const cli_option options[] = {
    CLI_SPAN_OPTIONS(settings, span, "all", "20"),
    {"pictures", 0, CLI_COUNT, "N", "highest-ranked images for each text (default 8; the text names those that fit)",
     offsetof(settings, span.images)},
    {"stability", 0, CLI_FLAG, NULL, "also say how often each text is picked again when the images are drawn anew",
     offsetof(settings, stability)},
    {"resamples", 0, CLI_COUNT, "N", "bootstrap resamples behind --stability (default 100)", offsetof(settings, resamples)},
    {"evaluate", 0, CLI_FLAG, NULL,
     "accuracy when the last layers' heads may say m texts each, by m and pool (--texts may be given again and again)",
     offsetof(settings, evaluate)},
    {"sizes", 0, CLI_TEXT, "M,M,...", "--evaluate: texts a head (default 5,10,20,40,60)", offsetof(settings, sizes)},
    {"last", 0, CLI_COUNT, "N", "--evaluate: layers whose heads are described (default 8, or all there are)",
     offsetof(settings, last)},
    {"held-out", 0, CLI_TEXT, "STORE",
     "--evaluate: find texts on STORE and measure on this one; or 'half': on one half of its images and on the other",
     offsetof(settings, held_out)},
    {"classes", 0, CLI_TEXT, "FILE", "--evaluate: class names, one a line, or label, tab, words (default: the images' labels)",
     offsetof(settings, scored.classes)},
    {"column", 0, CLI_TEXT, "NAME", "--evaluate: column that holds the true class (default: label)",
     offsetof(settings, scored.column)},
    {"templates", 0, CLI_TEXT, "FILE", "--evaluate: " CLI_TEMPLATES_HELP, offsetof(settings, scored.templates)},
    {"classifier", 0, CLI_TEXT, "FILE.npy", "--evaluate: " CLI_CLASSIFIER_HELP, offsetof(settings, scored.classifier)},
    {"plot", 0, CLI_TO_FILE, "FILE", "--evaluate: also draw accuracy against m: " CLI_PICTURE_HELP, offsetof(settings, plot)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line a head and text (--evaluate: a pool and size)",
     offsetof(settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_END,
};

static const settings defaults = {.span = CLI_SPAN_DEFAULTS, .resamples = 100};

const cli_command cli_textspan = {
    .name = "textspan",
    .arguments = {"STORE"},
    .summary = "Say in texts what each head writes (TextSpan)",
    .text = "For each head, the texts of the pool that greedily span its contributions, with the share of the head's\n"
            "variance that each explains and the images that rank highest along it. Reads the store's moments; the\n"
            "images' ranking reads the chosen heads' layers once.\n\n"
            "With --evaluate: how good an account those texts are. The last layers' heads keep their mean and what lies along\n"
            "their m texts, earlier heads keep their mean, MLPs stay; zero-shot accuracy of what that leaves, the number of\n"
            "different texts, and the variance explained, also on images that the texts were not found on.",
    .example = "clipspan textspan photos.store --texts models/pools/general.txt --heads last:4 --json -o heads.json",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
