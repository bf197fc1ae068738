/* clipspan/masks.h - images with their true masks.
 *
 *     clipspan_masks *masks = NULL;
 *     clipspan_masks_open(&masks, "VOC2012/", NULL, &err);
 *     unsigned char *truth = malloc(S * S);
 *     clipspan_masks_truth(masks, 0, model, CLIPSPAN_PROTOCOL_ALIGNED, truth, &err);
 *     clipspan_masks_free(masks);
 *
 * A mask has one value a pixel: a class, or 0 for what is not the object. Palette PNGs count by their raw indices. The list
 * of images is one like any other, in the same order. Immutable once open; may be shared by threads.
 */
#ifndef CLIPSPAN_MASKS_H
#define CLIPSPAN_MASKS_H

#include "clipspan/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_masks clipspan_masks;

enum {
    CLIPSPAN_MASK_UNSCORED = 255,    /* in a truth: this pixel is left out of every score */
    CLIPSPAN_MASK_IGNORE_NONE = -1,
    CLIPSPAN_MASK_IGNORE_USUAL = -2  /* 255 in Pascal VOC's layout and where masks hold classes, none elsewhere */
};

typedef struct clipspan_masks_options {
    /* "folder": images/ and masks/ with equal stems; "csv": columns path and mask; "voc": Pascal VOC's layout; "matlab":
     * gtsegs_ijcv.mat as ImageNet-Segmentation is distributed. NULL: found from the path. */
    const char *kind;
    const char *split;  /* voc: name of a list in ImageSets/Segmentation; NULL: val */
    const char *column; /* csv: NULL: mask */
    int binary;         /* 1: every value above 0 is the object, and becomes 1 */
    int ignore;         /* the value that is not scored, 0 to 255, or CLIPSPAN_MASK_IGNORE_* */
    size_t limit;       /* keep the first `limit` images; 0: all */
} clipspan_masks_options;
#define CLIPSPAN_MASKS_OPTIONS_INIT { NULL, NULL, NULL, 1, CLIPSPAN_MASK_IGNORE_USUAL, 0 }

/* Reads the list and the header of every picture and mask: a mask that is missing, of another size than its picture, or
 * holds colours is an error here, before any work. */
CLIPSPAN_API clipspan_status clipspan_masks_open(clipspan_masks **out, const char *path,
                                                 const clipspan_masks_options *options, clipspan_error *err);
CLIPSPAN_API void clipspan_masks_free(clipspan_masks *masks);
CLIPSPAN_API const clipspan_images *clipspan_masks_images(const clipspan_masks *masks); /* borrowed */
CLIPSPAN_API const char *clipspan_masks_kind(const clipspan_masks *masks);
CLIPSPAN_API int clipspan_masks_ignore(const clipspan_masks *masks); /* as settled; -1: none */
/* Class names that the layout fixes (Pascal VOC's 21, background first); 0: none. */
CLIPSPAN_API size_t clipspan_masks_class_count(const clipspan_masks *masks);
CLIPSPAN_API const char *clipspan_masks_class(const clipspan_masks *masks, size_t c);

/* How a mask comes to the network's square (ALGORITHMS 7). */
typedef enum clipspan_protocol {
    CLIPSPAN_PROTOCOL_PAPER, /* stretched, as the reference code does, although images are resized and cropped */
    CLIPSPAN_PROTOCOL_ALIGNED /* resized and cropped exactly as its image */
} clipspan_protocol;
CLIPSPAN_API const char *clipspan_protocol_name(clipspan_protocol protocol); /* "paper", "aligned" */
/* truth: [S, S] bytes; nearest neighbour, as Pillow's. Places that the image leaves to padding are unscored. Safe from
 * several threads. */
CLIPSPAN_API clipspan_status clipspan_masks_truth(const clipspan_masks *masks, size_t i, const clipspan_model *model,
                                                  clipspan_protocol protocol, unsigned char *truth, clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
