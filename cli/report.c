/* clipspan report: one page that holds what there is to see of a store. */
#include "report.h"

#include "columns.h"
#include "segment.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the page: pictures fill it up to about 6 MB, and at 8 MB it can hardly be mailed. */
static const size_t BYTES_MOST = 6000000, BYTES_TOO_MANY = 7700000; /* beside some 0.2 MB that show them */

typedef report_settings settings;

/* ---- before long work starts -------------------------------------------------------------------------------------- */

static clipspan_status check_file(const char *option, const char *path, clipspan_error *err)
{
    if (path == NULL || access(path, R_OK) == 0) return CLIPSPAN_OK;
    if (strcmp(path, "-") == 0)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s -: standard input can be read once, and the report runs several commands",
                        option);
    return cli_fail(err, CLIPSPAN_ERROR_IO, "%s %s: there is no such file, or it cannot be read", option, path);
}

static clipspan_status check_files(const settings *s, clipspan_error *err)
{
    const char *templates = s->scored.templates, *of_segment = s->segment_templates;
    const struct {
        const char *option, *path;
    } files[] = {{"--classes", s->scored.classes},
                 {"--templates", templates && strcmp(templates, "single") == 0 ? NULL : templates},
                 {"--classifier", s->scored.classifier},
                 {"--segment", s->segment},
                 {"--segment-classes", s->segment_classes},
                 {"--segment-templates", of_segment && strcmp(of_segment, "single") == 0 ? NULL : of_segment},
                 {"--model", s->span.model},
                 {"--vocab", s->span.vocab},
                 {"--images", s->images},
                 {"--beside", s->beside}};
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; status == CLIPSPAN_OK && i < sizeof files / sizeof *files; i++)
        status = check_file(files[i].option, files[i].path, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < s->span.texts.count; i++)
        status = check_file("--texts", s->span.texts.items[i], err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < s->span.embeddings.count; i++)
        status = check_file("--embeddings", s->span.embeddings.items[i], err);
    return status;
}

static clipspan_status check(const settings *s, clipspan_error *err)
{
    enum { MAPS_MOST = 20 };
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o FILE.html is missing");
    if (s->attribute == NULL && (s->cue.count > 0 || s->where.count > 0))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--cue and --where are for groups: --attribute COLUMN is missing");
    if (s->segment == NULL && (s->segment_classes || s->segment_templates))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--segment-classes and --segment-templates are for --segment DATA");
    if (s->maps > MAPS_MOST) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--maps is at most %d", (int)MAPS_MOST);
    unsigned char methods[CLI_METHODS];
    clipspan_status status = cli_check_embeddings(&s->span.texts, &s->span.embeddings, err);
    if (status == CLIPSPAN_OK) status = cli_methods_parse(s->segment_methods, 0, methods, err);
    if (status == CLIPSPAN_OK) status = cli_check_classifier(s->scored.classifier, s->scored.templates, err);
    return status == CLIPSPAN_OK ? check_files(s, err) : status;
}

static clipspan_status check_told_columns(const report_side *side, clipspan_error *err)
{
    cli_labelled from = {.store = side->store};
    cli_columns columns = {0};
    clipspan_status status = cli_columns_read(&columns, side->columns, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < columns.count; i++)
        status = cli_labelled_choose(&from, columns.names[i], err);
    cli_columns_free(&columns);
    return status;
}

static clipspan_status check_columns(const report_side *side, clipspan_error *err)
{
    const settings *s = side->s;
    cli_labelled from = {.store = side->store};
    clipspan_status status = check_told_columns(side, err);
    if (status == CLIPSPAN_OK) status = cli_labelled_choose(&from, s->scored.column, err);
    return status == CLIPSPAN_OK ? cli_labelled_choose(&from, s->attribute, err) : status;
}

/* What the store must have, since the command line names it. */
static clipspan_status check_store(const report_side *side, clipspan_error *err)
{
    const settings *s = side->s;
    const clipspan_store_info *info = clipspan_store_get_info(side->store);
    unsigned char *heads = calloc((size_t)info->layers * (size_t)info->heads, 1);
    clipspan_status status = heads ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK && s->span.heads != NULL)
        status = clipspan_heads_parse(s->span.heads, info->layers, info->heads, heads, err);
    free(heads);
    if (status == CLIPSPAN_OK) status = check_columns(side, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < s->rows.count; i++) {
        char *end = NULL;
        unsigned long long row = strtoull(s->rows.items[i], &end, 10);
        if (s->rows.items[i][0] < '0' || s->rows.items[i][0] > '9' || *end != '\0' || row >= info->images)
            status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--row %s: expected a row of %s, 0 to %llu", s->rows.items[i],
                              side->path, (unsigned long long)info->images - 1);
    }
    return status;
}

/* ---- a side --------------------------------------------------------------------------------------------------------- */

/* The model and the pictures, where they are at hand; where the command line says that they are, they must be. */
static clipspan_status open_beside_store(report_side *side, clipspan_error *err)
{
    const settings *s = side->s;
    clipspan_status status = cli_open_store_model(&side->model, side->store, side->model_path, s->span.vocab, err);
    int named = !side->second && (side->model_path != NULL || s->span.vocab != NULL);
    if (status == CLIPSPAN_ERROR_MEMORY || (status != CLIPSPAN_OK && named)) return status;
    if (status != CLIPSPAN_OK) snprintf(side->no_model, sizeof side->no_model, "%s", err->message);
    status = cli_open_store_images(&side->images, side->store, side->images_path, err);
    if (status == CLIPSPAN_ERROR_MEMORY || (status != CLIPSPAN_OK && side->images_path != NULL)) return status;
    if (status != CLIPSPAN_OK) snprintf(side->no_images, sizeof side->no_images, "%s", err->message);
    return clipspan_page_side(side->page, side->store, side->model, err);
}

static clipspan_status fill(report_side *side, clipspan_error *err)
{
    clipspan_status status = report_heads(side, err);
    if (status == CLIPSPAN_OK) status = report_attributes(side, err);
    if (status == CLIPSPAN_OK) status = report_scores(side, err);
    if (status == CLIPSPAN_OK) status = report_groups(side, err);
    if (status == CLIPSPAN_OK) status = report_retrieval(side, err);
    if (status == CLIPSPAN_OK) status = report_maps(side, err);
    if (status == CLIPSPAN_OK) status = report_segmentation(side, err);
    return status == CLIPSPAN_OK ? report_pictures(side, err) : status;
}

static void close_side(report_side *side)
{
    for (int w = 0; w < REPORT_WISHES; w++) free(side->wanted[w].rows);
    cli_heads_free(&side->heads);
    clipspan_images_free(side->images);
    clipspan_model_free(side->model);
    clipspan_store_free(side->store);
}

static clipspan_status show_side(report_side *side, clipspan_error *err)
{
    clipspan_status status = side->second ? CLIPSPAN_OK : check_store(side, err);
    if (status == CLIPSPAN_OK) status = open_beside_store(side, err);
    if (status == CLIPSPAN_OK && side->second) status = report_all_columns(side, check_told_columns(side, err), err);
    return status == CLIPSPAN_OK ? fill(side, err) : status;
}

/* ---- the command ---------------------------------------------------------------------------------------------------- */

static clipspan_status open_page(clipspan_page **page, const settings *s, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    char title[512], images[32];
    snprintf(title, sizeof title, "The heads of %.200s, on %s images", info->model_name, clipspan_report_count(images, info->images));
    clipspan_status status = clipspan_page_new(page, s->title ? s->title : title, err);
    const char *folder = NULL, *name = NULL;
    for (size_t i = 0; status == CLIPSPAN_OK && (folder = cli_short_folder(i, &name)) != NULL; i++)
        status = clipspan_page_shorten(*page, folder, name, err);
    return status;
}

static clipspan_status show_sides(const settings *s, report_side *first, report_side *second, clipspan_error *err)
{
    clipspan_status status = open_page(&first->page, s, first->store, err);
    if (status == CLIPSPAN_OK) status = show_side(first, err);
    if (status == CLIPSPAN_OK && s->beside != NULL) {
        second->page = first->page;
        status = show_side(second, err);
    }
    size_t bytes = status == CLIPSPAN_OK ? clipspan_page_size(first->page) : 0;
    if (bytes > BYTES_TOO_MANY)
        cli_warn("%s has %.1f MB, most of it no pictures: fewer --maps, --size or --heads make it smaller", s->output,
                 (double)bytes / 1e6);
    if (status == CLIPSPAN_OK) status = clipspan_page_write(first->page, s->output, err);
    clipspan_page_free(first->page);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    settings *s = given;
    report_side first = {.s = s, .path = s->arguments[0], .model_path = s->span.model, .images_path = s->images,
                         .columns = s->columns};
    report_side second = {.s = s, .path = s->beside, .columns = s->columns, .second = 1, .most_bytes = BYTES_MOST};
    first.most_bytes = s->beside ? BYTES_MOST / 2 : BYTES_MOST;
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&first.store, first.path, err);
    if (status == CLIPSPAN_OK && s->beside != NULL) status = clipspan_store_open(&second.store, second.path, err);
    if (status == CLIPSPAN_OK) status = show_sides(s, &first, &second, err);
    close_side(&first);
    close_side(&second);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TO_FILE, "FILE.html", "the page", offsetof(settings, output)},
    {"title", 0, CLI_TEXT, "WORDS", "of the page (default: the model's name, and how many images)", offsetof(settings, title)},
    {"beside", 0, CLI_TEXT, "STORE2", "another store, say of another model, is shown beside this one", offsetof(settings, beside)},
    {"texts", 't', CLI_LIST, "POOL", "what heads are described with, one text a line; may be given again: the pools become one",
     offsetof(settings, span.texts)},
    {"embeddings", 0, CLI_LIST, "FILE.npy", CLI_EMBEDDINGS_HELP, offsetof(settings, span.embeddings)},
    {"heads", 0, CLI_TEXT, "HEADS", "heads to describe: L22.H13, L22, last:4, all, @FILE, comma-separated (default all)",
     offsetof(settings, span.heads)},
    {"size", 'm', CLI_COUNT, "N", "texts a head (default 8)", offsetof(settings, span.size)},
    {"resamples", 0, CLI_COUNT, "N", "of the bootstrap behind the stability of heads' texts (default 20; 0: not measured)",
     offsetof(settings, span.resamples)},
    {"columns", 0, CLI_TEXT, "A,B,...", "what heads may tell: " CLI_COLUMNS_HELP, offsetof(settings, columns)},
    {"classes", 0, CLI_TEXT, "FILE",
     "what images are classified as, one a line, or label, tab, words (default: the labels of the images)",
     offsetof(settings, scored.classes)},
    {"column", 0, CLI_TEXT, "NAME", "column that holds the true class (default: label)", offsetof(settings, scored.column)},
    {"templates", 0, CLI_TEXT, "FILE", CLI_TEMPLATES_HELP, offsetof(settings, scored.templates)},
    {"classifier", 0, CLI_TEXT, "FILE.npy", CLI_CLASSIFIER_HELP, offsetof(settings, scored.classifier)},
    {"attribute", 0, CLI_TEXT, "COLUMN", "groups of each class by this column, before and after heads are taken out",
     offsetof(settings, attribute)},
    {"where", 0, CLI_LIST, "COLUMN=VALUE", "groups: only images with that value; may be given again", offsetof(settings, where)},
    {"cue", 0, CLI_LIST, "TEXT", "groups: a text of the spurious cue; may be given again", offsetof(settings, cue)},
    {"row", 0, CLI_LIST, "N", "images whose nearest are shown; may be given again (default: those that telling heads see most in)",
     offsetof(settings, rows)},
    {"segment", 0, CLI_TEXT, "DATA", "images with masks, as `segment` takes them: scores and examples on the first 60",
     offsetof(settings, segment)},
    {"segment-classes", 0, CLI_TEXT, "FILE", "its classes (default: as `segment`)", offsetof(settings, segment_classes)},
    {"segment-templates", 0, CLI_TEXT, "FILE", "its prompt templates", offsetof(settings, segment_templates)},
    {"segment-method", 0, CLI_TEXT, "A,B,...", "its methods (default decomposition,raw-attention,gradcam,maskclip)",
     offsetof(settings, segment_methods)},
    {"maps", 0, CLI_COUNT, "N", "heat-maps a head, of its first N texts in the image that it sees most in (default 2; 0: none)",
     offsetof(settings, maps)},
    {"pictures", 0, CLI_COUNT, "N", "at most so many pictures (default: as fit into about 6 MB)", offsetof(settings, pictures)},
    CLI_CONVENTION_OPTION(settings, span.convention),
    CLI_STORE_IMAGES_OPTION(settings, images),
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(settings, span.model)},
    CLI_VOCAB_OPTION(settings, span.vocab),
    {"no-cache", 0, CLI_UNFLAG, NULL, "neither read nor write the cache of text embeddings", offsetof(settings, span.cache)},
    CLI_ENGINE_OPTIONS(settings, span.engine),
    CLI_END,
};

static const settings defaults = {
    .span = {.convention = "paper", .size = 8, .rank = 80, .resamples = 20, .cache = 1},
    .segment_methods = "decomposition,raw-attention,gradcam,maskclip",
    .pictures = SIZE_MAX,
    .maps = 2};

const cli_command cli_report = {
    .name = "report",
    .arguments = {"STORE"},
    .summary = "Write one page that shows what there is to see",
    .text = "One HTML file that can be mailed and opens in any browser: the grid of heads, each head's texts, images,\n"
            "histogram and heat-maps, what heads are worth, groups, retrieval, segmentation, as far as the store and the\n"
            "options have them; beside each figure the command that prints it. What cannot be shown is left out, and said.\n"
            "Pictures of a large store are a sample. docs/report.md says what the file holds.",
    .example = "clipspan report out/demo/store -o report.html --texts models/demo/pool.txt --column setting "
               "--classes models/demo/zero_shot/setting.classes.txt --templates models/demo/zero_shot/setting.templates.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
