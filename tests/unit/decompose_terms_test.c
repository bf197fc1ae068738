/* Every term against the unfactored formula of ALGORITHMS 2, written out in double; and the sum of all terms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "decompose_fake.h"
#include "worse.h"

/* One model, its captures, its batch. */
typedef struct setting {
    fake model;
    fake_capture capture;
    clsp_basis basis;
    clsp_contribution *contribution;
    const clipspan_batch *batch;
} setting;

enum { ALL_PARTS = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS | CLIPSPAN_PART_TOKENS };

static int all_layers[64];

static void set_up(setting *s, size_t layers, size_t heads, size_t d, size_t embed, size_t tokens, size_t images,
                   bool transposed)
{
    clipspan_error err = {0};
    unsigned char ok[16];
    memset(ok, 1, sizeof ok);
    for (int l = 0; l < 64; l++) all_layers[l] = l;
    fake_init(&s->model, layers, heads, d, embed, tokens, transposed, 11);
    fake_capture_init(&s->model, &s->capture, 0, images);
    assert_int_equal(clsp_basis_make(&s->basis, &s->model.model, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_contribution_new(&s->contribution, &s->basis, images, ALL_PARTS, all_layers, (int)layers, &err),
                     CLIPSPAN_OK);
    assert_int_equal(clsp_contribution_fill(s->contribution, &s->capture.capture, s->capture.embedding, 0, images, ok,
                                            &s->batch, &err),
                     CLIPSPAN_OK);
    assert_int_equal(s->batch->images, images);
}

static void tear_down(setting *s)
{
    clsp_contribution_free(s->contribution);
    clsp_basis_clear(&s->basis);
    fake_capture_clear(&s->capture);
    fake_clear(&s->model);
}

/* The scalars of image i, in double, from the captured class token and embedding. */
typedef struct scalars {
    double mu, sigma, norm;
} scalars;
static scalars scalars_of(const setting *s, size_t i)
{
    size_t width = s->model.width;
    const float *x = s->capture.capture.last + i * width;
    double mu = 0, variance = 0, norm = 0;
    for (size_t o = 0; o < width; o++) mu += (double)x[o] / (double)width;
    for (size_t o = 0; o < width; o++) variance += ((double)x[o] - mu) * ((double)x[o] - mu) / (double)width;
    for (size_t e = 0; e < s->model.embed; e++) norm += pow((double)s->capture.embedding[i * s->model.embed + e], 2);
    return (scalars){mu, sqrt(variance + (double)s->model.model.vision.config.ln_eps), sqrt(norm)};
}

/* A term in D, m, to the joint space as the convention says. `parts`: into how many a direct term is cut. */
static void finish(const setting *s, clipspan_convention convention, const double *m, double parts, size_t i,
                   double *out)
{
    const fake *f = &s->model;
    scalars a = scalars_of(s, i);
    const float *gamma = fake_values(&f->model.vision.ln_post_gamma), *beta = fake_values(&f->model.vision.ln_post_beta);
    double all = (2.0 * (double)f->layers + 1.0) * parts, own = 0;
    for (size_t o = 0; o < f->width; o++) own += m[o] / (double)f->width;
    for (size_t e = 0; e < f->embed; e++) {
        double sum = 0;
        for (size_t o = 0; o < f->width; o++) {
            double paper = (m[o] - a.mu / all) * (double)gamma[o] / a.sigma + (double)beta[o] / all;
            double exact = (m[o] - own) * (double)gamma[o] / a.sigma;
            sum += (convention == CLIPSPAN_PAPER ? paper / a.norm : exact) * fake_projection(f, o, e);
        }
        out[e] = sum;
    }
}

/* z [d] of one head through its slice of the out-projection, with `share` of the layer's bias: m [D]. */
static void head_vector(const fake *f, size_t l, size_t h, const float *z, double share, double *m)
{
    const float *out = fake_values(&f->blocks[l].out), *bias = fake_values(&f->blocks[l].out_bias);
    for (size_t o = 0; o < f->width; o++) {
        m[o] = share * (double)bias[o];
        for (size_t k = 0; k < f->head_dim; k++)
            m[o] += (double)z[k] * (double)out[o * f->width + h * f->head_dim + k];
    }
}

static double bias_share(clipspan_convention convention, double parts)
{
    return convention == CLIPSPAN_PAPER ? 1.0 / parts : 0.0;
}

/* Largest |got - expected| / |expected vector|. */
static double distance(const float *got, const double *expected, size_t embed)
{
    double error = 0, length = 0;
    for (size_t e = 0; e < embed; e++) {
        error += pow((double)got[e] - expected[e], 2);
        length += expected[e] * expected[e];
    }
    assert_true(length > 0);
    return sqrt(error / length);
}

static double worst_head(const setting *s, clipspan_convention convention)
{
    const fake *f = &s->model;
    size_t images = s->batch->images;
    double worst = 0, *m = calloc(f->width, sizeof *m), *expected = calloc(f->embed, sizeof *expected);
    float *got = calloc(images * f->embed, sizeof *got);
    for (size_t l = 0; l < f->layers; l++)
        for (size_t h = 0; h < f->heads; h++) {
            assert_int_equal(clipspan_batch_head(s->batch, convention, (int)l, (int)h, got, NULL), CLIPSPAN_OK);
            for (size_t i = 0; i < images; i++) {
                const float *z = s->capture.capture.z + (l * images + i) * f->width + h * f->head_dim;
                head_vector(f, l, h, z, bias_share(convention, (double)f->heads), m);
                finish(s, convention, m, (double)f->heads, i, expected);
                worst = worse(worst, distance(got + i * f->embed, expected, f->embed));
            }
        }
    free(m);
    free(expected);
    free(got);
    return worst;
}

static double worst_token(const setting *s, clipspan_convention convention)
{
    const fake *f = &s->model;
    size_t images = s->batch->images, i = images - 1;
    double worst = 0, *m = calloc(f->width, sizeof *m), *expected = calloc(f->embed, sizeof *expected);
    double parts = (double)(f->heads * f->tokens);
    float *got = calloc(f->tokens * f->embed, sizeof *got);
    for (size_t l = 0; l < f->layers; l++)
        for (size_t h = 0; h < f->heads; h++) {
            assert_int_equal(clipspan_batch_tokens(s->batch, convention, (int)l, (int)h, i, got, NULL), CLIPSPAN_OK);
            for (size_t n = 0; n < f->tokens; n++) {
                const float *z = s->capture.tokens + ((l * images + i) * f->tokens + n) * f->width + h * f->head_dim;
                head_vector(f, l, h, z, bias_share(convention, parts), m);
                finish(s, convention, m, parts, i, expected);
                worst = worse(worst, distance(got + n * f->embed, expected, f->embed));
            }
        }
    free(m);
    free(expected);
    free(got);
    return worst;
}

static double worst_mlp(const setting *s, clipspan_convention convention)
{
    const fake *f = &s->model;
    size_t images = s->batch->images;
    double worst = 0, *m = calloc(f->width, sizeof *m), *expected = calloc(f->embed, sizeof *expected);
    float *got = calloc(images * f->embed, sizeof *got);
    for (size_t t = 0; t <= f->layers; t++) {
        assert_int_equal(clipspan_batch_mlp(s->batch, convention, (int)t, got, NULL), CLIPSPAN_OK);
        for (size_t i = 0; i < images; i++) {
            for (size_t o = 0; o < f->width; o++) m[o] = (double)s->capture.capture.mlp[(t * images + i) * f->width + o];
            finish(s, convention, m, 1.0, i, expected);
            worst = worse(worst, distance(got + i * f->embed, expected, f->embed));
        }
    }
    free(m);
    free(expected);
    free(got);
    return worst;
}

/* The class token's own share, summed over heads: the token terms n = 0 of all heads, added up unfactored. */
static double worst_cls(const setting *s, clipspan_convention convention)
{
    const fake *f = &s->model;
    size_t images = s->batch->images;
    double worst = 0, *m = calloc(f->width, sizeof *m), *one = calloc(f->embed, sizeof *one);
    double *expected = calloc(f->embed, sizeof *expected), parts = (double)(f->heads * f->tokens);
    float *got = calloc(images * f->embed, sizeof *got);
    for (size_t l = 0; l < f->layers; l++) {
        assert_int_equal(clipspan_batch_cls(s->batch, convention, (int)l, got, NULL), CLIPSPAN_OK);
        for (size_t i = 0; i < images; i++) {
            memset(expected, 0, f->embed * sizeof *expected);
            for (size_t h = 0; h < f->heads; h++) {
                const float *z = s->capture.tokens + (l * images + i) * f->tokens * f->width + h * f->head_dim;
                head_vector(f, l, h, z, bias_share(convention, parts), m);
                finish(s, convention, m, parts, i, one);
                for (size_t e = 0; e < f->embed; e++) expected[e] += one[e];
            }
            worst = worse(worst, distance(got + i * f->embed, expected, f->embed));
        }
    }
    free(m);
    free(one);
    free(expected);
    free(got);
    return worst;
}

/* All heads, MLP terms and constants of image i against r (exact) or r / |r| (paper). */
static double worst_sum(const setting *s, clipspan_convention convention)
{
    const fake *f = &s->model;
    size_t images = s->batch->images, count = images * f->embed;
    double worst = 0, *sum = calloc(count, sizeof *sum);
    double *r = calloc(f->embed, sizeof *r);
    float *term = calloc(count, sizeof *term), *got = calloc(f->embed, sizeof *got);
    for (size_t l = 0; l <= 2 * f->layers + 1; l++) {
        size_t terms = l < f->layers ? f->heads : 1;
        for (size_t h = 0; h < terms; h++) {
            clipspan_status status =
                l < f->layers        ? clipspan_batch_head(s->batch, convention, (int)l, (int)h, term, NULL)
                : l <= 2 * f->layers ? clipspan_batch_mlp(s->batch, convention, (int)(l - f->layers), term, NULL)
                                     : clipspan_batch_constant(s->batch, convention, term, NULL);
            assert_int_equal(status, CLIPSPAN_OK);
            for (size_t e = 0; e < count; e++) sum[e] += (double)term[e];
        }
    }
    for (size_t i = 0; i < images; i++) {
        double scale = convention == CLIPSPAN_PAPER ? 1.0 / scalars_of(s, i).norm : 1.0;
        for (size_t e = 0; e < f->embed; e++) {
            got[e] = (float)sum[i * f->embed + e];
            r[e] = (double)s->capture.embedding[i * f->embed + e] * scale;
        }
        worst = worse(worst, distance(got, r, f->embed));
    }
    free(sum);
    free(term);
    free(got);
    free(r);
    return worst;
}

static void check_setting(size_t layers, size_t heads, size_t d, size_t embed, size_t tokens, size_t images,
                          bool transposed)
{
    setting s;
    set_up(&s, layers, heads, d, embed, tokens, images, transposed);
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        double head = worst_head(&s, c), mlp = worst_mlp(&s, c), cls = worst_cls(&s, c), token = worst_token(&s, c);
        double sum = worst_sum(&s, c);
        printf("%zu x %zu heads of %zu, %s: head %.1e mlp %.1e cls %.1e token %.1e sum %.1e\n", layers, heads, d,
               c == CLIPSPAN_PAPER ? "paper" : "exact", head, mlp, cls, token, sum);
        assert_true(head < 1e-5 && mlp < 1e-5 && cls < 1e-5 && token < 1e-5 && sum < 1e-5);
    }
    tear_down(&s);
}

static void small_and_odd(void **state)
{
    (void)state;
    check_setting(3, 3, 5, 7, 5, 4, false);
    check_setting(1, 1, 4, 3, 2, 1, true);
    check_setting(2, 7, 11, 13, 10, 5, true);
}

static void wide(void **state)
{
    (void)state;
    check_setting(6, 12, 64, 512, 9, 2, false);
}

/* A row's bits do not depend on which neighbours are left out. */
static void unreadable_images_are_left_out(void **state)
{
    (void)state;
    setting s;
    const clipspan_batch *b = NULL;
    unsigned char ok[5] = {0, 1, 0, 1, 1};
    set_up(&s, 2, 3, 5, 7, 4, 5, false);
    size_t d = 5, embed = 7, heads = 6, row = 4 * d;
    float *z = malloc(heads * 5 * d * sizeof *z), *mlp = malloc(3 * 5 * embed * sizeof *mlp);
    float *tokens = malloc(heads * 5 * row * sizeof *tokens);
    memcpy(z, s.batch->z, heads * 5 * d * sizeof *z);
    memcpy(mlp, s.batch->mlp, 3 * 5 * embed * sizeof *mlp);
    memcpy(tokens, s.batch->tokens, heads * 5 * row * sizeof *tokens);
    assert_int_equal(clsp_contribution_fill(s.contribution, &s.capture.capture, s.capture.embedding, 100, 5, ok, &b, NULL),
                     CLIPSPAN_OK);
    static const size_t kept[3] = {1, 3, 4};
    assert_int_equal(b->images, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(b->index[i], 100 + kept[i]);
        for (size_t h = 0; h < heads; h++) {
            assert_memory_equal(b->z + (h * 3 + i) * d, z + (h * 5 + kept[i]) * d, d * sizeof *z);
            assert_memory_equal(b->tokens + (h * 3 + i) * row, tokens + (h * 5 + kept[i]) * row, row * sizeof *z);
        }
        for (size_t t = 0; t < 3; t++)
            assert_memory_equal(b->mlp + (t * 3 + i) * embed, mlp + (t * 5 + kept[i]) * embed, embed * sizeof *mlp);
        assert_memory_equal(b->embedding + i * embed, s.capture.embedding + kept[i] * embed, embed * sizeof *mlp);
    }
    free(z);
    free(mlp);
    free(tokens);
    tear_down(&s);
}

static void wrong_terms_are_errors(void **state)
{
    (void)state;
    setting s;
    clipspan_error err = {0};
    float out[64];
    set_up(&s, 2, 3, 5, 7, 4, 2, false);
    assert_int_equal(clipspan_batch_head(s.batch, CLIPSPAN_PAPER, 2, 0, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "layer 2 does not exist: expected 0 to 1");
    assert_int_equal(clipspan_batch_head(s.batch, CLIPSPAN_PAPER, 0, -1, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_batch_mlp(s.batch, CLIPSPAN_EXACT, 3, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_batch_head(s.batch, (clipspan_convention)7, 0, 0, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_batch_tokens(s.batch, CLIPSPAN_PAPER, 0, 0, 2, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_batch bare = *s.batch;
    bare.mlp = bare.cls = bare.tokens = NULL;
    assert_int_equal(clipspan_batch_mlp(&bare, CLIPSPAN_PAPER, 0, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "the batch keeps no MLP terms (part mlp)");
    assert_int_equal(clipspan_batch_cls(&bare, CLIPSPAN_PAPER, 0, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_batch_tokens(&bare, CLIPSPAN_PAPER, 0, 0, 0, out, &err), CLIPSPAN_ERROR_ARGUMENT);
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_and_odd),
        cmocka_unit_test(wide),
        cmocka_unit_test(unreadable_images_are_left_out),
        cmocka_unit_test(wrong_terms_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
