/* A tracer: its buffers, and its public functions. */
#include "trace/trace.h"

#include <math.h>
#include <string.h>

/* ---- buffers --------------------------------------------------------------------------------------------- */

/* A place in the one allocation, each 64-byte aligned. */
typedef struct part {
    float **place;
    size_t rows, columns;
} part;

enum { LAYER_PARTS = 7, PARTS = 20, ALIGNED = 16 };

static void layer_parts(part *out, clsp_trace_layer *y, const clipspan_tracer *t)
{
    size_t n = t->tokens, d = t->width;
    const part parts[LAYER_PARTS] = {{&y->x, n, d}, {&y->qkv, n, 3 * d}, {&y->attention, t->heads * n, n},
                                     {&y->z, n, d}, {&y->mid, n, d}, {&y->hidden, n, t->hidden},
                                     {&y->scores, t->heads * n, n}};
    memcpy(out, parts, sizeof parts);
}

static void all_parts(part *out, clipspan_tracer *t)
{
    size_t n = t->tokens, d = t->width, ends = clsp_max(t->patch_values, t->embed);
    size_t wide = clsp_max(clsp_max(t->hidden, 3 * d), ends), largest = d * clsp_max(clsp_max(t->hidden, d), ends);
    const part parts[PARTS] = {
        {&t->patches, n, t->patch_values}, {&t->embedded, n, d}, {&t->x0, n, d}, {&t->last, n, d}, {&t->r, 1, t->embed},
        {&t->h, n, d}, {&t->work, n, wide}, {&t->products, t->heads * n, n}, {&t->gradient, n, d},
        {&t->back_qkv, n, 3 * d}, {&t->back_z, n, d}, {&t->gradient_attention, t->heads * n, n},
        {&t->back_hidden, n, t->hidden}, {&t->relevance, n, d}, {&t->relevance_attention, t->heads * n, n},
        {&t->part, n, wide}, {&t->part2, n, wide}, {&t->part3, n, wide}, {&t->magnitude, largest, 1},
        {&t->outcome, n, t->embed}};
    memcpy(out, parts, sizeof parts);
    for (size_t l = 0; l < t->layers; l++) layer_parts(out + PARTS + l * LAYER_PARTS, &t->layer[l], t);
}

static clipspan_status buffers_new(clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    part *parts = NULL;
    size_t total = 0, floats, count = PARTS + t->layers * LAYER_PARTS;
    CLSP_ALLOC(t->layer, clsp_alloc_zero(t->layers, sizeof *t->layer));
    CLSP_ALLOC(parts, clsp_alloc(count, sizeof *parts));
    all_parts(parts, t);
    for (size_t i = 0; i < count; i++) {
        if (!clsp_mul(&floats, parts[i].rows, parts[i].columns) || !clsp_add(&floats, floats, ALIGNED) ||
            !clsp_add(&total, total, floats)) {
            status = clsp_fail_memory(err);
            goto out;
        }
    }
    CLSP_ALLOC(t->block, clsp_alloc_aligned(total, sizeof *t->block));
    float *next = t->block;
    for (size_t i = 0; i < count; i++) {
        *parts[i].place = next;
        next += (parts[i].rows * parts[i].columns + ALIGNED - 1) / ALIGNED * ALIGNED;
    }
out:
    clsp_free(parts);
    return status;
}

/* ---- making and freeing ---------------------------------------------------------------------------------- */

static clipspan_tracer sizes_of(const clipspan_model *model, int threads)
{
    const clsp_vision *v = &model->vision;
    size_t side = (size_t)v->patch_size;
    return (clipspan_tracer){
        .model = model, .threads = threads, .tokens = (size_t)v->tokens, .grid = (size_t)v->grid, .side = side,
        .image = (size_t)v->image_size, .patch_values = 3 * side * side, .width = (size_t)v->config.width,
        .heads = (size_t)v->config.heads, .head_dim = (size_t)v->config.head_dim,
        .hidden = (size_t)v->config.mlp_width, .layers = (size_t)v->config.layers, .embed = (size_t)model->embed_dim,
        .activation = v->config.activation, .eps = v->config.ln_eps};
}

clipspan_status clipspan_tracer_open(clipspan_tracer **out, const clipspan_model *model, int threads,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_tracer *t = NULL;
    *out = NULL;
    if (threads < 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "threads: %d, expected 0 or more", threads);
    CLSP_ALLOC(t, clsp_alloc_zero(1, sizeof *t));
    *t = sizes_of(model, threads);
    CLSP_TRY(buffers_new(t, err));
    CLSP_TRY(clsp_trace_weights_read(&t->weights, model, err));
    *out = t;
    t = NULL;
out:
    clipspan_tracer_free(t);
    return status;
}

void clipspan_tracer_free(clipspan_tracer *t)
{
    if (t == NULL) return;
    clsp_trace_weights_clear(&t->weights);
    clsp_free(t->layer);
    clsp_free(t->block);
    clsp_free(t);
}

/* ---- running --------------------------------------------------------------------------------------------- */

static clipspan_status need_pass(clipspan_tracer *t, clsp_pass pass, clipspan_error *err)
{
    if (t->pass == pass) return CLIPSPAN_OK;
    t->pass = CLSP_PASS_NONE;
    clipspan_status status = pass == CLSP_PASS_EXACT ? clsp_trace_exact(t, err) : clsp_trace_plain(t, err);
    if (status == CLIPSPAN_OK) t->pass = pass;
    return status;
}

clipspan_status clipspan_tracer_run(clipspan_tracer *t, const float *pixels, float *embedding, clipspan_error *err)
{
    t->ran = false;
    t->pass = CLSP_PASS_NONE;
    for (size_t i = 0; i < 3 * t->image * t->image; i++)
        if (!isfinite(pixels[i]))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "pixels: value %zu is not finite", i);
    clsp_trace_begin(t, pixels);
    t->ran = true;
    if (embedding == NULL) return CLIPSPAN_OK; /* the first map takes the pass that it needs */
    int before = clsp_threads(t->threads);
    clipspan_status status = need_pass(t, CLSP_PASS_PLAIN, err);
    clsp_threads(before);
    t->ran = status == CLIPSPAN_OK;
    if (t->ran) memcpy(embedding, t->r, t->embed * sizeof *embedding);
    return status;
}

static clipspan_status check_ran(const clipspan_tracer *t, clipspan_error *err)
{
    if (t->ran) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the tracer has run no image yet");
}

static clsp_pass pass_of(clipspan_relevance method)
{
    bool shared_out = method == CLIPSPAN_PARTIAL_LRP || method == CLIPSPAN_LRP || method == CLIPSPAN_TRANSFORMER_ATTRIBUTION;
    return shared_out ? CLSP_PASS_EXACT : CLSP_PASS_PLAIN;
}

static const clsp_map_fn maps[CLIPSPAN_RELEVANCES] = {
    [CLIPSPAN_RAW_ATTENTION] = clsp_map_raw_attention,
    [CLIPSPAN_ROLLOUT] = clsp_map_rollout,
    [CLIPSPAN_GRADCAM] = clsp_map_gradcam,
    [CLIPSPAN_PARTIAL_LRP] = clsp_map_partial_lrp,
    [CLIPSPAN_LRP] = clsp_map_lrp,
    [CLIPSPAN_TRANSFORMER_ATTRIBUTION] = clsp_map_transformer_attribution,
    [CLIPSPAN_GENERIC_ATTENTION] = clsp_map_generic_attention,
    [CLIPSPAN_MASKCLIP] = clsp_map_maskclip,
    [CLIPSPAN_CLIP_SURGERY] = clsp_map_clip_surgery,
    [CLIPSPAN_SCLIP] = clsp_map_sclip,
    [CLIPSPAN_NACLIP] = clsp_map_naclip,
};

clipspan_status clipspan_tracer_map(clipspan_tracer *t, clipspan_relevance method, const float *texts, size_t count,
                                    float *out, clipspan_error *err)
{
    const clipspan_relevance_info *info = clipspan_relevance_get_info(method);
    if (info == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "relevance method %d: expected 0 to %d", (int)method,
                         CLIPSPAN_RELEVANCES - 1);
    if (info->by_text && texts == NULL && count > 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: needs a text direction for each map", info->name);
    clipspan_status status = check_ran(t, err);
    if (status != CLIPSPAN_OK || count == 0) return status;
    int before = clsp_threads(t->threads);
    status = need_pass(t, pass_of(method), err);
    if (status == CLIPSPAN_OK) status = maps[method](t, texts, count, out, err);
    clsp_threads(before);
    return status;
}

clipspan_status clipspan_tracer_gradient(clipspan_tracer *t, const float *text, float *out, clipspan_error *err)
{
    if (text == NULL) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "gradient: needs a text direction");
    clipspan_status status = check_ran(t, err);
    if (status != CLIPSPAN_OK) return status;
    int before = clsp_threads(t->threads);
    CLSP_TRY(need_pass(t, CLSP_PASS_PLAIN, err));
    CLSP_TRY(clsp_backward_begin(t, text, err));
    for (size_t l = t->layers; l-- > 0;) CLSP_TRY(clsp_backward_block(t, l, err));
    CLSP_TRY(clsp_backward_pixels(t, out, err));
out:
    clsp_threads(before);
    return status;
}
