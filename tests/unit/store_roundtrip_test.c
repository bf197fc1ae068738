/* What goes into a store comes out of it: f32 to the bit, f16 rounded once; in any batches, layers and parts. */
#include "store_fake.h"

static void expect_ok(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

static clipspan_store *written(store_fake *s, clipspan_store_summary *summary)
{
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    expect_ok(store_fake_run(s, summary, NULL, &err), &err);
    expect_ok(clipspan_store_open(&store, s->directory, &err), &err);
    return store;
}

static void gather_source(store_fake *s, gathered *g)
{
    assert_int_equal(fake_source(s, 0, FAKE_IMAGES, gather_range, g, NULL, NULL), CLIPSPAN_OK);
}

static void gather_store(const clipspan_store *store, gathered *g, unsigned parts, size_t batch)
{
    clipspan_error err = {0};
    clipspan_store_selection select = {.parts = parts, .batch = batch};
    expect_ok(clipspan_store_each(store, &select, gather_batch, g, NULL, &err), &err);
}

enum { EVERYTHING = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS | CLIPSPAN_PART_TOKENS };
static const int token_layers[2] = {0, 2};

static void f32_to_the_bit(void **state)
{
    (void)state;
    store_fake s;
    clipspan_store_summary summary;
    gathered expected = {0};
    store_fake_init(&s, "f32");
    s.options.decompose = (clipspan_decompose_options){.parts = EVERYTHING, .token_layers = token_layers,
                                                       .token_layer_count = 2};
    clipspan_store *store = written(&s, &summary);
    gather_source(&s, &expected);
    assert_int_equal(summary.images, 40);
    assert_int_equal(summary.skipped, 7);
    assert_int_equal(summary.resumed, 0);
    for (size_t batch = 0; batch <= 13; batch++) {
        gathered found = {0};
        gather_store(store, &found, EVERYTHING, batch);
        assert_int_equal(found.images, 40);
        assert_int_equal(found.per_image, expected.per_image);
        assert_memory_equal(found.values, expected.values, 40 * found.per_image * sizeof(float));
        for (size_t i = 0; i < 40; i++) assert_int_equal(found.rows[i], i);
        free(found.values);
    }
    for (size_t first = 0; first < 40; first += 3) { /* any range of rows, across shards */
        gathered found = {0};
        clipspan_error err = {0};
        size_t count = first % 2 ? 0 : clsp_min(1 + first, 40 - first), rows = count ? count : 40 - first;
        clipspan_store_selection select = {.parts = EVERYTHING, .batch = first % 5, .first = first, .count = count};
        expect_ok(clipspan_store_each(store, &select, gather_batch, &found, NULL, &err), &err);
        assert_int_equal(found.images, rows);
        assert_memory_equal(found.values, expected.values + first * found.per_image, rows * found.per_image * sizeof(float));
        for (size_t i = 0; i < rows; i++) assert_int_equal(found.rows[i], first + i);
        free(found.values);
    }
    clipspan_store_selection beyond = {.first = 30, .count = 11};
    assert_int_equal(clipspan_store_each(store, &beyond, gather_batch, NULL, NULL, NULL), CLIPSPAN_ERROR_ARGUMENT);
    free(expected.values);
    clipspan_store_free(store);
    store_fake_clear(&s);
}

static void f16_rounded_once(void **state)
{
    (void)state;
    store_fake s;
    gathered expected = {0}, found = {0};
    size_t exact = 3, heads = FAKE_LAYERS * FAKE_HEADS * FAKE_WIDTH, weights = heads * FAKE_EMBED, rounded = 0;
    store_fake_init(&s, "f16");
    s.options.half = 1;
    s.options.decompose.parts = 0;
    clipspan_store *store = written(&s, NULL);
    gather_source(&s, &expected);
    gather_store(store, &found, EVERYTHING, 5); /* parts that are not there are not an error */
    assert_string_equal(clipspan_store_get_info(store)->dtype, "f16");
    assert_int_equal(found.per_image, exact + FAKE_EMBED + heads);
    for (size_t i = 0; i < found.images; i++) {
        const float *in = expected.values + i * expected.per_image, *out = found.values + i * found.per_image;
        assert_memory_equal(in, out, exact * sizeof *in);
        for (size_t k = exact; k < found.per_image; k++) {
            float half = clsp_f16_to_f32(clsp_f32_to_f16(in[k]));
            assert_memory_equal(&half, out + k, sizeof half);
            rounded += in[k] != out[k];
        }
    }
    assert_true(rounded > found.images * heads / 2);
    for (size_t k = 0; k < weights; k++) {
        float half = clsp_f16_to_f32(clsp_f32_to_f16(s.basis.view.w[k]));
        assert_memory_equal(&half, clipspan_store_basis(store)->w + k, sizeof half);
    }
    assert_memory_equal(clipspan_store_basis(store)->bias, s.basis.view.bias, FAKE_LAYERS * FAKE_EMBED * sizeof(float));
    free(expected.values);
    free(found.values);
    clipspan_store_free(store);
    store_fake_clear(&s);
}

static void f16_overflow_is_an_error(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    store_fake_init(&s, "overflow");
    s.options.half = 1;
    s.scale = 1e6F;
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "beyond the range of f16 (65504): keep this store as f32"));
    store_fake_clear(&s);
}

static void what_it_says(void **state)
{
    (void)state;
    store_fake s;
    store_fake_init(&s, "info");
    clipspan_store *store = written(&s, NULL);
    const clipspan_store_info *info = clipspan_store_get_info(store);
    assert_string_equal(info->model_name, "fake-ViT");
    assert_string_equal(info->model_path, "/models/fake-ViT");
    assert_string_equal(info->model_fingerprint, "00112233445566778899aabbccddeeff");
    assert_string_equal(info->model_config, "");
    assert_string_equal(info->images_kind, "csv");
    assert_true(info->complete && !info->moments_only && info->parts == (CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS));
    assert_true(info->images == 40 && info->skipped == 7 && info->listed == 47 && info->shards == 4);
    assert_true(info->layers == FAKE_LAYERS && info->heads == FAKE_HEADS && info->head_dim == FAKE_WIDTH);
    assert_true(info->embed_dim == FAKE_EMBED && info->tokens == FAKE_TOKENS && info->image_size == 16);
    assert_true(info->logit_scale == 100.0F && info->bytes > 10000);
    assert_string_equal(clipspan_store_image_name(store, 2), "pictures/2.png");
    assert_string_equal(clipspan_store_image_name(store, 3), "pictures/4.png"); /* 3 was left out */
    assert_string_equal(clipspan_store_image_name(store, 39), "pictures/46.png");
    assert_string_equal(clipspan_store_image_name(store, 40), "");
    assert_int_equal(clipspan_store_class_count(store), 2);
    assert_string_equal(clipspan_store_class(store, 1), "dog");
    assert_int_equal(clipspan_store_image_label(store, 3), 1); /* image 4 */
    assert_int_equal(clipspan_store_image_label(store, 4), -1); /* image 5 */
    assert_int_equal(clipspan_store_image_label(store, 40), -1);
    assert_int_equal(clipspan_store_column_count(store), 2);
    assert_string_equal(clipspan_store_column(store, 1), "place");
    assert_string_equal(clipspan_store_value(store, 4, 1), "sea, deep");
    assert_string_equal(clipspan_store_value(store, 4, 7), "");
    assert_memory_equal(clipspan_store_basis(store)->w, s.basis.view.w,
                        FAKE_LAYERS * FAKE_HEADS * FAKE_WIDTH * FAKE_EMBED * sizeof(float));
    clipspan_store_free(store);
    store_fake_clear(&s);
}

/* Layers that are not asked for leave the others where they are. */
static clipspan_status check_layer_1(void *user, const clipspan_batch *b, clipspan_error *err)
{
    const gathered *expected = user;
    size_t heads = FAKE_HEADS, d = FAKE_WIDTH, at = 3 + FAKE_EMBED;
    (void)err;
    assert_null(b->cls);
    assert_non_null(b->mlp);
    assert_int_equal(b->token_layer_count, 0);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < b->images; i++)
            assert_memory_equal(b->z + ((heads + h) * b->images + i) * d,
                                expected->values + b->index[i] * expected->per_image + at + (heads + h) * d,
                                d * sizeof(float));
    return CLIPSPAN_OK;
}

static void one_layer(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    gathered expected = {0};
    const unsigned char layers[FAKE_LAYERS] = {0, 1, 0};
    clipspan_store_selection select = {.layers = layers, .parts = CLIPSPAN_PART_MLP | CLIPSPAN_PART_TOKENS, .batch = 5};
    store_fake_init(&s, "layers");
    s.options.decompose = (clipspan_decompose_options){.parts = EVERYTHING, .token_layers = token_layers,
                                                       .token_layer_count = 2};
    clipspan_store *store = written(&s, NULL);
    gather_source(&s, &expected);
    expect_ok(clipspan_store_each(store, &select, check_layer_1, &expected, NULL, &err), &err);
    free(expected.values);
    clipspan_store_free(store);
    store_fake_clear(&s);
}

/* The moments are those of the float32 batches, also where the shards are f16; a store of moments alone has the same. */
static void moments(void **state)
{
    (void)state;
    store_fake s, bare;
    clipspan_error err = {0};
    clipspan_moments *with_shards = NULL, *alone = NULL;
    clipspan_store_summary summary;
    store_fake_init(&s, "with-shards");
    s.options.half = 1;
    clipspan_store *store = written(&s, NULL);
    expect_ok(clipspan_store_moments(store, &with_shards, &err), &err);
    store_fake_init(&bare, "moments-alone");
    bare.options.moments_only = 1;
    bare.options.decompose.parts = 0;
    clipspan_store *bare_store = written(&bare, &summary);
    expect_ok(clipspan_store_moments(bare_store, &alone, &err), &err);
    assert_int_equal(clipspan_moments_images(alone), 40);
    for (int c = 0; c < 2; c++) {
        size_t heads = FAKE_LAYERS * FAKE_HEADS;
        assert_memory_equal(with_shards->sum[c], alone->sum[c], heads * clsp_head_width(&alone->basis, c) * 8);
        assert_memory_equal(with_shards->second[c], alone->second[c], heads * clsp_moments_packed(&alone->basis, c) * 8);
        assert_true(alone->second[c][0] > 0);
    }
    assert_true(clipspan_store_get_info(bare_store)->moments_only);
    assert_string_equal(clipspan_store_image_name(bare_store, 3), "pictures/4.png");
    assert_int_equal(clipspan_store_each(bare_store, NULL, gather_batch, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "keeps moments alone"));
    clipspan_moments_free(with_shards);
    clipspan_moments_free(alone);
    clipspan_store_free(store);
    clipspan_store_free(bare_store);
    store_fake_clear(&s);
    store_fake_clear(&bare);
}

/* Ranges of the list, and lists of which whole shards or everything cannot be read. */
static void ranges_and_gaps(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    clipspan_store_summary summary;
    gathered found = {0};
    store_fake_init(&s, "range");
    s.options.decompose.first = 5;
    s.options.decompose.count = 31;
    clipspan_store *store = written(&s, &summary);
    assert_int_equal(summary.images, 27); /* 10, 17, 24, 31 are left out */
    assert_string_equal(clipspan_store_image_name(store, 0), "pictures/5.png");
    assert_string_equal(clipspan_store_image_name(store, 26), "pictures/35.png");
    gather_store(store, &found, 0, 0);
    assert_int_equal(found.images, 27);
    free(found.values);
    clipspan_store_free(store);
    s.options.decompose.first = 47;
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    store_fake_clear(&s);

    /* The middle shard of three has no readable image, so it has no file. */
    store_fake_init(&s, "gap");
    s.batch = 1;
    s.options.shard_images = 1;
    s.options.decompose.count = 3;
    s.skip_every = 3;
    s.skip_at = 1;
    store = written(&s, &summary);
    assert_int_equal(summary.images, 2);
    assert_int_equal(clipspan_store_get_info(store)->shards, 3);
    assert_string_equal(clipspan_store_image_name(store, 1), "pictures/2.png");
    found = (gathered){0};
    gather_store(store, &found, 0, 0);
    assert_int_equal(found.images, 2);
    free(found.values);
    clipspan_store_free(store);
    fake_erase(s.directory);
    s.skip_at = 0;
    s.skip_every = 1; /* none can */
    assert_int_equal(store_fake_run(&s, &summary, NULL, &err), CLIPSPAN_ERROR_IO);
    assert_non_null(strstr(err.message, "none of its 3 images could be read"));
    store_fake_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_to_the_bit), cmocka_unit_test(f16_rounded_once), cmocka_unit_test(f16_overflow_is_an_error),
        cmocka_unit_test(what_it_says),   cmocka_unit_test(one_layer),        cmocka_unit_test(moments),
        cmocka_unit_test(ranges_and_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
