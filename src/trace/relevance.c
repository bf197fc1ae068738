/* Layer-wise relevance propagation: the score's relevance 1 is shared out among what it was computed from, layer by
 * layer, so that the sum stays the same. The rules are those of Chefer, Gur and Wolf (CVPR 2021), whose baselines the
 * comparisons in print use:
 *
 *   linear y = x W'   R_i = sum over j of [x_i w_ji]+ R_j / sum over i of [x_i w_ji]+      (alpha 1, beta 0; no bias)
 *   x = a + b         R_a ~ a R / x, R_b ~ b R / x; then each is scaled, so that together they sum to what R sums to
 *                     and their sums' magnitudes keep their ratio
 *   C = A B           R_A = A (R / C) B' / 2 elementwise, R_B alike
 *   softmax, activation, layer norm: passed through
 *   pixels            the z^B rule with the image's own least and greatest value (Montavon et al. 2017)
 *
 * Here [x w]+ = (x w + |x| |w|) / 2, so that one |W| serves both signs. */
#include "trace/trace.h"

#include <math.h>
#include <string.h>

/* a / b, held off where b is near nothing; a share of nothing is nothing. b's sign decides much where b is little: sums
 * of either sign are those that the exact pass has kept. */
static inline double share(double a, double b, double least)
{
    return b == 0 ? 0 : a / (b + (b < 0 ? -least : least));
}

/* Sums of like signs are not near nothing but where they are nothing. */
static const double tiny = 1e-9;

/* For sums x of either sign: a hundredth of their mean magnitude over all tokens. The published code divides by them as
 * they are, which on real networks gives a few places most of the relevance, with signs that rounding decides
 * (docs/relevance.md). */
static double least_of(const float *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += fabs((double)x[i]);
    return 0.01 * sum / (double)count + tiny;
}

/* ---- rules ------------------------------------------------------------------------------------------------ */

static void magnitudes(float *out, const float *x, size_t count)
{
#pragma omp parallel for schedule(static) if (count > 65536)
    for (size_t i = 0; i < count; i++) out[i] = fabsf(x[i]);
}

/* What enters a linear layer, and the relevance of what left it. */
typedef struct linear_rule {
    const clsp_dense *dense;
    const float *x;   /* [rows, in] */
    const float *out; /* [rows, out] relevance, stride out_stride */
    size_t out_stride, rows;
} linear_rule;

/* sums [rows, out]: relevance of what left the layer, divided by them */
static void share_rows(float *sums, const linear_rule *rule, size_t out)
{
#pragma omp parallel for schedule(static) if (rule->rows * out > 65536)
    for (size_t r = 0; r < rule->rows; r++)
        for (size_t o = 0; o < out; o++)
            sums[r * out + o] =
                (float)share((double)rule->out[r * rule->out_stride + o], (double)sums[r * out + o], tiny);
}

/* to (+)= (x plain + |x| absolute) / 2 */
static void positive_parts(float *to, bool add, const float *x, const float *plain, const float *absolute, size_t count)
{
#pragma omp parallel for schedule(static) if (count > 65536)
    for (size_t i = 0; i < count; i++) {
        float value = 0.5f * (x[i] * plain[i] + fabsf(x[i]) * absolute[i]);
        to[i] = add ? to[i] + value : value;
    }
}

/* to [rows, in] (+)= relevance of x; it may be the rule's `out` where strides and widths agree. */
static clipspan_status share_linear(clipspan_tracer *t, float *to, bool add, const linear_rule *rule,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_dense *w = rule->dense;
    size_t in = w->in, out = w->out, rows = rule->rows, stride = w->transposed ? out : in;
    float *ratio = t->part, *plain = t->part2, *absolute = t->part3;
    magnitudes(t->magnitude, w->weight, in * out);
    magnitudes(plain, rule->x, rows * in);
    CLSP_TRY(clsp_dense_run(ratio, out, rule->x, in, w, false, rows, err));
    CLSP_TRY(clsp_sgemm(ratio, out, plain, in, false, t->magnitude, stride, !w->transposed, rows, out, in, 0.5f, 0.5f,
                        err));
    share_rows(ratio, rule, out);
    CLSP_TRY(clsp_dense_back(plain, in, ratio, out, w, w->weight, 0.0f, rows, err));
    CLSP_TRY(clsp_dense_back(absolute, in, ratio, out, w, t->magnitude, 0.0f, rows, err));
    positive_parts(to, add, rule->x, plain, absolute, rows * in);
out:
    return status;
}

static double scale_of(double sum, double other, double whole)
{
    double both = fabs(sum) + fabs(other);
    return both > 0 && sum != 0 ? fabs(sum) / both * whole / sum : 0.0;
}

/* relevance of sum = a + b -> of a, and to of_b. least: as least_of says */
static void share_sum(float *relevance, float *of_b, const float *sum, const float *a, double least, size_t count)
{
    double whole = 0, sum_a = 0, sum_b = 0;
    for (size_t i = 0; i < count; i++) {
        double ratio = share((double)relevance[i], (double)sum[i], least), b = (double)sum[i] - (double)a[i];
        whole += (double)relevance[i];
        relevance[i] = (float)((double)a[i] * ratio);
        of_b[i] = (float)(b * ratio);
        sum_a += (double)relevance[i];
        sum_b += (double)of_b[i];
    }
    double scale_a = scale_of(sum_a, sum_b, whole), scale_b = scale_of(sum_b, sum_a, whole);
    for (size_t i = 0; i < count; i++) {
        relevance[i] = (float)(scale_a * (double)relevance[i]);
        of_b[i] = (float)(scale_b * (double)of_b[i]);
    }
}

/* to = factor of * to / 2, [rows, width] */
static void halve_product(float *to, size_t to_stride, const float *of, size_t of_stride, size_t rows, size_t width)
{
#pragma omp parallel for schedule(static) if (rows * width > 65536)
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) to[r * to_stride + i] *= 0.5f * of[r * of_stride + i];
}

/* ---- the tower ---------------------------------------------------------------------------------------------- */

/* The text is a linear layer of one output. */
clipspan_status clsp_relevance_begin(clipspan_tracer *t, const float *text, clipspan_error *err)
{
    double sum = 0;
    for (size_t e = 0; e < t->embed; e++) sum += fmax(0.0, (double)t->r[e] * (double)text[e]);
    for (size_t e = 0; e < t->embed; e++)
        t->outcome[e] = sum > 0 ? (float)(fmax(0.0, (double)t->r[e] * (double)text[e]) / sum) : 0.0f;
    clsp_norm_run(t->h, t->last, &t->weights.ln_post, t->eps, 1, t->width);
    memset(t->relevance, 0, t->tokens * t->width * sizeof *t->relevance);
    linear_rule projection = {&t->weights.projection, t->h, t->outcome, t->embed, 1};
    return share_linear(t, t->relevance, false, &projection, err);
}

static clipspan_status through_mlp(clipspan_tracer *t, size_t l, size_t rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_block *b = &t->weights.blocks[l];
    const clsp_trace_layer *y = &t->layer[l];
    const float *after = clsp_trace_after(t, l);
    size_t d = t->width, m = t->hidden;
    linear_rule fc2 = {&b->fc2, t->work, t->back_z, d, rows}, fc1 = {&b->fc1, t->h, t->back_hidden, m, rows};
    clsp_activate(t->work, y->hidden, t->activation, rows * m);
    share_sum(t->relevance, t->back_z, after, y->mid, least_of(after, t->tokens * d), rows * d);
    CLSP_TRY(share_linear(t, t->back_hidden, false, &fc2, err));
    clsp_norm_run(t->h, y->mid, &b->ln2, t->eps, rows, d);
    CLSP_TRY(share_linear(t, t->relevance, true, &fc1, err));
out:
    return status;
}

/* Relevance of the heads' outputs, divided by them: t->back_z [N, D]. */
static clipspan_status through_out(clipspan_tracer *t, size_t l, size_t rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_layer *y = &t->layer[l];
    size_t n = t->tokens, d = t->width;
    linear_rule rule = {&t->weights.blocks[l].out, y->z, t->back_z, d, rows};
    share_sum(t->relevance, t->back_z, y->mid, y->x, least_of(y->mid, n * d), rows * d);
    CLSP_TRY(share_linear(t, t->back_z, false, &rule, err));
    memset(t->back_z + rows * d, 0, (n - rows) * d * sizeof *t->back_z);
    const double least = least_of(y->z, n * d);
    for (size_t i = 0; i < rows * d; i++) t->back_z[i] = (float)share((double)t->back_z[i], (double)y->z[i], least);
out:
    return status;
}

clipspan_status clsp_relevance_attention(clipspan_tracer *t, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_layer *y = &t->layer[l];
    size_t n = t->tokens, d = t->width, rows = l + 1 == t->layers ? 1 : n;
    CLSP_TRY(through_mlp(t, l, rows, err));
    CLSP_TRY(through_out(t, l, rows, err));
    CLSP_TRY(clsp_heads_scores(t, t->relevance_attention, t->back_z, d, y->qkv + 2 * d, 3 * d, err));
    halve_product(t->relevance_attention, n, y->attention, n, t->heads * n, n);
out:
    return status;
}

/* t->back_qkv: relevance of q, k and v */
static clipspan_status through_scores(clipspan_tracer *t, const clsp_trace_layer *y, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width, cells = t->heads * n * n;
    const float *q = y->qkv, *k = y->qkv + d;
    CLSP_TRY(clsp_heads_values(t, t->back_qkv + 2 * d, 3 * d, y->attention, true, t->back_z, d, 1.0f, err));
    const double least = least_of(y->scores, cells);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < cells; i++)
        t->products[i] = (float)share((double)t->relevance_attention[i], (double)y->scores[i], least);
    CLSP_TRY(clsp_heads_values(t, t->back_qkv, 3 * d, t->products, false, k, 3 * d, 1.0f, err));
    CLSP_TRY(clsp_heads_values(t, t->back_qkv + d, 3 * d, t->products, true, q, 3 * d, 1.0f, err));
    halve_product(t->back_qkv, 3 * d, y->qkv, 3 * d, n, 3 * d);
out:
    return status;
}

clipspan_status clsp_relevance_block(clipspan_tracer *t, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_trace_block *b = &t->weights.blocks[l];
    const clsp_trace_layer *y = &t->layer[l];
    const clsp_dense *inputs[] = {&b->q, &b->k, &b->v};
    size_t n = t->tokens, d = t->width;
    CLSP_TRY(through_scores(t, y, err));
    clsp_norm_run(t->h, y->x, &b->ln1, t->eps, n, d);
    for (size_t i = 0; i < 3; i++) {
        linear_rule rule = {inputs[i], t->h, t->back_qkv + i * d, 3 * d, n};
        CLSP_TRY(share_linear(t, t->relevance, true, &rule, err));
    }
out:
    return status;
}

/* ---- pixels --------------------------------------------------------------------------------------------------- */

/* from [D]: sum over a patch's values of low [w]+ + high [w]-, which is what the patch could have given at least */
static void least_products(const clipspan_tracer *t, float *from)
{
    const clsp_dense *w = &t->weights.patch;
    for (size_t o = 0; o < w->out; o++) {
        double sum = 0;
        for (size_t i = 0; i < w->in; i++) {
            double value = w->weight[o * w->in + i];
            sum += value * (double)(value > 0 ? t->lowest : t->highest);
        }
        from[o] = (float)sum;
    }
}

/* t->part2 [N - 1, K]: R_i = x_i (w' s)_i - low ([w]+' s)_i - high ([w]-' s)_i with s = R / (x w' - low [w]+ - high
 * [w]-) */
static clipspan_status share_patches(clipspan_tracer *t, const float *relevance, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_dense *w = &t->weights.patch;
    size_t rows = t->tokens - 1, in = w->in, out = w->out;
    least_products(t, t->h);
    magnitudes(t->magnitude, w->weight, in * out);
    CLSP_TRY(clsp_dense_run(t->part, out, t->patches, in, w, false, rows, err));
    for (size_t i = 0; i < rows * out; i++)
        t->part[i] = (float)share((double)relevance[i], (double)t->part[i] - (double)t->h[i % out], tiny);
    CLSP_TRY(clsp_dense_back(t->part2, in, t->part, out, w, w->weight, 0.0f, rows, err));
    CLSP_TRY(clsp_dense_back(t->part3, in, t->part, out, w, t->magnitude, 0.0f, rows, err));
    for (size_t i = 0; i < rows * in; i++) {
        float plus = 0.5f * (t->part2[i] + t->part3[i]), minus = 0.5f * (t->part2[i] - t->part3[i]);
        t->part2[i] = t->patches[i] * t->part2[i] - t->lowest * plus - t->highest * minus;
    }
out:
    return status;
}

clipspan_status clsp_relevance_pixels(clipspan_tracer *t, float *out, clipspan_error *err)
{
    size_t n = t->tokens, d = t->width, side = t->side, s = t->image;
    share_sum(t->relevance, t->back_z, t->x0, t->embedded, least_of(t->x0, n * d), n * d);
    clipspan_status status = share_patches(t, t->relevance + d, err);
    memset(out, 0, s * s * sizeof *out);
    for (size_t p = 0; p + 1 < n; p++)
        for (size_t i = 0; i < t->patch_values; i++) {
            size_t line = i / side % side, y = p / t->grid * side + line, x = p % t->grid * side + i % side;
            out[y * s + x] += t->part2[p * t->patch_values + i];
        }
    return status;
}
