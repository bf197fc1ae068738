/* analysis/textspan.h - what a finished TextSpan is made of. */
#ifndef CLSP_ANALYSIS_TEXTSPAN_H
#define CLSP_ANALYSIS_TEXTSPAN_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/textspan.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/analysis.h"

struct clipspan_textspan {
    clipspan_textspan_options options; /* its pointers are not kept */
    size_t embed_dim, count, size;     /* count: heads */
    uint64_t images;
    clipspan_textspan_head *heads;     /* [count] */
    clipspan_textspan_text *texts;     /* [count, size] */
    float *directions;                 /* [count, size, E] */
    char *pool;                        /* the pool's texts, one NUL-terminated string after another */
    size_t *pool_at;                   /* [pool_count] where each begins */
    size_t pool_count;
    size_t top, ranked;                /* images a direction: room and what was found */
    uint64_t *rows;                    /* [count, size, top] */
    float *values;                     /* [count, size, top] */
    double *stability;                 /* [count, size]; NULL: not measured */
    int resamples;                     /* behind it */
};

#endif
