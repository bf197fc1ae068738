/* Elongated pictures: Pillow's bits where a side shrinks by thousands, and a refusal where its weights would not fit. */
#include "image_testing.h"

#include <zlib.h>

#include "image/picture.h"

/* Made by tests/golden/image/elongated.py. */
static const struct {
    int width, height;
    bool bright;
    clsp_interpolation how;
    unsigned long long hash; /* of 224 x 224 x 3 */
} PILLOW[] = {
    {1000000, 2, false, CLSP_BICUBIC, 0x46b9f115f3166f45},
    {1000000, 2, false, CLSP_BILINEAR, 0x479c4f633362e965},
    {1000000, 2, true, CLSP_BICUBIC, 0xdb9ddc5b5447bf25},
    {1000000, 2, true, CLSP_BILINEAR, 0xdb9ddc5b5447bf25},
    {2, 1000000, false, CLSP_BICUBIC, 0x65b2800e4e527175},
    {2, 1000000, false, CLSP_BILINEAR, 0xdc689ecbe58be8a5},
    {2, 1000000, true, CLSP_BICUBIC, 0xdb9ddc5b5447bf25},
    {2, 1000000, true, CLSP_BILINEAR, 0xdb9ddc5b5447bf25},
    {1000000, 40, false, CLSP_BICUBIC, 0x611a668fc5aa291f},
    {1000000, 40, false, CLSP_BILINEAR, 0x25092790834f24b4},
    {1000000, 40, true, CLSP_BICUBIC, 0xdb9ddc5b5447bf25},
    {1000000, 40, true, CLSP_BILINEAR, 0xdb9ddc5b5447bf25},
};

/* As elongated.py's picture(). */
static clsp_picture picture(clsp_mode mode, int width, int height, bool bright)
{
    clsp_picture made = {.orientation = 1};
    clipspan_error err = {0};
    if (clsp_picture_allocate(&made, mode, width, height, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    size_t size = clsp_picture_row(&made) * (size_t)height;
    for (size_t i = 0; i < size; i++) made.data[i] = bright ? 255 : (unsigned char)((uint32_t)i * 2654435761U >> 24);
    return made;
}

static void bits_equal_pillow(void **state)
{
    (void)state;
    const clsp_window window = {.width = 224, .height = 224, .across = 224, .down = 224};
    for (size_t i = 0; i < sizeof PILLOW / sizeof PILLOW[0]; i++) {
        clipspan_error err = {0};
        clsp_picture in = picture(CLSP_MODE_RGB, PILLOW[i].width, PILLOW[i].height, PILLOW[i].bright), out = {0};
        if (clsp_resize(&out, &in, &window, PILLOW[i].how, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        unsigned long long hash = fnv(out.data, (size_t)224 * 224 * 3);
        if (hash != PILLOW[i].hash)
            fail_msg("row %zu: %016llx, Pillow gives %016llx", i, hash, PILLOW[i].hash);
        clsp_picture_free(&in);
        clsp_picture_free(&out);
    }
}

/* 224 rows of 4 x 20,000,000 / 224 weights each would take more than a gigabyte. */
static void weights_are_bounded(void **state)
{
    (void)state;
    const clsp_window window = {.width = 224, .height = 224, .across = 224, .down = 224};
    for (int upright = 0; upright < 2; upright++) {
        enum { LONG = 20000000 };
        clipspan_error err = {0};
        clsp_picture in = picture(CLSP_MODE_L, upright ? 1 : LONG, upright ? LONG : 1, true), out = {0};
        assert_int_equal(clsp_resize(&out, &in, &window, CLSP_BICUBIC, &err), CLIPSPAN_ERROR_UNSUPPORTED);
        assert_null(out.data);
        assert_non_null(strstr(err.message, "256 MB"));
        clsp_picture_free(&in);
    }
}

/* ---- the same from a file ------------------------------------------------------------------------------- */

typedef struct png {
    unsigned char *bytes;
    size_t size;
} png;

static void put_big(unsigned char *to, unsigned long value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void chunk(png *p, const char *type, const unsigned char *data, size_t length)
{
    p->bytes = realloc(p->bytes, p->size + length + 12);
    assert_non_null(p->bytes);
    unsigned char *at = p->bytes + p->size;
    put_big(at, length);
    memcpy(at + 4, type, 4);
    if (length > 0) memcpy(at + 8, data, length);
    put_big(at + 8 + length, crc32(0, at + 4, (uInt)length + 4));
    p->size += length + 12;
}

/* width x 1 grey zeros: a few kilobytes for tens of millions of pixels. */
static png long_png(size_t width)
{
    png p = {malloc(8), 8};
    unsigned char header[13] = {0}, *row = calloc(width + 1, 1);
    uLongf length = compressBound(width + 1);
    unsigned char *packed = malloc(length);
    assert_true(p.bytes != NULL && row != NULL && packed != NULL);
    memcpy(p.bytes, "\x89PNG\r\n\x1a\n", 8);
    put_big(header, width);
    put_big(header + 4, 1);
    header[8] = 8; /* bits; grey */
    chunk(&p, "IHDR", header, sizeof header);
    assert_int_equal(compress2(packed, &length, row, width + 1, 1), Z_OK);
    chunk(&p, "IDAT", packed, length);
    chunk(&p, "IEND", NULL, 0);
    free(row);
    free(packed);
    return p;
}

static void the_message_names_the_file(void **state)
{
    (void)state;
    static float pixels[3 * 224 * 224];
    clipspan_error err = {0};
    clsp_preprocess how = clip_settings(224);
    how.mode = CLSP_RESIZE_SQUASH;
    png p = long_png(20000000);
    assert_true(p.size < 200000);
    assert_int_equal(clsp_preprocess_bytes(&how, NULL, p.bytes, p.size, "long.png", pixels, &err),
                     CLIPSPAN_ERROR_UNSUPPORTED);
    assert_string_equal(err.message, "long.png: 20000000 x 1 pixels are too elongated to be resized to 224 x 224");
    free(p.bytes);
}

/* Every allocation of one picture of a list fails once: the message says of which picture. */
static void out_of_memory_names_the_picture(void **state)
{
    (void)state;
    char path[512];
    static float pixels[3 * 16 * 16];
    size_t size;
    clsp_preprocess how = clip_settings(16);
    clipspan_images *images = NULL;
    clipspan_error err = {0};
    unsigned char *bytes = golden_bytes("png_rgb8.png", &size);
    write_file(scratch(path, "starved.png"), bytes, size);
    free(bytes);
    scratch(path, "starved.txt");
    write_file(path, "starved.png\n", 12);
    if (clipspan_images_open(&images, path, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    unsigned long n = 0;
    for (;;) {
        clsp_alloc_fail_at(++n);
        clipspan_status status = clsp_images_pixels(images, 0, &how, pixels, &err);
        if (clsp_alloc_fail_at(0) < n) break;
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        assert_non_null(strstr(err.message, "starved.png: out of memory"));
    }
    assert_true(n > 5);
    clipspan_images_free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_equal_pillow),
        cmocka_unit_test(weights_are_bounded),
        cmocka_unit_test(the_message_names_the_file),
        cmocka_unit_test(out_of_memory_names_the_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
