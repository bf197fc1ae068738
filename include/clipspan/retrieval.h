/* clipspan/retrieval.h - the images of a store that are nearest in one head's (or a set of heads') space.
 *
 *     clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
 *     options.heads = chosen;
 *     clipspan_retrieval_open(&retrieval, store, &options, NULL, &err);
 *     clipspan_retrieval_row(retrieval, 17, 0, 20, hits, &found, &err);
 *     clipspan_retrieval_free(retrieval);
 *
 * The term of a set S of heads is c = sum over S of c[l,h] (Gandelsman, Efros, Steinhardt, ICLR 2024, section 5;
 * ALGORITHMS 6), a vector of the joint space. Two images are compared by cosine or inner product of it, an image and a
 * text by c and the text's embedding. In factors c = y M, so a query q costs d numbers an image and head: c . q = y . g
 * with g = M q. Every image is looked at (an exact scan), in place in the store's files. docs/retrieval.md.
 *
 * A retrieval borrows its store and is immutable once open: it may be asked by several threads at a time. The same query
 * gives the same bits at any number of threads; equal scores come in the order of their rows.
 * Letters: I images of the store, L layers, H heads, d head width, E joint dimension, k neighbours.
 */
#ifndef CLIPSPAN_RETRIEVAL_H
#define CLIPSPAN_RETRIEVAL_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipspan_similarity {
    CLIPSPAN_COSINE = 0, /* in [-1, 1]; 0 where either vector is zero */
    CLIPSPAN_INNER = 1   /* inner product: in the paper's convention with a text of unit length, change in cosine */
} clipspan_similarity;

/* Whether what a retrieval reads (its heads, or the embeddings) is held against its checksums when it opens. Names, sizes, types and shapes are always checked. */
typedef enum clipspan_verify {
    CLIPSPAN_VERIFY_SMALL = 0, /* where that is at most 1 GB: reading more would cost more than the answer. A store of version 1
                                  has one checksum a shard: where the store is no larger */
    CLIPSPAN_VERIFY_ALWAYS = 1,
    CLIPSPAN_VERIFY_NEVER = 2
} clipspan_verify;

typedef struct clipspan_retrieval_options {
    const unsigned char *heads; /* [L * H] of 0 and 1: the set; NULL: all */
    int whole;                  /* 1: the whole representation r instead of heads, as plain CLIP image search does */
    clipspan_convention convention;
    clipspan_similarity similarity;
    int centred;                /* 1: the mean over the store's images is taken from every image's term first */
    clipspan_verify verify;
    const char *norms;          /* a file for the images' norms, read where it fits, else written; NULL: none */
    int threads;                /* 0: all */
} clipspan_retrieval_options;
#define CLIPSPAN_RETRIEVAL_OPTIONS_INIT { NULL, 0, CLIPSPAN_PAPER, CLIPSPAN_COSINE, 0, CLIPSPAN_VERIFY_SMALL, NULL, 0 }

typedef struct clipspan_retrieval clipspan_retrieval;

/* Maps the store; a cosine reads the set's heads once for the images' norms (progress: stage "norms"), centring once
 * more. 16 bytes an image stay in memory. options may be NULL. */
CLIPSPAN_API clipspan_status clipspan_retrieval_open(clipspan_retrieval **out, const clipspan_store *store,
                                                     const clipspan_retrieval_options *options,
                                                     const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_retrieval_free(clipspan_retrieval *retrieval);

typedef struct clipspan_retrieval_info {
    uint64_t images;
    size_t heads; /* in the set; 0: the whole representation */
    int embed_dim;
    clipspan_convention convention;
    clipspan_similarity similarity;
    int centred;
    int norms_read;  /* 1: the norms came from the file that was named */
    uint64_t bytes;  /* of the store that one query reads */
} clipspan_retrieval_info;
CLIPSPAN_API clipspan_retrieval_info clipspan_retrieval_get_info(const clipspan_retrieval *retrieval);
/* Head i of the set. */
CLIPSPAN_API void clipspan_retrieval_head(const clipspan_retrieval *retrieval, size_t i, int *layer, int *head);
/* Its heads as --heads takes them, a layer that is there with all its heads by its name alone ("L3, L9.H3"), or "the whole
 * representation". The caller frees *out with free(). */
CLIPSPAN_API clipspan_status clipspan_retrieval_name(const clipspan_retrieval *retrieval, char **out, clipspan_error *err);

typedef struct clipspan_retrieval_hit {
    uint64_t row; /* of the store */
    double score;
} clipspan_retrieval_hit;

/* Nearest k images, best first, to image `row` of the store. hits: [k]; found: how many, at most k. keep_query: 1: the
 * image itself is among them, 0: it is left out. A query whose vector is zero (where centred: is
 * the mean, but for round-off) is an error. */
CLIPSPAN_API clipspan_status clipspan_retrieval_row(const clipspan_retrieval *retrieval, uint64_t row, int keep_query,
                                                    size_t k, clipspan_retrieval_hit *hits, size_t *found,
                                                    clipspan_error *err);
/* To image `image` of a batch of the same model, which need not be in the store. */
CLIPSPAN_API clipspan_status clipspan_retrieval_batch(const clipspan_retrieval *retrieval, const clipspan_batch *batch,
                                                      size_t image, size_t k, clipspan_retrieval_hit *hits,
                                                      size_t *found, clipspan_error *err);
/* To a direction of the joint space, such as a text's embedding: [E]. It is taken as it is, also where the images are
 * centred. */
CLIPSPAN_API clipspan_status clipspan_retrieval_direction(const clipspan_retrieval *retrieval, const float *direction,
                                                          size_t k, clipspan_retrieval_hit *hits, size_t *found,
                                                          clipspan_error *err);

/* ---- which head retrieves what -------------------------------------------------------------------------- */

/* Precision at k: the share of an image's k nearest that have its value in a column, mean over the query images that
 * have one. Candidates are the other images that have one too: of those whose cell is empty nothing is known. A query
 * whose vector is zero has no neighbours and counts 0. */
typedef struct clipspan_precision clipspan_precision;
typedef struct clipspan_precision_options {
    const char *const *columns; /* NULL: as clipspan_attributes_options says */
    size_t column_count;
    size_t k;       /* neighbours */
    size_t queries; /* images drawn as queries; 0 or more than there are: all */
    uint64_t seed;  /* of the draw */
} clipspan_precision_options;
#define CLIPSPAN_PRECISION_OPTIONS_INIT { NULL, 0, 10, 1000, 0 }

/* For each head of options.heads alone, then for the whole set (where it has several heads and is not all of them), then
 * for the whole representation. Progress: stage "heads". Both options may be NULL. */
CLIPSPAN_API clipspan_status clipspan_precision_run(clipspan_precision **out, const clipspan_store *store,
                                                    const clipspan_retrieval_options *retrieval,
                                                    const clipspan_precision_options *options,
                                                    const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_precision_free(clipspan_precision *result);

typedef enum clipspan_space_kind { CLIPSPAN_SPACE_HEAD = 0, CLIPSPAN_SPACE_SET = 1, CLIPSPAN_SPACE_WHOLE = 2 } clipspan_space_kind;
typedef struct clipspan_space {
    clipspan_space_kind kind;
    int layer, head; /* of a head; else -1 */
    size_t heads;    /* in it; 0: the whole representation */
} clipspan_space;
typedef struct clipspan_precision_info {
    uint64_t images, queries; /* of the store; drawn */
    size_t k, columns, spaces;
    clipspan_convention convention;
    clipspan_similarity similarity;
    int centred;
} clipspan_precision_info;
CLIPSPAN_API clipspan_precision_info clipspan_precision_get_info(const clipspan_precision *result);
CLIPSPAN_API clipspan_space clipspan_precision_space(const clipspan_precision *result, size_t space);
CLIPSPAN_API const char *clipspan_precision_column(const clipspan_precision *result, size_t column);
/* Queries that have a value in the column; images that have one; its distinct values. */
CLIPSPAN_API uint64_t clipspan_precision_queries(const clipspan_precision *result, size_t column);
CLIPSPAN_API uint64_t clipspan_precision_images(const clipspan_precision *result, size_t column);
CLIPSPAN_API size_t clipspan_precision_values(const clipspan_precision *result, size_t column);
/* Mean precision at k, in [0, 1]; NaN where no query has a value. */
CLIPSPAN_API double clipspan_precision_of(const clipspan_precision *result, size_t space, size_t column);
/* What neighbours drawn at random give: mean over the same queries of (images with the query's value - 1) / (images with
 * any value - 1). */
CLIPSPAN_API double clipspan_precision_chance(const clipspan_precision *result, size_t column);

#ifdef __cplusplus
}
#endif

#endif
