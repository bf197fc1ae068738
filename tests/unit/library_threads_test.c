/* The public API from several threads at once: one model and one image list shared, an engine a thread. Every thread
 * must get the bits that one thread alone gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "clipspan/contributions.h"
#include "clipspan/engine.h"
#include "model_maker.h"

enum { THREADS = 4, IMAGES = 5, TEXTS = 3, EMBED = 24, ROUNDS = 3 };

static const char *const texts[TEXTS] = {"a red square", "photo", "two of them, and a longer line of text"};

typedef struct outcome {
    float images[IMAGES * EMBED], texts[TEXTS * EMBED];
    int32_t ids[32];
    size_t id_count;
} outcome;

typedef struct worker {
    const clipspan_model *model;
    const float *pixels;
    outcome result;
    clipspan_status status;
} worker;

static clipspan_status compute(worker *w)
{
    clipspan_engine_options options = CLIPSPAN_ENGINE_OPTIONS_INIT;
    clipspan_engine *engine = NULL;
    options.threads = 1;
    options.batch = 2;
    clipspan_status status = clipspan_engine_open(&engine, w->model, &options, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_images(engine, w->pixels, IMAGES, 1, w->result.images, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_texts(engine, texts, TEXTS, 1, w->result.texts, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_tokenize(w->model, texts[2], w->result.ids, 32, &w->result.id_count, NULL);
    clipspan_engine_free(engine);
    return status;
}

static void *run(void *argument)
{
    worker *w = argument;
    for (int round = 0; round < ROUNDS && w->status == CLIPSPAN_OK; round++) w->status = compute(w);
    return NULL;
}

static clipspan_model *make_and_open(void)
{
    char path[4096];
    clipspan_error err;
    clipspan_model *model = NULL;
    model_recipe recipe = MODEL_RECIPE_INIT;
    snprintf(path, sizeof path, "%s/model", getenv("CLIPSPAN_TEST_TMP"));
    assert_int_equal(model_make(path, &recipe, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_model_open(&model, path, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_model_get_info(model)->embed_dim, EMBED);
    return model;
}

static void threads_agree_with_one(void **state)
{
    (void)state;
    clipspan_model *model = make_and_open();
    size_t row = 3 * 32 * 32;
    float *pixels = malloc(IMAGES * row * sizeof *pixels);
    assert_non_null(pixels);
    for (size_t i = 0; i < IMAGES * row; i++) pixels[i] = (float)((i * 2654435761u >> 8) % 2001) / 1000.0f - 1.0f;
    worker *workers = calloc(THREADS + 1, sizeof *workers);
    assert_non_null(workers);
    pthread_t threads[THREADS];
    for (int t = 0; t <= THREADS; t++) workers[t] = (worker){.model = model, .pixels = pixels};
    run(&workers[THREADS]);
    assert_int_equal(workers[THREADS].status, CLIPSPAN_OK);
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_create(&threads[t], NULL, run, &workers[t]), 0);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    float alive = 0;
    for (size_t i = 0; i < IMAGES * EMBED; i++) alive += workers[THREADS].result.images[i] * workers[THREADS].result.images[i];
    assert_true(alive > 0.99f * IMAGES && alive < 1.01f * IMAGES); /* unit rows, so not zeros */
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(workers[t].status, CLIPSPAN_OK);
        assert_memory_equal(&workers[t].result, &workers[THREADS].result, sizeof(outcome));
    }
    free(workers);
    free(pixels);
    clipspan_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_agree_with_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
