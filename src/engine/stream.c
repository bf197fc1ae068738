/* Images of a list through a decode pool, in order, in fixed batches.
 *
 * Image i lies in slot i mod ahead; `ahead` is a whole number of batches, so that a batch is contiguous. While the
 * network works on one batch the pool fills the next ones. */
#include "engine/towers.h"

#include <string.h>

enum { BATCHES_AHEAD = 3 };

typedef struct slot {
    clipspan_status status;
    clipspan_error err;
} slot;

typedef struct decoding {
    const clipspan_images *images;
    const clsp_preprocess *how;
    uint64_t first;
    size_t image_floats; /* 3 S S */
    float *pixels;       /* [ahead, 3, S, S] */
    slot *slots;         /* [ahead] */
    unsigned char *ok;   /* [batch] of the batch in hand */
} decoding;

static void decode(void *user, size_t index, size_t place)
{
    decoding *d = user;
    float *pixels = d->pixels + place * d->image_floats;
    slot *s = &d->slots[place];
    s->status = clsp_images_pixels(d->images, (size_t)d->first + index, d->how, pixels, &s->err);
    if (s->status != CLIPSPAN_OK) memset(pixels, 0, d->image_floats * sizeof *pixels);
}

static clipspan_status decoding_init(decoding *d, const clipspan_model *model, const clipspan_images *images,
                                     uint64_t first, size_t ahead, size_t batch, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t side = (size_t)model->vision.image_size, floats;
    *d = (decoding){.images = images, .how = &model->preprocess, .first = first, .image_floats = 3 * side * side};
    if (!clsp_mul(&floats, ahead, d->image_floats)) return clsp_fail_memory(err);
    CLSP_ALLOC(d->pixels, clsp_alloc_aligned(floats, sizeof *d->pixels));
    CLSP_ALLOC(d->slots, clsp_alloc_zero(ahead, sizeof *d->slots));
    CLSP_ALLOC(d->ok, clsp_alloc_zero(batch, sizeof *d->ok));
out:
    return status;
}

static void decoding_clear(decoding *d)
{
    clsp_free(d->pixels);
    clsp_free(d->slots);
    clsp_free(d->ok);
}

/* A full disk or no memory would not be the picture's fault: those end the run even when it is not strict. */
static bool is_picture_fault(clipspan_status status)
{
    return status != CLIPSPAN_ERROR_MEMORY && status != CLIPSPAN_ERROR_INTERNAL;
}

static clipspan_status judge(decoding *d, size_t place, size_t i, bool strict, clipspan_progress *progress,
                             const clipspan_hooks *hooks, clipspan_error *err)
{
    const slot *s = &d->slots[place];
    d->ok[i] = s->status == CLIPSPAN_OK;
    if (s->status == CLIPSPAN_OK) return CLIPSPAN_OK;
    if (strict || !is_picture_fault(s->status)) return clsp_fail(err, s->status, "%s", s->err.message);
    progress->skipped++;
    if (hooks && hooks->warn) hooks->warn(hooks->user, s->err.message);
    return CLIPSPAN_OK;
}

static clipspan_status report(const clipspan_progress *progress, const clipspan_hooks *hooks, clipspan_error *err)
{
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, progress) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "%s: stopped after %llu of %llu", progress->stage,
                     progress->done, progress->total);
}

/* Takes n images off the pool, hands them over, gives their slots back. */
static clipspan_status one_batch(decoding *d, clsp_pipeline *pool, size_t n, bool strict, clipspan_progress *progress,
                                 clsp_pixels_fn fn, void *user, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t begin = 0;
    for (size_t i = 0; i < n; i++) {
        size_t place = clsp_pipeline_take(pool);
        if (i == 0) begin = place;
        CLSP_TRY(judge(d, place, i, strict, progress, hooks, err));
    }
    CLSP_TRY(fn(user, d->pixels + begin * d->image_floats, d->first + progress->done, n, d->ok, err));
    for (size_t i = 0; i < n; i++) clsp_pipeline_release(pool);
    progress->done += n;
    CLSP_TRY(report(progress, hooks, err));
out:
    return status;
}

clipspan_status clsp_engine_stream(clipspan_engine *engine, const clipspan_images *images, uint64_t first,
                                   uint64_t count, bool strict, const char *stage, clsp_pixels_fn fn, void *user,
                                   const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t batch = (size_t)engine->batch, ahead = batch * BATCHES_AHEAD;
    decoding d;
    clsp_pipeline *pool = NULL;
    clipspan_progress progress = {.stage = stage, .total = count};
    CLSP_TRY(decoding_init(&d, engine->model, images, first, ahead, batch, err));
    CLSP_TRY(clsp_pipeline_start(&pool, engine->threads, ahead, (size_t)count, decode, &d, err));
    CLSP_TRY(report(&progress, hooks, err));
    while (progress.done < count)
        CLSP_TRY(one_batch(&d, pool, clsp_min(batch, (size_t)(count - progress.done)), strict, &progress, fn, user,
                           hooks, err));
out:
    clsp_pipeline_free(pool);
    decoding_clear(&d);
    return status;
}
