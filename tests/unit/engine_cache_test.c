/* Models with a cache, opened from their files: by several threads at once, with every allocation failing, and changed
 * after they were opened. */
#include <pthread.h>
#include <sys/stat.h>

#include "model_folder.h"
#include "clipspan/engine.h"
#include "scratch.h"

enum { BATCH = 2, THREADS = 4, WIDEST = 1024 };

static int warnings;
static void count_warning(void *user, const char *message)
{
    (void)user, (void)message;
    warnings++;
}

static clipspan_status open_in(clipspan_model **model, const char *path, const char *cache, clipspan_error *err)
{
    static const clipspan_hooks hooks = {NULL, count_warning, NULL};
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    options.cache = cache;
    options.hooks = &hooks;
    warnings = 0;
    return clipspan_model_open(model, path, &options, err);
}

/* Images of a constant, or a text, by an engine of its own. out: [WIDEST] */
static clipspan_status embed(const clipspan_model *model, bool text, float *out, clipspan_error *err)
{
    static const char *const texts[] = {"a photo of a red square"};
    clipspan_status status = CLIPSPAN_OK;
    clipspan_engine_options options = {CLIPSPAN_F32, 1, BATCH, 0};
    clipspan_engine *engine = NULL;
    int side = clipspan_model_get_info(model)->image_size;
    size_t count = (size_t)3 * (size_t)side * (size_t)side;
    float *pixels = NULL;
    CLSP_ALLOC(pixels, clsp_alloc(count, sizeof *pixels));
    for (size_t i = 0; i < count; i++) pixels[i] = 0.5f;
    CLSP_TRY(clipspan_engine_open(&engine, model, &options, err));
    if (text)
        status = clipspan_engine_embed_texts(engine, texts, 1, 1, out, err);
    else
        status = clipspan_engine_embed_images(engine, pixels, 1, 1, out, err);
out:
    clipspan_engine_free(engine);
    clsp_free(pixels);
    return status;
}

static clipspan_model *folder_model(const char *cache)
{
    clipspan_error err;
    clipspan_model *model = NULL;
    if (open_in(&model, folder_path(""), cache, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return model;
}

static bool has_weights(const char *cache)
{
    char command[4200];
    snprintf(command, sizeof command, "ls '%s' 2>/dev/null | grep -q weights", cache);
    return system(command) == 0;
}

static const char *empty_cache(void)
{
    char command[4200];
    const char *path = scratch("kept");
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
    return path;
}

/* What is packed from files that changed after their fingerprint was taken must not be kept under it. */
static void changed_since_opened(void **state)
{
    (void)state;
    clipspan_error err;
    float out[WIDEST];
    model_recipe recipe = MODEL_RECIPE_INIT;
    for (int sharded = 0; sharded < 2; sharded++) {
        const char *cache = empty_cache();
        recipe.sharded = sharded != 0;
        folder_make(&recipe);
        clipspan_model *model = folder_model(cache);
        assert_int_equal(chmod(folder_path(sharded ? "model-00002-of-00002.safetensors" : "model.safetensors"), 0600), 0);
        assert_int_equal(embed(model, false, out, &err), CLIPSPAN_OK);
        assert_true(warnings == 1 && !has_weights(cache));
        clipspan_model_free(model);
        model = folder_model(cache);
        assert_int_equal(embed(model, false, out, &err), CLIPSPAN_OK);
        assert_true(warnings == 0 && has_weights(cache));
        clipspan_model_free(model);
    }
}

typedef struct job {
    const clipspan_model *model;
    const float *expected; /* [WIDEST] */
    bool text;
} job;

static void *embed_again(void *user)
{
    const job *j = user;
    clipspan_error err;
    float out[WIDEST] = {0};
    size_t width = (size_t)clipspan_model_get_info(j->model)->embed_dim;
    for (int i = 0; i < 3; i++) {
        if (embed(j->model, j->text, out, &err) != CLIPSPAN_OK) return user;
        if (memcmp(out, j->expected, width * sizeof *out) != 0) return user;
    }
    return NULL;
}

static void images_and_texts_at_once(void **state)
{
    (void)state;
    clipspan_error err;
    float images[WIDEST] = {0}, texts[WIDEST] = {0};
    pthread_t threads[THREADS];
    job jobs[THREADS];
    model_recipe recipe = MODEL_RECIPE_INIT;
    folder_make(&recipe);
    clipspan_model *model = folder_model(empty_cache());
    assert_int_equal(embed(model, false, images, &err), CLIPSPAN_OK);
    assert_int_equal(embed(model, true, texts, &err), CLIPSPAN_OK);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){model, i % 2 ? texts : images, i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, embed_again, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(warnings, 0);
    clipspan_model_free(model);
}

/* Where no memory is left for the cache alone the work goes on without it. */
static void failed_allocations(void **state)
{
    (void)state;
    float expected[WIDEST] = {0}, out[WIDEST];
    size_t width = 0;
    model_recipe recipe = MODEL_RECIPE_INIT;
    folder_make(&recipe);
    for (int kept = 0; kept < 2; kept++) {
        const char *cache = empty_cache();
        for (unsigned long n = 0, seen = 1; n <= seen; n++) {
            clipspan_error err;
            clipspan_model *model = NULL;
            if (!kept) cache = empty_cache();
            clsp_alloc_fail_at(n);
            clipspan_status status = open_in(&model, folder_path(""), cache, &err);
            if (status == CLIPSPAN_OK) status = embed(model, false, out, &err);
            seen = clsp_alloc_fail_at(0);
            if (n == 0) {
                assert_int_equal(status, CLIPSPAN_OK);
                width = (size_t)clipspan_model_get_info(model)->embed_dim;
                memcpy(expected, out, sizeof expected);
            }
            clipspan_model_free(model);
            if (status != CLIPSPAN_OK) assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
            if (status == CLIPSPAN_OK) assert_memory_equal(out, expected, width * sizeof *out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_since_opened),
        cmocka_unit_test(images_and_texts_at_once),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
