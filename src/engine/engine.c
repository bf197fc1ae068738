/* Opening and closing; each tower is packed when it is first used. */
#include "engine/towers.h"

#include <math.h>

enum { MAX_THREADS = 1024, MAX_BATCH = 4096, TOKENS_OF_A_BATCH = 3200, SMALLEST_BATCH = 4, LARGEST_BATCH = 64 };

/* A power of two with about 3,000 tokens in it: 16 for ViT-B-16, 64 for ViT-B-32, 8 for ViT-L-14. Larger batches
 * cost memory, and the products are at their full rate by then. */
static int usual_batch(const clipspan_model *model)
{
    int batch = SMALLEST_BATCH;
    while (2 * batch <= LARGEST_BATCH && 2 * batch * model->vision.tokens <= TOKENS_OF_A_BATCH) batch *= 2;
    return batch;
}

static clipspan_status check_options(const clipspan_engine_options *o, clipspan_error *err)
{
    if (o->dtype != CLIPSPAN_F32 && o->dtype != CLIPSPAN_BF16)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "engine: type %d is neither f32 nor bf16", (int)o->dtype);
    if (o->threads < 0 || o->threads > MAX_THREADS)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "engine: %d threads asked for, expected 0 to %d", o->threads,
                         MAX_THREADS);
    if (o->batch < 0 || o->batch > MAX_BATCH)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "engine: a batch of %d images asked for, expected 0 to %d",
                         o->batch, MAX_BATCH);
    int threads = o->threads ? o->threads : clsp_cpu_count();
    if (o->engines != CLIPSPAN_ENGINES_AUTO && (o->engines < 0 || o->engines > threads))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%d engines asked for, expected 1 to %d, the number of threads",
                         o->engines, threads);
    return CLIPSPAN_OK;
}

/* Between the threads of one engine there is a barrier a product, and its rows wander between caches; eight cores are what
 * commonly shares one. */
static int usual_engines(int threads)
{
    enum { THREADS_AN_ENGINE = 8 };
    return threads < 2 * THREADS_AN_ENGINE ? 1 : threads / THREADS_AN_ENGINE;
}

/* The engines inside: threads shared as evenly as they go. */
static clipspan_status members_open(clipspan_engine *engine, int count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_engine_options part = {.dtype = clipspan_engine_dtype(engine), .batch = engine->batch};
    if (count < 2) return CLIPSPAN_OK;
    CLSP_ALLOC(engine->members, clsp_alloc_zero((size_t)count, sizeof *engine->members));
    for (; engine->member_count < count; engine->member_count++) {
        part.threads = engine->threads / count + (engine->member_count < engine->threads % count);
        CLSP_TRY(clipspan_engine_open(&engine->members[engine->member_count], engine->model, &part, err));
    }
out:
    return status;
}

clipspan_status clipspan_engine_open(clipspan_engine **out, const clipspan_model *model,
                                     const clipspan_engine_options *options, clipspan_error *err)
{
    static const clipspan_engine_options standard = CLIPSPAN_ENGINE_OPTIONS_INIT;
    const clipspan_engine_options *o = options ? options : &standard;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_engine *engine = NULL;
    *out = NULL;
    CLSP_TRY(check_options(o, err));
    CLSP_TRY(clsp_compute_check(err));
    CLSP_ALLOC(engine, clsp_alloc_zero(1, sizeof *engine));
    engine->model = model;
    engine->type = o->dtype == CLIPSPAN_BF16 ? CLSP_TYPE_BF16 : CLSP_TYPE_F32;
    engine->threads = o->threads ? o->threads : clsp_cpu_count();
    engine->batch = o->batch ? o->batch : usual_batch(model);
    CLSP_TRY(clsp_workspace_new(&engine->workspace, err));
    CLSP_TRY(members_open(engine, o->engines < 0 ? usual_engines(engine->threads) : o->engines, err));
    *out = engine;
    engine = NULL;
out:
    clipspan_engine_free(engine);
    return status;
}

void clipspan_engine_free(clipspan_engine *engine)
{
    if (engine == NULL) return;
    for (int i = 0; i < engine->member_count; i++) clipspan_engine_free(engine->members[i]);
    clsp_free(engine->members);
    clsp_vision_tower_free(engine->vision);
    clsp_text_tower_free(engine->text);
    clsp_replacement_free(engine->replacement);
    clsp_workspace_free(engine->workspace);
    clsp_free(engine);
}

const clipspan_model *clipspan_engine_model(const clipspan_engine *engine) { return engine->model; }

int clipspan_engine_threads(const clipspan_engine *engine) { return engine->threads; }

int clipspan_engine_batch(const clipspan_engine *engine) { return engine->batch; }

clipspan_dtype clipspan_engine_dtype(const clipspan_engine *engine)
{
    return engine->type == CLSP_TYPE_BF16 ? CLIPSPAN_BF16 : CLIPSPAN_F32;
}

int clipspan_engine_engines(const clipspan_engine *engine)
{
    return engine->member_count > 0 ? engine->member_count : 1;
}

/* Rows and scratch; whether weights are there shows in the towers. */
static uint64_t own_bytes(const clipspan_engine *e)
{
    uint64_t bytes = clsp_workspace_bytes(e->workspace);
    if (e->vision) bytes += clsp_vision_tower_blocks(e->vision)->bytes;
    if (e->text) bytes += clsp_text_tower_blocks(e->text)->bytes;
    return bytes;
}

static void add_weights(clipspan_engine_memory *out, const clsp_tower *tower)
{
    out->weights += tower->weights->bytes;
    if (tower->weights->block == NULL) out->mapped += tower->weights->bytes;
}

void clipspan_engine_get_memory(const clipspan_engine *engine, clipspan_engine_memory *out)
{
    const clsp_vision_tower *vision = engine->vision;
    const clsp_text_tower *text = engine->text;
    *out = (clipspan_engine_memory){.each_engine = own_bytes(engine)};
    out->all_engines = out->each_engine;
    for (int i = 0; i < engine->member_count; i++) {
        uint64_t bytes = own_bytes(engine->members[i]);
        out->all_engines += bytes;
        if (bytes > out->each_engine) out->each_engine = bytes;
        if (vision == NULL) vision = engine->members[i]->vision;
    }
    if (vision) add_weights(out, clsp_vision_tower_blocks(vision));
    if (text) add_weights(out, clsp_text_tower_blocks(text));
}

double clipspan_engine_bf16_gain(const clipspan_engine *engine)
{
    int before = clsp_threads(engine->threads);
    double gain = clsp_bf16_gain((size_t)engine->model->vision.config.width);
    clsp_threads(before);
    return gain;
}

clipspan_status clsp_engine_vision(clsp_vision_tower **out, clipspan_engine *engine, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (engine->vision == NULL)
        status = clsp_vision_tower_new(&engine->vision, engine->workspace, engine->model, engine->type,
                                       (size_t)engine->batch, err);
    *out = engine->vision;
    return status;
}

clipspan_status clsp_engine_text(clsp_text_tower **out, clipspan_engine *engine, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (engine->text == NULL)
        status = clsp_text_tower_new(&engine->text, engine->workspace, engine->model, engine->type, err);
    *out = engine->text;
    return status;
}

/* Always the whole batch, with images of zeros where fewer came: an image's bits then depend neither on how many stand
 * beside it nor on what they are, and not on its place in the batch. Whoever has one image at a time opens an engine of batch 1. */
clipspan_status clsp_engine_forward(clipspan_engine *engine, const float *pixels, size_t n, clsp_capture *capture,
                                    float *embedding, clipspan_error *err)
{
    size_t batch = (size_t)engine->batch;
    if (n > batch)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu images in one pass, the engine's batch is %zu", n, batch);
    if (capture && capture->images < batch)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "capture of %zu images, the engine's batch is %zu",
                         capture->images, batch);
    clsp_vision_tower *tower;
    clipspan_status status =
        clsp_engine_check_parts(engine, capture && capture->cls, capture && capture->tokens, err);
    if (status != CLIPSPAN_OK) return status;
    int before = clsp_threads(engine->threads);
    status = clsp_engine_vision(&tower, engine, err);
    if (status == CLIPSPAN_OK)
        status = clsp_vision_tower_run(tower, pixels, n, engine->replacement, capture, embedding, err);
    clsp_threads(before);
    return status;
}

void clsp_normalize(float *x, size_t rows, size_t width)
{
    for (size_t r = 0; r < rows; r++, x += width) {
        double squares = 0.0;
        for (size_t i = 0; i < width; i++) squares += (double)x[i] * (double)x[i];
        float factor = squares > 0.0 ? (float)(1.0 / sqrt(squares)) : 0.0f;
        for (size_t i = 0; i < width; i++) x[i] *= factor;
    }
}
