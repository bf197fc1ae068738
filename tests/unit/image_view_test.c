/* Pictures for people: the model's view is what its pixels are made of; thumbnails are Pillow's. */
#include "image_testing.h"

#include "clipspan/image.h"

enum { SIDE = 30, MOST = 4096 };

static clipspan_images *open_goldens(int exif)
{
    clipspan_error err = {0};
    clipspan_images *images = NULL;
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.exif = exif;
    if (clipspan_images_open(&images, "golden/image", &options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return images;
}

/* The pixels of [S, S, 3] as the two programs make them. */
static float pixel_of(const clsp_preprocess *how, int channel, unsigned char value)
{
    float x = how->manner == CLSP_PREPROCESS_OPEN_CLIP ? (float)value / 255.0F : (float)((double)value * how->rescale);
    return (x - (float)how->mean[channel]) / (float)how->std[channel];
}

static void view_is_what_the_model_sees(void **state)
{
    (void)state;
    static float pixels[3 * SIDE * SIDE];
    static unsigned char rgb[3 * SIDE * SIDE];
    size_t compared = 0;
    for (int turn = 0; turn < 8; turn++) {
        clsp_preprocess how = clip_settings(SIDE);
        if (turn & 1) how.manner = CLSP_PREPROCESS_HUGGINGFACE;
        if (turn & 2) how.mode = CLSP_RESIZE_SQUASH;
        clipspan_images *images = open_goldens(turn & 4);
        for (size_t i = 0; i < clipspan_images_count(images); i++) {
            clipspan_error first = {0}, second = {0};
            clipspan_status status = clsp_images_pixels(images, i, &how, pixels, &first);
            assert_int_equal(clsp_images_rgb(images, i, &how, rgb, &second), status);
            if (status != CLIPSPAN_OK) {
                assert_string_equal(first.message, second.message);
                continue;
            }
            for (int c = 0; c < 3; c++)
                for (size_t p = 0; p < SIDE * SIDE; p++)
                    if (pixels[(size_t)c * SIDE * SIDE + p] != pixel_of(&how, c, rgb[3 * p + (size_t)c]))
                        fail_msg("%s: pixel %zu differs", clipspan_images_name(images, i), p);
            compared++;
        }
        clipspan_images_free(images);
    }
    assert_true(compared > 400);
}

static void thumbnails_equal_pillow(void **state)
{
    (void)state;
    clipspan_images *images = open_goldens(0);
    unsigned char *rgb = malloc((size_t)MOST * MOST * 3);
    char name[64], hash[20], got[20];
    int side, width, height, compared = 0;
    FILE *file = fopen("golden/image/thumbnails.txt", "r");
    assert_non_null(file);
    while (fscanf(file, "%63s %d %d %d %19s", name, &side, &width, &height, hash) == 5) {
        size_t i = 0;
        int across = 0, down = 0;
        clipspan_error err = {0};
        while (i < clipspan_images_count(images) && strcmp(clipspan_images_name(images, i), name) != 0) i++;
        if (clipspan_images_thumbnail(images, i, side, rgb, &across, &down, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        assert_int_equal(across, width);
        assert_int_equal(down, height);
        snprintf(got, sizeof got, "%016llx", fnv(rgb, 3 * (size_t)width * (size_t)height));
        if (strcmp(got, hash) != 0) fail_msg("%s at %d: %s, expected %s", name, side, got, hash);
        compared++;
    }
    fclose(file);
    assert_int_equal(compared, 28);
    free(rgb);
    clipspan_images_free(images);
}

/* With exif, a picture on its side stands up. */
static void thumbnails_are_turned(void **state)
{
    (void)state;
    clipspan_images *plain = open_goldens(0), *turned = open_goldens(1);
    unsigned char rgb[3 * 24 * 24];
    int w[2], h[2], swapped = 0;
    for (size_t i = 0; i < clipspan_images_count(plain); i++) {
        const char *name = clipspan_images_name(plain, i);
        if (strncmp(name, "exif6", 5) != 0 && strncmp(name, "exif8", 5) != 0) continue;
        assert_int_equal(clipspan_images_thumbnail(plain, i, 24, rgb, &w[0], &h[0], NULL), CLIPSPAN_OK);
        assert_int_equal(clipspan_images_thumbnail(turned, i, 24, rgb, &w[1], &h[1], NULL), CLIPSPAN_OK);
        assert_true(w[0] == h[1] && h[0] == w[1]);
        swapped += w[0] != h[0];
    }
    assert_true(swapped >= 6);
    clipspan_images_free(plain);
    clipspan_images_free(turned);
}

static void refuses(void **state)
{
    (void)state;
    clipspan_images *images = open_goldens(0);
    unsigned char rgb[3];
    int width, height;
    clipspan_error err = {0};
    assert_int_equal(clipspan_images_thumbnail(images, 100000, 1, rgb, &width, &height, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "image 100000 of"));
    assert_int_equal(clipspan_images_thumbnail(images, 0, 0, rgb, &width, &height, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "thumbnails of 0 pixels, expected 1 to 16384");
    clipspan_images_free(images);
}

/* Bytes at hand give what the file gives, turned or not. */
static void bytes_are_the_file(void **state)
{
    (void)state;
    static float from_file[3 * SIDE * SIDE], from_bytes[3 * SIDE * SIDE];
    clsp_preprocess how = clip_settings(SIDE);
    size_t compared = 0;
    for (int exif = 0; exif < 2; exif++) {
        clipspan_images *files = open_goldens(exif);
        for (size_t i = 0; i < clipspan_images_count(files); i++) {
            const char *name = clipspan_images_name(files, i);
            clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
            clipspan_images *one = NULL;
            clipspan_error first = {0}, second = {0};
            size_t size = 0;
            unsigned char *bytes = golden_bytes(name, &size);
            options.exif = exif;
            assert_int_equal(clipspan_images_open_memory(&one, name, bytes, size, &options, &second), CLIPSPAN_OK);
            free(bytes);
            assert_int_equal(clipspan_images_count(one), 1);
            assert_string_equal(clipspan_images_name(one, 0), name);
            assert_int_equal(clipspan_images_exif(one), exif);
            clipspan_status status = clsp_images_pixels(files, i, &how, from_file, &first);
            assert_int_equal(clsp_images_pixels(one, 0, &how, from_bytes, &second), status);
            if (status == CLIPSPAN_OK) assert_memory_equal(from_bytes, from_file, sizeof from_file);
            compared += status == CLIPSPAN_OK;
            clipspan_images_free(one);
        }
        clipspan_images_free(files);
    }
    assert_true(compared > 100);
}

static void garbage_is_refused(void **state)
{
    (void)state;
    static float pixels[3 * SIDE * SIDE];
    static unsigned char bytes[4096];
    clsp_preprocess how = clip_settings(SIDE);
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    clipspan_images *one = (clipspan_images *)pixels;
    clipspan_error err = {0};
    assert_int_equal(clipspan_images_open_memory(&one, "nothing.jpg", bytes, 0, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_string_equal(err.message, "nothing.jpg: the file is empty");
    assert_null(one);
    for (size_t length = 1; length <= sizeof bytes; length *= 2) {
        for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)(i * 37 + length);
        if (length > 3) memcpy(bytes, "\xff\xd8\xff", 3);
        assert_int_equal(clipspan_images_open_memory(&one, "upload", bytes, length, NULL, &err), CLIPSPAN_OK);
        assert_int_equal(clsp_images_pixels(one, 0, &how, pixels, &err), CLIPSPAN_ERROR_FORMAT);
        assert_int_equal(strncmp(err.message, "upload: ", 8), 0);
        clipspan_images_free(one);
    }
    size_t size = 0;
    unsigned char *picture = golden_bytes("jpeg_rgb.jpg", &size);
    options.max_pixels = 10;
    assert_int_equal(clipspan_images_open_memory(&one, "large.jpg", picture, size, &options, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_images_pixels(one, 0, &how, pixels, &err), CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "expected at most 10 in all"));
    clipspan_images_free(one);
    free(picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view_is_what_the_model_sees),
        cmocka_unit_test(thumbnails_equal_pillow),
        cmocka_unit_test(thumbnails_are_turned),
        cmocka_unit_test(refuses),
        cmocka_unit_test(bytes_are_the_file),
        cmocka_unit_test(garbage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
