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

enum { BATCH = 256 };

typedef struct counter {
    const clsp_evaluation *e;
    const clipspan_basis *basis;
    size_t heads, late, first, width, dim; /* all; late ones; number of the first late one; k; E */
    float *mean;   /* [heads, k] of y */
    float **u;     /* [pools]: [late, size, k] */
    float *y;      /* [late, BATCH, k] centred */
    float *early;  /* [BATCH, k] */
    float *map;    /* [k, E] */
    float *r, *work; /* [BATCH, E] */
    float *along;  /* [BATCH, size] */
    float *cosine; /* [BATCH, C] */
    uint64_t *right, *scored;
} counter;

static void close_counter(counter *c)
{
    for (size_t p = 0; c->u != NULL && p < c->e->pools; p++) clsp_free(c->u[p]);
    void *all[] = {c->mean, c->u, c->y, c->early, c->map, c->r, c->work, c->along, c->cosine};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
}

static clipspan_status make_means(counter *c, clipspan_error *err)
{
    double *mean = clsp_alloc(c->width, sizeof *mean);
    if (mean == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < c->heads; h++) {
        clsp_moments_head(c->e->found, c->e->convention, (int)(h / (size_t)c->basis->heads),
                          (int)(h % (size_t)c->basis->heads), mean, NULL);
        for (size_t i = 0; i < c->width; i++) c->mean[h * c->width + i] = (float)mean[i];
    }
    clsp_free(mean);
    return CLIPSPAN_OK;
}

static void head_map(const counter *c, size_t head)
{
    clsp_head_map(c->basis, c->e->convention, (int)(head / (size_t)c->basis->heads),
                  (int)(head % (size_t)c->basis->heads), c->map);
}

/* u [late, size, k] = directions [size, E] M' for every late head. */
static clipspan_status make_u(counter *c, size_t pool, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan *span = c->e->spans[pool];
    size_t cells;
    if (!clsp_mul(&cells, c->late * c->width, span->size)) return clsp_fail_memory(err);
    CLSP_ALLOC(c->u[pool], clsp_alloc_zero(cells, sizeof(float)));
    for (size_t i = 0; i < c->late; i++) {
        size_t count = (size_t)span->heads[i].count;
        if (count == 0) continue;
        head_map(c, c->first + i);
        CLSP_TRY(clsp_sgemm(c->u[pool] + i * span->size * c->width, c->width, clipspan_textspan_direction(span, i, 0),
                            c->dim, false, c->map, c->dim, true, count, c->width, c->dim, 1.0F, 0.0F, err));
    }
out:
    return status;
}

static clipspan_status open_counter(counter *c, const clsp_evaluation *e, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(e->store);
    size_t most = 1;
    *c = (counter){.e = e, .basis = basis, .heads = (size_t)basis->layers * (size_t)basis->heads,
                   .late = (size_t)e->last * (size_t)basis->heads, .width = clsp_head_width(basis, e->convention),
                   .dim = (size_t)basis->embed_dim};
    c->first = c->heads - c->late;
    for (size_t p = 0; p < e->pools; p++) most = clsp_max(most, e->spans[p]->size);
    CLSP_ALLOC(c->mean, clsp_alloc(c->heads * c->width, sizeof *c->mean));
    CLSP_ALLOC(c->u, clsp_alloc_zero(e->pools, sizeof *c->u));
    CLSP_ALLOC(c->y, clsp_alloc_aligned(c->late * BATCH * c->width, sizeof *c->y));
    CLSP_ALLOC(c->early, clsp_alloc_aligned(BATCH * c->width, sizeof *c->early));
    CLSP_ALLOC(c->map, clsp_alloc_aligned(c->width * c->dim, sizeof *c->map));
    CLSP_ALLOC(c->r, clsp_alloc_aligned(BATCH * c->dim, sizeof *c->r));
    CLSP_ALLOC(c->work, clsp_alloc_aligned(BATCH * c->dim, sizeof *c->work));
    CLSP_ALLOC(c->along, clsp_alloc_aligned(BATCH * most, sizeof *c->along));
    CLSP_ALLOC(c->cosine, clsp_alloc_aligned(BATCH * e->scoring->classes, sizeof *c->cosine));
    CLSP_TRY(make_means(c, err));
    for (size_t p = 0; p < e->pools; p++) CLSP_TRY(make_u(c, p, err));
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

/* y [I, k] less its mean. */
static void centred(const counter *c, const clipspan_batch *batch, size_t head, float *y)
{
    size_t k = c->width;
    clsp_head_factors(batch, c->e->convention, (int)(head / (size_t)c->basis->heads), (int)(head % (size_t)c->basis->heads),
                      y);
    for (size_t i = 0; i < batch->images; i++)
        for (size_t j = 0; j < k; j++) y[i * k + j] -= c->mean[head * k + j];
}

/* r -= (y - mean) M */
static clipspan_status take_out(counter *c, const clipspan_batch *batch, size_t head, float *y, clipspan_error *err)
{
    centred(c, batch, head, y);
    head_map(c, head);
    return clsp_sgemm(c->r, c->dim, y, c->width, false, c->map, c->dim, false, batch->images, c->dim, c->width, -1.0F, 1.0F,
                      err);
}

static void representation(const counter *c, const clipspan_batch *batch)
{
    for (size_t i = 0; i < batch->images; i++) {
        float scale = c->e->convention == CLIPSPAN_PAPER ? batch->norm[i] : 1.0F;
        for (size_t d = 0; d < c->dim; d++) c->r[i * c->dim + d] = batch->embedding[i * c->dim + d] / scale;
        *c->scored += is_scored(c, batch->index[i]);
    }
}

/* work += what directions [from, to) of head i carry. */
static clipspan_status put_back(const counter *c, const clipspan_batch *batch, size_t pool, size_t i, size_t from, size_t to,
                                clipspan_error *err)
{
    const clipspan_textspan *span = c->e->spans[pool];
    to = clsp_min(to, (size_t)span->heads[i].count);
    if (from >= to) return CLIPSPAN_OK;
    size_t n = to - from, k = c->width;
    clipspan_status status = clsp_sgemm(c->along, n, c->y + i * BATCH * k, k, false,
                                        c->u[pool] + (i * span->size + from) * k, k, true, batch->images, n, k, 1.0F, 0.0F,
                                        err);
    if (status != CLIPSPAN_OK) return status;
    return clsp_sgemm(c->work, c->dim, c->along, n, false, clipspan_textspan_direction(span, i, (int)from), c->dim, false,
                      batch->images, c->dim, n, 1.0F, 1.0F, err);
}

static clipspan_status one_pool(const counter *c, const clipspan_batch *batch, size_t pool, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t from = 0;
    memcpy(c->work, c->r, batch->images * c->dim * sizeof *c->work);
    for (size_t s = 0; s < c->e->size_count; s++) {
        size_t to = (size_t)c->e->sizes[s];
        for (size_t i = 0; i < c->late; i++) CLSP_TRY(put_back(c, batch, pool, i, from, to, err));
        CLSP_TRY(judge(c, batch, c->work, CLSP_REFERENCES + pool * c->e->size_count + s, err));
        from = to;
    }
out:
    return status;
}

static clipspan_status one_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    counter *c = user;
    representation(c, batch);
    CLSP_TRY(judge(c, batch, c->r, CLSP_BASELINE, err));
    for (size_t h = 0; h < c->first; h++) CLSP_TRY(take_out(c, batch, h, c->early, err));
    CLSP_TRY(judge(c, batch, c->r, CLSP_LATE, err));
    for (size_t i = 0; i < c->late; i++) CLSP_TRY(take_out(c, batch, c->first + i, c->y + i * BATCH * c->width, err));
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
