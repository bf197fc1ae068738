/* How strongly images switch heads on along directions of the joint space: two passes over the store.
 *
 *     v = c . t = y' (M t)        u = M t has one number a factor, so no vector of the joint space is made
 *
 * The first pass finds the mean, the ends and the images there; the second, which knows them, the deviation and the
 * histogram. Each direction sees its images one after another in the store's order, whatever the batches and threads. */
#include "clipspan/activations.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 1024, LANES = 8, BINS_MOST = 65536 };

struct clipspan_activations {
    size_t count, bins, top;
    clipspan_activation *found; /* [count] */
    uint64_t *counts, *rows;    /* [count, bins]; [count, 2, top]: most, least */
    double *values;             /* [count, 2, top] */
};

typedef struct pass {
    clipspan_activations *result;
    const clipspan_direction *directions;
    clipspan_convention convention;
    size_t width;  /* factors of a head, k */
    size_t images, seen;
    int threads;
    double *u;     /* [count, k] */
    double *sums;  /* [count] of v in the first pass, of (v - mean)^2 in the second */
    float *y;      /* [threads, BATCH, k] */
    double *value; /* [threads, BATCH] */
    const clipspan_hooks *hooks;
    int number;    /* of the pass: 0, 1 */
} pass;

/* Eight running sums: the order of additions is the same everywhere. */
CLSP_CLONES static double dot(const float *y, const double *u, size_t k)
{
    double sum[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) sum[lane] += (double)y[i + lane] * u[i + lane];
    for (; i < k; i++) sum[i % LANES] += (double)y[i] * u[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static clipspan_status make_u(pass *p, const clipspan_basis *basis, clipspan_error *err)
{
    size_t k = p->width, e = (size_t)basis->embed_dim;
    float *map = clsp_alloc(k * e, sizeof *map);
    if (map == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < p->result->count; i++) {
        const clipspan_direction *direction = &p->directions[i];
        clsp_head_map(basis, p->convention, direction->layer, direction->head, map);
        for (size_t row = 0; row < k; row++) {
            double sum = 0;
            for (size_t d = 0; d < e; d++) sum += (double)map[row * e + d] * (double)direction->vector[d];
            p->u[i * k + row] = sum;
        }
    }
    clsp_free(map);
    return CLIPSPAN_OK;
}

/* Puts a key into a descending list of `found` of at most `top`; rows come in order, so the lower stays first among equals. */
static void insert(double *keys, uint64_t *rows, size_t found, size_t top, double key, uint64_t row)
{
    size_t at = clsp_min(found, top), last = found < top ? found : top - 1;
    while (at > 0 && key > keys[at - 1]) at--;
    if (at == top) return;
    memmove(keys + at + 1, keys + at, (last - at) * sizeof *keys);
    memmove(rows + at + 1, rows + at, (last - at) * sizeof *rows);
    keys[at] = key;
    rows[at] = row;
}

/* The first pass. The weakest are kept as the strongest of -v; finish() turns them round. */
static void find_ends(pass *p, size_t i, const double *value, const uint64_t *index, size_t n)
{
    clipspan_activation *a = &p->result->found[i];
    size_t top = p->result->top;
    double *keys = p->result->values + i * 2 * top;
    uint64_t *rows = p->result->rows + i * 2 * top;
    for (size_t image = 0; image < n; image++) {
        size_t found = p->seen + image;
        double v = value[image];
        p->sums[i] += v;
        a->low = found > 0 && a->low <= v ? a->low : v;
        a->high = found > 0 && a->high >= v ? a->high : v;
        insert(keys, rows, found, top, v, index[image]);
        insert(keys + top, rows + top, found, top, -v, index[image]);
    }
}

/* The second. */
static void fill_bins(pass *p, size_t i, const double *value, size_t n)
{
    const clipspan_activation *a = &p->result->found[i];
    size_t bins = p->result->bins, last = bins - 1;
    uint64_t *counts = p->result->counts + i * bins;
    double width = (a->high - a->low) / (double)bins;
    for (size_t image = 0; image < n; image++) {
        double off = value[image] - a->mean, at = (value[image] - a->low) / width;
        p->sums[i] += off * off;
        counts[at < (double)last ? (size_t)at : last]++; /* all equal: 0 / 0, in the last */
    }
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    pass *p = user;
    clipspan_status status = clsp_batch_check(batch, BATCH, err);
    if (status != CLIPSPAN_OK) return status;
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t i = 0; i < p->result->count; i++) {
        size_t thread = (size_t)omp_get_thread_num();
        float *y = p->y + thread * BATCH * p->width;
        double *value = p->value + thread * BATCH;
        clsp_head_factors(batch, p->convention, p->directions[i].layer, p->directions[i].head, y);
        for (size_t image = 0; image < batch->images; image++)
            value[image] = dot(y + image * p->width, p->u + i * p->width, p->width);
        if (p->number == 0)
            find_ends(p, i, value, batch->index, batch->images);
        else
            fill_bins(p, i, value, batch->images);
    }
    p->seen += batch->images;
    return CLIPSPAN_OK;
}

/* The store's own progress, told as this job's. */
static int progress(void *user, const clipspan_progress *read)
{
    const pass *p = user;
    unsigned long long all = p->images;
    const clipspan_progress now = {"activations", (unsigned long long)p->number * all + read->done, 2 * all, 0};
    return p->hooks->progress(p->hooks->user, &now);
}

static clipspan_status run_pass(pass *p, int number, const clipspan_store *store, const clipspan_store_selection *select,
                                clipspan_error *err)
{
    bool told = p->hooks != NULL && p->hooks->progress != NULL;
    const clipspan_hooks relay = {told ? progress : NULL, NULL, p};
    p->number = number;
    p->seen = 0;
    memset(p->sums, 0, p->result->count * sizeof *p->sums);
    return clipspan_store_each(store, select, take_batch, p, &relay, err);
}

static clipspan_status between_passes(pass *p, clipspan_error *err)
{
    for (size_t i = 0; i < p->result->count; i++) {
        clipspan_activation *a = &p->result->found[i];
        if (!isfinite(p->sums[i]))
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "L%d.H%d: contributions hold values that are not finite", a->layer,
                             a->head);
        a->mean = p->sums[i] / (double)p->images;
    }
    return CLIPSPAN_OK;
}

static void finish(pass *p)
{
    size_t top = p->result->top;
    for (size_t i = 0; i < p->result->count; i++) {
        double *least = p->result->values + (i * 2 + 1) * top;
        p->result->found[i].deviation = sqrt(p->sums[i] / (double)p->images);
        for (size_t n = 0; n < top; n++) least[n] = -least[n];
    }
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

static clipspan_status check_directions(const clipspan_store_info *info, const clipspan_direction *directions,
                                        size_t count, clipspan_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const clipspan_direction *d = &directions[i];
        if (d->layer < 0 || d->layer >= info->layers || d->head < 0 || d->head >= info->heads)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no head L%d.H%d: the store has %d layers of %d heads", d->layer,
                             d->head, info->layers, info->heads);
        if (d->vector == NULL || !all_finite(d->vector, (size_t)info->embed_dim))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "direction %zu holds values that are not finite", i);
    }
    return CLIPSPAN_OK;
}

static clipspan_status check(const clipspan_store_info *info, const clipspan_activations_options *options, size_t count,
                             clipspan_error *err)
{
    if (options->convention != CLIPSPAN_PAPER && options->convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)options->convention);
    if (count == 0 || options->top < 1 || options->bins < 1 || options->bins > BINS_MOST || options->threads < 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%zu directions, %zu images at either end, %zu bins, %d threads: expected at least 1, 1, 1 to %d, 0",
                         count, options->top, options->bins, options->threads, (int)BINS_MOST);
    if (info->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "the store holds moments alone: activations need each image's contributions");
    if (info->images == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store has no images");
    return CLIPSPAN_OK;
}

static void point(clipspan_activations *r, const clipspan_direction *directions)
{
    for (size_t i = 0; i < r->count; i++) {
        size_t most = i * 2 * r->top, least = most + r->top;
        r->found[i] = (clipspan_activation){.layer = directions[i].layer, .head = directions[i].head, .bins = r->bins,
                                            .top = r->top, .counts = r->counts + i * r->bins, .most = r->rows + most,
                                            .least = r->rows + least, .most_values = r->values + most,
                                            .least_values = r->values + least};
    }
}

static clipspan_status result_open(clipspan_activations **out, const clipspan_direction *directions, size_t count,
                                   size_t bins, size_t top, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells;
    clipspan_activations *result = NULL;
    CLSP_ALLOC(result, clsp_alloc_zero(1, sizeof *result));
    *result = (clipspan_activations){.count = count, .bins = bins, .top = top};
    if (!clsp_mul(&cells, count, 2 * top)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(result->found, clsp_alloc_zero(count, sizeof *result->found));
    CLSP_ALLOC(result->counts, clsp_alloc_zero(count, bins * sizeof *result->counts));
    CLSP_ALLOC(result->rows, clsp_alloc_zero(cells, sizeof *result->rows));
    CLSP_ALLOC(result->values, clsp_alloc_zero(cells, sizeof *result->values));
    point(result, directions);
    *out = result;
    result = NULL;
out:
    clipspan_activations_free(result);
    return status;
}

static clipspan_status pass_open(pass *p, const clipspan_basis *basis, unsigned char **layers, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t count = p->result->count, threads = (size_t)p->threads;
    CLSP_ALLOC(p->u, clsp_alloc(count, p->width * sizeof *p->u));
    CLSP_ALLOC(p->sums, clsp_alloc(count, sizeof *p->sums));
    CLSP_ALLOC(p->y, clsp_alloc(threads * BATCH * p->width, sizeof *p->y));
    CLSP_ALLOC(p->value, clsp_alloc(threads * BATCH, sizeof *p->value));
    CLSP_ALLOC(*layers, clsp_alloc_zero((size_t)basis->layers, 1));
    for (size_t i = 0; i < count; i++) (*layers)[p->directions[i].layer] = 1;
    CLSP_TRY(make_u(p, basis, err));
out:
    return status;
}

clipspan_status clipspan_activations_run(clipspan_activations **out, const clipspan_store *store,
                                         const clipspan_direction *directions, size_t count,
                                         const clipspan_activations_options *options, const clipspan_hooks *hooks,
                                         clipspan_error *err)
{
    static const clipspan_activations_options standard = CLIPSPAN_ACTIVATIONS_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    const clipspan_basis *basis = clipspan_store_basis(store);
    clipspan_activations *result = NULL;
    unsigned char *layers = NULL;
    pass p = {0};
    if (options == NULL) options = &standard;
    int before = clsp_threads(options->threads);
    *out = NULL;
    CLSP_TRY(check(info, options, count, err));
    CLSP_TRY(check_directions(info, directions, count, err));
    CLSP_TRY(result_open(&result, directions, count, options->bins, clsp_min(options->top, (size_t)info->images), err));
    p = (pass){.result = result, .directions = directions, .convention = options->convention, .hooks = hooks,
               .width = clsp_head_width(basis, options->convention), .images = (size_t)info->images,
               .threads = options->threads ? options->threads : clsp_cpu_count()};
    CLSP_TRY(pass_open(&p, basis, &layers, err));
    const clipspan_store_selection select = {.layers = layers, .parts = 0, .batch = BATCH};
    CLSP_TRY(run_pass(&p, 0, store, &select, err));
    CLSP_TRY(between_passes(&p, err));
    CLSP_TRY(run_pass(&p, 1, store, &select, err));
    finish(&p);
    *out = result;
    result = NULL;
out:
    clsp_threads(before);
    clsp_free(p.u);
    clsp_free(p.sums);
    clsp_free(p.y);
    clsp_free(p.value);
    clsp_free(layers);
    clipspan_activations_free(result);
    return status;
}

void clipspan_activations_free(clipspan_activations *result)
{
    if (result == NULL) return;
    clsp_free(result->found);
    clsp_free(result->counts);
    clsp_free(result->rows);
    clsp_free(result->values);
    clsp_free(result);
}

size_t clipspan_activations_count(const clipspan_activations *result)
{
    return result->count;
}

const clipspan_activation *clipspan_activations_get(const clipspan_activations *result, size_t i)
{
    return i < result->count ? &result->found[i] : NULL;
}
