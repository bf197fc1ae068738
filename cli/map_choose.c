/* Which images, texts and heads `clipspan map` is about. */
#include "map.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static clipspan_status no_memory(clipspan_error *err)
{
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

const char *map_image_name(const map_job *job, size_t row)
{
    return job->store ? clipspan_store_image_name(job->store, row) : clipspan_images_name(job->images, row);
}

/* ---- images ------------------------------------------------------------------------------------------------ */

static size_t image_count(const map_job *job)
{
    return job->store ? (size_t)clipspan_store_get_info(job->store)->images : clipspan_images_count(job->images);
}

int map_read_range(const char **text, size_t *first, size_t *last)
{
    char *end;
    if (!isdigit((unsigned char)**text)) return 0;
    *first = *last = strtoull(*text, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1])) *last = strtoull(end + 1, &end, 10);
    if ((*end != ',' && *end != '\0') || *last < *first) return 0;
    *text = *end == ',' ? end + 1 : end;
    return 1;
}

static clipspan_status add_rows(map_job *job, size_t first, size_t last, size_t *room, clipspan_error *err)
{
    size_t images = image_count(job);
    if (last >= images)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "there is no image %zu: the last one is %zu", last, images - 1);
    for (size_t row = first; row <= last; row++) {
        if (job->row_count == *room) {
            size_t more = *room ? 2 * *room : 64;
            size_t *rows = realloc(job->rows, more * sizeof *rows);
            if (rows == NULL) return no_memory(err);
            job->rows = rows;
            *room = more;
        }
        job->rows[job->row_count++] = row;
    }
    return CLIPSPAN_OK;
}

static clipspan_status find_name(map_job *job, const char *name, size_t *room, clipspan_error *err)
{
    size_t images = image_count(job);
    for (size_t row = 0; row < images; row++)
        if (strcmp(map_image_name(job, row), name) == 0) return add_rows(job, row, row, room, err);
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "none of the %zu images is called \"%s\"; the first is \"%s\"", images,
                    name, map_image_name(job, 0));
}

clipspan_status map_choose_rows(map_job *job, clipspan_error *err)
{
    const map_settings *s = job->s;
    size_t room = 0, first, last;
    clipspan_status status = CLIPSPAN_OK;
    if (image_count(job) == 0) return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s holds no image", s->arguments[0]);
    for (const char *text = s->rows ? s->rows : ""; status == CLIPSPAN_OK && *text;) {
        if (!map_read_range(&text, &first, &last))
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--rows %s: expected numbers and ranges, such as 0,7,20-25", s->rows);
        status = add_rows(job, first, last, &room, err);
    }
    for (size_t i = 0; status == CLIPSPAN_OK && i < s->names.count; i++)
        status = find_name(job, s->names.items[i], &room, err);
    if (status == CLIPSPAN_OK && job->row_count == 0) status = add_rows(job, 0, image_count(job) - 1, &room, err);
    return status;
}

/* ---- texts ------------------------------------------------------------------------------------------------- */

/* Those of --text, then those of --texts. */
static clipspan_status gather_texts(map_job *job, clipspan_error *err)
{
    const map_settings *s = job->s;
    clipspan_texts *lines = NULL;
    clipspan_status status = s->texts_file ? cli_open_texts(&lines, s->texts_file, err) : CLIPSPAN_OK;
    if (status != CLIPSPAN_OK) return status;
    size_t more = lines ? clipspan_texts_count(lines) : 0, count = s->texts.count + more;
    const char **all = calloc(count + 1, sizeof *all);
    if (all == NULL) status = no_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < count; i++) {
        all[i] = i < s->texts.count ? s->texts.items[i] : clipspan_texts_get(lines, i - s->texts.count);
        if (all[i][strspn(all[i], " \t\n")] == '\0') status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--text is empty");
    }
    if (status == CLIPSPAN_OK && count == 0)
        status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--text TEXT is missing (or --texts FILE)");
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&job->words, all, count, err);
    job->text_count = count;
    free(all);
    clipspan_texts_free(lines);
    return status;
}

static clipspan_status embed(map_job *job, clipspan_error *err)
{
    size_t dim = (size_t)job->embed_dim, count = job->text_count;
    job->directions = calloc(count, dim * sizeof *job->directions);
    const char **all = calloc(count, sizeof *all);
    clipspan_status status = job->directions && all ? CLIPSPAN_OK : no_memory(err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < count; t++) all[t] = clipspan_texts_get(job->words, t);
    if (status == CLIPSPAN_OK)
        status = clipspan_engine_embed_texts(job->engine, all, count, 1, job->directions, err);
    free(all);
    return status;
}

/* What is subtracted of every text: another text, or their mean. minus: [E]. */
static clipspan_status embed_minus(map_job *job, float *minus, clipspan_error *err)
{
    size_t dim = (size_t)job->embed_dim;
    if (job->s->minus != NULL) return clipspan_engine_embed_texts(job->engine, &job->s->minus, 1, 1, minus, err);
    for (size_t e = 0; e < dim; e++) {
        double sum = 0;
        for (size_t t = 0; t < job->text_count; t++) sum += (double)job->directions[t * dim + e];
        minus[e] = (float)(sum / (double)job->text_count);
    }
    return CLIPSPAN_OK;
}

static clipspan_status subtract(map_job *job, clipspan_error *err)
{
    size_t dim = (size_t)job->embed_dim;
    if (job->s->minus == NULL && !job->s->minus_mean) return CLIPSPAN_OK;
    if (job->s->minus == NULL && job->text_count < 2)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--minus-mean needs two texts or more");
    float *minus = calloc(dim, sizeof *minus);
    clipspan_status status = minus ? embed_minus(job, minus, err) : no_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < job->text_count * dim; i++) job->directions[i] -= minus[i % dim];
    free(minus);
    return status;
}

static clipspan_status list_texts(map_job *job, clipspan_error *err)
{
    job->texts = calloc(job->text_count, sizeof *job->texts);
    if (job->texts == NULL) return no_memory(err);
    for (size_t t = 0; t < job->text_count; t++) job->texts[t] = clipspan_texts_get(job->words, t);
    return CLIPSPAN_OK;
}

clipspan_status map_choose_texts(map_job *job, clipspan_error *err)
{
    clipspan_status status = gather_texts(job, err);
    if (status == CLIPSPAN_OK) status = embed(job, err);
    if (status == CLIPSPAN_OK) status = subtract(job, err);
    return status == CLIPSPAN_OK ? list_texts(job, err) : status;
}

/* ---- batches ----------------------------------------------------------------------------------------------- */

static int layer_has_chosen(const map_job *job, int layer)
{
    return memchr(job->chosen + layer * job->heads, 1, (size_t)job->heads) != NULL;
}

/* Images whose tokens fill at most 256 MB. */
static size_t fitting_batch(const map_job *job, size_t layers)
{
    double width = clipspan_model_get_info(job->model)->width;
    double bytes = (double)layers * width * job->tokens * sizeof(float), fits = bytes > 0 ? 256e6 / bytes : 1024;
    return fits < 1 ? 1 : fits > 1024 ? 1024 : (size_t)fits;
}

static clipspan_status each_of_store(map_job *job, unsigned parts, size_t first, size_t count, clipspan_batch_fn fn,
                                     clipspan_error *err)
{
    clipspan_store_selection select = CLIPSPAN_STORE_SELECTION_INIT;
    unsigned char *layers = calloc((size_t)job->layers, 1);
    size_t layer_count = 0;
    if (layers == NULL) return no_memory(err);
    for (int l = 0; l < job->layers; l++) layer_count += layers[l] = (unsigned char)layer_has_chosen(job, l);
    select.layers = layers;
    select.parts = parts;
    select.batch = fitting_batch(job, layer_count);
    select.first = first;
    select.count = count;
    clipspan_status status = clipspan_store_each(job->store, &select, fn, job, cli_hooks(), err);
    free(layers);
    return status;
}

static clipspan_status each_of_model(map_job *job, unsigned parts, size_t first, size_t count, clipspan_batch_fn fn,
                                     clipspan_error *err)
{
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    int *layers = calloc((size_t)job->layers, sizeof *layers);
    if (layers == NULL) return no_memory(err);
    for (int l = 0; l < job->layers; l++)
        if (layer_has_chosen(job, l)) layers[options.token_layer_count++] = l;
    options.token_layers = layers;
    options.parts = parts;
    options.first = first;
    options.count = count;
    options.strict = job->s->images.strict;
    clipspan_status status = clipspan_decompose_each(job->engine, job->images, &options, fn, job, cli_hooks(), err);
    free(layers);
    return status;
}

/* Rows that follow each other are read together. */
clipspan_status map_each_batch(map_job *job, unsigned parts, int all_rows, clipspan_batch_fn fn, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t rows = all_rows ? job->row_count : 1;
    for (size_t i = 0, n; status == CLIPSPAN_OK && i < rows; i += n) {
        for (n = 1; i + n < rows && job->rows[i + n] == job->rows[i] + n;) n++;
        status = job->store ? each_of_store(job, parts, job->rows[i], n, fn, err)
                            : each_of_model(job, parts, job->rows[i], n, fn, err);
    }
    cli_progress_end();
    return status;
}

/* ---- heads ------------------------------------------------------------------------------------------------- */

static clipspan_status note_layers(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    map_job *job = user;
    (void)err;
    for (int t = 0; t < batch->token_layer_count; t++) job->kept[batch->token_layers[t]] = 1;
    return CLIPSPAN_OK;
}

/* A store may keep the tokens of some layers alone. */
static clipspan_status find_kept(map_job *job, clipspan_error *err)
{
    size_t heads = (size_t)job->layers * (size_t)job->heads;
    if (job->store == NULL) {
        memset(job->kept, 1, (size_t)job->layers);
        return CLIPSPAN_OK;
    }
    if (!(clipspan_store_get_info(job->store)->parts & CLIPSPAN_PART_TOKENS))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "%s keeps no terms by token (decompose --tokens or --token-layers); clipspan map MODEL IMAGES needs none",
                        job->s->arguments[0]);
    memset(job->chosen, 1, heads);
    clipspan_status status = map_each_batch(job, CLIPSPAN_PART_TOKENS, 0, note_layers, err);
    memset(job->chosen, 0, heads);
    return status;
}

/* The heads that were asked for, of the layers that are kept. */
static clipspan_status parse_heads(map_job *job, clipspan_error *err)
{
    clipspan_status status = clipspan_heads_parse(job->s->heads, job->layers, job->heads, job->chosen, err);
    int all = strcmp(job->s->heads, "all") == 0;
    for (int i = 0; status == CLIPSPAN_OK && i < job->layers * job->heads; i++) {
        if (!job->chosen[i] || job->kept[i / job->heads]) continue;
        job->chosen[i] = 0;
        if (!all)
            status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "L%d.H%d: %s keeps no terms by token of layer %d", i / job->heads,
                              i % job->heads, job->s->arguments[0], i / job->heads);
    }
    return status;
}

/* Adds up what each head does to the texts, over the chosen images. */
static clipspan_status add_effects(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    map_job *job = user;
    size_t heads = (size_t)job->layers * (size_t)job->heads, rows = batch->images * job->text_count;
    float *effects = calloc(rows + 1, heads * sizeof *effects);
    if (effects == NULL) return no_memory(err);
    clipspan_status status = clipspan_map_effects(effects, batch, job->convention, job->chosen, job->directions,
                                                  job->text_count, (int)job->s->engine.threads, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < rows * heads; i++) job->scores[i % heads] += fabs((double)effects[i]);
    free(effects);
    return status;
}

/* What TextSpan says: the share of the head's variance that the texts explain in its description. */
static clipspan_status score_by_span(map_job *job, const clipspan_texts *pool, clipspan_error *err)
{
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    clipspan_hooks hooks = *cli_hooks();
    size_t count = clipspan_texts_count(pool), mine = job->text_count;
    hooks.warn = NULL; /* a head whose description ends early is nothing to speak of here */
    float *embeddings = calloc(count, (size_t)job->embed_dim * sizeof *embeddings);
    clipspan_status status = embeddings ? clipspan_store_moments(job->store, &moments, err) : no_memory(err);
    options.convention = job->convention;
    options.heads = job->chosen;
    options.threads = (int)job->s->engine.threads;
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_pool(job->engine, pool, 1, embeddings, cli_hooks(), err);
    if (status == CLIPSPAN_OK)
        status = clipspan_textspan_run(&result, moments, pool, embeddings, &options, &hooks, err);
    cli_progress_end();
    for (size_t i = 0; status == CLIPSPAN_OK && i < clipspan_textspan_head_count(result); i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
        for (int t = 0; t < head->count; t++)
            if (head->texts[t].text < mine)
                job->scores[head->layer * job->heads + head->head] += (double)head->texts[t].explained;
    }
    clipspan_textspan_free(result);
    clipspan_moments_free(moments);
    free(embeddings);
    return status;
}

/* The map's own texts first, then the pool's others. */
static clipspan_status pick_by_span(map_job *job, clipspan_error *err)
{
    clipspan_texts *pool = NULL, *together = NULL;
    if (job->store == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--pick textspan needs a STORE: TextSpan reads its moments");
    if (job->s->pool == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--pick textspan needs --pool POOL");
    clipspan_status status = cli_open_texts(&pool, job->s->pool, err);
    if (status != CLIPSPAN_OK) return status;
    size_t lines = clipspan_texts_count(pool), count = job->text_count;
    const char **all = calloc(lines + count, sizeof *all);
    if (all == NULL) status = no_memory(err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < count; t++) all[t] = clipspan_texts_get(job->words, t);
    for (size_t i = 0; status == CLIPSPAN_OK && i < lines; i++) {
        size_t t = 0;
        while (t < job->text_count && strcmp(all[t], clipspan_texts_get(pool, i)) != 0) t++;
        if (t == job->text_count) all[count++] = clipspan_texts_get(pool, i);
    }
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&together, all, count, err);
    if (status == CLIPSPAN_OK) status = score_by_span(job, together, err);
    free(all);
    clipspan_texts_free(together);
    clipspan_texts_free(pool);
    return status;
}

/* The head of the largest score that was not taken yet, the earlier one on a tie; scores of 0 are none. */
static size_t take_best(const map_job *job, double *scores)
{
    size_t heads = (size_t)job->layers * (size_t)job->heads, best = SIZE_MAX;
    for (size_t h = 0; h < heads; h++)
        if (job->chosen[h] && scores[h] > 0 && (best == SIZE_MAX || scores[h] > scores[best])) best = h;
    if (best != SIZE_MAX) scores[best] = 0;
    return best;
}

static size_t count_chosen(const map_job *job)
{
    size_t count = 0;
    for (int i = 0; i < job->layers * job->heads; i++) count += job->chosen[i];
    return count;
}

/* The columns of a sheet by head: the strongest first. */
static clipspan_status pick_heads(map_job *job, clipspan_error *err)
{
    size_t heads = (size_t)job->layers * (size_t)job->heads, wanted = job->s->top;
    int by_span = strcmp(job->s->pick, "textspan") == 0;
    job->scores = calloc(heads, sizeof *job->scores); /* borrowed for this; [L * H] */
    if (job->scores == NULL) return no_memory(err);
    clipspan_status status = by_span ? pick_by_span(job, err) : map_each_batch(job, 0, 1, add_effects, err);
    for (size_t best; status == CLIPSPAN_OK && job->part_count < wanted; job->columns[job->part_count++] = best)
        if ((best = take_best(job, job->scores)) == SIZE_MAX) break;
    free(job->scores);
    job->scores = NULL;
    if (status == CLIPSPAN_OK && job->part_count == 0)
        status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                          by_span ? "TextSpan puts none of the texts into the description of one of these heads"
                                  : "none of these heads has an effect on the texts");
    if (status != CLIPSPAN_OK) return status;
    memset(job->chosen, 0, heads);
    for (size_t p = 0; p < job->part_count; p++) job->chosen[job->columns[p]] = 1;
    return CLIPSPAN_OK;
}

static void name_parts(map_job *job)
{
    size_t heads = (size_t)job->heads;
    for (size_t p = 0; p < job->part_count; p++) {
        size_t at = job->columns[p];
        if (job->detail == CLIPSPAN_MAP_WHOLE)
            snprintf(job->part_names[p], MAP_PART_NAME, "%s", strlen(job->s->heads) < 24 ? job->s->heads : "chosen heads");
        else if (job->detail == CLIPSPAN_MAP_LAYER)
            snprintf(job->part_names[p], MAP_PART_NAME, "L%zu", at);
        else
            snprintf(job->part_names[p], MAP_PART_NAME, "L%zu.H%zu", at / heads, at % heads);
        job->parts[p] = job->part_names[p];
    }
    if (job->detail == CLIPSPAN_MAP_WHOLE && strcmp(job->s->heads, "all") == 0)
        job->parts[0] = count_chosen(job) == (size_t)job->layers * heads ? "all heads" : "all heads kept";
}

clipspan_status map_choose_heads(map_job *job, clipspan_error *err)
{
    size_t heads = (size_t)job->layers * (size_t)job->heads;
    job->kept = calloc((size_t)job->layers, 1);
    job->chosen = calloc(heads, 1);
    job->columns = calloc(heads, sizeof *job->columns);
    job->part_names = calloc(heads, sizeof *job->part_names);
    job->parts = calloc(heads, sizeof *job->parts);
    if (!job->kept || !job->chosen || !job->columns || !job->part_names || !job->parts) return no_memory(err);
    clipspan_status status = find_kept(job, err);
    if (status == CLIPSPAN_OK) status = parse_heads(job, err);
    if (status != CLIPSPAN_OK) return status;
    if (job->detail == CLIPSPAN_MAP_WHOLE)
        job->part_count = 1;
    else if (job->detail == CLIPSPAN_MAP_LAYER)
        for (int l = 0; l < job->layers; l++) {
            if (layer_has_chosen(job, l)) job->columns[job->part_count++] = (size_t)l;
        }
    else if (job->s->top == 0 || (count_chosen(job) <= job->s->top && strcmp(job->s->pick, "effect") == 0))
        for (size_t h = 0; h < heads; h++) {
            if (job->chosen[h]) job->columns[job->part_count++] = h;
        }
    else
        status = pick_heads(job, err);
    if (status == CLIPSPAN_OK) name_parts(job);
    return status;
}

/* ---- methods ----------------------------------------------------------------------------------------------- */

static int find_method(const char *name)
{
    for (int m = 0; m < CLIPSPAN_RELEVANCES; m++)
        if (strcmp(clipspan_relevance_get_info((clipspan_relevance)m)->name, name) == 0) return m;
    return strcmp(name, "decomposition") == 0 ? -1 : CLIPSPAN_RELEVANCES;
}

static clipspan_status unknown_method(const char *name, clipspan_error *err)
{
    char list[512] = "decomposition";
    size_t used = strlen(list);
    for (int m = 0; m < CLIPSPAN_RELEVANCES && used < sizeof list; m++)
        used += (size_t)snprintf(list + used, sizeof list - used, ", %s",
                                 clipspan_relevance_get_info((clipspan_relevance)m)->name);
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--method %s: expected one of %s, or all", name, list);
}

static clipspan_status add_method(map_job *job, int method, clipspan_error *err)
{
    for (size_t p = 0; p < job->part_count; p++)
        if (job->methods[p] == method) return CLIPSPAN_OK;
    if (job->part_count == MAP_METHODS_MOST) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--method: too many");
    job->methods[job->part_count] = method;
    job->parts[job->part_count++] =
        method < 0 ? "decomposition" : clipspan_relevance_get_info((clipspan_relevance)method)->name;
    return CLIPSPAN_OK;
}

/* Replaces the parts. A lone method by pixels is shown by pixels; beside others, its pixels are summed over each patch. */
clipspan_status map_choose_methods(map_job *job, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    job->part_count = 0;
    for (size_t i = 0; status == CLIPSPAN_OK && i < job->s->methods.count; i++) {
        const char *name = job->s->methods.items[i];
        int every = strcmp(name, "all") == 0, method = every ? -1 : find_method(name);
        if (method == CLIPSPAN_RELEVANCES) return unknown_method(name, err);
        status = add_method(job, method, err);
        for (int m = 0; every && status == CLIPSPAN_OK && m < CLIPSPAN_RELEVANCES; m++) status = add_method(job, m, err);
    }
    if (job->part_count == 1 && job->methods[0] >= 0 &&
        clipspan_relevance_get_info((clipspan_relevance)job->methods[0])->pixels)
        job->side = clipspan_model_get_info(job->model)->image_size;
    job->places = (size_t)job->side * (size_t)job->side;
    return status;
}
