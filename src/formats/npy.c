/* NumPy's npy. The header is a Python dict literal of three keys; a small parser reads exactly that and no other
 * Python, so nothing in a file is ever evaluated. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "formats/arrays.h"
#include "formats/safetensors_bytes.h"

enum { PREFIX_BYTES = 10, ALIGNMENT = 64, HEADER_MAXIMUM = 1 << 20 };
static const char magic[] = "\x93NUMPY";

static const struct {
    char name[4]; /* behind the byte order mark */
    clsp_dtype dtype;
} kinds[] = {
    {"f8", CLSP_F64}, {"f4", CLSP_F32}, {"f2", CLSP_F16}, {"i8", CLSP_I64},  {"i4", CLSP_I32},
    {"i2", CLSP_I16}, {"i1", CLSP_I8},  {"u1", CLSP_U8},  {"b1", CLSP_BOOL},
};

/* ---- reading ------------------------------------------------------------------------------------------ */

typedef struct cursor {
    const char *at, *end;
    const char *path;
    clipspan_error *err;
} cursor;

static clipspan_status malformed(const cursor *c, const char *expected)
{
    return clsp_fail(c->err, CLIPSPAN_ERROR_FORMAT, "%s: malformed npy header: expected %s", c->path, expected);
}

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) c->at++;
}

/* Steps over `text` (and the space before it), or stays and answers false. */
static bool accept(cursor *c, const char *text)
{
    size_t length = strlen(text);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, text, length) != 0) return false;
    c->at += length;
    return true;
}

/* A string in single or double quotes, without escapes. */
static bool parse_string(cursor *c, char *out, size_t capacity)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    char quote = *c->at++;
    size_t length = 0;
    for (; c->at < c->end && *c->at != quote; c->at++) {
        if (length + 1 >= capacity || *c->at == '\\') return false;
        out[length++] = *c->at;
    }
    out[length] = '\0';
    return c->at < c->end && *c->at++ == quote;
}

static bool parse_size(cursor *c, size_t *out)
{
    skip_space(c);
    if (c->at == c->end || *c->at < '0' || *c->at > '9') return false;
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (!clsp_mul(out, *out, 10) || !clsp_add(out, *out, (size_t)(*c->at - '0'))) return false;
    accept(c, "L"); /* Python 2 wrote long integers so */
    return true;
}

static clipspan_status parse_descr(cursor *c, clsp_array *array)
{
    char text[32];
    if (!parse_string(c, text, sizeof text)) return malformed(c, "'descr', the name of a simple type");
    bool ordered = text[0] == '<' || text[0] == '|' || text[0] == '=';
    for (size_t i = 0; ordered && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(text + 1, kinds[i].name) == 0) {
            array->dtype = kinds[i].dtype;
            return CLIPSPAN_OK;
        }
    return clsp_fail(c->err, CLIPSPAN_ERROR_UNSUPPORTED,
                     "%s: elements of type '%s', expected one of <f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 |b1", c->path, text);
}

static clipspan_status parse_shape(cursor *c, clsp_array *array)
{
    if (!accept(c, "(")) return malformed(c, "'shape', a tuple");
    while (!accept(c, ")")) {
        if (array->dims == CLSP_TENSOR_DIMS)
            return clsp_fail(c->err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: more than %d dimensions", c->path,
                             CLSP_TENSOR_DIMS);
        if (!parse_size(c, &array->shape[array->dims++])) return malformed(c, "a size from 0 up");
        if (!accept(c, ",") && (c->at == c->end || *c->at != ')')) return malformed(c, "',' or ')' behind a size");
    }
    return CLIPSPAN_OK;
}

static clipspan_status parse_order(cursor *c)
{
    if (accept(c, "False")) return CLIPSPAN_OK;
    if (!accept(c, "True")) return malformed(c, "'fortran_order' to be True or False");
    return clsp_fail(c->err, CLIPSPAN_ERROR_UNSUPPORTED,
                     "%s: in Fortran order, expected C order (numpy.ascontiguousarray)", c->path);
}

static clipspan_status parse_dict(cursor *c, clsp_array *array)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    bool seen[3] = {false, false, false};
    if (!accept(c, "{")) return malformed(c, "'{'");
    while (!accept(c, "}")) {
        char key[16];
        int which = 0;
        if (!parse_string(c, key, sizeof key) || !accept(c, ":")) return malformed(c, "a key and ':'");
        while (which < 3 && strcmp(key, keys[which]) != 0) which++;
        if (which == 3 || seen[which]) return malformed(c, "the keys descr, fortran_order and shape, once each");
        seen[which] = true;
        clipspan_status status = which == 0   ? parse_descr(c, array)
                                 : which == 1 ? parse_order(c)
                                              : parse_shape(c, array);
        if (status != CLIPSPAN_OK) return status;
        if (!accept(c, ",") && (c->at == c->end || *c->at != '}')) return malformed(c, "',' or '}' behind a value");
    }
    skip_space(c);
    if (!seen[0] || !seen[1] || !seen[2]) return malformed(c, "the keys descr, fortran_order and shape");
    return c->at == c->end ? CLIPSPAN_OK : malformed(c, "nothing behind the dict");
}

/* Finds the header's text; begin is where it starts, end where the data start. */
static clipspan_status find_header(const clsp_map *map, size_t *begin, size_t *end, const char *path,
                                   clipspan_error *err)
{
    const unsigned char *b = map->bytes;
    if (map->size < PREFIX_BYTES || memcmp(b, magic, 6) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: not an npy file", path);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: npy version %d.%d, expected 1.0, 2.0 or 3.0", path, b[6],
                         b[7]);
    *begin = b[6] == 1 ? PREFIX_BYTES : PREFIX_BYTES + 2;
    if (map->size < *begin) return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: truncated npy file", path);
    size_t length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > HEADER_MAXIMUM || !clsp_range_ok(*begin, length, map->size))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: an npy header of %zu bytes in a file of %zu bytes", path,
                         length, map->size);
    *end = *begin + length;
    return CLIPSPAN_OK;
}

static clipspan_status parse(clsp_array *array, const char *path, clipspan_error *err)
{
    size_t begin = 0, end = 0, bytes;
    clipspan_status status = find_header(&array->map, &begin, &end, path, err);
    if (status != CLIPSPAN_OK) return status;
    const char *text = (const char *)array->map.bytes;
    status = parse_dict(&(cursor){text + begin, text + end, path, err}, array);
    if (status != CLIPSPAN_OK) return status;
    bool good = true;
    array->count = 1;
    for (int d = 0; good && d < array->dims; d++) good = clsp_mul(&array->count, array->count, array->shape[d]);
    if (!good || !clsp_mul(&bytes, array->count, clsp_dtype_size(array->dtype)))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: its shape is too large for any file", path);
    if (bytes != array->map.size - end)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: its shape asks for %zu bytes of data, it has %zu", path,
                         bytes, array->map.size - end);
    array->data = array->map.bytes + end;
    return CLIPSPAN_OK;
}

clipspan_status clsp_npy_parse(clsp_array *array, const void *bytes, size_t size, const char *name,
                               clipspan_error *err)
{
    *array = (clsp_array){.map = {.bytes = bytes, .size = size}};
    clipspan_status status = parse(array, name, err);
    if (status != CLIPSPAN_OK) clsp_npy_close(array);
    return status;
}

clipspan_status clsp_npy_open(clsp_array *array, const char *path, clipspan_error *err)
{
    *array = (clsp_array){0};
    clipspan_status status = clsp_map_open(&array->map, path, err);
    if (status == CLIPSPAN_OK) status = parse(array, path, err);
    if (status != CLIPSPAN_OK) clsp_npy_close(array);
    return status;
}

void clsp_npy_close(clsp_array *array)
{
    clsp_map_close(&array->map);
    *array = (clsp_array){0};
}

void clsp_npy_drop_pages(const clsp_array *array)
{
    if (array->map.mapping != NULL) madvise(array->map.mapping, array->map.size, MADV_DONTNEED);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

struct clsp_npy_writer {
    clsp_output output;
    clsp_dtype dtype;
    int dims;
    size_t shape[CLSP_TENSOR_DIMS]; /* shape[0] SIZE_MAX: open */
    size_t row;                     /* elements of one entry of the leading axis */
    size_t expected, written;       /* elements; expected SIZE_MAX: as many as come */
    size_t header;                  /* bytes, fixed once chosen */
};

static const char *type_name(clsp_dtype dtype)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].dtype == dtype) return kinds[i].name;
    return NULL;
}

static bool shape_text(clsp_buffer *out, const clsp_npy_writer *w, size_t leading)
{
    bool good = clsp_buffer_text(out, "(");
    for (int d = 0; good && d < w->dims; d++)
        good = clsp_buffer_format(out, d ? ", %zu" : "%zu", d ? w->shape[d] : leading);
    return good && clsp_buffer_text(out, w->dims == 1 ? ",)" : ")");
}

/* The header for a leading axis of `leading`. Its length is chosen at the first call (with the largest number
 * that may come, SIZE_MAX, where the axis is open) and kept at the next. */
static clipspan_status emit_header(clsp_npy_writer *w, size_t leading, clipspan_error *err)
{
    clsp_buffer out;
    clsp_buffer_init(&out, 4096);
    size_t size = clsp_dtype_size(w->dtype);
    bool good = clsp_buffer_append(&out, "\x93NUMPY\x01\0\0\0", PREFIX_BYTES) &&
                clsp_buffer_format(&out, "{'descr': '%c%s', 'fortran_order': False, 'shape': ", size == 1 ? '|' : '<',
                                   type_name(w->dtype)) &&
                shape_text(&out, w, leading) && clsp_buffer_text(&out, ", }");
    if (w->header == 0) w->header = (out.length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while (good && out.length + 1 < w->header) good = clsp_buffer_text(&out, " ");
    good = good && clsp_buffer_text(&out, "\n");
    clipspan_status status = good ? CLIPSPAN_OK : clsp_fail_memory(err);
    if (good) {
        out.data[8] = (char)((w->header - PREFIX_BYTES) & 0xff);
        out.data[9] = (char)((w->header - PREFIX_BYTES) >> 8);
        status = clsp_output_write(&w->output, out.data, out.length, err);
    }
    clsp_buffer_free(&out);
    return status;
}

static clipspan_status plan(clsp_npy_writer *w, const char *path, clipspan_error *err)
{
    bool open = w->dims > 0 && w->shape[0] == SIZE_MAX, good = type_name(w->dtype) != NULL;
    size_t bytes;
    w->row = 1;
    for (int d = 1; good && d < w->dims; d++) good = clsp_mul(&w->row, w->row, w->shape[d]);
    if (good && open) {
        w->expected = SIZE_MAX;
        good = w->row > 0;
    } else if (good)
        good = clsp_mul(&w->expected, w->row, w->dims > 0 ? w->shape[0] : 1) &&
               clsp_mul(&bytes, w->expected, clsp_dtype_size(w->dtype));
    if (good) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: an npy file cannot hold this type (%s) or shape", path,
                     clsp_dtype_name(w->dtype));
}

clipspan_status clsp_npy_create(clsp_npy_writer **out, const char *path, clsp_dtype dtype, int dims,
                                const size_t *shape, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_npy_writer *w = NULL;
    *out = NULL;
    if (dims < 0 || dims > CLSP_TENSOR_DIMS)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: %d dimensions", path, dims);
    CLSP_ALLOC(w, clsp_alloc_zero(1, sizeof *w));
    w->dtype = dtype;
    w->dims = dims;
    if (dims) memcpy(w->shape, shape, (size_t)dims * sizeof *shape);
    CLSP_TRY(plan(w, path, err));
    CLSP_TRY(clsp_output_open(&w->output, path, err));
    if (w->expected == SIZE_MAX) CLSP_TRY(clsp_output_seek(&w->output, 0, err)); /* a pipe is refused now, not at the end */
    CLSP_TRY(emit_header(w, w->shape[0], err));
    *out = w;
    w = NULL;
out:
    clsp_npy_discard(w);
    return status;
}

clipspan_status clsp_npy_append(clsp_npy_writer *w, const void *values, size_t count, clipspan_error *err)
{
    size_t bytes;
    if (count > w->expected - w->written || !clsp_mul(&bytes, count, clsp_dtype_size(w->dtype)))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: %zu elements declared, more were given", w->output.path,
                         w->expected);
    clipspan_status status = clsp_output_write(&w->output, values, bytes, err);
    if (status == CLIPSPAN_OK) w->written += count;
    return status;
}

static clipspan_status finish(clsp_npy_writer *w, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (w->expected != SIZE_MAX && w->written != w->expected)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: %zu elements declared, %zu were given", w->output.path,
                         w->expected, w->written);
    if (w->expected == SIZE_MAX && w->written % w->row != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: %zu elements given, expected whole rows of %zu",
                         w->output.path, w->written, w->row);
    if (w->expected == SIZE_MAX) {
        CLSP_TRY(clsp_output_seek(&w->output, 0, err));
        CLSP_TRY(emit_header(w, w->written / w->row, err));
    }
    CLSP_TRY(clsp_output_commit(&w->output, err));
out:
    return status;
}

clipspan_status clsp_npy_commit(clsp_npy_writer *w, clipspan_error *err)
{
    clipspan_status status = finish(w, err);
    clsp_npy_discard(w);
    return status;
}

void clsp_npy_discard(clsp_npy_writer *w)
{
    if (w == NULL) return;
    clsp_output_discard(&w->output);
    clsp_free(w);
}
