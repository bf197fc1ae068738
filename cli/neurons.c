/* clipspan neurons: what single MLP neurons write, from a store that kept them. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "clipspan/neurons.h"
#include "clipspan/picture.h"
#include "span.h"
#include "tiles.h"

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *texts, *embeddings, *layers, *neurons, *order, *convention, *model, *vocab, *csv, *output, *png, *images;
    size_t top, say, pictures;
    int json, cache;
    cli_engine_settings engine;
} settings;

enum { MOST = 100000, SHEET_NEURONS = 100, THUMBNAIL = 96 };

/* Everything between the store and the reports. */
typedef struct work {
    const settings *s;
    clipspan_store *store;
    clipspan_neurons *neurons;
    clipspan_neuron *rows, *named; /* [count] */
    clipspan_texts *pool;
    clipspan_model *model;
    clipspan_neuron_text *most, *least; /* [count, say] */
    clipspan_neurons_table table;
} work;

static clipspan_status check(const settings *s, clipspan_error *err)
{
    if (s->layers && s->neurons)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--neurons names neurons, --layers ranks those of layers: choose one");
    if (s->embeddings != NULL && s->texts == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--embeddings also needs --texts POOL: what its rows are of");
    if (s->top < 1 || s->top > MOST || s->say < 1 || s->say > MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--top and --say are 1 to %d", (int)MOST);
    return CLIPSPAN_OK;
}

/* ---- which neurons ------------------------------------------------------------------------------------------ */

static clipspan_neuron_order order_of(const char *name)
{
    if (strcmp(name, "variance") == 0) return CLIPSPAN_NEURONS_BY_VARIANCE;
    return strcmp(name, "share") == 0 ? CLIPSPAN_NEURONS_BY_SHARE : CLIPSPAN_NEURONS_BY_RMS;
}

static clipspan_status rank(work *w, clipspan_convention convention, clipspan_error *err)
{
    const settings *s = w->s;
    const clipspan_neurons_info *info = clipspan_neurons_get_info(w->neurons);
    unsigned char *layers = calloc((size_t)info->layers, 1);
    w->rows = calloc(s->top, sizeof *w->rows);
    if (layers == NULL || w->rows == NULL) {
        free(layers);
        return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    }
    clipspan_status status = clipspan_heads_parse(s->layers ? s->layers : "all", info->layers, 1, layers, NULL);
    if (status == CLIPSPAN_ERROR_ARGUMENT)
        status = cli_fail(err, status, "--layers %s: expected L0 to L%d, last:1 to last:%d, all, or several with commas",
                          s->layers, info->layers - 1, info->layers);
    if (status == CLIPSPAN_OK)
        status = clipspan_neurons_rank(w->neurons, convention, order_of(s->order), layers, w->rows, s->top,
                                       &w->table.count, err);
    w->table.order = s->order;
    free(layers);
    return status;
}

static clipspan_status name(work *w, clipspan_convention convention, clipspan_error *err)
{
    const clipspan_neurons_info *info = clipspan_neurons_get_info(w->neurons);
    clipspan_status status =
        clipspan_neurons_parse(&w->named, &w->table.count, w->s->neurons, info->layers, info->width, err);
    if (status != CLIPSPAN_OK) return status;
    w->rows = calloc(w->table.count, sizeof *w->rows);
    if (w->rows == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; status == CLIPSPAN_OK && i < w->table.count; i++)
        status = clipspan_neuron_get(w->neurons, convention, w->named[i].layer, w->named[i].neuron, &w->rows[i], err);
    return status;
}

static clipspan_status choose(work *w, clipspan_error *err)
{
    const settings *s = w->s;
    clipspan_convention convention = cli_convention(s->convention);
    clipspan_status status = clipspan_store_neurons(w->store, &w->neurons, err);
    if (status == CLIPSPAN_OK) status = s->neurons ? name(w, convention, err) : rank(w, convention, err);
    w->table.neurons = w->neurons;
    w->table.convention = convention;
    w->table.rows = w->rows;
    w->table.images = s->pictures;
    if (status == CLIPSPAN_OK && s->png && w->table.count > SHEET_NEURONS)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--png shows %d neurons at most, these are %zu (--top)",
                        (int)SHEET_NEURONS, w->table.count);
    return status;
}

/* ---- texts -------------------------------------------------------------------------------------------------- */

static clipspan_status describe_with(work *w, const float *embeddings, size_t count, clipspan_error *err)
{
    size_t say = w->s->say < count ? w->s->say : count;
    w->most = calloc(w->table.count * say, sizeof *w->most);
    w->least = calloc(w->table.count * say, sizeof *w->least);
    if (w->most == NULL || w->least == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_neurons_describe(w->model, w->rows, w->table.count, embeddings, count, say, w->most,
                                                       w->least, (int)w->s->engine.threads, cli_hooks(), err);
    cli_progress_end();
    w->table.pool = w->pool;
    w->table.most = w->most;
    w->table.least = w->least;
    w->table.texts = say;
    return status;
}

/* [T, E] */
static clipspan_status embed(float **out, const work *w, size_t embed_dim, clipspan_error *err)
{
    const settings *s = w->s;
    clipspan_engine *engine = NULL;
    clipspan_status status = cli_open_engine(&engine, w->model, &s->engine, err);
    if (status != CLIPSPAN_OK) return status;
    *out = calloc(clipspan_texts_count(w->pool), embed_dim * sizeof **out);
    if (*out == NULL) status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_pool(engine, w->pool, s->cache, *out, cli_hooks(), err);
    cli_progress_end();
    clipspan_engine_free(engine);
    return status;
}

static clipspan_status describe(work *w, clipspan_error *err)
{
    const settings *s = w->s;
    size_t embed_dim = (size_t)clipspan_store_get_info(w->store)->embed_dim;
    float *embeddings = NULL;
    clipspan_status status = cli_open_texts(&w->pool, s->texts, err);
    if (status == CLIPSPAN_OK && s->embeddings != NULL)
        status = cli_embeddings_open(&embeddings, s->embeddings, w->pool, s->texts, embed_dim, err);
    if (status == CLIPSPAN_OK) status = cli_open_store_model(&w->model, w->store, s->model, s->vocab, err);
    if (status == CLIPSPAN_OK && s->embeddings == NULL) status = embed(&embeddings, w, embed_dim, err);
    if (status == CLIPSPAN_OK) status = describe_with(w, embeddings, clipspan_texts_count(w->pool), err);
    free(embeddings);
    return status;
}

/* ---- the contact sheet -------------------------------------------------------------------------------------- */

/* A row a neuron: the pictures in which it is most active, then those in which it is least. */
typedef struct sheet {
    clipspan_images *images;
    size_t side, columns; /* pictures a side and both */
    clipspan_tile *tiles; /* [count, columns] */
    unsigned char *pixels; /* [count, columns, detail, detail, 3] */
    int detail;
    char (*captions)[32], (*names)[32];
    const char **rows, **heads;
} sheet;

static clipspan_status sheet_new(sheet *p, const work *w, clipspan_error *err)
{
    size_t count = w->table.count, top = (size_t)clipspan_neurons_get_info(w->neurons)->top;
    p->side = w->s->pictures < top ? w->s->pictures : top;
    if (p->side == 0) p->side = 1;
    p->columns = 2 * p->side;
    size_t tiles = count * p->columns;
    p->tiles = calloc(tiles, sizeof *p->tiles);
    p->detail = cli_tile_detail(w->s->png, THUMBNAIL);
    p->pixels = calloc(tiles, (size_t)p->detail * (size_t)p->detail * 3);
    p->captions = calloc(tiles, sizeof *p->captions);
    p->names = calloc(count, sizeof *p->names);
    p->rows = calloc(count, sizeof *p->rows);
    p->heads = calloc(p->columns, sizeof *p->heads);
    if (!p->tiles || !p->pixels || !p->captions || !p->names || !p->rows || !p->heads)
        return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t c = 0; c < p->columns; c++) p->heads[c] = c == 0 ? "most active" : c == p->side ? "least active" : "";
    return cli_open_store_images(&p->images, w->store, w->s->images, err);
}

static void sheet_clear(sheet *p)
{
    clipspan_images_free(p->images);
    free(p->tiles);
    free(p->pixels);
    free(p->captions);
    free(p->names);
    free(p->rows);
    free(p->heads);
}

static void fill_tile(sheet *p, const work *w, size_t at, const clipspan_neuron_image *image)
{
    clipspan_tile *tile = &p->tiles[at];
    unsigned char *rgb = p->pixels + at * (size_t)p->detail * (size_t)p->detail * 3;
    size_t place = cli_store_picture(p->images, w->store, (size_t)image->image);
    snprintf(p->captions[at], sizeof p->captions[at], "%.3g", (double)image->activation);
    tile->caption = p->captions[at];
    cli_tile_fill(tile, rgb, p->detail, p->images, place);
}

static void fill_row(sheet *p, const work *w, size_t i, clipspan_neuron_image *top)
{
    const clipspan_neuron *n = &w->table.rows[i];
    snprintf(p->names[i], sizeof p->names[i], "L%d.N%d", n->layer, n->neuron);
    p->rows[i] = p->names[i];
    for (int lowest = 0; lowest < 2; lowest++) {
        size_t found = clipspan_neuron_images(w->neurons, n->layer, n->neuron, lowest, top);
        for (size_t k = 0; k < p->side; k++) {
            size_t at = i * p->columns + (size_t)lowest * p->side + k;
            if (k < found)
                fill_tile(p, w, at, &top[k]);
            else
                p->tiles[at].caption = "";
        }
    }
}

static clipspan_status draw(const work *w, clipspan_error *err)
{
    sheet p = {0};
    clipspan_neuron_image top[CLIPSPAN_NEURONS_TOP_MOST];
    clipspan_status status = sheet_new(&p, w, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < w->table.count; i++) fill_row(&p, w, i, top);
    const clipspan_sheet drawn = {.tiles = p.tiles, .count = w->table.count * p.columns, .columns = p.columns,
                                  .tile_side = THUMBNAIL, .title = "MLP neurons", .rows = p.rows, .heads = p.heads,
                                  .note = "below each picture: the neuron's activation at the class token"};
    if (status == CLIPSPAN_OK) status = clipspan_picture_sheet(&drawn, w->s->png, err);
    sheet_clear(&p);
    return status;
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static clipspan_status write_results(const work *w, clipspan_error *err)
{
    const settings *s = w->s;
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv) status = clipspan_report_neurons(&w->table, w->store, CLIPSPAN_CSV, s->csv, err);
    if (status == CLIPSPAN_OK && s->png) status = draw(w, err);
    if (status != CLIPSPAN_OK) return status;
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    return clipspan_report_neurons(&w->table, w->store, format, s->output ? s->output : "-", err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    work w = {.s = s};
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&w.store, s->arguments[0], err);
    if (status == CLIPSPAN_OK && !clipspan_store_get_info(w.store)->complete)
        cli_warn("the store is unfinished: %llu images are used", (unsigned long long)clipspan_store_get_info(w.store)->images);
    if (status == CLIPSPAN_OK) status = choose(&w, err);
    if (status == CLIPSPAN_OK && s->texts) status = describe(&w, err);
    if (status == CLIPSPAN_OK) status = write_results(&w, err);
    clipspan_neurons_free(w.neurons);
    clipspan_neurons_parse_free(w.named);
    clipspan_texts_free(w.pool);
    clipspan_model_free(w.model);
    clipspan_store_free(w.store);
    free(w.rows);
    free(w.most);
    free(w.least);
    return status;
}

static const cli_option options[] = {
    {"texts", 't', CLI_TEXT, "POOL", "describe each neuron by the texts that its direction is most and least like",
     offsetof(settings, texts)},
    {"embeddings", 0, CLI_TEXT, "FILE.npy", CLI_EMBEDDINGS_HELP, offsetof(settings, embeddings)},
    {"layers", 0, CLI_TEXT, "LAYERS", "rank the neurons of these: L10, last:2, comma-separated (default all)",
     offsetof(settings, layers)},
    {"neurons", 0, CLI_TEXT, "NEURONS", "show these instead: L10.N345, @FILE, comma-separated", offsetof(settings, neurons)},
    {"top", 'n', CLI_COUNT, "N", "how many to rank (default 20)", offsetof(settings, top)},
    {"order", 0, CLI_TEXT, "rms|variance|share",
     "by the contribution's root mean square length (default), its variance over the images, or that over the MLP term's",
     offsetof(settings, order)},
    {"say", 0, CLI_COUNT, "N", "texts a neuron and side (default 3)", offsetof(settings, say)},
    {"pictures", 0, CLI_COUNT, "N", "top images a neuron and side (default 4; a store keeps 8)", offsetof(settings, pictures)},
    CLI_CONVENTION_OPTION(settings, convention),
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line a neuron", offsetof(settings, csv)},
    {"png", 0, CLI_TO_FILE, "FILE", "also draw each neuron's top images, one row a neuron: " CLI_PICTURE_HELP, offsetof(settings, png)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_STORE_IMAGES_OPTION(settings, images),
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(settings, model)},
    CLI_VOCAB_OPTION(settings, vocab),
    {"no-cache", 0, CLI_UNFLAG, NULL, "neither read nor write the cache of text embeddings", offsetof(settings, cache)},
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_END,
};

static const settings defaults = {.order = "rms", .convention = "paper", .top = 20, .say = 3, .pictures = 4, .cache = 1};

const cli_command cli_neurons = {
    .name = "neurons",
    .arguments = {"STORE"},
    .summary = "Say what single MLP neurons write to the representation",
    .text = "Of a store that was written with --neurons: each neuron's importance over its images, the images in which it is\n"
            "most and least active, and, with --texts, what its direction in the joint space is like. The contribution of a\n"
            "neuron to an image is one number times that direction (docs/neurons.md). Only texts need the model.",
    .example = "clipspan neurons photos.store --texts models/pools/general.txt --layers last:2 --top 10 --png neurons.png",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
