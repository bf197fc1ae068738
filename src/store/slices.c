/* Slices of a shard - [I, inner], one after another in its tensors - read and held against their checksums, on all
 * threads. The tensor `sums` U8 [slices, blocks, 16] keeps the XXH3 of 128 bits of every block of 128 rows of each, in the
 * order of the file, so that who wants one layer reads and checks that layer alone, and checks while it reads; the manifest
 * keeps the checksum of `sums`. */
#include "store/store.h"

#include <omp.h>
#include <string.h>

/* Bytes taken at a time, and fetched so far ahead: the processor's own fetching stops wherever a slice ends. RUN: slices that
 * a thread takes one after another, so that what was fetched ahead is for itself; fewer where there are few. */
enum { PIECE = 2048, AHEAD = 2 * PIECE, LINE = 64, RUN = 8 };

/* What lies AHEAD of a slice's byte `at`, there or in the slice that follows it; NULL: nothing. */
static const unsigned char *ahead_of(const clsp_slice *slice, const clsp_slice *last, size_t at)
{
    at += AHEAD;
    if (at >= slice->bytes && slice < last) at -= slice++->bytes;
    return at < slice->bytes ? slice->from + at : NULL;
}

/* Hashed, then widened out of the cache into which hashing brought them. */
static void take_piece(const clsp_slice *slice, size_t at, size_t n, const unsigned char *ahead, clsp_hasher *hasher)
{
    size_t size = slice->half ? sizeof(uint16_t) : sizeof(float);
    for (size_t line = 0; ahead != NULL && line < PIECE; line += LINE) __builtin_prefetch(ahead + line);
    if (slice->sum != NULL) clsp_hasher_add(hasher, slice->from + at, n);
    if (slice->to == NULL) return;
    if (slice->half)
        clsp_f16_widen(slice->to + at / size, slice->from + at, n / size);
    else
        memcpy(slice->to + at / size, slice->from + at, n);
}

/* False: a checksum differs. last: of the slices that the thread may see. */
static bool take_one(const clsp_slice *slice, const clsp_slice *last, clsp_hasher *hasher)
{
    const unsigned char *sum = slice->sum;
    for (size_t block = 0; block < slice->bytes; block += slice->block) {
        size_t end = clsp_min(block + slice->block, slice->bytes);
        for (size_t at = block; at < end; at += PIECE)
            take_piece(slice, at, clsp_min(PIECE, end - at), ahead_of(slice, last, at), hasher);
        if (sum == NULL) continue;
        unsigned char is[CLSP_HASH_BYTES];
        clsp_hasher_take(hasher, is);
        if (memcmp(is, sum, sizeof is) != 0) return false;
        sum += sizeof is;
    }
    return true;
}

/* Which slice a thread takes changes no bit of what is read. */
clipspan_status clsp_slices_take(const clipspan_store *store, size_t s, const clsp_slice *slices, size_t count,
                                 clipspan_error *err)
{
    bool good = true, room = true;
    size_t run = clsp_max(1, clsp_min(RUN, count / (RUN * (size_t)omp_get_max_threads())));
#pragma omp parallel reduction(&& : good, room)
    {
        clsp_hasher *hasher = clsp_hasher_new();
        room = hasher != NULL;
#pragma omp for schedule(dynamic, run)
        for (size_t i = 0; i < count; i++) good = room && take_one(&slices[i], &slices[count - 1], hasher) && good;
        clsp_hasher_free(hasher);
    }
    if (!room) return clsp_fail_memory(err);
    return good ? CLIPSPAN_OK : clsp_store_damaged(store, s, err);
}
