/* Pictures as they are: PNG brings every bit back, JPEG nearly; by way of a file in memory too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "clipspan/memory_file.h"
#include "clipspan/picture.h"
#include "image/picture.h"
#include "scratch.h"

enum { WIDTH = 37, HEIGHT = 23, BYTES = 3 * WIDTH * HEIGHT };

/* Smooth, so that JPEG has a chance. */
static void fill(unsigned char *rgb)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++) rgb[3 * (y * WIDTH + x) + c] = (unsigned char)(40 + 3 * x + 2 * y + 20 * c);
}

static void bits_come_back(void **state)
{
    (void)state;
    static unsigned char rgb[BYTES];
    clipspan_error err = {0};
    fill(rgb);
    for (int as = 0; as < 2; as++) {
        clipspan_memory_file *file = NULL;
        clsp_picture picture = {0};
        size_t length = 0;
        int farthest = 0;
        assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
        if (clipspan_picture_photo(rgb, WIDTH, HEIGHT, (clipspan_photo)as, clipspan_memory_file_path(file), &err) != CLIPSPAN_OK)
            fail_msg("%s", err.message);
        const char *bytes = clipspan_memory_file_bytes(file, &length);
        assert_int_equal(clsp_decode_as(&picture, NULL, (const unsigned char *)bytes, length, "photo", &err), CLIPSPAN_OK);
        assert_true(picture.width == WIDTH && picture.height == HEIGHT && picture.mode == CLSP_MODE_RGB);
        for (size_t i = 0; i < BYTES; i++) {
            int off = abs((int)picture.data[i] - (int)rgb[i]);
            if (off > farthest) farthest = off;
        }
        if (as == CLIPSPAN_PHOTO_PNG)
            assert_int_equal(farthest, 0);
        else
            assert_in_range(farthest, 1, 12); /* observed 6 */
        clsp_picture_free(&picture);
        clipspan_memory_file_free(file);
    }
}

static void refuses(void **state)
{
    (void)state;
    static unsigned char rgb[BYTES];
    clipspan_error err = {0};
    const char *path = scratch("photo");
    for (int as = 0; as < 2; as++) {
        clipspan_photo kind = (clipspan_photo)as;
        assert_int_equal(clipspan_picture_photo(rgb, 0, HEIGHT, kind, path, &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_int_equal(clipspan_picture_photo(rgb, WIDTH, HEIGHT, kind, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
        assert_int_equal(clipspan_picture_photo(rgb, WIDTH, HEIGHT, kind, "/no/such/folder/photo", &err), CLIPSPAN_ERROR_IO);
        assert_non_null(strstr(err.message, "/no/such/folder/photo"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_come_back), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
