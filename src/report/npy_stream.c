/* A float32 npy file, streamed: the public face of formats' writer. */
#include "clipspan/report.h"

#include "base/base.h"
#include "formats/arrays.h"

struct clipspan_npy {
    clsp_npy_writer *writer;
    size_t row; /* elements a row */
};

clipspan_status clipspan_npy_create(clipspan_npy **out, const char *path, const size_t *shape, int dims,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_npy *npy = NULL;
    *out = NULL;
    if (dims < 1 || dims > CLSP_TENSOR_DIMS)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: an array of %d axes, expected 1 to %d", path, dims,
                         (int)CLSP_TENSOR_DIMS);
    CLSP_ALLOC(npy, clsp_alloc_zero(1, sizeof *npy));
    npy->row = 1;
    for (int axis = 1; axis < dims; axis++)
        if (!clsp_mul(&npy->row, npy->row, shape[axis])) CLSP_TRY(clsp_fail_memory(err));
    CLSP_TRY(clsp_npy_create(&npy->writer, path, CLSP_F32, dims, shape, err));
    *out = npy;
    npy = NULL;
out:
    clsp_free(npy);
    return status;
}

clipspan_status clipspan_npy_append(clipspan_npy *npy, const float *values, size_t rows, clipspan_error *err)
{
    size_t count;
    if (!clsp_mul(&count, rows, npy->row)) return clsp_fail_memory(err);
    return clsp_npy_append(npy->writer, values, count, err);
}

clipspan_status clipspan_npy_commit(clipspan_npy *npy, clipspan_error *err)
{
    clipspan_status status = clsp_npy_commit(npy->writer, err);
    clsp_free(npy);
    return status;
}

void clipspan_npy_discard(clipspan_npy *npy)
{
    if (npy == NULL) return;
    clsp_npy_discard(npy->writer);
    clsp_free(npy);
}
