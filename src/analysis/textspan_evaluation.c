/* TextSpan's evaluation (ALGORITHMS 3): texts found, their shares of the variance, their stability, and accuracy. */
#include <math.h>
#include <string.h>

#include "analysis/blocks.h"
#include "analysis/evaluation.h"
#include "analysis/stability.h"
#include "analysis/textspan.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 512 };

struct clipspan_textspan_evaluation {
    clipspan_textspan_evaluation_info info;
    int *size;                                  /* [sizes] */
    clipspan_textspan_evaluation_point *points; /* [pools, sizes] */
    char **names;                               /* [pools] */
    clipspan_textspan **spans;                  /* [pools] */
    double **held_out;                          /* [pools]: [heads, span size]; NULL where not apart */
};

typedef struct job {
    const clipspan_store *store, *measured; /* one and the same, unless another is held out */
    const clipspan_textspan_pool *pools;
    const clipspan_textspan_scoring *scoring;
    clipspan_textspan_evaluation_options options;
    const clipspan_hooks *hooks;
    unsigned char *side[2];     /* [I]: rows that texts are found on; that are measured. NULL: all */
    clipspan_moments *moments[2]; /* of the two; [1] NULL: the same images */
    unsigned char *late;        /* [L * H] */
    clipspan_textspan_evaluation *result;
} job;

/* ---- options ---------------------------------------------------------------------------------------------- */

static clipspan_status check_sizes(const clipspan_textspan_evaluation_options *o, clipspan_error *err)
{
    enum { MOST = 100000 };
    if (o->size_count < 1 || o->size_count > CLIPSPAN_EVALUATION_SIZES)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu sizes: expected 1 to %d", o->size_count,
                         (int)CLIPSPAN_EVALUATION_SIZES);
    for (size_t i = 0; i < o->size_count; i++)
        if (o->sizes[i] < 1 || o->sizes[i] > MOST || (i > 0 && o->sizes[i] <= o->sizes[i - 1]))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "size %d: sizes are 1 to %d, each larger than the one before",
                             o->sizes[i], (int)MOST);
    return CLIPSPAN_OK;
}

static clipspan_status check_stores(const job *j, clipspan_error *err)
{
    const clipspan_store_info *a = clipspan_store_get_info(j->store), *b = clipspan_store_get_info(j->measured);
    if (j->options.halves && j->options.held_out != NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "halves and another store exclude each other");
    if (strcmp(a->model_fingerprint, b->model_fingerprint) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                         "the held-out store is of the model %s (%.8s), the store of %s (%.8s)", b->model_name,
                         b->model_fingerprint, a->model_name, a->model_fingerprint);
    if (b->moments_only || (a->moments_only && (j->options.halves || j->options.resamples > 0)))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store holds moments alone, no single images to measure on");
    return CLIPSPAN_OK;
}

static clipspan_status check(job *j, size_t pool_count, clipspan_error *err)
{
    static const int sizes[] = {5, 10, 20, 40, 60};
    clipspan_textspan_evaluation_options *o = &j->options;
    if (o->sizes == NULL) {
        o->sizes = sizes;
        o->size_count = sizeof sizes / sizeof *sizes;
    }
    if (pool_count == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no text pool is given");
    if (o->last < 1 || o->resamples < 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "last %d, resamples %d: expected at least 1 and 0", o->last,
                         o->resamples);
    if (j->scoring->classes == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the list of classes is empty");
    int layers = clipspan_store_get_info(j->store)->layers;
    if (o->last > layers) o->last = layers;
    clipspan_status status = check_sizes(o, err);
    return status == CLIPSPAN_OK ? check_stores(j, err) : status;
}

static clipspan_status result_open(job *j, size_t pool_count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan_evaluation_options *o = &j->options;
    const clipspan_store_info *info = clipspan_store_get_info(j->store);
    clipspan_textspan_evaluation *r;
    CLSP_ALLOC(j->result, clsp_alloc_zero(1, sizeof *j->result));
    r = j->result;
    r->info = (clipspan_textspan_evaluation_info){.convention = o->convention, .layers = info->layers, .last = o->last,
                                                  .heads = o->last * info->heads, .pools = pool_count,
                                                  .apart = o->halves || o->held_out != NULL, .sizes = o->size_count};
    CLSP_ALLOC(r->size, clsp_alloc(o->size_count, sizeof *r->size));
    memcpy(r->size, o->sizes, o->size_count * sizeof *r->size);
    CLSP_ALLOC(r->points, clsp_alloc_zero(pool_count * o->size_count, sizeof *r->points));
    CLSP_ALLOC(r->names, clsp_alloc_zero(pool_count, sizeof *r->names));
    CLSP_ALLOC(r->spans, clsp_alloc_zero(pool_count, sizeof *r->spans));
    CLSP_ALLOC(r->held_out, clsp_alloc_zero(pool_count, sizeof *r->held_out));
    for (size_t p = 0; p < pool_count; p++) CLSP_ALLOC(r->names[p], clsp_strdup(j->pools[p].name));
    size_t all = (size_t)info->layers * (size_t)info->heads, early = all - (size_t)r->info.heads;
    CLSP_ALLOC(j->late, clsp_alloc_zero(all, 1));
    memset(j->late + early, 1, all - early);
out:
    return status;
}

/* ---- moments of the two sides ------------------------------------------------------------------------------- */

typedef struct filling {
    const job *j;
    size_t heads, width, packed;
} filling;

/* Moments of each side's images, in the one convention that is asked for. */
static clipspan_status add_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const filling *f = user;
    clipspan_convention c = f->j->options.convention;
    size_t *rows[2] = {NULL, NULL}, counts[2] = {0, 0}, each = CLSP_MOMENTS_BLOCK * f->width;
    double *y = NULL;
    CLSP_ALLOC(rows[0], clsp_alloc(batch->images, sizeof *rows[0]));
    CLSP_ALLOC(rows[1], clsp_alloc(batch->images, sizeof *rows[1]));
    CLSP_ALLOC(y, clsp_alloc(f->heads * each, sizeof *y));
    for (size_t i = 0; i < batch->images; i++) {
        int side = f->j->side[1][batch->index[i]];
        rows[side][counts[side]++] = i;
    }
    for (int side = 0; side < 2; side++) {
        clipspan_moments *m = f->j->moments[side];
        m->images += counts[side];
#pragma omp parallel for schedule(static)
        for (size_t h = 0; h < f->heads; h++)
            clsp_head_moments_add(m->sum[c] + h * f->width, m->second[c] + h * f->packed, batch, c,
                                  (int)(h / (size_t)batch->basis->heads), (int)(h % (size_t)batch->basis->heads), rows[side],
                                  counts[side], y + h * each);
    }
out:
    clsp_free(rows[0]);
    clsp_free(rows[1]);
    clsp_free(y);
    return status;
}

/* Which half an image is in depends on its name alone. */
static clipspan_status halve(job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t rows = (size_t)clipspan_store_get_info(j->store)->images;
    const clipspan_basis *basis = clipspan_store_basis(j->store);
    const filling f = {j, (size_t)basis->layers * (size_t)basis->heads, clsp_head_width(basis, j->options.convention),
                       clsp_moments_packed(basis, j->options.convention)};
    const clipspan_store_selection select = {.parts = 0, .batch = BATCH};
    for (int side = 0; side < 2; side++) {
        CLSP_ALLOC(j->side[side], clsp_alloc(rows, 1));
        CLSP_TRY(clipspan_moments_new(&j->moments[side], basis, err));
    }
    for (size_t i = 0; i < rows; i++) {
        j->side[1][i] = clsp_image_hash(j->store, i) & 1;
        j->side[0][i] = !j->side[1][i];
    }
    CLSP_TRY(clipspan_store_each(j->store, &select, add_batch, (void *)&f, j->hooks, err));
out:
    return status;
}

static clipspan_status make_moments(job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (j->options.halves)
        CLSP_TRY(halve(j, err));
    else
        CLSP_TRY(clipspan_store_moments(j->store, &j->moments[0], err));
    if (j->options.held_out != NULL) CLSP_TRY(clipspan_store_moments(j->measured, &j->moments[1], err));
    for (int side = 0; side < 2; side++)
        if (j->moments[side] != NULL && clipspan_moments_images(j->moments[side]) < 2)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%llu images to %s: a variance needs at least 2",
                             (unsigned long long)clipspan_moments_images(j->moments[side]),
                             side ? "measure on" : "find texts on");
    j->result->info.found_on = clipspan_moments_images(j->moments[0]);
    j->result->info.measured_on = clipspan_moments_images(j->moments[j->moments[1] != NULL]);
out:
    return status;
}

/* ---- one pool -------------------------------------------------------------------------------------------------- */

static clipspan_status find_texts(job *j, size_t p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_textspan_evaluation_options *o = &j->options;
    const clipspan_textspan_options options = {.convention = o->convention, .size = o->sizes[o->size_count - 1],
                                               .rank = o->rank, .heads = j->late, .threads = o->threads};
    int32_t *of = NULL;
    CLSP_TRY(clipspan_textspan_run(&j->result->spans[p], j->moments[0], j->pools[p].texts, j->pools[p].embeddings, &options,
                                   j->hooks, err));
    if (o->resamples == 0) goto out;
    CLSP_ALLOC(of, clsp_alloc((size_t)clipspan_store_get_info(j->store)->images, sizeof *of));
    size_t blocks = clsp_blocks_assign(of, j->store, j->side[0]);
    CLSP_TRY(clsp_stability_measure(j->result->spans[p], j->store, j->pools[p].embeddings, of, blocks, o->resamples,
                                    j->hooks, err));
out:
    clsp_free(of);
    return status;
}

/* A head's room for its variance on the measured images. */
typedef struct measure {
    size_t n, e;
    float *narrow;                /* [n, E] */
    double *mean, *second, *u, *total; /* [n], [n, n], [n]; total: [heads] */
} measure;

static void measure_close(measure *m)
{
    clsp_free(m->narrow), clsp_free(m->mean), clsp_free(m->second), clsp_free(m->u), clsp_free(m->total);
    *m = (measure){0};
}

static clipspan_status measure_open(measure *m, const job *j, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(j->store);
    *m = (measure){.n = clsp_head_width(basis, j->options.convention), .e = (size_t)basis->embed_dim};
    CLSP_ALLOC(m->narrow, clsp_alloc(m->n * m->e, sizeof *m->narrow));
    CLSP_ALLOC(m->mean, clsp_alloc(m->n, sizeof *m->mean));
    CLSP_ALLOC(m->second, clsp_alloc(m->n * m->n, sizeof *m->second));
    CLSP_ALLOC(m->u, clsp_alloc(m->n, sizeof *m->u));
    CLSP_ALLOC(m->total, clsp_alloc((size_t)j->result->info.heads, sizeof *m->total));
out:
    if (status != CLIPSPAN_OK) measure_close(m);
    return status;
}

static double row_dot(const float *a, const float *b, size_t e)
{
    double sum = 0;
    for (size_t d = 0; d < e; d++) sum += (double)a[d] * (double)b[d];
    return sum;
}

/* second: from the mean of y y' to the covariance of y. Returns the trace of c's covariance, sum over i, j of
 * cov[i, j] (M_i . M_j). */
static double covariance(measure *m)
{
    double total = 0;
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->n; k++) {
            double *cell = &m->second[i * m->n + k];
            *cell -= m->mean[i] * m->mean[k];
            if (k <= i) total += (k < i ? 2 : 1) * *cell * row_dot(m->narrow + i * m->e, m->narrow + k * m->e, m->e);
        }
    return total;
}

/* u' cov(y) u with u = M n: the variance of c along n. */
static double variance_along(measure *m, const float *direction)
{
    double sum = 0;
    for (size_t i = 0; i < m->n; i++) m->u[i] = row_dot(m->narrow + i * m->e, direction, m->e);
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->n; k++) sum += m->u[i] * m->second[i * m->n + k] * m->u[k];
    return fmax(sum, 0);
}

/* Shares of the measured images' variance along the directions found elsewhere; m->total: the heads' variances there. */
static clipspan_status measure_pool(const job *j, size_t p, measure *m, clipspan_error *err)
{
    const clipspan_textspan *span = j->result->spans[p];
    double *shares = clsp_alloc_zero(span->count * span->size, sizeof *shares);
    if (shares == NULL) return clsp_fail_memory(err);
    j->result->held_out[p] = shares;
    for (size_t i = 0; i < span->count; i++) {
        const clipspan_textspan_head *head = &span->heads[i];
        clsp_head_map(clipspan_store_basis(j->store), j->options.convention, head->layer, head->head, m->narrow);
        clsp_moments_head(j->moments[1], j->options.convention, head->layer, head->head, m->mean, m->second);
        m->total[i] = fmax(covariance(m), 0);
        for (int t = 0; t < head->count && m->total[i] > 0; t++)
            shares[i * span->size + (size_t)t] = variance_along(m, clipspan_textspan_direction(span, i, t)) / m->total[i];
    }
    return CLIPSPAN_OK;
}

/* Of the variance of all late heads together. totals: [heads] on the measured images; NULL: not apart. */
static void fill_points(const job *j, size_t p, const double *totals, unsigned char *seen)
{
    const clipspan_textspan *span = j->result->spans[p];
    double all = 0, all_held = 0, told = 0, told_held = 0;
    size_t distinct = 0, from = 0;
    for (size_t i = 0; i < span->count; i++) {
        all += span->heads[i].variance;
        if (totals != NULL) all_held += totals[i];
    }
    memset(seen, 0, span->pool_count);
    for (size_t s = 0; s < j->options.size_count; s++) {
        size_t to = (size_t)j->options.sizes[s];
        for (size_t i = 0; i < span->count; i++)
            for (size_t t = from; t < to && t < (size_t)span->heads[i].count; t++) {
                const clipspan_textspan_text *text = &span->heads[i].texts[t];
                told += text->explained * span->heads[i].variance;
                if (totals != NULL) told_held += j->result->held_out[p][i * span->size + t] * totals[i];
                distinct += !seen[text->text];
                seen[text->text] = 1;
            }
        from = to;
        j->result->points[p * j->options.size_count + s] = (clipspan_textspan_evaluation_point){
            .size = j->options.sizes[s], .distinct = distinct, .explained = all > 0 ? told / all : 0,
            .held_out = totals != NULL && all_held > 0 ? told_held / all_held : (double)NAN};
    }
}

static clipspan_status one_pool(job *j, size_t p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    measure m = {0};
    unsigned char *seen = NULL;
    CLSP_TRY(find_texts(j, p, err));
    CLSP_ALLOC(seen, clsp_alloc(j->result->spans[p]->pool_count, 1));
    if (j->moments[1] != NULL) {
        CLSP_TRY(measure_open(&m, j, err));
        CLSP_TRY(measure_pool(j, p, &m, err));
    }
    fill_points(j, p, m.total, seen);
out:
    measure_close(&m);
    clsp_free(seen);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static clipspan_status count_right(job *j, clipspan_error *err)
{
    clipspan_textspan_evaluation *r = j->result;
    size_t points = r->info.pools * r->info.sizes;
    uint64_t *right = clsp_alloc(CLSP_REFERENCES + points, sizeof *right);
    if (right == NULL) return clsp_fail_memory(err);
    const clsp_evaluation e = {j->measured,         j->side[1],    j->moments[0],    j->scoring,      j->options.convention,
                               j->options.last,     r->spans,      r->info.pools,    j->options.sizes, j->options.size_count,
                               j->hooks};
    clipspan_status status = clsp_evaluation_count(&e, right, &r->info.scored, err);
    double scored = (double)r->info.scored;
    if (status == CLIPSPAN_OK && r->info.scored == 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "none of the images to measure on has a label");
    if (status == CLIPSPAN_OK) {
        r->info.baseline = (double)right[CLSP_BASELINE] / scored;
        r->info.late = (double)right[CLSP_LATE] / scored;
        r->info.none = (double)right[CLSP_NONE] / scored;
        for (size_t i = 0; i < points; i++) r->points[i].accuracy = (double)right[CLSP_REFERENCES + i] / scored;
    }
    clsp_free(right);
    return status;
}

static void job_close(job *j)
{
    for (int side = 0; side < 2; side++) {
        clsp_free(j->side[side]);
        clipspan_moments_free(j->moments[side]);
    }
    clsp_free(j->late);
    clipspan_textspan_evaluation_free(j->result);
}

clipspan_status clipspan_textspan_evaluate(clipspan_textspan_evaluation **out, const clipspan_store *store,
                                           const clipspan_textspan_pool *pools, size_t pool_count,
                                           const clipspan_textspan_scoring *scoring,
                                           const clipspan_textspan_evaluation_options *options,
                                           const clipspan_hooks *hooks, clipspan_error *err)
{
    static const clipspan_textspan_evaluation_options defaults = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    job j = {.store = store, .pools = pools, .scoring = scoring, .options = options ? *options : defaults, .hooks = hooks};
    j.measured = j.options.held_out != NULL ? j.options.held_out : store;
    int before = clsp_threads(j.options.threads);
    *out = NULL;
    CLSP_TRY(check(&j, pool_count, err));
    CLSP_TRY(result_open(&j, pool_count, err));
    CLSP_TRY(make_moments(&j, err));
    for (size_t p = 0; p < pool_count; p++) CLSP_TRY(one_pool(&j, p, err));
    CLSP_TRY(count_right(&j, err));
    *out = j.result;
    j.result = NULL;
out:
    clsp_threads(before);
    job_close(&j);
    return status;
}

void clipspan_textspan_evaluation_free(clipspan_textspan_evaluation *result)
{
    if (result == NULL) return;
    for (size_t p = 0; p < result->info.pools; p++) {
        if (result->names != NULL) clsp_free(result->names[p]);
        if (result->spans != NULL) clipspan_textspan_free(result->spans[p]);
        if (result->held_out != NULL) clsp_free(result->held_out[p]);
    }
    clsp_free(result->size);
    clsp_free(result->points);
    clsp_free(result->names);
    clsp_free(result->spans);
    clsp_free(result->held_out);
    clsp_free(result);
}

clipspan_textspan_evaluation_info clipspan_textspan_evaluation_get_info(const clipspan_textspan_evaluation *result)
{
    return result->info;
}

clipspan_textspan_evaluation_point clipspan_textspan_evaluation_get(const clipspan_textspan_evaluation *result, size_t pool,
                                                                    size_t size)
{
    static const clipspan_textspan_evaluation_point none;
    bool known = pool < result->info.pools && size < result->info.sizes;
    return known ? result->points[pool * result->info.sizes + size] : none;
}

const char *clipspan_textspan_evaluation_pool(const clipspan_textspan_evaluation *result, size_t pool)
{
    return pool < result->info.pools ? result->names[pool] : NULL;
}

const clipspan_textspan *clipspan_textspan_evaluation_spans(const clipspan_textspan_evaluation *result, size_t pool)
{
    return pool < result->info.pools ? result->spans[pool] : NULL;
}

double clipspan_textspan_evaluation_held_out(const clipspan_textspan_evaluation *result, size_t pool, size_t i, int text)
{
    if (pool >= result->info.pools || result->held_out[pool] == NULL) return (double)NAN;
    const clipspan_textspan *span = result->spans[pool];
    bool known = i < span->count && text >= 0 && text < span->heads[i].count;
    return known ? result->held_out[pool][i * span->size + (size_t)text] : (double)NAN;
}
