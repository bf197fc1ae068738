/* clipspan/map.h - where in the image a text is argued for or against.
 *
 *     clipspan_map_batch(map, batch, 0, CLIPSPAN_PAPER, chosen, text, 1, CLIPSPAN_MAP_WHOLE, 0, &err);
 *
 * Images first, texts whenever they come:
 *
 *     clipspan_held_new(&held, &err);
 *     clipspan_decompose_each(engine, images, &options, clipspan_held_take, held, NULL, &err);
 *     clipspan_map_batch(map, clipspan_held_batch(held, 0), 0, CLIPSPAN_PAPER, NULL, text, 1, CLIPSPAN_MAP_HEAD, 0, &err);
 *     clipspan_held_free(held);
 *
 * The map of a text t over tokens is the sum over the chosen layers and heads of c[l,h,n] . t (ALGORITHMS 7). Only
 * u = W t, of length d, is needed of a head. Letters as in contributions.h; T token layers of the batch.
 */
#ifndef CLIPSPAN_MAP_H
#define CLIPSPAN_MAP_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipspan_map_detail {
    CLIPSPAN_MAP_WHOLE, /* summed over the chosen heads of the batch's token layers: [count, N] */
    CLIPSPAN_MAP_LAYER, /* by layer: [count, T, N] */
    CLIPSPAN_MAP_HEAD   /* by head: [count, T, H, N]; heads that are not chosen are zero */
} clipspan_map_detail;

/* out: as the detail says, for image `image` of the batch, which must hold the tokens part. heads: [L * H]; NULL: all of
 * the batch's token layers; heads of layers whose tokens the batch lacks are an error. texts: [count, E]. Token 0 is the
 * class token; patches follow in row order. Units: change in cosine (paper's convention, texts of unit length).
 * threads: 0: all. */
CLIPSPAN_API clipspan_status clipspan_map_batch(float *out, const clipspan_batch *batch, size_t image,
                                                clipspan_convention convention, const unsigned char *heads,
                                                const float *texts, size_t count, clipspan_map_detail detail,
                                                int threads, clipspan_error *err);

/* The same for every image of the batch, one below the other, out: [images, ...]. The texts are turned into each head's own
 * space once, not once an image: the way to map many images beside the encoder. */
CLIPSPAN_API clipspan_status clipspan_map_images(float *out, const clipspan_batch *batch, clipspan_convention convention,
                                                 const unsigned char *heads, const float *texts, size_t count,
                                                 clipspan_map_detail detail, int threads, clipspan_error *err);

/* The same summed over tokens, for all images of the batch: each head's direct effect on the text, from z. heads: as
 * above (NULL: all); the others' effects are 0. out: [images, count, L * H]. */
CLIPSPAN_API clipspan_status clipspan_map_effects(float *out, const clipspan_batch *batch,
                                                  clipspan_convention convention, const unsigned char *heads,
                                                  const float *texts, size_t count, int threads,
                                                  clipspan_error *err);

/* ---- images held for texts that come later ----------------------------------------------------------------- */

/* Images' contributions, kept beyond the callback that brought them: what a viewer asks again and again, one text after
 * another, without running the network. One image of ViT-L-14 with all its tokens takes 28 MB, the basis once 75 MB; a
 * new text's maps by all heads then take one scan over both. */
typedef struct clipspan_held clipspan_held;
CLIPSPAN_API clipspan_status clipspan_held_new(clipspan_held **out, clipspan_error *err);
CLIPSPAN_API void clipspan_held_free(clipspan_held *held);
/* Copies every image of a batch, with all parts that the batch has but neurons; the first batch's basis too. `user` is the
 * clipspan_held, so that this is a clipspan_batch_fn: of clipspan_decompose_each, clipspan_store_each, or called by hand.
 * MISMATCH: the batch is of a model of another shape. After an error none of the batch's images is held. */
CLIPSPAN_API clipspan_status clipspan_held_take(void *user, const clipspan_batch *batch, clipspan_error *err);
/* Lets one image go: its batch is no more, and images behind it move up by one; other batches stay where they are. */
CLIPSPAN_API void clipspan_held_drop(clipspan_held *held, size_t image);
CLIPSPAN_API size_t clipspan_held_images(const clipspan_held *held);
/* A batch of that one image, for everything that takes a batch; its index[0] is the image's position in its list.
 * Borrowed until it is dropped or all are freed (taking more leaves it alone). NULL: there is no such image. Any number of
 * threads may read. */
CLIPSPAN_API const clipspan_batch *clipspan_held_batch(const clipspan_held *held, size_t image);

/* What is worth saying of one map. Sums run over its places; the largest value is looked for among the patches. */
typedef struct clipspan_map_summary {
    double total;               /* of all places */
    double class_token;         /* of it, the class token's; 0 where it has no place */
    double in_favour, against;  /* of the patches: their values above 0 summed, and those below */
    double least, most;         /* of the patches */
    int row, column;            /* of the largest */
} clipspan_map_summary;
/* values: [side * side], or [1 + side * side] with the class token first: `places` says which. */
CLIPSPAN_API clipspan_status clipspan_map_summarise(clipspan_map_summary *out, const float *values, size_t places,
                                                    int side, clipspan_error *err);

/* ---- maps on their way to a report or a picture: plain structs, all borrowed ------------------------------- */

typedef struct clipspan_map_image {
    const char *name;
    uint64_t row;             /* of the store, or position in the list */
    const unsigned char *rgb; /* [S, S, 3]; NULL: no picture of it */
    const double *scores;     /* [texts]: the image's score for each text */
    const double *predicted;  /* [texts, parts]: effects of the part's heads, summed; NULL: not known */
    const float *effects;     /* [texts, L * H] of each head; NULL: not known */
    const clipspan_map_summary *summaries; /* [texts, parts] */
    const float *values;      /* [texts, parts, places]; NULL: left out */
} clipspan_map_image;

typedef struct clipspan_maps {
    const char *model, *method, *unit; /* unit: "change in cosine" */
    const char *score_name;            /* "cosine" */
    const char *minus;                 /* what was subtracted of each text; NULL: nothing */
    const char *note;                  /* how they were made, for the foot of the picture; NULL: none */
    const char *const *texts;
    const char *const *parts;          /* "all", "L3", "L3.H2", or a method's name */
    size_t text_count, part_count;
    const unsigned char *chosen; /* [L * H]: the heads that were mapped; NULL: none are told apart */
    int layers, heads, side;     /* side: of the patch grid, or pixels */
    size_t places;               /* side * side, or one more: the class token first */
    size_t strongest;            /* how many heads to name for an image and text; 0: all */
    const clipspan_map_image *images;
    size_t image_count;
} clipspan_maps;

typedef enum clipspan_evidence {
    CLIPSPAN_EVIDENCE_BOTH,   /* above and below zero, two colours */
    CLIPSPAN_EVIDENCE_FOR,    /* what speaks for the text alone */
    CLIPSPAN_EVIDENCE_AGAINST /* what speaks against it alone, shown as a magnitude */
} clipspan_evidence;

#ifdef __cplusplus
}
#endif

#endif
