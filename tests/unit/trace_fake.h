/* unit/trace_fake.h - tiny image towers of random weights in memory, and the same network in double precision, whose
 * attention probabilities may be nudged. Include behind cmocka.h. */
#ifndef TRACE_FAKE_H
#define TRACE_FAKE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"
#include "worse.h"

typedef struct fake_spec {
    const char *name;
    int heads, head_dim, layers, mlp, image, patch, embed;
    bool ln_pre, patch_bias, transposed;
    clsp_activation activation;
} fake_spec;

static const fake_spec fakes[] = {
    {"gelu", 3, 5, 3, 22, 10, 3, 11, true, false, true, CLSP_GELU}, /* one pixel is left over */
    {"quick gelu, no ln_pre", 2, 7, 2, 17, 9, 3, 6, false, true, false, CLSP_QUICK_GELU},
    {"tanh gelu, one head", 1, 9, 2, 31, 8, 2, 13, true, true, true, CLSP_GELU_TANH},
    {"one layer, one patch", 2, 4, 1, 9, 5, 5, 7, true, false, false, CLSP_GELU},
};
enum { FAKES = sizeof fakes / sizeof *fakes };

typedef struct fake {
    clipspan_model model;
    clsp_tensor tensors[64];
    size_t tensor_count;
    uint64_t random;
    float *pixels; /* [3, S, S] */
    float texts[3 * 16];
} fake;

static inline double fake_uniform(fake *f)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(f->random >> 11) / 9007199254740992.0 * 2.0 - 1.0;
}

static inline clsp_weight fake_weight(fake *f, size_t rows, size_t columns, double centre, double spread)
{
    clsp_tensor *t = &f->tensors[f->tensor_count++];
    float *data = malloc(rows * columns * sizeof *data);
    assert_true(f->tensor_count <= sizeof f->tensors / sizeof *f->tensors);
    for (size_t i = 0; i < rows * columns; i++) data[i] = (float)(centre + spread * fake_uniform(f));
    *t = (clsp_tensor){.name = "random", .file = "memory", .dtype = CLSP_F32, .dims = 2, .shape = {rows, columns},
                       .count = rows * columns, .data = data};
    return (clsp_weight){.tensor = t, .rows = rows, .columns = columns};
}

static inline clsp_weight fake_matrix(fake *f, size_t out, size_t in, bool transposed)
{
    clsp_weight w = fake_weight(f, transposed ? in : out, transposed ? out : in, 0, 2.0 / sqrt((double)in));
    w.transposed = transposed;
    return w;
}
static inline clsp_weight fake_vector(fake *f, size_t n, double centre) { return fake_weight(f, n, 1, centre, 0.3); }

static inline void fake_block(fake *f, clsp_block_weights *b, size_t d, size_t m)
{
    b->ln1_gamma = fake_vector(f, d, 1); /* one by one: the order in an initializer would be the compiler's */
    b->ln1_beta = fake_vector(f, d, 0);
    b->ln2_gamma = fake_vector(f, d, 1);
    b->ln2_beta = fake_vector(f, d, 0);
    b->out = fake_matrix(f, d, d, false);
    b->out_bias = fake_vector(f, d, 0);
    b->fc1 = fake_matrix(f, m, d, false);
    b->fc1_bias = fake_vector(f, m, 0);
    b->fc2 = fake_matrix(f, d, m, false);
    b->fc2_bias = fake_vector(f, d, 0);
    clsp_weight all = fake_matrix(f, 3 * d, d, false), bias = fake_vector(f, 3 * d, 0);
    clsp_weight *matrices[] = {&b->q, &b->k, &b->v}, *biases[] = {&b->q_bias, &b->k_bias, &b->v_bias};
    for (size_t i = 0; i < 3; i++) {
        *matrices[i] = all, *biases[i] = bias;
        matrices[i]->first = biases[i]->first = i * d;
        matrices[i]->rows = biases[i]->rows = d;
    }
}

static inline fake *fake_new(const fake_spec *s)
{
    fake *f = calloc(1, sizeof *f);
    f->random = 20261124;
    f->model = (clipspan_model){.embed_dim = s->embed, .info = {.name = s->name, .path = s->name},
                                .shared = clsp_shared_new()};
    clsp_vision *v = &f->model.vision;
    size_t d = (size_t)(s->heads * s->head_dim), k = (size_t)(3 * s->patch * s->patch), m = (size_t)s->mlp;
    int grid = s->image / s->patch;
    *v = (clsp_vision){.config = {(int)d, s->layers, s->heads, s->head_dim, s->mlp, s->activation, 1e-5f},
                       .image_size = s->image, .patch_size = s->patch, .grid = grid, .tokens = grid * grid + 1,
                       .has_ln_pre = s->ln_pre};
    v->patch = fake_matrix(f, d, k, false);
    if (s->patch_bias) v->patch_bias = fake_vector(f, d, 0);
    v->class_token = fake_weight(f, d, 1, 0, 1);
    v->position = fake_weight(f, (size_t)v->tokens, d, 0, 0.5);
    v->ln_pre_gamma = fake_vector(f, d, 1), v->ln_pre_beta = fake_vector(f, d, 0);
    v->ln_post_gamma = fake_vector(f, d, 1), v->ln_post_beta = fake_vector(f, d, 0);
    v->projection = fake_matrix(f, (size_t)s->embed, d, s->transposed);
    v->blocks = calloc((size_t)s->layers, sizeof *v->blocks);
    for (int l = 0; l < s->layers; l++) fake_block(f, &v->blocks[l], d, m);
    size_t pixels = 3 * (size_t)(s->image * s->image);
    f->pixels = malloc(pixels * sizeof *f->pixels);
    for (size_t i = 0; i < pixels; i++) f->pixels[i] = (float)(2.0 * fake_uniform(f));
    for (size_t i = 0; i < sizeof f->texts / sizeof *f->texts; i++) f->texts[i] = (float)fake_uniform(f);
    return f;
}

static inline void fake_free(fake *f)
{
    for (size_t i = 0; i < f->tensor_count; i++) free((void *)(uintptr_t)f->tensors[i].data);
    free(f->model.vision.blocks);
    clsp_shared_free(f->model.shared);
    free(f->pixels);
    free(f);
}

static inline clipspan_tracer *fake_tracer(fake *f)
{
    clipspan_error err;
    clipspan_tracer *t = NULL;
    float embedding[16]; /* asked for, it takes the plain pass */
    if (clipspan_tracer_open(&t, &f->model, 2, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    if (clipspan_tracer_run(t, f->pixels, embedding, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return t;
}

/* ---- the network in double precision, one number at a time ----------------------------------------------------- */

static inline double fake_value(const clsp_weight *w, size_t row, size_t column)
{
    if (w->tensor == NULL) return 0.0;
    const float *data = w->tensor->data;
    size_t rows = w->tensor->shape[0];
    if (w->transposed) return data[column * (w->tensor->count / rows) + row];
    return data[(w->first + row) * w->columns + column];
}

/* y [rows, out] = x W' + b */
static inline void exact_linear(double *y, const double *x, const clsp_weight *w, const clsp_weight *b, size_t rows,
                                size_t out, size_t in)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = b ? fake_value(b, o, 0) : 0.0;
            for (size_t i = 0; i < in; i++) sum += x[r * in + i] * fake_value(w, o, i);
            y[r * out + o] = sum;
        }
}

static inline void exact_norm(double *y, const double *x, const clsp_weight *gamma, const clsp_weight *beta, double eps,
                              size_t rows, size_t width)
{
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < width; i++) mean += x[r * width + i] / (double)width;
        for (size_t i = 0; i < width; i++) square += pow(x[r * width + i] - mean, 2) / (double)width;
        for (size_t i = 0; i < width; i++)
            y[r * width + i] = (x[r * width + i] - mean) / sqrt(square + eps) * fake_value(gamma, i, 0) +
                               fake_value(beta, i, 0);
    }
}

static inline double exact_activation(double u, clsp_activation activation)
{
    if (activation == CLSP_QUICK_GELU) return u / (1.0 + exp(-1.702 * u));
    if (activation == CLSP_GELU_TANH) return 0.5 * u * (1.0 + tanh(sqrt(2.0 / M_PI) * (u + 0.044715 * u * u * u)));
    return 0.5 * u * (1.0 + erf(u / sqrt(2.0)));
}

/* One probability of one layer, changed by so much behind the softmax; layer -1: none. */
typedef struct nudge {
    int layer;
    size_t index; /* in [H, N, N] */
    double by;
} nudge;

enum { EXACT_N = 32, EXACT_WIDE = 64, EXACT_CELLS = 3 * EXACT_N * EXACT_N };

static inline void exact_attention(double *z, const double *qkv, const clsp_tower_config *c, size_t n,
                                   const nudge *change, double *kept)
{
    size_t d = (size_t)c->head_dim, width = (size_t)c->width;
    for (size_t h = 0; h < (size_t)c->heads; h++)
        for (size_t i = 0; i < n; i++) {
            double a[EXACT_N], sum = 0;
            for (size_t j = 0; j < n; j++) {
                double dot = 0;
                for (size_t e = 0; e < d; e++)
                    dot += qkv[i * 3 * width + h * d + e] * qkv[j * 3 * width + width + h * d + e];
                sum += a[j] = exp(dot / sqrt((double)d));
            }
            for (size_t j = 0; j < n; j++) {
                a[j] /= sum;
                if (change && (h * n + i) * n + j == change->index) a[j] += change->by;
                if (kept) kept[(h * n + i) * n + j] = a[j];
            }
            for (size_t e = 0; e < d; e++) {
                double value = 0;
                for (size_t j = 0; j < n; j++) value += a[j] * qkv[j * 3 * width + 2 * width + h * d + e];
                z[i * width + h * d + e] = value;
            }
        }
}

static inline void exact_block(double *x, const clsp_block_weights *b, const clsp_tower_config *c, size_t n,
                               const nudge *change, double *attention)
{
    static double h[EXACT_N * EXACT_WIDE], qkv[3 * EXACT_N * EXACT_WIDE], part[EXACT_N * EXACT_WIDE];
    size_t d = (size_t)c->width, m = (size_t)c->mlp_width;
    const clsp_weight *matrices[] = {&b->q, &b->k, &b->v}, *biases[] = {&b->q_bias, &b->k_bias, &b->v_bias};
    exact_norm(h, x, &b->ln1_gamma, &b->ln1_beta, (double)c->ln_eps, n, d);
    for (size_t i = 0; i < 3; i++) {
        exact_linear(part, h, matrices[i], biases[i], n, d, d);
        for (size_t r = 0; r < n; r++) memcpy(qkv + (3 * r + i) * d, part + r * d, d * sizeof *qkv);
    }
    exact_attention(h, qkv, c, n, change, attention);
    exact_linear(part, h, &b->out, &b->out_bias, n, d, d);
    for (size_t i = 0; i < n * d; i++) x[i] += part[i];
    exact_norm(h, x, &b->ln2_gamma, &b->ln2_beta, (double)c->ln_eps, n, d);
    exact_linear(part, h, &b->fc1, &b->fc1_bias, n, m, d);
    for (size_t i = 0; i < n * m; i++) part[i] = exact_activation(part[i], c->activation);
    exact_linear(h, part, &b->fc2, &b->fc2_bias, n, d, m);
    for (size_t i = 0; i < n * d; i++) x[i] += h[i];
}

static inline void exact_embed(double *x, const clipspan_model *model, const double *pixels)
{
    const clsp_vision *v = &model->vision;
    size_t d = (size_t)v->config.width, side = (size_t)v->patch_size, s = (size_t)v->image_size, g = (size_t)v->grid;
    for (size_t r = 0; r < (size_t)v->tokens; r++)
        for (size_t o = 0; o < d; o++) {
            double sum = fake_value(&v->position, r, o) +
                         (r ? fake_value(&v->patch_bias, o, 0) : fake_value(&v->class_token, o, 0));
            for (size_t i = 0; r > 0 && i < 3 * side * side; i++) {
                size_t c = i / side / side, y = (r - 1) / g * side + i / side % side, z = (r - 1) % g * side + i % side;
                sum += pixels[(c * s + y) * s + z] * fake_value(&v->patch, o, i);
            }
            x[r * d + o] = sum;
        }
}

/* r [E]; attention (may be NULL): [L, H, N, N] */
static inline void exact_forward(double *r, const clipspan_model *model, const double *pixels, const nudge *change,
                                 double *attention)
{
    static double x[EXACT_N * EXACT_WIDE], h[EXACT_N * EXACT_WIDE];
    const clsp_vision *v = &model->vision;
    size_t d = (size_t)v->config.width, n = (size_t)v->tokens, cells = (size_t)v->config.heads * n * n;
    assert_true(n <= EXACT_N && d <= EXACT_WIDE && v->config.mlp_width <= EXACT_WIDE);
    exact_embed(x, model, pixels);
    if (v->has_ln_pre) {
        exact_norm(h, x, &v->ln_pre_gamma, &v->ln_pre_beta, (double)v->config.ln_eps, n, d);
        memcpy(x, h, n * d * sizeof *x);
    }
    for (int l = 0; l < v->config.layers; l++)
        exact_block(x, &v->blocks[l], &v->config, n, change && change->layer == l ? change : NULL,
                    attention ? attention + (size_t)l * cells : NULL);
    exact_norm(h, x, &v->ln_post_gamma, &v->ln_post_beta, (double)v->config.ln_eps, 1, d);
    exact_linear(r, h, &v->projection, NULL, 1, (size_t)model->embed_dim, d);
}

static inline double exact_score(const clipspan_model *model, const double *pixels, const float *text,
                                 const nudge *change)
{
    double r[EXACT_WIDE], rr = 0, rt = 0;
    exact_forward(r, model, pixels, change, NULL);
    for (size_t e = 0; e < (size_t)model->embed_dim; e++) {
        rr += r[e] * r[e];
        rt += r[e] * (double)text[e];
    }
    return rt / sqrt(rr);
}

/* ---- comparing --------------------------------------------------------------------------------------------- */

/* Largest difference over the largest expected value. */
static inline double worst_of(const float *found, const double *expected, size_t count)
{
    double difference = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        difference = worse(difference, fabs((double)found[i] - expected[i]));
        largest = fmax(largest, fabs(expected[i]));
    }
    assert_true(largest > 0); /* nothing but zeros would prove nothing */
    return difference / largest;
}

#endif
