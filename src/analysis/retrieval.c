/* Nearest images: a query becomes one vector of the joint space, is pulled into the factors, and every image is scored
 * where it lies in the store. */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/space.h"
#include "compute/compute.h"

struct clipspan_retrieval {
    clipspan_retrieval_info info;
    clsp_source source;
    clsp_space space;
};

static uint64_t bytes_of(const clsp_space *space)
{
    const clsp_view *view = space->source->view;
    bool half = space->whole ? clsp_view_embedding_half(view) : clsp_view_half(view);
    return (uint64_t)space->source->images * space->count * space->d * (half ? sizeof(uint16_t) : sizeof(float));
}

clipspan_status clipspan_retrieval_open(clipspan_retrieval **out, const clipspan_store *store,
                                        const clipspan_retrieval_options *options, const clipspan_hooks *hooks,
                                        clipspan_error *err)
{
    static const clipspan_retrieval_options standard = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_retrieval *r = NULL;
    if (options == NULL) options = &standard;
    int before = clsp_threads(1); /* of products outside the loops: their bits must not depend on the number */
    *out = NULL;
    CLSP_ALLOC(r, clsp_alloc_zero(1, sizeof *r));
    CLSP_TRY(clsp_source_open(&r->source, store, options->verify, options->threads, err));
    CLSP_TRY(clsp_space_open(&r->space, &r->source, options->heads, options->whole, options, hooks, err));
    r->info = (clipspan_retrieval_info){.images = r->source.images, .heads = options->whole ? 0 : r->space.count,
                                        .embed_dim = (int)r->space.e, .convention = options->convention,
                                        .similarity = options->similarity, .centred = options->centred,
                                        .norms_read = r->space.weight_read, .bytes = bytes_of(&r->space)};
    *out = r;
    r = NULL;
out:
    clsp_threads(before);
    clipspan_retrieval_free(r);
    return status;
}

void clipspan_retrieval_free(clipspan_retrieval *retrieval)
{
    if (retrieval == NULL) return;
    clsp_space_close(&retrieval->space);
    clsp_source_close(&retrieval->source);
    clsp_free(retrieval);
}

clipspan_retrieval_info clipspan_retrieval_get_info(const clipspan_retrieval *retrieval)
{
    return retrieval->info;
}

void clipspan_retrieval_head(const clipspan_retrieval *retrieval, size_t i, int *layer, int *head)
{
    int heads = clipspan_store_basis(retrieval->source.store)->heads;
    bool known = i < retrieval->info.heads;
    *layer = known ? retrieval->space.heads[i] / heads : -1;
    *head = known ? retrieval->space.heads[i] % heads : -1;
}

clipspan_status clipspan_retrieval_name(const clipspan_retrieval *retrieval, char **out, clipspan_error *err)
{
    const size_t heads = (size_t)clipspan_store_basis(retrieval->source.store)->heads, count = retrieval->info.heads;
    clsp_buffer name;
    clsp_buffer_init(&name, SIZE_MAX / 4);
    bool good = count > 0 || clsp_buffer_text(&name, "the whole representation");
    for (size_t i = 0; good && i < count;) {
        int layer, head, last_layer = -1, last_head = -1;
        clipspan_retrieval_head(retrieval, i, &layer, &head);
        if (head == 0 && i + heads <= count) clipspan_retrieval_head(retrieval, i + heads - 1, &last_layer, &last_head);
        bool whole = last_layer == layer && heads > 1; /* heads come in order, each once */
        good = clsp_buffer_format(&name, "%sL%d", i ? ", " : "", layer) &&
               (whole || clsp_buffer_format(&name, ".H%d", head));
        i += whole ? heads : 1;
    }
    *out = good ? name.data : NULL;
    if (!good) clsp_buffer_free(&name);
    return good ? CLIPSPAN_OK : clsp_fail_memory(err);
}

/* ---- the scan ----------------------------------------------------------------------------------------------- */

typedef struct scan {
    const clsp_space *space;
    const clsp_query *query;
    uint64_t without; /* row that is left out; UINT64_MAX: none */
    size_t k, threads;
    clsp_nearest *best;           /* [threads] */
    clipspan_retrieval_hit *hits; /* [threads, k] */
    double *scores;               /* [threads, CLSP_BLOCK_ROWS] */
    float *scratch;               /* [threads, CLSP_BLOCK_ROWS] */
    uint64_t broken;
} scan;

static void offer(scan *s, clsp_nearest *best, uint64_t first, const double *scores, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t row = first + i;
        if (!isfinite(scores[i])) {
#pragma omp critical(clsp_scan)
            if (row < s->broken) s->broken = row;
        } else if (row != s->without)
            clsp_nearest_offer(best, row, scores[i]);
    }
}

enum { STRETCH = 64, RUN = 8 };

/* Whether one of n scores is at least `worst` or not finite. Without a jump, so that it is a few vectors. */
CLSP_CLONES static bool any_worth(const double *scores, size_t n, double worst)
{
    int64_t found = 0;
    for (size_t i = 0; i < n; i++) found |= -(int64_t)!((scores[i] < worst) & (scores[i] >= -DBL_MAX));
    return found != 0;
}

/* Most stretches hold nothing that is nearer than what was found, and end there. */
static void scan_block(scan *s, const clsp_block *block)
{
    size_t thread = (size_t)omp_get_thread_num();
    double *scores = s->scores + thread * CLSP_BLOCK_ROWS;
    clsp_nearest *best = &s->best[thread];
    clsp_query_scores(s->query, s->space, block, scores, s->scratch + thread * CLSP_BLOCK_ROWS);
    for (size_t at = 0; at < block->rows; at += STRETCH) {
        size_t n = clsp_min(STRETCH, block->rows - at);
        double worst = best->count < best->k ? -INFINITY : best->hits[0].score;
        if (any_worth(scores + at, n, worst)) offer(s, best, block->row + at, scores + at, n);
    }
}

static clipspan_status scan_open(scan *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells;
    if (!clsp_mul(&cells, s->threads, s->k)) return clsp_fail_memory(err);
    CLSP_ALLOC(s->best, clsp_alloc_zero(s->threads, sizeof *s->best));
    CLSP_ALLOC(s->hits, clsp_alloc(cells, sizeof *s->hits));
    CLSP_ALLOC(s->scores, clsp_alloc_aligned(s->threads * CLSP_BLOCK_ROWS, sizeof *s->scores));
    CLSP_ALLOC(s->scratch, clsp_alloc_aligned(s->threads * CLSP_BLOCK_ROWS, sizeof *s->scratch));
    for (size_t t = 0; t < s->threads; t++) s->best[t] = (clsp_nearest){.hits = s->hits + t * s->k, .k = s->k};
out:
    return status;
}

static clipspan_status scan_all(const clipspan_retrieval *r, const clsp_query *query, uint64_t without, size_t k,
                                clipspan_retrieval_hit *hits, size_t *found, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    scan s = {.space = &r->space, .query = query, .without = without, .k = clsp_min(k, r->source.images),
              .threads = (size_t)r->source.threads, .broken = UINT64_MAX};
    clsp_nearest all = {.hits = hits, .k = s.k};
    CLSP_TRY(scan_open(&s, err));
    /* Blocks that a thread takes one after another, so that what was fetched ahead is for itself; fewer where there are few. */
    size_t run = clsp_max(1, clsp_min(RUN, r->source.block_count / (RUN * s.threads)));
#pragma omp parallel for schedule(dynamic, run) num_threads(r->source.threads)
    for (size_t b = 0; b < r->source.block_count; b++) scan_block(&s, &r->source.blocks[b]);
    if (s.broken != UINT64_MAX) CLSP_TRY(clsp_space_broken(&r->space, s.broken, err));
    for (size_t t = 0; t < s.threads; t++)
        for (size_t i = 0; i < s.best[t].count; i++)
            clsp_nearest_offer(&all, s.best[t].hits[i].row, s.best[t].hits[i].score);
    clsp_nearest_sort(&all);
    *found = all.count;
out:
    clsp_free(s.best);
    clsp_free(s.hits);
    clsp_free(s.scores);
    clsp_free(s.scratch);
    return status;
}

/* q: [E], a vector of the joint space; it is zero, for all that can be said, if no longer than `least`. */
static clipspan_status nearest_to(const clipspan_retrieval *r, const double *q, double least, const char *what,
                                  uint64_t without, size_t k, clipspan_retrieval_hit *hits, size_t *found, clipspan_error *err)
{
    double square = 0;
    clsp_query query;
    *found = 0;
    if (k == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "0 neighbours were asked for");
    for (size_t i = 0; i < r->space.e; i++) square += q[i] * q[i];
    if (!isfinite(square))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: its vector in this space is not finite", what);
    if (sqrt(square) <= least)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: its vector in this space is zero, so nothing is near it", what);
    double factor = r->info.similarity == CLIPSPAN_COSINE ? 1 / sqrt(square) : 1;
    clipspan_status status = clsp_query_open(&query, &r->space, q, factor, err);
    if (status != CLIPSPAN_OK) return status;
    status = scan_all(r, &query, without, k, hits, found, err);
    clsp_query_close(&query);
    return status;
}

/* ---- queries ------------------------------------------------------------------------------------------------ */

clipspan_status clipspan_retrieval_row(const clipspan_retrieval *r, uint64_t row, int keep_query, size_t k,
                                       clipspan_retrieval_hit *hits, size_t *found, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t shard, at, w = r->space.width;
    float *y = NULL;
    double *wide = NULL, *q = NULL;
    *found = 0;
    if (row >= r->info.images)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "there is no row %llu: the store's rows are 0 to %llu",
                         (unsigned long long)row, (unsigned long long)(r->info.images - 1));
    CLSP_ALLOC(y, clsp_alloc(w, sizeof *y));
    CLSP_ALLOC(wide, clsp_alloc(w, sizeof *wide));
    CLSP_ALLOC(q, clsp_alloc(r->space.e, sizeof *q));
    clsp_source_locate(&r->source, row, &shard, &at);
    clsp_space_rows(&r->space, shard, at, 1, y);
    for (size_t j = 0; j < w; j++) wide[j] = (double)y[j];
    clsp_space_term(&r->space, wide, q);
    CLSP_TRY(nearest_to(r, q, r->space.least, clipspan_store_image_name(r->source.store, (size_t)row),
                        keep_query ? UINT64_MAX : row, k, hits, found, err));
out:
    clsp_free(y);
    clsp_free(wide);
    clsp_free(q);
    return status;
}

static clipspan_status check_batch(const clipspan_retrieval *r, const clipspan_batch *batch, size_t image,
                                   clipspan_error *err)
{
    const clipspan_basis *own = clipspan_store_basis(r->source.store), *other = batch->basis;
    if (image >= batch->images)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "image %zu of a batch of %zu", image, batch->images);
    if (own->layers == other->layers && own->heads == other->heads && own->head_dim == other->head_dim &&
        own->embed_dim == other->embed_dim)
        return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "the batch is of a model with %d layers of %d heads in %d dimensions, the store of one with %d of %d in %d",
                     other->layers, other->heads, other->embed_dim, own->layers, own->heads, own->embed_dim);
}

clipspan_status clipspan_retrieval_batch(const clipspan_retrieval *r, const clipspan_batch *batch, size_t image,
                                         size_t k, clipspan_retrieval_hit *hits, size_t *found, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double *y = NULL, *q = NULL;
    *found = 0;
    CLSP_TRY(check_batch(r, batch, image, err));
    CLSP_ALLOC(y, clsp_alloc(r->space.width, sizeof *y));
    CLSP_ALLOC(q, clsp_alloc(r->space.e, sizeof *q));
    clsp_space_of_batch(&r->space, batch, image, y);
    clsp_space_term(&r->space, y, q);
    CLSP_TRY(nearest_to(r, q, r->space.least, "the query image", UINT64_MAX, k, hits, found, err));
out:
    clsp_free(y);
    clsp_free(q);
    return status;
}

clipspan_status clipspan_retrieval_direction(const clipspan_retrieval *r, const float *direction, size_t k,
                                             clipspan_retrieval_hit *hits, size_t *found, clipspan_error *err)
{
    double *q = clsp_alloc(r->space.e, sizeof *q);
    *found = 0;
    if (q == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < r->space.e; i++) q[i] = (double)direction[i];
    clipspan_status status = nearest_to(r, q, 0, "the direction", UINT64_MAX, k, hits, found, err);
    clsp_free(q);
    return status;
}
