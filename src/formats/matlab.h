/* formats/matlab.h - cell arrays of bytes out of MATLAB v7.3 files.
 *
 * Such a file is HDF5 behind 512 bytes of MATLAB's own header. A cell array is a data set of object references, [1, n] or
 * [n, 1]; a reference leads to the cell's array. MATLAB counts its first index fastest and HDF5 its last, so an array that
 * is H x W x 3 to MATLAB is [3, W, H] here. Untrusted input: sizes are bounded before anything is allocated, filters that
 * MATLAB does not write, other files' storage and links out of the file are refused.
 */
#ifndef CLSP_FORMATS_MATLAB_H
#define CLSP_FORMATS_MATLAB_H

#include "base/base.h"

/* Safe to share between threads: HDF5 is entered by one at a time. */
typedef struct clsp_matlab clsp_matlab;
clipspan_status clsp_matlab_open(clsp_matlab **out, const char *path, clipspan_error *err);
/* The same from bytes, which are copied; `name` for messages. */
clipspan_status clsp_matlab_parse(clsp_matlab **out, const void *bytes, size_t size, const char *name,
                                  clipspan_error *err);
void clsp_matlab_close(clsp_matlab *file);

/* The references of the cell array at `field`, such as "value/img"; the caller frees them. */
clipspan_status clsp_matlab_cells(const clsp_matlab *file, const char *field, uint64_t **references, size_t *count,
                                  clipspan_error *err);

enum { CLSP_MATLAB_DIMS = 3 };
typedef struct clsp_matlab_array {
    int dims; /* 2 or 3 */
    size_t shape[CLSP_MATLAB_DIMS]; /* in HDF5's order: [W, H] or [planes, W, H] */
    unsigned char *data; /* freed with clsp_free; NULL where only the shape was asked for */
} clsp_matlab_array;
/* What a reference leads to: an array of uint8 (or logical), directly or through one more cell. `name` of the cell for
 * messages. Where `with_data` is false only the shape is read. */
clipspan_status clsp_matlab_array_read(clsp_matlab_array *out, const clsp_matlab *file, uint64_t reference,
                                       const char *name, bool with_data, clipspan_error *err);

#endif
