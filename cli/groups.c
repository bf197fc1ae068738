/* clipspan groups: accuracy by class and attribute, and what taking out the heads of a spurious cue does for the worst
 * group. */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

#include "clipspan/picture.h"

static clipspan_status check(const groups_settings *s, clipspan_error *err)
{
    enum { MOST = 1000 };
    if (s->attribute == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--attribute COLUMN is missing: groups are class by attribute");
    if ((s->words == NULL) != (s->texts == NULL))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "--cue-words and --texts go together: the words are looked for among the texts that TextSpan finds");
    if (!s->search && (s->cue.count > 0 || s->words != NULL))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--no-search leaves only --heads and --published: take %s out",
                        s->words != NULL ? "--cue-words" : "--cue");
    for (size_t i = 0; i < s->cue.count; i++)
        if (s->cue.items[i][strspn(s->cue.items[i], " \t\n")] == '\0')
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--cue is empty");
    if (s->most < 1 || s->most > MOST || s->size < 1 || s->size > MOST || s->last < 1 || s->last > MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--most, --size and --last are 1 to %d", (int)MOST);
    return CLIPSPAN_OK;
}

static clipspan_status choose_heads(groups_inputs *in, const groups_settings *s, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    size_t all = (size_t)info->layers * (size_t)info->heads;
    const char *name = s->published != NULL && strcmp(s->published, "auto") != 0 ? s->published : NULL;
    clipspan_status status = CLIPSPAN_OK;
    in->given = calloc(all, 1);
    in->published = calloc(all, 1);
    in->candidates = calloc(all, 1);
    in->read = calloc(all, 1);
    if (!in->given || !in->published || !in->candidates || !in->read)
        return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (s->heads != NULL) status = clipspan_heads_parse(s->heads, info->layers, info->heads, in->given, err);
    if (status == CLIPSPAN_OK && s->published != NULL)
        status = clipspan_heads_published(&in->published_name, in->store, name, in->published, err);
    if (status == CLIPSPAN_OK && s->search)
        status = clipspan_heads_parse(s->candidates, info->layers, info->heads, in->candidates, err);
    for (size_t h = 0; h < all; h++) in->read[h] = in->given[h] || in->published[h] || in->candidates[h];
    return status;
}

/* "label" may be the name of a CSV's column and is then what the list's own labels are made from. */
static cli_scored_settings scored_settings(const groups_settings *s, const clipspan_store *store)
{
    cli_scored_settings scored = s->scored;
    int own = scored.column != NULL && strcmp(scored.column, "label") == 0 && clipspan_store_class_count(store) > 0;
    if (own) scored.column = NULL;
    scored.needs_no_model = s->words == NULL && s->cue.count == 0;
    return scored;
}

static clipspan_status open_groups(groups_inputs *in, const groups_settings *s, clipspan_error *err)
{
    clipspan_groups_options options = CLIPSPAN_GROUPS_OPTIONS_INIT;
    options.convention = cli_convention(s->convention);
    options.attribute = s->attribute;
    options.where = s->where.items;
    options.where_count = s->where.count;
    options.heads = in->read;
    options.candidates = in->candidates;
    options.halves = s->search;
    options.paper = strcmp(s->protocol, "paper") == 0;
    options.last = (int)s->last;
    options.skip_empty = s->skip_empty;
    options.mean_from = in->mean_from;
    options.threads = (int)s->engine.threads;
    clipspan_status status = clipspan_groups_open(&in->groups, in->store, in->scored.labels, in->scored.classes.labels,
                                                  in->scored.classifier, &options, cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status open_all(groups_inputs *in, const groups_settings *s, clipspan_error *err)
{
    clipspan_status status = clipspan_store_open(&in->store, s->arguments[0], err);
    if (status == CLIPSPAN_OK && s->mean_from != NULL) status = clipspan_store_open(&in->mean_from, s->mean_from, err);
    if (in->mean_from != NULL && !clipspan_store_get_info(in->mean_from)->complete)
        cli_warn("the store of the means is unfinished: %llu images of %llu are used",
                 (unsigned long long)clipspan_store_get_info(in->mean_from)->images,
                 (unsigned long long)clipspan_store_get_info(in->mean_from)->listed);
    if (status == CLIPSPAN_OK) status = choose_heads(in, s, err);
    if (status == CLIPSPAN_OK && s->words != NULL) status = cli_open_texts(&in->words, s->words, err);
    if (status == CLIPSPAN_OK && s->texts != NULL) status = cli_open_texts(&in->pool, s->texts, err);
    if (status == CLIPSPAN_OK) {
        cli_scored_settings scored = scored_settings(s, in->store);
        status = cli_scored_open(&in->scored, in->store, &scored, &s->engine, err);
    }
    if (status == CLIPSPAN_OK) status = open_groups(in, s, err);
    return status;
}

static clipspan_status write_results(const groups_inputs *in, const groups_settings *s, clipspan_error *err)
{
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_groups(in->groups, CLIPSPAN_CSV, s->csv, err);
    if (status == CLIPSPAN_OK && s->png != NULL) status = clipspan_picture_groups(in->groups, s->png, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_groups(in->groups, format, s->output ? s->output : "-", err);
    return status;
}

static void close_all(groups_inputs *in)
{
    clipspan_groups_free(in->groups);
    cli_scored_close(&in->scored);
    clipspan_texts_free(in->words);
    clipspan_texts_free(in->pool);
    clipspan_store_free(in->mean_from);
    clipspan_store_free(in->store);
    free(in->given);
    free(in->published);
    free(in->candidates);
    free(in->read);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const groups_settings *s = given;
    groups_inputs in = {0};
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = open_all(&in, s, err);
    if (status == CLIPSPAN_OK) status = groups_add_rules(&in, s, err);
    if (status == CLIPSPAN_OK) status = write_results(&in, s, err);
    close_all(&in);
    return status;
}

static const cli_option options[] = {
    {"attribute", 0, CLI_TEXT, "COLUMN", "column whose values make groups of each class", offsetof(groups_settings, attribute)},
    {"where", 0, CLI_LIST, "COLUMN=VALUE", "only images with that value; may be given again: all must hold",
     offsetof(groups_settings, where)},
    {"classes", 0, CLI_TEXT, "FILE", "class names, one a line, or label, tab, words (default: the labels of the images)",
     offsetof(groups_settings, scored.classes)},
    {"column", 0, CLI_TEXT, "NAME", "column that holds the true class (default: label)",
     offsetof(groups_settings, scored.column)},
    {"templates", 0, CLI_TEXT, "FILE", CLI_TEMPLATES_HELP, offsetof(groups_settings, scored.templates)},
    {"classifier", 0, CLI_TEXT, "FILE.npy", CLI_CLASSIFIER_HELP, offsetof(groups_settings, scored.classifier)},
    {"heads", 0, CLI_TEXT, "HEADS", "a row for these: L22.H13, L22, last:4, all, @FILE, comma-separated",
     offsetof(groups_settings, heads)},
    {"published", 0, CLI_TEXT, "auto|ViT-B-16|ViT-L-14|ViT-H-14",
     "a row for the heads that the paper took out for Waterbirds; auto: by the model's shape",
     offsetof(groups_settings, published)},
    {"cue", 0, CLI_LIST, "TEXT", "a text of the cue; may be given again: rows for heads that vary along these texts",
     offsetof(groups_settings, cue)},
    {"cue-words", 0, CLI_TEXT, "FILE", "words of the cue, one a line: a row for heads whose TextSpan texts have them",
     offsetof(groups_settings, words)},
    {"texts", 't', CLI_TEXT, "POOL", "what TextSpan picks from for --cue-words, one text a line",
     offsetof(groups_settings, texts)},
    {"size", 'm', CLI_COUNT, "N", "TextSpan texts a head (default 20)", offsetof(groups_settings, size)},
    {"no-search", 0, CLI_UNFLAG, NULL, "no rows that are searched for; all images are scored", offsetof(groups_settings, search)},
    {"candidates", 0, CLI_TEXT, "HEADS", "heads to search among (default all)", offsetof(groups_settings, candidates)},
    {"most", 0, CLI_COUNT, "N", "at most so many heads in a searched row (default 10)", offsetof(groups_settings, most)},
    {"protocol", 0, CLI_TEXT, "heads|paper",
     "what is taken out: the heads alone, or x0, every MLP and all attention but the last layers too (default heads)",
     offsetof(groups_settings, protocol)},
    {"last", 0, CLI_COUNT, "N", "attention layers that stay in the paper's protocol (default 4)", offsetof(groups_settings, last)},
    {"mean-from", 0, CLI_TEXT, "STORE", "means over that store's images (default: over the images that are looked at)",
     offsetof(groups_settings, mean_from)},
    {"skip-empty", 0, CLI_FLAG, NULL, "a class and value without images make no group (default: an error)",
     offsetof(groups_settings, skip_empty)},
    CLI_CONVENTION_OPTION(groups_settings, convention),
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(groups_settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line a rule and measure", offsetof(groups_settings, csv)},
    {"png", 0, CLI_TO_FILE, "FILE", "also draw every group's accuracy by rule: " CLI_PICTURE_HELP, offsetof(groups_settings, png)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(groups_settings, output)},
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(groups_settings, scored.model)},
    CLI_VOCAB_OPTION(groups_settings, scored.vocab),
    CLI_ENGINE_OPTIONS(groups_settings, engine),
    CLI_END,
};

static const groups_settings defaults = {
    .convention = "paper", .candidates = "all", .protocol = "heads", .search = 1, .most = 10, .last = 4, .size = 20};

const cli_command cli_groups = {
    .name = "groups",
    .arguments = {"STORE"},
    .summary = "Accuracy by group, and heads that carry a spurious cue",
    .text = "Zero-shot accuracy by group (class by attribute), its worst group, and what becomes of it when heads that\n"
            "carry the cue are replaced by their mean contributions: heads given, published, found by the cue's texts or\n"
            "words, by the margin's contrast between groups or between right and wrong answers, or greedily; one row\n"
            "each. Whatever is searched for is searched for on half of the images and scored on the other.",
    .example = "clipspan groups birds.store --attribute place --where split=test --cue 'a photo of water' --cue 'a photo of a forest'",
    .options = options,
    .settings_size = sizeof(groups_settings),
    .defaults = &defaults,
    .run = run,
};
