/* A store mapped, cut into blocks, with the scalars that every image's factors need. */
#include <string.h>

#include "analysis/space.h"

static clipspan_status cut(clsp_source *source, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t count = 0;
    for (size_t s = 0; s < clsp_view_shards(source->view); s++)
        count += (clsp_view_rows(source->view, s) + CLSP_BLOCK_ROWS - 1) / CLSP_BLOCK_ROWS;
    CLSP_ALLOC(source->blocks, clsp_alloc(count, sizeof *source->blocks));
    for (size_t s = 0; s < clsp_view_shards(source->view); s++) {
        size_t rows = clsp_view_rows(source->view, s);
        for (size_t first = 0; first < rows; first += CLSP_BLOCK_ROWS)
            source->blocks[source->block_count++] =
                (clsp_block){s, first, clsp_min(CLSP_BLOCK_ROWS, rows - first), clsp_view_first(source->view, s) + first};
    }
out:
    return status;
}

clipspan_status clsp_source_open(clsp_source *source, const clipspan_store *store, clipspan_verify verify, int threads,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    *source = (clsp_source){.store = store, .images = (size_t)info->images,
                            .verify = verify, .threads = threads > 0 ? threads : clsp_cpu_count()};
    if (info->images == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store has no images");
    CLSP_TRY(clsp_view_open(&source->view, store, err));
    CLSP_TRY(cut(source, err));
    CLSP_ALLOC(source->mu, clsp_alloc(source->images, sizeof *source->mu));
    CLSP_ALLOC(source->sigma, clsp_alloc(source->images, sizeof *source->sigma));
    CLSP_ALLOC(source->norm, clsp_alloc(source->images, sizeof *source->norm));
    CLSP_TRY(clsp_view_scalars(source->view, source->mu, source->sigma, source->norm, err));
out:
    if (status != CLIPSPAN_OK) clsp_source_close(source);
    return status;
}

clipspan_status clsp_source_verify(const clsp_source *source, const int *heads, size_t count, clipspan_error *err)
{
    const uint64_t small = 1000000000;
    bool wanted = source->verify == CLIPSPAN_VERIFY_ALWAYS ||
                  (source->verify == CLIPSPAN_VERIFY_SMALL && clsp_view_verify_bytes(source->view, count) <= small);
    return wanted ? clsp_view_verify(source->view, heads, count, err) : CLIPSPAN_OK;
}

void clsp_source_close(clsp_source *source)
{
    clsp_view_free(source->view);
    clsp_free(source->blocks);
    clsp_free(source->mu);
    clsp_free(source->sigma);
    clsp_free(source->norm);
    *source = (clsp_source){0};
}

void clsp_source_locate(const clsp_source *source, uint64_t row, size_t *shard, size_t *at)
{
    *shard = 0;
    while (*shard + 1 < clsp_view_shards(source->view) && clsp_view_first(source->view, *shard + 1) <= row) ++*shard;
    *at = (size_t)(row - clsp_view_first(source->view, *shard));
}
