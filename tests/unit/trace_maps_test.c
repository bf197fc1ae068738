/* Relevance, block by block, against the rules written out one number at a time in double precision on what the tracer
 * kept; rolled-out maps against whole matrices; the dense maps' algebra; and what is refused.
 *
 * The rules divide by sums that may be near zero, so relevance is compared step by step, each step begun from
 * the tracer's own relevance. Observed, relative to the largest value: 4e-6 a step;
 * rolled-out maps 4e-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "trace_fake.h"

static const double step_limit = 2e-5, rolled_limit = 3e-7, golden_limit = 2e-5;

static void ok(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

/* ---- the rules, one number at a time ------------------------------------------------------------------------- */

enum { CELLS = EXACT_N * 3 * EXACT_WIDE };

static double held_off(double a, double b, double least) { return b == 0 ? 0 : a / (b + (b < 0 ? -least : least)); }
static double ratio(double a, double b) { return held_off(a, b, 1e-9); }

static double least_of(const double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += fabs(x[i]);
    return 0.01 * sum / (double)count;
}

/* to [rows, in] += relevance of x; out: [rows, out] */
static void rule_linear(double *to, const double *x, const clsp_weight *w, const double *out, size_t rows, size_t in,
                        size_t outs)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < outs; o++) {
            double sum = 0;
            for (size_t i = 0; i < in; i++) sum += fmax(0, x[r * in + i] * fake_value(w, o, i));
            for (size_t i = 0; i < in; i++)
                to[r * in + i] += fmax(0, x[r * in + i] * fake_value(w, o, i)) * ratio(out[r * outs + o], sum);
        }
}

/* relevance of a + b -> of a (in place) and of b */
static void rule_sum(double *relevance, double *of_b, const double *a, const double *b, size_t count)
{
    double whole = 0, sum_a = 0, sum_b = 0, least = 0;
    for (size_t i = 0; i < count; i++) least += 0.01 * fabs(a[i] + b[i]) / (double)count;
    for (size_t i = 0; i < count; i++) {
        double share = held_off(relevance[i], a[i] + b[i], least);
        whole += relevance[i];
        sum_a += relevance[i] = a[i] * share;
        sum_b += of_b[i] = b[i] * share;
    }
    double both = fabs(sum_a) + fabs(sum_b);
    for (size_t i = 0; i < count; i++) {
        relevance[i] *= fabs(sum_a) / both * whole / sum_a;
        of_b[i] *= fabs(sum_b) / both * whole / sum_b;
    }
}

static void widen(double *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = (double)from[i];
}

static void rule_mlp(double *relevance, const clipspan_tracer *t, size_t l)
{
    static double mid[CELLS], h[CELLS], u[CELLS], f[CELLS], of_f[CELLS], of_g[CELLS];
    const clsp_block_weights *b = &t->model->vision.blocks[l];
    size_t n = t->tokens, d = t->width, m = t->hidden;
    widen(mid, t->layer[l].mid, n * d);
    exact_norm(h, mid, &b->ln2_gamma, &b->ln2_beta, (double)t->eps, n, d);
    exact_linear(u, h, &b->fc1, &b->fc1_bias, n, m, d);
    for (size_t i = 0; i < n * m; i++) u[i] = exact_activation(u[i], t->activation);
    exact_linear(f, u, &b->fc2, &b->fc2_bias, n, d, m);
    rule_sum(relevance, of_f, mid, f, n * d);
    memset(of_g, 0, n * m * sizeof *of_g);
    rule_linear(of_g, u, &b->fc2, of_f, n, m, d);
    rule_linear(relevance, h, &b->fc1, of_g, n, d, m);
}

/* z = A v of one head: ra [N, N] and rv (rows of qkv's relevance) */
static void rule_values(double *ra, double *rqkv, const double *rz, const double *z, const double *a, const double *qkv,
                        const clipspan_tracer *t, size_t h)
{
    size_t n = t->tokens, d = t->width;
    double least = least_of(z, n * d);
    for (size_t i = 0; i < n; i++)
        for (size_t e = h * t->head_dim; e < (h + 1) * t->head_dim; e++)
            for (size_t j = 0; j < n; j++) {
                double share = held_off(rz[i * d + e], z[i * d + e], least) / 2, v = qkv[j * 3 * d + 2 * d + e];
                ra[i * n + j] += a[i * n + j] * v * share;
                rqkv[j * 3 * d + 2 * d + e] += a[i * n + j] * v * share;
            }
}

static double score_of(const double *qkv, const clipspan_tracer *t, size_t h, size_t i, size_t j)
{
    double score = 0;
    for (size_t e = h * t->head_dim; e < (h + 1) * t->head_dim; e++)
        score += qkv[i * 3 * t->width + e] * qkv[j * 3 * t->width + t->width + e];
    return score;
}

/* over all heads */
static double mean_score(const double *qkv, const clipspan_tracer *t)
{
    double sum = 0;
    for (size_t c = 0; c < t->heads * t->tokens * t->tokens; c++)
        sum += fabs(score_of(qkv, t, c / t->tokens / t->tokens, c / t->tokens % t->tokens, c % t->tokens));
    return sum / (double)(t->heads * t->tokens * t->tokens);
}

static void rule_scores(double *rqkv, const double *ra, const double *qkv, const clipspan_tracer *t, size_t h)
{
    size_t n = t->tokens, d = t->width;
    double least = 0.01 * mean_score(qkv, t);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double *q = qkv + i * 3 * d + h * t->head_dim, *k = qkv + j * 3 * d + d + h * t->head_dim;
            double share = held_off(ra[i * n + j], score_of(qkv, t, h, i, j), least);
            for (size_t e = 0; e < t->head_dim; e++) {
                double half = q[e] * k[e] * share / 2;
                rqkv[i * 3 * d + h * t->head_dim + e] += half;
                rqkv[j * 3 * d + d + h * t->head_dim + e] += half;
            }
        }
}

static void rule_attention(double *relevance, double *ra, const clipspan_tracer *t, size_t l)
{
    static double x[CELLS], h1[CELLS], qkv[3 * CELLS], z[CELLS], o[CELLS], of_o[CELLS], rz[CELLS], rqkv[3 * CELLS];
    static double a[EXACT_CELLS], part[CELLS];
    const clsp_block_weights *b = &t->model->vision.blocks[l];
    const clsp_weight *inputs[] = {&b->q, &b->k, &b->v};
    size_t n = t->tokens, d = t->width;
    widen(x, t->layer[l].x, n * d), widen(qkv, t->layer[l].qkv, 3 * n * d), widen(z, t->layer[l].z, n * d);
    widen(a, t->layer[l].attention, t->heads * n * n);
    exact_norm(h1, x, &b->ln1_gamma, &b->ln1_beta, (double)t->eps, n, d);
    exact_linear(o, z, &b->out, &b->out_bias, n, d, d);
    rule_sum(relevance, of_o, x, o, n * d);
    memset(rz, 0, n * d * sizeof *rz), memset(rqkv, 0, 3 * n * d * sizeof *rqkv);
    memset(ra, 0, t->heads * n * n * sizeof *ra);
    rule_linear(rz, z, &b->out, of_o, n, d, d);
    for (size_t h = 0; h < t->heads; h++) {
        rule_values(ra + h * n * n, rqkv, rz, z, a + h * n * n, qkv, t, h);
        rule_scores(rqkv, ra + h * n * n, qkv, t, h);
    }
    for (size_t i = 0; i < 3; i++) {
        for (size_t r = 0; r < n; r++) memcpy(part + r * d, rqkv + (3 * r + i) * d, d * sizeof *part);
        rule_linear(relevance, h1, inputs[i], part, n, d, d);
    }
}

/* ---- relevance ----------------------------------------------------------------------------------------------- */

static double sum_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i];
    return sum;
}

static void relevance_follows_the_rules(void **state)
{
    static double relevance[CELLS], ra[EXACT_CELLS];
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        clipspan_error err;
        size_t n = t->tokens, cells = n * t->width;
        ok(clsp_relevance_begin(t, f->texts, &err), &err);
        assert_float_equal(sum_of(t->relevance, cells), 1.0, 1e-5);
        for (size_t l = t->layers; l-- > 0;) {
            widen(relevance, t->relevance, cells);
            rule_mlp(relevance, t, l);
            rule_attention(relevance, ra, t, l);
            ok(clsp_relevance_attention(t, l, &err), &err);
            double attention = worst_of(t->relevance_attention, ra, t->heads * n * n);
            ok(clsp_relevance_block(t, l, &err), &err);
            double stream = worst_of(t->relevance, relevance, cells);
            printf("%s: layer %zu: attention %.1e, stream %.1e\n", fakes[i].name, l, attention, stream);
            assert_true(attention < step_limit && stream < step_limit);
        }
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

/* z^B: every pixel's share, and all of them together what the patches had. */
static void pixels_share_what_the_patches_had(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        clipspan_error err;
        size_t d = t->width, s = t->image, side = t->side;
        float *out = malloc(s * s * sizeof *out);
        double *expected = calloc(s * s, sizeof *expected);
        ok(clipspan_tracer_map(t, CLIPSPAN_LRP, f->texts, 1, out, &err), &err);
        for (size_t p = 0; p + 1 < t->tokens; p++)
            for (size_t o = 0; o < d; o++) {
                double parts[3 * 25], sum = 0;
                for (size_t k = 0; k < t->patch_values; k++) {
                    double w = fake_value(&f->model.vision.patch, o, k);
                    double x = (double)t->patches[p * t->patch_values + k];
                    sum += parts[k] = w * (x - (double)(w > 0 ? t->lowest : t->highest));
                }
                for (size_t k = 0; k < t->patch_values; k++)
                    expected[(p / t->grid * side + k / side % side) * s + p % t->grid * side + k % side] +=
                        parts[k] * ratio((double)t->relevance[(p + 1) * d + o], sum);
            }
        double worst = worst_of(out, expected, s * s);
        double had = sum_of(t->relevance + d, (t->tokens - 1) * d);
        printf("%s: pixels %.1e; they sum to %.6f, the patches to %.6f\n", fakes[i].name, worst, sum_of(out, s * s),
               had);
        assert_true(worst < 1e-5 && fabs(sum_of(out, s * s) - had) < 1e-5 * fmax(1, fabs(had)));
        free(out), free(expected);
        clipspan_tracer_free(t);
        fake_free(f);
    }
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

/* Every layer's derivatives and relevance, kept as the tracer does not: [L, H, N, N] */
static void keep_layers(clipspan_tracer *t, const float *text, float *gradients, float *relevances)
{
    clipspan_error err;
    size_t cells = t->heads * t->tokens * t->tokens;
    ok(clsp_backward_begin(t, text, &err), &err);
    for (size_t l = t->layers; l-- > 0;) {
        ok(clsp_backward_block(t, l, &err), &err);
        memcpy(gradients + l * cells, t->gradient_attention, cells * sizeof *gradients);
    }
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
        keep_layers(t, f->texts, gradients, relevances);
        for (size_t m = 0; m < 3; m++) {
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
        cmocka_unit_test(relevance_follows_the_rules), cmocka_unit_test(pixels_share_what_the_patches_had),
        cmocka_unit_test(rolled_out_maps_are_products), cmocka_unit_test(texts_do_not_touch_each_other),
        cmocka_unit_test(surgery_removes_what_texts_share), cmocka_unit_test(methods_have_names),
        cmocka_unit_test(what_is_refused), cmocka_unit_test(a_direction_of_zeros),
        cmocka_unit_test(equals_the_golden), cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
