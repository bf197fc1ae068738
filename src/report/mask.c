/* Class masks as Pascal VOC keeps them: indexed PNG, the index is the class, the palette VOC's own. */
#include "clipspan/picture.h"

#include "base/base.h"
#include "image/png_write.h"

/* VOC's colour of a class: its bits, three at a time, become the high bits of red, green and blue. */
static void voc_colour(unsigned char rgb[3], unsigned index)
{
    rgb[0] = rgb[1] = rgb[2] = 0;
    for (int bit = 7; index != 0; bit--, index >>= 3)
        for (int c = 0; c < 3; c++) rgb[c] |= (unsigned char)((index >> c & 1) << bit);
}

clipspan_status clipspan_picture_mask(const unsigned char *mask, int width, int height, const char *path,
                                      clipspan_error *err)
{
    unsigned char palette[256][3];
    for (unsigned i = 0; i < 256; i++) voc_colour(palette[i], i);
    return clsp_png_write_indexed(mask, width, height, (const unsigned char(*)[3])palette, path, err);
}
