/* Products of whole numbers: every kernel that the processor has against the plain formula, exactly; and what rounding says
 * that it lost. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compute/whole.h"

static uint64_t state = 7;

static float number(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (float)((double)(state >> 40) / 8388608.0 - 1.0);
}

static float *numbers(size_t count)
{
    float *x = clsp_alloc_aligned(count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) x[i] = number();
    return x;
}

static int whole_at(const void *row, clsp_whole_type type, size_t i)
{
    return type == CLSP_WHOLE_16 ? ((const int16_t *)row)[i] : ((const int8_t *)row)[i];
}

/* Rounded rows of x [count, in]; rows: [count] out. */
static char *rounded(clsp_whole_row *rows, clsp_whole_type type, float *x, size_t count, size_t in)
{
    size_t stride = clsp_whole_stride(type, in);
    char *to = clsp_alloc_aligned(count, stride);
    assert_non_null(to);
    for (size_t r = 0; r < count; r++) rows[r] = clsp_whole_round(to + r * stride, type, x + r * in, in);
    return to;
}

typedef struct shape {
    size_t rows, in, out;
} shape;

static const shape shapes[] = {{1, 1, 1},   {1, 1040, 1000}, {2, 3, 31},  {3, 5, 33},  {5, 7, 16},   {6, 16, 17},  {13, 63, 32},
                               {14, 64, 8}, {15, 65, 47},    {28, 9, 64}, {29, 31, 5}, {126, 40, 3}, {127, 33, 65}, {253, 18, 20}};

/* y, exactly: the sum in 64 bits, then the two factors in their order. What lies behind a row of y is nobody's to write. */
static void check_product(const clsp_whole_kernel *kernel, const shape *s, bool add)
{
    size_t stride = clsp_whole_stride(kernel->type, s->in), gap = 3, y_stride = s->out + gap, cells = s->rows * y_stride;
    clsp_whole_row *x_rows = calloc(s->rows, sizeof *x_rows), *w_rows = calloc(s->out, sizeof *w_rows);
    float *x = numbers(s->rows * s->in), *w = numbers(s->out * s->in), *y = numbers(cells);
    float *factor = calloc(s->out, sizeof *factor), **to = calloc(s->rows, sizeof *to), *before = calloc(cells, sizeof *before);
    assert_true(x_rows != NULL && w_rows != NULL && factor != NULL && to != NULL && before != NULL);
    memcpy(before, y, cells * sizeof *y);
    for (size_t r = 0; r < s->rows; r++) to[r] = y + (s->rows - 1 - r) * y_stride;
    char *rows = rounded(x_rows, kernel->type, x, s->rows, s->in), *of = rounded(w_rows, kernel->type, w, s->out, s->in);
    char *packed = clsp_alloc_aligned(clsp_whole_bytes(kernel->type, s->in, s->out), 1);
    assert_non_null(packed);
    for (size_t c = 0; c < s->out; c++) factor[c] = w_rows[c].factor;
    clsp_whole_pack_by(kernel, packed, of, s->in, s->out);
    const clsp_whole weights = {.type = kernel->type, .in = s->in, .out = s->out, .weight = packed, .factor = factor};
    clsp_whole_run_by(kernel, to, add, &weights, rows, x_rows, s->rows);
    size_t nothing = 0;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->out; c++) {
            int64_t sum = 0;
            for (size_t i = 0; i < s->in; i++)
                sum += (int64_t)whole_at(rows + r * stride, kernel->type, i) * whole_at(of + c * stride, kernel->type, i);
            float expected = (float)sum * factor[c] * x_rows[r].factor;
            if (add) expected += before[(s->rows - 1 - r) * y_stride + c];
            if (to[r][c] != expected)
                fail_msg("%s, %zu x %zu -> %zu: row %zu, column %zu is %g, expected %g", kernel->name, s->rows, s->in, s->out,
                         r, c, (double)to[r][c], (double)expected);
            nothing += sum == 0;
        }
    assert_true(nothing <= s->rows * s->out / 2);
    for (size_t i = 0; i < cells; i++)
        if (i % y_stride >= s->out) assert_true(y[i] == before[i]);
    void *const blocks[] = {x, w, y, rows, of, packed};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
    free(x_rows);
    free(w_rows);
    free(factor);
    free(to);
    free(before);
}

static void products_are_exact(void **test_state)
{
    (void)test_state;
    for (size_t k = 0; k < clsp_whole_kernel_count; k++) {
        const clsp_whole_kernel *kernel = &clsp_whole_kernels[k];
        if (!kernel->supported()) continue;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_product(kernel, &shapes[i], i % 2 == 0), check_product(kernel, &shapes[i], i % 2 != 0);
        printf("%s, %d bits: %zu shapes\n", kernel->name, kernel->type == CLSP_WHOLE_16 ? 16 : 8, sizeof shapes / sizeof *shapes);
    }
}

/* All of a row's length in one number, and equal ones: the largest sums that there can be. */
static void largest_sums(void **test_state)
{
    (void)test_state;
    enum { IN = 4096 };
    float *x = numbers(2 * IN);
    clsp_whole_row rows[2];
    for (size_t i = 0; i < IN; i++) {
        x[i] = i == 5 ? -3.0F : 0.0F;
        x[IN + i] = 0.25F;
    }
    for (int type = CLSP_WHOLE_16; type <= CLSP_WHOLE_8; type++) {
        char *to = rounded(rows, (clsp_whole_type)type, x, 2, IN);
        size_t stride = clsp_whole_stride((clsp_whole_type)type, IN);
        const float factor[] = {rows[0].factor, rows[1].factor}, exact[] = {9, -0.75F, -0.75F, IN * 0.0625F};
        float y[4], *const y_rows[] = {y, y + 2};
        char *packed = clsp_alloc_aligned(clsp_whole_bytes((clsp_whole_type)type, IN, 2), 1);
        assert_non_null(packed);
        clsp_whole_pack(packed, (clsp_whole_type)type, to, IN, 2);
        const clsp_whole weights = {.type = (clsp_whole_type)type, .in = IN, .out = 2, .weight = packed, .factor = factor};
        clsp_whole_run(y_rows, false, &weights, to, rows, 2);
        for (size_t i = 0; i < 4; i++) assert_true(fabsf(y[i] - exact[i]) <= 4e-6F * fabsf(exact[i]));
        if (type == CLSP_WHOLE_16) assert_int_equal(whole_at(to, CLSP_WHOLE_16, 5), -32000);
        if (type == CLSP_WHOLE_16) assert_int_equal(whole_at(to + stride, CLSP_WHOLE_16, 5), 500);
        assert_int_equal(abs(whole_at(to, (clsp_whole_type)type, 5)), type == CLSP_WHOLE_16 ? 32000 : 127);
        clsp_free(to);
        clsp_free(packed);
    }
    clsp_free(x);
}

static void losses_are_bounded(void **test_state)
{
    (void)test_state;
    double worst[2] = {0, 0};
    for (size_t n = 1; n < 1100; n = n * 3 / 2 + 1)
        for (int type = CLSP_WHOLE_16; type <= CLSP_WHOLE_8; type++) {
            clsp_whole_row row;
            float *x = numbers(n);
            double length = 0, lost = 0, sum = 0, before = 0;
            for (size_t i = 0; i < n; i++) before += (double)x[i] * (double)x[i];
            char *to = rounded(&row, (clsp_whole_type)type, x, 1, n);
            for (size_t i = 0; i < n; i++) {
                int whole = whole_at(to, (clsp_whole_type)type, i);
                double off = (double)x[i] - (double)row.factor * whole;
                assert_true(fabs(off) <= 0.5001 * (double)row.factor);
                length += (double)x[i] * (double)x[i];
                lost += off * off;
                sum += whole;
            }
            assert_true(fabs((double)row.length - sqrt(length)) <= 1e-6 * sqrt(length));
            assert_true(fabs((double)row.length - sqrt(before)) <= 1e-6 * sqrt(length));
            assert_true((double)row.lost >= sqrt(lost) && (double)row.lost <= sqrt(lost) + 5e-6 * sqrt(length));
            if (type == CLSP_WHOLE_8) assert_int_equal(row.offset, 128 * (int)sum);
            if (sqrt(lost / length) > worst[type]) worst[type] = sqrt(lost / length);
            clsp_free(x);
            clsp_free(to);
        }
    printf("lost at most %.2g of the length in 16 bits, %.2g in 8\n", worst[CLSP_WHOLE_16], worst[CLSP_WHOLE_8]);
    assert_true(worst[CLSP_WHOLE_16] < 5e-4 && worst[CLSP_WHOLE_8] < 0.01);
    assert_true(worst[CLSP_WHOLE_16] > 1e-5 && worst[CLSP_WHOLE_8] > 1e-3);
}

/* Products of what is rounded against those of what was there: off by no more than the header says. And a column that stands
 * out takes nothing from the others in 8 bits. */
static void products_are_near(void **test_state)
{
    (void)test_state;
    enum { ROWS = 9 };
    for (size_t n = 16; n <= 1040; n += 128)
        for (int type = CLSP_WHOLE_16; type <= CLSP_WHOLE_8; type++) {
            clsp_whole_row rows[2 * ROWS];
            float *x = numbers(2 * ROWS * n), *as_was = clsp_alloc_aligned(2 * ROWS * n, sizeof *as_was);
            assert_non_null(as_was);
            for (size_t r = 0; r < 2 * ROWS; r++) x[r * n + n - 1] = 8 * number();
            memcpy(as_was, x, 2 * ROWS * n * sizeof *x);
            size_t stride = clsp_whole_stride((clsp_whole_type)type, n);
            char *to = rounded(rows, (clsp_whole_type)type, x, 2 * ROWS, n);
            for (size_t r = 0; r < ROWS; r++)
                for (size_t c = ROWS; c < 2 * ROWS; c++) {
                    double exact = 0, whole = 0;
                    for (size_t i = 0; i < n; i++) {
                        exact += (double)as_was[r * n + i] * (double)as_was[c * n + i];
                        whole += (double)whole_at(to + r * stride, (clsp_whole_type)type, i) *
                                 whole_at(to + c * stride, (clsp_whole_type)type, i);
                    }
                    whole *= (double)rows[r].factor * (double)rows[c].factor;
                    double bound = (double)rows[r].lost * ((double)rows[c].length + (double)rows[c].lost) +
                                   (double)rows[r].length * (double)rows[c].lost;
                    assert_true(fabs(exact - whole) <= bound);
                    assert_true(n < 512 || bound < (type == CLSP_WHOLE_16 ? 1e-3 : 0.03) * (double)(rows[r].length * rows[c].length));
                }
            clsp_free(x);
            clsp_free(as_was);
            clsp_free(to);
        }
}

static void odd_numbers(void **test_state)
{
    (void)test_state;
    const float odd[] = {NAN, INFINITY, 1e30F};
    for (int type = CLSP_WHOLE_16; type <= CLSP_WHOLE_8; type++) {
        clsp_whole_row row;
        float zeros[20] = {0};
        clsp_free(rounded(&row, (clsp_whole_type)type, zeros, 1, 20));
        assert_true(row.factor == 0 && row.lost == 0);
        zeros[3] = 1e-30F;
        clsp_free(rounded(&row, (clsp_whole_type)type, zeros, 1, 20));
        assert_true(row.factor == 0 && row.lost == row.length);
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            zeros[3] = odd[i];
            clsp_free(rounded(&row, (clsp_whole_type)type, zeros, 1, 20));
            assert_true(isnan(row.factor) && !(row.lost < 1e15F));
        }
    }
    assert_int_equal(clsp_whole_bytes(CLSP_WHOLE_16, SIZE_MAX / 4, 64), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_are_exact), cmocka_unit_test(largest_sums),
                                       cmocka_unit_test(losses_are_bounded),
                                       cmocka_unit_test(products_are_near), cmocka_unit_test(odd_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
