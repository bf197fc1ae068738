/* The image tower for one image, in fp32, with everything kept; the last block for all tokens. */
#include "trace/trace.h"

#include <math.h>
#include <string.h>

/* patches [N - 1, K]: values (channel, row, column) of each patch; pixels beyond the last whole patch are not seen. */
static void gather_patches(clipspan_tracer *t, const float *pixels)
{
    size_t side = t->side, s = t->image;
    for (size_t p = 0; p < t->tokens - 1; p++)
        for (size_t line = 0; line < 3 * side; line++) {
            size_t channel = line / side, y = p / t->grid * side + line % side, x = p % t->grid * side;
            memcpy(t->patches + p * t->patch_values + line * side, pixels + (channel * s + y) * s + x,
                   side * sizeof *pixels);
        }
}

void clsp_trace_begin(clipspan_tracer *t, const float *pixels)
{
    gather_patches(t, pixels);
    t->lowest = t->highest = pixels[0];
    for (size_t i = 1; i < 3 * t->image * t->image; i++) {
        t->lowest = fminf(t->lowest, pixels[i]);
        t->highest = fmaxf(t->highest, pixels[i]);
    }
}

static clipspan_status embed(clipspan_tracer *t, clipspan_error *err)
{
    size_t width = t->width, cells = t->tokens * width;
    float *first = t->layer[0].x;
    memcpy(t->embedded, t->weights.class_token, width * sizeof *t->embedded);
    clipspan_status status = clsp_dense_run(t->embedded + width, width, t->patches, t->patch_values, &t->weights.patch,
                                            true, t->tokens - 1, err);
    for (size_t i = 0; i < cells; i++) t->x0[i] = t->embedded[i] + t->weights.position[i];
    if (t->weights.ln_pre.gamma)
        clsp_norm_run(first, t->x0, &t->weights.ln_pre, t->eps, t->tokens, width);
    else
        memcpy(first, t->x0, cells * sizeof *first);
    return status;
}

float *clsp_trace_after(const clipspan_tracer *t, size_t l)
{
    return l + 1 < t->layers ? t->layer[l + 1].x : t->last;
}

clipspan_status clsp_trace_attend(clipspan_tracer *t, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_block *b = &t->weights.blocks[l];
    clsp_trace_layer *y = &t->layer[l];
    size_t n = t->tokens, d = t->width;
    clsp_norm_run(t->h, y->x, &b->ln1, t->eps, n, d);
    CLSP_TRY(clsp_dense_run(y->qkv, 3 * d, t->h, d, &b->q, true, n, err));
    CLSP_TRY(clsp_dense_run(y->qkv + d, 3 * d, t->h, d, &b->k, true, n, err));
    CLSP_TRY(clsp_dense_run(y->qkv + 2 * d, 3 * d, t->h, d, &b->v, true, n, err));
    CLSP_TRY(clsp_heads_scores(t, y->attention, y->qkv, 3 * d, y->qkv + d, 3 * d, err));
    clsp_softmax_rows(y->attention, 1.0f / sqrtf((float)t->head_dim), t->heads * n, n);
out:
    return status;
}

clipspan_status clsp_trace_mlp(clipspan_tracer *t, float *out, const float *x, float *hidden, size_t l,
                               clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_block *b = &t->weights.blocks[l];
    size_t n = t->tokens, d = t->width, m = t->hidden;
    clsp_norm_run(t->h, x, &b->ln2, t->eps, n, d);
    CLSP_TRY(clsp_dense_run(hidden, m, t->h, d, &b->fc1, true, n, err));
    clsp_activate(t->work, hidden, t->activation, n * m);
    CLSP_TRY(clsp_dense_run(out, d, t->work, m, &b->fc2, true, n, err));
    for (size_t i = 0; i < n * d; i++) out[i] += x[i];
out:
    return status;
}

clipspan_status clsp_trace_apply(clipspan_tracer *t, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_trace_layer *y = &t->layer[l];
    size_t n = t->tokens, d = t->width;
    CLSP_TRY(clsp_heads_values(t, y->z, d, y->attention, false, y->qkv + 2 * d, 3 * d, 1.0f, err));
    CLSP_TRY(clsp_dense_run(y->mid, d, y->z, d, &t->weights.blocks[l].out, true, n, err));
    for (size_t i = 0; i < n * d; i++) y->mid[i] += y->x[i];
    CLSP_TRY(clsp_trace_mlp(t, clsp_trace_after(t, l), y->mid, y->hidden, l, err));
out:
    return status;
}

clipspan_status clsp_trace_project(clipspan_tracer *t, float *out, const float *x, size_t rows, clipspan_error *err)
{
    clsp_norm_run(t->h, x, &t->weights.ln_post, t->eps, rows, t->width);
    return clsp_dense_run(out, t->embed, t->h, t->width, &t->weights.projection, false, rows, err);
}

clipspan_status clsp_trace_plain(clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(embed(t, err));
    for (size_t l = 0; l < t->layers; l++) {
        CLSP_TRY(clsp_trace_attend(t, l, err));
        CLSP_TRY(clsp_trace_apply(t, l, err));
    }
    CLSP_TRY(clsp_trace_project(t, t->r, t->last, 1, err));
out:
    return status;
}
