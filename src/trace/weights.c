/* The image tower's weights as fp32, all of them in memory from the start: eleven methods over hundreds of images go
 * through them again and again, forwards and backwards, and most files hold fp32, of which no copy is made at all. A
 * ViT-L-14 in half precision takes 1.2 GB unpacked. */
#include "trace/trace.h"

#include <stdalign.h>

/* Values in the mapping that may be read as they are: fp32, aligned, on a machine of the file's byte order. */
static const float *in_place(const clsp_weight *weight)
{
    const uint16_t one = 1;
    if (weight->tensor == NULL || weight->tensor->dtype != CLSP_F32) return NULL;
    if ((uintptr_t)weight->tensor->data % alignof(float) != 0 || *(const unsigned char *)&one != 1) return NULL;
    return (const float *)weight->tensor->data + weight->first * weight->columns;
}

static clipspan_status read_vector(float **out, const clsp_weight *weight, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(*out, clsp_alloc_aligned(count, sizeof **out));
    CLSP_TRY(clsp_weight_floats(weight, count, *out, err));
out:
    return status;
}

static clipspan_status read_dense(clsp_dense *out, const clsp_weight *weight, const clsp_weight *bias, size_t in,
                                  size_t rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_weight none = {0};
    *out = (clsp_dense){.weight = in_place(weight), .in = in, .out = rows, .transposed = weight->transposed};
    CLSP_TRY(read_vector(&out->bias, bias ? bias : &none, rows, err));
    if (out->weight) goto out;
    CLSP_TRY(read_vector(&out->owned, weight, in * rows, err));
    out->weight = out->owned;
out:
    return status;
}

static clipspan_status read_norm(clsp_norm *out, const clsp_weight *gamma, const clsp_weight *beta, size_t width,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(read_vector(&out->gamma, gamma, width, err));
    CLSP_TRY(read_vector(&out->beta, beta, width, err));
out:
    return status;
}

static clipspan_status read_block(clsp_trace_block *b, const clsp_block_weights *w, const clsp_tower_config *config,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)config->width, hidden = (size_t)config->mlp_width;
    CLSP_TRY(read_norm(&b->ln1, &w->ln1_gamma, &w->ln1_beta, width, err));
    CLSP_TRY(read_norm(&b->ln2, &w->ln2_gamma, &w->ln2_beta, width, err));
    CLSP_TRY(read_dense(&b->q, &w->q, &w->q_bias, width, width, err));
    CLSP_TRY(read_dense(&b->k, &w->k, &w->k_bias, width, width, err));
    CLSP_TRY(read_dense(&b->v, &w->v, &w->v_bias, width, width, err));
    CLSP_TRY(read_dense(&b->out, &w->out, &w->out_bias, width, width, err));
    CLSP_TRY(read_dense(&b->fc1, &w->fc1, &w->fc1_bias, width, hidden, err));
    CLSP_TRY(read_dense(&b->fc2, &w->fc2, &w->fc2_bias, hidden, width, err));
out:
    return status;
}

clipspan_status clsp_trace_weights_read(clsp_trace_weights *out, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_vision *v = &model->vision;
    size_t width = (size_t)v->config.width, patch = 3 * (size_t)v->patch_size * (size_t)v->patch_size;
    *out = (clsp_trace_weights){.layers = (size_t)v->config.layers};
    CLSP_ALLOC(out->blocks, clsp_alloc_zero(out->layers, sizeof *out->blocks));
    CLSP_TRY(read_dense(&out->patch, &v->patch, &v->patch_bias, patch, width, err));
    CLSP_TRY(read_dense(&out->projection, &v->projection, NULL, width, (size_t)model->embed_dim, err));
    CLSP_TRY(read_vector(&out->class_token, &v->class_token, width, err));
    CLSP_TRY(read_vector(&out->position, &v->position, (size_t)v->tokens * width, err));
    if (v->has_ln_pre) CLSP_TRY(read_norm(&out->ln_pre, &v->ln_pre_gamma, &v->ln_pre_beta, width, err));
    CLSP_TRY(read_norm(&out->ln_post, &v->ln_post_gamma, &v->ln_post_beta, width, err));
    for (size_t l = 0; l < out->layers; l++) {
        CLSP_TRY(read_block(&out->blocks[l], &v->blocks[l], &v->config, err));
        if (model->weights) clsp_safetensors_drop_pages(model->weights); /* what was copied is not read again */
    }
out:
    return status;
}

static void norm_clear(const clsp_norm *norm)
{
    clsp_free(norm->gamma);
    clsp_free(norm->beta);
}

static void dense_clear(const clsp_dense *dense)
{
    clsp_free(dense->owned);
    clsp_free(dense->bias);
}

static void block_clear(const clsp_trace_block *b)
{
    const clsp_dense *all[] = {&b->q, &b->k, &b->v, &b->out, &b->fc1, &b->fc2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) dense_clear(all[i]);
    norm_clear(&b->ln1);
    norm_clear(&b->ln2);
}

void clsp_trace_weights_clear(clsp_trace_weights *weights)
{
    for (size_t l = 0; weights->blocks && l < weights->layers; l++) block_clear(&weights->blocks[l]);
    clsp_free(weights->blocks);
    dense_clear(&weights->patch);
    dense_clear(&weights->projection);
    norm_clear(&weights->ln_pre);
    norm_clear(&weights->ln_post);
    clsp_free(weights->class_token);
    clsp_free(weights->position);
    *weights = (clsp_trace_weights){0};
}
