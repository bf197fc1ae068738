/* Heads: most are decided by their bounds and the image's first classes, and the bounds added up decide of many layers. */
#include <math.h>

#include "analysis/ablation_pass.h"

clsp_term clsp_pass_layer_term(const clsp_pass_rows *r, size_t i, size_t layer)
{
    const clsp_ablation_maps *m = &r->p->maps;
    const float *y = clsp_pass_factors(r, i, layer), *of = clsp_ablation_maps_rows(m, layer);
    size_t own = m->heads * m->head_dim;
    return (clsp_term){.mean = m->mean_layers + layer * (m->classes + 1), .weight = clsp_pass_weight(r, i), .y = y, .rows = of,
                       .n = own, .segment = m->head_dim, .y_shared = y + own, .shared = of + own,
                       .n_shared = m->width - own, .share = 1, .stride = m->width};
}

static clsp_term head_term(const clsp_pass_rows *r, size_t layer, size_t head, const clsp_term *whole)
{
    const clsp_ablation_maps *m = &r->p->maps;
    clsp_term term = *whole;
    term.mean = m->mean_heads + (layer * m->heads + head) * (m->classes + 1);
    term.y += head * m->head_dim;
    term.rows += head * m->head_dim;
    term.n = m->head_dim;
    term.share = 1.0F / (float)m->heads;
    return term;
}

/* [3, H] of row i. */
static float *heads_of(const clsp_pass_rows *r, size_t i)
{
    return r->s->heads + i * 3 * r->p->heads;
}

/* Row i's products with one class, or with the mean of all, whose number is C. own: [H]. Returns the shared columns'. */
static float products(const clsp_pass_rows *r, const clsp_term *whole, size_t which, float *own)
{
    float shared = 0;
    clsp_products(own, whole->y, whole->rows + which * whole->stride, r->p->heads, whole->segment);
    if (whole->n_shared > 0)
        clsp_products(&shared, whole->y_shared, whole->shared + which * whole->stride, 1, whole->n_shared);
    return shared;
}

static float sum_of(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* What an image's layer is, and its heads. */
static void begin_layer(const clsp_pass_rows *r, size_t i, size_t layer)
{
    const clsp_pass *p = r->p;
    const clsp_ablation_maps *m = &p->maps;
    clsp_layer_state *state = clsp_pass_state(r, i, layer);
    const clsp_term whole = clsp_pass_layer_term(r, i, layer);
    const float *centre = m->centre + layer * p->width, *size = m->size + layer * p->width;
    float *right = heads_of(r, i), *mean = right + p->heads, *far = mean + p->heads, square, common;
    state->common_right = products(r, &whole, clsp_pass_right(r, i), right);
    state->common_mean = products(r, &whole, p->classes, mean);
    clsp_weighted_squares(far, whole.y, centre, whole.weight, size, p->heads, whole.segment);
    clsp_weighted_squares(&common, whole.y_shared, centre + whole.n, whole.weight, size + whole.n, 1, whole.n_shared);
    clsp_products(&square, whole.y, whole.y, 1, p->width);
    state->length = sqrtf(square) + whole.weight * p->centre_lengths[layer];
    state->square = common + sum_of(far, p->heads);
    state->common = sqrtf(common);
    for (size_t h = 0; h < p->heads; h++) far[h] = sqrtf(far[h]);
    const clsp_bound *bound = &m->layer[layer];
    state->change = (clsp_change){
        .right = whole.weight * whole.mean[clsp_pass_right(r, i)] - (sum_of(right, p->heads) + state->common_right),
        .shift = whole.weight * whole.mean[p->classes] - (sum_of(mean, p->heads) + state->common_mean),
        .radius = sqrtf(state->square) * bound->most + whole.weight * bound->left,
        .rounding = CLSP_ROUND * (float)(clsp_dots_roundings(whole.n, whole.segment) + p->layers + 16) * state->length * bound->norm};
}

static clsp_change head_change(const clsp_pass_rows *r, size_t i, size_t layer, size_t head, const clsp_term *term)
{
    const clsp_pass *p = r->p;
    const clsp_bound *bound = &p->maps.head[layer * p->heads + head], *shared = &p->maps.common[layer];
    const clsp_layer_state *state = clsp_pass_state(r, i, layer);
    const float *values = heads_of(r, i);
    return (clsp_change){
        .right = term->weight * term->mean[clsp_pass_right(r, i)] - (values[head] + term->share * state->common_right),
        .shift = term->weight * term->mean[p->classes] - (values[p->heads + head] + term->share * state->common_mean),
        .radius = values[2 * p->heads + head] * bound->most + state->common * shared->most * term->share +
                  term->weight * bound->left,
        .rounding = CLSP_ROUND * (float)(clsp_dots_roundings(term->n, term->n) + 16) * state->length *
                    (bound->norm + shared->norm)};
}

/* Most heads move no class past the right one. */
static void rank_heads_by_standing(const clsp_pass_rows *r, size_t i, size_t layer)
{
    const clsp_pass *p = r->p;
    size_t at = r->first + i;
    const clsp_term whole = clsp_pass_layer_term(r, i, layer);
    for (size_t h = 0; h < p->heads; h++) {
        const clsp_term term = head_term(r, layer, h, &whole);
        const clsp_change change = head_change(r, i, layer, h, &term);
        const clsp_rank_query query = clsp_pass_query(r, i, clsp_pass_base(r, i, false), &p->top[at], &change, NULL, 0);
        size_t rank = clsp_rank_by_standing(&query, &p->standing[at]);
        r->s->open_heads[i * p->heads + h] = rank == CLSP_RANK_UNKNOWN;
        clsp_pass_put(r, i, CLIPSPAN_ABLATED_HEAD, layer * p->heads + h, rank, query.value);
    }
}

static void rank_head(const clsp_pass_rows *r, size_t i, size_t layer, size_t head)
{
    const clsp_pass *p = r->p;
    size_t at = r->first + i, number = layer * p->heads + head;
    const clsp_term whole = clsp_pass_layer_term(r, i, layer), term = head_term(r, layer, head, &whole);
    const clsp_change change = head_change(r, i, layer, head, &term);
    clsp_rank_query query = clsp_pass_query(r, i, clsp_pass_base(r, i, false), &p->top[at], &change, &term, 1);
    query.reach = p->maps.reach + number * p->classes;
    query.far = heads_of(r, i)[2 * p->heads + head];
    query.most = p->maps.head[number].most;
    size_t rank = clsp_rank_by_top(&query, &p->top[at], SIZE_MAX);
    if (rank == CLSP_RANK_UNKNOWN) rank = clsp_rank_by_all(&query, query.base, r->s->classes);
    clsp_pass_put(r, i, CLIPSPAN_ABLATED_HEAD, number, rank, query.value);
}

/* ---- what the heads say of layers --------------------------------------------------------------------------------- */

/* false: products must tell. */
static bool rank_by_bounds(const clsp_pass_rows *r, size_t i, size_t layer, clipspan_ablated what, const clsp_change *change)
{
    bool mlps = what == CLIPSPAN_ABLATED_UP_TO_MLPS;
    const clsp_top *top = (mlps ? r->p->top_mlps : r->p->top) + r->first + i;
    const clsp_rank_query query = clsp_pass_query(r, i, clsp_pass_base(r, i, mlps), top, change, NULL, 0);
    size_t rank = clsp_rank_by_standing(&query, (mlps ? r->p->standing_mlps : r->p->standing) + r->first + i);
    if (rank == CLSP_RANK_UNKNOWN) rank = clsp_rank_by_top(&query, top, 0);
    clsp_pass_put(r, i, what, layer, rank, query.value);
    return rank != CLSP_RANK_UNKNOWN;
}

/* All terms of the paper's convention at zero leave a vector of zeros, and not what rounding leaves of it. */
static bool is_nothing(const clsp_pass *p, size_t layer)
{
    return p->study->info.zero && p->maps.convention == CLIPSPAN_PAPER && layer + 1 == p->layers;
}

static void rank_layer(const clsp_pass_rows *r, size_t i, size_t layer)
{
    clsp_pass *p = r->p;
    size_t at = r->first + i;
    clsp_layer_state *state = clsp_pass_state(r, i, layer);
    clsp_change *up_to = &p->up_to[at];
    clsp_change_add(up_to, &state->change);
    state->ask = 0;
    if (!rank_by_bounds(r, i, layer, CLIPSPAN_ABLATED_LAYER, &state->change)) state->ask |= CLSP_ASK_LAYER;
    if (p->whole[at] || !rank_by_bounds(r, i, layer, CLIPSPAN_ABLATED_UP_TO, up_to)) state->ask |= CLSP_ASK_UP_TO;
    if (p->mlps && is_nothing(p, layer))
        clsp_pass_put(r, i, CLIPSPAN_ABLATED_UP_TO_MLPS, layer, clsp_min(clsp_pass_right(r, i), CLSP_RANK_MOST), 0);
    else if (p->mlps && (p->whole[at] || !rank_by_bounds(r, i, layer, CLIPSPAN_ABLATED_UP_TO_MLPS, up_to)))
        state->ask |= CLSP_ASK_UP_TO_MLPS;
    p->whole[at] |= (state->ask & (CLSP_ASK_UP_TO | CLSP_ASK_UP_TO_MLPS)) != 0;
}

/* The lines that the next image's right class has in the layer's map. */
static void fetch_right(const clsp_pass_rows *r, size_t i, size_t layer)
{
    if (i >= r->n || !clsp_pass_scored(r, i)) return;
    const float *row = clsp_ablation_maps_rows(&r->p->maps, layer) + clsp_pass_right(r, i) * r->p->width;
    for (size_t j = 0; j < r->p->width; j += 16) __builtin_prefetch(row + j, 0, 3);
}

/* Image by image, since an image's factors and its class's map lie side by side; then head by head, so that a head's map stays
 * in the cache for all images' open classes. */
void clsp_pass_heads(const clsp_pass_rows *r, size_t layer)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!clsp_pass_scored(r, i)) continue;
        fetch_right(r, i + 1, layer);
        begin_layer(r, i, layer);
        rank_layer(r, i, layer);
        rank_heads_by_standing(r, i, layer);
    }
    for (size_t h = 0; h < r->p->heads; h++)
        for (size_t i = 0; i < r->n; i++)
            if (clsp_pass_scored(r, i) && r->s->open_heads[i * r->p->heads + h]) rank_head(r, i, layer, h);
}
