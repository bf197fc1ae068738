/* The size of a picture from its header alone: lists are checked before any work. What a header says is not trusted
 * beyond that comparison; the decoders judge it again.
 *
 *     PNG    16 width (4, big endian) 20 height (4) 24 bits a sample 25 colour type
 *     JPEG   segments: FF marker, length (2); of a frame: 3 length and precision, height (2), width (2)
 *     WebP   12 chunk name (4), length (4); VP8X: 24 width - 1 (3, little endian) 27 height - 1 (3);
 *            VP8L: 21 width - 1 (14 bits) height - 1 (14 bits); VP8: 26 width (14 of 16 bits) 28 height */
#include "image/picture.h"

#include <string.h>

static bool png_size(const unsigned char *b, size_t length, clsp_header *out)
{
    if (length < 33 || memcmp(b + 12, "IHDR", 4) != 0) return false;
    out->width = (uint32_t)b[16] << 24 | (uint32_t)b[17] << 16 | (uint32_t)b[18] << 8 | b[19];
    out->height = (uint32_t)b[20] << 24 | (uint32_t)b[21] << 16 | (uint32_t)b[22] << 8 | b[23];
    out->indices = (b[25] == 0 || b[25] == 3) && b[24] <= 8;
    out->format = "PNG";
    return true;
}

static bool jpeg_size(const unsigned char *b, size_t length, clsp_header *out)
{
    out->format = "JPEG";
    for (size_t at = 2; clsp_range_ok(at, 4, length);) {
        if (b[at] != 0xFF) return false;
        unsigned char marker = b[at + 1];
        if (marker == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
        if (frame && clsp_range_ok(at, 9, length)) {
            out->height = (uint32_t)b[at + 5] << 8 | b[at + 6];
            out->width = (uint32_t)b[at + 7] << 8 | b[at + 8];
            return true;
        }
        size_t segment = (size_t)b[at + 2] << 8 | b[at + 3];
        bool alone = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8); /* a marker without length */
        if (!alone && segment < 2) return false;
        at += 2 + (alone ? 0 : segment);
    }
    return false;
}

static bool webp_size(const unsigned char *b, size_t length, clsp_header *out)
{
    out->format = "WebP";
    if (length < 30) return false;
    if (memcmp(b + 12, "VP8X", 4) == 0) {
        out->width = 1 + ((uint32_t)b[24] | (uint32_t)b[25] << 8 | (uint32_t)b[26] << 16);
        out->height = 1 + ((uint32_t)b[27] | (uint32_t)b[28] << 8 | (uint32_t)b[29] << 16);
    } else if (memcmp(b + 12, "VP8L", 4) == 0) {
        uint32_t bits = (uint32_t)b[21] | (uint32_t)b[22] << 8 | (uint32_t)b[23] << 16 | (uint32_t)b[24] << 24;
        out->width = 1 + (bits & 0x3FFF);
        out->height = 1 + (bits >> 14 & 0x3FFF);
    } else if (memcmp(b + 12, "VP8 ", 4) == 0) {
        out->width = ((uint32_t)b[26] | (uint32_t)b[27] << 8) & 0x3FFF;
        out->height = ((uint32_t)b[28] | (uint32_t)b[29] << 8) & 0x3FFF;
    } else
        return false;
    return true;
}

bool clsp_header_read(clsp_header *out, const unsigned char *bytes, size_t length)
{
    *out = (clsp_header){.format = "none that is known"};
    if (length >= 12 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) return png_size(bytes, length, out);
    if (length >= 12 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) return jpeg_size(bytes, length, out);
    if (length >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0)
        return webp_size(bytes, length, out);
    return false;
}
