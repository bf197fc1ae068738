/* Bytes as a CSV of images. */
#define CLSP_ROOM_IMAGE 1

#include <stdint.h>
#include <string.h>

#include "image/sources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clipspan_images *images = clsp_alloc_zero(1, sizeof *images);
    clipspan_error err;
    if (images == NULL) return 0;
    if (clsp_csv_read(images, (const char *)data, size, "fuzz.csv", &err) == CLIPSPAN_OK) {
        volatile size_t seen = 0; /* every row must have every cell */
        for (size_t i = 0; i < images->count; i++)
            for (size_t c = 0; c < images->column_count; c++) seen += strlen(images->entries[i].values[c]);
    }
    clipspan_images_free(images);
    return 0;
}
