/* A store opened: the manifest, the list and the basis are checked whole; shards by presence and size, and by checksum
 * when they are first played. */
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

/* Rows of shard s to list positions. Its file is opened only where images were left out. */
static clipspan_status read_rows(clipspan_store *store, size_t s, uint64_t *rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_shard *shard = &store->manifest.shards[s];
    clsp_safetensors *file = NULL;
    char *path = NULL;
    const clsp_tensor *index = NULL;
    const size_t shape[1] = {shard->images};
    if (shard->images == 0) return CLIPSPAN_OK;
    CLSP_TRY(clsp_store_file_check(&shard->file, store->directory, err));
    for (uint64_t i = 0; i < shard->images; i++) rows[i] = shard->first + i;
    if (shard->images == shard->count) goto out;
    CLSP_ALLOC(path, clsp_path_join(store->directory, shard->file.name));
    CLSP_TRY(clsp_safetensors_open(&file, path, err));
    CLSP_TRY(clsp_store_tensor(&index, file, "index", CLSP_I64, 1, shape, err));
    memcpy(rows, index->data, shard->images * sizeof *rows);
    CLSP_TRY(check_index(shard, rows, path, err));
out:
    if (path != NULL) status = clsp_store_file_explain(status, &shard->file, store->directory, err);
    clsp_safetensors_free(file);
    clsp_free(path);
    return status;
}

/* Where only moments are kept, the rows are the range without the positions that the moments file calls skipped. */
static clipspan_status read_moment_rows(clipspan_store *store, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_manifest *m = &store->manifest;
    clipspan_moments *moments = NULL;
    uint64_t *skipped = NULL, row = 0;
    size_t count = 0, at = 0;
    if (m->moments.name[0] == '\0') return CLIPSPAN_OK;
    CLSP_TRY(clsp_moments_read(&moments, &store->basis, &m->moments, m->images, store->directory, &skipped, &count, err));
    for (uint64_t p = m->first; p < m->first + m->positions; p++) {
        if (at < count && skipped[at] == p)
            at++;
        else if (row < m->images)
            store->rows[row++] = p;
    }
    if (row != m->images || at != count || count != m->skipped)
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s/%s: its list of skipped images does not fit the manifest",
                           store->directory, m->moments.name);
out:
    clipspan_moments_free(moments);
    clsp_free(skipped);
    return status;
}

static clipspan_status read_all_rows(clipspan_store *store, clipspan_error *err)
{
    const clsp_manifest *m = &store->manifest;
    clipspan_status status = CLIPSPAN_OK;
    uint64_t row = 0;
    CLSP_ALLOC(store->rows, clsp_alloc(m->images, sizeof *store->rows));
    CLSP_ALLOC(store->verified, clsp_alloc_zero(m->shard_count, 1));
    if (m->moments_only) return read_moment_rows(store, err);
    for (size_t s = 0; s < m->shard_count; s++) {
        CLSP_TRY(read_rows(store, s, store->rows + row, err));
        row += m->shards[s].images;
    }
out:
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
    CLSP_TRY(clsp_basis_open(&store->basis, &store->basis_file, &store->manifest, directory, err));
    CLSP_TRY(clsp_fields_new(&store->fields, &store->field_count, &store->manifest, err));
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
    clsp_manifest_clear(&store->manifest);
    clsp_free(store->fields);
    clsp_free(store->rows);
    clsp_free(store->verified);
    clsp_free(store->directory);
    clsp_free(store);
}

/* The file behind shard s, every tensor's type and shape as the manifest says. */
static clipspan_status open_shard(const clipspan_store *store, size_t s, bool verify, clsp_safetensors **out,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_shard *shard = &store->manifest.shards[s];
    clsp_safetensors *file = NULL;
    char *path = NULL;
    *out = NULL;
    if (verify) {
        CLSP_TRY(clsp_store_file_open(&file, &shard->file, store->directory, err));
    } else {
        CLSP_ALLOC(path, clsp_path_join(store->directory, shard->file.name));
        CLSP_TRY(clsp_safetensors_open(&file, path, err));
    }
    for (size_t f = 0; f < store->field_count; f++) {
        const clsp_field *field = &store->fields[f];
        const clsp_tensor *tensor = NULL;
        size_t shape[4];
        clsp_field_shape(field, shard->images, shape);
        CLSP_TRY(clsp_store_tensor(&tensor, file, field->name, field->dtype, field->dims, shape, err));
    }
    *out = file;
    file = NULL;
out:
    clsp_safetensors_free(file);
    clsp_free(path);
    return status;
}

/* The checksum once, then the index: two threads that meet here both read it, and both are right. */
clipspan_status clsp_store_open_shard(const clipspan_store *store, size_t s, clsp_safetensors **out,
                                      clipspan_error *err)
{
    bool verify = !__atomic_load_n(&store->verified[s], __ATOMIC_ACQUIRE);
    clipspan_status status = open_shard(store, s, verify, out, err);
    if (status == CLIPSPAN_OK) __atomic_store_n(&store->verified[s], 1, __ATOMIC_RELEASE);
    return status;
}

clipspan_status clsp_store_map_shard(const clipspan_store *store, size_t s, clsp_safetensors **out,
                                     clipspan_error *err)
{
    const clsp_store_file *file = &store->manifest.shards[s].file;
    *out = NULL;
    clipspan_status status = clsp_store_file_check(file, store->directory, err);
    if (status == CLIPSPAN_OK) status = open_shard(store, s, false, out, err);
    return clsp_store_file_explain(status, file, store->directory, err);
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
    *out = NULL;
    if (m->moments.name[0] == '\0')
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: no images are finished yet", store->directory);
    return clsp_moments_read(out, &store->basis, &m->moments, m->images, store->directory, NULL, NULL, err);
}
