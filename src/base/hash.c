/* XXH3 in 128 bits: fingerprints of models, checksums of shards. This file and hash_avx2.c alone know xxhash: distributions
 * build it for the oldest processor, and with AVX2 it is three times as fast. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/hash_avx2.h"

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
    if (length == 0) return;
    if (clsp_hash_has_avx2())
        clsp_hash_update_avx2(hasher->state, bytes, length);
    else
        XXH3_128bits_update(hasher->state, bytes, length);
}

static void to_hex(char out[CLSP_HASH_HEX], XXH128_hash_t hash)
{
    snprintf(out, CLSP_HASH_HEX, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

static void to_bytes(unsigned char out[CLSP_HASH_BYTES], XXH128_hash_t hash)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(out, canonical.digest, CLSP_HASH_BYTES);
}

void clsp_hasher_hex(const clsp_hasher *hasher, char out[CLSP_HASH_HEX])
{
    to_hex(out, XXH3_128bits_digest(hasher->state));
}

void clsp_hasher_take(clsp_hasher *hasher, unsigned char out[CLSP_HASH_BYTES])
{
    to_bytes(out, XXH3_128bits_digest(hasher->state));
    XXH3_128bits_reset(hasher->state);
}

void clsp_hasher_free(clsp_hasher *hasher)
{
    if (hasher == NULL) return;
    XXH3_freeState(hasher->state);
    clsp_free(hasher);
}

static XXH128_hash_t hash_of(const void *bytes, size_t length)
{
    return clsp_hash_has_avx2() ? clsp_hash_avx2(bytes, length) : XXH3_128bits(bytes, length);
}

void clsp_hash_hex(char out[CLSP_HASH_HEX], const void *bytes, size_t length)
{
    to_hex(out, hash_of(bytes, length));
}

void clsp_hash_bytes(unsigned char out[CLSP_HASH_BYTES], const void *bytes, size_t length)
{
    to_bytes(out, hash_of(bytes, length));
}
