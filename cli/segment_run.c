/* A run of segmentation: the engine's batches with their tokens, the other methods' maps image by image. */
#include "segment.h"

#include <stdlib.h>
#include <string.h>

/* ---- methods ---------------------------------------------------------------------------------------------- */

const char *cli_method_name(int method)
{
    return method == CLI_DECOMPOSITION ? "decomposition" : clipspan_relevance_get_info((clipspan_relevance)method)->name;
}

const char *cli_method_words(int method)
{
    return method == CLI_DECOMPOSITION ? "contributions of heads by patch, times the class's text"
                                       : clipspan_relevance_get_info((clipspan_relevance)method)->words;
}

const char *cli_method_citation(int method)
{
    return method == CLI_DECOMPOSITION
               ? "Gandelsman, Efros, Steinhardt, Interpreting CLIP's Image Representation via Text-Based Decomposition, "
                 "ICLR 2024"
               : clipspan_relevance_get_info((clipspan_relevance)method)->citation;
}

static int knows_text(int method)
{
    return method == CLI_DECOMPOSITION || clipspan_relevance_get_info((clipspan_relevance)method)->by_text;
}

static int is_dense(int method)
{
    return method == CLI_DECOMPOSITION || clipspan_relevance_get_info((clipspan_relevance)method)->dense;
}

static int find_method(const char *name, size_t length)
{
    for (int m = 0; m < CLI_METHODS; m++)
        if (strlen(cli_method_name(m)) == length && strncmp(cli_method_name(m), name, length) == 0) return m;
    return -1;
}

static clipspan_status unknown(const char *name, size_t length, clipspan_error *err)
{
    char names[512] = "";
    for (int m = 0; m < CLI_METHODS; m++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, ", %s", cli_method_name(m));
    }
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--method %.*s: expected all%s", (int)length, name, names);
}

clipspan_status cli_methods_parse(const char *text, int semantic, unsigned char *chosen, clipspan_error *err)
{
    memset(chosen, 0, CLI_METHODS);
    for (const char *at = text; at != NULL; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t length = strcspn(at, ",");
        int all = length == 3 && strncmp(at, "all", 3) == 0, method = find_method(at, length);
        if (!all && method < 0) return unknown(at, length, err);
        if (!all && semantic && !knows_text(method))
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--method %s: its map is the same for every class, so --semantic "
                            "cannot use it", cli_method_name(method));
        for (int m = 0; m < CLI_METHODS; m++)
            if (m == method || (all && (knows_text(m) || !semantic))) chosen[m] = 1;
    }
    return CLIPSPAN_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static clipspan_status open_export(cli_segmenting *job, cli_segment_method *m, clipspan_error *err)
{
    char path[4096];
    const size_t single[] = {SIZE_MAX, m->side, m->side}, many[] = {SIZE_MAX, m->count, m->side, m->side};
    snprintf(path, sizeof path, "%s/%s.npy", job->export_folder, cli_method_name(m->method));
    return job->semantic ? clipspan_npy_create(&m->maps, path, many, 4, err)
                         : clipspan_npy_create(&m->maps, path, single, 3, err);
}

static clipspan_status open_method(cli_segmenting *job, int method, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(job->model);
    cli_segment_method *m = &job->methods[job->method_count];
    int of_pixels = method != CLI_DECOMPOSITION && clipspan_relevance_get_info((clipspan_relevance)method)->pixels;
    clipspan_segmentation_options options = {.size = (size_t)info->image_size, .background = job->background,
                                             .threshold = job->threshold};
    options.classes = job->semantic ? job->classes + (job->background != CLIPSPAN_BACKGROUND_NONE) : 2;
    options.positive = is_dense(method);
    *m = (cli_segment_method){.method = method, .count = job->semantic ? job->classes : 1};
    m->side = (size_t)(of_pixels ? info->image_size : info->image_size / info->patch_size);
    clipspan_status status = clipspan_segmentation_open(&m->result, &options, err);
    job->method_count += status == CLIPSPAN_OK;
    if (status == CLIPSPAN_OK && job->export_folder) status = open_export(job, m, err);
    if (status == CLIPSPAN_OK && job->mask_folder) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", job->mask_folder, cli_method_name(method));
        status = cli_make_folder(path, err);
    }
    return status;
}

static clipspan_status open_folders(cli_segmenting *job, clipspan_error *err)
{
    char path[4096];
    size_t side = (size_t)clipspan_model_get_info(job->model)->image_size;
    const size_t shape[] = {SIZE_MAX, side, side};
    clipspan_status status = CLIPSPAN_OK;
    if (job->mask_folder) status = cli_make_folder(job->mask_folder, err);
    if (status != CLIPSPAN_OK || job->export_folder == NULL) return status;
    status = cli_make_folder(job->export_folder, err);
    snprintf(path, sizeof path, "%s/truth.npy", job->export_folder);
    return status == CLIPSPAN_OK ? clipspan_npy_create(&job->truths, path, shape, 3, err) : status;
}

static clipspan_status allocate(cli_segmenting *job, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(job->model);
    size_t pixels = (size_t)info->image_size * (size_t)info->image_size, widest = 0;
    for (size_t m = 0; m < job->method_count; m++)
        if (job->methods[m].side > widest) widest = job->methods[m].side;
    job->truth = calloc(pixels, 1);
    job->mask = calloc(pixels, 1);
    job->wide = calloc(pixels, sizeof *job->wide);
    job->pixels = calloc(3 * pixels, sizeof *job->pixels);
    job->direction = calloc((size_t)info->embed_dim, sizeof *job->direction);
    job->maps = calloc(job->classes * widest, widest * sizeof *job->maps);
    job->tokens = calloc(job->classes, (size_t)info->tokens * sizeof *job->tokens);
    if (job->truth && job->mask && job->wide && job->pixels && job->direction && job->maps && job->tokens)
        return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

/* ---- maps ---------------------------------------------------------------------------------------------------- */

/* [count, N] of tokens to [count, N - 1] of patches. */
static clipspan_status decomposition_maps(cli_segmenting *job, const clipspan_batch *batch, size_t i, size_t count,
                                          clipspan_error *err)
{
    size_t tokens = (size_t)batch->basis->tokens, patches = tokens - 1;
    const float *texts = job->semantic ? job->classifier : job->direction;
    clipspan_status status = clipspan_map_batch(job->tokens, batch, i, job->convention, job->heads, texts, count,
                                                CLIPSPAN_MAP_WHOLE, job->threads, err);
    for (size_t c = 0; status == CLIPSPAN_OK && c < count; c++)
        memcpy(job->maps + c * patches, job->tokens + c * tokens + 1, patches * sizeof *job->maps);
    return status;
}

/* In place, [C, side, side]: the chosen class's map minus the mean over classes, first. */
static void contrast(cli_segmenting *job, size_t n, size_t chosen)
{
    for (size_t p = 0; p < n; p++) {
        double sum = 0, own = (double)job->maps[chosen * n + p];
        for (size_t c = 0; c < job->classes; c++) sum += (double)job->maps[c * n + p];
        job->maps[p] = (float)(own - sum / (double)job->classes);
    }
}

static clipspan_status traced_maps(cli_segmenting *job, const cli_segment_method *m, size_t chosen, clipspan_error *err)
{
    size_t embed = (size_t)clipspan_model_get_info(job->model)->embed_dim;
    int all = job->semantic || is_dense(m->method);
    const float *own = job->centred ? job->direction : job->classifier + chosen * embed;
    clipspan_status status = clipspan_tracer_map(job->tracer, (clipspan_relevance)m->method, all ? job->classifier : own,
                                                 all ? job->classes : 1, job->maps, err);
    if (status == CLIPSPAN_OK && all && !job->semantic) contrast(job, m->side * m->side, chosen);
    return status;
}

/* ---- one image ------------------------------------------------------------------------------------------------- */

/* DIR/METHOD/NAME.png, '/' in names as '_' so that nothing is written elsewhere. */
static clipspan_status write_mask(const cli_segmenting *job, int method, size_t image, clipspan_error *err)
{
    char path[4096];
    int side = clipspan_model_get_info(job->model)->image_size;
    const char *name = clipspan_images_name(job->images, image), *dot = strrchr(name, '.');
    size_t stem = dot && strchr(dot, '/') == NULL ? (size_t)(dot - name) : strlen(name);
    int begin = snprintf(path, sizeof path, "%s/%s/", job->mask_folder, cli_method_name(method));
    int length = snprintf(path + begin, sizeof path - (size_t)begin, "%.*s.png", (int)stem, name);
    if (length < 0 || (size_t)(begin + length) >= sizeof path)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: the path of its mask is too long", name);
    for (char *c = path + begin; *c; c++)
        if (*c == '/') *c = '_';
    return clipspan_picture_mask(job->mask, side, side, path, err);
}

static clipspan_status one_method(cli_segmenting *job, cli_segment_method *m, const clipspan_batch *batch, size_t i,
                                  size_t chosen, clipspan_error *err)
{
    clipspan_status status = m->method == CLI_DECOMPOSITION ? decomposition_maps(job, batch, i, m->count, err)
                                                            : traced_maps(job, m, chosen, err);
    if (status == CLIPSPAN_OK)
        status = job->semantic
                     ? clipspan_segmentation_add_classes(m->result, job->maps, m->side, job->truth, job->mask, err)
                     : clipspan_segmentation_add(m->result, job->maps, m->side, job->truth, job->mask, err);
    if (status == CLIPSPAN_OK && m->maps != NULL) status = clipspan_npy_append(m->maps, job->maps, 1, err);
    if (status == CLIPSPAN_OK && job->mask_folder != NULL)
        status = write_mask(job, m->method, (size_t)batch->index[i], err);
    if (status == CLIPSPAN_OK && job->watch.see != NULL)
        status = job->watch.see(job->watch.user, job, (size_t)batch->index[i], (size_t)(m - job->methods), err);
    return status;
}

/* The truth, on the network's square; when semantic with known classes the object's pixels get its class. */
static clipspan_status read_truth(cli_segmenting *job, size_t image, clipspan_error *err)
{
    size_t side = (size_t)clipspan_model_get_info(job->model)->image_size;
    clipspan_status status = clipspan_masks_truth(job->masks, image, job->model, job->protocol, job->truth, err);
    if (status != CLIPSPAN_OK) return status;
    int object = job->labels && job->semantic ? job->labels[image] + (job->background != CLIPSPAN_BACKGROUND_NONE) : 1;
    for (size_t p = 0; p < side * side; p++) {
        if (job->labels && job->semantic && job->truth[p] == 1) job->truth[p] = (unsigned char)object;
        job->wide[p] = (float)job->truth[p];
    }
    return job->truths ? clipspan_npy_append(job->truths, job->wide, 1, err) : CLIPSPAN_OK;
}

/* Says which image it was. */
static clipspan_status name_image(const cli_segmenting *job, size_t image, clipspan_status status, clipspan_error *err)
{
    char reason[CLIPSPAN_ERROR_LENGTH];
    if (status == CLIPSPAN_OK || status == CLIPSPAN_ERROR_INTERRUPTED) return status;
    snprintf(reason, sizeof reason, "%s", err->message);
    return cli_fail(err, status, "%.200s: %.800s", clipspan_images_name(job->images, image), reason);
}

static clipspan_status one_image(cli_segmenting *job, const clipspan_batch *batch, size_t i, clipspan_error *err)
{
    size_t image = (size_t)batch->index[i], embed = (size_t)batch->basis->embed_dim;
    if (job->labels && job->labels[image] < 0) {
        job->unlabelled++;
        return CLIPSPAN_OK;
    }
    size_t chosen = job->labels ? (size_t)job->labels[image]
                                : clipspan_segmentation_choose(batch->embedding + i * embed, job->classifier, job->classes,
                                                               embed);
    clipspan_segmentation_contrast(job->direction, job->classifier, job->classes, embed, chosen);
    clipspan_status status = read_truth(job, image, err);
    if (status == CLIPSPAN_OK && job->tracer != NULL)
        status = clipspan_images_preprocess(job->images, image, job->model, job->pixels, err);
    if (status == CLIPSPAN_OK && job->tracer != NULL) status = clipspan_tracer_run(job->tracer, job->pixels, NULL, err);
    for (size_t m = 0; status == CLIPSPAN_OK && m < job->method_count; m++)
        status = one_method(job, &job->methods[m], batch, i, chosen, err);
    return name_image(job, image, status, err);
}

/* The slow methods take seconds an image: progress and Ctrl-C go by images, not by batches. */
static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    cli_segmenting *job = user;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_progress progress = {.stage = "segment", .total = clipspan_images_count(job->images)};
    for (size_t i = 0; status == CLIPSPAN_OK && i < batch->images; i++) {
        status = one_image(job, batch, i, err);
        progress.done = ++job->done;
        if (status == CLIPSPAN_OK && cli_hooks()->progress(cli_hooks()->user, &progress) != 0)
            status = cli_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "segment: stopped after %zu of %llu", job->done,
                              progress.total);
    }
    return status;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

static clipspan_status commit(cli_segmenting *job, clipspan_error *err)
{
    clipspan_status status = job->truths ? clipspan_npy_commit(job->truths, err) : CLIPSPAN_OK;
    job->truths = NULL;
    for (size_t m = 0; status == CLIPSPAN_OK && m < job->method_count; m++) {
        if (job->methods[m].maps) status = clipspan_npy_commit(job->methods[m].maps, err);
        job->methods[m].maps = NULL;
    }
    return status;
}

static clipspan_status stream(cli_segmenting *job, int tokens, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(job->model);
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    const clipspan_hooks hooks = {NULL, cli_hooks()->warn, cli_hooks()->user};
    int *layers = calloc((size_t)info->layers, sizeof *layers);
    if (layers == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    options.parts = tokens ? CLIPSPAN_PART_TOKENS : 0;
    options.strict = job->strict;
    options.token_layers = layers;
    for (int l = 0; l < info->layers; l++)
        if (memchr(job->heads + (size_t)l * (size_t)info->heads, 1, (size_t)info->heads))
            layers[options.token_layer_count++] = l;
    clipspan_status status = clipspan_decompose_each(job->engine, job->images, &options, take_batch, job, &hooks, err);
    free(layers);
    return status;
}

clipspan_status cli_segment_run(cli_segmenting *job, const unsigned char *methods, clipspan_error *err)
{
    clipspan_status status = open_folders(job, err);
    int traced = 0;
    if (status == CLIPSPAN_OK && methods[CLI_DECOMPOSITION]) status = open_method(job, CLI_DECOMPOSITION, err);
    for (int m = 0; status == CLIPSPAN_OK && m < CLI_DECOMPOSITION; m++) {
        if (!methods[m]) continue;
        traced = 1;
        status = open_method(job, m, err);
    }
    if (status == CLIPSPAN_OK) status = allocate(job, err);
    if (status == CLIPSPAN_OK && traced) status = clipspan_tracer_open(&job->tracer, job->model, job->threads, err);
    if (status == CLIPSPAN_OK) status = stream(job, methods[CLI_DECOMPOSITION], err);
    cli_progress_end();
    return status == CLIPSPAN_OK ? commit(job, err) : status;
}

void cli_segment_close(cli_segmenting *job)
{
    for (size_t m = 0; m < job->method_count; m++) {
        clipspan_segmentation_free(job->methods[m].result);
        clipspan_npy_discard(job->methods[m].maps);
    }
    clipspan_npy_discard(job->truths);
    clipspan_tracer_free(job->tracer);
    free(job->truth);
    free(job->mask);
    free(job->wide);
    free(job->pixels);
    free(job->direction);
    free(job->maps);
    free(job->tokens);
}
