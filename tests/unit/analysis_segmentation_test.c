/* Maps to masks to scores: goldens of torch and scikit-learn, and every count by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "scratch.h"

#include "clipspan/segmentation.h"
#include "formats/arrays.h"
#include "worse.h"

static void open_array(clsp_array *array, const char *name, clsp_dtype dtype)
{
    char path[256];
    clipspan_error err = {0};
    snprintf(path, sizeof path, "golden/segmentation/%s", name);
    if (clsp_npy_open(array, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(array->dtype, dtype);
}

/* torch's products may be fused, ours are not: at most 2.4e-7 was seen, two units of the last place of values near 1. */
static void test_upsampling_as_torch(void **state)
{
    static const size_t sizes[] = {32, 45, 4};
    clsp_array map;
    double worst = 0, most = 0;
    (void)state;
    open_array(&map, "map.npy", CLSP_F32);
    for (size_t s = 0; s < 3; s++) {
        char name[32];
        clsp_array expected;
        float out[45 * 45];
        snprintf(name, sizeof name, "up_%zu.npy", sizes[s]);
        open_array(&expected, name, CLSP_F32);
        assert_int_equal(expected.count, sizes[s] * sizes[s]);
        assert_int_equal(clipspan_segmentation_upsample(out, sizes[s], map.data, 6, NULL), CLIPSPAN_OK);
        for (size_t i = 0; i < expected.count; i++) {
            double value = (double)((const float *)expected.data)[i];
            worst = worse(worst, fabs((double)out[i] - value));
            most = fmax(most, fabs(value));
        }
        clsp_npy_close(&expected);
    }
    clsp_npy_close(&map);
    print_message("up-sampling: largest difference %g of values up to %g\n", worst, most);
    assert_true(most > 1);
    assert_true(worst <= 5e-7);
}

/* At most 2.3e-16 was seen. */
static void test_precision_as_scikit(void **state)
{
    char *text = NULL;
    size_t size = 0, seen = 0;
    (void)state;
    assert_int_equal(clsp_file_read(&text, &size, "golden/segmentation/precisions.txt", 4096, NULL), CLIPSPAN_OK);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), seen++) {
        char name[32], file[64];
        double expected, got;
        clsp_array scores, truth;
        assert_int_equal(sscanf(line, "%31s %lf", name, &expected), 2);
        snprintf(file, sizeof file, "scores_%s.npy", name);
        open_array(&scores, file, CLSP_F32);
        snprintf(file, sizeof file, "truth_%s.npy", name);
        open_array(&truth, file, CLSP_U8);
        assert_int_equal(clipspan_segmentation_average_precision(&got, scores.data, truth.data, scores.count, NULL), CLIPSPAN_OK);
        if (!(fabs(got - expected) <= 1e-14)) fail_msg("%s: %.17g, scikit-learn %.17g", name, got, expected);
        clsp_npy_close(&scores);
        clsp_npy_close(&truth);
    }
    assert_int_equal(seen, 5);
    clsp_free(text);
}

static void test_precision_edges(void **state)
{
    const float scores[] = {0.5F, 0.25F}, bad[] = {0.5F, NAN};
    const unsigned char none[] = {0, 0}, all[] = {1, 1};
    double got;
    clipspan_error err = {0};
    (void)state;
    assert_int_equal(clipspan_segmentation_average_precision(&got, scores, none, 2, NULL), CLIPSPAN_OK);
    assert_true(got == 0); /* scikit-learn's answer, with its warning */
    assert_int_equal(clipspan_segmentation_average_precision(&got, scores, all, 2, NULL), CLIPSPAN_OK);
    assert_true(got == 1);
    assert_int_equal(clipspan_segmentation_average_precision(&got, bad, all, 2, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "score 1");
    assert_int_equal(clipspan_segmentation_average_precision(&got, scores, all, 0, NULL), CLIPSPAN_OK);
}

static void test_scale(void **state)
{
    float a[] = {-2, 0, 1, 4}, b[] = {-2, 0, 1, 4}, flat[] = {3, 3}, below[] = {-1, -5};
    (void)state;
    assert_true(clipspan_segmentation_scale(a, 4, 1) == (0 + 0 + 0.25 + 1) / 4);
    assert_true(a[0] == 0 && a[1] == 0 && a[2] == 0.25F && a[3] == 1);
    clipspan_segmentation_scale(b, 4, 0);
    assert_true(b[0] == 0 && b[3] == 1 && fabsf(b[1] - 1.0F / 3) < 1e-7F);
    assert_true(clipspan_segmentation_scale(flat, 2, 0) == 0 && flat[0] == 0);
    assert_true(clipspan_segmentation_scale(below, 2, 1) == 0 && below[1] == 0);
}

static void test_choose(void **state)
{
    const float classifier[] = {1, 0, 0, 1, 0, 1}, r[] = {0.2F, 0.9F}, tied[] = {-1, 0};
    float direction[2];
    (void)state;
    assert_int_equal(clipspan_segmentation_choose(r, classifier, 3, 2), 1);
    assert_int_equal(clipspan_segmentation_choose(tied, classifier, 3, 2), 1); /* the first on a tie */
    clipspan_segmentation_contrast(direction, classifier, 3, 2, 0);
    assert_true(fabsf(direction[0] - 2.0F / 3) < 1e-7F && fabsf(direction[1] + 2.0F / 3) < 1e-7F);
}

/* ---- counts by hand ------------------------------------------------------------------------------------------------ */

static clipspan_segmentation *open_with(size_t size, size_t classes, clipspan_background background)
{
    clipspan_segmentation_options options = {.size = size, .classes = classes, .background = background, .positive = 1};
    clipspan_segmentation *s = NULL;
    assert_int_equal(clipspan_segmentation_open(&s, &options, NULL), CLIPSPAN_OK);
    return s;
}

static void test_binary_counts(void **state)
{
    const float map[] = {-1, 0, 3, 4}, other[] = {5, 0, 0, 0};
    const unsigned char truth[] = {0, 1, 1, 255}, second[] = {1, 1, 0, 0};
    unsigned char mask[4];
    clipspan_segmentation *s = open_with(2, 2, CLIPSPAN_BACKGROUND_NONE);
    clipspan_segmentation_scores scores;
    uint64_t both, either;
    (void)state;
    assert_int_equal(clipspan_segmentation_add(s, map, 2, truth, mask, NULL), CLIPSPAN_OK);
    assert_true(mask[0] == 0 && mask[1] == 0 && mask[2] == 1 && mask[3] == 1); /* 0 0 .75 1, mean .4375 */
    assert_int_equal(clipspan_segmentation_add(s, other, 2, second, mask, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_segmentation_score(&scores, s, 200, 7, NULL), CLIPSPAN_OK);
    assert_int_equal(scores.images, 2);
    assert_true(scores.accuracy.value == 5.0 / 7);
    clipspan_segmentation_of_class(s, 0, &both, &either);
    assert_true(both == 3 && either == 5);
    clipspan_segmentation_of_class(s, 1, &both, &either);
    assert_true(both == 2 && either == 4);
    assert_true(fabs(scores.iou.value - (3.0 / 5 + 2.0 / 4) / 2) < 1e-15);
    /* image 1: pairs (1, .25, 1 of 1-map; 0, .75 of map): one-hot 1 0 0 0 1 1 over scores 1 1 .25 0 0 .75
     * falling: {1: 1 of 2} {.75: 2 of 3} {.25: 2 of 4} {0: 3 of 6} */
    double first = 1.0 / 3 * 1 / 2 + 1.0 / 3 * 2 / 3 + 1.0 / 3 * 3 / 6;
    /* image 2: 1-map 0 1 1 1, truth 0 0 1 1; map 1 0 0 0, truth 1 1 0 0: {1: 3 of 4} {0: 4 of 8} */
    double next = 3.0 / 4 * 3 / 4 + 1.0 / 4 * 4 / 8;
    assert_true(fabs(scores.precision.value - (first + next) / 2) < 1e-15);
    assert_true(scores.accuracy.low >= 2.0 / 3 - 1e-15 && scores.accuracy.high <= 3.0 / 4 + 1e-15);
    assert_true(scores.accuracy.low < scores.accuracy.high);
    clipspan_segmentation_free(s);
}

static void test_semantic_counts(void **state)
{
    const float maps[] = {5, 0, 0, 0, /* class 0 */ 0, 2, 0, 3, /* class 1 */ 0, 2, 0.1F, 1 /* class 2 */};
    const unsigned char plain[] = {0, 1, 2, 255}, shifted[] = {1, 2, 0, 2};
    unsigned char mask[4];
    clipspan_segmentation *s = open_with(2, 3, CLIPSPAN_BACKGROUND_NONE), *b = open_with(2, 4, CLIPSPAN_BACKGROUND_MEAN);
    clipspan_segmentation_scores scores;
    (void)state;
    assert_int_equal(clipspan_segmentation_add_classes(s, maps, 2, plain, mask, NULL), CLIPSPAN_OK);
    assert_true(mask[0] == 0 && mask[1] == 1 && mask[2] == 2 && mask[3] == 1); /* pixel 1 is a tie: the first */
    assert_int_equal(clipspan_segmentation_score(&scores, s, 100, 1, NULL), CLIPSPAN_OK);
    assert_true(scores.accuracy.value == 1 && scores.iou.value == 1 && isnan(scores.precision.value));
    assert_true(isnan(scores.accuracy.low)); /* one image has no interval */
    /* best minus mean: 10/3, 2/3, .2/3, 5/3: scaled 1, .1837, 0, .4898; mean .418 */
    assert_int_equal(clipspan_segmentation_add_classes(b, maps, 2, shifted, mask, NULL), CLIPSPAN_OK);
    assert_true(mask[0] == 1 && mask[1] == 0 && mask[2] == 0 && mask[3] == 2);
    assert_int_equal(clipspan_segmentation_score(&scores, b, 0, 1, NULL), CLIPSPAN_OK);
    assert_true(scores.accuracy.value == 3.0 / 4);
    assert_true(fabs(scores.iou.value - (1.0 / 2 + 1 + 1.0 / 2) / 3) < 1e-15); /* class 3 is nowhere: left out */
    clipspan_segmentation_free(s);
    clipspan_segmentation_free(b);
}

/* The same draws for every method: a method against itself has the same interval, and again with the same seed. */
static void test_intervals_repeat(void **state)
{
    clipspan_segmentation *s = open_with(4, 2, CLIPSPAN_BACKGROUND_NONE);
    clipspan_segmentation_scores a, b, c;
    uint64_t seed = 3;
    (void)state;
    for (int i = 0; i < 40; i++) {
        float map[16];
        unsigned char truth[16];
        for (int p = 0; p < 16; p++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            map[p] = (float)(seed >> 40) / 16777216.0F;
            truth[p] = (unsigned char)(map[p] + (float)(seed >> 20 & 1023) / 1023.0F > 1);
        }
        assert_int_equal(clipspan_segmentation_add(s, map, 4, truth, NULL, NULL), CLIPSPAN_OK);
    }
    assert_int_equal(clipspan_segmentation_score(&a, s, 500, 9, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_segmentation_score(&b, s, 500, 9, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_segmentation_score(&c, s, 500, 10, NULL), CLIPSPAN_OK);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.iou.low != c.iou.low);
    assert_true(a.iou.low < a.iou.value && a.iou.value < a.iou.high);
    assert_true(a.precision.low < a.precision.value && a.precision.value < a.precision.high);
    clipspan_segmentation_free(s);
}

static void test_refused(void **state)
{
    const float map[] = {0, 1, 2, INFINITY};
    const unsigned char truth[] = {0, 1, 1, 0}, stray[] = {0, 1, 7, 0};
    clipspan_segmentation *s = open_with(2, 2, CLIPSPAN_BACKGROUND_NONE), *none = NULL;
    clipspan_segmentation_options options = {.size = 2, .classes = 256};
    clipspan_error err = {0};
    (void)state;
    assert_int_equal(clipspan_segmentation_add(s, map, 2, truth, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "value 3 of the map");
    assert_int_equal(clipspan_segmentation_add(s, map, 2, stray, NULL, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_message(err, "the value 7");
    assert_int_equal(clipspan_segmentation_open(&none, &options, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(none);
    options = (clipspan_segmentation_options){.size = 0, .classes = 2};
    assert_int_equal(clipspan_segmentation_open(&none, &options, &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_segmentation_scores scores;
    assert_int_equal(clipspan_segmentation_score(&scores, s, 10, 1, NULL), CLIPSPAN_OK); /* nothing was counted */
    assert_true(scores.images == 0 && isnan(scores.accuracy.value));
    clipspan_segmentation_free(s);
}

static clipspan_status whole_job(void)
{
    const float map[] = {0, 1, 2, 3};
    const unsigned char truth[] = {0, 1, 1, 0, 1, 0, 0, 1, 1};
    clipspan_segmentation_options options = {.size = 3, .classes = 2};
    clipspan_segmentation *s = NULL;
    clipspan_segmentation_scores scores;
    clipspan_status status = clipspan_segmentation_open(&s, &options, NULL);
    for (int i = 0; status == CLIPSPAN_OK && i < 3; i++) status = clipspan_segmentation_add(s, map, 2, truth, NULL, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_segmentation_score(&scores, s, 5, 1, NULL);
    clipspan_segmentation_free(s);
    return status;
}

static void test_failed_allocations(void **state)
{
    (void)state;
    walk_failed_allocations(whole_job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upsampling_as_torch), cmocka_unit_test(test_precision_as_scikit),
        cmocka_unit_test(test_precision_edges),     cmocka_unit_test(test_scale),
        cmocka_unit_test(test_choose),              cmocka_unit_test(test_binary_counts),
        cmocka_unit_test(test_semantic_counts),     cmocka_unit_test(test_intervals_repeat),
        cmocka_unit_test(test_refused),             cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
