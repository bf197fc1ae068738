/* npy, gzip and HDF5. NumPy's own files are in golden/formats (make.py); what is written here is read by
 * NumPy and h5py in tests/parity/check_formats.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "formats/arrays.h"
#include "formats/safetensors_bytes.h"
#include "scratch.h"

/* ---- npy, reading ------------------------------------------------------------------------------------- */

static void reads_what_numpy_wrote(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        clsp_dtype dtype;
        int dims;
        size_t shape[2];
    } files[] = {
        {"f2", CLSP_F16, 2, {3, 4}},       {"f4", CLSP_F32, 2, {3, 4}},       {"f8", CLSP_F64, 2, {3, 4}},
        {"version2", CLSP_F32, 2, {3, 4}}, {"version3", CLSP_F32, 2, {3, 4}}, {"i1", CLSP_I8, 1, {6, 0}},
        {"i2", CLSP_I16, 1, {6, 0}},       {"i4", CLSP_I32, 1, {6, 0}},       {"i8", CLSP_I64, 1, {6, 0}},
        {"u1", CLSP_U8, 1, {6, 0}},        {"b1", CLSP_BOOL, 1, {3, 0}},      {"scalar", CLSP_F32, 0, {0, 0}},
        {"empty", CLSP_F32, 2, {0, 5}},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        clsp_array array;
        clipspan_error err;
        snprintf(path, sizeof path, "golden/formats/%s.npy", files[i].name);
        if (clsp_npy_open(&array, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        assert_int_equal(array.dtype, files[i].dtype);
        assert_int_equal(array.dims, files[i].dims);
        size_t count = 1;
        for (int d = 0; d < array.dims; d++) {
            assert_int_equal(array.shape[d], files[i].shape[d]);
            count *= array.shape[d];
        }
        assert_int_equal(array.count, count);
        clsp_npy_close(&array);
        clsp_npy_close(&array);
    }
}

static void reads_the_values(void **state)
{
    (void)state;
    clsp_array array;
    assert_int_equal(clsp_npy_open(&array, "golden/formats/f4.npy", NULL), CLIPSPAN_OK);
    for (size_t i = 0; i < 12; i++) assert_true(((const float *)array.data)[i] == (float)i / 4 - 1);
    clsp_npy_close(&array);
    assert_int_equal(clsp_npy_open(&array, "golden/formats/i8.npy", NULL), CLIPSPAN_OK);
    for (int64_t i = 0; i < 6; i++) assert_true(((const int64_t *)array.data)[i] == i);
    clsp_npy_close(&array);
}

static void refuses_orders_it_does_not_read(void **state)
{
    (void)state;
    clsp_array array;
    clipspan_error err;
    assert_int_equal(clsp_npy_open(&array, "golden/formats/fortran.npy", &err), CLIPSPAN_ERROR_UNSUPPORTED);
    assert_message(err, "fortran.npy: in Fortran order");
    assert_int_equal(clsp_npy_open(&array, "golden/formats/big-endian.npy", &err), CLIPSPAN_ERROR_UNSUPPORTED);
    assert_message(err, "'>f4'");
}

#define DICT(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static const struct {
    const char *header;
    size_t data;
    const char *message; /* NULL: must be read */
} cases[] = {
    {DICT("'<f4'", "False", "(2, 3)"), 24, NULL},
    {"{'shape': (2, 3), 'descr': '<f4', 'fortran_order': False}", 24, NULL},
    {"{\"shape\":(2L,3L),\"descr\":\"<f4\",\"fortran_order\":False}   \n", 24, NULL},
    {DICT("'<f4'", "False", "()"), 4, NULL},
    {DICT("'<f4'", "False", "(0, 18446744073709551615)"), 0, NULL},
    {DICT("'<f4'", "False", "(2, 3)"), 23, "asks for 24 bytes"},
    {DICT("'<f4'", "False", "(2, 3)"), 25, "asks for 24 bytes"},
    {DICT("'<f4'", "False", "(3, 3)"), 24, "asks for 36 bytes"},
    {DICT("'<f4'", "True", "(2, 3)"), 24, "Fortran"},
    {DICT("'<f4'", "true", "(2, 3)"), 24, "fortran_order"},
    {DICT("'<u4'", "False", "(2, 3)"), 24, "'<u4'"},
    {DICT("'>f4'", "False", "(2, 3)"), 24, "'>f4'"},
    {DICT("'|O'", "False", "(2, 3)"), 24, "'|O'"},
    {DICT("[('a', '<f4')]", "False", "(2, 3)"), 24, "descr"},
    {DICT("'<f4", "False", "(2, 3)"), 24, "'<f4, '"},
    {DICT("'<f4'", "False", "(-2, 3)"), 24, "size"},
    {DICT("'<f4'", "False", "(2, 3"), 24, "size"},
    {DICT("'<f4'", "False", "(2 3)"), 24, "behind a size"},
    {DICT("'<f4'", "False", "[2, 3]"), 24, "tuple"},
    {DICT("'<f4'", "False", "(18446744073709551616,)"), 24, "size"},
    {DICT("'<f4'", "False", "(4294967296, 4294967296)"), 0, "too large"},
    {DICT("'<f4'", "False", "(4611686018427387904,)"), 0, "too large"},
    {DICT("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 6)"), 24, "dimensions"},
    {"{'descr': '<f4', 'fortran_order': False}", 24, "keys"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", 24, "once each"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}", 24, "once each"},
    {DICT("'<f4'", "False", "(6,)") " x", 24, "nothing behind"},
    {"{", 0, "key"},
    {"", 0, "'{'"},
};

static size_t build(unsigned char *out, const char *header, size_t data)
{
    size_t length = strlen(header);
    memcpy(out, "\x93NUMPY\x01\0", 8);
    out[8] = (unsigned char)length;
    out[9] = (unsigned char)(length >> 8);
    memcpy(out + 10, header, length);
    memset(out + 10 + length, 0, data);
    return 10 + length + data;
}

static void refuses_malformed_headers(void **state)
{
    (void)state;
    unsigned char bytes[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clsp_array array;
        clipspan_error err = {CLIPSPAN_OK, ""};
        size_t size = build(bytes, cases[i].header, cases[i].data);
        unsigned char *exact = clsp_alloc(size, 1);
        memcpy(exact, bytes, size);
        clipspan_status status = clsp_npy_parse(&array, exact, size, "case.npy", &err);
        clsp_free(exact);
        if ((status == CLIPSPAN_OK) != (cases[i].message == NULL))
            fail_msg("case %zu: %s: %s", i, cases[i].header, err.message);
        if (status != CLIPSPAN_OK) assert_message(err, cases[i].message);
        if (status != CLIPSPAN_OK) assert_message(err, "case.npy");
    }
}

static void refuses_damaged_files(void **state)
{
    (void)state;
    clsp_map map;
    clsp_array array;
    clipspan_error err;
    unsigned char bytes[176];
    assert_int_equal(clsp_map_open(&map, "golden/formats/f4.npy", NULL), CLIPSPAN_OK);
    for (size_t size = 0; size < map.size; size++) {
        unsigned char *exact = clsp_alloc(size, 1);
        memcpy(exact, map.bytes, size);
        assert_int_not_equal(clsp_npy_parse(&array, exact, size, "cut", &err), CLIPSPAN_OK);
        clsp_free(exact);
    }
    memcpy(bytes, map.bytes, sizeof bytes);
    bytes[1] = 'n';
    assert_int_equal(clsp_npy_parse(&array, bytes, sizeof bytes, "magic", &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "magic: not an npy file");
    memcpy(bytes, map.bytes, sizeof bytes);
    bytes[6] = 4;
    assert_int_equal(clsp_npy_parse(&array, bytes, sizeof bytes, "v4", &err), CLIPSPAN_ERROR_UNSUPPORTED);
    bytes[6] = 2; /* the dict's first bytes become the header's length */
    assert_int_equal(clsp_npy_parse(&array, bytes, sizeof bytes, "v2", &err), CLIPSPAN_ERROR_FORMAT);
    clsp_map_close(&map);
}

/* ---- npy, writing ------------------------------------------------------------------------------------- */

static void assert_same_files(const char *path, const char *golden)
{
    clsp_map a, b;
    assert_int_equal(clsp_map_open(&a, path, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_map_open(&b, golden, NULL), CLIPSPAN_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.bytes, b.bytes, a.size);
    clsp_map_close(&a);
    clsp_map_close(&b);
}

static void writes_numpys_own_bytes(void **state)
{
    (void)state;
    clsp_npy_writer *w = NULL;
    float values[12];
    static const signed char bytes[6] = {0, 1, 2, 3, 4, 5};
    const char *path = scratch("same.npy");
    for (int i = 0; i < 12; i++) values[i] = (float)i / 4 - 1;
    assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 2, (size_t[]){3, 4}, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(w, values, 5, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(w, values + 5, 7, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_commit(w, NULL), CLIPSPAN_OK);
    assert_same_files(path, "golden/formats/f4.npy");
    assert_int_equal(clsp_npy_create(&w, path, CLSP_I8, 1, (size_t[]){6}, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(w, bytes, 6, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_commit(w, NULL), CLIPSPAN_OK);
    assert_same_files(path, "golden/formats/i1.npy");
    assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 0, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(w, &(float){4.5f}, 1, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_commit(w, NULL), CLIPSPAN_OK);
    assert_same_files(path, "golden/formats/scalar.npy");
}

static void takes_as_many_rows_as_come(void **state)
{
    (void)state;
    for (size_t rows = 0; rows < 1200; rows += 399) {
        clsp_npy_writer *w = NULL;
        clsp_array array;
        const char *path = scratch("open.npy");
        assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 3, (size_t[]){SIZE_MAX, 2, 3}, NULL), CLIPSPAN_OK);
        for (size_t i = 0; i < rows; i++) {
            float row[6] = {(float)i, 1, 2, 3, 4, 5};
            assert_int_equal(clsp_npy_append(w, row, 2, NULL), CLIPSPAN_OK);
            assert_int_equal(clsp_npy_append(w, row + 2, 4, NULL), CLIPSPAN_OK);
        }
        assert_int_equal(clsp_npy_commit(w, NULL), CLIPSPAN_OK);
        assert_int_equal(clsp_npy_open(&array, path, NULL), CLIPSPAN_OK);
        assert_int_equal(array.shape[0], rows);
        assert_int_equal(array.count, rows * 6);
        for (size_t i = 0; i < rows; i++) assert_true(((const float *)array.data)[i * 6] == (float)i);
        clsp_npy_close(&array);
    }
}

static void refuses_rows_that_do_not_fit(void **state)
{
    (void)state;
    clsp_npy_writer *w = NULL;
    clipspan_error err;
    static const float values[8] = {0};
    const char *path = scratch("misfit.npy");
    assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 2, (size_t[]){2, 3}, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(w, values, 7, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_npy_append(w, values, 5, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_commit(w, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "misfit.npy: 6 elements declared, 5 were given");
    assert_nothing_left(path);
    assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 2, (size_t[]){SIZE_MAX, 3}, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_append(w, values, 7, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_commit(w, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "whole rows of 3");
    assert_nothing_left(path);
    assert_int_equal(clsp_npy_create(&w, path, CLSP_BF16, 1, (size_t[]){2}, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "BF16");
    assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 2, (size_t[]){SIZE_MAX, 0}, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_npy_create(&w, path, CLSP_F32, 2, (size_t[]){3, SIZE_MAX}, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(w);
    clsp_npy_discard(NULL);
    assert_nothing_left(path);
}

/* ---- gzip --------------------------------------------------------------------------------------------- */

static void unpacks_gzip(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    clipspan_error err;
    if (clsp_gzip_read(&text, &size, "golden/formats/merges.txt.gz", 2200, &err) != CLIPSPAN_OK)
        fail_msg("%s", err.message);
    assert_int_equal(size, 2200);
    assert_int_equal(strlen(text), 2200);
    for (size_t i = 0; i < size; i += 22) assert_memory_equal(text + i, "#version: 0.2\ni n\nt h\n", 22);
    clsp_free(text);
    assert_int_equal(clsp_gzip_read(&text, &size, "golden/formats/merges.txt.gz", 2199, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "merges.txt.gz: unpacks to more than 2199 bytes");
    assert_null(text);
}

static void unpacks_members_one_behind_the_other(void **state)
{
    (void)state;
    clsp_map map;
    char *text = NULL;
    size_t size = 0;
    unsigned char twice[512];
    assert_int_equal(clsp_map_open(&map, "golden/formats/merges.txt.gz", NULL), CLIPSPAN_OK);
    memcpy(twice, map.bytes, map.size);
    memcpy(twice + map.size, map.bytes, map.size);
    const char *path = scratch_write("twice.gz", twice, 2 * map.size);
    assert_int_equal(clsp_gzip_read(&text, &size, path, 1 << 20, NULL), CLIPSPAN_OK);
    assert_int_equal(size, 4400);
    clsp_free(text);
    clsp_map_close(&map);
}

static void refuses_damaged_gzip(void **state)
{
    (void)state;
    clsp_map map;
    clipspan_error err;
    char *text = NULL;
    unsigned char bytes[256];
    assert_int_equal(clsp_map_open(&map, "golden/formats/merges.txt.gz", NULL), CLIPSPAN_OK);
    for (size_t size = 0; size < map.size; size++) {
        const char *path = scratch_write("cut.gz", map.bytes, size);
        assert_int_equal(clsp_gzip_read(&text, NULL, path, 1 << 20, &err), CLIPSPAN_ERROR_FORMAT);
        assert_message(err, "truncated");
    }
    for (size_t flip = 0; flip < map.size; flip++) {
        if (flip >= 3 && flip < 10) continue; /* flags, time, system: no part of the check sum */
        memcpy(bytes, map.bytes, map.size);
        bytes[flip] ^= 0x01;
        const char *path = scratch_write("flipped.gz", bytes, map.size);
        clipspan_status status = clsp_gzip_read(&text, NULL, path, 1 << 20, &err);
        if (status != CLIPSPAN_ERROR_FORMAT) fail_msg("byte %zu", flip);
        assert_null(text);
    }
    memcpy(bytes, map.bytes, map.size);
    memcpy(bytes + map.size, "junk", 4);
    const char *path = scratch_write("junk.gz", bytes, map.size + 4);
    assert_int_equal(clsp_gzip_read(&text, NULL, path, 1 << 20, &err), CLIPSPAN_ERROR_FORMAT);
    clsp_map_close(&map);
}

/* ---- HDF5 --------------------------------------------------------------------------------------------- */

enum { ROWS = 50, WIDTH = 40 };

static clipspan_status write_hdf5(const char *path, clipspan_error *err)
{
    static float values[ROWS * WIDTH];
    static const uint16_t halves[3] = {0x3c00, 0xc000, 0x0001};
    static const unsigned char flags[3] = {1, 0, 1};
    static const int64_t labels[3] = {-1, 7, INT64_MAX};
    clsp_hdf5_writer *w = NULL;
    clipspan_status status = CLIPSPAN_OK;
    for (int i = 0; i < ROWS * WIDTH; i++) values[i] = (float)i / 4 - 1;
    CLSP_TRY(clsp_hdf5_create(&w, path, err));
    CLSP_TRY(clsp_hdf5_dataset(w, "attn", CLSP_F32, 3, (size_t[]){ROWS, 4, WIDTH / 4}, err));
    CLSP_TRY(clsp_hdf5_dataset(w, "half", CLSP_F16, 1, (size_t[]){3}, err));
    CLSP_TRY(clsp_hdf5_write(w, "attn", 30, 20, values + 30 * WIDTH, err));
    CLSP_TRY(clsp_hdf5_write(w, "half", 0, 3, halves, err));
    CLSP_TRY(clsp_hdf5_dataset(w, "labels", CLSP_I64, 1, (size_t[]){3}, err));
    CLSP_TRY(clsp_hdf5_write(w, "attn", 0, 30, values, err));
    CLSP_TRY(clsp_hdf5_write(w, "labels", 0, 3, labels, err));
    CLSP_TRY(clsp_hdf5_dataset(w, "flags", CLSP_BOOL, 1, (size_t[]){3}, err));
    CLSP_TRY(clsp_hdf5_write(w, "flags", 0, 3, flags, err));
    CLSP_TRY(clsp_hdf5_dataset(w, "none", CLSP_F32, 2, (size_t[]){0, 5}, err));
    CLSP_TRY(clsp_hdf5_attribute(w, "model", "ViT-B-16 \xc3\xa9", err));
    status = clsp_hdf5_commit(w, err);
    w = NULL;
out:
    clsp_hdf5_discard(w);
    return status;
}

static void writes_hdf5(void **state)
{
    (void)state;
    clsp_map map;
    clipspan_error err;
    const char *path = scratch("written.h5");
    if (write_hdf5(path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clsp_map_open(&map, path, NULL), CLIPSPAN_OK);
    assert_memory_equal(map.bytes, "\x89HDF\r\n\x1a\n", 8);
    /* the data lie in one piece, rows in their place although the last were written first */
    float first = -1, second = -0.75f, third = -0.5f;
    size_t at = 0;
    for (; at + 12 <= map.size; at += 4)
        if (!memcmp(map.bytes + at, &first, 4) && !memcmp(map.bytes + at + 4, &second, 4) &&
            !memcmp(map.bytes + at + 8, &third, 4))
            break;
    assert_true(clsp_range_ok(at, ROWS * WIDTH * 4, map.size));
    for (int i = 0; i < ROWS * WIDTH; i++) {
        float value;
        memcpy(&value, map.bytes + at + 4 * (size_t)i, 4);
        assert_true(value == (float)i / 4 - 1);
    }
    clsp_map_close(&map);
}

static void refuses_hdf5_that_does_not_fit(void **state)
{
    (void)state;
    clsp_hdf5_writer *w = NULL;
    clipspan_error err;
    static const float values[6] = {0};
    const char *path = scratch("misfit.h5"), *nowhere = scratch("no-such-folder/x.h5");
    assert_int_equal(clsp_hdf5_create(&w, nowhere, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, nowhere);
    assert_message(err, "No such file or directory");
    assert_null(w);
    assert_int_equal(clsp_hdf5_create(&w, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_hdf5_dataset(w, "a", CLSP_F32, 2, (size_t[]){2, 3}, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_hdf5_dataset(w, "a", CLSP_F32, 1, (size_t[]){2}, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_hdf5_dataset(w, "b", CLSP_BF16, 1, (size_t[]){2}, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_hdf5_dataset(w, "b", CLSP_F32, 2, (size_t[]){SIZE_MAX, 2}, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_hdf5_dataset(w, "x/y", CLSP_F32, 1, (size_t[]){1}, &err), CLIPSPAN_ERROR_INTERNAL);
    assert_message(err, "x/y");
    assert_int_equal(clsp_hdf5_write(w, "b", 0, 1, values, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_hdf5_write(w, "a", 1, 2, values, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_hdf5_write(w, "a", 1, 1, values, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_hdf5_attribute(w, "k", "v", &err), CLIPSPAN_OK);
    assert_int_equal(clsp_hdf5_attribute(w, "k", "v", &err), CLIPSPAN_ERROR_INTERNAL);
    assert_false(clsp_file_exists(path));
    assert_int_equal(clsp_hdf5_commit(w, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "'a': 1 of 2 rows");
    assert_nothing_left(path);
    clsp_hdf5_discard(NULL);
}

static void leaves_nothing_on_a_full_disk(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    for (rlim_t bytes = 0; bytes < 10000; bytes += 700) {
        clipspan_error err;
        const char *path = scratch("full.h5");
        limit.rlim_cur = bytes;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        clipspan_status status = write_hdf5(path, &err);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(status, CLIPSPAN_ERROR_IO);
        assert_message(err, path);
        assert_nothing_left(path);
    }
    if (write_hdf5(scratch("after.h5"), NULL) != CLIPSPAN_OK) fail_msg("the library did not recover");
}

static void *write_many(void *name)
{
    for (int i = 0; i < 20; i++)
        if (write_hdf5(name, NULL) != CLIPSPAN_OK) return name;
    return NULL;
}

/* The library underneath may be entered by one thread at a time; two writers must not need to know. */
static void writes_hdf5_from_two_threads(void **state)
{
    (void)state;
    char paths[2][4096];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s", scratch(i ? "one.h5" : "other.h5"));
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, paths[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
        assert_true(clsp_file_exists(paths[i]));
    }
}

/* ---- allocation failures ------------------------------------------------------------------------------ */

static clipspan_status read_gzip(void)
{
    char *text = NULL;
    clipspan_status status = clsp_gzip_read(&text, NULL, "golden/formats/merges.txt.gz", 1 << 20, NULL);
    assert_true((text == NULL) == (status != CLIPSPAN_OK));
    clsp_free(text);
    return status;
}

static clipspan_status write_npy(void)
{
    clsp_npy_writer *w = NULL;
    const char *path = scratch("walk.npy");
    clipspan_status status = clsp_npy_create(&w, path, CLSP_F32, 1, (size_t[]){SIZE_MAX}, NULL);
    if (status == CLIPSPAN_OK) {
        assert_int_equal(clsp_npy_append(w, &(float){1}, 1, NULL), CLIPSPAN_OK);
        status = clsp_npy_commit(w, NULL);
    }
    if (status != CLIPSPAN_OK) assert_nothing_left(path);
    remove(path);
    return status;
}

static clipspan_status walk_hdf5(void)
{
    const char *path = scratch("walk.h5");
    clipspan_status status = write_hdf5(path, NULL);
    if (status != CLIPSPAN_OK) assert_nothing_left(path);
    remove(path);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    clipspan_status (*const jobs[])(void) = {read_gzip, write_npy, walk_hdf5};
    for (size_t j = 0; j < sizeof jobs / sizeof *jobs; j++) walk_failed_allocations(jobs[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_numpy_wrote),
        cmocka_unit_test(reads_the_values),
        cmocka_unit_test(refuses_orders_it_does_not_read),
        cmocka_unit_test(refuses_malformed_headers),
        cmocka_unit_test(refuses_damaged_files),
        cmocka_unit_test(writes_numpys_own_bytes),
        cmocka_unit_test(takes_as_many_rows_as_come),
        cmocka_unit_test(refuses_rows_that_do_not_fit),
        cmocka_unit_test(unpacks_gzip),
        cmocka_unit_test(unpacks_members_one_behind_the_other),
        cmocka_unit_test(refuses_damaged_gzip),
        cmocka_unit_test(writes_hdf5),
        cmocka_unit_test(writes_hdf5_from_two_threads),
        cmocka_unit_test(refuses_hdf5_that_does_not_fit),
        cmocka_unit_test(leaves_nothing_on_a_full_disk),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
