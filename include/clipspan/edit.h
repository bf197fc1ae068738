/* clipspan/edit.h - a copy of a model with heads changed inside its weights, which loads elsewhere unchanged.
 */
#ifndef CLIPSPAN_EDIT_H
#define CLIPSPAN_EDIT_H

#include "clipspan/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the model anew into `directory` (which must not exist, or be empty): every file as it was, byte for byte, but
 * for the out-projections of the image tower's layers with a chosen head: the head's columns become zero and its mean
 * output goes into the bias (b += O_h' mean). Same names, types, sharding. heads: [L * H]; means: [L, H, d] or NULL
 * (zero ablation). Values are rounded to the tensor's type. All or nothing: built beside and renamed. */
CLIPSPAN_API clipspan_status clipspan_model_edit(const clipspan_model *model, const unsigned char *heads,
                                                 const float *means, const char *directory, clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
