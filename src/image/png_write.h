/* image/png_write.h - PNG out, indexed or in RGB; the image room is libpng's only door. */
#ifndef CLSP_IMAGE_PNG_WRITE_H
#define CLSP_IMAGE_PNG_WRITE_H

#include "base/base.h"

/* One byte a pixel, kept as the index it is. indices: [height, width]; palette: [256] of red, green, blue. Whole or
 * absent. */
clipspan_status clsp_png_write_indexed(const unsigned char *indices, int width, int height,
                                       const unsigned char (*palette)[3], const char *path, clipspan_error *err);
/* rgb: [height, width, 3]. Whole or absent. */
clipspan_status clsp_png_write_rgb(const unsigned char *rgb, int width, int height, const char *path, clipspan_error *err);

#endif
