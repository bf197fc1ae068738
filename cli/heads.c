/* clipspan heads: the layer x head grid, and any head's description, in the terminal. */
#include "columns.h"
#include "heads_find.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

enum { FEW_HEADS = 8 }; /* up to so many are described at length in text, with their images */

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *heads, *by, *colour, *output, *csv;
    int json, stability;
    size_t resamples;
    cli_heads_settings find;
} settings;

static clipspan_heads_by by_of(const char *name)
{
    if (strcmp(name, "variance") == 0) return CLIPSPAN_HEADS_BY_VARIANCE;
    if (strcmp(name, "role") == 0) return CLIPSPAN_HEADS_BY_ROLE;
    return strcmp(name, "effect") == 0 ? CLIPSPAN_HEADS_BY_EFFECT : CLIPSPAN_HEADS_BY_SHARE;
}

static clipspan_status check(const settings *s, clipspan_error *err)
{
    const cli_scored_settings *scored = &s->find.scored;
    const struct {
        const char *name;
        int given;
    } of_texts[] = {{"stability", s->stability}, {"embeddings", s->find.span.embeddings.count > 0}},
      of_effect[] = {{"classes", scored->classes != NULL}, {"column", scored->column != NULL},
                     {"templates", scored->templates != NULL}, {"classifier", scored->classifier != NULL}};
    for (size_t i = 0; i < sizeof of_texts / sizeof *of_texts; i++)
        if (of_texts[i].given && s->find.span.texts.count == 0)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s is for --texts POOL", of_texts[i].name);
    for (size_t i = 0; i < sizeof of_effect / sizeof *of_effect; i++)
        if (of_effect[i].given && by_of(s->by) != CLIPSPAN_HEADS_BY_EFFECT)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s is for --by effect", of_effect[i].name);
    if (s->stability && s->resamples < 1) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--resamples is at least 1");
    return CLIPSPAN_OK;
}

/* described: [L * H]. Heads are described where they are named; with texts alone, all of them. */
static clipspan_status choose(settings *s, const clipspan_store_info *info, unsigned char *described, clipspan_error *err)
{
    size_t count = 0, all = (size_t)info->layers * (size_t)info->heads;
    clipspan_status status = CLIPSPAN_OK;
    if (!info->complete && s->find.span.texts.count == 0 && by_of(s->by) != CLIPSPAN_HEADS_BY_EFFECT) /* which say so themselves */
        cli_warn("the store is unfinished: %llu images of %llu are used", (unsigned long long)info->images,
                 (unsigned long long)info->listed);
    if (s->heads != NULL || s->find.span.texts.count > 0)
        status = clipspan_heads_parse(s->heads ? s->heads : "all", info->layers, info->heads, described, err);
    for (size_t h = 0; h < all; h++) count += described[h];
    s->find.span.heads = s->heads ? s->heads : "all";
    s->find.effects = by_of(s->by) == CLIPSPAN_HEADS_BY_EFFECT;
    /* what neither the text nor a table shows is not looked for: both read every image */
    s->find.roles = s->json || s->csv != NULL || by_of(s->by) == CLIPSPAN_HEADS_BY_ROLE ? CLI_ROLES_ALL
                    : count > 0                                                         ? CLI_ROLES_DESCRIBED
                                                                                        : CLI_ROLES_NONE;
    if (!s->json && count > FEW_HEADS) s->find.top = 0;
    if (s->stability) s->find.span.resamples = s->resamples;
    return status;
}

static clipspan_status write_results(const settings *s, const cli_heads *found, const unsigned char *described,
                                     clipspan_error *err)
{
    const clipspan_heads_look look = {by_of(s->by), cli_terminal_colours(s->colour, s->output),
                                      s->output ? 80 : cli_terminal_width(), described};
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_heads(&found->table, NULL, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_heads(&found->table, &look, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT, s->output ? s->output : "-",
                                 err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    settings *s = given;
    clipspan_store *store = NULL;
    cli_heads found = {0};
    unsigned char *described = NULL;
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        described = calloc((size_t)info->layers * (size_t)info->heads, 1);
        status = described ? choose(s, info, described, err) : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    }
    if (status == CLIPSPAN_OK) status = cli_heads_find(&found, store, &s->find, err);
    if (status == CLIPSPAN_OK && by_of(s->by) == CLIPSPAN_HEADS_BY_ROLE && found.attributes == NULL)
        status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--by role: %s",
                          clipspan_store_get_info(store)->moments_only
                              ? "the store holds moments alone"
                              : "the store's list has no column with 2 to 64 values and two images or more a value");
    if (status == CLIPSPAN_OK) status = write_results(s, &found, described, err);
    cli_heads_free(&found);
    clipspan_store_free(store);
    free(described);
    return status;
}

static const cli_option options[] = {
    {"texts", 't', CLI_LIST, "POOL", "one description a line; may be given again and again: the pools become one",
     offsetof(settings, find.span.texts)},
    {"embeddings", 0, CLI_LIST, "FILE.npy", CLI_EMBEDDINGS_HELP, offsetof(settings, find.span.embeddings)},
    {"heads", 0, CLI_TEXT, "HEADS",
     "heads to describe: L22.H13, L22, last:4, all, @FILE, comma-separated; up to 8 at length (default with --texts: all)",
     offsetof(settings, heads)},
    {"by", 0, CLI_TEXT, "share|variance|role|effect",
     "what the grid shows: share of the variance of all heads, the variance, the attribute that a head tells best, or its "
     "worth to the right class's logit (default share)",
     offsetof(settings, by)},
    {"columns", 0, CLI_TEXT, "A,B,...", "attributes a head may tell: " CLI_COLUMNS_HELP, offsetof(settings, find.columns)},
    {"size", 'm', CLI_COUNT, "N", "texts a head (default 5)", offsetof(settings, find.span.size)},
    {"stability", 0, CLI_FLAG, NULL, "also say how often each text is picked again when the images are drawn anew",
     offsetof(settings, stability)},
    {"resamples", 0, CLI_COUNT, "N", "bootstrap resamples behind --stability (default 100)", offsetof(settings, resamples)},
    {"pictures", 0, CLI_COUNT, "N", "images at either end of a head's activations (default 8; 0: no activations)",
     offsetof(settings, find.top)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line a head", offsetof(settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_COLOUR_OPTION(settings, colour),
    {"classes", 0, CLI_TEXT, "FILE", "--by effect: class names, one a line, or label, tab, words (default: the images' labels)",
     offsetof(settings, find.scored.classes)},
    {"column", 0, CLI_TEXT, "NAME", "--by effect: column that holds the true class (default: label)",
     offsetof(settings, find.scored.column)},
    {"templates", 0, CLI_TEXT, "FILE", "--by effect: " CLI_TEMPLATES_HELP, offsetof(settings, find.scored.templates)},
    {"classifier", 0, CLI_TEXT, "FILE.npy", "--by effect: " CLI_CLASSIFIER_HELP, offsetof(settings, find.scored.classifier)},
    CLI_CONVENTION_OPTION(settings, find.span.convention),
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(settings, find.span.model)},
    CLI_VOCAB_OPTION(settings, find.span.vocab),
    {"no-cache", 0, CLI_UNFLAG, NULL, "neither read nor write the cache of text embeddings",
     offsetof(settings, find.span.cache)},
    CLI_ENGINE_OPTIONS(settings, find.span.engine),
    CLI_END,
};

static const settings defaults = {.by = "share", .colour = "auto", .resamples = 100, .find = CLI_HEADS_DEFAULTS};

const cli_command cli_heads_command = {
    .name = "heads",
    .arguments = {"STORE"},
    .summary = "Show every head at a glance, and any head's description",
    .text = "The layer x head grid: how much each head varies over the images, which attribute it tells best (where the\n"
            "image list has columns), or what it is worth to zero-shot classification; in colour on a terminal. With\n"
            "--texts also what the heads say: up to 8 named by --heads at length, with the texts' share of variance, their\n"
            "stability, a histogram of the head's activations along the first text and the images at both ends; of more,\n"
            "the strongest, a line each. docs/heads.md explains it.",
    .example = "clipspan heads out/demo/store --texts models/demo/pool.txt --heads L4.H3,L5.H5 --stability",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
