/* analysis/classification.h - what a classification holds. */
#ifndef CLSP_ANALYSIS_CLASSIFICATION_H
#define CLSP_ANALYSIS_CLASSIFICATION_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/classification.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/analysis.h"

struct clipspan_classification {
    clipspan_classification_info info;
    size_t classes, best; /* best: choices kept an image, at most 5 */
    char **names;         /* [classes] */
    int *label;           /* [I] class or -1 */
    int *choice;          /* [I, best] */
    float *probability;   /* [I, best] */
    uint64_t *of_class;   /* [classes, 3]: labelled images, right ones, labelled images put there */
    uint64_t right, right5;
    clipspan_confusion *confusions; /* [confusion_count] */
    size_t confusion_count;
    clipspan_calibration_bin bins[CLIPSPAN_CALIBRATION_BINS];
};

/* Fills confusions, bins and the info's figures of calibration from labels, choices and probabilities. */
clipspan_status clsp_classification_score(clipspan_classification *r, clipspan_error *err);

#endif
