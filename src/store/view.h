/* store/view.h - a store's contributions where they lie: shards mapped, rows of a head read in place. For rooms that look
 * at every image again and again; whoever needs float32 once plays the store back (clipspan_store_each). */
#ifndef CLSP_STORE_VIEW_H
#define CLSP_STORE_VIEW_H

#include "clipspan/store.h"

#include "base/base.h"

typedef struct clsp_view clsp_view;

/* Maps every shard that has images; names, sizes, types and shapes are checked, checksums by clsp_view_verify. A
 * moments-only store is refused. The store is borrowed. */
clipspan_status clsp_view_open(clsp_view **out, const clipspan_store *store, clipspan_error *err);
/* Checksums of the scalars and of heads [count] (layer * H + head), or of the embeddings where count is 0, on all threads;
 * what was compared before is not read again. In a store of version 1, of everything. */
clipspan_status clsp_view_verify(const clsp_view *view, const int *heads, size_t count, clipspan_error *err);
uint64_t clsp_view_verify_bytes(const clsp_view *view, size_t count); /* that it reads, about */
void clsp_view_free(clsp_view *view);
/* Counted from the shards that are mapped, in the order of the rows. */
size_t clsp_view_shards(const clsp_view *view);
uint64_t clsp_view_first(const clsp_view *view, size_t shard); /* row of the store */
size_t clsp_view_rows(const clsp_view *view, size_t shard);
const char *clsp_view_path(const clsp_view *view, size_t shard);
bool clsp_view_half(const clsp_view *view); /* z is f16, else f32 */
/* z of one head: [rows, d] in the store's type, maybe unaligned. */
const void *clsp_view_z(const clsp_view *view, size_t shard, int layer, int head);
/* [rows, E] f16 or f32, maybe unaligned. */
bool clsp_view_embedding_half(const clsp_view *view);
const void *clsp_view_embedding(const clsp_view *view, size_t shard);
/* mu, sigma, norm: [images of the store], copied. */
clipspan_status clsp_view_scalars(const clsp_view *view, float *mu, float *sigma, float *norm, clipspan_error *err);
/* All shards' names and checksums and the model's fingerprint, hashed: two stores of the same contents have one. */
void clsp_view_identity(const clsp_view *view, char out[CLSP_HASH_HEX]);

/* Numbers that were derived from a store, kept in a file of their own: safetensors with one tensor, `values` F32 [count],
 * and in its metadata `key`, which says what they are, and `hash`, their checksum. fits: 0 where there is no such file, or
 * one of another key or count; a file that is something else is an error, since it would be overwritten. */
clipspan_status clsp_kept_read(float *values, size_t count, const char *path, const char *key, bool *fits,
                               clipspan_error *err);
clipspan_status clsp_kept_write(const float *values, size_t count, const char *path, const char *key,
                                clipspan_error *err);

#endif
