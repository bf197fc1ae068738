/* One pass over a store: the logits of single heads, and of whatever else there is, for every image that is looked at.
 *
 * A head's term is y M, so its logits are y (M C') with C the classifier: k x C numbers a head, made once. In the paper's
 * protocol the last layers' heads stay and all other terms, the MLPs among them, become their means: what stays is summed,
 * and the rest is the whole less that. So no MLP term is read:
 *
 *     base = sum of the last layers' heads + constants + mean over images of (all - that sum - constants) */
#include <omp.h>
#include <string.h>

#include "analysis/worst_groups.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH_MOST = 512, BATCH_FEWEST = 16, WHOLES = 3 /* plain, base and a row's own */ };
static const size_t LOGIT_BYTES = (size_t)2 << 30, BATCH_BYTES = (size_t)64 << 20;

typedef struct pass {
    clipspan_groups *g;
    const clipspan_basis *basis;
    const float *classifier; /* [C, E] */
    bool means_alone;        /* another store: nothing is kept but sums */
    size_t classes, embed_dim, width, used, batch; /* width: k; used: U heads that are kept or stay */
    size_t *heads;     /* [U] */
    double *maps;      /* [U, C, k] */
    double *t;         /* [U, batch, C] a batch's logits by head */
    float *y;          /* [threads, batch, k] */
    double *all, *rest; /* [batch, C] of the whole; of what becomes its mean */
    float *constant;   /* [batch, E] scratch; NULL: there is none */
    double *head_sum;  /* [J, C] over images */
    double *rest_sum;  /* [C] */
    uint64_t images;
} pass;

static bool stays(const clipspan_groups *g, size_t head)
{
    return g->paper && !clsp_replaced(g, head);
}

static clipspan_status make_maps(pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = p->width, e = p->embed_dim, c = p->classes, heads = p->g->heads;
    float *map = NULL;
    CLSP_ALLOC(map, clsp_alloc(k * e, sizeof *map));
    for (size_t u = 0; u < p->used; u++) {
        clsp_head_map(p->basis, p->g->convention, (int)(p->heads[u] / heads), (int)(p->heads[u] % heads), map);
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < c; j++) {
                double sum = 0;
                for (size_t d = 0; d < e; d++) sum += (double)map[i * e + d] * (double)p->classifier[j * e + d];
                p->maps[(u * c + j) * k + i] = sum;
            }
    }
out:
    clsp_free(map);
    return status;
}

static clipspan_status pass_open(pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_groups *g = p->g;
    size_t all = g->layers * g->heads, threads = (size_t)g->threads, row;
    CLSP_ALLOC(p->heads, clsp_alloc(all, sizeof *p->heads));
    for (size_t h = 0; h < all; h++)
        if (g->slot[h] != SIZE_MAX || stays(g, h)) p->heads[p->used++] = h;
    if (!clsp_mul(&row, p->used + 1, p->classes * sizeof *p->t)) return clsp_fail_memory(err);
    p->batch = clsp_max(clsp_min(BATCH_BYTES / row, BATCH_MOST), BATCH_FEWEST);
    CLSP_ALLOC(p->maps, clsp_alloc(p->used * p->width * p->classes, sizeof *p->maps));
    CLSP_ALLOC(p->t, clsp_alloc(p->used * p->batch * p->classes, sizeof *p->t));
    CLSP_ALLOC(p->y, clsp_alloc(threads * p->batch * p->width, sizeof *p->y));
    CLSP_ALLOC(p->all, clsp_alloc(p->batch * p->classes, sizeof *p->all));
    CLSP_ALLOC(p->rest, clsp_alloc(p->batch * p->classes, sizeof *p->rest));
    CLSP_ALLOC(p->head_sum, clsp_alloc_zero(g->kept * p->classes, sizeof *p->head_sum));
    CLSP_ALLOC(p->rest_sum, clsp_alloc_zero(p->classes, sizeof *p->rest_sum));
    if (g->paper && g->convention == CLIPSPAN_EXACT)
        CLSP_ALLOC(p->constant, clsp_alloc(p->batch * p->embed_dim, sizeof *p->constant));
    CLSP_TRY(make_maps(p, err));
out:
    return status;
}

static void pass_close(pass *p)
{
    void *const blocks[] = {p->heads, p->maps, p->t, p->y, p->all, p->rest, p->constant, p->head_sum, p->rest_sum};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
}

/* ---- a batch ---------------------------------------------------------------------------------------------- */

static size_t place_of(const pass *p, const clipspan_batch *batch, size_t i)
{
    if (p->means_alone) return 0;
    int32_t place = p->g->place[batch->index[i]];
    return place < 0 ? SIZE_MAX : (size_t)place;
}

/* y . map in double, eight sums side by side. */
CLSP_CLONES static double product(const float *y, const double *map, size_t n)
{
    enum { LANES = 8 };
    typedef float narrow __attribute__((vector_size(LANES * sizeof(float))));
    typedef double wide __attribute__((vector_size(LANES * sizeof(double))));
    wide sums = {0}, b;
    size_t whole = n / LANES * LANES;
    for (size_t r = 0; r < whole; r += LANES) {
        narrow a;
        memcpy(&a, y + r, sizeof a);
        memcpy(&b, map + r, sizeof b);
        sums += __builtin_convertvector(a, wide) * b;
    }
    double sum = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
    for (size_t r = whole; r < n; r++) sum += (double)y[r] * map[r];
    return sum;
}

static void head_logits(pass *p, const clipspan_batch *batch, size_t u, float *y)
{
    clipspan_groups *g = p->g;
    size_t n = batch->images, k = p->width, c = p->classes, head = p->heads[u], slot = g->slot[head];
    const double *map = p->maps + u * k * c;
    clsp_head_factors(batch, g->convention, (int)(head / g->heads), (int)(head % g->heads), y);
    for (size_t i = 0; i < n; i++) {
        double *t = p->t + (u * p->batch + i) * c;
        size_t place = place_of(p, batch, i);
        memset(t, 0, c * sizeof *t);
        if (place == SIZE_MAX) continue;
        for (size_t j = 0; j < c; j++) t[j] = product(y + i * k, map + j * k, k);
        if (slot == SIZE_MAX) continue;
        for (size_t j = 0; j < c; j++) p->head_sum[slot * c + j] += t[j];
        if (p->means_alone) continue;
        for (size_t j = 0; j < c; j++) g->x[(slot * g->images + place) * c + j] = (float)t[j];
    }
}

static void whole_logits(pass *p, const clipspan_batch *batch, size_t i)
{
    size_t c = p->classes, e = p->embed_dim;
    double norm = p->g->convention == CLIPSPAN_PAPER ? (double)batch->norm[i] : 1.0;
    for (size_t j = 0; j < c; j++) {
        double sum = 0, constant = 0, stay = 0;
        for (size_t d = 0; d < e; d++) sum += (double)batch->embedding[i * e + d] * (double)p->classifier[j * e + d];
        for (size_t d = 0; p->constant != NULL && d < e; d++)
            constant += (double)p->constant[i * e + d] * (double)p->classifier[j * e + d];
        for (size_t u = 0; u < p->used; u++)
            if (stays(p->g, p->heads[u])) stay += p->t[(u * p->batch + i) * c + j];
        p->all[i * c + j] = sum / norm;
        p->rest[i * c + j] = sum / norm - stay - constant;
    }
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    pass *p = user;
    clipspan_groups *g = p->g;
    size_t n = batch->images, c = p->classes;
    if (n > p->batch) return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "a batch of %zu images where %zu were asked for", n, p->batch);
    if (p->constant != NULL) {
        clipspan_status status = clipspan_batch_constant(batch, g->convention, p->constant, err);
        if (status != CLIPSPAN_OK) return status;
    }
#pragma omp parallel for schedule(dynamic) num_threads(g->threads)
    for (size_t u = 0; u < p->used; u++)
        head_logits(p, batch, u, p->y + (size_t)omp_get_thread_num() * p->batch * p->width);
#pragma omp parallel for schedule(static) num_threads(g->threads)
    for (size_t i = 0; i < n; i++)
        if (place_of(p, batch, i) != SIZE_MAX) whole_logits(p, batch, i);
    for (size_t i = 0; i < n; i++) {
        size_t place = place_of(p, batch, i);
        if (place == SIZE_MAX) continue;
        p->images++;
        for (size_t j = 0; j < c; j++) p->rest_sum[j] += p->rest[i * c + j];
        for (size_t j = 0; j < c && !p->means_alone; j++) {
            g->plain[place * c + j] = p->all[i * c + j];
            g->base[place * c + j] = p->all[i * c + j] - (g->paper ? p->rest[i * c + j] : 0);
        }
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_store(pass *p, const clipspan_store *store, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    unsigned char *layers = NULL;
    p->basis = clipspan_store_basis(store);
    p->classes = p->g->classes;
    p->embed_dim = (size_t)p->basis->embed_dim;
    p->width = clsp_head_width(p->basis, p->g->convention);
    CLSP_TRY(pass_open(p, err));
    CLSP_ALLOC(layers, clsp_alloc_zero(p->g->layers, 1));
    for (size_t u = 0; u < p->used; u++) layers[p->heads[u] / p->g->heads] = 1;
    const clipspan_store_selection select = {.layers = layers, .parts = 0, .batch = p->batch, .no_heads = p->used == 0};
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, p, hooks, err));
    if (p->images == 0) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no image to take means over"));
out:
    clsp_free(layers);
    return status;
}

/* ---- means ------------------------------------------------------------------------------------------------ */

static void put_means(clipspan_groups *g, const pass *p)
{
    double n = (double)p->images;
    g->mean_images = p->images;
    for (size_t i = 0; i < g->kept * g->classes; i++) g->mean[i] = p->head_sum[i] / n;
    for (size_t i = 0; g->paper && i < g->images * g->classes; i++) g->base[i] += p->rest_sum[i % g->classes] / n;
}

static clipspan_status logits_open(clipspan_groups *g, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t one, cells, whole, bytes;
    if (!clsp_mul(&one, g->images, g->classes) || !clsp_mul(&cells, one, g->kept) ||
        !clsp_mul(&bytes, cells, sizeof *g->x) || !clsp_mul(&whole, one, WHOLES * sizeof *g->base) ||
        !clsp_add(&bytes, bytes, whole))
        return clsp_fail_memory(err);
    if (bytes > LOGIT_BYTES)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "the logits of %zu heads, %zu images and %zu classes take %.1f GB, more than %.1f: look at fewer "
                         "heads, images or classes", g->kept, g->images, g->classes, (double)bytes / 1e9,
                         (double)LOGIT_BYTES / 1e9);
    CLSP_ALLOC(g->x, clsp_alloc(cells, sizeof *g->x));
    CLSP_ALLOC(g->mean, clsp_alloc(g->kept * g->classes, sizeof *g->mean));
    CLSP_ALLOC(g->plain, clsp_alloc(one, sizeof *g->plain));
    CLSP_ALLOC(g->base, clsp_alloc(one, sizeof *g->base));
out:
    return status;
}

clipspan_status clsp_logits_read(clipspan_groups *g, const clipspan_store *store, const float *classifier,
                                 const clipspan_store *mean_from, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    pass own = {.g = g, .classifier = classifier};
    pass other = {.g = g, .classifier = classifier, .means_alone = true};
    int before = clsp_threads(g->threads);
    CLSP_TRY(logits_open(g, err));
    CLSP_TRY(read_store(&own, store, hooks, err));
    if (mean_from != NULL) CLSP_TRY(read_store(&other, mean_from, hooks, err));
    put_means(g, mean_from != NULL ? &other : &own);
out:
    clsp_threads(before);
    pass_close(&own);
    pass_close(&other);
    return status;
}
