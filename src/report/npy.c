/* A float32 array in NumPy's format, at once. */
#include "clipspan/report.h"

#include "base/base.h"

clipspan_status clipspan_report_npy(const float *values, const size_t *shape, int dims, const char *path,
                                    clipspan_error *err)
{
    clipspan_npy *npy = NULL;
    clipspan_status status = clipspan_npy_create(&npy, path, shape, dims, err);
    if (status != CLIPSPAN_OK) return status;
    status = clipspan_npy_append(npy, values, shape[0], err);
    if (status == CLIPSPAN_OK) return clipspan_npy_commit(npy, err);
    clipspan_npy_discard(npy);
    return status;
}
