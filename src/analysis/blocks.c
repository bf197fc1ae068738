/* Moments of blocks of images. Inside a block images are added in the store's order, so that the sums depend neither on
 * batches nor on threads. */
#include "analysis/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "decompose/decompose.h"

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

typedef struct filling {
    clsp_block_moments *moments;
    clipspan_convention convention;
    int layer;
    const unsigned char *heads; /* [H] */
    const int32_t *of;          /* [I] */
} filling;

/* order: [images] positions in the batch, block after block; starts: [B + 1] where each block's begin. */
static void sort_by_block(size_t *order, size_t *starts, const filling *f, const clipspan_batch *batch)
{
    size_t blocks = f->moments->blocks;
    memset(starts, 0, (blocks + 1) * sizeof *starts);
    for (size_t i = 0; i < batch->images; i++)
        if (f->of[batch->index[i]] >= 0) starts[f->of[batch->index[i]] + 1]++;
    for (size_t b = 0; b < blocks; b++) starts[b + 1] += starts[b];
    for (size_t i = 0; i < batch->images; i++)
        if (f->of[batch->index[i]] >= 0) order[starts[f->of[batch->index[i]]]++] = i;
    for (size_t b = blocks; b > 0; b--) starts[b] = starts[b - 1];
    starts[0] = 0;
}

static clipspan_status add_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const filling *f = user;
    clsp_block_moments *m = f->moments;
    size_t *order = NULL, *starts = NULL, each = CLSP_MOMENTS_BLOCK * m->width;
    double *y = NULL;
    CLSP_ALLOC(order, clsp_alloc(batch->images, sizeof *order));
    CLSP_ALLOC(starts, clsp_alloc(m->blocks + 1, sizeof *starts));
    CLSP_ALLOC(y, clsp_alloc(m->heads * each, sizeof *y));
    sort_by_block(order, starts, f, batch);
    for (size_t b = 0; b < m->blocks; b++) m->images[b] += starts[b + 1] - starts[b];
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < m->heads; h++)
        for (size_t b = 0; f->heads[h] && b < m->blocks; b++)
            clsp_head_moments_add(m->sums + (h * m->blocks + b) * m->width, m->seconds + (h * m->blocks + b) * m->packed,
                                  batch, f->convention, f->layer, (int)h, order + starts[b], starts[b + 1] - starts[b],
                                  y + h * each);
out:
    clsp_free(order);
    clsp_free(starts);
    clsp_free(y);
    return status;
}

clipspan_status clsp_block_moments_fill(clsp_block_moments *moments, const clipspan_store *store,
                                        clipspan_convention convention, int layer, const unsigned char *heads,
                                        const int32_t *of, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t layers = (size_t)clipspan_store_get_info(store)->layers, cells = moments->heads * moments->blocks;
    unsigned char *read = NULL;
    filling f = {moments, convention, layer, heads, of};
    CLSP_ALLOC(read, clsp_alloc_zero(layers, 1));
    read[layer] = 1;
    memset(moments->images, 0, moments->blocks * sizeof *moments->images);
    memset(moments->sums, 0, cells * moments->width * sizeof *moments->sums);
    memset(moments->seconds, 0, cells * moments->packed * sizeof *moments->seconds);
    CLSP_TRY(clipspan_store_each(store, &(clipspan_store_selection){.layers = read, .batch = BATCH}, add_batch, &f, hooks, err));
out:
    clsp_free(read);
    return status;
}

uint64_t clsp_block_moments_draw(const clsp_block_moments *moments, size_t head, const float *draws, double *mean,
                                 double *second, double *scratch)
{
    size_t k = moments->width, packed = moments->packed;
    double images = 0;
    memset(mean, 0, k * sizeof *mean);
    memset(scratch, 0, packed * sizeof *scratch);
    for (size_t b = 0; b < moments->blocks; b++) {
        double times = (double)draws[b];
        if (times == 0) continue;
        const double *sum = moments->sums + (head * moments->blocks + b) * k;
        const double *part = moments->seconds + (head * moments->blocks + b) * packed;
        for (size_t i = 0; i < k; i++) mean[i] += times * sum[i];
        for (size_t i = 0; i < packed; i++) scratch[i] += times * part[i];
        images += times * (double)moments->images[b];
    }
    if (images == 0) return 0;
    for (size_t i = 0; i < k; i++) mean[i] /= images;
    for (size_t r = 0; r < k; scratch += ++r)
        for (size_t c = 0; c <= r; c++) second[r * k + c] = second[c * k + r] = scratch[c] / images;
    return (uint64_t)images;
}
