/* Scores of a segmentation, and their bootstrap intervals over images (Efron 1979; percentiles). */
#include "analysis/bootstrap.h"
#include "analysis/segmentation.h"

#include <math.h>
#include <string.h>

enum { SCORES = 3 }; /* accuracy, mIoU, mean average precision */

typedef struct sums {
    uint64_t *both, *either; /* [classes] */
    size_t classes;
} sums;

static double mean_iou(const sums *s)
{
    double sum = 0;
    size_t seen = 0;
    for (size_t c = 0; c < s->classes; c++) {
        if (s->either[c] == 0) continue;
        sum += (double)s->both[c] / (double)s->either[c];
        seen++;
    }
    return seen ? sum / (double)seen : (double)NAN;
}

/* All images once (state NULL), or as many drawn with replacement. */
static void score_once(const clipspan_segmentation *r, sums *s, uint64_t *state, double out[SCORES])
{
    uint64_t right = 0, scored = 0;
    double precision = 0;
    memset(s->both, 0, s->classes * sizeof *s->both);
    memset(s->either, 0, s->classes * sizeof *s->either);
    for (size_t i = 0; i < r->count; i++) {
        const clsp_segmented *image = &r->images[state ? clsp_random(state) % r->count : i];
        right += image->right;
        scored += image->scored;
        precision += image->precision;
        for (uint32_t o = 0; o < image->overlaps; o++) {
            const clsp_overlap *overlap = &r->overlaps[image->first + o];
            s->both[overlap->class_number] += overlap->intersection;
            s->either[overlap->class_number] += overlap->either;
        }
    }
    out[0] = scored ? (double)right / (double)scored : (double)NAN;
    out[1] = mean_iou(s);
    out[2] = r->count ? precision / (double)r->count : (double)NAN;
}

/* values: [resamples], sorted here. */
static void set_interval(clipspan_interval *out, double value, double *values, size_t resamples)
{
    *out = (clipspan_interval){value, (double)NAN, (double)NAN};
    if (resamples < 2 || isnan(value)) return;
    clsp_percentiles(values, resamples, &out->low, &out->high);
}

clipspan_status clipspan_segmentation_score(clipspan_segmentation_scores *out, const clipspan_segmentation *result,
                                            size_t resamples, uint64_t seed, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    sums s = {.classes = result->options.classes};
    double *values = NULL, whole[SCORES], drawn[SCORES];
    size_t room;
    if (!clsp_mul(&room, resamples, SCORES)) return clsp_fail_memory(err);
    CLSP_ALLOC(s.both, clsp_alloc(s.classes, sizeof *s.both));
    CLSP_ALLOC(s.either, clsp_alloc(s.classes, sizeof *s.either));
    CLSP_ALLOC(values, clsp_alloc(room, sizeof *values));
    score_once(result, &s, NULL, whole);
    if (result->count < 2) resamples = 0;
    for (size_t b = 0; b < resamples; b++) {
        score_once(result, &s, &seed, drawn);
        for (size_t k = 0; k < SCORES; k++) values[k * resamples + b] = drawn[k];
    }
    out->images = result->count;
    set_interval(&out->accuracy, whole[0], values, resamples);
    set_interval(&out->iou, whole[1], values + resamples, resamples);
    set_interval(&out->precision, whole[2], values + 2 * resamples, resamples);
out:
    clsp_free(values);
    clsp_free(s.either);
    clsp_free(s.both);
    return status;
}

void clipspan_segmentation_of_class(const clipspan_segmentation *result, size_t c, uint64_t *intersection,
                                    uint64_t *either)
{
    *intersection = *either = 0;
    for (size_t o = 0; o < result->overlap_count; o++) {
        if (result->overlaps[o].class_number != c) continue;
        *intersection += result->overlaps[o].intersection;
        *either += result->overlaps[o].either;
    }
}

size_t clipspan_segmentation_class_count(const clipspan_segmentation *result)
{
    return result->options.classes;
}
