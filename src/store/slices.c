/* Slices of a shard - [I, inner], one after another in its tensors - read and held against their checksums, on all
 * threads. The tensor `sums` U8 [slices, blocks, 16] keeps the XXH3 of 128 bits of every block of 128 rows of each, in the
 * order of the file, so that who wants one layer reads and checks that layer alone, and checks while it reads; the manifest
 * keeps the checksum of `sums`. */
#include "store/store.h"

#include <string.h>

/* Block by block, so that bytes are widened out of the cache into which hashing brought them. False: a checksum differs. */
static bool take_one(const clsp_slice *slice)
{
    size_t size = slice->half ? sizeof(uint16_t) : sizeof(float);
    const unsigned char *sum = slice->sum;
    for (size_t at = 0; at < slice->bytes; at += slice->block) {
        size_t n = clsp_min(slice->block, slice->bytes - at);
        if (sum != NULL) {
            unsigned char is[CLSP_HASH_BYTES];
            clsp_hash_bytes(is, slice->from + at, n);
            if (memcmp(is, sum, sizeof is) != 0) return false;
            sum += sizeof is;
        }
        if (slice->to == NULL) continue;
        if (slice->half)
            clsp_f16_widen(slice->to + at / size, slice->from + at, n / size);
        else
            memcpy(slice->to + at / size, slice->from + at, n);
    }
    return true;
}

/* Which slice a thread takes changes no bit of what is read. */
bool clsp_slices_take(const clsp_slice *slices, size_t count)
{
    bool good = true;
#pragma omp parallel for schedule(dynamic) reduction(&& : good)
    for (size_t i = 0; i < count; i++) good = take_one(&slices[i]) && good;
    return good;
}
