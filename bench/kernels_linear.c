/* Linear layers and plain products: y = act(x W' + b), y += x W' + b, c = alpha a b + beta c. */
#include "kernels.h"

#include <math.h>
#include <string.h>

enum { WEIGHT, BIAS_OF, X }; /* blocks */
enum { X_GAP = 5, Y_GAP = 3 };

static size_t x_stride(const problem *p) { return p->size[1] + (p->manner & GAPS ? X_GAP : 0); }
static size_t y_stride(const problem *p) { return p->size[2] + (p->manner & GAPS ? Y_GAP : 0); }

static void linear_make(instance *it)
{
    const problem *p = it->problem;
    size_t rows = p->size[0], in = p->size[1], out = p->size[2];
    float *weight = instance_random(it, in * out, 1.0F, CLSP_TYPE_F32);
    float *bias = instance_random(it, out, 1.0F, CLSP_TYPE_F32);
    instance_random(it, rows * x_stride(p), 1.0F, p->type);
    instance_output(it, rows * y_stride(p), p->output);
    clsp_linear *linear = NULL;
    clipspan_error err;
    require(clsp_packed_init(&it->packed, p->type, in, out, &err), &err);
    void *packed = instance_block(it, it->packed.bytes);
    clsp_packed_fill(&it->packed, packed, weight, p->manner & TRANSPOSED);
    it->packed.bias = p->manner & BIAS ? bias : NULL;
    require(clsp_linear_new(&linear, it->workspace, &it->packed, p->output, p->epilogue, &err), &err);
    it->object = linear;
    it->implementation = clsp_linear_implementation(linear);
}

static void linear_run(instance *it)
{
    const problem *p = it->problem;
    clipspan_error err;
    require(clsp_linear_run(it->object, it->out, y_stride(p), it->blocks[X], x_stride(p), p->size[0], &err), &err);
}

static double epilogue_of(double x, double before, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
    case CLSP_EPILOGUE_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case CLSP_EPILOGUE_GELU_TANH: return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case CLSP_EPILOGUE_ADD: return x + before;
    case CLSP_EPILOGUE_NONE: break;
    }
    return x;
}

static double kept(float x, clsp_type type)
{
    return (double)(type == CLSP_TYPE_BF16 ? clsp_bf16_to_f32(clsp_f32_to_bf16(x)) : x);
}

static double linear_expected(const instance *it, size_t r, size_t o)
{
    const problem *p = it->problem;
    const float *weight = it->blocks[WEIGHT], *bias = it->blocks[BIAS_OF];
    size_t in = p->size[1], out = p->size[2];
    double sum = p->manner & BIAS ? (double)bias[o] : 0.0;
    for (size_t i = 0; i < in; i++)
        sum += value_at(it->blocks[X], r * x_stride(p) + i, p->type) *
               kept(weight[p->manner & TRANSPOSED ? i * out + o : o * in + i], p->type);
    return epilogue_of(sum, value_at(it->before, r * y_stride(p) + o, p->output), p->epilogue);
}

/* What lies between the rows of y is nobody's to write. */
static bool gaps_kept(const instance *it)
{
    const problem *p = it->problem;
    size_t size = bytes_of(p->output), gap = (y_stride(p) - p->size[2]) * size;
    for (size_t r = 0; gap > 0 && r < p->size[0]; r++) {
        size_t at = (r * y_stride(p) + p->size[2]) * size;
        if (memcmp((const char *)it->out + at, (const char *)it->before + at, gap) != 0) return false;
    }
    return true;
}

static double linear_error(const instance *it)
{
    const problem *p = it->problem;
    size_t rows = p->size[0], step = check_step(rows, (double)p->size[1] * (double)p->size[2]);
    double worst = 0.0, size = 0.0;
    for (size_t k = 0; k < rows; k += step) {
        size_t r = rows - 1 - k; /* the last row is one of those that are looked at */
        for (size_t o = 0; o < p->size[2]; o++) {
            double expected = linear_expected(it, r, o);
            worst = worse(worst, fabs(expected - value_at(it->out, r * y_stride(p) + o, p->output)));
            size = fmax(size, fabs(expected));
        }
    }
    return size > 1e-3 && gaps_kept(it) ? worst / size : INFINITY;
}

static void linear_free(instance *it)
{
    clsp_linear_free(it->object);
}

/* Some rows, run one by one into what was before, against the rows of it->out. */
static bool linear_alone(instance *it)
{
    const problem *p = it->problem;
    size_t x_row = x_stride(p) * bytes_of(p->type), y_row = y_stride(p) * bytes_of(p->output);
    size_t width = p->size[2] * bytes_of(p->output), step = p->size[0] / 8 + 1;
    char *one = clsp_alloc_aligned(y_row, 1);
    bool same = true;
    clipspan_error err;
    if (one == NULL) require(clsp_fail_memory(NULL), NULL);
    for (size_t r = 0; same && r < p->size[0]; r += step) {
        memcpy(one, (const char *)it->before + r * y_row, width);
        const char *x = (const char *)it->blocks[X] + r * x_row;
        require(clsp_linear_run(it->object, one, y_stride(p), x, x_stride(p), 1, &err), &err);
        same = memcmp(one, (const char *)it->out + r * y_row, width) == 0;
    }
    clsp_free(one);
    return same;
}

static double linear_work(const problem *p) { return 2.0 * (double)p->size[0] * (double)p->size[1] * (double)p->size[2]; }

const kernel_ops linear_ops = {.name = "linear", .unit = "GFLOP/s", .make = linear_make, .run = linear_run,
                               .error = linear_error, .free = linear_free, .work = linear_work, .alone = linear_alone};

/* ---- sgemm: c [m, n] = 0.5 a b + 2 c ------------------------------------------------------------------------ */

enum { A, B };
static const float ALPHA = 0.5F, BETA = 2.0F;

typedef struct strides {
    size_t a, b, c;
} strides;

static strides sgemm_strides(const problem *p)
{
    size_t gap = p->manner & GAPS ? Y_GAP : 0;
    return (strides){(p->manner & TRANSPOSED ? p->size[0] : p->size[2]) + gap,
                     (p->manner & TRANSPOSED_B ? p->size[2] : p->size[1]) + gap, p->size[1] + gap};
}

static void sgemm_make(instance *it)
{
    const problem *p = it->problem;
    strides s = sgemm_strides(p);
    instance_random(it, (p->manner & TRANSPOSED ? p->size[2] : p->size[0]) * s.a, 1.0F, CLSP_TYPE_F32);
    instance_random(it, (p->manner & TRANSPOSED_B ? p->size[1] : p->size[2]) * s.b, 1.0F, CLSP_TYPE_F32);
    instance_output(it, p->size[0] * s.c, CLSP_TYPE_F32);
}

static void sgemm_run(instance *it)
{
    const problem *p = it->problem;
    strides s = sgemm_strides(p);
    clipspan_error err;
    require(clsp_sgemm(it->out, s.c, it->blocks[A], s.a, p->manner & TRANSPOSED, it->blocks[B], s.b,
                       p->manner & TRANSPOSED_B, p->size[0], p->size[1], p->size[2], ALPHA, BETA, &err), &err);
}

static double sgemm_expected(const instance *it, size_t i, size_t j)
{
    const problem *p = it->problem;
    const float *a = it->blocks[A], *b = it->blocks[B], *before = it->before;
    strides s = sgemm_strides(p);
    double sum = 0.0;
    for (size_t k = 0; k < p->size[2]; k++)
        sum += (double)(p->manner & TRANSPOSED ? a[k * s.a + i] : a[i * s.a + k]) *
               (double)(p->manner & TRANSPOSED_B ? b[j * s.b + k] : b[k * s.b + j]);
    return (double)ALPHA * sum + (double)BETA * (double)before[i * s.c + j];
}

static double sgemm_error(const instance *it)
{
    const problem *p = it->problem;
    size_t rows = p->size[0], stride = sgemm_strides(p).c, step = check_step(rows, (double)p->size[1] * (double)p->size[2]);
    const float *c = it->out, *before = it->before;
    double worst = 0.0, size = 0.0;
    for (size_t i = 0; i < rows; i += step)
        for (size_t j = 0; j < p->size[1]; j++) {
            double expected = sgemm_expected(it, i, j);
            worst = worse(worst, fabs(expected - (double)c[i * stride + j]));
            size = fmax(size, fabs(expected));
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = p->size[1]; j < stride; j++)
            if (c[i * stride + j] != before[i * stride + j]) return INFINITY;
    return size > 1e-3 ? worst / size : INFINITY;
}

const kernel_ops sgemm_ops = {.name = "sgemm", .unit = "GFLOP/s", .make = sgemm_make, .run = sgemm_run,
                              .error = sgemm_error, .work = linear_work};
