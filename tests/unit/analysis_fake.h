/* Contributions with structure, made by hand: a basis and one batch, from a seed. What the tests of analysis and report
 * are fed with. Include behind cmocka.h. */
#ifndef ANALYSIS_FAKE_H
#define ANALYSIS_FAKE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/contributions.h"
#include "clipspan/text.h"

typedef struct world_spec {
    int layers, heads, head_dim, embed_dim;
    size_t images;
    int factors;   /* directions in which z varies strongly; the rest is noise of size `noise` */
    double noise;  /* 0: none, z has rank `factors` (+ 1 for its mean) but for float32 rounding */
    int constant;  /* 1: every image the same */
    uint64_t seed;
} world_spec;

typedef struct world {
    world_spec spec;
    clipspan_basis basis;
    clipspan_batch batch;
    float *blocks[16];
    int block_count;
    uint64_t *index;
} world;

static inline uint64_t world_next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* About normal: a sum of four uniform numbers, variance 1. */
static inline double world_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)(world_next(state) >> 11) / 9007199254740992.0 - 0.5;
    return sum * sqrt(3.0);
}

static inline float *world_array(world *w, size_t count, double mean, double scale, uint64_t *state)
{
    float *out = malloc((count ? count : 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) out[i] = (float)(mean + scale * world_normal(state));
    return w->blocks[w->block_count++] = out;
}

/* z: [L, H, I, d] = mean + sum over factors of (strength / f) * loading * value + noise */
static inline float *world_z(world *w, uint64_t *state)
{
    const world_spec *s = &w->spec;
    size_t d = (size_t)s->head_dim, heads = (size_t)(s->layers * s->heads), factors = (size_t)s->factors;
    float *z = world_array(w, heads * s->images * d, 0, 0, state);
    double *loading = malloc((factors + 1) * d * sizeof *loading), *value = malloc((factors + 1) * sizeof *value);
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < (factors + 1) * d; i++) loading[i] = world_normal(state);
        for (size_t i = 0; i < s->images; i++) {
            for (size_t f = 0; f < factors; f++) value[f] = s->constant ? 0.5 : world_normal(state) / (double)(f + 1);
            for (size_t c = 0; c < d; c++) {
                double sum = 0.5 * loading[factors * d + c];
                for (size_t f = 0; f < factors; f++) sum += 0.3 * value[f] * loading[f * d + c];
                if (s->noise > 0) sum += s->constant ? 0 : s->noise * world_normal(state);
                z[(h * s->images + i) * d + c] = (float)sum;
            }
        }
    }
    free(loading);
    free(value);
    return z;
}

static inline void world_open(world *w, const world_spec *spec)
{
    uint64_t state = spec->seed;
    *w = (world){.spec = *spec};
    size_t l = (size_t)spec->layers, h = (size_t)spec->heads, d = (size_t)spec->head_dim, e = (size_t)spec->embed_dim;
    size_t n = spec->images;
    double vary = spec->constant ? 0 : 1;
    w->basis = (clipspan_basis){.layers = spec->layers, .heads = spec->heads, .head_dim = spec->head_dim,
                                .embed_dim = spec->embed_dim, .tokens = 5};
    w->basis.w = world_array(w, l * h * d * e, 0.01, 0.2, &state);
    w->basis.w_mean = world_array(w, l * h * d, 0.05, 0.1, &state);
    w->basis.ones = world_array(w, e, 0, 1.5, &state);
    w->basis.bias = world_array(w, l * e, 0.02, 0.4, &state);
    w->basis.bias_mean = world_array(w, l, 0.01, 0.02, &state);
    w->basis.constant = world_array(w, e, 0.05, 0.6, &state);
    w->batch = (clipspan_batch){.basis = &w->basis, .images = n};
    w->batch.z = world_z(w, &state);
    float *mu = world_array(w, n, 0.1, 0.03 * vary, &state), *sigma = world_array(w, n, 1.4, 0.1 * vary, &state);
    float *norm = world_array(w, n, 9.0, 0.5 * vary, &state);
    w->index = malloc((n ? n : 1) * sizeof *w->index);
    for (size_t i = 0; i < n; i++) w->index[i] = i;
    w->batch.mu = mu;
    w->batch.sigma = sigma;
    w->batch.norm = norm;
    w->batch.index = w->index;
}

static inline void world_close(world *w)
{
    for (int i = 0; i < w->block_count; i++) free(w->blocks[i]);
    free(w->index);
}

/* [T, E], unit length. The last `repeated` rows are copies of the first ones. */
static inline float *world_pool(size_t texts, size_t e, size_t repeated, uint64_t seed)
{
    uint64_t state = seed;
    float *t = malloc(texts * e * sizeof *t);
    for (size_t j = 0; j < texts; j++) {
        double square = 0;
        for (size_t d = 0; d < e; d++) {
            t[j * e + d] = (float)(0.3 + world_normal(&state));
            square += (double)t[j * e + d] * (double)t[j * e + d];
        }
        for (size_t d = 0; d < e; d++) t[j * e + d] = (float)((double)t[j * e + d] / sqrt(square));
    }
    for (size_t j = 0; j < repeated; j++)
        memcpy(t + (texts - repeated + j) * e, t + j * e, e * sizeof *t);
    return t;
}

static inline clipspan_texts *world_texts(size_t count)
{
    clipspan_texts *texts = NULL;
    char **names = calloc(count, sizeof *names);
    for (size_t j = 0; j < count; j++) {
        names[j] = malloc(32);
        snprintf(names[j], 32, "text %zu", j);
    }
    clipspan_status status = clipspan_texts_copy(&texts, (const char *const *)names, count, NULL);
    for (size_t j = 0; j < count; j++) free(names[j]);
    free(names);
    return status == CLIPSPAN_OK ? texts : NULL;
}

#endif
