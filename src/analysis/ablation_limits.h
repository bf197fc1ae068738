/* analysis/ablation_limits.h - when the pass of an ablation study goes over to what is slower but always works. What is
 * counted does not depend on it; tests set it, so that small problems go each of the ways. */
#ifndef CLSP_ANALYSIS_ABLATION_LIMITS_H
#define CLSP_ANALYSIS_ABLATION_LIMITS_H

#if !defined(CLSP_ROOM_ANALYSIS) && !defined(CLSP_TESTS)
#error "analysis/ablation_limits.h is private to the room analysis"
#endif

#include "clipspan/ablation.h"

typedef struct clsp_ablation_limits {
    size_t maps;      /* bytes of all layers' maps: more are made layer by layer for every batch */
    size_t evaluated; /* classes of an image that are evaluated for an MLP: beyond, a product of all classes */
    size_t open;      /* classes that a product leaves open which are left for later, to be evaluated for all images together: of
                       * more, a few will do */
} clsp_ablation_limits;
#define CLSP_ABLATION_LIMITS_INIT {.maps = (size_t)512 << 20, .evaluated = 24, .open = 64}

/* clipspan_ablation_study_run within these limits. */
clipspan_status clsp_ablation_study_run(clipspan_ablation_study **out, const clipspan_store *store, const float *classifier,
                                        size_t classes, const int *labels, const clipspan_ablation_study_options *options,
                                        const clsp_ablation_limits *limits, const clipspan_hooks *hooks,
                                        clipspan_error *err);

#endif
