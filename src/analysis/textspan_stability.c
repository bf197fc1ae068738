/* How often a description is picked again when the images are drawn anew.
 *
 * Each resample needs a head's span and a greedy search over the pool. All resamples of a head write to the one space that
 * its contributions over all images span, of k axes at most d + 3: so the map and the pool are turned into coordinates
 * over those axes once (T k E operations), and a resample's work is in k dimensions instead of E: an eigenproblem of
 * k x k, T k^2 operations to turn the pool, and the search. Layer by layer: block moments are large. */
#include "analysis/textspan.h"

#include <math.h>
#include <string.h>

#include "analysis/blocks.h"
#include "analysis/bootstrap.h"
#include "analysis/greedy.h"
#include "analysis/span.h"
#include "analysis/stability.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

static const uint64_t SEED = 0x636c697073; /* one for all: the figure is part of the result */
static const size_t SEARCH_BYTES = (size_t)1 << 30; /* of all threads' projected pools */

typedef struct job {
    clipspan_textspan *result;
    const clipspan_store *store;
    const clipspan_hooks *hooks;
    const float *pool; /* [T, E] */
    const int32_t *of; /* [I] */
    clsp_block_moments moments;
    float *draws; /* [R, B] */
    size_t resamples, done;
    int threads;
    /* of the head at hand, over the k axes that all its contributions span */
    size_t axes;
    double *map;     /* [width, k] */
    float *turned;   /* [T, k] */
    double longest;  /* row of it */
} job;

/* One thread's room. */
typedef struct room {
    double *mean, *second, *scratch;
    float *axes, *coordinates, *directions;
    clsp_screen screen;
    clipspan_textspan_text *picks;
    uint64_t *hits; /* [size] */
} room;

static void room_close(room *r)
{
    void *all[] = {r->mean, r->second, r->scratch, r->axes, r->coordinates, r->directions, r->picks, r->hits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
    clsp_screen_close(&r->screen);
}

static clipspan_status room_open(room *r, const job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = j->moments.width, k = j->axes, size = j->result->size;
    *r = (room){0};
    CLSP_ALLOC(r->mean, clsp_alloc(n, sizeof *r->mean));
    CLSP_ALLOC(r->second, clsp_alloc(n * n, sizeof *r->second));
    CLSP_ALLOC(r->scratch, clsp_alloc(j->moments.packed, sizeof *r->scratch));
    CLSP_ALLOC(r->axes, clsp_alloc_aligned(k * k, sizeof *r->axes));
    CLSP_ALLOC(r->coordinates, clsp_alloc_aligned(clsp_screen_room(k), sizeof *r->coordinates));
    CLSP_TRY(clsp_screen_open(&r->screen, j->result->pool_count, k, err));
    CLSP_ALLOC(r->directions, clsp_alloc(size * k, sizeof *r->directions));
    CLSP_ALLOC(r->picks, clsp_alloc(size, sizeof *r->picks));
    CLSP_ALLOC(r->hits, clsp_alloc_zero(size, sizeof *r->hits));
out:
    if (status != CLIPSPAN_OK) room_close(r);
    return status;
}

/* ---- a head's own coordinates ------------------------------------------------------------------------------ */

static void turn_map(const job *j, const double *map, const double *basis)
{
    size_t e = j->result->embed_dim;
    for (size_t i = 0; i < j->moments.width; i++)
        for (size_t a = 0; a < j->axes; a++) {
            double sum = 0;
            for (size_t d = 0; d < e; d++) sum += map[i * e + d] * basis[a * e + d];
            j->map[i * j->axes + a] = sum;
        }
}

static clipspan_status turn_pool(job *j, const double *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = j->result->embed_dim, k = j->axes, texts = j->result->pool_count;
    float *axes = NULL;
    double longest = 0;
    CLSP_ALLOC(axes, clsp_alloc_aligned(k * e, sizeof *axes));
    for (size_t i = 0; i < k * e; i++) axes[i] = (float)basis[i];
    CLSP_TRY(clsp_sgemm(j->turned, k, j->pool, e, false, axes, e, true, texts, k, e, 1.0F, 0.0F, err));
    for (size_t t = 0; t < texts; t++) {
        double square = 0;
        for (size_t a = 0; a < k; a++) square += (double)j->turned[t * k + a] * (double)j->turned[t * k + a];
        longest = fmax(longest, square);
    }
    j->longest = sqrt(longest);
out:
    clsp_free(axes);
    return status;
}

static void head_close(job *j)
{
    clsp_free(j->map);
    clsp_free(j->turned);
    j->map = NULL;
    j->turned = NULL;
}

/* The span of all images' contributions, without the bound on its rank; k of 0: the head never varies. */
static clipspan_status head_open(job *j, const clipspan_textspan_head *head, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = j->moments.width, e = j->result->embed_dim, cells;
    clsp_span span = {0};
    float *narrow = NULL, *once = NULL;
    double *map = NULL, *mean = NULL, *second = NULL, *scratch = NULL;
    CLSP_ALLOC(narrow, clsp_alloc(n * e, sizeof *narrow));
    CLSP_ALLOC(map, clsp_alloc(n * e, sizeof *map));
    CLSP_ALLOC(mean, clsp_alloc(n, sizeof *mean));
    CLSP_ALLOC(second, clsp_alloc(n * n, sizeof *second));
    CLSP_ALLOC(scratch, clsp_alloc(j->moments.packed, sizeof *scratch));
    CLSP_ALLOC(once, clsp_alloc(j->moments.blocks, sizeof *once));
    for (size_t b = 0; b < j->moments.blocks; b++) once[b] = 1;
    clsp_head_map(clipspan_store_basis(j->store), j->result->options.convention, head->layer, head->head, narrow);
    for (size_t i = 0; i < n * e; i++) map[i] = (double)narrow[i];
    clsp_block_moments_draw(&j->moments, (size_t)head->head, once, mean, second, scratch);
    CLSP_TRY(clsp_span_build(&span, map, second, mean, n, e, clsp_min(n, e), err));
    j->axes = span.k;
    if (!clsp_mul(&cells, j->result->pool_count, clsp_max(span.k, 1))) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(j->map, clsp_alloc(n * clsp_max(span.k, 1), sizeof *j->map));
    CLSP_ALLOC(j->turned, clsp_alloc_aligned(cells, sizeof *j->turned));
    if (span.k > 0) {
        turn_map(j, map, span.basis);
        CLSP_TRY(turn_pool(j, span.basis, err));
    }
out:
    clsp_span_free(&span);
    clsp_free(narrow), clsp_free(map), clsp_free(mean), clsp_free(second), clsp_free(scratch), clsp_free(once);
    return status;
}

/* ---- resamples ------------------------------------------------------------------------------------------------ */

static clipspan_status one_resample(const job *j, const clipspan_textspan_head *head, size_t number, room *r,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = j->axes, texts = j->result->pool_count, count = 0;
    size_t cap = clsp_min(clsp_min(j->moments.width, (size_t)j->result->options.rank), k);
    const clsp_pool pool = {{.values = j->turned, .count = texts, .embed_dim = k}, j->longest};
    clsp_span span = {0};
    if (clsp_block_moments_draw(&j->moments, (size_t)head->head, j->draws + number * j->moments.blocks, r->mean, r->second,
                                r->scratch) == 0)
        return CLIPSPAN_OK; /* only blocks without an image: nothing is picked */
    CLSP_TRY(clsp_span_build(&span, j->map, r->second, r->mean, j->moments.width, k, cap, err));
    if (span.k == 0) goto out;
    for (size_t i = 0; i < span.k * k; i++) r->axes[i] = (float)span.basis[i];
    r->screen.rows = span.k;
    for (size_t b = 0; b < r->screen.blocks; b++)
        CLSP_TRY(clsp_screen_fill(&r->screen, b, &pool, r->axes, r->coordinates, err));
    CLSP_TRY(clsp_greedy_run(&span, &pool, &r->screen, 0, j->result->size, 1, r->picks, r->directions, &count, err));
    for (int m = 0; m < head->count; m++)
        for (size_t p = 0; p < count; p++) r->hits[m] += r->picks[p].text == head->texts[m].text;
out:
    clsp_span_free(&span);
    return status;
}

static int searches_at_once(const job *j)
{
    size_t one = clsp_max(j->axes * j->result->pool_count * sizeof(float), 1);
    return (int)clsp_min((size_t)j->threads, clsp_max(SEARCH_BYTES / one, 1));
}

/* hits: [size], summed over all resamples: whole numbers, so their order does not matter. */
static clipspan_status all_resamples(const job *j, const clipspan_textspan_head *head, uint64_t *hits,
                                     clipspan_error *err)
{
    clipspan_status outcome = CLIPSPAN_OK;
#pragma omp parallel num_threads(searches_at_once(j))
    {
        clipspan_error message = {CLIPSPAN_OK, ""};
        room r;
        clipspan_status status = room_open(&r, j, &message);
        bool opened = status == CLIPSPAN_OK;
#pragma omp for schedule(dynamic)
        for (size_t n = 0; n < j->resamples; n++)
            if (status == CLIPSPAN_OK) status = one_resample(j, head, n, &r, &message);
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
    if (j->axes > 0) CLSP_TRY(all_resamples(j, head, hits, err));
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
    for (size_t r = 0; r < j.resamples; r++) clsp_bootstrap_draw(j.draws + r * blocks, blocks, SEED, r);
    CLSP_TRY(clsp_block_moments_open(&j.moments, clipspan_store_basis(store), result->options.convention, blocks, err));
    for (int l = 0; l < clipspan_store_get_info(store)->layers; l++) CLSP_TRY(one_layer(&j, l, err));
    result->resamples = resamples;
out:
    clsp_threads(before);
    clsp_block_moments_close(&j.moments);
    clsp_free(j.draws);
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
