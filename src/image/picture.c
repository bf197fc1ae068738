/* A picture's samples: made, freed, turned. */
#include "image/picture.h"

#include <string.h>

static const struct {
    int channels, sample;
} MODES[] = {
    [CLSP_MODE_1] = {1, 1},     [CLSP_MODE_L] = {1, 1},       [CLSP_MODE_LA] = {2, 1},
    [CLSP_MODE_P] = {1, 1},     [CLSP_MODE_RGB] = {3, 1},   [CLSP_MODE_RGBA] = {4, 1},
    [CLSP_MODE_CMYK] = {4, 1}, [CLSP_MODE_I16] = {1, 2},
};

clipspan_status clsp_picture_allocate(clsp_picture *picture, clsp_mode mode, int width, int height, clipspan_error *err)
{
    picture->mode = mode;
    picture->width = width;
    picture->height = height;
    picture->channels = MODES[mode].channels;
    picture->sample = MODES[mode].sample;
    /* no overflow: int times at most 8 */
    picture->data = clsp_alloc((size_t)height, clsp_picture_row(picture));
    return picture->data != NULL ? CLIPSPAN_OK : clsp_fail_memory(err);
}

void clsp_picture_free(clsp_picture *picture)
{
    clsp_free(picture->data);
    picture->data = NULL;
}

void clsp_picture_replace(clsp_picture *picture, clsp_picture *with)
{
    clsp_picture_free(picture);
    *picture = *with;
    with->data = NULL;
}

/* Where the turned picture's first pixel lies in the untouched one, and the steps right and down from it. */
typedef struct walk {
    ptrdiff_t start, right, down; /* in pixels */
} walk;

static walk walk_for(int orientation, ptrdiff_t width, ptrdiff_t height)
{
    ptrdiff_t last_row = (height - 1) * width, last_column = width - 1;
    switch (orientation) {
    case 2: return (walk){last_column, -1, width};
    case 3: return (walk){last_row + last_column, -1, -width};
    case 4: return (walk){last_row, 1, -width};
    case 5: return (walk){0, width, 1};
    case 6: return (walk){last_row, -width, 1};
    case 7: return (walk){last_row + last_column, -width, -1};
    case 8: return (walk){last_column, width, -1};
    default: return (walk){0, 1, width};
    }
}

clipspan_status clsp_picture_orient(clsp_picture *picture, clipspan_error *err)
{
    if (picture->orientation < 2 || picture->orientation > 8) return CLIPSPAN_OK;
    clsp_picture turned = *picture;
    bool swap = picture->orientation >= 5;
    clipspan_status status = clsp_picture_allocate(&turned, picture->mode, swap ? picture->height : picture->width,
                                                   swap ? picture->width : picture->height, err);
    if (status != CLIPSPAN_OK) return status;
    ptrdiff_t pixel = picture->channels * picture->sample;
    walk way = walk_for(picture->orientation, picture->width, picture->height);
    unsigned char *to = turned.data;
    for (int y = 0; y < turned.height; y++) {
        const unsigned char *from = picture->data + (way.start + y * way.down) * pixel;
        for (int x = 0; x < turned.width; x++, to += pixel) {
            memcpy(to, from, (size_t)pixel);
            if (x + 1 < turned.width) from += way.right * pixel;
        }
    }
    turned.orientation = 1;
    clsp_picture_replace(picture, &turned);
    return CLIPSPAN_OK;
}
