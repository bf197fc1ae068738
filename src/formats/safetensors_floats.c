/* Element types, and their conversion to and from float32 in loops that a compiler vectorises: no branch, no
 * table, blocks copied to and from aligned scratch because a mapping guarantees no alignment. */
#include <string.h>

#include "formats/safetensors.h"
#include "formats/safetensors_bytes.h"

enum { BLOCK = 1024 };

static const struct {
    const char *name;
    clsp_dtype dtype;
    size_t size;
} dtypes[] = {
    {"F64", CLSP_F64, 8},  {"F32", CLSP_F32, 4},   {"F16", CLSP_F16, 2}, {"BF16", CLSP_BF16, 2}, {"I64", CLSP_I64, 8},
    {"I32", CLSP_I32, 4},  {"I16", CLSP_I16, 2},   {"I8", CLSP_I8, 1},   {"U8", CLSP_U8, 1},     {"BOOL", CLSP_BOOL, 1},
    {"other", CLSP_DTYPE_OTHER, 0},
    {"U16", CLSP_DTYPE_OTHER, 2}, {"U32", CLSP_DTYPE_OTHER, 4}, {"U64", CLSP_DTYPE_OTHER, 8},
    {"F8_E4M3", CLSP_DTYPE_OTHER, 1}, {"F8_E5M2", CLSP_DTYPE_OTHER, 1}, {"F8_E8M0", CLSP_DTYPE_OTHER, 1},
    {"C64", CLSP_DTYPE_OTHER, 8},
};

size_t clsp_dtype_parse(clsp_dtype *out, const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, name) != 0) continue;
        *out = dtypes[i].dtype;
        return dtypes[i].size;
    }
    *out = CLSP_DTYPE_OTHER;
    return 0;
}

/* The table's first rows stand in the order of the enumeration. */
const char *clsp_dtype_name(clsp_dtype dtype)
{
    return dtypes[dtype <= CLSP_DTYPE_OTHER ? dtype : CLSP_DTYPE_OTHER].name;
}

size_t clsp_dtype_size(clsp_dtype dtype)
{
    return dtypes[dtype <= CLSP_DTYPE_OTHER ? dtype : CLSP_DTYPE_OTHER].size;
}

/* ---- to float32 --------------------------------------------------------------------------------------- */

static void block_from_bf16(float *restrict out, const uint16_t *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = clsp_float_of((uint32_t)in[i] << 16);
}

void clsp_floats_from_bf16(float *out, const void *halves, size_t count)
{
    const unsigned char *in = halves;
    for (size_t at = 0; at < count; at += BLOCK) {
        uint16_t block[BLOCK];
        size_t n = clsp_min(BLOCK, count - at);
        memcpy(block, in + 2 * at, 2 * n);
        block_from_bf16(out + at, block, n);
    }
}

static void floats_from_f64(float *out, const unsigned char *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, in + 8 * i, sizeof value);
        out[i] = (float)value;
    }
}

clipspan_status clsp_tensor_floats(const clsp_tensor *t, size_t first, size_t count, float *out, clipspan_error *err)
{
    if (!clsp_range_ok(first, count, t->count))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: tensor '%s': elements %zu to %zu asked for, it has %zu",
                         t->file, t->name, first, first + count, t->count);
    const unsigned char *in = (const unsigned char *)t->data + first * clsp_dtype_size(t->dtype);
    if (t->dtype == CLSP_F32)
        memcpy(out, in, count * sizeof *out);
    else if (t->dtype == CLSP_F16)
        clsp_f16_widen(out, in, count);
    else if (t->dtype == CLSP_BF16)
        clsp_floats_from_bf16(out, in, count);
    else if (t->dtype == CLSP_F64)
        floats_from_f64(out, in, count);
    else
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "%s: tensor '%s' has elements of type %s, expected F32, F16, BF16 or F64", t->file, t->name,
                         clsp_dtype_name(t->dtype));
    return CLIPSPAN_OK;
}

/* ---- from float32 ------------------------------------------------------------------------------------- */

void clsp_floats_to_bf16(uint16_t *out, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = clsp_bits_of(values[i]);
        uint32_t nan = 0u - (uint32_t)((bits & 0x7fffffffu) > 0x7f800000u);
        uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        out[i] = (uint16_t)((nan & (bits >> 16 | 0x40u)) | (~nan & rounded));
    }
}
