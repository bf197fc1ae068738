/* unit/model_maker.h - writes small model directories with random weights, for tests and for make_model.
 *
 *     model_recipe recipe = MODEL_RECIPE_INIT;
 *     recipe.layout = "open_clip";
 *     model_make("some/folder", &recipe, &err);
 *
 * The directory is whole: configuration, weights, preprocessing, vocabulary (bytes and a few merges; "red", "square",
 * "photo" and such are one token). Weights are scaled so that attention is far from uniform and no gamma, beta or
 * bias is trivial. The same recipe gives the same bytes.
 */
#ifndef MODEL_MAKER_H
#define MODEL_MAKER_H

#include "formats/safetensors.h"

typedef struct model_recipe {
    const char *layout; /* "huggingface" or "open_clip" */
    int layers, width, heads, mlp, image, patch, embed;
    int text_layers, text_width, text_heads, text_mlp, context;
    const char *activation; /* "gelu", "quick_gelu", "gelu_tanh" */
    clsp_dtype dtype;       /* F32, F16 or BF16 */
    bool no_ln_pre, custom_text, projection_bias; /* open_clip alone */
    bool eos_highest;  /* Hugging Face: eos_token_id 2, which means the highest id */
    bool sharded;      /* two files and an index */
    bool no_tokenizer, no_preprocess;
    unsigned seed;
    /* To make it bad: names of tensors. */
    const char *omit;    /* not written */
    const char *extra;   /* one more, [2] */
    const char *poison;  /* its last value is `poison_value` */
    float poison_value;
    const char *reshape; /* its leading axis is one longer */
    const char *retype;  /* written as I32 */
    const char *mixed;   /* written as F32 whatever dtype says */
} model_recipe;

#define MODEL_RECIPE_INIT                                                                                            \
    {.layout = "huggingface", .layers = 3, .width = 48, .heads = 4, .mlp = 96, .image = 32, .patch = 8, .embed = 24, \
     .text_layers = 2, .text_width = 32, .text_heads = 2, .text_mlp = 64, .context = 20, .activation = "gelu",       \
     .dtype = CLSP_F32, .seed = 1}

clipspan_status model_make(const char *directory, const model_recipe *recipe, clipspan_error *err);
int model_maker_vocab_size(void);

#endif
