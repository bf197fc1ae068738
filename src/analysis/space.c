/* The space of a set of heads: its map, rows of it, norms, and the scan of one query. */
#include "analysis/space.h"

#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

static double scale_of(const clsp_space *space, float sigma, float norm)
{
    double below = space->whole ? 1 : (double)sigma;
    return 1 / (space->convention == CLIPSPAN_PAPER ? below * (double)norm : below);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static clipspan_status choose(clsp_space *space, const clipspan_basis *basis, const unsigned char *heads, bool whole,
                              clipspan_error *err)
{
    size_t all = (size_t)basis->layers * (size_t)basis->heads;
    space->whole = whole;
    space->e = (size_t)basis->embed_dim;
    space->d = whole ? space->e : (size_t)basis->head_dim;
    space->heads = clsp_alloc(all, sizeof *space->heads);
    if (space->heads == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < all && !whole; h++)
        if (heads == NULL || heads[h]) space->heads[space->count++] = (int)h;
    if (whole) space->count = 1;
    if (space->count == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no head is chosen");
    space->shared = !whole && space->convention == CLIPSPAN_PAPER ? 3 : 0;
    space->width = space->count * space->d + space->shared;
    return CLIPSPAN_OK;
}

/* The heads' maps below one another; the rows of what they share are added up. */
static clipspan_status make_map(clsp_space *space, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = space->e, d = space->d, cells;
    float *one = NULL;
    CLSP_ALLOC(one, clsp_alloc(clsp_head_width(basis, space->convention) * e, sizeof *one));
    if (!clsp_mul(&cells, space->width, e)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(space->map, clsp_alloc_aligned(cells, sizeof *space->map));
    float *shared = space->map + space->count * d * e;
    memset(shared, 0, space->shared * e * sizeof *shared);
    for (size_t a = 0; a < space->count; a++) {
        clsp_head_map(basis, space->convention, space->heads[a] / basis->heads, space->heads[a] % basis->heads, one);
        memcpy(space->map + a * d * e, one, d * e * sizeof *one);
        for (size_t i = 0; i < space->shared * e; i++) shared[i] += one[d * e + i];
    }
out:
    clsp_free(one);
    return status;
}

/* One after another, so that the bits depend on nothing but the store. */
static clipspan_status make_mean(clsp_space *space, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_source *source = space->source;
    size_t w = space->width, step = clsp_space_step(space, 0);
    double *sum = NULL;
    float *y = NULL;
    CLSP_ALLOC(sum, clsp_alloc_zero(w, sizeof *sum));
    CLSP_ALLOC(space->centre, clsp_alloc(space->e, sizeof *space->centre));
    CLSP_ALLOC(y, clsp_alloc_aligned(step * w, sizeof *y));
    for (size_t b = 0; b < source->block_count; b++)
        for (size_t at = 0; at < source->blocks[b].rows; at += step) {
            size_t n = clsp_min(step, source->blocks[b].rows - at);
            clsp_space_rows(space, source->blocks[b].shard, source->blocks[b].first + at, n, y);
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < w; j++) sum[j] += (double)y[i * w + j];
        }
    for (size_t j = 0; j < w; j++) sum[j] /= (double)source->images;
    clsp_space_term(space, sum, space->centre);
    space->mean = sum;
    sum = NULL;
out:
    clsp_free(sum);
    clsp_free(y);
    return status;
}

static clipspan_status check(const clipspan_retrieval_options *options, clipspan_error *err)
{
    if (options->convention != CLIPSPAN_PAPER && options->convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)options->convention);
    if (options->similarity != CLIPSPAN_COSINE && options->similarity != CLIPSPAN_INNER)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown similarity %d", (int)options->similarity);
    if (options->threads < 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "threads is %d, expected 0 or more", options->threads);
    return CLIPSPAN_OK;
}

static double length_of(const double *v, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) square += v[i] * v[i];
    return sqrt(square);
}

clipspan_status clsp_space_open(clsp_space *space, const clsp_source *source, const unsigned char *heads, bool whole,
                                const clipspan_retrieval_options *options, const clipspan_hooks *hooks,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(source->store);
    *space = (clsp_space){.source = source, .convention = options->convention};
    CLSP_TRY(check(options, err));
    CLSP_TRY(choose(space, basis, heads, whole, err));
    CLSP_TRY(clsp_source_verify(source, space->heads, whole ? 0 : space->count, err));
    if (!whole) CLSP_TRY(make_map(space, basis, err));
    if (options->centred) {
        CLSP_TRY(make_mean(space, err));
        space->least = 1e-6 * length_of(space->centre, space->e);
    }
    if (options->similarity == CLIPSPAN_COSINE) CLSP_TRY(clsp_space_weigh(space, options->norms, hooks, err));
out:
    if (status != CLIPSPAN_OK) clsp_space_close(space);
    return status;
}

void clsp_space_close(clsp_space *space)
{
    clsp_free(space->heads);
    clsp_free(space->map);
    clsp_free(space->mean);
    clsp_free(space->centre);
    clsp_free(space->weight);
    *space = (clsp_space){0};
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

size_t clsp_space_step(const clsp_space *space, size_t wider)
{
    const size_t floats = (size_t)1 << 22; /* 16 MB a thread */
    return clsp_min(clsp_max(floats / (space->width + wider), 16), CLSP_BLOCK_ROWS);
}

static const unsigned char *stored(const clsp_space *space, size_t shard, size_t a, bool *half)
{
    const clsp_view *view = space->source->view;
    int heads = clipspan_store_basis(space->source->store)->heads;
    *half = space->whole ? clsp_view_embedding_half(view) : clsp_view_half(view);
    return space->whole ? clsp_view_embedding(view, shard)
                        : clsp_view_z(view, shard, space->heads[a] / heads, space->heads[a] % heads);
}

static void finish_row(const clsp_space *space, uint64_t row, float *y)
{
    const clsp_source *source = space->source;
    double scale = scale_of(space, source->sigma[row], source->norm[row]);
    if (space->shared) {
        float *shared = y + space->count * space->d;
        shared[0] = 1;
        shared[1] = source->mu[row];
        shared[2] = source->sigma[row];
    }
    if (space->mean != NULL)
        for (size_t j = 0; j < space->width; j++) y[j] = (float)((double)y[j] * scale - space->mean[j]);
    else
        for (size_t j = 0; j < space->width; j++) y[j] = (float)((double)y[j] * scale);
}

void clsp_space_rows(const clsp_space *space, size_t shard, size_t first, size_t n, float *y)
{
    size_t d = space->d, w = space->width;
    for (size_t a = 0; a < space->count; a++) {
        bool half;
        const unsigned char *from = stored(space, shard, a, &half);
        size_t one = d * (half ? sizeof(uint16_t) : sizeof(float));
        for (size_t i = 0; i < n; i++) clsp_widen(y + i * w + a * d, from + (first + i) * one, half, d);
    }
    for (size_t i = 0; i < n; i++)
        finish_row(space, clsp_view_first(space->source->view, shard) + first + i, y + i * w);
}

void clsp_space_of_batch(const clsp_space *space, const clipspan_batch *batch, size_t image, double *y)
{
    size_t d = space->d, n = batch->images;
    double scale = scale_of(space, batch->sigma[image], batch->norm[image]);
    for (size_t a = 0; a < space->count; a++) {
        const float *from = space->whole ? batch->embedding + image * d
                                         : batch->z + ((size_t)space->heads[a] * n + image) * d;
        for (size_t c = 0; c < d; c++) y[a * d + c] = (double)from[c] * scale;
    }
    const double shared[3] = {1, (double)batch->mu[image], (double)batch->sigma[image]};
    for (size_t j = 0; j < space->shared; j++) y[space->count * d + j] = shared[j] * scale;
    for (size_t j = 0; space->mean != NULL && j < space->width; j++) y[j] -= space->mean[j];
}

void clsp_space_term(const clsp_space *space, const double *y, double *c)
{
    size_t e = space->e;
    if (space->map == NULL) {
        memcpy(c, y, e * sizeof *c);
        return;
    }
    memset(c, 0, e * sizeof *c);
    for (size_t j = 0; j < space->width; j++)
        for (size_t i = 0; i < e; i++) c[i] += y[j] * (double)space->map[j * e + i];
}

void clsp_space_pull(const clsp_space *space, const double *q, double *g)
{
    size_t e = space->e;
    if (space->map == NULL) {
        memcpy(g, q, e * sizeof *g);
        return;
    }
    for (size_t j = 0; j < space->width; j++) {
        double sum[4] = {0};
        const float *row = space->map + j * e;
        size_t i = 0;
        for (; i + 4 <= e; i += 4)
            for (size_t lane = 0; lane < 4; lane++) sum[lane] += (double)row[i + lane] * q[i + lane];
        for (; i < e; i++) sum[0] += (double)row[i] * q[i];
        g[j] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    }
}

clipspan_status clsp_space_broken(const clsp_space *space, uint64_t row, clipspan_error *err)
{
    const clsp_source *source = space->source;
    size_t shard, at;
    clsp_source_locate(source, row, &shard, &at);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                     "%s: the numbers of image %llu (%s) are not finite: the store is damaged (reading its checksums "
                     "would say where)",
                     clsp_view_path(source->view, shard), (unsigned long long)row,
                     clipspan_store_image_name(source->store, (size_t)row));
}

/* ---- one query ---------------------------------------------------------------------------------------------- */

static size_t padded(size_t d)
{
    return (d + 15) / 16 * 16;
}

clipspan_status clsp_query_open(clsp_query *query, const clsp_space *space, const double *q, double factor,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t d = space->d, stride = padded(d);
    double *g = NULL;
    *query = (clsp_query){.factor = factor};
    CLSP_ALLOC(query->g, clsp_alloc_zero(space->count * stride, sizeof *query->g));
    CLSP_ALLOC(g, clsp_alloc(space->width, sizeof *g));
    clsp_space_pull(space, q, g);
    for (size_t a = 0; a < space->count; a++)
        for (size_t c = 0; c < d; c++) query->g[a * stride + c] = (float)g[a * d + c];
    for (size_t j = 0; j < space->shared; j++) query->tail[j] = g[space->count * d + j];
    for (size_t i = 0; space->centre != NULL && i < space->e; i++) query->offset += space->centre[i] * q[i];
out:
    clsp_free(g);
    if (status != CLIPSPAN_OK) clsp_query_close(query);
    return status;
}

void clsp_query_close(clsp_query *query)
{
    clsp_free(query->g);
    query->g = NULL;
}

/* scores[i] = ((dots[i] + t0 + t1 mu[i] + t2 sigma[i]) scale_of(i) - offset) factor weight[i], in the order in which it is
 * written; weight: may be NULL. */
CLSP_CLONES static void finish_scores(double *restrict scores, const float *dots, const float *mu, const float *sigma,
                                      const float *norm, const float *weight, size_t n, const clsp_space *space,
                                      const clsp_query *query)
{
    const double t0 = query->tail[0], t1 = query->tail[1], t2 = query->tail[2], offset = query->offset, factor = query->factor;
    const bool shared = space->shared > 0, by_sigma = !space->whole, by_norm = space->convention == CLIPSPAN_PAPER;
    for (size_t i = 0; i < n; i++) {
        double score = (double)dots[i], below = by_sigma ? (double)sigma[i] : 1;
        if (shared) score += t0 + t1 * (double)mu[i] + t2 * (double)sigma[i];
        if (by_norm) below *= (double)norm[i];
        score = (score * (1 / below) - offset) * factor;
        scores[i] = weight != NULL ? score * (double)weight[i] : score;
    }
}

void clsp_query_scores(const clsp_query *query, const clsp_space *space, const clsp_block *block, double *scores,
                       float *scratch)
{
    const clsp_source *source = space->source;
    size_t n = block->rows, stride = padded(space->d);
    memset(scratch, 0, n * sizeof *scratch);
    for (size_t a = 0; a < space->count; a++) {
        bool half;
        const unsigned char *from = stored(space, block->shard, a, &half);
        size_t one = space->d * (half ? sizeof(uint16_t) : sizeof(float));
        clsp_rows_dot(scratch, from + block->first * one, half, n, space->d, query->g + a * stride);
    }
    size_t row = (size_t)block->row;
    finish_scores(scores, scratch, source->mu + row, source->sigma + row, source->norm + row,
                  space->weight ? space->weight + row : NULL, n, space, query);
}
