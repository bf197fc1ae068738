/* Text embeddings kept in a file, one file for each model and type.
 *
 *   0   8 bytes    "CLSPTEXT"
 *   8   u32        version, 1
 *  12   u32        E
 *  16   u64        entries, n
 *  24   40 bytes   fingerprint of the model (32 hex digits), a dash, its type, NULs
 *  64   n x 32     keys, hex: XXH3-128 of a prompt's token ids (little endian i32), ascending
 *   .   n x E f32  embeddings, unit length
 *   .   32 bytes   XXH3-128, hex, of everything before
 * All little endian. The key is made from the ids, not from the text, so that another vocabulary never finds them.
 * A file that breaks any of this is as good as none, and is replaced when next something is saved. */
#include "engine/towers.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 64, KEY = CLSP_HASH_HEX - 1, OWNER = 40, VERSION = 1, MOST_ENTRIES = 1 << 20 };
static const char magic[8] = "CLSPTEXT";

struct clsp_pool_cache {
    char *path; /* NULL: this user has no place for caches */
    char owner[OWNER];
    clsp_map map;
    size_t entries, dim;
    const unsigned char *keys; /* [entries, KEY] in the mapping */
    const float *rows;         /* [entries, E] in the mapping, which is 64-byte aligned as its keys are */
};

static bool host_is_little(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static char *cache_path(const char *owner)
{
    char *folder = clsp_cache_folder(), *path = folder ? clsp_format("%s/%s.texts", folder, owner) : NULL;
    clsp_free(folder);
    return path;
}

static bool check(clsp_pool_cache *c)
{
    const unsigned char *b = c->map.bytes;
    uint32_t version, dim;
    uint64_t entries;
    size_t keys, rows, total;
    char hash[CLSP_HASH_HEX];
    if (!host_is_little() || c->map.size < HEADER + KEY || memcmp(b, magic, sizeof magic) != 0) return false;
    memcpy(&version, b + 8, sizeof version);
    memcpy(&dim, b + 12, sizeof dim);
    memcpy(&entries, b + 16, sizeof entries);
    if (version != VERSION || dim != c->dim || entries > MOST_ENTRIES || memcmp(b + 24, c->owner, OWNER) != 0)
        return false;
    if (!clsp_mul(&keys, (size_t)entries, KEY) || !clsp_mul(&rows, (size_t)entries, c->dim * sizeof(float)) ||
        !clsp_add(&total, keys, rows) || total != c->map.size - HEADER - KEY)
        return false;
    clsp_hash_hex(hash, b, c->map.size - KEY);
    if (memcmp(hash, b + c->map.size - KEY, KEY) != 0) return false;
    c->entries = (size_t)entries;
    c->keys = b + HEADER;
    c->rows = (const float *)(const void *)(b + HEADER + keys);
    return true;
}

clipspan_status clsp_pool_cache_open(clsp_pool_cache **out, const clipspan_model *model, clsp_type type,
                                     clipspan_error *err)
{
    clsp_pool_cache *c = clsp_alloc_zero(1, sizeof *c);
    *out = c;
    if (c == NULL) return clsp_fail_memory(err);
    c->dim = (size_t)model->embed_dim;
    char *owner = clsp_format("%s-%s", model->fingerprint, type == CLSP_TYPE_BF16 ? "bf16" : "f32");
    if (owner) memcpy(c->owner, owner, clsp_min(strlen(owner), OWNER - 1));
    clsp_free(owner);
    c->path = cache_path(c->owner);
    if (c->path == NULL || clsp_map_open(&c->map, c->path, NULL) != CLIPSPAN_OK) {
        c->map = (clsp_map){0};
        return CLIPSPAN_OK;
    }
    if (!check(c)) {
        clsp_map_close(&c->map);
        c->map = (clsp_map){0};
        c->entries = 0;
    }
    return CLIPSPAN_OK;
}

void clsp_pool_cache_free(clsp_pool_cache *cache)
{
    if (cache == NULL) return;
    clsp_map_close(&cache->map);
    clsp_free(cache->path);
    clsp_free(cache);
}

static void key_of(char key[CLSP_HASH_HEX], const int32_t *ids, size_t count)
{
    clsp_hash_hex(key, ids, count * sizeof *ids);
}

static int compare_keys(const void *a, const void *b) { return memcmp(a, b, KEY); }

const float *clsp_pool_cache_find(const clsp_pool_cache *cache, const int32_t *ids, size_t count)
{
    char key[CLSP_HASH_HEX];
    if (cache->entries == 0) return NULL;
    key_of(key, ids, count);
    const unsigned char *found = bsearch(key, cache->keys, cache->entries, KEY, compare_keys);
    return found ? cache->rows + (size_t)(found - cache->keys) / KEY * cache->dim : NULL;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

typedef struct entry {
    char key[CLSP_HASH_HEX];
    const float *row; /* [E] */
} entry;

static int compare_entries(const void *a, const void *b)
{
    return memcmp(((const entry *)a)->key, ((const entry *)b)->key, KEY);
}

/* Old and new entries by ascending key, each once; the old ones go when there would be too many. */
static size_t collect(entry *entries, const clsp_pool_cache *cache, const clsp_prompts *prompts, const size_t *which,
                      size_t count, const float *embeddings)
{
    size_t n = 0, unique = 0;
    for (size_t i = 0; i < count && n < MOST_ENTRIES; i++) {
        size_t p = which[i];
        key_of(entries[n].key, prompts->ids + prompts->start[p], prompts->start[p + 1] - prompts->start[p]);
        entries[n++].row = embeddings + p * cache->dim;
    }
    for (size_t i = 0; i < cache->entries && n + cache->entries - i <= MOST_ENTRIES; i++) {
        memcpy(entries[n].key, cache->keys + i * KEY, KEY);
        entries[n++].row = cache->rows + i * cache->dim;
    }
    qsort(entries, n, sizeof *entries, compare_entries);
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || compare_entries(&entries[unique - 1], &entries[i]) != 0) entries[unique++] = entries[i];
    return unique;
}

static clipspan_status put(clsp_output *output, clsp_hasher *hasher, const void *bytes, size_t length,
                           clipspan_error *err)
{
    clsp_hasher_add(hasher, bytes, length);
    return clsp_output_write(output, bytes, length, err);
}

static clipspan_status write_file(clsp_output *output, clsp_hasher *hasher, const clsp_pool_cache *cache,
                                  const entry *entries, size_t n, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    unsigned char header[HEADER] = {0};
    uint32_t version = VERSION, dim = (uint32_t)cache->dim;
    uint64_t count = n;
    char hash[CLSP_HASH_HEX];
    memcpy(header, magic, sizeof magic);
    memcpy(header + 8, &version, sizeof version);
    memcpy(header + 12, &dim, sizeof dim);
    memcpy(header + 16, &count, sizeof count);
    memcpy(header + 24, cache->owner, OWNER);
    CLSP_TRY(put(output, hasher, header, HEADER, err));
    for (size_t i = 0; i < n; i++) CLSP_TRY(put(output, hasher, entries[i].key, KEY, err));
    for (size_t i = 0; i < n; i++) CLSP_TRY(put(output, hasher, entries[i].row, cache->dim * sizeof(float), err));
    clsp_hasher_hex(hasher, hash);
    CLSP_TRY(clsp_output_write(output, hash, KEY, err));
    CLSP_TRY(clsp_output_commit(output, err));
out:
    return status;
}

static clipspan_status make_directory_of(const char *path, clipspan_error *err)
{
    char *directory = clsp_strndup(path, (size_t)(strrchr(path, '/') - path));
    if (directory == NULL) return clsp_fail_memory(err);
    clipspan_status status = clsp_directory_make(directory, err);
    clsp_free(directory);
    return status;
}

clipspan_status clsp_pool_cache_save(const clsp_pool_cache *cache, const clsp_prompts *prompts, const size_t *which,
                                     size_t count, const float *embeddings, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_output output = {0};
    clsp_hasher *hasher = NULL;
    entry *entries = NULL;
    if (cache->path == NULL || !host_is_little()) return CLIPSPAN_OK;
    CLSP_TRY(make_directory_of(cache->path, err));
    CLSP_ALLOC(entries, clsp_alloc(count + cache->entries, sizeof *entries));
    CLSP_ALLOC(hasher, clsp_hasher_new());
    size_t n = collect(entries, cache, prompts, which, count, embeddings);
    CLSP_TRY(clsp_output_open_file(&output, cache->path, err));
    CLSP_TRY(write_file(&output, hasher, cache, entries, n, err));
out:
    clsp_output_discard(&output);
    clsp_hasher_free(hasher);
    clsp_free(entries);
    return status;
}
