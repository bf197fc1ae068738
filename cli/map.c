/* clipspan map: where in an image a text is argued for or against, by which layers and heads. */
#include "map.h"
#include "span.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

enum { PICTURES_MOST = 200, BATCH_MOST = 16 };
static const double TOKEN_BYTES = 256e6; /* of one batch */

/* ---- what was asked for ---------------------------------------------------------------------------------------- */

static clipspan_status check_subject(const map_settings *s, clipspan_error *err)
{
    const struct {
        const char *name;
        int given, of_store;
    } options_of[] = {
        {"source", s->images.kind != NULL, 0}, {"exif", s->images.exif, 0},
        {"limit", s->images.limit > 0, 0},     {"config", s->model.config != NULL, 0},
        {"model", s->model_path != NULL, 1},   {"images", s->images_path != NULL, 1},
        {"pool", s->pool != NULL, 1},
    };
    int store = s->arguments[1] == NULL;
    for (size_t i = 0; i < sizeof options_of / sizeof *options_of; i++)
        if (options_of[i].given && options_of[i].of_store != store)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                            store ? "--%s is for MODEL IMAGES, and %s is taken for a store"
                                  : "--%s is for a store alone, and %s is taken for a model",
                            options_of[i].name, s->arguments[0]);
    return CLIPSPAN_OK;
}

static clipspan_status check(const map_settings *s, clipspan_error *err)
{
    if (s->texts.count == 0 && s->texts_file == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--text TEXT is missing (or --texts FILE)");
    if (s->minus != NULL && s->minus_mean)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--minus and --minus-mean cannot both be subtracted");
    if (s->methods.count > 0 && strcmp(s->detail, "whole") != 0)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--method gives whole maps: --detail %s is for the decomposition alone",
                        s->detail);
    if (s->methods.count > 0 && s->csv != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--csv lists heads, and --method has none");
    if (s->tile != 0 && (s->tile < 32 || s->tile > 2048))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--tile %zu: expected 32 to 2048 pixels", s->tile);
    if (s->show != NULL && s->json && s->output == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--show draws on standard output, where --json goes: give -o FILE");
    clipspan_status status = check_subject(s, err);
    if (status == CLIPSPAN_OK) status = cli_terminal_check(s->show, err);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

static clipspan_status open_subject(map_job *job, clipspan_error *err)
{
    const map_settings *s = job->s;
    clipspan_status status;
    if (s->arguments[1] == NULL) {
        status = clipspan_store_open(&job->store, s->arguments[0], err);
        if (status == CLIPSPAN_OK && clipspan_store_get_info(job->store)->moments_only)
            status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s holds moments alone, no single images", s->arguments[0]);
        if (status == CLIPSPAN_OK && !clipspan_store_get_info(job->store)->complete)
            cli_warn("the store is unfinished: rows are those that it has");
        if (status == CLIPSPAN_OK)
            status = cli_open_store_model(&job->model, job->store, s->model_path, s->model.vocab, err);
        if (status == CLIPSPAN_OK && (map_draws(s) || s->methods.count > 0))
            status = cli_open_store_images(&job->images, job->store, s->images_path, err);
    } else {
        status = cli_open_model(&job->model, s->arguments[0], &s->model, err);
        if (status == CLIPSPAN_OK) status = cli_open_images(&job->images, s->arguments[1], &s->images, err);
    }
    return status;
}

/* The engine's batch is such that tokens of all layers fit; one given by hand is kept. */
static clipspan_status open_engine(map_job *job, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(job->model);
    cli_engine_settings engine = job->s->engine;
    double bytes = (double)info->layers * info->width * info->tokens * sizeof(float);
    double fits = TOKEN_BYTES / bytes;
    if (engine.batch == 0) engine.batch = fits < 1 ? 1 : fits > BATCH_MOST ? BATCH_MOST : (size_t)fits;
    job->layers = info->layers;
    job->heads = info->heads;
    job->embed_dim = info->embed_dim;
    job->side = info->grid;
    job->tokens = info->tokens;
    job->places = (size_t)info->tokens;
    if (engine.batch > job->row_count) engine.batch = job->row_count; /* of a store: for texts alone */
    return cli_open_engine(&job->engine, job->model, &engine, err);
}

static clipspan_status choose(map_job *job, clipspan_error *err)
{
    const map_settings *s = job->s;
    job->convention = cli_convention(s->convention);
    job->detail = strcmp(s->detail, "head") == 0    ? CLIPSPAN_MAP_HEAD
                  : strcmp(s->detail, "layer") == 0 ? CLIPSPAN_MAP_LAYER
                                                    : CLIPSPAN_MAP_WHOLE;
    clipspan_status status = map_choose_rows(job, err);
    if (status == CLIPSPAN_OK && map_draws(s) && job->row_count > PICTURES_MOST)
        status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                          "--%s shows at most %d images and there are %zu: choose some (--rows, --name, --limit)",
                          s->pictures.count ? "png" : "show", (int)PICTURES_MOST, job->row_count);
    if (status == CLIPSPAN_OK) status = open_engine(job, err);
    if (status == CLIPSPAN_OK) status = map_choose_texts(job, err);
    if (status == CLIPSPAN_OK && s->methods.count > 0)
        status = clipspan_tracer_open(&job->tracer, job->model, (int)s->engine.threads, err);
    if (status != CLIPSPAN_OK) return status;
    job->keep_values = map_draws(s) || s->json;
    if (s->methods.count == 0) return map_choose_heads(job, err);
    /* the decomposition beside other methods runs the model: every layer is at hand */
    clipspan_store *store = job->store;
    job->store = NULL;
    status = map_choose_heads(job, err);
    job->store = store;
    return status == CLIPSPAN_OK ? map_choose_methods(job, err) : status;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static const char *unit_of(const map_job *job)
{
    int difference = job->s->minus != NULL || job->s->minus_mean;
    if (job->s->methods.count > 0) return "as the method gives it";
    if (job->convention == CLIPSPAN_EXACT)
        return difference ? "change in the difference of r . text" : "change in r . text";
    return difference ? "change in the difference of cosines" : "change in cosine";
}

static const char *score_name(const map_job *job)
{
    int difference = job->s->minus != NULL || job->s->minus_mean;
    if (job->s->methods.count == 0 && job->convention == CLIPSPAN_EXACT) return difference ? "difference of r . text" : "r . text";
    return difference ? "difference of cosines" : "cosine";
}

static size_t chosen_count(const map_job *job)
{
    size_t count = 0;
    for (int i = 0; i < job->layers * job->heads; i++) count += job->chosen[i];
    return count;
}

static void write_note(const map_job *job, char *note, size_t size)
{
    const char *name = clipspan_model_get_info(job->model)->name, *minus = job->s->minus;
    char less[200] = "";
    if (minus != NULL) snprintf(less, sizeof less, " Of each text \"%.150s\" is subtracted.", minus);
    if (job->s->minus_mean) snprintf(less, sizeof less, " Of each text the mean of all is subtracted.");
    if (job->s->methods.count > 0)
        snprintf(note, size, "%.100s.%s Each map is divided by its own largest magnitude: methods have units of their own.",
                 name, less);
    else
        snprintf(note, size, "%.100s, %zu of %d heads, %s convention, %d x %d patches.%s Effects and head sums include the "
                             "class token's own place, which is not drawn.",
                 name, chosen_count(job), job->layers * job->heads, job->convention == CLIPSPAN_EXACT ? "exact" : "paper's",
                 job->side, job->side, less);
}

static clipspan_evidence evidence_of(const map_settings *s)
{
    if (strcmp(s->evidence, "for") == 0) return CLIPSPAN_EVIDENCE_FOR;
    return strcmp(s->evidence, "against") == 0 ? CLIPSPAN_EVIDENCE_AGAINST : CLIPSPAN_EVIDENCE_BOTH;
}

static void write_title(const map_job *job, char *title, size_t size)
{
    static const char *const TITLES[] = {"Where the image speaks for the text (red) and against it (blue)",
                                         "Where the image speaks for the text", "Where the image speaks against the text"};
    int method = job->s->methods.count > 0 && job->part_count == 1 ? job->methods[0] : -1;
    const clipspan_relevance_info *info = method >= 0 ? clipspan_relevance_get_info((clipspan_relevance)method) : NULL;
    if (info != NULL)
        snprintf(title, size, "%s: %s", info->name, info->words);
    else
        snprintf(title, size, "%s", job->s->methods.count > 0 ? "Where each method sees the text" : TITLES[evidence_of(job->s)]);
}

/* A tile is as large as a row of them lets it be. */
static int tile_side(const map_job *job)
{
    size_t columns = 1 + (job->part_count == 1 ? job->text_count : job->part_count);
    if (job->s->tile > 0) return (int)job->s->tile;
    return columns <= 4 ? 240 : columns <= 7 ? 180 : columns <= 16 ? 130 : 96;
}

static clipspan_status write_results(const map_job *job, clipspan_error *err)
{
    const map_settings *s = job->s;
    char note[512], title[256];
    write_note(job, note, sizeof note);
    write_title(job, title, sizeof title);
    const clipspan_maps maps = {
        .model = clipspan_model_get_info(job->model)->name,
        .method = s->methods.count                      ? "relevance"
                  : job->convention == CLIPSPAN_EXACT ? "decomposition, exact convention"
                                                      : "decomposition, paper's convention",
        .minus = s->minus ? s->minus : s->minus_mean ? "the mean of the texts" : NULL,
        .unit = unit_of(job), .score_name = score_name(job), .note = s->bare ? NULL : note, .texts = job->texts, .parts = job->parts,
        .text_count = job->text_count, .part_count = job->part_count, .chosen = s->methods.count ? NULL : job->chosen,
        .layers = job->layers, .heads = job->heads, .side = job->side, .places = job->places, .strongest = s->top,
        .images = job->found, .image_count = job->count};
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_maps(&maps, CLIPSPAN_CSV, s->csv, err);
    const clipspan_maps_look look = {evidence_of(s), s->methods.count > 0, job->scale, tile_side(job),
                                     clipspan_model_get_info(job->model)->image_size, s->bare ? NULL : title};
    for (size_t i = 0; i < s->pictures.count && status == CLIPSPAN_OK; i++)
        status = clipspan_picture_maps(&maps, &look, s->pictures.items[i], err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_maps(&maps, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT, s->output ? s->output : "-", err);
    clipspan_terminal terminal;
    if (status != CLIPSPAN_OK || s->show == NULL || !cli_terminal_find(&terminal, s->show)) return status;
    if (s->output == NULL) puts("");
    return clipspan_terminal_maps(&maps, &look, &terminal, "-", err);
}

static void free_job(map_job *job)
{
    clipspan_npy_discard(job->npy);
    void *const blocks[] = {job->texts,   job->directions, job->rows,      job->kept,    job->chosen, job->columns,
                            job->parts,   job->part_names, job->found,     job->scores,  job->predicted,
                            job->effects, job->rgb,        job->summaries, job->values,  job->scratch};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    clipspan_texts_free(job->words);
    clipspan_tracer_free(job->tracer);
    clipspan_engine_free(job->engine);
    clipspan_images_free(job->images);
    clipspan_store_free(job->store);
    clipspan_model_free(job->model);
}

static clipspan_status read_scale(map_job *job, clipspan_error *err)
{
    char *end = NULL;
    if (job->s->scale == NULL) return CLIPSPAN_OK;
    job->scale = strtod(job->s->scale, &end);
    if (*end == '\0' && job->scale > 0 && job->scale < 1e30) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--scale %s: expected a number above 0", job->s->scale);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    map_job job = {.s = given};
    clipspan_status status = check(job.s, err);
    if (status == CLIPSPAN_OK) status = read_scale(&job, err);
    if (status == CLIPSPAN_OK) status = open_subject(&job, err);
    if (status == CLIPSPAN_OK) status = choose(&job, err);
    if (status == CLIPSPAN_OK) status = map_read(&job, err);
    if (status == CLIPSPAN_OK) status = write_results(&job, err);
    free_job(&job);
    return status;
}

static const cli_option options[] = {
    {"text", 't', CLI_LIST, "TEXT", "a text to map; may be given again and again", offsetof(map_settings, texts)},
    {"texts", 0, CLI_TEXT, "FILE", "texts to map, one a line (- : standard input)", offsetof(map_settings, texts_file)},
    {"minus", 0, CLI_TEXT, "TEXT", "map each text minus this one: what tells the two apart", offsetof(map_settings, minus)},
    {"minus-mean", 0, CLI_FLAG, NULL, "map each text minus the mean of them all", offsetof(map_settings, minus_mean)},
    {"detail", 0, CLI_TEXT, "whole|layer|head", "one map, one a layer, or one a head (default whole)",
     offsetof(map_settings, detail)},
    {"heads", 0, CLI_TEXT, "HEADS", "L22.H13, L22, last:4, all, @FILE, comma-separated (default all)",
     offsetof(map_settings, heads)},
    {"top", 0, CLI_COUNT, "N", "with --detail head: the N strongest of the heads; in reports: heads named (default 6; 0: all)",
     offsetof(map_settings, top)},
    {"pick", 0, CLI_TEXT, "effect|textspan",
     "strongest by direct effect on the texts, or by their share in the head's TextSpan (with --pool)",
     offsetof(map_settings, pick)},
    {"pool", 0, CLI_TEXT, "POOL", "the texts that TextSpan chooses from, beside those mapped", offsetof(map_settings, pool)},
    {"rows", 0, CLI_TEXT, "ROWS", "which images, by row of the store or place in the list: 0,7,20-25 (default all)",
     offsetof(map_settings, rows)},
    {"name", 0, CLI_LIST, "NAME", "an image by its name; may be given again and again", offsetof(map_settings, names)},
    {"method", 0, CLI_LIST, "NAME",
     "another way to ask: raw-attention, rollout, gradcam, partial-lrp, lrp, transformer-attribution, generic-attention, "
     "maskclip, clip-surgery, sclip, naclip; decomposition is this one; all; may be given again and again",
     offsetof(map_settings, methods)},
    CLI_CONVENTION_OPTION(map_settings, convention),
    {"evidence", 0, CLI_TEXT, "both|for|against", "what the picture shows (default both)", offsetof(map_settings, evidence)},
    {"png", 0, CLI_TO_FILES, "FILE", "the maps laid over the pictures, with a legend: " CLI_PICTURE_HELP "; may be given again and again",
     offsetof(map_settings, pictures)},
    CLI_SHOW_OPTION(map_settings, show),
    {"scale", 0, CLI_TEXT, "X", "value of the picture's strongest colour (default: 99.5th percentile of the magnitudes)",
     offsetof(map_settings, scale)},
    {"tile", 0, CLI_COUNT, "N", "pixels a tile of the picture (default: by their number)", offsetof(map_settings, tile)},
    {"npy", 0, CLI_TO_FILE, "FILE", "raw values [images, texts, maps, tokens], the class token first", offsetof(map_settings, npy)},
    {"json", 0, CLI_FLAG, NULL, "as JSON, with the values", offsetof(map_settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table of the strongest heads, one line an image, text and head",
     offsetof(map_settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(map_settings, output)},
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(map_settings, model_path)},
    CLI_STORE_IMAGES_OPTION(map_settings, images_path),
    CLI_IMAGE_OPTIONS(map_settings, images),
    CLI_ENGINE_OPTIONS(map_settings, engine),
    CLI_MODEL_OPTIONS(map_settings, model),
    CLI_END,
};

static const map_settings defaults = {
    .heads = "all", .detail = "whole", .pick = "effect", .convention = "paper", .evidence = "both", .top = 6};

const cli_command cli_map = {
    .name = "map",
    .arguments = {"MODEL|STORE", "[IMAGES]"},
    .summary = "Show where in an image a text is argued for, by which layers and heads",
    .text = "For each image and text: how much every patch, by way of the chosen heads, adds to the cosine of the two.\n"
            "Summed over all places a map gives exactly the heads' direct effect, which is printed beside it. From MODEL\n"
            "and IMAGES, or from a STORE that keeps terms by token (decompose --tokens). docs/map.md has the formulas.",
    .example = "clipspan map models/demo/clipspan-demo photos/ --limit 3 --text \"a red circle\" --text snow --png maps.png",
    .options = options,
    .settings_size = sizeof(map_settings),
    .defaults = &defaults,
    .run = run,
};
