/* Packed weights kept in files, so that the next start neither reads the model nor packs: one file for each model, tower,
 * type and layout of weights.
 *
 *   0   8 bytes   "CLSPPACK"
 *   8   u32       0x01020304, in the byte order of who wrote it
 *  12   u32       version, 1
 *  16   u64       bytes of the block, B
 *  24   u64       bytes of a chunk, C
 *  32   32 bytes  fingerprint of the model, hex
 *  64   32 bytes  the plan: XXH3-128, hex, of what lies where in the block, its layouts and the library's version
 *  96   n x 32    hashes of the n chunks of the block, XXH3-128, hex; zeros up to a multiple of 4,096
 *   .   B bytes   the block
 * The file is mapped, so that several processes share its pages. All of it is checked at the start, by all threads. It is
 * written beside its place and renamed, so that two who write at once leave the file of one of them; it is not synced,
 * because what a power cut leaves of it is found by the check. */
#include "engine/towers.h"

#include <string.h>

enum { HEX = CLSP_HASH_HEX - 1, PAGE = 4096, CHUNK = 1 << 22 };
enum { AT_ORDER = 8, AT_VERSION = 12, AT_BYTES = 16, AT_CHUNK = 24, AT_FINGERPRINT = 32, AT_PLAN = 64, AT_TABLE = 96 };

static size_t chunk_count(size_t bytes) { return (bytes + CHUNK - 1) / CHUNK; }

static char *path_of(const clsp_weights_key *key)
{
    return clsp_format("%s/%s-%s.weights", key->model->cache, key->model->fingerprint, key->name);
}

static size_t header_size(const clsp_weights_key *key)
{
    return (AT_TABLE + chunk_count(key->bytes) * HEX + PAGE - 1) / PAGE * PAGE;
}

/* The header that belongs to this block and key, which the caller frees; NULL: out of memory. */
static unsigned char *header_new(const unsigned char *block, const clsp_weights_key *key)
{
    const uint32_t order = 0x01020304, version = 1;
    const uint64_t bytes = key->bytes, chunk = CHUNK;
    unsigned char *header = clsp_alloc_zero(header_size(key), 1);
    if (header == NULL) return NULL;
    memcpy(header, "CLSPPACK", AT_ORDER);
    memcpy(header + AT_ORDER, &order, sizeof order);
    memcpy(header + AT_VERSION, &version, sizeof version);
    memcpy(header + AT_BYTES, &bytes, sizeof bytes);
    memcpy(header + AT_CHUNK, &chunk, sizeof chunk);
    memcpy(header + AT_FINGERPRINT, key->model->fingerprint, HEX);
    memcpy(header + AT_PLAN, key->plan, HEX);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < chunk_count(key->bytes); i++) {
        char hash[CLSP_HASH_HEX];
        clsp_hash_hex(hash, block + i * CHUNK, clsp_min(CHUNK, key->bytes - i * CHUNK));
        memcpy(header + AT_TABLE + i * HEX, hash, HEX);
    }
    return header;
}

static bool is_whole(const clsp_map *map, const clsp_weights_key *key)
{
    size_t header = header_size(key);
    if (map->size < header || map->size - header != key->bytes) return false;
    unsigned char *expected = header_new(map->bytes + header, key);
    bool same = expected != NULL && memcmp(expected, map->bytes, header) == 0;
    clsp_free(expected);
    return same;
}

const void *clsp_weights_cache_find(clsp_map *map, const clsp_weights_key *key)
{
    const void *block = NULL;
    char *path = path_of(key);
    *map = (clsp_map){0};
    if (path == NULL || !clsp_file_exists(path) || clsp_map_open(map, path, NULL) != CLIPSPAN_OK) goto out;
    if (is_whole(map, key)) {
        block = map->bytes + header_size(key);
    } else {
        clsp_model_warn(key->model, path, "damaged, or of another version: the weights are packed anew");
        clsp_map_close(map);
    }
out:
    clsp_free(path);
    return block;
}

void clsp_weights_cache_keep(const void *block, const clsp_weights_key *key)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_error problem, *err = &problem;
    clsp_output output = {0};
    unsigned char *header = NULL;
    char *path;
    CLSP_ALLOC(path, path_of(key));
    if (key->model->weights != NULL && !clsp_safetensors_unchanged(key->model->weights)) /* the fingerprint may be older */
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_IO, "%s has changed since it was opened", key->model->path));
    CLSP_ALLOC(header, header_new(block, key));
    CLSP_TRY(clsp_directory_make(key->model->cache, err));
    CLSP_TRY(clsp_output_open_file(&output, path, err));
    output.unsynced = true;
    CLSP_TRY(clsp_output_write(&output, header, header_size(key), err));
    CLSP_TRY(clsp_output_write(&output, block, key->bytes, err));
    CLSP_TRY(clsp_output_commit(&output, err));
out:
    if (status != CLIPSPAN_OK) clsp_model_warn(key->model, "packed weights are not kept for the next start", problem.message);
    clsp_output_discard(&output);
    clsp_free(header);
    clsp_free(path);
}
