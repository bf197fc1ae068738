/* One pass over a store that scores every image under every ablation, in logit space. With T the classifier, B = r T'/|r|
 * an image's cosines and c a term, the cosines without the term are B + (mean(c) - c) T', and a head's
 *
 *     c T' = y M T' = y U         U = M T', [k, C], the same for all images
 *
 * so the heads cost k C products an image, whatever E is. Differences add: a layer's is the sum over its heads, those of
 * layers 0 .. i the sum over layers. Threads take ROWS images at a time, whose cosines stay in the processor's cache while
 * head after head comes by. U is kept for all heads where it fits, and else made layer by layer for every batch.
 * In the exact convention terms are divided by |r| too, so that everything is a cosine. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/ablation_study.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { ROWS = 128, BATCH = 1024 };
static const size_t MAPS_MOST = (size_t)512 << 20, STATE_MOST = (size_t)128 << 20; /* bytes */

typedef struct pass {
    clipspan_ablation_study *study;
    clsp_outcomes *outcomes;
    const clipspan_basis *basis;
    clipspan_convention convention;
    size_t layers, heads, classes, embed_dim, width; /* width: k */
    bool mlps, cls;    /* the store has them */
    bool all_maps;     /* maps holds every head, and not one layer's */
    size_t batch;
    int threads;
    float *mean_heads; /* [L, H, C]: mean(c) T'; zeros where terms are replaced by zero */
    float *mean_mlps;  /* [L + 1, C] */
    float *mean_cls;   /* [C] sum over layers */
    float *maps;       /* [L or 1, H, k, C]: U */
    float *map;        /* [threads, k, E] */
    float *y;          /* [H, batch, k] */
    float *base, *with_mlps, *attention, *set; /* [batch, C]: B; B and the MLPs' difference; differences so far */
    float *scratch;    /* [threads, room] */
    size_t room;       /* ROWS (2 C + 2 E) */
} pass;

/* ---- what becomes of an image ------------------------------------------------------------------------------- */

/* How many of a + b exceed `right`, or reach it where ties count. */
CLSP_CLONES static size_t above(const float *a, const float *b, size_t n, float right, bool ties)
{
    uint32_t count = 0;
    if (ties)
        for (size_t c = 0; c < n; c++) count += a[c] + b[c] >= right;
    else
        for (size_t c = 0; c < n; c++) count += a[c] + b[c] > right;
    return count;
}

CLSP_CLONES static size_t above_alone(const float *a, size_t n, float right, bool ties)
{
    uint32_t count = 0;
    for (size_t c = 0; c < n; c++) count += ties ? a[c] >= right : a[c] > right;
    return count;
}

void clsp_ablation_judge(const clipspan_ablation_study *study, clsp_outcomes *outcomes, size_t image, size_t at,
                         const float *a, const float *b)
{
    size_t right = (size_t)study->labels[image], after = right + 1, rest = study->info.classes - after;
    float value = b ? a[right] + b[right] : a[right];
    /* The lower class comes first on a tie. */
    size_t rank = b ? above(a, b, right, value, true) + above(a + after, b + after, rest, value, false)
                    : above_alone(a, right, value, true) + above_alone(a + after, rest, value, false);
    size_t cell = study->place[image] * outcomes->count + at;
    outcomes->rank[cell] = (unsigned char)clsp_min(rank, CLSP_RANK_MOST);
    outcomes->logit[cell] = study->info.logit_scale * value;
}

/* x = weight * mean - x, and sum += x: what replacing the term changes. */
CLSP_CLONES static void differ(float *restrict x, const float *restrict mean, float weight, float *restrict sum, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        x[c] = weight * mean[c] - x[c];
        sum[c] += x[c];
    }
}

CLSP_CLONES static void add(float *restrict sum, const float *restrict x, size_t n)
{
    for (size_t c = 0; c < n; c++) sum[c] += x[c];
}

/* ---- rows [first, first + n) of a batch, one thread --------------------------------------------------------- */

typedef struct rows {
    pass *p;
    const clipspan_batch *batch;
    size_t first, n;
    float *product, *sum; /* [ROWS, C] */
    float *vectors, *vector_sum; /* [ROWS, E] */
} rows;

static size_t image_of(const rows *r, size_t i)
{
    return (size_t)r->batch->index[r->first + i];
}

/* What a mean is multiplied with to stand beside cosines. */
static float weight_of(const rows *r, size_t i)
{
    return r->p->convention == CLIPSPAN_PAPER ? 1.0F : 1.0F / r->batch->norm[r->first + i];
}

static void judge(const rows *r, size_t i, clipspan_ablated what, size_t index, const float *a, const float *b)
{
    const pass *p = r->p;
    if (p->study->labels[image_of(r, i)] < 0) return;
    clsp_ablation_judge(p->study, p->outcomes, image_of(r, i), p->study->first[what] + index, a, b);
}

/* product: [n, C] = vectors T' */
static clipspan_status classify(const rows *r, const float *vectors, float *product)
{
    size_t e = r->p->embed_dim, c = r->p->classes;
    return clsp_sgemm(product, c, vectors, e, false, r->p->study->classifier, e, true, r->n, c, e, 1.0F, 0.0F, NULL);
}

/* Vectors of the exact convention to the scale of cosines. */
static void weigh(const rows *r, float *vectors)
{
    size_t e = r->p->embed_dim;
    if (r->p->convention == CLIPSPAN_PAPER) return;
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
    clipspan_status status = classify(r, r->vectors, base);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++)
        judge(r, i, CLIPSPAN_ABLATED_NOTHING, 0, base + i * c, NULL);
    memset(p->attention + r->first * c, 0, r->n * c * sizeof(float));
    if (p->set != NULL) memset(p->set + r->first * c, 0, r->n * c * sizeof(float));
    return status;
}

static clipspan_status mlp_rows(const rows *r)
{
    pass *p = r->p;
    size_t c = p->classes;
    float *base = p->base + r->first * c, *with = p->with_mlps + r->first * c;
    memset(with, 0, r->n * c * sizeof *with);
    for (size_t t = 0; t <= p->layers; t++) {
        clipspan_status status = clsp_batch_mlp_range(r->batch, p->convention, (int)t, r->first, r->n, r->vectors,
                                                      p->embed_dim, NULL);
        weigh(r, r->vectors);
        if (status == CLIPSPAN_OK) status = classify(r, r->vectors, r->product);
        if (status != CLIPSPAN_OK) return status;
        for (size_t i = 0; i < r->n; i++) {
            float *x = r->product + i * c;
            differ(x, p->mean_mlps + t * c, weight_of(r, i), with + i * c, c);
            judge(r, i, CLIPSPAN_ABLATED_MLP, t, base + i * c, x);
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        judge(r, i, CLIPSPAN_ABLATED_MLPS, 0, base + i * c, with + i * c);
        add(with + i * c, base + i * c, c);
    }
    return CLIPSPAN_OK;
}

static clipspan_status cls_rows(const rows *r)
{
    pass *p = r->p;
    size_t c = p->classes, e = p->embed_dim;
    memset(r->vector_sum, 0, r->n * e * sizeof *r->vector_sum);
    memset(r->sum, 0, r->n * c * sizeof *r->sum);
    for (size_t l = 0; l < p->layers; l++) {
        clipspan_status status = clsp_batch_cls_range(r->batch, p->convention, (int)l, r->first, r->n, r->vectors, e, NULL);
        if (status != CLIPSPAN_OK) return status;
        add(r->vector_sum, r->vectors, r->n * e);
    }
    weigh(r, r->vector_sum);
    clipspan_status status = classify(r, r->vector_sum, r->product);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        float *x = r->product + i * c;
        differ(x, p->mean_cls, weight_of(r, i), r->sum + i * c, c);
        judge(r, i, CLIPSPAN_ABLATED_CLS, 0, p->base + (r->first + i) * c, x);
        if (p->mlps) judge(r, i, CLIPSPAN_ABLATED_MLPS_CLS, 0, p->with_mlps + (r->first + i) * c, x);
    }
    return status;
}

static clipspan_status head_rows(const rows *r, size_t layer, size_t head)
{
    pass *p = r->p;
    size_t c = p->classes, k = p->width, number = layer * p->heads + head;
    const float *u = p->maps + (p->all_maps ? number : head) * k * c;
    const float *y = p->y + (head * p->batch + r->first) * k;
    clipspan_status status =
        clsp_sgemm(r->product, c, y, k, false, u, c, false, r->n, c, k, 1.0F, 0.0F, NULL);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        float *x = r->product + i * c;
        differ(x, p->mean_heads + number * c, weight_of(r, i), r->sum + i * c, c);
        judge(r, i, CLIPSPAN_ABLATED_HEAD, number, p->base + (r->first + i) * c, x);
        if (p->set != NULL && p->study->heads[number]) add(p->set + (r->first + i) * c, x, c);
    }
    return status;
}

static clipspan_status layer_rows(const rows *r, size_t layer)
{
    pass *p = r->p;
    size_t c = p->classes;
    clipspan_status status = CLIPSPAN_OK;
    memset(r->sum, 0, r->n * c * sizeof *r->sum);
    for (size_t h = 0; h < p->heads && status == CLIPSPAN_OK; h++) status = head_rows(r, layer, h);
    for (size_t i = 0; i < r->n && status == CLIPSPAN_OK; i++) {
        const float *base = p->base + (r->first + i) * c;
        float *so_far = p->attention + (r->first + i) * c;
        judge(r, i, CLIPSPAN_ABLATED_LAYER, layer, base, r->sum + i * c);
        add(so_far, r->sum + i * c, c);
        judge(r, i, CLIPSPAN_ABLATED_UP_TO, layer, base, so_far);
        /* All terms of the paper's convention at zero leave a vector of zeros, and not what rounding leaves of it. */
        bool nothing = p->study->info.zero && p->convention == CLIPSPAN_PAPER && layer + 1 == p->layers;
        const float *with = nothing ? p->mean_heads : p->with_mlps + (r->first + i) * c;
        if (p->mlps) judge(r, i, CLIPSPAN_ABLATED_UP_TO_MLPS, layer, with, nothing ? NULL : so_far);
    }
    return status;
}

/* ---- a batch ------------------------------------------------------------------------------------------------ */

/* layer SIZE_MAX: what comes before the layers; `layers`: what comes behind. */
static clipspan_status some_rows(const rows *r, size_t layer)
{
    pass *p = r->p;
    if (layer < p->layers) return layer_rows(r, layer);
    if (layer == SIZE_MAX) {
        clipspan_status status = begin(r);
        if (status == CLIPSPAN_OK && p->mlps) status = mlp_rows(r);
        if (status == CLIPSPAN_OK && p->cls) status = cls_rows(r);
        return status;
    }
    for (size_t i = 0; p->set != NULL && i < r->n; i++)
        judge(r, i, CLIPSPAN_ABLATED_SET, 0, p->base + (r->first + i) * p->classes,
              p->set + (r->first + i) * p->classes);
    return CLIPSPAN_OK;
}

static clipspan_status all_rows(pass *p, const clipspan_batch *batch, size_t layer, clipspan_error *err)
{
    clipspan_status worst = CLIPSPAN_OK;
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t first = 0; first < batch->images; first += ROWS) {
        float *scratch = p->scratch + (size_t)omp_get_thread_num() * p->room;
        size_t cells = (size_t)ROWS * p->classes, vectors = (size_t)ROWS * p->embed_dim;
        const rows r = {.p = p, .batch = batch, .first = first, .n = clsp_min(ROWS, batch->images - first),
                        .product = scratch, .sum = scratch + cells, .vectors = scratch + 2 * cells,
                        .vector_sum = scratch + 2 * cells + vectors};
        clipspan_status one = some_rows(&r, layer);
#pragma omp critical(clsp_ablation_rows)
        if (one != CLIPSPAN_OK) worst = one;
    }
    return worst ? clsp_fail(err, worst, "the images' logits could not be made") : CLIPSPAN_OK;
}

/* U of every head of a layer. */
static clipspan_status make_maps(pass *p, size_t layer, float *maps, clipspan_error *err)
{
    size_t k = p->width, c = p->classes, e = p->embed_dim;
    clipspan_status worst = CLIPSPAN_OK;
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t h = 0; h < p->heads; h++) {
        float *map = p->map + (size_t)omp_get_thread_num() * k * e;
        clsp_head_map(p->basis, p->convention, (int)layer, (int)h, map);
        clipspan_status one = clsp_sgemm(maps + h * k * c, c, map, e, false, p->study->classifier, e, true, k, c, e, 1.0F,
                                         0.0F, NULL);
#pragma omp critical(clsp_ablation_maps)
        if (one != CLIPSPAN_OK) worst = one;
    }
    return worst ? clsp_fail(err, worst, "the heads' maps could not be made") : CLIPSPAN_OK;
}

static void make_factors(pass *p, const clipspan_batch *batch, size_t layer)
{
    size_t k = p->width;
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t h = 0; h < p->heads; h++) {
        float *y = p->y + h * p->batch * k;
        clsp_head_factors(batch, p->convention, (int)layer, (int)h, y);
        for (size_t i = 0; p->convention == CLIPSPAN_EXACT && i < batch->images; i++)
            for (size_t d = 0; d < k; d++) y[i * k + d] /= batch->norm[i];
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
        if (!p->all_maps) CLSP_TRY(make_maps(p, l, p->maps, err));
        CLSP_TRY(all_rows(p, batch, l, err));
    }
    CLSP_TRY(all_rows(p, batch, p->layers, err));
out:
    return status;
}

/* ---- the pass ----------------------------------------------------------------------------------------------- */

/* out: [count, C] = vectors [count, E] T'; vectors NULL: zeros. */
static clipspan_status mean_logits(const pass *p, float **out, const float *vectors, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = p->embed_dim, c = p->classes, cells;
    if (!clsp_mul(&cells, count, c)) return clsp_fail_memory(err);
    CLSP_ALLOC(*out, clsp_alloc_zero(cells, sizeof **out));
    if (vectors == NULL) goto out;
    CLSP_TRY(clsp_sgemm(*out, c, vectors, e, false, p->study->classifier, e, true, count, c, e, 1.0F, 0.0F, err));
out:
    return status;
}

static clipspan_status mean_of_cls(pass *p, const clipspan_means *means, clipspan_error *err)
{
    float *sum = NULL;
    size_t e = p->embed_dim;
    if (means != NULL) {
        sum = clsp_alloc(e, sizeof *sum);
        if (sum == NULL) return clsp_fail_memory(err);
        for (size_t d = 0; d < e; d++) {
            double value = 0;
            for (size_t l = 0; l < p->layers; l++) value += (double)means->cls[l * e + d];
            sum[d] = (float)value;
        }
    }
    clipspan_status status = mean_logits(p, &p->mean_cls, sum, 1, err);
    clsp_free(sum);
    return status;
}

static clipspan_status means_open(pass *p, const clipspan_means *means, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(mean_logits(p, &p->mean_heads, means ? means->heads : NULL, p->layers * p->heads, err));
    if (p->mlps) CLSP_TRY(mean_logits(p, &p->mean_mlps, means ? means->mlps : NULL, p->layers + 1, err));
    if (p->cls) CLSP_TRY(mean_of_cls(p, means, err));
out:
    return status;
}

static clipspan_status maps_open(pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t layer, all, bytes;
    if (!clsp_mul(&layer, p->heads * p->width, p->classes) || !clsp_mul(&all, layer, p->layers) ||
        !clsp_mul(&bytes, all, sizeof *p->maps))
        return clsp_fail_memory(err);
    p->all_maps = bytes <= MAPS_MOST;
    CLSP_ALLOC(p->map, clsp_alloc_aligned((size_t)p->threads * p->width * p->embed_dim, sizeof *p->map));
    CLSP_ALLOC(p->maps, clsp_alloc_aligned(p->all_maps ? all : layer, sizeof *p->maps));
    for (size_t l = 0; p->all_maps && l < p->layers; l++) CLSP_TRY(make_maps(p, l, p->maps + l * layer, err));
out:
    return status;
}

static clipspan_status buffers_open(pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t c = p->classes, state;
    size_t most = clsp_max(STATE_MOST / (4 * sizeof(float) * c), ROWS);
    p->batch = clsp_min(clsp_min(most, BATCH), (size_t)p->study->info.images);
    p->room = 2 * ROWS * (c + p->embed_dim);
    if (!clsp_mul(&state, p->batch, c)) return clsp_fail_memory(err);
    CLSP_ALLOC(p->base, clsp_alloc_aligned(state, sizeof *p->base));
    CLSP_ALLOC(p->attention, clsp_alloc_aligned(state, sizeof *p->attention));
    if (p->mlps) CLSP_ALLOC(p->with_mlps, clsp_alloc_aligned(state, sizeof *p->with_mlps));
    if (p->study->info.named > 0) CLSP_ALLOC(p->set, clsp_alloc_aligned(state, sizeof *p->set));
    CLSP_ALLOC(p->y, clsp_alloc_aligned(p->heads * p->batch * p->width, sizeof *p->y));
    CLSP_ALLOC(p->scratch, clsp_alloc_aligned((size_t)p->threads * p->room, sizeof *p->scratch));
out:
    return status;
}

static void pass_close(pass *p)
{
    float *const blocks[] = {p->mean_heads, p->mean_mlps, p->mean_cls, p->maps, p->map, p->y,
                             p->base, p->with_mlps, p->attention, p->set, p->scratch};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
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
    pass p = {.study = study, .outcomes = outcomes, .basis = basis, .convention = study->info.convention,
              .layers = (size_t)basis->layers, .heads = (size_t)basis->heads, .classes = study->info.classes,
              .embed_dim = study->embed_dim, .width = clsp_head_width(basis, study->info.convention),
              .mlps = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_MLPS) > 0,
              .cls = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_CLS) > 0, .threads = study->threads};
    const unsigned parts = (p.mlps ? CLIPSPAN_PART_MLP : 0) | (p.cls ? CLIPSPAN_PART_CLS : 0);
    CLSP_TRY(means_open(&p, means, err));
    CLSP_TRY(maps_open(&p, err));
    CLSP_TRY(buffers_open(&p, err));
    const clipspan_store_selection select = {.parts = parts, .batch = p.batch};
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &p, hooks, err));
    CLSP_TRY(check_finite(study, outcomes, err));
out:
    pass_close(&p);
    return status;
}
