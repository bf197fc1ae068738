/* The pixels of a tile with a map.
 *
 * A picture under a map is drawn in grey and the map's colour laid over it, so that no colour of the picture is taken
 * for one of the map. */
#include "report/tile.h"

#include <math.h>

#include "report/colours.h"
#include "report/scale.h"

static const double OVERLAY = 0.68; /* the map's opacity over the grey picture */

/* Half-pixel centres, edges held: v at place x of `target` pixels from `side` cells. */
static void between(double x, int target, int side, int *first, int *second, double *weight)
{
    double at = fmin(fmax((x + 0.5) * side / target - 0.5, 0), side - 1);
    *first = (int)at;
    *second = *first + 1 < side ? *first + 1 : *first;
    *weight = at - *first;
}

static double sampled(const clipspan_tile *tile, int x, int y, int width, int height)
{
    int x0, x1, y0, y1, side = tile->map_side;
    double u, v;
    between(x, width, side, &x0, &x1, &u);
    between(y, height, side, &y0, &y1, &v);
    const float *a = tile->map + (size_t)y0 * (size_t)side, *b = tile->map + (size_t)y1 * (size_t)side;
    return (1 - v) * ((1 - u) * (double)a[x0] + u * (double)a[x1]) + v * ((1 - u) * (double)b[x0] + u * (double)b[x1]);
}

/* The displayed pixel of the picture (nearest one), in grey. */
static double grey_at(const clipspan_tile *tile, int x, int y, int width, int height)
{
    if (tile->rgb == NULL) return 0.5;
    int px = (int)((x + 0.5) * tile->width / width), py = (int)((y + 0.5) * tile->height / height);
    const unsigned char *p = tile->rgb + 3 * ((size_t)py * (size_t)tile->width + (size_t)px);
    return (0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]) / 255;
}

static unsigned char mixed(double colour, double grey)
{
    return (unsigned char)(255 * fmin(fmax(OVERLAY * colour + (1 - OVERLAY) * grey, 0), 1) + 0.5);
}

void clsp_tile_pixels(unsigned char *out, const clipspan_tile *tile, clipspan_scale scale, double limit, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, out += 3) {
            double value = sampled(tile, x, y, width, height), grey = grey_at(tile, x, y, width, height);
            clsp_rgb c = isfinite(value) ? clsp_colour(scale, clsp_scale_place(value, limit)) : (clsp_rgb){grey, grey, grey};
            out[0] = mixed(c.r, grey);
            out[1] = mixed(c.g, grey);
            out[2] = mixed(c.b, grey);
        }
}
