/* Heads replaced inside: against the plain double-precision network with the same replacement, with a head's own values,
 * with nonsense; and head means. Each case prints the errors it saw; the limits stand beside the largest observed. */
#include "engine_reference.h"

#include "clipspan/contributions.h"
#include "clipspan/store.h"
#include "scratch.h"
#include "worse.h"

/* observed, relative to the largest value: fp32 8.4e-7, bf16 8.3e-3 */
static const double f32_limit = 5e-6, bf16_limit = 3e-2;

enum { KEPT = CLSP_CAPTURE_Z | CLSP_CAPTURE_MLP | CLSP_CAPTURE_LAST | CLSP_CAPTURE_HIDDEN };

/* Every other head, and every head of the second layer. Values of heads that are not replaced, and those of the last
 * layer's patches, are not finite: they must not be read. */
typedef struct replacement {
    unsigned char *heads;
    float *values;
    clipspan_intervention intervention;
} replacement;

static replacement replacement_new(const clsp_vision *v, int tokens, bool zeros)
{
    size_t heads = (size_t)v->config.heads, all = heads * (size_t)v->config.layers, d = (size_t)v->config.head_dim;
    size_t row = (size_t)tokens * d;
    replacement r = {calloc(all, 1), malloc(all * row * sizeof(float)), {0}};
    for (size_t h = 0; h < all; h++) {
        bool last = h / heads + 1 == (size_t)v->config.layers;
        r.heads[h] = h / heads == 1 || h % 2 == 0;
        for (size_t i = 0; i < row; i++)
            r.values[h * row + i] = r.heads[h] && (!last || i < d) ? (float)uniform() : NAN;
    }
    r.intervention = (clipspan_intervention){r.heads, zeros ? NULL : r.values, tokens};
    return r;
}

static void replacement_free(replacement *r)
{
    free(r->heads);
    free(r->values);
}

static double compare(const clsp_capture *c, const clsp_vision *v, const trace *kept, const double *last, size_t b)
{
    size_t d = (size_t)v->config.width, m = (size_t)v->config.mlp_width, layers = (size_t)v->config.layers;
    double worst = error_of(c->last + b * d, last, d);
    for (size_t l = 0; l < layers; l++) {
        size_t row = l * c->images + b;
        double size = 0.0; /* a layer whose heads are all zero has no relative error */
        for (size_t i = 0; i < d; i++) size = fmax(size, fabs(kept->z[l * d + i]));
        for (size_t i = 0; size == 0.0 && i < d; i++) assert_true(c->z[row * d + i] == 0.0f);
        if (size > 0.0) worst = worse(worst, error_of(c->z + row * d, kept->z + l * d, d));
        worst = worse(worst, error_of(c->mlp + (row + c->images) * d, kept->mlp + (l + 1) * d, d));
        worst = worse(worst, error_of(c->hidden + row * m, kept->hidden + l * m, m));
    }
    return worst;
}

static void replaced_case(const problem *p, clipspan_dtype dtype, bool every_token, bool zeros)
{
    clipspan_model model;
    random_model(&model, p);
    const clsp_vision *v = &model.vision;
    size_t d = (size_t)v->config.width, image = 3 * (size_t)(v->image_size * v->image_size);
    float *pixels = random_pixels(v), plain[BATCH * EMBED], changed[BATCH * EMBED], again[BATCH * EMBED];
    replacement r = replacement_new(v, every_token ? v->tokens : 1, zeros);
    clipspan_engine *engine = engine_of(&model, dtype);
    clsp_capture capture;
    double *last = malloc(d * sizeof *last), expected[EMBED], worst = 0.0, moved = 0.0;
    trace kept = trace_new(v);
    assert_int_equal(clsp_capture_new(&capture, v, BATCH, KEPT, NULL, 0, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, NULL, plain, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_engine_intervene(engine, &r.intervention, NULL), CLIPSPAN_OK);
    unsigned char wanted[16];
    assert_true(p->heads * p->layers <= 16);
    memcpy(wanted, r.heads, (size_t)(p->heads * p->layers));
    memset(r.heads, 0, (size_t)(p->heads * p->layers)); /* it was copied */
    assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, &capture, changed, NULL), CLIPSPAN_OK);
    memcpy(r.heads, wanted, (size_t)(p->heads * p->layers));
    kept.intervention = &r.intervention;
    for (size_t b = 0; b < BATCH; b++) {
        reference_image(&model, pixels + b * image, &kept, last, expected);
        worst = worse(worst, error_of(changed + b * EMBED, expected, EMBED));
        worst = worse(worst, compare(&capture, v, &kept, last, b));
        for (size_t e = 0; e < EMBED; e++) moved = fmax(moved, fabs((double)plain[b * EMBED + e] - expected[e]));
    }
    printf("%s, %s, %s%s: error %.1e, embedding moved by %.2f\n", p->name, dtype == CLIPSPAN_BF16 ? "bf16" : "f32",
           every_token ? "every token" : "class token", zeros ? ", zeros" : "", worst, moved);
    assert_true(worst < (dtype == CLIPSPAN_BF16 ? bf16_limit : f32_limit));
    assert_true(moved > 0.1);
    assert_int_equal(clipspan_engine_intervene(engine, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, NULL, again, NULL), CLIPSPAN_OK);
    assert_memory_equal(plain, again, sizeof plain);
    clsp_capture_free(&capture);
    clipspan_engine_free(engine);
    trace_free(&kept);
    replacement_free(&r);
    free(last), free(pixels);
    free_model(&model);
}

static void replaced_all(clipspan_dtype dtype)
{
    for (size_t i = 0; i < PROBLEMS; i++)
        for (int how = 0; how < 4; how++) replaced_case(&problems[i], dtype, how & 1, how & 2);
}

static void replaced_f32(void **state)
{
    (void)state;
    replaced_all(CLIPSPAN_F32);
}
static void replaced_bf16(void **state)
{
    (void)state;
    replaced_all(CLIPSPAN_BF16);
}

/* The residual stream behind the last attention changes by exactly what the replaced heads wrote less, and nothing before
 * it changes at all: there the total effect and the direct one are the same, up to the last MLP's answer. */
static void last_layer_case(const problem *p)
{
    clipspan_model model;
    random_model(&model, p);
    const clsp_vision *v = &model.vision;
    size_t d = (size_t)v->config.width, last = (size_t)v->config.layers - 1;
    float *pixels = random_pixels(v), embedding[BATCH * EMBED];
    unsigned char *heads = calloc((last + 1) * (size_t)p->heads, 1);
    clipspan_engine *engine = engine_of(&model, CLIPSPAN_F32);
    clsp_capture plain, changed;
    assert_int_equal(clsp_capture_new(&plain, v, BATCH, KEPT, NULL, 0, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_capture_new(&changed, v, BATCH, KEPT, NULL, 0, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, &plain, embedding, NULL), CLIPSPAN_OK);
    heads[last * (size_t)p->heads] = 1;
    assert_int_equal(clipspan_engine_intervene(engine, &(clipspan_intervention){heads, NULL, 1}, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(engine, pixels, BATCH, &changed, embedding, NULL), CLIPSPAN_OK);
    assert_memory_equal(plain.z, changed.z, last * BATCH * d * sizeof *plain.z);
    assert_memory_equal(plain.mlp, changed.mlp, (last + 1) * BATCH * d * sizeof *plain.mlp);
    double worst = 0.0, largest = 0.0;
    for (size_t b = 0; b < BATCH; b++) {
        double z[128] = {0}, *wrote = malloc(d * sizeof *wrote), *whole = calloc(d, sizeof *whole);
        for (size_t c = 0; c < (size_t)p->head_dim; c++) z[c] = plain.z[(last * BATCH + b) * d + c];
        memcpy(whole, z, (size_t)p->head_dim * sizeof *whole);
        apply(wrote, whole, &v->blocks[last].out, NULL, d, d);
        for (size_t i = 0; i < d; i++) {
            size_t at = b * d + i, mlp = ((last + 1) * BATCH + b) * d + i;
            double before = (double)plain.last[at] - plain.mlp[mlp], after = (double)changed.last[at] - changed.mlp[mlp];
            worst = worse(worst, fabs(before - after - wrote[i]));
            largest = fmax(largest, fabs(wrote[i]));
        }
        free(wrote), free(whole);
    }
    printf("%s, last layer: %.1e of %.2f\n", p->name, worst, largest);
    assert_true(largest > 0.1 && worst < 5e-6 * largest + 2e-6); /* observed 9.4e-7 in values of a few units */
    clsp_capture_free(&plain), clsp_capture_free(&changed);
    clipspan_engine_free(engine);
    free(heads), free(pixels);
    free_model(&model);
}

static void last_layer(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBLEMS; i++) last_layer_case(&problems[i]);
}

/* ---- means, on pictures ------------------------------------------------------------------------------------ */

enum { PICTURES = 5 }; /* one and two thirds batches */

/* A list of golden pictures that decode, behind `first_line`. */
static clipspan_images *pictures(const clipspan_model *model, const char *first_line, size_t wanted)
{
    clipspan_images *images = NULL, *golden = NULL;
    clipspan_error err;
    char text[16384];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", first_line), side = (size_t)model->vision.image_size;
    float *pixels = malloc(3 * side * side * sizeof *pixels);
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
    if (clipspan_images_open(&images, scratch_write("list.txt", text, strlen(text)), NULL, &err))
        fail_msg("%s", err.message);
    return images;
}

typedef struct world {
    clipspan_model model;
    clipspan_engine *engine;
    size_t layers, heads, tokens, d, count; /* count: L H N d */
    float *means;
} world;

static void world_new(world *w, const problem *p, clipspan_dtype dtype)
{
    random_model(&w->model, p);
    w->model.preprocess = (clsp_preprocess){.size = p->image, .resize = p->image, .do_resize = true, .do_crop = true,
                                            .do_rescale = true, .do_normalize = true, .rescale = 1.0 / 255,
                                            .mean = {0.5, 0.4, 0.6}, .std = {0.3, 0.2, 0.25}};
    w->engine = engine_of(&w->model, dtype);
    w->layers = (size_t)p->layers, w->heads = (size_t)p->heads, w->d = (size_t)p->head_dim;
    w->tokens = (size_t)w->model.vision.tokens;
    w->count = w->layers * w->heads * w->tokens * w->d;
    w->means = malloc(w->count * sizeof *w->means);
}

static void world_free(world *w)
{
    clipspan_engine_free(w->engine);
    free(w->means);
    free_model(&w->model);
}

static float *pixels_of(const world *w, const clipspan_images *images, size_t count)
{
    size_t side = (size_t)w->model.vision.image_size;
    float *pixels = malloc(count * 3 * side * side * sizeof *pixels);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(clipspan_images_preprocess(images, i, &w->model, pixels + i * 3 * side * side, NULL), CLIPSPAN_OK);
    return pixels;
}

/* Every head replaced, at every token, by what it wrote: not a bit changes. */
static void own_values_case(const problem *p, clipspan_dtype dtype)
{
    world w;
    world_new(&w, p, dtype);
    clipspan_images *images = pictures(&w.model, "", 1);
    float *pixels = pixels_of(&w, images, 1), plain[EMBED], changed[EMBED];
    unsigned char *heads = malloc(w.layers * w.heads);
    memset(heads, 1, w.layers * w.heads);
    assert_int_equal(clipspan_engine_head_means(w.engine, images, 1, w.means, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(w.engine, pixels, 1, NULL, plain, NULL), CLIPSPAN_OK);
    clipspan_intervention own = {heads, w.means, (int)w.tokens};
    assert_int_equal(clipspan_engine_intervene(w.engine, &own, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(w.engine, pixels, 1, NULL, changed, NULL), CLIPSPAN_OK);
    assert_memory_equal(plain, changed, sizeof plain);
    /* And without the last layer's, a patch's own value changes something: the comparison can fail. */
    memset(heads + (w.layers - 1) * w.heads, 0, w.heads);
    for (size_t i = 0; i < w.d; i++) w.means[w.d + i] += 1.0f; /* L0.H0 at the first patch */
    assert_int_equal(clipspan_engine_intervene(w.engine, &own, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(w.engine, pixels, 1, NULL, changed, NULL), CLIPSPAN_OK);
    if (w.layers > 1) assert_memory_not_equal(plain, changed, sizeof plain);
    clipspan_images_free(images);
    free(pixels), free(heads);
    world_free(&w);
}

static void own_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBLEMS; i++) {
        own_values_case(&problems[i], CLIPSPAN_F32);
        own_values_case(&problems[i], CLIPSPAN_BF16);
    }
}

static int warnings;
static void warn(void *user, const char *message)
{
    (void)user, (void)message;
    warnings++;
}

/* Means over five pictures, the first of the list broken, against the reference's. */
static void means_case(const problem *p, clipspan_dtype dtype)
{
    world w;
    world_new(&w, p, dtype);
    scratch_write("broken.jpg", "\xff\xd8\xff\xe0 this is no picture", 24);
    clipspan_images *images = pictures(&w.model, "broken.jpg\n", PICTURES), *good = pictures(&w.model, "", PICTURES);
    size_t width = w.heads * w.d, image = 3 * (size_t)(p->image * p->image);
    float *pixels = pixels_of(&w, good, PICTURES);
    double *last = malloc(width * sizeof *last), embedding[EMBED], *mean = calloc(w.count, sizeof *mean), worst = 0.0;
    trace kept = trace_new(&w.model.vision);
    warnings = 0;
    assert_int_equal(clipspan_engine_head_means(w.engine, images, 0, w.means, &(clipspan_hooks){.warn = warn}, NULL),
                     CLIPSPAN_OK);
    assert_int_equal(warnings, 1);
    for (size_t b = 0; b < PICTURES; b++) {
        reference_image(&w.model, pixels + b * image, &kept, last, embedding);
        for (size_t i = 0; i < w.count; i++) {
            size_t l = i / (w.heads * w.tokens * w.d), h = i / (w.tokens * w.d) % w.heads, n = i / w.d % w.tokens;
            bool wanted = l + 1 < w.layers || n == 0;
            if (wanted) mean[i] += kept.every[((l * w.tokens + n) * w.heads + h) * w.d + i % w.d] / PICTURES;
        }
    }
    worst = error_of(w.means, mean, w.count);
    printf("means, %s, %s: %.1e\n", p->name, dtype == CLIPSPAN_BF16 ? "bf16" : "f32", worst);
    assert_true(worst < (dtype == CLIPSPAN_BF16 ? bf16_limit : f32_limit));
    for (size_t i = 0; i < w.count; i++)
        if (mean[i] == 0.0) assert_true(w.means[i] == 0.0f);
    clipspan_images_free(images), clipspan_images_free(good);
    trace_free(&kept);
    free(pixels), free(last), free(mean);
    world_free(&w);
}

static void means(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBLEMS; i++) {
        means_case(&problems[i], CLIPSPAN_F32);
        means_case(&problems[i], CLIPSPAN_BF16);
    }
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

static void means_are_refused(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    world_new(&w, &problems[1], CLIPSPAN_F32);
    scratch_write("broken.jpg", "\xff\xd8\xff\xe0 this is no picture", 24);
    clipspan_images *images = pictures(&w.model, "broken.jpg\n", 1), *none = pictures(&w.model, "broken.jpg\n", 0);
    assert_int_equal(clipspan_engine_head_means(w.engine, images, 1, w.means, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "broken.jpg");
    assert_int_equal(clipspan_engine_head_means(w.engine, none, 0, w.means, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "no image could be read");
    clipspan_images_free(images), clipspan_images_free(none);
    world_free(&w);
}

static clipspan_status no_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    (void)user, (void)batch, (void)err;
    return CLIPSPAN_OK;
}

static void arguments_are_checked(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    world_new(&w, &problems[1], CLIPSPAN_F32); /* 3 layers of 2 heads, 5 tokens */
    unsigned char two[6] = {0, 0, 2, 0, 0, 0}, one[6] = {0, 0, 0, 0, 1, 0};
    for (size_t i = 0; i < w.count; i++) w.means[i] = 0.5f;
    w.means[(4 * 1 + 0) * w.d + 3] = INFINITY; /* L2.H0, class token, as [L, H, 1, d] */
    const clipspan_intervention wrong[] = {{NULL, NULL, 1}, {one, NULL, 0}, {one, NULL, 2}, {two, NULL, 1}, {one, w.means, 1}};
    const char *messages[] = {"heads is NULL, expected 3 x 2", "0 tokens, expected 1 (the class token) or the model's 5",
                              "2 tokens", "L1.H0 is marked 2", "value 3 of L2.H0 at token 0 is not finite"};
    float *pixels = random_pixels(&w.model.vision), before[BATCH * EMBED], after[BATCH * EMBED];
    one[0] = 1;
    assert_int_equal(clipspan_engine_intervene(w.engine, &(clipspan_intervention){one, NULL, 1}, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(w.engine, pixels, BATCH, NULL, before, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(clipspan_engine_intervene(w.engine, &wrong[i], &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_message(err, messages[i]);
    }
    assert_int_equal(clsp_engine_forward(w.engine, pixels, BATCH, NULL, after, &err), CLIPSPAN_OK);
    assert_memory_equal(before, after, sizeof before); /* what stood before stands on */
    free(pixels);
    world_free(&w);
}

/* Whoever asks for a part that a replaced head does not have is told so, and no store is written. */
static void parts_are_refused(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    world_new(&w, &problems[1], CLIPSPAN_F32);
    clipspan_images *images = pictures(&w.model, "", 1);
    unsigned char one[6] = {0, 0, 0, 1, 0, 0};
    float *pixels = random_pixels(&w.model.vision), embedding[BATCH * EMBED];
    clsp_capture capture;
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    assert_int_equal(clipspan_engine_intervene(w.engine, &(clipspan_intervention){one, NULL, 5}, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_capture_new(&capture, &w.model.vision, BATCH, CLSP_CAPTURE_CLS, NULL, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_engine_forward(w.engine, pixels, BATCH, &capture, embedding, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "the cls part cannot be told while heads are replaced");
    assert_int_equal(clipspan_decompose_each(w.engine, images, NULL, no_batch, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "the cls part");
    options.parts = CLIPSPAN_PART_TOKENS;
    assert_int_equal(clipspan_decompose_each(w.engine, images, &options, no_batch, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "the tokens part");
    options.parts = CLIPSPAN_PART_MLP;
    assert_int_equal(clipspan_decompose_each(w.engine, images, &options, no_batch, NULL, NULL, &err), CLIPSPAN_OK);
    clipspan_store_options moments = CLIPSPAN_STORE_OPTIONS_INIT;
    moments.moments_only = 1;
    assert_int_equal(clipspan_store_decompose(w.engine, images, scratch("no_store"), &moments, NULL, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "a store speaks of the model as it is");
    assert_false(clsp_directory_exists(scratch("no_store")));
    clsp_capture_free(&capture);
    clipspan_images_free(images);
    free(pixels);
    world_free(&w);
}

static clipspan_engine *walked_engine;
static clipspan_images *walked_images;
static float *walked_means;
static clipspan_status walk(void)
{
    unsigned char heads[6] = {1, 0, 0, 0, 1, 0};
    clipspan_intervention v = {heads, NULL, 5};
    clipspan_status status = clipspan_engine_intervene(walked_engine, &v, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_engine_head_means(walked_engine, walked_images, 1, walked_means, NULL, NULL);
    return status;
}

static void allocation_failures(void **state)
{
    (void)state;
    world w;
    world_new(&w, &problems[1], CLIPSPAN_BF16);
    walked_images = pictures(&w.model, "", 2);
    walked_engine = w.engine;
    walked_means = w.means;
    walk_failed_allocations(walk);
    clipspan_images_free(walked_images);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_f32), cmocka_unit_test(replaced_bf16), cmocka_unit_test(last_layer),
        cmocka_unit_test(own_values), cmocka_unit_test(means), cmocka_unit_test(means_are_refused),
        cmocka_unit_test(arguments_are_checked), cmocka_unit_test(parts_are_refused),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
