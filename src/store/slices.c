/* Slices of a shard - [I, inner], one after another in its tensors - read and held against their checksums, on all
 * threads. The tensor `sums` U8 [slices, blocks, 16] keeps the XXH3 of 128 bits of every block of 128 rows of each, in the
 * order of the file, so that who wants one layer reads and checks that layer alone, and checks while it reads; the manifest
 * keeps the checksum of `sums`. */
#include "store/store.h"

#include <omp.h>
#include <string.h>

enum { PIECE = 1 << 16 }; /* bytes at a time: they stay in a core's cache between hashing and widening */

clipspan_status clsp_slices_open(clsp_slice_reader *reader, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *reader = (clsp_slice_reader){.threads = (size_t)omp_get_max_threads()};
    CLSP_ALLOC(reader->hashers, clsp_alloc_zero(reader->threads, sizeof *reader->hashers));
    for (size_t t = 0; t < reader->threads; t++) CLSP_ALLOC(reader->hashers[t], clsp_hasher_new());
out:
    if (status != CLIPSPAN_OK) clsp_slices_close(reader);
    return status;
}

void clsp_slices_close(clsp_slice_reader *reader)
{
    for (size_t t = 0; reader->hashers != NULL && t < reader->threads; t++) clsp_hasher_free(reader->hashers[t]);
    clsp_free(reader->hashers);
    *reader = (clsp_slice_reader){0};
}

/* Bytes [at, at + n) of the slice: each block that ends among them is compared. */
static bool check_piece(clsp_hasher *hasher, const clsp_slice *slice, size_t at, size_t n)
{
    unsigned char sum[CLSP_HASH_BYTES];
    for (size_t end = at + n; at < end;) {
        size_t block = at / slice->block, take = clsp_min(end, (block + 1) * slice->block) - at;
        clsp_hasher_add(hasher, slice->from + at, take);
        at += take;
        if (at % slice->block != 0 && at != slice->bytes) continue;
        clsp_hasher_bytes(hasher, sum);
        clsp_hasher_reset(hasher);
        if (memcmp(sum, slice->sum + block * sizeof sum, sizeof sum) != 0) return false;
    }
    return true;
}

/* False: a checksum differs. */
static bool take_one(clsp_hasher *hasher, const clsp_slice *slice)
{
    size_t size = slice->half ? sizeof(uint16_t) : sizeof(float);
    clsp_hasher_reset(hasher);
    for (size_t at = 0; at < slice->bytes; at += PIECE) {
        size_t n = clsp_min(PIECE, slice->bytes - at);
        if (slice->sum != NULL && !check_piece(hasher, slice, at, n)) return false;
        if (slice->to == NULL) continue;
        if (slice->half)
            clsp_f16_widen(slice->to + at / size, slice->from + at, n / size);
        else
            memcpy(slice->to + at / size, slice->from + at, n);
    }
    return true;
}

/* Which slice a thread takes changes no bit of what is read. */
bool clsp_slices_take(const clsp_slice_reader *reader, const clsp_slice *slices, size_t count)
{
    bool good = true;
#pragma omp parallel for schedule(dynamic) num_threads((int)reader->threads) reduction(&& : good)
    for (size_t i = 0; i < count; i++) good = take_one(reader->hashers[omp_get_thread_num()], &slices[i]) && good;
    return good;
}
