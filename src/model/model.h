/* model/model.h - a model in memory: configuration, weights by role, tokenizer, preprocessing. Immutable.
 *
 * Letters: D width, H heads, d = D/H, M mlp width, E joint dimension, N tokens, V vocabulary, C context length,
 * P patch side. Every matrix is [out, in] as PyTorch's Linear keeps it, except the two projections of open_clip,
 * which are [in, out]; `transposed` says so.
 */
#ifndef CLSP_MODEL_H
#define CLSP_MODEL_H

#include "clipspan/model.h"

#include "base/base.h"
#include "formats/safetensors.h"
#include "image/preprocess.h"
#include "text/tokenizer.h"

/* Bounds on what a configuration may say, so that products of its numbers cannot overflow. A store holds what
 * any such model gives. */
enum {
    CLSP_MAX_WIDTH = 65536,
    CLSP_MAX_LAYERS = 1024,
    CLSP_MAX_IMAGE = 16384,
    CLSP_MAX_TOKENS = CLSP_MAX_IMAGE * CLSP_MAX_IMAGE + 1,
    CLSP_MAX_CONTEXT = 65536,
    CLSP_MAX_VOCAB = 1 << 24
};

typedef enum clsp_activation { CLSP_GELU, CLSP_QUICK_GELU, CLSP_GELU_TANH } clsp_activation;

/* Rows [first, first + rows) of a tensor's leading axis: open_clip keeps q, k, v in one [3D, D] tensor, Hugging
 * Face in three. tensor NULL: this model has none (a bias that is absent counts as zero). */
typedef struct clsp_weight {
    const clsp_tensor *tensor;
    size_t first, rows, columns; /* columns: product of the other axes; 1 for vectors */
    bool transposed;             /* stored [in, out] */
} clsp_weight;

typedef struct clsp_block_weights {
    clsp_weight ln1_gamma, ln1_beta, ln2_gamma, ln2_beta;           /* [D] */
    clsp_weight q, k, v, out;                                       /* [D, D] */
    clsp_weight q_bias, k_bias, v_bias, out_bias;                   /* [D] */
    clsp_weight fc1, fc1_bias, fc2, fc2_bias;                       /* [M, D], [M], [D, M], [D] */
} clsp_block_weights;

typedef struct clsp_tower_config {
    int width, layers, heads, head_dim, mlp_width;
    clsp_activation activation;
    float ln_eps;
} clsp_tower_config;

typedef struct clsp_vision {
    clsp_tower_config config;
    int image_size, patch_size, grid, tokens;
    bool has_ln_pre;
    clsp_weight patch, patch_bias; /* [D, 3*P*P] (channel, row, column); bias usually absent */
    clsp_weight class_token;       /* [D] */
    clsp_weight position;          /* [N, D] */
    clsp_weight ln_pre_gamma, ln_pre_beta, ln_post_gamma, ln_post_beta; /* [D] */
    clsp_weight projection;        /* [E, D], or transposed [D, E] */
    clsp_block_weights *blocks;    /* [layers] */
} clsp_vision;

typedef struct clsp_text {
    clsp_tower_config config;
    int context_length, vocab_size;
    int eot_id; /* the pooled token's id; -1: the position of the highest id (open_clip, and HF's eos_token_id 2) */
    clsp_weight token;    /* [V, D] */
    clsp_weight position; /* [C, D] */
    clsp_weight ln_final_gamma, ln_final_beta;
    bool has_projection_bias;
    clsp_weight projection, projection_bias; /* [E, D], or transposed [D, E]; bias [E], usually absent */
    clsp_block_weights *blocks;
} clsp_text;

typedef struct clsp_shared clsp_shared;

struct clipspan_model {
    clipspan_model_info info;
    int embed_dim;
    float logit_scale; /* exponentiated */
    clsp_vision vision;
    clsp_text text;
    clsp_preprocess preprocess;
    clsp_tokenizer *tokenizer; /* NULL: none found */
    clsp_safetensors *weights; /* keeps the mapping alive */
    clsp_shared *shared;       /* share.c: all that changes behind an open model */
    char *cache;               /* folder of what is kept between runs; NULL: none */
    clipspan_hooks hooks;      /* warn: what is wrong with the cache */
    /* owned strings behind info */
    char *name, *path, *preprocess_words, *config, *vocab;
    char fingerprint[CLSP_HASH_HEX];
};

/* Elements of the weight as float32 in stored order: rows x columns values. A NULL tensor gives zeros, of which
 * `expected` are written. */
clipspan_status clsp_weight_floats(const clsp_weight *weight, size_t expected, float *out, clipspan_error *err);

/* "WHAT: WHY" to the hooks that the model was opened with. */
void clsp_model_warn(const clipspan_model *model, const char *what, const char *why);

/* ---- share.c: what is made of a model once, by whoever first asks, and shared by all ----------------------- */

enum { CLSP_SHARED_SLOTS = 4 };
/* What stands in the slot, which `make` makes if nothing does; meanwhile other threads wait. `release` unmakes it when the
 * last who asked has let go. */
typedef struct clsp_shared_making {
    clipspan_status (*make)(void **out, const clipspan_model *model, void *user, clipspan_error *err);
    void (*release)(void *object);
    void *user;
} clsp_shared_making;
clipspan_status clsp_shared_take(void **out, const clipspan_model *model, size_t slot, const clsp_shared_making *making,
                                 clipspan_error *err);
void clsp_shared_drop(const clipspan_model *model, size_t slot); /* once for every successful _take */
clsp_shared *clsp_shared_new(void);
void clsp_shared_free(clsp_shared *shared); /* after every _drop */

#endif
