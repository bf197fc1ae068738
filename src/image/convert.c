/* From Pillow's modes to RGB, with Pillow's integer arithmetic. */
#include "image/picture.h"

#include <string.h>

/* a b / 255, rounded */
static inline int times(int a, int b)
{
    int product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

void clsp_premultiply(clsp_picture *picture)
{
    if (picture->mode != CLSP_MODE_LA && picture->mode != CLSP_MODE_RGBA) return;
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    int colours = picture->channels - 1;
    unsigned char *pixel = picture->data;
    for (size_t i = 0; i < pixels; i++, pixel += colours + 1)
        for (int c = 0; c < colours; c++) pixel[c] = (unsigned char)times(pixel[c], pixel[colours]);
}

void clsp_unpremultiply(clsp_picture *picture)
{
    if (picture->mode != CLSP_MODE_LA && picture->mode != CLSP_MODE_RGBA) return;
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    int colours = picture->channels - 1;
    unsigned char *pixel = picture->data;
    for (size_t i = 0; i < pixels; i++, pixel += colours + 1) {
        int alpha = pixel[colours];
        if (alpha == 0 || alpha == 255) continue;
        for (int c = 0; c < colours; c++) {
            int value = 255 * pixel[c] / alpha;
            pixel[c] = (unsigned char)(value > 255 ? 255 : value);
        }
    }
}

static void grey(unsigned char rgb[3], int value)
{
    rgb[0] = rgb[1] = rgb[2] = (unsigned char)value;
}

/* Pixel i as red, green, blue; returns its alpha, where the mode itself has one. */
static int pixel_rgb(unsigned char rgb[3], const clsp_picture *from, size_t i)
{
    const unsigned char *pixel = from->data + i * (size_t)(from->channels * from->sample);
    uint16_t wide;
    switch (from->mode) {
    case CLSP_MODE_1: grey(rgb, *pixel ? 255 : 0); return 255;
    case CLSP_MODE_L: grey(rgb, *pixel); return 255;
    case CLSP_MODE_LA: grey(rgb, *pixel); return pixel[1];
    case CLSP_MODE_P: memcpy(rgb, from->palette[*pixel], 3); return from->palette[*pixel][3];
    case CLSP_MODE_I16:
        memcpy(&wide, pixel, 2);
        grey(rgb, wide > 255 ? 255 : wide); /* clipped, not scaled */
        return 255;
    case CLSP_MODE_CMYK:
        for (int c = 0; c < 3; c++) {
            int white = 255 - pixel[3], value = white - times(pixel[c], white);
            rgb[c] = (unsigned char)(value < 0 ? 0 : value);
        }
        return 255;
    case CLSP_MODE_RGBA: memcpy(rgb, pixel, 3); return pixel[3];
    default: memcpy(rgb, pixel, 3); return 255;
    }
}

clipspan_status clsp_convert_rgb(clsp_picture *picture, clipspan_error *err)
{
    if (picture->mode == CLSP_MODE_RGB) return CLIPSPAN_OK;
    clsp_picture rgb = {.orientation = picture->orientation};
    clipspan_status status = clsp_picture_allocate(&rgb, CLSP_MODE_RGB, picture->width, picture->height, err);
    if (status != CLIPSPAN_OK) return status;
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    for (size_t i = 0; i < pixels; i++) pixel_rgb(rgb.data + 3 * i, picture, i);
    clsp_picture_replace(picture, &rgb);
    return CLIPSPAN_OK;
}

/* Pillow's alpha_composite over opaque white: weights of 7 fractional bits, two rounded divisions by 255. */
static unsigned char over_white(int value, int alpha)
{
    if (alpha == 0) return 255;
    uint32_t sum = (uint32_t)(value * alpha + 255 * (255 - alpha)) << 7;
    sum += 0x80 << 7;
    return (unsigned char)((((sum >> 8) + sum) >> 8) >> 7);
}

/* The file's transparent colour is compared by its low bytes, after conversion to RGB. */
static bool is_key(const clsp_picture *picture, const unsigned char rgb[3])
{
    return rgb[0] == (picture->key[0] & 255) && rgb[1] == (picture->key[1] & 255) && rgb[2] == (picture->key[2] & 255);
}

clipspan_status clsp_convert_rgb_over_white(clsp_picture *picture, clipspan_error *err)
{
    bool own_alpha = picture->mode == CLSP_MODE_LA || picture->mode == CLSP_MODE_RGBA;
    if (!own_alpha && !picture->transparent) return clsp_convert_rgb(picture, err);
    bool keyed = !own_alpha && picture->mode != CLSP_MODE_P;
    clsp_picture rgb = {.orientation = picture->orientation};
    clipspan_status status = clsp_picture_allocate(&rgb, CLSP_MODE_RGB, picture->width, picture->height, err);
    if (status != CLIPSPAN_OK) return status;
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    unsigned char *to = rgb.data;
    for (size_t i = 0; i < pixels; i++, to += 3) {
        int alpha = pixel_rgb(to, picture, i);
        if (keyed) alpha = is_key(picture, to) ? 0 : 255;
        for (int c = 0; c < 3; c++) to[c] = over_white(to[c], alpha);
    }
    clsp_picture_replace(picture, &rgb);
    return CLIPSPAN_OK;
}
