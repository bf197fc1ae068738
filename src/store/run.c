/* The whole job: a new store begun, or an unfinished one gone on with, shard by shard. */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { SHARD_BYTES = 64000000, MOMENTS_IMAGES = 4096,
       STORED_PARTS = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS | CLIPSPAN_PART_TOKENS }; /* neurons are never in shards */

/* ---- what the store is to be ---------------------------------------------------------------------------- */

static char *copy_text(const char *text)
{
    return clsp_strdup(text ? text : "");
}

static clipspan_status describe_model(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    const clipspan_model *model = job->model;
    const clipspan_model_info *info = &model->info;
    clipspan_status status = CLIPSPAN_OK;
    m->shape = *job->basis;
    m->shape.w = m->shape.w_mean = m->shape.ones = m->shape.bias = m->shape.bias_mean = m->shape.constant = NULL;
    m->image_size = info->image_size;
    m->patch_size = info->patch_size;
    m->logit_scale = info->logit_scale;
    CLSP_ALLOC(m->model_name, copy_text(info->name));
    CLSP_ALLOC(m->model_path, copy_text(info->path));
    CLSP_ALLOC(m->fingerprint, copy_text(info->fingerprint));
    CLSP_ALLOC(m->config, copy_text(model->config));
    CLSP_ALLOC(m->vocab, copy_text(model->vocab));
    CLSP_ALLOC(m->images_path, copy_text(clipspan_images_root(job->images)));
    CLSP_ALLOC(m->images_kind, copy_text(clipspan_images_kind(job->images)));
out:
    return status;
}

static clipspan_status describe_range(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    const clipspan_decompose_options *asked = &job->options->decompose;
    size_t listed = clipspan_images_count(job->images);
    if (!clsp_range_ok(asked->first, asked->count, listed) || asked->first == listed)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: images %zu and %zu more asked for, the list has %zu",
                         clipspan_images_root(job->images), asked->first, asked->count, listed);
    m->exif = clipspan_images_exif(job->images) != 0;
    m->listed = listed;
    m->first = asked->first;
    m->count = asked->count ? asked->count : listed - asked->first;
    return CLIPSPAN_OK;
}

static clipspan_status describe_tokens(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    const clipspan_decompose_options *asked = &job->options->decompose;
    if (!(m->parts & CLIPSPAN_PART_TOKENS)) return CLIPSPAN_OK;
    bool all = asked->token_layers == NULL || asked->token_layer_count == 0;
    int count = all ? m->shape.layers : asked->token_layer_count;
    if (!all) {
        clipspan_status status = clsp_token_layers_check(asked->token_layers, count, m->shape.layers, err);
        if (status != CLIPSPAN_OK) return status;
    }
    m->token_layers = clsp_alloc((size_t)count, sizeof *m->token_layers);
    if (m->token_layers == NULL) return clsp_fail_memory(err);
    m->token_layer_count = count;
    for (int t = 0; t < count; t++) m->token_layers[t] = all ? t : asked->token_layers[t];
    return CLIPSPAN_OK;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* A multiple of the engine's batch, so that no batch is cut by the end of a shard. */
static clipspan_status describe_shards(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    uint64_t batch = (uint64_t)job->batch, asked = job->options->shard_images;
    if (asked > INT32_MAX / 2)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%llu images a shard are too many", (unsigned long long)asked);
    m->batch = job->batch;
    if (asked > 0)
        m->shard_images = round_up(asked, batch);
    else if (m->moments_only)
        m->shard_images = round_up(MOMENTS_IMAGES, batch);
    else {
        clsp_field *fields = NULL;
        size_t count = 0;
        clipspan_status status = clsp_fields_new(&fields, &count, m, err);
        if (status != CLIPSPAN_OK) return status;
        uint64_t images = SHARD_BYTES / clsp_max(1, clsp_fields_bytes(fields, count));
        clsp_free(fields);
        m->shard_images = images < batch ? batch : images / batch * batch;
    }
    return CLIPSPAN_OK;
}

static clipspan_status describe_neurons(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    int top = job->options->neurons;
    if (top < 0 || top > CLIPSPAN_NEURONS_TOP_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%d top images a neuron, expected 0 to %d", top,
                         CLIPSPAN_NEURONS_TOP_MOST);
    m->top_images = top;
    m->mlp_width = top ? clipspan_model_get_info(job->model)->mlp_width : 0;
    return CLIPSPAN_OK;
}

static clipspan_status describe(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *m = (clsp_manifest){.version = CLSP_STORE_VERSION};
    CLSP_TRY(describe_model(m, job, err));
    CLSP_TRY(describe_range(m, job, err));
    m->moments_only = job->options->moments_only != 0;
    m->half = job->options->half != 0 && !m->moments_only;
    m->bf16 = job->compute == CLIPSPAN_BF16;
    m->parts = m->moments_only ? 0 : job->options->decompose.parts & STORED_PARTS;
    CLSP_TRY(describe_neurons(m, job, err));
    CLSP_TRY(describe_tokens(m, job, err));
    CLSP_TRY(describe_shards(m, job, err));
out:
    return status;
}

/* ---- an unfinished store must be of the same making ----------------------------------------------------- */

static clipspan_status differs(const char *directory, const char *what, const char *was, const char *is,
                               clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "%s was begun with %s %s, asked for now is %s: use the same options or another folder", directory,
                     what, was, is);
}

static clipspan_status number_differs(const char *directory, const char *what, uint64_t was, uint64_t is,
                                      clipspan_error *err)
{
    char before[24], now[24];
    snprintf(before, sizeof before, "%llu", (unsigned long long)was);
    snprintf(now, sizeof now, "%llu", (unsigned long long)is);
    return differs(directory, what, before, now, err);
}

static void part_words(char out[24], unsigned parts)
{
    snprintf(out, 24, "heads%s%s%s", parts & CLIPSPAN_PART_MLP ? "+mlp" : "", parts & CLIPSPAN_PART_CLS ? "+cls" : "",
             parts & CLIPSPAN_PART_TOKENS ? "+tokens" : "");
}

static clipspan_status model_differs(const char *directory, const clsp_manifest *was, const char *name,
                                     const char *fingerprint, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "%s was made by the model %s (%.8s, from %s), not by %s (%.8s)", directory, was->model_name,
                     was->fingerprint, was->model_path, name, fingerprint);
}

static clipspan_status compare(const clsp_manifest *was, const clsp_manifest *is, const clsp_store_job *job,
                               clipspan_error *err)
{
    const char *directory = job->directory;
    char before[24], now[24];
    if (strcmp(was->fingerprint, is->fingerprint) != 0)
        return model_differs(directory, was, is->model_name, is->fingerprint, err);
    if (was->moments_only != is->moments_only)
        return differs(directory, "what is kept:", was->moments_only ? "moments alone" : "contributions",
                       is->moments_only ? "moments alone" : "contributions", err);
    if (was->half != is->half)
        return differs(directory, "the type", was->half ? "f16" : "f32", is->half ? "f16" : "f32", err);
    if (was->bf16 != is->bf16)
        return differs(directory, "products in", was->bf16 ? "bf16" : "f32", is->bf16 ? "bf16" : "f32", err);
    if (was->exif != is->exif)
        return differs(directory, "EXIF orientation", was->exif ? "followed" : "ignored",
                       is->exif ? "followed" : "ignored", err);
    part_words(before, was->parts);
    part_words(now, is->parts);
    if (was->parts != is->parts) return differs(directory, "the parts", before, now, err);
    if (was->token_layer_count != is->token_layer_count ||
        (is->token_layer_count > 0 && memcmp(was->token_layers, is->token_layers,
                                             (size_t)is->token_layer_count * sizeof *is->token_layers) != 0))
        return differs(directory, "tokens of", "other layers", "these", err);
    if (was->top_images != is->top_images)
        return number_differs(directory, "top images a neuron (0: no neurons):", (uint64_t)was->top_images,
                              (uint64_t)is->top_images, err);
    if (was->first != is->first) return number_differs(directory, "the first image", was->first, is->first, err);
    if (was->listed == is->listed && was->count != is->count)
        return number_differs(directory, "a number of images of", was->count, is->count, err);
    uint64_t asked = job->options->shard_images;
    if (asked > 0 && was->shard_images != round_up(asked, (uint64_t)was->batch))
        return number_differs(directory, "a number of images a shard of", was->shard_images, asked, err);
    return CLIPSPAN_OK;
}

static clipspan_status check_file(const clsp_store_file *file, const char *directory, clipspan_error *err)
{
    clsp_safetensors *opened = NULL;
    if (file->name[0] == '\0') return CLIPSPAN_OK;
    clipspan_status status = clsp_store_file_open(&opened, file, directory, err);
    clsp_safetensors_free(opened);
    return status;
}

/* Every file by checksum: what is damaged shall not be built upon, nor called finished. It reads the whole store once,
 * so it tells how far it is and can be stopped. */
static clipspan_status check_files(const clsp_manifest *m, const char *directory, const clipspan_hooks *hooks,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(check_file(&m->basis, directory, err));
    for (size_t s = 0; s < m->shard_count; s++) {
        const clsp_shard *shard = &m->shards[s];
        CLSP_TRY(check_file(&shard->file, directory, err));
        const clipspan_progress progress = {"check", shard->first + shard->count - m->first, m->positions, 0};
        if (hooks != NULL && hooks->progress != NULL && hooks->progress(hooks->user, &progress) != 0)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped while %s was checked; it is as it was", directory));
    }
    CLSP_TRY(check_file(&m->moments, directory, err));
    CLSP_TRY(check_file(&m->neurons, directory, err));
out:
    return status;
}

static void warn_batch(const clsp_manifest *was, const clsp_store_job *job, const clipspan_hooks *hooks)
{
    if (was->batch == job->batch || was->complete || hooks == NULL || hooks->warn == NULL) return;
    char *line = clsp_format("%s was begun with batches of %d and goes on with %d: last digits may differ from a run "
                             "in one go",
                             job->directory, was->batch, job->batch);
    if (line != NULL) hooks->warn(hooks->user, line);
    clsp_free(line);
}

/* Reads the manifest of the store that is there, compares it with what is wanted, and takes its place. */
static clipspan_status go_on(clsp_manifest *m, const clsp_store_job *job, const clipspan_hooks *hooks,
                             clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_manifest was = {0};
    clsp_list list = {0};
    CLSP_TRY(clsp_manifest_read(&was, job->directory, err));
    CLSP_TRY(compare(&was, m, job, err));
    CLSP_TRY(clsp_list_open(&list, &was.list, was.listed, job->directory, err));
    CLSP_TRY(clsp_list_compare(&list, job->images, job->directory, err));
    CLSP_TRY(check_files(&was, job->directory, hooks, err));
    warn_batch(&was, job, hooks);
    clsp_manifest_clear(m);
    *m = was;
    was = (clsp_manifest){0};
    CLSP_TRY(clsp_store_sweep(m, job->directory, err));
out:
    clsp_list_close(&list);
    clsp_manifest_clear(&was);
    return status;
}

static clipspan_status begin(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_store_sweep(NULL, job->directory, err));
    if (job->step) job->step(job->step_user, "list");
    CLSP_TRY(clsp_list_write(job->images, job->directory, &m->list, err));
    if (job->step) job->step(job->step_user, "basis");
    CLSP_TRY(clsp_basis_write(job->basis, m->half, job->directory, &m->basis, err));
    if (job->step) job->step(job->step_user, "begin");
    CLSP_TRY(clsp_manifest_write(m, job->directory, err));
out:
    return status;
}

static clipspan_status begin_or_go_on(clsp_manifest *m, const clsp_store_job *job, const clipspan_hooks *hooks,
                                      clipspan_error *err)
{
    char *path = clsp_path_join(job->directory, CLSP_STORE_MANIFEST);
    if (path == NULL) return clsp_fail_memory(err);
    bool there = clsp_file_exists(path);
    clsp_free(path);
    return there ? go_on(m, job, hooks, err) : begin(m, job, err);
}

/* ---- shard after shard ---------------------------------------------------------------------------------- */

/* The caller's hooks, told about the whole job in place of one shard. */
typedef struct outer_hooks {
    const clipspan_hooks *hooks;
    const clsp_manifest *manifest;
} outer_hooks;

static int whole_progress(void *user, const clipspan_progress *progress)
{
    const outer_hooks *outer = user;
    clipspan_progress whole = *progress;
    whole.done += outer->manifest->positions;
    whole.total = outer->manifest->count;
    whole.skipped += outer->manifest->skipped;
    return outer->hooks->progress ? outer->hooks->progress(outer->hooks->user, &whole) : 0;
}

static void pass_warning(void *user, const char *message)
{
    const outer_hooks *outer = user;
    if (outer->hooks->warn) outer->hooks->warn(outer->hooks->user, message);
}

static clipspan_status write_shards(clsp_sink *sink, const clsp_store_job *job, const clipspan_hooks *hooks,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_manifest *m = sink->manifest;
    outer_hooks outer = {hooks, m};
    const clipspan_hooks wrapped = {whole_progress, pass_warning, &outer};
    while (m->positions < m->count) {
        uint64_t first = m->first + m->positions, left = m->count - m->positions;
        uint64_t count = left < m->shard_images ? left : m->shard_images;
        CLSP_TRY(job->source(job->source_user, first, count, clsp_sink_add, sink, hooks ? &wrapped : NULL, err));
        CLSP_TRY(clsp_sink_finish_shard(sink, first, count, err));
    }
out:
    return status;
}

/* What is kept, said behind the reason; who stopped the run needs no reason. */
static clipspan_status explain(clipspan_status status, const clsp_manifest *m, const char *directory,
                               clipspan_error *err)
{
    if (err == NULL || (status != CLIPSPAN_ERROR_IO && status != CLIPSPAN_ERROR_INTERRUPTED)) return status;
    clipspan_error reason = *err;
    if (status == CLIPSPAN_ERROR_INTERRUPTED) snprintf(reason.message, sizeof reason.message, "stopped");
    return clsp_fail(err, status, "%.700s (%s keeps %llu of %llu images: the same command goes on from there)",
                     reason.message, directory, (unsigned long long)m->positions, (unsigned long long)m->count);
}

static clipspan_status run_locked(const clsp_store_job *job, clsp_manifest *m, clipspan_store_summary *summary,
                                  const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_sink sink = {0};
    CLSP_TRY(begin_or_go_on(m, job, hooks, err));
    summary->resumed = m->images;
    if (!m->complete) {
        CLSP_TRY(clsp_sink_open(&sink, m, job->basis, job->model, job->directory, err));
        sink.step = job->step;
        sink.step_user = job->step_user;
        status = write_shards(&sink, job, hooks, err);
        if (status != CLIPSPAN_OK) status = explain(status, m, job->directory, err);
    }
    summary->images = m->images;
    summary->skipped = m->skipped;
    summary->bytes = clsp_manifest_bytes(m, job->directory);
    if (status == CLIPSPAN_OK && m->images == 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: none of its %llu images could be read", m->images_path,
                           (unsigned long long)m->count);
out:
    clsp_sink_close(&sink);
    return status;
}

clipspan_status clsp_store_run(const clsp_store_job *job, clipspan_store_summary *summary, const clipspan_hooks *hooks,
                               clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_store_summary nobody;
    clsp_manifest manifest = {0};
    int lock = -1;
    if (summary == NULL) summary = &nobody;
    *summary = (clipspan_store_summary){0};
    CLSP_TRY(describe(&manifest, job, err));
    CLSP_TRY(clsp_directory_make(job->directory, err));
    CLSP_TRY(clsp_store_lock(&lock, job->directory, err));
    CLSP_TRY(run_locked(job, &manifest, summary, hooks, err));
out:
    clsp_store_unlock(lock, job->directory);
    clsp_manifest_clear(&manifest);
    return status;
}
