/* formats/safetensors_bytes.h - private to formats (and its tests and fuzz targets). */
#ifndef CLSP_FORMATS_SAFETENSORS_BYTES_H
#define CLSP_FORMATS_SAFETENSORS_BYTES_H

#if !defined(CLSP_ROOM_FORMATS) && !defined(CLSP_TESTS)
#error "formats/safetensors_bytes.h is private to src/formats/"
#endif

#include "formats/arrays.h"
#include "formats/safetensors.h"

/* Sets the type for a name as it stands in a file ("F32"); types that nothing here computes with, such as
 * "U32", are CLSP_DTYPE_OTHER. Returns the bytes an element takes, 0 for an unknown name. */
size_t clsp_dtype_parse(clsp_dtype *out, const char *name);

/* Finite values, infinities and NaN, `count` of them, from unaligned little-endian source to float32. */
void clsp_floats_from_bf16(float *out, const void *halves, size_t count);
void clsp_floats_to_bf16(uint16_t *out, const float *values, size_t count);

/* The readers over bytes that stay the caller's, without a file; `name` stands for it in messages. */
clipspan_status clsp_safetensors_parse(clsp_safetensors **out, const void *bytes, size_t size, const char *name,
                                       clipspan_error *err);
clipspan_status clsp_npy_parse(clsp_array *array, const void *bytes, size_t size, const char *name,
                               clipspan_error *err);

#endif
