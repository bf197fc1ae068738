/* Rows through one layer, and derivatives back through it: products, layer norm, activations, softmax, heads. */
#include "trace/trace.h"

#include <math.h>

/* ---- products -------------------------------------------------------------------------------------------- */

static void set_rows(float *y, size_t stride, const float *row, size_t rows, size_t width)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) y[r * stride + i] = row[i];
}

clipspan_status clsp_dense_run(float *y, size_t y_stride, const float *x, size_t x_stride, const clsp_dense *dense,
                               bool bias, size_t rows, clipspan_error *err)
{
    if (bias) set_rows(y, y_stride, dense->bias, rows, dense->out);
    return clsp_sgemm(y, y_stride, x, x_stride, false, dense->weight, dense->transposed ? dense->out : dense->in,
                      !dense->transposed, rows, dense->out, dense->in, 1.0f, bias ? 1.0f : 0.0f, err);
}

clipspan_status clsp_dense_back(float *dx, size_t dx_stride, const float *dy, size_t dy_stride,
                                const clsp_dense *dense, const float *weight, float beta, size_t rows,
                                clipspan_error *err)
{
    return clsp_sgemm(dx, dx_stride, dy, dy_stride, false, weight, dense->transposed ? dense->out : dense->in,
                      dense->transposed, rows, dense->in, dense->out, 1.0f, beta, err);
}

/* ---- layer norm ------------------------------------------------------------------------------------------ */

void clsp_norm_run(float *y, const float *x, const clsp_norm *norm, float eps, size_t rows, size_t width)
{
    clsp_layer_norm(y, x, norm->gamma, norm->beta, eps, rows, width, width, width, CLSP_TYPE_F32);
}

/* With n = (x - mu) / sigma and g = dy gamma: dx = (g - mean(g) - n mean(g n)) / sigma. */
static void norm_back_row(float *dx, const float *dy, const float *x, const float *gamma, double eps, size_t width)
{
    double mean = 0, square = 0, g_mean = 0, gn_mean = 0, size = (double)width;
    for (size_t i = 0; i < width; i++) mean += x[i];
    mean /= size;
    for (size_t i = 0; i < width; i++) {
        double g = (double)dy[i] * gamma[i], centred = x[i] - mean;
        square += centred * centred;
        g_mean += g;
        gn_mean += g * centred;
    }
    double rstd = 1.0 / sqrt(square / size + eps);
    g_mean /= size;
    gn_mean *= rstd / size;
    for (size_t i = 0; i < width; i++) {
        double n = (x[i] - mean) * rstd;
        dx[i] += (float)(rstd * ((double)dy[i] * gamma[i] - g_mean - n * gn_mean));
    }
}

void clsp_norm_back(float *dx, const float *dy, const float *x, const clsp_norm *norm, float eps, size_t rows,
                    size_t width)
{
#pragma omp parallel for schedule(static) if (rows * width > 65536)
    for (size_t r = 0; r < rows; r++)
        norm_back_row(dx + r * width, dy + r * width, x + r * width, norm->gamma, (double)eps, width);
}

/* ---- activations ----------------------------------------------------------------------------------------- */

static const float inverse_root_2 = 0.70710678f, inverse_root_2_pi = 0.39894228f;
/* gelu by tanh: u (1 + tanh(a (u + b u^3))) / 2 */
static const float tanh_a = 0.79788456f, tanh_b = 0.044715f;

static inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

static float activated(float u, clsp_activation activation)
{
    switch (activation) {
    case CLSP_QUICK_GELU: return u * sigmoid(1.702f * u);
    case CLSP_GELU_TANH: return 0.5f * u * (1.0f + tanhf(tanh_a * (u + tanh_b * u * u * u)));
    case CLSP_GELU: break;
    }
    return 0.5f * u * (1.0f + erff(u * inverse_root_2));
}

static float derivative(float u, clsp_activation activation)
{
    if (activation == CLSP_QUICK_GELU) {
        float s = sigmoid(1.702f * u);
        return s + 1.702f * u * s * (1.0f - s);
    }
    if (activation == CLSP_GELU_TANH) {
        float h = tanhf(tanh_a * (u + tanh_b * u * u * u));
        return 0.5f * (1.0f + h) + 0.5f * u * (1.0f - h * h) * tanh_a * (1.0f + 3.0f * tanh_b * u * u);
    }
    return 0.5f * (1.0f + erff(u * inverse_root_2)) + u * inverse_root_2_pi * expf(-0.5f * u * u);
}

void clsp_activate(float *y, const float *u, clsp_activation activation, size_t count)
{
#pragma omp parallel for schedule(static) if (count > 16384)
    for (size_t i = 0; i < count; i++) y[i] = activated(u[i], activation);
}

void clsp_activate_back(float *du, const float *u, clsp_activation activation, size_t count)
{
#pragma omp parallel for schedule(static) if (count > 16384)
    for (size_t i = 0; i < count; i++) du[i] *= derivative(u[i], activation);
}

/* ---- softmax --------------------------------------------------------------------------------------------- */

void clsp_softmax_rows(float *s, float scale, size_t rows, size_t width)
{
#pragma omp parallel for schedule(static) if (rows * width > 16384)
    for (size_t r = 0; r < rows; r++) {
        float *row = s + r * width, most = row[0];
        double sum = 0;
        for (size_t i = 1; i < width; i++) most = row[i] > most ? row[i] : most;
        for (size_t i = 0; i < width; i++) {
            row[i] = expf(scale * (row[i] - most));
            sum += row[i];
        }
        float inverse = (float)(1.0 / sum);
        for (size_t i = 0; i < width; i++) row[i] *= inverse;
    }
}

/* ---- heads ------------------------------------------------------------------------------------------------ */

/* Every head's product runs on one thread: they are many and small. */
clipspan_status clsp_heads_scores(const clipspan_tracer *t, float *c, const float *a, size_t a_stride, const float *b,
                                  size_t b_stride, clipspan_error *err)
{
    size_t n = t->tokens, d = t->head_dim, failures = 0;
#pragma omp parallel for schedule(static) reduction(+ : failures)
    for (size_t h = 0; h < t->heads; h++)
        if (clsp_sgemm(c + h * n * n, n, a + h * d, a_stride, false, b + h * d, b_stride, true, n, n, d, 1.0f, 0.0f,
                       NULL))
            failures++;
    return failures == 0 ? CLIPSPAN_OK : clsp_fail_memory(err); /* a product fails for nothing else */
}

clipspan_status clsp_heads_values(const clipspan_tracer *t, float *c, size_t c_stride, const float *a, bool transposed,
                                  const float *b, size_t b_stride, float alpha, clipspan_error *err)
{
    size_t n = t->tokens, d = t->head_dim, failures = 0;
#pragma omp parallel for schedule(static) reduction(+ : failures)
    for (size_t h = 0; h < t->heads; h++)
        if (clsp_sgemm(c + h * d, c_stride, a + h * n * n, n, transposed, b + h * d, b_stride, false, n, d, n, alpha,
                       0.0f, NULL))
            failures++;
    return failures == 0 ? CLIPSPAN_OK : clsp_fail_memory(err); /* a product fails for nothing else */
}
