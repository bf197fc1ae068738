/* analysis/lockstep.h - the greedy search of greedy.h for many covariances over one pool, pick by pick for all of them.
 *
 * Letters: E joint dimension, T texts, k axes of the head, S searches.
 */
#ifndef CLSP_ANALYSIS_LOCKSTEP_H
#define CLSP_ANALYSIS_LOCKSTEP_H

#ifndef CLSP_ROOM_ANALYSIS
#ifndef CLSP_TESTS
#error "analysis/lockstep.h is private to the room analysis"
#endif
#endif

#include "analysis/variation.h"

/* A pool on a head's axes, block after block of CLSP_TEXT_BLOCK texts. */
typedef struct clsp_turned {
    size_t texts, axes, blocks;
    float *values;  /* [blocks, k, CLSP_TEXT_BLOCK], zeros behind the last text */
    double longest; /* text */
} clsp_turned;
/* pool: [T, E]; axes: [k, E] orthonormal. With the calling thread's count (clsp_threads); the same bits at any. */
clipspan_status clsp_turned_open(clsp_turned *turned, const float *pool, size_t texts, const double *axes, size_t count,
                                 size_t embed_dim, clipspan_error *err);
void clsp_turned_close(clsp_turned *turned);

/* Bytes that one more search needs. */
size_t clsp_lockstep_bytes(const clsp_turned *pool, size_t size);
/* picks: [S, size] texts, of which counts[s] are filled for search s: those that clsp_greedy_run would pick, found in float32
 * and decided in double precision. On the calling thread. A search's picks do not depend on the others. */
clipspan_status clsp_lockstep_run(size_t *picks, size_t *counts, const clsp_turned *pool, const clsp_variation *variations,
                                  size_t searches, size_t size, clipspan_error *err);

#endif
