/* Zero-shot accuracy with heads replaced, from the factored form. For one image, with c = y M a head's contribution,
 *
 *     r0 = r - sum over all heads of (c - mean c)                       every head at its mean
 *     rm = r0 + sum over late heads, j < m of ((y - mean y) . u_j) n_j    u_j = M n_j
 *
 * (in the paper's convention r stands for r / |r|). The greedy directions of m texts are the first m of those of more, so
 * the sizes are one running sum, judged on the way. A batch at a time: nothing grows with the images. */
#include "analysis/evaluation.h"

#include <string.h>

#include "analysis/textspan.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 512 };

/* Of one pool: directions n and u = M n of all late heads, size after size, in each size head after head, so that what a
 * size adds is one product. A head with fewer texts has zeros there. */
typedef struct pool_rows {
    size_t size; /* texts a head, at most */
    float *n;    /* [size * late, E] */
    float *u;    /* [size * late, k] */
} pool_rows;

typedef struct counter {
    const clsp_evaluation *e;
    const clipspan_basis *basis;
    size_t layers, heads, late, width, dim; /* L; H; late heads in all; k; E */
    pool_rows *pools; /* [pools] */
    float *mean;      /* [L, H * k] of y */
    float *y;         /* [last, BATCH, H * k] centred, of the late layers */
    float *early;     /* [BATCH, H * k] */
    float *one;       /* [H, BATCH, k] */
    float *map;       /* [H * k, E] of one layer */
    float *r, *work;  /* [BATCH, E] */
    float *along;     /* [BATCH, size * late] */
    float *cosine;    /* [BATCH, C] */
    uint64_t *right, *scored;
} counter;

static void close_counter(counter *c)
{
    for (size_t p = 0; c->pools != NULL && p < c->e->pools; p++) {
        clsp_free(c->pools[p].n);
        clsp_free(c->pools[p].u);
    }
    void *all[] = {c->pools, c->mean, c->y, c->early, c->one, c->map, c->r, c->work, c->along, c->cosine};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
}

static clipspan_status make_means(counter *c, clipspan_error *err)
{
    double *mean = clsp_alloc(c->width, sizeof *mean);
    if (mean == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < c->layers * c->heads; h++) {
        clsp_moments_head(c->e->found, c->e->convention, (int)(h / c->heads), (int)(h % c->heads), mean, NULL);
        for (size_t i = 0; i < c->width; i++) c->mean[h * c->width + i] = (float)mean[i];
    }
    clsp_free(mean);
    return CLIPSPAN_OK;
}

/* The maps of a layer's heads, one below the other. */
static void layer_map(const counter *c, size_t layer)
{
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < c->heads; h++)
        clsp_head_map(c->basis, c->e->convention, (int)layer, (int)h, c->map + h * c->width * c->dim);
}

/* The size that text t falls in: texts [*from, *to) of every head. */
static void segment_of(const counter *c, size_t size, size_t t, size_t *from, size_t *to)
{
    *from = 0;
    for (size_t s = 0; s < c->e->size_count; s++) {
        *to = clsp_min((size_t)c->e->sizes[s], size);
        if (t < *to) return;
        *from = *to;
    }
    *to = size;
}

/* Row of head i's text t. */
static size_t row_of(const counter *c, size_t size, size_t i, size_t t)
{
    size_t from, to;
    segment_of(c, size, t, &from, &to);
    return from * c->late + i * (to - from) + (t - from);
}

static clipspan_status make_rows(counter *c, size_t p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan *span = c->e->spans[p];
    pool_rows *rows = &c->pools[p];
    size_t all, cells;
    rows->size = span->size;
    if (!clsp_mul(&all, span->size, c->late) || !clsp_mul(&cells, all, c->dim)) return clsp_fail_memory(err);
    CLSP_ALLOC(rows->n, clsp_alloc_zero(cells, sizeof *rows->n));
    if (!clsp_mul(&cells, all, c->width)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(rows->u, clsp_alloc_zero(cells, sizeof *rows->u));
    for (size_t i = 0; i < c->late; i++) {
        if (i % c->heads == 0) layer_map(c, c->layers - (size_t)c->e->last + i / c->heads);
        const float *map = c->map + i % c->heads * c->width * c->dim;
        for (size_t t = 0; t < (size_t)span->heads[i].count; t++) {
            size_t row = row_of(c, span->size, i, t);
            const float *n = clipspan_textspan_direction(span, i, (int)t);
            memcpy(rows->n + row * c->dim, n, c->dim * sizeof *n);
            CLSP_TRY(clsp_sgemm(rows->u + row * c->width, c->width, n, c->dim, false, map, c->dim, true, 1, c->width, c->dim,
                                1.0F, 0.0F, err));
        }
    }
out:
    return status;
}

static clipspan_status open_counter(counter *c, const clsp_evaluation *e, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(e->store);
    size_t most = 1;
    *c = (counter){.e = e, .basis = basis, .layers = (size_t)basis->layers, .heads = (size_t)basis->heads,
                   .late = (size_t)e->last * (size_t)basis->heads, .width = clsp_head_width(basis, e->convention),
                   .dim = (size_t)basis->embed_dim};
    size_t row = c->heads * c->width;
    for (size_t p = 0; p < e->pools; p++) most = clsp_max(most, e->spans[p]->size);
    CLSP_ALLOC(c->pools, clsp_alloc_zero(e->pools, sizeof *c->pools));
    CLSP_ALLOC(c->mean, clsp_alloc(c->layers * row, sizeof *c->mean));
    CLSP_ALLOC(c->y, clsp_alloc_aligned((size_t)e->last * BATCH * row, sizeof *c->y));
    CLSP_ALLOC(c->early, clsp_alloc_aligned(BATCH * row, sizeof *c->early));
    CLSP_ALLOC(c->one, clsp_alloc_aligned(BATCH * row, sizeof *c->one));
    CLSP_ALLOC(c->map, clsp_alloc_aligned(row * c->dim, sizeof *c->map));
    CLSP_ALLOC(c->r, clsp_alloc_aligned(BATCH * c->dim, sizeof *c->r));
    CLSP_ALLOC(c->work, clsp_alloc_aligned(BATCH * c->dim, sizeof *c->work));
    CLSP_ALLOC(c->along, clsp_alloc_aligned(BATCH * most * c->late, sizeof *c->along));
    CLSP_ALLOC(c->cosine, clsp_alloc_aligned(BATCH * e->scoring->classes, sizeof *c->cosine));
    CLSP_TRY(make_means(c, err));
    for (size_t p = 0; p < e->pools; p++) CLSP_TRY(make_rows(c, p, err));
out:
    if (status != CLIPSPAN_OK) close_counter(c);
    return status;
}

/* ---- one batch ------------------------------------------------------------------------------------------------ */

static bool is_scored(const counter *c, uint64_t row)
{
    return c->e->scoring->labels[row] >= 0 && (c->e->measured == NULL || c->e->measured[row]);
}

/* Adds the right answers of r [I, E] to count `which`; the lowest class on a tie. */
static clipspan_status judge(const counter *c, const clipspan_batch *batch, const float *r, size_t which,
                             clipspan_error *err)
{
    size_t classes = c->e->scoring->classes;
    clipspan_status status = clsp_sgemm(c->cosine, classes, r, c->dim, false, c->e->scoring->classifier, c->dim, true,
                                        batch->images, classes, c->dim, 1.0F, 0.0F, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < batch->images; i++) {
        const float *row = c->cosine + i * classes;
        size_t best = 0;
        for (size_t k = 1; k < classes; k++)
            if (row[k] > row[best]) best = k;
        if (is_scored(c, batch->index[i])) c->right[which] += c->e->scoring->labels[batch->index[i]] == (int)best;
    }
    return CLIPSPAN_OK;
}

/* y [I, H * k]: the factors of a layer's heads side by side, less their means. */
static void centred(const counter *c, const clipspan_batch *batch, size_t layer, float *y)
{
    size_t k = c->width, row = c->heads * k;
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < c->heads; h++) {
        float *one = c->one + h * BATCH * k;
        const float *mean = c->mean + layer * row + h * k;
        clsp_head_factors(batch, c->e->convention, (int)layer, (int)h, one);
        for (size_t i = 0; i < batch->images; i++)
            for (size_t j = 0; j < k; j++) y[i * row + h * k + j] = one[i * k + j] - mean[j];
    }
}

/* r -= sum over the layer's heads of (y - mean) M */
static clipspan_status take_out(const counter *c, const clipspan_batch *batch, size_t layer, float *y, clipspan_error *err)
{
    size_t row = c->heads * c->width;
    centred(c, batch, layer, y);
    layer_map(c, layer);
    return clsp_sgemm(c->r, c->dim, y, row, false, c->map, c->dim, false, batch->images, c->dim, row, -1.0F, 1.0F, err);
}

static void representation(const counter *c, const clipspan_batch *batch)
{
    for (size_t i = 0; i < batch->images; i++) {
        float scale = c->e->convention == CLIPSPAN_PAPER ? batch->norm[i] : 1.0F;
        for (size_t d = 0; d < c->dim; d++) c->r[i * c->dim + d] = batch->embedding[i * c->dim + d] / scale;
        *c->scored += is_scored(c, batch->index[i]);
    }
}

/* along [I, size * late]: (y - mean) . u for texts [from, to) of every late head. */
static clipspan_status measure_along(const counter *c, const clipspan_batch *batch, const pool_rows *rows, size_t from,
                                     size_t to, clipspan_error *err)
{
    clipspan_status outcome = CLIPSPAN_OK;
    size_t k = c->width, n = to - from, stride = rows->size * c->late;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->late; i++) {
        clipspan_error message;
        size_t row = from * c->late + i * n;
        const float *y = c->y + i / c->heads * BATCH * c->heads * k + i % c->heads * k;
        clipspan_status status = clsp_sgemm(c->along + row, stride, y, c->heads * k, false, rows->u + row * k, k, true,
                                            batch->images, n, k, 1.0F, 0.0F, &message);
        if (status == CLIPSPAN_OK) continue;
#pragma omp critical(clsp_measure_along)
        outcome = clsp_fail(err, status, "%s", message.message);
    }
    return outcome;
}

static clipspan_status one_pool(const counter *c, const clipspan_batch *batch, size_t pool, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const pool_rows *rows = &c->pools[pool];
    size_t from = 0;
    memcpy(c->work, c->r, batch->images * c->dim * sizeof *c->work);
    for (size_t s = 0; s < c->e->size_count; s++) {
        size_t to = clsp_min((size_t)c->e->sizes[s], rows->size);
        if (to > from) {
            CLSP_TRY(measure_along(c, batch, rows, from, to, err));
            CLSP_TRY(clsp_sgemm(c->work, c->dim, c->along + from * c->late, rows->size * c->late, false,
                                rows->n + from * c->late * c->dim, c->dim, false, batch->images, c->dim,
                                (to - from) * c->late, 1.0F, 1.0F, err));
        }
        CLSP_TRY(judge(c, batch, c->work, CLSP_REFERENCES + pool * c->e->size_count + s, err));
        from = to;
    }
out:
    return status;
}

static clipspan_status one_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const counter *c = user;
    size_t first = c->layers - (size_t)c->e->last;
    representation(c, batch);
    CLSP_TRY(judge(c, batch, c->r, CLSP_BASELINE, err));
    for (size_t l = 0; l < first; l++) CLSP_TRY(take_out(c, batch, l, c->early, err));
    CLSP_TRY(judge(c, batch, c->r, CLSP_LATE, err));
    for (size_t l = first; l < c->layers; l++)
        CLSP_TRY(take_out(c, batch, l, c->y + (l - first) * BATCH * c->heads * c->width, err));
    CLSP_TRY(judge(c, batch, c->r, CLSP_NONE, err));
    for (size_t p = 0; p < c->e->pools; p++) CLSP_TRY(one_pool(c, batch, p, err));
out:
    return status;
}

clipspan_status clsp_evaluation_count(const clsp_evaluation *e, uint64_t *right, uint64_t *scored, clipspan_error *err)
{
    counter c;
    const clipspan_store_selection select = {.batch = BATCH};
    clipspan_status status = open_counter(&c, e, err);
    if (status != CLIPSPAN_OK) return status;
    *scored = 0;
    memset(right, 0, (CLSP_REFERENCES + e->pools * e->size_count) * sizeof *right);
    c.right = right;
    c.scored = scored;
    status = clipspan_store_each(e->store, &select, one_batch, &c, e->hooks, err);
    close_counter(&c);
    return status;
}
