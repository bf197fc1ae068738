/* What a cosine needs of every image: 1 / |c|. One pass over the space's rows.
 *
 * |c|^2 = y G y' with G = M M'. Where W is small, G = F F' (F: eigenvectors times square roots of eigenvalues, [W, W]) and
 * |c| = |y F|; where it is not, F = M. A product of blocks of rows with F, and squares summed. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "analysis/space.h"
#include "compute/compute.h"

enum { WIDEST_GRAM = 256 };

typedef struct weighing {
    clsp_space *space;
    const float *factor; /* [W, rank]; NULL: the identity */
    size_t rank, step;
    clipspan_status worst;
    uint64_t broken;     /* first row that is not finite; UINT64_MAX: none */
} weighing;

/* G in double from the float32 map, then F. */
static clipspan_status factor_gram(const clsp_space *space, float *factor, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t w = space->width, e = space->e;
    double *gram = NULL, *values = NULL, *row = NULL, *column = NULL;
    CLSP_ALLOC(gram, clsp_alloc(w * w, sizeof *gram));
    CLSP_ALLOC(values, clsp_alloc(w, sizeof *values));
    CLSP_ALLOC(row, clsp_alloc(e, sizeof *row));
    CLSP_ALLOC(column, clsp_alloc(w, sizeof *column));
    for (size_t i = 0; i < w; i++) {
        for (size_t j = 0; j < e; j++) row[j] = (double)space->map[i * e + j];
        clsp_space_pull(space, row, column);
        memcpy(gram + i * w, column, w * sizeof *gram);
    }
    CLSP_TRY(clsp_eigen_symmetric(gram, values, w, err)); /* rows are eigenvectors now */
    for (size_t j = 0; j < w; j++) {
        double root = values[j] > 0 ? sqrt(values[j]) : 0;
        for (size_t i = 0; i < w; i++) factor[i * w + j] = (float)(gram[j * w + i] * root);
    }
out:
    clsp_free(gram);
    clsp_free(values);
    clsp_free(row);
    clsp_free(column);
    return status;
}

static float weight_of(const weighing *w, const float *v)
{
    double square = 0;
    for (size_t j = 0; j < w->rank; j++) square += (double)v[j] * (double)v[j];
    if (!isfinite(square)) return (float)NAN;
    double norm = sqrt(square);
    return norm > w->space->least ? (float)(1 / norm) : 0;
}

/* y: [step, W], v: [step, rank]. */
static void weigh_block(weighing *w, const clsp_block *block, float *y, float *v)
{
    const clsp_space *space = w->space;
    for (size_t at = 0; at < block->rows; at += w->step) {
        size_t n = clsp_min(w->step, block->rows - at);
        clipspan_status status = CLIPSPAN_OK;
        clsp_space_rows(space, block->shard, block->first + at, n, y);
        if (w->factor != NULL)
            status = clsp_sgemm(v, w->rank, y, space->width, false, w->factor, w->rank, false, n, w->rank, space->width,
                                1.0F, 0.0F, NULL);
        for (size_t i = 0; i < n && status == CLIPSPAN_OK; i++) {
            uint64_t row = block->row + at + i;
            float weight = space->weight[row] = weight_of(w, (w->factor ? v : y) + i * w->rank);
            if (isfinite(weight)) continue;
#pragma omp critical(clsp_weigh)
            if (row < w->broken) w->broken = row;
        }
#pragma omp critical(clsp_weigh)
        if (status != CLIPSPAN_OK) w->worst = status;
    }
}

static clipspan_status tell(const clsp_source *source, const clipspan_hooks *hooks, size_t done, clipspan_error *err)
{
    uint64_t row = done < source->block_count ? source->blocks[done].row : source->images;
    const clipspan_progress now = {"norms", row, source->images, 0};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &now) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after the norms of %llu of %zu images",
                     (unsigned long long)row, source->images);
}

/* A stretch of blocks at a time, so that Ctrl-C is heard. */
static clipspan_status weigh_all(weighing *w, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_space *space = w->space;
    const clsp_source *source = space->source;
    size_t threads = (size_t)source->threads, room = w->step * (space->width + w->rank), stretch = 64 * threads;
    float *scratch = NULL;
    CLSP_ALLOC(scratch, clsp_alloc_aligned(threads * room, sizeof *scratch));
    for (size_t first = 0; first < source->block_count; first += stretch) {
        size_t end = clsp_min(first + stretch, source->block_count);
        CLSP_TRY(tell(source, hooks, first, err));
#pragma omp parallel for schedule(dynamic) num_threads(source->threads)
        for (size_t b = first; b < end; b++) {
            float *y = scratch + (size_t)omp_get_thread_num() * room;
            weigh_block(w, &source->blocks[b], y, y + w->step * space->width);
        }
        if (w->worst != CLIPSPAN_OK) CLSP_TRY(clsp_fail(err, w->worst, "the images' norms could not be made"));
        if (w->broken != UINT64_MAX) CLSP_TRY(clsp_space_broken(space, w->broken, err));
    }
    CLSP_TRY(tell(source, hooks, source->block_count, err));
out:
    clsp_free(scratch);
    return status;
}

static clipspan_status weigh(clsp_space *space, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool gram = space->map != NULL && space->width <= WIDEST_GRAM && space->width < space->e;
    weighing w = {.space = space, .rank = gram ? space->width : space->e,
                  .factor = space->map, .broken = UINT64_MAX};
    float *factor = NULL;
    w.step = clsp_space_step(space, w.rank);
    if (gram) {
        CLSP_ALLOC(factor, clsp_alloc_aligned(space->width * space->width, sizeof *factor));
        CLSP_TRY(factor_gram(space, factor, err));
        w.factor = factor;
    }
    CLSP_TRY(weigh_all(&w, hooks, err));
out:
    clsp_free(factor);
    return status;
}

/* What the norms are of: the store's contents, the heads, how the terms are made. NULL: no memory. */
static char *key_of(const clsp_space *space)
{
    char store[CLSP_HASH_HEX], heads[CLSP_HASH_HEX];
    clsp_view_identity(space->source->view, store);
    clsp_hash_hex(heads, space->heads, space->whole ? 0 : space->count * sizeof *space->heads);
    if (store[0] == '\0') return NULL;
    return clsp_format("1/norm v1, store %s, %zu heads %s, %s, %s", store, space->whole ? (size_t)0 : space->count, heads,
                       space->convention == CLIPSPAN_PAPER ? "paper" : "exact", space->mean ? "centred" : "plain");
}

clipspan_status clsp_space_weigh(clsp_space *space, const char *path, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t images = space->source->images;
    char *key = NULL;
    CLSP_ALLOC(space->weight, clsp_alloc(images, sizeof *space->weight));
    if (path != NULL) {
        CLSP_ALLOC(key, key_of(space));
        CLSP_TRY(clsp_kept_read(space->weight, images, path, key, &space->weight_read, err));
    }
    if (!space->weight_read) {
        CLSP_TRY(weigh(space, hooks, err));
        if (path != NULL) CLSP_TRY(clsp_kept_write(space->weight, images, path, key, err));
    }
out:
    clsp_free(key);
    return status;
}
