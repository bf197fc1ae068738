/* formats/arrays.h - arrays for other programs: NumPy's npy (version 1.0) and HDF5; and gzip in.
 *
 * npy:  0 "\x93NUMPY" 1 0   8 u16 header length   10 header (Python dict, padded with spaces to a multiple of 64,
 *       newline last)   then the data, C order, little endian.
 */
#ifndef CLSP_FORMATS_ARRAYS_H
#define CLSP_FORMATS_ARRAYS_H

#include "formats/safetensors.h"

typedef struct clsp_array {
    clsp_dtype dtype;
    int dims;
    size_t shape[CLSP_TENSOR_DIMS];
    size_t count;
    const void *data;
    clsp_map map; /* what data points into */
} clsp_array;
/* Maps an npy file (versions 1 to 3; little endian, C order; f2 f4 f8 i1 i2 i4 i8 u1 b1). Data are 64-byte aligned
 * where NumPy (1.14 and later) or clsp_npy_create wrote the file; other writers promise nothing. */
clipspan_status clsp_npy_open(clsp_array *array, const char *path, clipspan_error *err);
void clsp_npy_close(clsp_array *array);
/* Tells the system that the mapped pages are not needed for now (they come back when touched). */
void clsp_npy_drop_pages(const clsp_array *array);

/* Streams an npy file: rows of the leading axis may be appended in any pieces; the shape is fixed at the start,
 * except that shape[0] = SIZE_MAX means "as many as come" (the header is written again at the commit). */
typedef struct clsp_npy_writer clsp_npy_writer;
clipspan_status clsp_npy_create(clsp_npy_writer **out, const char *path, clsp_dtype dtype, int dims,
                                const size_t *shape, clipspan_error *err);
clipspan_status clsp_npy_append(clsp_npy_writer *writer, const void *values, size_t count, clipspan_error *err);
clipspan_status clsp_npy_commit(clsp_npy_writer *writer, clipspan_error *err); /* frees the writer either way */
void clsp_npy_discard(clsp_npy_writer *writer);

/* One HDF5 file of several data sets, each streamed along its leading axis in any order of data sets. Written
 * beside its place and renamed by commit, which asks that every row was written once. No BF16 (HDF5 has none).
 * The HDF5 library is global state: all calls here hold one lock, its error printing is off while they run, and a
 * failed write never reaches it (hdf5.c says why). No file holds the time of day: the
 * same content gives the same bytes. */
typedef struct clsp_hdf5_writer clsp_hdf5_writer;
clipspan_status clsp_hdf5_create(clsp_hdf5_writer **out, const char *path, clipspan_error *err);
clipspan_status clsp_hdf5_dataset(clsp_hdf5_writer *writer, const char *name, clsp_dtype dtype, int dims,
                                  const size_t *shape, clipspan_error *err);
/* count elements = whole rows of the leading axis, at row `first_row`. */
clipspan_status clsp_hdf5_write(clsp_hdf5_writer *writer, const char *name, size_t first_row, size_t rows,
                                const void *values, clipspan_error *err);
/* A data set of strings [count], whole at once; what `get` gives need stay only until it is asked 256 strings on. */
typedef const char *(*clsp_string_fn)(const void *user, size_t i);
clipspan_status clsp_hdf5_strings(clsp_hdf5_writer *writer, const char *name, size_t count, clsp_string_fn get,
                                  const void *user, clipspan_error *err);
clipspan_status clsp_hdf5_attribute(clsp_hdf5_writer *writer, const char *key, const char *value,
                                    clipspan_error *err);
clipspan_status clsp_hdf5_commit(clsp_hdf5_writer *writer, clipspan_error *err);
void clsp_hdf5_discard(clsp_hdf5_writer *writer);

/* Unpacks a gzip file of at most `maximum` unpacked bytes; NUL-terminated, caller frees. */
clipspan_status clsp_gzip_read(char **out, size_t *size, const char *path, size_t maximum, clipspan_error *err);
/* Bytes that a zlib stream unpacks to; 0 where it is damaged, cut off or unpacks to more than `maximum`. */
clipspan_status clsp_inflated_length(size_t *out, const unsigned char *bytes, size_t size, size_t maximum,
                                     clipspan_error *err);

#endif
