/* Zero-shot classification against brute force. The classifier itself is tested with the towers. */
#include <inttypes.h>
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
#include "worse.h"

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
    assert_int_equal(clipspan_classify_run(&result, images, IMAGES, EMBED, labels, classifier, classes, 20.0F, 0, &err),
                     CLIPSPAN_OK);
    for (int i = 0; i < IMAGES; i++) {
        double cosines[CLASSES], sum = 0;
        for (int k = 0; k < 5; k++) {
            float probability;
            int choice = clipspan_classification_choice(result, (size_t)i, k, &probability);
            assert_int_equal(beaten_by(images + i * EMBED, classifier, choice, cosines), k);
            sum = 0;
            for (int c = 0; c < CLASSES; c++) sum += exp(20 * cosines[c]);
            worst = worse(worst, fabs((double)probability - exp(20 * cosines[choice]) / sum));
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

/* ---- scikit-learn's figures: tests/golden/analysis/make_classification.py --------------------------------------- */

static void golden_classes(FILE *golden, const clipspan_classification *result, double *worst)
{
    int c;
    uint64_t wanted[3], images, right;
    double precision, recall;
    for (int i = 0; i < CLASSES; i++) {
        assert_int_equal(fscanf(golden, "%d %" SCNu64 " %" SCNu64 " %" SCNu64 " %lf %lf", &c, &wanted[0], &wanted[1],
                                &wanted[2], &precision, &recall), 6);
        clipspan_classification_of_class(result, (size_t)c, &images, &right);
        uint64_t chosen = clipspan_classification_chosen(result, (size_t)c);
        assert_true(images == wanted[0] && chosen == wanted[1] && right == wanted[2]);
        *worst = worse(*worst, fabs((double)right / (double)chosen - precision));
        *worst = worse(*worst, fabs((double)right / (double)images - recall));
    }
}

static void golden_pairs(FILE *golden, const clipspan_classification *result)
{
    int end, count, label, choice;
    uint64_t images;
    assert_int_equal(fscanf(golden, "%d %d", &end, &count), 2);
    assert_int_equal(clipspan_classification_confusion_count(result), count);
    for (int i = 0; i < count; i++) {
        const clipspan_confusion pair = clipspan_classification_confusion(result, (size_t)i);
        assert_int_equal(fscanf(golden, "%d %d %" SCNu64, &label, &choice, &images), 3);
        assert_true(pair.label == label && pair.choice == choice && pair.images == images);
    }
}

static void golden_bins(FILE *golden, const clipspan_classification *result, double *worst)
{
    size_t at, filled = 0, seen = 0;
    uint64_t images;
    double accuracy, confidence;
    while (fscanf(golden, "%zu %" SCNu64 " %lf %lf", &at, &images, &accuracy, &confidence) == 4) {
        const clipspan_calibration_bin bin = clipspan_classification_bin(result, at);
        assert_int_equal(bin.images, images);
        *worst = worse(*worst, worse(fabs(bin.accuracy - accuracy), fabs(bin.confidence - confidence)));
        seen++;
    }
    for (size_t b = 0; b < CLIPSPAN_CALIBRATION_BINS; b++) filled += clipspan_classification_bin(result, b).images > 0;
    assert_true(seen == filled && seen > 10);
}

static void test_equals_the_golden(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_classification *result = NULL;
    float *images = world_pool(IMAGES, EMBED, 0, 1), *classifier = world_pool(CLASSES, EMBED, 0, 2);
    clipspan_texts *classes = world_texts(CLASSES);
    char line[256];
    int labels[IMAGES], labelled, right, right5;
    double error, confidence, worst = 0;
    for (int i = 0; i < IMAGES; i++) labels[i] = i % (CLASSES + 1) - 1;
    assert_int_equal(clipspan_classify_run(&result, images, IMAGES, EMBED, labels, classifier, classes, 20.0F, 0, &err),
                     CLIPSPAN_OK);
    const clipspan_classification_info *info = clipspan_classification_get_info(result);
    FILE *golden = fopen("golden/analysis/classification.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    assert_int_equal(fscanf(golden, "%d %d %d %lf %lf", &labelled, &right, &right5, &error, &confidence), 5);
    assert_int_equal(info->labelled, labelled);
    worst = worse(fabs(info->top1 - (double)right / labelled), fabs(info->top5 - (double)right5 / labelled));
    worst = worse(worst, worse(fabs(info->calibration_error - error), fabs(info->confidence - confidence)));
    golden_classes(golden, result, &worst);
    golden_pairs(golden, result);
    golden_bins(golden, result, &worst);
    fclose(golden);
    printf("golden: largest difference %.1e\n", worst);
    assert_true(worst < 1e-6);
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
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, NULL, classifier, classes, 1.0F, 0, &err), CLIPSPAN_OK);
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
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, NULL, classifier, classes, 1.0F, 0, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "image 1"));
    images[2] = 0;
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, labels, classifier, classes, 1.0F, 0, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "label 2 of image 1"));
    assert_int_equal(clipspan_classify_run(&result, images, 2, 2, NULL, classifier, none, 1.0F, 0, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_null(result);
    for (unsigned long n = 1;; n++) {
        clsp_alloc_fail_at(n);
        clipspan_status status = clipspan_classify_run(&result, images, 2, 2, NULL, classifier, classes, 1.0F, 0, &err);
        clsp_alloc_fail_at(0);
        if (status == CLIPSPAN_OK) break;
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        assert_null(result);
    }
    clipspan_classification_free(result);
    clipspan_texts_free(classes);
    clipspan_texts_free(none);
}

/* Probabilities by hand: with two classes at right angles and a logit scale, p = 1 / (1 + exp(-scale (a - b))). */
static void test_calibration(void **state)
{
    (void)state;
    enum { N = 9 };
    /* Confidence wanted, true class: the choice is always class 0. Edges of a bin belong to the bin below. */
    static const double wanted[N] = {0.52, 0.58, 0.62, 0.65, 0.66, 0.81, 0.82, 0.9, 0.99};
    const int labels[N] = {0, 1, 0, 1, 2, 0, -1, 2, 0};
    const float classifier[3 * 3] = {1, 0, 0, 0, 1, 0, 0, 0, -1};
    float images[N * 3] = {0};
    clipspan_error err;
    clipspan_classification *result = NULL;
    clipspan_texts *classes = world_texts(3);
    for (int i = 0; i < N; i++) { /* class 1 and 2 share what is left: e^a / (e^a + 1 + 1) */
        double a = log(2 * wanted[i] / (1 - wanted[i]));
        images[i * 3] = (float)a;
    }
    assert_int_equal(clipspan_classify_run(&result, images, N, 3, labels, classifier, classes, 1.0F, 0, &err), CLIPSPAN_OK);
    double sum[15] = {0}, right[15] = {0}, count[15] = {0}, error = 0, mean = 0;
    for (int i = 0; i < N; i++) {
        float p;
        assert_int_equal(clipspan_classification_choice(result, (size_t)i, 0, &p), 0);
        assert_true(fabs((double)p - wanted[i]) < 1e-6);
        if (labels[i] < 0) continue;
        int bin = 0;
        while (wanted[i] > (bin + 1) / 15.0) bin++;
        count[bin]++, sum[bin] += wanted[i], right[bin] += labels[i] == 0, mean += wanted[i] / 8;
    }
    for (int b = 0; b < 15; b++) {
        const clipspan_calibration_bin bin = clipspan_classification_bin(result, (size_t)b);
        assert_true(bin.low == b / 15.0 && bin.high == (b + 1) / 15.0 && (double)bin.images == count[b]);
        if (count[b] == 0) {
            assert_true(isnan(bin.accuracy) && isnan(bin.confidence));
            continue;
        }
        assert_true(fabs(bin.accuracy - right[b] / count[b]) < 1e-12 && fabs(bin.confidence - sum[b] / count[b]) < 1e-6);
        error += count[b] / 8 * fabs(right[b] / count[b] - sum[b] / count[b]);
    }
    const clipspan_classification_info *info = clipspan_classification_get_info(result);
    printf("calibration error %.4f, confidence %.4f\n", info->calibration_error, info->confidence);
    /* By hand: bins 7 (.52), 8 (.58), 9 (.62 .65 .66), 12 (.81), 13 (.9), 14 (.99):
     * (.48 + .58 + |1 - 1.93| + .19 + .9 + .01) / 8 = 3.09 / 8 */
    assert_true(fabs(error - 3.09 / 8) < 1e-12 && fabs(info->calibration_error - 3.09 / 8) < 1e-6);
    assert_true(fabs(info->confidence - mean) < 1e-6);
    assert_int_equal(clipspan_classification_chosen(result, 0), 8);
    assert_int_equal(clipspan_classification_chosen(result, 1), 0);
    assert_int_equal(clipspan_classification_confusion_count(result), 2);
    const clipspan_confusion first = clipspan_classification_confusion(result, 0);
    const clipspan_confusion second = clipspan_classification_confusion(result, 1);
    assert_true(first.label == 1 && first.choice == 0 && first.images == 2); /* a tie: the lower class first */
    assert_true(second.label == 2 && second.choice == 0 && second.images == 2);
    assert_int_equal(clipspan_classification_confusion(result, 2).label, -1);
    clipspan_classification_free(result);
    assert_int_equal(clipspan_classify_run(&result, images, N, 3, NULL, classifier, classes, 1.0F, 0, &err), CLIPSPAN_OK);
    assert_true(isnan(clipspan_classification_get_info(result)->calibration_error));
    assert_int_equal(clipspan_classification_confusion_count(result), 0);
    clipspan_classification_free(result);
    clipspan_texts_free(classes);
}

/* A probability on an edge, and one of exactly 1. */
static void test_calibration_edges(void **state)
{
    (void)state;
    float images[2 * 1] = {1, 1}, classifier[5] = {0, 0, 0, 0, 0};
    int labels[2] = {0, 1};
    clipspan_error err;
    clipspan_classification *result = NULL;
    clipspan_texts *five = world_texts(5), *one = world_texts(1);
    assert_int_equal(clipspan_classify_run(&result, images, 2, 1, labels, classifier, five, 1.0F, 0, &err), CLIPSPAN_OK);
    /* 1 / 5 in float32 is a little above 3 / 15 */
    assert_int_equal(clipspan_classification_bin(result, 3).images, 2);
    assert_true(fabs(clipspan_classification_get_info(result)->calibration_error - 0.3) < 1e-6);
    clipspan_classification_free(result);
    labels[1] = 0;
    assert_int_equal(clipspan_classify_run(&result, images, 2, 1, labels, classifier, one, 1.0F, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_classification_bin(result, 14).images, 2);
    assert_true(clipspan_classification_get_info(result)->calibration_error == 0);
    clipspan_classification_free(result);
    clipspan_texts_free(five);
    clipspan_texts_free(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_brute_force), cmocka_unit_test(test_equals_the_golden),
        cmocka_unit_test(test_calibration), cmocka_unit_test(test_calibration_edges),
        cmocka_unit_test(test_few_classes_no_labels),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
