/* analysis/space.h - the space of a set of heads over a store's images, in factors.
 *
 * The set's term is c = y M, with y = scale (z of head 1, ..., z of head n, then what the heads share) of length W and M of
 * W x E; scale and the shared entries are the convention's (ALGORITHMS 2):
 *
 *     paper  scale = 1 / (sigma |r|)   shared: 1, mu, sigma   W = n d + 3
 *     exact  scale = 1 / sigma         none                   W = n d
 *
 * The whole representation is a space too: y = scale r, W = E, M = 1, with scale 1 / |r| (paper) or 1 (exact).
 */
#ifndef CLSP_ANALYSIS_SPACE_H
#define CLSP_ANALYSIS_SPACE_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/space.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/retrieval.h"
#include "store/view.h"

/* Up to so many rows of one shard: a work item of every pass. */
enum { CLSP_BLOCK_ROWS = 1024 };
typedef struct clsp_block {
    size_t shard, first, rows; /* first: within the shard */
    uint64_t row;              /* of the store */
} clsp_block;

/* A store mapped, with what all its spaces share. */
typedef struct clsp_source {
    const clipspan_store *store; /* borrowed */
    clsp_view *view;
    size_t images, block_count;
    clsp_block *blocks;
    float *mu, *sigma, *norm; /* [I] */
    clipspan_verify verify;
    int threads;
} clsp_source;
clipspan_status clsp_source_open(clsp_source *source, const clipspan_store *store, clipspan_verify verify, int threads,
                                 clipspan_error *err);
void clsp_source_close(clsp_source *source);
/* Checksums of what a space is about to read, where the options ask for them. As clsp_view_verify. */
clipspan_status clsp_source_verify(const clsp_source *source, const int *heads, size_t count, clipspan_error *err);
/* The shard that holds a row of the store, and the row's place in it. */
void clsp_source_locate(const clsp_source *source, uint64_t row, size_t *shard, size_t *at);

typedef struct clsp_space {
    const clsp_source *source; /* borrowed */
    clipspan_convention convention;
    bool whole;
    size_t count, d, width, e; /* heads; length of a stored row; W; E */
    size_t shared;             /* 3 or 0 */
    int *heads;                /* [count] layer * H + head */
    float *map;                /* [W, E]; NULL: the identity */
    double *mean;              /* [W] mean of y over the images, taken from every y; NULL: not centred */
    double *centre;            /* [E] mean of c; NULL with it */
    double least;              /* |c| up to which c is but round-off: 0, or a millionth of the mean's where centred */
    float *weight;             /* [I] 1 / |c|, 0 up to least; NULL: inner products */
    bool weight_read;          /* it came from a file */
} clsp_space;
/* heads: [L * H] of 0 and 1, or NULL with whole. options says convention, similarity, centring and the norms' file. */
clipspan_status clsp_space_open(clsp_space *space, const clsp_source *source, const unsigned char *heads, bool whole,
                                const clipspan_retrieval_options *options, const clipspan_hooks *hooks,
                                clipspan_error *err);
void clsp_space_close(clsp_space *space);
/* Fills weight: from the file `path` where it fits (NULL: none), else by a pass over the images, and then writes it. */
clipspan_status clsp_space_weigh(clsp_space *space, const char *path, const clipspan_hooks *hooks, clipspan_error *err);

/* y of rows [first, first + n) of a shard, centred where the space is: [n, W]. */
void clsp_space_rows(const clsp_space *space, size_t shard, size_t first, size_t n, float *y);
/* The same of one image of a batch, in double. */
void clsp_space_of_batch(const clsp_space *space, const clipspan_batch *batch, size_t image, double *y);
/* c = y M: [E] from [W]. */
void clsp_space_term(const clsp_space *space, const double *y, double *c);
/* g = M q: [W] from [E]. */
void clsp_space_pull(const clsp_space *space, const double *q, double *g);
/* Rows that a pass takes at a time so that its buffers stay small. */
size_t clsp_space_step(const clsp_space *space, size_t wider);
/* Says which image cannot be used, and why that may be. */
clipspan_status clsp_space_broken(const clsp_space *space, uint64_t row, clipspan_error *err);

/* A query made ready for the scan. */
typedef struct clsp_query {
    float *g;       /* [count, d padded to 16] */
    double tail[3]; /* g of the shared entries */
    double offset, factor;
} clsp_query;
/* q: [E]. factor: what every score is multiplied by. */
clipspan_status clsp_query_open(clsp_query *query, const clsp_space *space, const double *q, double factor,
                                clipspan_error *err);
void clsp_query_close(clsp_query *query);
/* scores: [block->rows]; scratch: the same. Reads the block where it lies. */
void clsp_query_scores(const clsp_query *query, const clsp_space *space, const clsp_block *block, double *scores,
                       float *scratch);

/* ---- the k best --------------------------------------------------------------------------------------------- */

/* A heap whose root is the worst of the best. Equal scores: the lower row is better, so what is kept does not depend on
 * the order in which it came. */
typedef struct clsp_nearest {
    clipspan_retrieval_hit *hits; /* [k], borrowed */
    size_t count, k;
} clsp_nearest;
void clsp_nearest_offer(clsp_nearest *nearest, uint64_t row, double score);
void clsp_nearest_sort(clsp_nearest *nearest); /* best first; no heap any more */

#endif
