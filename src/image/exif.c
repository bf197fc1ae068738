/* The one tag of EXIF that matters here: orientation.
 *
 *     offset  size  of the TIFF block that an EXIF segment holds
 *          0     2  "II": little-endian, "MM": big-endian
 *          2     2  42
 *          4     4  offset of the first directory
 *     and at that offset:
 *          0     2  number of entries
 *          2    12  each: tag (2), type (2), count (4), value or its offset (4)
 */
#include "image/picture.h"

#include <string.h>

enum { ORIENTATION = 0x0112, HEAD = 8, ENTRY = 12 };

typedef struct tiff {
    const unsigned char *bytes;
    size_t length;
    bool big;
} tiff;

static uint32_t number(const tiff *in, size_t offset, int size)
{
    uint32_t value = 0;
    for (int i = 0; i < size; i++) value = value << 8 | in->bytes[offset + (size_t)(in->big ? i : size - 1 - i)];
    return value;
}

/* The value of a single BYTE, SHORT or LONG (or its signed kin) kept inside its entry; 0 for anything else. */
static uint32_t entry_value(const tiff *in, size_t entry)
{
    static const int SIZES[] = {0, 1, 0, 2, 4, 0, 1, 0, 2, 4};
    uint32_t type = number(in, entry + 2, 2), count = number(in, entry + 4, 4);
    if (type >= sizeof SIZES / sizeof SIZES[0] || SIZES[type] == 0 || count != 1) return 0;
    return number(in, entry + 8, SIZES[type]);
}

static bool tiff_head(tiff *in)
{
    if (in->length < HEAD) return false;
    in->big = memcmp(in->bytes, "MM", 2) == 0;
    if (!in->big && memcmp(in->bytes, "II", 2) != 0) return false;
    /* Pillow takes the magic number in either order */
    return memcmp(in->bytes + 2, "\0*", 2) == 0 || memcmp(in->bytes + 2, "*\0", 2) == 0;
}

int clsp_exif_orientation(const unsigned char *bytes, size_t length)
{
    for (int i = 0; i < 2 && length >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0; i++) {
        bytes += 6;
        length -= 6;
    }
    tiff in = {bytes, length, false};
    if (!tiff_head(&in)) return 0;
    size_t directory = number(&in, 4, 4);
    if (!clsp_range_ok(directory, 2, length)) return 0;
    uint32_t entries = number(&in, directory, 2), found = 0;
    for (uint32_t i = 0; i < entries; i++) {
        size_t entry = directory + 2 + (size_t)i * ENTRY;
        if (!clsp_range_ok(entry, ENTRY, length)) break;
        if (number(&in, entry, 2) == ORIENTATION) found = entry_value(&in, entry);
    }
    return found >= 1 && found <= 8 ? (int)found : 0;
}

int clsp_xmp_orientation(const unsigned char *bytes, size_t length)
{
    static const char TAG[] = "tiff:Orientation";
    size_t size = sizeof TAG - 1;
    for (size_t i = 0; i + size + 2 < length; i++) {
        if (bytes[i] != 't' || memcmp(bytes + i, TAG, size) != 0) continue;
        const unsigned char *next = bytes + i + size, *end = bytes + length;
        if (*next == '>')
            next += 1;
        else if (next[0] == '=' && next[1] == '"')
            next += 2;
        else
            continue;
        if (next < end && *next >= '0' && *next <= '9') return *next >= '1' && *next <= '8' ? *next - '0' : 0;
    }
    return 0;
}
