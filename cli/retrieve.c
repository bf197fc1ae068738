/* clipspan retrieve: the images that are nearest in a head's space; which head retrieves what. */
#include "retrieve.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "labelled.h"
#include "span.h"

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    size_t row, k, queries, seed;
    const char *name, *image, *text, *heads, *convention, *similarity, *verify, *norms;
    int each, whole, centre;
    const char *column, *evaluate, *output, *csv, *png, *images, *model, *vocab;
    int json;
    cli_engine_settings engine;
} settings;

enum { MOST_COLUMNS = 64, MOST_NEIGHBOURS = 1000000, MOST_THREADS = 1024 };

/* What is asked in every space. */
typedef struct query {
    const settings *s;
    const clipspan_store *store;
    const unsigned char *chosen; /* [L * H] */
    size_t column;               /* SIZE_MAX: none */
    cli_answers *answers;
    clipspan_model *model;
    clipspan_engine *engine;
    float *direction;            /* [E] of a text */
    const clipspan_batch *batch; /* of an image file */
} query;

/* ---- what was asked for ------------------------------------------------------------------------------------- */

static clipspan_status check(const settings *s, clipspan_error *err)
{
    int ways = (s->row != SIZE_MAX) + (s->name != NULL) + (s->image != NULL) + (s->text != NULL);
    if (s->evaluate != NULL && (ways > 0 || s->each || s->whole || s->png || s->norms || s->column))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "--evaluate draws its own queries and tries every head: it goes without --row, --name, --image, "
                        "--text, --each, --whole, --column, --norms and --png");
    if (s->text != NULL && s->text[strspn(s->text, " \t\n")] == '\0')
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--text is empty");
    if (s->evaluate == NULL && ways != 1)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "%s of --row N, --name NAME, --image FILE, --text TEXT is needed (or --evaluate COLUMNS)",
                        ways ? "only one" : "one");
    if (s->evaluate == NULL && s->heads == NULL && !s->whole)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--heads HEADS is missing (or --whole)");
    if (s->k < 1 || s->k > MOST_NEIGHBOURS)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-k is 1 to %d", (int)MOST_NEIGHBOURS);
    if (s->engine.threads > MOST_THREADS)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--threads is at most %d", (int)MOST_THREADS);
    if (s->norms != NULL && (s->each || (s->heads && s->whole)))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--norms keeps the norms of one space, and several are asked for");
    if (s->norms != NULL && strcmp(s->similarity, "cosine") != 0)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--norms is for cosines: inner products need none");
    return CLIPSPAN_OK;
}

static clipspan_retrieval_options options_of(const settings *s)
{
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    options.convention = cli_convention(s->convention);
    options.similarity = strcmp(s->similarity, "inner") == 0 ? CLIPSPAN_INNER : CLIPSPAN_COSINE;
    options.verify = strcmp(s->verify, "always") == 0  ? CLIPSPAN_VERIFY_ALWAYS
                     : strcmp(s->verify, "never") == 0 ? CLIPSPAN_VERIFY_NEVER
                                                       : CLIPSPAN_VERIFY_SMALL;
    options.centred = s->centre;
    options.threads = (int)s->engine.threads;
    options.norms = s->norms;
    return options;
}

static clipspan_status find_name(const settings *s, const clipspan_store *store, uint64_t *row, clipspan_error *err)
{
    uint64_t images = clipspan_store_get_info(store)->images;
    *row = s->row;
    if (s->name == NULL) return CLIPSPAN_OK;
    for (*row = 0; *row < images; ++*row)
        if (strcmp(clipspan_store_image_name(store, (size_t)*row), s->name) == 0) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: no image is called %s (names are as in the image list, such as %s)",
                    s->arguments[0], s->name, images ? clipspan_store_image_name(store, 0) : "none");
}

static clipspan_status find_column(query *q, clipspan_error *err)
{
    cli_labelled from = {.store = q->store};
    clipspan_status status = cli_labelled_choose(&from, q->s->column, err);
    q->column = from.column;
    if (status == CLIPSPAN_OK || strcmp(q->s->column, "label") != 0 || clipspan_store_class_count(q->store) == 0)
        return status;
    q->column = clipspan_store_column_count(q->store); /* stands for the classes */
    return CLIPSPAN_OK;
}

static const char *value_of(const query *q, uint64_t row)
{
    if (q->column < clipspan_store_column_count(q->store)) return clipspan_store_value(q->store, (size_t)row, q->column);
    int label = clipspan_store_image_label(q->store, (size_t)row);
    return label < 0 ? "" : clipspan_store_class(q->store, (size_t)label);
}

/* ---- the spaces --------------------------------------------------------------------------------------------- */

static size_t chosen_count(const query *q)
{
    const clipspan_store_info *info = clipspan_store_get_info(q->store);
    size_t count = 0;
    for (size_t h = 0; q->s->heads && h < (size_t)info->layers * (size_t)info->heads; h++) count += q->chosen[h];
    return count;
}

static size_t space_count(const query *q)
{
    size_t heads = chosen_count(q);
    return (q->s->each ? heads : heads > 0) + (q->s->whole != 0);
}

/* Space n: the set, or its n-th head on its own, and at the end the whole. one: [L * H] of zeros. */
static int choose_space(const query *q, size_t n, unsigned char *one, clipspan_retrieval_options *options)
{
    size_t seen = 0, at = 0;
    options->whole = q->s->whole && n + 1 == q->answers->report.count;
    options->heads = q->chosen;
    if (options->whole || !q->s->each) return -1;
    while (!q->chosen[at] || seen++ < n) at++;
    one[at] = 1;
    options->heads = one;
    return (int)at;
}

static clipspan_status keep(query *q, size_t n, const clipspan_retrieval *retrieval, size_t found, clipspan_error *err)
{
    cli_answers *a = q->answers;
    clipspan_neighbours *space = &a->spaces[n];
    size_t same = 0;
    clipspan_status status = clipspan_retrieval_name(retrieval, &a->names[n], err);
    if (status != CLIPSPAN_OK) return status;
    if (q->column != SIZE_MAX && (a->values[n] = calloc(found + 1, sizeof *a->values[n])) == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    *space = (clipspan_neighbours){.space = a->names[n], .hits = a->hits[n], .count = found, .share = (double)NAN};
    a->report.how = clipspan_retrieval_get_info(retrieval);
    if (q->column == SIZE_MAX) return CLIPSPAN_OK;
    space->values = a->values[n];
    for (size_t i = 0; i < found; i++) {
        a->values[n][i] = value_of(q, a->hits[n][i].row);
        same += a->report.value != NULL && strcmp(a->values[n][i], a->report.value) == 0;
    }
    if (a->report.value != NULL && a->report.value[0] && found > 0) space->share = (double)same / (double)found;
    return CLIPSPAN_OK;
}

static clipspan_status ask(query *q, size_t n, const clipspan_retrieval_options *options, clipspan_error *err)
{
    cli_answers *a = q->answers;
    clipspan_retrieval *retrieval = NULL;
    size_t found = 0, images = (size_t)clipspan_store_get_info(q->store)->images, k = q->s->k < images ? q->s->k : images;
    a->hits[n] = calloc(k + 1, sizeof **a->hits);
    if (a->hits[n] == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_retrieval_open(&retrieval, q->store, options, cli_hooks(), err);
    if (status == CLIPSPAN_OK)
        status = q->direction ? clipspan_retrieval_direction(retrieval, q->direction, k, a->hits[n], &found, err)
                 : q->batch   ? clipspan_retrieval_batch(retrieval, q->batch, 0, k, a->hits[n], &found, err)
                              : clipspan_retrieval_row(retrieval, a->report.query_row, 0, k, a->hits[n], &found, err);
    if (status == CLIPSPAN_OK) status = keep(q, n, retrieval, found, err);
    clipspan_retrieval_free(retrieval);
    return status;
}

static clipspan_status ask_all(query *q, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(q->store);
    clipspan_retrieval_options options = options_of(q->s);
    unsigned char *one = calloc((size_t)info->layers * (size_t)info->heads, 1);
    clipspan_status status = one ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t n = 0; status == CLIPSPAN_OK && n < q->answers->report.count; n++) {
        int at = choose_space(q, n, one, &options);
        status = ask(q, n, &options, err);
        if (at >= 0) one[at] = 0;
    }
    cli_progress_end();
    free(one);
    return status;
}

/* ---- the query ---------------------------------------------------------------------------------------------- */

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    query *q = user;
    q->batch = batch;
    return ask_all(q, err);
}

static clipspan_status open_engine(query *q, clipspan_error *err)
{
    clipspan_status status = cli_open_store_model(&q->model, q->store, q->s->model, q->s->vocab, err);
    cli_engine_settings engine = q->s->engine;
    if (engine.batch == 0) engine.batch = 1;
    return status ? status : cli_open_engine(&q->engine, q->model, &engine, err);
}

static clipspan_status ask_image(query *q, clipspan_error *err)
{
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    clipspan_decompose_options what = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    clipspan_images *images = NULL;
    options.exif = clipspan_store_get_info(q->store)->exif;
    what.parts = 0;
    what.strict = 1;
    clipspan_status status = clipspan_images_open(&images, q->s->image, &options, err);
    if (status == CLIPSPAN_OK && clipspan_images_count(images) != 1)
        status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--image %s: one picture is expected, this has %zu", q->s->image,
                          clipspan_images_count(images));
    if (status == CLIPSPAN_OK) status = open_engine(q, err);
    if (status == CLIPSPAN_OK) status = clipspan_decompose_each(q->engine, images, &what, take_batch, q, cli_hooks(), err);
    clipspan_images_free(images);
    return status;
}

static clipspan_status ask_text(query *q, clipspan_error *err)
{
    float *direction = calloc((size_t)clipspan_store_get_info(q->store)->embed_dim, sizeof *direction);
    clipspan_status status =
        direction ? open_engine(q, err) : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_texts(q->engine, &q->s->text, 1, 1, direction, err);
    q->direction = direction;
    return status ? status : ask_all(q, err);
}

static clipspan_status answers_open(query *q, clipspan_error *err)
{
    cli_answers *a = q->answers;
    const settings *s = q->s;
    uint64_t row = UINT64_MAX;
    clipspan_status status = CLIPSPAN_OK;
    a->image = s->image;
    if (s->image == NULL && s->text == NULL) status = find_name(s, q->store, &row, err);
    if (status != CLIPSPAN_OK) return status;
    uint64_t images = clipspan_store_get_info(q->store)->images;
    if (row != UINT64_MAX && row >= images)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--row %llu: the store's rows are 0 to %llu",
                        (unsigned long long)row, (unsigned long long)(images ? images - 1 : 0));
    a->report = (clipspan_neighbours_report){.query = s->image ? s->image : s->text, .query_row = row,
                                             .query_kind = s->image ? "image" : s->text ? "text" : "row",
                                             .column = s->column, .count = space_count(q)};
    if (row != UINT64_MAX) {
        a->report.query = clipspan_store_image_name(q->store, (size_t)row);
        if (q->column != SIZE_MAX) a->report.value = value_of(q, row);
    }
    a->spaces = calloc(a->report.count + 1, sizeof *a->spaces);
    a->hits = calloc(a->report.count + 1, sizeof *a->hits);
    a->names = calloc(a->report.count + 1, sizeof *a->names);
    a->values = calloc(a->report.count + 1, sizeof *a->values);
    a->report.spaces = a->spaces;
    if (a->spaces && a->hits && a->names && a->values) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static void answers_close(cli_answers *a)
{
    for (size_t n = 0; a->spaces && a->hits && a->names && a->values && n < a->report.count; n++) {
        free(a->hits[n]);
        free(a->names[n]);
        free(a->values[n]);
    }
    free(a->spaces);
    free(a->hits);
    free(a->names);
    free(a->values);
}

static clipspan_status write_answers(const settings *s, const cli_answers *a, const clipspan_store *store,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (s->png != NULL) status = cli_retrieve_sheet(a, store, s->images, s->png, err);
    if (status == CLIPSPAN_OK && s->csv != NULL)
        status = clipspan_report_neighbours(&a->report, store, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_neighbours(&a->report, store, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT,
                                      s->output ? s->output : "-", err);
}

static clipspan_status answer(const settings *s, const clipspan_store *store, const unsigned char *chosen,
                              clipspan_error *err)
{
    cli_answers answers = {0};
    query q = {.s = s, .store = store, .chosen = chosen, .answers = &answers};
    clipspan_status status = find_column(&q, err);
    if (status == CLIPSPAN_OK) status = answers_open(&q, err);
    if (status == CLIPSPAN_OK) status = s->image ? ask_image(&q, err) : s->text ? ask_text(&q, err) : ask_all(&q, err);
    if (status == CLIPSPAN_OK) status = write_answers(s, &answers, store, err);
    answers_close(&answers);
    free(q.direction);
    clipspan_engine_free(q.engine);
    clipspan_model_free(q.model);
    return status;
}

/* ---- which head retrieves what ------------------------------------------------------------------------------ */

static clipspan_status run_precision(const settings *s, const clipspan_store *store, const unsigned char *chosen,
                                     char *columns, clipspan_precision **result, clipspan_error *err)
{
    clipspan_precision_options options = CLIPSPAN_PRECISION_OPTIONS_INIT;
    clipspan_retrieval_options how = options_of(s);
    const char *names[MOST_COLUMNS];
    for (char *part = strtok(columns, ","); part != NULL; part = strtok(NULL, ",")) {
        if (options.column_count == MOST_COLUMNS)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--evaluate: at most %d columns", (int)MOST_COLUMNS);
        names[options.column_count++] = part;
    }
    if (options.column_count == 0) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--evaluate names no column");
    options.columns = strcmp(s->evaluate, "all") == 0 ? NULL : names;
    options.k = s->k;
    options.queries = s->queries;
    options.seed = s->seed;
    how.heads = chosen;
    clipspan_status status = clipspan_precision_run(result, store, &how, &options, cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status evaluate(const settings *s, const clipspan_store *store, const unsigned char *chosen,
                                clipspan_error *err)
{
    clipspan_precision *result = NULL;
    char *columns = strdup(s->evaluate);
    clipspan_status status = columns ? run_precision(s, store, chosen, columns, &result, err)
                                     : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK && s->csv != NULL) status = clipspan_report_precision(result, CLIPSPAN_CSV, s->csv, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_precision(result, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT, s->output ? s->output : "-", err);
    clipspan_precision_free(result);
    free(columns);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_store *store = NULL;
    unsigned char *chosen = NULL;
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        if (info->moments_only)
            status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s holds moments alone, no single images", s->arguments[0]);
        else if (!info->complete)
            cli_warn("the store is unfinished: %llu images of %llu are used", (unsigned long long)info->images,
                     (unsigned long long)info->listed);
        chosen = calloc((size_t)info->layers * (size_t)info->heads, 1);
        if (chosen == NULL) status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
        if (status == CLIPSPAN_OK && (s->heads != NULL || s->evaluate != NULL))
            status = clipspan_heads_parse(s->heads ? s->heads : "all", info->layers, info->heads, chosen, err);
    }
    if (status == CLIPSPAN_OK) status = s->evaluate ? evaluate(s, store, chosen, err) : answer(s, store, chosen, err);
    free(chosen);
    clipspan_store_free(store);
    return status;
}

static const cli_option options[] = {
    {"row", 0, CLI_COUNT, "N", "nearest to this row of the store", offsetof(settings, row)},
    {"name", 0, CLI_TEXT, "NAME", "nearest to the store's image of this name", offsetof(settings, name)},
    {"image", 0, CLI_TEXT, "FILE", "nearest to this picture, which the store's model looks at", offsetof(settings, image)},
    {"text", 't', CLI_TEXT, "TEXT", "nearest to this text", offsetof(settings, text)},
    {"heads", 0, CLI_TEXT, "HEADS", "L22.H13, L22, last:4, all, @FILE, comma-separated: their summed term is compared",
     offsetof(settings, heads)},
    {"each", 0, CLI_FLAG, NULL, "answers of every one of these heads alone", offsetof(settings, each)},
    {"whole", 0, CLI_FLAG, NULL, "also (or only) the whole representation, as plain CLIP search", offsetof(settings, whole)},
    {"k", 'k', CLI_COUNT, "N", "this many images (default 10)", offsetof(settings, k)},
    {"similarity", 0, CLI_TEXT, "cosine|inner", "how two terms are compared (default cosine)", offsetof(settings, similarity)},
    {"centre", 0, CLI_FLAG, NULL, "take the mean over the store's images from every image's term first",
     offsetof(settings, centre)},
    CLI_CONVENTION_OPTION(settings, convention),
    {"column", 0, CLI_TEXT, "NAME", "print the images' values in this column, and the share that has the query's",
     offsetof(settings, column)},
    {"evaluate", 0, CLI_TEXT, "A,B,...",
     "which head retrieves what: precision at k for these columns of the image list's CSV, or \"all\"", offsetof(settings, evaluate)},
    {"queries", 0, CLI_COUNT, "N", "images drawn as queries by --evaluate (default 1000; 0: all)", offsetof(settings, queries)},
    {"seed", 0, CLI_COUNT, "N", "of that draw (default 0)", offsetof(settings, seed)},
    {"norms", 0, CLI_TO_FILE, "FILE", "keep the images' norms there, and take them from there next time", offsetof(settings, norms)},
    {"verify", 0, CLI_TEXT, "small|always|never",
     "compare checksums of what is read first (default: where that is at most 1 GB)", offsetof(settings, verify)},
    {"png", 0, CLI_TO_FILE, "FILE", "also write a contact sheet of the pictures: " CLI_PICTURE_HELP, offsetof(settings, png)},
    CLI_STORE_IMAGES_OPTION(settings, images),
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table", offsetof(settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now, for --image and --text", offsetof(settings, model)},
    CLI_VOCAB_OPTION(settings, vocab),
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_END,
};

static const settings defaults = {
    .row = SIZE_MAX, .k = 10, .queries = 1000, .convention = "paper", .similarity = "cosine", .verify = "small"};

const cli_command cli_retrieve = {
    .name = "retrieve",
    .arguments = {"STORE"},
    .summary = "Find the images that are nearest in one head's space",
    .text = "Images of the store whose term of one head, or whose summed term of several, is most like the query's. The\n"
            "query is an image of the store, a picture file, or a text. Every image is looked at, where it lies in the\n"
            "store; a query reads the chosen heads' numbers alone. --evaluate asks for every head how often an image's\n"
            "nearest share its value in a column: which head retrieves by place, by colour, by count.",
    .example = "clipspan retrieve out/demo/store --row 17 --heads L4.H3 --png nearest.png",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
