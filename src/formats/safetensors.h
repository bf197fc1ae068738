/* formats/safetensors.h - safetensors files, read through a mapping and written in one pass.
 *
 * Layout:  0  u64 little endian  n, length of the header
 *          8  n bytes            JSON object: name -> {"dtype", "shape", "data_offsets": [begin, end)}, and
 *                                optionally "__metadata__": {string: string}; may be padded with spaces
 *          8 + n                 the data; offsets count from here
 * Rules checked: the header fits the file (and 100 MB); offsets are in order of the file, do not overlap, leave
 * no hole and end at the file's end; each tensor's length equals its shape times its dtype.
 */
#ifndef CLSP_FORMATS_SAFETENSORS_H
#define CLSP_FORMATS_SAFETENSORS_H

#include "base/base.h"

typedef enum clsp_dtype {
    CLSP_F64, CLSP_F32, CLSP_F16, CLSP_BF16, CLSP_I64, CLSP_I32, CLSP_I16, CLSP_I8, CLSP_U8, CLSP_BOOL, CLSP_DTYPE_OTHER
} clsp_dtype;
const char *clsp_dtype_name(clsp_dtype dtype); /* "F32", as in the file */
size_t clsp_dtype_size(clsp_dtype dtype);      /* bytes an element; 0 for OTHER */

enum { CLSP_TENSOR_DIMS = 8 };
typedef struct clsp_tensor {
    const char *name; /* borrowed from the file, as `file` and `data` are */
    const char *file; /* path of the shard that holds it */
    clsp_dtype dtype;
    int dims;
    size_t shape[CLSP_TENSOR_DIMS];
    size_t count; /* elements */
    const void *data; /* in the mapping; may be unaligned */
    size_t offset;    /* of data in the file */
} clsp_tensor;

typedef struct clsp_safetensors clsp_safetensors;

/* Opens one file. */
clipspan_status clsp_safetensors_open(clsp_safetensors **out, const char *path, clipspan_error *err);
/* The same for one of many files of one layout: a header that is that of `like`, byte for byte, is not parsed again.
 * like: a single file, or NULL; may be freed before *out. */
clipspan_status clsp_safetensors_open_like(clsp_safetensors **out, const char *path, const clsp_safetensors *like,
                                           clipspan_error *err);
/* Opens the files of a "model.safetensors.index.json" (weight_map) as one; a tensor that the index promises and
 * its shard lacks is an error, and so is a shard that is missing. */
clipspan_status clsp_safetensors_open_index(clsp_safetensors **out, const char *index_path, clipspan_error *err);
void clsp_safetensors_free(clsp_safetensors *file);

size_t clsp_safetensors_count(const clsp_safetensors *file);
const clsp_tensor *clsp_safetensors_at(const clsp_safetensors *file, size_t i); /* sorted by name */
const clsp_tensor *clsp_safetensors_find(const clsp_safetensors *file, const char *name); /* NULL: absent */
const char *clsp_safetensors_metadata(const clsp_safetensors *file, const char *key);     /* NULL: absent */
const char *clsp_safetensors_path(const clsp_safetensors *file);
/* Tells the system that the mapped pages are not needed for now (they come back when touched). */
void clsp_safetensors_drop_pages(const clsp_safetensors *file);

/* The same of the pages that hold this tensor of the file alone. */
void clsp_safetensors_drop_tensor(const clsp_safetensors *file, const clsp_tensor *tensor);
/* Adds what the system says of every shard's file; the same again: the same bytes. false: one of them has changed so
 * lately that this does not hold. */
bool clsp_safetensors_identify(const clsp_safetensors *file, clsp_hasher *hasher);
/* Every shard's path still leads to the file that was mapped, and nobody has written to it since. */
bool clsp_safetensors_unchanged(const clsp_safetensors *file);

/* Reads elements [first, first + count) as float32 (from F32, F16, BF16, F64). Refuses other types by name. */
clipspan_status clsp_tensor_floats(const clsp_tensor *tensor, size_t first, size_t count, float *out,
                                   clipspan_error *err);

/* Writing: declare every tensor first, then write their data in that order, in pieces of any size. */
typedef struct clsp_tensor_plan {
    const char *name;
    clsp_dtype dtype;
    int dims;
    size_t shape[CLSP_TENSOR_DIMS];
} clsp_tensor_plan;
typedef struct clsp_safetensors_writer clsp_safetensors_writer;
/* metadata: pairs key, value, ..., NULL; or NULL. Data begins 64-byte aligned. */
clipspan_status clsp_safetensors_writer_open(clsp_safetensors_writer **out, const char *path,
                                             const clsp_tensor_plan *plans, size_t count,
                                             const char *const *metadata, clipspan_error *err);
/* Appends bytes of the current tensor(s), in the declared order. */
clipspan_status clsp_safetensors_writer_add(clsp_safetensors_writer *writer, const void *bytes, size_t length,
                                            clipspan_error *err);
/* Float32 values converted to `dtype` (F32, F16 or BF16) on the way. F16 beyond +-65504 is an error by tensor name. */
clipspan_status clsp_safetensors_writer_floats(clsp_safetensors_writer *writer, const float *values, size_t count,
                                               clsp_dtype dtype, clipspan_error *err);
/* Checks that everything declared was written, then renames into place. hash (may be NULL): XXH3-128 of the
 * whole file, the same that clsp_safetensors_hash reads. Frees the writer either way. */
clipspan_status clsp_safetensors_writer_commit(clsp_safetensors_writer *writer, char hash[CLSP_HASH_HEX],
                                               clipspan_error *err);
void clsp_safetensors_writer_discard(clsp_safetensors_writer *writer); /* NULL is fine */
/* Of all bytes of the file; of several shards, in the order of their names, a chain of their hashes. */
void clsp_safetensors_hash(const clsp_safetensors *file, char hash[CLSP_HASH_HEX]);

#endif
