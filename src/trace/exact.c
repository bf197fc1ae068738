/* The image tower once more, in double precision, for relevance: it divides by sums of either sign, and where such a sum is
 * next to nothing its sign decides which way a share goes. In fp32 rounding decides it: of ViT-B-16's ten million sums some
 * are nearer to zero than the pass's error. What is kept is rounded to fp32 when it is summed, which keeps its sign. */
#include "trace/trace.h"

#include <math.h>

/* The stream and what one block makes of it. */
typedef struct exact {
    double *x;    /* [N, D] */
    double *h;    /* [N, D] ln_1(x), the heads' outputs, ln_2(m) */
    double *qkv;  /* [N, 3D] */
    double *wide; /* [N, M] hidden numbers, or [H, N, N] scores */
} exact;

static void exact_free(const exact *e)
{
    clsp_free(e->x);
    clsp_free(e->h);
    clsp_free(e->qkv);
    clsp_free(e->wide);
}

static clipspan_status exact_new(exact *e, const clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t row = t->width * sizeof(double), wide = clsp_max(t->hidden, t->heads * t->tokens) * sizeof(double);
    *e = (exact){0};
    CLSP_ALLOC(e->x, clsp_alloc_aligned(t->tokens, row));
    CLSP_ALLOC(e->h, clsp_alloc_aligned(t->tokens, row));
    CLSP_ALLOC(e->qkv, clsp_alloc_aligned(t->tokens, 3 * row));
    CLSP_ALLOC(e->wide, clsp_alloc_aligned(t->tokens, wide));
out:
    return status;
}

static void keep(float *to, const double *from, size_t count)
{
#pragma omp parallel for schedule(static) if (count > 65536)
    for (size_t i = 0; i < count; i++) to[i] = (float)from[i];
}

/* ---- rows through one layer -------------------------------------------------------------------------------- */

/* y [rows, out] = x W' + b, or with `add` y += that */
static void dense(double *y, size_t y_stride, const double *x, const clsp_dense *w, size_t rows, bool add)
{
    const clsp_factor weight = {.singles = w->weight, .stride = w->transposed ? w->out : w->in,
                                .transposed = !w->transposed};
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < w->out; o++)
            y[r * y_stride + o] = (add ? y[r * y_stride + o] : 0.0) + (double)w->bias[o];
    clsp_dgemm(y, y_stride, x, w->in, &weight, rows, w->out, w->in);
}

/* y may be x */
static void norm_row(double *y, const double *x, const clsp_norm *norm, double eps, size_t width)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < width; i++) mean += x[i];
    mean /= (double)width;
    for (size_t i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
    double rstd = 1.0 / sqrt(square / (double)width + eps);
    for (size_t i = 0; i < width; i++) y[i] = (x[i] - mean) * rstd * (double)norm->gamma[i] + (double)norm->beta[i];
}

static void norm_rows(double *y, const double *x, const clsp_norm *norm, const clipspan_tracer *t, size_t rows)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        norm_row(y + r * t->width, x + r * t->width, norm, (double)t->eps, t->width);
}

static double activated(double u, clsp_activation activation)
{
    static const double root_half = 0.70710678118654752, root_2_pi = 0.79788456080286536;
    switch (activation) {
    case CLSP_QUICK_GELU: return u / (1.0 + exp(-1.702 * u));
    case CLSP_GELU_TANH: return 0.5 * u * (1.0 + tanh(root_2_pi * (u + 0.044715 * u * u * u)));
    case CLSP_GELU: break;
    }
    return 0.5 * u * (1.0 + erf(u * root_half));
}

static void softmax_row(double *s, double scale, size_t width)
{
    double most = s[0], sum = 0;
    for (size_t i = 1; i < width; i++) most = fmax(most, s[i]);
    for (size_t i = 0; i < width; i++) sum += s[i] = exp(scale * (s[i] - most));
    for (size_t i = 0; i < width; i++) s[i] /= sum;
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

static void head(const exact *e, const clipspan_tracer *t, clsp_trace_layer *y, size_t h)
{
    size_t n = t->tokens, d = t->width, cells = n * n;
    const double *q = e->qkv + h * t->head_dim, *k = q + d, *v = k + d;
    double *s = e->wide + h * cells;
    for (size_t i = 0; i < cells; i++) s[i] = 0.0;
    clsp_dgemm(s, n, q, 3 * d, &(clsp_factor){.doubles = k, .stride = 3 * d, .transposed = true}, n, n, t->head_dim);
    keep(y->scores + h * cells, s, cells);
    for (size_t i = 0; i < n; i++) softmax_row(s + i * n, 1.0 / sqrt((double)t->head_dim), n);
    keep(y->attention + h * cells, s, cells);
    clsp_dgemm(e->h + h * t->head_dim, d, s, n, &(clsp_factor){.doubles = v, .stride = 3 * d}, n, t->head_dim, n);
}

static void attend(const exact *e, const clipspan_tracer *t, size_t l)
{
    const clsp_trace_block *b = &t->weights.blocks[l];
    const clsp_dense *inputs[] = {&b->q, &b->k, &b->v};
    clsp_trace_layer *y = &t->layer[l];
    size_t n = t->tokens, d = t->width;
    keep(y->x, e->x, n * d);
    norm_rows(e->h, e->x, &b->ln1, t, n);
    for (size_t i = 0; i < 3; i++) dense(e->qkv + i * d, 3 * d, e->h, inputs[i], n, false);
    keep(y->qkv, e->qkv, 3 * n * d);
    for (size_t i = 0; i < n * d; i++) e->h[i] = 0.0;
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < t->heads; h++) head(e, t, y, h);
    keep(y->z, e->h, n * d);
    dense(e->x, d, e->h, &b->out, n, true);
    keep(y->mid, e->x, n * d);
}

static void mlp(const exact *e, const clipspan_tracer *t, size_t l)
{
    const clsp_trace_block *b = &t->weights.blocks[l];
    size_t n = t->tokens, m = t->hidden;
    norm_rows(e->h, e->x, &b->ln2, t, n);
    dense(e->wide, m, e->h, &b->fc1, n, false);
    keep(t->layer[l].hidden, e->wide, n * m);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n * m; i++) e->wide[i] = activated(e->wide[i], t->activation);
    dense(e->x, t->width, e->wide, &b->fc2, n, true);
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

/* What is embedded is kept before the position is added. scratch: the patches widened, which a stream's row may be
 * shorter than. */
static clipspan_status embed(const exact *e, const clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens, d = t->width, values = (n - 1) * t->patch_values;
    double *patches = NULL;
    CLSP_ALLOC(patches, clsp_alloc_aligned(values, sizeof *patches));
    for (size_t i = 0; i < values; i++) patches[i] = (double)t->patches[i];
    for (size_t i = 0; i < d; i++) e->x[i] = (double)t->weights.class_token[i];
    dense(e->x + d, d, patches, &t->weights.patch, n - 1, false);
    keep(t->embedded, e->x, n * d);
    for (size_t i = 0; i < n * d; i++) e->x[i] += (double)t->weights.position[i];
    keep(t->x0, e->x, n * d);
    if (t->weights.ln_pre.gamma) norm_rows(e->x, e->x, &t->weights.ln_pre, t, n);
out:
    clsp_free(patches);
    return status;
}

clipspan_status clsp_trace_exact(clipspan_tracer *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    exact e = {0};
    CLSP_TRY(exact_new(&e, t, err));
    CLSP_TRY(embed(&e, t, err));
    for (size_t l = 0; l < t->layers; l++) {
        attend(&e, t, l);
        mlp(&e, t, l);
    }
    keep(t->last, e.x, t->tokens * t->width);
    CLSP_TRY(clsp_trace_project(t, t->r, t->last, 1, err));
out:
    exact_free(&e);
    return status;
}
