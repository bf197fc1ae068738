/* A pool's coordinates in 16 bits: half of float32's memory, and of what every pick reads, at about float32's error. */
#include <math.h>
#include <string.h>

#include "analysis/greedy.h"
#include "compute/compute.h"

/* AXES: at once, so that their coordinates and the block's texts stay in a cache. */
enum { BLOCK = CLSP_TEXT_BLOCK, AXES = 256, LARGEST = 32767 };

static size_t blocks_of(size_t texts) { return (texts + BLOCK - 1) / BLOCK; }

size_t clsp_screen_bytes(size_t texts, size_t rows)
{
    size_t bytes;
    bool good = clsp_mul(&bytes, blocks_of(texts), BLOCK * sizeof(int16_t) + sizeof(float)) && clsp_mul(&bytes, bytes, rows);
    return good ? bytes : SIZE_MAX;
}

clipspan_status clsp_screen_open(clsp_screen *screen, size_t texts, size_t rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells;
    *screen = (clsp_screen){.blocks = blocks_of(texts), .rows = rows};
    if (!clsp_mul(&cells, screen->blocks * BLOCK, rows)) return clsp_fail_memory(err);
    CLSP_ALLOC(screen->codes, clsp_alloc_aligned(cells, sizeof *screen->codes));
    CLSP_ALLOC(screen->scales, clsp_alloc(screen->blocks * rows, sizeof *screen->scales));
out:
    if (status != CLIPSPAN_OK) clsp_screen_close(screen);
    return status;
}

void clsp_screen_close(clsp_screen *screen)
{
    clsp_free(screen->codes);
    clsp_free(screen->scales);
    *screen = (clsp_screen){0};
}

size_t clsp_screen_room(size_t embed_dim) { return BLOCK * (embed_dim + AXES); }

CLSP_CLONES static void encode(int16_t *restrict codes, float *scale, const float *restrict x)
{
    float largest = 0;
    for (size_t j = 0; j < BLOCK; j++) largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
    float inverse = largest > 1e-30F ? (float)LARGEST / largest : 0; /* so small is nothing beside round-off */
    for (size_t j = 0; j < BLOCK; j++) codes[j] = (int16_t)(x[j] * inverse + (x[j] < 0 ? -0.5F : 0.5F));
    *scale = largest / (float)LARGEST;
}

clipspan_status clsp_screen_fill(clsp_screen *screen, size_t b, const clsp_pool *pool, const float *axes, float *room,
                                 clipspan_error *err)
{
    size_t e = pool->vectors.embed_dim, from = b * BLOCK, width = clsp_min(BLOCK, pool->vectors.count - from);
    float *coordinates = room + BLOCK * e; /* [AXES, BLOCK] */
    const float *texts = clsp_pool_rows(pool, from, width, room);
    if (width < BLOCK) memset(coordinates, 0, AXES * BLOCK * sizeof *coordinates);
    for (size_t row = 0; row < screen->rows; row += AXES) {
        size_t n = clsp_min(AXES, screen->rows - row), at = b * screen->rows + row;
        clipspan_status status = clsp_sgemm(coordinates, BLOCK, axes + row * e, e, false, texts, e, true, n, width, e, 1.0F,
                                            0.0F, err);
        if (status != CLIPSPAN_OK) return status;
        for (size_t i = 0; i < n; i++)
            encode(screen->codes + (at + i) * BLOCK, screen->scales + at + i, coordinates + i * BLOCK);
    }
    return CLIPSPAN_OK;
}
