/* Moments of blocks of images. Inside a block images are added in the store's order, so that the sums depend neither on
 * batches nor on threads. */
#include "analysis/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

#include <omp.h>

enum { BATCH = 512 };

uint64_t clsp_image_hash(const clipspan_store *store, size_t row)
{
    enum { DIGITS = 16 };
    const char *name = clipspan_store_image_name(store, row);
    char hex[CLSP_HASH_HEX];
    clsp_hash_hex(hex, name, strlen(name));
    hex[DIGITS] = '\0';
    return strtoull(hex, NULL, 16);
}

size_t clsp_blocks_assign(int32_t *of, const clipspan_store *store, const unsigned char *chosen)
{
    size_t rows = (size_t)clipspan_store_get_info(store)->images, count = 0, next = 0;
    for (size_t i = 0; i < rows; i++) count += chosen == NULL || chosen[i];
    size_t blocks = clsp_min(count, CLSP_BLOCKS_MOST);
    for (size_t i = 0; i < rows; i++) {
        if (chosen != NULL && !chosen[i])
            of[i] = -1;
        else if (count <= CLSP_BLOCKS_MOST)
            of[i] = (int32_t)next++;
        else /* the lowest bit chooses halves: others choose blocks */
            of[i] = (int32_t)((clsp_image_hash(store, i) >> 8) % CLSP_BLOCKS_MOST);
    }
    return blocks;
}

clipspan_status clsp_block_moments_open(clsp_block_moments *out, const clipspan_basis *basis,
                                        clipspan_convention convention, size_t blocks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells, sums, seconds;
    *out = (clsp_block_moments){.blocks = blocks, .heads = (size_t)basis->heads,
                                .width = clsp_head_width(basis, convention),
                                .packed = clsp_moments_packed(basis, convention)};
    if (!clsp_mul(&cells, out->heads, blocks) || !clsp_mul(&sums, cells, out->width) ||
        !clsp_mul(&seconds, cells, out->packed))
        return clsp_fail_memory(err);
    CLSP_ALLOC(out->images, clsp_alloc_zero(blocks, sizeof *out->images));
    CLSP_ALLOC(out->sums, clsp_alloc_zero(sums, sizeof *out->sums));
    CLSP_ALLOC(out->seconds, clsp_alloc_zero(seconds, sizeof *out->seconds));
out:
    if (status != CLIPSPAN_OK) clsp_block_moments_close(out);
    return status;
}

void clsp_block_moments_close(clsp_block_moments *moments)
{
    clsp_free(moments->images);
    clsp_free(moments->sums);
    clsp_free(moments->seconds);
    *moments = (clsp_block_moments){0};
}

/* A few images of a block would be added to 256 blocks' sums in turn, which no cache holds; so images are held until there are
 * GATHER_BYTES of them. */
enum { GATHER_BYTES = 64 << 20, GATHER_MOST = 1 << 16 };

typedef struct filling {
    clsp_block_moments *moments;
    clipspan_convention convention;
    int layer;
    const unsigned char *heads; /* [H] */
    const int32_t *of;          /* [I] */
    /* images that wait */
    clipspan_batch held;            /* z: [H, room, d] of this layer alone; images: room */
    float *z, *mu, *sigma, *norm;   /* what it points to */
    int32_t *block;                 /* [room] */
    size_t count, *order, *starts;  /* [room] positions, block after block; [B + 1] where each block's begin */
    double *y;                      /* [threads, CLSP_MOMENTS_BLOCK, width] */
} filling;

static clipspan_status filling_open(filling *f, const clipspan_store *store, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    size_t row = (size_t)basis->heads * (size_t)basis->head_dim, most = clsp_max(GATHER_BYTES / (row * sizeof(float)), BATCH);
    size_t room = clsp_min(clsp_min(most, GATHER_MOST), (size_t)clipspan_store_get_info(store)->images);
    CLSP_ALLOC(f->z, clsp_alloc_aligned(room * row, sizeof *f->z));
    CLSP_ALLOC(f->mu, clsp_alloc(room, sizeof *f->mu));
    CLSP_ALLOC(f->sigma, clsp_alloc(room, sizeof *f->sigma));
    CLSP_ALLOC(f->norm, clsp_alloc(room, sizeof *f->norm));
    CLSP_ALLOC(f->block, clsp_alloc(room, sizeof *f->block));
    CLSP_ALLOC(f->order, clsp_alloc(room, sizeof *f->order));
    CLSP_ALLOC(f->starts, clsp_alloc(f->moments->blocks + 1, sizeof *f->starts));
    CLSP_ALLOC(f->y, clsp_alloc((size_t)omp_get_max_threads() * CLSP_MOMENTS_BLOCK * f->moments->width, sizeof *f->y));
    f->held = (clipspan_batch){.basis = basis, .images = room, .z = f->z, .mu = f->mu, .sigma = f->sigma, .norm = f->norm};
out:
    return status;
}

static void filling_close(filling *f)
{
    void *all[] = {f->z, f->mu, f->sigma, f->norm, f->block, f->order, f->starts, f->y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
}

static void sort_by_block(filling *f)
{
    size_t blocks = f->moments->blocks;
    memset(f->starts, 0, (blocks + 1) * sizeof *f->starts);
    for (size_t i = 0; i < f->count; i++) f->starts[f->block[i] + 1]++;
    for (size_t b = 0; b < blocks; b++) f->starts[b + 1] += f->starts[b];
    for (size_t i = 0; i < f->count; i++) f->order[f->starts[f->block[i]]++] = i;
    for (size_t b = blocks; b > 0; b--) f->starts[b] = f->starts[b - 1];
    f->starts[0] = 0;
}

/* Adds the images that wait to their blocks. */
static void add_held(filling *f)
{
    clsp_block_moments *m = f->moments;
    sort_by_block(f);
    for (size_t b = 0; b < m->blocks; b++) m->images[b] += f->starts[b + 1] - f->starts[b];
#pragma omp parallel for schedule(static)
    for (size_t cell = 0; cell < m->heads * m->blocks; cell++) {
        size_t head = cell / m->blocks, *from = f->starts + cell % m->blocks;
        if (f->heads[head])
            clsp_head_moments_add(m->sums + cell * m->width, m->seconds + cell * m->packed, &f->held, f->convention, 0, (int)head,
                                  f->order + from[0], from[1] - from[0],
                                  f->y + (size_t)omp_get_thread_num() * CLSP_MOMENTS_BLOCK * m->width);
    }
    f->count = 0;
}

/* Images of the batch from position i on that are in a block and have room; returns the position behind them. */
static size_t hold(filling *f, const clipspan_batch *batch, size_t i)
{
    size_t heads = f->moments->heads, d = (size_t)batch->basis->head_dim, first = f->count, from = i;
    const float *z = batch->z + (size_t)f->layer * heads * batch->images * d;
    for (; i < batch->images && f->count < f->held.images && f->of[batch->index[i]] >= 0; i++, f->count++) {
        f->block[f->count] = f->of[batch->index[i]];
        f->mu[f->count] = batch->mu[i];
        f->sigma[f->count] = batch->sigma[i];
        f->norm[f->count] = batch->norm[i];
    }
    for (size_t h = 0; h < heads; h++)
        memcpy(f->z + (h * f->held.images + first) * d, z + (h * batch->images + from) * d, (i - from) * d * sizeof *z);
    return i;
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    filling *f = user;
    (void)err;
    for (size_t i = 0; i < batch->images;) {
        if (f->of[batch->index[i]] < 0) {
            i++;
            continue;
        }
        if (f->count == f->held.images) add_held(f);
        i = hold(f, batch, i);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_block_moments_fill(clsp_block_moments *moments, const clipspan_store *store,
                                        clipspan_convention convention, int layer, const unsigned char *heads,
                                        const int32_t *of, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t layers = (size_t)clipspan_store_get_info(store)->layers, cells = moments->heads * moments->blocks;
    unsigned char *read = NULL;
    filling f = {.moments = moments, .convention = convention, .layer = layer, .heads = heads, .of = of};
    CLSP_TRY(filling_open(&f, store, err));
    CLSP_ALLOC(read, clsp_alloc_zero(layers, 1));
    read[layer] = 1;
    memset(moments->images, 0, moments->blocks * sizeof *moments->images);
    memset(moments->sums, 0, cells * moments->width * sizeof *moments->sums);
    memset(moments->seconds, 0, cells * moments->packed * sizeof *moments->seconds);
    CLSP_TRY(clipspan_store_each(store, &(clipspan_store_selection){.layers = read, .batch = BATCH}, take_batch, &f, hooks, err));
    add_held(&f);
out:
    filling_close(&f);
    clsp_free(read);
    return status;
}

void clsp_block_moments_draw(const clsp_block_moments *m, size_t head, const double *draws, size_t resamples, double *means,
                             double *seconds, uint64_t *images)
{
    const clsp_factor sums = {.doubles = m->sums + head * m->blocks * m->width, .stride = m->width};
    const clsp_factor squares = {.doubles = m->seconds + head * m->blocks * m->packed, .stride = m->packed};
    memset(means, 0, resamples * m->width * sizeof *means);
    memset(seconds, 0, resamples * m->packed * sizeof *seconds);
    clsp_dgemm(means, m->width, draws, m->blocks, &sums, resamples, m->width, m->blocks);
    clsp_dgemm(seconds, m->packed, draws, m->blocks, &squares, resamples, m->packed, m->blocks);
    for (size_t r = 0; r < resamples; r++) {
        images[r] = 0;
        for (size_t b = 0; b < m->blocks; b++) images[r] += (uint64_t)draws[r * m->blocks + b] * m->images[b];
        double share = images[r] > 0 ? (double)images[r] : 1;
        for (size_t i = 0; i < m->width; i++) means[r * m->width + i] /= share;
        for (size_t i = 0; i < m->packed; i++) seconds[r * m->packed + i] /= share;
    }
}
