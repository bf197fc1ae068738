/* clipspan/map.h - where in the image a text is argued for or against.
 *
 *     clipspan_map_batch(map, batch, 0, CLIPSPAN_PAPER, chosen, text, 1, CLIPSPAN_MAP_WHOLE, &err);
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
 * the batch's token layers; heads of layers whose tokens the batch lacks are an error. texts: [count, E]. Token 0 is the class token; patches
 * follow in row order. Units: change in cosine (paper's convention, texts of unit length). */
CLIPSPAN_API clipspan_status clipspan_map_batch(float *out, const clipspan_batch *batch, size_t image,
                                                clipspan_convention convention, const unsigned char *heads,
                                                const float *texts, size_t count, clipspan_map_detail detail,
                                                clipspan_error *err);

/* The same summed over tokens, for all images of the batch and all heads: each head's direct effect on the text, from
 * z. out: [images, count, L * H]. */
CLIPSPAN_API clipspan_status clipspan_map_effects(float *out, const clipspan_batch *batch,
                                                  clipspan_convention convention, const float *texts, size_t count,
                                                  clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
