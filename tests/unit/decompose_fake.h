/* A tiny vision tower with random weights in memory, and captures as an engine would hand over: what the tests of
 * decompose and store are fed with. Everything follows from one seed. */
#ifndef DECOMPOSE_FAKE_H
#define DECOMPOSE_FAKE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decompose/decompose.h"

typedef struct fake {
    size_t layers, heads, head_dim, width, embed, tokens;
    clipspan_model model;
    clsp_block_weights *blocks;
    clsp_tensor *tensors; /* those made so far */
    size_t tensor_count;
    uint64_t state;
} fake;

enum { FAKE_TENSORS = 1024, FAKE_MLP = 6 };

static inline uint64_t fake_next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* About normal: a sum of four uniform numbers, variance 1. */
static inline float fake_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)(fake_next(state) >> 11) / 9007199254740992.0 - 0.5;
    return (float)(sum * sqrt(3.0));
}

static inline void fake_fill(float *out, size_t count, double mean, double scale, uint64_t *state)
{
    for (size_t i = 0; i < count; i++) out[i] = (float)(mean + scale * (double)fake_normal(state));
}

static inline clsp_weight fake_weight(fake *f, size_t rows, size_t columns, bool transposed, double mean, double scale)
{
    clsp_tensor *tensor = &f->tensors[f->tensor_count++];
    float *data = malloc(rows * columns * sizeof *data);
    fake_fill(data, rows * columns, mean, scale, &f->state);
    size_t a = transposed ? columns : rows, b = transposed ? rows : columns;
    *tensor = (clsp_tensor){.name = "fake", .file = "fake", .dtype = CLSP_F32, .dims = columns > 1 ? 2 : 1,
                            .shape = {a, b}, .count = rows * columns, .data = data};
    return (clsp_weight){.tensor = tensor, .first = 0, .rows = a, .columns = b, .transposed = transposed};
}

static inline const float *fake_values(const clsp_weight *weight)
{
    return weight->tensor->data;
}

/* transposed: the projection is stored [D, E], as open_clip does. */
static inline void fake_init(fake *f, size_t layers, size_t heads, size_t head_dim, size_t embed, size_t tokens,
                             bool transposed, uint64_t seed)
{
    *f = (fake){.layers = layers, .heads = heads, .head_dim = head_dim, .width = heads * head_dim, .embed = embed,
                .tokens = tokens, .state = seed};
    f->tensors = calloc(FAKE_TENSORS, sizeof *f->tensors);
    f->blocks = calloc(layers, sizeof *f->blocks);
    clsp_vision *v = &f->model.vision;
    v->config = (clsp_tower_config){.width = (int)f->width, .layers = (int)layers, .heads = (int)heads,
                                    .head_dim = (int)head_dim, .mlp_width = FAKE_MLP, .ln_eps = 1e-5F};
    v->tokens = (int)tokens;
    v->blocks = f->blocks;
    v->ln_post_gamma = fake_weight(f, f->width, 1, false, 1.0, 0.3);
    v->ln_post_beta = fake_weight(f, f->width, 1, false, 0.0, 0.3);
    v->projection = fake_weight(f, embed, f->width, transposed, 0.0, 1.0 / sqrt((double)f->width));
    for (size_t l = 0; l < layers; l++) {
        f->blocks[l].out = fake_weight(f, f->width, f->width, false, 0.01, 1.0 / sqrt((double)f->width));
        f->blocks[l].out_bias = fake_weight(f, f->width, 1, false, 0.05, 0.2);
    }
    for (size_t l = 0; l < layers; l++) {
        f->blocks[l].fc2 = fake_weight(f, f->width, FAKE_MLP, l % 2, 0.1, 1.0 / sqrt((double)FAKE_MLP));
        f->blocks[l].fc2_bias = fake_weight(f, f->width, 1, false, 0.05, 0.2);
    }
    f->model.embed_dim = (int)embed;
    f->model.logit_scale = 100.0F;
    strcpy(f->model.fingerprint, "00112233445566778899aabbccddeeff");
    f->model.info = (clipspan_model_info){
        .name = "fake-ViT", .path = "/models/fake-ViT", .family = "clip", .fingerprint = f->model.fingerprint,
        .image_size = 16, .patch_size = 8, .tokens = (int)tokens, .width = (int)f->width, .layers = (int)layers,
        .heads = (int)heads, .head_dim = (int)head_dim, .embed_dim = (int)embed, .mlp_width = FAKE_MLP,
        .logit_scale = 100.0F};
}

static inline void fake_clear(fake *f)
{
    for (size_t t = 0; t < f->tensor_count; t++) free((void *)(uintptr_t)f->tensors[t].data);
    free(f->tensors);
    free(f->blocks);
}

/* P: entry [i, e] of the D x E projection. */
static inline double fake_projection(const fake *f, size_t i, size_t e)
{
    const clsp_weight *p = &f->model.vision.projection;
    return (double)fake_values(p)[p->transposed ? i * f->embed + e : e * f->width + i];
}

/* Captured values of `images` images whose numbers follow from their list positions alone: tokens at random, z their
 * sum, cls the first of them, MLP outputs at random, `last` the sum of the residual stream and `embedding` what
 * ln_post and the projection make of it, in double. */
typedef struct fake_capture {
    clsp_capture capture;
    float *tokens; /* [L, I, N, D], all layers */
    float *split;  /* [T, H, I, N, d]: what is captured of them */
    float *embedding;
} fake_capture;

static inline void fake_sum_image(const fake *f, fake_capture *c, size_t i)
{
    size_t images = c->capture.images, width = f->width;
    const float *gamma = fake_values(&f->model.vision.ln_post_gamma), *beta = fake_values(&f->model.vision.ln_post_beta);
    double *x = calloc(width, sizeof *x), mean = 0, variance = 0;
    for (size_t l = 0; l <= f->layers; l++)
        for (size_t o = 0; o < width; o++) x[o] += (double)c->capture.mlp[(l * images + i) * width + o];
    for (size_t l = 0; l < f->layers; l++) {
        const float *out = fake_values(&f->blocks[l].out), *bias = fake_values(&f->blocks[l].out_bias);
        const float *z = c->capture.z + (l * images + i) * width;
        for (size_t o = 0; o < width; o++) {
            double sum = (double)bias[o];
            for (size_t k = 0; k < width; k++) sum += (double)z[k] * (double)out[o * width + k];
            x[o] += sum;
        }
    }
    for (size_t o = 0; o < width; o++) mean += x[o] / (double)width;
    for (size_t o = 0; o < width; o++) variance += (x[o] - mean) * (x[o] - mean) / (double)width;
    double sigma = sqrt(variance + (double)f->model.vision.config.ln_eps);
    for (size_t e = 0; e < f->embed; e++) {
        double r = 0;
        for (size_t o = 0; o < width; o++)
            r += ((x[o] - mean) / sigma * (double)gamma[o] + (double)beta[o]) * fake_projection(f, o, e);
        c->embedding[i * f->embed + e] = (float)r;
    }
    for (size_t o = 0; o < width; o++) c->capture.last[i * width + o] = (float)x[o];
    free(x);
}

/* Keeps the tokens of some layers alone (NULL: the first `count`), as an engine does that was asked for them. */
static inline void fake_pick_tokens(const fake *f, fake_capture *c, const int *layers, int count)
{
    size_t images = c->capture.images, d = f->head_dim, rows = images * f->tokens;
    free(c->split);
    c->split = calloc((size_t)count * rows * f->width, sizeof(float));
    for (size_t t = 0; t < (size_t)count; t++)
        for (size_t h = 0; h < f->heads; h++)
            for (size_t r = 0; r < rows; r++)
                memcpy(c->split + ((t * f->heads + h) * rows + r) * d,
                       c->tokens + ((layers ? (size_t)layers[t] : t) * rows + r) * f->width + h * d, d * sizeof(float));
    c->capture.tokens = c->split;
    c->capture.token_layers = layers;
    c->capture.token_layer_count = layers ? count : 0;
}

static inline void fake_capture_init(const fake *f, fake_capture *c, uint64_t first, size_t images)
{
    size_t width = f->width, rows = f->layers * images * width;
    *c = (fake_capture){.capture = {.images = images}};
    c->capture.z = calloc(rows, sizeof(float));
    c->capture.cls = calloc(rows, sizeof(float));
    c->capture.mlp = calloc(rows + images * width, sizeof(float));
    c->capture.last = calloc(images * width, sizeof(float));
    c->capture.hidden = calloc(f->layers * images * FAKE_MLP, sizeof(float));
    c->tokens = calloc(rows * f->tokens, sizeof(float));
    c->embedding = calloc(images * f->embed, sizeof(float));
    for (size_t i = 0; i < images; i++) {
        uint64_t state = 77 + 1000003 * (first + i);
        for (size_t l = 0; l <= f->layers; l++)
            fake_fill(c->capture.mlp + (l * images + i) * width, width, 0.1, 1.0, &state);
        for (size_t l = 0; l < f->layers; l++) {
            float *tokens = c->tokens + (l * images + i) * f->tokens * width;
            float *z = c->capture.z + (l * images + i) * width;
            fake_fill(tokens, f->tokens * width, 0.05, 1.0 / (double)f->tokens, &state);
            for (size_t n = 0; n < f->tokens; n++)
                for (size_t k = 0; k < width; k++) z[k] += tokens[n * width + k];
            memcpy(c->capture.cls + (l * images + i) * width, tokens, width * sizeof *tokens);
        }
        for (size_t l = 0; l < f->layers; l++) /* they need not be what the MLP outputs come from; some are equal */
            for (size_t j = 0; j < FAKE_MLP; j++)
                c->capture.hidden[(l * images + i) * FAKE_MLP + j] = roundf(4.0F * fake_normal(&state)) / 4.0F;
        fake_sum_image(f, c, i);
    }
    fake_pick_tokens(f, c, NULL, (int)f->layers);
}

static inline void fake_capture_clear(fake_capture *c)
{
    free(c->capture.z);
    free(c->capture.cls);
    free(c->capture.mlp);
    free(c->capture.last);
    free(c->capture.hidden);
    free(c->tokens);
    free(c->split);
    free(c->embedding);
}

#endif
