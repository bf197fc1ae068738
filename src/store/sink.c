/* Batches in, shards out. A shard is gathered in memory, because its tensors run layer by layer and batches come image
 * by image; it is written when its range of the list is done.
 *
 * What is on the disk is what the manifest names: sums and shard are written first, the manifest last, and only then the
 * sums that went into others are removed. A run that dies anywhere between leaves the state before.
 */
#include "store/names.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Empty ones. The lengths of directions, which take a while, are those of sums that are there. */
static clipspan_status open_neurons(clsp_sink *sink, const clipspan_model *model, clipspan_error *err)
{
    const clsp_manifest *m = sink->manifest;
    if (m->top_images == 0) return CLIPSPAN_OK;
    if (m->subtotal_count == 0) return clipspan_neurons_new(&sink->totals.neurons, model, m->top_images, err);
    clipspan_status status = clsp_neurons_read(&sink->totals.neurons, m, &m->subtotals[0], sink->directory, err);
    if (status == CLIPSPAN_OK) clsp_neurons_clear(sink->totals.neurons);
    return status;
}

clipspan_status clsp_sink_open(clsp_sink *sink, clsp_manifest *manifest, const clipspan_basis *basis,
                               const clipspan_model *model, const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *sink = (clsp_sink){.directory = directory, .manifest = manifest, .basis = basis};
    sink->capacity = (size_t)(manifest->shard_images < manifest->count ? manifest->shard_images : manifest->count);
    CLSP_TRY(clsp_moments_borrow(&sink->totals.moments, basis, err));
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
    clsp_totals_free(&sink->totals);
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
static clipspan_status note_skipped(clsp_totals *totals, uint64_t first, size_t n, const clipspan_batch *batch,
                                    clipspan_error *err)
{
    size_t needed = totals->skipped_count + n - batch->images, at = 0;
    if (needed > totals->skipped_capacity) {
        size_t capacity = clsp_max(needed, 2 * totals->skipped_capacity);
        uint64_t *grown = clsp_grow(totals->skipped, capacity, sizeof *grown);
        if (grown == NULL) return clsp_fail_memory(err);
        totals->skipped = grown;
        totals->skipped_capacity = capacity;
    }
    for (uint64_t position = first; position < first + n; position++) {
        if (at < batch->images && batch->index[at] == position)
            at++;
        else if (totals->skipped_count < needed)
            totals->skipped[totals->skipped_count++] = position;
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_sink_add(void *user, uint64_t first, size_t n, const clipspan_batch *batch, clipspan_error *err)
{
    clsp_sink *sink = user;
    clipspan_status status = CLIPSPAN_OK;
    if (batch->images > n || batch->images > sink->capacity - sink->rows)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "%s: more images than the shard has room for", sink->directory);
    if (batch->images > 0) CLSP_TRY(clipspan_moments_add(sink->totals.moments, batch, err));
    if (batch->images > 0 && sink->totals.neurons) CLSP_TRY(clipspan_neurons_add(sink->totals.neurons, batch, err));
    if (sink->manifest->moments_only) return note_skipped(&sink->totals, first, n, batch, err);
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
static void sum_blocks(const char *slice, size_t rows, size_t row, unsigned char *sums)
{
    for (size_t at = 0; at < rows; at += CLSP_BLOCK, sums += CLSP_HASH_BYTES)
        clsp_hash_bytes(sums, slice + at * row, clsp_min(CLSP_BLOCK, rows - at) * row);
}

/* sums: [slices, blocks, 16], of which the field's are filled. */
static clipspan_status write_field(const clsp_sink *sink, size_t f, clsp_safetensors_writer *writer,
                                   unsigned char *sums, clipspan_error *err)
{
    const clsp_field *field = &sink->fields[f];
    size_t size = clsp_dtype_size(field->dtype), row = field->inner * size;
    size_t slice_sums = clsp_blocks(sink->rows) * CLSP_HASH_BYTES;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t o = 0; o < field->outer && status == CLIPSPAN_OK; o++) {
        const char *slice = (const char *)sink->buffers[f] + o * sink->capacity * row;
        sum_blocks(slice, sink->rows, row, sums + (field->slice + o) * slice_sums);
        status = clsp_safetensors_writer_add(writer, slice, sink->rows * row, err);
    }
    return status;
}

/* Every field, and behind them their checksums, of which `hash` becomes the checksum. */
static clipspan_status write_fields(const clsp_sink *sink, clsp_safetensors_writer *writer, char hash[CLSP_HASH_HEX],
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    unsigned char *sums = NULL;
    size_t bytes = clsp_fields_slices(sink->fields, sink->field_count) * clsp_blocks(sink->rows) * CLSP_HASH_BYTES;
    CLSP_ALLOC(sums, clsp_alloc(bytes, 1));
    for (size_t f = 0; f < sink->field_count; f++) CLSP_TRY(write_field(sink, f, writer, sums, err));
    CLSP_TRY(clsp_safetensors_writer_add(writer, sums, bytes, err));
    clsp_hash_hex(hash, sums, bytes);
out:
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
    for (size_t f = 0; f < count; f++) {
        const clsp_field *field = &sink->fields[f];
        plans[f] = (clsp_tensor_plan){.name = field->name, .dtype = field->dtype, .dims = field->dims};
        clsp_field_shape(field, sink->rows, plans[f].shape);
    }
    plans[count] = (clsp_tensor_plan){.name = CLSP_STORE_SUMS, .dtype = CLSP_U8, .dims = 3};
    clsp_sums_shape(sink->fields, count, sink->rows, plans[count].shape);
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, count + 1, NULL, err));
    CLSP_TRY(write_fields(sink, writer, shard->sums, err));
    step(sink, "shard");
    status = clsp_store_file_commit(&shard->file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(plans);
    clsp_free(path);
    return status;
}

static void remove_file(const clsp_sink *sink, const clsp_store_file *file)
{
    if (file->name[0] == '\0' || file->folder != NULL) return;
    char *path = clsp_path_join(sink->directory, file->name);
    if (path != NULL) unlink(path);
    clsp_free(path);
}

/* A manifest with lists of its own; all else is the original's. */
static clipspan_status copy_lists(clsp_manifest *copy, const clsp_manifest *m, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *copy = *m;
    copy->shards = NULL;
    copy->subtotals = NULL;
    copy->shard_count = copy->subtotal_count = 0;
    for (size_t s = 0; s < m->shard_count; s++) CLSP_TRY(clsp_manifest_add_shard(copy, &m->shards[s], err));
    for (size_t s = 0; s < m->subtotal_count; s++) CLSP_TRY(clsp_manifest_add_subtotal(copy, &m->subtotals[s], err));
out:
    return status;
}

static void free_lists(clsp_manifest *m)
{
    clsp_free(m->shards);
    clsp_free(m->subtotals);
}

/* Everything is done: one file of sums in place of the subtotals. */
static clipspan_status finish(clsp_sink *sink, clsp_manifest *next, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_totals total = {0};
    clsp_subtotal all = {.images = next->images};
    CLSP_TRY(clsp_subtotals_sum(&total, next, &sink->totals, sink->basis, sink->directory, err));
    snprintf(all.moments.name, sizeof all.moments.name, "%s", CLSP_STORE_MOMENTS);
    if (next->top_images) snprintf(all.neurons.name, sizeof all.neurons.name, "%s", CLSP_STORE_NEURONS);
    CLSP_TRY(clsp_totals_write(&total, &all, sink->directory, err));
    next->moments = all.moments;
    next->neurons = all.neurons;
    next->subtotal_count = 0;
    next->complete = true;
out:
    if (total.moments != NULL) sink->totals = total; /* given back */
    return status;
}

/* The shard's sums into `next`: with those that they complete, or with all there are. */
static clipspan_status add_sums(clsp_sink *sink, clsp_manifest *next, uint64_t shard, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_subtotal node = {.shard = shard, .shards = 1, .images = sink->totals.moments->images};
    CLSP_TRY(clsp_subtotal_climb(&sink->totals, &node, next, sink->basis, sink->directory, err));
    if (!sink->part && next->positions == next->count) {
        CLSP_TRY(clsp_manifest_add_subtotal(next, &node, err));
        return finish(sink, next, err);
    }
    clsp_subtotal_name(next, &node);
    CLSP_TRY(clsp_totals_write(&sink->totals, &node, sink->directory, err));
    CLSP_TRY(clsp_manifest_add_subtotal(next, &node, err));
out:
    return status;
}

/* Files of sums that the next manifest does not name any more. */
static void remove_old(const clsp_sink *sink, const clsp_manifest *old, const clsp_manifest *next)
{
    for (size_t o = 0, n = 0; o < old->subtotal_count; o++) {
        const clsp_subtotal *was = &old->subtotals[o];
        while (n < next->subtotal_count && next->subtotals[n].shard < was->shard) n++;
        if (n < next->subtotal_count && next->subtotals[n].shard == was->shard &&
            next->subtotals[n].shards == was->shards)
            continue;
        remove_file(sink, &was->moments);
        remove_file(sink, &was->neurons);
    }
}

clipspan_status clsp_sink_finish_shard(clsp_sink *sink, uint64_t number, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_manifest *m = sink->manifest, next;
    clsp_shard shard = {.images = sink->rows};
    clsp_manifest_range(m, number, 1, &shard.first, &shard.count);
    CLSP_TRY(copy_lists(&next, m, err));
    next.positions += shard.count;
    next.images += sink->totals.moments->images;
    next.skipped = next.positions - next.images;
    step(sink, "sums");
    CLSP_TRY(add_sums(sink, &next, number, err));
    if (sink->rows > 0) {
        clsp_name_shard(shard.file.name, number);
        CLSP_TRY(write_shard(sink, &shard, err));
    }
    if (!m->moments_only) CLSP_TRY(clsp_manifest_add_shard(&next, &shard, err));
    step(sink, "manifest");
    CLSP_TRY(clsp_manifest_write(&next, sink->directory, err));
    step(sink, "remove");
    remove_old(sink, m, &next);
    clsp_manifest before = *m;
    *m = next;
    next = before;
    sink->rows = 0;
    clsp_totals_clear(&sink->totals);
out:
    free_lists(&next);
    return status;
}
