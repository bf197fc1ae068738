/* Whether a data set has as many bytes in its file as its shape asks for. The library (1.10.8) copies a chunk that is shorter
 * than a chunk must be, and so reads past its end. */
#include "formats/hdf5_library.h"

#include "formats/arrays.h"

enum { MOST_CHUNKS = 65536, CHECKSUM = 4 };

/* A chunk may be as large as MATLAB's array; packed it may be a little larger. */
static size_t most_packed(size_t chunk) { return chunk + chunk / 8 + 4096; }

/* What the filters of `how` make of a chunk as it is stored, those aside that were skipped for it (bit i: filter i). */
static clipspan_status unpacked_length(size_t *length, hid_t how, unsigned skipped, const unsigned char *packed, size_t most,
                                       clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool plain = true; /* `packed` still begins with what the next filter gets */
    for (int i = H5Pget_nfilters(how) - 1; i >= 0 && status == CLIPSPAN_OK; i--) {
        unsigned flags;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(how, (unsigned)i, &flags, &values, NULL, 0, NULL, NULL);
        if ((skipped >> i & 1) != 0) continue;
        if (filter == H5Z_FILTER_FLETCHER32) *length -= clsp_min(*length, CHECKSUM);
        if (filter == H5Z_FILTER_DEFLATE && plain) status = clsp_inflated_length(length, packed, *length, most, err);
        if (filter == H5Z_FILTER_DEFLATE && !plain) *length = 0;
        plain = plain && filter == H5Z_FILTER_FLETCHER32;
    }
    return status;
}

typedef struct chunked {
    hid_t set, how;
    int dims;
    hsize_t shape[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    size_t bytes; /* of a chunk */
    unsigned char *packed;
} chunked;

/* 0: never written. (H5Dget_chunk_storage_size says of chunks without filters what they should be, not what they are.) */
static bool stored_size(hid_t set, const hsize_t *at, hsize_t *stored)
{
#if H5_VERSION_GE(1, 10, 5)
    unsigned skipped;
    haddr_t address;
    return H5Dget_chunk_info_by_coord(set, at, &skipped, &address, stored) >= 0;
#else
    return H5Dget_chunk_storage_size(set, at, stored) >= 0;
#endif
}

/* One that was never written is made of the fill value, and is whole. */
static clipspan_status check_chunk(const chunked *c, const hsize_t *at, bool *whole, clipspan_error *err)
{
    hsize_t stored = 0;
    uint32_t skipped = 0;
    *whole = stored_size(c->set, at, &stored);
    if (!*whole || stored == 0) return CLIPSPAN_OK;
    *whole = stored <= most_packed(c->bytes) && H5Dread_chunk(c->set, H5P_DEFAULT, at, &skipped, c->packed) >= 0;
    if (!*whole) return CLIPSPAN_OK;
    size_t length = (size_t)stored;
    clipspan_status status = unpacked_length(&length, c->how, skipped, c->packed, c->bytes + CHECKSUM, err);
    *whole = length == c->bytes;
    return status;
}

/* at: the chunk behind this one, the last dimension first; false: there is none. */
static bool next_chunk(const chunked *c, hsize_t *at)
{
    for (int d = c->dims - 1; d >= 0; d--) {
        at[d] += c->chunk[d];
        if (at[d] < c->shape[d]) return true;
        at[d] = 0;
    }
    return false;
}

static clipspan_status check_chunks(chunked *c, size_t element, bool *whole, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    hsize_t at[H5S_MAX_RANK] = {0};
    size_t count = 1;
    c->bytes = element;
    for (int d = 0; d < c->dims && *whole; d++) {
        hsize_t across = c->shape[d] / c->chunk[d] + (c->shape[d] % c->chunk[d] != 0);
        *whole = across > 0 && across <= MOST_CHUNKS / count && clsp_mul(&c->bytes, c->bytes, (size_t)c->chunk[d]);
        if (*whole) count *= (size_t)across;
    }
    if (!*whole) return CLIPSPAN_OK;
    CLSP_ALLOC(c->packed, clsp_alloc(most_packed(c->bytes), 1));
    do CLSP_TRY(check_chunk(c, at, whole, err));
    while (*whole && next_chunk(c, at));
out:
    clsp_free(c->packed);
    return status;
}

clipspan_status clsp_hdf5_whole(bool *whole, hid_t set, size_t count, size_t element, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    chunked c = {.set = set, .how = H5Dget_create_plist(set)};
    hid_t space = H5Dget_space(set);
    H5D_layout_t layout = c.how >= 0 ? H5Pget_layout(c.how) : H5D_LAYOUT_ERROR;
    hsize_t stored = H5Dget_storage_size(set);
    size_t bytes;
    *whole = space >= 0 && clsp_mul(&bytes, count, element);
    if (*whole && layout == H5D_CHUNKED) {
        c.dims = H5Sget_simple_extent_dims(space, c.shape, NULL);
        *whole = c.dims > 0 && H5Pget_chunk(c.how, H5S_MAX_RANK, c.chunk) == c.dims;
        if (*whole) status = check_chunks(&c, element, whole, err);
    } else if (*whole) /* contiguous and of no bytes: never written */
        *whole = stored >= bytes || (stored == 0 && layout == H5D_CONTIGUOUS);
    if (space >= 0) H5Sclose(space);
    if (c.how >= 0) H5Pclose(c.how);
    return status;
}
