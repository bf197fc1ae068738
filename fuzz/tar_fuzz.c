/* Bytes as a tar of images. */
#define CLSP_ROOM_IMAGE 1

#include <stdint.h>

#include "image/sources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clipspan_images *images = clsp_alloc_zero(1, sizeof *images);
    clipspan_error err;
    if (images == NULL) return 0;
    if (clsp_tar_read(images, data, size, "fuzz.tar", &err) == CLIPSPAN_OK) {
        volatile unsigned char seen = 0; /* every byte that an entry names must be there */
        for (size_t i = 0; i < images->count; i++)
            for (size_t b = 0; b < images->entries[i].length; b++) seen ^= data[images->entries[i].offset + b];
    }
    clipspan_images_free(images);
    return 0;
}
