/* Batches in, shards out. A shard is gathered in memory, because its tensors run layer by layer and batches come image
 * by image; it is written when its range of the list is done.
 *
 * What is on the disk is what the manifest names: moments, neurons and shard are written first, the manifest last, and
 * only then the moments and neurons before them are removed. A run that dies anywhere between leaves the state before.
 */
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Those of the run before, or new ones. */
static clipspan_status open_neurons(clsp_sink *sink, const clipspan_model *model, clipspan_error *err)
{
    const clsp_manifest *m = sink->manifest;
    if (m->top_images == 0) return CLIPSPAN_OK;
    if (m->neurons.name[0] != '\0') return clsp_neurons_read(&sink->neurons, m, sink->directory, err);
    return clipspan_neurons_new(&sink->neurons, model, m->top_images, err);
}

clipspan_status clsp_sink_open(clsp_sink *sink, clsp_manifest *manifest, const clipspan_basis *basis,
                               const clipspan_model *model, const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *sink = (clsp_sink){.directory = directory, .manifest = manifest};
    sink->capacity = (size_t)(manifest->shard_images < manifest->count ? manifest->shard_images : manifest->count);
    if (manifest->moments.name[0] != '\0')
        CLSP_TRY(clsp_moments_read(&sink->moments, basis, &manifest->moments, manifest->images, directory,
                                   &sink->skipped, &sink->skipped_count, err));
    else
        CLSP_TRY(clipspan_moments_new(&sink->moments, basis, err));
    sink->skipped_capacity = sink->skipped_count;
    CLSP_TRY(open_neurons(sink, model, err));
    if (manifest->moments_only) goto out;
    CLSP_TRY(clsp_fields_new(&sink->fields, &sink->field_count, manifest, err));
    CLSP_ALLOC(sink->buffers, clsp_alloc_zero(sink->field_count, sizeof *sink->buffers));
    for (size_t f = 0; f < sink->field_count; f++) {
        const clsp_field *field = &sink->fields[f];
        size_t count;
        if (!clsp_mul(&count, field->outer * field->inner, sink->capacity)) CLSP_TRY(clsp_fail_memory(err));
        CLSP_ALLOC(sink->buffers[f], clsp_alloc(count, clsp_dtype_size(field->dtype)));
    }
out:
    if (status != CLIPSPAN_OK) clsp_sink_close(sink);
    return status;
}

void clsp_sink_close(clsp_sink *sink)
{
    for (size_t f = 0; sink->buffers != NULL && f < sink->field_count; f++) clsp_free(sink->buffers[f]);
    clsp_free(sink->buffers);
    clsp_free(sink->fields);
    clsp_free(sink->skipped);
    clipspan_moments_free(sink->moments);
    clipspan_neurons_free(sink->neurons);
    *sink = (clsp_sink){0};
}

/* from: [outer, images, inner] of the batch, to rows [rows, rows + images) of the buffer [outer, capacity, inner]. */
static clipspan_status gather(const clsp_sink *sink, size_t f, const clipspan_batch *batch, clipspan_error *err)
{
    const clsp_field *field = &sink->fields[f];
    const float *from = clsp_field_of(field, batch);
    size_t inner = field->inner;
    if (from == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: the batches lack what tensor '%s' is to hold",
                         sink->directory, field->name);
    for (size_t row = 0; row < field->outer * batch->images; row++, from += inner) {
        size_t outer = row / batch->images, image = row % batch->images;
        size_t to = (outer * sink->capacity + sink->rows + image) * inner;
        size_t bad = 0;
        if (field->dtype == CLSP_F32)
            memcpy((float *)sink->buffers[f] + to, from, inner * sizeof *from);
        else if (!clsp_f16_narrow((uint16_t *)sink->buffers[f] + to, from, inner, &bad))
            return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                             "%s: %s of image %llu of the list holds %g, beyond the range of f16 (65504): keep this "
                             "store as f32",
                             sink->directory, field->name, (unsigned long long)batch->index[image], (double)from[bad]);
    }
    return CLIPSPAN_OK;
}

/* Notes the positions of [first, first + n) that the batch lacks. */
static clipspan_status note_skipped(clsp_sink *sink, uint64_t first, size_t n, const clipspan_batch *batch,
                                    clipspan_error *err)
{
    size_t needed = sink->skipped_count + n - batch->images, at = 0;
    if (needed > sink->skipped_capacity) {
        size_t capacity = clsp_max(needed, 2 * sink->skipped_capacity);
        uint64_t *grown = clsp_grow(sink->skipped, capacity, sizeof *grown);
        if (grown == NULL) return clsp_fail_memory(err);
        sink->skipped = grown;
        sink->skipped_capacity = capacity;
    }
    for (uint64_t position = first; position < first + n; position++) {
        if (at < batch->images && batch->index[at] == position)
            at++;
        else if (sink->skipped_count < needed)
            sink->skipped[sink->skipped_count++] = position;
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_sink_add(void *user, uint64_t first, size_t n, const clipspan_batch *batch, clipspan_error *err)
{
    clsp_sink *sink = user;
    clipspan_status status = CLIPSPAN_OK;
    if (batch->images > n || batch->images > sink->capacity - sink->rows)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "%s: more images than the shard has room for", sink->directory);
    if (batch->images > 0) CLSP_TRY(clipspan_moments_add(sink->moments, batch, err));
    if (batch->images > 0 && sink->neurons) CLSP_TRY(clipspan_neurons_add(sink->neurons, batch, err));
    if (sink->manifest->moments_only) return note_skipped(sink, first, n, batch, err);
    if (batch->images == 0) return CLIPSPAN_OK;
    for (size_t f = 0; f < sink->field_count; f++) {
        if (sink->fields[f].kind == CLSP_FIELD_INDEX)
            memcpy((uint64_t *)sink->buffers[f] + sink->rows, batch->index, batch->images * sizeof *batch->index);
        else
            CLSP_TRY(gather(sink, f, batch, err));
    }
    sink->rows += batch->images;
out:
    return status;
}

/* ---- closing a shard ------------------------------------------------------------------------------------ */

static void step(const clsp_sink *sink, const char *name)
{
    if (sink->step != NULL) sink->step(sink->step_user, name);
}

/* One slice, block by block. */
static void sum_blocks(clsp_hasher *hasher, const char *slice, size_t rows, size_t row, unsigned char *sums)
{
    for (size_t at = 0; at < rows; at += CLSP_BLOCK, sums += CLSP_HASH_BYTES) {
        clsp_hasher_reset(hasher);
        clsp_hasher_add(hasher, slice + at * row, clsp_min(CLSP_BLOCK, rows - at) * row);
        clsp_hasher_bytes(hasher, sums);
    }
}

/* sums: [slices, blocks, 16], of which the field's are filled. */
static clipspan_status write_field(const clsp_sink *sink, size_t f, clsp_safetensors_writer *writer,
                                   clsp_hasher *hasher, unsigned char *sums, clipspan_error *err)
{
    const clsp_field *field = &sink->fields[f];
    size_t size = clsp_dtype_size(field->dtype), row = field->inner * size;
    size_t slice_sums = clsp_blocks(sink->rows) * CLSP_HASH_BYTES;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t o = 0; o < field->outer && status == CLIPSPAN_OK; o++) {
        const char *slice = (const char *)sink->buffers[f] + o * sink->capacity * row;
        sum_blocks(hasher, slice, sink->rows, row, sums + (field->slice + o) * slice_sums);
        status = clsp_safetensors_writer_add(writer, slice, sink->rows * row, err);
    }
    return status;
}

/* Every field; since version 2 their checksums behind them, of which `hash` becomes the checksum. */
static clipspan_status write_fields(const clsp_sink *sink, clsp_safetensors_writer *writer, char hash[CLSP_HASH_HEX],
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_hasher *hasher = NULL;
    unsigned char *sums = NULL;
    size_t bytes = clsp_fields_slices(sink->fields, sink->field_count) * clsp_blocks(sink->rows) * CLSP_HASH_BYTES;
    CLSP_ALLOC(hasher, clsp_hasher_new());
    CLSP_ALLOC(sums, clsp_alloc(bytes, 1));
    for (size_t f = 0; f < sink->field_count; f++) CLSP_TRY(write_field(sink, f, writer, hasher, sums, err));
    if (sink->manifest->version == 1) goto out;
    CLSP_TRY(clsp_safetensors_writer_add(writer, sums, bytes, err));
    clsp_hash_hex(hash, sums, bytes);
out:
    clsp_hasher_free(hasher);
    clsp_free(sums);
    return status;
}

static clipspan_status write_shard(const clsp_sink *sink, clsp_shard *shard, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    clsp_tensor_plan *plans = NULL;
    clsp_safetensors_writer *writer = NULL;
    size_t count = sink->field_count;
    CLSP_ALLOC(path, clsp_path_join(sink->directory, shard->file.name));
    CLSP_ALLOC(plans, clsp_alloc(count + 1, sizeof *plans));
    for (size_t f = 0; f < sink->field_count; f++) {
        const clsp_field *field = &sink->fields[f];
        plans[f] = (clsp_tensor_plan){.name = field->name, .dtype = field->dtype, .dims = field->dims};
        clsp_field_shape(field, sink->rows, plans[f].shape);
    }
    if (sink->manifest->version > 1) {
        plans[count] = (clsp_tensor_plan){.name = CLSP_STORE_SUMS, .dtype = CLSP_U8, .dims = 3};
        clsp_sums_shape(sink->fields, count, sink->rows, plans[count].shape);
        count++;
    }
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, count, NULL, err));
    CLSP_TRY(write_fields(sink, writer, shard->sums, err));
    step(sink, "shard");
    status = clsp_store_file_commit(&shard->file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(plans);
    clsp_free(path);
    return status;
}

static void remove_file(const clsp_sink *sink, const char *name)
{
    char *path = clsp_path_join(sink->directory, name);
    if (path != NULL) unlink(path);
    clsp_free(path);
}

/* The manifest with one more range done; on failure it is as it was before. */
static clipspan_status record(clsp_sink *sink, const clsp_shard *shard, const clsp_store_file *moments,
                              const clsp_store_file *neurons, clipspan_error *err)
{
    clsp_manifest *m = sink->manifest, before = *m;
    clipspan_status status = CLIPSPAN_OK;
    if (!m->moments_only) CLSP_TRY(clsp_manifest_add_shard(m, shard, err));
    m->moments = *moments;
    m->neurons = *neurons;
    m->positions += shard->count;
    m->images = sink->moments->images;
    m->skipped = m->positions - m->images;
    m->complete = m->positions == m->count;
    step(sink, "manifest");
    CLSP_TRY(clsp_manifest_write(m, sink->directory, err));
    return CLIPSPAN_OK;
out:
    before.shards = m->shards;
    before.shard_capacity = m->shard_capacity;
    *m = before;
    return status;
}

/* Sums over all images so far: of a finished store "moments.safetensors", before that with the shard's number. */
static void name_file(clsp_store_file *file, const char *what, bool last, unsigned long long number)
{
    if (last)
        snprintf(file->name, sizeof file->name, "%s.safetensors", what);
    else
        snprintf(file->name, sizeof file->name, "%s-%05llu.safetensors", what, number);
}

static void remove_old(const clsp_sink *sink, const clsp_store_file *old, const clsp_store_file *now)
{
    if (old->name[0] != '\0' && strcmp(old->name, now->name) != 0) remove_file(sink, old->name);
}

clipspan_status clsp_sink_finish_shard(clsp_sink *sink, uint64_t first, uint64_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_manifest *m = sink->manifest;
    clsp_shard shard = {.first = first, .count = count, .images = sink->rows};
    clsp_store_file moments = {0}, neurons = {0}, old[] = {m->moments, m->neurons};
    unsigned long long number = m->positions / m->shard_images;
    bool last = m->positions + count == m->count;
    name_file(&moments, "moments", last, number);
    step(sink, "moments");
    CLSP_TRY(clsp_moments_write(sink->moments, sink->skipped, sink->skipped_count, sink->directory, &moments, err));
    if (sink->neurons) {
        name_file(&neurons, "neurons", last, number);
        step(sink, "neurons");
        CLSP_TRY(clsp_neurons_write(sink->neurons, sink->directory, &neurons, err));
    }
    if (sink->rows > 0) {
        snprintf(shard.file.name, sizeof shard.file.name, "shard-%05llu.safetensors", number);
        CLSP_TRY(write_shard(sink, &shard, err));
    }
    CLSP_TRY(record(sink, &shard, &moments, &neurons, err));
    step(sink, "remove");
    remove_old(sink, &old[0], &moments);
    remove_old(sink, &old[1], &neurons);
    sink->rows = 0;
out:
    return status;
}
