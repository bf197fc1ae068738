/* What runs over rows: layer norm, softmax, one vector against many rows, widening and rounding. */
#include "kernels.h"

#include "compute/clones.h"

#include <math.h>
#include <string.h>

/* ---- layer norm ------------------------------------------------------------------------------------------------ */

enum { INPUT, GAMMA, BETA }; /* blocks */
enum { GAP = 5 };
static const float EPS = 1e-5F;

static size_t norm_stride(const problem *p) { return p->size[1] + (p->manner & GAPS ? GAP : 0); }

static void layer_norm_make(instance *it)
{
    const problem *p = it->problem;
    size_t count = p->size[0] * norm_stride(p);
    float *x = instance_random(it, count, 1.0F, CLSP_TYPE_F32);
    for (size_t i = 0; i < count; i++) x[i] += 3.0F; /* a mean that has to be taken off */
    instance_random(it, p->size[1], 1.0F, CLSP_TYPE_F32);
    instance_random(it, p->size[1], 1.0F, CLSP_TYPE_F32);
    instance_output(it, count, p->output);
    if (p->manner & IN_PLACE) memcpy(it->before, x, it->out_bytes);
}

static void layer_norm_run(instance *it)
{
    const problem *p = it->problem;
    const float *x = p->manner & IN_PLACE ? it->out : it->blocks[INPUT];
    clsp_layer_norm(it->out, x, it->blocks[GAMMA], it->blocks[BETA], EPS, p->size[0], p->size[1], norm_stride(p),
                    norm_stride(p), p->output);
}

static void norm_row(double *expected, const instance *it, size_t r)
{
    const problem *p = it->problem;
    const float *x = (const float *)it->blocks[INPUT] + r * norm_stride(p);
    const float *gamma = it->blocks[GAMMA], *beta = it->blocks[BETA];
    double n = (double)p->size[1], mean = 0.0, variance = 0.0;
    for (size_t i = 0; i < p->size[1]; i++) mean += (double)x[i] / n;
    for (size_t i = 0; i < p->size[1]; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    for (size_t i = 0; i < p->size[1]; i++)
        expected[i] = ((double)x[i] - mean) / sqrt(variance + (double)EPS) * (double)gamma[i] + (double)beta[i];
}

/* Differences are of values of order 1, so they are not divided by the largest. */
static double layer_norm_error(const instance *it)
{
    const problem *p = it->problem;
    size_t width = p->size[1], stride = norm_stride(p);
    double worst = 0.0, *expected = clsp_alloc(width, sizeof *expected);
    if (expected == NULL) require(clsp_fail_memory(NULL), NULL);
    for (size_t r = 0; r < p->size[0]; r++) {
        norm_row(expected, it, r);
        for (size_t i = 0; i < width; i++)
            worst = worse(worst, fabs(value_at(it->out, r * stride + i, p->output) - expected[i]));
        for (size_t i = width; i < stride; i++)
            if (value_at(it->out, r * stride + i, p->output) != value_at(it->before, r * stride + i, p->output))
                worst = INFINITY;
    }
    clsp_free(expected);
    return worst;
}

static double layer_norm_bytes(const problem *p)
{
    return (double)p->size[0] * (double)p->size[1] * (double)(sizeof(float) + bytes_of(p->output));
}

const kernel_ops layer_norm_ops = {.name = "layer_norm", .unit = "GB/s", .make = layer_norm_make, .run = layer_norm_run,
                                   .error = layer_norm_error, .work = layer_norm_bytes};

/* ---- softmax: s and, rounded, p, one behind the other in the output ---------------------------------------------- */

static const float SCALE = 0.25F;

static size_t padded(const problem *p) { return p->size[0] + p->size[1]; }

static void softmax_make(instance *it)
{
    const problem *p = it->problem;
    instance_output(it, 2 * padded(p), CLSP_TYPE_F32);
    float *s = it->before;
    for (size_t i = 0; i < p->size[0]; i++) s[i] *= 60.0F; /* far below the largest too */
}

static void softmax_run(instance *it)
{
    const problem *p = it->problem;
    float *s = it->out;
    clsp_softmax_row(s, (uint16_t *)(void *)(s + padded(p)), SCALE, p->size[0], padded(p));
}

/* The exponent is rounded to fp32 by design: what comes after is judged, entry by entry. */
static double softmax_error(const instance *it)
{
    const problem *p = it->problem;
    const float *before = it->before, *s = it->out;
    const uint16_t *half = (const uint16_t *)(const void *)(s + padded(p));
    double sum = 0.0, worst = 0.0;
    float most = before[0];
    for (size_t i = 1; i < p->size[0]; i++) most = fmaxf(most, before[i]);
    for (size_t i = 0; i < p->size[0]; i++) sum += exp((double)((before[i] - most) * SCALE));
    for (size_t i = 0; i < padded(p); i++) {
        double expected = i < p->size[0] ? exp((double)((before[i] - most) * SCALE)) / sum : 0.0;
        worst = worse(worst, i < p->size[0] ? fabs((double)s[i] / expected - 1.0) : fabs((double)s[i]));
        if (half[i] != clsp_f32_to_bf16(s[i])) worst = INFINITY;
    }
    return worst;
}

static double softmax_bytes(const problem *p) { return 10.0 * (double)p->size[0]; }

const kernel_ops softmax_ops = {.name = "softmax", .unit = "GB/s", .make = softmax_make, .run = softmax_run,
                                .error = softmax_error, .work = softmax_bytes};

/* ---- rows . g, widening, rounding ------------------------------------------------------------------------------- */

enum { VALUES };
enum { ODD = 1 }; /* byte at which values begin: a mapping aligns nothing */

static void random_values(instance *it, size_t count)
{
    if (!(it->problem->manner & HALF)) {
        instance_random(it, count, 1.0F, CLSP_TYPE_F32);
        return;
    }
    unsigned char *bytes = instance_block(it, ODD + count * sizeof(uint16_t));
    for (size_t i = 0; i < count; i++) {
        uint16_t half = clsp_f32_to_f16(random_number());
        memcpy(bytes + ODD + i * sizeof half, &half, sizeof half);
    }
}

static const void *values_of(const instance *it)
{
    return (const unsigned char *)it->blocks[VALUES] + (it->problem->manner & HALF ? ODD : 0);
}

static double value_of(const instance *it, size_t i)
{
    uint16_t half;
    if (!(it->problem->manner & HALF)) return value_at(it->blocks[VALUES], i, CLSP_TYPE_F32);
    memcpy(&half, (const unsigned char *)values_of(it) + i * sizeof half, sizeof half);
    return (double)clsp_f16_to_f32(half);
}

static size_t value_bytes(const problem *p) { return p->manner & HALF ? sizeof(uint16_t) : sizeof(float); }

static void rows_dot_make(instance *it)
{
    const problem *p = it->problem;
    random_values(it, p->size[0] * p->size[1]);
    size_t rounded = (p->size[1] + CLSP_LANES - 1) / CLSP_LANES * CLSP_LANES;
    float *g = instance_random(it, rounded, 1.0F, CLSP_TYPE_F32);
    memset(g + p->size[1], 0, (rounded - p->size[1]) * sizeof *g);
    it->object = g;
    instance_output(it, p->size[0], CLSP_TYPE_F32);
}

static void rows_dot_run(instance *it)
{
    const problem *p = it->problem;
    clsp_rows_dot(it->out, values_of(it), p->manner & HALF, p->size[0], p->size[1], it->object);
}

static double rows_dot_error(const instance *it)
{
    const problem *p = it->problem;
    const float *out = it->out, *before = it->before, *g = it->object;
    double worst = 0.0;
    for (size_t r = 0; r < p->size[0]; r++) {
        double sum = (double)before[r];
        for (size_t i = 0; i < p->size[1]; i++) sum += value_of(it, r * p->size[1] + i) * (double)g[i];
        worst = worse(worst, fabs((double)out[r] - sum));
    }
    return worst / sqrt((double)p->size[1]);
}

static double rows_dot_bytes(const problem *p)
{
    return (double)p->size[0] * (double)p->size[1] * (double)value_bytes(p);
}

const kernel_ops rows_dot_ops = {.name = "rows_dot", .unit = "GB/s", .make = rows_dot_make, .run = rows_dot_run,
                                 .error = rows_dot_error, .work = rows_dot_bytes};

static void widen_make(instance *it)
{
    random_values(it, it->problem->size[0]);
    instance_output(it, it->problem->size[0], CLSP_TYPE_F32);
}

static void widen_run(instance *it)
{
    clsp_widen(it->out, values_of(it), it->problem->manner & HALF, it->problem->size[0]);
}

static double widen_error(const instance *it)
{
    const float *out = it->out;
    double worst = 0.0;
    for (size_t i = 0; i < it->problem->size[0]; i++) worst = worse(worst, fabs((double)out[i] - value_of(it, i)));
    return worst;
}

static double widen_bytes(const problem *p) { return (double)p->size[0] * (double)(value_bytes(p) + sizeof(float)); }

const kernel_ops widen_ops = {.name = "widen", .unit = "GB/s", .make = widen_make, .run = widen_run,
                              .error = widen_error, .work = widen_bytes};

/* Random numbers, with what is special about floats in front of them. */
static void round_make(instance *it)
{
    static const float special[] = {0.0F, -0.0F, 1.0F, 1.00390625F, 1.01171875F, 3.4e38F, INFINITY, -INFINITY, NAN, 1e-40F,
                                    -7.3e-5F};
    size_t count = it->problem->size[0];
    float *x = instance_random(it, count, 1.0F, CLSP_TYPE_F32);
    memcpy(x, special, clsp_min(count * sizeof *x, sizeof special));
    instance_output(it, count, CLSP_TYPE_BF16);
}

static void round_run(instance *it) { clsp_to_bf16(it->out, it->blocks[VALUES], it->problem->size[0]); }

/* Exact: nearest even, by the plain function. */
static double round_error(const instance *it)
{
    const uint16_t *y = it->out;
    const float *x = it->blocks[VALUES];
    for (size_t i = 0; i < it->problem->size[0]; i++)
        if (y[i] != clsp_f32_to_bf16(x[i])) return INFINITY;
    return 0.0;
}

static double round_bytes(const problem *p) { return 6.0 * (double)p->size[0]; }

const kernel_ops round_ops = {.name = "to_bf16", .unit = "GB/s", .make = round_make, .run = round_run,
                              .error = round_error, .work = round_bytes};
