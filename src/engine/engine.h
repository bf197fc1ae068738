/* engine/engine.h - forward passes with capture, and images streamed through them.
 *
 * Letters: I images, L layers, H heads, d head width, D = H d, E joint dimension, N tokens, T token layers.
 */
#ifndef CLSP_ENGINE_H
#define CLSP_ENGINE_H

#include "clipspan/engine.h"

#include "base/base.h"
#include "model/model.h"

/* What a forward pass keeps, fp32 always; NULL: not kept. One struct, a leading layer axis everywhere. Buffers are
 * the caller's (clsp_capture_new makes them all in one allocation). */
typedef struct clsp_capture {
    size_t images;  /* capacity in images */
    float *z;       /* [L, I, D] class token's attention output before the out-projection, heads concatenated */
    float *mlp;     /* [L + 1, I, D] x0's class token after ln_pre, then each block's MLP output at the class token */
    float *cls;     /* [L, I, D] the part of z that comes from the class token itself */
    float *last;    /* [I, D] class token before ln_post */
    float *tokens;  /* [T, H, I, N, d] z by source token, heads apart as batches have them */
    float *hidden;  /* [L, I, M] the class token's MLP neurons behind the activation */
    const int *token_layers; /* [T] ascending */
    int token_layer_count;
    void *block;    /* the one allocation */
    /* The caller's own, never in the block: sums over images, image by image, of z at every token (the last layer has
     * the class token's alone), to which those with counted[i] are added. NULL: not kept. */
    double *head_sums;            /* [L, N, D] */
    const unsigned char *counted; /* [I] */
} clsp_capture;

enum { CLSP_CAPTURE_Z = 1, CLSP_CAPTURE_MLP = 2, CLSP_CAPTURE_CLS = 4, CLSP_CAPTURE_LAST = 8, CLSP_CAPTURE_TOKENS = 16,
       CLSP_CAPTURE_HIDDEN = 32 };
/* token_layers is borrowed. */
clipspan_status clsp_capture_new(clsp_capture *capture, const clsp_vision *vision, size_t images, unsigned what,
                                 const int *token_layers, int token_layer_count, clipspan_error *err);
void clsp_capture_free(clsp_capture *capture);

/* pixels: [n, 3, S, S], n <= the engine's batch. embedding: [n, E], not normalised. capture may be NULL. The layer
 * axis of captures has stride capture->images (not n). */
clipspan_status clsp_engine_forward(clipspan_engine *engine, const float *pixels, size_t n, clsp_capture *capture,
                                    float *embedding, clipspan_error *err);

/* Whether heads are replaced inside now (clipspan_engine_intervene), so that the network is not the model's own. */
bool clsp_engine_intervened(const clipspan_engine *engine);
/* Refuses, while heads are replaced, what a replaced head does not have: its output by source token. */
clipspan_status clsp_engine_check_parts(const clipspan_engine *engine, bool cls, bool tokens, clipspan_error *err);

/* Images of a list through a decode pool, in fixed batches: batch b holds list positions first + [b B, (b + 1) B), so
 * that a position's result does not depend on its neighbours' fate. */
typedef struct clsp_pixels {
    const float *pixels; /* [n, 3, S, S] */
    uint64_t first;      /* position in the list */
    size_t n, slot;      /* slot: of the batches under way this one alone has it */
    const unsigned char *ok; /* [n]; 0: image i could not be read (warned about; its pixels are zero) */
} clsp_pixels;
typedef clipspan_status (*clsp_pixels_fn)(void *user, clipspan_engine *engine, const clsp_pixels *batch,
                                          clipspan_error *err);
typedef struct clsp_stream_job {
    const char *stage;
    uint64_t first, count;
    bool strict;           /* an image that cannot be read is the error that is returned */
    clsp_pixels_fn work;   /* with one of the engines, each of which has a thread of its own; NULL: nothing to do */
    clsp_pixels_fn finish; /* behind it, on the calling thread, in the order of the list, with the engine streamed through */
    void *user;
} clsp_stream_job;
clipspan_status clsp_engine_stream(clipspan_engine *engine, const clipspan_images *images, const clsp_stream_job *job,
                                   const clipspan_hooks *hooks, clipspan_error *err);
size_t clsp_engine_slots(const clipspan_engine *engine); /* most batches under way at a time */

#endif
