/* Images for people: as the model sees them, and whole but small. */
#include "image/sources.h"

#include <string.h>

enum { THUMBNAIL_MOST = 16384 };

static clipspan_status open_picture(const clipspan_images *images, size_t i, clsp_picture *picture, const char **name,
                                    clipspan_error *err)
{
    *picture = (clsp_picture){0};
    if (i >= images->count)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: image %zu of %zu", images->root, i, images->count);
    const clsp_entry *entry = &images->entries[i];
    *name = entry->path ? entry->path : entry->name;
    return clsp_images_picture(images, i, picture, err);
}

clipspan_status clsp_images_rgb(const clipspan_images *images, size_t i, const clsp_preprocess *how, unsigned char *rgb,
                                clipspan_error *err)
{
    clsp_picture picture;
    const char *name = NULL;
    clipspan_status status = open_picture(images, i, &picture, &name, err);
    if (status == CLIPSPAN_OK) status = clsp_preprocess_rgb(how, &picture, name, err);
    if (status == CLIPSPAN_OK) memcpy(rgb, picture.data, clsp_picture_row(&picture) * (size_t)picture.height);
    clsp_picture_free(&picture);
    return status;
}

/* The longer side becomes `side` where it is longer; the other is rounded. */
static void shrink(int64_t *width, int64_t *height, int64_t side)
{
    int64_t longer = *width > *height ? *width : *height;
    if (longer <= side) return;
    *width = (*width * side + longer / 2) / longer;
    *height = (*height * side + longer / 2) / longer;
    if (*width < 1) *width = 1;
    if (*height < 1) *height = 1;
}

static clipspan_status resize_whole(clsp_picture *picture, int side, const char *name, clipspan_error *err)
{
    clsp_picture resized = {0};
    clsp_window window = {.width = picture->width, .height = picture->height};
    shrink(&window.width, &window.height, side);
    if (window.width == picture->width && window.height == picture->height) return CLIPSPAN_OK;
    window.across = (int)window.width;
    window.down = (int)window.height;
    clipspan_status status = clsp_resize(&resized, picture, &window, CLSP_BICUBIC, err);
    if (status == CLIPSPAN_ERROR_UNSUPPORTED)
        return clsp_fail(err, status, "%s: %d x %d pixels are too elongated to be shrunk to %d", name, picture->width,
                         picture->height, side);
    if (status == CLIPSPAN_OK) clsp_picture_replace(picture, &resized);
    return status;
}

clipspan_status clipspan_images_thumbnail(const clipspan_images *images, size_t i, int side, unsigned char *rgb,
                                          int *width, int *height, clipspan_error *err)
{
    clsp_picture picture = {0};
    const char *name = NULL;
    clipspan_status status = CLIPSPAN_OK;
    if (side < 1 || side > THUMBNAIL_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "thumbnails of %d pixels, expected 1 to %d", side,
                         (int)THUMBNAIL_MOST);
    CLSP_TRY(open_picture(images, i, &picture, &name, err));
    CLSP_TRY(clsp_convert_rgb_over_white(&picture, err)); /* before the filter: nothing shines through its edges */
    CLSP_TRY(resize_whole(&picture, side, name, err));
    memcpy(rgb, picture.data, clsp_picture_row(&picture) * (size_t)picture.height);
    *width = picture.width;
    *height = picture.height;
out:
    clsp_picture_free(&picture);
    return status;
}
