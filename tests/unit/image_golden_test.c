/* Every kind of picture, bit for bit what open_clip's and Hugging Face's own preprocessing make of it. */
#include "image_testing.h"

#include <pthread.h>

typedef struct golden {
    char file[64], manner[16], mode[16], filter[16], hash[20];
    int size, resize, fill, exif;
} golden;

enum { MAX_GOLDENS = 1000 };
static golden goldens[MAX_GOLDENS];
static int golden_count;

static int load(void **state)
{
    (void)state;
    FILE *file = fopen("golden/image/expected.txt", "r");
    if (file == NULL) return 1;
    for (golden *g = goldens; golden_count < MAX_GOLDENS; g++, golden_count++)
        if (fscanf(file, "%63s %15s %15s %15s %d %d %d %d %19s", g->file, g->manner, g->mode, g->filter, &g->size,
                   &g->resize, &g->fill, &g->exif, g->hash) != 9)
            break;
    fclose(file);
    return golden_count > 0 ? 0 : 1;
}

static clsp_preprocess settings_of(const golden *g)
{
    clsp_preprocess how = clip_settings(g->size);
    if (strcmp(g->manner, "huggingface") == 0) how.manner = CLSP_PREPROCESS_HUGGINGFACE;
    if (strcmp(g->mode, "squash") == 0) how.mode = CLSP_RESIZE_SQUASH;
    if (strcmp(g->mode, "longest") == 0) how.mode = CLSP_RESIZE_LONGEST;
    if (strcmp(g->filter, "bilinear") == 0) how.interpolation = CLSP_BILINEAR;
    how.resize = g->resize;
    how.fill = g->fill;
    return how;
}

/* Writes the hash of what we make of it, or "refused". */
static void run(const golden *g, char hash[20], clipspan_error *err)
{
    size_t size, floats = 3 * (size_t)g->size * (size_t)g->size;
    unsigned char *bytes = golden_bytes(g->file, &size);
    float *pixels = calloc(floats, sizeof *pixels);
    clsp_preprocess how = settings_of(g);
    clsp_decoded_options options = {.exif = g->exif != 0};
    clipspan_status status = clsp_preprocess_bytes(&how, &options, bytes, size, g->file, pixels, err);
    if (status == CLIPSPAN_OK)
        snprintf(hash, 20, "%016llx", fnv(pixels, floats * sizeof *pixels));
    else
        snprintf(hash, 20, "refused");
    free(pixels);
    free(bytes);
}

static void bits_equal_the_references(void **state)
{
    (void)state;
    int wrong = 0;
    for (int i = 0; i < golden_count; i++) {
        const golden *g = &goldens[i];
        char hash[20];
        clipspan_error err = {0};
        run(g, hash, &err);
        if (strcmp(hash, g->hash) == 0) continue;
        print_message("%s %s %s %s %d %d %d %d: %s, expected %s %s\n", g->file, g->manner, g->mode, g->filter, g->size,
                      g->resize, g->fill, g->exif, hash, g->hash, err.message);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* ---- several threads decode at once ------------------------------------------------------------------- */

static void *run_all(void *wrong)
{
    for (int i = 0; i < golden_count; i++) {
        char hash[20];
        clipspan_error err = {0};
        run(&goldens[i], hash, &err);
        if (strcmp(hash, goldens[i].hash) != 0) ++*(int *)wrong;
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int wrong[THREADS] = {0};
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_create(&threads[t], NULL, run_all, &wrong[t]), 0);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    for (int t = 0; t < THREADS; t++) assert_int_equal(wrong[t], 0);
}

/* ---- arithmetic of the last step ---------------------------------------------------------------------- */

/* An RGB picture that needs no resizing: the values are known from the formula alone. */
static void switches_of_hugging_face(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = golden_bytes("exif1_webp_lossless.webp", &size);
    static float pixels[3 * 14 * 14], raw[3 * 14 * 14];
    clipspan_error err = {0};
    clsp_preprocess how = clip_settings(14);
    how.manner = CLSP_PREPROCESS_HUGGINGFACE;
    how.do_resize = how.do_rescale = how.do_normalize = false;
    assert_int_equal(clsp_preprocess_bytes(&how, NULL, bytes, size, "x", raw, &err), CLIPSPAN_OK);
    how.do_rescale = true;
    how.rescale = 1.0 / 127.5;
    assert_int_equal(clsp_preprocess_bytes(&how, NULL, bytes, size, "x", pixels, &err), CLIPSPAN_OK);
    int distinct = 0;
    for (int i = 0; i < 3 * 14 * 14; i++) {
        assert_true(raw[i] >= 0 && raw[i] <= 255 && raw[i] == (float)(int)raw[i]);
        assert_true(pixels[i] == (float)(raw[i] * (1.0 / 127.5)));
        distinct += i > 0 && raw[i] != raw[i - 1];
    }
    assert_true(distinct > 100);
    how.do_crop = false; /* 21 x 14 cannot be 14 x 14 then */
    assert_int_equal(clsp_preprocess_bytes(&how, NULL, bytes, size, "x", pixels, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "21 x 14"));
    free(bytes);
}

static void words(void **state)
{
    (void)state;
    clsp_preprocess how = clip_settings(224);
    for (int c = 0; c < 3; c++) how.mean[c] = 0.5, how.std[c] = 0.25;
    char *text = clsp_preprocess_words(&how);
    assert_string_equal(text, "as open_clip, RGB after resizing: short side to 224 (bicubic), centre crop of 224, "
                              "mean 0.5 0.5 0.5, std 0.25 0.25 0.25");
    clsp_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_equal_the_references),
        cmocka_unit_test(threads_do_not_disturb_each_other),
        cmocka_unit_test(switches_of_hugging_face),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
