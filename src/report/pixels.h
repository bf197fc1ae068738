/* report/pixels.h - pixels on their way to a terminal. */
#ifndef CLSP_REPORT_PIXELS_H
#define CLSP_REPORT_PIXELS_H

#ifndef CLSP_ROOM_REPORT
#error "report/pixels.h is private to the room report"
#endif

#include "clipspan/terminal.h"
#include "report/output.h"

/* [height, width, 4] red, green, blue, and 255 where there is a pixel, 0 where the terminal shows through. */
typedef struct clsp_pixels {
    unsigned char *rgba;
    int width, height;
} clsp_pixels;

/* Each appends the picture, beginning and ending at the start of a line. */
void clsp_pixels_blocks(const clsp_pixels *pixels, clipspan_colours colours, clsp_report *report);
void clsp_pixels_sixel(const clsp_pixels *pixels, clsp_report *report);
void clsp_pixels_kitty(const clsp_pixels *pixels, int columns, clsp_report *report); /* columns: characters it spans */

/* Colours that stand for a picture's, by median cut (Heckbert 1982) over 32 levels of each. */
enum { CLSP_PALETTE_MOST = 255, CLSP_PALETTE_BINS = 32 * 32 * 32 };
typedef struct clsp_palette {
    size_t count;
    unsigned char rgb[CLSP_PALETTE_MOST][3];
    unsigned char of[CLSP_PALETTE_BINS]; /* the colour of each bin */
} clsp_palette;
static inline size_t clsp_palette_bin(const unsigned char *rgb)
{
    return (size_t)(rgb[0] >> 3) << 10 | (size_t)(rgb[1] >> 3) << 5 | (size_t)(rgb[2] >> 3);
}
/* false: no memory. */
bool clsp_palette_make(clsp_palette *palette, const clsp_pixels *pixels);

#endif
