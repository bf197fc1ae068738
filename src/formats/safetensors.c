/* Reading safetensors: one file, or the shards that an index names. The layout stands in the header.
 *
 * Every number of the header is checked before it is used: a size is multiplied with clsp_mul, a range is
 * compared with the data's size, and the tensors, sorted by offset, must tile the data exactly. */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/json.h"
#include "formats/safetensors_bytes.h"

enum { LENGTH_BYTES = 8, HEADER_MAXIMUM = 100 * 1000 * 1000, INDEX_MAXIMUM = 64 << 20 };

/* Where a tensor's bytes lie, counted from the start of the data. */
typedef struct extent {
    const char *name;
    size_t begin, end;
} extent;

typedef struct shard {
    char *path;
    clsp_map map;
    clsp_json *header;    /* the names of the tensors are borrowed from it */
    clsp_tensor *tensors; /* [count], sorted by name */
    size_t count;
    const unsigned char *data;
    size_t data_size;
} shard;

struct clsp_safetensors {
    char *path;
    shard *shards; /* [shard_count] */
    size_t shard_count;
    clsp_json *index;     /* NULL for a single file */
    clsp_tensor *tensors; /* [count], sorted by name; a single file's own, or the index's choice */
    size_t count;
};

/* ---- one file's header -------------------------------------------------------------------------------- */

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

static clipspan_status parse_length(shard *s, size_t *header, clipspan_error *err)
{
    if (s->map.size < LENGTH_BYTES)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %zu bytes, too short for a safetensors file", s->path,
                         s->map.size);
    uint64_t length = read_u64(s->map.bytes);
    if (length > HEADER_MAXIMUM)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                         "%s: a safetensors header of %llu bytes, expected at most %d (is it a safetensors file?)",
                         s->path, (unsigned long long)length, HEADER_MAXIMUM);
    if (length > s->map.size - LENGTH_BYTES)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: truncated: a header of %llu bytes in a file of %zu bytes",
                         s->path, (unsigned long long)length, s->map.size);
    *header = (size_t)length;
    s->data = s->map.bytes + LENGTH_BYTES + *header;
    s->data_size = s->map.size - LENGTH_BYTES - *header;
    return CLIPSPAN_OK;
}

static clipspan_status bad_entry(const shard *s, const char *name, const char *expected, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor '%s': expected %s", s->path, name, expected);
}

static bool get_size(const clsp_json *node, size_t *out)
{
    int64_t value;
    if (!clsp_json_int(node, &value) || value < 0 || (uint64_t)value > SIZE_MAX) return false;
    *out = (size_t)value;
    return true;
}

static clipspan_status parse_shape(const shard *s, clsp_tensor *t, const clsp_json *shape, clipspan_error *err)
{
    size_t dims = clsp_json_length(shape);
    if (!clsp_json_is_array(shape)) return bad_entry(s, t->name, "'shape', an array of sizes", err);
    if (dims > CLSP_TENSOR_DIMS)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions, expected at most %d",
                         s->path, t->name, dims, CLSP_TENSOR_DIMS);
    t->dims = (int)dims;
    t->count = 1;
    for (size_t i = 0; i < dims; i++) {
        if (!get_size(clsp_json_at(shape, i), &t->shape[i]))
            return bad_entry(s, t->name, "'shape' to hold whole numbers from 0 up", err);
        if (!clsp_mul(&t->count, t->count, t->shape[i]))
            return bad_entry(s, t->name, "a shape whose product fits 64 bits", err);
    }
    return CLIPSPAN_OK;
}

/* Checks that the range lies within the data and has the length that shape and type ask for. */
static clipspan_status parse_range(const shard *s, const clsp_tensor *t, size_t element, const clsp_json *offsets,
                                   extent *range, clipspan_error *err)
{
    size_t bytes;
    if (!clsp_json_is_array(offsets) || clsp_json_length(offsets) != 2 ||
        !get_size(clsp_json_at(offsets, 0), &range->begin) || !get_size(clsp_json_at(offsets, 1), &range->end) ||
        range->end < range->begin)
        return bad_entry(s, t->name, "'data_offsets', a begin and an end in that order", err);
    if (range->end > s->data_size)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                         "%s: truncated: tensor '%s' ends at byte %zu of the data, which has %zu", s->path, t->name,
                         range->end, s->data_size);
    if (!clsp_mul(&bytes, t->count, element)) return bad_entry(s, t->name, "a size that fits 64 bits", err);
    if (bytes != range->end - range->begin)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                         "%s: tensor '%s': its shape asks for %zu bytes, its offsets give %zu", s->path, t->name,
                         bytes, range->end - range->begin);
    return CLIPSPAN_OK;
}

static clipspan_status parse_tensor(const shard *s, clsp_tensor *t, extent *range, const clsp_json *entry,
                                    clipspan_error *err)
{
    const char *type = clsp_json_string(clsp_json_get(entry, "dtype"));
    if (type == NULL) return bad_entry(s, t->name, "'dtype', a string", err);
    size_t element = clsp_dtype_parse(&t->dtype, type);
    if (element == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: tensor '%s' has the unknown dtype '%s'", s->path,
                         t->name, type);
    clipspan_status status = parse_shape(s, t, clsp_json_get(entry, "shape"), err);
    if (status != CLIPSPAN_OK) return status;
    status = parse_range(s, t, element, clsp_json_get(entry, "data_offsets"), range, err);
    range->name = t->name;
    if (status != CLIPSPAN_OK) return status;
    t->data = s->data + range->begin;
    t->offset = s->map.size - s->data_size + range->begin;
    return CLIPSPAN_OK;
}

/* ---- the tensors of a file tile its data -------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end; /* an empty tensor stands before a full one */
}

/* No hole, no overlap, nothing behind the last: what the format's own reader asks for. */
static clipspan_status check_tiling(const shard *s, extent *ranges, clipspan_error *err)
{
    size_t at = 0;
    const char *before = "the header";
    qsort(ranges, s->count, sizeof *ranges, by_offset);
    for (size_t i = 0; i < s->count; i++) {
        if (ranges[i].begin != at)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                             "%s: %s: tensor '%s' begins at byte %zu of the data, expected %zu, the end of %s",
                             s->path, ranges[i].begin < at ? "overlap" : "hole", ranges[i].name, ranges[i].begin, at,
                             before);
        at = ranges[i].end;
        before = ranges[i].name;
    }
    if (at == s->data_size) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: its tensors end at byte %zu of the data, which has %zu", s->path,
                     at, s->data_size);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const clsp_tensor *)a)->name, ((const clsp_tensor *)b)->name);
}

static clipspan_status parse_tensors(shard *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    extent *ranges = NULL;
    CLSP_ALLOC(ranges, clsp_alloc(clsp_json_length(s->header), sizeof *ranges));
    CLSP_ALLOC(s->tensors, clsp_alloc(clsp_json_length(s->header), sizeof *s->tensors));
    for (void *m = clsp_json_first(s->header); m; m = clsp_json_next(s->header, m)) {
        if (strcmp(clsp_json_key(m), "__metadata__") == 0) continue;
        clsp_tensor *t = &s->tensors[s->count];
        *t = (clsp_tensor){.name = clsp_json_key(m), .file = s->path};
        CLSP_TRY(parse_tensor(s, t, &ranges[s->count], clsp_json_value(m), err));
        s->count++;
    }
    CLSP_TRY(check_tiling(s, ranges, err));
    qsort(s->tensors, s->count, sizeof *s->tensors, by_name);
out:
    clsp_free(ranges);
    return status;
}

/* Takes the shard's map as it is. */
static clipspan_status parse_shard(shard *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t length = 0;
    CLSP_TRY(parse_length(s, &length, err));
    CLSP_TRY(clsp_json_parse(&s->header, (const char *)s->map.bytes + LENGTH_BYTES, length, s->path, err));
    if (!clsp_json_is_object(s->header))
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: its safetensors header is no JSON object", s->path);
    else
        status = parse_tensors(s, err);
out:
    return status;
}

/* ---- a header that another file has too ---------------------------------------------------------------- */

static bool same_header(const shard *s, const shard *like)
{
    size_t length = (size_t)(like->data - like->map.bytes);
    return s->map.size == like->map.size && memcmp(s->map.bytes, like->map.bytes, length) == 0;
}

/* What was found of `like` holds, at this file's place in memory. */
static clipspan_status take_header(shard *s, const shard *like, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    s->data = s->map.bytes + (like->data - like->map.bytes);
    s->data_size = like->data_size;
    CLSP_ALLOC(s->tensors, clsp_alloc(like->count, sizeof *s->tensors));
    s->header = clsp_json_share(like->header);
    s->count = like->count;
    for (size_t i = 0; i < s->count; i++) {
        s->tensors[i] = like->tensors[i];
        s->tensors[i].file = s->path;
        s->tensors[i].data = s->map.bytes + s->tensors[i].offset;
    }
out:
    return status;
}

static void free_shard(shard *s)
{
    clsp_free(s->tensors);
    clsp_json_free(s->header);
    clsp_map_close(&s->map);
    clsp_free(s->path);
}

/* ---- a single file ------------------------------------------------------------------------------------ */

static clsp_safetensors *new_file(const char *path, size_t shards)
{
    clsp_safetensors *file = clsp_alloc_zero(1, sizeof *file);
    if (file == NULL) return NULL;
    file->path = clsp_strdup(path);
    file->shards = clsp_alloc_zero(shards, sizeof *file->shards);
    if (file->path != NULL && file->shards != NULL) return file;
    clsp_safetensors_free(file);
    return NULL;
}

/* Opens path, or takes `given` bytes in its place, as the file's next shard. like: may have the same header; or NULL. */
static clipspan_status add_shard(clsp_safetensors *file, const char *path, const clsp_map *given, const shard *like,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    shard *s = &file->shards[file->shard_count++];
    CLSP_ALLOC(s->path, clsp_strdup(path));
    if (given != NULL)
        s->map = *given;
    else
        CLSP_TRY(clsp_map_open(&s->map, path, err));
    status = like != NULL && same_header(s, like) ? take_header(s, like, err) : parse_shard(s, err);
out:
    return status;
}

static clipspan_status open_one(clsp_safetensors **out, const char *path, const clsp_map *given, const shard *like,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors *file = NULL;
    *out = NULL;
    CLSP_ALLOC(file, new_file(path, 1));
    CLSP_TRY(add_shard(file, path, given, like, err));
    file->tensors = file->shards[0].tensors;
    file->count = file->shards[0].count;
    *out = file;
    file = NULL;
out:
    clsp_safetensors_free(file);
    return status;
}

clipspan_status clsp_safetensors_open(clsp_safetensors **out, const char *path, clipspan_error *err)
{
    return open_one(out, path, NULL, NULL, err);
}

clipspan_status clsp_safetensors_open_like(clsp_safetensors **out, const char *path, const clsp_safetensors *like,
                                           clipspan_error *err)
{
    return open_one(out, path, NULL, like != NULL ? &like->shards[0] : NULL, err);
}

clipspan_status clsp_safetensors_parse(clsp_safetensors **out, const void *bytes, size_t size, const char *name,
                                       clipspan_error *err)
{
    return open_one(out, name, &(clsp_map){.bytes = bytes, .size = size}, NULL, err);
}

void clsp_safetensors_free(clsp_safetensors *file)
{
    if (file == NULL) return;
    if (file->index != NULL) clsp_free(file->tensors);
    for (size_t i = 0; i < file->shard_count; i++) free_shard(&file->shards[i]);
    clsp_free(file->shards);
    clsp_json_free(file->index);
    clsp_free(file->path);
    clsp_free(file);
}

/* ---- an index and its shards -------------------------------------------------------------------------- */

/* A shard stands beside its index. Anything that could lead elsewhere is refused: the index came from outside. */
static bool plain_name(const char *name)
{
    return name != NULL && *name != '\0' && name[0] != '.' && strpbrk(name, "/\\") == NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct shard names of the weight map, sorted: names[0 .. *count). */
static clipspan_status list_shards(const char **names, size_t *count, const clsp_json *map, const char *path,
                                   clipspan_error *err)
{
    size_t n = 0;
    for (void *m = clsp_json_first(map); m; m = clsp_json_next(map, m)) {
        const char *name = clsp_json_string(clsp_json_value(m));
        if (!plain_name(name))
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                             "%s: tensor '%s' is said to be in '%s', expected the name of a file beside the index",
                             path, clsp_json_key(m), name ? name : "(no string)");
        names[n++] = name;
    }
    qsort(names, n, sizeof *names, by_text);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0) names[(*count)++] = names[i];
    return CLIPSPAN_OK;
}

static const clsp_tensor *find_in(const clsp_tensor *tensors, size_t count, const char *name)
{
    clsp_tensor wanted = {.name = name};
    return count ? bsearch(&wanted, tensors, count, sizeof *tensors, by_name) : NULL;
}

static const shard *find_shard(const clsp_safetensors *file, const char *const *names, const char *name)
{
    const char *const *found = bsearch(&name, names, file->shard_count, sizeof *names, by_text);
    return found ? &file->shards[found - names] : NULL;
}

static clipspan_status open_shards(clsp_safetensors *file, const char *const *names, size_t count,
                                   clipspan_error *err)
{
    const char *slash = strrchr(file->path, '/');
    char *folder = NULL, *path = NULL;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(folder, clsp_strndup(file->path, slash ? (size_t)(slash - file->path) + 1 : 0));
    for (size_t i = 0; i < count; i++) {
        clsp_free(path);
        CLSP_ALLOC(path, clsp_path_join(folder, names[i]));
        if (!clsp_file_exists(path)) {
            status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: missing, though %s names it", path, file->path);
            goto out;
        }
        CLSP_TRY(add_shard(file, path, NULL, NULL, err));
    }
out:
    clsp_free(folder);
    clsp_free(path);
    return status;
}

/* Takes from every shard the tensors that the index places there. */
static clipspan_status choose_tensors(clsp_safetensors *file, const clsp_json *map, const char *const *names,
                                      clipspan_error *err)
{
    for (void *m = clsp_json_first(map); m; m = clsp_json_next(map, m)) {
        const shard *s = find_shard(file, names, clsp_json_string(clsp_json_value(m)));
        const clsp_tensor *found = s ? find_in(s->tensors, s->count, clsp_json_key(m)) : NULL;
        if (found == NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: lacks tensor '%s', which %s promises there",
                             s ? s->path : file->path, clsp_json_key(m), file->path);
        file->tensors[file->count++] = *found;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    return CLIPSPAN_OK;
}

static clipspan_status read_index(clsp_safetensors *file, const clsp_json *map, const char **names,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t shards = 0;
    CLSP_TRY(list_shards(names, &shards, map, file->path, err));
    clsp_free(file->shards);
    CLSP_ALLOC(file->shards, clsp_alloc_zero(shards, sizeof *file->shards));
    CLSP_ALLOC(file->tensors, clsp_alloc(clsp_json_length(map), sizeof *file->tensors));
    CLSP_TRY(open_shards(file, names, shards, err));
    CLSP_TRY(choose_tensors(file, map, names, err));
out:
    return status;
}

clipspan_status clsp_safetensors_open_index(clsp_safetensors **out, const char *index_path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors *file = NULL;
    const char **names = NULL;
    *out = NULL;
    CLSP_ALLOC(file, new_file(index_path, 0));
    CLSP_TRY(clsp_json_open(&file->index, index_path, INDEX_MAXIMUM, err));
    const clsp_json *map = clsp_json_get(file->index, "weight_map");
    if (!clsp_json_is_object(map) || clsp_json_length(map) == 0) {
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: expected 'weight_map', an object of tensor names",
                           index_path);
        goto out;
    }
    CLSP_ALLOC(names, clsp_alloc(clsp_json_length(map), sizeof *names));
    CLSP_TRY(read_index(file, map, names, err));
    *out = file;
    file = NULL;
out:
    clsp_free(names);
    clsp_safetensors_free(file);
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------------- */

size_t clsp_safetensors_count(const clsp_safetensors *file)
{
    return file->count;
}

const clsp_tensor *clsp_safetensors_at(const clsp_safetensors *file, size_t i)
{
    return i < file->count ? &file->tensors[i] : NULL;
}

const clsp_tensor *clsp_safetensors_find(const clsp_safetensors *file, const char *name)
{
    return find_in(file->tensors, file->count, name);
}

const char *clsp_safetensors_metadata(const clsp_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->shard_count; i++) {
        const clsp_json *metadata = clsp_json_get(file->shards[i].header, "__metadata__");
        const char *value = clsp_json_string(clsp_json_get(metadata, key));
        if (value != NULL) return value;
    }
    return NULL;
}

const char *clsp_safetensors_path(const clsp_safetensors *file)
{
    return file->path;
}

void clsp_safetensors_drop_pages(const clsp_safetensors *file)
{
    for (size_t i = 0; i < file->shard_count; i++) {
        const clsp_map *map = &file->shards[i].map;
        if (map->mapping != NULL) madvise(map->mapping, map->size, MADV_DONTNEED);
    }
}

void clsp_safetensors_drop_tensor(const clsp_safetensors *file, const clsp_tensor *tensor)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = tensor->count * clsp_dtype_size(tensor->dtype);
    for (size_t i = 0; i < file->shard_count; i++) {
        const clsp_map *map = &file->shards[i].map;
        uintptr_t begin = (uintptr_t)map->bytes, data = (uintptr_t)tensor->data;
        if (map->mapping == NULL || data < begin || data - begin >= map->size) continue;
        size_t first = (data - begin + page - 1) / page * page, last = (data - begin + bytes) / page * page; /* whole ones */
        if (first < last) madvise((char *)map->mapping + first, last - first, MADV_DONTNEED);
        return;
    }
}

bool clsp_safetensors_identify(const clsp_safetensors *file, clsp_hasher *hasher)
{
    bool settled = true;
    for (size_t i = 0; i < file->shard_count; i++) {
        const clsp_map *map = &file->shards[i].map;
        const uint64_t about[] = {map->file.device, map->file.inode, map->size, map->file.modified, map->file.changed};
        clsp_hasher_add(hasher, about, sizeof about);
        settled = settled && map->file.settled;
    }
    return settled;
}

static bool is_unchanged(const shard *s)
{
    const clsp_map *was = &s->map;
    clsp_map now;
    if (clsp_map_open(&now, s->path, NULL) != CLIPSPAN_OK) return false;
    bool same = now.size == was->size && now.file.device == was->file.device && now.file.inode == was->file.inode &&
                now.file.modified == was->file.modified && now.file.changed == was->file.changed;
    clsp_map_close(&now);
    return same;
}

bool clsp_safetensors_unchanged(const clsp_safetensors *file)
{
    for (size_t i = 0; i < file->shard_count; i++)
        if (!is_unchanged(&file->shards[i])) return false;
    return true;
}

/* Shards are chained in the order of their names: hash(hash of the shards before + hash of this one). */
void clsp_safetensors_hash(const clsp_safetensors *file, char hash[CLSP_HASH_HEX])
{
    char chain[2 * CLSP_HASH_HEX];
    for (size_t i = 0; i < file->shard_count; i++) {
        char own[CLSP_HASH_HEX];
        clsp_hash_hex(own, file->shards[i].map.bytes, file->shards[i].map.size);
        memcpy(chain + CLSP_HASH_HEX - 1, own, sizeof own);
        if (i == 0)
            memcpy(hash, own, sizeof own);
        else
            clsp_hash_hex(hash, chain, 2 * (CLSP_HASH_HEX - 1));
        memcpy(chain, hash, CLSP_HASH_HEX - 1);
    }
}
