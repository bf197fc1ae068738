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
    clipspan_vectors vectors; /* T of E */
    double longest;           /* largest length of a row */
} clsp_pool;
/* Rows [first, first + n) as float32: where they lie if they can be read there, else in scratch [n, E]. */
const float *clsp_pool_rows(const clsp_pool *pool, size_t first, size_t n, float *scratch);
/* To be called behind block b of a pass over all of them. */
void clsp_pool_passed(const clsp_pool *pool, size_t b);
/* Sets `longest`; refuses numbers that are not finite: *bad is the first such text, else T. */
clipspan_status clsp_pool_measure(clsp_pool *pool, int threads, size_t *bad, clipspan_error *err);

/* The pool's coordinates on some axes, to screen by: 16-bit codes with a scale for each block of texts and axis, off by at
 * most half a scale. Block after block of CLSP_TEXT_BLOCK texts, so that a head's share of a block is one piece of memory;
 * lanes behind the last text are zero. */
enum { CLSP_TEXT_BLOCK = 256 };
typedef struct clsp_screen {
    size_t blocks, rows; /* rows: axes */
    int16_t *codes;      /* [blocks, rows, CLSP_TEXT_BLOCK] */
    float *scales;       /* [blocks, rows] */
} clsp_screen;
size_t clsp_screen_bytes(size_t texts, size_t rows); /* SIZE_MAX: too many */
clipspan_status clsp_screen_open(clsp_screen *screen, size_t texts, size_t rows, clipspan_error *err);
void clsp_screen_close(clsp_screen *screen);
/* What one thread needs to fill a block, for embeddings of E numbers: floats. */
size_t clsp_screen_room(size_t embed_dim);
/* Block b from the axes [screen->rows, E], of which `rows` may have been lowered since it was opened. On the calling thread;
 * the same numbers on any. */
clipspan_status clsp_screen_fill(clsp_screen *screen, size_t b, const clsp_pool *pool, const float *axes, float *room,
                                 clipspan_error *err);

/* Picks at most `size` texts.
 *
 * screen: of which the rows from `first` on are the pool on the span's axes; whoever could be the best within its
 * round-off is scored again in double from its own embedding, so the picks are those of an all-double search.
 * directions: [size, E], of which *count rows are filled. threads: for loops over texts. */
clipspan_status clsp_greedy_run(const clsp_span *span, const clsp_pool *pool, const clsp_screen *screen, size_t first,
                                size_t size, int threads, clipspan_textspan_text *picks, float *directions,
                                size_t *count, clipspan_error *err);

#endif
