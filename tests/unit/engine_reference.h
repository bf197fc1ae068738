/* A plain double-precision transformer written from MODEL.md's formulas, at tiny and odd sizes: what the engine's tests
 * compare with. Heads can be replaced in it, as an intervention says. */
#ifndef ENGINE_REFERENCE_H
#define ENGINE_REFERENCE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/towers.h"
#include "worse.h"

typedef struct problem {
    const char *name;
    int heads, head_dim, layers, mlp, image, patch;
    bool ln_pre, split_qkv, transposed;
    clsp_activation activation;
    int text_heads, text_head_dim, text_layers, eot_id;
} problem;

enum { BATCH = 3, CONTEXT = 11, VOCAB = 50, EMBED = 20, PROMPTS = 5 };

static const problem problems[] = {
    {"plain d64", 2, 64, 2, 512, 12, 4, true, false, true, CLSP_GELU, 2, 64, 2, -1},
    {"d24 quick", 2, 24, 3, 100, 10, 5, true, true, false, CLSP_QUICK_GELU, 3, 24, 2, 7},
    {"d33 tanh, no ln_pre", 3, 33, 2, 77, 9, 3, false, true, true, CLSP_GELU_TANH, 1, 33, 1, -1},
    {"d80, one layer", 2, 80, 1, 320, 8, 2, true, false, true, CLSP_GELU, 2, 80, 3, 3},
    {"d88, one patch", 1, 88, 2, 90, 6, 6, true, true, false, CLSP_GELU, 1, 88, 1, 49},
    {"d104, image not a multiple of the patch", 2, 104, 2, 208, 11, 3, true, false, true, CLSP_QUICK_GELU, 2, 16, 2, -1},
    {"d128, 65 tokens", 1, 128, 2, 256, 16, 2, true, false, true, CLSP_GELU, 4, 8, 2, -1},
    {"one head of 5", 1, 5, 2, 7, 4, 2, true, true, true, CLSP_GELU_TANH, 1, 3, 2, -1},
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

/* ---- a model of random weights --------------------------------------------------------------------------- */

static uint64_t random_state;
static inline double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) / 9007199254740992.0 * 2.0 - 1.0;
}

static clsp_tensor tensors[400];
static size_t tensor_count;

static inline clsp_weight random_weight(size_t rows, size_t columns, double centre, double spread, bool transposed)
{
    clsp_tensor *t = &tensors[tensor_count++];
    float *data = malloc(rows * columns * sizeof *data);
    for (size_t i = 0; i < rows * columns; i++) data[i] = (float)(centre + spread * uniform());
    *t = (clsp_tensor){.name = "random", .file = "memory", .dtype = CLSP_F32, .dims = 2, .shape = {rows, columns},
                       .count = rows * columns, .data = data};
    return (clsp_weight){.tensor = t, .rows = rows, .columns = columns, .transposed = transposed};
}

static inline clsp_weight matrix(size_t out, size_t in, bool transposed)
{
    double spread = 1.7 / sqrt((double)in);
    return transposed ? random_weight(in, out, 0, spread, true) : random_weight(out, in, 0, spread, false);
}
static inline clsp_weight vector(size_t n, double centre) { return random_weight(n, 1, centre, 0.3, false); }

static inline clsp_weight rows_of(const clsp_weight *all, size_t first, size_t rows)
{
    clsp_weight part = *all;
    part.first = first;
    part.rows = rows;
    return part;
}

static inline void random_block(clsp_block_weights *b, size_t d, size_t m, bool split)
{
    *b = (clsp_block_weights){
        .ln1_gamma = vector(d, 1), .ln1_beta = vector(d, 0), .ln2_gamma = vector(d, 1), .ln2_beta = vector(d, 0),
        .out = matrix(d, d, false), .out_bias = vector(d, 0), .fc1 = matrix(m, d, false), .fc1_bias = vector(m, 0),
        .fc2 = matrix(d, m, false), .fc2_bias = vector(d, 0)};
    clsp_weight all = matrix(3 * d, d, false), bias = vector(3 * d, 0);
    b->q = split ? matrix(d, d, false) : rows_of(&all, 0, d);
    b->k = split ? matrix(d, d, false) : rows_of(&all, d, d);
    b->v = split ? matrix(d, d, false) : rows_of(&all, 2 * d, d);
    b->q_bias = rows_of(&bias, 0, d);
    if (!split) b->k_bias = rows_of(&bias, d, d); /* else absent, which counts as zero */
    b->v_bias = rows_of(&bias, 2 * d, d);
}

static inline clsp_block_weights *random_blocks(const clsp_tower_config *c, bool split)
{
    clsp_block_weights *blocks = malloc((size_t)c->layers * sizeof *blocks);
    for (int l = 0; l < c->layers; l++) random_block(&blocks[l], (size_t)c->width, (size_t)c->mlp_width, split);
    return blocks;
}

static inline void random_model(clipspan_model *model, const problem *p)
{
    random_state = 20261124;
    tensor_count = 0;
    *model = (clipspan_model){.embed_dim = EMBED, .info = {.name = p->name, .path = p->name},
                              .shared = clsp_shared_new()};
    clsp_vision *v = &model->vision;
    size_t d = (size_t)(p->heads * p->head_dim), k = (size_t)(3 * p->patch * p->patch);
    int grid = p->image / p->patch;
    *v = (clsp_vision){.config = {(int)d, p->layers, p->heads, p->head_dim, p->mlp, p->activation, 1e-5f},
                       .image_size = p->image, .patch_size = p->patch, .grid = grid, .tokens = grid * grid + 1,
                       .has_ln_pre = p->ln_pre};
    v->patch = matrix(d, k, false);
    if (p->split_qkv) v->patch_bias = vector(d, 0);
    v->class_token = random_weight(d, 1, 0, 1, false);
    v->position = random_weight((size_t)v->tokens, d, 0, 0.5, false);
    v->ln_pre_gamma = vector(d, 1), v->ln_pre_beta = vector(d, 0);
    v->ln_post_gamma = vector(d, 1), v->ln_post_beta = vector(d, 0);
    v->projection = matrix(EMBED, d, p->transposed);
    v->blocks = random_blocks(&v->config, p->split_qkv);
    clsp_text *t = &model->text;
    size_t w = (size_t)(p->text_heads * p->text_head_dim);
    *t = (clsp_text){.config = {(int)w, p->text_layers, p->text_heads, p->text_head_dim, p->mlp, p->activation, 1e-5f},
                     .context_length = CONTEXT, .vocab_size = VOCAB, .eot_id = p->eot_id,
                     .has_projection_bias = p->split_qkv};
    t->token = random_weight(VOCAB, w, 0, 1, false);
    t->position = random_weight(CONTEXT, w, 0, 0.5, false);
    t->ln_final_gamma = vector(w, 1), t->ln_final_beta = vector(w, 0);
    t->projection = matrix(EMBED, w, p->transposed);
    if (p->split_qkv) t->projection_bias = vector(EMBED, 0);
    t->blocks = random_blocks(&t->config, p->split_qkv);
}

static inline void free_model(clipspan_model *model)
{
    clsp_shared_free(model->shared);
    for (size_t i = 0; i < tensor_count; i++) free((void *)(uintptr_t)tensors[i].data);
    free(model->vision.blocks);
    free(model->text.blocks);
}

/* ---- the same in double precision, the plain way ----------------------------------------------------------- */

static inline double value(const clsp_weight *w, size_t row, size_t column)
{
    if (w->tensor == NULL) return 0.0;
    const float *data = w->tensor->data;
    return data[(w->first + row) * w->columns + column];
}

/* y [out] = W x + b */
static inline void apply(double *y, const double *x, const clsp_weight *w, const clsp_weight *b, size_t out, size_t in)
{
    for (size_t o = 0; o < out; o++) {
        y[o] = b ? value(b, o, 0) : 0.0;
        for (size_t i = 0; i < in; i++) y[o] += x[i] * (w->transposed ? value(w, i, o) : value(w, o, i));
    }
}

static inline void norm(double *y, const double *x, const clsp_weight *gamma, const clsp_weight *beta, size_t d, double eps)
{
    double mean = 0.0, variance = 0.0;
    for (size_t i = 0; i < d; i++) mean += x[i] / (double)d;
    for (size_t i = 0; i < d; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)d;
    for (size_t i = 0; i < d; i++)
        y[i] = (x[i] - mean) / sqrt(variance + eps) * value(gamma, i, 0) + value(beta, i, 0);
}

static inline double activate(double x, clsp_activation activation)
{
    switch (activation) {
    case CLSP_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case CLSP_GELU_TANH: return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case CLSP_GELU: break;
    }
    return 0.5 * x * (1.0 + erf(x / 1.4142135623730951));
}

/* What the first row of a sequence leaves behind, by layer; NULL members are not wanted. */
typedef struct trace {
    double *z, *cls, *tokens, *mlp; /* [L, D], [L, D], [L, N, D], [L + 1, D] */
    double *every, *hidden;         /* [L, N, D] z of every token; [L, M] neurons; NULL: not kept */
    const clipspan_intervention *intervention; /* followed; NULL: none */
} trace;

/* z of every token of a layer [N, H, d] is overwritten where the intervention says so. */
static inline void replace(double *z, const clipspan_intervention *v, size_t layer, size_t n, size_t heads, size_t d)
{
    size_t t = (size_t)v->tokens;
    for (size_t i = 0; i < (t == 1 ? 1 : n); i++)
        for (size_t h = 0; h < heads; h++)
            for (size_t c = 0; c < d && v->heads[layer * heads + h]; c++)
                z[(i * heads + h) * d + c] = v->values ? v->values[((layer * heads + h) * t + i) * d + c] : 0.0;
}

static inline void attend(double *out, const double *qkv, size_t n, size_t heads, size_t d, bool causal, trace *kept,
                   size_t layer)
{
    size_t width = heads * d;
    double *alpha = malloc(n * sizeof *alpha);
    memset(out, 0, n * width * sizeof *out);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < n; i++) {
            size_t seen = causal ? i + 1 : n;
            double sum = 0.0;
            for (size_t j = 0; j < seen; j++) {
                double score = 0.0;
                for (size_t c = 0; c < d; c++)
                    score += qkv[i * 3 * width + h * d + c] * qkv[j * 3 * width + width + h * d + c];
                alpha[j] = exp(score / sqrt((double)d));
                sum += alpha[j];
            }
            for (size_t j = 0; j < seen; j++)
                for (size_t c = 0; c < d; c++) {
                    double term = alpha[j] / sum * qkv[j * 3 * width + 2 * width + h * d + c];
                    out[i * width + h * d + c] += term;
                    if (i == 0 && kept) kept->tokens[(layer * n + j) * width + h * d + c] = term;
                    if (i == 0 && j == 0 && kept) kept->cls[layer * width + h * d + c] = term;
                }
        }
    if (kept && kept->intervention) replace(out, kept->intervention, layer, n, heads, d);
    if (kept) memcpy(kept->z + layer * width, out, width * sizeof *out);
    if (kept && kept->every) memcpy(kept->every + layer * n * width, out, n * width * sizeof *out);
    free(alpha);
}

static inline void reference_block(double *x, const clsp_block_weights *b, const clsp_tower_config *c, size_t n, bool causal,
                            trace *kept, size_t layer)
{
    size_t d = (size_t)c->width, m = (size_t)c->mlp_width;
    double *h = malloc(d * sizeof *h), *qkv = malloc(3 * d * n * sizeof *qkv), *heads = malloc(n * d * sizeof *heads);
    double *hidden = malloc(m * sizeof *hidden), *y = malloc(d * sizeof *y);
    for (size_t i = 0; i < n; i++) {
        norm(h, x + i * d, &b->ln1_gamma, &b->ln1_beta, d, c->ln_eps);
        apply(qkv + i * 3 * d, h, &b->q, &b->q_bias, d, d);
        apply(qkv + i * 3 * d + d, h, &b->k, &b->k_bias, d, d);
        apply(qkv + i * 3 * d + 2 * d, h, &b->v, &b->v_bias, d, d);
    }
    attend(heads, qkv, n, (size_t)c->heads, (size_t)c->head_dim, causal, kept, layer);
    for (size_t i = 0; i < n; i++) {
        apply(y, heads + i * d, &b->out, &b->out_bias, d, d);
        for (size_t j = 0; j < d; j++) x[i * d + j] += y[j];
        norm(h, x + i * d, &b->ln2_gamma, &b->ln2_beta, d, c->ln_eps);
        apply(hidden, h, &b->fc1, &b->fc1_bias, m, d);
        for (size_t j = 0; j < m; j++) hidden[j] = activate(hidden[j], c->activation);
        if (i == 0 && kept && kept->hidden) memcpy(kept->hidden + layer * m, hidden, m * sizeof *hidden);
        apply(y, hidden, &b->fc2, &b->fc2_bias, d, m);
        if (i == 0 && kept) memcpy(kept->mlp + (layer + 1) * d, y, d * sizeof *y);
        for (size_t j = 0; j < d; j++) x[i * d + j] += y[j];
    }
    free(h), free(qkv), free(heads), free(hidden), free(y);
}

/* pixels: [3, S, S]; last [D] and embedding [E] out. */
static inline void reference_image(const clipspan_model *model, const float *pixels, trace *kept, double *last,
                            double *embedding)
{
    const clsp_vision *v = &model->vision;
    size_t d = (size_t)v->config.width, n = (size_t)v->tokens, p = (size_t)v->patch_size, g = (size_t)v->grid;
    size_t s = (size_t)v->image_size;
    double *x = malloc(n * d * sizeof *x), *values = malloc(3 * p * p * sizeof *values);
    for (size_t t = 0; t < n; t++) {
        for (size_t c = 0; t > 0 && c < 3 * p * p; c++) {
            size_t row = (t - 1) / g * p + c / p % p, column = (t - 1) % g * p + c % p;
            values[c] = pixels[(c / (p * p) * s + row) * s + column];
        }
        if (t > 0) apply(x + t * d, values, &v->patch, &v->patch_bias, d, 3 * p * p);
        for (size_t i = 0; i < d; i++)
            x[t * d + i] = (t > 0 ? x[t * d + i] : value(&v->class_token, i, 0)) + value(&v->position, t, i);
        if (v->has_ln_pre) norm(x + t * d, x + t * d, &v->ln_pre_gamma, &v->ln_pre_beta, d, v->config.ln_eps);
    }
    memcpy(kept->mlp, x, d * sizeof *x);
    for (int l = 0; l < v->config.layers; l++)
        reference_block(x, &v->blocks[l], &v->config, n, false, kept, (size_t)l);
    memcpy(last, x, d * sizeof *x);
    norm(x, x, &v->ln_post_gamma, &v->ln_post_beta, d, v->config.ln_eps);
    apply(embedding, x, &v->projection, NULL, EMBED, d);
    free(x), free(values);
}

static inline void reference_text(const clipspan_model *model, const int32_t *ids, size_t n, size_t pooled, double *embedding)
{
    const clsp_text *t = &model->text;
    size_t d = (size_t)t->config.width;
    double *x = malloc(n * d * sizeof *x);
    for (size_t i = 0; i < n * d; i++)
        x[i] = value(&t->token, (size_t)ids[i / d], i % d) + value(&t->position, i / d, i % d);
    for (int l = 0; l < t->config.layers; l++)
        reference_block(x, &t->blocks[l], &t->config, n, true, NULL, (size_t)l);
    norm(x, x + pooled * d, &t->ln_final_gamma, &t->ln_final_beta, d, t->config.ln_eps);
    apply(embedding, x, &t->projection, &t->projection_bias, EMBED, d);
    free(x);
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

/* Largest difference over the largest value; fails where nearly all of what is expected is zero, or anything is not
 * finite: such a result proves nothing. */
static inline double error_of(const float *found, const double *expected, size_t count)
{
    double difference = 0.0, size = 0.0;
    for (size_t i = 0; i < count; i++) {
        assert_true(isfinite(found[i]));
        difference = worse(difference, fabs(found[i] - expected[i]));
        size = fmax(size, fabs(expected[i]));
    }
    assert_true(size > 1e-3);
    return difference / size;
}

static inline double cosine_of(const float *found, const double *expected, size_t count)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (size_t i = 0; i < count; i++) {
        ab += found[i] * expected[i];
        aa += (double)found[i] * found[i];
        bb += expected[i] * expected[i];
    }
    return ab / sqrt(aa * bb);
}

static inline float *random_pixels(const clsp_vision *v)
{
    size_t count = (size_t)BATCH * 3 * (size_t)v->image_size * (size_t)v->image_size;
    float *pixels = malloc(count * sizeof *pixels);
    for (size_t i = 0; i < count; i++) pixels[i] = (float)(2.0 * uniform());
    return pixels;
}

static inline trace trace_new(const clsp_vision *v)
{
    size_t d = (size_t)v->config.width, n = (size_t)v->tokens, l = (size_t)v->config.layers, size = sizeof(double);
    return (trace){.z = malloc(l * d * size), .cls = malloc(l * d * size), .tokens = malloc(l * n * d * size),
                   .mlp = malloc((l + 1) * d * size), .every = malloc(l * n * d * size),
                   .hidden = malloc(l * (size_t)v->config.mlp_width * size)};
}

static inline void trace_free(trace *kept)
{
    double *all[] = {kept->z, kept->cls, kept->tokens, kept->mlp, kept->every, kept->hidden};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static inline clipspan_engine *engine_of(const clipspan_model *model, clipspan_dtype dtype)
{
    clipspan_engine_options options = {dtype, 2, BATCH, 0};
    clipspan_engine *engine = NULL;
    clipspan_error err;
    if (clipspan_engine_open(&engine, model, &options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return engine;
}

#endif
