/* Neurons over images: sums of their factors, sums of the MLP terms that they are parts of, and their top images.
 *
 *   paper  s = a / (sigma |r|)      exact  s = a / sigma
 * Everything is added image after image, each neuron by one thread, so the bits depend neither on batches nor threads. */
#include "decompose/decompose.h"

#include <math.h>
#include <string.h>

#include "compute/compute.h"

bool clsp_neuron_parts(clipspan_neurons *n, clsp_neuron_part parts[CLSP_NEURON_PARTS])
{
    size_t l = (size_t)n->info.layers, m = (size_t)n->info.width, k = (size_t)n->info.top, e = (size_t)n->info.embed_dim;
    if (n->info.layers <= 0 || n->info.width <= 0 || n->info.top <= 0 || n->info.embed_dim <= 0) return false;
    const clsp_neuron_part made[CLSP_NEURON_PARTS] = {
        {"length", CLSP_F32, 2, {l, m, 1, 1}, 1, n->length},
        {"active", CLSP_I64, 2, {l, m, 1, 1}, 1, n->active},
        {"paper.sum", CLSP_F64, 2, {l, m, 1, 1}, 1, n->sum[0]},
        {"paper.squares", CLSP_F64, 2, {l, m, 1, 1}, 1, n->squares[0]},
        {"exact.sum", CLSP_F64, 2, {l, m, 1, 1}, 1, n->sum[1]},
        {"exact.squares", CLSP_F64, 2, {l, m, 1, 1}, 1, n->squares[1]},
        {"paper.mlp.sum", CLSP_F64, 2, {l, e, 1, 1}, 1, n->mlp_sum[0]},
        {"paper.mlp.squares", CLSP_F64, 1, {l, 1, 1, 1}, 1, n->mlp_squares[0]},
        {"exact.mlp.sum", CLSP_F64, 2, {l, e, 1, 1}, 1, n->mlp_sum[1]},
        {"exact.mlp.squares", CLSP_F64, 1, {l, 1, 1, 1}, 1, n->mlp_squares[1]},
        {"top.activation", CLSP_F32, 4, {l, m, 2, k}, 1, n->value},
        {"top.image", CLSP_I64, 4, {l, m, 2, k}, 1, n->image},
    };
    for (int p = 0; p < CLSP_NEURON_PARTS; p++) {
        parts[p] = made[p];
        for (int i = 0; i < parts[p].dims; i++)
            if (!clsp_mul(&parts[p].count, parts[p].count, parts[p].shape[i])) return false;
    }
    return true;
}

clipspan_status clsp_neurons_alloc(clipspan_neurons **out, const clipspan_neurons_info *info, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_neurons *n = NULL;
    clsp_neuron_part parts[CLSP_NEURON_PARTS];
    *out = NULL;
    CLSP_ALLOC(n, clsp_alloc_zero(1, sizeof *n));
    n->info = *info;
    n->info.images = 0;
    if (!clsp_neuron_parts(n, parts)) CLSP_TRY(clsp_fail_memory(err));
    size_t neurons = parts[0].count, tops = parts[CLSP_NEURON_PARTS - 1].count;
    size_t layers = (size_t)info->layers, terms = layers * (size_t)info->embed_dim;
    CLSP_ALLOC(n->length, clsp_alloc_zero(neurons, sizeof *n->length));
    CLSP_ALLOC(n->active, clsp_alloc_zero(neurons, sizeof *n->active));
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        CLSP_ALLOC(n->sum[c], clsp_alloc_zero(neurons, sizeof *n->sum[c]));
        CLSP_ALLOC(n->squares[c], clsp_alloc_zero(neurons, sizeof *n->squares[c]));
        CLSP_ALLOC(n->mlp_sum[c], clsp_alloc_zero(terms, sizeof *n->mlp_sum[c]));
        CLSP_ALLOC(n->mlp_squares[c], clsp_alloc_zero(layers, sizeof *n->mlp_squares[c]));
    }
    CLSP_ALLOC(n->value, clsp_alloc(tops, sizeof *n->value));
    CLSP_ALLOC(n->image, clsp_alloc(tops, sizeof *n->image));
    CLSP_ALLOC(n->term, clsp_alloc(terms, sizeof *n->term));
    clsp_neurons_clear(n);
    *out = n;
    n = NULL;
out:
    clipspan_neurons_free(n);
    return status;
}

void clsp_neurons_clear(clipspan_neurons *n)
{
    clsp_neuron_part parts[CLSP_NEURON_PARTS];
    clsp_neuron_parts(n, parts);
    for (int p = 1; p < CLSP_NEURON_PARTS; p++) /* the first are the lengths */
        memset(parts[p].values, 0, parts[p].count * clsp_dtype_size(parts[p].dtype));
    memset(n->image, 0xff, parts[CLSP_NEURON_PARTS - 1].count * sizeof *n->image); /* -1: none yet */
    n->info.images = 0;
}

void clipspan_neurons_free(clipspan_neurons *neurons)
{
    if (neurons == NULL) return;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        clsp_free(neurons->sum[c]);
        clsp_free(neurons->squares[c]);
        clsp_free(neurons->mlp_sum[c]);
        clsp_free(neurons->mlp_squares[c]);
    }
    clsp_free(neurons->length);
    clsp_free(neurons->active);
    clsp_free(neurons->value);
    clsp_free(neurons->image);
    clsp_free(neurons->term);
    clsp_free(neurons);
}

const clipspan_neurons_info *clipspan_neurons_get_info(const clipspan_neurons *neurons) { return &neurons->info; }

/* ---- lengths of directions --------------------------------------------------------------------------------------- */

enum { BLOCK = 2048 }; /* neurons whose directions are in memory at a time */

/* length: [count] of rows g: [count, E]; in double. */
static void lengths_of(float *length, const float *g, size_t count, size_t embed)
{
#pragma omp parallel for schedule(static)
    for (size_t n = 0; n < count; n++) {
        double squares = 0.0;
        for (size_t e = 0; e < embed; e++) squares += (double)g[n * embed + e] * (double)g[n * embed + e];
        length[n] = (float)sqrt(squares);
    }
}

static clipspan_status measure(clipspan_neurons *n, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)n->info.width, embed = (size_t)n->info.embed_dim, block = clsp_min(BLOCK, width);
    clsp_directions *directions = NULL;
    float *g = NULL;
    CLSP_TRY(clsp_directions_new(&directions, model, err));
    CLSP_ALLOC(g, clsp_alloc_aligned(block * embed, sizeof *g));
    for (int l = 0; l < n->info.layers; l++) {
        CLSP_TRY(clsp_directions_read(directions, l, err));
        for (size_t first = 0; first < width; first += block) {
            size_t count = clsp_min(block, width - first);
            CLSP_TRY(clsp_directions_get(directions, NULL, first, count, g, err));
            lengths_of(n->length + (size_t)l * width + first, g, count, embed);
        }
    }
out:
    clsp_directions_free(directions);
    clsp_free(g);
    return status;
}

clipspan_status clipspan_neurons_new(clipspan_neurons **out, const clipspan_model *model, int top, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_tower_config *config = &model->vision.config;
    const clipspan_neurons_info info = {config->layers, config->mlp_width, top, model->embed_dim, 0};
    clipspan_neurons *n = NULL;
    *out = NULL;
    if (top < 1 || top > CLIPSPAN_NEURONS_TOP_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%d top images a neuron, expected 1 to %d", top,
                         CLIPSPAN_NEURONS_TOP_MOST);
    CLSP_TRY(clsp_neurons_alloc(&n, &info, err));
    CLSP_TRY(measure(n, model, err));
    *out = n;
    n = NULL;
out:
    clipspan_neurons_free(n);
    return status;
}

/* ---- adding images ------------------------------------------------------------------------------------------------ */

/* Keeps `a` among the `top` largest of sign * a, the largest first. Of equal values the lower position is first. */
static void keep_top(float *value, int64_t *image, size_t top, float sign, float a, int64_t whose)
{
    size_t at = top;
    while (at > 0 && (image[at - 1] < 0 || sign * a > sign * value[at - 1] ||
                      (sign * a >= sign * value[at - 1] && whose < image[at - 1])))
        at--;
    if (at == top) return;
    memmove(value + at + 1, value + at, (top - 1 - at) * sizeof *value);
    memmove(image + at + 1, image + at, (top - 1 - at) * sizeof *image);
    value[at] = a;
    image[at] = whose;
}

/* One layer's neurons of image i. */
static void add_layer(clipspan_neurons *n, const clipspan_batch *batch, size_t layer, size_t i)
{
    size_t width = (size_t)n->info.width, top = (size_t)n->info.top, first = layer * width;
    const float *a = batch->hidden + (layer * batch->images + i) * width;
    double exact = 1.0 / (double)batch->sigma[i], paper = exact / (double)batch->norm[i];
    int64_t whose = (int64_t)batch->index[i];
    for (size_t j = 0; j < width; j++) {
        double p = (double)a[j] * paper, x = (double)a[j] * exact;
        n->sum[CLIPSPAN_PAPER][first + j] += p;
        n->squares[CLIPSPAN_PAPER][first + j] += p * p;
        n->sum[CLIPSPAN_EXACT][first + j] += x;
        n->squares[CLIPSPAN_EXACT][first + j] += x * x;
        n->active[first + j] += a[j] > 0.0F;
    }
    for (size_t j = 0; j < width; j++) {
        float *value = n->value + (first + j) * 2 * top;
        int64_t *image = n->image + (first + j) * 2 * top;
        keep_top(value, image, top, 1.0F, a[j], whose);
        keep_top(value + top, image + top, top, -1.0F, a[j], whose);
    }
}

/* The MLP term of image i itself, of which the neurons are parts. */
static void add_term(clipspan_neurons *n, const clipspan_batch *batch, clipspan_convention convention, size_t layer,
                     size_t i)
{
    size_t embed = (size_t)n->info.embed_dim;
    float *term = n->term + layer * embed;
    double *sum = n->mlp_sum[convention] + layer * embed, squares = 0.0;
    clsp_batch_mlp_range(batch, convention, (int)layer + 1, i, 1, term, embed, NULL); /* checked by the caller */
    for (size_t e = 0; e < embed; e++) {
        sum[e] += (double)term[e];
        squares += (double)term[e] * (double)term[e];
    }
    n->mlp_squares[convention][layer] += squares;
}

clipspan_status clipspan_neurons_add(clipspan_neurons *neurons, const clipspan_batch *batch, clipspan_error *err)
{
    const clipspan_neurons_info *info = &neurons->info;
    if (batch->hidden == NULL || batch->mlp == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the batch keeps no %s (part %s)",
                         batch->hidden ? "MLP terms" : "neurons", batch->hidden ? "mlp" : "neurons");
    if (batch->basis->layers != info->layers || batch->hidden_width != info->width ||
        batch->basis->embed_dim != info->embed_dim)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                         "neurons of %d layers of %d in %d dimensions, the batch has %d of %d in %d", info->layers,
                         info->width, info->embed_dim, batch->basis->layers, batch->hidden_width,
                         batch->basis->embed_dim);
#pragma omp parallel for schedule(static)
    for (int l = 0; l < info->layers; l++)
        for (size_t i = 0; i < batch->images; i++) {
            add_layer(neurons, batch, (size_t)l, i);
            add_term(neurons, batch, CLIPSPAN_PAPER, (size_t)l, i);
            add_term(neurons, batch, CLIPSPAN_EXACT, (size_t)l, i);
        }
    neurons->info.images += batch->images;
    return CLIPSPAN_OK;
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

static void add_doubles(double *into, const double *from, size_t count)
{
    for (size_t i = 0; i < count; i++) into[i] += from[i];
}

static void merge_tops(clipspan_neurons *into, const clipspan_neurons *from, size_t lists)
{
    size_t top = (size_t)into->info.top;
    for (size_t l = 0; l < lists; l++)
        for (size_t k = l * top; k < (l + 1) * top && from->image[k] >= 0; k++)
            keep_top(into->value + l * top, into->image + l * top, top, l % 2 ? -1.0F : 1.0F, from->value[k],
                     from->image[k]);
}

clipspan_status clipspan_neurons_merge(clipspan_neurons *into, const clipspan_neurons *from, clipspan_error *err)
{
    const clipspan_neurons_info *a = &into->info, *b = &from->info;
    size_t layers = (size_t)a->layers, neurons = layers * (size_t)a->width, terms = layers * (size_t)a->embed_dim;
    if (a->layers != b->layers || a->width != b->width || a->top != b->top || a->embed_dim != b->embed_dim)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                         "neurons of %d layers of %d in %d dimensions with %d top images cannot take %d of %d in %d with %d",
                         a->layers, a->width, a->embed_dim, a->top, b->layers, b->width, b->embed_dim, b->top);
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        add_doubles(into->sum[c], from->sum[c], neurons);
        add_doubles(into->squares[c], from->squares[c], neurons);
        add_doubles(into->mlp_sum[c], from->mlp_sum[c], terms);
        add_doubles(into->mlp_squares[c], from->mlp_squares[c], layers);
    }
    for (size_t n = 0; n < neurons; n++) into->active[n] += from->active[n];
    merge_tops(into, from, 2 * neurons);
    into->info.images += b->images;
    return CLIPSPAN_OK;
}
