/* Masks as a model sees their images: the one-liner that stands on a model. */
#include "engine/engine.h"
#include "image/masks.h"
#include "model/model.h"

clipspan_status clipspan_masks_truth(const clipspan_masks *masks, size_t i, const clipspan_model *model,
                                     clipspan_protocol protocol, unsigned char *truth, clipspan_error *err)
{
    return clsp_masks_truth(masks, i, &model->preprocess, protocol, truth, err);
}
