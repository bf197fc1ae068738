/* image/masks.h - masks onto the network's square. */
#ifndef CLSP_IMAGE_MASKS_H
#define CLSP_IMAGE_MASKS_H

#include "clipspan/masks.h"

#include "image/preprocess.h"

/* truth: [S, S]; what clipspan_masks_truth does, with the model's preprocessing given. */
clipspan_status clsp_masks_truth(const clipspan_masks *masks, size_t i, const clsp_preprocess *how,
                                 clipspan_protocol protocol, unsigned char *truth, clipspan_error *err);

#endif
