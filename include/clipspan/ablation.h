/* clipspan/ablation.h - what is lost when terms are replaced by their means.
 *
 *     clipspan_means_open(&means, store, CLIPSPAN_PAPER, NULL, &err);
 *     clipspan_ablation ablation = {.heads = chosen};
 *     clipspan_ablate(embeddings, store, &ablation, means, NULL, &err);
 *     clipspan_means_free(means);
 *
 * Direct effects: terms of the class token's sum are replaced, the network is not run again (Gandelsman, Efros,
 * Steinhardt, ICLR 2024, section 3; ALGORITHMS 4). Total effects are two flows compared: clipspan_engine_intervene.
 * Letters: I images of the store, L layers, H heads, E joint dimension, C classes.
 */
#ifndef CLIPSPAN_ABLATION_H
#define CLIPSPAN_ABLATION_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Means over a store's images of every term, as vectors of the joint space. Immutable. */
typedef struct clipspan_means clipspan_means;
/* One pass over the store. Means of the MLP list and of the class-token parts are there if the store has those parts. */
/* The heads' means come from the store's moments, so a store of moments alone gives those. */
CLIPSPAN_API clipspan_status clipspan_means_open(clipspan_means **out, const clipspan_store *store,
                                                 clipspan_convention convention, const clipspan_hooks *hooks,
                                                 clipspan_error *err);
CLIPSPAN_API void clipspan_means_free(clipspan_means *means);
CLIPSPAN_API uint64_t clipspan_means_images(const clipspan_means *means);
CLIPSPAN_API clipspan_convention clipspan_means_convention(const clipspan_means *means);
CLIPSPAN_API const float *clipspan_means_heads(const clipspan_means *means); /* [L, H, E] */
CLIPSPAN_API const float *clipspan_means_mlps(const clipspan_means *means);  /* [L + 1, E], x0 first; NULL: no part */
CLIPSPAN_API const float *clipspan_means_cls(const clipspan_means *means);   /* [L, E]; NULL: no part */

/* Which terms are replaced; every pointer may be NULL: none of that kind. */
typedef struct clipspan_ablation {
    const unsigned char *heads; /* [L * H] */
    const unsigned char *mlps;  /* [L + 1]: x0, then each layer's MLP */
    const unsigned char *cls;   /* [L]: attention from the class token to itself, where its heads are not replaced */
    int zero;                   /* 1: by zero instead of the mean; means may then be NULL */
    clipspan_convention convention; /* asked where means is NULL: a zero in the exact convention leaves the constants */
} clipspan_ablation;
/* out: [I, E]: r / |r| (paper's convention) or r (exact) of every image with those terms replaced; not normalised again.
 * Rows in the store's order. Reads only the layers that it needs. */
CLIPSPAN_API clipspan_status clipspan_ablate(float *out, const clipspan_store *store, const clipspan_ablation *ablation,
                                             const clipspan_means *means, const clipspan_hooks *hooks,
                                             clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
