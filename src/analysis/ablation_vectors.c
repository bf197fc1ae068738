/* Ablations of what is a vector of the joint space: nothing, x0 and each MLP, all of them, the class token's attention to
 * itself. */
#include <math.h>

#include "analysis/ablation_pass.h"
#include "decompose/decompose.h"

CLSP_CLONES static void add(float *restrict sum, const float *restrict x, size_t n)
{
    for (size_t c = 0; c < n; c++) sum[c] += x[c];
}

CLSP_CLONES static void differ(float *restrict x, const float *restrict mean, float weight, size_t n)
{
    for (size_t c = 0; c < n; c++) x[c] = weight * mean[c] - x[c];
}

/* Clones that are not static would be seen outside the library, whatever its visibility. */
void clsp_pass_add(float *restrict sum, const float *restrict x, size_t n)
{
    add(sum, x, n);
}

void clsp_pass_differ(float *restrict x, const float *restrict mean, float weight, size_t n)
{
    differ(x, mean, weight, n);
}

/* product: [n, C] = vectors [n, E] T' */
static clipspan_status classify(const clsp_pass_rows *r, const float *vectors, size_t n, float *product)
{
    return clsp_linear_run(r->s->classify, product, r->p->classes, vectors, r->p->embed_dim, n, NULL);
}

/* Vectors of the exact convention to the scale of cosines. */
static void weigh(const clsp_pass_rows *r, float *vectors)
{
    size_t e = r->p->embed_dim;
    if (r->p->maps.convention == CLIPSPAN_PAPER) return;
    for (size_t i = 0; i < r->n; i++)
        for (size_t d = 0; d < e; d++) vectors[i * e + d] *= clsp_pass_weight(r, i);
}

static void find_top(const clsp_pass_rows *r, size_t i, const float *cosines, clsp_top *top, clsp_standing *standing)
{
    size_t right = clsp_pass_right(r, i);
    clsp_top_fill(top, cosines, r->p->classes);
    *standing = clsp_standing_of(top, right, cosines[right]);
}

static clipspan_status begin(const clsp_pass_rows *r)
{
    clsp_pass *p = r->p;
    size_t e = p->embed_dim, c = p->classes;
    float *base = p->base + r->first * c, *vectors = r->s->vectors;
    for (size_t i = 0; i < r->n; i++)
        for (size_t d = 0; d < e; d++)
            vectors[i * e + d] = r->batch->embedding[(r->from + i) * e + d] / r->batch->norm[r->from + i];
    clipspan_status status = classify(r, vectors, r->n, base);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        clsp_pass_judge(r, i, CLIPSPAN_ABLATED_NOTHING, 0, base + i * c);
        if (clsp_pass_scored(r, i)) find_top(r, i, base + i * c, &p->top[r->first + i], &p->standing[r->first + i]);
        p->whole[r->first + i] = !p->maps.all;
        p->up_to[r->first + i] = (clsp_change){0};
    }
    memset(p->known + r->first * c, 0, r->n * c * sizeof(float));
    if (p->set != NULL) memset(p->set + r->first * c, 0, r->n * c * sizeof(float));
    return status;
}

/* ---- x0 and the MLPs -------------------------------------------------------------------------------------------- */

static clsp_term mlp_term(const clsp_pass_rows *r, size_t i, size_t t, const float *vector)
{
    const clsp_pass *p = r->p;
    return (clsp_term){.mean = p->mean_mlps + t * (p->classes + 1), .weight = clsp_pass_weight(r, i), .y = vector,
                       .rows = p->maps.texts, .n = p->embed_dim, .segment = p->embed_dim, .stride = p->embed_dim};
}

static clsp_change mlp_change(const clsp_pass_rows *r, size_t i, size_t t, const clsp_term *term)
{
    const clsp_pass *p = r->p;
    size_t e = p->embed_dim;
    const int32_t which[] = {(int32_t)clsp_pass_right(r, i), (int32_t)p->classes};
    float moved[2], square, far;
    clsp_terms_values(moved, term, 1, which, 2);
    clsp_products(&square, term->y, term->y, 1, e);
    clsp_weighted_squares(&far, term->y, p->mean_vectors + t * e, term->weight, p->maps.texts_size, 1, e);
    return (clsp_change){.right = moved[0], .shift = moved[1], .radius = sqrtf(far) * p->texts.most,
                         .rounding = CLSP_ROUND * (float)e * (sqrtf(square) + term->weight * p->mean_lengths[t]) * p->texts.norm};
}

/* The vector as row `to` of one product; returns how far that may be off. */
static float round_mlp(const clsp_pass_rows *r, size_t to, size_t i, size_t t, const float *vector)
{
    const clsp_pass *p = r->p;
    size_t e = p->embed_dim;
    clsp_pass_centre(r->s->one, vector, p->mean_vectors + t * e, clsp_pass_weight(r, i), p->maps.texts_size, e);
    return clsp_pass_round(r, to, &p->maps.texts_product, r->s->one, e, 1);
}

/* near: [C], what the product says that is added, but for the shift, to within the radius. */
static void rank_mlp_by_product(const clsp_pass_rows *r, size_t i, size_t t, const float *vector, float *near, float radius)
{
    const clsp_term term = mlp_term(r, i, t, vector);
    const float *base = clsp_pass_base(r, i, false);
    clsp_change change = mlp_change(r, i, t, &term);
    change.radius = radius;
    clsp_pass_add(near, base, r->p->classes);
    const clsp_rank_query query = clsp_pass_query(r, i, base, &r->p->top[r->first + i], &change, &term, 1);
    clsp_pass_put(r, i, CLIPSPAN_ABLATED_MLP, t, clsp_rank_by_all(&query, near, r->s->classes), query.value);
}

/* r->s->vectors: [n, E] of term t. Images that their first classes do not decide are asked of one product. */
static void rank_mlp(const clsp_pass_rows *r, size_t t)
{
    clsp_pass *p = r->p;
    size_t e = p->embed_dim, m = 0, which[CLSP_PASS_ROWS];
    float radius[CLSP_PASS_ROWS], *near[CLSP_PASS_ROWS] = {NULL};
    for (size_t i = 0; i < r->n; i++) {
        if (!clsp_pass_scored(r, i)) continue;
        const float *vector = r->s->vectors + i * e;
        const clsp_top *top = &p->top[r->first + i];
        const clsp_term term = mlp_term(r, i, t, vector);
        const clsp_change change = mlp_change(r, i, t, &term);
        const clsp_rank_query query = clsp_pass_query(r, i, clsp_pass_base(r, i, false), top, &change, &term, 1);
        size_t rank = clsp_rank_by_standing(&query, &p->standing[r->first + i]);
        if (rank == CLSP_RANK_UNKNOWN) rank = clsp_rank_by_top(&query, top, p->study->limits.evaluated);
        clsp_pass_put(r, i, CLIPSPAN_ABLATED_MLP, t, rank, query.value);
        if (rank != CLSP_RANK_UNKNOWN) continue;
        radius[m] = round_mlp(r, m, i, t, vector);
        near[m] = r->s->product + m * p->classes;
        which[m++] = i;
    }
    clsp_whole_run(near, false, &p->maps.texts_product.whole, r->s->rounded, r->s->rounded_rows, m);
    for (size_t j = 0; j < m; j++) rank_mlp_by_product(r, which[j], t, r->s->vectors + which[j] * e, near[j], radius[j]);
}

static clipspan_status mlp_rows(const clsp_pass_rows *r)
{
    clsp_pass *p = r->p;
    size_t c = p->classes, e = p->embed_dim;
    float *base = p->base + r->first * c, *with = p->with_mlps + r->first * c, *vectors = r->s->vectors;
    memset(r->s->vector_sum, 0, r->n * e * sizeof *vectors);
    for (size_t t = 0; t <= p->layers; t++) {
        clipspan_status status = clsp_batch_mlp_range(r->batch, p->maps.convention, (int)t, r->from, r->n, vectors, e, NULL);
        if (status != CLIPSPAN_OK) return status;
        weigh(r, vectors);
        clsp_pass_add(r->s->vector_sum, vectors, r->n * e);
        rank_mlp(r, t);
    }
    clipspan_status status = classify(r, r->s->vector_sum, r->n, with);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        clsp_pass_differ(with + i * c, p->mean_all_mlps, clsp_pass_weight(r, i), c);
        clsp_pass_add(with + i * c, base + i * c, c);
        clsp_pass_judge(r, i, CLIPSPAN_ABLATED_MLPS, 0, with + i * c);
        if (clsp_pass_scored(r, i)) find_top(r, i, with + i * c, &p->top_mlps[r->first + i], &p->standing_mlps[r->first + i]);
    }
    return status;
}

/* ---- the class token ---------------------------------------------------------------------------------------------- */

static clipspan_status cls_rows(const clsp_pass_rows *r)
{
    clsp_pass *p = r->p;
    size_t c = p->classes, e = p->embed_dim;
    float *vectors = r->s->vectors, *vector_sum = r->s->vector_sum;
    memset(vector_sum, 0, r->n * e * sizeof *vector_sum);
    for (size_t l = 0; l < p->layers; l++) {
        clipspan_status status = clsp_batch_cls_range(r->batch, p->maps.convention, (int)l, r->from, r->n, vectors, e, NULL);
        if (status != CLIPSPAN_OK) return status;
        clsp_pass_add(vector_sum, vectors, r->n * e);
    }
    weigh(r, vector_sum);
    clipspan_status status = classify(r, vector_sum, r->n, r->s->product);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        float *x = r->s->product + i * c, *sum = r->s->one;
        clsp_pass_differ(x, p->mean_cls, clsp_pass_weight(r, i), c);
        memcpy(sum, clsp_pass_base(r, i, false), c * sizeof *sum);
        clsp_pass_add(sum, x, c);
        clsp_pass_judge(r, i, CLIPSPAN_ABLATED_CLS, 0, sum);
        if (!p->mlps) continue;
        clsp_pass_add(x, clsp_pass_base(r, i, true), c);
        clsp_pass_judge(r, i, CLIPSPAN_ABLATED_MLPS_CLS, 0, x);
    }
    return status;
}

clipspan_status clsp_pass_vectors(const clsp_pass_rows *r)
{
    clipspan_status status = begin(r);
    if (status == CLIPSPAN_OK && r->p->mlps) status = mlp_rows(r);
    if (status == CLIPSPAN_OK && r->p->cls) status = cls_rows(r);
    return status;
}
