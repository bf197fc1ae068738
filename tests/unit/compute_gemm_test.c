/* Products of our own on vector registers: against double precision at edge shapes, in every type, and the bits of a row
 * whatever its company. Runs once for each level of instructions (CLIPSPAN_MAX_ISA, tests/CMakeLists.txt). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include "compute/gemm.h"
#include "worse.h"

static uint64_t random_state = 20261127;
static float uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(random_state >> 11) / 9007199254740992.0 * 2.0 - 1.0);
}

static float get(const void *base, size_t i, clsp_type type)
{
    return type == CLSP_TYPE_BF16 ? clsp_bf16_to_f32(((const uint16_t *)base)[i]) : ((const float *)base)[i];
}

static void *random_values(size_t count, clsp_type type, float size)
{
    void *values = malloc((count + 1) * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        float value = size * uniform();
        if (type == CLSP_TYPE_BF16)
            ((uint16_t *)values)[i] = clsp_f32_to_bf16(value);
        else
            ((float *)values)[i] = value;
    }
    return values;
}

static double activated(double x, double before, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return 0.5 * x * erfc(-x * 0.7071067811865476);
    case CLSP_EPILOGUE_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case CLSP_EPILOGUE_GELU_TANH: return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case CLSP_EPILOGUE_ADD: return x + before;
    case CLSP_EPILOGUE_NONE: break;
    }
    return x;
}

typedef struct shape {
    size_t rows, in, out;
    bool transposed, bias;
    clsp_epilogue epilogue;
    clsp_type output;
    size_t gap; /* between rows of x and of y */
} shape;

/* One of everything; odd sizes; a step, a strip, a panel, a slice and a group more or less than whole. */
static const shape shapes[] = {
    {1, 1, 1, false, false, CLSP_EPILOGUE_NONE, CLSP_TYPE_F32, 0},
    {1, 768, 512, false, true, CLSP_EPILOGUE_NONE, CLSP_TYPE_F32, 0},
    {13, 33, 31, false, true, CLSP_EPILOGUE_GELU, CLSP_TYPE_F32, 3},
    {14, 64, 32, true, true, CLSP_EPILOGUE_QUICK_GELU, CLSP_TYPE_BF16, 0},
    {15, 7, 33, true, false, CLSP_EPILOGUE_GELU_TANH, CLSP_TYPE_F32, 1},
    {29, 383, 47, false, true, CLSP_EPILOGUE_ADD, CLSP_TYPE_F32, 0},
    {127, 385, 100, false, true, CLSP_EPILOGUE_GELU, CLSP_TYPE_BF16, 5},
    {126, 769, 64, true, true, CLSP_EPILOGUE_NONE, CLSP_TYPE_BF16, 0},
    {50, 1153, 70, false, false, CLSP_EPILOGUE_ADD, CLSP_TYPE_F32, 2},
    {257, 2400, 96, false, true, CLSP_EPILOGUE_GELU, CLSP_TYPE_BF16, 0},
    {3, 3072, 17, false, true, CLSP_EPILOGUE_GELU_TANH, CLSP_TYPE_F32, 0},
};

typedef struct problem {
    const shape *s;
    clsp_type type;
    size_t x_stride, y_stride;
    float *weight, *bias;
    void *x, *before, *packed, *scratch;
} problem;

enum { MOST_THREADS = 5 };

static problem problem_new(const shape *s, clsp_type type)
{
    problem p = {.s = s, .type = type, .x_stride = s->in + s->gap, .y_stride = s->out + s->gap};
    size_t bytes = clsp_gemm_packed_bytes(type, s->in, s->out);
    assert_true(bytes >= s->in * s->out * (type == CLSP_TYPE_BF16 ? 2 : 4));
    p.weight = random_values(s->in * s->out, CLSP_TYPE_F32, 4.0f / sqrtf((float)s->in));
    p.bias = random_values(s->out, CLSP_TYPE_F32, 1.0f);
    p.x = random_values(s->rows * p.x_stride, type, 1.0f);
    p.before = random_values(s->rows * p.y_stride, s->output, 1.0f);
    p.packed = clsp_alloc_aligned(bytes, 1);
    p.scratch = clsp_alloc_aligned(MOST_THREADS, clsp_gemm_scratch(type, s->in, s->out));
    clsp_gemm_pack(p.packed, type, p.weight, s->transposed ? s->out : s->in, s->transposed, s->in, s->out);
    return p;
}

static void problem_clear(problem *p)
{
    free(p->weight), free(p->bias), free(p->x), free(p->before);
    clsp_free(p->packed), clsp_free(p->scratch);
}

/* Rows [first, first + rows) of a fresh y; the caller frees it. */
static void *run(const problem *p, size_t first, size_t rows, int threads)
{
    size_t size = p->s->output == CLSP_TYPE_BF16 ? 2 : 4, x_size = p->type == CLSP_TYPE_BF16 ? 2 : 4;
    void *y = malloc(rows * p->y_stride * size);
    memcpy(y, (char *)p->before + first * p->y_stride * size, rows * p->y_stride * size);
    clsp_gemm_product product = {.y = y, .x = (char *)p->x + first * p->x_stride * x_size, .y_stride = p->y_stride,
                                 .x_stride = p->x_stride, .weight = p->packed, .bias = p->s->bias ? p->bias : NULL,
                                 .rows = rows, .in = p->s->in, .out = p->s->out, .compute = p->type,
                                 .output = p->s->output, .epilogue = p->s->epilogue};
    clsp_gemm_run(&product, p->scratch, threads);
    return y;
}

static double error_of(const problem *p, const void *y)
{
    const shape *s = p->s;
    double worst = 0.0, size = 0.0;
    for (size_t r = 0; r < s->rows; r++) {
        for (size_t o = 0; o < s->out; o++) {
            double sum = s->bias ? (double)p->bias[o] : 0.0;
            for (size_t i = 0; i < s->in; i++) {
                float weight = p->weight[s->transposed ? i * s->out + o : o * s->in + i];
                if (p->type == CLSP_TYPE_BF16) weight = clsp_bf16_to_f32(clsp_f32_to_bf16(weight));
                sum += (double)get(p->x, r * p->x_stride + i, p->type) * (double)weight;
            }
            double expected = activated(sum, (double)get(p->before, r * p->y_stride + o, s->output), s->epilogue);
            worst = worse(worst, fabs(expected - (double)get(y, r * p->y_stride + o, s->output)));
            size = fmax(size, fabs(expected));
        }
        for (size_t o = s->out; o < p->y_stride; o++) /* nobody's to write */
            assert_true(get(y, r * p->y_stride + o, s->output) == get(p->before, r * p->y_stride + o, s->output));
    }
    assert_true(size > 1e-3);
    return worst / size;
}

static void against_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i / 2];
        problem p = problem_new(s, i % 2 ? CLSP_TYPE_BF16 : CLSP_TYPE_F32);
        void *y = run(&p, 0, s->rows, 1), *again = run(&p, 0, s->rows, 1);
        double error = error_of(&p, y);
        printf("%zu x %zu -> %zu, %s to %s: %.1e\n", s->rows, s->in, s->out, clsp_gemm_layout(p.type),
               s->output == CLSP_TYPE_BF16 ? "bf16" : "f32", error);
        /* observed: 7e-7 to fp32, 4e-3 where y is rounded to bf16 */
        assert_true(error < (s->output == CLSP_TYPE_BF16 ? 4e-3 : 2e-6));
        assert_memory_equal(y, again, s->rows * p.y_stride * (s->output == CLSP_TYPE_BF16 ? 2 : 4));
        free(y), free(again);
        problem_clear(&p);
    }
}

/* Alone, in other company and on other numbers of threads a row has the same bits. */
static void bits_do_not_depend_on_company(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i / 2];
        problem p = problem_new(s, i % 2 ? CLSP_TYPE_BF16 : CLSP_TYPE_F32);
        size_t row = p.y_stride * (s->output == CLSP_TYPE_BF16 ? 2 : 4), step = clsp_max(s->rows / 9, 1);
        void *y = run(&p, 0, s->rows, 1);
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            void *other = run(&p, 0, s->rows, threads);
            assert_memory_equal(y, other, s->rows * row);
            free(other);
        }
        for (size_t first = 0; first < s->rows; first += step)
            for (size_t rows = 1; first + rows <= s->rows && rows < 20; rows += 1 + rows / 2) {
                void *other = run(&p, first, rows, 2);
                assert_memory_equal((char *)y + first * row, other, rows * row);
                free(other);
            }
        free(y);
        problem_clear(&p);
    }
}

/* Activations over the whole range, large values and what is no number too: y = act(x) by a weight of 1. */
static void activations(void **state)
{
    (void)state;
    enum { COUNT = 40001 };
    const clsp_epilogue all[] = {CLSP_EPILOGUE_GELU, CLSP_EPILOGUE_QUICK_GELU, CLSP_EPILOGUE_GELU_TANH};
    float *x = malloc(COUNT * sizeof *x), *y = malloc(COUNT * sizeof *y), one = 1.0f;
    void *packed = clsp_alloc_aligned(clsp_gemm_packed_bytes(CLSP_TYPE_F32, 1, 1), 1);
    void *scratch = clsp_alloc_aligned(clsp_gemm_scratch(CLSP_TYPE_F32, 1, 1), 1);
    clsp_gemm_pack(packed, CLSP_TYPE_F32, &one, 1, false, 1, 1);
    for (size_t e = 0; e < 3; e++) {
        double worst = 0.0;
        for (size_t i = 0; i < COUNT; i++) x[i] = ((float)i - 20000.0f) / 1000.0f;
        x[0] = -1e30f, x[1] = 1e30f, x[2] = NAN, x[3] = 3e38f, x[4] = -3e38f;
        clsp_gemm_product product = {.y = y, .x = x, .y_stride = 1, .x_stride = 1, .weight = packed, .rows = COUNT, .in = 1,
                                     .out = 1, .epilogue = all[e]};
        clsp_gemm_run(&product, scratch, 1);
        assert_true(isnan(y[2]));
        assert_true(fabsf(y[0]) < 1e-30f && y[1] == x[1] && y[3] == x[3] && fabsf(y[4]) < 1e-30f);
        for (size_t i = 5; i < COUNT; i++) {
            double expected = activated((double)x[i], 0.0, all[e]);
            worst = worse(worst, fabs((double)y[i] - expected) / fmax(1.0, fabs(expected)));
        }
        printf("activation %zu: %.1e\n", e, worst);
        assert_true(worst < 3e-7);
    }
    free(x), free(y);
    clsp_free(packed), clsp_free(scratch);
}

/* To bf16: to nearest even, both infinities, what is no number, and whatever bits it has, stays so. */
static void rounding(void **state)
{
    (void)state;
    const uint32_t bits[] = {0x3f800000, 0x3f807fff, 0x3f808000, 0x3f808001, 0x3f818000, 0xbf818000, 0x7f7f7fff, 0x7f7f8000,
                             0x7f800000, 0xff800000, 0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff, 0x7fff9055, 0x7fc00000};
    enum { COUNT = sizeof bits / sizeof *bits };
    float x[COUNT], one = 1.0f;
    uint16_t y[COUNT];
    void *packed = clsp_alloc_aligned(clsp_gemm_packed_bytes(CLSP_TYPE_F32, 1, 1), 1);
    void *scratch = clsp_alloc_aligned(clsp_gemm_scratch(CLSP_TYPE_F32, 1, 1), 1);
    clsp_gemm_pack(packed, CLSP_TYPE_F32, &one, 1, false, 1, 1);
    memcpy(x, bits, sizeof x);
    clsp_gemm_product product = {.y = y, .x = x, .y_stride = 1, .x_stride = 1, .weight = packed, .rows = COUNT, .in = 1,
                                 .out = 1, .output = CLSP_TYPE_BF16};
    clsp_gemm_run(&product, scratch, 1);
    for (size_t i = 0; i < COUNT; i++)
        if (isnan(x[i])) assert_true(isnan(clsp_bf16_to_f32(y[i])));
        else assert_int_equal(y[i], clsp_f32_to_bf16(x[i]));
    clsp_free(packed), clsp_free(scratch);
}

/* c = alpha a b + beta c; where beta is 0 what c held does not matter. */
static void plain_products(void **state)
{
    (void)state;
    const size_t sizes[][3] = {{1, 1, 1},     {3, 65, 17},   {40, 33, 400},  {131, 96, 70}, {16, 64, 1200}, {1, 300, 385},
                               {8, 271, 63},  {9, 31, 65},   {2, 16, 12000}, {14, 48, 386}, {126, 17, 33},  {300, 8, 40},
                               {300, 64, 20}, {300, 20, 770}, {127, 1, 500}};
    const float factors[][2] = {{1.0f, 0.0f}, {1.0f, 1.0f}, {-0.5f, 2.0f}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes * 12; i++) {
        size_t m = sizes[i / 12][0], n = sizes[i / 12][1], k = sizes[i / 12][2], stride = n + 3;
        bool ta = i & 1, tb = i & 2;
        float alpha = factors[i / 4 % 3][0], beta = factors[i / 4 % 3][1], *a = random_values(m * k, CLSP_TYPE_F32, 1.0f);
        float *b = random_values(k * n, CLSP_TYPE_F32, 1.0f), *c = random_values(m * stride, CLSP_TYPE_F32, 1.0f);
        float *before = malloc(m * stride * sizeof *before);
        for (size_t j = 0; beta == 0.0f && j < m * stride; j++) c[j] = j % stride < n ? NAN : c[j];
        memcpy(before, c, m * stride * sizeof *before);
        assert_int_equal(clsp_sgemm(c, stride, a, ta ? m : k, ta, b, tb ? k : n, tb, m, n, k, alpha, beta, NULL), CLIPSPAN_OK);
        for (size_t r = 0; r < m; r++) {
            for (size_t o = 0; o < n; o++) {
                double sum = 0.0, old = beta == 0.0f ? 0.0 : (double)beta * (double)before[r * stride + o];
                for (size_t q = 0; q < k; q++) sum += (double)a[ta ? q * m + r : r * k + q] * (double)b[tb ? o * k + q : q * n + o];
                assert_true(fabs((double)c[r * stride + o] - ((double)alpha * sum + old)) < 3e-7 * (double)k + 1e-6);
            }
            for (size_t o = n; o < stride; o++) assert_true(c[r * stride + o] == before[r * stride + o]);
        }
        free(a), free(b), free(c), free(before);
    }
}

/* A product's rows again, alone, in small company and on other numbers of threads: the same bits, whichever way its number
 * of rows takes. */
static void plain_rows_in_any_company(void **state)
{
    (void)state;
    enum { MOST = 260 };
    const size_t sizes[][2] = {{1, 70}, {8, 385}, {9, 40}, {64, 64}, {67, 385}, {300, 17}, {96, 1200}};
    const size_t counts[] = {1, 2, 6, 7, 8, 9, 14, 15, 126, 127, 200, MOST};
    const float factors[][2] = {{1.0f, 0.0f}, {1.0f, 1.0f}, {-0.5f, 2.0f}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes * 6; i++) {
        size_t n = sizes[i / 6][0], k = sizes[i / 6][1], bytes = MOST * n * sizeof(float);
        float alpha = factors[i / 2 % 3][0], beta = factors[i / 2 % 3][1];
        bool tb = i % 2;
        float *a = random_values(MOST * k, CLSP_TYPE_F32, 1.0f), *b = random_values(k * n, CLSP_TYPE_F32, 1.0f);
        float *before = random_values(MOST * n, CLSP_TYPE_F32, 1.0f), *all = malloc(bytes), *some = malloc(bytes);
        memcpy(all, before, bytes);
        assert_int_equal(clsp_sgemm(all, n, a, k, false, b, tb ? k : n, tb, MOST, n, k, alpha, beta, NULL), CLIPSPAN_OK);
        for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
            size_t first = (MOST - counts[j]) / 2, part = counts[j] * n * sizeof *some;
            int threads = omp_get_max_threads();
            memcpy(some, before + first * n, part);
            omp_set_num_threads(1 + (int)j % MOST_THREADS);
            assert_int_equal(clsp_sgemm(some, n, a + first * k, k, false, b, tb ? k : n, tb, counts[j], n, k, alpha, beta, NULL),
                             CLIPSPAN_OK);
            omp_set_num_threads(threads);
            assert_memory_equal(some, all + first * n, part);
        }
        free(a), free(b), free(before), free(all), free(some);
    }
}

/* Weights that are not packed, few rows cut among more threads than there is work for. */
static void few_rows_on_many_threads(void **state)
{
    (void)state;
    enum { MOST = 9, OUT = 20, IN = 30 };
    float *x = random_values(MOST * IN, CLSP_TYPE_F32, 1.0f), *weight = random_values(OUT * IN, CLSP_TYPE_F32, 1.0f);
    float one[MOST * OUT], many[MOST * OUT];
    char *scratch = clsp_alloc_aligned(MOST_THREADS, clsp_gemm_scratch(CLSP_TYPE_F32, IN, OUT));
    for (size_t rows = 1; rows <= MOST; rows++)
        for (int threads = 2; threads <= 2 * MOST_THREADS; threads++) {
            clsp_gemm_product product = {.y = one, .x = x, .y_stride = OUT, .x_stride = IN, .rows = rows, .in = IN, .out = OUT,
                                         .scaled = true, .alpha = 1.0f, .plain = weight, .plain_transposed = threads % 2,
                                         .plain_stride = threads % 2 ? OUT : IN};
            clsp_gemm_run(&product, scratch, 1);
            product.y = many;
            clsp_gemm_run(&product, scratch, threads / 2);
            assert_memory_equal(one, many, rows * OUT * sizeof *one);
        }
    free(x), free(weight);
    clsp_free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_double), cmocka_unit_test(bits_do_not_depend_on_company),
                                       cmocka_unit_test(activations), cmocka_unit_test(rounding), cmocka_unit_test(plain_products),
                                       cmocka_unit_test(plain_rows_in_any_company),
                                       cmocka_unit_test(few_rows_on_many_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
