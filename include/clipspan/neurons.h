/* clipspan/neurons.h - what single MLP neurons write to the image representation.
 *
 *     clipspan_neurons *neurons = NULL;
 *     clipspan_store_neurons(store, &neurons, &err);
 *     clipspan_neuron best[10];
 *     size_t found;
 *     clipspan_neurons_rank(neurons, CLIPSPAN_PAPER, CLIPSPAN_NEURONS_BY_RMS, NULL, best, 10, &found, &err);
 *     printf("L%d.N%d\n", best[0].layer, best[0].neuron);
 *     clipspan_neurons_free(neurons);
 *
 * Layer l's MLP writes to the class token the sum over its neurons j of a_j f_j, and fc2's bias: a_j is the neuron behind
 * the activation, f_j row j of fc2's transpose. With f_j centred by its own mean over D and taken through ln_post's scale
 * and the projection, the neuron's direction in the joint space is
 *
 *     g_j = (f_j - mean(f_j)) diag(gamma) P
 *
 * and its contribution to an image is s_j g_j with the factor s_j = a_j / sigma in the exact convention, and
 * s_j = a_j / (sigma |r|) in the paper's (Gandelsman, Efros, Steinhardt, ICLR 2024, whose MLP terms these are parts of):
 * one number an image. The MLP term (clipspan_batch_mlp) less the sum of its neurons is (docs/neurons.md)
 *
 *     exact    b / sigma
 *     paper    (b + (m - mu / K) 1' diag(gamma) P) / (sigma |r|) + beta P / (K |r|)
 *
 * with b = (b_2 - mean(b_2)) diag(gamma) P of fc2's bias (clipspan_neuron_bias), m the mean over D of the MLP's output and
 * K = 2L + 1. What is kept over many images is the moments of s, those of the MLP term, and each neuron's top images.
 *
 * Letters: L layers, M neurons a layer (the MLP's hidden width), K top images, E joint dimension. All functions may be
 * called from any thread; objects are not shared while they are written.
 */
#ifndef CLIPSPAN_NEURONS_H
#define CLIPSPAN_NEURONS_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- gathered over images --------------------------------------------------------------------------------------- */

typedef struct clipspan_neurons clipspan_neurons;
typedef struct clipspan_neurons_info {
    int layers, width, top, embed_dim; /* L, M, K, E */
    uint64_t images;
} clipspan_neurons_info;
enum { CLIPSPAN_NEURONS_TOP = 8, CLIPSPAN_NEURONS_TOP_MOST = 64 }; /* usual and largest K */

/* Those of a store written with options.neurons (its images are named by row); the caller frees them. A store without them
 * is CLIPSPAN_ERROR_ARGUMENT. */
CLIPSPAN_API clipspan_status clipspan_store_neurons(const clipspan_store *store, clipspan_neurons **out,
                                                    clipspan_error *err);
/* Empty ones of a model, to be fed with batches that hold CLIPSPAN_PART_NEURONS and CLIPSPAN_PART_MLP, image after image in
 * the order of the list; constant memory. The length of every direction is worked out here (one product of fc2 with the
 * projection a layer). */
CLIPSPAN_API clipspan_status clipspan_neurons_new(clipspan_neurons **out, const clipspan_model *model, int top,
                                                  clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_neurons_add(clipspan_neurons *neurons, const clipspan_batch *batch,
                                                  clipspan_error *err);
/* into += from: of the same model and as many top images, else CLIPSPAN_ERROR_MISMATCH. Of equal activations the image of the
 * lower position stays first, so the order of merging does not show in the top images (in the last bits of the sums it may). */
CLIPSPAN_API clipspan_status clipspan_neurons_merge(clipspan_neurons *into, const clipspan_neurons *from,
                                                    clipspan_error *err);
CLIPSPAN_API void clipspan_neurons_free(clipspan_neurons *neurons); /* NULL is fine */
CLIPSPAN_API const clipspan_neurons_info *clipspan_neurons_get_info(const clipspan_neurons *neurons);

/* One neuron over the images. Lengths and variances are of its contribution s g, a vector of the joint space: in units of
 * r in the exact convention, of r / |r| (so of a cosine) in the paper's. */
typedef struct clipspan_neuron {
    int layer, neuron;
    double length;   /* |g| */
    double mean;     /* mean of s */
    double deviation; /* standard deviation of s over the images */
    double active;   /* share of the images in which a > 0 */
    double rms;      /* root mean square length of the contribution: |g| sqrt(mean of s^2) */
    double variance; /* of the contribution about its mean: |g|^2 deviation^2 */
    double share;    /* variance over that of the layer's MLP term; neurons covary, so shares do not add up to 1; 0: none */
} clipspan_neuron;
/* What neuron j of layer l did. CLIPSPAN_ERROR_ARGUMENT where there is none, or no image. */
CLIPSPAN_API clipspan_status clipspan_neuron_get(const clipspan_neurons *neurons, clipspan_convention convention,
                                                 int layer, int neuron, clipspan_neuron *out, clipspan_error *err);

typedef enum clipspan_neuron_order {
    CLIPSPAN_NEURONS_BY_RMS = 0,
    CLIPSPAN_NEURONS_BY_VARIANCE = 1,
    CLIPSPAN_NEURONS_BY_SHARE = 2
} clipspan_neuron_order;
/* The `count` (or fewer: *found) most important neurons of some layers, the largest first; equal ones by layer, then by
 * number. layers: [L] of 0 and 1, NULL: all. out: [count]. */
CLIPSPAN_API clipspan_status clipspan_neurons_rank(const clipspan_neurons *neurons, clipspan_convention convention,
                                                   clipspan_neuron_order order, const unsigned char *layers,
                                                   clipspan_neuron *out, size_t count, size_t *found,
                                                   clipspan_error *err);

/* An MLP term over the images: the length of its mean, its root mean square length, its variance about the mean. */
typedef struct clipspan_mlp_spread {
    double mean_length, rms, variance;
} clipspan_mlp_spread;
CLIPSPAN_API clipspan_status clipspan_neurons_mlp(const clipspan_neurons *neurons, clipspan_convention convention,
                                                  int layer, clipspan_mlp_spread *out, clipspan_error *err);

typedef struct clipspan_neuron_image {
    uint64_t image;   /* row of the store, or batch->index of what was added */
    float activation; /* a: behind the activation function, not divided by sigma */
} clipspan_neuron_image;
/* The images in which the neuron is most active (lowest 0: the highest a first) or least (lowest 1: the lowest first);
 * equal values by position in the list. out: [K]. Returns how many there are: K, or fewer of fewer images. */
CLIPSPAN_API size_t clipspan_neuron_images(const clipspan_neurons *neurons, int layer, int neuron, int lowest,
                                           clipspan_neuron_image *out);

/* ---- directions, from the model's weights ------------------------------------------------------------------------- */

/* g of some neurons of a layer, out: [count, E]. neurons NULL: 0 .. count - 1. */
CLIPSPAN_API clipspan_status clipspan_neuron_directions(const clipspan_model *model, int layer, const int *neurons,
                                                        size_t count, float *out, clipspan_error *err);
/* b: fc2's bias in the same manner, out: [E]. */
CLIPSPAN_API clipspan_status clipspan_neuron_bias(const clipspan_model *model, int layer, float *out,
                                                  clipspan_error *err);

typedef struct clipspan_neuron_text {
    size_t text;   /* index in the pool */
    double cosine; /* of the text's embedding with g */
} clipspan_neuron_text;
/* For each of `count` neurons the `top` texts with the largest cosine, most [count, top], and with the most negative one,
 * least [count, top]; either may be NULL; equal ones by index. texts: [T, E], unit length; top <= T. Weights are read layer
 * by layer, only of the layers that are asked for; memory does not grow with T times M. threads: 0: all. Progress
 * counts neurons. */
CLIPSPAN_API clipspan_status clipspan_neurons_describe(const clipspan_model *model, const clipspan_neuron *neurons,
                                                       size_t count, const float *texts, size_t text_count, size_t top,
                                                       clipspan_neuron_text *most, clipspan_neuron_text *least,
                                                       int threads, const clipspan_hooks *hooks, clipspan_error *err);

/* What a report of neurons shows. Borrowed. */
typedef struct clipspan_neurons_table {
    const clipspan_neurons *neurons;
    clipspan_convention convention;
    const clipspan_neuron *rows; /* [count] of that convention */
    size_t count;
    const char *order;           /* "rms", "variance", "share"; NULL: they were named */
    const clipspan_texts *pool;  /* NULL: no texts */
    const clipspan_neuron_text *most, *least; /* [count, texts]; NULL: none */
    size_t texts;
    size_t images; /* top images shown a side, at most K */
} clipspan_neurons_table;

/* Neurons named "L10.N345", comma-separated, or "@file" with such names line by line (# begins a comment line). *out: the
 * caller frees it with clipspan_neurons_parse_free; only layer and neuron are set. A name that occurs twice is kept once. */
CLIPSPAN_API clipspan_status clipspan_neurons_parse(clipspan_neuron **out, size_t *count, const char *text, int layers,
                                                    int width, clipspan_error *err);
CLIPSPAN_API void clipspan_neurons_parse_free(clipspan_neuron *parsed); /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif
