/* decompose/decompose.h - contributions from what the engine captured; what store and analysis need of them.
 *
 * Letters as in clipspan/contributions.h: I images, L layers, H heads, d head width, D = H d, E joint dimension,
 * N tokens, K = 2L + 1 direct terms, k factors of a head (d + 3 in the paper's convention, d + 1 in the exact one).
 */
#ifndef CLSP_DECOMPOSE_H
#define CLSP_DECOMPOSE_H

#include "clipspan/neurons.h"

#include "base/base.h"
#include "engine/engine.h"
#include "model/model.h"

/* ---- the basis ------------------------------------------------------------------------------------------ */

/* The arrays of a basis, by name and shape, in one order everywhere: memory, files, copies. */
enum { CLSP_BASIS_PARTS = 6 };
typedef struct clsp_basis_part {
    const char *name;
    int dims;
    size_t shape[4], count;
    size_t offset;       /* in floats, in a block that holds all parts in order */
    const float **field; /* the pointer inside the clipspan_basis that was asked */
} clsp_basis_part;
/* Dimensions must be set and positive. false: a product overflows. total: floats of all parts. */
bool clsp_basis_parts(clipspan_basis *basis, clsp_basis_part parts[CLSP_BASIS_PARTS], size_t *total);

/* Copies dimensions and arrays into one new block, which the caller frees. */
clipspan_status clsp_basis_copy(clipspan_basis *out, float **block, const clipspan_basis *from, clipspan_error *err);

/* A basis made from a model's weights, with the projection that MLP terms are multiplied by. */
typedef struct clsp_basis {
    clipspan_basis view;
    float *block;
    float *projection; /* [D, E]: diag(gamma) P */
    size_t width;      /* D */
    size_t mlp_width;  /* M */
    double eps;        /* of ln_post */
} clsp_basis;
clipspan_status clsp_basis_make(clsp_basis *out, const clipspan_model *model, clipspan_error *err);
/* projection: [D, E], diag(gamma) P. */
clipspan_status clsp_scaled_projection(float *projection, const clipspan_model *model, clipspan_error *err);
void clsp_basis_clear(clsp_basis *basis);

/* ---- from a capture to a batch ---------------------------------------------------------------------------- */

typedef struct clsp_contribution clsp_contribution;
/* Room for `capacity` images. basis and token_layers are borrowed. */
clipspan_status clsp_contribution_new(clsp_contribution **out, const clsp_basis *basis, size_t capacity,
                                      unsigned parts, const int *token_layers, int token_layer_count,
                                      clipspan_error *err);
void clsp_contribution_free(clsp_contribution *contribution);
/* capture: n images; embedding: [n, E]; image i stands at list position first + i and is left out where ok[i] is 0.
 * An image's numbers do not depend on which of its neighbours are left out. batch is borrowed. */
clipspan_status clsp_contribution_fill(clsp_contribution *contribution, clsp_capture *capture,
                                       const float *embedding, uint64_t first, size_t n, const unsigned char *ok,
                                       const clipspan_batch **batch, clipspan_error *err);

/* Who asked for batches of at most `most` images has room for no more. */
static inline clipspan_status clsp_batch_check(const clipspan_batch *batch, size_t most, clipspan_error *err)
{
    if (batch->images <= most) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "a batch of %zu images where %zu were asked for", batch->images, most);
}

/* ---- conventions ------------------------------------------------------------------------------------------ */

/* k: how many factors a head's term has. */
size_t clsp_head_width(const clipspan_basis *basis, clipspan_convention convention);
/* map: [k, E], what turns factors into the joint space: a head's term is y M. In the exact convention the last row
 * is zero (its factor is the constant 1, there for the moments). */
void clsp_head_map(const clipspan_basis *basis, clipspan_convention convention, int layer, int head, float *map);
/* y: [I, k], the factors of one head for every image of the batch. */
void clsp_head_factors(const clipspan_batch *batch, clipspan_convention convention, int layer, int head, float *y);
/* clipspan_batch_head with a row stride, in floats, for out. */
clipspan_status clsp_batch_head_rows(const clipspan_batch *batch, clipspan_convention convention, int layer, int head,
                                     float *out, size_t stride, clipspan_error *err);
/* Every head at once, out: [I, L, H, E]: threads share the heads, where a product a head would share one small product
 * among them, hundreds of times. */
clipspan_status clsp_batch_all_heads(const clipspan_batch *batch, clipspan_convention convention, float *out,
                                     clipspan_error *err);
clipspan_status clsp_batch_mlp_rows(const clipspan_batch *batch, clipspan_convention convention, int term, float *out,
                                    size_t stride, clipspan_error *err);
clipspan_status clsp_batch_cls_rows(const clipspan_batch *batch, clipspan_convention convention, int layer, float *out,
                                    size_t stride, clipspan_error *err);
/* Images [first, first + count) of the batch alone: what threads that share a batch by images need. */
clipspan_status clsp_batch_mlp_range(const clipspan_batch *batch, clipspan_convention convention, int term, size_t first,
                                     size_t count, float *out, size_t stride, clipspan_error *err);
clipspan_status clsp_batch_cls_range(const clipspan_batch *batch, clipspan_convention convention, int layer,
                                     size_t first, size_t count, float *out, size_t stride, clipspan_error *err);

/* ---- moments ---------------------------------------------------------------------------------------------- */

/* Sums over images, per head, of y and of the lower triangle of y y' (row r has r + 1 entries), in double. Images are
 * added one after another, so the bits do not depend on batch size or threads. */
struct clipspan_moments {
    clipspan_basis basis;
    float *block; /* of the basis */
    uint64_t images;
    double *sum[2];    /* by convention: [L, H, k] */
    double *second[2]; /* [L, H, k (k + 1) / 2] */
};
size_t clsp_moments_packed(const clipspan_basis *basis, clipspan_convention convention); /* k (k + 1) / 2 */
/* As clipspan_moments_new, but the basis stays the caller's, who keeps it as long. */
clipspan_status clsp_moments_borrow(clipspan_moments **out, const clipspan_basis *basis, clipspan_error *err);
clipspan_status clsp_moments_own(clipspan_moments *moments, clipspan_error *err); /* copies what was borrowed */
void clsp_moments_clear(clipspan_moments *moments); /* of no images again */
/* One head's means over images: mean [k] of y, second [k, k] of y y' (uncentred); either may be NULL. Zero images
 * give zeros. */
void clsp_moments_head(const clipspan_moments *moments, clipspan_convention convention, int layer, int head,
                       double *mean, double *second);

/* ---- neurons ---------------------------------------------------------------------------------------------- */

/* The arrays that are kept of neurons, by name, type and shape, in one order everywhere: memory, files. */
enum { CLSP_NEURON_PARTS = 12 };
typedef struct clsp_neuron_part {
    const char *name;
    clsp_dtype dtype;
    int dims;
    size_t shape[4], count;
    void *values; /* of the clipspan_neurons that was asked */
} clsp_neuron_part;

/* Sums over images, image after image, in double (clipspan/neurons.h has the letters). */
struct clipspan_neurons {
    clipspan_neurons_info info;
    float *length;      /* [L, M]: |g| */
    double *sum[2];     /* by convention, [L, M]: of s */
    double *squares[2]; /* [L, M]: of s^2 */
    double *mlp_sum[2]; /* [L, E]: of the MLP terms */
    double *mlp_squares[2]; /* [L]: of their squared lengths */
    int64_t *active;    /* [L, M]: images with a > 0 */
    float *value;       /* [L, M, 2, K]: highest a, descending; lowest, ascending */
    int64_t *image;     /* [L, M, 2, K]: whose; -1: none yet */
    float *term;        /* [L, E] scratch */
};
/* false: a product overflows, or a dimension is not positive. */
bool clsp_neuron_parts(clipspan_neurons *neurons, clsp_neuron_part parts[CLSP_NEURON_PARTS]);
/* Zeroed arrays for info, whose images are 0; lengths too. */
clipspan_status clsp_neurons_alloc(clipspan_neurons **out, const clipspan_neurons_info *info, clipspan_error *err);
void clsp_neurons_clear(clipspan_neurons *neurons); /* of no images again; the lengths stay */

/* Directions of one model's neurons, read layer by layer. */
typedef struct clsp_directions clsp_directions;
clipspan_status clsp_directions_new(clsp_directions **out, const clipspan_model *model, clipspan_error *err);
void clsp_directions_free(clsp_directions *directions);
/* Turns to a layer: reads its fc2. */
clipspan_status clsp_directions_read(clsp_directions *directions, int layer, clipspan_error *err);
/* g of that layer's neurons, numbers[0 .. count) or, with NULL, first .. first + count - 1; out: [count, E]. */
clipspan_status clsp_directions_get(clsp_directions *directions, const int *numbers, size_t first, size_t count,
                                    float *out, clipspan_error *err);

/* sum [k] += y and packed [k (k + 1) / 2] += y y' of one head, over the listed images of the batch, each added after the
 * one before it. y: [CLSP_MOMENTS_BLOCK, k] scratch. */
enum { CLSP_MOMENTS_BLOCK = 16 };
void clsp_head_moments_add(double *sum, double *packed, const clipspan_batch *batch, clipspan_convention convention,
                           int layer, int head, const size_t *images, size_t count, double *y);

/* ---- the stream ------------------------------------------------------------------------------------------- */

/* One decomposition of images by an engine: the basis made once, the buffers reused. */
typedef struct clsp_decomposer clsp_decomposer;
/* Called for every engine batch: list positions [first, first + n) are done; batch->images of them could be read,
 * which may be 0. */
typedef clipspan_status (*clsp_range_fn)(void *user, uint64_t first, size_t n, const clipspan_batch *batch,
                                         clipspan_error *err);
clipspan_status clsp_decomposer_new(clsp_decomposer **out, clipspan_engine *engine,
                                    const clipspan_decompose_options *options, clipspan_error *err);
void clsp_decomposer_free(clsp_decomposer *decomposer);
const clipspan_basis *clsp_decomposer_basis(const clsp_decomposer *decomposer);
/* options.first and .count are not looked at: the range is given here. */
clipspan_status clsp_decomposer_run(clsp_decomposer *decomposer, const clipspan_images *images, uint64_t first,
                                    uint64_t count, clsp_range_fn fn, void *user, const clipspan_hooks *hooks,
                                    clipspan_error *err);

/* Checks the layers of a tokens part: ascending, within 0 .. layers - 1. */
clipspan_status clsp_token_layers_check(const int *token_layers, int count, int layers, clipspan_error *err);

#endif
