/* What a store is made of and by: described for a new one, compared for one that is there. */
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

uint64_t clsp_round_up(uint64_t value, uint64_t unit)
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
        m->shard_images = clsp_round_up(asked, batch);
    else if (m->moments_only)
        m->shard_images = clsp_round_up(MOMENTS_IMAGES, batch);
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

clipspan_status clsp_making_describe(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
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

/* ---- two of one making ----------------------------------------------------------------------------------- */

static bool texts(clsp_difference *out, const char *what, const char *was, const char *is)
{
    out->what = what;
    snprintf(out->was, sizeof out->was, "%s", was);
    snprintf(out->is, sizeof out->is, "%s", is);
    return true;
}

static bool numbers(clsp_difference *out, const char *what, uint64_t was, uint64_t is)
{
    out->what = what;
    snprintf(out->was, sizeof out->was, "%llu", (unsigned long long)was);
    snprintf(out->is, sizeof out->is, "%llu", (unsigned long long)is);
    return true;
}

static void part_words(char out[24], unsigned parts)
{
    snprintf(out, 24, "heads%s%s%s", parts & CLIPSPAN_PART_MLP ? "+mlp" : "", parts & CLIPSPAN_PART_CLS ? "+cls" : "",
             parts & CLIPSPAN_PART_TOKENS ? "+tokens" : "");
}

static bool same_token_layers(const clsp_manifest *a, const clsp_manifest *b)
{
    size_t bytes = (size_t)a->token_layer_count * sizeof *a->token_layers;
    return a->token_layer_count == b->token_layer_count &&
           (bytes == 0 || memcmp(a->token_layers, b->token_layers, bytes) == 0);
}

bool clsp_making_differs(clsp_difference *out, const clsp_manifest *was, const clsp_manifest *is)
{
    static const char *const kept[] = {"contributions", "moments alone"}, *const types[] = {"f32", "f16"};
    static const char *const products[] = {"f32", "bf16"}, *const exif[] = {"ignored", "followed"};
    char before[24], now[24];
    if (was->moments_only != is->moments_only)
        return texts(out, "what is kept:", kept[was->moments_only], kept[is->moments_only]);
    if (was->half != is->half) return texts(out, "the type", types[was->half], types[is->half]);
    if (was->bf16 != is->bf16) return texts(out, "products in", products[was->bf16], products[is->bf16]);
    if (was->exif != is->exif) return texts(out, "EXIF orientation", exif[was->exif], exif[is->exif]);
    part_words(before, was->parts);
    part_words(now, is->parts);
    if (was->parts != is->parts) return texts(out, "the parts", before, now);
    if (!same_token_layers(was, is)) return texts(out, "tokens of", "other layers", "these");
    if (was->top_images != is->top_images)
        return numbers(out, "top images a neuron (0: no neurons):", (uint64_t)was->top_images, (uint64_t)is->top_images);
    if (was->first != is->first) return numbers(out, "the first image", was->first, is->first);
    if (was->listed == is->listed && was->count != is->count)
        return numbers(out, "a number of images of", was->count, is->count);
    return false;
}

clipspan_status clsp_model_differs(const char *directory, const clsp_manifest *was, const char *name,
                                   const char *fingerprint, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "%s was made by the model %s (%.8s, from %s), not by %s (%.8s)", directory, was->model_name,
                     was->fingerprint, was->model_path, name, fingerprint);
}
