/* clipspan/store.h - contributions and moments on disk, with where they came from.
 *
 *     clipspan_store *store = NULL;
 *     clipspan_store_open(&store, "out/store", &err);
 *     clipspan_store_each(store, NULL, fn, user, NULL, &err);
 *     clipspan_store_free(store);
 *
 * A store is a folder: `manifest.json` (model fingerprint and path, options, shards with checksums),
 * `images.safetensors` (the image list), `basis.safetensors`, `shard-00000.safetensors` ... (f32 or f16, one tensor a layer) and `moments.safetensors`.
 * Every file is written beside its place and renamed. docs/store.md is the specification.
 */
#ifndef CLIPSPAN_STORE_H
#define CLIPSPAN_STORE_H

#include "clipspan/contributions.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_store clipspan_store;

typedef struct clipspan_store_options {
    clipspan_decompose_options decompose;
    int half;            /* 1: contributions, embeddings and the basis in f16 (scalars stay f32); 0: f32 */
    int moments_only;    /* 1: no shards: moments alone, constant disk */
    size_t shard_images; /* images a shard; 0: chosen so that a shard is about 64 MB */
    int neurons;         /* top images kept of every MLP neuron (clipspan/neurons.h), beside its moments; 0: no neurons */
    int part, part_count; /* part 1 .. part_count of the list alone, in whole shards; part_count 0: everything */
} clipspan_store_options;
#define CLIPSPAN_STORE_OPTIONS_INIT { CLIPSPAN_DECOMPOSE_OPTIONS_INIT, 0, 0, 0, 0, 0, 0 }

typedef struct clipspan_store_summary {
    uint64_t images, skipped;  /* in the store; unreadable */
    uint64_t resumed;          /* of `images`, those found finished by an earlier run */
    uint64_t bytes;            /* of all files */
} clipspan_store_summary;

/* The whole job: decomposes the list into `directory`. A store begun by the same model, list and options is gone
 * on with: finished shards are kept (every file is held against its checksum first), so an interrupted, killed or
 * full-disk run loses at most its open shard. One begun by another model or with other options is refused by name.
 * summary may be NULL. */
CLIPSPAN_API clipspan_status clipspan_store_decompose(clipspan_engine *engine, const clipspan_images *images,
                                                      const char *directory, const clipspan_store_options *options,
                                                      clipspan_store_summary *summary, const clipspan_hooks *hooks,
                                                      clipspan_error *err);

typedef enum clipspan_collect {
    CLIPSPAN_COLLECT_NOTHING, /* shards stay where they are: the store is spread over folders, which it names */
    CLIPSPAN_COLLECT_LINKS,   /* hard links in the store's folder: the parts' folders may go then */
    CLIPSPAN_COLLECT_COPIES
} clipspan_collect;
typedef struct clipspan_merge_options {
    int unfinished; /* 1: what is missing may follow, even everything; 0: it is an error */
    clipspan_collect collect;
} clipspan_merge_options;
#define CLIPSPAN_MERGE_OPTIONS_INIT { 0, CLIPSPAN_COLLECT_NOTHING }
/* Parts (options.part of clipspan_store_decompose, or stores that were merged before) to one store in `directory`: one manifest,
 * the list, the basis and the sums of the moments, added up in an order that does not depend on the parts; so a store whose
 * shards lie in its own folder has, file for file, the bytes of one made in one go. folders: [count] where the parts lie;
 * `directory` itself, where parts may lie too, need not be named. Folders are remembered as they were given: absolute, or
 * relative to the store. Parts of another model, list or options, a shard that is missing and one that is there twice are
 * CLIPSPAN_ERROR_MISMATCH, with the files' names. A spread store whose folders were moved is merged again from where they are.
 * summary may be NULL. */
CLIPSPAN_API clipspan_status clipspan_store_merge(const char *directory, const char *const *folders, size_t count,
                                                  const clipspan_merge_options *options,
                                                  clipspan_store_summary *summary, const clipspan_hooks *hooks,
                                                  clipspan_error *err);

CLIPSPAN_API clipspan_status clipspan_store_open(clipspan_store **out, const char *directory, clipspan_error *err);
CLIPSPAN_API void clipspan_store_free(clipspan_store *store);

typedef struct clipspan_store_info {
    const char *model_name, *model_path, *model_fingerprint, *model_config, *model_vocab; /* last two: "" if none */
    const char *images_path, *images_kind, *dtype; /* "f32" or "f16" */
    const char *compute; /* type of the engine's products, "f32" or "bf16" */
    uint64_t images, skipped, listed, shards, bytes;
    unsigned parts;
    int exif; /* 1: pictures were turned as their EXIF orientation says */
    int moments_only;
    int complete; /* 0: an unfinished run; what is there can be read */
    int layers, heads, head_dim, embed_dim, tokens, image_size, patch_size;
    float logit_scale;
    int neurons, mlp_width; /* top images kept of every neuron, and neurons a layer; 0: kept without neurons */
} clipspan_store_info;
CLIPSPAN_API const clipspan_store_info *clipspan_store_get_info(const clipspan_store *store);
CLIPSPAN_API const clipspan_basis *clipspan_store_basis(const clipspan_store *store);
/* Image row i of the store (0 .. images - 1): its name, label and column values as the list gave them. */
CLIPSPAN_API const char *clipspan_store_image_name(const clipspan_store *store, size_t i);
CLIPSPAN_API int clipspan_store_image_label(const clipspan_store *store, size_t i);
CLIPSPAN_API size_t clipspan_store_class_count(const clipspan_store *store);
CLIPSPAN_API const char *clipspan_store_class(const clipspan_store *store, size_t c);
CLIPSPAN_API size_t clipspan_store_column_count(const clipspan_store *store);
CLIPSPAN_API const char *clipspan_store_column(const clipspan_store *store, size_t column);
CLIPSPAN_API const char *clipspan_store_value(const clipspan_store *store, size_t i, size_t column);

/* Fails with CLIPSPAN_ERROR_MISMATCH, naming both models, unless the store was made by this model. */
CLIPSPAN_API clipspan_status clipspan_store_check_model(const clipspan_store *store, const clipspan_model *model,
                                                        clipspan_error *err);

typedef struct clipspan_store_selection {
    const unsigned char *layers; /* [L] of 0 and 1: layers to read; others' rows of z, mlp, cls are undefined; NULL: all */
    unsigned parts;              /* parts to read */
    size_t batch;                /* images a batch, none across shards; 0: as keeps memory small */
    int no_heads;                /* 1: z is not read (NULL in the batch) */
    uint64_t first, count;       /* rows to read; count 0: to the end. Shards without such a row are not opened */
} clipspan_store_selection;
#define CLIPSPAN_STORE_SELECTION_INIT { NULL, CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, 0, 0, 0, 0 }
/* Plays the store back, on all threads; batch->index is the row in the store. Checks shapes first, and the checksums of
 * what is read (each once while the store is open). Layers and parts that are not asked for are not read. */
CLIPSPAN_API clipspan_status clipspan_store_each(const clipspan_store *store, const clipspan_store_selection *select,
                                                 clipspan_batch_fn fn, void *user, const clipspan_hooks *hooks,
                                                 clipspan_error *err);
/* The store's moments, made while it was written (the caller frees them). */
CLIPSPAN_API clipspan_status clipspan_store_moments(const clipspan_store *store, clipspan_moments **out,
                                                    clipspan_error *err);

typedef struct clipspan_export_options {
    const char *format; /* "npy" or "hdf5" */
    const char *name;   /* the data set's name in the file names */
    const char *model;  /* the model's name in the file names; NULL: the store's */
    clipspan_convention convention;
    /* Optional: class text embeddings [classes, E] (unit length) and pool embeddings, to be written beside. */
    const float *classifier;
    size_t classes;
    const char *pool_name;
    const float *pool;
    size_t pool_texts;
    const int *labels; /* [images of the store], -1: none; NULL: the list's own labels */
} clipspan_export_options;
#define CLIPSPAN_EXPORT_OPTIONS_INIT { "npy", "dataset", NULL, CLIPSPAN_PAPER, NULL, 0, NULL, NULL, 0, NULL }
/* Writes the reference code's files: {name}_attn_{model}.npy [I, L, H, E], {name}_mlp_{model}.npy [I, L + 1, E],
 * {name}_cls_attn_{model}.npy [I, L, E], {name}_classifier_{model}.npy [E, C], {name}_labels.npy [I],
 * {pool}_{model}.npy [T, E]; and {name}_images.txt, the name of the image of each row (a line break inside a name
 * becomes a space). The exact convention adds {name}_constant_{model}.npy [I, E]; the paper's removes that file where an
 * earlier export left it. Or the same as data sets of one {name}_{model}.h5. Streams: constant memory. */
CLIPSPAN_API clipspan_status clipspan_store_export(const clipspan_store *store, const char *directory,
                                                   const clipspan_export_options *options,
                                                   const clipspan_hooks *hooks, clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
