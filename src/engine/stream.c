/* Images of a list through a decode pool, in order, in fixed batches.
 *
 * Image i lies in place i mod ahead; `ahead` is a whole number of batches, so that a batch is contiguous. While the
 * network works on some batches the pool fills the next ones. */
#include "engine/towers.h"

#include <string.h>

enum { BATCHES_AHEAD = 2 }; /* beside those under way */

typedef struct place {
    clipspan_status status;
    clipspan_error err;
} place;

typedef struct stream {
    clipspan_engine *engine;
    const clipspan_images *images;
    const clsp_stream_job *job;
    const clipspan_hooks *hooks;
    clipspan_progress progress;
    clsp_pipeline *pool;
    clsp_team *team;     /* NULL: the engine works alone */
    size_t batch, slots;
    size_t image_floats; /* 3 S S */
    float *pixels;       /* [ahead, 3, S, S] */
    place *places;       /* [ahead] */
    unsigned char *ok;   /* [slots, batch] */
    clsp_pixels *under_way; /* [slots] */
} stream;

static void decode(void *user, size_t index, size_t at)
{
    stream *s = user;
    float *pixels = s->pixels + at * s->image_floats;
    place *p = &s->places[at];
    p->status = clsp_images_pixels(s->images, (size_t)s->job->first + index, &s->engine->model->preprocess, pixels, &p->err);
    if (p->status != CLIPSPAN_OK) memset(pixels, 0, s->image_floats * sizeof *pixels);
}

static clipspan_status buffers_new(stream *s, size_t ahead, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t floats;
    if (!clsp_mul(&floats, ahead, s->image_floats)) return clsp_fail_memory(err);
    CLSP_ALLOC(s->pixels, clsp_alloc_aligned(floats, sizeof *s->pixels));
    CLSP_ALLOC(s->places, clsp_alloc_zero(ahead, sizeof *s->places));
    CLSP_ALLOC(s->ok, clsp_alloc_zero(s->slots, s->batch));
    CLSP_ALLOC(s->under_way, clsp_alloc_zero(s->slots, sizeof *s->under_way));
out:
    return status;
}

/* A full disk or no memory would not be the picture's fault: those end the run even when it is not strict. */
static bool is_picture_fault(clipspan_status status)
{
    return status != CLIPSPAN_ERROR_MEMORY && status != CLIPSPAN_ERROR_INTERNAL;
}

static clipspan_status judge(stream *s, size_t at, unsigned char *ok, clipspan_error *err)
{
    const place *p = &s->places[at];
    *ok = p->status == CLIPSPAN_OK;
    if (*ok) return CLIPSPAN_OK;
    if (s->job->strict || !is_picture_fault(p->status)) return clsp_fail(err, p->status, "%s", p->err.message);
    s->progress.skipped++;
    if (s->hooks && s->hooks->warn) s->hooks->warn(s->hooks->user, p->err.message);
    return CLIPSPAN_OK;
}

static clipspan_status report(const stream *s, clipspan_error *err)
{
    const clipspan_progress *p = &s->progress;
    if (s->hooks == NULL || s->hooks->progress == NULL || s->hooks->progress(s->hooks->user, p) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "%s: stopped after %llu of %llu", p->stage, p->done, p->total);
}

/* Takes batch b off the pool and sets the work on it going; alone, does it. */
static clipspan_status begin(stream *s, uint64_t b, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t done = b * s->batch;
    size_t slot = (size_t)(b % s->slots), n = clsp_min(s->batch, (size_t)(s->job->count - done));
    unsigned char *ok = s->ok + slot * s->batch;
    clsp_pixels *batch = &s->under_way[slot];
    *batch = (clsp_pixels){.first = s->job->first + done, .n = n, .slot = slot, .ok = ok};
    for (size_t i = 0; i < n; i++) {
        size_t at = clsp_pipeline_take(s->pool);
        if (i == 0) batch->pixels = s->pixels + at * s->image_floats;
        CLSP_TRY(judge(s, at, &ok[i], err));
    }
    if (s->team)
        clsp_team_post(s->team, batch);
    else if (s->job->work)
        CLSP_TRY(s->job->work(s->job->user, s->engine, batch, err));
out:
    return status;
}

/* Waits for the batch, hands it on, gives its places back. */
static clipspan_status end(stream *s, uint64_t b, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_pixels *batch = &s->under_way[b % s->slots];
    if (s->team) CLSP_TRY(clsp_team_wait(s->team, batch->slot, err));
    CLSP_TRY(s->job->finish(s->job->user, s->engine, batch, err));
    for (size_t i = 0; i < batch->n; i++) clsp_pipeline_release(s->pool);
    s->progress.done += batch->n;
    CLSP_TRY(report(s, err));
out:
    return status;
}

static clipspan_status run(stream *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t batches = (s->job->count + s->batch - 1) / s->batch, begun = 0;
    for (uint64_t ended = 0; ended < batches; ended++) {
        for (; begun < batches && begun < ended + s->slots; begun++) CLSP_TRY(begin(s, begun, err));
        CLSP_TRY(end(s, ended, err));
    }
out:
    return status;
}

clipspan_status clsp_engine_stream(clipspan_engine *engine, const clipspan_images *images, const clsp_stream_job *job,
                                   const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t side = (size_t)engine->model->vision.image_size, slots = job->work ? clsp_engine_slots(engine) : 1;
    size_t batch = (size_t)engine->batch, ahead = batch * (slots + BATCHES_AHEAD);
    stream s = {.engine = engine, .images = images, .job = job, .hooks = hooks, .batch = batch, .slots = slots,
                .progress = {.stage = job->stage, .total = job->count}, .image_floats = 3 * side * side};
    CLSP_TRY(buffers_new(&s, ahead, err));
    CLSP_TRY(clsp_pipeline_start(&s.pool, engine->threads, ahead, (size_t)job->count, decode, &s, err));
    if (job->work && engine->member_count > 0) CLSP_TRY(clsp_team_start(&s.team, engine, job->work, job->user, err));
    CLSP_TRY(report(&s, err));
    CLSP_TRY(run(&s, err));
out:
    clsp_team_free(s.team);
    clsp_pipeline_free(s.pool);
    clsp_free(s.pixels);
    clsp_free(s.places);
    clsp_free(s.ok);
    clsp_free(s.under_way);
    return status;
}
