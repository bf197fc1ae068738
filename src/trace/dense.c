/* Maps from every patch's own embedding: what the patch tokens say when the last layers let them look at what is like
 * them, in place of what the class token asks for. No training in any of these.
 *
 * Each method makes a residual stream for all tokens; ln_post, projection and cosine with the texts follow. */
#include "trace/trace.h"

#include <math.h>
#include <string.h>

enum { SURGERY_LAYERS = 6 };
static const double surgery_sharpness = 2.0; /* of the softmax over texts that weighs them */
static const double neighbourhood = 5.0;     /* standard deviation of NACLIP's Gaussian, in patches */

static const clsp_trace_layer *last_layer(const clipspan_tracer *t) { return &t->layer[t->layers - 1]; }

static float scale_of(const clipspan_tracer *t) { return 1.0f / sqrtf((float)t->head_dim); }

/* ---- ends ------------------------------------------------------------------------------------------------ */

/* t->outcome [N, E]: embeddings of the tokens of x [N, D], unit length */
static clipspan_status embed_tokens(clipspan_tracer *t, const float *x, clipspan_error *err)
{
    clipspan_status status = clsp_trace_project(t, t->outcome, x, t->tokens, err);
    for (size_t n = 0; n < t->tokens; n++) {
        float *f = t->outcome + n * t->embed;
        double square = 0;
        for (size_t e = 0; e < t->embed; e++) square += (double)f[e] * (double)f[e];
        float inverse = square > 0 ? (float)(1.0 / sqrt(square)) : 0.0f;
        for (size_t e = 0; e < t->embed; e++) f[e] *= inverse;
    }
    return status;
}

/* out [count, N - 1] = text . patch */
static clipspan_status cosines(clipspan_tracer *t, const float *x, const float *texts, size_t count, float *out,
                               clipspan_error *err)
{
    clipspan_status status = embed_tokens(t, x, err);
    if (status != CLIPSPAN_OK) return status;
    return clsp_sgemm(out, t->tokens - 1, texts, t->embed, false, t->outcome + t->embed, t->embed, true, count,
                      t->tokens - 1, t->embed, 1.0f, 0.0f, err);
}

/* x = a + b */
static void add(float *x, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) x[i] = a[i] + b[i];
}

/* The last block with other heads' outputs z [N, D] (stride z_stride), residual stream and MLP as they are: t->part2 */
static clipspan_status last_block(clipspan_tracer *t, const float *z, size_t z_stride, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width, l = t->layers - 1;
    float *mid = t->back_z;
    CLSP_TRY(clsp_dense_run(mid, d, z, z_stride, &t->weights.blocks[l].out, true, n, err));
    add(mid, mid, t->layer[l].x, n * d);
    CLSP_TRY(clsp_trace_mlp(t, t->part2, mid, t->back_hidden, l, err));
out:
    return status;
}

/* ---- MaskCLIP -------------------------------------------------------------------------------------------- */

/* Every token attends to itself alone. */
clipspan_status clsp_map_maskclip(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err)
{
    clipspan_status status = last_block(t, last_layer(t)->qkv + 2 * t->width, 3 * t->width, err);
    if (status != CLIPSPAN_OK) return status;
    return cosines(t, t->part2, texts, count, out, err);
}

/* ---- SCLIP ------------------------------------------------------------------------------------------------- */

/* to [H, N, N] = softmax(a a' / sqrt(d)) of one part (q, k or v) of qkv */
static clipspan_status likeness(clipspan_tracer *t, float *to, const float *a, clipspan_error *err)
{
    clipspan_status status = clsp_heads_scores(t, to, a, 3 * t->width, a, 3 * t->width, err);
    if (status == CLIPSPAN_OK) clsp_softmax_rows(to, scale_of(t), t->heads * t->tokens, t->tokens);
    return status;
}

clipspan_status clsp_map_sclip(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width;
    const float *qkv = last_layer(t)->qkv;
    CLSP_TRY(likeness(t, t->products, qkv, err));
    CLSP_TRY(likeness(t, t->relevance_attention, qkv + d, err));
    add(t->products, t->products, t->relevance_attention, t->heads * n * n);
    CLSP_TRY(clsp_heads_values(t, t->part, d, t->products, false, qkv + 2 * d, 3 * d, 1.0f, err));
    CLSP_TRY(last_block(t, t->part, d, err));
    CLSP_TRY(cosines(t, t->part2, texts, count, out, err));
out:
    return status;
}

/* ---- NACLIP ------------------------------------------------------------------------------------------------ */

/* s [N, N] of one head += exp(-distance^2 / (2 std^2)) / scale between patches; nothing to and from the class token */
static void add_neighbourhood(const clipspan_tracer *t, float *s, const float *bell)
{
    size_t n = t->tokens, grid = t->grid;
    for (size_t i = 0; i + 1 < n; i++)
        for (size_t j = 0; j + 1 < n; j++) {
            size_t yi = i / grid, yj = j / grid, xi = i % grid, xj = j % grid;
            size_t down = yi > yj ? yi - yj : yj - yi, across = xi > xj ? xi - xj : xj - xi;
            s[(i + 1) * n + j + 1] += bell[down] * bell[across] / scale_of(t);
        }
}

static clipspan_status neighbourly(clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width;
    const float *k = last_layer(t)->qkv + d;
    float *bell = NULL;
    CLSP_ALLOC(bell, clsp_alloc(t->grid, sizeof *bell));
    for (size_t i = 0; i < t->grid; i++)
        bell[i] = (float)exp(-0.5 * (double)(i * i) / (neighbourhood * neighbourhood));
    CLSP_TRY(clsp_heads_scores(t, t->products, k, 3 * d, k, 3 * d, err));
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < t->heads; h++) add_neighbourhood(t, t->products + h * n * n, bell);
    clsp_softmax_rows(t->products, scale_of(t), t->heads * n, n);
out:
    clsp_free(bell);
    return status;
}

/* The last block is its attention alone: no residual stream, no MLP. */
clipspan_status clsp_map_naclip(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width;
    CLSP_TRY(neighbourly(t, err));
    CLSP_TRY(clsp_heads_values(t, t->part, d, t->products, false, last_layer(t)->qkv + 2 * d, 3 * d, 1.0f, err));
    CLSP_TRY(clsp_dense_run(t->part2, d, t->part, d, &t->weights.blocks[t->layers - 1].out, true, n, err));
    CLSP_TRY(cosines(t, t->part2, texts, count, out, err));
out:
    return status;
}

/* ---- CLIP Surgery -------------------------------------------------------------------------------------------- */

/* The second path: from the stream before the last six layers on, value-value attention is added and no MLP; values
 * are those of the first path. The class token is the first path's. t->part2 [N, D] */
static clipspan_status second_path(clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width, first = t->layers > SURGERY_LAYERS ? t->layers - SURGERY_LAYERS : 0;
    memcpy(t->part2, t->layer[first].x, n * d * sizeof *t->part2);
    for (size_t l = first; l < t->layers; l++) {
        const float *v = t->layer[l].qkv + 2 * d;
        CLSP_TRY(likeness(t, t->products, v, err));
        CLSP_TRY(clsp_heads_values(t, t->part, d, t->products, false, v, 3 * d, 1.0f, err));
        CLSP_TRY(clsp_dense_run(t->back_z, d, t->part, d, &t->weights.blocks[l].out, true, n, err));
        add(t->part2, t->part2, t->back_z, n * d);
    }
    memcpy(t->part2, t->last, d * sizeof *t->part2);
out:
    return status;
}

/* weights [count] = softmax(2 cosines of the image and the texts), divided by their mean */
static void weigh_texts(const clipspan_tracer *t, const float *texts, size_t count, double *weights)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) {
        double cosine = 0;
        for (size_t e = 0; e < t->embed; e++) cosine += (double)t->outcome[e] * (double)texts[i * t->embed + e];
        weights[i] = surgery_sharpness * cosine;
        most = fmax(most, weights[i]);
    }
    for (size_t i = 0; i < count; i++) sum += weights[i] = exp(weights[i] - most);
    for (size_t i = 0; i < count; i++) weights[i] *= (double)count / sum;
}

/* out[i, p] = w_i c[i, p] - mean over texts of w c[., p]: what all texts have in common goes. */
static clipspan_status remove_redundant(const clipspan_tracer *t, const float *texts, size_t count, float *out,
                                        clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t patches = t->tokens - 1;
    double *weights = NULL;
    CLSP_ALLOC(weights, clsp_alloc(count, sizeof *weights));
    weigh_texts(t, texts, count, weights);
    for (size_t p = 0; p < patches; p++) {
        double mean = 0;
        for (size_t i = 0; i < count; i++) mean += weights[i] * (double)out[i * patches + p];
        mean /= (double)count;
        for (size_t i = 0; i < count; i++)
            out[i * patches + p] = (float)(weights[i] * (double)out[i * patches + p] - mean);
    }
out:
    clsp_free(weights);
    return status;
}

clipspan_status clsp_map_clip_surgery(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                      clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(second_path(t, err));
    CLSP_TRY(cosines(t, t->part2, texts, count, out, err));
    /* one text has nothing in common with others */
    if (count > 1) CLSP_TRY(remove_redundant(t, texts, count, out, err));
out:
    return status;
}
