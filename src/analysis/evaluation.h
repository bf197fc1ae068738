/* analysis/evaluation.h - what TextSpan's evaluation is made of. */
#ifndef CLSP_ANALYSIS_EVALUATION_H
#define CLSP_ANALYSIS_EVALUATION_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/evaluation.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/textspan_evaluation.h"

/* One pass that counts right answers. */
typedef struct clsp_evaluation {
    const clipspan_store *store;   /* measured */
    const unsigned char *measured; /* [I] of 0 and 1; NULL: all rows */
    const clipspan_moments *found; /* whose means stand for what is replaced */
    const clipspan_textspan_scoring *scoring;
    clipspan_convention convention;
    int last;                      /* late layers */
    clipspan_textspan *const *spans; /* [pools], each of all late heads in order */
    size_t pools;
    const int *sizes;              /* [size_count] ascending */
    size_t size_count;
    const clipspan_hooks *hooks;
} clsp_evaluation;

enum { CLSP_BASELINE, CLSP_LATE, CLSP_NONE, CLSP_REFERENCES };
/* right: [CLSP_REFERENCES + pools * size_count] out. */
clipspan_status clsp_evaluation_count(const clsp_evaluation *e, uint64_t *right, uint64_t *scored, clipspan_error *err);

#endif
