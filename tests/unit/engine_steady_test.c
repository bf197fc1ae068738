/* No allocation in the steady state: once a batch has run, the same passes ask the heap for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compute/compute.h"
#include "engine/engine.h"
#include "model_maker.h"

enum { BATCH = 4, EMBED = 24 };

static clipspan_model *make_and_open(void)
{
    char path[4096];
    clipspan_model *model = NULL;
    model_recipe recipe = MODEL_RECIPE_INIT;
    snprintf(path, sizeof path, "%s/model", getenv("CLIPSPAN_TEST_TMP"));
    assert_int_equal(model_make(path, &recipe, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_model_open(&model, path, NULL, NULL), CLIPSPAN_OK);
    return model;
}

/* The same while heads are replaced and summed. */
static void intervened(clipspan_engine *engine, const clipspan_model *model, const float *pixels)
{
    const clipspan_model_info *info = clipspan_model_get_info(model);
    unsigned char heads[64] = {1, 0, 1, 0, 0, 1}, counted[BATCH] = {1, 1, 0, 1};
    float embedding[BATCH * EMBED];
    clsp_capture capture;
    clipspan_intervention swap = {heads, NULL, info->tokens};
    unsigned what = CLSP_CAPTURE_Z | CLSP_CAPTURE_MLP | CLSP_CAPTURE_LAST | CLSP_CAPTURE_HIDDEN;
    assert_int_equal(clsp_capture_new(&capture, &model->vision, BATCH, what, NULL, 0, NULL), CLIPSPAN_OK);
    capture.head_sums = calloc((size_t)(info->layers * info->tokens * info->width), sizeof *capture.head_sums);
    capture.counted = counted;
    assert_non_null(capture.head_sums);
    assert_int_equal(clipspan_engine_intervene(engine, &swap, NULL), CLIPSPAN_OK);
    assert_true(clsp_alloc_fail_at(0) > 0);
    for (int pass = 0; pass < 3; pass++)
        assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, &capture, embedding, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_alloc_fail_at(0), 0);
    free(capture.head_sums);
    clsp_capture_free(&capture);
}

static void runs(clipspan_dtype dtype)
{
    clipspan_model *model = make_and_open();
    clipspan_engine_options options = {dtype, 2, BATCH, 0};
    clipspan_engine *engine = NULL;
    clsp_capture capture;
    unsigned everything = CLSP_CAPTURE_Z | CLSP_CAPTURE_MLP | CLSP_CAPTURE_CLS | CLSP_CAPTURE_LAST | CLSP_CAPTURE_TOKENS |
                          CLSP_CAPTURE_HIDDEN;
    int layers[] = {0, 2};
    size_t cells = (size_t)BATCH * 3 * 32 * 32;
    float *pixels = malloc(cells * sizeof *pixels), embedding[BATCH * EMBED];
    assert_non_null(pixels);
    for (size_t i = 0; i < cells; i++) pixels[i] = (float)((i * 40503u) % 1000) / 500.0f - 1.0f;
    assert_int_equal(clipspan_engine_open(&engine, model, &options, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_capture_new(&capture, &model->vision, BATCH, everything, layers, 2, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, &capture, embedding, NULL), CLIPSPAN_OK);
    assert_true(clsp_alloc_fail_at(0) > 0); /* the count is alive */
    for (int pass = 0; pass < 3; pass++)
        assert_int_equal(clsp_engine_forward(engine, pixels, BATCH - (size_t)pass, &capture, embedding, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_engine_embed_images(engine, pixels, BATCH, 1, embedding, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_alloc_fail_at(0), 0);
    intervened(engine, model, pixels);
    clsp_capture_free(&capture);
    clipspan_engine_free(engine);
    clipspan_model_free(model);
    free(pixels);
}

static void f32(void **state)
{
    (void)state;
    runs(CLIPSPAN_F32);
}

static void bf16(void **state)
{
    (void)state;
    runs(CLIPSPAN_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(f32), cmocka_unit_test(bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
