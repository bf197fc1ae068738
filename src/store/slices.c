/* Slices of a shard - [I, inner], one after another in its tensors - read and held against their checksums, on all
 * threads. The tensor `sums` U8 [slices, blocks, 16] keeps the XXH3 of 128 bits of every block of 128 rows of each, in the
 * order of the file, so that who wants one layer reads and checks that layer alone, and checks while it reads; the manifest
 * keeps the checksum of `sums`. */
#include "store/store.h"

#include <omp.h>
#include <string.h>

enum { PIECE = 1 << 18 }; /* read at a time: stays in a core's cache until it is widened or hashed */

clipspan_status clsp_slices_open(clsp_slice_reader *reader, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *reader = (clsp_slice_reader){.pieces.handle = -1, .threads = (size_t)omp_get_max_threads()};
    CLSP_ALLOC(reader->scratch, clsp_alloc_aligned(reader->threads, PIECE));
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
    clsp_free(reader->scratch);
    clsp_pieces_close(&reader->pieces);
    *reader = (clsp_slice_reader){.pieces.handle = -1};
}

/* Bytes [at, at + n) of the slice, which lie in `bytes`: each block that ends among them is compared. */
static bool check_piece(clsp_hasher *hasher, const clsp_slice *slice, size_t at, const unsigned char *bytes, size_t n)
{
    unsigned char sum[CLSP_HASH_BYTES];
    for (size_t end = at + n; at < end;) {
        size_t block = at / slice->block, take = clsp_min(end, (block + 1) * slice->block) - at;
        clsp_hasher_add(hasher, bytes, take);
        at += take;
        bytes += take;
        if (at % slice->block != 0 && at != slice->bytes) continue;
        clsp_hasher_bytes(hasher, sum);
        clsp_hasher_reset(hasher);
        if (memcmp(sum, slice->sum + block * sizeof sum, sizeof sum) != 0) return false;
    }
    return true;
}

/* In pieces through the thread's scratch; what is wanted as it lies in the file comes straight to its place. */
static clipspan_status take_one(const clsp_slice_reader *reader, const clsp_slice *slice, clipspan_error *err)
{
    size_t thread = (size_t)omp_get_thread_num(), size = slice->half ? sizeof(uint16_t) : sizeof(float);
    bool straight = slice->to != NULL && !slice->half;
    clsp_hasher_reset(reader->hashers[thread]);
    for (size_t at = 0; at < slice->bytes; at += PIECE) {
        size_t n = clsp_min(PIECE, slice->bytes - at);
        float *to = slice->to ? slice->to + at / size : NULL;
        unsigned char *bytes = straight ? (unsigned char *)to : reader->scratch + thread * PIECE;
        clipspan_status status = clsp_pieces_read(&reader->pieces, bytes, n, slice->offset + at, err);
        if (status != CLIPSPAN_OK) return status;
        if (slice->sum != NULL && !check_piece(reader->hashers[thread], slice, at, bytes, n))
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the bytes from %llu on do not have their checksum",
                             reader->pieces.path, (unsigned long long)slice->offset);
        if (to != NULL && !straight) clsp_f16_widen(to, bytes, n / size);
    }
    return CLIPSPAN_OK;
}

/* Which slice a thread takes changes no bit of what is read. Of several failures the first in the list is told. */
clipspan_status clsp_slices_take(const clsp_slice_reader *reader, const clsp_slice *slices, size_t count,
                                 clipspan_error *err)
{
    size_t worst = SIZE_MAX;
    clipspan_status status = CLIPSPAN_OK;
#pragma omp parallel for schedule(dynamic) num_threads((int)reader->threads)
    for (size_t i = 0; i < count; i++) {
        clipspan_error own;
        clipspan_status failed = take_one(reader, &slices[i], &own);
        if (failed == CLIPSPAN_OK) continue;
#pragma omp critical(clsp_slices)
        if (i < worst) {
            worst = i;
            status = failed;
            if (err != NULL) *err = own;
        }
    }
    return status;
}
