/* image/jpeg_write.h - JPEG out; the image room is libjpeg's only door. */
#ifndef CLSP_IMAGE_JPEG_WRITE_H
#define CLSP_IMAGE_JPEG_WRITE_H

#include "base/base.h"

/* The picture as a JPEG's bytes, appended to `out`. rgb: [height, width, 3]; quality: libjpeg's, 1 to 100. The same picture
 * gives the same bytes (accurate integer transform). */
clipspan_status clsp_jpeg_encode(clsp_buffer *out, const unsigned char *rgb, int width, int height, int quality,
                                 clipspan_error *err);

#endif
