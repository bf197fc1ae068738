/* TextSpan (the paper's algorithm 1) for many heads at once, from moments alone.
 *
 * Heads are worked on in groups whose memory is bounded: spans (head by head), the pool projected on all their axes in
 * one product a block of texts, then the greedy picks (head by head). With a pool so large that one head fills the bound,
 * the group is that head, and its loops over texts are shared between threads instead. */
#include "analysis/textspan.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/greedy.h"
#include "analysis/span.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

/* From MANY texts on, threads share a head's texts and not the heads: so many fill their part of a cache. */
enum { MANY = 65536, LOUD_HEADS = 4 };
static const size_t GROUP_BYTES = (size_t)512 << 20;

typedef struct outcome {
    clipspan_status status;
    clipspan_error error;
} outcome;

typedef struct job {
    clipspan_textspan *result;
    const clipspan_moments *moments;
    const clipspan_hooks *hooks;
    clsp_pool pool;
    size_t width, cap; /* factors of a head; axes at most */
    size_t group;      /* heads at once */
    int threads;
    clsp_span *spans;  /* [group] */
    size_t *offset;    /* [group + 1] first row of each head's axes */
    outcome *outcomes; /* [group] */
    float *axes;       /* [group * cap, E] */
    clsp_screen screen; /* the pool on the group's axes */
    float *room;       /* [threads, clsp_screen_room] */
    size_t ended;      /* heads that ended early */
} job;

/* ---- options and result ------------------------------------------------------------------------------- */

static clipspan_status check(const clipspan_moments *moments, const clipspan_texts *pool,
                             const clipspan_textspan_options *o, clipspan_error *err)
{
    if (o->convention != CLIPSPAN_PAPER && o->convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)o->convention);
    if (o->size < 1 || o->rank < 1 || o->top_images < 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "size %d, rank %d, top images %d: expected at least 1, 1 and 0", o->size, o->rank,
                         o->top_images);
    if (clipspan_texts_count(pool) == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the text pool is empty");
    if (clipspan_moments_images(moments) < 2)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "moments of %llu images: a variance needs at least 2",
                         (unsigned long long)clipspan_moments_images(moments));
    return CLIPSPAN_OK;
}

/* Longest row; refuses numbers that are not finite, by the text's name. */
static clipspan_status measure_pool(job *j, const clipspan_texts *texts, clipspan_error *err)
{
    size_t bad;
    clipspan_status status = clsp_pool_measure(&j->pool, j->threads, &bad, err);
    if (status != CLIPSPAN_OK || bad == j->pool.vectors.count) return status;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the embedding of text %zu (\"%s\") is not finite", bad,
                     clipspan_texts_get(texts, bad));
}

static clipspan_status copy_pool(clipspan_textspan *result, const clipspan_texts *pool, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t bytes = 0, at = 0;
    result->pool_count = clipspan_texts_count(pool);
    for (size_t j = 0; j < result->pool_count; j++) bytes += strlen(clipspan_texts_get(pool, j)) + 1;
    CLSP_ALLOC(result->pool, clsp_alloc(bytes, 1));
    CLSP_ALLOC(result->pool_at, clsp_alloc(result->pool_count, sizeof *result->pool_at));
    for (size_t j = 0; j < result->pool_count; j++) {
        const char *text = clipspan_texts_get(pool, j);
        size_t length = strlen(text) + 1;
        result->pool_at[j] = at;
        memcpy(result->pool + at, text, length);
        at += length;
    }
out:
    return status;
}

static clipspan_status list_heads(clipspan_textspan *result, const clipspan_basis *basis,
                                  const unsigned char *chosen, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t all = (size_t)basis->layers * (size_t)basis->heads;
    for (size_t i = 0; i < all; i++) result->count += chosen == NULL || chosen[i];
    if (result->count == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no head is chosen");
    CLSP_ALLOC(result->heads, clsp_alloc_zero(result->count, sizeof *result->heads));
    for (size_t i = 0, at = 0; i < all; i++)
        if (chosen == NULL || chosen[i])
            result->heads[at++] = (clipspan_textspan_head){.layer = (int)(i / (size_t)basis->heads),
                                                           .head = (int)(i % (size_t)basis->heads)};
out:
    return status;
}

static clipspan_status result_open(clipspan_textspan **out, const clipspan_moments *moments,
                                   const clipspan_texts *pool, const clipspan_textspan_options *options,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_moments_basis(moments);
    clipspan_textspan *result = NULL;
    size_t cells;
    CLSP_ALLOC(result, clsp_alloc_zero(1, sizeof *result));
    result->options = *options;
    result->options.heads = NULL;
    result->embed_dim = (size_t)basis->embed_dim;
    result->images = clipspan_moments_images(moments);
    /* No head yields more texts than it has factors. */
    result->size = clsp_min((size_t)options->size, clsp_head_width(basis, options->convention));
    CLSP_TRY(list_heads(result, basis, options->heads, err));
    CLSP_TRY(copy_pool(result, pool, err));
    if (!clsp_mul(&cells, result->count, result->size)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(result->texts, clsp_alloc_zero(cells, sizeof *result->texts));
    if (!clsp_mul(&cells, cells, result->embed_dim)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(result->directions, clsp_alloc_zero(cells, sizeof *result->directions));
    *out = result;
    result = NULL;
out:
    clipspan_textspan_free(result);
    return status;
}

/* ---- the work ------------------------------------------------------------------------------------------- */

static clipspan_status job_open(job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = j->result->embed_dim, texts = j->pool.vectors.count, one, rows, cells;
    if (!clsp_add(&one, clsp_screen_bytes(texts, j->cap), j->cap * e * (sizeof(float) + sizeof(double))))
        return clsp_fail_memory(err);
    j->group = clsp_min(j->result->count, clsp_max(GROUP_BYTES / one, 1));
    rows = j->group * j->cap;
    CLSP_ALLOC(j->spans, clsp_alloc_zero(j->group, sizeof *j->spans));
    CLSP_ALLOC(j->offset, clsp_alloc_zero(j->group + 1, sizeof *j->offset));
    CLSP_ALLOC(j->outcomes, clsp_alloc_zero(j->group, sizeof *j->outcomes));
    if (!clsp_mul(&cells, rows, e)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(j->axes, clsp_alloc_aligned(cells, sizeof(float)));
    CLSP_TRY(clsp_screen_open(&j->screen, texts, rows, err));
    if (!clsp_mul(&cells, (size_t)j->threads, clsp_screen_room(e))) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(j->room, clsp_alloc_aligned(cells, sizeof(float)));
out:
    return status;
}

static void job_close(job *j)
{
    for (size_t i = 0; j->spans != NULL && i < j->group; i++) clsp_span_free(&j->spans[i]);
    clsp_free(j->spans);
    clsp_free(j->offset);
    clsp_free(j->outcomes);
    clsp_free(j->axes);
    clsp_screen_close(&j->screen);
    clsp_free(j->room);
}

/* The first head, in order, that failed, with its name before the message. */
static clipspan_status first_failure(const job *j, size_t first, size_t n, clipspan_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const clipspan_textspan_head *head = &j->result->heads[first + i];
        if (j->outcomes[i].status != CLIPSPAN_OK)
            return clsp_fail(err, j->outcomes[i].status, "L%d.H%d: %s", head->layer, head->head,
                             j->outcomes[i].error.message);
    }
    return CLIPSPAN_OK;
}

static clipspan_status build_spans(job *j, size_t first, size_t n, clipspan_error *err)
{
#pragma omp parallel for schedule(dynamic) num_threads(j->threads)
    for (size_t i = 0; i < n; i++) {
        clsp_span_free(&j->spans[i]);
        const clipspan_textspan_head *head = &j->result->heads[first + i];
        j->outcomes[i].status = clsp_span_of_head(&j->spans[i], j->moments, j->result->options.convention, head->layer,
                                                  head->head, j->cap, &j->outcomes[i].error);
    }
    clipspan_status status = first_failure(j, first, n, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < n; i++) {
        clipspan_textspan_head *head = &j->result->heads[first + i];
        size_t cells = j->spans[i].k * j->result->embed_dim;
        float *axes = j->axes + j->offset[i] * j->result->embed_dim;
        for (size_t c = 0; c < cells; c++) axes[c] = (float)j->spans[i].basis[c];
        j->offset[i + 1] = j->offset[i] + j->spans[i].k;
        head->rank = (int)j->spans[i].k;
        head->variance = j->spans[i].total;
    }
    return CLIPSPAN_OK;
}

/* Blocks of texts, each product on its own thread, so that the numbers do not depend on how many there are. */
static clipspan_status project_pool(job *j, size_t n, clipspan_error *err)
{
    outcome failed = {CLIPSPAN_OK, {0}};
    j->screen.rows = j->offset[n];
#pragma omp parallel for schedule(dynamic) num_threads(j->threads)
    for (size_t b = 0; b < j->screen.blocks; b++) {
        clipspan_error message;
        float *room = j->room + (size_t)omp_get_thread_num() * clsp_screen_room(j->result->embed_dim);
        clipspan_status status = clsp_screen_fill(&j->screen, b, &j->pool, j->axes, room, &message);
        clsp_pool_passed(&j->pool, b);
        if (status == CLIPSPAN_OK) continue;
#pragma omp critical(clsp_project_pool)
        failed = (outcome){status, message};
    }
    return failed.status == CLIPSPAN_OK ? CLIPSPAN_OK : clsp_fail(err, failed.status, "%s", failed.error.message);
}

static clipspan_status pick(const job *j, size_t first, size_t i, int threads, clipspan_error *err)
{
    clipspan_textspan *result = j->result;
    size_t at = (first + i) * result->size, count;
    clipspan_textspan_head *head = &result->heads[first + i];
    clipspan_status status =
        clsp_greedy_run(&j->spans[i], &j->pool, &j->screen, j->offset[i], result->size, threads, result->texts + at, result->directions + at * result->embed_dim, &count,
                        err);
    if (status != CLIPSPAN_OK) return status;
    head->texts = result->texts + at;
    head->count = (int)count;
    for (size_t m = 0; m < count; m++) head->explained += head->texts[m].explained;
    return CLIPSPAN_OK;
}

static clipspan_status pick_texts(job *j, size_t first, size_t n, clipspan_error *err)
{
    bool by_heads = n > 1 && j->pool.vectors.count < MANY;
    int outer = by_heads ? j->threads : 1, inner = by_heads ? 1 : j->threads;
#pragma omp parallel for schedule(dynamic) num_threads(outer) if (outer > 1)
    for (size_t i = 0; i < n; i++) j->outcomes[i].status = pick(j, first, i, inner, &j->outcomes[i].error);
    return first_failure(j, first, n, err);
}

static void warn(const clipspan_hooks *hooks, const char *message)
{
    if (hooks != NULL && hooks->warn != NULL && message != NULL) hooks->warn(hooks->user, message);
}

/* Says which heads ended before `size` texts, and why. */
static void say_early_ends(job *j, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const clipspan_textspan_head *head = &j->result->heads[first + i];
        if (head->count >= j->result->options.size) continue;
        if (j->ended++ >= LOUD_HEADS) continue;
        char *message =
            head->variance > 0
                ? clsp_format("L%d.H%d: %d of %d texts: %s (rank %d)", head->layer, head->head, head->count,
                              j->result->options.size,
                              head->count >= head->rank ? "every direction of the head is used up"
                                                        : "what the other texts still reach is below round-off",
                              head->rank)
                : clsp_format("L%d.H%d: no texts: the head's contribution is the same for every image", head->layer,
                              head->head);
        warn(j->hooks, message);
        clsp_free(message);
    }
}

static clipspan_status tell(const job *j, size_t done, clipspan_error *err)
{
    clipspan_progress now = {.stage = "textspan", .done = done, .total = j->result->count};
    if (j->hooks == NULL || j->hooks->progress == NULL || j->hooks->progress(j->hooks->user, &now) == 0)
        return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu heads", done,
                     j->result->count);
}

static clipspan_status all_groups(job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(tell(j, 0, err));
    for (size_t first = 0; first < j->result->count; first += j->group) {
        size_t n = clsp_min(j->group, j->result->count - first);
        CLSP_TRY(build_spans(j, first, n, err));
        CLSP_TRY(project_pool(j, n, err));
        CLSP_TRY(pick_texts(j, first, n, err));
        say_early_ends(j, first, n);
        CLSP_TRY(tell(j, first + n, err));
    }
    if (j->ended > LOUD_HEADS) {
        char *message = clsp_format("%zu more heads ended before %d texts for the same reason", j->ended - LOUD_HEADS,
                                    j->result->options.size);
        warn(j->hooks, message);
        clsp_free(message);
    }
out:
    return status;
}

clipspan_status clipspan_textspan_run(clipspan_textspan **out, const clipspan_moments *moments,
                                      const clipspan_texts *pool, const float *pool_embeddings,
                                      const clipspan_textspan_options *options, const clipspan_hooks *hooks,
                                      clipspan_error *err)
{
    const clipspan_vectors vectors = {.values = pool_embeddings, .count = clipspan_texts_count(pool),
                                      .embed_dim = (size_t)clipspan_moments_basis(moments)->embed_dim};
    return clipspan_textspan_run_vectors(out, moments, pool, &vectors, options, hooks, err);
}

static clipspan_status check_vectors(const clipspan_vectors *vectors, const clipspan_textspan *result, clipspan_error *err)
{
    if (vectors->count == result->pool_count && vectors->embed_dim == result->embed_dim) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%zu vectors of %zu numbers for %zu texts in %zu dimensions",
                     vectors->count, vectors->embed_dim, result->pool_count, result->embed_dim);
}

clipspan_status clipspan_textspan_run_vectors(clipspan_textspan **out, const clipspan_moments *moments,
                                              const clipspan_texts *pool, const clipspan_vectors *vectors,
                                              const clipspan_textspan_options *options, const clipspan_hooks *hooks,
                                              clipspan_error *err)
{
    static const clipspan_textspan_options defaults = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    job j = {.moments = moments, .hooks = hooks};
    *out = NULL;
    if (options == NULL) options = &defaults;
    int before = clsp_threads(options->threads);
    CLSP_TRY(check(moments, pool, options, err));
    CLSP_TRY(result_open(&j.result, moments, pool, options, err));
    CLSP_TRY(check_vectors(vectors, j.result, err));
    j.pool.vectors = *vectors;
    j.threads = options->threads > 0 ? options->threads : clsp_cpu_count();
    CLSP_TRY(measure_pool(&j, pool, err));
    j.width = clsp_head_width(clipspan_moments_basis(moments), options->convention);
    j.cap = clsp_min(clsp_min(j.width, (size_t)options->rank), j.result->embed_dim);
    CLSP_TRY(job_open(&j, err));
    CLSP_TRY(all_groups(&j, err));
    *out = j.result;
    j.result = NULL;
out:
    clsp_threads(before);
    job_close(&j);
    clipspan_textspan_free(j.result);
    return status;
}

/* ---- reading a result -------------------------------------------------------------------------------------- */

void clipspan_textspan_free(clipspan_textspan *result)
{
    if (result == NULL) return;
    clsp_free(result->heads);
    clsp_free(result->texts);
    clsp_free(result->directions);
    clsp_free(result->pool);
    clsp_free(result->pool_at);
    clsp_free(result->rows);
    clsp_free(result->values);
    clsp_free(result->stability);
    clsp_free(result);
}

clipspan_textspan_info clipspan_textspan_get_info(const clipspan_textspan *result)
{
    return (clipspan_textspan_info){.convention = result->options.convention,
                                    .size = result->options.size,
                                    .rank = result->options.rank,
                                    .images = result->images,
                                    .pool_texts = result->pool_count,
                                    .embed_dim = result->embed_dim};
}

size_t clipspan_textspan_head_count(const clipspan_textspan *result)
{
    return result->count;
}

const clipspan_textspan_head *clipspan_textspan_get(const clipspan_textspan *result, size_t i)
{
    return i < result->count ? &result->heads[i] : NULL;
}

const float *clipspan_textspan_direction(const clipspan_textspan *result, size_t i, int text)
{
    if (i >= result->count || text < 0 || text >= result->heads[i].count) return NULL;
    return result->directions + (i * result->size + (size_t)text) * result->embed_dim;
}

const char *clipspan_textspan_text_of(const clipspan_textspan *result, size_t text)
{
    return text < result->pool_count ? result->pool + result->pool_at[text] : NULL;
}
