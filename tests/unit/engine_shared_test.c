/* What engines of one model share: objects made once, packed weights in memory and in the cache's files, lists of images
 * among several engines in one. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compute/gemm.h"
#include "engine_reference.h"
#include "scratch.h"

/* ---- made once, released once ---------------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 200 };

static atomic_int made, released, alive;

static clipspan_status make_object(void **out, const clipspan_model *model, void *user, clipspan_error *err)
{
    (void)model, (void)err;
    made++;
    assert_int_equal(atomic_fetch_add(&alive, 1), 0);
    *out = user;
    return CLIPSPAN_OK;
}

static void release_object(void *object)
{
    (void)object;
    released++;
    alive--;
}

static void *take_and_drop(void *user)
{
    const clipspan_model *model = user;
    int object;
    const clsp_shared_making making = {make_object, release_object, &object};
    for (int i = 0; i < ROUNDS; i++) {
        void *got = NULL;
        if (clsp_shared_take(&got, model, 1, &making, NULL) != CLIPSPAN_OK || got == NULL) return user;
        clsp_shared_drop(model, 1);
    }
    return NULL;
}

static void shared_objects(void **state)
{
    (void)state;
    clipspan_model model = {.shared = clsp_shared_new()};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, take_and_drop, &model), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_true(made >= 1 && made == released && alive == 0);
    clsp_shared_free(model.shared);
}

/* ---- weights ----------------------------------------------------------------------------------------------- */

static clipspan_engine *open_engine(const clipspan_model *model, clipspan_dtype dtype, int threads)
{
    clipspan_engine_options options = {dtype, threads, BATCH, 0};
    clipspan_engine *engine = NULL;
    clipspan_error err;
    if (clipspan_engine_open(&engine, model, &options, &err)) fail_msg("%s", err.message);
    return engine;
}

static void embed(clipspan_engine *engine, const float *pixels, float *out)
{
    clipspan_error err;
    if (clipspan_engine_embed_images(engine, pixels, BATCH, 1, out, &err)) fail_msg("%s", err.message);
}

static void engines_share_weights(void **state)
{
    (void)state;
    clipspan_model model;
    random_model(&model, &problems[0]);
    float *pixels = random_pixels(&model.vision), first[BATCH * EMBED], second[BATCH * EMBED];
    clipspan_engine *a = open_engine(&model, CLIPSPAN_F32, 1), *b = open_engine(&model, CLIPSPAN_F32, 2);
    embed(a, pixels, first);
    embed(b, pixels, second);
    assert_memory_equal(first, second, sizeof first);
    assert_ptr_equal(clsp_vision_tower_blocks(a->vision)->weights, clsp_vision_tower_blocks(b->vision)->weights);
    clipspan_engine_memory memory;
    clipspan_engine_get_memory(b, &memory);
    assert_true(memory.weights > 0 && memory.mapped == 0 && memory.each_engine > 0);
    clipspan_engine_free(a); /* b still has them */
    memset(second, 0, sizeof second);
    embed(b, pixels, second);
    assert_memory_equal(first, second, sizeof first);
    clipspan_engine_free(b);
    free(pixels);
    free_model(&model);
}

/* ---- the cache ----------------------------------------------------------------------------------------------- */

static int warnings;
static void count_warning(void *user, const char *message)
{
    (void)user, (void)message;
    warnings++;
}

/* Embeddings by an engine that looks into the cache; what of its weights is mapped from there. */
static uint64_t embed_cached(clipspan_model *model, const float *pixels, float *out)
{
    clipspan_engine_memory memory;
    clipspan_engine *engine = open_engine(model, CLIPSPAN_F32, 1);
    warnings = 0;
    embed(engine, pixels, out);
    clipspan_engine_get_memory(engine, &memory);
    clipspan_engine_free(engine);
    return memory.mapped;
}

static void change_byte(const char *path, long at, long cut)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    if (cut) assert_int_equal(truncate(path, cut), 0);
}

static void weights_in_files(void **state)
{
    (void)state;
    clipspan_model model;
    random_model(&model, &problems[0]);
    float *pixels = random_pixels(&model.vision), plain[BATCH * EMBED], got[BATCH * EMBED];
    char path[4200];
    embed_cached(&model, pixels, plain);
    model.cache = clsp_strdup(scratch("cache"));
    model.hooks.warn = count_warning;
    strcpy(model.fingerprint, "00112233445566778899aabbccddeeff");
    snprintf(path, sizeof path, "%s/%s-images-f32-%s.weights", model.cache, model.fingerprint, clsp_gemm_layout(CLSP_TYPE_F32));
    unlink(path);
    assert_true(embed_cached(&model, pixels, got) == 0 && warnings == 0);
    assert_true(embed_cached(&model, pixels, got) > 0 && warnings == 0);
    assert_memory_equal(plain, got, sizeof got);
    /* order, version, sizes, fingerprint, plan, a hash, padding, a weight; then cut short, within the header and behind it */
    const long at[] = {8, 12, 16, 24, 40, 70, 100, 4000, 4096 + 999, 4096, 4096}, cut[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 8000};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        change_byte(path, at[i], cut[i]);
        assert_true(embed_cached(&model, pixels, got) == 0 && warnings == 1);
        assert_memory_equal(plain, got, sizeof got);
        assert_true(embed_cached(&model, pixels, got) > 0 && warnings == 0);
        assert_memory_equal(plain, got, sizeof got);
    }
    clipspan_engine *engine = open_engine(&model, CLIPSPAN_F32, 1); /* deleted while it is used */
    embed(engine, pixels, got);
    assert_int_equal(unlink(path), 0);
    embed(engine, pixels, got);
    assert_memory_equal(plain, got, sizeof got);
    clipspan_engine_free(engine);
    clsp_free(model.cache);
    model.cache = clsp_strdup("/dev/null/no"); /* no folder can be there */
    assert_true(embed_cached(&model, pixels, got) == 0 && warnings == 1);
    assert_memory_equal(plain, got, sizeof got);
    clsp_free(model.cache);
    free(pixels);
    free_model(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_objects),
        cmocka_unit_test(engines_share_weights),
        cmocka_unit_test(weights_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
