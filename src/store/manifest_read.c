/* The manifest read: an untrusted file, so every number has its range and every name stays in the folder. */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#include "formats/json.h"

enum { MAXIMUM = 1 << 30 }; /* about 200 bytes a shard */

/* Reads members of one object; the first that is wrong sets `status`, later calls do nothing. */
typedef struct members {
    const char *path, *name; /* of the file, of the object in it */
    const clsp_json *object;
    clipspan_status status;
    clipspan_error *err;
} members;

static void wrong(members *m, const char *key, const char *expected)
{
    if (m->status == CLIPSPAN_OK)
        m->status = clsp_fail(m->err, CLIPSPAN_ERROR_FORMAT, "%s: \"%s\" of %s: expected %s", m->path, key, m->name,
                              expected);
}

static uint64_t read_count(members *m, const char *key, uint64_t least, uint64_t most)
{
    int64_t value = 0;
    if (m->status != CLIPSPAN_OK) return least;
    if (!clsp_json_int(clsp_json_get(m->object, key), &value) || value < 0 || (uint64_t)value < least ||
        (uint64_t)value > most) {
        wrong(m, key, "a whole number in its range");
        return least;
    }
    return (uint64_t)value;
}

static char *read_text(members *m, const char *key)
{
    const char *text = clsp_json_string(clsp_json_get(m->object, key));
    if (m->status != CLIPSPAN_OK) return NULL;
    if (text == NULL) {
        wrong(m, key, "a string");
        return NULL;
    }
    char *copy = clsp_strdup(text);
    if (copy == NULL) m->status = clsp_fail_memory(m->err);
    return copy;
}

static bool read_bool(members *m, const char *key)
{
    bool value = false;
    if (m->status == CLIPSPAN_OK && !clsp_json_bool(clsp_json_get(m->object, key), &value))
        wrong(m, key, "true or false");
    return value;
}

static members object_of(members *parent, const clsp_json *object, const char *name)
{
    members child = *parent;
    child.object = object;
    child.name = name;
    if (!clsp_json_is_object(object)) wrong(parent, name, "an object");
    child.status = parent->status;
    return child;
}

/* A name without folders; "" is allowed where a file may be absent. "folder" counts in the manifest's list of folders. */
static void read_file_members(members *m, const clsp_manifest *out, clsp_store_file *file, bool may_be_absent)
{
    char *name = read_text(m, "file"), *hash = read_text(m, "xxh3_128");
    file->bytes = read_count(m, "bytes", 0, INT64_MAX);
    if (clsp_json_get(m->object, "folder") != NULL && out->folder_count == 0) wrong(m, "folder", "one of \"folders\"");
    if (m->status == CLIPSPAN_OK && clsp_json_get(m->object, "folder") != NULL)
        file->folder = out->folders[read_count(m, "folder", 0, out->folder_count - 1)].path;
    if (m->status == CLIPSPAN_OK) {
        bool absent = name[0] == '\0';
        if (strlen(name) >= sizeof file->name || strchr(name, '/') != NULL || name[0] == '.' || (absent && !may_be_absent))
            wrong(m, "file", "the name of a file in the store's folder");
        else if (strlen(hash) != (absent ? 0 : CLSP_HASH_HEX - 1) || (absent && file->bytes != 0))
            wrong(m, "xxh3_128", "32 hex digits");
        else {
            if (absent) file->folder = NULL;
            strcpy(file->name, name);
            strcpy(file->hash, hash);
        }
    }
    clsp_free(name);
    clsp_free(hash);
}

/* Of a shard since version 2, of none where it has no file. */
static void read_sums(members *m, clsp_shard *shard)
{
    char *sums = read_text(m, "sums");
    if (m->status == CLIPSPAN_OK) {
        if (strlen(sums) != (shard->images > 0 ? CLSP_HASH_HEX - 1 : 0))
            wrong(m, "sums", "32 hex digits");
        else
            strcpy(shard->sums, sums);
    }
    clsp_free(sums);
}

static void read_file(members *parent, const char *key, const clsp_manifest *out, clsp_store_file *file)
{
    members m = object_of(parent, clsp_json_get(parent->object, key), key);
    read_file_members(&m, out, file, false);
    parent->status = m.status;
}

static void read_model(members *root, clsp_manifest *out)
{
    members m = object_of(root, clsp_json_get(root->object, "model"), "model");
    double scale = 0;
    out->model_name = read_text(&m, "name");
    out->model_path = read_text(&m, "path");
    out->fingerprint = read_text(&m, "fingerprint");
    out->config = read_text(&m, "config");
    out->vocab = read_text(&m, "vocab");
    out->shape.layers = (int)read_count(&m, "layers", 1, CLSP_MAX_LAYERS);
    out->shape.heads = (int)read_count(&m, "heads", 1, CLSP_MAX_WIDTH);
    out->shape.head_dim = (int)read_count(&m, "head_dim", 1, (uint64_t)(CLSP_MAX_WIDTH / out->shape.heads));
    out->shape.embed_dim = (int)read_count(&m, "embed_dim", 1, CLSP_MAX_WIDTH);
    out->shape.tokens = (int)read_count(&m, "tokens", 2, CLSP_MAX_TOKENS);
    out->image_size = (int)read_count(&m, "image_size", 1, CLSP_MAX_IMAGE);
    out->patch_size = (int)read_count(&m, "patch_size", 1, CLSP_MAX_IMAGE);
    if (!clsp_json_number(clsp_json_get(m.object, "logit_scale"), &scale)) wrong(&m, "logit_scale", "a number");
    out->logit_scale = (float)scale;
    if (clsp_json_get(m.object, "mlp_width") != NULL)
        out->mlp_width = (int)read_count(&m, "mlp_width", 1, CLSP_MAX_WIDTH);
    root->status = m.status;
}

static void read_images(members *root, clsp_manifest *out)
{
    members m = object_of(root, clsp_json_get(root->object, "images"), "images");
    out->images_path = read_text(&m, "path");
    out->images_kind = read_text(&m, "kind");
    out->exif = read_bool(&m, "exif");
    out->listed = read_count(&m, "listed", 1, INT64_MAX);
    read_file(&m, "list", out, &out->list);
    root->status = m.status;
}

static void read_parts(members *m, clsp_manifest *out)
{
    static const struct {
        const char *name;
        unsigned part;
    } known[] = {{"mlp", CLIPSPAN_PART_MLP}, {"cls", CLIPSPAN_PART_CLS}, {"tokens", CLIPSPAN_PART_TOKENS}};
    const clsp_json *parts = clsp_json_get(m->object, "parts");
    for (size_t i = 0; i < clsp_json_length(parts); i++) {
        const char *name = clsp_json_string(clsp_json_at(parts, i));
        unsigned part = 0;
        for (size_t k = 0; k < 3 && name != NULL; k++)
            if (strcmp(name, known[k].name) == 0) part = known[k].part;
        if (part == 0) wrong(m, "parts", "\"mlp\", \"cls\" and \"tokens\"");
        out->parts |= part;
    }
    if (!clsp_json_is_array(parts)) wrong(m, "parts", "an array");
}

static void read_token_layers(members *m, clsp_manifest *out)
{
    const clsp_json *layers = clsp_json_get(m->object, "token_layers");
    size_t count = clsp_json_length(layers);
    bool good = clsp_json_is_array(layers) && count <= (size_t)out->shape.layers &&
                (count > 0) == ((out->parts & CLIPSPAN_PART_TOKENS) != 0);
    if (m->status == CLIPSPAN_OK && good && (out->token_layers = clsp_alloc(count, sizeof(int))) == NULL)
        m->status = clsp_fail_memory(m->err);
    for (size_t t = 0; t < count && good && m->status == CLIPSPAN_OK; t++) {
        int64_t layer = -1;
        good = clsp_json_int(clsp_json_at(layers, t), &layer) && layer >= 0 && layer < out->shape.layers &&
               (t == 0 || layer > out->token_layers[t - 1]);
        out->token_layers[t] = (int)layer;
    }
    out->token_layer_count = good ? (int)count : 0;
    if (!good) wrong(m, "token_layers", "layers of the model in ascending order");
}

/* True for "f16" or "bf16", whichever `narrow` is; false for "f32". */
static bool read_narrow(members *m, const char *key, const char *narrow, const char *expected)
{
    char *text = read_text(m, key);
    bool found = text != NULL && strcmp(text, narrow) == 0;
    if (text != NULL && !found && strcmp(text, "f32") != 0) wrong(m, key, expected);
    clsp_free(text);
    return found;
}

static void read_options(members *root, clsp_manifest *out)
{
    members m = object_of(root, clsp_json_get(root->object, "options"), "options");
    out->half = read_narrow(&m, "dtype", "f16", "\"f32\" or \"f16\"");
    out->bf16 = read_narrow(&m, "compute", "bf16", "\"f32\" or \"bf16\"");
    read_parts(&m, out);
    read_token_layers(&m, out);
    out->moments_only = read_bool(&m, "moments_only");
    if (clsp_json_get(m.object, "neurons") != NULL)
        out->top_images = (int)read_count(&m, "neurons", 1, CLIPSPAN_NEURONS_TOP_MOST);
    if ((out->top_images > 0) != (out->mlp_width > 0)) wrong(&m, "neurons", "one with the model's mlp_width");
    out->first = read_count(&m, "first", 0, out->listed - 1);
    out->count = read_count(&m, "count", 1, out->listed - out->first);
    out->shard_images = read_count(&m, "shard_images", 1, INT32_MAX);
    out->batch = (int)read_count(&m, "batch", 1, INT32_MAX);
    root->status = m.status;
}

static void read_done(members *root, clsp_manifest *out)
{
    members m = object_of(root, clsp_json_get(root->object, "done"), "done");
    out->positions = read_count(&m, "positions", 0, out->count);
    out->images = read_count(&m, "images", 0, out->positions);
    out->skipped = read_count(&m, "skipped", out->positions - out->images, out->positions - out->images);
    out->complete = read_bool(&m, "complete");
    if (out->complete && out->positions != out->count) wrong(&m, "complete", "false, for images are missing");
    root->status = m.status;
}

/* A file of a finished store alone. */
static void read_final(members *root, const char *key, const clsp_manifest *out, clsp_store_file *file)
{
    members m = object_of(root, clsp_json_get(root->object, key), key);
    read_file_members(&m, out, file, true);
    root->status = m.status;
}

static void read_folders(members *root, clsp_manifest *out, const char *directory)
{
    const clsp_json *folders = clsp_json_get(root->object, "folders");
    if (folders != NULL && !clsp_json_is_array(folders)) wrong(root, "folders", "an array");
    for (size_t f = 0; f < clsp_json_length(folders) && root->status == CLIPSPAN_OK; f++) {
        const char *written = clsp_json_string(clsp_json_at(folders, f));
        if (written == NULL || written[0] == '\0')
            wrong(root, "folders", "names of folders");
        else if (clsp_manifest_add_folder(out, written, directory) == NULL)
            root->status = clsp_fail_memory(root->err);
    }
    if (root->status == CLIPSPAN_OK && out->folder_count != clsp_json_length(folders))
        wrong(root, "folders", "each folder once");
}

/* Nodes of the tree over all shards (subtotals.c), one after another; together they are what is done. */
static void read_subtotals(members *root, clsp_manifest *out)
{
    const clsp_json *subtotals = clsp_json_get(root->object, "subtotals");
    uint64_t next = 0, all = clsp_manifest_shards(out), positions = 0, images = 0;
    if (subtotals != NULL && !clsp_json_is_array(subtotals)) wrong(root, "subtotals", "an array");
    for (size_t s = 0; s < clsp_json_length(subtotals) && root->status == CLIPSPAN_OK; s++) {
        members m = object_of(root, clsp_json_at(subtotals, s), "subtotals");
        clsp_subtotal node = {0};
        uint64_t first, count = 0;
        node.shard = read_count(&m, "shard", next, all - 1);
        node.shards = read_count(&m, "shards", 1, all - node.shard);
        if (m.status == CLIPSPAN_OK && ((node.shards & (node.shards - 1)) != 0 || node.shard % node.shards != 0))
            wrong(&m, "shards", "a power of two that divides \"shard\"");
        clsp_manifest_range(out, node.shard, node.shards, &first, &count);
        node.images = read_count(&m, "images", 0, count);
        read_file(&m, "moments", out, &node.moments);
        if (out->top_images > 0) read_file(&m, "neurons", out, &node.neurons);
        root->status = m.status;
        if (root->status == CLIPSPAN_OK) root->status = clsp_manifest_add_subtotal(out, &node, root->err);
        next = node.shard + node.shards;
        positions += count;
        images += node.images;
        if (next == all) break;
    }
    if (out->subtotal_count != clsp_json_length(subtotals)) wrong(root, "subtotals", "nodes one after another");
    if (out->subtotal_count > 0 && (out->complete || positions != out->positions || images != out->images))
        wrong(root, "subtotals", "as many images as are done");
}

/* What is done has sums: one file of a finished store, subtotals of another. Version 1 had one file always. */
static void check_sums(members *root, const clsp_manifest *out)
{
    bool one = out->moments.name[0] != '\0', some = out->subtotal_count > 0;
    bool single = out->complete || (out->version == 1 && out->positions > 0);
    if (root->status != CLIPSPAN_OK) return;
    if (one != single || some != (out->positions > 0 && !single)) wrong(root, "moments", "a file of what is done");
    if (out->top_images > 0 && (out->neurons.name[0] != '\0') != one) wrong(root, "neurons", "a file, as of moments");
}

/* Where nothing is missing shards follow each other without a gap; else each is one that subtotals name. They add up to what
 * is done. */
static void read_shards(members *root, clsp_manifest *out)
{
    const clsp_json *shards = clsp_json_get(root->object, "shards");
    uint64_t next = 0, images = 0, positions = 0, all = clsp_manifest_shards(out);
    if (!clsp_json_is_array(shards)) wrong(root, "shards", "an array");
    for (size_t s = 0; s < clsp_json_length(shards) && root->status == CLIPSPAN_OK; s++) {
        members m = object_of(root, clsp_json_at(shards, s), "shards");
        clsp_shard shard = {0};
        uint64_t first = 0, count = 0;
        while (next < all && out->subtotal_count > 0 && !clsp_manifest_has(out, next)) next++;
        if (next == all)
            wrong(&m, "first", "no more shards");
        else
            clsp_manifest_range(out, next++, 1, &first, &count);
        shard.first = read_count(&m, "first", first, first);
        shard.count = read_count(&m, "count", count, count);
        shard.images = read_count(&m, "images", 0, shard.count);
        read_file_members(&m, out, &shard.file, true);
        if (m.status == CLIPSPAN_OK && (shard.file.name[0] != '\0') != (shard.images > 0)) wrong(&m, "file", "a file");
        if (out->version > 1) read_sums(&m, &shard);
        root->status = m.status;
        if (root->status == CLIPSPAN_OK) root->status = clsp_manifest_add_shard(out, &shard, root->err);
        positions += shard.count;
        images += shard.images;
    }
    if (positions != (out->moments_only ? 0 : out->positions) || images != (out->moments_only ? 0 : out->images))
        wrong(root, "shards", "as many images as are done");
}

static void read_all(members *root, clsp_manifest *out, const char *directory)
{
    const char *format = clsp_json_string(clsp_json_get(root->object, "format"));
    int64_t version = 0;
    if (format == NULL || strcmp(format, "clipspan store") != 0) wrong(root, "format", "\"clipspan store\"");
    if (!clsp_json_int(clsp_json_get(root->object, "version"), &version)) wrong(root, "version", "a number");
    if (root->status == CLIPSPAN_OK && (version < 1 || version > CLSP_STORE_VERSION))
        root->status = clsp_fail(root->err, CLIPSPAN_ERROR_UNSUPPORTED,
                                 "%s: store version %lld, this program reads versions 1 to %d", root->path,
                                 (long long)version, CLSP_STORE_VERSION);
    out->version = (int)version;
    if (root->status == CLIPSPAN_OK) read_model(root, out);
    if (root->status == CLIPSPAN_OK) read_images(root, out);
    if (root->status == CLIPSPAN_OK) read_options(root, out);
    if (root->status == CLIPSPAN_OK) read_folders(root, out, directory);
    if (root->status == CLIPSPAN_OK) read_file(root, "basis", out, &out->basis);
    if (root->status == CLIPSPAN_OK) read_final(root, "moments", out, &out->moments);
    if (root->status == CLIPSPAN_OK && out->top_images > 0) read_final(root, "neurons", out, &out->neurons);
    if (root->status == CLIPSPAN_OK) read_done(root, out);
    if (root->status == CLIPSPAN_OK) read_subtotals(root, out);
    if (root->status == CLIPSPAN_OK) read_shards(root, out);
    check_sums(root, out);
}

static clipspan_status parse(clsp_manifest *manifest, const char *bytes, size_t length, const char *path,
                             const char *directory, clipspan_error *err)
{
    clsp_json *json = NULL;
    *manifest = (clsp_manifest){0};
    clipspan_status status = clsp_json_parse(&json, bytes, length, path, err);
    if (status != CLIPSPAN_OK) return status;
    members root = {path, "the manifest", json, CLIPSPAN_OK, err};
    read_all(&root, manifest, directory);
    clsp_json_free(json);
    if (root.status != CLIPSPAN_OK) clsp_manifest_clear(manifest);
    return root.status;
}

clipspan_status clsp_manifest_parse(clsp_manifest *manifest, const char *bytes, size_t length, const char *name,
                                    clipspan_error *err)
{
    return parse(manifest, bytes, length, name, ".", err);
}

clipspan_status clsp_manifest_read_named(clsp_manifest *manifest, const char *directory, const char *name,
                                         clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL, *bytes = NULL;
    size_t length = 0;
    *manifest = (clsp_manifest){0};
    CLSP_ALLOC(path, clsp_path_join(directory, name));
    CLSP_TRY(clsp_file_read(&bytes, &length, path, MAXIMUM, err));
    CLSP_TRY(parse(manifest, bytes, length, path, directory, err));
    snprintf(manifest->name, sizeof manifest->name, "%s", name);
out:
    clsp_free(bytes);
    clsp_free(path);
    return status;
}

static clipspan_status count_part(void *user, const char *name, int number, int of, clipspan_error *err)
{
    int *parts = user;
    (void)name, (void)number, (void)of, (void)err;
    ++*parts;
    return CLIPSPAN_OK;
}

clipspan_status clsp_manifest_read(clsp_manifest *manifest, const char *directory, clipspan_error *err)
{
    int parts = 0;
    char *path = clsp_path_join(directory, CLSP_STORE_MANIFEST);
    if (path == NULL) return clsp_fail_memory(err);
    bool there = clsp_file_exists(path);
    clsp_free(path);
    *manifest = (clsp_manifest){0};
    if (there) return clsp_manifest_read_named(manifest, directory, CLSP_STORE_MANIFEST, err);
    clipspan_status status = clsp_store_parts(directory, count_part, &parts, err);
    if (status != CLIPSPAN_OK) return status;
    if (parts == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: not a store (it has no %s)", directory, CLSP_STORE_MANIFEST);
    return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: parts of a store (%d of them), not merged yet: clipspan merge %s",
                     directory, parts, directory);
}
