/* engine/towers.h - the two transformers, packed and ready: private to src/engine.
 *
 * Letters: R rows (tokens of all sequences of a pass), S sequences, D width, M mlp width, N tokens of an image,
 * B batch, E joint dimension. "Pooled" is the token that leaves the tower: the class token, or a text's end token.
 */
#ifndef CLSP_ENGINE_TOWERS_H
#define CLSP_ENGINE_TOWERS_H

#if !defined(CLSP_ROOM_ENGINE) && !defined(CLSP_TESTS)
#error "engine/towers.h is private to src/engine"
#endif

#include "compute/compute.h"
#include "engine/engine.h"

/* ---- weights.c: a tower's weights, packed into one block that the model's engines share ------------------- */

typedef enum clsp_tower_kind { CLSP_IMAGES, CLSP_TEXTS } clsp_tower_kind;

typedef struct clsp_packed_block {
    const float *ln1_gamma, *ln1_beta, *ln2_gamma, *ln2_beta; /* [D] */
    clsp_packed qkv;   /* D -> 3D, in every block but the last */
    clsp_packed q, kv; /* D -> D and D -> 2D, in the last: only the pooled tokens ask there */
    clsp_packed out, fc1, fc2;
} clsp_packed_block;

typedef struct clsp_piece clsp_piece;
typedef struct clsp_packed_tower {
    clsp_packed_block *blocks; /* [layers] */
    clsp_packed patch;         /* K -> D; of images alone */
    clsp_packed projection;    /* D -> E, fp32 in both types */
    const float *class_token;  /* [D]; of images alone, as are the next two, which may be NULL */
    const float *pre_gamma, *pre_beta;
    const float *position;               /* [N, D], or of a text's places */
    const float *post_gamma, *post_beta; /* [D]: ln_post, ln_final */
    clsp_type type;
    size_t bytes;       /* of the block that all of this lies in */
    void *block;        /* packed here; NULL: in the mapping */
    clsp_map map;       /* of the cache's file */
    clsp_piece *pieces; /* [piece_count] what lies where */
    size_t piece_count;
} clsp_packed_tower;
/* The first who asks packs, with the calling thread's threads. */
clipspan_status clsp_packed_tower_take(const clsp_packed_tower **out, const clipspan_model *model, clsp_tower_kind kind,
                                       clsp_type type, clipspan_error *err);
void clsp_packed_tower_drop(const clipspan_model *model, clsp_tower_kind kind, clsp_type type);

/* ---- weights_cache.c: such blocks in files -------------------------------------------------------------- */

/* What a file must have been written for. */
typedef struct clsp_weights_key {
    const clipspan_model *model;
    const char *name;         /* "images-f32-avx512" */
    char plan[CLSP_HASH_HEX]; /* of what lies where in the block, and the library's version */
    size_t bytes;
} clsp_weights_key;
/* The block in the model's cache, checked, in *map; NULL: it is not there, or not whole (which is warned about). */
const void *clsp_weights_cache_find(clsp_map *map, const clsp_weights_key *key);
/* Writes it, whole or not at all; what goes wrong is warned about. */
void clsp_weights_cache_keep(const void *block, const clsp_weights_key *key);

/* ---- intervene.c: heads replaced, heads summed ----------------------------------------------------------- */

typedef struct clsp_replacement clsp_replacement;
void clsp_replacement_free(clsp_replacement *replacement);
/* Writes what replaces the layer's heads into `rows` [.., D] in the tower's type, behind attention: at `tokens` rows from
 * start[s] on for sequence s, or, with tokens 1, at row s; at the class token alone where the intervention says so.
 * z: [sequences, D] captured, NULL: none. */
void clsp_replace_heads(const clsp_replacement *replacement, size_t layer, void *rows, const size_t *start,
                        size_t sequences, size_t tokens, float *z);
/* sums [tokens, D] += the same rows of the sequences with counted[s]. */
void clsp_add_heads(double *sums, clsp_type type, const void *rows, size_t width, const size_t *start,
                    size_t sequences, size_t tokens, const unsigned char *counted);

/* ---- tower.c: residual blocks ---------------------------------------------------------------------------- */

/* The layers of a block; the weights that they run are the packed block's of the same names. */
typedef struct clsp_block {
    clsp_linear *qkv, *q, *kv, *out, *fc1, *fc2;
} clsp_block;

typedef struct clsp_tower {
    clsp_tower_config config;
    clsp_type type;
    size_t rows, sequences; /* capacity, R and S */
    const clsp_packed_tower *weights; /* borrowed */
    clsp_block *blocks;     /* [layers] */
    clsp_attention *attention;
    float *x;        /* [R, D] residual stream */
    void *h;         /* [R, D] in `type`: normalised rows, then the heads' outputs */
    void *work;      /* [R, max(3D, M)] in `type`, or as many bytes as the tower's input needs */
    float *pooled;   /* [S, D] residual stream of the pooled tokens in the last block */
    void *pooled_h, *pooled_q; /* [S, D] in `type` */
    void *pooled_hidden;       /* [S, M] in `type` */
    float *before;   /* [S, D] the pooled tokens before an MLP, for its capture */
    size_t tokens;   /* capacity in tokens, where sequences may share rows; 0: they may not */
    void *spread;    /* [tokens, 3D] in `type`: q, k and v of every token, for attention alone */
    void *spread_h;  /* [tokens, D] in `type` */
    size_t bytes;    /* of these buffers */
} clsp_tower;

/* One pass. `rows` and `pooled_rows` may be rounded up past what the sequences cover (within capacity), so that few
 * different sizes occur; rows behind the sequences hold anything finite. */
typedef struct clsp_pass {
    const size_t *start;  /* [sequences + 1] */
    const size_t *pooled; /* [sequences] row of each sequence's pooled token */
    size_t sequences, rows, pooled_rows;
    /* Causal sequences that begin alike may share rows: start then counts tokens, and token t is row source[t]. NULL: row t.
     * owner: [used] the first token of each row. */
    const size_t *source, *owner;
    size_t used;
    clsp_capture *capture; /* NULL: nothing is kept; pooled tokens must be the first of their sequences */
    const clsp_replacement *replacement; /* NULL: none; sequences are images */
} clsp_pass;

/* work_bytes: at least so much room in `work`. Sequences of at most `longest` rows. */
clipspan_status clsp_tower_init(clsp_tower *tower, clsp_workspace *workspace, const clsp_packed_tower *weights,
                                const clsp_tower_config *config, size_t rows, size_t sequences, size_t longest,
                                bool causal, size_t work_bytes, clipspan_error *err);
/* From now on passes of up to so many tokens may share rows. */
clipspan_status clsp_tower_share(clsp_tower *tower, size_t tokens, clipspan_error *err);
void clsp_tower_clear(clsp_tower *tower);
/* From x to pooled. */
clipspan_status clsp_tower_run(clsp_tower *tower, const clsp_pass *pass, clipspan_error *err);

/* ---- vision.c, text.c ------------------------------------------------------------------------------------ */

typedef struct clsp_vision_tower clsp_vision_tower;
clipspan_status clsp_vision_tower_new(clsp_vision_tower **out, clsp_workspace *workspace, const clipspan_model *model,
                                      clsp_type type, size_t batch, clipspan_error *err);
void clsp_vision_tower_free(clsp_vision_tower *tower);
const clsp_tower *clsp_vision_tower_blocks(const clsp_vision_tower *tower);
/* pixels: [n, 3, S, S]; the images that are missing for a whole batch are run as zeros. */
clipspan_status clsp_vision_tower_run(clsp_vision_tower *tower, const float *pixels, size_t n,
                                      const clsp_replacement *replacement, clsp_capture *capture, float *embedding,
                                      clipspan_error *err);

/* Token ids of many texts, each cut behind its pooled token: no later token is seen by it. */
typedef struct clsp_prompts {
    int32_t *ids;
    size_t *start; /* [count + 1] */
    size_t count, room; /* prompts so far; ids that fit */
} clsp_prompts;
/* Room for `count` prompts. */
clipspan_status clsp_prompts_init(clsp_prompts *prompts, size_t count, clipspan_error *err);
clipspan_status clsp_prompts_add(clsp_prompts *prompts, const clipspan_model *model, const int32_t *ids, size_t count,
                                 clipspan_error *err);
/* All texts through the model's tokenizer. */
clipspan_status clsp_prompts_make(clsp_prompts *prompts, const clipspan_model *model, const char *const *texts,
                                  size_t count, clipspan_error *err);
void clsp_prompts_clear(clsp_prompts *prompts);

typedef struct clsp_text_tower clsp_text_tower;
clipspan_status clsp_text_tower_new(clsp_text_tower **out, clsp_workspace *workspace, const clipspan_model *model,
                                    clsp_type type, clipspan_error *err);
void clsp_text_tower_free(clsp_text_tower *tower);
const clsp_tower *clsp_text_tower_blocks(const clsp_text_tower *tower);
/* Embeds the next of the prompts which[0 .. count), as many as one pass holds (*taken); prompt p goes to row p of
 * embeddings [.., E], not normalised. What a prompt and the one before it begin with alike is computed once, with the same
 * bits: sorted prompts are the fastest. */
clipspan_status clsp_text_tower_run(clsp_text_tower *tower, const clsp_prompts *prompts, const size_t *which,
                                    size_t count, float *embeddings, size_t *taken, clipspan_error *err);

/* ---- engine.c, embed.c ----------------------------------------------------------------------------------- */

struct clipspan_engine {
    const clipspan_model *model;
    clsp_workspace *workspace;
    clsp_vision_tower *vision; /* made at first use, as is text */
    clsp_text_tower *text;
    clsp_replacement *replacement; /* NULL: none */
    clsp_type type;
    int threads, batch;
    clipspan_engine **members; /* [member_count] among which streams are shared, with its threads; 0: it runs them itself */
    int member_count;
};
/* The thread count of the calling thread's loops is the engine's between the two. */
clipspan_status clsp_engine_vision(clsp_vision_tower **out, clipspan_engine *engine, clipspan_error *err);
clipspan_status clsp_engine_text(clsp_text_tower **out, clipspan_engine *engine, clipspan_error *err);
/* Rows of x to unit length; a row of zeros stays. */
void clsp_normalize(float *x, size_t rows, size_t width);

/* ---- team.c: several engines, each on a thread of its own --------------------------------------------------- */

typedef struct clsp_team clsp_team;
/* Batch b goes to member b mod member_count and lies in slot b mod clsp_engine_slots. */
clipspan_status clsp_team_start(clsp_team **out, clipspan_engine *engine, clsp_pixels_fn work, void *user,
                                clipspan_error *err);
/* The slot's batch before must have been waited for. */
void clsp_team_post(clsp_team *team, const clsp_pixels *batch);
clipspan_status clsp_team_wait(clsp_team *team, size_t slot, clipspan_error *err);
void clsp_team_free(clsp_team *team); /* ends the threads, when what they do is done; NULL is fine */

/* ---- pool_cache.c ------------------------------------------------------------------------------------------ */

typedef struct clsp_pool_cache clsp_pool_cache;
/* Opens the cache of this model and type. Never fails but for want of memory: a cache that is missing or damaged is
 * an empty one. */
clipspan_status clsp_pool_cache_open(clsp_pool_cache **out, const clipspan_model *model, clsp_type type,
                                     clipspan_error *err);
void clsp_pool_cache_free(clsp_pool_cache *cache);
/* Embedding [E] of a prompt, borrowed; NULL: not there. */
const float *clsp_pool_cache_find(const clsp_pool_cache *cache, const int32_t *ids, size_t count);
/* Writes what was there and the prompts which[0 .. count) with their embeddings (row which[i]), whole or not at all. */
clipspan_status clsp_pool_cache_save(const clsp_pool_cache *cache, const clsp_prompts *prompts, const size_t *which,
                                     size_t count, const float *embeddings, clipspan_error *err);

#endif
