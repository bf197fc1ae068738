/* clipspan/edit.h - a copy of a model with heads changed inside its weights, which loads elsewhere unchanged.
 *
 *     clipspan_model_edit(model, chosen, means, "edited-model", NULL, &err);
 *     clipspan_model_open(&edited, "edited-model", NULL, &err);
 *
 * Letters: L layers, H heads, d head width, D = H d, O_h a head's [d, D] slice of the out-projection.
 */
#ifndef CLIPSPAN_EDIT_H
#define CLIPSPAN_EDIT_H

#include "clipspan/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the model anew into `directory` (which must not exist, or be empty): every file as it was, byte for byte, but
 * for the out-projections of the image tower's layers with a chosen head: the head's columns become zero and its mean
 * output goes into the bias (b += O_h' mean), so that the head writes the same vector at every token of every image
 * (docs/edit.md). Same names, types, sharding, headers. heads: [L * H] of 0 and 1; means: [L, H, d], rows of other heads
 * are not read; NULL: zeros. Bias values are summed in double and rounded to float32, then to the tensor's type
 * (nearest, ties to even); f16 values out of range are refused.
 *
 * A directory that holds the weights twice, as open_clip's and as Hugging Face's, gets both edited. Files that would
 * still hold the unedited network (pickles, ONNX and such) are left out, with a warning (hooks->warn) that names them;
 * so are hidden folders. Links are followed: the copy holds files. A model that was opened as a bare .safetensors file
 * is written as one: then `directory` is a file's name that ends so.
 *
 * All or nothing: built beside its place and renamed. Memory does not grow with the model. Progress: stage "edit", in
 * MiB. hooks may be NULL. */
CLIPSPAN_API clipspan_status clipspan_model_edit(const clipspan_model *model, const unsigned char *heads,
                                                 const float *means, const char *directory,
                                                 const clipspan_hooks *hooks, clipspan_error *err);

/* ---- what was done, for a report --------------------------------------------------------------------------- */

typedef enum clipspan_edit_means {
    CLIPSPAN_EDIT_ZERO,  /* zeros */
    CLIPSPAN_EDIT_CLASS, /* means at the class token, as a store has them */
    CLIPSPAN_EDIT_TOKENS /* means over all tokens */
} clipspan_edit_means;

/* Shares of images that are classified right; the first of a list is of all labelled images. */
typedef struct clipspan_edit_score {
    const char *name;
    uint64_t images;
    double before; /* the old model */
    double direct; /* predicted: its terms replaced in the sum */
    double after;  /* the edited model, run */
} clipspan_edit_score;

typedef struct clipspan_edit_summary {
    const char *model, *edited;  /* paths */
    int layers, heads;
    const unsigned char *chosen; /* [L * H] */
    clipspan_edit_means means;
    uint64_t mean_images;        /* behind the means */
    const char *attribute;       /* whose values make the groups; NULL: none */
    double cosine;               /* mean over images, between embeddings before and after */
    const clipspan_edit_score *scores; /* [count]; count 0: accuracy was not measured */
    size_t count;
} clipspan_edit_summary;

#ifdef __cplusplus
}
#endif

#endif
