/* image/mask_list.h - private to the image room: a list of images with masks while it is being filled. */
#ifndef CLSP_IMAGE_MASK_LIST_H
#define CLSP_IMAGE_MASK_LIST_H

#if !defined(CLSP_ROOM_IMAGE) && !defined(CLSP_TESTS)
#error "image/mask_list.h is private to src/image"
#endif

#include "image/masks.h"
#include "image/sources.h"

struct clipspan_masks {
    clipspan_images *images;
    const char *kind;
    char **paths;    /* [count] of the masks; NULL in a MATLAB file */
    uint64_t *cells; /* [count] the masks' references in a MATLAB file */
    size_t count;
    int ignore;      /* value that is not scored, or -1 */
    bool binary;
    bool voc;        /* the classes are Pascal VOC's */
};

/* Pascal VOC: JPEGImages, SegmentationClass, ImageSets/Segmentation/<split>.txt. Fills images and paths. */
clipspan_status clsp_masks_voc(clipspan_masks *masks, const char *path, const char *split, size_t limit,
                               clipspan_error *err);
clipspan_status clsp_masks_looks_voc(bool *voc, const char *path, clipspan_error *err);

enum { CLSP_VOC_CLASSES = 21 };
extern const char *const clsp_voc_classes[CLSP_VOC_CLASSES];

#endif
