/* report/tile.h - what pictures and terminals share of a sheet of tiles. */
#ifndef CLSP_REPORT_TILE_H
#define CLSP_REPORT_TILE_H

#ifndef CLSP_ROOM_REPORT
#error "report/tile.h is private to the room report"
#endif

#include <stdbool.h>

#include "clipspan/picture.h"

clipspan_status clsp_sheet_check(const clipspan_sheet *sheet, clipspan_error *err);
bool clsp_sheet_has_maps(const clipspan_sheet *sheet);
double clsp_sheet_limit(const clipspan_sheet *sheet); /* value of the strongest colour */

/* The pixels of a tile with a map. */
/* out: [height, width, 3]. tile->map is there; limit: value of the strongest colour. */
void clsp_tile_pixels(unsigned char *out, const clipspan_tile *tile, clipspan_scale scale, double limit, int width, int height);

#endif
