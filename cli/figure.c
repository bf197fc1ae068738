/* clipspan figure: a paper's figures from a store, as vectors, each with its data beside it. */
#include "figure.h"

#include <stdlib.h>
#include <string.h>

static const char *const KINDS[FIGURE_KINDS] = {"table", "grid", "curve", "sheets", "maps"};

clipspan_status figure_path(figure_job *job, const char *name, const char *ending, char *path, size_t size,
                            clipspan_error *err)
{
    if ((size_t)snprintf(path, size, "%s/%s.%s", job->s->output, name, ending) >= size)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o: the path is too long");
    job->written++;
    return CLIPSPAN_OK;
}

clipspan_status figure_lacks(const figure_job *job, figure_kind kind, const char *why, clipspan_error *err)
{
    if (job->named) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--only %s: %s", KINDS[kind], why);
    cli_note("no %s: %s", KINDS[kind], why);
    return CLIPSPAN_OK;
}

/* ---- what is asked for ----------------------------------------------------------------------------------------- */

/* Calls `take` for each part of "a,b,c". */
static clipspan_status each_part(const char *option, const char *list, int (*take)(figure_job *, const char *, size_t),
                                 figure_job *job, clipspan_error *err)
{
    for (const char *at = list; at != NULL; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t length = strcspn(at, ",");
        if (!take(job, at, length))
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s: \"%.*s\" is none of them", option, (int)length, at);
    }
    return CLIPSPAN_OK;
}

static int take_kind(figure_job *job, const char *name, size_t length)
{
    for (int k = 0; k < FIGURE_KINDS; k++)
        if (strlen(KINDS[k]) == length && strncmp(KINDS[k], name, length) == 0) return job->asked[k] = 1;
    return 0;
}

static int take_format(figure_job *job, const char *name, size_t length)
{
    static const char *const FORMATS[FIGURE_FORMATS] = {"svg", "pdf", "png"};
    for (int f = 0; f < FIGURE_FORMATS; f++) {
        if (strlen(FORMATS[f]) != length || strncmp(FORMATS[f], name, length) != 0) continue;
        for (size_t i = 0; i < job->format_count; i++)
            if (job->formats[i] == FORMATS[f]) return 1;
        job->formats[job->format_count++] = FORMATS[f];
        return 1;
    }
    return 0;
}

static clipspan_status choose(figure_job *job, clipspan_error *err)
{
    const figure_settings *s = job->s;
    enum { PICTURES_MOST = 24 };
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o FOLDER is missing: where the figures go");
    if (s->pictures < 1 || s->pictures > PICTURES_MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--pictures is 1 to %d", (int)PICTURES_MOST);
    job->named = s->only != NULL;
    clipspan_status status = each_part("only", s->only ? s->only : "table,grid,curve,sheets,maps", take_kind, job, err);
    if (status == CLIPSPAN_OK) status = each_part("format", s->formats, take_format, job, err);
    return status;
}

/* ---- finding --------------------------------------------------------------------------------------------------- */

static int has_labels(const figure_job *job)
{
    return job->s->scored.column != NULL || job->s->scored.classes != NULL || clipspan_store_class_count(job->store) > 0;
}

/* One search serves all figures. */
static clipspan_status find(figure_job *job, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(job->store);
    cli_heads_settings settings = CLI_HEADS_DEFAULTS;
    int scored = (job->asked[FIGURE_CURVE] || job->asked[FIGURE_GRID]) && has_labels(job) && !info->moments_only;
    settings.span = job->s->span;
    if (!job->asked[FIGURE_TABLE] && !job->asked[FIGURE_SHEETS] && !job->asked[FIGURE_MAPS]) settings.span.texts.count = 0;
    settings.span.images = job->asked[FIGURE_SHEETS] ? job->s->pictures : 0;
    settings.scored = job->s->scored;
    settings.roles = 0;
    settings.effects = scored;
    settings.effect_resamples = 1000; /* as ablate */
    return cli_heads_find(&job->found, job->store, &settings, err);
}

/* ---- table, grid, curve ---------------------------------------------------------------------------------------- */

static clipspan_status table(figure_job *job, clipspan_error *err)
{
    char path[4096];
    const clipspan_textspan *result = job->found.textspan;
    if (result == NULL) return figure_lacks(job, FIGURE_TABLE, "--texts POOL is missing", err);
    clipspan_status status = figure_path(job, "textspan", "tex", path, sizeof path, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_textspan_table(result, CLIPSPAN_LATEX, path, err);
    if (status == CLIPSPAN_OK) status = figure_path(job, "textspan", "md", path, sizeof path, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_textspan_table(result, CLIPSPAN_MARKDOWN, path, err);
    if (status == CLIPSPAN_OK) status = figure_path(job, "textspan", "json", path, sizeof path, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_textspan(result, job->store, CLIPSPAN_JSON, path, err);
    return status;
}

static clipspan_status share_grid(figure_job *job, const char *path, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(job->store);
    size_t count = (size_t)info->layers * (size_t)info->heads;
    double *values = calloc(count, sizeof *values);
    if (values == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t h = 0; h < count; h++) values[h] = 100 * job->found.spread[h].share;
    const clipspan_grid grid = {.title = job->s->bare ? NULL : "How much each head varies over the images",
                                .unit = "share of all heads' variance, %", .values = values,
                                .rows = (size_t)info->layers, .columns = (size_t)info->heads,
                                .scale = CLIPSPAN_SCALE_MOST, .row_prefix = "L", .column_prefix = "H"};
    clipspan_status status = clipspan_picture_grid(&grid, path, err);
    free(values);
    return status;
}

static clipspan_status grids(figure_job *job, clipspan_error *err)
{
    char path[4096];
    const clipspan_ablation_report report = {.study = job->found.effects, .store = job->store, .bare = job->s->bare};
    clipspan_status status = CLIPSPAN_OK;
    for (size_t f = 0; f < job->format_count && status == CLIPSPAN_OK; f++) {
        status = figure_path(job, "grid-variance", job->formats[f], path, sizeof path, err);
        if (status == CLIPSPAN_OK) status = share_grid(job, path, err);
        if (status != CLIPSPAN_OK || report.study == NULL) continue;
        status = figure_path(job, "grid-effect", job->formats[f], path, sizeof path, err);
        if (status == CLIPSPAN_OK) status = clipspan_picture_ablation_heads(&report, path, err);
    }
    if (status == CLIPSPAN_OK) status = figure_path(job, "heads", "json", path, sizeof path, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_heads(&job->found.table, NULL, CLIPSPAN_JSON, path, err);
    return status;
}

static clipspan_status curve(figure_job *job, clipspan_error *err)
{
    char path[4096];
    const clipspan_ablation_report report = {.study = job->found.effects, .store = job->store, .bare = job->s->bare};
    if (report.study == NULL)
        return figure_lacks(job, FIGURE_CURVE,
                            clipspan_store_get_info(job->store)->moments_only
                                ? "the store holds moments alone, no single images to score"
                                : "the images have no labels (--column names a column of their list that has them)", err);
    clipspan_status status = CLIPSPAN_OK;
    for (size_t f = 0; f < job->format_count && status == CLIPSPAN_OK; f++) {
        status = figure_path(job, "curve", job->formats[f], path, sizeof path, err);
        if (status == CLIPSPAN_OK) status = clipspan_picture_ablation_curve(&report, path, err);
    }
    if (status == CLIPSPAN_OK) status = figure_path(job, "ablate", "json", path, sizeof path, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_ablation(&report, CLIPSPAN_JSON, path, err);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    static clipspan_status (*const DRAW[FIGURE_KINDS])(figure_job *, clipspan_error *) = {table, grids, curve, figure_sheets,
                                                                                          figure_maps};
    figure_job job = {.s = given};
    clipspan_status status = choose(&job, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&job.store, job.s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = find(&job, err);
    if (status == CLIPSPAN_OK) status = cli_make_folder(job.s->output, err);
    for (int k = 0; k < FIGURE_KINDS && status == CLIPSPAN_OK; k++)
        if (job.asked[k]) status = DRAW[k](&job, err);
    if (status == CLIPSPAN_OK) cli_note("%s: %zu files", job.s->output, job.written);
    cli_heads_free(&job.found);
    clipspan_store_free(job.store);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TO_FOLDER, "FOLDER", "where the figures go; it is made", offsetof(figure_settings, output)},
    {"only", 0, CLI_TEXT, "KIND,...", "table, grid, curve, sheets, maps (default: all that the store and the options allow)",
     offsetof(figure_settings, only)},
    {"format", 0, CLI_TEXT, "FORMAT,...", "svg, pdf, png (default svg,pdf)", offsetof(figure_settings, formats)},
    {"bare", 0, CLI_FLAG, NULL, "without titles and notes, which the paper's caption says", offsetof(figure_settings, bare)},
    {"pictures", 0, CLI_COUNT, "N", "sheets: images a text (default 6)", offsetof(figure_settings, pictures)},
    {"map", 0, CLI_LIST, "TEXT", "maps: a text to map, by the heads of --heads; may be given again and again",
     offsetof(figure_settings, mapped)},
    {"rows", 0, CLI_TEXT, "ROWS", "maps: which images, by row of the store: 0,7,20-25", offsetof(figure_settings, rows)},
    CLI_STORE_IMAGES_OPTION(figure_settings, images),
    {"classes", 0, CLI_TEXT, "FILE", "curve, grid: class names, one a line, or label, tab, words (default: the images' labels)",
     offsetof(figure_settings, scored.classes)},
    {"column", 0, CLI_TEXT, "NAME", "curve, grid: column that holds the true class (default: label)",
     offsetof(figure_settings, scored.column)},
    {"templates", 0, CLI_TEXT, "FILE", "curve, grid: " CLI_TEMPLATES_HELP, offsetof(figure_settings, scored.templates)},
    {"classifier", 0, CLI_TEXT, "FILE.npy", "curve, grid: " CLI_CLASSIFIER_HELP, offsetof(figure_settings, scored.classifier)},
    {"stability", 0, CLI_COUNT, "N", "table: also say in how many of N resamples of the images each text is picked again",
     offsetof(figure_settings, span.resamples)},
    CLI_SPAN_OPTIONS(figure_settings, span, "last:1", "5"),
    CLI_END,
};

static const figure_settings defaults = {
    .span = {.heads = "last:1", .convention = "paper", .size = 5, .rank = 80, .cache = 1}, .formats = "svg,pdf", .pictures = 6};

const cli_command cli_figure = {
    .name = "figure",
    .arguments = {"STORE"},
    .summary = "Write a paper's figures: table, grid, curve, contact sheets and maps, as SVG and PDF",
    .text = "One search of the store, then one file a figure and format in FOLDER: textspan (.tex, .md), grid-variance and\n"
            "grid-effect (layer x head), curve (accuracy as attention layers are replaced), sheet-L4.H3 (a head's texts with\n"
            "the images that rank highest along each), maps (images, texts and heads). The numbers behind them lie beside\n"
            "them as JSON. Vector files hold the letters that they need. docs/figure.md shows them.",
    .example = "clipspan figure out/demo/store -o figures --texts models/demo/pool.txt --heads L4.H3,L5.H5 --column shape "
               "--classes models/demo/zero_shot/shape.classes.txt --rows 66 --map \"a ring\"",
    .options = options,
    .settings_size = sizeof(figure_settings),
    .defaults = &defaults,
    .run = run,
};
