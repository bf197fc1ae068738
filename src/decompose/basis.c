/* The image-independent matrices: w = O_h diag(gamma) P and its company, made once from a model's weights.
 *
 * The large products run in float32 (clsp_sgemm); sums over D that later multiply a mean run in double, because mu can
 * be far larger than any single term.
 */
#include "decompose/decompose.h"

#include <string.h>

#include "compute/compute.h"

bool clsp_basis_parts(clipspan_basis *b, clsp_basis_part parts[CLSP_BASIS_PARTS], size_t *total)
{
    size_t l = (size_t)b->layers, h = (size_t)b->heads, d = (size_t)b->head_dim, e = (size_t)b->embed_dim;
    const clsp_basis_part made[CLSP_BASIS_PARTS] = {
        {"w", 4, {l, h, d, e}, 1, 0, &b->w},
        {"w_mean", 3, {l, h, d, 1}, 1, 0, &b->w_mean},
        {"ones", 1, {e, 1, 1, 1}, 1, 0, &b->ones},
        {"bias", 2, {l, e, 1, 1}, 1, 0, &b->bias},
        {"bias_mean", 1, {l, 1, 1, 1}, 1, 0, &b->bias_mean},
        {"constant", 1, {e, 1, 1, 1}, 1, 0, &b->constant},
    };
    *total = 0;
    for (int p = 0; p < CLSP_BASIS_PARTS; p++) {
        parts[p] = made[p];
        parts[p].offset = *total;
        for (int i = 0; i < parts[p].dims; i++)
            if (!clsp_mul(&parts[p].count, parts[p].count, parts[p].shape[i])) return false;
        if (!clsp_add(total, *total, parts[p].count)) return false;
    }
    return true;
}

/* One block for all arrays, the pointers of `basis` set into it. */
static clipspan_status allocate(clipspan_basis *basis, float **block, clsp_basis_part parts[CLSP_BASIS_PARTS],
                                clipspan_error *err)
{
    size_t total;
    *block = clsp_basis_parts(basis, parts, &total) ? clsp_alloc_aligned(total, sizeof **block) : NULL;
    if (*block == NULL) return clsp_fail_memory(err);
    for (int p = 0; p < CLSP_BASIS_PARTS; p++) *parts[p].field = *block + parts[p].offset;
    return CLIPSPAN_OK;
}

clipspan_status clsp_basis_copy(clipspan_basis *out, float **block, const clipspan_basis *from, clipspan_error *err)
{
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    clipspan_basis source = *from;
    size_t total;
    *out = *from;
    clipspan_status status = allocate(out, block, parts, err);
    if (status != CLIPSPAN_OK || !clsp_basis_parts(&source, parts, &total)) return status;
    for (int p = 0; p < CLSP_BASIS_PARTS; p++)
        memcpy(*block + parts[p].offset, *parts[p].field, parts[p].count * sizeof **block);
    return CLIPSPAN_OK;
}

/* projection = P: [D, E], stored as [E, D] or, if transposed, as [D, E]. */
static clipspan_status read_projection(float *projection, const clsp_weight *weight, size_t width, size_t embed,
                                       clipspan_error *err)
{
    if (weight->transposed) return clsp_weight_floats(weight, width * embed, projection, err);
    float *stored = clsp_alloc(width * embed, sizeof *stored);
    if (stored == NULL) return clsp_fail_memory(err);
    clipspan_status status = clsp_weight_floats(weight, width * embed, stored, err);
    for (size_t i = 0; i < width && status == CLIPSPAN_OK; i++)
        for (size_t e = 0; e < embed; e++) projection[i * embed + e] = stored[e * width + i];
    clsp_free(stored);
    return status;
}

/* y = x P: [E], x: [D] (NULL: ones), p: [D, E]; in double. `sum`: [E] scratch. */
static void through(float *y, const float *x, const float *p, size_t width, size_t embed, double *sum)
{
    memset(sum, 0, embed * sizeof *sum);
    for (size_t i = 0; i < width; i++) {
        double value = x ? (double)x[i] : 1.0;
        for (size_t e = 0; e < embed; e++) sum[e] += value * (double)p[i * embed + e];
    }
    for (size_t e = 0; e < embed; e++) y[e] = (float)sum[e];
}

/* mean: [columns], over the rows of a: [rows, columns]; in double. `sum`: [columns] scratch. */
static void column_means(float *mean, const float *a, size_t rows, size_t columns, double *sum)
{
    memset(sum, 0, columns * sizeof *sum);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) sum[c] += (double)a[r * columns + c];
    for (size_t c = 0; c < columns; c++) mean[c] = (float)(sum[c] / (double)rows);
}

typedef struct making {
    clsp_basis *basis;
    const clipspan_model *model;
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    float *out, *row; /* [D, D], [D] */
    double *sum;      /* [max(D, E)] */
} making;
enum { W, W_MEAN, ONES, BIAS, BIAS_MEAN, CONSTANT }; /* the order of clsp_basis_parts */

static float *part(const making *m, int which)
{
    return m->basis->block + m->parts[which].offset;
}

/* Layer l's rows of w, w_mean, bias, bias_mean. The out-projection is stored [out, in]: input i's row of O_h is its
 * column i. */
static clipspan_status make_layer(making *m, const clsp_block_weights *block, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const float *projection = m->basis->projection;
    size_t width = m->basis->width, embed = (size_t)m->basis->view.embed_dim;
    CLSP_TRY(clsp_weight_floats(&block->out, width * width, m->out, err));
    CLSP_TRY(clsp_sgemm(part(m, W) + l * width * embed, embed, m->out, width, true, projection, embed, false, width,
                        embed, width, 1.0F, 0.0F, err));
    column_means(part(m, W_MEAN) + l * width, m->out, width, width, m->sum);
    CLSP_TRY(clsp_weight_floats(&block->out_bias, width, m->row, err));
    through(part(m, BIAS) + l * embed, m->row, projection, width, embed, m->sum);
    column_means(part(m, BIAS_MEAN) + l, m->row, width, 1, m->sum);
out:
    return status;
}

clipspan_status clsp_scaled_projection(float *projection, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_vision *vision = &model->vision;
    size_t width = (size_t)vision->config.width, embed = (size_t)model->embed_dim;
    float *gamma = NULL;
    CLSP_ALLOC(gamma, clsp_alloc(width, sizeof *gamma));
    CLSP_TRY(clsp_weight_floats(&vision->ln_post_gamma, width, gamma, err));
    CLSP_TRY(read_projection(projection, &vision->projection, width, embed, err));
    for (size_t i = 0; i < width; i++)
        for (size_t e = 0; e < embed; e++) projection[i * embed + e] *= gamma[i];
out:
    clsp_free(gamma);
    return status;
}

/* Everything but the layers: beta P, the projection diag(gamma) P, and what a mean of 1 maps to. */
static clipspan_status make_shared(making *m, const clsp_vision *vision, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    float *projection = m->basis->projection;
    size_t width = m->basis->width, embed = (size_t)m->basis->view.embed_dim;
    CLSP_TRY(read_projection(projection, &vision->projection, width, embed, err));
    CLSP_TRY(clsp_weight_floats(&vision->ln_post_beta, width, m->row, err));
    through(part(m, CONSTANT), m->row, projection, width, embed, m->sum);
    CLSP_TRY(clsp_scaled_projection(projection, m->model, err));
    through(part(m, ONES), NULL, projection, width, embed, m->sum);
out:
    return status;
}

clipspan_status clsp_basis_make(clsp_basis *out, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_vision *vision = &model->vision;
    const clsp_tower_config *config = &vision->config;
    making m = {.basis = out, .model = model};
    size_t width = (size_t)config->width, embed = (size_t)model->embed_dim;
    *out = (clsp_basis){.width = width, .mlp_width = (size_t)config->mlp_width, .eps = (double)config->ln_eps};
    out->view = (clipspan_basis){.layers = config->layers,
                                 .heads = config->heads,
                                 .head_dim = config->head_dim,
                                 .embed_dim = model->embed_dim,
                                 .tokens = vision->tokens};
    CLSP_TRY(allocate(&out->view, &out->block, m.parts, err));
    CLSP_ALLOC(out->projection, clsp_alloc_aligned(width * embed, sizeof *out->projection));
    CLSP_ALLOC(m.out, clsp_alloc_aligned(width * width, sizeof *m.out));
    CLSP_ALLOC(m.row, clsp_alloc(width, sizeof *m.row));
    CLSP_ALLOC(m.sum, clsp_alloc(clsp_max(width, embed), sizeof *m.sum));
    CLSP_TRY(make_shared(&m, vision, err));
    for (int l = 0; l < config->layers; l++) CLSP_TRY(make_layer(&m, &vision->blocks[l], (size_t)l, err));
out:
    if (status != CLIPSPAN_OK) clsp_basis_clear(out);
    clsp_free(m.out);
    clsp_free(m.row);
    clsp_free(m.sum);
    return status;
}

void clsp_basis_clear(clsp_basis *basis)
{
    clsp_free(basis->block);
    clsp_free(basis->projection);
    *basis = (clsp_basis){0};
}
