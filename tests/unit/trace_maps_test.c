/* The maps: rolled-out ones against whole matrices, the dense ones' algebra, all of them against torch's figures; and what is
 * refused. trace_relevance_test.c has relevance, trace_gradient_test.c derivatives.
 *
 * Observed, relative to the largest value: rolled-out maps 4e-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "trace_fake.h"

static const double rolled_limit = 3e-7, golden_limit = 2e-5;

static void ok(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

/* ---- rolled out ----------------------------------------------------------------------------------------------- */

/* product [N, N] = (keep I + share mean over heads of a, or of max(0, a w)) product */
static void multiply_layer(double *product, const float *a, const float *w, const clipspan_tracer *t, double keep,
                           double share)
{
    static double layer[EXACT_N * EXACT_N], result[EXACT_N * EXACT_N];
    size_t n = t->tokens;
    for (size_t c = 0; c < n * n; c++) {
        layer[c] = c / n == c % n ? keep : 0;
        for (size_t h = 0; h < t->heads; h++) {
            double value = (double)a[h * n * n + c] * (w ? (double)w[h * n * n + c] : 1.0);
            layer[c] += share * (w ? fmax(0, value) : value) / (double)t->heads;
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            result[i * n + j] = 0;
            for (size_t k = 0; k < n; k++) result[i * n + j] += layer[i * n + k] * product[k * n + j];
        }
    memcpy(product, result, n * n * sizeof *result);
}

static void identity(double *product, size_t n)
{
    for (size_t c = 0; c < n * n; c++) product[c] = c / n == c % n;
}

/* Every layer's derivatives and, behind the exact pass, relevance (else NULL), kept as the tracer does not: [L, H, N, N] */
static void keep_layers(clipspan_tracer *t, const float *text, float *gradients, float *relevances)
{
    clipspan_error err;
    size_t cells = t->heads * t->tokens * t->tokens;
    ok(relevances ? clsp_trace_exact(t, &err) : clsp_trace_plain(t, &err), &err);
    ok(clsp_backward_begin(t, text, &err), &err);
    for (size_t l = t->layers; l-- > 0;) {
        ok(clsp_backward_block(t, l, &err), &err);
        memcpy(gradients + l * cells, t->gradient_attention, cells * sizeof *gradients);
    }
    if (relevances == NULL) return;
    ok(clsp_relevance_begin(t, text, &err), &err);
    for (size_t l = t->layers; l-- > 0;) {
        ok(clsp_relevance_attention(t, l, &err), &err);
        memcpy(relevances + l * cells, t->relevance_attention, cells * sizeof *relevances);
        ok(clsp_relevance_block(t, l, &err), &err);
    }
}

/* The last of the made networks has one patch, whose number may well be zero: nothing to see there. */
static void rolled_out_maps_are_products(void **state)
{
    static double product[EXACT_N * EXACT_N];
    static const clipspan_relevance methods[] = {CLIPSPAN_ROLLOUT, CLIPSPAN_GENERIC_ATTENTION,
                                                 CLIPSPAN_TRANSFORMER_ATTRIBUTION};
    (void)state;
    for (size_t i = 0; i + 1 < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        clipspan_error err;
        size_t n = t->tokens, cells = t->heads * n * n;
        float out[EXACT_N], *gradients = malloc(t->layers * cells * 4), *relevances = malloc(t->layers * cells * 4);
        for (size_t m = 0; m < 3; m++) {
            keep_layers(t, f->texts, gradients, m == 2 ? relevances : NULL);
            identity(product, n);
            for (size_t l = 0; l < t->layers; l++)
                multiply_layer(product, m == 2 ? relevances + l * cells : t->layer[l].attention,
                               m ? gradients + l * cells : NULL, t, m ? 1.0 : 0.5, m ? 1.0 : 0.5);
            ok(clipspan_tracer_map(t, methods[m], f->texts, 1, out, &err), &err);
            double worst = worst_of(out, product + 1, n - 1);
            printf("%s: %s %.1e\n", fakes[i].name, clipspan_relevance_get_info(methods[m])->name, worst);
            assert_true(worst < rolled_limit);
        }
        free(gradients), free(relevances);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

/* ---- all methods ------------------------------------------------------------------------------------------------ */

static size_t size_of(const clipspan_tracer *t, clipspan_relevance method)
{
    return clipspan_relevance_get_info(method)->pixels ? t->image * t->image : t->tokens - 1;
}

/* Several texts at once give the bits of each alone (of products of another shape: nearly), twice the same. */
static void texts_do_not_touch_each_other(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = fake_tracer(f);
    clipspan_error err;
    float all[3 * 100], again[3 * 100], one[100];
    for (clipspan_relevance m = 0; m < CLIPSPAN_RELEVANCES; m++) {
        size_t size = size_of(t, m);
        ok(clipspan_tracer_map(t, m, f->texts, 3, all, &err), &err);
        ok(clipspan_tracer_map(t, m, f->texts, 3, again, &err), &err);
        assert_memory_equal(all, again, 3 * size * sizeof *all);
        for (size_t i = 0; m != CLIPSPAN_CLIP_SURGERY && i < 3; i++) {
            ok(clipspan_tracer_map(t, m, f->texts + i * t->embed, 1, one, &err), &err);
            for (size_t p = 0; p < size; p++) assert_float_equal(one[p], all[i * size + p], 1e-6);
        }
        double spread = 0;
        for (size_t p = 0; p < size; p++) spread = fmax(spread, fabs((double)all[p] - (double)all[2 * size + p]));
        assert_true((spread > 0) == (clipspan_relevance_get_info(m)->by_text != 0));
    }
    clipspan_tracer_free(t);
    fake_free(f);
}

/* Two passes serve the methods, one at a time: no map shows which of them came before it. */
static void earlier_maps_change_nothing(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = fake_tracer(f);
    clipspan_error err;
    float alone[2 * 100], after[2 * 100];
    for (clipspan_relevance m = 0; m < CLIPSPAN_RELEVANCES; m++)
        for (clipspan_relevance other = 0; other < CLIPSPAN_RELEVANCES; other++) {
            size_t bytes = 2 * size_of(t, m) * sizeof *alone;
            ok(clipspan_tracer_run(t, f->pixels, NULL, &err), &err);
            ok(clipspan_tracer_map(t, m, f->texts, 2, alone, &err), &err);
            ok(clipspan_tracer_map(t, other, f->texts, 2, after, &err), &err);
            ok(clipspan_tracer_map(t, m, f->texts, 2, after, &err), &err);
            assert_memory_equal(alone, after, bytes);
        }
    clipspan_tracer_free(t);
    fake_free(f);
}

/* What is left of CLIP Surgery's maps has nothing in common: they sum to zero over the texts. One text keeps its
 * cosines. */
static void surgery_removes_what_texts_share(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = fake_tracer(f);
    clipspan_error err;
    size_t size = t->tokens - 1;
    float out[3 * 100], one[100];
    double largest = 0;
    ok(clipspan_tracer_map(t, CLIPSPAN_CLIP_SURGERY, f->texts, 3, out, &err), &err);
    for (size_t p = 0; p < size; p++) {
        largest = fmax(largest, fabs((double)out[p]));
        assert_float_equal(out[p] + out[size + p] + out[2 * size + p], 0, 1e-6);
    }
    ok(clipspan_tracer_map(t, CLIPSPAN_CLIP_SURGERY, f->texts, 1, one, &err), &err);
    for (size_t p = 0; p < size; p++) largest = fmax(largest, fabs((double)one[p]));
    assert_true(largest > 0.05);
    clipspan_tracer_free(t);
    fake_free(f);
}

static void methods_have_names(void **state)
{
    (void)state;
    for (clipspan_relevance m = 0; m < CLIPSPAN_RELEVANCES; m++) {
        const clipspan_relevance_info *info = clipspan_relevance_get_info(m);
        assert_non_null(info->name);
        assert_non_null(info->words);
        assert_non_null(info->citation);
        for (clipspan_relevance other = 0; other < m; other++)
            assert_string_not_equal(info->name, clipspan_relevance_get_info(other)->name);
    }
    assert_null(clipspan_relevance_get_info(CLIPSPAN_RELEVANCES));
}

static void what_is_refused(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = (clipspan_tracer *)f;
    clipspan_error err;
    float out[300], missing[300] = {0};
    assert_int_equal(clipspan_tracer_open(&t, &f->model, -1, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(t);
    ok(clipspan_tracer_open(&t, &f->model, 1, &err), &err);
    assert_int_equal(clipspan_tracer_map(t, CLIPSPAN_ROLLOUT, f->texts, 1, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "no image");
    assert_int_equal(clipspan_tracer_gradient(t, f->texts, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    ok(clipspan_tracer_run(t, f->pixels, NULL, &err), &err);
    assert_int_equal(clipspan_tracer_map(t, CLIPSPAN_GRADCAM, NULL, 1, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "gradcam");
    assert_int_equal(clipspan_tracer_map(t, CLIPSPAN_RELEVANCES, f->texts, 1, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    ok(clipspan_tracer_map(t, CLIPSPAN_RAW_ATTENTION, NULL, 1, out, &err), &err);
    memcpy(missing, f->pixels, sizeof missing);
    missing[7] = NAN;
    assert_int_equal(clipspan_tracer_run(t, missing, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "not finite");
    assert_int_equal(clipspan_tracer_map(t, CLIPSPAN_ROLLOUT, f->texts, 1, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_tracer_free(t);
    clipspan_tracer_free(NULL);
    fake_free(f);
}

/* A direction that says nothing: maps of zeros, no division by nothing. */
static void a_direction_of_zeros(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = fake_tracer(f);
    clipspan_error err;
    float zeros[16] = {0}, out[100];
    for (clipspan_relevance m = 0; m < CLIPSPAN_RELEVANCES; m++) {
        if (!clipspan_relevance_get_info(m)->by_text) continue;
        ok(clipspan_tracer_map(t, m, zeros, 1, out, &err), &err);
        for (size_t p = 0; p < size_of(t, m); p++) assert_true(out[p] == 0.0f);
    }
    clipspan_tracer_free(t);
    fake_free(f);
}

/* ---- torch's figures: tests/golden/trace/make_relevance.py -------------------------------------------------------- */

static double next_golden(FILE *golden, const float *got, size_t count)
{
    double expected[300];
    assert_true(count <= sizeof expected / sizeof *expected);
    for (size_t i = 0; i < count; i++) assert_int_equal(fscanf(golden, "%lf", &expected[i]), 1);
    return worst_of(got, expected, count);
}

static void equals_the_golden(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = fake_tracer(f);
    clipspan_error err;
    float out[2 * 100], embedding[16];
    char line[256], name[64];
    FILE *golden = fopen("golden/trace/relevance.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    ok(clipspan_tracer_run(t, f->pixels, embedding, &err), &err);
    double of_embedding = next_golden(golden, embedding, t->embed);
    printf("golden: embedding %.1e of the largest value\n", of_embedding);
    assert_true(of_embedding < 3e-6); /* observed 2e-7 */
    for (clipspan_relevance m = 0; m < CLIPSPAN_RELEVANCES; m++) {
        assert_int_equal(fscanf(golden, "%63s", name), 1);
        assert_string_equal(name, clipspan_relevance_get_info(m)->name);
        ok(clipspan_tracer_map(t, m, f->texts, 2, out, &err), &err);
        double worst = next_golden(golden, out, 2 * size_of(t, m));
        printf("golden: %s: %.1e of the largest value\n", name, worst);
        assert_true(worst < golden_limit); /* observed 4e-6 */
    }
    fclose(golden);
    clipspan_tracer_free(t);
    fake_free(f);
}

static fake *walked;

static clipspan_status everything(void)
{
    clipspan_tracer *t = NULL;
    float out[300];
    clipspan_status status = clipspan_tracer_open(&t, &walked->model, 1, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_tracer_run(t, walked->pixels, NULL, NULL);
    for (clipspan_relevance m = 0; status == CLIPSPAN_OK && m < CLIPSPAN_RELEVANCES; m++)
        status = clipspan_tracer_map(t, m, walked->texts, 2, out, NULL);
    clipspan_tracer_free(t);
    return status;
}

static void allocation_failures(void **state)
{
    (void)state;
    walked = fake_new(&fakes[0]);
    walk_failed_allocations(everything);
    fake_free(walked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rolled_out_maps_are_products), cmocka_unit_test(texts_do_not_touch_each_other),
        cmocka_unit_test(earlier_maps_change_nothing),
        cmocka_unit_test(surgery_removes_what_texts_share), cmocka_unit_test(methods_have_names),
        cmocka_unit_test(what_is_refused), cmocka_unit_test(a_direction_of_zeros),
        cmocka_unit_test(equals_the_golden), cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
