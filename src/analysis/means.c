/* Means over a store's images of every term. A term is linear in its factors (ALGORITHMS 2), so its mean is the mean of
 * the factors by the term's map: a head's are in the moments; x0's, the MLPs' and the class token's are
 *
 *     paper  mean(m / (sigma |r|)) + parts * (share of b_o, mu and beta, each with its own mean over the images)
 *     exact  mean(m / sigma) - mean(mean_D(m) / sigma) 1
 *
 * summed over one pass of the store. Everything is summed in double, image after image. */
#include "analysis/means.h"

#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 512 };

/* Sums over images of terms that are kept as raw vectors. */
typedef struct raw_sum {
    size_t terms;
    double *vector; /* [terms, E]: raw / (sigma |r|), or raw / sigma */
    double *mean;   /* [terms]: their means over D, so divided; asked in the exact convention */
} raw_sum;

typedef struct pass {
    clipspan_convention convention;
    const clipspan_basis *basis;
    size_t embed_dim;
    raw_sum mlps, cls; /* terms 0: no such part */
    double scale, mu, norm; /* sums of 1 / (sigma |r|), mu / (sigma |r|), 1 / |r| */
} pass;

static double scale_of(const clipspan_batch *batch, clipspan_convention convention, size_t i)
{
    double sigma = (double)batch->sigma[i];
    return convention == CLIPSPAN_PAPER ? 1.0 / (sigma * (double)batch->norm[i]) : 1.0 / sigma;
}

/* raw: [terms, I, E]; mean: [terms, I]. */
static void add_raw(raw_sum *sum, const float *raw, const float *mean, const clipspan_batch *batch, const pass *p)
{
    size_t e = p->embed_dim, n = batch->images;
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < sum->terms; t++)
        for (size_t i = 0; i < n; i++) {
            double scale = scale_of(batch, p->convention, i), *vector = sum->vector + t * e;
            const float *row = raw + (t * n + i) * e;
            for (size_t d = 0; d < e; d++) vector[d] += (double)row[d] * scale;
            sum->mean[t] += (double)mean[t * n + i] * scale;
        }
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    pass *p = user;
    (void)err;
    if (p->mlps.terms) add_raw(&p->mlps, batch->mlp, batch->mlp_mean, batch, p);
    if (p->cls.terms) add_raw(&p->cls, batch->cls, batch->cls_mean, batch, p);
    for (size_t i = 0; i < batch->images; i++) {
        double scale = scale_of(batch, p->convention, i);
        p->scale += scale;
        p->mu += (double)batch->mu[i] * scale;
        p->norm += 1.0 / (double)batch->norm[i];
    }
    return CLIPSPAN_OK;
}

static clipspan_status raw_open(raw_sum *sum, size_t terms, size_t e, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    sum->terms = terms;
    CLSP_ALLOC(sum->vector, clsp_alloc_zero(terms * e, sizeof *sum->vector));
    CLSP_ALLOC(sum->mean, clsp_alloc_zero(terms, sizeof *sum->mean));
out:
    return status;
}

static void raw_close(raw_sum *sum)
{
    clsp_free(sum->vector);
    clsp_free(sum->mean);
}

/* out: [E] mean of term t, which is 1 / parts of a direct term; bias: [E] of its layer, or NULL. */
static void raw_mean(const pass *p, const raw_sum *sum, size_t t, const float *bias, double parts, double images,
                     float *out)
{
    const clipspan_basis *basis = p->basis;
    double all = (2.0 * basis->layers + 1.0) * parts;
    bool paper = p->convention == CLIPSPAN_PAPER;
    for (size_t d = 0; d < p->embed_dim; d++) {
        double value = sum->vector[t * p->embed_dim + d], one = (double)basis->ones[d];
        value -= paper ? p->mu / all * one : sum->mean[t] * one;
        if (paper && bias != NULL) value += p->scale / parts * (double)bias[d];
        if (paper) value += p->norm / all * (double)basis->constant[d];
        out[d] = (float)(value / images);
    }
}

static clipspan_status read_parts(clipspan_means *means, const clipspan_store *store, const clipspan_hooks *hooks,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    unsigned parts = clipspan_store_get_info(store)->parts & (CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS);
    size_t e = (size_t)basis->embed_dim, layers = (size_t)basis->layers;
    pass p = {.convention = means->convention, .basis = basis, .embed_dim = e};
    const clipspan_store_selection select = {.parts = parts, .batch = BATCH, .no_heads = 1};
    if (parts & CLIPSPAN_PART_MLP) {
        CLSP_TRY(raw_open(&p.mlps, layers + 1, e, err));
        CLSP_ALLOC(means->mlps, clsp_alloc((layers + 1) * e, sizeof *means->mlps));
    }
    if (parts & CLIPSPAN_PART_CLS) {
        CLSP_TRY(raw_open(&p.cls, layers, e, err));
        CLSP_ALLOC(means->cls, clsp_alloc(layers * e, sizeof *means->cls));
    }
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &p, hooks, err));
    for (size_t t = 0; t < p.mlps.terms; t++)
        raw_mean(&p, &p.mlps, t, NULL, 1.0, (double)means->images, means->mlps + t * e);
    for (size_t l = 0; l < p.cls.terms; l++)
        raw_mean(&p, &p.cls, l, basis->bias + l * e, basis->tokens, (double)means->images, means->cls + l * e);
out:
    raw_close(&p.mlps);
    raw_close(&p.cls);
    return status;
}

/* out: [E] = mean y by the head's map. y: [k], map: [k, E], sum: [E] scratch. */
static void head_mean(const double *y, const float *map, size_t k, size_t e, double *sum, float *out)
{
    memset(sum, 0, e * sizeof *sum);
    for (size_t i = 0; i < k; i++)
        for (size_t d = 0; d < e; d++) sum[d] += y[i] * (double)map[i * e + d];
    for (size_t d = 0; d < e; d++) out[d] = (float)sum[d];
}

static clipspan_status heads_from_moments(clipspan_means *means, const clipspan_store *store, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    size_t k = clsp_head_width(basis, means->convention), e = (size_t)basis->embed_dim;
    size_t heads = (size_t)basis->heads, all = (size_t)basis->layers * heads;
    clipspan_moments *moments = NULL;
    float *map = NULL;
    double *y = NULL, *second = NULL;
    CLSP_TRY(clipspan_store_moments(store, &moments, err));
    CLSP_ALLOC(map, clsp_alloc(k * e, sizeof *map));
    CLSP_ALLOC(y, clsp_alloc(k + e, sizeof *y));
    CLSP_ALLOC(second, clsp_alloc(k * k, sizeof *second));
    for (size_t h = 0; h < all; h++) {
        int layer = (int)(h / heads), head = (int)(h % heads);
        clsp_moments_head(moments, means->convention, layer, head, y, second);
        clsp_head_map(basis, means->convention, layer, head, map);
        head_mean(y, map, k, e, y + k, means->heads + h * e);
        for (size_t i = 0; i < k; i++) {
            means->factors[h * k + i] = (float)y[i];
            means->spread[h * k + i] = (float)sqrt(fmax(second[i * k + i] - y[i] * y[i], 0));
        }
    }
out:
    clipspan_moments_free(moments);
    clsp_free(map);
    clsp_free(y);
    clsp_free(second);
    return status;
}

clipspan_status clipspan_means_open_heads(clipspan_means **out, const clipspan_store *store, clipspan_convention convention,
                                          clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_means *means = NULL;
    *out = NULL;
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)convention));
    if (info->images == 0) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "means: the store holds no image"));
    CLSP_ALLOC(means, clsp_alloc_zero(1, sizeof *means));
    means->convention = convention;
    means->images = info->images;
    CLSP_ALLOC(means->model, clsp_strdup(info->model_name));
    CLSP_ALLOC(means->fingerprint, clsp_strdup(info->model_fingerprint));
    CLSP_ALLOC(means->heads, clsp_alloc((size_t)info->layers * (size_t)info->heads * (size_t)info->embed_dim,
                                        sizeof *means->heads));
    CLSP_ALLOC(means->factors, clsp_alloc((size_t)info->layers * (size_t)info->heads *
                                              clsp_head_width(clipspan_store_basis(store), convention),
                                          sizeof *means->factors));
    CLSP_ALLOC(means->spread, clsp_alloc((size_t)info->layers * (size_t)info->heads *
                                             clsp_head_width(clipspan_store_basis(store), convention),
                                         sizeof *means->spread));
    CLSP_TRY(heads_from_moments(means, store, err));
    *out = means;
    means = NULL;
out:
    clipspan_means_free(means);
    return status;
}

clipspan_status clipspan_means_open(clipspan_means **out, const clipspan_store *store, clipspan_convention convention,
                                    int threads, const clipspan_hooks *hooks, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_status status = clipspan_means_open_heads(out, store, convention, err);
    if (status != CLIPSPAN_OK || info->moments_only || !(info->parts & (CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS))) return status;
    int before = clsp_threads(threads);
    status = read_parts(*out, store, hooks, err);
    clsp_threads(before);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    clipspan_means_free(*out);
    *out = NULL;
    return status;
}

void clipspan_means_free(clipspan_means *means)
{
    if (means == NULL) return;
    clsp_free(means->model);
    clsp_free(means->fingerprint);
    clsp_free(means->factors);
    clsp_free(means->spread);
    clsp_free(means->heads);
    clsp_free(means->mlps);
    clsp_free(means->cls);
    clsp_free(means);
}

clipspan_status clsp_means_check(const clipspan_means *means, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (strcmp(means->fingerprint, info->model_fingerprint) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "the means are of model %s (%s), the store is of %s (%s)", means->model,
                     means->fingerprint, info->model_name, info->model_fingerprint);
}

uint64_t clipspan_means_images(const clipspan_means *means)
{
    return means->images;
}

clipspan_convention clipspan_means_convention(const clipspan_means *means)
{
    return means->convention;
}

const float *clipspan_means_heads(const clipspan_means *means)
{
    return means->heads;
}

const float *clipspan_means_mlps(const clipspan_means *means)
{
    return means->mlps;
}

const float *clipspan_means_cls(const clipspan_means *means)
{
    return means->cls;
}
