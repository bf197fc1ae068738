/* Bad pictures: refused with a message that names them, before memory is asked for, and without a leak. */
#include "image_testing.h"

#include "image/picture.h"

enum { SIZE = 32, FLOATS = 3 * SIZE * SIZE };

static clipspan_status decode(const void *bytes, size_t size, const clsp_decoded_options *options, clipspan_error *err)
{
    static float pixels[FLOATS];
    clsp_preprocess how = clip_settings(SIZE);
    memset(err, 0, sizeof *err);
    return clsp_preprocess_bytes(&how, options, bytes, size, "holiday/one.jpg", pixels, err);
}

static void expect(const void *bytes, size_t size, clipspan_status status, const char *words)
{
    clipspan_error err;
    assert_int_equal(decode(bytes, size, NULL, &err), status);
    if (strstr(err.message, "holiday/one.jpg") == NULL || strstr(err.message, words) == NULL)
        fail_msg("'%s' does not say '%s'", err.message, words);
}

static void not_pictures(void **state)
{
    (void)state;
    expect("", 0, CLIPSPAN_ERROR_FORMAT, "empty");
    expect("\xff", 1, CLIPSPAN_ERROR_FORMAT, "not a JPEG, PNG or WebP");
    expect("just a text, whatever its name\n", 31, CLIPSPAN_ERROR_FORMAT, "not a JPEG, PNG or WebP");
    expect("GIF89a\1\0\1\0", 10, CLIPSPAN_ERROR_UNSUPPORTED, "is a GIF");
    expect("\0\0\0\x20" "ftypavif\0\0\0\0", 16, CLIPSPAN_ERROR_UNSUPPORTED, "an AVIF");
    expect("\xff\xd8\xff", 3, CLIPSPAN_ERROR_FORMAT, "truncated");
    expect("\x89PNG\r\n\x1a\n", 8, CLIPSPAN_ERROR_FORMAT, "truncated");
    expect("RIFF\0\0\0\0WEBP", 12, CLIPSPAN_ERROR_FORMAT, "WebP");
}

/* The decoder goes by the content: any golden reads well under the name of a .jpg. */
static void wrong_ending_is_no_matter(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = golden_bytes("png_rgb8.png", &size);
    clipspan_error err;
    assert_int_equal(decode(bytes, size, NULL, &err), CLIPSPAN_OK);
    free(bytes);
}

static const char *const EACH[] = {"jpeg_420.jpg",   "jpeg_progressive.jpg", "jpeg_grey.jpg",           "jpeg_cmyk.jpg",
                                   "png_rgb8.png",   "png_palette4.png",     "png_grey16_interlaced.png", "png_grey1.png",
                                   "webp_lossy.webp", "webp_lossless.webp",  "webp_lossy_alpha.webp",   "webp_animated.webp"};
enum { EACH_COUNT = sizeof EACH / sizeof EACH[0] };

/* Cut anywhere before the pixels' last bytes, a file is refused. The end marker itself (two bytes of a JPEG; the
 * twelve of a PNG's IEND, and the checksum before it) may be missing, as to Pillow. */
static void truncated(void **state)
{
    (void)state;
    for (int i = 0; i < EACH_COUNT; i++) {
        size_t size, spare = strstr(EACH[i], "png") ? 24 : strstr(EACH[i], "jpg") ? 10 : 2;
        unsigned char *bytes = golden_bytes(EACH[i], &size);
        for (size_t cut = 0; cut < size - spare; cut++) {
            clipspan_error err;
            unsigned char *part = malloc(cut ? cut : 1);
            memcpy(part, bytes, cut);
            clipspan_status status = decode(part, cut, NULL, &err);
            free(part);
            if (status == CLIPSPAN_OK) fail_msg("%s: cut to %zu of %zu bytes, it is read", EACH[i], cut, size);
            assert_non_null(strstr(err.message, "holiday/one.jpg"));
        }
        free(bytes);
    }
}

/* Every byte damaged in turn: whatever comes of it, nothing crashes (the sanitizers watch), and some are refused. */
static void damaged(void **state)
{
    (void)state;
    for (int i = 0; i < EACH_COUNT; i++) {
        size_t size, refused = 0;
        unsigned char *bytes = golden_bytes(EACH[i], &size);
        for (size_t at = 0; at < size; at++) {
            clipspan_error err;
            static const clsp_decoded_options SMALL = {.exif = true, .max_pixels = 1 << 20};
            bytes[at] ^= 0xff;
            refused += decode(bytes, size, &SMALL, &err) != CLIPSPAN_OK;
            bytes[at] ^= 0xff;
        }
        assert_true(refused > 10);
        free(bytes);
    }
}

/* ---- enormous headers --------------------------------------------------------------------------------- */

static uint32_t checksum(const unsigned char *bytes, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void put_big(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static size_t start_of_frame(const unsigned char *jpeg, size_t size)
{
    for (size_t at = 2; at + 9 < size;) {
        if (jpeg[at + 1] >= 0xc0 && jpeg[at + 1] <= 0xc2) return at + 5;
        at += 2 + (size_t)(jpeg[at + 2] << 8 | jpeg[at + 3]);
    }
    fail_msg("no frame in the JPEG");
    return 0;
}

static void enormous(void **state)
{
    (void)state;
    static const char *const JPEGS[] = {"jpeg_420.jpg", "jpeg_progressive.jpg", "jpeg_cmyk.jpg"};
    size_t size;
    clsp_alloc_fail_at(0);
    for (int i = 0; i < 3; i++) {
        unsigned char *jpeg = golden_bytes(JPEGS[i], &size);
        memcpy(jpeg + start_of_frame(jpeg, size), "\xea\x60\xea\x60", 4);
        expect(jpeg, size, CLIPSPAN_ERROR_FORMAT, "60000 x 60000");
        free(jpeg);
    }
    unsigned char *png = golden_bytes("png_rgb8.png", &size);
    put_big(png + 16, 60000);
    put_big(png + 20, 60000);
    put_big(png + 29, checksum(png + 12, 17));
    expect(png, size, CLIPSPAN_ERROR_FORMAT, "60000 x 60000");
    put_big(png + 16, 0x7fffffff);
    put_big(png + 29, checksum(png + 12, 17));
    expect(png, size, CLIPSPAN_ERROR_FORMAT, "2147483647 x 60000");
    free(png);
    unsigned char *webp = golden_bytes("webp_lossless.webp", &size);
    assert_memory_equal(webp + 12, "VP8L", 4);
    memset(webp + 21, 0xff, 3); /* 14 bits of width - 1, 14 of height - 1 */
    webp[24] |= 0x0f;
    expect(webp, size, CLIPSPAN_ERROR_FORMAT, "16384 x 16384");
    free(webp);
}

static void limit_of_pixels(void **state)
{
    (void)state;
    clipspan_error err;
    for (int i = 0; i < EACH_COUNT; i++) {
        size_t size;
        unsigned char *bytes = golden_bytes(EACH[i], &size);
        clsp_picture picture;
        clsp_encoded encoded = {bytes, size, "x", 1 << 20, false};
        assert_int_equal(clsp_decode(&picture, &encoded, &err), CLIPSPAN_OK);
        clsp_decoded_options options = {.max_pixels = (uint64_t)picture.width * (uint64_t)picture.height};
        assert_int_equal(decode(bytes, size, &options, &err), CLIPSPAN_OK);
        options.max_pixels--;
        assert_int_equal(decode(bytes, size, &options, &err), CLIPSPAN_ERROR_FORMAT);
        clsp_picture_free(&picture);
        free(bytes);
    }
}

/* open_clip rounds the short side of an extreme shape to nothing, and fails; so do we, in words. */
static void too_elongated(void **state)
{
    (void)state;
    size_t size;
    static float pixels[3 * 4 * 4];
    clipspan_error err;
    unsigned char *bytes = golden_bytes("jpeg_progressive.jpg", &size);
    clsp_picture picture;
    clsp_encoded encoded = {bytes, size, "x", 1 << 20, false};
    assert_int_equal(clsp_decode(&picture, &encoded, &err), CLIPSPAN_OK);
    clsp_preprocess how = clip_settings(4);
    how.mode = CLSP_RESIZE_LONGEST;
    bool thin = picture.width * 8 < picture.height;
    clipspan_status status = clsp_preprocess_bytes(&how, NULL, bytes, size, "thin.jpg", pixels, &err);
    clsp_picture_free(&picture);
    free(bytes);
    assert_true(thin);
    assert_int_equal(status, CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "elongated"));
}

/* ---- EXIF, byte by byte ------------------------------------------------------------------------------- */

static void exif_bytes(void **state)
{
    (void)state;
    static const unsigned char GOOD[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
    assert_int_equal(clsp_exif_orientation(GOOD, sizeof GOOD), 6);
    for (size_t cut = 0; cut < sizeof GOOD; cut++) {
        unsigned char *part = malloc(cut ? cut : 1);
        memcpy(part, GOOD, cut);
        assert_int_equal(clsp_exif_orientation(part, cut), 0);
        free(part);
    }
    unsigned char odd[sizeof GOOD];
    memcpy(odd, GOOD, sizeof odd);
    odd[18] = 9; /* no such orientation */
    assert_int_equal(clsp_exif_orientation(odd, sizeof odd), 0);
    odd[18] = 6;
    odd[14] = 2; /* two values */
    assert_int_equal(clsp_exif_orientation(odd, sizeof odd), 0);
    memset(odd + 4, 0xff, 4); /* a directory far outside */
    assert_int_equal(clsp_exif_orientation(odd, sizeof odd), 0);
    static const char XMP[] = "<x tiff:Orientation=\"8\"/>", OPEN[] = "<tiff:Orientation>3</tiff:Orientation>";
    assert_int_equal(clsp_xmp_orientation((const unsigned char *)XMP, sizeof XMP - 1), 8);
    assert_int_equal(clsp_xmp_orientation((const unsigned char *)OPEN, sizeof OPEN - 1), 3);
    assert_int_equal(clsp_xmp_orientation((const unsigned char *)XMP, 21), 0);
}

/* ---- every allocation fails once ---------------------------------------------------------------------- */

static void allocation_failures(void **state)
{
    (void)state;
    static const char *const FILES[] = {"exif6_jpeg_420.jpg", "png_rgba16_interlaced.png", "png_palette4_one.png",
                                        "webp_lossless_alpha.webp", "jpeg_cmyk.jpg"};
    for (int i = 0; i < 10; i++) {
        size_t size;
        static float pixels[FLOATS];
        unsigned char *bytes = golden_bytes(FILES[i / 2], &size);
        clsp_preprocess how = clip_settings(SIZE);
        how.manner = i % 2 ? CLSP_PREPROCESS_HUGGINGFACE : CLSP_PREPROCESS_OPEN_CLIP;
        how.mode = i % 2 ? CLSP_RESIZE_SHORTEST : CLSP_RESIZE_LONGEST;
        clsp_decoded_options options = {.exif = true};
        clipspan_error err;
        unsigned long n = 0;
        clipspan_status status;
        do {
            clsp_alloc_fail_at(++n);
            status = clsp_preprocess_bytes(&how, &options, bytes, size, "x", pixels, &err);
            if (status != CLIPSPAN_OK && status != CLIPSPAN_ERROR_MEMORY)
                fail_msg("%s, allocation %lu: %s", FILES[i / 2], n, err.message);
        } while (status != CLIPSPAN_OK && n < 1000);
        clsp_alloc_fail_at(0);
        assert_true(n > 5 && n < 1000);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_pictures),    cmocka_unit_test(wrong_ending_is_no_matter),
        cmocka_unit_test(truncated),       cmocka_unit_test(damaged),
        cmocka_unit_test(enormous),        cmocka_unit_test(limit_of_pixels),
        cmocka_unit_test(too_elongated),   cmocka_unit_test(exif_bytes),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
