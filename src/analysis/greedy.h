/* analysis/greedy.h - the texts that a head's variance is spent on, picked one after another.
 *
 * Letters: E joint dimension, T texts, k rank of the span.
 */
#ifndef CLSP_ANALYSIS_GREEDY_H
#define CLSP_ANALYSIS_GREEDY_H

#ifndef CLSP_ROOM_ANALYSIS
#ifndef CLSP_TESTS
#error "analysis/greedy.h is private to the room analysis"
#endif
#endif

#include "analysis/span.h"
#include "clipspan/analysis.h"

typedef struct clsp_pool {
    const float *embeddings; /* [T, E] */
    size_t texts, embed_dim;
    double longest; /* largest length of a row */
} clsp_pool;

/* Picks at most `size` texts.
 *
 * projected: [k, T] the pool on the span's axes in float32, rows `stride` apart; it only screens: whoever could be the
 * best within its round-off is scored again in double from its own embedding, so the picks are those of an
 * all-double search. directions: [size, E], of which *count rows are filled. threads: for loops over texts. */
clipspan_status clsp_greedy_run(const clsp_span *span, const clsp_pool *pool, const float *projected, size_t stride,
                                size_t size, int threads, clipspan_textspan_text *picks, float *directions,
                                size_t *count, clipspan_error *err);

#endif
