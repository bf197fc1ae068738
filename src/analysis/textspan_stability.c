/* How often a description is picked again when the images are drawn anew.
 *
 * All resamples of a head write to the one space that its contributions over all images span, of k axes at most d + 3: so the
 * map and the pool are turned into coordinates over those axes once (T k E operations), and a resample's work is in k
 * dimensions instead of E. Resamples are drawn, measured and searched a few at a time, so that products are long. Layer by
 * layer: block moments are large. */
#include "analysis/textspan.h"

#include <math.h>
#include <string.h>

#include "analysis/blocks.h"
#include "analysis/bootstrap.h"
#include "analysis/lockstep.h"
#include "analysis/span.h"
#include "analysis/stability.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

static const uint64_t SEED = 0x636c697073; /* one for all: the figure is part of the result */
static const size_t SEARCH_BYTES = (size_t)1 << 30; /* of all threads' searches */
enum { MOST_TOGETHER = 32 };

typedef struct job {
    clipspan_textspan *result;
    const clipspan_store *store;
    const clipspan_hooks *hooks;
    const float *pool; /* [T, E] */
    const int32_t *of; /* [I] */
    clsp_block_moments moments;
    double *draws; /* [R, B] */
    size_t resamples, done;
    int threads;
    /* of the head at hand, over the k axes that all its contributions span */
    double *map; /* [k, width] */
    clsp_turned turned;
} job;

/* ---- a head's own coordinates ------------------------------------------------------------------------------ */

static void head_close(job *j)
{
    clsp_free(j->map);
    j->map = NULL;
    clsp_turned_close(&j->turned);
}

/* A head's map [width, E] in float32. */
static clipspan_status turn_head(job *j, const float *map, const clsp_span *span, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = j->moments.width, e = span->embed_dim;
    CLSP_ALLOC(j->map, clsp_alloc_zero(span->k * n, sizeof *j->map));
    clsp_dgemm(j->map, n, span->basis, e, &(clsp_factor){.singles = map, .stride = e, .transposed = true}, span->k, n, e);
    CLSP_TRY(clsp_turned_open(&j->turned, j->pool, j->result->pool_count, span->basis, span->k, e, err));
out:
    return status;
}

/* The span of all images' contributions, without the bound on its rank; no axes: the head never varies. */
static clipspan_status head_open(job *j, const clipspan_textspan_head *head, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = j->moments.width, e = j->result->embed_dim;
    clsp_span span = {0};
    float *narrow = NULL;
    double *map = NULL, *mean = NULL, *second = NULL, *packed = NULL, *once = NULL;
    uint64_t images;
    CLSP_ALLOC(narrow, clsp_alloc(n * e, sizeof *narrow));
    CLSP_ALLOC(map, clsp_alloc(n * e, sizeof *map));
    CLSP_ALLOC(mean, clsp_alloc(n, sizeof *mean));
    CLSP_ALLOC(second, clsp_alloc(n * n, sizeof *second));
    CLSP_ALLOC(packed, clsp_alloc(j->moments.packed, sizeof *packed));
    CLSP_ALLOC(once, clsp_alloc(j->moments.blocks, sizeof *once));
    for (size_t b = 0; b < j->moments.blocks; b++) once[b] = 1;
    clsp_head_map(clipspan_store_basis(j->store), j->result->options.convention, head->layer, head->head, narrow);
    for (size_t i = 0; i < n * e; i++) map[i] = (double)narrow[i];
    clsp_block_moments_draw(&j->moments, (size_t)head->head, once, 1, mean, packed, &images);
    for (size_t r = 0, at = 0; r < n; r++)
        for (size_t c = 0; c <= r; c++) second[r * n + c] = second[c * n + r] = packed[at++];
    CLSP_TRY(clsp_span_build(&span, map, second, mean, n, e, clsp_min(n, e), err));
    if (span.k > 0) CLSP_TRY(turn_head(j, narrow, &span, err));
out:
    clsp_span_free(&span);
    clsp_free(narrow), clsp_free(map), clsp_free(mean), clsp_free(second), clsp_free(packed), clsp_free(once);
    return status;
}

/* ---- resamples ------------------------------------------------------------------------------------------------ */

/* One thread's room for a few resamples. */
typedef struct room {
    size_t together;
    double *means, *seconds, *scratch; /* [together, width], [together, packed] */
    uint64_t *images;                  /* [together] */
    clsp_variation variations[MOST_TOGETHER];
    size_t *picks, *counts; /* [together, size], [together] */
    uint64_t *hits;         /* [size] */
} room;

static void room_close(room *r)
{
    void *all[] = {r->means, r->seconds, r->scratch, r->images, r->picks, r->counts, r->hits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
    for (size_t i = 0; i < r->together; i++) clsp_variation_close(&r->variations[i]);
}

static clipspan_status room_open(room *r, const job *j, size_t together, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = j->moments.width, k = j->turned.axes, size = j->result->size;
    *r = (room){.together = together};
    CLSP_ALLOC(r->means, clsp_alloc(together * n, sizeof *r->means));
    CLSP_ALLOC(r->seconds, clsp_alloc(together * j->moments.packed, sizeof *r->seconds));
    CLSP_ALLOC(r->scratch, clsp_alloc(clsp_variation_room(n, k), sizeof *r->scratch));
    CLSP_ALLOC(r->images, clsp_alloc(together, sizeof *r->images));
    CLSP_ALLOC(r->picks, clsp_alloc(together * size, sizeof *r->picks));
    CLSP_ALLOC(r->counts, clsp_alloc(together, sizeof *r->counts));
    CLSP_ALLOC(r->hits, clsp_alloc_zero(size, sizeof *r->hits));
    for (size_t i = 0; i < together; i++) CLSP_TRY(clsp_variation_open(&r->variations[i], k, err));
out:
    if (status != CLIPSPAN_OK) room_close(r);
    return status;
}

/* Resamples [first, first + count). One of blocks without an image has moments of zero, and picks nothing. */
static clipspan_status some_resamples(const job *j, const clipspan_textspan_head *head, size_t first, size_t count, room *r,
                                      clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = j->moments.width, size = j->result->size, cap = clsp_min(n, (size_t)j->result->options.rank);
    clsp_block_moments_draw(&j->moments, (size_t)head->head, j->draws + first * j->moments.blocks, count, r->means, r->seconds,
                            r->images);
    for (size_t i = 0; i < count; i++)
        CLSP_TRY(clsp_variation_measure(&r->variations[i], j->map, r->means + i * n, r->seconds + i * j->moments.packed, n, cap,
                                        r->scratch, err));
    CLSP_TRY(clsp_lockstep_run(r->picks, r->counts, &j->turned, r->variations, count, size, err));
    for (size_t i = 0; i < count; i++)
        for (int m = 0; m < head->count; m++)
            for (size_t p = 0; p < r->counts[i]; p++) r->hits[m] += r->picks[i * size + p] == head->texts[m].text;
out:
    return status;
}

/* How many resamples a thread takes at once: every thread has some, and memory is bounded. */
static size_t resamples_together(const job *j)
{
    size_t threads = (size_t)j->threads, fitting = SEARCH_BYTES / threads / clsp_lockstep_bytes(&j->turned, j->result->size);
    size_t shared = (j->resamples + threads - 1) / threads;
    return clsp_max(clsp_min(clsp_min(shared, fitting), MOST_TOGETHER), 1);
}

/* hits: [size], summed over all resamples: whole numbers, so their order does not matter. */
static clipspan_status all_resamples(const job *j, const clipspan_textspan_head *head, uint64_t *hits,
                                     clipspan_error *err)
{
    clipspan_status outcome = CLIPSPAN_OK;
    size_t together = resamples_together(j);
#pragma omp parallel
    {
        clipspan_error message = {CLIPSPAN_OK, ""};
        room r;
        clipspan_status status = room_open(&r, j, together, &message);
        bool opened = status == CLIPSPAN_OK;
#pragma omp for schedule(dynamic)
        for (size_t n = 0; n < j->resamples; n += together)
            if (status == CLIPSPAN_OK)
                status = some_resamples(j, head, n, clsp_min(together, j->resamples - n), &r, &message);
#pragma omp critical(clsp_stability)
        {
            for (int m = 0; opened && m < head->count; m++) hits[m] += r.hits[m];
            if (status != CLIPSPAN_OK) outcome = clsp_fail(err, status, "%s", message.message);
        }
        if (opened) room_close(&r);
    }
    return outcome;
}

static clipspan_status tell(const job *j, clipspan_error *err)
{
    const clipspan_progress now = {"stability", j->done, j->result->count, 0};
    if (j->hooks == NULL || j->hooks->progress == NULL || j->hooks->progress(j->hooks->user, &now) == 0)
        return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu heads", j->done, j->result->count);
}

static clipspan_status one_head(job *j, size_t i, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan_head *head = &j->result->heads[i];
    uint64_t *hits;
    CLSP_ALLOC(hits, clsp_alloc_zero(j->result->size, sizeof *hits));
    CLSP_TRY(tell(j, err));
    CLSP_TRY(head_open(j, head, err));
    if (j->turned.axes > 0) CLSP_TRY(all_resamples(j, head, hits, err));
    for (int m = 0; m < head->count; m++)
        j->result->stability[i * j->result->size + (size_t)m] = (double)hits[m] / (double)j->resamples;
    j->done++;
out:
    head_close(j);
    clsp_free(hits);
    return status;
}

static clipspan_status one_layer(job *j, int layer, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_textspan *result = j->result;
    unsigned char *heads;
    CLSP_ALLOC(heads, clsp_alloc_zero(j->moments.heads, 1));
    for (size_t i = 0; i < result->count; i++)
        if (result->heads[i].layer == layer) heads[result->heads[i].head] = 1;
    if (memchr(heads, 1, j->moments.heads) == NULL) goto out;
    CLSP_TRY(clsp_block_moments_fill(&j->moments, j->store, result->options.convention, layer, heads, j->of, j->hooks, err));
    for (size_t i = 0; i < result->count; i++)
        if (result->heads[i].layer == layer) CLSP_TRY(one_head(j, i, err));
out:
    clsp_free(heads);
    return status;
}

clipspan_status clsp_stability_measure(clipspan_textspan *result, const clipspan_store *store, const float *pool,
                                       const int32_t *of, size_t blocks, int resamples, const clipspan_hooks *hooks,
                                       clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells;
    float *one = NULL;
    job j = {.result = result, .store = store, .hooks = hooks, .pool = pool, .of = of, .resamples = (size_t)resamples};
    int before = clsp_threads(result->options.threads);
    j.threads = result->options.threads > 0 ? result->options.threads : clsp_cpu_count();
    if (resamples < 1 || blocks < 2)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "stability from %d resamples of %zu blocks of images: at least 1 of "
                           "2 are needed", resamples, blocks));
    clsp_free(result->stability);
    CLSP_ALLOC(result->stability, clsp_alloc_zero(result->count * result->size, sizeof *result->stability));
    if (!clsp_mul(&cells, j.resamples, blocks)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(j.draws, clsp_alloc(cells, sizeof *j.draws));
    CLSP_ALLOC(one, clsp_alloc(blocks, sizeof *one));
    for (size_t r = 0; r < j.resamples; r++) {
        clsp_bootstrap_draw(one, blocks, SEED, r);
        for (size_t b = 0; b < blocks; b++) j.draws[r * blocks + b] = (double)one[b];
    }
    CLSP_TRY(clsp_block_moments_open(&j.moments, clipspan_store_basis(store), result->options.convention, blocks, err));
    for (int l = 0; l < clipspan_store_get_info(store)->layers; l++) CLSP_TRY(one_layer(&j, l, err));
    result->resamples = resamples;
out:
    clsp_threads(before);
    clsp_block_moments_close(&j.moments);
    clsp_free(j.draws);
    clsp_free(one);
    if (status != CLIPSPAN_OK) {
        clsp_free(result->stability);
        result->stability = NULL;
    }
    return status;
}

static clipspan_status check(const clipspan_textspan *result, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (info->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store holds moments alone, no single images to draw anew");
    if (info->images != result->images || (size_t)info->embed_dim != result->embed_dim)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "the texts are of %llu images in %zu dimensions, the store holds %llu in %d",
                         (unsigned long long)result->images, result->embed_dim, (unsigned long long)info->images,
                         info->embed_dim);
    return CLIPSPAN_OK;
}

clipspan_status clipspan_textspan_measure_stability(clipspan_textspan *result, const clipspan_store *store,
                                                    const float *pool_embeddings, int resamples,
                                                    const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    int32_t *of = NULL;
    CLSP_TRY(check(result, store, err));
    CLSP_ALLOC(of, clsp_alloc((size_t)clipspan_store_get_info(store)->images, sizeof *of));
    size_t blocks = clsp_blocks_assign(of, store, NULL);
    CLSP_TRY(clsp_stability_measure(result, store, pool_embeddings, of, blocks, resamples, hooks, err));
out:
    clsp_free(of);
    return status;
}

double clipspan_textspan_stability(const clipspan_textspan *result, size_t i, int text)
{
    bool known = result->stability != NULL && i < result->count && text >= 0 && text < result->heads[i].count;
    return known ? result->stability[i * result->size + (size_t)text] : (double)NAN;
}

int clipspan_textspan_resamples(const clipspan_textspan *result)
{
    return result->stability != NULL ? result->resamples : 0;
}
