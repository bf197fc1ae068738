/* From what the engine captured to a batch of factored contributions.
 *
 *   z      [L, H, I, d]  the captured rows, heads apart
 *   mu, sigma [I]        of the class token before ln_post, in double
 *   mlp    [L + 1, I, E] captured outputs times diag(gamma) P, and their means over D
 *   cls    [L, I, E]     alpha v of the class token itself times w, all heads at once, and its mean over D
 *   tokens [T, H, I, N, d] as captured: the capture's own memory, up to 200 MB that are not worth a copy
 *   hidden [L, I, M]     captured neurons as they are
 */
#include "decompose/decompose.h"

#include <math.h>
#include <string.h>

#include "compute/compute.h"

enum { Z, MU, SIGMA, NORM, EMBEDDING, MLP, MLP_MEAN, CLS, CLS_MEAN, TOKENS, HIDDEN, ARRAYS };

/* [outer, I, inner] floats: one row of the table of what a batch holds. */
typedef struct array {
    size_t outer, inner; /* outer 0: not kept */
    float *values;
} array;

struct clsp_contribution {
    const clsp_basis *basis;
    size_t capacity;
    clipspan_batch batch;
    uint64_t *index;
    array arrays[ARRAYS];
};

static void lay_out(clsp_contribution *c, unsigned parts, int token_layer_count)
{
    const clipspan_basis *b = &c->basis->view;
    size_t l = (size_t)b->layers, h = (size_t)b->heads, d = (size_t)b->head_dim, e = (size_t)b->embed_dim;
    bool neurons = parts & CLIPSPAN_PART_NEURONS;
    bool mlp = parts & CLIPSPAN_PART_MLP, cls = parts & CLIPSPAN_PART_CLS, tokens = parts & CLIPSPAN_PART_TOKENS;
    const array arrays[ARRAYS] = {
        [Z] = {l * h, d, NULL},
        [MU] = {1, 1, NULL},
        [SIGMA] = {1, 1, NULL},
        [NORM] = {1, 1, NULL},
        [EMBEDDING] = {1, e, NULL},
        [MLP] = {mlp ? l + 1 : 0, e, NULL},
        [MLP_MEAN] = {mlp ? l + 1 : 0, 1, NULL},
        [CLS] = {cls ? l : 0, e, NULL},
        [CLS_MEAN] = {cls ? l : 0, 1, NULL},
        [TOKENS] = {tokens ? (size_t)token_layer_count * h : 0, (size_t)b->tokens * d, NULL},
        [HIDDEN] = {neurons ? l : 0, c->basis->mlp_width, NULL},
    };
    memcpy(c->arrays, arrays, sizeof arrays);
}

static void point_batch(clsp_contribution *c)
{
    const array *a = c->arrays;
    clipspan_batch *b = &c->batch;
    b->basis = &c->basis->view;
    b->index = c->index;
    b->z = a[Z].values;
    b->mu = a[MU].values;
    b->sigma = a[SIGMA].values;
    b->norm = a[NORM].values;
    b->embedding = a[EMBEDDING].values;
    b->mlp = a[MLP].values;
    b->mlp_mean = a[MLP_MEAN].values;
    b->cls = a[CLS].values;
    b->cls_mean = a[CLS_MEAN].values;
    b->tokens = a[TOKENS].values;
    b->hidden = a[HIDDEN].values;
    b->hidden_width = (int)(a[HIDDEN].outer > 0 ? a[HIDDEN].inner : 0);
}

clipspan_status clsp_contribution_new(clsp_contribution **out, const clsp_basis *basis, size_t capacity,
                                      unsigned parts, const int *token_layers, int token_layer_count,
                                      clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_contribution *c = NULL;
    *out = NULL;
    CLSP_ALLOC(c, clsp_alloc_zero(1, sizeof *c));
    c->basis = basis;
    c->capacity = capacity;
    c->batch.token_layers = token_layers;
    c->batch.token_layer_count = parts & CLIPSPAN_PART_TOKENS ? token_layer_count : 0;
    lay_out(c, parts, token_layer_count);
    CLSP_ALLOC(c->index, clsp_alloc(capacity, sizeof *c->index));
    for (array *a = c->arrays; a < c->arrays + ARRAYS; a++) {
        size_t row, count;
        if (a->outer == 0 || a == &c->arrays[TOKENS]) continue;
        if (!clsp_mul(&row, a->outer, a->inner) || !clsp_mul(&count, row, capacity)) CLSP_TRY(clsp_fail_memory(err));
        CLSP_ALLOC(a->values, clsp_alloc_aligned(count, sizeof *a->values));
    }
    point_batch(c);
    *out = c;
    c = NULL;
out:
    clsp_contribution_free(c);
    return status;
}

void clsp_contribution_free(clsp_contribution *contribution)
{
    if (contribution == NULL) return;
    for (int a = 0; a < ARRAYS; a++)
        if (a != TOKENS) clsp_free(contribution->arrays[a].values);
    clsp_free(contribution->index);
    clsp_free(contribution);
}

/* z: [L, H, n, d] from [L, capacity of the capture, D]. */
static void split_heads(clsp_contribution *c, const clsp_capture *capture, size_t n)
{
    size_t layers = (size_t)c->basis->view.layers, heads = (size_t)c->basis->view.heads;
    size_t d = (size_t)c->basis->view.head_dim;
    float *to = c->arrays[Z].values;
    for (size_t l = 0; l < layers; l++)
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < n; i++, to += d)
                memcpy(to, capture->z + ((l * capture->images + i) * heads + h) * d, d * sizeof *to);
}

/* Rows of n images close up, where the capture has room for more. */
static void take_tokens(clsp_contribution *c, clsp_capture *capture, size_t n)
{
    array *a = &c->arrays[TOKENS];
    a->values = capture->tokens;
    c->batch.tokens = a->values;
    for (size_t row = 1; n < capture->images && row < a->outer; row++)
        memmove(a->values + row * n * a->inner, a->values + row * capture->images * a->inner,
                n * a->inner * sizeof *a->values);
}

/* [L, n, M] from [L, capacity of the capture, M] */
static void copy_hidden(array *to, const clsp_capture *capture, size_t n)
{
    for (size_t l = 0; l < to->outer; l++)
        memcpy(to->values + l * n * to->inner, capture->hidden + l * capture->images * to->inner,
               n * to->inner * sizeof *to->values);
}

/* mu, sigma: [n] of x: [n, D]; two passes in double. */
static void spread(clsp_contribution *c, const float *x, size_t n)
{
    size_t width = c->basis->width;
    for (size_t i = 0; i < n; i++, x += width) {
        double mean = 0, variance = 0;
        for (size_t k = 0; k < width; k++) mean += (double)x[k];
        mean /= (double)width;
        for (size_t k = 0; k < width; k++) variance += ((double)x[k] - mean) * ((double)x[k] - mean);
        c->arrays[MU].values[i] = (float)mean;
        c->arrays[SIGMA].values[i] = (float)sqrt(variance / (double)width + c->basis->eps);
    }
}

/* r and |r|: [n, E], [n]. */
static void lengths(clsp_contribution *c, const float *embedding, size_t n)
{
    size_t embed = (size_t)c->basis->view.embed_dim;
    memcpy(c->arrays[EMBEDDING].values, embedding, n * embed * sizeof *embedding);
    for (size_t i = 0; i < n; i++, embedding += embed) {
        double sum = 0;
        for (size_t e = 0; e < embed; e++) sum += (double)embedding[e] * (double)embedding[e];
        c->arrays[NORM].values[i] = (float)sqrt(sum);
    }
}

/* mean: [n] of x: [n, D] against weights [D] (NULL: 1 / D each), in double. */
static void weighted_means(float *mean, const float *x, const float *weights, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++, x += width) {
        double sum = 0;
        for (size_t k = 0; k < width; k++) sum += weights ? (double)x[k] * (double)weights[k] : (double)x[k];
        mean[i] = (float)(weights ? sum : sum / (double)width);
    }
}

/* One layer's raw vectors x: [n, D], by matrix: [D, E], and their means by weights: [D] or NULL. */
static clipspan_status project(clsp_contribution *c, int vectors, int means, size_t layer, const float *x, size_t n,
                               const float *matrix, const float *weights)
{
    size_t width = c->basis->width, embed = (size_t)c->basis->view.embed_dim;
    weighted_means(c->arrays[means].values + layer * n, x, weights, n, width);
    return clsp_sgemm(c->arrays[vectors].values + layer * n * embed, embed, x, width, false, matrix, embed, false, n,
                      embed, width, 1.0F, 0.0F, NULL);
}

/* Threads share the layers: one product has too few rows to be shared well. */
static clipspan_status project_all(clsp_contribution *c, const clsp_capture *capture, size_t n, clipspan_error *err)
{
    size_t width = c->basis->width, embed = (size_t)c->basis->view.embed_dim, stride = capture->images * width;
    ptrdiff_t mlp = (ptrdiff_t)c->arrays[MLP].outer, cls = (ptrdiff_t)c->arrays[CLS].outer;
    const clipspan_basis *view = &c->basis->view;
    clipspan_status worst = CLIPSPAN_OK;
#pragma omp parallel for schedule(static)
    for (ptrdiff_t t = 0; t < mlp + cls; t++) {
        size_t l = (size_t)(t < mlp ? t : t - mlp);
        clipspan_status one =
            t < mlp ? project(c, MLP, MLP_MEAN, l, capture->mlp + l * stride, n, c->basis->projection, NULL)
                    : project(c, CLS, CLS_MEAN, l, capture->cls + l * stride, n, view->w + l * width * embed,
                              view->w_mean + l * width);
#pragma omp critical(clsp_project_all)
        if (one != CLIPSPAN_OK) worst = one;
    }
    if (worst == CLIPSPAN_ERROR_MEMORY) return clsp_fail_memory(err);
    return worst ? clsp_fail(err, worst, "the terms could not be projected") : CLIPSPAN_OK;
}

/* Moves the rows of readable images together, from [outer, n, inner] to [outer, kept, inner]. Products ran over all
 * n rows before, so that a row's bits do not depend on its neighbours' fate. */
static void leave_out(clsp_contribution *c, size_t n, const unsigned char *ok)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (ok[i]) c->index[kept++] = c->index[i];
    c->batch.images = kept;
    if (kept == n) return;
    for (array *a = c->arrays; a < c->arrays + ARRAYS; a++) {
        float *to = a->values;
        for (size_t row = 0; row < a->outer * n; row++) {
            if (!ok[row % n]) continue;
            memmove(to, a->values + row * a->inner, a->inner * sizeof *to);
            to += a->inner;
        }
    }
}

clipspan_status clsp_contribution_fill(clsp_contribution *contribution, clsp_capture *capture,
                                       const float *embedding, uint64_t first, size_t n, const unsigned char *ok,
                                       const clipspan_batch **batch, clipspan_error *err)
{
    clsp_contribution *c = contribution;
    *batch = NULL;
    if (n > c->capacity)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu images, expected at most %zu", n, c->capacity);
    for (size_t i = 0; i < n; i++) c->index[i] = first + i;
    split_heads(c, capture, n);
    if (c->arrays[TOKENS].outer > 0) take_tokens(c, capture, n);
    if (c->arrays[HIDDEN].outer > 0) copy_hidden(&c->arrays[HIDDEN], capture, n);
    spread(c, capture->last, n);
    lengths(c, embedding, n);
    clipspan_status status = project_all(c, capture, n, err);
    if (status != CLIPSPAN_OK) return status;
    leave_out(c, n, ok);
    *batch = &c->batch;
    return CLIPSPAN_OK;
}
