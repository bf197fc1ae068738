/* Maps of a text over tokens (ALGORITHMS 7): no vector of the joint space is made.
 *
 *   paper  c[l,h,n] . t = (z[n] . u + (b_l . t) / (H N)) / (sigma |r|) - mu (1 . t) / (K H N sigma |r|)
 *                         + (beta P . t) / (K H N |r|)                          with u = W t
 *   exact  c[l,h,n] . t = (z[n] . u) / sigma                                    with u = (W - w_mean 1') t
 * Only the first summand depends on the token; for all texts at once it is one product of [texts, d] and [d, N] a head.
 */
#include "clipspan/map.h"

#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

typedef struct job {
    const clipspan_batch *batch;
    const clipspan_basis *basis;
    size_t image;
    clipspan_convention convention;
    const unsigned char *heads; /* [L * H] or NULL */
    const float *texts;         /* [count, E] */
    size_t count;
    double *ones_of, *constant_of; /* [count]: 1 . t, beta P . t */
    double scale;                  /* of what is linear in z */
} job;

/* One layer's workspace, for all of its heads. */
typedef struct layer_room {
    float *u;      /* [H, count, d] */
    float *raw;    /* [H, count, N]: z . u */
    double *bias_of;  /* [count]: what every token gets beside, already scaled */
    double *total; /* [count, N] */
} layer_room;

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
    if (j->image >= batch->images)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "image %zu does not exist: the batch has %zu", j->image,
                         batch->images);
    for (int l = 0; j->heads != NULL && l < batch->basis->layers; l++)
        for (int h = 0; h < batch->basis->heads; h++)
            if (is_chosen(j, l, h) && !has_layer(batch, l))
                return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                                 "L%d.H%d is to be mapped, but the tokens of layer %d were not kept", l, h, l);
    return CLIPSPAN_OK;
}

static void room_free(layer_room *room)
{
    clsp_free(room->u);
    clsp_free(room->raw);
    clsp_free(room->bias_of);
    clsp_free(room->total);
}

static clipspan_status room_new(layer_room *room, const job *j, clipspan_error *err)
{
    size_t rows, tokens = (size_t)j->basis->tokens;
    if (!clsp_mul(&rows, j->count, (size_t)j->basis->heads)) return clsp_fail_memory(err);
    size_t u, raw;
    if (!clsp_mul(&u, rows, (size_t)j->basis->head_dim) || !clsp_mul(&raw, rows, tokens)) return clsp_fail_memory(err);
    room->u = clsp_alloc_aligned(u, sizeof *room->u);
    room->raw = clsp_alloc_aligned(raw, sizeof *room->raw);
    room->bias_of = clsp_alloc(j->count, sizeof *room->bias_of);
    room->total = clsp_alloc(raw / (size_t)j->basis->heads, sizeof *room->total);
    bool good = room->u != NULL && room->raw != NULL && room->bias_of != NULL && room->total != NULL;
    return good ? CLIPSPAN_OK : clsp_fail_memory(err);
}

/* raw: [count, rows], z . u of one head for z [rows, d]; u: [count, d]. */
static clipspan_status project(const job *j, int layer, int head, const float *z, size_t rows, float *u, float *raw,
                               clipspan_error *err)
{
    const clipspan_basis *basis = j->basis;
    size_t d = (size_t)basis->head_dim, embed = (size_t)basis->embed_dim;
    size_t number = (size_t)layer * (size_t)basis->heads + (size_t)head;
    const float *w = basis->w + number * d * embed, *mean = basis->w_mean + number * d;
    clipspan_status status =
        clsp_sgemm(u, d, j->texts, embed, false, w, embed, true, j->count, d, embed, 1.0F, 0.0F, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t t = 0; j->convention == CLIPSPAN_EXACT && t < j->count; t++)
        for (size_t i = 0; i < d; i++) u[t * d + i] = (float)((double)u[t * d + i] - (double)mean[i] * j->ones_of[t]);
    return clsp_sgemm(raw, rows, u, d, false, z, d, true, j->count, rows, d, 1.0F, 0.0F, err);
}

static clipspan_status project_tokens(const job *j, int place, int head, float *u, float *raw, clipspan_error *err)
{
    size_t d = (size_t)j->basis->head_dim, tokens = (size_t)j->basis->tokens;
    size_t row = ((size_t)place * (size_t)j->basis->heads + (size_t)head) * j->batch->images + j->image;
    return project(j, j->batch->token_layers[place], head, j->batch->tokens + row * tokens * d, tokens, u, raw, err);
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

static clipspan_status project_layer(const job *j, int place, layer_room *room, clipspan_error *err)
{
    int heads = j->basis->heads, layer = j->batch->token_layers[place];
    size_t u = j->count * (size_t)j->basis->head_dim, raw = j->count * (size_t)j->basis->tokens;
    clipspan_status worst = CLIPSPAN_OK; /* a message has one writer */
#pragma omp parallel for schedule(static)
    for (int h = 0; h < heads; h++) {
        if (!is_chosen(j, layer, h)) continue;
        clipspan_status one = project_tokens(j, place, h, room->u + (size_t)h * u, room->raw + (size_t)h * raw, NULL);
#pragma omp critical(clsp_map_heads)
        if (one != CLIPSPAN_OK) worst = one;
    }
    if (worst == CLIPSPAN_ERROR_MEMORY) return clsp_fail_memory(err);
    return worst ? clsp_fail(err, worst, "the map of layer %d could not be made", layer) : CLIPSPAN_OK;
}

/* out: [count, stride] rows of N. */
static void write_head(const job *j, const layer_room *room, int layer, int head, float *out, size_t stride)
{
    size_t tokens = (size_t)j->basis->tokens;
    const float *raw = room->raw + (size_t)head * j->count * tokens;
    for (size_t t = 0; t < j->count; t++)
        for (size_t n = 0; n < tokens; n++)
            out[t * stride + n] =
                is_chosen(j, layer, head) ? (float)(j->scale * (double)raw[t * tokens + n] + room->bias_of[t]) : 0.0F;
}

/* total += the layer's chosen heads, one after another. */
static void add_layer(const job *j, layer_room *room, int layer)
{
    size_t tokens = (size_t)j->basis->tokens;
    for (int h = 0; h < j->basis->heads; h++) {
        if (!is_chosen(j, layer, h)) continue;
        const float *raw = room->raw + (size_t)h * j->count * tokens;
        for (size_t t = 0; t < j->count; t++)
            for (size_t n = 0; n < tokens; n++)
                room->total[t * tokens + n] += j->scale * (double)raw[t * tokens + n] + room->bias_of[t];
    }
}

static void write_total(const job *j, const layer_room *room, float *out, size_t stride)
{
    size_t tokens = (size_t)j->basis->tokens;
    for (size_t t = 0; t < j->count; t++)
        for (size_t n = 0; n < tokens; n++) out[t * stride + n] = (float)room->total[t * tokens + n];
}

static clipspan_status run(float *out, const job *j, layer_room *room, clipspan_map_detail detail, clipspan_error *err)
{
    size_t tokens = (size_t)j->basis->tokens, layers = (size_t)j->batch->token_layer_count;
    size_t heads = (size_t)j->basis->heads, all = j->count * tokens * sizeof *room->total;
    memset(room->total, 0, all);
    for (size_t place = 0; place < layers; place++) {
        int layer = j->batch->token_layers[place];
        clipspan_status status = project_layer(j, (int)place, room, err);
        if (status != CLIPSPAN_OK) return status;
        find_bias(j, layer, room->bias_of);
        for (size_t h = 0; detail == CLIPSPAN_MAP_HEAD && h < heads; h++)
            write_head(j, room, layer, (int)h, out + (place * heads + h) * tokens, layers * heads * tokens);
        if (detail == CLIPSPAN_MAP_HEAD) continue;
        if (detail == CLIPSPAN_MAP_LAYER) memset(room->total, 0, all);
        add_layer(j, room, layer);
        if (detail == CLIPSPAN_MAP_LAYER) write_total(j, room, out + place * tokens, layers * tokens);
    }
    if (detail == CLIPSPAN_MAP_WHOLE) write_total(j, room, out, tokens);
    return CLIPSPAN_OK;
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
out:
    return status;
}

static void job_close(job *j)
{
    clsp_free(j->ones_of);
    clsp_free(j->constant_of);
}

clipspan_status clipspan_map_batch(float *out, const clipspan_batch *batch, size_t image, clipspan_convention convention,
                                   const unsigned char *heads, const float *texts, size_t count,
                                   clipspan_map_detail detail, int threads, clipspan_error *err)
{
    job j = {batch, batch ? batch->basis : NULL, image, convention, heads, texts, count, NULL, NULL, 0};
    layer_room room = {0};
    clipspan_status status = CLIPSPAN_OK;
    int before = clsp_threads(threads);
    CLSP_TRY(check(&j, detail, err));
    if (count == 0) goto out;
    j.scale = scale_of(&j, image);
    CLSP_TRY(job_open(&j, err));
    CLSP_TRY(room_new(&room, &j, err));
    CLSP_TRY(run(out, &j, &room, detail, err));
out:
    clsp_threads(before);
    room_free(&room);
    job_close(&j);
    return status;
}

/* ---- summed over tokens ---------------------------------------------------------------------------------- */

/* One head's effects for every image, out: [images, count, L * H] at its column. u: [count, d], raw: [count, images]. */
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
        float *u = clsp_alloc_aligned(j->count * (size_t)j->basis->head_dim, sizeof *u);
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
    job j = {batch, batch ? batch->basis : NULL, 0, convention, heads, texts, count, NULL, NULL, 0};
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
