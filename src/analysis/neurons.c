/* What the moments of neurons say: lengths, variances, ranks, top images; and which texts a direction resembles. */
#include "clipspan/neurons.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

static clipspan_status check(const clipspan_neurons *n, clipspan_convention convention, int layer, int neuron,
                             clipspan_error *err)
{
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "convention %d is neither the paper's nor exact", (int)convention);
    if (layer < 0 || layer >= n->info.layers || neuron < 0 || neuron >= n->info.width)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no neuron L%d.N%d: expected L0.N0 to L%d.N%d", layer, neuron,
                         n->info.layers - 1, n->info.width - 1);
    if (n->info.images == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "neurons of no image");
    return CLIPSPAN_OK;
}

static clipspan_mlp_spread spread_of(const clipspan_neurons *n, clipspan_convention convention, int layer)
{
    size_t embed = (size_t)n->info.embed_dim;
    const double *sum = n->mlp_sum[convention] + (size_t)layer * embed;
    double images = (double)n->info.images, squares = n->mlp_squares[convention][layer] / images, mean = 0.0;
    for (size_t e = 0; e < embed; e++) mean += sum[e] / images * (sum[e] / images);
    return (clipspan_mlp_spread){sqrt(mean), sqrt(squares), fmax(0.0, squares - mean)};
}

/* variance: of the layer's MLP term. */
static clipspan_neuron neuron_of(const clipspan_neurons *n, clipspan_convention convention, int layer, int neuron,
                                 double variance)
{
    size_t at = (size_t)layer * (size_t)n->info.width + (size_t)neuron;
    double images = (double)n->info.images, length = (double)n->length[at];
    double mean = n->sum[convention][at] / images, squares = n->squares[convention][at] / images;
    double own = fmax(0.0, squares - mean * mean);
    clipspan_neuron out = {.layer = layer, .neuron = neuron, .length = length, .mean = mean, .deviation = sqrt(own),
                           .active = (double)n->active[at] / images, .rms = length * sqrt(squares),
                           .variance = length * length * own};
    out.share = variance > 0.0 ? out.variance / variance : 0.0;
    return out;
}

clipspan_status clipspan_neuron_get(const clipspan_neurons *neurons, clipspan_convention convention, int layer,
                                    int neuron, clipspan_neuron *out, clipspan_error *err)
{
    clipspan_status status = check(neurons, convention, layer, neuron, err);
    if (status != CLIPSPAN_OK) return status;
    *out = neuron_of(neurons, convention, layer, neuron, spread_of(neurons, convention, layer).variance);
    return CLIPSPAN_OK;
}

clipspan_status clipspan_neurons_mlp(const clipspan_neurons *neurons, clipspan_convention convention, int layer,
                                     clipspan_mlp_spread *out, clipspan_error *err)
{
    clipspan_status status = check(neurons, convention, layer, 0, err);
    if (status == CLIPSPAN_OK) *out = spread_of(neurons, convention, layer);
    return status;
}

size_t clipspan_neuron_images(const clipspan_neurons *neurons, int layer, int neuron, int lowest,
                              clipspan_neuron_image *out)
{
    size_t top = (size_t)neurons->info.top, found = 0;
    size_t row = ((size_t)layer * (size_t)neurons->info.width + (size_t)neuron) * 2 + (lowest ? 1 : 0);
    for (size_t k = 0; k < top && neurons->image[row * top + k] >= 0; k++, found++)
        out[k] = (clipspan_neuron_image){(uint64_t)neurons->image[row * top + k], neurons->value[row * top + k]};
    return found;
}

/* ---- ranks --------------------------------------------------------------------------------------------------------- */

static double importance(const clipspan_neuron *n, clipspan_neuron_order order)
{
    return order == CLIPSPAN_NEURONS_BY_RMS ? n->rms : order == CLIPSPAN_NEURONS_BY_VARIANCE ? n->variance : n->share;
}

typedef struct ranked {
    double key;
    int layer, neuron;
} ranked;

static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->neuron < y->neuron ? -1 : 1;
}

clipspan_status clipspan_neurons_rank(const clipspan_neurons *neurons, clipspan_convention convention,
                                      clipspan_neuron_order order, const unsigned char *layers, clipspan_neuron *out,
                                      size_t count, size_t *found, clipspan_error *err)
{
    *found = 0;
    clipspan_status status = check(neurons, convention, 0, 0, err);
    if (status != CLIPSPAN_OK) return status;
    if (order != CLIPSPAN_NEURONS_BY_RMS && order != CLIPSPAN_NEURONS_BY_VARIANCE && order != CLIPSPAN_NEURONS_BY_SHARE)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "order %d of neurons is not known", (int)order);
    size_t width = (size_t)neurons->info.width, all = 0;
    ranked *keys = clsp_alloc((size_t)neurons->info.layers * width, sizeof *keys);
    if (keys == NULL) return clsp_fail_memory(err);
    for (int l = 0; l < neurons->info.layers; l++) {
        double variance = spread_of(neurons, convention, l).variance;
        for (int j = 0; j < neurons->info.width && (layers == NULL || layers[l]); j++) {
            clipspan_neuron one = neuron_of(neurons, convention, l, j, variance);
            keys[all++] = (ranked){importance(&one, order), l, j};
        }
    }
    qsort(keys, all, sizeof *keys, by_key);
    *found = clsp_min(all, count);
    for (size_t i = 0; i < *found; i++)
        clipspan_neuron_get(neurons, convention, keys[i].layer, keys[i].neuron, &out[i], err);
    clsp_free(keys);
    return CLIPSPAN_OK;
}

/* ---- texts ---------------------------------------------------------------------------------------------------------- */

enum { BLOCK_FLOATS = 1 << 23 }; /* cosines in memory: 32 MB */

typedef struct describing {
    const float *texts; /* [T, E] */
    size_t text_count, embed, top, block; /* block: neurons in one product */
    float *directions;  /* [block, E], unit length */
    float *cosines;     /* [block, T] */
    int *numbers;       /* [block] */
    size_t *places;     /* [block] which of the caller's neurons */
    clsp_directions *reader;
} describing;

static void normalize(float *g, size_t embed)
{
    double squares = 0.0;
    for (size_t e = 0; e < embed; e++) squares += (double)g[e] * (double)g[e];
    float factor = squares > 0.0 ? (float)(1.0 / sqrt(squares)) : 0.0F;
    for (size_t e = 0; e < embed; e++) g[e] *= factor;
}

/* out: [top] texts with the largest sign * cosine. */
static void pick(clipspan_neuron_text *out, const float *cosines, size_t count, size_t top, double sign)
{
    size_t found = 0;
    for (size_t t = 0; t < count; t++) {
        double value = sign * (double)cosines[t];
        if (found == top && !(value > sign * out[top - 1].cosine)) continue;
        size_t at = found < top ? found : top - 1;
        while (at > 0 && value > sign * out[at - 1].cosine) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = (clipspan_neuron_text){t, (double)cosines[t]};
        if (found < top) found++;
    }
}

static clipspan_status describe_block(describing *d, size_t n, clipspan_neuron_text *most, clipspan_neuron_text *least,
                                      clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_directions_get(d->reader, d->numbers, 0, n, d->directions, err));
    for (size_t i = 0; i < n; i++) normalize(d->directions + i * d->embed, d->embed);
    CLSP_TRY(clsp_sgemm(d->cosines, d->text_count, d->directions, d->embed, false, d->texts, d->embed, true, n,
                        d->text_count, d->embed, 1.0F, 0.0F, err));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float *cosines = d->cosines + i * d->text_count;
        if (most) pick(most + d->places[i] * d->top, cosines, d->text_count, d->top, 1.0);
        if (least) pick(least + d->places[i] * d->top, cosines, d->text_count, d->top, -1.0);
    }
out:
    return status;
}

static clipspan_status describing_init(describing *d, const clipspan_model *model, const float *texts, size_t text_count,
                                       size_t top, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *d = (describing){.texts = texts, .text_count = text_count, .embed = (size_t)clipspan_model_get_info(model)->embed_dim,
                      .top = top};
    d->block = clsp_min(clsp_max(1, BLOCK_FLOATS / text_count), clsp_min(count, 512));
    CLSP_ALLOC(d->directions, clsp_alloc_aligned(d->block * d->embed, sizeof *d->directions));
    CLSP_ALLOC(d->cosines, clsp_alloc_aligned(d->block * text_count, sizeof *d->cosines));
    CLSP_ALLOC(d->numbers, clsp_alloc(d->block, sizeof *d->numbers));
    CLSP_ALLOC(d->places, clsp_alloc(d->block, sizeof *d->places));
    CLSP_TRY(clsp_directions_new(&d->reader, model, err));
out:
    return status;
}

static void describing_clear(describing *d)
{
    clsp_free(d->directions);
    clsp_free(d->cosines);
    clsp_free(d->numbers);
    clsp_free(d->places);
    clsp_directions_free(d->reader);
}

static clipspan_status tell(size_t done, size_t total, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_progress progress = {.stage = "neurons", .done = done, .total = total};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &progress) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "neurons: stopped after %zu of %zu", done, total);
}

/* The neurons of one layer, wherever they stand among the caller's. */
static clipspan_status describe_layer(describing *d, int layer, const clipspan_neuron *neurons, size_t count,
                                      clipspan_neuron_text *most, clipspan_neuron_text *least, size_t *done,
                                      const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (neurons[i].layer == layer) {
            if (n == 0) CLSP_TRY(clsp_directions_read(d->reader, layer, err));
            d->places[n] = i;
            d->numbers[n++] = neurons[i].neuron;
        }
        if (n == 0 || (n < d->block && i + 1 < count)) continue;
        CLSP_TRY(describe_block(d, n, most, least, err));
        *done += n;
        n = 0;
        CLSP_TRY(tell(*done, count, hooks, err));
    }
out:
    return status;
}

clipspan_status clipspan_neurons_describe(const clipspan_model *model, const clipspan_neuron *neurons, size_t count,
                                          const float *texts, size_t text_count, size_t top, clipspan_neuron_text *most,
                                          clipspan_neuron_text *least, int threads, const clipspan_hooks *hooks,
                                          clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_model_info *info = clipspan_model_get_info(model);
    describing d = {0};
    size_t done = 0;
    if (top < 1 || top > text_count)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu texts a neuron asked for, the pool has %zu", top, text_count);
    for (size_t i = 0; i < count; i++)
        if (neurons[i].layer < 0 || neurons[i].layer >= info->layers || neurons[i].neuron < 0 ||
            neurons[i].neuron >= info->mlp_width)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no neuron L%d.N%d: expected L0.N0 to L%d.N%d",
                             neurons[i].layer, neurons[i].neuron, info->layers - 1, info->mlp_width - 1);
    if (count == 0) return CLIPSPAN_OK;
    int before = clsp_threads(threads);
    CLSP_TRY(describing_init(&d, model, texts, text_count, top, count, err));
    for (int l = 0; l < info->layers; l++)
        CLSP_TRY(describe_layer(&d, l, neurons, count, most, least, &done, hooks, err));
out:
    clsp_threads(before);
    describing_clear(&d);
    return status;
}
