/* report/scale.h - ticks, and the legend of a colour map. */
#ifndef CLSP_REPORT_SCALE_H
#define CLSP_REPORT_SCALE_H

#include "report/canvas.h"

/* Round numbers, 1, 2 or 5 times a power of ten apart, that lie in [low, high]. */
typedef struct clsp_ticks {
    double first, step;
    size_t count;
    int digits; /* behind the point */
} clsp_ticks;
/* About `wanted` of them. low < high, both finite. */
clsp_ticks clsp_ticks_for(double low, double high, size_t wanted);
static inline double clsp_tick(const clsp_ticks *ticks, size_t i) { return ticks->first + (double)i * ticks->step; }
void clsp_tick_label(char out[48], const clsp_ticks *ticks, size_t i);

/* Largest magnitude (CLIPSPAN_SCALE_ZERO) or value (CLIPSPAN_SCALE_MOST) so far and of one more. */
double clsp_scale_widen(clipspan_scale scale, double limit, double value);
/* Where a value stands on its map, for clsp_colour. */
static inline double clsp_scale_place(double value, double limit) { return limit > 0 ? value / limit : 0; }

/* A bar with ticks and its unit, `width` wide, the font's size giving the rest. */
typedef struct clsp_legend {
    clipspan_scale scale;
    double limit;
    const char *unit; /* NULL: none */
    double x, y, width;
    clsp_font font;
} clsp_legend;
double clsp_legend_height(const clsp_legend *legend);
void clsp_legend_draw(clsp_canvas *canvas, const clsp_legend *legend);

#endif
