/* Layers that see many numbers of rows, attention that sees many lengths, small eigenproblems. Each kernel against the plain
 * formula, over odd shapes: bench/kernels_table.c, which ctest runs as kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/compute.h"

static uint64_t random_state = 20261124;
static float uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(random_state >> 11) / 9007199254740992.0 * 2.0 - 1.0);
}

static float *random_floats(size_t count)
{
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = uniform();
    return x;
}

static void require(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

/* ---- linear layers ------------------------------------------------------------------------------------------- */

typedef struct layer {
    size_t in, out;
    bool transposed, bias;
    clsp_epilogue epilogue;
    clsp_type compute, output;
} layer;

/* A layer with the weights that it runs. */
typedef struct packed_layer {
    clsp_packed packed;
    void *block;
    clsp_linear *linear;
} packed_layer;

static packed_layer *packed_layer_new(clsp_workspace *workspace, const layer *l, const float *weight, const float *bias)
{
    clipspan_error err;
    packed_layer *p = calloc(1, sizeof *p);
    require(clsp_packed_init(&p->packed, l->compute, l->in, l->out, &err), &err);
    p->block = clsp_alloc_aligned(p->packed.bytes, 1);
    clsp_packed_fill(&p->packed, p->block, weight, l->transposed);
    p->packed.bias = l->bias ? bias : NULL;
    require(clsp_linear_new(&p->linear, workspace, &p->packed, l->output, l->epilogue, &err), &err);
    return p;
}

static void packed_layer_free(packed_layer *p)
{
    clsp_linear_free(p->linear);
    clsp_free(p->block);
    free(p);
}

/* One layer runs any number of rows, again and again, and writes no others. */
static void many_row_counts(void **state)
{
    (void)state;
    enum { IN = 24, OUT = 40, MOST = 70 };
    clsp_workspace *workspace = NULL;
    clipspan_error err;
    float *weight = random_floats(IN * OUT), *x = random_floats(MOST * IN), *first = calloc(MOST * OUT, sizeof *first);
    float *y = calloc(MOST * OUT, sizeof *y);
    const layer l = {.in = IN, .out = OUT};
    require(clsp_workspace_new(&workspace, &err), &err);
    packed_layer *p = packed_layer_new(workspace, &l, weight, NULL);
    clsp_linear *linear = p->linear;
    require(clsp_linear_run(linear, first, OUT, x, IN, MOST, &err), &err);
    for (int round = 0; round < 2; round++)
        for (size_t rows = 0; rows <= MOST; rows++) {
            memset(y, 0, MOST * OUT * sizeof *y);
            require(clsp_linear_run(linear, y, OUT, x, IN, rows, &err), &err);
            for (size_t i = 0; i < rows * OUT; i++) assert_true(fabsf(y[i] - first[i]) < 2e-6f);
            for (size_t i = rows * OUT; i < MOST * OUT; i++) assert_true(y[i] == 0.0f);
        }
    packed_layer_free(p);
    clsp_workspace_free(workspace);
    free(weight), free(x), free(first), free(y);
}

/* ---- attention: the two manners agree ------------------------------------------------------------------------ */

static void one_query_equals_the_row_of_all(void **state)
{
    (void)state;
    enum { HEADS = 3, DIM = 10, WIDTH = HEADS * DIM, SEQUENCES = 4, ROWS = 1 + 7 + 30 + 2 };
    const size_t start[SEQUENCES + 1] = {0, 1, 8, 38, 40};
    float *qkv = random_floats(ROWS * 3 * WIDTH), all[ROWS * WIDTH], one[SEQUENCES * WIDTH], q[SEQUENCES * WIDTH];
    clsp_attention *attention = NULL;
    clipspan_error err;
    clsp_attention_desc desc = {.heads = HEADS, .head_dim = DIM, .longest = 30, .causal = true};
    clsp_attention_input input = {qkv, qkv + WIDTH, qkv + 2 * WIDTH, 3 * WIDTH, 3 * WIDTH};
    require(clsp_attention_new(&attention, &desc, &err), &err);
    require(clsp_attention_run(attention, all, &input, start, SEQUENCES, false, NULL, &err), &err);
    for (size_t s = 0; s < SEQUENCES; s++) memcpy(q + s * WIDTH, qkv + (start[s + 1] - 1) * 3 * WIDTH, WIDTH * sizeof *q);
    clsp_attention_input last = {q, qkv + WIDTH, qkv + 2 * WIDTH, WIDTH, 3 * WIDTH};
    require(clsp_attention_run(attention, one, &last, start, SEQUENCES, true, NULL, &err), &err);
    for (size_t s = 0; s < SEQUENCES; s++)
        for (size_t i = 0; i < WIDTH; i++)
            assert_true(fabsf(one[s * WIDTH + i] - all[(start[s + 1] - 1) * WIDTH + i]) < 1e-6f); /* observed 2e-7 */
    const size_t too_long[] = {0, 31};
    assert_int_equal(clsp_attention_run(attention, all, &input, too_long, 1, false, NULL, &err), CLIPSPAN_ERROR_INTERNAL);
    clsp_attention_free(attention);
    free(qkv);
}

/* Many lengths in one run: each gives the bits it gives alone. */
static void many_lengths(void **state)
{
    (void)state;
    enum { HEADS = 2, DIM = 8, WIDTH = HEADS * DIM, LENGTHS = 130, ROWS = LENGTHS * (LENGTHS + 1) / 2 };
    size_t start[LENGTHS + 1] = {0};
    float *qkv = random_floats(ROWS * 3 * WIDTH), *together = random_floats(ROWS * WIDTH), alone[LENGTHS * WIDTH];
    clsp_attention *attention = NULL;
    clipspan_error err;
    clsp_attention_desc desc = {.heads = HEADS, .head_dim = DIM, .longest = LENGTHS, .causal = true};
    for (size_t s = 0; s < LENGTHS; s++) start[s + 1] = start[s] + s + 1;
    require(clsp_attention_new(&attention, &desc, &err), &err);
    clsp_attention_input input = {qkv, qkv + WIDTH, qkv + 2 * WIDTH, 3 * WIDTH, 3 * WIDTH};
    require(clsp_attention_run(attention, together, &input, start, LENGTHS, false, NULL, &err), &err);
    clsp_attention_free(attention);
    require(clsp_attention_new(&attention, &desc, &err), &err);
    for (size_t s = 0; s < LENGTHS; s++) {
        const float *at = qkv + start[s] * 3 * WIDTH;
        const size_t one[] = {0, s + 1};
        clsp_attention_input single = {at, at + WIDTH, at + 2 * WIDTH, 3 * WIDTH, 3 * WIDTH};
        require(clsp_attention_run(attention, alone, &single, one, 1, false, NULL, &err), &err);
        assert_memory_equal(alone, together + start[s] * WIDTH, (s + 1) * WIDTH * sizeof *alone);
    }
    require(clsp_attention_run(attention, together, &input, start, LENGTHS, false, NULL, &err), &err);
    assert_memory_equal(alone, together + start[LENGTHS - 1] * WIDTH, LENGTHS * WIDTH * sizeof *alone);
    clsp_attention_free(attention);
    free(together);
    free(qkv);
}

/* ---- products in double -------------------------------------------------------------------------------------- */

/* The plain loop's bits, whatever the instructions; what lies between rows is left alone. */
static void products_in_double(void **state)
{
    (void)state;
    const size_t shapes[][3] = {{1, 1, 1}, {7, 16, 3}, {13, 37, 600}, {6, 32, 256}, {70, 130, 257}, {2, 5, 0}};
    for (size_t i = 0; i < 4 * sizeof shapes / sizeof *shapes; i++) {
        size_t m = shapes[i / 4][0], n = shapes[i / 4][1], k = shapes[i / 4][2];
        bool transposed = i % 2, singles = i / 2 % 2;
        size_t stride = (transposed ? k : n) + 2, down = transposed ? 1 : stride, across = transposed ? stride : 1;
        size_t cells = (transposed ? n : k) * stride;
        double *a = malloc((m * (k + 1) + 1) * sizeof *a), *b = malloc((cells + 1) * sizeof *b);
        double *c = malloc(m * (n + 3) * sizeof *c), *expected = malloc(m * (n + 3) * sizeof *expected);
        float *single = random_floats(cells + 1);
        for (size_t x = 0; x < m * (k + 1); x++) a[x] = (double)uniform() / 3;
        for (size_t x = 0; x < cells; x++) b[x] = singles ? (double)single[x] : (double)uniform() / 3;
        for (size_t x = 0; x < m * (n + 3); x++) expected[x] = c[x] = (double)uniform() / 3;
        for (size_t x = 0; x < m * n * k; x++) {
            size_t row = x / k / n, column = x / k % n, step = x % k;
            expected[row * (n + 3) + column] += a[row * (k + 1) + step] * b[step * down + column * across];
        }
        const clsp_factor factor = {singles ? single : NULL, singles ? NULL : b, stride, transposed};
        clsp_dgemm(c, n + 3, a, k + 1, &factor, m, n, k);
        assert_memory_equal(c, expected, m * (n + 3) * sizeof *c);
        free(a), free(b), free(c), free(expected), free(single);
    }
}

/* ---- eigenvectors, singular vectors -------------------------------------------------------------------------- */

/* There where LAPACK is OpenBLAS. */
extern int openblas_get_num_threads(void) __attribute__((weak));
extern void openblas_set_num_threads(int threads) __attribute__((weak));

/* What the host's other code uses OpenBLAS with is left as it was. */
static void blas_threads_are_given_back(void **state)
{
    (void)state;
    enum { WANTED = 3, SIDE = 40 };
    double a[SIDE * SIDE], values[SIDE];
    clipspan_error err = {0};
    if (openblas_get_num_threads == NULL) skip();
    int before = openblas_get_num_threads();
    openblas_set_num_threads(WANTED);
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) a[i] = i % (SIDE + 1) == 0 ? 1 + (double)i : 0.5;
    require(clsp_eigen_symmetric(a, values, SIDE, &err), &err);
    assert_int_equal(openblas_get_num_threads(), WANTED);
    openblas_set_num_threads(before);
}

static void eigenvectors(void **state)
{
    (void)state;
    enum { N = 19 };
    double a[N * N], original[N * N], values[N];
    clipspan_error err;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= i; j++) a[i * N + j] = a[j * N + i] = uniform();
    memcpy(original, a, sizeof a);
    require(clsp_eigen_symmetric(a, values, N, &err), &err);
    for (size_t k = 0; k < N; k++) {
        double length = 0.0;
        assert_true(k == 0 || values[k] >= values[k - 1]);
        for (size_t i = 0; i < N; i++) {
            double product = 0.0;
            for (size_t j = 0; j < N; j++) product += original[i * N + j] * a[k * N + j];
            assert_true(fabs(product - values[k] * a[k * N + i]) < 1e-12);
            length += a[k * N + i] * a[k * N + i];
        }
        assert_true(fabs(length - 1.0) < 1e-12);
    }
}

/* A v = s u with orthonormal v, so |A v_k| = s_k and (A v_k).(A v_l) = 0. */
static void singular_vectors(void **state)
{
    (void)state;
    const size_t shapes[][2] = {{9, 14}, {14, 9}, {1, 6}, {6, 1}, {8, 8}};
    for (size_t t = 0; t < sizeof shapes / sizeof *shapes; t++) {
        size_t m = shapes[t][0], n = shapes[t][1], rank = clsp_min(m, n);
        double a[14 * 14], original[14 * 14], s[14], vt[14 * 14], av[14][14];
        clipspan_error err;
        for (size_t i = 0; i < m * n; i++) original[i] = a[i] = uniform();
        require(clsp_svd_right(a, m, n, s, vt, &err), &err);
        for (size_t k = 0; k < rank; k++) {
            assert_true(k == 0 || s[k] <= s[k - 1]);
            for (size_t i = 0; i < m; i++) {
                av[k][i] = 0.0;
                for (size_t j = 0; j < n; j++) av[k][i] += original[i * n + j] * vt[k * n + j];
            }
        }
        for (size_t k = 0; k < rank; k++)
            for (size_t l = 0; l < rank; l++) {
                double products_of = 0.0, overlap = 0.0;
                for (size_t i = 0; i < m; i++) products_of += av[k][i] * av[l][i];
                for (size_t j = 0; j < n; j++) overlap += vt[k * n + j] * vt[l * n + j];
                assert_true(fabs(products_of - (k == l ? s[k] * s[k] : 0.0)) < 1e-11);
                assert_true(fabs(overlap - (k == l ? 1.0 : 0.0)) < 1e-12);
            }
    }
}

static void not_finite(void **state)
{
    (void)state;
    double a[4] = {NAN, 1, 1, 2}, s[2], vt[4];
    clipspan_error err;
    assert_int_not_equal(clsp_svd_right(a, 2, 2, s, vt, &err), CLIPSPAN_OK);
    assert_true(strlen(err.message) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_row_counts),
        cmocka_unit_test(one_query_equals_the_row_of_all),
        cmocka_unit_test(many_lengths),
        cmocka_unit_test(products_in_double),
        cmocka_unit_test(eigenvectors),
        cmocka_unit_test(blas_threads_are_given_back),
        cmocka_unit_test(singular_vectors),
        cmocka_unit_test(not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
