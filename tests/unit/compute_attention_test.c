/* Attention of every instruction set that this processor has, against the plain formula in double: widths of 24 to 128
 * and odd ones, one token to 577, causal or not, both types; the same bits again, in company and for other threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/attention_head.h"
#include "compute/tiles.h"
#include "worse.h"

enum { HEADS = 2, GAP = 3 }; /* elements between rows, so that no row but the first is aligned */

static uint64_t random_state = 20261127;
static float uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(random_state >> 11) / 9007199254740992.0 * 2.0 - 1.0);
}

static void require(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

typedef struct shape {
    size_t n, d;
    bool causal;
} shape;

static const shape shapes[] = {{1, 64, false},  {1, 24, true},   {2, 33, true},   {7, 1, false},   {16, 16, true},
                               {17, 40, false}, {31, 32, true},  {50, 80, false}, {64, 64, true},  {65, 104, true},
                               {77, 64, true},  {96, 128, false}, {101, 57, true}, {197, 64, false}, {257, 88, false},
                               {577, 64, false}};

/* One sequence: q, k, v side by side in rows of `stride`, for HEADS heads. */
typedef struct problem {
    shape shape;
    clsp_type type;
    size_t width, stride;
    void *qkv;        /* [n, stride] in `type` */
    double *expected; /* [n, width] */
} problem;

static double value(const problem *p, size_t i)
{
    return p->type == CLSP_TYPE_F32 ? (double)((float *)p->qkv)[i] : (double)clsp_bf16_to_f32(((uint16_t *)p->qkv)[i]);
}

/* Row i of head h: softmax(q k' / sqrt(d)) v. */
static void expect_row(problem *p, size_t h, size_t i)
{
    size_t d = p->shape.d, seen = p->shape.causal ? i + 1 : p->shape.n, at = h * d;
    double alpha[600], most = -1e300, sum = 0.0;
    for (size_t t = 0; t < seen; t++) {
        alpha[t] = 0.0;
        for (size_t e = 0; e < d; e++)
            alpha[t] += value(p, i * p->stride + at + e) * value(p, t * p->stride + p->width + at + e);
        alpha[t] /= sqrt((double)d);
        most = fmax(most, alpha[t]);
    }
    for (size_t t = 0; t < seen; t++) sum += alpha[t] = exp(alpha[t] - most);
    for (size_t e = 0; e < d; e++) {
        double z = 0.0;
        for (size_t t = 0; t < seen; t++) z += alpha[t] / sum * value(p, t * p->stride + 2 * p->width + at + e);
        p->expected[i * p->width + at + e] = z;
    }
}

static problem problem_new(shape s, clsp_type type)
{
    problem p = {.shape = s, .type = type, .width = HEADS * s.d, .stride = 3 * HEADS * s.d + GAP};
    size_t values = s.n * p.stride;
    p.qkv = malloc(values * sizeof(float));
    p.expected = malloc(s.n * p.width * sizeof *p.expected);
    for (size_t i = 0; i < values; i++) {
        float x = 2.0f * uniform();
        if (type == CLSP_TYPE_F32) ((float *)p.qkv)[i] = x;
        else ((uint16_t *)p.qkv)[i] = clsp_f32_to_bf16(x);
    }
    for (size_t h = 0; h < HEADS; h++)
        for (size_t i = 0; i < s.n; i++) expect_row(&p, h, i);
    return p;
}

static void problem_free(problem *p)
{
    free(p->qkv);
    free(p->expected);
}

static size_t size_of(clsp_type type) { return type == CLSP_TYPE_F32 ? sizeof(float) : sizeof(uint16_t); }

/* out [n, width] through a kernel; the first query's weights of head 0 into alpha. Scratch is full of numbers that are
 * none, so that whatever is read unwritten shows. */
static void run_kernel(void *out, float *alpha, const problem *p, const clsp_head_kernel *kernel)
{
    size_t size = size_of(p->type), bytes = kernel->bytes(p->shape.n, p->shape.d);
    void *scratch = clsp_alloc_aligned(bytes, 1);
    memset(scratch, 0xff, bytes);
    for (size_t h = 0; h < HEADS; h++) {
        const char *q = (const char *)p->qkv + h * p->shape.d * size;
        clsp_head head = {.out = (char *)out + h * p->shape.d * size, .q = q, .k = q + p->width * size,
                          .v = q + 2 * p->width * size, .out_stride = p->width, .q_stride = p->stride,
                          .kv_stride = p->stride, .n = p->shape.n, .d = p->shape.d, .type = p->type,
                          .scale = 1.0f / sqrtf((float)p->shape.d), .causal = p->shape.causal,
                          .alpha = h == 0 ? alpha : NULL};
        kernel->attend(&head, scratch);
    }
    clsp_free(scratch);
}

static double worst_of(const problem *p, const void *out)
{
    double worst = 0.0;
    for (size_t i = 0; i < p->shape.n * p->width; i++) {
        double got = p->type == CLSP_TYPE_F32 ? (double)((const float *)out)[i]
                                              : (double)clsp_bf16_to_f32(((const uint16_t *)out)[i]);
        worst = worse(worst, fabs(got - p->expected[i]));
    }
    return worst;
}

/* The first query's weights give its row. */
static double worst_alpha(const problem *p, const float *alpha)
{
    double worst = 0.0;
    for (size_t e = 0; e < p->shape.d; e++) {
        double z = 0.0;
        for (size_t t = 0; t < p->shape.n; t++) z += (double)alpha[t] * value(p, t * p->stride + 2 * p->width + e);
        worst = worse(worst, fabs(z - p->expected[e]));
    }
    return worst;
}

static double check_kernel(const problem *p, clsp_isa_level isa)
{
    size_t bytes = p->shape.n * p->width * size_of(p->type);
    void *out = malloc(bytes), *again = malloc(bytes);
    float *alpha = malloc(p->shape.n * sizeof *alpha);
    const clsp_head_kernel *kernel = clsp_head_kernel_for(isa, p->type);
    run_kernel(out, alpha, p, kernel);
    run_kernel(again, NULL, p, kernel);
    assert_memory_equal(out, again, bytes);
    double worst = worst_of(p, out), worst_first = worst_alpha(p, alpha);
    if (!(worst_first < 3e-6))
        fail_msg("%zu tokens of %zu: the first query's weights are %g off", p->shape.n, p->shape.d, worst_first);
    free(out), free(again), free(alpha);
    return worst;
}

static void check_type(clsp_type type, double bound)
{
    clsp_isa_level most = clsp_isa();
    double worst[CLSP_ISA_AMX] = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = problem_new(shapes[i], type);
        for (clsp_isa_level isa = CLSP_ISA_PORTABLE; isa <= most; isa++) {
            double off = check_kernel(&p, isa);
            if (!(off < bound))
                fail_msg("%s, %zu tokens of %zu%s: %g", clsp_isa_name(isa), p.shape.n, p.shape.d,
                         p.shape.causal ? ", causal" : "", off);
            worst[isa] = worse(worst[isa], off);
        }
        problem_free(&p);
    }
    for (clsp_isa_level isa = CLSP_ISA_PORTABLE; isa <= most; isa++) printf("%s: %.1e\n", clsp_isa_name(isa), worst[isa]);
}

static void f32_kernels(void **state)
{
    (void)state;
    check_type(CLSP_TYPE_F32, 4e-6); /* values up to 2 */
}

static void bf16_kernels(void **state)
{
    (void)state;
    check_type(CLSP_TYPE_BF16, 1.2e-2); /* values up to 2, whose bf16 is good to 4e-3 */
}

/* What is no number in k or v reaches the queries that see it, and no others. */
static void no_number_spreads_as_it_must(void **state)
{
    (void)state;
    for (clsp_isa_level isa = CLSP_ISA_PORTABLE; isa <= clsp_isa(); isa++) {
        problem p = problem_new((shape){40, 24, true}, CLSP_TYPE_F32);
        float *out = malloc(p.shape.n * p.width * sizeof *out);
        ((float *)p.qkv)[30 * p.stride + p.width] = NAN;
        run_kernel(out, NULL, &p, clsp_head_kernel_for(isa, p.type));
        for (size_t i = 0; i < p.shape.n; i++) assert_int_equal(isnan(out[i * p.width]) != 0, i >= 30);
        for (size_t i = 0; i < p.shape.n; i++) assert_false(isnan(out[i * p.width + p.shape.d])); /* the other head */
        free(out);
        problem_free(&p);
    }
}

/* Later tokens score higher by far: what a block holds of them beyond a query's own end must not matter. */
static void scores_rise_along_a_causal_sequence(void **state)
{
    (void)state;
    for (clsp_isa_level isa = CLSP_ISA_PORTABLE; isa <= clsp_isa(); isa++)
        for (int type = CLSP_TYPE_F32; type <= CLSP_TYPE_BF16; type++) {
            problem p = problem_new((shape){37, 16, true}, (clsp_type)type);
            float *out = malloc(p.shape.n * p.width * sizeof *out), alpha[37];
            for (size_t i = 0; i < p.shape.n; i++)
                for (size_t j = 0; j < 2 * p.width; j++) {
                    float x = j < p.width ? 8.0f : 8.0f * (float)i; /* q; k */
                    if (type == CLSP_TYPE_F32) ((float *)p.qkv)[i * p.stride + j] = x;
                    else ((uint16_t *)p.qkv)[i * p.stride + j] = clsp_f32_to_bf16(x);
                }
            run_kernel(out, alpha, &p, clsp_head_kernel_for(isa, p.type));
            for (size_t i = 0; i < p.shape.n; i++) /* each token sees itself alone: the one before is e^-256 as much */
                for (size_t j = 0; j < p.width; j++) {
                    double got = type == CLSP_TYPE_F32 ? (double)out[i * p.width + j]
                                                       : (double)clsp_bf16_to_f32(((uint16_t *)out)[i * p.width + j]);
                    assert_true(got == value(&p, i * p.stride + 2 * p.width + j));
                }
            free(out);
            problem_free(&p);
        }
}

/* ---- whole runs --------------------------------------------------------------------------------------------- */

enum { SEQUENCES = 5, DIM = 40, WIDTH = HEADS * DIM, LONGEST = 61 };
static const size_t start[SEQUENCES + 1] = {0, 1, 14, 75, 76, 100};

static void run_all(void *out, const void *qkv, clsp_type type, int threads, const size_t *starts, size_t sequences)
{
    clsp_attention *attention = NULL;
    clipspan_error err;
    clsp_attention_desc desc = {.heads = HEADS, .head_dim = DIM, .longest = LONGEST, .type = type, .causal = true};
    const char *q = qkv;
    clsp_attention_input input = {q, q + WIDTH * size_of(type), q + 2 * WIDTH * size_of(type), 3 * WIDTH, 3 * WIDTH};
    int before = clsp_threads(threads);
    require(clsp_attention_new(&attention, &desc, &err), &err);
    require(clsp_attention_run(attention, out, &input, starts, sequences, false, NULL, &err), &err);
    clsp_attention_free(attention);
    clsp_threads(before);
}

static void alone_and_with_other_threads(void **state)
{
    (void)state;
    for (int type = CLSP_TYPE_F32; type <= CLSP_TYPE_BF16; type++) {
        size_t rows = start[SEQUENCES], size = size_of((clsp_type)type), bytes = rows * WIDTH * size;
        char *qkv = malloc(3 * bytes), *out = malloc(bytes), *other = malloc(bytes);
        for (size_t i = 0; i < rows * 3 * WIDTH; i++) {
            float x = uniform();
            if (type == CLSP_TYPE_F32) ((float *)(void *)qkv)[i] = x;
            else ((uint16_t *)(void *)qkv)[i] = clsp_f32_to_bf16(x);
        }
        run_all(out, qkv, (clsp_type)type, 1, start, SEQUENCES);
        for (int threads = 2; threads <= 5; threads++) {
            run_all(other, qkv, (clsp_type)type, threads, start, SEQUENCES);
            assert_memory_equal(out, other, bytes);
        }
        for (size_t s = 0; s < SEQUENCES; s++) {
            size_t alone[2] = {0, start[s + 1] - start[s]};
            run_all(other, qkv + start[s] * 3 * WIDTH * size, (clsp_type)type, 2, alone, 1);
            assert_memory_equal(other, out + start[s] * WIDTH * size, alone[1] * WIDTH * size);
        }
        free(qkv), free(out), free(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_kernels),
        cmocka_unit_test(bf16_kernels),
        cmocka_unit_test(no_number_spreads_as_it_must),
        cmocka_unit_test(scores_rise_along_a_causal_sequence),
        cmocka_unit_test(alone_and_with_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
