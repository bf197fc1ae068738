/* gtsegs_ijcv.mat, as ImageNet-Segmentation (Guillaumin, Kuettel, Ferrari, IJCV 2014) is distributed: a struct `value`
 * whose cells `img` hold the pictures and `gt` the masks. */
#include "image/sources.h"

#include <limits.h>

static const char PICTURES[] = "value/img";

clipspan_status clsp_source_matlab(clipspan_images *images, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t count;
    CLSP_TRY(clsp_matlab_open(&images->matlab, path, err));
    CLSP_TRY(clsp_matlab_cells(images->matlab, PICTURES, &images->cells, &count, err));
    for (size_t i = 0; i < count; i++)
        CLSP_TRY(clsp_images_add(images, NULL, clsp_format("img_%05zu", i), NULL, err));
out:
    return status;
}

/* data: [planes, W, H] of the array; out: [H, W, planes]. */
static void turn(unsigned char *out, const unsigned char *data, size_t planes, size_t width, size_t height)
{
    for (size_t p = 0; p < planes; p++)
        for (size_t x = 0; x < width; x++)
            for (size_t y = 0; y < height; y++)
                out[(y * width + x) * planes + p] = data[(p * width + x) * height + y];
}

clipspan_status clsp_matlab_to_picture(clsp_picture *picture, const clsp_matlab *file, uint64_t cell, const char *name,
                                       clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_matlab_array array;
    CLSP_TRY(clsp_matlab_array_read(&array, file, cell, name, true, err));
    size_t planes = array.dims == 3 ? array.shape[0] : 1;
    size_t width = array.shape[array.dims - 2], height = array.shape[array.dims - 1];
    if ((planes != 1 && planes != 3) || width > INT_MAX || height > INT_MAX)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: an array of %zu planes of %zu x %zu, expected 1 or 3", name,
                           planes, width, height));
    CLSP_TRY(clsp_picture_allocate(picture, planes == 3 ? CLSP_MODE_RGB : CLSP_MODE_L, (int)width, (int)height, err));
    picture->orientation = 1;
    turn(picture->data, array.data, planes, width, height);
out:
    clsp_free(array.data);
    return status;
}

clipspan_status clsp_source_matlab_picture(const clipspan_images *images, size_t i, clsp_picture *picture,
                                           clipspan_error *err)
{
    return clsp_matlab_to_picture(picture, images->matlab, images->cells[i], images->entries[i].name, err);
}
