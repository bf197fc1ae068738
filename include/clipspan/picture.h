/* clipspan/picture.h - results as pictures (PNG, SVG, PDF): heat-maps, contact sheets, curves, masks. Computes nothing.
 *
 * Every picture is written beside its place and renamed. A path that ends in .svg or .pdf gets a vector picture, with the
 * letters it needs inside; any other path a PNG (masks always). Colours: one sequential and one diverging map, perceptually
 * uniform (lightness linear in OKLab) and safe for the colour-blind, each with its legend and scale.
 */
#ifndef CLIPSPAN_PICTURE_H
#define CLIPSPAN_PICTURE_H

#include "clipspan/map.h"
#include "clipspan/report.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A picture to be shown: [height, width, 3] bytes, rows packed. rgb NULL: a grey place that says `caption`. */
typedef struct clipspan_tile {
    const unsigned char *rgb;
    int width, height;
    const char *caption; /* below it; NULL: none */
    /* A map laid over it: [map_side, map_side], scaled bilinearly to the picture; NULL: none. */
    const float *map;
    int map_side;
    int framed; /* 1: marked, as the query among its answers */
} clipspan_tile;

typedef enum clipspan_scale {
    CLIPSPAN_SCALE_ZERO, /* diverging around zero: evidence for and against */
    CLIPSPAN_SCALE_MOST  /* sequential from 0 to the largest value */
} clipspan_scale;

/* Tiles in rows of `columns`, with optional headings. One scale for all maps, drawn in the legend; limit: its largest
 * magnitude; 0: found from the maps. */
typedef struct clipspan_sheet {
    const clipspan_tile *tiles;
    size_t count, columns;
    int tile_side;               /* pixels that a tile's longer side gets */
    const char *title;           /* NULL: none */
    const char *const *rows;     /* [ceil(count / columns)] headings; NULL: none */
    const char *const *heads;    /* [columns] headings above; NULL: none */
    clipspan_scale scale;
    double limit;
    const char *unit;            /* of the maps: "change in cosine"; NULL where there are none */
    const char *note;            /* at the foot: how it was made; NULL: none */
} clipspan_sheet;
CLIPSPAN_API clipspan_status clipspan_picture_sheet(const clipspan_sheet *sheet, const char *path, clipspan_error *err);

/* Lines over one axis. */
typedef struct clipspan_line {
    const char *name;
    const double *x, *y;       /* [count] */
    const double *low, *high;  /* [count] interval drawn as a band; NULL: none */
    size_t count;
} clipspan_line;
typedef struct clipspan_plot {
    const char *title, *x_name, *y_name, *note;
    const clipspan_line *lines;
    size_t count;
    double y_low, y_high; /* both 0: found from the data */
} clipspan_plot;
CLIPSPAN_API clipspan_status clipspan_picture_plot(const clipspan_plot *plot, const char *path, clipspan_error *err);

/* A value for every layer and head. */
typedef struct clipspan_grid {
    const char *title, *unit, *note;
    const double *values; /* [rows, columns]; not finite: left empty */
    size_t rows, columns; /* layers, heads */
    clipspan_scale scale;
    const char *row_prefix, *column_prefix; /* "L", "H" */
} clipspan_grid;
/* The layer x head grid, coloured. */
CLIPSPAN_API clipspan_status clipspan_picture_grid(const clipspan_grid *grid, const char *path, clipspan_error *err);

/* The picture itself, nothing beside it. rgb: [height, width, 3]. PNG keeps every bit, JPEG (of quality 85) is small. */
typedef enum clipspan_photo { CLIPSPAN_PHOTO_PNG = 0, CLIPSPAN_PHOTO_JPEG = 1 } clipspan_photo;
CLIPSPAN_API clipspan_status clipspan_picture_photo(const unsigned char *rgb, int width, int height, clipspan_photo as,
                                                    const char *path, clipspan_error *err);

/* A class a pixel: an indexed PNG as Pascal VOC's, values 0 .. 255 kept as they are. mask: [height, width]. */
CLIPSPAN_API clipspan_status clipspan_picture_mask(const unsigned char *mask, int width, int height, const char *path,
                                                   clipspan_error *err);

/* Maps laid over their images: one row an image and text, the image first, then one column a part; of one part, one row an
 * image and one column a text. */
typedef struct clipspan_maps_look {
    clipspan_evidence evidence;
    int each;      /* 1: every map is divided by its own largest magnitude (for methods whose units differ) */
    double limit;  /* value of the strongest colour, one scale for all; 0: the 99.5th percentile of the magnitudes */
    int tile_side; /* pixels that a tile gets */
    int view_side; /* S of the images' rgb */
    const char *title;
} clipspan_maps_look;
CLIPSPAN_API clipspan_status clipspan_picture_maps(const clipspan_maps *maps, const clipspan_maps_look *look,
                                                   const char *path, clipspan_error *err);
/* The same maps in words and numbers. JSON holds the values where they are kept; CSV: the strongest heads. */
CLIPSPAN_API clipspan_status clipspan_report_maps(const clipspan_maps *maps, clipspan_format format, const char *path,
                                                  clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
