/* From a model directory and image files to contributions and a store: the terms add up to what the encoder itself
 * gives, and a store that was interrupted ends with the bytes of one that was not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "clipspan/store.h"
#include "compute/compute.h"
#include "model_maker.h"
#include "worse.h"

static const char *const files[] = {"png_rgb8.png",  "jpeg_420.jpg", "png_grey8.png",    "broken.png", "webp_lossy.webp",
                                    "jpeg_cmyk.jpg", "absent.png",   "png_palette8.png", "jpeg_444.jpg", "png_rgba8.png",
                                    "png_grey16.png"};
enum { LISTED = 11, READABLE = 9, BATCH = 4, LAYERS = 3, HEADS = 4, EMBED = 24 };
static const size_t readable[READABLE] = {0, 1, 2, 4, 5, 7, 8, 9, 10};

static char root[400];
static clipspan_model *model;
static clipspan_engine *engine;
static clipspan_images *images;
static int warnings;

static void expect_ok(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

static void count_warning(void *user, const char *message)
{
    (void)user;
    assert_true(strstr(message, "broken.png") != NULL || strstr(message, "absent.png") != NULL);
    warnings++;
}

static int set_up(void **state)
{
    (void)state;
    clipspan_error err = {0};
    char path[512], command[2048];
    model_recipe recipe = MODEL_RECIPE_INIT;
    clipspan_engine_options options = {.threads = 2, .batch = BATCH};
    snprintf(root, sizeof root, "%s", getenv("CLIPSPAN_TEST_TMP"));
    snprintf(command, sizeof command, "rm -rf '%s/model' '%s/store' '%s/whole' && cp golden/image/*.* '%s'", root, root,
             root, root);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/broken.png", root);
    FILE *file = fopen(path, "w");
    fputs("\x89PNG\r\n\x1a\nthis is not a picture", file);
    fclose(file);
    snprintf(path, sizeof path, "%s/list.txt", root);
    file = fopen(path, "w");
    for (int i = 0; i < LISTED; i++) fprintf(file, "%s\n", files[i]);
    fclose(file);
    expect_ok(clipspan_images_open(&images, path, NULL, &err), &err);
    snprintf(path, sizeof path, "%s/model", root);
    recipe.layout = "open_clip";
    expect_ok(model_make(path, &recipe, &err), &err);
    expect_ok(clipspan_model_open(&model, path, NULL, &err), &err);
    expect_ok(clipspan_engine_open(&engine, model, &options, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return 0;
}

typedef struct sums {
    size_t seen;
    double worst[2], worst_token, worst_cls, worst_embedding;
} sums;

static double relative(const double *got, const float *expected, double scale)
{
    double error = 0, length = 0;
    for (size_t e = 0; e < EMBED; e++) {
        error += pow(got[e] - scale * (double)expected[e], 2);
        length += pow(scale * (double)expected[e], 2);
    }
    return sqrt(error / length);
}

static void add_rows(double *sum, const float *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) sum[i] += (double)rows[i];
}

/* The sum of every term of the batch, [I, E]. */
static void sum_terms(const clipspan_batch *b, clipspan_convention convention, double *sum)
{
    float term[BATCH * EMBED];
    size_t count = b->images * EMBED;
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < HEADS; h++) {
            assert_int_equal(clipspan_batch_head(b, convention, l, h, term, NULL), CLIPSPAN_OK);
            add_rows(sum, term, count);
        }
    for (int t = 0; t <= LAYERS; t++) {
        assert_int_equal(clipspan_batch_mlp(b, convention, t, term, NULL), CLIPSPAN_OK);
        add_rows(sum, term, count);
    }
    assert_int_equal(clipspan_batch_constant(b, convention, term, NULL), CLIPSPAN_OK);
    add_rows(sum, term, count);
}

/* Tokens add up to their head; the class token's, over heads, to the cls term. */
static void check_tokens(const clipspan_batch *b, clipspan_convention convention, sums *s)
{
    size_t tokens = (size_t)b->basis->tokens, image = b->images - 1;
    float *rows = malloc(tokens * EMBED * sizeof *rows), head[BATCH * EMBED], cls[BATCH * EMBED];
    for (int l = 0; l < LAYERS; l++) {
        double own[EMBED] = {0};
        for (int h = 0; h < HEADS; h++) {
            double sum[EMBED] = {0};
            assert_int_equal(clipspan_batch_tokens(b, convention, l, h, image, rows, NULL), CLIPSPAN_OK);
            assert_int_equal(clipspan_batch_head(b, convention, l, h, head, NULL), CLIPSPAN_OK);
            for (size_t n = 0; n < tokens; n++) add_rows(sum, rows + n * EMBED, EMBED);
            s->worst_token = worse(s->worst_token, relative(sum, head + image * EMBED, 1.0));
            add_rows(own, rows, EMBED);
        }
        assert_int_equal(clipspan_batch_cls(b, convention, l, cls, NULL), CLIPSPAN_OK);
        s->worst_cls = worse(s->worst_cls, relative(own, cls + image * EMBED, 1.0));
    }
    free(rows);
}

/* The batch's embedding against the plain encoder's. */
static void check_embedding(const clipspan_batch *b, sums *s)
{
    size_t size = 3 * 32 * 32;
    float *pixels = malloc(size * sizeof *pixels), alone[EMBED];
    for (size_t i = 0; i < b->images; i++) {
        double got[EMBED];
        assert_int_equal(clipspan_images_preprocess(images, b->index[i], model, pixels, NULL), CLIPSPAN_OK);
        assert_int_equal(clipspan_engine_embed_images(engine, pixels, 1, 0, alone, NULL), CLIPSPAN_OK);
        for (size_t e = 0; e < EMBED; e++) got[e] = (double)b->embedding[i * EMBED + e];
        s->worst_embedding = worse(s->worst_embedding, relative(got, alone, 1.0));
    }
    free(pixels);
}

static clipspan_status check_batch(void *user, const clipspan_batch *b, clipspan_error *err)
{
    sums *s = user;
    (void)err;
    for (size_t i = 0; i < b->images; i++) assert_int_equal(b->index[i], readable[s->seen + i]);
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        double sum[BATCH * EMBED] = {0};
        sum_terms(b, c, sum);
        for (size_t i = 0; i < b->images; i++) {
            double scale = c == CLIPSPAN_PAPER ? 1.0 / (double)b->norm[i] : 1.0;
            s->worst[c] = worse(s->worst[c], relative(sum + i * EMBED, b->embedding + i * EMBED, scale));
        }
        check_tokens(b, c, s);
    }
    check_embedding(b, s);
    s->seen += b->images;
    return CLIPSPAN_OK;
}

static void terms_add_up(void **state)
{
    (void)state;
    clipspan_error err = {0};
    sums s = {0};
    const clipspan_hooks hooks = {NULL, count_warning, NULL};
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    options.parts |= CLIPSPAN_PART_TOKENS;
    warnings = 0;
    expect_ok(clipspan_decompose_each(engine, images, &options, check_batch, &s, &hooks, &err), &err);
    printf("sum: paper %.1e exact %.1e; tokens %.1e cls %.1e embedding %.1e\n", s.worst[0], s.worst[1], s.worst_token,
           s.worst_cls, s.worst_embedding);
    assert_int_equal(s.seen, READABLE);
    assert_int_equal(warnings, LISTED - READABLE);
    assert_true(s.worst[0] < 1e-5 && s.worst[1] < 1e-5);
    assert_true(s.worst_token < 1e-5 && s.worst_cls < 1e-5 && s.worst_embedding < 1e-5);
    options.strict = 1;
    assert_int_not_equal(clipspan_decompose_each(engine, images, &options, check_batch, &(sums){0}, NULL, &err),
                         CLIPSPAN_OK);
    assert_non_null(strstr(err.message, "broken.png"));
}

static int stop_at_8(void *user, const clipspan_progress *progress)
{
    (void)user;
    assert_int_equal(progress->total, LISTED);
    return progress->done >= 8;
}

/* The number that the calling thread's loops have. */
static int threads_now(void)
{
    int now = clsp_threads(1);
    clsp_threads(now);
    return now;
}

static clipspan_status expect_engine_threads(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    (void)batch;
    (void)err;
    assert_int_equal(threads_now(), clipspan_engine_threads(engine));
    ++*(int *)user;
    return CLIPSPAN_OK;
}

/* What is done with a batch behind the forward pass keeps to the engine's threads too; the caller's number comes
 * back. */
static void the_engines_threads_are_kept_to(void **state)
{
    (void)state;
    clipspan_error err = {0};
    int batches = 0, before = clsp_threads(5);
    clipspan_hooks hooks = {NULL, count_warning, NULL};
    assert_int_not_equal(clipspan_engine_threads(engine), 5);
    expect_ok(clipspan_decompose_each(engine, images, NULL, expect_engine_threads, &batches, &hooks, &err), &err);
    assert_int_equal(batches, (LISTED + BATCH - 1) / BATCH);
    assert_int_equal(threads_now(), 5);
    clsp_threads(before);
}

static void a_store_by_the_engine(void **state)
{
    (void)state;
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    clipspan_store_summary summary;
    char directory[512], whole[512], command[1200];
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    clipspan_hooks stopping = {stop_at_8, NULL, NULL};
    options.shard_images = 4;
    snprintf(directory, sizeof directory, "%s/store", root);
    snprintf(whole, sizeof whole, "%s/whole", root);
    expect_ok(clipspan_store_decompose(engine, images, whole, &options, &summary, NULL, &err), &err);
    assert_true(summary.images == READABLE && summary.skipped == LISTED - READABLE);
    assert_int_equal(clipspan_store_decompose(engine, images, directory, &options, &summary, &stopping, &err),
                     CLIPSPAN_ERROR_INTERRUPTED);
    expect_ok(clipspan_store_decompose(engine, images, directory, &options, &summary, NULL, &err), &err);
    assert_true(summary.images == READABLE && summary.resumed > 0 && summary.resumed < READABLE);
    snprintf(command, sizeof command, "diff -r '%s' '%s'", directory, whole);
    assert_int_equal(system(command), 0);
    expect_ok(clipspan_store_open(&store, directory, &err), &err);
    expect_ok(clipspan_store_check_model(store, model, &err), &err);
    assert_string_equal(clipspan_store_image_name(store, 3), files[4]);
    clipspan_store_free(store);
    options.decompose.strict = 1;
    options.half = 1;
    assert_int_equal(clipspan_store_decompose(engine, images, directory, &options, NULL, NULL, &err),
                     CLIPSPAN_ERROR_MISMATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_add_up),
        cmocka_unit_test(the_engines_threads_are_kept_to),
        cmocka_unit_test(a_store_by_the_engine),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
