/* Which format the bytes are in, and the decoder for it. Names and endings are not asked. */
#include "image/picture.h"

#include <string.h>

static const uint64_t PILLOW_MAX_PIXELS = 178956970; /* where Pillow stops, twice its MAX_IMAGE_PIXELS */

static bool starts_with(const clsp_encoded *encoded, size_t offset, const char *magic, size_t length)
{
    return clsp_range_ok(offset, length, encoded->length) && memcmp(encoded->bytes + offset, magic, length) == 0;
}

clipspan_status clsp_decode_check_size(const clsp_encoded *encoded, uint64_t width, uint64_t height,
                                       clipspan_error *err)
{
    if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: its header says %llu x %llu pixels", encoded->name,
                         (unsigned long long)width, (unsigned long long)height);
    if (width > encoded->max_pixels / height)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                         "%s: its header says %llu x %llu pixels, expected at most %llu in all", encoded->name,
                         (unsigned long long)width, (unsigned long long)height,
                         (unsigned long long)encoded->max_pixels);
    return CLIPSPAN_OK;
}

/* Other formats that people have, so that the message can name them. */
static const struct {
    const char *name;
    size_t offset;
    const char *magic;
    size_t length;
} STRANGERS[] = {
    {"a GIF", 0, "GIF8", 4},        {"a BMP", 0, "BM", 2},           {"a TIFF", 0, "II*\0", 4},
    {"a TIFF", 0, "MM\0*", 4},      {"an AVIF", 4, "ftypavif", 8},   {"a HEIC", 4, "ftyphei", 7},
    {"a HEIC", 4, "ftypmif1", 8},   {"a JPEG 2000", 4, "jP  ", 4},   {"a JPEG XL", 0, "\xff\x0a", 2},
    {"a JPEG XL", 4, "JXL ", 4},    {"a PDF", 0, "%PDF", 4},         {"an SVG", 0, "<svg", 4},
    {"a web page", 0, "<!DOCTYPE", 9}, {"a web page", 0, "<html", 5},
};

static clipspan_status refuse(const clsp_encoded *encoded, clipspan_error *err)
{
    if (encoded->length == 0) return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the file is empty", encoded->name);
    for (size_t i = 0; i < sizeof STRANGERS / sizeof STRANGERS[0]; i++)
        if (starts_with(encoded, STRANGERS[i].offset, STRANGERS[i].magic, STRANGERS[i].length))
            return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: is %s, expected a JPEG, PNG or WebP picture",
                             encoded->name, STRANGERS[i].name);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: is not a JPEG, PNG or WebP picture", encoded->name);
}

clipspan_status clsp_decode(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err)
{
    *picture = (clsp_picture){.orientation = 1};
    clipspan_status status;
    if (starts_with(encoded, 0, "\xff\xd8\xff", 3))
        status = clsp_decode_jpeg(picture, encoded, err);
    else if (starts_with(encoded, 0, "\x89PNG\r\n\x1a\n", 8))
        status = clsp_decode_png(picture, encoded, err);
    else if (starts_with(encoded, 0, "RIFF", 4) && starts_with(encoded, 8, "WEBP", 4))
        status = clsp_decode_webp(picture, encoded, err);
    else
        status = refuse(encoded, err);
    if (status == CLIPSPAN_OK) status = clsp_picture_orient(picture, err);
    if (status != CLIPSPAN_OK) clsp_picture_free(picture);
    return status;
}

clipspan_status clsp_decode_as(clsp_picture *picture, const clsp_decoded_options *options, const unsigned char *bytes,
                               size_t length, const char *name, clipspan_error *err)
{
    clsp_encoded encoded = {.bytes = bytes, .length = length, .name = name, .max_pixels = PILLOW_MAX_PIXELS};
    if (options != NULL && options->max_pixels > 0) encoded.max_pixels = options->max_pixels;
    encoded.exif = options != NULL && options->exif;
    return clsp_decode(picture, &encoded, err);
}
