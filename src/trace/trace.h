/* trace/trace.h - one image through the image tower with everything kept, and what is derived from it: private to
 * src/trace.
 *
 * Letters: N tokens (class token first), G patches a side, P pixels of a patch's side, S pixels of the image's side,
 * K = 3 P P values of a patch, D width, H heads, d = D / H, M mlp width, L layers, E joint dimension.
 *
 * A block is h1 = ln_1(x), [q k v] = h1 W' + b, A = softmax(q k' / sqrt(d)), z = A v, m = x + z W_o' + b_o,
 * h2 = ln_2(m), u = h2 W_1' + b_1, x' = m + act(u) W_2' + b_2. What is cheap to make again from what is kept (h1, h2,
 * act(u)) is made again.
 *
 * Going back, the last block's rows but the class token's carry nothing from the MLP and the out-projection, so `rows`
 * is 1 there and N elsewhere.
 */
#ifndef CLSP_TRACE_H
#define CLSP_TRACE_H

#if !defined(CLSP_ROOM_TRACE) && !defined(CLSP_TESTS)
#error "trace/trace.h is private to src/trace"
#endif

#include "clipspan/relevance.h"

#include "compute/compute.h"
#include "model/model.h"

/* ---- weights.c ------------------------------------------------------------------------------------------- */

/* y = x W' + b. The values are the model's own, in the mapping, where the file holds aligned fp32; else a copy. */
typedef struct clsp_dense {
    const float *weight; /* [out, in], or [in, out] if transposed */
    float *owned;        /* NULL: the mapping's */
    float *bias;         /* [out] */
    size_t in, out;
    bool transposed;
} clsp_dense;

typedef struct clsp_norm {
    float *gamma, *beta; /* [D] */
} clsp_norm;

typedef struct clsp_trace_block {
    clsp_norm ln1, ln2;
    clsp_dense q, k, v, out, fc1, fc2;
} clsp_trace_block;

typedef struct clsp_trace_weights {
    clsp_dense patch, projection;
    float *class_token, *position; /* [D], [N, D] */
    clsp_norm ln_pre, ln_post;     /* ln_pre: NULLs where the model has none */
    clsp_trace_block *blocks;      /* [L] */
    size_t layers;
} clsp_trace_weights;

clipspan_status clsp_trace_weights_read(clsp_trace_weights *out, const clipspan_model *model, clipspan_error *err);
void clsp_trace_weights_clear(clsp_trace_weights *weights); /* also of a zeroed struct */

/* ---- what is kept ---------------------------------------------------------------------------------------- */

typedef struct clsp_trace_layer {
    float *x;         /* [N, D] residual stream before the block */
    float *qkv;       /* [N, 3D] */
    float *attention; /* [H, N, N] probabilities */
    float *z;         /* [N, D] heads' outputs side by side */
    float *mid;       /* [N, D] residual stream between attention and MLP */
    float *hidden;    /* [N, M] before the activation */
    float *scores;    /* [H, N, N] q k', of the exact pass alone */
} clsp_trace_layer;

/* Which pass made what is kept. Relevance reads the exact one, everything else the plain one, so that a map's bits do not
 * depend on what was asked for before. */
typedef enum clsp_pass { CLSP_PASS_NONE, CLSP_PASS_PLAIN, CLSP_PASS_EXACT } clsp_pass;

struct clipspan_tracer {
    const clipspan_model *model;
    clsp_trace_weights weights;
    int threads;
    clsp_pass pass;           /* CLSP_PASS_NONE: nothing is kept, or not all of it */
    bool ran;                 /* an image's patches are there */
    size_t tokens, grid, side, image, patch_values, width, heads, head_dim, hidden, layers, embed;
    clsp_activation activation;
    float eps;
    /* what a run keeps */
    float *block;             /* the one allocation */
    clsp_trace_layer *layer;  /* [L] */
    float *patches;           /* [N - 1, K] pixels */
    float *embedded;          /* [N, D] class token and embedded patches, without position */
    float *x0;                /* [N, D] the same plus position, before ln_pre */
    float *last;              /* [N, D] after the last block */
    float *r;                 /* [E] */
    float lowest, highest;    /* of the image's pixels */
    /* scratch of one block */
    float *h;                 /* [N, D] */
    float *work;              /* [N, max(M, 3D)] */
    float *products;          /* [H, N, N] */
    /* what goes back: gradient or relevance */
    float *gradient;          /* [N, D] of the residual stream */
    float *back_qkv;          /* [N, 3D] of q, k, v: within a block, as the next two */
    float *back_z;            /* [N, D] */
    float *gradient_attention; /* [H, N, N] of the block gone through last */
    float *back_hidden;       /* [N, M] */
    float *relevance;         /* [N, D] */
    float *relevance_attention; /* [H, N, N] */
    float *part, *part2, *part3; /* [N, max(M, 3D, K)] */
    float *magnitude;         /* |W| of the largest matrix */
    float *outcome;           /* [N, E] projected tokens */
};

/* ---- blocks.c: rows through one layer and back --------------------------------------------------------------- */

/* y [rows, out] (stride y_stride) = x [rows, in] W' + bias; without bias: the product alone. */
clipspan_status clsp_dense_run(float *y, size_t y_stride, const float *x, size_t x_stride, const clsp_dense *dense,
                               bool bias, size_t rows, clipspan_error *err);
/* dx [rows, in] = dy [rows, out] W + beta dx. weight: as dense->weight, its values or others of that shape. */
clipspan_status clsp_dense_back(float *dx, size_t dx_stride, const float *dy, size_t dy_stride,
                                const clsp_dense *dense, const float *weight, float beta, size_t rows,
                                clipspan_error *err);
void clsp_norm_run(float *y, const float *x, const clsp_norm *norm, float eps, size_t rows, size_t width);
/* dx += (d ln(x) / d x)' dy. dx may not be dy. */
void clsp_norm_back(float *dx, const float *dy, const float *x, const clsp_norm *norm, float eps, size_t rows,
                    size_t width);
/* y = act(u); y may be u. */
void clsp_activate(float *y, const float *u, clsp_activation activation, size_t count);
/* du *= act'(u) */
void clsp_activate_back(float *du, const float *u, clsp_activation activation, size_t count);
/* Rows of s to softmax(scale s). */
void clsp_softmax_rows(float *s, float scale, size_t rows, size_t width);

/* c [H, N, N] = a_h b_h' for each head; a, b: [N, H d] rows with their strides. */
clipspan_status clsp_heads_scores(const clipspan_tracer *t, float *c, const float *a, size_t a_stride, const float *b,
                                  size_t b_stride, clipspan_error *err);
/* c (rows [N, H d], stride c_stride) = alpha A_h b_h, or A_h' b_h if transposed. A: [H, N, N]. */
clipspan_status clsp_heads_values(const clipspan_tracer *t, float *c, size_t c_stride, const float *a, bool transposed,
                                  const float *b, size_t b_stride, float alpha, clipspan_error *err);

/* ---- forward.c ------------------------------------------------------------------------------------------------ */

/* Takes an image: t->patches, t->lowest and t->highest. */
void clsp_trace_begin(clipspan_tracer *t, const float *pixels);
/* What is kept of it, in fp32. */
clipspan_status clsp_trace_plain(clipspan_tracer *t, clipspan_error *err);
/* Layer l up to its attention probabilities; and from them (whatever they are now) to the next layer's x. */
clipspan_status clsp_trace_attend(clipspan_tracer *t, size_t l, clipspan_error *err);
clipspan_status clsp_trace_apply(clipspan_tracer *t, size_t l, clipspan_error *err);
/* out [rows, E] = projection of ln_post(x); scratch: t->h. */
clipspan_status clsp_trace_project(clipspan_tracer *t, float *out, const float *x, size_t rows, clipspan_error *err);
/* x [N, D] += MLP(ln_2(x)); scratch: t->h, t->work. hidden: where u is kept. */
clipspan_status clsp_trace_mlp(clipspan_tracer *t, float *out, const float *x, float *hidden, size_t l,
                               clipspan_error *err);
/* The residual stream after layer l. */
float *clsp_trace_after(const clipspan_tracer *t, size_t l);

/* ---- exact.c ---------------------------------------------------------------------------------------------------- */

/* What clsp_trace_plain keeps, and scores, each number the fp32 that is nearest to the one in double precision. */
clipspan_status clsp_trace_exact(clipspan_tracer *t, clipspan_error *err);

/* ---- backward.c: d (r . text / |r|) --------------------------------------------------------------------------- */

/* t->gradient of the stream after the last block. */
clipspan_status clsp_backward_begin(clipspan_tracer *t, const float *text, clipspan_error *err);
/* From the stream after block l to that before it; leaves t->gradient_attention. */
clipspan_status clsp_backward_block(clipspan_tracer *t, size_t l, clipspan_error *err);
/* To the pixels: out [3, S, S]. */
clipspan_status clsp_backward_pixels(clipspan_tracer *t, float *out, clipspan_error *err);

/* ---- relevance.c: relevance of r . text / |r|, shared out layer by layer, of the exact pass ------------------------ */

clipspan_status clsp_relevance_begin(clipspan_tracer *t, const float *text, clipspan_error *err);
/* t->relevance from after block l to the stream beside its attention, and t->relevance_attention. */
clipspan_status clsp_relevance_attention(clipspan_tracer *t, size_t l, clipspan_error *err);
/* From there to the stream before the block. */
clipspan_status clsp_relevance_block(clipspan_tracer *t, size_t l, clipspan_error *err);
/* To the pixels, channels summed: out [S, S]. */
clipspan_status clsp_relevance_pixels(clipspan_tracer *t, float *out, clipspan_error *err);

/* ---- attention_maps.c, dense.c: the methods; out: [count, G, G] or [count, S, S] ------------------------- */

typedef clipspan_status (*clsp_map_fn)(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                       clipspan_error *err);
clipspan_status clsp_map_raw_attention(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                       clipspan_error *err);
clipspan_status clsp_map_rollout(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err);
clipspan_status clsp_map_gradcam(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err);
clipspan_status clsp_map_partial_lrp(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                     clipspan_error *err);
clipspan_status clsp_map_lrp(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err);
clipspan_status clsp_map_transformer_attribution(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                                 clipspan_error *err);
clipspan_status clsp_map_generic_attention(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                           clipspan_error *err);
clipspan_status clsp_map_maskclip(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                  clipspan_error *err);
clipspan_status clsp_map_clip_surgery(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                      clipspan_error *err);
clipspan_status clsp_map_sclip(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err);
clipspan_status clsp_map_naclip(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err);

#endif
