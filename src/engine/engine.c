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
    if (o->dtype == CLIPSPAN_BF16 && !clsp_bf16_supported())
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s runs no bf16 products on this processor: use f32",
                         clsp_compute_name());
    return CLIPSPAN_OK;
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
    CLSP_ALLOC(engine, clsp_alloc_zero(1, sizeof *engine));
    engine->model = model;
    engine->type = o->dtype == CLIPSPAN_BF16 ? CLSP_TYPE_BF16 : CLSP_TYPE_F32;
    engine->threads = o->threads ? o->threads : clsp_cpu_count();
    engine->batch = o->batch ? o->batch : usual_batch(model);
    CLSP_TRY(clsp_workspace_new(&engine->workspace, err));
    *out = engine;
    engine = NULL;
out:
    clipspan_engine_free(engine);
    return status;
}

void clipspan_engine_free(clipspan_engine *engine)
{
    if (engine == NULL) return;
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
 * beside it nor on what they are, and there is one set of products. (Its place in the batch may matter by round-off:
 * some of oneDNN's kernels add in another order there.) Whoever has one image at a time opens an engine of batch 1. */
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
