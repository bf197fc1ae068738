/* report/data_url.h - bytes inside a text: base64 and data: URLs. */
#ifndef CLSP_REPORT_DATA_URL_H
#define CLSP_REPORT_DATA_URL_H

#ifndef CLSP_ROOM_REPORT
#error "report/data_url.h is private to the room report"
#endif

#include "base/base.h"

/* Appends the bytes in base64 (RFC 4648, padded); false: no memory. */
bool clsp_base64(clsp_buffer *out, const void *bytes, size_t length);
/* "data:image/jpeg;base64,..." of a picture [height, width, 3]; the caller frees *out with clsp_free. */
clipspan_status clsp_jpeg_url(char **out, const unsigned char *rgb, int width, int height, clipspan_error *err);
/* "data:image/png;base64,..." of a mask [height, width]: white where it is 1, black elsewhere. */
clipspan_status clsp_mask_url(char **out, const unsigned char *mask, int width, int height, clipspan_error *err);

#endif
