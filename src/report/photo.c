/* A picture as it is, without words and colours of its own. */
#include <string.h>

#include "base/base.h"
#include "clipspan/picture.h"
#include "image/jpeg_write.h"
#include "image/png_write.h"

enum { QUALITY = 85 };

static clipspan_status write_jpeg(const unsigned char *rgb, int width, int height, const char *path, clipspan_error *err)
{
    clsp_output output;
    clsp_buffer bytes;
    clsp_buffer_init(&bytes, SIZE_MAX);
    clipspan_status status = clsp_jpeg_encode(&bytes, rgb, width, height, QUALITY, err);
    if (status == CLIPSPAN_OK) status = clsp_output_open(&output, path, err);
    if (status == CLIPSPAN_OK) {
        status = clsp_output_write(&output, bytes.data, bytes.length, err);
        if (status == CLIPSPAN_OK)
            status = clsp_output_commit(&output, err);
        else
            clsp_output_discard(&output);
    }
    clsp_buffer_free(&bytes);
    return status;
}

clipspan_status clipspan_picture_photo(const unsigned char *rgb, int width, int height, clipspan_photo as, const char *path,
                                       clipspan_error *err)
{
    if (width < 1 || height < 1 || width > 65500 || height > 65500)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: a picture of %d x %d pixels", path, width, height);
    if (strcmp(path, "-") == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-: a picture goes to a file, not to standard output");
    if (as == CLIPSPAN_PHOTO_PNG) return clsp_png_write_rgb(rgb, width, height, path, err);
    return write_jpeg(rgb, width, height, path, err);
}
