/* Maps against their definition: the sum over clipspan_batch_tokens . t, in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "clipspan/map.h"
#include "decompose_fake.h"
#include "scratch.h"
#include "worse.h"

typedef struct setting {
    fake model;
    fake_capture capture;
    clsp_basis basis;
    clsp_contribution *contribution;
    const clipspan_batch *batch;
    size_t kept; /* token layers */
    float *texts;
    size_t count;
} setting;

static int kept_layers[64];

/* The last `kept` of `layers` keep their tokens. */
static void set_up(setting *s, size_t layers, size_t heads, size_t d, size_t embed, size_t tokens, size_t images,
                   size_t kept, size_t texts)
{
    clipspan_error err = {0};
    unsigned char ok[16];
    uint64_t state = 5;
    memset(ok, 1, sizeof ok);
    for (size_t l = 0; l < kept; l++) kept_layers[l] = (int)(layers - kept + l);
    fake_init(&s->model, layers, heads, d, embed, tokens, false, 23);
    fake_capture_init(&s->model, &s->capture, 0, images);
    fake_pick_tokens(&s->model, &s->capture, kept_layers, (int)kept);
    assert_int_equal(clsp_basis_make(&s->basis, &s->model.model, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_contribution_new(&s->contribution, &s->basis, images, CLIPSPAN_PART_TOKENS, kept_layers,
                                           (int)kept, &err),
                     CLIPSPAN_OK);
    assert_int_equal(clsp_contribution_fill(s->contribution, &s->capture.capture, s->capture.embedding, 0, images, ok,
                                            &s->batch, &err),
                     CLIPSPAN_OK);
    s->kept = kept;
    s->count = texts;
    s->texts = malloc(texts * embed * sizeof *s->texts);
    fake_fill(s->texts, texts * embed, 0, 1 / sqrt((double)embed), &state);
}

static void tear_down(setting *s)
{
    clsp_contribution_free(s->contribution);
    clsp_basis_clear(&s->basis);
    fake_capture_clear(&s->capture);
    fake_clear(&s->model);
    free(s->texts);
}

/* By definition: out [count, T, H, N] in double. */
static double *defined(const setting *s, size_t image, clipspan_convention convention, const unsigned char *heads)
{
    size_t h_count = s->model.heads, tokens = s->model.tokens, embed = s->model.embed;
    double *out = calloc(s->count * s->kept * h_count * tokens, sizeof *out);
    float *c = malloc(tokens * embed * sizeof *c);
    for (size_t place = 0; place < s->kept; place++)
        for (size_t h = 0; h < h_count; h++) {
            if (heads && !heads[(size_t)kept_layers[place] * h_count + h]) continue;
            assert_int_equal(
                clipspan_batch_tokens(s->batch, convention, kept_layers[place], (int)h, image, c, NULL), CLIPSPAN_OK);
            for (size_t t = 0; t < s->count; t++)
                for (size_t n = 0; n < tokens; n++) {
                    double sum = 0;
                    for (size_t e = 0; e < embed; e++)
                        sum += (double)c[n * embed + e] * (double)s->texts[t * embed + e];
                    out[((t * s->kept + place) * h_count + h) * tokens + n] = sum;
                }
        }
    free(c);
    return out;
}

/* The definition summed to the detail's shape: to [count, parts, N] from [count, T, H, N]. */
static double *summed(const setting *s, const double *all, clipspan_map_detail detail, size_t *parts)
{
    size_t every = s->kept * s->model.heads, tokens = s->model.tokens;
    *parts = detail == CLIPSPAN_MAP_WHOLE ? 1 : detail == CLIPSPAN_MAP_LAYER ? s->kept : every;
    double *out = calloc(s->count * *parts * tokens, sizeof *out);
    for (size_t t = 0; t < s->count; t++)
        for (size_t p = 0; p < every; p++)
            for (size_t n = 0; n < tokens; n++)
                out[(t * *parts + p / (every / *parts)) * tokens + n] += all[(t * every + p) * tokens + n];
    return out;
}

/* Largest difference relative to the largest value. */
static double worst_of(const float *got, const double *expected, size_t count)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        worst = worse(worst, fabs((double)got[i] - expected[i]));
        largest = fmax(largest, fabs(expected[i]));
    }
    assert_true(largest > 1e-6); /* nearly nothing would prove nothing */
    return worst / largest;
}

static double compare(const setting *s, size_t image, clipspan_convention convention, const unsigned char *heads)
{
    double worst = 0, *all = defined(s, image, convention, heads);
    for (int detail = CLIPSPAN_MAP_WHOLE; detail <= CLIPSPAN_MAP_HEAD; detail++) {
        size_t parts;
        clipspan_error err = {0};
        double *expected = summed(s, all, (clipspan_map_detail)detail, &parts);
        size_t size = s->count * parts * s->model.tokens;
        float *out = malloc(size * sizeof *out);
        for (size_t i = 0; i < size; i++) out[i] = NAN; /* every value is written */
        assert_int_equal(clipspan_map_batch(out, s->batch, image, convention, heads, s->texts, s->count,
                                            (clipspan_map_detail)detail, 1 + detail % 2, &err),
                         CLIPSPAN_OK);
        worst = worse(worst, worst_of(out, expected, size));
        free(out);
        free(expected);
    }
    free(all);
    return worst;
}

static void equals_its_definition(void **state)
{
    (void)state;
    setting s;
    unsigned char heads[6 * 3] = {0};
    set_up(&s, 6, 3, 8, 20, 10, 4, 4, 5);
    heads[2 * 3 + 1] = heads[5 * 3 + 0] = heads[5 * 3 + 2] = 1;
    for (size_t image = 0; image < 4; image++)
        for (int convention = CLIPSPAN_PAPER; convention <= CLIPSPAN_EXACT; convention++) {
            double all = compare(&s, image, (clipspan_convention)convention, NULL);
            double some = compare(&s, image, (clipspan_convention)convention, heads);
            if (image == 0) printf("convention %d: %.1e of the largest value, %.1e with heads chosen\n", convention, all, some);
            assert_true(all < 3e-6 && some < 3e-6); /* observed: at most 2e-7 */
        }
    tear_down(&s);
}

/* Reads `count` values that come next and compares: relative to the largest. */
static double next_golden(FILE *golden, const float *got, size_t count)
{
    double expected[512];
    assert_true(count <= sizeof expected / sizeof *expected);
    for (size_t i = 0; i < count; i++) assert_int_equal(fscanf(golden, "%lf", &expected[i]), 1);
    return worst_of(got, expected, count);
}

/* NumPy's figures: tests/golden/analysis/make_maps.py. */
static void equals_the_golden(void **state)
{
    (void)state;
    setting s;
    clipspan_error err = {0};
    char line[256];
    float out[2 * 3 * 2 * 10];
    set_up(&s, 4, 2, 5, 9, 10, 2, 3, 2);
    FILE *golden = fopen("golden/analysis/maps.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    for (int convention = CLIPSPAN_PAPER; convention <= CLIPSPAN_EXACT; convention++) {
        const clipspan_map_detail details[] = {CLIPSPAN_MAP_HEAD, CLIPSPAN_MAP_WHOLE};
        for (int i = 0; i < 2; i++) {
            assert_int_equal(clipspan_map_batch(out, s.batch, 1, (clipspan_convention)convention, NULL, s.texts, s.count,
                                                details[i], 0, &err),
                             CLIPSPAN_OK);
            double worst = next_golden(golden, out, s.count * (i ? 1 : 6) * 10);
            printf("golden, convention %d, %s: %.1e of the largest value\n", convention, i ? "sum" : "heads", worst);
            assert_true(worst < 2e-6); /* observed 1.6e-7 */
        }
    }
    fclose(golden);
    tear_down(&s);
}

/* ViT-L-14's shape, one image, all layers. */
static void equals_its_definition_at_full_size(void **state)
{
    (void)state;
    setting s;
    set_up(&s, 24, 16, 64, 768, 257, 1, 24, 3);
    for (int convention = CLIPSPAN_PAPER; convention <= CLIPSPAN_EXACT; convention++) {
        double worst = compare(&s, 0, (clipspan_convention)convention, NULL);
        printf("ViT-L-14's shape, convention %d: %.1e of the largest value\n", convention, worst);
        assert_true(worst < 1e-5); /* observed: 1.5e-6 */
    }
    tear_down(&s);
}

/* Held images give what their batch gives, and stay where they are while others come. */
static void held_images_are_the_batch(void **state)
{
    (void)state;
    setting s;
    clipspan_error err = {0};
    clipspan_held *held = NULL;
    float got[5 * 4 * 3 * 10], expected[5 * 4 * 3 * 10], effects[4][5 * 18], one[5 * 18];
    set_up(&s, 6, 3, 8, 20, 10, 4, 4, 5);
    assert_int_equal(clipspan_held_new(&held, &err), CLIPSPAN_OK);
    assert_null(clipspan_held_batch(held, 0));
    assert_int_equal(clipspan_held_take(held, s.batch, &err), CLIPSPAN_OK);
    const clipspan_batch *first = clipspan_held_batch(held, 0);
    for (int again = 0; again < 20; again++) assert_int_equal(clipspan_held_take(held, s.batch, &err), CLIPSPAN_OK);
    assert_ptr_equal(clipspan_held_batch(held, 0), first);
    assert_int_equal(clipspan_held_images(held), 84);
    clipspan_map_effects(effects[0], s.batch, CLIPSPAN_PAPER, NULL, s.texts, s.count, 0, &err);
    for (size_t i = 0; i < 4; i++) {
        const clipspan_batch *batch = clipspan_held_batch(held, 4 + i);
        assert_int_equal(batch->index[0], s.batch->index[i]);
        clipspan_map_batch(expected, s.batch, i, CLIPSPAN_EXACT, NULL, s.texts, s.count, CLIPSPAN_MAP_HEAD, 0, &err);
        assert_int_equal(clipspan_map_batch(got, batch, 0, CLIPSPAN_EXACT, NULL, s.texts, s.count, CLIPSPAN_MAP_HEAD, 2, &err),
                         CLIPSPAN_OK);
        assert_memory_equal(got, expected, sizeof got);
        assert_int_equal(clipspan_map_effects(one, batch, CLIPSPAN_PAPER, NULL, s.texts, s.count, 0, &err), CLIPSPAN_OK);
        assert_memory_equal(one, effects[i], sizeof one);
    }
    clipspan_basis other = *s.batch->basis;
    clipspan_batch foreign = *s.batch;
    other.layers--;
    foreign.basis = &other;
    assert_int_equal(clipspan_held_take(held, &foreign, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_int_equal(clipspan_held_images(held), 84);
    const clipspan_batch *third = clipspan_held_batch(held, 2), *last = clipspan_held_batch(held, 83);
    clipspan_held_drop(held, 1);
    clipspan_held_drop(held, 83); /* no longer there */
    assert_int_equal(clipspan_held_images(held), 83);
    assert_ptr_equal(clipspan_held_batch(held, 0), first);
    assert_ptr_equal(clipspan_held_batch(held, 1), third);
    assert_ptr_equal(clipspan_held_batch(held, 82), last);
    assert_int_equal(third->index[0], s.batch->index[2]);
    while (clipspan_held_images(held) > 0) clipspan_held_drop(held, clipspan_held_images(held) - 1);
    assert_int_equal(clipspan_held_take(held, s.batch, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_held_batch(held, 3)->index[0], s.batch->index[3]);
    clipspan_held_free(held);
    clipspan_held_free(NULL);
    tear_down(&s);
}

static setting walked;

/* A batch that does not fit leaves what was held before. */
static clipspan_status hold_twice(void)
{
    clipspan_held *held = NULL;
    clipspan_error err = {0};
    clipspan_status status = clipspan_held_new(&held, &err);
    for (size_t turn = 0; turn < 2 && status == CLIPSPAN_OK; turn++) {
        status = clipspan_held_take(held, walked.batch, &err);
        assert_int_equal(clipspan_held_images(held), 4 * (turn + (status == CLIPSPAN_OK)));
    }
    for (size_t i = 0; held != NULL && i < clipspan_held_images(held); i++)
        assert_memory_equal(clipspan_held_batch(held, i)->norm, walked.batch->norm + i % 4, sizeof(float));
    clipspan_held_free(held);
    return status;
}

static void holding_fails(void **state)
{
    (void)state;
    set_up(&walked, 3, 2, 4, 8, 5, 4, 3, 1);
    walk_failed_allocations(hold_twice);
    tear_down(&walked);
}

/* All images at once: what one after another gives. */
static void every_image(void **state)
{
    (void)state;
    enum { IMAGES = 4, TEXTS = 5, MAPS = 5 * 3 };
    setting s;
    clipspan_error err = {0};
    unsigned char heads[6 * 3] = {0};
    set_up(&s, 6, 3, 8, 20, 10, IMAGES, 5, TEXTS);
    heads[2 * 3 + 1] = heads[5 * 3 + 0] = 1;
    float *all = malloc(IMAGES * TEXTS * MAPS * 10 * sizeof *all), *one = malloc(TEXTS * MAPS * 10 * sizeof *one);
    for (int detail = CLIPSPAN_MAP_WHOLE; detail <= CLIPSPAN_MAP_HEAD; detail++) {
        size_t size = TEXTS * 10 * (detail == CLIPSPAN_MAP_WHOLE ? 1 : detail == CLIPSPAN_MAP_LAYER ? 5 : MAPS);
        assert_int_equal(clipspan_map_images(all, s.batch, CLIPSPAN_PAPER, heads, s.texts, TEXTS, (clipspan_map_detail)detail,
                                             1 + detail % 2, &err), CLIPSPAN_OK);
        for (size_t i = 0; i < IMAGES; i++) {
            assert_int_equal(clipspan_map_batch(one, s.batch, i, CLIPSPAN_PAPER, heads, s.texts, TEXTS,
                                                (clipspan_map_detail)detail, 0, &err), CLIPSPAN_OK);
            assert_memory_equal(all + i * size, one, size * sizeof *one);
        }
    }
    free(all);
    free(one);
    tear_down(&s);
}

/* Few texts are scanned, many are multiplied: the same maps but for rounding, whatever comes beside a text. */
static void many_texts(void **state)
{
    (void)state;
    enum { TEXTS = 150 };
    setting s;
    float alone[10];
    set_up(&s, 6, 3, 8, 20, 10, 1, 4, TEXTS);
    float *all = malloc(TEXTS * sizeof alone);
    assert_int_equal(clipspan_map_batch(all, s.batch, 0, CLIPSPAN_PAPER, NULL, s.texts, TEXTS, CLIPSPAN_MAP_WHOLE, 0, NULL),
                     CLIPSPAN_OK);
    for (size_t t = 0; t < TEXTS; t++) {
        assert_int_equal(clipspan_map_batch(alone, s.batch, 0, CLIPSPAN_PAPER, NULL, s.texts + t * 20, 1, CLIPSPAN_MAP_WHOLE, 0,
                                            NULL), CLIPSPAN_OK);
        for (size_t n = 0; n < 10; n++) assert_true(fabs((double)alone[n] - (double)all[t * 10 + n]) < 1e-6);
    }
    free(all);
    tear_down(&s);
}

/* Its sum over all tokens is the heads' direct effect. */
static void sums_to_the_heads(void **state)
{
    (void)state;
    setting s;
    clipspan_error err = {0};
    set_up(&s, 5, 4, 8, 24, 17, 2, 5, 2);
    float *out = malloc(s.count * 5 * 4 * 17 * sizeof *out), *c = malloc(2 * 24 * sizeof *c), effects[2 * 2 * 20];
    for (int convention = CLIPSPAN_PAPER; convention <= CLIPSPAN_EXACT; convention++) {
        double worst = 0, largest = 0;
        assert_int_equal(clipspan_map_effects(effects, s.batch, (clipspan_convention)convention, NULL, s.texts, s.count,
                                              0, &err),
                         CLIPSPAN_OK);
        assert_int_equal(clipspan_map_batch(out, s.batch, 1, (clipspan_convention)convention, NULL, s.texts, s.count,
                                            CLIPSPAN_MAP_HEAD, 0, &err),
                         CLIPSPAN_OK);
        for (size_t t = 0; t < s.count; t++)
            for (int head = 0; head < 20; head++) {
                double got = 0, expected = 0;
                for (int n = 0; n < 17; n++) got += (double)out[(t * 20 + (size_t)head) * 17 + (size_t)n];
                clipspan_batch_head(s.batch, (clipspan_convention)convention, head / 4, head % 4, c, &err);
                for (int e = 0; e < 24; e++) expected += (double)c[24 + e] * (double)s.texts[t * 24 + (size_t)e];
                double effect = (double)effects[(s.count + t) * 20 + (size_t)head]; /* of image 1 */
                worst = worse(worst, worse(fabs(got - expected), fabs(effect - expected)));
                largest = fmax(largest, fabs(expected));
            }
        printf("convention %d: head sums differ by %.1e of %.1e\n", convention, worst, largest);
        assert_true(largest > 1e-3 && worst < 3e-6 * largest); /* observed: 1.5e-7 of it */
    }
    free(out);
    free(c);
    tear_down(&s);
}

static void refuses(void **state)
{
    (void)state;
    setting s;
    clipspan_error err = {0};
    float out[64];
    unsigned char heads[3 * 2] = {1, 0, 0, 0, 0, 0};
    set_up(&s, 3, 2, 4, 8, 5, 1, 2, 1);
    assert_int_equal(clipspan_map_batch(out, s.batch, 0, CLIPSPAN_PAPER, heads, s.texts, 1, CLIPSPAN_MAP_WHOLE, 0, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "L0.H0 is to be mapped, but the tokens of layer 0 were not kept");
    assert_int_equal(clipspan_map_batch(out, s.batch, 1, CLIPSPAN_PAPER, NULL, s.texts, 1, CLIPSPAN_MAP_WHOLE, 0, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    clipspan_batch bare = *s.batch;
    bare.tokens = NULL;
    assert_int_equal(clipspan_map_batch(out, &bare, 0, CLIPSPAN_PAPER, NULL, s.texts, 1, CLIPSPAN_MAP_WHOLE, 0, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "maps need the heads' terms by token (part tokens)");
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_its_definition),
        cmocka_unit_test(equals_the_golden),
        cmocka_unit_test(equals_its_definition_at_full_size),
        cmocka_unit_test(held_images_are_the_batch),
        cmocka_unit_test(holding_fails),
        cmocka_unit_test(every_image),
        cmocka_unit_test(many_texts),
        cmocka_unit_test(sums_to_the_heads),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
