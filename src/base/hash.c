/* XXH3 in 128 bits: fingerprints of models, checksums of shards. The only file that knows xxhash. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct clsp_hasher {
    XXH3_state_t *state;
};

clsp_hasher *clsp_hasher_new(void)
{
    clsp_hasher *hasher = clsp_alloc(1, sizeof *hasher);
    if (hasher == NULL) return NULL;
    hasher->state = XXH3_createState();
    if (hasher->state == NULL || XXH3_128bits_reset(hasher->state) != XXH_OK) {
        clsp_hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void clsp_hasher_add(clsp_hasher *hasher, const void *bytes, size_t length)
{
    if (length) XXH3_128bits_update(hasher->state, bytes, length);
}

static void to_hex(char out[CLSP_HASH_HEX], XXH128_hash_t hash)
{
    snprintf(out, CLSP_HASH_HEX, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

void clsp_hasher_hex(const clsp_hasher *hasher, char out[CLSP_HASH_HEX])
{
    to_hex(out, XXH3_128bits_digest(hasher->state));
}

void clsp_hasher_bytes(const clsp_hasher *hasher, unsigned char out[CLSP_HASH_BYTES])
{
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(hasher->state));
    memcpy(out, bytes.digest, CLSP_HASH_BYTES);
}

void clsp_hasher_reset(clsp_hasher *hasher)
{
    XXH3_128bits_reset(hasher->state);
}

void clsp_hasher_free(clsp_hasher *hasher)
{
    if (hasher == NULL) return;
    XXH3_freeState(hasher->state);
    clsp_free(hasher);
}

void clsp_hash_hex(char out[CLSP_HASH_HEX], const void *bytes, size_t length)
{
    to_hex(out, XXH3_128bits(bytes, length));
}
