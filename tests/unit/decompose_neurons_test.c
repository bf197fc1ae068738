/* MLP terms by neuron on small random models run by the engine: neurons and what is left make up the MLP term in both
 * conventions; directions, moments and top images against plain double-precision loops over the weights and activations. */
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
#include "decompose/decompose.h"
#include "model_maker.h"
#include "scratch.h"
#include "worse.h"

enum { BATCH = 4, IMAGES = 11, TOP = 3, LAYERS = 3, MLP = 96, WIDTH = 48, EMBED = 24, TEXTS = 37 };

typedef struct world {
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_images *images;
    clipspan_neurons *neurons;
    float g[LAYERS][MLP][EMBED], b[LAYERS][EMBED];    /* the library's directions */
    double a[LAYERS][IMAGES][MLP], s[2][LAYERS][IMAGES][MLP]; /* activations, factors */
    double term[2][LAYERS][IMAGES][EMBED];
    double worst; /* of a sum, relative to the term's largest entry */
    size_t seen;
} world;

static clipspan_images *pictures(const clipspan_model *model, size_t wanted)
{
    clipspan_images *images = NULL, *golden = NULL;
    clipspan_error err;
    char text[16384];
    size_t used = 0;
    float *pixels = malloc(3 * 32 * 32 * sizeof *pixels);
    if (clipspan_images_open(&golden, "golden/image", NULL, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < clipspan_images_count(golden) && wanted > 0; i++) {
        char path[2048];
        if (clipspan_images_preprocess(golden, i, model, pixels, NULL) != CLIPSPAN_OK) continue;
        snprintf(path, sizeof path, "golden/image/%s", clipspan_images_name(golden, i));
        char *whole = realpath(path, NULL);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", whole);
        free(whole);
        wanted--;
    }
    assert_int_equal(wanted, 0);
    clipspan_images_free(golden);
    free(pixels);
    if (clipspan_images_open(&images, scratch_write("list.txt", text, used), NULL, &err)) fail_msg("%s", err.message);
    return images;
}

static void world_open(world *w, const char *layout, clipspan_dtype dtype)
{
    clipspan_error err;
    model_recipe recipe = MODEL_RECIPE_INIT;
    clipspan_engine_options options = {dtype, 2, BATCH, 0};
    *w = (world){0};
    recipe.layout = layout;
    if (model_make(scratch(layout), &recipe, &err)) fail_msg("%s", err.message);
    if (clipspan_model_open(&w->model, scratch(layout), NULL, &err)) fail_msg("%s", err.message);
    if (clipspan_engine_open(&w->engine, w->model, &options, &err)) fail_msg("%s", err.message);
    w->images = pictures(w->model, IMAGES);
    for (int l = 0; l < LAYERS; l++) {
        assert_int_equal(clipspan_neuron_directions(w->model, l, NULL, MLP, w->g[l][0], &err), CLIPSPAN_OK);
        assert_int_equal(clipspan_neuron_bias(w->model, l, w->b[l], &err), CLIPSPAN_OK);
    }
    assert_int_equal(clipspan_neurons_new(&w->neurons, w->model, TOP, &err), CLIPSPAN_OK);
}

static void world_close(world *w)
{
    clipspan_neurons_free(w->neurons);
    clipspan_images_free(w->images);
    clipspan_engine_free(w->engine);
    clipspan_model_free(w->model);
    free(w);
}

/* The sum over neurons and what is left of the MLP term, as the header's formulas say. */
static double sum_of(const world *w, const clipspan_batch *batch, int convention, size_t l, size_t i, size_t e)
{
    const clipspan_basis *basis = batch->basis;
    double sigma = (double)batch->sigma[i], norm = (double)batch->norm[i], terms = 2.0 * LAYERS + 1.0, sum = 0.0;
    double scale = convention == CLIPSPAN_PAPER ? 1.0 / (sigma * norm) : 1.0 / sigma;
    const float *a = batch->hidden + (l * batch->images + i) * MLP;
    for (size_t j = 0; j < MLP; j++) sum += (double)a[j] * scale * (double)w->g[l][j][e];
    if (convention == CLIPSPAN_EXACT) return sum + (double)w->b[l][e] / sigma;
    double mean = (double)batch->mlp_mean[(l + 1) * batch->images + i] - (double)batch->mu[i] / terms;
    return sum + ((double)w->b[l][e] + mean * (double)basis->ones[e]) * scale + (double)basis->constant[e] / (terms * norm);
}

static clipspan_status take(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    world *w = user;
    float term[BATCH * EMBED];
    assert_int_equal(batch->hidden_width, MLP);
    for (size_t l = 0; l < LAYERS; l++)
        for (int c = 0; c < 2; c++) {
            assert_int_equal(clipspan_batch_mlp(batch, c, (int)l + 1, term, err), CLIPSPAN_OK);
            for (size_t i = 0; i < batch->images; i++) {
                double largest = 0.0, worst = 0.0, scale = 1.0 / (double)batch->sigma[i];
                if (c == CLIPSPAN_PAPER) scale /= (double)batch->norm[i];
                for (size_t e = 0; e < EMBED; e++) {
                    w->term[c][l][w->seen + i][e] = (double)term[i * EMBED + e];
                    largest = fmax(largest, fabs((double)term[i * EMBED + e]));
                    worst = worse(worst, fabs((double)term[i * EMBED + e] - sum_of(w, batch, c, l, i, e)));
                }
                assert_true(largest > 1e-3);
                w->worst = worse(w->worst, worst / largest);
                for (size_t j = 0; j < MLP; j++) {
                    w->a[l][w->seen + i][j] = (double)batch->hidden[(l * batch->images + i) * MLP + j];
                    w->s[c][l][w->seen + i][j] = w->a[l][w->seen + i][j] * scale;
                }
            }
        }
    w->seen += batch->images;
    return clipspan_neurons_add(w->neurons, batch, err);
}

static void decompose(world *w)
{
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    clipspan_error err;
    options.parts = CLIPSPAN_PART_MLP | CLIPSPAN_PART_NEURONS;
    if (clipspan_decompose_each(w->engine, w->images, &options, take, w, NULL, &err)) fail_msg("%s", err.message);
    assert_int_equal(w->seen, IMAGES);
    assert_int_equal(clipspan_neurons_get_info(w->neurons)->images, IMAGES);
}

static void sums_are_mlp_terms(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        world *w = malloc(sizeof *w);
        world_open(w, i ? "open_clip" : "huggingface", CLIPSPAN_F32);
        decompose(w);
        printf("sum over neurons and what is left, %s: %.1e of the MLP term's largest entry\n", i ? "open_clip" : "huggingface",
               w->worst);
        assert_true(w->worst < 1e-5); /* observed 4.6e-7 */
        world_close(w);
    }
}

/* ---- directions ----------------------------------------------------------------------------------------------- */

static float *weights(const clsp_weight *w, size_t count)
{
    float *out = malloc(count * sizeof *out);
    assert_int_equal(clsp_weight_floats(w, count, out, NULL), CLIPSPAN_OK);
    return out;
}

/* out [E] = (f - mean(f)) diag(gamma) P in double, f: [D] with a stride. */
static void plain_direction(double out[EMBED], const float *f, size_t stride, const float *gamma, const float *p,
                            bool transposed)
{
    double mean = 0.0;
    for (size_t i = 0; i < WIDTH; i++) mean += (double)f[i * stride] / WIDTH;
    for (size_t e = 0; e < EMBED; e++) {
        out[e] = 0.0;
        for (size_t i = 0; i < WIDTH; i++)
            out[e] += ((double)f[i * stride] - mean) * (double)gamma[i] * (double)(transposed ? p[i * EMBED + e] : p[e * WIDTH + i]);
    }
}

static void directions(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    world_open(w, "open_clip", CLIPSPAN_F32);
    const clsp_vision *v = &w->model->vision;
    float *gamma = weights(&v->ln_post_gamma, WIDTH), *p = weights(&v->projection, WIDTH * EMBED);
    double worst = 0.0, largest = 0.0, expected[EMBED];
    for (size_t l = 0; l < LAYERS; l++) {
        float *fc2 = weights(&v->blocks[l].fc2, WIDTH * MLP), *bias = weights(&v->blocks[l].fc2_bias, WIDTH);
        for (size_t j = 0; j <= MLP; j++) {
            bool is_bias = j == MLP;
            double squares = 0.0;
            plain_direction(expected, is_bias ? bias : fc2 + j, is_bias ? 1 : MLP, gamma, p, v->projection.transposed);
            for (size_t e = 0; e < EMBED; e++) {
                largest = fmax(largest, fabs(expected[e]));
                worst = worse(worst, fabs(expected[e] - (double)(is_bias ? w->b[l][e] : w->g[l][j][e])));
                squares += expected[e] * expected[e];
            }
            if (!is_bias) assert_true(fabs((double)w->neurons->length[l * MLP + j] - sqrt(squares)) < 1e-5 * sqrt(squares));
        }
        free(fc2), free(bias);
    }
    printf("directions: %.1e of %.2f\n", worst, largest);
    assert_true(largest > 0.1 && worst < 1e-5 * largest); /* observed 3.6e-7 of 1.5 */
    const int some[] = {95, 0, 17};
    float picked[3][EMBED];
    assert_int_equal(clipspan_neuron_directions(w->model, 1, some, 3, picked[0], NULL), CLIPSPAN_OK);
    for (size_t n = 0; n < 3; n++)
        for (size_t e = 0; e < EMBED; e++) assert_true(fabsf(picked[n][e] - w->g[1][some[n]][e]) < 1e-6f);
    free(gamma), free(p);
    world_close(w);
}

/* ---- moments, ranks, images ----------------------------------------------------------------------------------- */

static void one_neuron(const world *w, int c, int l, int j, double mlp_variance)
{
    clipspan_neuron n;
    double mean = 0.0, squares = 0.0, length = 0.0, active = 0.0;
    assert_int_equal(clipspan_neuron_get(w->neurons, c, l, j, &n, NULL), CLIPSPAN_OK);
    for (size_t e = 0; e < EMBED; e++) length += (double)w->g[l][j][e] * (double)w->g[l][j][e];
    for (size_t i = 0; i < IMAGES; i++) {
        mean += w->s[c][l][i][j] / IMAGES;
        squares += w->s[c][l][i][j] * w->s[c][l][i][j] / IMAGES;
        active += w->a[l][i][j] > 0.0 ? 1.0 / IMAGES : 0.0;
    }
    double variance = 0.0;
    for (size_t i = 0; i < IMAGES; i++) variance += pow(w->s[c][l][i][j] - mean, 2) / IMAGES;
    assert_true(fabs(n.length - sqrt(length)) < 1e-6 * sqrt(length));
    assert_true(fabs(n.mean - mean) < 1e-12 + 1e-10 * fabs(mean));
    assert_true(fabs(n.deviation - sqrt(variance)) < 1e-7);
    assert_true(fabs(n.rms - sqrt(length * squares)) < 1e-6 * n.rms);
    assert_true(fabs(n.variance - length * variance) < 1e-6 * n.variance);
    assert_true(fabs(n.share - n.variance / mlp_variance) < 1e-9);
    assert_true(fabs(n.active - active) < 1e-12);
}

static double mlp_variance(const world *w, int c, int l)
{
    double variance = 0.0;
    for (size_t e = 0; e < EMBED; e++) {
        double mean = 0.0;
        for (size_t i = 0; i < IMAGES; i++) mean += w->term[c][l][i][e] / IMAGES;
        for (size_t i = 0; i < IMAGES; i++) variance += pow(w->term[c][l][i][e] - mean, 2) / IMAGES;
    }
    clipspan_mlp_spread spread;
    assert_int_equal(clipspan_neurons_mlp(w->neurons, c, l, &spread, NULL), CLIPSPAN_OK);
    assert_true(variance > 1e-6 && fabs(spread.variance - variance) < 1e-9 * variance + 1e-14);
    return spread.variance;
}

/* The k-th image of a side by a plain count: how many images stand before it. */
static void top_images(const world *w, int l, int j, int lowest)
{
    clipspan_neuron_image found[TOP];
    assert_int_equal(clipspan_neuron_images(w->neurons, l, j, lowest, found), TOP);
    for (size_t k = 0; k < TOP; k++) {
        size_t before = 0, at = (size_t)found[k].image;
        double own = w->a[l][at][j];
        assert_true(own == (double)found[k].activation);
        for (size_t i = 0; i < IMAGES; i++) {
            double other = w->a[l][i][j];
            before += lowest ? other < own : other > own;
            before += other == own && i < at;
        }
        assert_int_equal(before, k);
    }
}

static void moments_and_images(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    world_open(w, "huggingface", CLIPSPAN_F32);
    decompose(w);
    for (int l = 0; l < LAYERS; l++)
        for (int c = 0; c < 2; c++) {
            double variance = mlp_variance(w, c, l);
            for (int j = 0; j < MLP; j++) one_neuron(w, c, l, j, variance);
        }
    for (int l = 0; l < LAYERS; l++)
        for (int j = 0; j < MLP; j++) top_images(w, l, j, 0), top_images(w, l, j, 1);
    world_close(w);
}

static double key(const clipspan_neuron *n, int order) { return order == 0 ? n->rms : order == 1 ? n->variance : n->share; }

static void ranks(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    const unsigned char layers[LAYERS] = {1, 0, 1};
    clipspan_neuron found[2 * MLP + 5], first;
    size_t count;
    world_open(w, "huggingface", CLIPSPAN_F32);
    decompose(w);
    for (int order = 0; order < 3; order++) {
        assert_int_equal(clipspan_neurons_rank(w->neurons, CLIPSPAN_EXACT, order, layers, found, 2 * MLP + 5, &count, NULL),
                         CLIPSPAN_OK);
        assert_int_equal(count, 2 * MLP);
        for (size_t i = 0; i < count; i++) {
            assert_int_not_equal(found[i].layer, 1);
            if (i > 0) assert_true(key(&found[i - 1], order) >= key(&found[i], order));
        }
        assert_int_equal(clipspan_neurons_rank(w->neurons, CLIPSPAN_EXACT, order, layers, &first, 1, &count, NULL), CLIPSPAN_OK);
        assert_int_equal(count, 1);
        assert_true(first.layer == found[0].layer && first.neuron == found[0].neuron);
    }
    world_close(w);
}

/* ---- ties, by hand -------------------------------------------------------------------------------------------- */

static void ties_and_few_images(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    clipspan_neuron_image found[TOP];
    world_open(w, "huggingface", CLIPSPAN_F32);
    clsp_basis basis;
    assert_int_equal(clsp_basis_make(&basis, w->model, NULL), CLIPSPAN_OK);
    float *hidden = calloc(LAYERS * 5 * MLP, sizeof *hidden), *mlp = calloc((LAYERS + 1) * 5 * EMBED, sizeof *mlp);
    float mean[(LAYERS + 1) * 5] = {0}, ones[5] = {1, 1, 1, 1, 1}, mu[5] = {0};
    const float values[5] = {1, 2, 1, 2, 2};
    uint64_t index[5] = {10, 20, 30, 40, 50};
    for (size_t i = 0; i < 5; i++) hidden[(1 * 5 + i) * MLP + 7] = values[i]; /* L1.N7; all others are equal: zero */
    clipspan_batch batch = {.basis = &basis.view, .images = 5, .index = index, .mu = mu, .sigma = ones, .norm = ones,
                            .mlp = mlp, .mlp_mean = mean, .hidden = hidden, .hidden_width = MLP};
    assert_int_equal(clipspan_neurons_add(w->neurons, &batch, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_neuron_images(w->neurons, 1, 7, 0, found), 3);
    assert_int_equal(found[0].image, 20), assert_int_equal(found[1].image, 40), assert_int_equal(found[2].image, 50);
    assert_int_equal(clipspan_neuron_images(w->neurons, 1, 7, 1, found), 3);
    assert_int_equal(found[0].image, 10), assert_int_equal(found[1].image, 30), assert_int_equal(found[2].image, 20);
    assert_int_equal(clipspan_neuron_images(w->neurons, 2, 95, 0, found), 3);
    assert_int_equal(found[0].image, 10), assert_int_equal(found[1].image, 20), assert_int_equal(found[2].image, 30);
    clipspan_neurons *few = NULL;
    assert_int_equal(clipspan_neurons_new(&few, w->model, 64, NULL), CLIPSPAN_OK);
    clipspan_neuron_image many[64];
    assert_int_equal(clipspan_neuron_images(few, 0, 0, 0, many), 0);
    assert_int_equal(clipspan_neurons_add(few, &batch, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_neuron_images(few, 1, 7, 1, many), 5);
    assert_int_equal(many[4].image, 50);
    clipspan_neurons_free(few);
    clsp_basis_clear(&basis);
    free(hidden), free(mlp);
    world_close(w);
}

/* ---- texts ----------------------------------------------------------------------------------------------------- */

static void texts(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    clipspan_neuron asked[5] = {{.layer = 2, .neuron = 5}, {.layer = 0, .neuron = 95}, {.layer = 2, .neuron = 0},
                                {.layer = 0, .neuron = 1}, {.layer = 1, .neuron = 50}};
    float pool[TEXTS][EMBED];
    clipspan_neuron_text most[5][4], least[5][4];
    world_open(w, "open_clip", CLIPSPAN_F32);
    uint64_t state_of = 3;
    for (size_t t = 0; t < TEXTS; t++) {
        double squares = 0.0;
        for (size_t e = 0; e < EMBED; e++) {
            state_of = state_of * 6364136223846793005u + 1442695040888963407u;
            pool[t][e] = (float)(state_of >> 40) / 8388608.0f - 1.0f;
            squares += (double)pool[t][e] * (double)pool[t][e];
        }
        for (size_t e = 0; e < EMBED; e++) pool[t][e] /= (float)sqrt(squares);
    }
    memcpy(pool[TEXTS - 1], pool[0], sizeof pool[0]); /* a repeated text comes behind the first */
    assert_int_equal(clipspan_neurons_describe(w->model, asked, 5, pool[0], TEXTS, 4, most[0], least[0], 0, NULL, NULL),
                     CLIPSPAN_OK);
    for (size_t n = 0; n < 5; n++) {
        const float *g = w->g[asked[n].layer][asked[n].neuron];
        double cosines[TEXTS], length = 0.0;
        for (size_t e = 0; e < EMBED; e++) length += (double)g[e] * (double)g[e];
        for (size_t t = 0; t < TEXTS; t++) {
            cosines[t] = 0.0;
            for (size_t e = 0; e < EMBED; e++) cosines[t] += (double)g[e] * (double)pool[t][e] / sqrt(length);
        }
        for (int side = 0; side < 2; side++)
            for (size_t k = 0; k < 4; k++) {
                const clipspan_neuron_text *found = side ? &least[n][k] : &most[n][k];
                size_t before = 0;
                assert_true(fabs(found->cosine - cosines[found->text]) < 1e-6);
                for (size_t t = 0; t < TEXTS; t++) {
                    double ahead = (side ? -1.0 : 1.0) * (cosines[t] - cosines[found->text]);
                    before += ahead > 1e-9 || (fabs(ahead) <= 1e-9 && t < found->text);
                }
                assert_int_equal(before, k);
            }
    }
    world_close(w);
}

/* ---- names, errors ---------------------------------------------------------------------------------------------- */

static void names(void **state)
{
    (void)state;
    clipspan_neuron *found = NULL;
    clipspan_error err;
    size_t count;
    static const char list[] = "# comment, L0.N5\r\nL1.N3\r\n\n L2.N95 ,L1.N4\n";
    char at_file[5000];
    snprintf(at_file, sizeof at_file, "L0.N1, l2.n95,@%s,L0.N1",
             scratch_write("neurons.txt", list, strlen(list)));
    assert_int_equal(clipspan_neurons_parse(&found, &count, at_file, LAYERS, MLP, &err), CLIPSPAN_OK);
    assert_int_equal(count, 4);
    const int expected[4][2] = {{0, 1}, {2, 95}, {1, 3}, {1, 4}};
    for (size_t i = 0; i < 4; i++)
        assert_true(found[i].layer == expected[i][0] && found[i].neuron == expected[i][1]);
    clipspan_neurons_parse_free(found);
    static const char *const bad[] = {"L3.N0", "L0.N96", "L0", "L0.H1", "N5", "L0.N1x", "L0.N99999999999999999999", "L.N1", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(clipspan_neurons_parse(&found, &count, bad[i], LAYERS, MLP, &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_message(err, bad[i][0] ? "expected L0.N0 to L2.N95" : "names no neuron");
        assert_null(found);
    }
}

static clipspan_status no_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    return clipspan_neurons_add(user, batch, err);
}

static void errors(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    clipspan_error err;
    clipspan_neurons *none = NULL;
    clipspan_neuron n;
    size_t found;
    float g[EMBED];
    clipspan_neuron_text text;
    const int beyond = MLP;
    world_open(w, "huggingface", CLIPSPAN_F32);
    assert_int_equal(clipspan_neurons_new(&none, w->model, 65, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "65 top images a neuron, expected 1 to 64");
    assert_int_equal(clipspan_neuron_get(w->neurons, CLIPSPAN_PAPER, 0, 0, &n, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "neurons of no image");
    assert_int_equal(clipspan_neurons_rank(w->neurons, CLIPSPAN_PAPER, 0, NULL, &n, 1, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_neuron_get(w->neurons, CLIPSPAN_PAPER, LAYERS, 0, &n, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "no neuron L3.N0: expected L0.N0 to L2.N95");
    assert_int_equal(clipspan_neuron_directions(w->model, 0, &beyond, 1, g, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "neuron 96: expected 0 to 95");
    assert_int_equal(clipspan_neuron_bias(w->model, -1, g, &err), CLIPSPAN_ERROR_ARGUMENT);
    n = (clipspan_neuron){.layer = 0, .neuron = MLP};
    assert_int_equal(clipspan_neurons_describe(w->model, &n, 1, g, 1, 1, &text, NULL, 0, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_neurons_describe(w->model, &n, 1, g, 1, 2, &text, NULL, 0, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "2 texts a neuron asked for, the pool has 1");
    assert_int_equal(clipspan_decompose_each(w->engine, w->images, NULL, no_batch, w->neurons, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "the batch keeps no neurons (part neurons)");
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    options.parts = CLIPSPAN_PART_NEURONS;
    assert_int_equal(clipspan_decompose_each(w->engine, w->images, &options, no_batch, w->neurons, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "the batch keeps no MLP terms (part mlp)");
    world_close(w);
}

/* bf16: the neurons are those of the rounded network, and the MLP term what it added to the stream. */
static void bf16(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    world_open(w, "huggingface", CLIPSPAN_BF16);
    decompose(w);
    printf("bf16: %.1e of the MLP term's largest entry\n", w->worst);
    assert_true(w->worst < 2e-2); /* observed 3.0e-3 */
    world_close(w);
}

static clipspan_model *walked_model;
static clipspan_status walk(void)
{
    clipspan_neurons *neurons = NULL;
    clipspan_neuron n = {.layer = 1, .neuron = 3};
    clipspan_neuron_text most;
    clipspan_neuron *parsed = NULL;
    float pool[EMBED] = {1};
    size_t count;
    clipspan_status status = clipspan_neurons_new(&neurons, walked_model, TOP, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_neurons_describe(walked_model, &n, 1, pool, 1, 1, &most, NULL, 0, NULL, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_neurons_parse(&parsed, &count, "L0.N1", LAYERS, MLP, NULL);
    clipspan_neurons_parse_free(parsed);
    clipspan_neurons_free(neurons);
    return status;
}

static void allocation_failures(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    world_open(w, "huggingface", CLIPSPAN_F32);
    walked_model = w->model;
    walk_failed_allocations(walk);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_mlp_terms), cmocka_unit_test(directions), cmocka_unit_test(moments_and_images),
        cmocka_unit_test(ranks), cmocka_unit_test(ties_and_few_images), cmocka_unit_test(texts),
        cmocka_unit_test(names), cmocka_unit_test(errors), cmocka_unit_test(bf16),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
