/* Terms replaced by their means, or by zero (ALGORITHMS 4). The terms of an image sum to its representation, so with S
 * the replaced ones
 *
 *     out = r - sum over S of c + sum over S of mean(c)        where S is the smaller part
 *         = sum over the kept of c + constants + sum over S of mean(c)         where the kept are fewer
 *
 * and a head's c = y M is added by one product of its factors and its map. Only layers with a term that is added are
 * read. */
#include <string.h>

#include "analysis/means.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 512, ROWS = 64 }; /* images read at once; images a thread takes at once */

typedef struct ablator {
    const clipspan_store *store;
    const clipspan_basis *basis;
    clipspan_convention convention;
    size_t layers, heads, embed_dim, width; /* width: k */
    unsigned char *replaced_heads, *replaced_mlps, *replaced_cls; /* [L H], [L + 1], [L]: whose mean is put in */
    unsigned char *heads_added, *mlps_added, *cls_added; /* the same, terms that are computed, with this sign: */
    float sign;
    float *put;  /* [E] sum of the means that are put in */
    float *map;  /* [k, E] */
    float *y;    /* [BATCH, k] */
    float *term; /* [BATCH, E] */
    float *out;  /* [images of the store, E] */
} ablator;

static size_t chosen(const unsigned char *flags, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; flags != NULL && i < count; i++) found += flags[i] != 0;
    return found;
}

static clipspan_status check_cls(const clipspan_ablation *ablation, size_t layers, size_t heads, clipspan_error *err)
{
    for (size_t l = 0; l < layers; l++) {
        size_t with = ablation->cls[l] ? chosen(ablation->heads ? ablation->heads + l * heads : NULL, heads) : 0;
        if (with > 0 && with < heads)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                             "layer %zu: the class token's attention to itself is stored as a sum over heads, so it cannot "
                             "be replaced beside some of them", l);
    }
    return CLIPSPAN_OK;
}

static clipspan_status check_parts(const clipspan_store *store, const clipspan_ablation *ablation,
                                   const clipspan_means *means, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    size_t layers = (size_t)info->layers;
    bool mlps = chosen(ablation->mlps, layers + 1) > 0, cls = chosen(ablation->cls, layers) > 0;
    if (mlps && !(info->parts & CLIPSPAN_PART_MLP))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store keeps no MLP terms (part mlp), so none can be replaced");
    if (cls && !(info->parts & CLIPSPAN_PART_CLS))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "the store keeps no attention of the class token to itself (part cls), so it cannot be replaced");
    if (!ablation->zero && ((mlps && means->mlps == NULL) || (cls && means->cls == NULL)))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the means are of a store without %s",
                         mlps && means->mlps == NULL ? "MLP terms (part mlp)" : "class-token terms (part cls)");
    return CLIPSPAN_OK;
}

static clipspan_status check(const clipspan_store *store, const clipspan_ablation *ablation, const clipspan_means *means,
                             clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_convention convention = means ? means->convention : ablation->convention;
    if (means == NULL && !ablation->zero)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "means are needed where terms are not replaced by zero");
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)convention);
    clipspan_status status = means ? clsp_means_check(means, store, err) : CLIPSPAN_OK;
    if (status == CLIPSPAN_OK) status = check_parts(store, ablation, means, err);
    if (status == CLIPSPAN_OK && ablation->cls != NULL)
        status = check_cls(ablation, (size_t)info->layers, (size_t)info->heads, err);
    return status;
}

/* to is zero; from may be NULL. */
static void copy_flags(unsigned char *to, const unsigned char *from, size_t count)
{
    if (from == NULL) return;
    for (size_t i = 0; i < count; i++) to[i] = from[i] != 0;
}

/* What is computed, and with which sign. The class token's own part of a layer lies inside its heads' terms, so it goes
 * with them where all are replaced, and is taken away from the sum in either manner where they are kept. */
static void plan(ablator *a, const clipspan_ablation *ablation)
{
    size_t l = a->layers, all = l * a->heads;
    copy_flags(a->replaced_heads, ablation->heads, all);
    copy_flags(a->replaced_mlps, ablation->mlps, l + 1);
    copy_flags(a->replaced_cls, ablation->cls, l);
    for (size_t i = 0; i < l; i++)
        if (chosen(a->replaced_heads + i * a->heads, a->heads)) a->replaced_cls[i] = 0;
    memcpy(a->heads_added, a->replaced_heads, all);
    memcpy(a->mlps_added, a->replaced_mlps, l + 1);
    memcpy(a->cls_added, a->replaced_cls, l);
    a->sign = -1.0F;
    size_t heads = chosen(a->replaced_heads, all), mlps = chosen(a->replaced_mlps, l + 1);
    bool keepable = clipspan_store_get_info(a->store)->parts & CLIPSPAN_PART_MLP;
    if (!keepable || heads * a->width + mlps <= (all - heads) * a->width + (l + 1 - mlps)) return;
    a->sign = 1.0F;
    for (size_t i = 0; i < all; i++) a->heads_added[i] = !a->heads_added[i];
    for (size_t i = 0; i <= l; i++) a->mlps_added[i] = !a->mlps_added[i];
}

static void put_means(ablator *a, const clipspan_means *means)
{
    size_t e = a->embed_dim, l = a->layers;
    const struct {
        const unsigned char *flags;
        const float *means;
        size_t count;
    } kinds[] = {{a->replaced_heads, means->heads, l * a->heads}, {a->replaced_mlps, means->mlps, l + 1},
                 {a->replaced_cls, means->cls, l}};
    for (size_t d = 0; d < e; d++) {
        double value = 0;
        for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
            for (size_t i = 0; i < kinds[kind].count; i++)
                if (kinds[kind].flags[i]) value += (double)kinds[kind].means[i * e + d];
        a->put[d] = (float)value;
    }
}

static void add_rows(float *out, const float *rows, size_t count, float sign)
{
    for (size_t i = 0; i < count; i++) out[i] += sign * rows[i];
}

/* The whole, without what is replaced; or the constants alone (of every image of the batch, there already), to which the
 * kept terms come. Images [first, first + n) of the batch; out: [n, E]. */
static void begin_rows(const ablator *a, const clipspan_batch *batch, size_t first, size_t n, float *out)
{
    size_t e = a->embed_dim;
    for (size_t i = 0; i < n; i++) {
        const float *whole = batch->embedding + (first + i) * e;
        float norm = a->convention == CLIPSPAN_PAPER ? batch->norm[first + i] : 1.0F;
        for (size_t d = 0; d < e; d++) {
            if (a->sign < 0) out[i * e + d] = whole[d] / norm;
            out[i * e + d] += a->put[d];
        }
    }
}

/* term: [n, E] scratch. The class token's part is always taken away: the heads' sum, or the whole, contains it. */
static clipspan_status some_rows(const ablator *a, const clipspan_batch *batch, size_t first, size_t n, float *term)
{
    size_t e = a->embed_dim;
    float *out = a->out + (size_t)batch->index[first] * e;
    clipspan_status status = CLIPSPAN_OK;
    begin_rows(a, batch, first, n, out);
    for (size_t t = 0; t <= a->layers && status == CLIPSPAN_OK; t++) {
        if (!a->mlps_added[t]) continue;
        status = clsp_batch_mlp_range(batch, a->convention, (int)t, first, n, term, e, NULL);
        if (status == CLIPSPAN_OK) add_rows(out, term, n * e, a->sign);
    }
    for (size_t l = 0; l < a->layers && status == CLIPSPAN_OK; l++) {
        if (!a->cls_added[l]) continue;
        status = clsp_batch_cls_range(batch, a->convention, (int)l, first, n, term, e, NULL);
        if (status == CLIPSPAN_OK) add_rows(out, term, n * e, -1.0F);
    }
    return status;
}

static clipspan_status add_heads(ablator *a, const clipspan_batch *batch, float *out, clipspan_error *err)
{
    size_t k = a->width, e = a->embed_dim;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t h = 0; h < a->layers * a->heads && status == CLIPSPAN_OK; h++) {
        if (!a->heads_added[h]) continue;
        int layer = (int)(h / a->heads), head = (int)(h % a->heads);
        clsp_head_map(a->basis, a->convention, layer, head, a->map);
        clsp_head_factors(batch, a->convention, layer, head, a->y);
        status = clsp_sgemm(out, e, a->y, k, false, a->map, e, false, batch->images, e, k, a->sign, 1.0F, err);
    }
    return status;
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    ablator *a = user;
    float *out = a->out + (size_t)batch->index[0] * a->embed_dim;
    clipspan_status worst = CLIPSPAN_OK;
    if (a->sign > 0) worst = clipspan_batch_constant(batch, a->convention, out, err);
    if (worst != CLIPSPAN_OK) return worst;
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < batch->images; first += ROWS) {
        size_t n = clsp_min(ROWS, batch->images - first);
        clipspan_status one = some_rows(a, batch, first, n, a->term + first * a->embed_dim);
#pragma omp critical(clsp_ablate)
        if (one != CLIPSPAN_OK) worst = one;
    }
    if (worst != CLIPSPAN_OK) return clsp_fail(err, worst, "the store's terms could not be made");
    return add_heads(a, batch, out, err);
}

static clipspan_status ablator_open(ablator *a, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t l = a->layers, e = a->embed_dim;
    CLSP_ALLOC(a->replaced_heads, clsp_alloc_zero(l * a->heads, 1));
    CLSP_ALLOC(a->heads_added, clsp_alloc_zero(l * a->heads, 1));
    CLSP_ALLOC(a->replaced_mlps, clsp_alloc_zero(l + 1, 1));
    CLSP_ALLOC(a->mlps_added, clsp_alloc_zero(l + 1, 1));
    CLSP_ALLOC(a->replaced_cls, clsp_alloc_zero(l, 1));
    CLSP_ALLOC(a->cls_added, clsp_alloc_zero(l, 1));
    CLSP_ALLOC(a->put, clsp_alloc_zero(e, sizeof *a->put));
    CLSP_ALLOC(a->map, clsp_alloc_aligned(a->width * e, sizeof *a->map));
    CLSP_ALLOC(a->y, clsp_alloc_aligned(BATCH * a->width, sizeof *a->y));
    CLSP_ALLOC(a->term, clsp_alloc_aligned(BATCH * e, sizeof *a->term));
out:
    return status;
}

static void ablator_close(ablator *a)
{
    void *const blocks[] = {a->replaced_heads, a->heads_added, a->replaced_mlps, a->mlps_added, a->replaced_cls,
                            a->cls_added, a->put, a->map, a->y, a->term};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
}

/* layers: [L] out. x0 belongs to no layer and is read with the part. */
static clipspan_store_selection reads(const ablator *a, unsigned char *layers)
{
    clipspan_store_selection select = {.layers = layers, .parts = 0, .batch = BATCH};
    select.no_heads = chosen(a->heads_added, a->layers * a->heads) == 0;
    if (chosen(a->mlps_added, a->layers + 1)) select.parts |= CLIPSPAN_PART_MLP;
    if (chosen(a->cls_added, a->layers)) select.parts |= CLIPSPAN_PART_CLS;
    for (size_t l = 0; l < a->layers; l++)
        layers[l] = chosen(a->heads_added + l * a->heads, a->heads) > 0 || a->mlps_added[l + 1] || a->cls_added[l];
    return select;
}

clipspan_status clipspan_ablate(float *out, const clipspan_store *store, const clipspan_ablation *ablation,
                                const clipspan_means *means, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    clipspan_convention convention = means ? means->convention : ablation->convention;
    unsigned char *layers = NULL;
    ablator a = {.store = store, .basis = basis, .convention = convention, .out = out, .layers = (size_t)basis->layers,
                 .heads = (size_t)basis->heads, .embed_dim = (size_t)basis->embed_dim};
    int before = clsp_threads(ablation->threads);
    CLSP_TRY(check(store, ablation, means, err));
    a.width = clsp_head_width(basis, convention);
    CLSP_TRY(ablator_open(&a, err));
    CLSP_ALLOC(layers, clsp_alloc(a.layers, 1));
    plan(&a, ablation);
    if (!ablation->zero) put_means(&a, means);
    const clipspan_store_selection select = reads(&a, layers);
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &a, hooks, err));
out:
    clsp_threads(before);
    ablator_close(&a);
    clsp_free(layers);
    return status;
}
