/* clipspan/model.h - a CLIP model on disk, opened by mapping, without a conversion step.
 *
 *     clipspan_model *model = NULL;
 *     if (clipspan_model_open(&model, "path/to/ViT-B-16", NULL, &err)) ...
 *     const clipspan_model_info *info = clipspan_model_get_info(model);
 *     printf("%d layers of %d heads\n", info->layers, info->heads);
 *     clipspan_model_free(model);
 *
 * A model is immutable once open: any number of threads and engines may share it. Whoever opened it frees it,
 * after everything that was made from it.
 */
#ifndef CLIPSPAN_MODEL_H
#define CLIPSPAN_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "clipspan/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_model clipspan_model;

typedef struct clipspan_model_options {
    /* Built-in configuration for a bare state-dict file: "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336",
     * "ViT-H-14", "ViT-g-14", "ViT-bigG-14", each also with "-quickgelu". NULL: the directory says. */
    const char *config;
    /* Vocabulary: tokenizer.json, vocab.json (merges.txt beside it), or open_clip's gzipped merges file.
     * NULL: the model's own files; without any, texts are refused and images work. */
    const char *vocab;
    /* Folder for what makes the next start fast: the fingerprint, remembered for as long as the files' inodes, sizes and
     * times are the same, and packed weights, as large as the weights in the engine's type. Made if it is missing; safe to
     * delete at any time, safe to share by processes; what is damaged or of another version is made anew. "":
     * $XDG_CACHE_HOME/clipspan or ~/.cache/clipspan. NULL: nothing is kept. */
    const char *cache;
    /* warn: what is wrong with the cache, also later, by engines. The struct is copied, `user` borrowed. NULL: nobody. */
    const clipspan_hooks *hooks;
} clipspan_model_options;
#define CLIPSPAN_MODEL_OPTIONS_INIT { NULL, NULL, NULL, NULL }

/* Opens a Hugging Face CLIP directory, an open_clip directory, or a safetensors state dict (then
 * options->config is needed). options may be NULL. Errors name the file, the tensor, expected and found shape. */
CLIPSPAN_API clipspan_status clipspan_model_open(clipspan_model **out, const char *path,
                                                 const clipspan_model_options *options, clipspan_error *err);
CLIPSPAN_API void clipspan_model_free(clipspan_model *model); /* NULL is fine */

typedef struct clipspan_model_info {
    const char *name;        /* directory or built-in configuration name, such as "ViT-B-16" */
    const char *path;        /* as given to clipspan_model_open, made absolute */
    const char *family;      /* "clip" */
    const char *layout;      /* "huggingface", "open_clip" */
    const char *weight_type; /* "f32", "f16", "bf16" or "mixed": as on disk */
    const char *activation;  /* "gelu", "quick_gelu", "gelu_tanh" */
    const char *tokenizer;   /* "huggingface", "open_clip", or "none" */
    const char *fingerprint; /* 32 hex digits: of the configuration and every weight byte */
    uint64_t parameters;
    int image_size;                /* pixels a side */
    int patch_size;                /* pixels a side */
    int grid;                      /* patches a side: image_size / patch_size */
    int tokens;                    /* N: grid * grid + 1, the class token first */
    int width, layers, heads;      /* D, L, H of the image tower */
    int head_dim;                  /* d = D / H */
    int mlp_width;                 /* hidden width of the image tower's MLPs */
    int embed_dim;                 /* E, the joint space */
    int text_width, text_layers, text_heads, text_mlp_width;
    int context_length, vocab_size;
    float logit_scale;             /* already exponentiated: multiply cosines by it */
    const char *preprocess;        /* one line in words: "resize shortest 224 bicubic, crop 224, mean ..., std ..." */
} clipspan_model_info;

/* Borrowed from the model; valid until it is freed. */
CLIPSPAN_API const clipspan_model_info *clipspan_model_get_info(const clipspan_model *model);

#ifdef __cplusplus
}
#endif

#endif
