/* The maps of the chosen images, from a store's tokens or from the model, and those of other methods. */
#include "map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double VALUES_MOST = 1e9, SUMMARIES_MOST = 8e6;
enum { TOGETHER_MOST = 1 << 25 }; /* values of the maps of a batch's images that are computed in one go: 128 MB */

static clipspan_status no_memory(clipspan_error *err)
{
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static size_t head_count(const map_job *job)
{
    return (size_t)job->layers * (size_t)job->heads;
}

static size_t view_size(const map_job *job)
{
    size_t side = (size_t)clipspan_model_get_info(job->model)->image_size;
    return 3 * side * side;
}

/* ---- room ---------------------------------------------------------------------------------------------------- */

static clipspan_status check_size(const map_job *job, clipspan_error *err)
{
    double maps = (double)job->row_count * (double)job->text_count * (double)job->part_count;
    if (maps > SUMMARIES_MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "%zu images x %zu texts x %zu maps are more than one run reports: choose fewer (--rows, --limit, --heads)",
                        job->row_count, job->text_count, job->part_count);
    if (job->keep_values && maps * (double)job->places > VALUES_MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "%.0f maps are too many for --png, --show or --json; --npy takes any number, or choose fewer (--rows)", maps);
    return CLIPSPAN_OK;
}

static clipspan_status make_room(map_job *job, clipspan_error *err)
{
    size_t rows = job->row_count, maps = job->text_count * job->part_count;
    clipspan_status status = check_size(job, err);
    if (status != CLIPSPAN_OK) return status;
    job->found = calloc(rows, sizeof *job->found);
    job->scores = calloc(rows * job->text_count, sizeof *job->scores);
    job->summaries = calloc(rows * maps, sizeof *job->summaries);
    job->values = calloc((job->keep_values ? rows : 1) * maps, job->places * sizeof *job->values);
    if (!job->found || !job->scores || !job->summaries || !job->values) return no_memory(err);
    if (map_draws(job->s) && (job->rgb = calloc(rows, view_size(job))) == NULL) return no_memory(err);
    if (job->s->methods.count > 0) return CLIPSPAN_OK;
    job->predicted = calloc(rows * maps, sizeof *job->predicted);
    job->effects = calloc(rows * job->text_count, head_count(job) * sizeof *job->effects);
    return job->predicted && job->effects ? CLIPSPAN_OK : no_memory(err);
}

static clipspan_status open_npy(map_job *job, clipspan_error *err)
{
    size_t side = (size_t)job->side, plane[5] = {SIZE_MAX, job->text_count, job->part_count, side, side};
    size_t tokens[4] = {SIZE_MAX, job->text_count, job->part_count, job->places};
    if (job->s->npy == NULL) return CLIPSPAN_OK;
    int square = job->places == side * side;
    return clipspan_npy_create(&job->npy, job->s->npy, square ? plane : tokens, square ? 5 : 4, err);
}

/* ---- one image ----------------------------------------------------------------------------------------------- */

static float *values_of(const map_job *job, size_t image)
{
    return job->values + (job->keep_values ? image : 0) * job->text_count * job->part_count * job->places;
}

static clipspan_status take_picture(map_job *job, size_t image, size_t row, clipspan_error *err)
{
    if (job->rgb == NULL) return CLIPSPAN_OK;
    unsigned char *rgb = job->rgb + image * view_size(job);
    size_t place = job->store ? cli_store_picture(job->images, job->store, row) : row;
    clipspan_status status = clipspan_images_view(job->images, place, job->model, rgb, err);
    if (status == CLIPSPAN_OK) job->found[image].rgb = rgb;
    if (status == CLIPSPAN_OK || status == CLIPSPAN_ERROR_MEMORY || job->s->images.strict) return status;
    cli_warn("%s", err->message);
    return CLIPSPAN_OK;
}

/* The image is complete: its maps summed up, written and remembered. */
static clipspan_status finish_image(map_job *job, size_t row, clipspan_error *err)
{
    size_t image = job->count++, maps = job->text_count * job->part_count;
    const float *values = values_of(job, image);
    clipspan_map_image *found = &job->found[image];
    clipspan_status status = CLIPSPAN_OK;
    *found = (clipspan_map_image){.name = map_image_name(job, row), .row = row};
    found->scores = job->scores + image * job->text_count;
    found->summaries = job->summaries + image * maps;
    if (job->predicted) found->predicted = job->predicted + image * maps;
    if (job->effects) found->effects = job->effects + image * job->text_count * head_count(job);
    if (job->keep_values) found->values = values;
    for (size_t m = 0; status == CLIPSPAN_OK && m < maps; m++)
        status = clipspan_map_summarise(&job->summaries[image * maps + m], values + m * job->places, job->places, job->side, err);
    if (status == CLIPSPAN_OK && job->npy != NULL) status = clipspan_npy_append(job->npy, values, 1, err);
    return status == CLIPSPAN_OK ? take_picture(job, image, row, err) : status;
}

static void score_image(map_job *job, const float *embedding, double scale)
{
    size_t dim = (size_t)job->embed_dim;
    for (size_t t = 0; t < job->text_count; t++) {
        double sum = 0;
        for (size_t e = 0; e < dim; e++) sum += (double)embedding[e] * (double)job->directions[t * dim + e];
        job->scores[job->count * job->text_count + t] = sum * scale;
    }
}

/* ---- the decomposition ---------------------------------------------------------------------------------------- */

/* Where map p of text t stands in an image's maps. */
static const float *map_among(const float *maps_of_image, const map_job *job, const clipspan_batch *batch, size_t t, size_t p)
{
    size_t layers = (size_t)batch->token_layer_count, heads = (size_t)job->heads, place = 0, at = job->columns[p];
    size_t layer = job->detail == CLIPSPAN_MAP_HEAD ? at / heads : at, maps = 1, within = 0;
    while (job->detail != CLIPSPAN_MAP_WHOLE && place < layers && (size_t)batch->token_layers[place] != layer) place++;
    if (job->detail == CLIPSPAN_MAP_LAYER) {
        maps = layers;
        within = place;
    } else if (job->detail == CLIPSPAN_MAP_HEAD) {
        maps = layers * heads;
        within = place * heads + at % heads;
    }
    return maps_of_image + (t * maps + within) * (size_t)job->tokens;
}

static int head_in_part(const map_job *job, size_t head, size_t part)
{
    if (!job->chosen[head]) return 0;
    if (job->detail == CLIPSPAN_MAP_LAYER) return head / (size_t)job->heads == job->columns[part];
    return job->detail == CLIPSPAN_MAP_WHOLE || head == job->columns[part];
}

/* What z says the maps must sum to. */
static void predict(map_job *job)
{
    size_t heads = head_count(job);
    for (size_t t = 0; t < job->text_count; t++) {
        size_t row = job->count * job->text_count + t;
        for (size_t p = 0; p < job->part_count; p++) {
            double sum = 0;
            for (size_t h = 0; h < heads; h++)
                if (head_in_part(job, h, p)) sum += (double)job->effects[row * heads + h];
            job->predicted[row * job->part_count + p] = sum;
        }
    }
}

static clipspan_status take_image(map_job *job, const clipspan_batch *batch, size_t i, const float *maps, clipspan_error *err)
{
    float *values = values_of(job, job->count);
    for (size_t t = 0; t < job->text_count; t++)
        for (size_t p = 0; p < job->part_count; p++)
            memcpy(values + (t * job->part_count + p) * job->places, map_among(maps, job, batch, t, p),
                   job->places * sizeof *values);
    double scale = job->convention == CLIPSPAN_PAPER ? 1 / (double)batch->norm[i] : 1;
    score_image(job, batch->embedding + i * (size_t)job->embed_dim, scale);
    predict(job);
    return finish_image(job, (size_t)batch->index[i], err);
}

/* All images together, where there is room: the texts are turned into each head's own space once. */
static clipspan_status map_images(map_job *job, const clipspan_batch *batch, clipspan_error *err)
{
    size_t layers = (size_t)batch->token_layer_count, heads = layers * (size_t)job->heads;
    size_t maps = job->detail == CLIPSPAN_MAP_WHOLE ? 1 : job->detail == CLIPSPAN_MAP_LAYER ? layers : heads;
    size_t image = job->text_count * maps * (size_t)job->tokens, threads = job->s->engine.threads;
    int together = batch->images * image <= TOGETHER_MOST;
    float *room = calloc(together ? batch->images : 1, image * sizeof *room);
    clipspan_status status = room ? CLIPSPAN_OK : no_memory(err);
    if (status == CLIPSPAN_OK && together)
        status = clipspan_map_images(room, batch, job->convention, job->chosen, job->directions, job->text_count, job->detail,
                                     (int)threads, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < batch->images; i++) {
        if (!together)
            status = clipspan_map_batch(room, batch, i, job->convention, job->chosen, job->directions, job->text_count,
                                        job->detail, (int)threads, err);
        if (status == CLIPSPAN_OK) status = take_image(job, batch, i, together ? room + i * image : room, err);
    }
    free(room);
    return status;
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    map_job *job = user;
    float *effects = job->effects + job->count * job->text_count * head_count(job);
    clipspan_status status = clipspan_map_effects(effects, batch, job->convention, job->chosen, job->directions,
                                                  job->text_count, (int)job->s->engine.threads, err);
    return status == CLIPSPAN_OK ? map_images(job, batch, err) : status;
}

static clipspan_status read_decomposition(map_job *job, clipspan_error *err)
{
    clipspan_status status = map_each_batch(job, CLIPSPAN_PART_TOKENS, 1, take_batch, err);
    job->skipped = job->row_count - job->count;
    return status;
}

/* ---- other methods --------------------------------------------------------------------------------------------- */

/* The decomposition among other methods: its patches, for the one image that is at work. */
static clipspan_status take_patches(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    map_job *job = user;
    clipspan_status status = clipspan_map_batch(job->scratch, batch, 0, job->convention, job->chosen, job->directions,
                                                job->text_count, CLIPSPAN_MAP_WHOLE, (int)job->s->engine.threads, err);
    float *values = values_of(job, job->count);
    for (size_t p = 0; p < job->part_count; p++)
        for (size_t t = 0; status == CLIPSPAN_OK && job->methods[p] < 0 && t < job->text_count; t++)
            memcpy(values + (t * job->part_count + p) * job->places, job->scratch + t * (size_t)job->tokens + 1,
                   job->places * sizeof *values);
    return status;
}

static clipspan_status decompose_one(map_job *job, size_t place, clipspan_error *err)
{
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    int wanted = 0;
    for (size_t p = 0; p < job->part_count; p++) wanted |= job->methods[p] < 0;
    if (!wanted) return CLIPSPAN_OK;
    options.parts = CLIPSPAN_PART_TOKENS;
    options.first = place;
    options.count = 1;
    options.strict = 1;
    return clipspan_decompose_each(job->engine, job->images, &options, take_patches, job, NULL, err);
}

/* out: [side, side] of a map of `from` x `from`, its cells summed where it is the finer one. */
static void to_side(float *out, int side, const float *map, int from)
{
    int step = from / side;
    for (int r = 0; r < side; r++)
        for (int c = 0; c < side; c++) {
            double sum = 0;
            for (int y = 0; y < step; y++)
                for (int x = 0; x < step; x++) sum += (double)map[(r * step + y) * from + c * step + x];
            out[r * side + c] = (float)sum;
        }
}

static clipspan_status trace_method(map_job *job, size_t part, clipspan_error *err)
{
    clipspan_relevance method = (clipspan_relevance)job->methods[part];
    int grid = clipspan_model_get_info(job->model)->grid, image = clipspan_model_get_info(job->model)->image_size;
    int from = clipspan_relevance_get_info(method)->pixels ? image : grid;
    float *values = values_of(job, job->count);
    clipspan_status status = clipspan_tracer_map(job->tracer, method, job->directions, job->text_count, job->scratch, err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < job->text_count; t++)
        to_side(values + (t * job->part_count + part) * job->places, job->side, job->scratch + t * (size_t)from * (size_t)from,
                from);
    return status;
}

static clipspan_status trace_image(map_job *job, size_t row, float *pixels, float *embedding, clipspan_error *err)
{
    size_t place = job->store ? cli_store_picture(job->images, job->store, row) : row;
    double norm = 0;
    clipspan_status status = clipspan_images_preprocess(job->images, place, job->model, pixels, err);
    if (status != CLIPSPAN_OK) return status;
    status = clipspan_tracer_run(job->tracer, pixels, embedding, err);
    for (size_t p = 0; status == CLIPSPAN_OK && p < job->part_count; p++)
        if (job->methods[p] >= 0) status = trace_method(job, p, err);
    if (status == CLIPSPAN_OK) status = decompose_one(job, place, err);
    if (status != CLIPSPAN_OK) return status;
    for (int e = 0; e < job->embed_dim; e++) norm += (double)embedding[e] * (double)embedding[e];
    score_image(job, embedding, 1 / sqrt(norm));
    return finish_image(job, row, err);
}

static clipspan_status report_progress(size_t done, size_t total, clipspan_error *err)
{
    const clipspan_hooks *hooks = cli_hooks();
    const clipspan_progress progress = {"maps", done, total, 0};
    if (hooks->progress(hooks->user, &progress) == 0) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu images", done, total);
}

static clipspan_status read_methods(map_job *job, clipspan_error *err)
{
    size_t side = (size_t)clipspan_model_get_info(job->model)->image_size;
    float *pixels = calloc(3 * side * side, sizeof *pixels), *embedding = calloc((size_t)job->embed_dim, sizeof *embedding);
    job->scratch = calloc(job->text_count, (side * side + (size_t)job->tokens) * sizeof *job->scratch);
    clipspan_status status = pixels && embedding && job->scratch ? CLIPSPAN_OK : no_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < job->row_count; i++) {
        size_t before = job->count;
        status = trace_image(job, job->rows[i], pixels, embedding, err);
        int bad_picture = status == CLIPSPAN_ERROR_IO || status == CLIPSPAN_ERROR_FORMAT || status == CLIPSPAN_ERROR_UNSUPPORTED;
        if (bad_picture && before == job->count && !job->s->images.strict) {
            cli_warn("%s", err->message);
            job->skipped++;
            status = CLIPSPAN_OK;
        }
        if (status == CLIPSPAN_OK) status = report_progress(i + 1, job->row_count, err);
    }
    cli_progress_end();
    free(pixels);
    free(embedding);
    return status;
}

clipspan_status map_read(map_job *job, clipspan_error *err)
{
    clipspan_status status = make_room(job, err);
    if (status == CLIPSPAN_OK) status = open_npy(job, err);
    if (status == CLIPSPAN_OK) status = job->s->methods.count ? read_methods(job, err) : read_decomposition(job, err);
    if (status != CLIPSPAN_OK) return status;
    if (job->count == 0) return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the %zu images could be read", job->row_count);
    if (job->skipped)
        cli_note("%zu image%s could not be read: skipped", job->skipped, job->skipped > 1 ? "s" : "");
    if (job->npy == NULL) return CLIPSPAN_OK;
    status = clipspan_npy_commit(job->npy, err);
    job->npy = NULL;
    return status;
}
