/* analysis/ablation_study.h - the study's result, and the pass over a store that fills it.
 *
 * Letters: I images of the store, n of them scored, A ablations, L layers, H heads, E joint dimension, C classes, k factors
 * of a head. */
#ifndef CLSP_ANALYSIS_ABLATION_STUDY_H
#define CLSP_ANALYSIS_ABLATION_STUDY_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/ablation_study.h is private to the room analysis"
#endif

#include "analysis/ablation_limits.h"
#include "analysis/bootstrap.h"
#include "analysis/means.h"

struct clipspan_ablation_study {
    clipspan_ablation_study_info info;
    size_t embed_dim;
    float *classifier;    /* [C, E] */
    unsigned char *heads; /* [L * H] the named set */
    int *labels;          /* [I] class or -1 */
    size_t *place;        /* [I] among the scored; SIZE_MAX: not scored */
    size_t first[CLIPSPAN_ABLATED_KINDS + 1]; /* where each kind begins among the A ablations */
    clipspan_ablation_score *direct, *total;  /* [A] */
    unsigned char *has_total;                 /* [A] */
    clsp_outcomes baseline;                   /* [n, 1]: what totals are compared with */
    int threads;
    clsp_ablation_limits limits;
};

/* Where (what, index) stands among the A ablations, or SIZE_MAX. */
size_t clsp_ablation_place(const clipspan_ablation_study *study, clipspan_ablated what, size_t index);
/* What an image becomes with these cosines [C]: entry `at` of the outcomes. */
void clsp_ablation_judge(const clipspan_ablation_study *study, clsp_outcomes *outcomes, size_t image, size_t at,
                         const float *cosines);
/* outcomes: [n, A] out, memory there. means NULL: zero. */
clipspan_status clsp_ablation_pass(clipspan_ablation_study *study, clsp_outcomes *outcomes, const clipspan_store *store,
                                   const clipspan_means *means, const clipspan_hooks *hooks, clipspan_error *err);

#endif
