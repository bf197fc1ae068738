/* One pass over a store that ranks every image's right class under every ablation, in logit space. With T the classifier,
 * B = r T'/|r| an image's cosines and c a term, the cosines without the term are B + (mean(c) - c) T', and a head's c T' is
 * one product of its factors with the classes in their coordinates (ablation_maps.h). Differences add: a layer's is the
 * sum over its heads, those of layers 0 .. i the sum over layers.
 *
 * Most of those cosines need not be known (ablation_rank.h): of the right class the value is asked, of the others only how
 * many exceed it, and not even that beyond CLSP_RANK_MOST. A head, a layer, an MLP and the layers up to one are each asked
 * of the classes that come first by B; what that leaves undecided (a layer that moves much, with the right class near the
 * top) is asked of products: all classes, rows of images together. A product's rounding is a bound like any other, so the
 * same is counted whichever way was taken, as if every logit had been evaluated: sums of floats in one fixed order.
 *
 * Threads take ROWS images at a time. Where the maps of all layers do not fit, they are made layer by layer for every batch
 * and the layers up to one are counted from sums of products alone. In the exact convention terms are divided by |r| too,
 * so that everything is a cosine. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/ablation_maps.h"
#include "analysis/ablation_rank.h"
#include "analysis/ablation_study.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { ROWS = 256, BATCH = 512, FIRST = 6, KEPT = 2 + 2 * FIRST };
static const size_t STATE_MOST = (size_t)128 << 20; /* bytes */
static const float ROUND = 1.2e-7F;                 /* 2^-23: twice what one float operation may lose */

/* What an image is under the layers' ablations. */
typedef struct layer_state {
    float right;       /* what replacing the layer adds to the right class */
    float shift, square; /* to the mean class; |s (y - w a)|^2 */
    float common;      /* of that square, the shared columns' part */
    float length;      /* |y| + |w a| */
    float rounding;    /* of one class's value, at most */
    unsigned char ask; /* ASK_*: which ranks products must tell */
} layer_state;
enum { ASK_LAYER = 1, ASK_UP_TO = 2, ASK_UP_TO_MLPS = 4 };

/* Classes of an image that are evaluated for every head: the right one, the mean of all (its number is C), and those that
 * come first. */
typedef struct kept {
    size_t count;
    int32_t which[KEPT];
    float common[KEPT];        /* the layer's shared columns */
    float layer[KEPT], up_to[KEPT]; /* what replacing the layer adds, and the layers up to it */
} kept;

typedef struct pass {
    clipspan_ablation_study *study;
    clsp_outcomes *outcomes;
    clsp_ablation_maps maps;
    size_t layers, heads, classes, embed_dim, width; /* width: W */
    bool mlps, cls;    /* the store has them */
    size_t batch, rows;
    int threads;
    float *mean_mlps;  /* [L + 1, C + 1] */
    float *mean_set;   /* [L, C + 1]: of the named heads together */
    float *mean_all_mlps, *mean_cls; /* [C + 1] sum over terms, over layers */
    float *mean_vectors;  /* [L + 1, E]: x0's and the MLPs'; zeros where terms are replaced by zero */
    float *mean_lengths;  /* [L + 1] of these */
    float *centre_lengths; /* [L]: |a| */
    float *texts_size; /* [E] */
    clsp_bound texts;
    float *y;          /* [L or 1, batch, W] */
    float *base, *with_mlps, *known, *set; /* [batch, C]: B; B without the MLPs; layers so far, from products; the named set */
    clsp_top *top, *top_mlps;       /* [batch]: of base, of with_mlps */
    kept *kept;                     /* [batch] */
    layer_state *state;             /* [batch, L] */
    unsigned char *whole;           /* [batch]: layers up to some one are asked of products */
    float *scratch;    /* [threads, room] */
    clsp_term *terms;  /* [threads, L] */
    size_t room;
} pass;

/* ---- what becomes of an image ------------------------------------------------------------------------------- */

CLSP_CLONES static size_t above(const float *a, size_t n, float right, bool ties)
{
    uint32_t count = 0;
    for (size_t c = 0; c < n; c++) count += ties ? a[c] >= right : a[c] > right;
    return count;
}

void clsp_ablation_judge(const clipspan_ablation_study *study, clsp_outcomes *outcomes, size_t image, size_t at,
                         const float *cosines)
{
    size_t right = (size_t)study->labels[image], after = right + 1, rest = study->info.classes - after;
    float value = cosines[right];
    /* The lower class comes first on a tie. */
    size_t rank = above(cosines, right, value, true) + above(cosines + after, rest, value, false);
    size_t cell = study->place[image] * outcomes->count + at;
    outcomes->rank[cell] = (unsigned char)clsp_min(rank, CLSP_RANK_MOST);
    outcomes->logit[cell] = study->info.logit_scale * value;
}

/* ---- rows [first, first + n) of a batch, one thread --------------------------------------------------------- */

typedef struct rows {
    pass *p;
    const clipspan_batch *batch;
    size_t first, n;
    float *product;               /* [ROWS, C] */
    float *one;                   /* [C] */
    float *vectors, *vector_sum;  /* [ROWS, E] */
    float *gathered;              /* [ROWS, W or E] */
    clsp_term *terms;             /* [L] */
} rows;

static size_t image_of(const rows *r, size_t i)
{
    return (size_t)r->batch->index[r->first + i];
}

static bool is_scored(const rows *r, size_t i)
{
    return r->p->study->labels[image_of(r, i)] >= 0;
}

static size_t right_of(const rows *r, size_t i)
{
    return (size_t)r->p->study->labels[image_of(r, i)];
}

/* What a mean is multiplied with to stand beside cosines. */
static float weight_of(const rows *r, size_t i)
{
    return r->p->maps.convention == CLIPSPAN_PAPER ? 1.0F : 1.0F / r->batch->norm[r->first + i];
}

static layer_state *state_of(const rows *r, size_t i, size_t layer)
{
    return &r->p->state[(r->first + i) * r->p->layers + layer];
}

static const float *factors_of(const rows *r, size_t i, size_t layer)
{
    const pass *p = r->p;
    return p->y + ((p->maps.all ? layer * p->batch : 0) + r->first + i) * p->width;
}

static void put(const rows *r, size_t i, clipspan_ablated what, size_t index, size_t rank, float value)
{
    const pass *p = r->p;
    size_t cell = p->study->place[image_of(r, i)] * p->outcomes->count + p->study->first[what] + index;
    p->outcomes->rank[cell] = (unsigned char)rank;
    p->outcomes->logit[cell] = p->study->info.logit_scale * value;
}

/* Every class's cosine is there: [C]. */
static void judge(const rows *r, size_t i, clipspan_ablated what, size_t index, const float *cosines)
{
    if (is_scored(r, i))
        clsp_ablation_judge(r->p->study, r->p->outcomes, image_of(r, i), r->p->study->first[what] + index, cosines);
}

CLSP_CLONES static void add(float *restrict sum, const float *restrict x, size_t n)
{
    for (size_t c = 0; c < n; c++) sum[c] += x[c];
}

/* product: [n, C] = vectors [n, E] T' */
static clipspan_status classify(const rows *r, const float *vectors, size_t n, float *product)
{
    size_t e = r->p->embed_dim, c = r->p->classes;
    return clsp_sgemm(product, c, vectors, e, false, r->p->maps.texts, e, true, n, c, e, 1.0F, 0.0F, NULL);
}

/* x = weight * mean - x: what replacing the term changes. */
CLSP_CLONES static void differ(float *restrict x, const float *restrict mean, float weight, size_t n)
{
    for (size_t c = 0; c < n; c++) x[c] = weight * mean[c] - x[c];
}

/* ---- before the layers ---------------------------------------------------------------------------------------- */

/* Vectors of the exact convention to the scale of cosines. */
static void weigh(const rows *r, float *vectors)
{
    size_t e = r->p->embed_dim;
    if (r->p->maps.convention == CLIPSPAN_PAPER) return;
    for (size_t i = 0; i < r->n; i++)
        for (size_t d = 0; d < e; d++) vectors[i * e + d] *= weight_of(r, i);
}

static clipspan_status begin(const rows *r)
{
    pass *p = r->p;
    size_t e = p->embed_dim, c = p->classes;
    float *base = p->base + r->first * c;
    for (size_t i = 0; i < r->n; i++)
        for (size_t d = 0; d < e; d++)
            r->vectors[i * e + d] = r->batch->embedding[(r->first + i) * e + d] / r->batch->norm[r->first + i];
    clipspan_status status = classify(r, r->vectors, r->n, base);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        judge(r, i, CLIPSPAN_ABLATED_NOTHING, 0, base + i * c);
        clsp_top_fill(&p->top[r->first + i], base + i * c, c);
        p->whole[r->first + i] = !p->maps.all;
    }
    memset(p->known + r->first * c, 0, r->n * c * sizeof(float));
    if (p->set != NULL) memset(p->set + r->first * c, 0, r->n * c * sizeof(float));
    return status;
}

/* The rank of image i's right class where all classes' cosines `base` are moved by the terms: the right class by `moved`,
 * every class by `shift` to within `radius`, but for rounding. */
typedef struct move {
    const float *base;
    const clsp_top *top;
    const clsp_term *terms;
    size_t term_count;
    float moved, shift, radius, rounding;
} move;

static clsp_rank_query query_of(const rows *r, size_t i, const move *m, size_t limit)
{
    size_t right = right_of(r, i);
    float value = m->base[right] + m->moved;
    float compared = 8 * ROUND * (m->top->largest + fabsf(m->shift) + fabsf(value)); /* sums of a few such floats */
    return (clsp_rank_query){.base = m->base, .classes = r->p->classes, .right = right, .value = value, .shift = m->shift,
                             .radius = m->radius * (1 + 1e-5F) + m->rounding + compared, .terms = m->terms,
                             .term_count = m->term_count, .limit = limit};
}

/* Row i of vectors to row `to` of gathered. */
static void gather(float *gathered, size_t to, const float *vector, size_t width)
{
    memcpy(gathered + to * width, vector, width * sizeof *gathered);
}

/* ---- x0 and the MLPs -------------------------------------------------------------------------------------------- */

static clsp_term mlp_term(const rows *r, size_t i, size_t t, const float *vector)
{
    const pass *p = r->p;
    return (clsp_term){.mean = p->mean_mlps + t * (p->classes + 1), .weight = weight_of(r, i), .y = vector,
                       .rows = p->maps.texts, .n = p->embed_dim, .segment = p->embed_dim, .stride = p->embed_dim};
}

static move mlp_move(const rows *r, size_t i, size_t t, const clsp_term *term)
{
    const pass *p = r->p;
    size_t e = p->embed_dim, at = r->first + i;
    const int32_t which[] = {(int32_t)right_of(r, i), (int32_t)p->classes}, self = 0;
    float moved[2], square;
    clsp_terms_values(moved, term, 1, which, 2);
    clsp_dots(&square, term->y, term->y, e, &self, 1, e);
    float far = clsp_weighted_square(term->y, p->mean_vectors + t * e, term->weight, p->texts_size, e);
    return (move){.base = p->base + at * p->classes, .top = &p->top[at], .terms = term, .term_count = 1,
                  .moved = moved[0], .shift = moved[1], .radius = sqrtf(far) * p->texts.most,
                  .rounding = ROUND * (float)e * (sqrtf(square) + term->weight * p->mean_lengths[t]) * p->texts.norm};
}

/* vectors: [n, E] of term t. Images that their first classes do not decide are asked of one product. */
static clipspan_status rank_mlp(const rows *r, size_t t)
{
    pass *p = r->p;
    size_t e = p->embed_dim, c = p->classes, m = 0, which[ROWS];
    for (size_t i = 0; i < r->n; i++) {
        if (!is_scored(r, i)) continue;
        const clsp_term term = mlp_term(r, i, t, r->vectors + i * e);
        const move mv = mlp_move(r, i, t, &term);
        const clsp_rank_query query = query_of(r, i, &mv, p->study->limits.evaluated);
        size_t rank = clsp_rank_by_top(&query, mv.top);
        put(r, i, CLIPSPAN_ABLATED_MLP, t, rank, query.value);
        if (rank != CLSP_RANK_UNKNOWN) continue;
        gather(r->gathered, m, r->vectors + i * e, e);
        which[m++] = i;
    }
    clipspan_status status = m > 0 ? classify(r, r->gathered, m, r->product) : CLIPSPAN_OK;
    for (size_t j = 0; j < m && status == CLIPSPAN_OK; j++) {
        size_t i = which[j];
        const clsp_term term = mlp_term(r, i, t, r->vectors + i * e);
        move mv = mlp_move(r, i, t, &term);
        float *near = r->product + j * c;
        differ(near, term.mean, term.weight, c);
        add(near, mv.base, c);
        mv.shift = mv.radius = 0;
        const clsp_rank_query query = query_of(r, i, &mv, SIZE_MAX);
        put(r, i, CLIPSPAN_ABLATED_MLP, t, clsp_rank_by_all(&query, near), query.value);
    }
    return status;
}

static clipspan_status mlp_rows(const rows *r)
{
    pass *p = r->p;
    size_t c = p->classes, e = p->embed_dim;
    float *base = p->base + r->first * c, *with = p->with_mlps + r->first * c;
    memset(r->vector_sum, 0, r->n * e * sizeof *r->vector_sum);
    for (size_t t = 0; t <= p->layers; t++) {
        clipspan_status status = clsp_batch_mlp_range(r->batch, p->maps.convention, (int)t, r->first, r->n, r->vectors, e,
                                                      NULL);
        weigh(r, r->vectors);
        add(r->vector_sum, r->vectors, r->n * e);
        if (status == CLIPSPAN_OK) status = rank_mlp(r, t);
        if (status != CLIPSPAN_OK) return status;
    }
    clipspan_status status = classify(r, r->vector_sum, r->n, with);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        differ(with + i * c, p->mean_all_mlps, weight_of(r, i), c);
        add(with + i * c, base + i * c, c);
        judge(r, i, CLIPSPAN_ABLATED_MLPS, 0, with + i * c);
        clsp_top_fill(&p->top_mlps[r->first + i], with + i * c, c);
    }
    return status;
}

static clipspan_status cls_rows(const rows *r)
{
    pass *p = r->p;
    size_t c = p->classes, e = p->embed_dim;
    memset(r->vector_sum, 0, r->n * e * sizeof *r->vector_sum);
    for (size_t l = 0; l < p->layers; l++) {
        clipspan_status status = clsp_batch_cls_range(r->batch, p->maps.convention, (int)l, r->first, r->n, r->vectors, e,
                                                      NULL);
        if (status != CLIPSPAN_OK) return status;
        add(r->vector_sum, r->vectors, r->n * e);
    }
    weigh(r, r->vector_sum);
    clipspan_status status = classify(r, r->vector_sum, r->n, r->product);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        float *x = r->product + i * c, *sum = r->one;
        differ(x, p->mean_cls, weight_of(r, i), c);
        memcpy(sum, p->base + (r->first + i) * c, c * sizeof *sum);
        add(sum, x, c);
        judge(r, i, CLIPSPAN_ABLATED_CLS, 0, sum);
        if (!p->mlps) continue;
        add(x, p->with_mlps + (r->first + i) * c, c);
        judge(r, i, CLIPSPAN_ABLATED_MLPS_CLS, 0, x);
    }
    return status;
}

/* ---- a layer ------------------------------------------------------------------------------------------------------ */

static void keep_first(kept *k, const clsp_top *top)
{
    for (size_t j = 0, taken = 0; j < top->count && taken < FIRST; j++) {
        bool there = false;
        for (size_t a = 0; a < k->count; a++) there |= k->which[a] == top->which[j];
        if (there) continue;
        k->which[k->count++] = top->which[j];
        taken++;
    }
}

static void keep(const rows *r)
{
    pass *p = r->p;
    for (size_t i = 0; i < r->n; i++) {
        kept *k = &p->kept[r->first + i];
        if (!is_scored(r, i)) continue;
        *k = (kept){.count = 2, .which = {(int32_t)right_of(r, i), (int32_t)p->classes}};
        keep_first(k, &p->top[r->first + i]);
        if (p->mlps) keep_first(k, &p->top_mlps[r->first + i]);
    }
}

static clsp_term layer_term(const rows *r, size_t i, size_t layer)
{
    const clsp_ablation_maps *m = &r->p->maps;
    const float *y = factors_of(r, i, layer), *of = clsp_ablation_maps_rows(m, layer);
    size_t own = m->heads * m->head_dim;
    return (clsp_term){.mean = m->mean_layers + layer * (m->classes + 1), .weight = weight_of(r, i), .y = y, .rows = of,
                       .n = own, .segment = m->head_dim, .y_shared = y + own, .shared = of + own,
                       .n_shared = m->width - own, .share = 1, .stride = m->width};
}

static clsp_term head_term(const rows *r, size_t layer, size_t head, const clsp_term *whole)
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

/* What every image of the layer has before its heads come. */
static void begin_layer(const rows *r, size_t i, size_t layer)
{
    const pass *p = r->p;
    const clsp_ablation_maps *m = &p->maps;
    kept *k = &p->kept[r->first + i];
    layer_state *state = state_of(r, i, layer);
    const clsp_term whole = layer_term(r, i, layer);
    const int32_t self = 0;
    size_t at = layer * p->width + whole.n;
    float square;
    memset(k->layer, 0, sizeof k->layer);
    memset(k->common, 0, sizeof k->common);
    if (whole.n_shared > 0) clsp_dots(k->common, whole.y_shared, whole.shared, whole.stride, k->which, k->count, whole.n_shared);
    clsp_dots(&square, whole.y, whole.y, p->width, &self, 1, p->width);
    state->common = clsp_weighted_square(whole.y_shared, m->centre + at, whole.weight, m->size + at, whole.n_shared);
    state->square = state->common;
    state->length = sqrtf(square) + whole.weight * p->centre_lengths[layer];
}

static void rank_head(const rows *r, size_t i, size_t layer, size_t head)
{
    const pass *p = r->p;
    const clsp_ablation_maps *m = &p->maps;
    const clsp_bound *bound = &m->head[layer * p->heads + head], *common = &m->common[layer];
    size_t at = r->first + i, number = layer * p->heads + head, column = layer * p->width + head * m->head_dim;
    layer_state *state = state_of(r, i, layer);
    kept *k = &p->kept[at];
    const clsp_term whole = layer_term(r, i, layer), term = head_term(r, layer, head, &whole);
    float values[KEPT];
    clsp_dots(values, term.y, term.rows, term.stride, k->which, k->count, term.n);
    for (size_t j = 0; j < k->count; j++) {
        k->layer[j] += values[j];
        values[j] = term.weight * term.mean[k->which[j]] - (values[j] + term.share * k->common[j]);
    }
    float far = clsp_weighted_square(term.y, m->centre + column, term.weight, m->size + column, term.n);
    state->square += far;
    const move mv = {.base = p->base + at * p->classes, .top = &p->top[at], .terms = &term, .term_count = 1,
                     .moved = values[0], .shift = values[1],
                     .radius = sqrtf(far) * bound->most + sqrtf(state->common) * common->most * term.share +
                               term.weight * bound->left,
                     .rounding = ROUND * (float)(term.n + term.n_shared) * state->length * (bound->norm + common->norm)};
    clsp_rank_query query = query_of(r, i, &mv, SIZE_MAX);
    query.known = k->which;
    query.known_values = values;
    query.known_count = k->count;
    size_t rank = clsp_rank_by_top(&query, mv.top);
    if (rank == CLSP_RANK_UNKNOWN) rank = clsp_rank_by_all(&query, mv.base);
    put(r, i, CLIPSPAN_ABLATED_HEAD, number, rank, query.value);
}

/* What the heads say of the layer. */
static void end_layer(const rows *r, size_t i, size_t layer)
{
    const pass *p = r->p;
    const clsp_ablation_maps *m = &p->maps;
    kept *k = &p->kept[r->first + i];
    layer_state *state = state_of(r, i, layer);
    const float *mean = m->mean_layers + layer * (m->classes + 1);
    for (size_t j = 0; j < k->count; j++) {
        k->layer[j] = weight_of(r, i) * mean[k->which[j]] - (k->layer[j] + k->common[j]);
        k->up_to[j] += k->layer[j];
    }
    state->right = k->layer[0];
    state->shift = k->layer[1];
    state->rounding = ROUND * (float)p->width * state->length * m->layer[layer].norm;
}

/* Layers [first, end) of image i together, on base or on with_mlps. terms: filled in for layers 0 .. end - 1, where the
 * caller has not. */
static move layers_move(const rows *r, size_t i, size_t first, size_t end, bool mlps)
{
    const pass *p = r->p;
    size_t at = r->first + i;
    move mv = {.base = (mlps ? p->with_mlps : p->base) + at * p->classes, .top = (mlps ? p->top_mlps : p->top) + at,
               .terms = r->terms + first, .term_count = end - first};
    float square = 0;
    for (size_t l = first; l < end; l++) {
        const layer_state *state = state_of(r, i, l);
        r->terms[l] = layer_term(r, i, l);
        mv.moved += state->right;
        mv.shift += state->shift;
        mv.rounding += state->rounding;
        square += state->square;
    }
    const clsp_bound *bound = end - first == 1 ? &p->maps.layer[first] : &p->maps.up_to[end - 1];
    mv.radius = sqrtf(square) * bound->most + weight_of(r, i) * bound->left;
    return mv;
}

static bool rank_layers(const rows *r, size_t i, size_t first, size_t end, clipspan_ablated what)
{
    const move mv = layers_move(r, i, first, end, what == CLIPSPAN_ABLATED_UP_TO_MLPS);
    const kept *k = &r->p->kept[r->first + i];
    bool alone = what == CLIPSPAN_ABLATED_LAYER;
    clsp_rank_query query = query_of(r, i, &mv, alone ? r->p->study->limits.evaluated : 1);
    query.known = k->which;
    query.known_values = alone ? k->layer : k->up_to;
    query.known_count = k->count;
    size_t rank = clsp_rank_by_top(&query, mv.top);
    put(r, i, what, end - 1, rank, query.value);
    return rank != CLSP_RANK_UNKNOWN;
}

/* All terms of the paper's convention at zero leave a vector of zeros, and not what rounding leaves of it. */
static bool is_nothing(const pass *p, size_t layer)
{
    return p->study->info.zero && p->maps.convention == CLIPSPAN_PAPER && layer + 1 == p->layers;
}

static void rank_layer(const rows *r, size_t i, size_t layer)
{
    pass *p = r->p;
    layer_state *state = state_of(r, i, layer);
    size_t at = r->first + i;
    state->ask = 0;
    if (!rank_layers(r, i, layer, layer + 1, CLIPSPAN_ABLATED_LAYER)) state->ask |= ASK_LAYER;
    if (p->whole[at] || !rank_layers(r, i, 0, layer + 1, CLIPSPAN_ABLATED_UP_TO))
        state->ask |= ASK_UP_TO;
    if (p->mlps && is_nothing(p, layer))
        put(r, i, CLIPSPAN_ABLATED_UP_TO_MLPS, layer, clsp_min(right_of(r, i), CLSP_RANK_MOST), 0);
    else if (p->mlps && (p->whole[at] || !rank_layers(r, i, 0, layer + 1, CLIPSPAN_ABLATED_UP_TO_MLPS)))
        state->ask |= ASK_UP_TO_MLPS;
    p->whole[at] |= (state->ask & (ASK_UP_TO | ASK_UP_TO_MLPS)) != 0;
}

/* ---- what only products tell -------------------------------------------------------------------------------------- */

/* The layers up to `layer`, whose products are all in `known`. */
static void rank_up_to(const rows *r, size_t i, size_t layer, clipspan_ablated what, unsigned char flag)
{
    const pass *p = r->p;
    size_t at = r->first + i, c = p->classes;
    bool mlps = what == CLIPSPAN_ABLATED_UP_TO_MLPS;
    if (!(state_of(r, i, layer)->ask & flag)) return;
    memcpy(r->one, (mlps ? p->with_mlps : p->base) + at * c, c * sizeof *r->one);
    add(r->one, p->known + at * c, c);
    if (!p->maps.all) {
        judge(r, i, what, layer, r->one);
        return;
    }
    move mv = layers_move(r, i, 0, layer + 1, mlps);
    mv.shift = mv.radius = 0;
    const clsp_rank_query query = query_of(r, i, &mv, SIZE_MAX);
    put(r, i, what, layer, clsp_rank_by_all(&query, r->one), query.value);
}

/* x: [C], what replacing the layer adds. */
static void settle_row(const rows *r, size_t i, size_t layer, float *x)
{
    pass *p = r->p;
    size_t at = r->first + i, c = p->classes;
    layer_state *state = state_of(r, i, layer);
    differ(x, p->maps.mean_layers + layer * (c + 1), weight_of(r, i), c);
    if (state->ask & ASK_LAYER) {
        move mv = layers_move(r, i, layer, layer + 1, false);
        mv.shift = mv.radius = 0;
        memcpy(r->one, mv.base, c * sizeof *r->one);
        add(r->one, x, c);
        const clsp_rank_query query = query_of(r, i, &mv, SIZE_MAX);
        put(r, i, CLIPSPAN_ABLATED_LAYER, layer, clsp_rank_by_all(&query, r->one), query.value);
    }
    if (!p->whole[at]) return;
    add(p->known + at * c, x, c);
    rank_up_to(r, i, layer, CLIPSPAN_ABLATED_UP_TO, ASK_UP_TO);
    rank_up_to(r, i, layer, CLIPSPAN_ABLATED_UP_TO_MLPS, ASK_UP_TO_MLPS);
}

static clipspan_status settle_layer(const rows *r, size_t layer)
{
    pass *p = r->p;
    size_t m = 0, which[ROWS], w = p->width, c = p->classes;
    for (size_t i = 0; i < r->n; i++) {
        if (!is_scored(r, i)) continue;
        if (!(state_of(r, i, layer)->ask & ASK_LAYER) && !p->whole[r->first + i]) continue;
        gather(r->gathered, m, factors_of(r, i, layer), w);
        which[m++] = i;
    }
    if (m == 0) return CLIPSPAN_OK;
    clipspan_status status = clsp_sgemm(r->product, c, r->gathered, w, false, clsp_ablation_maps_rows(&p->maps, layer), w,
                                        true, m, c, w, 1.0F, 0.0F, NULL);
    for (size_t j = 0; j < m && status == CLIPSPAN_OK; j++) settle_row(r, which[j], layer, r->product + j * c);
    return status;
}

/* ---- the named set ------------------------------------------------------------------------------------------------ */

/* One product of the layer's named heads; the rest of a row is zero. */
static clipspan_status set_layer(const rows *r, size_t layer)
{
    pass *p = r->p;
    const clsp_ablation_maps *m = &p->maps;
    size_t named = 0, w = p->width, c = p->classes, d = m->head_dim;
    const unsigned char *heads = p->study->heads + layer * p->heads;
    for (size_t h = 0; h < p->heads; h++) named += heads[h];
    if (named == 0) return CLIPSPAN_OK;
    for (size_t i = 0; i < r->n; i++) {
        float *row = r->gathered + i * w;
        gather(r->gathered, i, factors_of(r, i, layer), w);
        for (size_t h = 0; h < p->heads; h++)
            if (!heads[h]) memset(row + h * d, 0, d * sizeof *row);
        for (size_t j = p->heads * d; j < w; j++) row[j] *= (float)named / (float)p->heads;
    }
    clipspan_status status = clsp_sgemm(r->product, c, r->gathered, w, false, clsp_ablation_maps_rows(m, layer), w, true, r->n,
                                        c, w, 1.0F, 0.0F, NULL);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        differ(r->product + i * c, p->mean_set + layer * (c + 1), weight_of(r, i), c);
        add(p->set + (r->first + i) * c, r->product + i * c, c);
    }
    return status;
}

/* ---- a batch ------------------------------------------------------------------------------------------------ */

static clipspan_status before_layers(const rows *r)
{
    const pass *p = r->p;
    clipspan_status status = begin(r);
    if (status == CLIPSPAN_OK && p->mlps) status = mlp_rows(r);
    if (status == CLIPSPAN_OK && p->cls) status = cls_rows(r);
    if (status == CLIPSPAN_OK) keep(r);
    return status;
}

static clipspan_status one_layer(const rows *r, size_t layer)
{
    for (size_t h = 0; h < r->p->heads; h++)
        for (size_t i = 0; i < r->n; i++) {
            if (!is_scored(r, i)) continue;
            if (h == 0) begin_layer(r, i, layer);
            rank_head(r, i, layer, h);
            if (h + 1 < r->p->heads) continue;
            end_layer(r, i, layer);
            rank_layer(r, i, layer);
        }
    clipspan_status status = r->p->set != NULL ? set_layer(r, layer) : CLIPSPAN_OK;
    if (status == CLIPSPAN_OK && !r->p->maps.all) status = settle_layer(r, layer);
    return status;
}

static clipspan_status behind_layers(const rows *r)
{
    pass *p = r->p;
    size_t c = p->classes;
    for (size_t i = 0; p->set != NULL && i < r->n; i++) {
        float *set = p->set + (r->first + i) * c;
        add(set, p->base + (r->first + i) * c, c);
        judge(r, i, CLIPSPAN_ABLATED_SET, 0, set);
    }
    clipspan_status status = CLIPSPAN_OK;
    for (size_t l = 0; p->maps.all && l < p->layers && status == CLIPSPAN_OK; l++) status = settle_layer(r, l);
    return status;
}

/* layer SIZE_MAX: what comes before the layers; `layers`: what comes behind. */
static clipspan_status all_rows(pass *p, const clipspan_batch *batch, size_t layer, clipspan_error *err)
{
    clipspan_status worst = CLIPSPAN_OK;
    size_t c = p->classes, e = p->embed_dim, step = p->rows;
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t first = 0; first < batch->images; first += step) {
        size_t thread = (size_t)omp_get_thread_num();
        float *scratch = p->scratch + thread * p->room;
        const rows r = {.p = p, .batch = batch, .first = first, .n = clsp_min(step, batch->images - first),
                        .product = scratch, .one = scratch + step * c, .vectors = scratch + (step + 1) * c,
                        .vector_sum = scratch + (step + 1) * c + step * e,
                        .gathered = scratch + (step + 1) * c + 2 * step * e, .terms = p->terms + thread * p->layers};
        clipspan_status one = layer == SIZE_MAX    ? before_layers(&r)
                              : layer < p->layers ? one_layer(&r, layer)
                                                  : behind_layers(&r);
#pragma omp critical(clsp_ablation_rows)
        if (one != CLIPSPAN_OK) worst = one;
    }
    return worst ? clsp_fail(err, worst, "the images' logits could not be made") : CLIPSPAN_OK;
}

/* The factors of a layer's heads side by side, and those that they share. */
static void make_factors(pass *p, const clipspan_batch *batch, size_t layer)
{
    size_t d = p->maps.head_dim, w = p->width, n = batch->images, at = p->heads * d;
    float *y = p->y + (p->maps.all ? layer * p->batch : 0) * w;
    const float *z = batch->z + layer * p->heads * n * d;
    bool paper = p->maps.convention == CLIPSPAN_PAPER;
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (size_t i = 0; i < n; i++) {
        double sigma = (double)batch->sigma[i], scale = 1.0 / (sigma * (double)batch->norm[i]);
        for (size_t h = 0; h < p->heads; h++)
            for (size_t c = 0; c < d; c++) y[i * w + h * d + c] = (float)((double)z[(h * n + i) * d + c] * scale);
        memset(y + i * w + at, 0, (w - at) * sizeof *y);
        if (!paper) continue;
        y[i * w + at] = (float)scale;
        y[i * w + at + 1] = (float)((double)batch->mu[i] * scale);
        y[i * w + at + 2] = (float)(sigma * scale);
    }
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    pass *p = user;
    clipspan_status status = CLIPSPAN_OK;
    if (batch->images > p->batch)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "a batch of %zu images where %zu were asked for", batch->images,
                         p->batch);
    CLSP_TRY(all_rows(p, batch, SIZE_MAX, err));
    for (size_t l = 0; l < p->layers; l++) {
        make_factors(p, batch, l);
        if (!p->maps.all) CLSP_TRY(clsp_ablation_maps_layer(&p->maps, l, err));
        CLSP_TRY(all_rows(p, batch, l, err));
    }
    CLSP_TRY(all_rows(p, batch, p->layers, err));
out:
    return status;
}

/* ---- the pass ----------------------------------------------------------------------------------------------- */

/* out: [E] = sum of vectors [count, E]. */
static void sum_of(float *out, const float *vectors, size_t count, size_t e)
{
    for (size_t d = 0; d < e; d++) {
        double value = 0;
        for (size_t t = 0; t < count; t++) value += (double)vectors[t * e + d];
        out[d] = (float)value;
    }
}

static float length_of(const float *x, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    return (float)sqrt(square);
}

static clipspan_status mlps_open(pass *p, const clipspan_means *means, float *sum, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = p->embed_dim, terms = p->layers + 1;
    const float *vectors = means ? means->mlps : NULL;
    CLSP_ALLOC(p->mean_vectors, clsp_alloc_zero(terms * e, sizeof *p->mean_vectors));
    CLSP_ALLOC(p->mean_lengths, clsp_alloc_zero(terms, sizeof *p->mean_lengths));
    CLSP_ALLOC(p->texts_size, clsp_alloc_zero(e, sizeof *p->texts_size));
    p->texts = clsp_ablation_maps_texts_bound(&p->maps, p->texts_size);
    if (vectors != NULL) memcpy(p->mean_vectors, vectors, terms * e * sizeof *vectors);
    for (size_t t = 0; t < terms; t++) p->mean_lengths[t] = length_of(p->mean_vectors + t * e, e);
    sum_of(sum, p->mean_vectors, terms, e);
    CLSP_TRY(clsp_ablation_maps_cosines(&p->maps, &p->mean_mlps, vectors, terms, err));
    CLSP_TRY(clsp_ablation_maps_cosines(&p->maps, &p->mean_all_mlps, vectors ? sum : NULL, 1, err));
out:
    return status;
}

/* [L, C + 1]: of the named heads of each layer, added up. */
static clipspan_status set_open(pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t c = p->classes + 1;
    CLSP_ALLOC(p->mean_set, clsp_alloc_zero(p->layers * c, sizeof *p->mean_set));
    for (size_t h = 0; h < p->layers * p->heads; h++)
        if (p->study->heads[h]) add(p->mean_set + h / p->heads * c, p->maps.mean_heads + h * c, c);
out:
    return status;
}

static clipspan_status means_open(pass *p, const clipspan_means *means, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    float *sum = NULL;
    CLSP_ALLOC(sum, clsp_alloc_zero(p->embed_dim, sizeof *sum));
    CLSP_ALLOC(p->centre_lengths, clsp_alloc(p->layers, sizeof *p->centre_lengths));
    for (size_t l = 0; l < p->layers; l++)
        p->centre_lengths[l] = length_of(p->maps.centre + l * p->width, p->width);
    if (p->mlps) CLSP_TRY(mlps_open(p, means, sum, err));
    if (p->cls) {
        if (means != NULL) sum_of(sum, means->cls, p->layers, p->embed_dim);
        CLSP_TRY(clsp_ablation_maps_cosines(&p->maps, &p->mean_cls, means ? sum : NULL, 1, err));
    }
    if (p->study->info.named > 0) CLSP_TRY(set_open(p, err));
out:
    clsp_free(sum);
    return status;
}

static clipspan_status buffers_open(pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t c = p->classes, state, images = (size_t)p->study->info.images;
    size_t most = clsp_max(STATE_MOST / (4 * sizeof(float) * c), ROWS / 8);
    p->batch = clsp_min(clsp_min(most, BATCH), images);
    p->rows = clsp_min(clsp_max((p->batch + (size_t)p->threads - 1) / (size_t)p->threads, 1), ROWS);
    p->room = (p->rows + 1) * c + 2 * p->rows * p->embed_dim + p->rows * clsp_max(p->width, p->embed_dim);
    if (!clsp_mul(&state, p->batch, c)) return clsp_fail_memory(err);
    CLSP_ALLOC(p->base, clsp_alloc_aligned(state, sizeof *p->base));
    CLSP_ALLOC(p->known, clsp_alloc_aligned(state, sizeof *p->known));
    CLSP_ALLOC(p->top, clsp_alloc(p->batch, sizeof *p->top));
    if (p->mlps) {
        CLSP_ALLOC(p->with_mlps, clsp_alloc_aligned(state, sizeof *p->with_mlps));
        CLSP_ALLOC(p->top_mlps, clsp_alloc(p->batch, sizeof *p->top_mlps));
    }
    if (p->study->info.named > 0) CLSP_ALLOC(p->set, clsp_alloc_aligned(state, sizeof *p->set));
    CLSP_ALLOC(p->kept, clsp_alloc(p->batch, sizeof *p->kept));
    CLSP_ALLOC(p->state, clsp_alloc(p->batch * p->layers, sizeof *p->state));
    CLSP_ALLOC(p->whole, clsp_alloc(p->batch, 1));
    CLSP_ALLOC(p->y, clsp_alloc_aligned((p->maps.all ? p->layers : 1) * p->batch * p->width, sizeof *p->y));
    CLSP_ALLOC(p->scratch, clsp_alloc_aligned((size_t)p->threads * p->room, sizeof *p->scratch));
    CLSP_ALLOC(p->terms, clsp_alloc((size_t)p->threads * p->layers, sizeof *p->terms));
out:
    return status;
}

static void pass_close(pass *p)
{
    void *const blocks[] = {p->mean_mlps, p->mean_all_mlps, p->mean_cls, p->mean_set, p->mean_vectors, p->mean_lengths,
                            p->centre_lengths, p->texts_size, p->y, p->base, p->with_mlps, p->known, p->set, p->top,
                            p->top_mlps, p->kept, p->state, p->whole, p->scratch, p->terms};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
    clsp_ablation_maps_close(&p->maps);
}

/* A number that is not finite loses every comparison, and would count as right. */
static clipspan_status check_finite(const clipspan_ablation_study *study, const clsp_outcomes *o, clipspan_error *err)
{
    for (size_t i = 0; i < study->info.images; i++) {
        if (study->place[i] == SIZE_MAX) continue;
        for (size_t a = 0; a < o->count; a++)
            if (!isfinite(o->logit[study->place[i] * o->count + a]))
                return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "row %zu of the store: a logit of it is not finite", i);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_ablation_pass(clipspan_ablation_study *study, clsp_outcomes *outcomes, const clipspan_store *store,
                                   const clipspan_means *means, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    pass p = {.study = study, .outcomes = outcomes, .layers = (size_t)basis->layers, .heads = (size_t)basis->heads,
              .classes = study->info.classes, .embed_dim = study->embed_dim, .threads = study->threads,
              .mlps = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_MLPS) > 0,
              .cls = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_CLS) > 0};
    const unsigned parts = (p.mlps ? CLIPSPAN_PART_MLP : 0) | (p.cls ? CLIPSPAN_PART_CLS : 0);
    CLSP_TRY(clsp_ablation_maps_open(&p.maps, basis, study->info.convention, study->classifier, p.classes, means,
                                     study->limits.maps, p.threads, err));
    p.width = p.maps.width;
    CLSP_TRY(means_open(&p, means, err));
    CLSP_TRY(buffers_open(&p, err));
    const clipspan_store_selection select = {.parts = parts, .batch = p.batch};
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &p, hooks, err));
    CLSP_TRY(check_finite(study, outcomes, err));
out:
    pass_close(&p);
    return status;
}
