/* A store opened: the manifest, the list and the basis are checked whole; shards by presence and size, and by checksum
 * when they are first played. */
#include "clipspan/inputs.h"
#include "store/store.h"

#include <string.h>

static void fill_info(clipspan_store *store)
{
    const clsp_manifest *m = &store->manifest;
    store->info = (clipspan_store_info){
        .model_name = m->model_name,
        .model_path = m->model_path,
        .model_fingerprint = m->fingerprint,
        .model_config = m->config,
        .model_vocab = m->vocab,
        .images_path = m->images_path,
        .images_kind = m->images_kind,
        .dtype = m->half ? "f16" : "f32",
        .compute = m->bf16 ? "bf16" : "f32",
        .images = m->images,
        .skipped = m->skipped,
        .listed = m->listed,
        .shards = m->shard_count,
        .bytes = clsp_manifest_bytes(m, store->directory),
        .parts = m->parts,
        .exif = m->exif,
        .moments_only = m->moments_only,
        .complete = m->complete,
        .layers = m->shape.layers,
        .heads = m->shape.heads,
        .head_dim = m->shape.head_dim,
        .embed_dim = m->shape.embed_dim,
        .tokens = m->shape.tokens,
        .image_size = m->image_size,
        .patch_size = m->patch_size,
        .logit_scale = m->logit_scale,
        .neurons = m->top_images,
        .mlp_width = m->mlp_width,
    };
}

/* index: [shard->images] u64, ascending within the shard's range of the list. */
static clipspan_status check_index(const clsp_shard *shard, const uint64_t *index, const char *path,
                                   clipspan_error *err)
{
    for (uint64_t i = 0; i < shard->images; i++) {
        if (index[i] >= shard->first && index[i] - shard->first < shard->count && (i == 0 || index[i] > index[i - 1]))
            continue;
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: row %llu is of image %llu, expected ascending ones of %llu to %llu",
                         path, (unsigned long long)i, (unsigned long long)index[i], (unsigned long long)shard->first,
                         (unsigned long long)(shard->first + shard->count - 1));
    }
    return CLIPSPAN_OK;
}

/* Its index alone; of version 1 that would take the whole file. */
static clipspan_status verify_index(const clipspan_store *store, size_t s, const clsp_safetensors *file,
                                    clipspan_error *err)
{
    if (store->manifest.version == 1) return CLIPSPAN_OK;
    unsigned char *wanted = clsp_alloc_zero(store->slices, 1);
    if (wanted == NULL) return clsp_fail_memory(err);
    for (size_t f = 0; f < store->field_count; f++)
        if (store->fields[f].kind == CLSP_FIELD_INDEX) wanted[store->fields[f].slice] = 1;
    clipspan_status status = clsp_store_verify_shard(store, s, file, wanted, err);
    clsp_free(wanted);
    return status;
}

/* Rows of shard s to list positions. Its file is opened only where images were left out. */
static clipspan_status read_rows(const clipspan_store *store, size_t s, uint64_t *rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_shard *shard = &store->manifest.shards[s];
    clsp_safetensors *file = NULL;
    if (shard->images == 0) return CLIPSPAN_OK;
    for (uint64_t i = 0; i < shard->images; i++) rows[i] = shard->first + i;
    if (shard->images == shard->count) return clsp_store_file_check(&shard->file, store->directory, err);
    CLSP_TRY(clsp_store_map_shard(store, s, NULL, &file, err));
    CLSP_TRY(verify_index(store, s, file, err));
    memcpy(rows, clsp_safetensors_find(file, "index")->data, shard->images * sizeof *rows);
    status = check_index(shard, rows, clsp_safetensors_path(file), err);
    status = clsp_store_file_explain(status, &shard->file, store->directory, err);
out:
    clsp_safetensors_free(file);
    return status;
}

/* Where only moments are kept, the rows are what is done without the positions that the moments call skipped. */
static clipspan_status read_moment_rows(clipspan_store *store, clipspan_error *err)
{
    const clsp_manifest *m = &store->manifest;
    clsp_totals totals;
    uint64_t row = 0, shards = clsp_manifest_shards(m);
    size_t at = 0;
    if (m->positions == 0) return CLIPSPAN_OK;
    clipspan_status status = clsp_subtotals_sum(&totals, m, NULL, &store->basis, store->directory, err);
    if (status != CLIPSPAN_OK) return status;
    for (uint64_t s = 0; s < shards; s++) {
        uint64_t first, count;
        clsp_manifest_range(m, s, 1, &first, &count);
        if (m->version == 1 && first + count > m->first + m->positions) break;
        if (m->version > 1 && !clsp_manifest_has(m, s)) continue;
        for (uint64_t p = first; p < first + count; p++) {
            if (at < totals.skipped_count && totals.skipped[at] == p)
                at++;
            else if (row < m->images)
                store->rows[row++] = p;
        }
    }
    if (row != m->images || at != totals.skipped_count || at != m->skipped)
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the list of skipped images in its moments does not fit the manifest",
                           store->directory);
    clsp_totals_free(&totals);
    return status;
}

static clipspan_status read_all_rows(clipspan_store *store, clipspan_error *err)
{
    const clsp_manifest *m = &store->manifest;
    clipspan_status status = CLIPSPAN_OK;
    uint64_t row = 0;
    CLSP_ALLOC(store->rows, clsp_alloc(m->images, sizeof *store->rows));
    CLSP_ALLOC(store->verified, clsp_alloc_zero(m->shard_count, store->slices));
    if (m->moments_only) return read_moment_rows(store, err);
    for (size_t s = 0; s < m->shard_count; s++) {
        CLSP_TRY(read_rows(store, s, store->rows + row, err));
        row += m->shards[s].images;
    }
out:
    return status;
}

static clipspan_status note_file(const clsp_store_file *file, const char *directory, clipspan_error *err)
{
    if (file->name[0] == '\0') return CLIPSPAN_OK;
    char *path = clsp_store_file_path(file, directory);
    clipspan_status status = path ? clipspan_inputs_add(path, err) : clsp_fail_memory(err);
    clsp_free(path);
    return status;
}

/* All that is the store's, whether it will be read or not, is not to be written over. */
static clipspan_status note_files(const clsp_manifest *m, const char *directory, clipspan_error *err)
{
    clipspan_status status = note_file(&m->moments, directory, err);
    if (status == CLIPSPAN_OK) status = note_file(&m->neurons, directory, err);
    for (size_t s = 0; status == CLIPSPAN_OK && s < m->shard_count; s++) status = note_file(&m->shards[s].file, directory, err);
    for (size_t s = 0; status == CLIPSPAN_OK && s < m->subtotal_count; s++) {
        status = note_file(&m->subtotals[s].moments, directory, err);
        if (status == CLIPSPAN_OK) status = note_file(&m->subtotals[s].neurons, directory, err);
    }
    return status;
}

clipspan_status clipspan_store_open(clipspan_store **out, const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_store *store = NULL;
    *out = NULL;
    CLSP_ALLOC(store, clsp_alloc_zero(1, sizeof *store));
    CLSP_ALLOC(store->directory, clsp_strdup(directory));
    CLSP_TRY(clsp_manifest_read(&store->manifest, directory, err));
    CLSP_TRY(clsp_list_open(&store->list, &store->manifest.list, store->manifest.listed, directory, err));
    CLSP_TRY(clsp_basis_open(&store->basis, &store->basis_file, &store->basis_w, &store->manifest, directory, err));
    CLSP_TRY(note_files(&store->manifest, directory, err));
    CLSP_TRY(clsp_fields_new(&store->fields, &store->field_count, &store->manifest, err));
    store->slices = clsp_fields_slices(store->fields, store->field_count);
    CLSP_TRY(read_all_rows(store, err));
    fill_info(store);
    *out = store;
    store = NULL;
out:
    clipspan_store_free(store);
    return status;
}

void clipspan_store_free(clipspan_store *store)
{
    if (store == NULL) return;
    clsp_list_close(&store->list);
    clsp_safetensors_free(store->basis_file);
    clsp_free(store->basis_w);
    clsp_manifest_clear(&store->manifest);
    clsp_free(store->fields);
    clsp_free(store->rows);
    clsp_free(store->verified);
    clsp_free(store->directory);
    clsp_free(store);
}

/* ---- shards ------------------------------------------------------------------------------------------------ */

/* Every tensor's type and shape as the manifest says. */
static clipspan_status check_shapes(const clipspan_store *store, size_t s, const clsp_safetensors *file,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_tensor *tensor = NULL;
    size_t shape[4];
    for (size_t f = 0; f < store->field_count; f++) {
        const clsp_field *field = &store->fields[f];
        clsp_field_shape(field, store->manifest.shards[s].images, shape);
        CLSP_TRY(clsp_store_tensor(&tensor, file, field->name, field->dtype, field->dims, shape, err));
    }
    clsp_sums_shape(store->fields, store->field_count, store->manifest.shards[s].images, shape);
    if (store->manifest.version > 1) CLSP_TRY(clsp_store_tensor(&tensor, file, CLSP_STORE_SUMS, CLSP_U8, 3, shape, err));
out:
    return status;
}

clipspan_status clsp_store_map_shard(const clipspan_store *store, size_t s, const clsp_safetensors *like,
                                     clsp_safetensors **out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_store_file *shard = &store->manifest.shards[s].file;
    clsp_safetensors *file = NULL;
    char *path = NULL;
    *out = NULL;
    status = clsp_store_file_check(shard, store->directory, err);
    if (status != CLIPSPAN_OK) return status;
    CLSP_ALLOC(path, clsp_store_file_path(shard, store->directory));
    CLSP_TRY(clsp_safetensors_open_like(&file, path, like, err));
    CLSP_TRY(check_shapes(store, s, file, err));
    *out = file;
    file = NULL;
out:
    clsp_safetensors_free(file);
    clsp_free(path);
    return clsp_store_file_explain(status, shard, store->directory, err);
}

bool clsp_store_verified(const clipspan_store *store, size_t s, size_t slice)
{
    return __atomic_load_n(&store->verified[s * store->slices + slice], __ATOMIC_ACQUIRE);
}

void clsp_store_set_verified(const clipspan_store *store, size_t s, size_t slice)
{
    __atomic_store_n(&store->verified[s * store->slices + slice], 1, __ATOMIC_RELEASE);
}

static clipspan_status verify_whole(const clipspan_store *store, size_t s, clipspan_error *err)
{
    if (clsp_store_verified(store, s, 0)) return CLIPSPAN_OK;
    clipspan_status status = clsp_store_file_verify(&store->manifest.shards[s].file, store->directory, err);
    if (status == CLIPSPAN_OK) clsp_store_set_verified(store, s, 0);
    return status;
}

clipspan_status clsp_store_begin_shard(const clipspan_store *store, size_t s, const clsp_safetensors *file,
                                       const unsigned char **sums, clipspan_error *err)
{
    char hash[CLSP_HASH_HEX];
    *sums = NULL;
    if (store->manifest.version == 1) return verify_whole(store, s, err);
    const clsp_tensor *tensor = clsp_safetensors_find(file, CLSP_STORE_SUMS);
    clsp_hash_hex(hash, tensor->data, tensor->count);
    *sums = tensor->data;
    return strcmp(hash, store->manifest.shards[s].sums) == 0 ? CLIPSPAN_OK : clsp_store_damaged(store, s, err);
}

clipspan_status clsp_store_damaged(const clipspan_store *store, size_t s, clipspan_error *err)
{
    const clsp_store_file *file = &store->manifest.shards[s].file;
    clipspan_status status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s/%s does not fit its checksums",
                                       file->folder ? file->folder : store->directory, file->name);
    return clsp_store_file_explain(status, file, store->directory, err);
}

/* Slices that are wanted and were not compared before, into `out`; their numbers into `which`. */
static size_t unverified(const clipspan_store *store, size_t s, const clsp_safetensors *file, const unsigned char *wanted,
                         const unsigned char *sums, clsp_slice *out, size_t *which)
{
    size_t count = 0, images = (size_t)store->manifest.shards[s].images, blocks = clsp_blocks(images);
    for (size_t f = 0; f < store->field_count; f++) {
        const clsp_field *field = &store->fields[f];
        const clsp_tensor *tensor = clsp_safetensors_find(file, field->name);
        size_t row = field->inner * clsp_dtype_size(field->dtype);
        for (size_t o = 0; o < field->outer; o++) {
            size_t slice = field->slice + o;
            if ((wanted != NULL && !wanted[slice]) || clsp_store_verified(store, s, slice)) continue;
            out[count] = (clsp_slice){.from = (const unsigned char *)tensor->data + o * images * row, .bytes = images * row,
                                      .sum = sums + slice * blocks * CLSP_HASH_BYTES, .block = CLSP_BLOCK * row};
            which[count++] = slice;
        }
    }
    return count;
}

/* Two threads that meet here both read the same, and both are right. */
clipspan_status clsp_store_verify_shard(const clipspan_store *store, size_t s, const clsp_safetensors *file,
                                        const unsigned char *wanted, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const unsigned char *sums = NULL;
    clsp_slice *slices = NULL;
    size_t *which = NULL, count = 0;
    CLSP_TRY(clsp_store_begin_shard(store, s, file, &sums, err));
    if (sums == NULL) goto out;
    CLSP_ALLOC(slices, clsp_alloc(store->slices, sizeof *slices));
    CLSP_ALLOC(which, clsp_alloc(store->slices, sizeof *which));
    count = unverified(store, s, file, wanted, sums, slices, which);
    CLSP_TRY(clsp_slices_take(store, s, slices, count, err));
    for (size_t i = 0; i < count; i++) clsp_store_set_verified(store, s, which[i]);
out:
    clsp_free(slices);
    clsp_free(which);
    return status;
}

/* ---- what it says --------------------------------------------------------------------------------------- */

const clipspan_store_info *clipspan_store_get_info(const clipspan_store *store)
{
    return &store->info;
}

const clipspan_basis *clipspan_store_basis(const clipspan_store *store)
{
    return &store->basis;
}

static size_t position(const clipspan_store *store, size_t i)
{
    return i < store->info.images ? (size_t)store->rows[i] : SIZE_MAX;
}

const char *clipspan_store_image_name(const clipspan_store *store, size_t i)
{
    return clsp_strings_get(&store->list.names, position(store, i));
}

int clipspan_store_image_label(const clipspan_store *store, size_t i)
{
    return clsp_list_label(&store->list, position(store, i));
}

size_t clipspan_store_class_count(const clipspan_store *store)
{
    return store->list.classes.count;
}

const char *clipspan_store_class(const clipspan_store *store, size_t c)
{
    return clsp_strings_get(&store->list.classes, c);
}

size_t clipspan_store_column_count(const clipspan_store *store)
{
    return store->list.column_names.count;
}

const char *clipspan_store_column(const clipspan_store *store, size_t column)
{
    return clsp_strings_get(&store->list.column_names, column);
}

const char *clipspan_store_value(const clipspan_store *store, size_t i, size_t column)
{
    bool there = column < store->list.column_names.count;
    return there ? clsp_strings_get(&store->list.columns[column], position(store, i)) : "";
}

clipspan_status clipspan_store_check_model(const clipspan_store *store, const clipspan_model *model,
                                           clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(model);
    if (strcmp(info->fingerprint, store->manifest.fingerprint) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was made by the model %s (%.8s, from %s), not by %s (%.8s)",
                     store->directory, store->manifest.model_name, store->manifest.fingerprint,
                     store->manifest.model_path, info->name, info->fingerprint);
}

clipspan_status clipspan_store_moments(const clipspan_store *store, clipspan_moments **out, clipspan_error *err)
{
    const clsp_manifest *m = &store->manifest;
    clsp_totals totals;
    *out = NULL;
    if (m->positions == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: no images are finished yet", store->directory);
    clipspan_status status = clsp_subtotals_sum(&totals, m, NULL, &store->basis, store->directory, err);
    if (status == CLIPSPAN_OK) status = clsp_moments_own(totals.moments, err);
    if (status == CLIPSPAN_OK) {
        *out = totals.moments;
        totals.moments = NULL;
    }
    clsp_totals_free(&totals);
    return status;
}
