/* Any bytes as a store's manifest: an error, or a manifest whose numbers are safe to compute with. */
#define CLSP_TESTS 1
#include "store/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    clsp_manifest manifest;
    clipspan_error err;
    if (clsp_manifest_parse(&manifest, (const char *)data, size, "fuzz", &err) != CLIPSPAN_OK) return 0;
    clsp_field *fields = NULL;
    size_t count = 0;
    if (clsp_fields_new(&fields, &count, &manifest, &err) != CLIPSPAN_OK || count < 5) abort();
    if (clsp_fields_bytes(fields, count) == 0 || manifest.positions > manifest.count) abort();
    clsp_free(fields);
    clsp_manifest_clear(&manifest);
    return 0;
}
