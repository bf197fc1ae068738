/* image/picture.h - private to the image room: decoded pictures in Pillow's modes, and what is done to them.
 *
 * The flow: bytes -> clsp_decode (jpeg, png or webp; exif) -> resize and crop -> convert -> floats (preprocess.c).
 * A picture owns its samples: [height, width, channels], interleaved, rows packed. */
#ifndef CLSP_IMAGE_PICTURE_H
#define CLSP_IMAGE_PICTURE_H

#if !defined(CLSP_ROOM_IMAGE) && !defined(CLSP_TESTS)
#error "image/picture.h is private to src/image"
#endif

#include "image/preprocess.h"

/* Pillow's name for each: 1, L, LA, P, RGB, RGBA, CMYK, I;16. */
typedef enum clsp_mode {
    CLSP_MODE_1,    /* one byte a pixel, 0 or not 0 */
    CLSP_MODE_L,    /* grey */
    CLSP_MODE_LA,   /* grey, alpha */
    CLSP_MODE_P,    /* index into the palette */
    CLSP_MODE_RGB,
    CLSP_MODE_RGBA, /* alpha not premultiplied */
    CLSP_MODE_CMYK, /* 0: no ink */
    CLSP_MODE_I16   /* uint16_t in the machine's own order */
} clsp_mode;

typedef struct clsp_picture {
    clsp_mode mode;
    int width, height;
    int channels; /* 1 to 4 */
    int sample;   /* bytes a sample: 1, or 2 for I;16 */
    unsigned char *data; /* [height, width, channels] samples */
    unsigned char palette[256][4]; /* red, green, blue, alpha of P; what the file leaves out is opaque black */
    bool transparent; /* the file names a transparent colour (1, L, I;16, RGB) or palette alphas (P) */
    int key[3];       /* that colour as Pillow keeps it, red, green, blue; grey thrice */
    int orientation;  /* EXIF's, 1 to 8; 1 where it was not asked for */
} clsp_picture;

static inline size_t clsp_picture_row(const clsp_picture *picture)
{
    return (size_t)picture->width * (size_t)picture->channels * (size_t)picture->sample;
}

/* Encoded bytes and what is wanted of them. */
typedef struct clsp_encoded {
    const unsigned char *bytes;
    size_t length;
    const char *name; /* for messages */
    uint64_t max_pixels;
    bool exif;
} clsp_encoded;

/* ---- picture.c ---------------------------------------------------------------------------------------- */

/* Gives `picture` mode, size and uninitialised samples; its other fields are left alone. */
clipspan_status clsp_picture_allocate(clsp_picture *picture, clsp_mode mode, int width, int height,
                                      clipspan_error *err);
void clsp_picture_free(clsp_picture *picture);
/* Frees `picture` and puts `with` in its place. */
void clsp_picture_replace(clsp_picture *picture, clsp_picture *with);
/* Turns the picture as its orientation says, as Pillow's ImageOps.exif_transpose. */
clipspan_status clsp_picture_orient(clsp_picture *picture, clipspan_error *err);

/* ---- decode.c ----------------------------------------------------------------------------------------- */

/* On failure `picture` is empty. */
clipspan_status clsp_decode(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err);
/* The same with the options of a list of images (NULL: none). */
clipspan_status clsp_decode_as(clsp_picture *picture, const clsp_decoded_options *options, const unsigned char *bytes,
                               size_t length, const char *name, clipspan_error *err);
/* Refuses sizes that make no sense or exceed max_pixels, before anything is allocated for them. */
clipspan_status clsp_decode_check_size(const clsp_encoded *encoded, uint64_t width, uint64_t height,
                                       clipspan_error *err);

/* One dependency, one file; each fills `picture`, whose samples clsp_decode frees when they fail. */
clipspan_status clsp_decode_jpeg(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err);
clipspan_status clsp_decode_png(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err);
clipspan_status clsp_decode_webp(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err);

/* ---- size.c ------------------------------------------------------------------------------------------- */

typedef struct clsp_header {
    uint32_t width, height;
    bool indices;       /* one value of 8 bits or less a pixel: grey or palette (PNG alone) */
    const char *format; /* "PNG", "JPEG", "WebP" */
} clsp_header;
/* What the first bytes of a picture say; false: they say no size. */
bool clsp_header_read(clsp_header *out, const unsigned char *bytes, size_t length);

/* ---- exif.c ------------------------------------------------------------------------------------------- */

/* The orientation (1 to 8) in an EXIF block, with or without its "Exif\0\0"; 0: it says none. */
int clsp_exif_orientation(const unsigned char *bytes, size_t length);
/* The same from an XMP packet. */
int clsp_xmp_orientation(const unsigned char *bytes, size_t length);

/* ---- resize.c ----------------------------------------------------------------------------------------- */

/* A part of the picture once it is resized to width x height. A side that does not change is not filtered. */
typedef struct clsp_window {
    int64_t width, height; /* the whole */
    int64_t left, top;     /* first column and row wanted */
    int across, down;      /* how many */
} clsp_window;
/* `out` gets the mode of `in` and the window's pixels, as Pillow's Image.resize followed by a crop. LA and RGBA
 * must be premultiplied by the caller. P and 1 are always sampled by nearest neighbour. */
clipspan_status clsp_resize(clsp_picture *out, const clsp_picture *in, const clsp_window *window,
                            clsp_interpolation interpolation, clipspan_error *err);

/* ---- convert.c ---------------------------------------------------------------------------------------- */

/* In place. RGBA and LA to and from colours multiplied by alpha, as Pillow's RGBa and La; other modes stay. */
void clsp_premultiply(clsp_picture *picture);
void clsp_unpremultiply(clsp_picture *picture);
/* Pillow's convert("RGB"): alpha is dropped. */
clipspan_status clsp_convert_rgb(clsp_picture *picture, clipspan_error *err);
/* Hugging Face's convert_to_rgb: what is transparent is laid over white. */
clipspan_status clsp_convert_rgb_over_white(clsp_picture *picture, clipspan_error *err);

/* ---- preprocess.c ------------------------------------------------------------------------------------- */

/* A picture to the S x S colours [S, S, 3] that the pixels are made of. It is changed in place. */
clipspan_status clsp_preprocess_rgb(const clsp_preprocess *how, clsp_picture *picture, const char *name,
                                    clipspan_error *err);
/* A picture, however it was come by, to pixels [3, S, S]. It is changed on the way; the caller frees it. */
clipspan_status clsp_preprocess_picture(const clsp_preprocess *how, clsp_picture *picture, const char *name,
                                        float *pixels, clipspan_error *err);
/* A mask (one channel) to S x S as its picture is resized and cropped, by nearest neighbour; where no picture is,
 * `outside`. */
clipspan_status clsp_preprocess_mask(const clsp_preprocess *how, clsp_picture *mask, int outside, const char *name,
                                     clipspan_error *err);

#endif
