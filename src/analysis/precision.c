/* Which head's neighbours share what: precision at k for many query images at once.
 *
 * Queries are taken in blocks: their vectors pulled into the factors are the rows of G [Q, W], and a block of images
 * y [n, W] scores against all of them in one product, y G'. A query keeps one list of neighbours for all columns that have
 * values for the same images. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/bootstrap.h"
#include "analysis/groups.h"
#include "analysis/space.h"
#include "compute/compute.h"

enum { MOST_QUERIES = 512 };

struct clipspan_precision {
    clipspan_precision_info info;
    clsp_groups *groups;    /* [columns] */
    clipspan_space *spaces;
    uint64_t *rows;         /* [queries] rows of the store, ascending */
    double *value;          /* [spaces, columns] */
    double *chance;         /* [columns] */
    uint64_t *asked;        /* [columns] queries with a value */
    size_t *list;           /* [columns] which list of neighbours it has: columns with values for the same images share one */
    size_t *first;          /* [lists] a column of each list */
    size_t lists;
};

/* One block of queries in one space. */
typedef struct round {
    const clipspan_precision *result;
    const clsp_space *space;
    const uint64_t *rows; /* [queries] */
    size_t queries, k, step, threads;
    float *g;             /* [queries, W] */
    unsigned char *empty; /* [queries] 1: its vector is zero, nothing is near it */
    clsp_nearest *best;   /* [threads, lists, queries] */
    clipspan_retrieval_hit *hits; /* [threads, lists, queries, k] */
    float *y, *scores;    /* [threads, step, W], [threads, step, queries] */
    clipspan_status worst;
    uint64_t broken;
} round_of;

/* ---- one round ---------------------------------------------------------------------------------------------- */

static bool is_zero(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] != 0) return false;
    return true;
}

/* G = (Y M) M' for the queries' own rows Y. */
static clipspan_status make_queries(round_of *r, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_space *space = r->space;
    size_t w = space->width, e = space->e, q = r->queries;
    float *term = NULL;
    CLSP_ALLOC(term, clsp_alloc_aligned(q * e, sizeof *term));
    for (size_t i = 0; i < q; i++) {
        size_t shard, at;
        clsp_source_locate(space->source, r->rows[i], &shard, &at);
        clsp_space_rows(space, shard, at, 1, r->g + i * w);
    }
    if (space->map != NULL) {
        CLSP_TRY(clsp_sgemm(term, e, r->g, w, false, space->map, e, false, q, e, w, 1.0F, 0.0F, err));
        CLSP_TRY(clsp_sgemm(r->g, w, term, e, false, space->map, e, true, q, w, e, 1.0F, 0.0F, err));
    }
    for (size_t i = 0; i < q; i++)
        r->empty[i] = (space->weight && space->weight[r->rows[i]] == 0) || is_zero(r->g + i * w, w);
out:
    clsp_free(term);
    return status;
}

/* Images without a norm pass are looked at here: a score that is no number would stand anywhere. */
static bool all_finite(const round_of *r, const float *y, size_t n, uint64_t row, uint64_t *broken)
{
    size_t w = r->space->width;
    for (size_t i = 0; r->space->weight == NULL && i < n; i++)
        for (size_t j = 0; j < w; j++)
            if (!isfinite(y[i * w + j])) return *broken = row + i, false;
    return true;
}

/* best: [lists, queries] of one thread. An image without a value is in no list of that column. */
static void offer_all(const round_of *r, clsp_nearest *best, const float *scores, size_t n, uint64_t row)
{
    for (size_t i = 0; i < n; i++) {
        double weight = r->space->weight ? (double)r->space->weight[row + i] : 1;
        for (size_t l = 0; l < r->result->lists; l++) {
            clsp_nearest *of = best + l * r->queries;
            if (r->result->groups[r->result->first[l]].of[row + i] < 0) continue;
            for (size_t q = 0; q < r->queries; q++) {
                double score = (double)scores[i * r->queries + q] * weight;
                if (of[q].count == r->k && score < of[q].hits[0].score) continue;
                if (r->rows[q] != row + i) clsp_nearest_offer(&of[q], row + i, score);
            }
        }
    }
}

static void score_block(round_of *r, const clsp_block *block)
{
    const clsp_space *space = r->space;
    size_t thread = (size_t)omp_get_thread_num(), w = space->width;
    float *y = r->y + thread * r->step * w, *scores = r->scores + thread * r->step * r->queries;
    for (size_t at = 0; at < block->rows; at += r->step) {
        size_t n = clsp_min(r->step, block->rows - at);
        uint64_t row = block->row + at, broken = UINT64_MAX;
        clsp_space_rows(space, block->shard, block->first + at, n, y);
        clipspan_status status = clsp_sgemm(scores, r->queries, y, w, false, r->g, w, true, n, r->queries, w, 1.0F, 0.0F, NULL);
        if (status == CLIPSPAN_OK && all_finite(r, y, n, row, &broken))
            offer_all(r, r->best + thread * r->result->lists * r->queries, scores, n, row);
#pragma omp critical(clsp_precision)
        {
            if (status != CLIPSPAN_OK) r->worst = status;
            r->broken = broken < r->broken ? broken : r->broken;
        }
    }
}

/* Every thread's lists into the first one's. */
static void merge(round_of *r)
{
    size_t lists = r->result->lists * r->queries;
    for (size_t l = 0; l < lists; l++)
        for (size_t t = 1; t < r->threads; t++) {
            const clsp_nearest *other = &r->best[t * lists + l];
            for (size_t i = 0; i < other->count; i++)
                clsp_nearest_offer(&r->best[l], other->hits[i].row, other->hits[i].score);
        }
}

static void judge(const round_of *r, double *sums)
{
    const clipspan_precision *result = r->result;
    for (size_t c = 0; c < result->info.columns; c++) {
        const int32_t *of = result->groups[c].of;
        const clsp_nearest *best = r->best + result->list[c] * r->queries;
        for (size_t q = 0; q < r->queries; q++) {
            size_t same = 0;
            if (of[r->rows[q]] < 0 || r->empty[q] || best[q].count == 0) continue;
            for (size_t i = 0; i < best[q].count; i++) same += of[best[q].hits[i].row] == of[r->rows[q]];
            sums[c] += (double)same / (double)best[q].count;
        }
    }
}

static clipspan_status run_round(round_of *r, double *sums, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_source *source = r->space->source;
    for (size_t i = 0; i < r->threads * r->result->lists * r->queries; i++)
        r->best[i] = (clsp_nearest){.hits = r->hits + i * r->k, .k = r->k};
    CLSP_TRY(make_queries(r, err));
#pragma omp parallel for schedule(dynamic) num_threads(source->threads)
    for (size_t b = 0; b < source->block_count; b++) score_block(r, &source->blocks[b]);
    if (r->worst != CLIPSPAN_OK) CLSP_TRY(clsp_fail(err, r->worst, "the images' scores could not be made"));
    if (r->broken != UINT64_MAX) CLSP_TRY(clsp_space_broken(r->space, r->broken, err));
    merge(r);
    judge(r, sums);
out:
    return status;
}

/* ---- one space ---------------------------------------------------------------------------------------------- */

static size_t round_size(const clipspan_precision *result, size_t threads)
{
    const size_t hits = (size_t)1 << 22; /* 64 MB of lists */
    size_t fitting = clsp_max(hits / threads / result->lists / result->info.k, 1);
    return clsp_min(clsp_min(fitting, MOST_QUERIES), (size_t)result->info.queries);
}

static clipspan_status round_open(round_of *r, const clipspan_precision *result, const clsp_space *space, size_t most,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t threads = (size_t)space->source->threads, w = space->width, cells;
    *r = (round_of){.result = result, .space = space, .k = result->info.k, .threads = threads, .step = clsp_space_step(space, most),
                    .broken = UINT64_MAX};
    if (!clsp_mul(&cells, threads * result->lists * most, r->k)) return clsp_fail_memory(err);
    CLSP_ALLOC(r->g, clsp_alloc_aligned(most * w, sizeof *r->g));
    CLSP_ALLOC(r->empty, clsp_alloc(most, 1));
    CLSP_ALLOC(r->best, clsp_alloc(threads * result->lists * most, sizeof *r->best));
    CLSP_ALLOC(r->hits, clsp_alloc(cells, sizeof *r->hits));
    CLSP_ALLOC(r->y, clsp_alloc_aligned(threads * r->step * w, sizeof *r->y));
    CLSP_ALLOC(r->scores, clsp_alloc_aligned(threads * r->step * most, sizeof *r->scores));
out:
    return status;
}

static void round_close(round_of *r)
{
    clsp_free(r->g);
    clsp_free(r->empty);
    clsp_free(r->best);
    clsp_free(r->hits);
    clsp_free(r->y);
    clsp_free(r->scores);
}

/* sums: [columns] of the precisions, made means. */
static clipspan_status evaluate(const clipspan_precision *result, const clsp_space *space, double *sums,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t most = round_size(result, (size_t)space->source->threads), queries = (size_t)result->info.queries;
    round_of r = {0};
    CLSP_TRY(round_open(&r, result, space, most, err));
    for (size_t first = 0; first < queries; first += most) {
        r.rows = result->rows + first;
        r.queries = clsp_min(most, queries - first);
        CLSP_TRY(run_round(&r, sums, err));
    }
    for (size_t c = 0; c < result->info.columns; c++)
        sums[c] = result->asked[c] ? sums[c] / (double)result->asked[c] : (double)NAN;
out:
    round_close(&r);
    return status;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

/* Selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S): ascending rows, each set of equal
 * chance. */
static void draw(uint64_t *rows, uint64_t wanted, uint64_t images, uint64_t seed)
{
    uint64_t taken = 0;
    for (uint64_t row = 0; row < images && taken < wanted; row++) {
        double u = (double)(clsp_random(&seed) >> 11) / 9007199254740992.0; /* [0, 1) */
        if ((double)(images - row) * u < (double)(wanted - taken)) rows[taken++] = row;
    }
}

static bool same_images(const clsp_groups *a, const clsp_groups *b, uint64_t images)
{
    for (uint64_t row = 0; row < images; row++)
        if ((a->of[row] < 0) != (b->of[row] < 0)) return false;
    return true;
}

static void share_lists(clipspan_precision *r)
{
    for (size_t c = 0; c < r->info.columns; c++) {
        size_t l = 0;
        while (l < r->lists && !same_images(&r->groups[c], &r->groups[r->first[l]], r->info.images)) l++;
        if (l == r->lists) r->first[r->lists++] = c;
        r->list[c] = l;
    }
}

static void count_queries(clipspan_precision *r)
{
    for (size_t c = 0; c < r->info.columns; c++) {
        const clsp_groups *g = &r->groups[c];
        double sum = 0;
        for (uint64_t q = 0; q < r->info.queries; q++) {
            int32_t group = g->of[r->rows[q]];
            if (group < 0) continue;
            r->asked[c]++;
            sum += ((double)g->sizes[group] - 1) / ((double)g->images - 1);
        }
        r->chance[c] = r->asked[c] ? sum / (double)r->asked[c] : (double)NAN;
    }
}

/* Each chosen head, the set where it says something new, the whole. */
static clipspan_status list_spaces(clipspan_precision *r, const clipspan_basis *basis, const unsigned char *heads,
                                   clipspan_error *err)
{
    size_t all = (size_t)basis->layers * (size_t)basis->heads, chosen = 0;
    r->spaces = clsp_alloc(all + 2, sizeof *r->spaces);
    if (r->spaces == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < all; h++) {
        if (heads != NULL && !heads[h]) continue;
        r->spaces[chosen++] =
            (clipspan_space){CLIPSPAN_SPACE_HEAD, (int)h / basis->heads, (int)h % basis->heads, 1};
    }
    if (chosen == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no head is chosen");
    r->info.spaces = chosen;
    if (chosen > 1 && chosen < all)
        r->spaces[r->info.spaces++] = (clipspan_space){CLIPSPAN_SPACE_SET, -1, -1, chosen};
    r->spaces[r->info.spaces++] = (clipspan_space){CLIPSPAN_SPACE_WHOLE, -1, -1, 0};
    return CLIPSPAN_OK;
}

static clipspan_status result_open(clipspan_precision **out, const clipspan_store *store,
                                   const clipspan_retrieval_options *retrieval,
                                   const clipspan_precision_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t images = clipspan_store_get_info(store)->images;
    clipspan_precision *r = NULL;
    if (images < 2) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store has fewer than two images");
    if (options->k == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "0 neighbours were asked for");
    CLSP_ALLOC(r, clsp_alloc_zero(1, sizeof *r));
    r->info = (clipspan_precision_info){.images = images, .k = clsp_min(options->k, (size_t)images - 1),
                                        .convention = retrieval->convention, .similarity = retrieval->similarity,
                                        .centred = retrieval->centred};
    r->info.queries = options->queries && options->queries < images ? options->queries : images;
    CLSP_TRY(clsp_groups_open(&r->groups, &r->info.columns, store, options->columns, options->column_count, err));
    CLSP_TRY(list_spaces(r, clipspan_store_basis(store), retrieval->heads, err));
    CLSP_ALLOC(r->rows, clsp_alloc((size_t)r->info.queries, sizeof *r->rows));
    CLSP_ALLOC(r->value, clsp_alloc_zero(r->info.spaces * r->info.columns, sizeof *r->value));
    CLSP_ALLOC(r->chance, clsp_alloc(r->info.columns, sizeof *r->chance));
    CLSP_ALLOC(r->asked, clsp_alloc_zero(r->info.columns, sizeof *r->asked));
    CLSP_ALLOC(r->list, clsp_alloc(r->info.columns, sizeof *r->list));
    CLSP_ALLOC(r->first, clsp_alloc(r->info.columns, sizeof *r->first));
    share_lists(r);
    draw(r->rows, r->info.queries, images, options->seed);
    count_queries(r);
    *out = r;
    r = NULL;
out:
    clipspan_precision_free(r);
    return status;
}

static clipspan_status tell(const clipspan_precision *r, const clipspan_hooks *hooks, size_t done, clipspan_error *err)
{
    const clipspan_progress now = {"heads", done, r->info.spaces, 0};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &now) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu heads", done, r->info.spaces);
}

static clipspan_status run_space(clipspan_precision *r, const clsp_source *source, size_t s, unsigned char *one,
                                 const clipspan_retrieval_options *options, clipspan_error *err)
{
    clsp_space space;
    const clipspan_space *at = &r->spaces[s];
    size_t number = at->layer < 0 ? 0 : (size_t)at->layer * (size_t)clipspan_store_basis(source->store)->heads + (size_t)at->head;
    one[number] = 1;
    clipspan_retrieval_options plain = *options;
    plain.norms = NULL;
    clipspan_status status =
        clsp_space_open(&space, source, at->kind == CLIPSPAN_SPACE_SET ? options->heads : one,
                        at->kind == CLIPSPAN_SPACE_WHOLE, &plain, NULL, err);
    one[number] = 0;
    if (status != CLIPSPAN_OK) return status;
    status = evaluate(r, &space, r->value + s * r->info.columns, err);
    clsp_space_close(&space);
    return status;
}

clipspan_status clipspan_precision_run(clipspan_precision **out, const clipspan_store *store,
                                       const clipspan_retrieval_options *retrieval,
                                       const clipspan_precision_options *options, const clipspan_hooks *hooks,
                                       clipspan_error *err)
{
    static const clipspan_retrieval_options spaces = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    static const clipspan_precision_options standard = CLIPSPAN_PRECISION_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clsp_source source = {0};
    clipspan_precision *r = NULL;
    unsigned char *one = NULL;
    if (retrieval == NULL) retrieval = &spaces;
    if (options == NULL) options = &standard;
    int before = clsp_threads(1); /* of products outside the loops: their bits must not depend on the number */
    *out = NULL;
    CLSP_ALLOC(one, clsp_alloc_zero((size_t)info->layers * (size_t)info->heads, 1));
    CLSP_TRY(clsp_source_open(&source, store, retrieval->verify, retrieval->threads, err));
    CLSP_TRY(result_open(&r, store, retrieval, options, err));
    for (size_t s = 0; s < r->info.spaces; s++) {
        CLSP_TRY(tell(r, hooks, s, err));
        CLSP_TRY(run_space(r, &source, s, one, retrieval, err));
    }
    CLSP_TRY(tell(r, hooks, r->info.spaces, err));
    *out = r;
    r = NULL;
out:
    clsp_threads(before);
    clsp_free(one);
    clsp_source_close(&source);
    clipspan_precision_free(r);
    return status;
}

void clipspan_precision_free(clipspan_precision *r)
{
    if (r == NULL) return;
    clsp_groups_free(r->groups, r->info.columns);
    clsp_free(r->spaces);
    clsp_free(r->rows);
    clsp_free(r->value);
    clsp_free(r->chance);
    clsp_free(r->asked);
    clsp_free(r->list);
    clsp_free(r->first);
    clsp_free(r);
}

/* ---- what it says ------------------------------------------------------------------------------------------- */

clipspan_precision_info clipspan_precision_get_info(const clipspan_precision *r)
{
    return r->info;
}

clipspan_space clipspan_precision_space(const clipspan_precision *r, size_t space)
{
    const clipspan_space none = {CLIPSPAN_SPACE_WHOLE, -1, -1, 0};
    return space < r->info.spaces ? r->spaces[space] : none;
}

const char *clipspan_precision_column(const clipspan_precision *r, size_t column)
{
    return column < r->info.columns ? r->groups[column].name : NULL;
}

uint64_t clipspan_precision_queries(const clipspan_precision *r, size_t column)
{
    return column < r->info.columns ? r->asked[column] : 0;
}

uint64_t clipspan_precision_images(const clipspan_precision *r, size_t column)
{
    return column < r->info.columns ? r->groups[column].images : 0;
}

size_t clipspan_precision_values(const clipspan_precision *r, size_t column)
{
    return column < r->info.columns ? r->groups[column].count : 0;
}

double clipspan_precision_of(const clipspan_precision *r, size_t space, size_t column)
{
    bool known = space < r->info.spaces && column < r->info.columns;
    return known ? r->value[space * r->info.columns + column] : (double)NAN;
}

double clipspan_precision_chance(const clipspan_precision *r, size_t column)
{
    return column < r->info.columns ? r->chance[column] : (double)NAN;
}
