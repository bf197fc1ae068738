/* Layers, and layers up to one, that bounds leave open: one product of all classes for many images, then bounds again, of what
 * the product may be off. And the named set of heads, which is a product too. */
#include <math.h>

#include "analysis/ablation_pass.h"

enum { PRODUCT_ROWS = 126 }; /* at a time: they and what comes of them stay in a thread's cache */

/* ---- one product -------------------------------------------------------------------------------------------------- */

CLSP_CLONES static void centre(float *restrict x, const float *restrict y, const float *restrict a, float weight,
                               const float *restrict size, size_t n)
{
    for (size_t j = 0; j < n; j++) x[j] = (y[j] - weight * a[j]) * size[j];
}

void clsp_pass_centre(float *restrict x, const float *restrict y, const float *restrict a, float weight,
                      const float *restrict size, size_t n)
{
    centre(x, y, a, weight, size, n);
}

float clsp_pass_round(const clsp_pass_rows *r, size_t to, const clsp_ablation_product *product, float *x, size_t n, size_t terms)
{
    clsp_whole_type type = product->whole.type;
    const clsp_whole_row row = clsp_whole_round(r->s->rounded + to * clsp_whole_stride(type, n), type, x, n);
    r->s->rounded_rows[to] = row;
    float scaled = CLSP_ROUND * (float)(terms + 4); /* a sum times two factors, and sums over terms */
    return (row.lost + scaled * (row.length + row.lost)) * product->most + row.length * product->lost;
}

/* Row i as row `to` of what is gathered. Returns how far the product will be from what replacing the layer adds to a class beyond
 * what it adds to the mean class (ablation_maps.h). */
static float gather(const clsp_pass_rows *r, size_t to, size_t i, size_t layer)
{
    const clsp_ablation_maps *m = &r->p->maps;
    size_t w = m->width;
    float *x = m->all ? r->s->one : r->s->gathered + to * w, weight = clsp_pass_weight(r, i), left = weight * m->layer[layer].left;
    centre(x, clsp_pass_factors(r, i, layer), m->centre + layer * w, weight, m->size + layer * w, w);
    if (m->all) return clsp_pass_round(r, to, &m->products[layer], x, w, r->p->layers) + left;
    /* sums of floats, of a product and of products over layers */
    return CLSP_ROUND * (float)(w + r->p->layers) * sqrtf(clsp_pass_state(r, i, layer)->square) * m->layer[layer].most + left;
}

/* y: [n] rows. Without all layers' rows nothing can be evaluated later, so sums of floats are made at once. */
static clipspan_status multiply(const clsp_pass_rows *r, size_t layer, float *const *y, bool add, size_t n)
{
    const clsp_ablation_maps *m = &r->p->maps;
    size_t w = m->width, c = m->classes;
    if (m->all)
        clsp_whole_run(y, add, &m->products[layer].whole, r->s->rounded, r->s->rounded_rows, n);
    else
        return clsp_sgemm(y[0], c, r->s->gathered, w, false, m->exact, w, true, n, c, w, 1.0F, 0.0F, NULL);
    return CLIPSPAN_OK;
}

/* ---- what it says -------------------------------------------------------------------------------------------------- */

static const clipspan_ablated kinds[] = {[CLSP_ASK_LAYER] = CLIPSPAN_ABLATED_LAYER, [CLSP_ASK_UP_TO] = CLIPSPAN_ABLATED_UP_TO,
                                         [CLSP_ASK_UP_TO_MLPS] = CLIPSPAN_ABLATED_UP_TO_MLPS};

CLSP_CLONES static void sum_of(float *restrict sum, const float *restrict a, const float *restrict b, size_t n)
{
    for (size_t c = 0; c < n; c++) sum[c] = a[c] + b[c];
}

/* x: [C], what products say that is added to base or with_mlps, but for the shift, to within the change's radius. */
static void rank_by_product(const clsp_pass_rows *r, size_t i, size_t layer, unsigned char ask, const float *x,
                            const clsp_change *change)
{
    const clsp_pass *p = r->p;
    bool mlps = ask == CLSP_ASK_UP_TO_MLPS;
    const float *base = clsp_pass_base(r, i, mlps);
    const clsp_top *top = (mlps ? p->top_mlps : p->top) + r->first + i;
    float *near = r->s->one;
    int32_t *open = r->s->classes;
    size_t first = ask == CLSP_ASK_LAYER ? layer : 0, count;
    sum_of(near, base, x, p->classes);
    const clsp_rank_query query = clsp_pass_query(r, i, base, top, change, r->s->terms + first, layer + 1 - first);
    size_t rank = clsp_rank_sift(&query, near, open, &count);
    if (count > p->study->limits.open || !clsp_pass_ask(r, i, layer, ask, open, count)) {
        for (size_t l = first; l <= layer; l++) r->s->terms[l] = clsp_pass_layer_term(r, i, l);
        rank = clsp_rank_evaluate(&query, rank, open, count);
    }
    clsp_pass_put(r, i, kinds[ask], layer, rank, query.value);
}

/* Where earlier layers' maps are gone, their sums are taken for what they are. */
static void judge_sums(const clsp_pass_rows *r, size_t i, size_t layer, unsigned char ask, const float *x, float shift)
{
    size_t c = r->p->classes;
    const float *base = clsp_pass_base(r, i, ask == CLSP_ASK_UP_TO_MLPS);
    for (size_t k = 0; k < c; k++) r->s->one[k] = base[k] + x[k] + shift;
    clsp_pass_judge(r, i, kinds[ask], layer, r->s->one);
}

static float *known_of(const clsp_pass_rows *r, size_t i)
{
    return r->p->known + (r->first + i) * r->p->classes;
}

/* What layers up to this one come to, where the image's layers go into sums: `known` has the layer's product already. */
static void settle_sum(const clsp_pass_rows *r, size_t i, size_t layer, const clsp_change *change)
{
    clsp_pass *p = r->p;
    clsp_change *up_to = &p->up_to[r->first + i];
    const clsp_layer_state *state = clsp_pass_state(r, i, layer);
    if (layer == 0) *up_to = (clsp_change){0};
    clsp_change_add(up_to, change);
    for (unsigned char ask = CLSP_ASK_UP_TO; ask <= CLSP_ASK_UP_TO_MLPS; ask *= 2) {
        if (!(state->ask & ask)) continue;
        if (p->maps.all)
            rank_by_product(r, i, layer, ask, known_of(r, i), up_to);
        else
            judge_sums(r, i, layer, ask, known_of(r, i), up_to->shift);
    }
}

/* which: rows [count] of one product, which goes straight into their sums, or stays `apart` to be asked of the layer itself. */
static clipspan_status settle(const clsp_pass_rows *r, size_t layer, const size_t *which, size_t count, bool apart)
{
    clsp_pass *p = r->p;
    float radius[PRODUCT_ROWS], *y[PRODUCT_ROWS];
    for (size_t j = 0; j < count; j++) {
        radius[j] = gather(r, j, which[j], layer);
        y[j] = apart ? r->s->product + j * p->classes : known_of(r, which[j]);
    }
    clipspan_status status = multiply(r, layer, y, !apart, count);
    for (size_t j = 0; j < count && status == CLIPSPAN_OK; j++) {
        const clsp_layer_state *state = clsp_pass_state(r, which[j], layer);
        clsp_change change = state->change;
        bool whole = p->whole[r->first + which[j]];
        change.radius = radius[j];
        if (state->ask & CLSP_ASK_LAYER) rank_by_product(r, which[j], layer, CLSP_ASK_LAYER, y[j], &change);
        if (apart && whole) clsp_pass_add(known_of(r, which[j]), y[j], p->classes);
        if (whole) settle_sum(r, which[j], layer, &change);
    }
    return status;
}

/* The rows that products must tell of, those whose product is to be seen by itself, or those others. */
static clipspan_status settle_rows(const clsp_pass_rows *r, size_t layer, bool apart)
{
    const clsp_pass *p = r->p;
    size_t m = 0, which[CLSP_PASS_ROWS];
    for (size_t i = 0; i < r->n; i++) {
        if (!clsp_pass_scored(r, i)) continue;
        bool asked = clsp_pass_state(r, i, layer)->ask & CLSP_ASK_LAYER;
        if ((asked || !p->maps.all) == apart && (asked || p->whole[r->first + i])) which[m++] = i;
    }
    clipspan_status status = CLIPSPAN_OK;
    size_t parts = (m + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    for (size_t k = 0; k < parts && status == CLIPSPAN_OK; k++)
        status = settle(r, layer, which + m * k / parts, m * (k + 1) / parts - m * k / parts, apart);
    return status;
}

clipspan_status clsp_pass_layers(const clsp_pass_rows *r, size_t layer)
{
    clipspan_status status = settle_rows(r, layer, false);
    return status == CLIPSPAN_OK ? settle_rows(r, layer, true) : status;
}

/* ---- the named set ------------------------------------------------------------------------------------------------ */

/* One product of the layer's named heads; the rest of a row is zero. */
clipspan_status clsp_pass_set(const clsp_pass_rows *r, size_t layer)
{
    clsp_pass *p = r->p;
    const clsp_ablation_maps *m = &p->maps;
    size_t named = 0, w = p->width, c = p->classes, d = m->head_dim;
    const unsigned char *heads = p->study->heads + layer * p->heads;
    float *product = r->s->product;
    for (size_t h = 0; h < p->heads; h++) named += heads[h];
    if (named == 0) return CLIPSPAN_OK;
    for (size_t i = 0; i < r->n; i++) {
        float *row = r->s->gathered + i * w;
        memcpy(row, clsp_pass_factors(r, i, layer), w * sizeof *row);
        for (size_t h = 0; h < p->heads; h++)
            if (!heads[h]) memset(row + h * d, 0, d * sizeof *row);
        for (size_t j = p->heads * d; j < w; j++) row[j] *= (float)named / (float)p->heads;
    }
    clipspan_status status = clsp_sgemm(product, c, r->s->gathered, w, false, clsp_ablation_maps_rows(m, layer), w, true, r->n, c,
                                        w, 1.0F, 0.0F, NULL);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        clsp_pass_differ(product + i * c, p->mean_set + layer * (c + 1), clsp_pass_weight(r, i), c);
        clsp_pass_add(p->set + (r->first + i) * c, product + i * c, c);
    }
    return status;
}
