/* Safetensors: what Python's own library wrote (golden/formats/make.py), what this one writes, and what both
 * must refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "formats/safetensors_bytes.h"
#include "scratch.h"

static clsp_safetensors *open_good(const char *path)
{
    clsp_safetensors *file = NULL;
    clipspan_error err;
    if (clsp_safetensors_open(&file, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return file;
}

/* Element i of the goldens is i / 4 - 1, exact in every type. */
static void assert_counting(const clsp_tensor *t, size_t count)
{
    float values[64];
    assert_non_null(t);
    assert_int_equal(t->count, count);
    assert_int_equal(clsp_tensor_floats(t, 0, count, values, NULL), CLIPSPAN_OK);
    for (size_t i = 0; i < count; i++) assert_true(values[i] == (float)i / 4 - 1);
}

static void reads_what_python_wrote(void **state)
{
    (void)state;
    clsp_safetensors *file = open_good("golden/formats/one.safetensors");
    static const char *const names[] = {"empty",       "ids.i64",    "scalar",    "visual.bf16",
                                        "visual.f16", "visual.f32", "visual.f64"};
    assert_int_equal(clsp_safetensors_count(file), 7);
    for (size_t i = 0; i < 7; i++) assert_string_equal(clsp_safetensors_at(file, i)->name, names[i]);
    assert_null(clsp_safetensors_at(file, 7));
    const clsp_tensor *t = clsp_safetensors_find(file, "visual.f32");
    assert_counting(t, 12);
    assert_int_equal(t->dims, 2);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->shape[1], 4);
    assert_string_equal(t->file, "golden/formats/one.safetensors");
    assert_counting(clsp_safetensors_find(file, "visual.f16"), 5);
    assert_counting(clsp_safetensors_find(file, "visual.bf16"), 8);
    assert_counting(clsp_safetensors_find(file, "visual.f64"), 3);
    assert_int_equal(clsp_safetensors_find(file, "empty")->count, 0);
    assert_int_equal(clsp_safetensors_find(file, "scalar")->dims, 0);
    assert_null(clsp_safetensors_find(file, "visual"));
    assert_string_equal(clsp_safetensors_metadata(file, "made"), "\xc3\xa9");
    assert_null(clsp_safetensors_metadata(file, "absent"));
    assert_string_equal(clsp_safetensors_path(file), "golden/formats/one.safetensors");
    clsp_safetensors_free(file);
}

static void refuses_wrong_types_and_ranges_by_name(void **state)
{
    (void)state;
    clsp_safetensors *file = open_good("golden/formats/one.safetensors");
    clipspan_error err;
    float values[16] = {0};
    const clsp_tensor *t = clsp_safetensors_find(file, "visual.f16");
    assert_int_equal(clsp_tensor_floats(clsp_safetensors_find(file, "ids.i64"), 0, 3, values, &err),
                     CLIPSPAN_ERROR_UNSUPPORTED);
    assert_message(err, "'ids.i64' has elements of type I64");
    assert_int_equal(clsp_tensor_floats(t, 2, 3, values, &err), CLIPSPAN_OK);
    assert_true(values[0] == -0.5f && values[2] == 0);
    assert_int_equal(clsp_tensor_floats(t, 5, 0, values, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_tensor_floats(t, 3, 3, values, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clsp_tensor_floats(t, 1, SIZE_MAX, values, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "'visual.f16'");
    clsp_safetensors_free(file);
}

static void reads_shards_as_one(void **state)
{
    (void)state;
    clsp_safetensors *file = NULL;
    clipspan_error err;
    char hash[CLSP_HASH_HEX], again[CLSP_HASH_HEX];
    if (clsp_safetensors_open_index(&file, "golden/formats/model.safetensors.index.json", &err) != CLIPSPAN_OK)
        fail_msg("%s", err.message);
    assert_int_equal(clsp_safetensors_count(file), 3);
    assert_counting(clsp_safetensors_find(file, "a"), 6);
    assert_counting(clsp_safetensors_find(file, "b"), 4);
    assert_counting(clsp_safetensors_find(file, "c"), 2);
    assert_string_equal(clsp_safetensors_find(file, "b")->file, "golden/formats/model-00002-of-00002.safetensors");
    clsp_safetensors_hash(file, hash);
    clsp_safetensors_drop_pages(file);
    assert_counting(clsp_safetensors_find(file, "a"), 6); /* the pages come back */
    clsp_safetensors_hash(file, again);
    assert_string_equal(hash, again);
    clsp_safetensors_free(file);
}

static void identify(char hash[CLSP_HASH_HEX], const clsp_safetensors *file)
{
    clsp_hasher *hasher = clsp_hasher_new();
    assert_non_null(hasher);
    assert_false(clsp_safetensors_identify(file, hasher)); /* only just written */
    clsp_hasher_hex(hasher, hash);
    clsp_hasher_free(hasher);
}

/* Other bytes, with size and time of modification as before: the time of change tells. */
static void knows_its_file_again(void **state)
{
    (void)state;
    char before[CLSP_HASH_HEX], after[CLSP_HASH_HEX], *bytes;
    size_t size;
    struct stat was, is;
    assert_int_equal(clsp_file_read(&bytes, &size, "golden/formats/one.safetensors", 1 << 20, NULL), CLIPSPAN_OK);
    const char *path = scratch_write("known.safetensors", bytes, size);
    clsp_safetensors *file = open_good(path);
    identify(before, file);
    identify(after, file);
    assert_string_equal(before, after);
    assert_true(clsp_safetensors_unchanged(file));
    assert_int_equal(stat(path, &was), 0);
    bytes[size - 1] ^= 1;
    do { /* until the clock of the file system has ticked */
        scratch_write("known.safetensors", bytes, size);
        const struct timespec times[] = {was.st_atim, was.st_mtim};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        assert_int_equal(stat(path, &is), 0);
    } while (is.st_ctim.tv_sec == was.st_ctim.tv_sec && is.st_ctim.tv_nsec == was.st_ctim.tv_nsec);
    assert_true(is.st_size == was.st_size && is.st_mtim.tv_nsec == was.st_mtim.tv_nsec);
    assert_false(clsp_safetensors_unchanged(file));
    clsp_safetensors_free(file);
    file = open_good(path);
    identify(after, file);
    assert_string_not_equal(before, after);
    assert_true(clsp_safetensors_unchanged(file));
    assert_int_equal(unlink(path), 0);
    assert_false(clsp_safetensors_unchanged(file));
    clsp_safetensors_free(file);
    clsp_free(bytes);
}

/* ---- must reject -------------------------------------------------------------------------------------- */

/* 8 bytes of length, the header, `data` bytes; returns the size. */
static size_t build(unsigned char *out, uint64_t length, const char *header, size_t data)
{
    size_t text = strlen(header);
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)(length >> 8 * i);
    memcpy(out + 8, header, text);
    memset(out + 8 + text, 0, data);
    return 8 + text + data;
}

#define ONE(dtype, shape, begin, end) \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}}"
#define TWO(b1, e1, b2, e2)                                              \
    "{\"s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" #b1 "," #e1 "]}," \
    "\"t\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" #b2 "," #e2 "]}}"

static const struct {
    const char *header;
    size_t data;
    const char *message; /* NULL: must be read */
} cases[] = {
    {"{}", 0, NULL},
    {"{}     ", 0, NULL},
    {ONE("F32", "[2]", 0, 8), 8, NULL},
    {ONE("F32", "[]", 0, 4), 4, NULL},
    {ONE("F32", "[0,5]", 0, 0), 0, NULL},
    {ONE("U32", "[2]", 0, 8), 8, NULL}, /* nothing computes with it, but the file is sound */
    {TWO(4, 8, 0, 4), 8, NULL},         /* the order of the header is free */
    {"{}", 1, "end at byte 0"},
    {"[]", 0, "no JSON object"},
    {"{\"t\": 3}", 0, "'dtype'"},
    {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'dtype'"},
    {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'shape'"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "'data_offsets'"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "'data_offsets'"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{\"0\":0,\"1\":4}}}", 4, "'data_offsets'"},
    {ONE("F33", "[2]", 0, 8), 8, "unknown dtype 'F33'"},
    {ONE("other", "[2]", 0, 0), 0, "unknown dtype 'other'"},
    {ONE("F32", "[2]", 0, 8), 7, "truncated"},
    {ONE("F32", "[2]", 0, 8), 9, "end at byte 8"},
    {ONE("F32", "[3]", 0, 8), 8, "asks for 12 bytes"},
    {ONE("F16", "[2]", 0, 8), 8, "asks for 4 bytes"},
    {ONE("F32", "[2]", 8, 0), 8, "'data_offsets'"},
    {ONE("F32", "[-2]", 0, 8), 8, "'shape'"},
    {ONE("F32", "[1.5]", 0, 6), 6, "'shape'"},
    {ONE("F32", "[\"2\"]", 0, 8), 8, "'shape'"},
    {ONE("F32", "2", 0, 8), 8, "'shape'"},
    {ONE("F32", "[1,1,1,1,1,1,1,1,2]", 0, 8), 8, "9 dimensions"},
    {ONE("F32", "[4294967296,4294967296]", 0, 0), 0, "product"},
    {ONE("F32", "[4611686018427387904]", 0, 0), 0, "64 bits"}, /* 2^62 * 4 wraps to 0 */
    {ONE("F32", "[2]", 0, 18446744073709551624), 8, "'data_offsets'"},
    {ONE("F32", "[2]", 4, 12), 12, "hole"},
    {TWO(0, 4, 2, 6), 6, "overlap"},
    {TWO(0, 4, 0, 4), 4, "overlap"},
    {TWO(0, 4, 5, 9), 9, "hole"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "duplicate"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}", 1, "JSON"},
    {"{\"\\u0000\":{}}", 0, "JSON"},
};

static void refuses_malformed_headers(void **state)
{
    (void)state;
    unsigned char bytes[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clsp_safetensors *file = NULL;
        clipspan_error err = {CLIPSPAN_OK, ""};
        size_t size = build(bytes, strlen(cases[i].header), cases[i].header, cases[i].data);
        const char *path = scratch_write("case.safetensors", bytes, size);
        clipspan_status status = clsp_safetensors_open(&file, path, &err);
        if ((status == CLIPSPAN_OK) != (cases[i].message == NULL))
            fail_msg("case %zu: %s: %s", i, cases[i].header, err.message);
        if (status != CLIPSPAN_OK) {
            assert_null(file);
            assert_message(err, cases[i].message);
            assert_message(err, "case.safetensors");
        }
        clsp_safetensors_free(file);
    }
}

/* ---- many files of one layout -------------------------------------------------------------------------- */

static clsp_safetensors *open_like(const char *name, const char *header, const char *data, const clsp_safetensors *like)
{
    unsigned char bytes[1024];
    clsp_safetensors *file = NULL;
    clipspan_error err;
    size_t size = build(bytes, strlen(header), header, 0);
    memcpy(bytes + size, data, strlen(data));
    const char *path = scratch_write(name, bytes, size + strlen(data));
    if (clsp_safetensors_open_like(&file, path, like, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return file;
}

static void assert_bytes(const clsp_safetensors *file, const char *name, const char *expected)
{
    const clsp_tensor *t = clsp_safetensors_find(file, name);
    assert_non_null(t);
    assert_int_equal(t->count, strlen(expected));
    assert_memory_equal(t->data, expected, t->count);
    assert_string_equal(t->file, clsp_safetensors_path(file));
}

static void takes_the_header_of_a_file_like_it(void **state)
{
    (void)state;
    static const char both[] = "{\"__metadata__\":{\"of\":\"both\"},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}";
    static const char other[] = "{\"__metadata__\":{\"of\":\"else\"},\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[2,5]},"
                                "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    clsp_safetensors *first = open_like("first.safetensors", both, "12345", NULL);
    clsp_safetensors *second = open_like("second.safetensors", both, "vwxyz", first);
    clsp_safetensors *third = open_like("third.safetensors", other, "VWXYZ", second);
    assert_bytes(first, "a", "45");
    clsp_safetensors_free(first);
    assert_bytes(second, "a", "yz");
    assert_bytes(second, "b", "vwx");
    assert_string_equal(clsp_safetensors_metadata(second, "of"), "both");
    clsp_safetensors_free(second);
    assert_bytes(third, "a", "XYZ");
    assert_bytes(third, "b", "VW");
    assert_string_equal(clsp_safetensors_metadata(third, "of"), "else");
    clsp_safetensors_free(third);
}

/* A file that is longer or shorter than its header says is refused, whoever had the header before. */
static void refuses_other_lengths_behind_the_same_header(void **state)
{
    (void)state;
    static const char header[] = ONE("U8", "[4]", 0, 4);
    clsp_safetensors *good = open_like("good.safetensors", header, "1234", NULL), *file = NULL;
    static const char *const data[] = {"123", "12345", ""};
    unsigned char bytes[256];
    for (size_t i = 0; i < 3; i++) {
        size_t size = build(bytes, strlen(header), header, 0);
        memcpy(bytes + size, data[i], strlen(data[i]));
        const char *path = scratch_write("bad.safetensors", bytes, size + strlen(data[i]));
        assert_int_equal(clsp_safetensors_open_like(&file, path, good, NULL), CLIPSPAN_ERROR_FORMAT);
        assert_null(file);
    }
    clsp_safetensors_free(good);
}

static void refuses_lengths_that_lie(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {3, 9, 100000000, 100000001, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7};
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        clsp_safetensors *file = NULL;
        clipspan_error err;
        size_t size = build(bytes, lengths[i], "{}", 0);
        assert_int_equal(clsp_safetensors_parse(&file, bytes, size, "lies", &err), CLIPSPAN_ERROR_FORMAT);
        assert_null(file);
    }
}

/* Every proper beginning of a good file is refused. */
static void refuses_every_truncation(void **state)
{
    (void)state;
    clsp_map map;
    assert_int_equal(clsp_map_open(&map, "golden/formats/one.safetensors", NULL), CLIPSPAN_OK);
    for (size_t size = 0; size < map.size; size++) {
        clsp_safetensors *file = NULL;
        unsigned char *exact = clsp_alloc(size, 1); /* so that ASan sees a read past the end */
        memcpy(exact, map.bytes, size);
        assert_int_equal(clsp_safetensors_parse(&file, exact, size, "cut", NULL), CLIPSPAN_ERROR_FORMAT);
        clsp_free(exact);
    }
    clsp_map_close(&map);
}

static void index_case(const char *weight_map, clipspan_status wanted, const char *message)
{
    char text[512];
    clsp_safetensors *file = NULL;
    clipspan_error err = {CLIPSPAN_OK, ""};
    snprintf(text, sizeof text, "{\"weight_map\": %s}", weight_map);
    const char *path = scratch_write("x.index.json", text, strlen(text));
    clipspan_status status = clsp_safetensors_open_index(&file, path, &err);
    if (status != wanted) fail_msg("%s: %s", text, err.message);
    assert_null(file);
    assert_message(err, message);
}

static void refuses_an_index_that_lies(void **state)
{
    (void)state;
    unsigned char bytes[256];
    size_t size = build(bytes, strlen(ONE("U8", "[1]", 0, 1)), ONE("U8", "[1]", 0, 1), 1);
    scratch_write("shard.safetensors", bytes, size);
    scratch_write("bad.safetensors", bytes, size - 1);
    index_case("{\"u\": \"shard.safetensors\"}", CLIPSPAN_ERROR_FORMAT, "lacks tensor 'u'");
    index_case("{\"t\": \"gone.safetensors\"}", CLIPSPAN_ERROR_IO, "gone.safetensors: missing");
    index_case("{\"t\": \"bad.safetensors\"}", CLIPSPAN_ERROR_FORMAT, "bad.safetensors: truncated");
    index_case("{\"t\": \"../shard.safetensors\"}", CLIPSPAN_ERROR_FORMAT, "'../shard.safetensors'");
    index_case("{\"t\": \"/etc/passwd\"}", CLIPSPAN_ERROR_FORMAT, "'/etc/passwd'");
    index_case("{\"t\": \"a/../shard.safetensors\"}", CLIPSPAN_ERROR_FORMAT, "beside the index");
    index_case("{\"t\": \"..\"}", CLIPSPAN_ERROR_FORMAT, "beside the index");
    index_case("{\"t\": \"\"}", CLIPSPAN_ERROR_FORMAT, "beside the index");
    index_case("{\"t\": 7}", CLIPSPAN_ERROR_FORMAT, "beside the index");
    index_case("{}", CLIPSPAN_ERROR_FORMAT, "weight_map");
    index_case("[]", CLIPSPAN_ERROR_FORMAT, "weight_map");
    index_case("null", CLIPSPAN_ERROR_FORMAT, "weight_map");
}

/* NaN and infinity are content: they are read as what they are. */
static void nan_is_content(void **state)
{
    (void)state;
    static const float wanted[4] = {NAN, INFINITY, -INFINITY, -0.0f};
    clsp_tensor_plan plans[3] = {{"f32", CLSP_F32, 1, {4}}, {"bf16", CLSP_BF16, 1, {4}}, {"f16", CLSP_F16, 1, {1}}};
    clsp_safetensors_writer *writer = NULL;
    const char *path = scratch("nan.safetensors");
    assert_int_equal(clsp_safetensors_writer_open(&writer, path, plans, 3, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_floats(writer, wanted, 4, CLSP_F32, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_floats(writer, wanted, 4, CLSP_BF16, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_floats(writer, wanted, 1, CLSP_F16, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_commit(writer, NULL, NULL), CLIPSPAN_OK);
    clsp_safetensors *file = open_good(path);
    for (size_t i = 0; i < 3; i++) {
        float got[4];
        const clsp_tensor *t = clsp_safetensors_find(file, plans[i].name);
        assert_int_equal(clsp_tensor_floats(t, 0, t->count, got, NULL), CLIPSPAN_OK);
        assert_true(isnan(got[0]));
        if (t->count == 4) assert_true(got[1] == INFINITY && got[2] == -INFINITY && got[3] == 0 && signbit(got[3]));
    }
    clsp_safetensors_free(file);
}

/* ---- conversions -------------------------------------------------------------------------------------- */

/* The block conversions must agree with base's scalar ones, which base_number_test holds to a reference. */
static void conversions_agree(void)
{
    static uint16_t halves[65536 + 1], back[65536];
    static float values[65536];
    for (size_t shift = 0; shift < 2; shift++) { /* aligned, and off by one byte */
        unsigned char *in = (unsigned char *)halves + shift;
        for (uint32_t i = 0; i < 65536; i++) memcpy(in + 2 * i, &(uint16_t){(uint16_t)i}, 2);
        clsp_f16_widen(values, in, 65536);
        for (uint32_t i = 0; i < 65536; i++) {
            float one = clsp_f16_to_f32((uint16_t)i);
            if (memcmp(&values[i], &one, 4) != 0) fail_msg("f16 %04x", i);
        }
        clsp_floats_from_bf16(values, in, 65536);
        for (uint32_t i = 0; i < 65536; i++) {
            float one = clsp_bf16_to_f32((uint16_t)i);
            if (memcmp(&values[i], &one, 4) != 0) fail_msg("bf16 %04x", i);
        }
    }
    uint64_t seed = 99;
    for (int round = 0; round < 64; round++) {
        size_t where;
        for (size_t i = 0; i < 65536; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint32_t bits = (uint32_t)(seed >> 32);
            if (round % 2) bits = (bits & 0x8fffffffu) | 0x30000000u; /* where halves live */
            memcpy(&values[i], &bits, 4);
        }
        bool good = clsp_f16_narrow(back, values, 65536, &where), infinite = false;
        for (size_t i = 0; i < 65536; i++) {
            uint16_t one = clsp_f32_to_f16(values[i]);
            if (back[i] != one) fail_msg("to f16 of %a: %04x, %04x", (double)values[i], back[i], one);
            if (!infinite && (one & 0x7fff) == 0x7c00) {
                infinite = true;
                assert_false(good);
                assert_int_equal(where, i);
            }
        }
        assert_true(good != infinite);
        clsp_floats_to_bf16(back, values, 65536);
        for (size_t i = 0; i < 65536; i++)
            if (back[i] != clsp_f32_to_bf16(values[i])) fail_msg("to bf16 of %a", (double)values[i]);
    }
}

static void block_conversions_agree_with_scalar_ones(void **state)
{
    (void)state;
    for (int way = 0; way <= 2; way++) {
        int before = clsp_f16_way(way);
        conversions_agree();
        clsp_f16_way(before);
    }
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static const clsp_tensor_plan written[] = {
    {"head.f16", CLSP_F16, 2, {50, 200}}, {"nothing", CLSP_F32, 2, {0, 3}},  {"head.f32", CLSP_F32, 3, {2, 3, 5}},
    {"head.bf16", CLSP_BF16, 1, {7}},     {"z \"quoted\" \xc3\xa9", CLSP_I64, 1, {2}}, {"scalar", CLSP_F32, 0, {0}},
};
enum { WRITTEN = sizeof written / sizeof *written };

static clipspan_status write_all(const char *path, char hash[CLSP_HASH_HEX], clipspan_error *err)
{
    static float values[10000];
    static const int64_t ids[2] = {-1, INT64_MAX};
    static const char *const metadata[] = {"format", "pt", "made by", "clipspan", NULL};
    clsp_safetensors_writer *w = NULL;
    clipspan_status status = CLIPSPAN_OK;
    for (int i = 0; i < 10000; i++) values[i] = (float)(i % 200) / 4 - 1;
    CLSP_TRY(clsp_safetensors_writer_open(&w, path, written, WRITTEN, metadata, err));
    for (int at = 0, n; status == CLIPSPAN_OK && at < 10000; at += n) { /* pieces that ignore every border */
        n = 10000 - at < 4099 ? 10000 - at : 4099;
        CLSP_TRY(clsp_safetensors_writer_floats(w, values + at, (size_t)n, CLSP_F16, err));
    }
    CLSP_TRY(clsp_safetensors_writer_floats(w, values, 30, CLSP_F32, err));
    CLSP_TRY(clsp_safetensors_writer_floats(w, values, 7, CLSP_BF16, err));
    CLSP_TRY(clsp_safetensors_writer_add(w, ids, 5, err));
    CLSP_TRY(clsp_safetensors_writer_add(w, (const char *)ids + 5, 11, err));
    CLSP_TRY(clsp_safetensors_writer_floats(w, values, 1, CLSP_F32, err));
    status = clsp_safetensors_writer_commit(w, hash, err);
    w = NULL;
out:
    clsp_safetensors_writer_discard(w);
    return status;
}

/* tests/parity/check_formats.py reads the same file with Python's library. */
static void reads_back_what_it_wrote(void **state)
{
    (void)state;
    char hash[CLSP_HASH_HEX], read[CLSP_HASH_HEX];
    const char *path = scratch("written.safetensors");
    clipspan_error err;
    if (write_all(path, hash, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_safetensors *file = open_good(path);
    clsp_safetensors_hash(file, read);
    assert_string_equal(hash, read);
    assert_int_equal(clsp_safetensors_count(file), WRITTEN);
    for (size_t i = 0; i < WRITTEN; i++) {
        const clsp_tensor *t = clsp_safetensors_find(file, written[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, written[i].dtype);
        assert_int_equal(t->dims, written[i].dims);
        for (int d = 0; d < t->dims; d++) assert_int_equal(t->shape[d], written[i].shape[d]);
    }
    assert_int_equal((uintptr_t)clsp_safetensors_find(file, "head.f16")->data % 64, 0); /* the first: aligned */
    float values[10000];
    assert_int_equal(clsp_tensor_floats(clsp_safetensors_find(file, "head.f16"), 0, 10000, values, NULL), CLIPSPAN_OK);
    for (int i = 0; i < 10000; i++) assert_true(values[i] == (float)(i % 200) / 4 - 1);
    assert_counting(clsp_safetensors_find(file, "head.f32"), 30);
    assert_counting(clsp_safetensors_find(file, "head.bf16"), 7);
    assert_counting(clsp_safetensors_find(file, "scalar"), 1);
    assert_string_equal(clsp_safetensors_metadata(file, "made by"), "clipspan");
    clsp_safetensors_free(file);
}

static void refuses_data_that_were_not_declared(void **state)
{
    (void)state;
    static const float values[4] = {1, 65519.9f, 65520, 2};
    clsp_tensor_plan plans[2] = {{"a", CLSP_F16, 1, {2}}, {"b", CLSP_F32, 1, {1}}};
    clsp_safetensors_writer *w = NULL;
    clipspan_error err;
    const char *path = scratch("refused.safetensors");
    assert_int_equal(clsp_safetensors_writer_open(&w, path, plans, 2, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_floats(w, values, 2, CLSP_F32, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "'a' is declared as F16");
    assert_int_equal(clsp_safetensors_writer_floats(w, values + 2, 1, CLSP_F16, &err), CLIPSPAN_ERROR_UNSUPPORTED);
    assert_message(err, "'a': 65520 is beyond");
    assert_int_equal(clsp_safetensors_writer_floats(w, values, 2, CLSP_F16, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_add(w, values, 2, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_floats(w, values, 1, CLSP_F32, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "cut in two");
    assert_int_equal(clsp_safetensors_writer_add(w, values, 3, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "more data");
    clsp_safetensors_writer_discard(w);
    assert_nothing_left(path);
    assert_int_equal(clsp_safetensors_writer_open(&w, path, plans, 2, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_floats(w, values, 1, CLSP_F16, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_safetensors_writer_commit(w, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "'a': 2 of 4 bytes");
    assert_nothing_left(path);
    plans[1].name = "a";
    assert_int_equal(clsp_safetensors_writer_open(&w, path, plans, 2, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(w);
    assert_message(err, "twice");
    plans[1] = (clsp_tensor_plan){"huge", CLSP_F32, 2, {SIZE_MAX, 2}};
    assert_int_equal(clsp_safetensors_writer_open(&w, path, plans, 2, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "'huge'");
    assert_nothing_left(path);
}

static void leaves_nothing_on_a_full_disk(void **state)
{
    (void)state;
    const char *path = scratch("full.safetensors");
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    for (rlim_t bytes = 0; bytes < 20000; bytes += 3000) {
        clipspan_error err;
        limit.rlim_cur = bytes;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        clipspan_status status = write_all(path, NULL, &err);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(status, CLIPSPAN_ERROR_IO);
        assert_message(err, path);
        assert_nothing_left(path);
    }
}

/* ---- allocation failures ------------------------------------------------------------------------------ */

static clipspan_status open_one(void)
{
    clsp_safetensors *file = NULL;
    clipspan_status status = clsp_safetensors_open(&file, "golden/formats/one.safetensors", NULL);
    assert_true((file == NULL) == (status != CLIPSPAN_OK));
    clsp_safetensors_free(file);
    return status;
}

static clipspan_status open_second(void)
{
    clsp_safetensors *first = NULL, *file = NULL;
    clipspan_status status = clsp_safetensors_open(&first, "golden/formats/one.safetensors", NULL);
    if (status == CLIPSPAN_OK) status = clsp_safetensors_open_like(&file, clsp_safetensors_path(first), first, NULL);
    assert_true((file == NULL) == (status != CLIPSPAN_OK));
    clsp_safetensors_free(file);
    clsp_safetensors_free(first);
    return status;
}

static clipspan_status open_shards(void)
{
    clsp_safetensors *file = NULL;
    clipspan_status status = clsp_safetensors_open_index(&file, "golden/formats/model.safetensors.index.json", NULL);
    assert_true((file == NULL) == (status != CLIPSPAN_OK));
    clsp_safetensors_free(file);
    return status;
}

static clipspan_status write_file(void)
{
    const char *path = scratch("walk.safetensors");
    clipspan_status status = write_all(path, NULL, NULL);
    if (status != CLIPSPAN_OK) assert_nothing_left(path);
    remove(path);
    return status;
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    clipspan_status (*const jobs[])(void) = {open_one, open_second, open_shards, write_file};
    for (size_t j = 0; j < sizeof jobs / sizeof *jobs; j++) walk_failed_allocations(jobs[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_python_wrote),
        cmocka_unit_test(refuses_wrong_types_and_ranges_by_name),
        cmocka_unit_test(reads_shards_as_one),
        cmocka_unit_test(knows_its_file_again),
        cmocka_unit_test(refuses_malformed_headers),
        cmocka_unit_test(takes_the_header_of_a_file_like_it),
        cmocka_unit_test(refuses_other_lengths_behind_the_same_header),
        cmocka_unit_test(refuses_lengths_that_lie),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_an_index_that_lies),
        cmocka_unit_test(nan_is_content),
        cmocka_unit_test(block_conversions_agree_with_scalar_ones),
        cmocka_unit_test(reads_back_what_it_wrote),
        cmocka_unit_test(refuses_data_that_were_not_declared),
        cmocka_unit_test(leaves_nothing_on_a_full_disk),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
