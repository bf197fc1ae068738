/* Any bytes as a safetensors file: whatever is accepted can be found by name and read to its last byte. */
#define CLSP_TESTS 1
#include <stdint.h>
#include <stdlib.h>

#include "formats/safetensors.h"
#include "formats/safetensors_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile float sink;

static void read_all(const clsp_tensor *t)
{
    float block[64];
    for (size_t at = 0; at < t->count; at += 64) {
        size_t n = t->count - at < 64 ? t->count - at : 64;
        if (clsp_tensor_floats(t, at, n, block, NULL) != CLIPSPAN_OK) return;
        sink = block[n - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clsp_safetensors *file = NULL;
    clipspan_error err;
    char hash[CLSP_HASH_HEX];
    if (clsp_safetensors_parse(&file, data, size, "fuzz", &err) != CLIPSPAN_OK) return 0;
    for (size_t i = 0; i < clsp_safetensors_count(file); i++) {
        const clsp_tensor *t = clsp_safetensors_at(file, i);
        if (clsp_safetensors_find(file, t->name) != t) abort();
        read_all(t);
    }
    clsp_safetensors_metadata(file, "format");
    clsp_safetensors_hash(file, hash);
    clsp_safetensors_free(file);
    return 0;
}
