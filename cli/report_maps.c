/* Heat-maps of a report: where heads see their first texts in the image that they see the first one most in. The model runs
 * on those images alone, and no more of them are held than a batch. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_MOST = 16, MANY_IMAGES = 100 };
static const double TOKEN_BYTES = 256e6; /* of one batch, all layers */

typedef struct head_text {
    int layer, head;
    size_t text;  /* of the pool */
    size_t image; /* of the sample */
    int filled;
} head_text;

typedef struct mapping {
    report_side *side;
    clipspan_engine *engine;
    clipspan_images *sample;
    uint64_t *rows; /* [image_count] of the store, ascending */
    size_t *places; /* [image_count] in the store's list */
    size_t image_count;
    head_text *wanted; /* [count] */
    size_t count, patches;
    float *directions;            /* [count, E] */
    float *room;                  /* [N] */
    float *values;                /* [count, patches] */
    clipspan_head_map *maps;      /* [count]; of those that are filled */
    unsigned char *chosen;        /* [L * H] */
    int side_patches;
} mapping;

static clipspan_status no_memory(clipspan_error *err)
{
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

/* ---- what is mapped ------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The rows of the heads' most activated images, each once, where their pictures are found. */
static clipspan_status choose_images(mapping *m, size_t heads, clipspan_error *err)
{
    size_t found = 0;
    m->rows = calloc(heads + 1, sizeof *m->rows);
    m->places = calloc(heads + 1, sizeof *m->places);
    if (m->rows == NULL || m->places == NULL) return no_memory(err);
    for (size_t i = 0; i < heads; i++) {
        const clipspan_activation *a = report_activation(m->side, i);
        if (a != NULL && a->top > 0) m->rows[found++] = a->most[0];
    }
    qsort(m->rows, found, sizeof *m->rows, by_number);
    for (size_t i = 0; i < found; i++) {
        size_t place = cli_store_picture(m->side->images, m->side->store, (size_t)m->rows[i]);
        if (place == SIZE_MAX || (m->image_count > 0 && m->rows[m->image_count - 1] == m->rows[i])) continue;
        m->places[m->image_count] = place;
        m->rows[m->image_count++] = m->rows[i];
    }
    return CLIPSPAN_OK;
}

static clipspan_status choose_texts(mapping *m, size_t heads, clipspan_error *err)
{
    const clipspan_textspan *span = m->side->heads.textspan;
    m->wanted = calloc(heads * m->side->s->maps + 1, sizeof *m->wanted);
    if (m->wanted == NULL) return no_memory(err);
    for (size_t i = 0; i < heads; i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(span, i);
        const clipspan_activation *a = report_activation(m->side, i);
        uint64_t *row = a && a->top > 0 && m->image_count > 0
                            ? bsearch(&a->most[0], m->rows, m->image_count, sizeof *m->rows, by_number)
                            : NULL;
        for (size_t t = 0; row != NULL && t < m->side->s->maps && t < (size_t)head->count; t++)
            m->wanted[m->count++] =
                (head_text){head->layer, head->head, head->texts[t].text, (size_t)(row - m->rows), 0};
    }
    return CLIPSPAN_OK;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static clipspan_status open_engine(mapping *m, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(m->side->model);
    cli_engine_settings engine = m->side->s->span.engine;
    double fits = TOKEN_BYTES / ((double)info->layers * info->width * info->tokens * sizeof(float));
    if (engine.batch == 0) engine.batch = fits < 1 ? 1 : fits > BATCH_MOST ? BATCH_MOST : (size_t)fits;
    if (engine.batch > m->image_count) engine.batch = m->image_count;
    return cli_open_engine(&m->engine, m->side->model, &engine, err);
}

static clipspan_status embed_texts(mapping *m, clipspan_error *err)
{
    clipspan_texts *texts = NULL;
    const char **words = calloc(m->count, sizeof *words);
    if (words == NULL) return no_memory(err);
    for (size_t i = 0; i < m->count; i++) words[i] = clipspan_textspan_text_of(m->side->heads.textspan, m->wanted[i].text);
    clipspan_status status = clipspan_texts_copy(&texts, words, m->count, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_engine_embed_pool(m->engine, texts, m->side->s->span.cache, m->directions, cli_hooks(), err);
    cli_progress_end();
    clipspan_texts_free(texts);
    free(words);
    return status;
}

static clipspan_status make_room(mapping *m, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(m->side->model);
    m->side_patches = info->grid;
    m->patches = (size_t)info->grid * (size_t)info->grid;
    m->directions = calloc(m->count, (size_t)info->embed_dim * sizeof *m->directions);
    m->room = calloc((size_t)info->tokens, sizeof *m->room);
    m->values = calloc(m->count, m->patches * sizeof *m->values);
    m->maps = calloc(m->count, sizeof *m->maps);
    m->chosen = calloc((size_t)info->layers * (size_t)info->heads, 1);
    return m->directions && m->room && m->values && m->maps && m->chosen ? CLIPSPAN_OK : no_memory(err);
}

/* ---- mapping -------------------------------------------------------------------------------------------------- */

static clipspan_status map_one(mapping *m, const clipspan_batch *batch, size_t image, size_t i, clipspan_error *err)
{
    head_text *w = &m->wanted[i];
    clipspan_map_summary summary;
    size_t head = (size_t)(w->layer * batch->basis->heads + w->head), dim = (size_t)batch->basis->embed_dim;
    float *values = m->values + i * m->patches;
    m->chosen[head] = 1;
    clipspan_status status =
        clipspan_map_batch(m->room, batch, image, cli_convention(m->side->s->span.convention), m->chosen,
                           m->directions + i * dim, 1, CLIPSPAN_MAP_WHOLE, (int)m->side->s->span.engine.threads, err);
    m->chosen[head] = 0;
    if (status == CLIPSPAN_OK)
        status = clipspan_map_summarise(&summary, m->room, m->patches + 1, m->side_patches, err);
    if (status != CLIPSPAN_OK) return status;
    memcpy(values, m->room + 1, m->patches * sizeof *values);
    m->maps[i].effect = summary.total;
    w->filled = 1;
    return CLIPSPAN_OK;
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    mapping *m = user;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t image = 0; image < batch->images; image++)
        for (size_t i = 0; status == CLIPSPAN_OK && i < m->count; i++)
            if (m->wanted[i].image == (size_t)batch->index[image]) status = map_one(m, batch, image, i, err);
    return status;
}

static clipspan_status run_model(mapping *m, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(m->side->store);
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    int *layers = calloc((size_t)info->layers, sizeof *layers);
    if (layers == NULL) return no_memory(err);
    for (int l = 0; l < info->layers; l++)
        for (size_t i = 0; i < m->count; i++)
            if (m->wanted[i].layer == l) {
                layers[options.token_layer_count++] = l;
                break;
            }
    options.parts = CLIPSPAN_PART_TOKENS;
    options.token_layers = layers;
    if (m->image_count > MANY_IMAGES)
        cli_note("heat-maps: the model runs on %zu images (--maps 0: no maps)", m->image_count);
    clipspan_status status = clipspan_images_some(&m->sample, m->side->images, m->places, m->image_count, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_decompose_each(m->engine, m->sample, &options, take_batch, m, cli_hooks(), err);
    cli_progress_end();
    free(layers);
    return status;
}

/* ---- adding --------------------------------------------------------------------------------------------------- */

/* The line that prints one of the maps. */
static cli_line line_of(const mapping *m, const head_text *w)
{
    const clipspan_store_info *info = clipspan_store_get_info(m->side->store);
    const char *vocab = m->side->s->span.vocab;
    cli_line line = {0};
    cli_line_word(&line, "map");
    cli_line_path(&line, m->side->model_path ? m->side->model_path : info->model_path);
    cli_line_path(&line, m->side->images_path ? m->side->images_path : info->images_path);
    if (info->listed > 1) cli_line_option(&line, "--source", info->images_kind);
    if (info->exif) cli_line_word(&line, "--exif");
    if (info->model_config[0]) cli_line_path_option(&line, "--config", info->model_config);
    if (vocab != NULL || info->model_vocab[0]) cli_line_path_option(&line, "--vocab", vocab ? vocab : info->model_vocab);
    cli_line_option(&line, "--text", clipspan_textspan_text_of(m->side->heads.textspan, w->text));
    cli_line_word(&line, "--heads");
    cli_line_format(&line, "L%d.H%d", w->layer, w->head);
    cli_line_word(&line, "--rows");
    cli_line_format(&line, "%zu", m->places[w->image]);
    if (cli_convention(m->side->s->span.convention) == CLIPSPAN_EXACT) cli_line_option(&line, "--convention", "exact");
    cli_line_engine(&line, &m->side->s->span.engine);
    cli_line_word(&line, "--json");
    return line;
}

/* The filled maps come first, with all that is said of them; returns how many. */
static size_t describe(mapping *m, char **commands)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        const head_text *w = &m->wanted[i];
        cli_line line = {0};
        if (!w->filled) continue;
        line = line_of(m, w);
        commands[kept] = cli_line_text(&line);
        cli_line_clear(&line);
        m->maps[kept] = (clipspan_head_map){
            w->layer, w->head, clipspan_textspan_text_of(m->side->heads.textspan, w->text), commands[kept] ? commands[kept] : "",
            m->rows[w->image], m->maps[i].effect, m->values + i * m->patches};
        kept++;
    }
    return kept;
}

static clipspan_status add(mapping *m, clipspan_error *err)
{
    clipspan_memory_file *file = NULL;
    char **commands = calloc(m->count + 1, sizeof *commands);
    if (commands == NULL) return no_memory(err);
    size_t kept = describe(m, commands), first = 0;
    while (first < m->count && !m->wanted[first].filled) first++;
    clipspan_status status = kept ? clipspan_memory_file_new(&file, err)
                                  : cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the images could be read");
    if (status == CLIPSPAN_OK)
        status = clipspan_report_head_maps(m->maps, kept, m->side_patches, cli_convention(m->side->s->span.convention),
                                           clipspan_memory_file_path(file), err);
    if (status == CLIPSPAN_OK) {
        cli_line line = line_of(m, &m->wanted[first]);
        status = report_add(m->side, "head-maps", &line, file, REPORT_MAPPED, err);
        cli_line_clear(&line);
    }
    clipspan_memory_file_free(file);
    for (size_t i = 0; i < kept; i++) free(commands[i]);
    free(commands);
    return status;
}

static void clear(mapping *m)
{
    clipspan_images_free(m->sample);
    clipspan_engine_free(m->engine);
    void *const blocks[] = {m->rows, m->places, m->wanted, m->directions, m->room, m->values, m->maps, m->chosen};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

static clipspan_status map_all(report_side *side, clipspan_error *err)
{
    mapping m = {.side = side};
    size_t heads = clipspan_textspan_head_count(side->heads.textspan);
    clipspan_status status = choose_images(&m, heads, err);
    if (status == CLIPSPAN_OK) status = choose_texts(&m, heads, err);
    if (status == CLIPSPAN_OK && m.count == 0) status = cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "no head has an image to map");
    if (status == CLIPSPAN_OK) status = make_room(&m, err);
    if (status == CLIPSPAN_OK) status = open_engine(&m, err);
    if (status == CLIPSPAN_OK) status = embed_texts(&m, err);
    if (status == CLIPSPAN_OK) status = run_model(&m, err);
    if (status == CLIPSPAN_OK) status = add(&m, err);
    clear(&m);
    return status;
}

clipspan_status report_maps(report_side *side, clipspan_error *err)
{
    const char *why = side->model == NULL               ? side->no_model
                      : side->images == NULL            ? side->no_images
                      : side->heads.textspan == NULL    ? "heads have no texts here to make maps of"
                      : side->heads.activations == NULL ? "the store holds moments alone, no single images"
                                                        : NULL;
    if (side->s->maps == 0) return CLIPSPAN_OK;
    clipspan_status status =
        why ? cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s", why) : map_all(side, err);
    return report_leave_out(side, "head-maps", status, err);
}
