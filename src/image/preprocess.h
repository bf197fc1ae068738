/* image/preprocess.h - what a model's files say about its input, and images made into it. */
#ifndef CLSP_IMAGE_PREPROCESS_H
#define CLSP_IMAGE_PREPROCESS_H

#include "clipspan/image.h"

#include "base/base.h"

typedef enum clsp_interpolation { CLSP_BILINEAR, CLSP_BICUBIC, CLSP_NEAREST } clsp_interpolation;
typedef enum clsp_resize_mode {
    CLSP_RESIZE_SHORTEST, /* short side to `resize`, then centre crop to `size` */
    CLSP_RESIZE_SQUASH,   /* both sides to `size` */
    CLSP_RESIZE_LONGEST   /* long side to `size`, then padded to size x size with `fill` */
} clsp_resize_mode;
/* Which program's order of steps is followed, to the last bit. */
typedef enum clsp_preprocess_manner { CLSP_PREPROCESS_OPEN_CLIP, CLSP_PREPROCESS_HUGGINGFACE } clsp_preprocess_manner;

typedef struct clsp_preprocess {
    clsp_preprocess_manner manner;
    clsp_resize_mode mode;
    clsp_interpolation interpolation;
    int size;   /* S, of the network's input */
    int resize; /* target of the short side in SHORTEST (HF: size.shortest_edge); usually = size */
    bool do_resize, do_crop, do_rescale, do_normalize; /* HF may switch each off; all true for open_clip */
    double rescale;          /* 1/255 */
    double mean[3], std[3];  /* of values in 0..1 */
    int fill;                /* padding value 0..255 for LONGEST */
} clsp_preprocess;

typedef struct clsp_decoded_options {
    bool exif;
    uint64_t max_pixels; /* 0: Pillow's default */
} clsp_decoded_options;

/* Encoded bytes of a JPEG, PNG or WebP (known by content, not by name) to pixels [3, S, S]. `name` for messages. */
clipspan_status clsp_preprocess_bytes(const clsp_preprocess *how, const clsp_decoded_options *options,
                                      const unsigned char *bytes, size_t length, const char *name, float *pixels,
                                      clipspan_error *err);
/* Image i of a list. */
clipspan_status clsp_images_pixels(const clipspan_images *images, size_t i, const clsp_preprocess *how,
                                   float *pixels, clipspan_error *err);
/* The colours those pixels are made of: rgb [S, S, 3]. */
clipspan_status clsp_images_rgb(const clipspan_images *images, size_t i, const clsp_preprocess *how, unsigned char *rgb,
                                clipspan_error *err);
/* One line in words; caller frees. */
char *clsp_preprocess_words(const clsp_preprocess *how);

#endif
