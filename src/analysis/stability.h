/* analysis/stability.h - how often texts are picked again when given blocks of images are drawn anew. */
#ifndef CLSP_ANALYSIS_STABILITY_H
#define CLSP_ANALYSIS_STABILITY_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/stability.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/analysis.h"

/* of: [I] block of each row of the store, -1: in none; pool: [T, E], as the result was made with. */
clipspan_status clsp_stability_measure(clipspan_textspan *result, const clipspan_store *store, const float *pool,
                                       const int32_t *of, size_t blocks, int resamples, const clipspan_hooks *hooks,
                                       clipspan_error *err);

#endif
