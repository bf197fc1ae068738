/* The manifest written, and the files that it names found and checked. */
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/json.h"

/* ---- writing -------------------------------------------------------------------------------------------- */

static bool put_text(clsp_json *object, const char *key, const char *text)
{
    return clsp_json_put(object, key, clsp_json_new_string(text));
}

static bool put_number(clsp_json *object, const char *key, uint64_t value)
{
    return clsp_json_put(object, key, clsp_json_new_int((int64_t)value));
}

static bool put_file_members(clsp_json *object, const clsp_manifest *m, const clsp_store_file *file)
{
    bool good = put_text(object, "file", file->name);
    for (size_t f = 0; f < m->folder_count; f++)
        if (file->folder == m->folders[f].path) good &= put_number(object, "folder", f);
    good &= put_number(object, "bytes", file->bytes);
    return put_text(object, "xxh3_128", file->hash) && good;
}

static bool put_file(clsp_json *root, const char *key, const clsp_manifest *m, const clsp_store_file *file)
{
    clsp_json *object = clsp_json_new_object();
    bool good = put_file_members(object, m, file);
    return clsp_json_put(root, key, object) && good;
}

static bool put_model(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *model = clsp_json_new_object();
    bool good = put_text(model, "name", m->model_name);
    good &= put_text(model, "path", m->model_path);
    good &= put_text(model, "fingerprint", m->fingerprint);
    good &= put_text(model, "config", m->config);
    good &= put_text(model, "vocab", m->vocab);
    good &= put_number(model, "layers", (uint64_t)m->shape.layers);
    good &= put_number(model, "heads", (uint64_t)m->shape.heads);
    good &= put_number(model, "head_dim", (uint64_t)m->shape.head_dim);
    good &= put_number(model, "embed_dim", (uint64_t)m->shape.embed_dim);
    good &= put_number(model, "tokens", (uint64_t)m->shape.tokens);
    good &= put_number(model, "image_size", (uint64_t)m->image_size);
    good &= put_number(model, "patch_size", (uint64_t)m->patch_size);
    good &= clsp_json_put(model, "logit_scale", clsp_json_new_number((double)m->logit_scale));
    if (m->top_images) good &= put_number(model, "mlp_width", (uint64_t)m->mlp_width);
    return clsp_json_put(root, "model", model) && good;
}

static bool put_images(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *images = clsp_json_new_object();
    bool good = put_text(images, "path", m->images_path);
    good &= put_text(images, "kind", m->images_kind);
    good &= clsp_json_put(images, "exif", clsp_json_new_bool(m->exif));
    good &= put_number(images, "listed", m->listed);
    good &= put_file(images, "list", m, &m->list);
    return clsp_json_put(root, "images", images) && good;
}

static bool put_options(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *options = clsp_json_new_object(), *parts = clsp_json_new_array(), *layers = clsp_json_new_array();
    bool good = put_text(options, "dtype", m->half ? "f16" : "f32");
    good &= put_text(options, "compute", m->bf16 ? "bf16" : "f32");
    if (m->parts & CLIPSPAN_PART_MLP) good &= clsp_json_push(parts, clsp_json_new_string("mlp"));
    if (m->parts & CLIPSPAN_PART_CLS) good &= clsp_json_push(parts, clsp_json_new_string("cls"));
    if (m->parts & CLIPSPAN_PART_TOKENS) good &= clsp_json_push(parts, clsp_json_new_string("tokens"));
    good &= clsp_json_put(options, "parts", parts);
    for (int t = 0; t < m->token_layer_count; t++) good &= clsp_json_push(layers, clsp_json_new_int(m->token_layers[t]));
    good &= clsp_json_put(options, "token_layers", layers);
    good &= clsp_json_put(options, "moments_only", clsp_json_new_bool(m->moments_only));
    if (m->top_images) good &= put_number(options, "neurons", (uint64_t)m->top_images);
    good &= put_number(options, "first", m->first);
    good &= put_number(options, "count", m->count);
    good &= put_number(options, "shard_images", m->shard_images);
    good &= put_number(options, "batch", (uint64_t)m->batch);
    return clsp_json_put(root, "options", options) && good;
}

static bool put_shards(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *shards = clsp_json_new_array();
    bool good = true;
    for (size_t s = 0; s < m->shard_count; s++) {
        clsp_json *entry = clsp_json_new_object();
        good &= put_number(entry, "first", m->shards[s].first);
        good &= put_number(entry, "count", m->shards[s].count);
        good &= put_number(entry, "images", m->shards[s].images);
        good &= put_file_members(entry, m, &m->shards[s].file);
        if (m->version > 1) good &= put_text(entry, "sums", m->shards[s].sums);
        good &= clsp_json_push(shards, entry);
    }
    return clsp_json_put(root, "shards", shards) && good;
}

static bool put_subtotals(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *subtotals = clsp_json_new_array();
    bool good = true;
    for (size_t s = 0; s < m->subtotal_count; s++) {
        clsp_json *entry = clsp_json_new_object();
        good &= put_number(entry, "shard", m->subtotals[s].shard);
        good &= put_number(entry, "shards", m->subtotals[s].shards);
        good &= put_number(entry, "images", m->subtotals[s].images);
        good &= put_file(entry, "moments", m, &m->subtotals[s].moments);
        if (m->top_images) good &= put_file(entry, "neurons", m, &m->subtotals[s].neurons);
        good &= clsp_json_push(subtotals, entry);
    }
    return clsp_json_put(root, "subtotals", subtotals) && good;
}

static bool put_folders(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *folders = clsp_json_new_array();
    bool good = true;
    for (size_t f = 0; f < m->folder_count; f++)
        good &= clsp_json_push(folders, clsp_json_new_string(m->folders[f].written));
    return clsp_json_put(root, "folders", folders) && good;
}

static bool put_done(clsp_json *root, const clsp_manifest *m)
{
    clsp_json *done = clsp_json_new_object();
    bool good = put_number(done, "positions", m->positions);
    good &= put_number(done, "images", m->images);
    good &= put_number(done, "skipped", m->skipped);
    good &= clsp_json_put(done, "complete", clsp_json_new_bool(m->complete));
    return clsp_json_put(root, "done", done) && good;
}

clipspan_status clsp_manifest_write(const clsp_manifest *manifest, const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    clsp_json *root = NULL;
    CLSP_ALLOC(path, clsp_path_join(directory, manifest->name[0] ? manifest->name : CLSP_STORE_MANIFEST));
    CLSP_ALLOC(root, clsp_json_new_object());
    bool good = put_text(root, "format", "clipspan store");
    good &= put_number(root, "version", (uint64_t)manifest->version);
    good &= put_model(root, manifest);
    good &= put_images(root, manifest);
    good &= put_options(root, manifest);
    good &= put_file(root, "basis", manifest, &manifest->basis);
    good &= put_file(root, "moments", manifest, &manifest->moments);
    if (manifest->top_images) good &= put_file(root, "neurons", manifest, &manifest->neurons);
    if (manifest->folder_count > 0) good &= put_folders(root, manifest);
    if (manifest->subtotal_count > 0) good &= put_subtotals(root, manifest);
    good &= put_done(root, manifest);
    good &= put_shards(root, manifest);
    if (!good) CLSP_TRY(clsp_fail_memory(err));
    CLSP_TRY(clsp_json_write_own(root, path, err));
out:
    clsp_json_free(root);
    clsp_free(path);
    return status;
}

/* ---- the struct ----------------------------------------------------------------------------------------- */

void clsp_manifest_clear(clsp_manifest *manifest)
{
    clsp_free(manifest->model_name);
    clsp_free(manifest->model_path);
    clsp_free(manifest->fingerprint);
    clsp_free(manifest->config);
    clsp_free(manifest->vocab);
    clsp_free(manifest->images_path);
    clsp_free(manifest->images_kind);
    clsp_free(manifest->token_layers);
    clsp_free(manifest->shards);
    clsp_free(manifest->subtotals);
    clsp_manifest_drop_folders(manifest);
    clsp_free(manifest->folders);
    *manifest = (clsp_manifest){0};
}

/* Room for one more of `count` items, whose capacity is the power of two from `count` up. */
static bool make_room(void **items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) return true;
    void *grown = clsp_grow(*items, clsp_max(1, 2 * count), size);
    if (grown == NULL) return false;
    *items = grown;
    return true;
}

clipspan_status clsp_manifest_add_shard(clsp_manifest *m, const clsp_shard *shard, clipspan_error *err)
{
    void *items = m->shards;
    size_t at = m->shard_count;
    bool good = make_room(&items, m->shard_count, sizeof *m->shards);
    m->shards = items;
    if (!good) return clsp_fail_memory(err);
    while (at > 0 && m->shards[at - 1].first > shard->first) at--;
    memmove(m->shards + at + 1, m->shards + at, (m->shard_count - at) * sizeof *m->shards);
    m->shards[at] = *shard;
    m->shard_count++;
    return CLIPSPAN_OK;
}

clipspan_status clsp_manifest_add_subtotal(clsp_manifest *m, const clsp_subtotal *subtotal, clipspan_error *err)
{
    void *items = m->subtotals;
    size_t at = m->subtotal_count;
    bool good = make_room(&items, m->subtotal_count, sizeof *m->subtotals);
    m->subtotals = items;
    if (!good) return clsp_fail_memory(err);
    while (at > 0 && m->subtotals[at - 1].shard > subtotal->shard) at--;
    memmove(m->subtotals + at + 1, m->subtotals + at, (m->subtotal_count - at) * sizeof *m->subtotals);
    m->subtotals[at] = *subtotal;
    m->subtotal_count++;
    return CLIPSPAN_OK;
}

const char *clsp_manifest_add_folder(clsp_manifest *m, const char *written, const char *directory)
{
    for (size_t f = 0; f < m->folder_count; f++)
        if (strcmp(m->folders[f].written, written) == 0) return m->folders[f].path;
    void *items = m->folders;
    bool good = make_room(&items, m->folder_count, sizeof *m->folders);
    m->folders = items;
    if (!good) return NULL;
    clsp_folder *folder = &m->folders[m->folder_count];
    folder->written = clsp_strdup(written);
    folder->path = written[0] == '/' ? clsp_strdup(written) : clsp_path_join(directory, written);
    if (folder->written != NULL && folder->path != NULL) return m->folders[m->folder_count++].path;
    clsp_free(folder->written);
    clsp_free(folder->path);
    return NULL;
}

void clsp_manifest_drop_folders(clsp_manifest *m)
{
    while (m->folder_count > 0) {
        clsp_folder *folder = &m->folders[--m->folder_count];
        clsp_free(folder->written);
        clsp_free(folder->path);
    }
}

uint64_t clsp_manifest_shards(const clsp_manifest *m)
{
    return (m->count + m->shard_images - 1) / m->shard_images;
}

void clsp_manifest_range(const clsp_manifest *m, uint64_t shard, uint64_t shards, uint64_t *first, uint64_t *count)
{
    uint64_t before = shard * m->shard_images, left = m->count - before;
    *first = m->first + before;
    *count = left / m->shard_images < shards ? left : shards * m->shard_images;
}

bool clsp_manifest_has(const clsp_manifest *m, uint64_t shard)
{
    size_t low = 0, high = m->subtotal_count; /* those that begin at or before the shard are [0, low) */
    if (m->complete) return true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->subtotals[middle].shard <= shard)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && shard - m->subtotals[low - 1].shard < m->subtotals[low - 1].shards;
}

clsp_subtotal clsp_manifest_total(const clsp_manifest *m)
{
    return (clsp_subtotal){0, clsp_manifest_shards(m), m->images, m->moments, m->neurons};
}

void clsp_part_name(char name[CLSP_STORE_NAME], const char *what, int number, int of, const char *ending)
{
    snprintf(name, CLSP_STORE_NAME, "%s-%d-of-%d%s", what, number, of, ending);
}

bool clsp_part_parse(const char *name, const char *what, const char *ending, int *number, int *of)
{
    char again[CLSP_STORE_NAME];
    size_t length = strlen(what);
    if (strncmp(name, what, length) != 0 || sscanf(name + length, "-%d-of-%d", number, of) != 2) return false;
    clsp_part_name(again, what, *number, *of, ending);
    return strcmp(name, again) == 0 && *number >= 1 && *number <= *of;
}

/* ---- the files that it names ---------------------------------------------------------------------------- */

static clipspan_status measure(clsp_store_file *file, const char *path, clipspan_error *err)
{
    struct stat about;
    if (stat(path, &about) != 0) return clsp_fail_errno(err, "%s", path);
    file->bytes = (uint64_t)about.st_size;
    return CLIPSPAN_OK;
}

clipspan_status clsp_store_file_commit(clsp_store_file *file, clsp_safetensors_writer **writer, const char *path,
                                       clipspan_error *err)
{
    clipspan_status status = clsp_safetensors_writer_commit(*writer, file->hash, err);
    *writer = NULL;
    return status == CLIPSPAN_OK ? measure(file, path, err) : status;
}

uint64_t clsp_manifest_bytes(const clsp_manifest *manifest, const char *directory)
{
    clsp_store_file own = {0};
    char *path = clsp_path_join(directory, manifest->name[0] ? manifest->name : CLSP_STORE_MANIFEST);
    if (path != NULL) measure(&own, path, NULL);
    clsp_free(path);
    uint64_t total = own.bytes + manifest->list.bytes + manifest->basis.bytes + manifest->moments.bytes +
                     manifest->neurons.bytes;
    for (size_t s = 0; s < manifest->shard_count; s++) total += manifest->shards[s].file.bytes;
    for (size_t s = 0; s < manifest->subtotal_count; s++)
        total += manifest->subtotals[s].moments.bytes + manifest->subtotals[s].neurons.bytes;
    return total;
}

#define WAY_OUT " (restore the file, or delete the store's folder and begin anew)"

char *clsp_store_file_path(const clsp_store_file *file, const char *directory)
{
    return clsp_path_join(file->folder ? file->folder : directory, file->name);
}

/* A store that is spread, and one of its folders is elsewhere by now. */
static clipspan_status check_folder(const clsp_store_file *file, const char *directory, clipspan_error *err)
{
    if (file->folder == NULL || clsp_directory_exists(file->folder)) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_IO,
                     "%s: its %s lies in the folder %s, which is not there; if it was moved, say where to: clipspan merge "
                     "FOLDER... -o %s",
                     directory, file->name, file->folder, directory);
}

clipspan_status clsp_store_file_check(const clsp_store_file *file, const char *directory, clipspan_error *err)
{
    struct stat about;
    clipspan_status status = check_folder(file, directory, err);
    if (status != CLIPSPAN_OK) return status;
    const char *folder = file->folder ? file->folder : directory;
    char *path = clsp_path_join(folder, file->name);
    if (path == NULL) return clsp_fail_memory(err);
    bool there = stat(path, &about) == 0 && S_ISREG(about.st_mode);
    clsp_free(path);
    if (!there)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is missing from the store" WAY_OUT, folder, file->name);
    if ((uint64_t)about.st_size == file->bytes) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s/%s is damaged: %llu bytes, expected %llu" WAY_OUT, folder,
                     file->name, (unsigned long long)about.st_size, (unsigned long long)file->bytes);
}

static clipspan_status check_hash(const clsp_store_file *file, const char *path, clipspan_error *err)
{
    clsp_map map;
    char hash[CLSP_HASH_HEX];
    clipspan_status status = clsp_map_open(&map, path, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_hash_hex(hash, map.bytes, map.size);
    clsp_map_close(&map);
    if (strcmp(hash, file->hash) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s is damaged: its checksum is %s, expected %s" WAY_OUT, path, hash,
                     file->hash);
}

/* The checksum first: of a damaged header the parser would say what is odd in it, not that it is damage. */
clipspan_status clsp_store_file_open(clsp_safetensors **out, const clsp_store_file *file, const char *directory,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    *out = NULL;
    CLSP_TRY(clsp_store_file_check(file, directory, err));
    CLSP_ALLOC(path, clsp_store_file_path(file, directory));
    CLSP_TRY(check_hash(file, path, err));
    CLSP_TRY(clsp_safetensors_open(out, path, err));
out:
    clsp_free(path);
    return status;
}

clipspan_status clsp_store_file_verify(const clsp_store_file *file, const char *directory, clipspan_error *err)
{
    char *path = clsp_store_file_path(file, directory);
    clipspan_status status = path ? check_hash(file, path, err) : clsp_fail_memory(err);
    clsp_free(path);
    return status;
}

clipspan_status clsp_store_file_explain(clipspan_status status, const clsp_store_file *file, const char *directory,
                                        clipspan_error *err)
{
    if (status != CLIPSPAN_ERROR_FORMAT) return status;
    clipspan_status damage = clsp_store_file_verify(file, directory, err);
    return damage != CLIPSPAN_OK ? damage : status;
}

static void shape_words(char *out, size_t size, const size_t *shape, int dims)
{
    clsp_buffer words;
    clsp_buffer_init(&words, size - 1);
    for (int d = 0; d < dims; d++)
        if (!clsp_buffer_format(&words, "%s%zu", d ? ", " : "", shape[d])) break;
    memcpy(out, words.data ? words.data : "", words.length);
    out[words.length] = '\0';
    clsp_buffer_free(&words);
}

clipspan_status clsp_store_tensor(const clsp_tensor **out, const clsp_safetensors *file, const char *name,
                                  clsp_dtype dtype, int dims, const size_t *shape, clipspan_error *err)
{
    char expected[128], found[128];
    const clsp_tensor *tensor = *out = clsp_safetensors_find(file, name);
    if (tensor == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor '%s' is missing", clsp_safetensors_path(file), name);
    if (tensor->dtype == dtype && tensor->dims == dims &&
        memcmp(tensor->shape, shape, (size_t)dims * sizeof *shape) == 0)
        return CLIPSPAN_OK;
    shape_words(expected, sizeof expected, shape, dims);
    shape_words(found, sizeof found, tensor->shape, tensor->dims);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor '%s' is %s [%s], expected %s [%s]",
                     clsp_safetensors_path(file), name, clsp_dtype_name(tensor->dtype), found, clsp_dtype_name(dtype),
                     expected);
}
