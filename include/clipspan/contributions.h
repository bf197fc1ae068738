/* clipspan/contributions.h - the one thing that flows: batches of factored contributions.
 *
 *     clipspan_status print_first(void *user, const clipspan_batch *batch, clipspan_error *err) { ... }
 *     clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
 *     clipspan_decompose_each(engine, images, &options, print_first, NULL, NULL, &err);
 *
 * The class token's residual stream is a sum, and so is the image representation r = LN_post(x_cls) P (Gandelsman,
 * Efros, Steinhardt, ICLR 2024). A head's term is linear in its output z before the out-projection, so z and a
 * few scalars of the image are all that is kept; the matrices that turn them into vectors of the joint space
 * do not depend on the image and form the basis.
 *
 * Letters: I images in the batch, L layers, H heads, d head width, E joint dimension, N tokens.
 */
#ifndef CLIPSPAN_CONTRIBUTIONS_H
#define CLIPSPAN_CONTRIBUTIONS_H

#include "clipspan/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How ln_post's mean and bias and the out-projection's bias are spread over the terms. */
typedef enum clipspan_convention {
    CLIPSPAN_PAPER = 0, /* equal shares over all terms, divided by |r|: the terms sum to r / |r| */
    CLIPSPAN_EXACT = 1  /* each term centred by its own mean, constants apart: the terms sum to r */
} clipspan_convention;

/* What a batch may hold beside the heads. */
enum {
    CLIPSPAN_PART_MLP = 1,   /* x0 and the MLP outputs */
    CLIPSPAN_PART_CLS = 2,   /* attention from the class token to itself, summed over heads */
    CLIPSPAN_PART_TOKENS = 4, /* the heads' terms by source token */
    CLIPSPAN_PART_NEURONS = 8 /* the class token's MLP neurons (clipspan/neurons.h); never in a store's shards */
};

/* The image-independent matrices of a model: borrowed view. Raw: neither centred nor divided by sigma. */
typedef struct clipspan_basis {
    int layers, heads, head_dim, embed_dim, tokens;
    const float *w;         /* [L, H, d, E]: O_h diag(gamma) P */
    const float *w_mean;    /* [L, H, d]: mean over D of O_h's rows */
    const float *ones;      /* [E]: 1' diag(gamma) P, what a mean of 1 maps to */
    const float *bias;      /* [L, E]: b_o diag(gamma) P, the out-projection biases */
    const float *bias_mean; /* [L]: mean over D of b_o */
    const float *constant;  /* [E]: beta P */
} clipspan_basis;

/* Contributions of I images, float32. Borrowed, valid during the callback. */
typedef struct clipspan_batch {
    const clipspan_basis *basis;
    size_t images;
    const uint64_t *index;  /* [I]: position in the image list; ascending */
    const float *z;         /* [L, H, I, d]: alpha v summed over tokens */
    const float *mu;        /* [I]: mean over D of the class token before ln_post */
    const float *sigma;     /* [I]: sqrt(biased variance + eps) of the same */
    const float *norm;      /* [I]: |r| */
    const float *embedding; /* [I, E]: r, not normalised */
    const float *mlp;       /* [L + 1, I, E]: x0, then MLP outputs, times diag(gamma) P; NULL: not kept */
    const float *mlp_mean;  /* [L + 1, I]: their means over D */
    const float *cls;       /* [L, I, E]: the class token's own share of attention, times diag(gamma) P, no bias */
    const float *cls_mean;  /* [L, I] */
    const float *tokens;    /* [T, H, I, N, d]: alpha v by source token, for token_layers; NULL: not kept */
    const int *token_layers; /* [T], ascending */
    int token_layer_count;   /* T */
    const float *hidden;     /* [L, I, M]: the class token's neurons behind the activation; NULL: not kept */
    int hidden_width;        /* M; 0: not kept */
} clipspan_batch;

typedef clipspan_status (*clipspan_batch_fn)(void *user, const clipspan_batch *batch, clipspan_error *err);

typedef struct clipspan_decompose_options {
    unsigned parts;         /* CLIPSPAN_PART_*, or-ed */
    const int *token_layers; /* layers whose tokens are kept; NULL: all, where parts asks for tokens */
    int token_layer_count;
    int strict;             /* 1: the first bad image stops the run */
    size_t first, count;    /* range of the image list; count 0: to the end */
} clipspan_decompose_options;
#define CLIPSPAN_DECOMPOSE_OPTIONS_INIT { CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, NULL, 0, 0, 0, 0 }

/* Runs the images through the engine and hands batch after batch to fn, in list order, in constant memory.
 * Images that cannot be read are warned about (hooks->warn) and left out of the batches. */
CLIPSPAN_API clipspan_status clipspan_decompose_each(clipspan_engine *engine, const clipspan_images *images,
                                                     const clipspan_decompose_options *options,
                                                     clipspan_batch_fn fn, void *user,
                                                     const clipspan_hooks *hooks, clipspan_error *err);

/* Vectors of the joint space, on demand. out: [I, E] for one term of every image of the batch. */
CLIPSPAN_API clipspan_status clipspan_batch_head(const clipspan_batch *batch, clipspan_convention convention,
                                                 int layer, int head, float *out, clipspan_error *err);
/* term 0 is x0, term l + 1 is layer l's MLP. */
CLIPSPAN_API clipspan_status clipspan_batch_mlp(const clipspan_batch *batch, clipspan_convention convention,
                                                int term, float *out, clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_batch_cls(const clipspan_batch *batch, clipspan_convention convention,
                                                int layer, float *out, clipspan_error *err);
/* What belongs to no term, per image: zero in the paper's convention; in the exact one the out-projection biases
 * of all layers and beta P. out: [I, E]. */
CLIPSPAN_API clipspan_status clipspan_batch_constant(const clipspan_batch *batch, clipspan_convention convention,
                                                     float *out, clipspan_error *err);
/* One head's term by source token, out: [N, E] for image i; needs the tokens part. */
CLIPSPAN_API clipspan_status clipspan_batch_tokens(const clipspan_batch *batch, clipspan_convention convention,
                                                   int layer, int head, size_t image, float *out,
                                                   clipspan_error *err);

/* Heads named as "L22.H13", "L22", "last:4", "all", comma-separated, or "@file" with one such name a line.
 * chosen: [L * H] of 0 and 1. */
CLIPSPAN_API clipspan_status clipspan_heads_parse(const char *text, int layers, int heads, unsigned char *chosen,
                                                  clipspan_error *err);

/* Streamed, mergeable moments: mean and uncentred second moments of every head, in double precision.
 * They hold both conventions: in the paper's, y = (z, 1, mu, sigma) / (sigma |r|) of length d + 3; in the exact
 * one, y = (z, sigma) / sigma of length d + 1. */
typedef struct clipspan_moments clipspan_moments;
CLIPSPAN_API clipspan_status clipspan_moments_new(clipspan_moments **out, const clipspan_basis *basis,
                                                  clipspan_error *err); /* copies the basis */
CLIPSPAN_API void clipspan_moments_free(clipspan_moments *moments);
CLIPSPAN_API clipspan_status clipspan_moments_add(clipspan_moments *moments, const clipspan_batch *batch,
                                                  clipspan_error *err);
/* into += from. Shapes must agree. */
CLIPSPAN_API clipspan_status clipspan_moments_merge(clipspan_moments *into, const clipspan_moments *from,
                                                    clipspan_error *err);
CLIPSPAN_API uint64_t clipspan_moments_images(const clipspan_moments *moments);
CLIPSPAN_API const clipspan_basis *clipspan_moments_basis(const clipspan_moments *moments);

#ifdef __cplusplus
}
#endif

#endif
