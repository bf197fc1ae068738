/* cli/tiles.h - the pictures of contact sheets. */
#ifndef CLIPSPAN_CLI_TILES_H
#define CLIPSPAN_CLI_TILES_H

#include "cli.h"

#include "clipspan/picture.h"

/* A tile of `side` pixels has so many of its picture: twice as many in a vector file, which is printed (384 an inch).
 * path: or its ending alone. */
int cli_tile_detail(const char *path, int side);
/* rgb: [detail, detail, 3] of room. A picture that is nowhere (SIZE_MAX) or cannot be read any more leaves its place grey. */
void cli_tile_fill(clipspan_tile *tile, unsigned char *rgb, int detail, const clipspan_images *images, size_t place);

#endif
