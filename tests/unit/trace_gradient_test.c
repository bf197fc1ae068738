/* The forward pass against the engine and against double precision; derivatives by pixels and by attention
 * probabilities against central differences of the double-precision network.
 *
 * Observed, relative to the largest value: attention and embedding 5e-7; derivatives 1e-6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trace_fake.h"
#include "worse.h"

static const double forward_limit = 3e-6, gradient_limit = 1e-5, step = 1e-5;

static double *doubles(const float *values, size_t count)
{
    double *out = malloc(count * sizeof *out);
    for (size_t i = 0; i < count; i++) out[i] = (double)values[i];
    return out;
}

static void embedding_is_the_engines(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        clipspan_engine_options options = {CLIPSPAN_F32, 2, 1, 0};
        clipspan_engine *engine = NULL;
        clipspan_error err;
        float engines[16], ours[16];
        assert_int_equal(clipspan_engine_open(&engine, &f->model, &options, &err), CLIPSPAN_OK);
        assert_int_equal(clipspan_engine_embed_images(engine, f->pixels, 1, 0, engines, &err), CLIPSPAN_OK);
        assert_int_equal(clipspan_tracer_run(t, f->pixels, ours, &err), CLIPSPAN_OK);
        double *expected = doubles(engines, t->embed), worst = worst_of(ours, expected, t->embed);
        printf("%s: embedding %.1e from the engine's\n", fakes[i].name, worst);
        assert_true(worst < forward_limit);
        free(expected);
        clipspan_engine_free(engine);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

static void everything_kept_is_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        size_t cells = t->heads * t->tokens * t->tokens;
        double r[EXACT_WIDE], *pixels = doubles(f->pixels, 3 * t->image * t->image);
        double *attention = malloc(t->layers * cells * sizeof *attention);
        exact_forward(r, &f->model, pixels, NULL, attention);
        double worst = worst_of(t->r, r, t->embed);
        for (size_t l = 0; l < t->layers; l++)
            worst = worse(worst, worst_of(t->layer[l].attention, attention + l * cells, cells));
        printf("%s: attention and embedding %.1e\n", fakes[i].name, worst);
        assert_true(worst < forward_limit);
        free(pixels), free(attention);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

static void pixel_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        clipspan_error err;
        size_t count = 3 * t->image * t->image;
        double *pixels = doubles(f->pixels, count), *expected = malloc(count * sizeof *expected);
        float *found = malloc(count * sizeof *found);
        for (size_t p = 0; p < count; p++) {
            double centre = pixels[p];
            pixels[p] = centre + step;
            double above = exact_score(&f->model, pixels, f->texts, NULL);
            pixels[p] = centre - step;
            expected[p] = (above - exact_score(&f->model, pixels, f->texts, NULL)) / (2 * step);
            pixels[p] = centre;
        }
        assert_int_equal(clipspan_tracer_gradient(t, f->texts, found, &err), CLIPSPAN_OK);
        double worst = worst_of(found, expected, count);
        printf("%s: by pixels %.1e\n", fakes[i].name, worst);
        assert_true(worst < gradient_limit);
        free(pixels), free(expected), free(found);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

static void attention_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_tracer *t = fake_tracer(f);
        clipspan_error err;
        size_t cells = t->heads * t->tokens * t->tokens;
        double *pixels = doubles(f->pixels, 3 * t->image * t->image), *expected = malloc(cells * sizeof *expected);
        assert_int_equal(clsp_backward_begin(t, f->texts, &err), CLIPSPAN_OK);
        for (size_t l = t->layers; l-- > 0;) {
            assert_int_equal(clsp_backward_block(t, l, &err), CLIPSPAN_OK);
            for (size_t c = 0; c < cells; c++) {
                nudge up = {(int)l, c, step}, down = {(int)l, c, -step};
                expected[c] = (exact_score(&f->model, pixels, f->texts, &up) -
                               exact_score(&f->model, pixels, f->texts, &down)) / (2 * step);
            }
            double worst = worst_of(t->gradient_attention, expected, cells);
            printf("%s: by attention of layer %zu %.1e\n", fakes[i].name, l, worst);
            assert_true(worst < gradient_limit);
        }
        free(pixels), free(expected);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

/* The tracer's own path behind the attention: a changed probability and the layers run again give the change that the
 * derivative foretells. */
static void a_nudge_is_foretold(void **state)
{
    (void)state;
    fake *f = fake_new(&fakes[0]);
    clipspan_tracer *t = fake_tracer(f);
    clipspan_error err;
    const double by = 1.0 / 64;
    size_t index = t->tokens + 3;
    double scores[2], *pixels = doubles(f->pixels, 3 * t->image * t->image);
    for (int side = 0; side < 2; side++) {
        nudge change = {1, index, side ? by : -by};
        scores[side] = exact_score(&f->model, pixels, f->texts, &change);
        assert_int_equal(clsp_trace_attend(t, 1, &err), CLIPSPAN_OK);
        t->layer[1].attention[index] += (float)change.by;
        assert_int_equal(clsp_trace_apply(t, 1, &err), CLIPSPAN_OK);
        assert_int_equal(clsp_trace_attend(t, 2, &err), CLIPSPAN_OK);
        assert_int_equal(clsp_trace_apply(t, 2, &err), CLIPSPAN_OK);
        assert_int_equal(clsp_trace_project(t, t->r, t->last, 1, &err), CLIPSPAN_OK);
        double rr = 0, rt = 0;
        for (size_t e = 0; e < t->embed; e++) rr += pow(t->r[e], 2), rt += (double)t->r[e] * (double)f->texts[e];
        assert_float_equal(rt / sqrt(rr), scores[side], 1e-6);
    }
    assert_true(fabs(scores[1] - scores[0]) > 1e-4);
    free(pixels);
    clipspan_tracer_free(t);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_is_the_engines), cmocka_unit_test(everything_kept_is_right),
        cmocka_unit_test(pixel_gradients), cmocka_unit_test(attention_gradients),
        cmocka_unit_test(a_nudge_is_foretold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
