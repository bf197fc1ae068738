/* A matrix of floats from NumPy's format. */
#include <math.h>
#include <stdio.h>

#include "base/base.h"
#include "clipspan/report.h"
#include "formats/arrays.h"

/* "(3, 4)", cut off where it is too long to be read. */
static void shape_text(char *out, size_t size, const clsp_array *array)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (int d = 0; d < array->dims && used < size; d++)
        used += (size_t)snprintf(out + used, size - used, d ? ", %zu" : "%zu", array->shape[d]);
    if (used < size) snprintf(out + used, size - used, array->dims == 1 ? ",)" : ")");
}

static clipspan_status check(const clsp_array *array, const char *path, clipspan_error *err)
{
    char shape[160];
    shape_text(shape, sizeof shape, array);
    if (array->dims != 2)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s: an array of shape %s, expected two axes", path, shape);
    if (array->dtype == CLSP_F16 || array->dtype == CLSP_F32 || array->dtype == CLSP_F64) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: elements of type %s, expected F16, F32 or F64", path,
                     clsp_dtype_name(array->dtype));
}

/* In pieces, so that a file of gigabytes is not in memory beside its values. */
static clipspan_status convert(float *values, const clsp_array *array, const char *path, clipspan_error *err)
{
    enum { PIECE = 1 << 20 };
    const clsp_tensor tensor = {.file = path, .name = "", .dtype = array->dtype, .count = array->count, .data = array->data};
    clipspan_status status = CLIPSPAN_OK;
    for (size_t at = 0; status == CLIPSPAN_OK && at < array->count; at += PIECE) {
        status = clsp_tensor_floats(&tensor, at, clsp_min(PIECE, array->count - at), values + at, err);
        clsp_npy_drop_pages(array);
    }
    return status;
}

static clipspan_status check_finite(const float *values, size_t rows, size_t columns, const char *path, clipspan_error *err)
{
    for (size_t i = 0; i < rows * columns; i++)
        if (!isfinite(values[i]))
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                             "%s: the value in row %zu, column %zu (from 0) is not a finite float32 number", path, i / columns,
                             i % columns);
    return CLIPSPAN_OK;
}

clipspan_status clipspan_npy_read(float **out, size_t *rows, size_t *columns, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_array array = {0};
    float *values = NULL; /* [rows, columns] */
    *out = NULL;
    CLSP_TRY(clsp_npy_open(&array, path, err));
    CLSP_TRY(check(&array, path, err));
    CLSP_ALLOC(values, clsp_alloc(array.count, sizeof *values));
    CLSP_TRY(convert(values, &array, path, err));
    CLSP_TRY(check_finite(values, array.shape[0], array.shape[1], path, err));
    *rows = array.shape[0];
    *columns = array.shape[1];
    *out = values;
    values = NULL;
out:
    clsp_free(values);
    clsp_npy_close(&array);
    return status;
}

clipspan_status clipspan_npy_map_open(clipspan_npy_map *out, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_array *array = NULL;
    *out = (clipspan_npy_map){0};
    CLSP_ALLOC(array, clsp_alloc_zero(1, sizeof *array));
    CLSP_TRY(clsp_npy_open(array, path, err));
    CLSP_TRY(check(array, path, err));
    if (array->dtype == CLSP_F64)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: elements of type F64 are not read where they lie", path));
    *out = (clipspan_npy_map){array->data, array->dtype == CLSP_F16, array->shape[0], array->shape[1], array};
    array = NULL;
out:
    if (array != NULL) clsp_npy_close(array);
    clsp_free(array);
    return status;
}

void clipspan_npy_map_drop(void *map)
{
    const clipspan_npy_map *opened = map;
    if (opened->keep != NULL) clsp_npy_drop_pages(opened->keep);
}

void clipspan_npy_map_close(clipspan_npy_map *map)
{
    if (map->keep != NULL) clsp_npy_close(map->keep);
    clsp_free(map->keep);
    *map = (clipspan_npy_map){0};
}
