/* Products of whole numbers: y = x~ w~', with ~ for what is rounded to 16 or to 8 bits. */
#include "kernels.h"

#include <math.h>

enum { X_ROWS, X_ROUNDED, W_ROUNDED, FACTOR, Y_ROWS, PACKED }; /* blocks */

static clsp_whole_type type_of(const problem *p) { return p->manner & EIGHT ? CLSP_WHOLE_8 : CLSP_WHOLE_16; }

/* count rows rounded, behind one another; rows: [count] out. */
static void *rounded(instance *it, clsp_whole_row *rows, size_t count)
{
    size_t in = it->problem->size[1], stride = clsp_whole_stride(type_of(it->problem), in);
    char *to = instance_block(it, count * stride);
    float *x = clsp_alloc_aligned(in, sizeof *x);
    if (x == NULL) require(clsp_fail_memory(NULL), NULL);
    for (size_t r = 0; r < count; r++) {
        for (size_t i = 0; i < in; i++) x[i] = random_number();
        rows[r] = clsp_whole_round(to + r * stride, type_of(it->problem), x, in);
    }
    clsp_free(x);
    return to;
}

static void whole_make(instance *it)
{
    const problem *p = it->problem;
    size_t rows = p->size[0], in = p->size[1], out = p->size[2];
    clsp_whole_row *x_rows = instance_block(it, rows * sizeof *x_rows), *w_rows = clsp_alloc(out, sizeof *w_rows);
    if (w_rows == NULL) require(clsp_fail_memory(NULL), NULL);
    rounded(it, x_rows, rows);
    const void *w = rounded(it, w_rows, out);
    float *factor = instance_block(it, out * sizeof *factor), **y = instance_block(it, rows * sizeof *y);
    for (size_t c = 0; c < out; c++) factor[c] = w_rows[c].factor;
    clsp_whole_pack(instance_block(it, clsp_whole_bytes(type_of(p), in, out)), type_of(p), w, in, out);
    instance_output(it, rows * out, CLSP_TYPE_F32);
    for (size_t r = 0; r < rows; r++) y[r] = (float *)it->out + r * out;
    clsp_free(w_rows);
}

static void whole_run(instance *it)
{
    const problem *p = it->problem;
    const clsp_whole weights = {.type = type_of(p), .in = p->size[1], .out = p->size[2], .weight = it->blocks[PACKED],
                                .factor = it->blocks[FACTOR]};
    clsp_whole_run(it->blocks[Y_ROWS], false, &weights, it->blocks[X_ROUNDED], it->blocks[X_ROWS], p->size[0]);
}

static double whole_at(const char *row, clsp_whole_type type, size_t i)
{
    return type == CLSP_WHOLE_16 ? ((const int16_t *)(const void *)row)[i] : ((const int8_t *)row)[i];
}

/* Of the rounded rows' own product, whose sum is exact: what is left are three roundings. */
static double whole_error(const instance *it)
{
    const problem *p = it->problem;
    size_t stride = clsp_whole_stride(type_of(p), p->size[1]), step = check_step(p->size[0], (double)p->size[1] * (double)p->size[2]);
    const clsp_whole_row *rows = it->blocks[X_ROWS];
    const float *factor = it->blocks[FACTOR], *y = it->out;
    double worst = 0.0, size = 0.0;
    for (size_t r = 0; r < p->size[0]; r += step)
        for (size_t c = 0; c < p->size[2]; c++) {
            double sum = 0.0;
            for (size_t i = 0; i < p->size[1]; i++)
                sum += whole_at((const char *)it->blocks[X_ROUNDED] + r * stride, type_of(p), i) *
                       whole_at((const char *)it->blocks[W_ROUNDED] + c * stride, type_of(p), i);
            sum *= (double)rows[r].factor * (double)factor[c];
            worst = worse(worst, fabs((double)y[r * p->size[2] + c] - sum));
            size = fmax(size, fabs(sum));
        }
    return size > 1e-3 ? worst / size : INFINITY;
}

static double whole_work(const problem *p)
{
    return 2.0 * (double)p->size[0] * (double)p->size[1] * (double)p->size[2];
}

const kernel_ops whole_ops = {.name = "whole", .unit = "Gop/s", .make = whole_make, .run = whole_run,
                              .error = whole_error, .work = whole_work};
