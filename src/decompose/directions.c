/* Directions of neurons in the joint space: g_j = (f_j - mean(f_j)) diag(gamma) P with f_j row j of fc2's transpose.
 *
 * fc2 is [D, M] as PyTorch keeps it, so f_j is a column. Means are made in double; the products run in float32, a block of
 * neurons at a time, so that no matrix of all neurons' directions exists unless it was asked for. */
#include "decompose/decompose.h"

#include <string.h>

#include "compute/compute.h"

enum { BLOCK = 512 }; /* neurons in one product */

struct clsp_directions {
    const clipspan_model *model;
    size_t width, mlp, embed; /* D, M, E */
    bool transposed;          /* fc2 stands [M, D] */
    float *projection;        /* [D, E] diag(gamma) P */
    float *fc2;               /* [D, M] of the layer in hand */
    float *rows;              /* [BLOCK, D] */
};

clipspan_status clsp_directions_new(clsp_directions **out, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_tower_config *config = &model->vision.config;
    clsp_directions *d = NULL;
    *out = NULL;
    CLSP_ALLOC(d, clsp_alloc_zero(1, sizeof *d));
    *d = (clsp_directions){.model = model, .width = (size_t)config->width, .mlp = (size_t)config->mlp_width,
                           .embed = (size_t)model->embed_dim};
    CLSP_ALLOC(d->projection, clsp_alloc_aligned(d->width * d->embed, sizeof *d->projection));
    CLSP_ALLOC(d->fc2, clsp_alloc_aligned(d->width * d->mlp, sizeof *d->fc2));
    CLSP_ALLOC(d->rows, clsp_alloc_aligned(BLOCK * d->width, sizeof *d->rows));
    CLSP_TRY(clsp_scaled_projection(d->projection, model, err));
    *out = d;
    d = NULL;
out:
    clsp_directions_free(d);
    return status;
}

void clsp_directions_free(clsp_directions *directions)
{
    if (directions == NULL) return;
    clsp_free(directions->projection);
    clsp_free(directions->fc2);
    clsp_free(directions->rows);
    clsp_free(directions);
}

clipspan_status clsp_directions_read(clsp_directions *d, int layer, clipspan_error *err)
{
    int layers = d->model->vision.config.layers;
    if (layer < 0 || layer >= layers)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "neurons of layer %d: expected 0 to %d", layer, layers - 1);
    const clsp_weight *fc2 = &d->model->vision.blocks[layer].fc2;
    d->transposed = fc2->transposed;
    return clsp_weight_floats(fc2, d->width * d->mlp, d->fc2, err);
}

/* row: [D], f less its mean. */
static void centre(float *row, size_t width)
{
    double mean = 0.0;
    for (size_t i = 0; i < width; i++) mean += (double)row[i];
    mean /= (double)width;
    for (size_t i = 0; i < width; i++) row[i] = (float)((double)row[i] - mean);
}

static void centred_row(const clsp_directions *d, size_t neuron, float *row)
{
    for (size_t i = 0; i < d->width; i++)
        row[i] = d->transposed ? d->fc2[neuron * d->width + i] : d->fc2[i * d->mlp + neuron];
    centre(row, d->width);
}

clipspan_status clsp_directions_get(clsp_directions *d, const int *numbers, size_t first, size_t count, float *out,
                                    clipspan_error *err)
{
    for (size_t n = 0; n < count; n++)
        if (numbers ? numbers[n] < 0 || (size_t)numbers[n] >= d->mlp : first + n >= d->mlp)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "neuron %lld: expected 0 to %zu",
                             numbers ? (long long)numbers[n] : (long long)(first + n), d->mlp - 1);
    for (size_t done = 0; done < count;) {
        size_t now = clsp_min(BLOCK, count - done);
#pragma omp parallel for schedule(static)
        for (size_t n = 0; n < now; n++)
            centred_row(d, numbers ? (size_t)numbers[done + n] : first + done + n, d->rows + n * d->width);
        clipspan_status status = clsp_sgemm(out + done * d->embed, d->embed, d->rows, d->width, false, d->projection,
                                            d->embed, false, now, d->embed, d->width, 1.0F, 0.0F, err);
        if (status != CLIPSPAN_OK) return status;
        done += now;
    }
    return CLIPSPAN_OK;
}

clipspan_status clipspan_neuron_directions(const clipspan_model *model, int layer, const int *neurons, size_t count,
                                           float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_directions *d = NULL;
    CLSP_TRY(clsp_directions_new(&d, model, err));
    CLSP_TRY(clsp_directions_read(d, layer, err));
    CLSP_TRY(clsp_directions_get(d, neurons, 0, count, out, err));
out:
    clsp_directions_free(d);
    return status;
}

clipspan_status clipspan_neuron_bias(const clipspan_model *model, int layer, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_directions *d = NULL;
    int layers = model->vision.config.layers;
    if (layer < 0 || layer >= layers)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "fc2's bias of layer %d: expected 0 to %d", layer, layers - 1);
    CLSP_TRY(clsp_directions_new(&d, model, err));
    CLSP_TRY(clsp_weight_floats(&model->vision.blocks[layer].fc2_bias, d->width, d->rows, err));
    centre(d->rows, d->width);
    CLSP_TRY(clsp_sgemm(out, d->embed, d->rows, d->width, false, d->projection, d->embed, false, 1, d->embed, d->width,
                        1.0F, 0.0F, err));
out:
    clsp_directions_free(d);
    return status;
}
