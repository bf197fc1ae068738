/* Zero-shot classification against brute force. The classifier itself is tested with the towers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_fake.h"

#include "base/base.h"
#include "clipspan/analysis.h"

enum { IMAGES = 300, EMBED = 24, CLASSES = 9 };

/* How many classes beat class c for this image: a larger cosine, or an equal one and a lower number. */
static int beaten_by(const float *image, const float *classifier, int c, double *cosines)
{
    int count = 0;
    for (int k = 0; k < CLASSES; k++) {
        cosines[k] = 0;
        for (int d = 0; d < EMBED; d++) cosines[k] += (double)image[d] * (double)classifier[k * EMBED + d];
    }
    for (int k = 0; k < CLASSES; k++) count += cosines[k] > cosines[c] || (cosines[k] == cosines[c] && k < c);
    return count;
}

static void test_equals_brute_force(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_classification *result = NULL;
    float *images = world_pool(IMAGES, EMBED, 0, 1), *classifier = world_pool(CLASSES, EMBED, 0, 2);
    clipspan_texts *classes = world_texts(CLASSES);
    int labels[IMAGES], right = 0, right5 = 0, labelled = 0, of_class[CLASSES][2] = {{0}};
    double worst = 0;
    for (int i = 0; i < IMAGES; i++) labels[i] = i % (CLASSES + 1) - 1;
    assert_int_equal(clipspan_classify_run(&result, images, IMAGES, EMBED, labels, classifier, classes, 20.0F, &err),
                     CLIPSPAN_OK);
    for (int i = 0; i < IMAGES; i++) {
        double cosines[CLASSES], sum = 0;
        for (int k = 0; k < 5; k++) {
            float probability;
            int choice = clipspan_classification_choice(result, (size_t)i, k, &probability);
            assert_int_equal(beaten_by(images + i * EMBED, classifier, choice, cosines), k);
            sum = 0;
            for (int c = 0; c < CLASSES; c++) sum += exp(20 * cosines[c]);
            worst = fmax(worst, fabs((double)probability - exp(20 * cosines[choice]) / sum));
        }
        assert_int_equal(clipspan_classification_label(result, (size_t)i), labels[i]);
        if (labels[i] < 0) continue;
        int rank = beaten_by(images + i * EMBED, classifier, labels[i], cosines);
        labelled++;
        right += rank == 0;
        right5 += rank < 5;
        of_class[labels[i]][0]++;
        of_class[labels[i]][1] += rank == 0;
    }
    printf("probabilities: largest difference %.1e\n", worst);
    assert_true(worst < 4e-6); /* observed 6.7e-7: cosines are float32, times 20 */
    const clipspan_classification_info *info = clipspan_classification_get_info(result);
    assert_int_equal(info->images, IMAGES);
    assert_int_equal(info->labelled, labelled);
    assert_true(fabs(info->top1 - (double)right / labelled) < 1e-15);
    assert_true(fabs(info->top5 - (double)right5 / labelled) < 1e-15);
    assert_true(right > 5 && right < labelled / 2);
    for (int c = 0; c < CLASSES; c++) {
        uint64_t all, good;
        clipspan_classification_of_class(result, (size_t)c, &all, &good);
        assert_int_equal(all, of_class[c][0]);
        assert_int_equal(good, of_class[c][1]);
    }
    clipspan_classification_free(result);
    clipspan_texts_free(classes);
    free(images);
    free(classifier);
}

static void test_few_classes_no_labels(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_classification *result = NULL;
    float images[2 * 2] = {1, 0, 0, 1}, classifier[3 * 2] = {0, 1, 1, 0, 1, 0}, probability;
    clipspan_texts *classes = world_texts(3);
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, NULL, classifier, classes, 1.0F, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_classification_choice(result, 0, 0, &probability), 1); /* a tie: the lower class */
    assert_true(fabs((double)probability - exp(1) / (2 * exp(1) + 1)) < 1e-7);
    assert_int_equal(clipspan_classification_choice(result, 0, 1, NULL), 2);
    assert_int_equal(clipspan_classification_choice(result, 1, 0, NULL), 0);
    assert_int_equal(clipspan_classification_choice(result, 0, 3, &probability), -1);
    assert_int_equal(clipspan_classification_choice(result, 2, 0, NULL), -1);
    assert_true(isnan(clipspan_classification_get_info(result)->top1));
    assert_string_equal(clipspan_classification_class(result, 2), "text 2");
    assert_null(clipspan_classification_class(result, 3));
    clipspan_classification_free(result);
    clipspan_texts_free(classes);
}

static void test_refused(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_classification *result = NULL;
    float images[2 * 2] = {1, 0, NAN, 1}, classifier[2 * 2] = {0, 1, 1, 0};
    int labels[2] = {0, 2};
    clipspan_texts *classes = world_texts(2), *none = NULL;
    assert_int_equal(clipspan_texts_copy(&none, NULL, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, NULL, classifier, classes, 1.0F, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "image 1"));
    images[2] = 0;
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, labels, classifier, classes, 1.0F, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "label 2 of image 1"));
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, NULL, classifier, none, 1.0F, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_null(result);
    for (unsigned long n = 1;; n++) {
        clsp_alloc_fail_at(n);
        clipspan_status status = clipspan_classify_run(&result, images, 2, 2, NULL, classifier, classes, 1.0F, &err);
        clsp_alloc_fail_at(0);
        if (status == CLIPSPAN_OK) break;
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        assert_null(result);
    }
    clipspan_classification_free(result);
    clipspan_texts_free(classes);
    clipspan_texts_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_brute_force),
        cmocka_unit_test(test_few_classes_no_labels),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
