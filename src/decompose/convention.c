/* Vectors of the joint space, on demand, in either convention (ALGORITHMS 2).
 *
 *   paper  head l,h:   ((z W + b_l / H) - mu 1 / (K H)) / sigma + beta P / (K H)     all / |r|
 *          x0, MLP:    (m - mu 1 / K) / sigma + beta P / K                           all / |r|
 *          cls l:      ((c + b_l / N) - mu 1 / (K N)) / sigma + beta P / (K N)       all / |r|
 *          token n:    as the head with alpha v for z and every share divided by N
 *   exact  head l,h:   (z W - (z . w_mean) 1) / sigma;   x0, MLP, cls: (m - mean(m) 1) / sigma
 *          constant:   sum over l of (b_l - mean(b_l) 1) / sigma + beta P
 * where W = O_h diag(gamma) P, b = b_o diag(gamma) P, 1 = 1' diag(gamma) P and K = 2 L + 1.
 */
#include "decompose/decompose.h"

#include <string.h>

#include "compute/compute.h"

static double term_count(const clipspan_basis *basis) /* K */
{
    return 2.0 * basis->layers + 1.0;
}

size_t clsp_head_width(const clipspan_basis *basis, clipspan_convention convention)
{
    return (size_t)basis->head_dim + (convention == CLIPSPAN_PAPER ? 3 : 1);
}

static size_t head_number(const clipspan_basis *basis, int layer, int head)
{
    return (size_t)layer * (size_t)basis->heads + (size_t)head;
}

void clsp_head_map(const clipspan_basis *basis, clipspan_convention convention, int layer, int head, float *map)
{
    size_t d = (size_t)basis->head_dim, embed = (size_t)basis->embed_dim, number = head_number(basis, layer, head);
    const float *w = basis->w + number * d * embed, *mean = basis->w_mean + number * d;
    float *last = map + d * embed;
    memcpy(map, w, d * embed * sizeof *map);
    if (convention == CLIPSPAN_EXACT) {
        for (size_t i = 0; i < d; i++)
            for (size_t e = 0; e < embed; e++) map[i * embed + e] -= mean[i] * basis->ones[e];
        memset(last, 0, embed * sizeof *map);
        return;
    }
    const float *bias = basis->bias + (size_t)layer * embed;
    double share = 1.0 / (term_count(basis) * basis->heads);
    for (size_t e = 0; e < embed; e++) {
        last[e] = bias[e] / (float)basis->heads;
        last[embed + e] = (float)(-share * (double)basis->ones[e]);
        last[2 * embed + e] = (float)(share * (double)basis->constant[e]);
    }
}

/* y: [k] from z: [d] for image i, its shared parts times `share` (1 for a whole head, 1 / N for one token). */
static void factors_of(const clipspan_batch *batch, clipspan_convention convention, const float *z, size_t i,
                       double share, float *y)
{
    size_t d = (size_t)batch->basis->head_dim;
    double sigma = (double)batch->sigma[i];
    double scale = 1.0 / (convention == CLIPSPAN_PAPER ? sigma * (double)batch->norm[i] : sigma);
    for (size_t c = 0; c < d; c++) y[c] = (float)((double)z[c] * scale);
    if (convention == CLIPSPAN_EXACT) {
        y[d] = (float)share;
        return;
    }
    y[d] = (float)(share * scale);
    y[d + 1] = (float)(share * (double)batch->mu[i] * scale);
    y[d + 2] = (float)(share * sigma * scale);
}

void clsp_head_factors(const clipspan_batch *batch, clipspan_convention convention, int layer, int head, float *y)
{
    size_t d = (size_t)batch->basis->head_dim, k = clsp_head_width(batch->basis, convention);
    const float *z = batch->z + head_number(batch->basis, layer, head) * batch->images * d;
    for (size_t i = 0; i < batch->images; i++) factors_of(batch, convention, z + i * d, i, 1.0, y + i * k);
}

static clipspan_status check_term(const clipspan_batch *batch, clipspan_convention convention, const char *what,
                                  int number, int count, clipspan_error *err)
{
    if (batch == NULL || batch->basis == NULL) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no batch was given");
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)convention);
    if (number >= 0 && number < count) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s %d does not exist: expected 0 to %d", what, number, count - 1);
}

static clipspan_status check_head(const clipspan_batch *batch, clipspan_convention convention, int layer, int head,
                                  clipspan_error *err)
{
    clipspan_status status = check_term(batch, convention, "layer", layer, batch ? batch->basis->layers : 0, err);
    return status ? status : check_term(batch, convention, "head", head, batch->basis->heads, err);
}

/* out: [rows, E] with a stride, y: [rows, k], by the head's map. */
static clipspan_status apply_map(const clipspan_basis *basis, clipspan_convention convention, int layer, int head,
                                 const float *y, size_t rows, float *out, size_t stride, clipspan_error *err)
{
    size_t k = clsp_head_width(basis, convention), embed = (size_t)basis->embed_dim;
    float *map = clsp_alloc_aligned(k * embed, sizeof *map);
    if (map == NULL) return clsp_fail_memory(err);
    clsp_head_map(basis, convention, layer, head, map);
    clipspan_status status =
        clsp_sgemm(out, stride, y, k, false, map, embed, false, rows, embed, k, 1.0F, 0.0F, err);
    clsp_free(map);
    return status;
}

clipspan_status clsp_batch_head_rows(const clipspan_batch *batch, clipspan_convention convention, int layer, int head,
                                     float *out, size_t stride, clipspan_error *err)
{
    clipspan_status status = check_head(batch, convention, layer, head, err);
    if (status != CLIPSPAN_OK || batch->images == 0) return status;
    float *y = clsp_alloc_aligned(batch->images * clsp_head_width(batch->basis, convention), sizeof *y);
    if (y == NULL) return clsp_fail_memory(err);
    clsp_head_factors(batch, convention, layer, head, y);
    status = apply_map(batch->basis, convention, layer, head, y, batch->images, out, stride, err);
    clsp_free(y);
    return status;
}

clipspan_status clsp_batch_all_heads(const clipspan_batch *batch, clipspan_convention convention, float *out,
                                     clipspan_error *err)
{
    clipspan_status status = check_head(batch, convention, 0, 0, err);
    if (status != CLIPSPAN_OK) return status;
    int heads = batch->basis->heads, count = batch->basis->layers * heads;
    size_t embed = (size_t)batch->basis->embed_dim, stride = (size_t)count * embed;
    /* A message has one writer: the first failure is kept as a status, and said below. */
    clipspan_status worst = CLIPSPAN_OK;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < count; n++) {
        clipspan_status one =
            clsp_batch_head_rows(batch, convention, n / heads, n % heads, out + (size_t)n * embed, stride, NULL);
#pragma omp critical(clsp_all_heads)
        if (one != CLIPSPAN_OK) worst = one;
    }
    if (worst == CLIPSPAN_ERROR_MEMORY) return clsp_fail_memory(err);
    return worst ? clsp_fail(err, worst, "the heads' terms could not be made") : CLIPSPAN_OK;
}

/* out = term * raw + bias_share * bias - mean * ones + constant_share * constant, all [E]. */
typedef struct shares {
    double term, bias, mean, constant;
} shares;
static void combine(float *out, const float *raw, const float *bias, const clipspan_basis *basis, const shares *s)
{
    for (size_t e = 0; e < (size_t)basis->embed_dim; e++) {
        double value = s->term * (double)raw[e] - s->mean * (double)basis->ones[e];
        if (bias != NULL) value += s->bias * (double)bias[e];
        out[e] = (float)(value + s->constant * (double)basis->constant[e]);
    }
}

/* Terms that are kept as raw vectors: raw: [I, E], their means over D: [I]; for images [first, first + count). In the
 * paper's convention the term is 1 / parts of a direct term (1 for an MLP, N for one token of a layer's attention), and
 * `bias` is its layer's. */
typedef struct raw_term {
    const float *raw, *mean, *bias;
    double parts;
} raw_term;
static void raw_rows(const clipspan_batch *batch, clipspan_convention convention, const raw_term *term, size_t first,
                     size_t count, float *out, size_t stride)
{
    size_t embed = (size_t)batch->basis->embed_dim;
    double parts = term->parts, all = term_count(batch->basis) * parts;
    for (size_t i = first; i < first + count; i++) {
        double sigma = (double)batch->sigma[i], norm = (double)batch->norm[i];
        shares exact = {1.0 / sigma, 0.0, (double)term->mean[i] / sigma, 0.0};
        shares paper = {1.0 / (sigma * norm), 1.0 / (sigma * norm * parts), (double)batch->mu[i] / (sigma * norm * all),
                        1.0 / (norm * all)};
        combine(out + (i - first) * stride, term->raw + i * embed, term->bias, batch->basis,
                convention == CLIPSPAN_PAPER ? &paper : &exact);
    }
}

static clipspan_status check_range(const clipspan_batch *batch, size_t first, size_t count, clipspan_error *err)
{
    if (clsp_range_ok(first, count, batch->images)) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "images %zu to %zu: the batch has %zu", first, first + count,
                     batch->images);
}

clipspan_status clsp_batch_mlp_range(const clipspan_batch *batch, clipspan_convention convention, int term, size_t first,
                                     size_t count, float *out, size_t stride, clipspan_error *err)
{
    clipspan_status status = check_term(batch, convention, "MLP term", term, batch ? batch->basis->layers + 1 : 0, err);
    if (status != CLIPSPAN_OK) return status;
    if (batch->mlp == NULL || batch->mlp_mean == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the batch keeps no MLP terms (part mlp)");
    size_t at = (size_t)term * batch->images, embed = (size_t)batch->basis->embed_dim;
    const raw_term raw = {batch->mlp + at * embed, batch->mlp_mean + at, NULL, 1.0};
    status = check_range(batch, first, count, err);
    if (status == CLIPSPAN_OK) raw_rows(batch, convention, &raw, first, count, out, stride);
    return status;
}

clipspan_status clsp_batch_mlp_rows(const clipspan_batch *batch, clipspan_convention convention, int term, float *out,
                                    size_t stride, clipspan_error *err)
{
    return clsp_batch_mlp_range(batch, convention, term, 0, batch ? batch->images : 0, out, stride, err);
}

clipspan_status clsp_batch_cls_range(const clipspan_batch *batch, clipspan_convention convention, int layer,
                                     size_t first, size_t count, float *out, size_t stride, clipspan_error *err)
{
    clipspan_status status = check_term(batch, convention, "layer", layer, batch ? batch->basis->layers : 0, err);
    if (status != CLIPSPAN_OK) return status;
    if (batch->cls == NULL || batch->cls_mean == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the batch keeps no class-token terms (part cls)");
    const clipspan_basis *basis = batch->basis;
    size_t at = (size_t)layer * batch->images, embed = (size_t)basis->embed_dim;
    const raw_term raw = {batch->cls + at * embed, batch->cls_mean + at, basis->bias + (size_t)layer * embed,
                          basis->tokens};
    status = check_range(batch, first, count, err);
    if (status == CLIPSPAN_OK) raw_rows(batch, convention, &raw, first, count, out, stride);
    return status;
}

clipspan_status clsp_batch_cls_rows(const clipspan_batch *batch, clipspan_convention convention, int layer, float *out,
                                    size_t stride, clipspan_error *err)
{
    return clsp_batch_cls_range(batch, convention, layer, 0, batch ? batch->images : 0, out, stride, err);
}

clipspan_status clipspan_batch_head(const clipspan_batch *batch, clipspan_convention convention, int layer, int head,
                                    float *out, clipspan_error *err)
{
    return clsp_batch_head_rows(batch, convention, layer, head, out, batch ? (size_t)batch->basis->embed_dim : 0, err);
}

clipspan_status clipspan_batch_mlp(const clipspan_batch *batch, clipspan_convention convention, int term, float *out,
                                   clipspan_error *err)
{
    return clsp_batch_mlp_rows(batch, convention, term, out, batch ? (size_t)batch->basis->embed_dim : 0, err);
}

clipspan_status clipspan_batch_cls(const clipspan_batch *batch, clipspan_convention convention, int layer, float *out,
                                   clipspan_error *err)
{
    return clsp_batch_cls_rows(batch, convention, layer, out, batch ? (size_t)batch->basis->embed_dim : 0, err);
}

clipspan_status clipspan_batch_constant(const clipspan_batch *batch, clipspan_convention convention, float *out,
                                        clipspan_error *err)
{
    clipspan_status status = check_term(batch, convention, "constant", 0, 1, err);
    if (status != CLIPSPAN_OK) return status;
    const clipspan_basis *basis = batch->basis;
    size_t embed = (size_t)basis->embed_dim;
    memset(out, 0, batch->images * embed * sizeof *out);
    if (convention == CLIPSPAN_PAPER) return CLIPSPAN_OK;
    double *bias = clsp_alloc_zero(embed, sizeof *bias); /* of all layers, each centred */
    if (bias == NULL) return clsp_fail_memory(err);
    for (size_t l = 0; l < (size_t)basis->layers; l++)
        for (size_t e = 0; e < embed; e++)
            bias[e] += (double)basis->bias[l * embed + e] - (double)basis->bias_mean[l] * (double)basis->ones[e];
    for (size_t i = 0; i < batch->images; i++)
        for (size_t e = 0; e < embed; e++)
            out[i * embed + e] = (float)(bias[e] / (double)batch->sigma[i] + (double)basis->constant[e]);
    clsp_free(bias);
    return CLIPSPAN_OK;
}

/* Where layer's tokens stand in the batch, or -1. */
static int token_place(const clipspan_batch *batch, int layer)
{
    for (int t = 0; batch->tokens != NULL && t < batch->token_layer_count; t++)
        if (batch->token_layers[t] == layer) return t;
    return -1;
}

clipspan_status clipspan_batch_tokens(const clipspan_batch *batch, clipspan_convention convention, int layer, int head,
                                      size_t image, float *out, clipspan_error *err)
{
    clipspan_status status = check_head(batch, convention, layer, head, err);
    if (status != CLIPSPAN_OK) return status;
    const clipspan_basis *basis = batch->basis;
    int place = token_place(batch, layer);
    if (place < 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the batch keeps no tokens of layer %d (part tokens)", layer);
    if (image >= batch->images)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "image %zu does not exist: the batch has %zu", image,
                         batch->images);
    size_t d = (size_t)basis->head_dim, tokens = (size_t)basis->tokens, k = clsp_head_width(basis, convention);
    size_t row = head_number(basis, place, head) * batch->images + image;
    const float *z = batch->tokens + row * tokens * d;
    float *y = clsp_alloc_aligned(tokens * k, sizeof *y);
    if (y == NULL) return clsp_fail_memory(err);
    for (size_t n = 0; n < tokens; n++)
        factors_of(batch, convention, z + n * d, image, 1.0 / (double)tokens, y + n * k);
    status = apply_map(basis, convention, layer, head, y, tokens, out, (size_t)basis->embed_dim, err);
    clsp_free(y);
    return status;
}
