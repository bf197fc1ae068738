/* report/colours.h - the colours of pictures, computed in OKLab. */
#ifndef CLSP_REPORT_COLOURS_H
#define CLSP_REPORT_COLOURS_H

#if !defined(CLSP_ROOM_REPORT) && !defined(CLSP_TESTS)
#error "report/colours.h is private to the room report"
#endif

#include "clipspan/picture.h"

typedef struct clsp_rgb {
    double r, g, b; /* sRGB, 0 to 1 */
} clsp_rgb;
typedef struct clsp_oklab {
    double l, a, b;
} clsp_oklab;

/* Before rounding and conversion. t: 0 to 1 for CLIPSPAN_SCALE_MOST, -1 to 1 for CLIPSPAN_SCALE_ZERO; what lies
 * outside is drawn as the end. */
clsp_oklab clsp_colour_oklab(clipspan_scale scale, double t);
clsp_rgb clsp_colour(clipspan_scale scale, double t);
clsp_rgb clsp_rgb_of(clsp_oklab colour); /* components outside [0, 1]: not in sRGB */
/* Colours for lines: Okabe, Ito 2008 (told apart with any kind of colour blindness), without its yellow. */
clsp_rgb clsp_line_colour(size_t i);

#endif
