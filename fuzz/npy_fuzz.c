/* Any bytes as an npy file: whatever is accepted has as many bytes as its shape asks for. */
#define CLSP_TESTS 1
#include <stdint.h>
#include <stdlib.h>

#include "formats/arrays.h"
#include "formats/safetensors_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clsp_array array;
    clipspan_error err;
    if (clsp_npy_parse(&array, data, size, "fuzz", &err) != CLIPSPAN_OK) return 0;
    size_t bytes = array.count * clsp_dtype_size(array.dtype);
    if ((const uint8_t *)array.data + bytes != data + size) abort();
    if (bytes) sink = ((const uint8_t *)array.data)[bytes - 1];
    clsp_npy_close(&array);
    return 0;
}
