/* The derivative of the score s = r . text / |r|, from the embedding back to the pixels, block by block.
 *
 * What is kept of the forward pass is only read. Each step is the transpose of one line of trace.h's block. */
#include "trace/trace.h"

#include <math.h>
#include <string.h>

/* ds/dr = t / |r| - (r . t) r / |r|^3 */
static void score_back(float *dr, const float *r, const float *text, size_t count)
{
    double rr = 0, rt = 0;
    for (size_t i = 0; i < count; i++) {
        rr += (double)r[i] * r[i];
        rt += (double)r[i] * text[i];
    }
    double inverse = rr > 0 ? 1.0 / sqrt(rr) : 0.0;
    for (size_t i = 0; i < count; i++)
        dr[i] = (float)(inverse * (text[i] - rt * inverse * inverse * (double)r[i]));
}

clipspan_status clsp_backward_begin(clipspan_tracer *t, const float *text, clipspan_error *err)
{
    score_back(t->outcome, t->r, text, t->embed);
    clipspan_status status = clsp_dense_back(t->h, t->width, t->outcome, t->embed, &t->weights.projection,
                                             t->weights.projection.weight, 0.0f, 1, err);
    memset(t->gradient, 0, t->tokens * t->width * sizeof *t->gradient);
    clsp_norm_back(t->gradient, t->h, t->last, &t->weights.ln_post, t->eps, 1, t->width);
    return status;
}

static clipspan_status mlp_back(clipspan_tracer *t, size_t l, size_t rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_block *b = &t->weights.blocks[l];
    const clsp_trace_layer *y = &t->layer[l];
    size_t d = t->width, m = t->hidden;
    CLSP_TRY(clsp_dense_back(t->back_hidden, m, t->gradient, d, &b->fc2, b->fc2.weight, 0.0f, rows, err));
    clsp_activate_back(t->back_hidden, y->hidden, t->activation, rows * m);
    CLSP_TRY(clsp_dense_back(t->h, d, t->back_hidden, m, &b->fc1, b->fc1.weight, 0.0f, rows, err));
    clsp_norm_back(t->gradient, t->h, y->mid, &b->ln2, t->eps, rows, d);
out:
    return status;
}

/* ds[i] = scale a[i] (da[i] - sum_j a[j] da[j]): back through softmax(scale s), row by row. */
static void softmax_back(float *ds, const float *da, const float *a, float scale, size_t rows, size_t width)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *p = a + r * width, *g = da + r * width;
        double mean = 0;
        for (size_t i = 0; i < width; i++) mean += (double)p[i] * g[i];
        for (size_t i = 0; i < width; i++) ds[r * width + i] = scale * p[i] * (g[i] - (float)mean);
    }
}

/* From t->back_z (gradient of the heads' outputs) to t->back_qkv. */
static clipspan_status attention_back(clipspan_tracer *t, const clsp_trace_layer *y, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width;
    const float *q = y->qkv, *k = y->qkv + d, *v = y->qkv + 2 * d;
    CLSP_TRY(clsp_heads_scores(t, t->gradient_attention, t->back_z, d, v, 3 * d, err));
    CLSP_TRY(clsp_heads_values(t, t->back_qkv + 2 * d, 3 * d, y->attention, true, t->back_z, d, 1.0f, err));
    softmax_back(t->products, t->gradient_attention, y->attention, 1.0f / sqrtf((float)t->head_dim), t->heads * n, n);
    CLSP_TRY(clsp_heads_values(t, t->back_qkv, 3 * d, t->products, false, k, 3 * d, 1.0f, err));
    CLSP_TRY(clsp_heads_values(t, t->back_qkv + d, 3 * d, t->products, true, q, 3 * d, 1.0f, err));
out:
    return status;
}

clipspan_status clsp_backward_block(clipspan_tracer *t, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_block *b = &t->weights.blocks[l];
    const clsp_dense *inputs[] = {&b->q, &b->k, &b->v};
    size_t n = t->tokens, d = t->width, rows = l + 1 == t->layers ? 1 : n;
    CLSP_TRY(mlp_back(t, l, rows, err));
    memset(t->back_z, 0, n * d * sizeof *t->back_z);
    CLSP_TRY(clsp_dense_back(t->back_z, d, t->gradient, d, &b->out, b->out.weight, 0.0f, rows, err));
    CLSP_TRY(attention_back(t, &t->layer[l], err));
    for (size_t i = 0; i < 3; i++)
        CLSP_TRY(clsp_dense_back(t->h, d, t->back_qkv + i * d, 3 * d, inputs[i], inputs[i]->weight, i ? 1.0f : 0.0f, n,
                                 err));
    clsp_norm_back(t->gradient, t->h, t->layer[l].x, &b->ln1, t->eps, n, d);
out:
    return status;
}

/* [N - 1, K] back into the picture. */
static void scatter_patches(const clipspan_tracer *t, float *out, const float *patches)
{
    size_t side = t->side, s = t->image;
    memset(out, 0, 3 * s * s * sizeof *out);
    for (size_t p = 0; p < t->tokens - 1; p++)
        for (size_t line = 0; line < 3 * side; line++) {
            size_t channel = line / side, y = p / t->grid * side + line % side, x = p % t->grid * side;
            memcpy(out + (channel * s + y) * s + x, patches + p * t->patch_values + line * side, side * sizeof *out);
        }
}

clipspan_status clsp_backward_pixels(clipspan_tracer *t, float *out, clipspan_error *err)
{
    const float *dx = t->gradient;
    size_t n = t->tokens, d = t->width;
    if (t->weights.ln_pre.gamma) {
        memset(t->h, 0, n * d * sizeof *t->h);
        clsp_norm_back(t->h, t->gradient, t->x0, &t->weights.ln_pre, t->eps, n, d);
        dx = t->h;
    }
    clipspan_status status = clsp_dense_back(t->part, t->patch_values, dx + d, d, &t->weights.patch,
                                             t->weights.patch.weight, 0.0f, n - 1, err);
    scatter_patches(t, out, t->part);
    return status;
}
