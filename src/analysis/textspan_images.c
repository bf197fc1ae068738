/* Which images a direction ranks highest: one pass over the store.
 *
 * c . n = y' M n, so u = M n (one number a factor) is all a direction needs, and no vector of the joint space is made.
 * Directions run side by side in the inner loop: every image's value is summed in the same order whatever the batch or
 * the number of threads, so equal images get equal values and the lower row comes first. */
#include <math.h>
#include <string.h>

#include "analysis/textspan.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

#include <omp.h>

/* Directions whose sums run side by side, and images that share each load of u: sums stay in registers. */
enum { BATCH = 1024, LANES = 8, ABREAST = 4 };
typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));

typedef struct ranking {
    clipspan_textspan *result;
    size_t width;     /* factors of a head */
    size_t padded;    /* size, up to a multiple of LANES */
    int threads;
    double *u;        /* [heads, padded / LANES, width, LANES], zeros behind the last direction */
    double *best;     /* [heads, size, top] descending */
    uint64_t *rows;   /* [heads, size, top] */
    size_t seen;      /* images */
    float *y;         /* [threads, BATCH, width] */
    double *value;    /* [threads, ABREAST, padded] */
} ranking;

static clipspan_status make_u(ranking *r, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan *result = r->result;
    size_t e = result->embed_dim;
    float *map = NULL;
    CLSP_ALLOC(map, clsp_alloc(r->width * e, sizeof *map));
    for (size_t i = 0; i < result->count; i++) {
        clsp_head_map(basis, result->options.convention, result->heads[i].layer, result->heads[i].head, map);
        for (size_t row = 0; row < r->width; row++)
            for (int t = 0; t < result->heads[i].count; t++) {
                const float *n = clipspan_textspan_direction(result, i, t);
                double sum = 0;
                for (size_t d = 0; d < e; d++) sum += (double)map[row * e + d] * (double)n[d];
                size_t part = i * (r->padded / LANES) + (size_t)t / LANES;
                r->u[(part * r->width + row) * LANES + (size_t)t % LANES] = sum;
            }
    }
out:
    clsp_free(map);
    return status;
}

/* Puts a value into a descending list of `found` of at most `top`; the lower row first among equals. */
static void insert(double *best, uint64_t *rows, size_t found, size_t top, double value, uint64_t row)
{
    size_t at = found < top ? found : top;
    while (at > 0 && (value > best[at - 1] || (value == best[at - 1] && row < rows[at - 1]))) at--;
    if (at == top) return;
    size_t last = found < top ? found : top - 1;
    memmove(best + at + 1, best + at, (last - at) * sizeof *best);
    memmove(rows + at + 1, rows + at, (last - at) * sizeof *rows);
    best[at] = value;
    rows[at] = row;
}

/* value [ABREAST, padded] = y [ABREAST, width] u of ABREAST images. */
CLSP_CLONES static void values_of(const ranking *r, size_t i, const float *y, double *value)
{
    for (size_t part = 0; part < r->padded / LANES; part++) {
        const double *u = r->u + (i * (r->padded / LANES) + part) * r->width * LANES;
        lanes sum[ABREAST] = {{0}}, along;
        for (size_t row = 0; row < r->width; row++) {
            memcpy(&along, u + row * LANES, sizeof along);
#pragma GCC unroll 4
            for (size_t a = 0; a < ABREAST; a++) sum[a] += (double)y[a * r->width + row] * along;
        }
#pragma GCC unroll 4
        for (size_t a = 0; a < ABREAST; a++) memcpy(value + a * r->padded + part * LANES, &sum[a], sizeof sum[a]);
    }
}

/* y: room for BATCH images, and ABREAST - 1 more. */
static void rank_head(ranking *r, const clipspan_batch *batch, size_t i, float *y, double *value)
{
    const clipspan_textspan *result = r->result;
    const clipspan_textspan_head *head = &result->heads[i];
    size_t size = result->size, top = result->top;
    clsp_head_factors(batch, result->options.convention, head->layer, head->head, y);
    for (size_t image = 0; image < batch->images; image++) {
        if (image % ABREAST == 0) values_of(r, i, y + image * r->width, value);
        for (size_t t = 0; t < (size_t)head->count; t++) {
            size_t list = (i * size + t) * top, found = clsp_min(r->seen + image, top);
            double now = value[image % ABREAST * r->padded + t];
            if (found == top && now < r->best[list + top - 1]) continue;
            insert(r->best + list, r->rows + list, found, top, now, batch->index[image]);
        }
    }
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    ranking *r = user;
    clipspan_status status = clsp_batch_check(batch, BATCH, err);
    if (status != CLIPSPAN_OK) return status;
#pragma omp parallel for schedule(dynamic) num_threads(r->threads)
    for (size_t i = 0; i < r->result->count; i++) {
        size_t thread = (size_t)omp_get_thread_num();
        rank_head(r, batch, i, r->y + thread * (BATCH + ABREAST) * r->width, r->value + thread * ABREAST * r->padded);
    }
    r->seen += batch->images;
    return CLIPSPAN_OK;
}

static clipspan_status check_store(const clipspan_textspan *result, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (info->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "the store holds moments alone: without each image's contributions none can be ranked");
    if (result->options.top_images < 1)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "top images is %d, expected at least 1",
                         result->options.top_images);
    for (size_t i = 0; i < result->count; i++)
        if (result->heads[i].layer >= info->layers || result->heads[i].head >= info->heads ||
            result->embed_dim != (size_t)info->embed_dim)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                             "L%d.H%d in %zu dimensions does not fit a store of %d layers of %d heads in %d",
                             result->heads[i].layer, result->heads[i].head, result->embed_dim, info->layers,
                             info->heads, info->embed_dim);
    return CLIPSPAN_OK;
}

static clipspan_status ranking_open(ranking *r, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan *result = r->result;
    size_t lists = result->count * result->size, cells, threads = (size_t)r->threads;
    if (!clsp_mul(&cells, lists, result->top)) return clsp_fail_memory(err);
    r->padded = (result->size + LANES - 1) / LANES * LANES;
    CLSP_ALLOC(r->u, clsp_alloc_zero(result->count * r->padded * r->width, sizeof *r->u));
    CLSP_ALLOC(r->best, clsp_alloc_zero(cells, sizeof *r->best));
    CLSP_ALLOC(r->rows, clsp_alloc_zero(cells, sizeof *r->rows));
    CLSP_ALLOC(r->y, clsp_alloc_zero(threads * (BATCH + ABREAST) * r->width, sizeof *r->y));
    CLSP_ALLOC(r->value, clsp_alloc(threads * ABREAST * r->padded, sizeof *r->value));
    CLSP_TRY(make_u(r, basis, err));
out:
    return status;
}

/* Hands the lists over to the result. */
static clipspan_status keep(ranking *r, clipspan_error *err)
{
    clipspan_textspan *result = r->result;
    size_t cells = result->count * result->size * result->top;
    float *values = clsp_alloc(cells, sizeof *values);
    if (values == NULL) return clsp_fail_memory(err);
    for (size_t c = 0; c < cells; c++) values[c] = (float)r->best[c];
    result->ranked = clsp_min(r->seen, result->top);
    result->rows = r->rows;
    result->values = values;
    r->rows = NULL;
    return CLIPSPAN_OK;
}

clipspan_status clipspan_textspan_rank_images(clipspan_textspan *result, const clipspan_store *store,
                                              const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    int threads = result->options.threads > 0 ? result->options.threads : clsp_cpu_count();
    int before = clsp_threads(threads);
    ranking r = {.result = result, .threads = threads};
    unsigned char *layers = NULL;
    CLSP_TRY(check_store(result, store, err));
    clsp_free(result->rows);
    clsp_free(result->values);
    result->rows = NULL;
    result->values = NULL;
    result->ranked = 0;
    result->top = clsp_min((size_t)result->options.top_images, (size_t)clipspan_store_get_info(store)->images);
    r.width = clsp_head_width(basis, result->options.convention);
    CLSP_TRY(ranking_open(&r, basis, err));
    CLSP_ALLOC(layers, clsp_alloc_zero((size_t)basis->layers, 1));
    for (size_t i = 0; i < result->count; i++) layers[result->heads[i].layer] = 1;
    clipspan_store_selection select = {.layers = layers, .parts = 0, .batch = BATCH};
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &r, hooks, err));
    CLSP_TRY(keep(&r, err));
out:
    clsp_threads(before);
    clsp_free(layers);
    clsp_free(r.u);
    clsp_free(r.best);
    clsp_free(r.rows);
    clsp_free(r.y);
    clsp_free(r.value);
    return status;
}

size_t clipspan_textspan_images(const clipspan_textspan *result, size_t i, int text, const uint64_t **rows,
                                const float **values)
{
    bool known = result->rows != NULL && i < result->count && text >= 0 && text < result->heads[i].count;
    size_t at = known ? (i * result->size + (size_t)text) * result->top : 0;
    if (rows != NULL) *rows = known ? result->rows + at : NULL;
    if (values != NULL) *values = known ? result->values + at : NULL;
    return known ? result->ranked : 0;
}
