/* Image lists through the decode pool, and text pools through their cache, on a small random model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "clipspan/engine.h"
#include "model_maker.h"
#include "scratch.h"

enum { BATCH = 3, IMAGES = 7, EMBED = 24, BROKEN = 1, TEXTS = 40 };

static clipspan_model *model;
static char names[IMAGES][64];

static void copy_file(const char *from, const char *to)
{
    char *bytes;
    size_t size;
    clipspan_error err;
    if (clsp_file_read(&bytes, &size, from, 1 << 24, &err)) fail_msg("%s", err.message);
    scratch_write(to, bytes, size);
    clsp_free(bytes);
}

/* Seven of the golden pictures that decode, under names of their own. */
static void copy_pictures(void)
{
    clipspan_images *images = NULL;
    clipspan_error err;
    size_t found = 0, side = (size_t)clipspan_model_get_info(model)->image_size;
    float *pixels = malloc(3 * side * side * sizeof *pixels);
    if (clipspan_images_open(&images, "golden/image", NULL, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < clipspan_images_count(images) && found < IMAGES; i++) {
        char path[1024];
        if (clipspan_images_preprocess(images, i, model, pixels, NULL) != CLIPSPAN_OK) continue;
        snprintf(path, sizeof path, "golden/image/%s", clipspan_images_name(images, i));
        snprintf(names[found], sizeof names[found], "picture%zu.jpg", found);
        copy_file(path, names[found++]);
    }
    assert_int_equal(found, IMAGES);
    clipspan_images_free(images);
    free(pixels);
}

static int begin(void **state)
{
    (void)state;
    clipspan_error err;
    model_recipe recipe = MODEL_RECIPE_INIT;
    if (model_make(scratch("model"), &recipe, &err)) fail_msg("%s", err.message);
    if (clipspan_model_open(&model, scratch("model"), NULL, &err)) fail_msg("%s", err.message);
    assert_int_equal(clipspan_model_get_info(model)->embed_dim, EMBED);
    copy_pictures();
    scratch_write("broken.jpg", "\xff\xd8\xff\xe0 this is no picture", 24);
    setenv("XDG_CACHE_HOME", scratch("cache"), 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    clipspan_model_free(model);
    return 0;
}

/* A list of the seven pictures; `broken` of them (or -1) is a file that is no picture. */
static clipspan_images *list_of(int broken)
{
    char text[1024] = "";
    clipspan_images *images = NULL;
    clipspan_error err;
    for (int i = 0; i < IMAGES; i++) {
        strcat(text, i == broken ? "broken.jpg" : names[i]);
        strcat(text, "\n");
    }
    if (clipspan_images_open(&images, scratch_write("list.txt", text, strlen(text)), NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(clipspan_images_count(images), IMAGES);
    return images;
}

static int engines; /* inside one */
static int changed; /* 1: every second head gives zeros */

static clipspan_engine *engine_new(clipspan_dtype dtype)
{
    clipspan_engine_options options = {dtype, engines > 2 ? engines : 2, BATCH, engines};
    clipspan_engine *engine = NULL;
    clipspan_error err;
    if (clipspan_engine_open(&engine, model, &options, &err)) fail_msg("%s", err.message);
    return engine;
}

typedef struct seen {
    float rows[IMAGES * EMBED];
    unsigned char ok[IMAGES];
    size_t next, calls;
    int warnings, stop_after; /* progress calls; 0: never */
    int progress_calls;
    unsigned long long done, skipped;
    char warning[CLIPSPAN_ERROR_LENGTH];
} seen;

static clipspan_status take(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                            clipspan_error *err)
{
    seen *s = user;
    (void)err;
    assert_int_equal(first, s->next);
    memcpy(s->rows + first * EMBED, embeddings, n * EMBED * sizeof *embeddings);
    memcpy(s->ok + first, ok, n);
    s->next += n;
    s->calls++;
    return CLIPSPAN_OK;
}

static int progress(void *user, const clipspan_progress *p)
{
    seen *s = user;
    s->done = p->done;
    s->skipped = p->skipped;
    return ++s->progress_calls == s->stop_after;
}

static void warn(void *user, const char *message)
{
    seen *s = user;
    s->warnings++;
    snprintf(s->warning, sizeof s->warning, "%s", message);
}

static void replace_heads(clipspan_engine *engine)
{
    enum { MOST = 256 };
    const clipspan_model_info *info = clipspan_model_get_info(model);
    unsigned char heads[MOST];
    clipspan_error err;
    assert_true(info->layers * info->heads <= MOST);
    for (int i = 0; i < MOST; i++) heads[i] = i % 2;
    const clipspan_intervention intervention = {heads, NULL, 1};
    if (clipspan_engine_intervene(engine, &intervention, &err)) fail_msg("%s", err.message);
}

static clipspan_status run_list(seen *s, int broken, int strict, clipspan_error *err)
{
    clipspan_engine *engine = engine_new(CLIPSPAN_F32);
    clipspan_images *images = list_of(broken);
    clipspan_hooks hooks = {progress, warn, s};
    if (changed) replace_heads(engine);
    clipspan_status status = clipspan_engine_embed_list(engine, images, 1, strict, take, s, &hooks, err);
    clipspan_images_free(images);
    clipspan_engine_free(engine);
    return status;
}

static float distance(const float *a, const float *b)
{
    float most = 0.0f;
    for (size_t i = 0; i < EMBED; i++) {
        float d = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
        most = d > most ? d : most;
    }
    return most;
}

/* What pixels made one by one and embedded alone give (at another place of the batch, hence up to round-off). */
static void list_equals_single_images(void **state)
{
    (void)state;
    seen s = {.stop_after = 0};
    clipspan_error err;
    assert_int_equal(run_list(&s, -1, 1, &err), CLIPSPAN_OK);
    assert_int_equal(s.calls, 3);
    assert_int_equal(s.next, IMAGES);
    assert_int_equal(s.done, IMAGES);
    assert_int_equal(s.warnings, 0);
    clipspan_engine *engine = engine_new(CLIPSPAN_F32);
    clipspan_images *images = list_of(-1);
    size_t side = (size_t)clipspan_model_get_info(model)->image_size;
    float *pixels = malloc(3 * side * side * sizeof *pixels), row[EMBED];
    for (size_t i = 0; i < IMAGES; i++) {
        assert_int_equal(s.ok[i], 1);
        assert_int_equal(clipspan_images_preprocess(images, i, model, pixels, &err), CLIPSPAN_OK);
        assert_int_equal(clipspan_engine_embed_images(engine, pixels, 1, 1, row, &err), CLIPSPAN_OK);
        assert_true(distance(row, s.rows + i * EMBED) < 1e-5f);
        for (size_t j = 0; j < i; j++) assert_true(distance(row, s.rows + j * EMBED) > 1e-3f);
    }
    free(pixels);
    clipspan_images_free(images);
    clipspan_engine_free(engine);
}

/* One picture that cannot be read: named in a warning, its row zero, and not a bit changed in the others. */
static void bad_image_changes_no_other(void **state)
{
    (void)state;
    seen good = {.stop_after = 0}, bad = {.stop_after = 0};
    clipspan_error err;
    assert_int_equal(run_list(&good, -1, 0, &err), CLIPSPAN_OK);
    assert_int_equal(run_list(&bad, BROKEN, 0, &err), CLIPSPAN_OK);
    assert_int_equal(bad.warnings, 1);
    assert_int_equal(bad.skipped, 1);
    assert_non_null(strstr(bad.warning, "broken.jpg"));
    for (size_t i = 0; i < IMAGES; i++) {
        assert_int_equal(bad.ok[i], i != BROKEN);
        if (i != BROKEN) assert_memory_equal(good.rows + i * EMBED, bad.rows + i * EMBED, EMBED * sizeof(float));
    }
    for (size_t i = 0; i < EMBED; i++) assert_true(bad.rows[BROKEN * EMBED + i] == 0.0f);
}

static void strict_stops(void **state)
{
    (void)state;
    seen s = {.stop_after = 0};
    clipspan_error err;
    assert_int_equal(run_list(&s, BROKEN + BATCH, 1, &err), CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "broken.jpg"));
    assert_int_equal(s.next, BATCH); /* the batch before was handed over, its own was not */
}

static void interrupt_stops(void **state)
{
    (void)state;
    seen s = {.stop_after = 2}; /* the first call says 0 */
    clipspan_error err;
    assert_int_equal(run_list(&s, -1, 0, &err), CLIPSPAN_ERROR_INTERRUPTED);
    assert_int_equal(s.next, BATCH);
}

/* ---- texts --------------------------------------------------------------------------------------------------- */

static clipspan_texts *pool_of(size_t count)
{
    char lines[TEXTS][128];
    const char *list[TEXTS];
    clipspan_texts *texts = NULL;
    for (size_t i = 0; i < count; i++) {
        snprintf(lines[i], sizeof lines[i], "a %s square, number %zu%s", i % 2 ? "red" : "blue", i,
                 i % 5 ? "" : " and a longer line of text");
        list[i] = lines[i];
    }
    assert_int_equal(clipspan_texts_copy(&texts, list, count, NULL), CLIPSPAN_OK);
    return texts;
}

static clipspan_status run_pool(float *rows, size_t count, clipspan_dtype dtype, int cache, seen *s)
{
    clipspan_engine *engine = engine_new(dtype);
    clipspan_texts *texts = pool_of(count);
    clipspan_hooks hooks = {progress, warn, s};
    clipspan_error err;
    clipspan_status status = clipspan_engine_embed_pool(engine, texts, cache, rows, &hooks, &err);
    clipspan_texts_free(texts);
    clipspan_engine_free(engine);
    return status;
}

static const char *cache_file(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/clipspan/%s-f32.texts", getenv("XDG_CACHE_HOME"),
             clipspan_model_get_info(model)->fingerprint);
    return path;
}

/* Progress is told only where something is computed: that tells a cached run from another. */
static void pool_is_cached(void **state)
{
    (void)state;
    float plain[TEXTS * EMBED], rows[TEXTS * EMBED];
    seen s = {.stop_after = 0};
    unlink(cache_file());
    assert_int_equal(run_pool(plain, TEXTS, CLIPSPAN_F32, 0, &s), CLIPSPAN_OK);
    assert_false(clsp_file_exists(cache_file()));
    assert_int_equal(run_pool(rows, TEXTS / 2, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
    assert_true(clsp_file_exists(cache_file()));
    s.progress_calls = 0;
    assert_int_equal(run_pool(rows, TEXTS / 2, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
    assert_int_equal(s.progress_calls, 0);
    for (size_t i = 0; i < TEXTS / 2 * EMBED; i++) assert_true(rows[i] - plain[i] < 1e-6f && plain[i] - rows[i] < 1e-6f);
    assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK); /* half of it is there */
    assert_int_equal(s.progress_calls, 1);
    assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
    assert_int_equal(s.progress_calls, 1);
    for (size_t i = 0; i < TEXTS * EMBED; i++) assert_true(rows[i] - plain[i] < 1e-6f && plain[i] - rows[i] < 1e-6f);
    assert_int_equal(s.warnings, 0);
}

static void damage(long offset, int cut)
{
    char *bytes;
    size_t size;
    assert_int_equal(clsp_file_read(&bytes, &size, cache_file(), 1 << 24, NULL), CLIPSPAN_OK);
    bytes[offset < 0 ? (long)size + offset : offset] ^= 1;
    FILE *file = fopen(cache_file(), "wb");
    assert_non_null(file);
    fwrite(bytes, 1, size - (size_t)cut, file);
    fclose(file);
    clsp_free(bytes);
}

/* Any damage: the cache counts as empty, the answer is right, and the file is whole again afterwards. */
static void damaged_cache_is_replaced(void **state)
{
    (void)state;
    const struct { long offset; int cut; } cases[] = {{0, 0}, {8, 0}, {12, 0}, {17, 0}, {23, 0}, {30, 0}, {70, 0},
                                                      {-40, 0}, {-1, 0}, {0, 5}, {9, 1500}};
    float first[TEXTS * EMBED], rows[TEXTS * EMBED];
    seen s = {.stop_after = 0};
    unlink(cache_file());
    assert_int_equal(run_pool(first, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        damage(cases[i].offset, cases[i].cut);
        s.progress_calls = 0;
        assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
        assert_true(s.progress_calls > 0);
        assert_memory_equal(rows, first, sizeof rows);
        s.progress_calls = 0;
        assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
        assert_int_equal(s.progress_calls, 0);
        assert_memory_equal(rows, first, sizeof rows);
    }
    assert_int_equal(s.warnings, 0);
}

/* A place that cannot be written is worth a warning, not a failure. */
static void cache_that_cannot_be_written(void **state)
{
    (void)state;
    float rows[TEXTS * EMBED];
    seen s = {.stop_after = 0};
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", getenv("XDG_CACHE_HOME"));
    setenv("XDG_CACHE_HOME", scratch_write("a_file", "x", 1), 1);
    assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
    assert_int_equal(s.warnings, 1);
    assert_non_null(strstr(s.warning, "a_file"));
    setenv("XDG_CACHE_HOME", kept, 1);
}

static void interrupted_pool_keeps_what_is_done(void **state)
{
    (void)state;
    float rows[TEXTS * EMBED];
    seen s = {.stop_after = 1};
    unlink(cache_file());
    assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_ERROR_INTERRUPTED);
    s.stop_after = 0;
    s.progress_calls = 0;
    assert_int_equal(run_pool(rows, TEXTS, CLIPSPAN_F32, 1, &s), CLIPSPAN_OK);
    assert_int_equal(s.progress_calls, 0); /* one pass had held them all */
}

static void texts_without_a_tokenizer(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    clipspan_model *bare = NULL;
    clipspan_engine *engine = NULL;
    clipspan_error err;
    const char *text = "a red square";
    float row[EMBED];
    recipe.no_tokenizer = true;
    assert_int_equal(model_make(scratch("bare"), &recipe, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_model_open(&bare, scratch("bare"), NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_engine_open(&engine, bare, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_engine_embed_texts(engine, &text, 1, 1, row, &err), CLIPSPAN_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "bare"));
    clipspan_engine_free(engine);
    clipspan_model_free(bare);
}

/* Batches go round among engines and come back in order, the same to the bit; a picture that cannot be read, an error and a
 * stop are those of one engine. */
static void several_engines(void **state)
{
    (void)state;
    clipspan_error err;
    seen *one = calloc(1, sizeof *one), *many = calloc(1, sizeof *many);
    assert_int_equal(run_list(one, BROKEN, 0, &err), CLIPSPAN_OK);
    for (engines = 2; engines <= 5; engines++) {
        *many = (seen){0};
        assert_int_equal(run_list(many, BROKEN, 0, &err), CLIPSPAN_OK);
        assert_memory_equal(one->rows, many->rows, sizeof one->rows);
        assert_memory_equal(one->ok, many->ok, sizeof one->ok);
        assert_true(many->calls == one->calls && many->warnings == 1 && many->done == IMAGES && many->skipped == 1);
        *many = (seen){0};
        assert_int_not_equal(run_list(many, IMAGES - 1, 1, &err), CLIPSPAN_OK);
        assert_non_null(strstr(err.message, "broken.jpg"));
        *many = (seen){.stop_after = 2};
        assert_int_equal(run_list(many, -1, 0, &err), CLIPSPAN_ERROR_INTERRUPTED);
        assert_int_equal(many->next, BATCH);
    }
    engines = 0;
    free(one), free(many);
}

static void several_engines_with_heads_replaced(void **state)
{
    (void)state;
    clipspan_error err;
    seen *plain = calloc(1, sizeof *plain), *one = calloc(1, sizeof *one), *many = calloc(1, sizeof *many);
    assert_int_equal(run_list(plain, -1, 0, &err), CLIPSPAN_OK);
    changed = 1;
    assert_int_equal(run_list(one, -1, 0, &err), CLIPSPAN_OK);
    engines = 3;
    assert_int_equal(run_list(many, -1, 0, &err), CLIPSPAN_OK);
    engines = changed = 0;
    assert_memory_not_equal(plain->rows, one->rows, sizeof one->rows);
    assert_memory_equal(one->rows, many->rows, sizeof one->rows);
    free(plain), free(one), free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_equals_single_images),
        cmocka_unit_test(bad_image_changes_no_other),
        cmocka_unit_test(strict_stops),
        cmocka_unit_test(interrupt_stops),
        cmocka_unit_test(pool_is_cached),
        cmocka_unit_test(damaged_cache_is_replaced),
        cmocka_unit_test(cache_that_cannot_be_written),
        cmocka_unit_test(interrupted_pool_keeps_what_is_done),
        cmocka_unit_test(texts_without_a_tokenizer),
        cmocka_unit_test(several_engines),
        cmocka_unit_test(several_engines_with_heads_replaced),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
