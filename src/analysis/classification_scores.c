/* Which classes are taken for which, and whether the probabilities can be believed.
 *
 * Expected calibration error (Naeini, Cooper, Hauskrecht 2015; as Guo, Pleiss, Sun, Weinberger 2017 use it): images are
 * binned by the probability p of their best class, M bins of equal width, bin m = (m / M, (m + 1) / M], and
 *
 *     ECE = sum over m of n_m / n |right_m / n_m - mean p in m| */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/classification.h"

/* Bin edges are the doubles m / M: a probability on an edge belongs to the bin below it. */
static size_t bin_of(double p)
{
    const double bins = CLIPSPAN_CALIBRATION_BINS;
    size_t b = p > 0 ? (size_t)fmin(floor(p * bins), bins - 1) : 0;
    while (b > 0 && p <= (double)b / bins) b--;
    while (b + 1 < CLIPSPAN_CALIBRATION_BINS && p > (double)(b + 1) / bins) b++;
    return b;
}

static void calibrate(clipspan_classification *r)
{
    double n = (double)r->info.labelled, confidence = 0, error = 0;
    double sum[CLIPSPAN_CALIBRATION_BINS] = {0}, right[CLIPSPAN_CALIBRATION_BINS] = {0};
    for (size_t i = 0; i < r->info.images; i++) {
        double p = (double)r->probability[i * r->best];
        size_t b = bin_of(p);
        if (r->label[i] < 0) continue;
        r->bins[b].images++;
        sum[b] += p;
        right[b] += r->label[i] == r->choice[i * r->best];
        confidence += p;
    }
    for (size_t b = 0; b < CLIPSPAN_CALIBRATION_BINS; b++) {
        clipspan_calibration_bin *bin = &r->bins[b];
        double images = (double)bin->images;
        bin->low = (double)b / CLIPSPAN_CALIBRATION_BINS;
        bin->high = (double)(b + 1) / CLIPSPAN_CALIBRATION_BINS;
        bin->accuracy = images > 0 ? right[b] / images : (double)NAN;
        bin->confidence = images > 0 ? sum[b] / images : (double)NAN;
        error += fabs(right[b] - sum[b]);
    }
    r->info.calibration_error = n > 0 ? error / n : (double)NAN;
    r->info.confidence = n > 0 ? confidence / n : (double)NAN;
}

static int by_pair(const void *a, const void *b)
{
    const clipspan_confusion *x = a, *y = b;
    return x->label != y->label ? (x->label > y->label) - (x->label < y->label) : (x->choice > y->choice) - (x->choice < y->choice);
}

static int by_images(const void *a, const void *b)
{
    const clipspan_confusion *x = a, *y = b;
    return x->images != y->images ? (x->images < y->images) - (x->images > y->images) : by_pair(a, b);
}

/* Every wrong image is a pair; equal pairs are put together. (A table of all pairs would be C x C.) */
static clipspan_status confuse(clipspan_classification *r, clipspan_error *err)
{
    size_t wrong = (size_t)(r->info.labelled - r->right), at = 0, kept = 0;
    clipspan_confusion *pairs = clsp_alloc(wrong, sizeof *pairs);
    if (pairs == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < r->info.images; i++) {
        int label = r->label[i], choice = r->choice[i * r->best];
        if (label >= 0 && choice != label) pairs[at++] = (clipspan_confusion){label, choice, 1};
    }
    qsort(pairs, wrong, sizeof *pairs, by_pair);
    for (size_t i = 0; i < wrong; i++) {
        if (kept > 0 && by_pair(&pairs[kept - 1], &pairs[i]) == 0)
            pairs[kept - 1].images++;
        else
            pairs[kept++] = pairs[i];
    }
    qsort(pairs, kept, sizeof *pairs, by_images);
    r->confusions = pairs;
    r->confusion_count = kept;
    return CLIPSPAN_OK;
}

clipspan_status clsp_classification_score(clipspan_classification *r, clipspan_error *err)
{
    calibrate(r);
    return confuse(r, err);
}

size_t clipspan_classification_confusion_count(const clipspan_classification *r)
{
    return r->confusion_count;
}

clipspan_confusion clipspan_classification_confusion(const clipspan_classification *r, size_t i)
{
    const clipspan_confusion none = {-1, -1, 0};
    return i < r->confusion_count ? r->confusions[i] : none;
}

clipspan_calibration_bin clipspan_classification_bin(const clipspan_classification *r, size_t b)
{
    const clipspan_calibration_bin none = {(double)NAN, (double)NAN, 0, (double)NAN, (double)NAN};
    return b < CLIPSPAN_CALIBRATION_BINS ? r->bins[b] : none;
}

uint64_t clipspan_classification_chosen(const clipspan_classification *r, size_t c)
{
    return c < r->classes ? r->of_class[3 * c + 2] : 0;
}
