/* Bytes to pixels: the three decoders, EXIF, resizing and conversion. The first byte chooses the settings. */
#include <stdint.h>

#include "image/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float pixels[3 * 32 * 32];
    if (size < 1) return 0;
    unsigned choice = data[0];
    clsp_preprocess how = {
        .manner = (clsp_preprocess_manner)(choice & 1),
        .mode = (clsp_resize_mode)((choice >> 1) % 3),
        .interpolation = (clsp_interpolation)((choice >> 3) % 3),
        .size = 32,
        .resize = choice & 0x40 ? 37 : 32,
        .do_resize = true,
        .do_crop = true,
        .do_rescale = true,
        .do_normalize = true,
        .rescale = 1.0 / 255,
        .mean = {0.5, 0.5, 0.5},
        .std = {0.25, 0.25, 0.25},
        .fill = (int)choice,
    };
    clsp_decoded_options options = {.exif = (choice & 0x80) != 0, .max_pixels = 1 << 16};
    clsp_preprocess_bytes(&how, &options, data + 1, size - 1, "fuzz", pixels, NULL);
    return 0;
}
