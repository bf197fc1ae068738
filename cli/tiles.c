/* The pictures of contact sheets. */
#include "tiles.h"

#include <stdint.h>
#include <string.h>

int cli_tile_detail(const char *path, int side)
{
    const char *dot = strrchr(path, '.'), *ending = dot ? dot + 1 : path;
    return strcmp(ending, "svg") == 0 || strcmp(ending, "pdf") == 0 ? 2 * side : side;
}

void cli_tile_fill(clipspan_tile *tile, unsigned char *rgb, int detail, const clipspan_images *images, size_t place)
{
    clipspan_error problem;
    if (place == SIZE_MAX || images == NULL) return;
    if (clipspan_images_thumbnail(images, place, detail, rgb, &tile->width, &tile->height, &problem) == CLIPSPAN_OK)
        tile->rgb = rgb;
    else
        cli_warn("%s", problem.message);
}
