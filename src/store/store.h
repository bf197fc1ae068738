/* store/store.h - the files of a store and the parts that write and read them. docs/store.md is the specification.
 *
 * Letters as in clipspan/contributions.h: I images, L layers, H heads, d head width, E joint dimension, N tokens.
 */
#ifndef CLSP_STORE_H
#define CLSP_STORE_H

#if !defined(CLSP_ROOM_STORE) && !defined(CLSP_TESTS)
#error "store/store.h is private to src/store"
#endif

#include "clipspan/store.h"

#include "base/base.h"
#include "decompose/decompose.h"
#include "formats/safetensors.h"

#define CLSP_STORE_MANIFEST "manifest.json"
#define CLSP_STORE_BASIS "basis.safetensors"
#define CLSP_STORE_LIST "images.safetensors"
#define CLSP_STORE_MOMENTS "moments.safetensors" /* of a finished store; moments-00004-00007.safetensors before */
#define CLSP_STORE_NEURONS "neurons.safetensors" /* neurons-00004-00007.safetensors before */
#define CLSP_STORE_LOCK "lock"
#define CLSP_STORE_SUMS "sums" /* tensor of a shard: checksums U8 [slices, blocks, 16] */

/* ---- the manifest: everything small -------------------------------------------------------------------- */

/* 1: embeddings in f32, one checksum a shard, no subtotals. Such stores are read, an unfinished one is not gone on with. */
enum { CLSP_STORE_VERSION = 2, CLSP_STORE_NAME = 64, CLSP_BLOCK = 128 /* rows that share a checksum */ };

typedef struct clsp_store_file {
    char name[CLSP_STORE_NAME]; /* "": none */
    const char *folder; /* where it lies, borrowed from the manifest's folders; NULL: in the store's own */
    uint64_t bytes;
    char hash[CLSP_HASH_HEX];
} clsp_store_file;

typedef struct clsp_shard {
    clsp_store_file file;   /* no file where no image of the range could be read, or only moments are kept */
    uint64_t first, count;  /* positions of the image list */
    uint64_t images;        /* rows: those that could be read */
    char sums[CLSP_HASH_HEX]; /* of its tensor `sums`; "" where there is no file, and in version 1 */
} clsp_shard;

/* Sums over finished shards, of an unfinished store: a node of the binary tree over all shards in which they are added up
 * (subtotals.c). Shards are counted from the store's first image. */
typedef struct clsp_subtotal {
    uint64_t shard, shards; /* a power of two, of which `shard` is a multiple */
    uint64_t images;
    clsp_store_file moments, neurons;
} clsp_subtotal;

/* A folder that holds some of the store's files. */
typedef struct clsp_folder {
    char *written; /* as in the manifest: relative to the store, or absolute */
    char *path;
} clsp_folder;

typedef struct clsp_manifest {
    char name[CLSP_STORE_NAME]; /* of the file; "": manifest.json */
    int version;
    char *model_name, *model_path, *fingerprint, *config, *vocab; /* never NULL */
    clipspan_basis shape; /* the dimensions; arrays NULL */
    int image_size, patch_size;
    float logit_scale;
    char *images_path, *images_kind;
    bool exif;       /* pictures were turned as their EXIF orientation says */
    uint64_t listed; /* images in the whole list */
    bool half, moments_only;
    bool bf16; /* the engine's products were in bf16 */
    unsigned parts;
    int *token_layers; /* [token_layer_count] ascending */
    int token_layer_count;
    uint64_t first, count; /* the range of the list that the store is to hold */
    int top_images, mlp_width; /* kept of every neuron, neurons a layer; 0: without neurons */
    uint64_t shard_images; /* list positions a shard; a multiple of batch */
    int batch;
    clsp_store_file list, basis;
    clsp_store_file moments, neurons; /* of a finished store */
    clsp_subtotal *subtotals; /* [subtotal_count] of an unfinished one: what is done, ascending */
    size_t subtotal_count;
    clsp_shard *shards; /* [shard_count] ascending; none where only moments are kept */
    size_t shard_count;
    clsp_folder *folders; /* [folder_count] of a store that is spread */
    size_t folder_count;
    uint64_t positions, images, skipped; /* done so far: positions = images + skipped */
    bool complete;
} clsp_manifest;

clipspan_status clsp_manifest_write(const clsp_manifest *manifest, const char *directory, clipspan_error *err);
/* Checks every entry; what is wrong is named with the file. */
clipspan_status clsp_manifest_read(clsp_manifest *manifest, const char *directory, clipspan_error *err);
clipspan_status clsp_manifest_read_named(clsp_manifest *manifest, const char *directory, const char *name,
                                         clipspan_error *err);
/* The same from memory; `name` stands for the file in messages. */
clipspan_status clsp_manifest_parse(clsp_manifest *manifest, const char *bytes, size_t length, const char *name,
                                    clipspan_error *err);
void clsp_manifest_clear(clsp_manifest *manifest);
/* Put in at their places. */
clipspan_status clsp_manifest_add_shard(clsp_manifest *manifest, const clsp_shard *shard, clipspan_error *err);
clipspan_status clsp_manifest_add_subtotal(clsp_manifest *manifest, const clsp_subtotal *subtotal, clipspan_error *err);
/* The folder `written` (relative to `directory`, or absolute), listed once; NULL: no memory. */
const char *clsp_manifest_add_folder(clsp_manifest *manifest, const char *written, const char *directory);
void clsp_manifest_drop_folders(clsp_manifest *manifest); /* files that name one are looked at no more */
/* Shards are numbered from the first image on: how many there will be, the list positions of one, and those of several. */
uint64_t clsp_manifest_shards(const clsp_manifest *manifest);
void clsp_manifest_range(const clsp_manifest *manifest, uint64_t shard, uint64_t shards, uint64_t *first, uint64_t *count);
bool clsp_manifest_has(const clsp_manifest *manifest, uint64_t shard); /* it is done */
/* The sums of everything, of a finished store (or one of version 1). */
clsp_subtotal clsp_manifest_total(const clsp_manifest *manifest);
uint64_t clsp_manifest_bytes(const clsp_manifest *manifest, const char *directory); /* of all files */
/* Part `number` of `of`'s manifest in a folder is named so; reads such a name back. */
void clsp_part_name(char name[CLSP_STORE_NAME], const char *what, int number, int of, const char *ending);
bool clsp_part_parse(const char *name, const char *what, const char *ending, int *number, int *of);
char *clsp_store_file_path(const clsp_store_file *file, const char *directory); /* the caller frees it; NULL: no memory */
/* Ends the writer, which goes to `path`, and sets its hash and size. *writer becomes NULL, whatever comes of it. */
clipspan_status clsp_store_file_commit(clsp_store_file *file, clsp_safetensors_writer **writer, const char *path,
                                       clipspan_error *err);
/* The file is there and as long as recorded. */
clipspan_status clsp_store_file_check(const clsp_store_file *file, const char *directory, clipspan_error *err);
/* Of a file that was read unchecked and found wrong: where its checksum differs, the message says so instead. */
clipspan_status clsp_store_file_explain(clipspan_status status, const clsp_store_file *file, const char *directory,
                                        clipspan_error *err);
/* Compares its checksum. */
clipspan_status clsp_store_file_verify(const clsp_store_file *file, const char *directory, clipspan_error *err);
/* Compares its checksum and opens it. */
clipspan_status clsp_store_file_open(clsp_safetensors **out, const clsp_store_file *file, const char *directory,
                                     clipspan_error *err);
/* A tensor of this type and shape, or an error that names file, tensor, expected and found. */
clipspan_status clsp_store_tensor(const clsp_tensor **out, const clsp_safetensors *file, const char *name,
                                  clsp_dtype dtype, int dims, const size_t *shape, clipspan_error *err);

/* ---- the image list ------------------------------------------------------------------------------------- */

typedef struct clsp_strings {
    const char *bytes;           /* strings, each with its NUL */
    const unsigned char *starts; /* [count] u64, little endian, maybe unaligned */
    size_t count;
} clsp_strings;
typedef struct clsp_list {
    clsp_safetensors *file;
    clsp_strings names, classes, column_names;
    clsp_strings *columns;       /* [column_names.count], each of names.count cells */
    const unsigned char *labels; /* [names.count] i32 */
} clsp_list;
clipspan_status clsp_list_write(const clipspan_images *images, const char *directory, clsp_store_file *file,
                                clipspan_error *err);
clipspan_status clsp_list_open(clsp_list *list, const clsp_store_file *file, uint64_t listed, const char *directory,
                               clipspan_error *err);
void clsp_list_close(clsp_list *list);
const char *clsp_strings_get(const clsp_strings *strings, size_t i);
int clsp_list_label(const clsp_list *list, size_t i);
/* CLIPSPAN_ERROR_MISMATCH with the first difference. */
clipspan_status clsp_list_compare(const clsp_list *list, const clipspan_images *images, const char *directory,
                                  clipspan_error *err);

/* ---- what a shard holds --------------------------------------------------------------------------------- */

typedef enum clsp_field_kind {
    CLSP_FIELD_INDEX, CLSP_FIELD_MU, CLSP_FIELD_SIGMA, CLSP_FIELD_NORM, CLSP_FIELD_EMBEDDING, CLSP_FIELD_Z,
    CLSP_FIELD_MLP, CLSP_FIELD_MLP_MEAN, CLSP_FIELD_CLS, CLSP_FIELD_CLS_MEAN, CLSP_FIELD_TOKENS, CLSP_FIELD_KINDS
} clsp_field_kind;

/* One tensor of a shard: [outer, I, inner] in memory; its shape in the file has I at `image_axis`. */
typedef struct clsp_field {
    char name[24];
    clsp_field_kind kind;
    int number; /* layer of z, cls; term of mlp; place among the token layers */
    int layer;  /* layer it belongs to; -1: none (x0, scalars) */
    clsp_dtype dtype;
    int dims, image_axis;
    size_t shape[4], outer, inner;
    size_t slice; /* number of its first [I, inner] among all fields' */
} clsp_field;
/* The fields of this store's shards, in file order. */
clipspan_status clsp_fields_new(clsp_field **out, size_t *count, const clsp_manifest *manifest, clipspan_error *err);
size_t clsp_fields_bytes(const clsp_field *fields, size_t count); /* of one image; SIZE_MAX: too many */
void clsp_field_shape(const clsp_field *field, size_t images, size_t shape[4]);
/* Slices of all fields together: pieces [I, inner]. The shape of their checksums. */
size_t clsp_fields_slices(const clsp_field *fields, size_t count);
void clsp_sums_shape(const clsp_field *fields, size_t count, size_t images, size_t shape[3]);
static inline size_t clsp_blocks(size_t images) { return (images + CLSP_BLOCK - 1) / CLSP_BLOCK; }
/* Where the field's values stand in a batch: [outer, I, inner]; not for CLSP_FIELD_INDEX. NULL: the batch has none. */
const float *clsp_field_of(const clsp_field *field, const clipspan_batch *batch);

/* ---- moments on disk ------------------------------------------------------------------------------------ */

/* skipped: [skipped_count] list positions, kept where no shard says which images are in. */
clipspan_status clsp_moments_write(const clipspan_moments *moments, const uint64_t *skipped, size_t skipped_count,
                                   const char *directory, clsp_store_file *file, clipspan_error *err);
/* skipped may be NULL; else the caller frees it. The moments borrow the basis. */
clipspan_status clsp_moments_read(clipspan_moments **out, const clipspan_basis *basis, const clsp_store_file *file,
                                  uint64_t images, const char *directory, uint64_t **skipped, size_t *skipped_count,
                                  clipspan_error *err);
/* Neurons, their images by list position. */
clipspan_status clsp_neurons_write(clipspan_neurons *neurons, const char *directory, clsp_store_file *file,
                                   clipspan_error *err);
/* Those that the subtotal names; their number of images is checked. */
clipspan_status clsp_neurons_read(clipspan_neurons **out, const clsp_manifest *manifest, const clsp_subtotal *subtotal,
                                  const char *directory, clipspan_error *err);
/* Copies a basis into the store's folder; half: `w` in f16, unless a row of it would lose more than a thousandth of its
 * length (too large or too small for f16). */
clipspan_status clsp_basis_write(const clipspan_basis *basis, bool half, const char *directory, clsp_store_file *file,
                                 clipspan_error *err);
/* Maps it from there. `w` of f16 is widened into memory: *w, freed by the caller; else NULL. */
clipspan_status clsp_basis_open(clipspan_basis *basis, clsp_safetensors **keep, float **w, const clsp_manifest *manifest,
                                const char *directory, clipspan_error *err);

/* ---- sums over shards ------------------------------------------------------------------------------------ */

typedef struct clsp_totals {
    clipspan_moments *moments;
    clipspan_neurons *neurons; /* NULL: not kept */
    uint64_t *skipped; /* list positions, ascending; filled where only moments are kept */
    size_t skipped_count, skipped_capacity;
} clsp_totals;
void clsp_totals_free(clsp_totals *totals);
void clsp_totals_clear(clsp_totals *totals); /* of no images again */
clipspan_status clsp_totals_read(clsp_totals *out, const clsp_manifest *manifest, const clsp_subtotal *subtotal,
                                 const clipspan_basis *basis, const char *directory, clipspan_error *err);
/* Into the files that the subtotal names; sets their sizes and checksums. */
clipspan_status clsp_totals_write(const clsp_totals *totals, clsp_subtotal *subtotal, const char *directory,
                                  clipspan_error *err);
void clsp_subtotal_name(const clsp_manifest *manifest, clsp_subtotal *subtotal); /* names its files */
/* totals are those of *subtotal: adds what the manifest has of the other half of the node above, and so on upwards. What was
 * added leaves the manifest; *subtotal becomes the node that was reached. */
clipspan_status clsp_subtotal_climb(clsp_totals *totals, clsp_subtotal *subtotal, clsp_manifest *manifest,
                                    const clipspan_basis *basis, const char *directory, clipspan_error *err);
/* Of everything that the manifest has. held: of the one subtotal without a file, taken over; NULL: all have one. The moments
 * borrow the basis. */
clipspan_status clsp_subtotals_sum(clsp_totals *out, const clsp_manifest *manifest, clsp_totals *held,
                                   const clipspan_basis *basis, const char *directory, clipspan_error *err);

/* ---- writing -------------------------------------------------------------------------------------------- */

/* For tests alone: called before each step that changes the disk, with its name. */
typedef void (*clsp_step_fn)(void *user, const char *step);

/* Takes batches, closes shards. */
typedef struct clsp_sink {
    const char *directory;
    clsp_manifest *manifest;
    const clipspan_basis *basis;
    clsp_totals totals; /* of the open shard */
    bool part; /* of a store: others may have the rest */
    clsp_field *fields;
    void **buffers; /* [field_count]: [outer, capacity, inner] in the field's type */
    size_t field_count, capacity, rows;
    clsp_step_fn step;
    void *step_user;
} clsp_sink;
clipspan_status clsp_sink_open(clsp_sink *sink, clsp_manifest *manifest, const clipspan_basis *basis,
                               const clipspan_model *model, const char *directory, clipspan_error *err);
void clsp_sink_close(clsp_sink *sink);
/* A clsp_range_fn: user is the sink. */
clipspan_status clsp_sink_add(void *user, uint64_t first, size_t n, const clipspan_batch *batch, clipspan_error *err);
/* Writes moments, neurons, shard, manifest, in that order; the shard is then done. */
clipspan_status clsp_sink_finish_shard(clsp_sink *sink, uint64_t shard, clipspan_error *err);

/* One writer a store, or one a part of it: an advisory lock on the file `name` that the system drops when the process
 * ends, however it ends. shared: with others that share it. */
clipspan_status clsp_store_lock(int *lock, const char *directory, const char *name, bool shared, clipspan_error *err);
void clsp_store_unlock(int lock, const char *directory, const char *name);
/* Fails where somebody writes to the folder now; takes nothing. */
clipspan_status clsp_store_check_idle(const char *directory, clipspan_error *err);
/* Removes what a killed run left: begun files, moments and shards that the manifest does not name. manifest NULL:
 * there is none; then a folder with files that are not a store's is refused. */
clipspan_status clsp_store_sweep(const clsp_manifest *manifest, const char *directory, clipspan_error *err);
/* The same of a part, whose shards are those with ours[shard] set; what belongs to others stays. */
clipspan_status clsp_store_sweep_part(const clsp_manifest *manifest, const unsigned char *ours, const char *directory,
                                      clipspan_error *err);
/* Refuses a folder with files that are not a store's. */
clipspan_status clsp_store_check_foreign(const char *directory, clipspan_error *err);
/* Calls fn for every part's manifest in the folder, until it fails. A folder that is not there has none. */
typedef clipspan_status (*clsp_part_fn)(void *user, const char *name, int number, int of, clipspan_error *err);
clipspan_status clsp_store_parts(const char *directory, clsp_part_fn fn, void *user, clipspan_error *err);

/* ---- what a store is made of and by ---------------------------------------------------------------------- */

typedef struct clsp_store_job clsp_store_job;
/* The manifest of a store that this job is to make, of no images yet. */
clipspan_status clsp_making_describe(clsp_manifest *manifest, const clsp_store_job *job, clipspan_error *err);
/* The first thing in which two manifests' making differs: what, and its two values. Ranges and shards are left out. */
typedef struct clsp_difference {
    const char *what;
    char was[24], is[24];
} clsp_difference;
bool clsp_making_differs(clsp_difference *out, const clsp_manifest *was, const clsp_manifest *is);
clipspan_status clsp_model_differs(const char *directory, const clsp_manifest *was, const char *name,
                                   const char *fingerprint, clipspan_error *err);
uint64_t clsp_round_up(uint64_t value, uint64_t unit);

/* ---- the job --------------------------------------------------------------------------------------------- */

/* The whole job over any source of batches (the engine, or a test's). */
typedef clipspan_status (*clsp_source_fn)(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                                          const clipspan_hooks *hooks, clipspan_error *err);
struct clsp_store_job {
    const char *directory;
    const clipspan_model *model;
    const clipspan_images *images;
    const clipspan_basis *basis;
    const clipspan_store_options *options;
    clipspan_dtype compute; /* of the products */
    int batch;
    clsp_source_fn source;
    void *source_user;
    clsp_step_fn step;
    void *step_user;
};
clipspan_status clsp_store_run(const clsp_store_job *job, clipspan_store_summary *summary, const clipspan_hooks *hooks,
                               clipspan_error *err);
/* ours: [shards] 1 for those that are part `number` of `of` of what `base` (NULL: nothing) lacks, else 0; the caller frees
 * it. manifest: of the store that is to be. Parts are stretches of the list, of as many shards or one more or less. */
clipspan_status clsp_part_share(unsigned char **ours, const clsp_manifest *manifest, const clsp_manifest *base, int number,
                                int of, clipspan_error *err);
/* Puts what parts left in the folder into one manifest of an unfinished store. The caller has the lock. */
clipspan_status clsp_store_gather(const char *directory, clipspan_error *err);

/* ---- reading -------------------------------------------------------------------------------------------- */

struct clipspan_store {
    clipspan_store_info info;
    char *directory;
    clsp_manifest manifest;
    clsp_list list;
    clipspan_basis basis;
    clsp_safetensors *basis_file;
    float *basis_w; /* widened; NULL: as in the file */
    clsp_field *fields;
    size_t field_count;
    uint64_t *rows;          /* [images] list position of each row */
    size_t slices;           /* of a shard: clsp_fields_slices */
    unsigned char *verified; /* [shard_count, slices] 1 once its checksum was compared; touched through atomics */
};
/* Opens shard `s`: presence, size, types and shapes are checked. like: another shard, whose header is mostly the same; or
 * NULL. */
clipspan_status clsp_store_map_shard(const clipspan_store *store, size_t s, const clsp_safetensors *like,
                                     clsp_safetensors **out, clipspan_error *err);

typedef struct clsp_slice {
    const unsigned char *from; /* in the mapped file */
    size_t bytes;
    bool half;                /* f16, else f32 (or no numbers) */
    float *to;                /* where its float32 go; NULL: nowhere */
    const unsigned char *sum; /* [blocks, CLSP_HASH_BYTES]; NULL: not compared */
    size_t block;             /* bytes of a block; the last may be shorter */
} clsp_slice;
/* Compares and widens slices of shard `s` on all threads; it is an error if a checksum differs. */
clipspan_status clsp_slices_take(const clipspan_store *store, size_t s, const clsp_slice *slices, size_t count,
                                 clipspan_error *err);
/* Finds a mapped shard's checksums, themselves as the manifest says: [slices, blocks, 16]. NULL: of version 1, where the
 * whole file was compared, unless it was before. */
clipspan_status clsp_store_begin_shard(const clipspan_store *store, size_t s, const clsp_safetensors *file,
                                       const unsigned char **sums, clipspan_error *err);
/* The error of a shard of which a slice is damaged. */
clipspan_status clsp_store_damaged(const clipspan_store *store, size_t s, clipspan_error *err);
bool clsp_store_verified(const clipspan_store *store, size_t s, size_t slice);
void clsp_store_set_verified(const clipspan_store *store, size_t s, size_t slice);
/* The wanted slices of shard `s` ([slices] of 0 and 1; NULL: all) against their checksums, those that were not compared
 * before. Of version 1 the whole file. file: shard s, mapped. */
clipspan_status clsp_store_verify_shard(const clipspan_store *store, size_t s, const clsp_safetensors *file,
                                        const unsigned char *wanted, clipspan_error *err);

#endif
