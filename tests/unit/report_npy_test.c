/* Matrices of floats from npy files: three types, and what is refused. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clipspan/report.h"
#include "formats/arrays.h"
#include "scratch.h"

static const char *written(const char *name, clsp_dtype dtype, int dims, const size_t *shape, const void *values, size_t count)
{
    const char *path = scratch(name);
    clsp_npy_writer *writer = NULL;
    assert_int_equal(clsp_npy_create(&writer, path, dtype, dims, shape, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(writer, values, count, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_commit(writer, NULL), CLIPSPAN_OK);
    return path;
}

static const size_t two_by_three[] = {2, 3};

static void assert_read(const char *path, const float *expected)
{
    float *values = NULL;
    size_t rows = 0, columns = 0;
    clipspan_error err;
    if (clipspan_npy_read(&values, &rows, &columns, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(rows, 2);
    assert_int_equal(columns, 3);
    assert_memory_equal(values, expected, 6 * sizeof *expected);
    free(values);
}

static void types(void **state)
{
    (void)state;
    static const float expected[] = {1, -2, 0.5F, 0x1p-24F, 65504, -0.0F};
    static const uint16_t halves[] = {0x3c00, 0xc000, 0x3800, 0x0001, 0x7bff, 0x8000};
    double wide[6];
    for (size_t i = 0; i < 6; i++) wide[i] = (double)expected[i];
    assert_read(written("f2.npy", CLSP_F16, 2, two_by_three, halves, 6), expected);
    assert_read(written("f4.npy", CLSP_F32, 2, two_by_three, expected, 6), expected);
    assert_read(written("f8.npy", CLSP_F64, 2, two_by_three, wide, 6), expected);
}

static void assert_refused(const char *path, clipspan_status expected, const char *message)
{
    clipspan_error err;
    float *values = (float *)&err;
    size_t rows, columns;
    assert_int_equal(clipspan_npy_read(&values, &rows, &columns, path, &err), expected);
    assert_null(values);
    assert_message(err, message);
}

static void refused(void **state)
{
    (void)state;
    static const size_t deep[] = {2, 1, 3};
    static const int32_t whole[6] = {0};
    float numbers[] = {1, 2, 3, 4, 5, 6};
    double wide[] = {1, 2, 3, 4, 2.0 * (double)FLT_MAX, 6};
    assert_refused(written("a.npy", CLSP_F32, 3, deep, numbers, 6), CLIPSPAN_ERROR_MISMATCH,
                   "a.npy: an array of shape (2, 1, 3), expected two axes");
    assert_refused(written("b.npy", CLSP_F32, 1, (const size_t[]){6}, numbers, 6), CLIPSPAN_ERROR_MISMATCH, "(6,)");
    assert_refused(written("c.npy", CLSP_F32, 0, NULL, numbers, 1), CLIPSPAN_ERROR_MISMATCH, "shape ()");
    assert_refused(written("d.npy", CLSP_I32, 2, two_by_three, whole, 6), CLIPSPAN_ERROR_UNSUPPORTED,
                   "d.npy: elements of type I32");
    assert_refused(written("e.npy", CLSP_F64, 2, two_by_three, wide, 6), CLIPSPAN_ERROR_FORMAT, "row 1, column 1 (from 0)");
    numbers[2] = NAN;
    assert_refused(written("f.npy", CLSP_F32, 2, two_by_three, numbers, 6), CLIPSPAN_ERROR_FORMAT, "row 0, column 2 (from 0)");
    numbers[2] = -INFINITY;
    assert_refused(written("g.npy", CLSP_F32, 2, two_by_three, numbers, 6), CLIPSPAN_ERROR_FORMAT, "row 0, column 2 (from 0)");
    assert_refused(scratch_write("h.npy", "\x93NUMPY", 6), CLIPSPAN_ERROR_FORMAT, "h.npy: not an npy file");
    assert_refused(scratch("none.npy"), CLIPSPAN_ERROR_IO, "none.npy");
}

static void no_rows(void **state)
{
    (void)state;
    float *values = NULL;
    size_t rows = 1, columns = 1;
    const char *path = written("empty.npy", CLSP_F32, 2, (const size_t[]){0, 3}, "", 0);
    assert_int_equal(clipspan_npy_read(&values, &rows, &columns, path, NULL), CLIPSPAN_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(columns, 3);
    free(values);
}

/* More than is converted at a time. */
static void many_rows(void **state)
{
    (void)state;
    enum { ROWS = 350001, COLUMNS = 7 };
    size_t count = (size_t)ROWS * COLUMNS, rows = 0, columns = 0;
    double *wide = malloc(count * sizeof *wide);
    float *values = NULL;
    assert_non_null(wide);
    for (size_t i = 0; i < count; i++) wide[i] = (double)i - 5;
    const char *path = written("many.npy", CLSP_F64, 2, (const size_t[]){ROWS, COLUMNS}, wide, count);
    assert_int_equal(clipspan_npy_read(&values, &rows, &columns, path, NULL), CLIPSPAN_OK);
    assert_int_equal(rows, ROWS);
    for (size_t i = 0; i < count; i++)
        if (values[i] != (float)wide[i]) fail_msg("element %zu is %g", i, (double)values[i]);
    assert_int_equal(remove(path), 0);
    free(values);
    free(wide);
}

static clipspan_status read_once(void)
{
    float *values = NULL;
    size_t rows, columns;
    clipspan_status status = clipspan_npy_read(&values, &rows, &columns, scratch("walk.npy"), NULL);
    free(values);
    return status;
}

static void allocations_fail(void **state)
{
    (void)state;
    static const float numbers[6] = {0};
    (void)written("walk.npy", CLSP_F32, 2, two_by_three, numbers, 6);
    walk_failed_allocations(read_once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(types), cmocka_unit_test(refused), cmocka_unit_test(no_rows), cmocka_unit_test(many_rows),
                                       cmocka_unit_test(allocations_fail)};
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
