/* Maps of a text over tokens (ALGORITHMS 7): no vector of the joint space is made.
 *
 *   paper  c[l,h,n] . t = (z[n] . u + (b_l . t) / (H N)) / (sigma |r|) - mu (1 . t) / (K H N sigma |r|)
 *                         + (beta P . t) / (K H N |r|)                          with u = W t
 *   exact  c[l,h,n] . t = (z[n] . u) / sigma                                    with u = (W - w_mean 1') t
 * Only the first summand depends on the token: two products a head, [texts, E] by W' and [texts, d] by [d, N]. With few
 * texts both are read through once and hardly computed with (W 75 MB, an image's tokens 25 MB, for all heads of ViT-L-14), so
 * all heads of all layers are shared among the threads in one go, and a text is one scan over rows.
 */
#include "clipspan/map.h"

#include <omp.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

enum { FEW = 8, TEXTS = 64, PAD = 16 }; /* texts that are scanned; that are mapped at once; floats that rows are padded to */

typedef struct job {
    const clipspan_batch *batch;
    const clipspan_basis *basis;
    size_t first, images; /* whose maps are made in one go */
    size_t image;         /* the one of them that is written */
    clipspan_convention convention;
    const unsigned char *heads; /* [L * H] or NULL */
    const float *texts;         /* [count, E] */
    size_t count;
    float *padded;                 /* [count, E padded]: the texts again, where they are few */
    double *ones_of, *constant_of; /* [count]: 1 . t, beta P . t */
    double scale;                  /* of what is linear in z */
} job;

/* Workspace for the token layers of some texts. */
typedef struct room {
    float *u;      /* [threads, count, d padded], zeros behind d */
    float *raw;    /* [T, H, count, images, N]: z . u */
    double *bias_of;  /* [count]: what every token gets beside, already scaled */
    double *total; /* [count, N] */
} room;

static size_t padded(size_t n)
{
    return (n + PAD - 1) / PAD * PAD;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static bool is_chosen(const job *j, int layer, int head)
{
    return j->heads == NULL || j->heads[layer * j->basis->heads + head] != 0;
}

static bool has_layer(const clipspan_batch *batch, int layer)
{
    for (int t = 0; t < batch->token_layer_count; t++)
        if (batch->token_layers[t] == layer) return true;
    return false;
}

static clipspan_status check(const job *j, clipspan_map_detail detail, clipspan_error *err)
{
    const clipspan_batch *batch = j->batch;
    if (batch == NULL || batch->basis == NULL) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no batch was given");
    if (batch->tokens == NULL || batch->token_layer_count < 1)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "maps need the heads' terms by token (part tokens)");
    if (j->convention != CLIPSPAN_PAPER && j->convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)j->convention);
    if (detail != CLIPSPAN_MAP_WHOLE && detail != CLIPSPAN_MAP_LAYER && detail != CLIPSPAN_MAP_HEAD)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown detail %d of a map", (int)detail);
    if (!clsp_range_ok(j->first, j->images, batch->images))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "image %zu does not exist: the batch has %zu", j->first,
                         batch->images);
    for (int l = 0; j->heads != NULL && l < batch->basis->layers; l++)
        for (int h = 0; h < batch->basis->heads; h++)
            if (is_chosen(j, l, h) && !has_layer(batch, l))
                return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                                 "L%d.H%d is to be mapped, but the tokens of layer %d were not kept", l, h, l);
    return CLIPSPAN_OK;
}

static void room_free(room *r)
{
    clsp_free(r->u);
    clsp_free(r->raw);
    clsp_free(r->bias_of);
    clsp_free(r->total);
}

static clipspan_status room_new(room *r, const job *j, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t total, raw, u, tokens = (size_t)j->basis->tokens;
    size_t every = (size_t)j->batch->token_layer_count * (size_t)j->basis->heads;
    if (!clsp_mul(&total, count, tokens) || !clsp_mul(&raw, total, every) || !clsp_mul(&raw, raw, j->images) ||
        !clsp_mul(&u, count * (size_t)omp_get_max_threads(), padded((size_t)j->basis->head_dim)))
        return clsp_fail_memory(err);
    CLSP_ALLOC(r->u, clsp_alloc_zero(u, sizeof *r->u));
    CLSP_ALLOC(r->raw, clsp_alloc_aligned(raw, sizeof *r->raw));
    CLSP_ALLOC(r->bias_of, clsp_alloc(count, sizeof *r->bias_of));
    CLSP_ALLOC(r->total, clsp_alloc(total, sizeof *r->total));
out:
    return status;
}

/* out: [count, n] = x [count, d] by rows [n, d]. x: d floats, zeros up to its stride. */
static clipspan_status multiply(float *out, size_t out_stride, const float *x, size_t x_stride, const float *rows, size_t count,
                                size_t n, size_t d, clipspan_error *err)
{
    if (count >= FEW) return clsp_sgemm(out, out_stride, x, x_stride, false, rows, d, true, count, n, d, 1.0F, 0.0F, err);
    for (size_t t = 0; t < count; t++) {
        memset(out + t * out_stride, 0, n * sizeof *out);
        clsp_rows_dot(out + t * out_stride, rows, false, n, d, x + t * x_stride);
    }
    return CLIPSPAN_OK;
}

/* raw: [count, rows], z . u of one head for z [rows, d]; u: [count, d padded]. */
static clipspan_status project(const job *j, int layer, int head, const float *z, size_t rows, float *u, float *raw,
                               clipspan_error *err)
{
    const clipspan_basis *basis = j->basis;
    size_t d = (size_t)basis->head_dim, embed = (size_t)basis->embed_dim, stride = padded(d);
    size_t number = (size_t)layer * (size_t)basis->heads + (size_t)head;
    const float *w = basis->w + number * d * embed, *mean = basis->w_mean + number * d;
    const float *texts = j->padded ? j->padded : j->texts;
    clipspan_status status = multiply(u, stride, texts, j->padded ? padded(embed) : embed, w, j->count, d, embed, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t t = 0; j->convention == CLIPSPAN_EXACT && t < j->count; t++)
        for (size_t i = 0; i < d; i++)
            u[t * stride + i] = (float)((double)u[t * stride + i] - (double)mean[i] * j->ones_of[t]);
    return multiply(raw, rows, u, stride, z, j->count, rows, d, err);
}

static clipspan_status project_tokens(const job *j, int place, int head, float *u, float *raw, clipspan_error *err)
{
    size_t d = (size_t)j->basis->head_dim, tokens = (size_t)j->basis->tokens;
    size_t row = ((size_t)place * (size_t)j->basis->heads + (size_t)head) * j->batch->images + j->first;
    return project(j, j->batch->token_layers[place], head, j->batch->tokens + row * tokens * d, j->images * tokens, u, raw,
                   err);
}

static double scale_of(const job *j, size_t image)
{
    double sigma = (double)j->batch->sigma[image];
    return 1.0 / (j->convention == CLIPSPAN_PAPER ? sigma * (double)j->batch->norm[image] : sigma);
}

/* What each of `tokens` parts of a head gets that does not depend on z. */
static double bias_of_text(const job *j, int layer, size_t text, size_t image, double tokens)
{
    const clipspan_basis *basis = j->basis;
    size_t embed = (size_t)basis->embed_dim;
    double parts = basis->heads * tokens, terms = 2.0 * basis->layers + 1.0;
    if (j->convention == CLIPSPAN_EXACT) return 0;
    double bias = dot(basis->bias + (size_t)layer * embed, j->texts + text * embed, embed);
    return scale_of(j, image) * (bias - (double)j->batch->mu[image] * j->ones_of[text] / terms) / parts +
           j->constant_of[text] / (terms * parts * (double)j->batch->norm[image]);
}

static void find_bias(const job *j, int layer, double *bias_of)
{
    for (size_t t = 0; t < j->count; t++) bias_of[t] = bias_of_text(j, layer, t, j->image, j->basis->tokens);
}

static clipspan_status project_all(const job *j, room *r, clipspan_error *err)
{
    int heads = j->basis->heads, every = j->batch->token_layer_count * heads;
    size_t u = j->count * padded((size_t)j->basis->head_dim), raw = j->count * j->images * (size_t)j->basis->tokens;
    clipspan_status worst = CLIPSPAN_OK; /* a message has one writer */
#pragma omp parallel for schedule(static)
    for (int n = 0; n < every; n++) {
        if (!is_chosen(j, j->batch->token_layers[n / heads], n % heads)) continue;
        clipspan_status one = project_tokens(j, n / heads, n % heads, r->u + (size_t)omp_get_thread_num() * u,
                                             r->raw + (size_t)n * raw, NULL);
#pragma omp critical(clsp_map_heads)
        if (one != CLIPSPAN_OK) worst = one;
    }
    if (worst == CLIPSPAN_ERROR_MEMORY) return clsp_fail_memory(err);
    return worst ? clsp_fail(err, worst, "the map could not be made") : CLIPSPAN_OK;
}

/* raw of one head and text, of the image that is written: [N] */
static const float *raw_of(const job *j, const room *r, size_t place, size_t head, size_t text)
{
    size_t row = (place * (size_t)j->basis->heads + head) * j->count + text;
    return r->raw + (row * j->images + j->image - j->first) * (size_t)j->basis->tokens;
}

/* out: [count, stride] rows of N. */
static void write_head(const job *j, const room *r, size_t place, size_t head, float *out, size_t stride)
{
    size_t tokens = (size_t)j->basis->tokens;
    bool chosen = is_chosen(j, j->batch->token_layers[place], (int)head);
    for (size_t t = 0; t < j->count; t++) {
        const float *raw = raw_of(j, r, place, head, t);
        for (size_t n = 0; n < tokens; n++)
            out[t * stride + n] = chosen ? (float)(j->scale * (double)raw[n] + r->bias_of[t]) : 0.0F;
    }
}

/* total += the layer's chosen heads, one after another. */
static void add_layer(const job *j, room *r, size_t place)
{
    size_t tokens = (size_t)j->basis->tokens;
    for (size_t h = 0; h < (size_t)j->basis->heads; h++) {
        if (!is_chosen(j, j->batch->token_layers[place], (int)h)) continue;
        for (size_t t = 0; t < j->count; t++) {
            const float *raw = raw_of(j, r, place, h, t);
            for (size_t n = 0; n < tokens; n++)
                r->total[t * tokens + n] += j->scale * (double)raw[n] + r->bias_of[t];
        }
    }
}

static void write_total(const job *j, const room *r, float *out, size_t stride)
{
    size_t tokens = (size_t)j->basis->tokens;
    for (size_t t = 0; t < j->count; t++)
        for (size_t n = 0; n < tokens; n++) out[t * stride + n] = (float)r->total[t * tokens + n];
}

static void write_all(float *out, const job *j, room *r, clipspan_map_detail detail)
{
    size_t tokens = (size_t)j->basis->tokens, layers = (size_t)j->batch->token_layer_count;
    size_t heads = (size_t)j->basis->heads, all = j->count * tokens * sizeof *r->total;
    memset(r->total, 0, all);
    for (size_t place = 0; place < layers; place++) {
        find_bias(j, j->batch->token_layers[place], r->bias_of);
        for (size_t h = 0; detail == CLIPSPAN_MAP_HEAD && h < heads; h++)
            write_head(j, r, place, h, out + (place * heads + h) * tokens, layers * heads * tokens);
        if (detail == CLIPSPAN_MAP_HEAD) continue;
        if (detail == CLIPSPAN_MAP_LAYER) memset(r->total, 0, all);
        add_layer(j, r, place);
        if (detail == CLIPSPAN_MAP_LAYER) write_total(j, r, out + place * tokens, layers * tokens);
    }
    if (detail == CLIPSPAN_MAP_WHOLE) write_total(j, r, out, tokens);
}

static clipspan_status job_open(job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t embed = (size_t)j->basis->embed_dim;
    CLSP_ALLOC(j->ones_of, clsp_alloc(j->count, sizeof *j->ones_of));
    CLSP_ALLOC(j->constant_of, clsp_alloc(j->count, sizeof *j->constant_of));
    for (size_t t = 0; t < j->count; t++) {
        j->ones_of[t] = dot(j->basis->ones, j->texts + t * embed, embed);
        j->constant_of[t] = dot(j->basis->constant, j->texts + t * embed, embed);
    }
    if (j->count >= FEW || padded(embed) == embed) goto out;
    CLSP_ALLOC(j->padded, clsp_alloc_zero(j->count * padded(embed), sizeof *j->padded));
    for (size_t t = 0; t < j->count; t++)
        memcpy(j->padded + t * padded(embed), j->texts + t * embed, embed * sizeof *j->padded);
out:
    return status;
}

static void job_close(job *j)
{
    clsp_free(j->padded);
    clsp_free(j->ones_of);
    clsp_free(j->constant_of);
}

/* Texts [first, first + count) of the job that was asked. out: of its first image and text. */
static clipspan_status map_some(float *out, const job *asked, room *r, size_t first, size_t count, clipspan_map_detail detail,
                                clipspan_error *err)
{
    const clipspan_basis *basis = asked->basis;
    size_t parts = detail == CLIPSPAN_MAP_WHOLE ? 1 : (size_t)asked->batch->token_layer_count;
    if (detail == CLIPSPAN_MAP_HEAD) parts *= (size_t)basis->heads;
    size_t map = parts * (size_t)basis->tokens;
    job j = *asked;
    j.texts += first * (size_t)basis->embed_dim;
    j.count = count;
    clipspan_status status = job_open(&j, err);
    if (status == CLIPSPAN_OK) status = project_all(&j, r, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < j.images; i++) {
        j.image = j.first + i;
        j.scale = scale_of(&j, j.image);
        write_all(out + (i * asked->count + first) * map, &j, r, detail);
    }
    job_close(&j);
    return status;
}

static clipspan_status map_images(float *out, const job *j, clipspan_map_detail detail, int threads, clipspan_error *err)
{
    room r = {0};
    clipspan_status status = CLIPSPAN_OK;
    int before = clsp_threads(threads);
    CLSP_TRY(check(j, detail, err));
    if (j->count == 0 || j->images == 0) goto out;
    size_t most = clsp_max(TEXTS / j->images, 1);
    CLSP_TRY(room_new(&r, j, clsp_min(j->count, most), err));
    for (size_t first = 0; first < j->count; first += most)
        CLSP_TRY(map_some(out, j, &r, first, clsp_min(most, j->count - first), detail, err));
out:
    clsp_threads(before);
    room_free(&r);
    return status;
}

clipspan_status clipspan_map_batch(float *out, const clipspan_batch *batch, size_t image, clipspan_convention convention,
                                   const unsigned char *heads, const float *texts, size_t count,
                                   clipspan_map_detail detail, int threads, clipspan_error *err)
{
    job j = {.batch = batch, .basis = batch ? batch->basis : NULL, .first = image, .images = 1, .convention = convention,
             .heads = heads, .texts = texts, .count = count};
    return map_images(out, &j, detail, threads, err);
}

clipspan_status clipspan_map_images(float *out, const clipspan_batch *batch, clipspan_convention convention,
                                    const unsigned char *heads, const float *texts, size_t count,
                                    clipspan_map_detail detail, int threads, clipspan_error *err)
{
    job j = {.batch = batch, .basis = batch ? batch->basis : NULL, .images = batch ? batch->images : 0,
             .convention = convention, .heads = heads, .texts = texts, .count = count};
    return map_images(out, &j, detail, threads, err);
}

/* ---- summed over tokens ---------------------------------------------------------------------------------- */

/* One head's effects for every image, out: [images, count, L * H] at its column. u: [count, d padded], raw: [count, images]. */
static clipspan_status head_effects(const job *j, int layer, int head, float *u, float *raw, float *out)
{
    const clipspan_batch *batch = j->batch;
    size_t all = (size_t)j->basis->layers * (size_t)j->basis->heads, images = batch->images;
    size_t number = (size_t)layer * (size_t)j->basis->heads + (size_t)head;
    const float *z = batch->z + number * images * (size_t)j->basis->head_dim;
    clipspan_status status = project(j, layer, head, z, images, u, raw, NULL);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < images; i++)
        for (size_t t = 0; t < j->count; t++)
            out[(i * j->count + t) * all + number] =
                (float)(scale_of(j, i) * (double)raw[t * images + i] + bias_of_text(j, layer, t, i, 1));
    return CLIPSPAN_OK;
}

static clipspan_status all_effects(const job *j, float *out)
{
    int heads = j->basis->heads, all = j->basis->layers * heads;
    clipspan_status worst = CLIPSPAN_OK; /* a message has one writer */
    memset(out, 0, j->batch->images * j->count * (size_t)all * sizeof *out);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < all; n++) {
        if (!is_chosen(j, n / heads, n % heads)) continue;
        float *u = clsp_alloc_zero(j->count * padded((size_t)j->basis->head_dim), sizeof *u);
        float *raw = clsp_alloc_aligned(j->count * j->batch->images, sizeof *raw);
        clipspan_status one = u && raw ? head_effects(j, n / heads, n % heads, u, raw, out) : CLIPSPAN_ERROR_MEMORY;
        clsp_free(u);
        clsp_free(raw);
#pragma omp critical(clsp_map_heads)
        if (one != CLIPSPAN_OK) worst = one;
    }
    return worst;
}

clipspan_status clipspan_map_effects(float *out, const clipspan_batch *batch, clipspan_convention convention,
                                     const unsigned char *heads, const float *texts, size_t count, int threads,
                                     clipspan_error *err)
{
    job j = {.batch = batch, .basis = batch ? batch->basis : NULL, .convention = convention, .heads = heads, .texts = texts,
             .count = count};
    clipspan_status status = CLIPSPAN_OK;
    if (batch == NULL || batch->basis == NULL || batch->z == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no batch with heads was given");
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)convention);
    if (count == 0 || batch->images == 0) return CLIPSPAN_OK;
    int before = clsp_threads(threads);
    CLSP_TRY(job_open(&j, err));
    clipspan_status worst = all_effects(&j, out);
    if (worst == CLIPSPAN_ERROR_MEMORY) CLSP_TRY(clsp_fail_memory(err));
    if (worst != CLIPSPAN_OK) CLSP_TRY(clsp_fail(err, worst, "the heads' effects could not be found"));
out:
    clsp_threads(before);
    job_close(&j);
    return status;
}

/* ---- in a few numbers ------------------------------------------------------------------------------------ */

clipspan_status clipspan_map_summarise(clipspan_map_summary *out, const float *values, size_t places, int side,
                                       clipspan_error *err)
{
    size_t patches = side > 0 ? (size_t)side * (size_t)side : 0, best = 0;
    if (patches == 0 || (places != patches && places != patches + 1))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a map of %zu places is no square of side %d", places, side);
    const float *patch = values + (places - patches);
    *out = (clipspan_map_summary){.class_token = places > patches ? (double)values[0] : 0, .least = (double)patch[0]};
    for (size_t n = 0; n < patches; n++) {
        double value = (double)patch[n];
        *(value > 0 ? &out->in_favour : &out->against) += value;
        if (value < out->least) out->least = value;
        if (value > (double)patch[best]) best = n;
    }
    out->total = out->class_token + out->in_favour + out->against;
    out->most = (double)patch[best];
    out->row = (int)(best / (size_t)side);
    out->column = (int)(best % (size_t)side);
    return CLIPSPAN_OK;
}
