/* The Waterbirds folder as it is distributed: found, read, labelled, refused. */
#include "image_testing.h"

#include <sys/stat.h>

#include "image/sources.h"

static const char HEAD[] = "img_id,img_filename,y,split,place,place_filename\n";

static void folder_with(char path[512], const char *name, const char *rows)
{
    char command[1100], file[1024], text[4096];
    scratch(path, name);
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s/001.Black_footed_Albatross' '%s/129.Savannah_Sparrow'",
             path, path, path);
    assert_int_equal(system(command), 0);
    snprintf(file, sizeof file, "%s/metadata.csv", path);
    snprintf(text, sizeof text, "%s", rows);
    write_file(file, text, strlen(text));
    snprintf(file, sizeof file, "%s/001.Black_footed_Albatross/1.png", path);
    size_t size;
    unsigned char *bytes = golden_bytes("png_rgb8.png", &size);
    write_file(file, bytes, size);
    free(bytes);
}

static clipspan_images *opened(const char *path, const char *kind)
{
    clipspan_error err = {0};
    clipspan_images *images = NULL;
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.kind = kind;
    if (clipspan_images_open(&images, path, &options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return images;
}

static const char *value_of(const clipspan_images *images, size_t i, const char *column)
{
    for (size_t c = 0; c < clipspan_images_column_count(images); c++)
        if (strcmp(clipspan_images_column(images, c), column) == 0) return clipspan_images_value(images, i, c);
    return "(no such column)";
}

#define ROWS "1,001.Black_footed_Albatross/1.png,1,0,1,/o/ocean/00000692.jpg\n" \
             "2,129.Savannah_Sparrow/missing.jpg,0,2,1,/o/ocean/00000001.jpg\n"  \
             "5987,001.Black_footed_Albatross/2.jpg,1,1,0,/b/bamboo_forest/00001.jpg\n"

static void as_distributed(void **state)
{
    (void)state;
    char path[512], text[1024], list[600];
    snprintf(text, sizeof text, "%s%s", HEAD, ROWS);
    folder_with(path, "waterbirds", text);
    snprintf(list, sizeof list, "%s/metadata.csv", path);
    const char *const paths[] = {path, path, list}, *const kinds[] = {NULL, "waterbirds", "waterbirds"};
    for (int way = 0; way < 3; way++) {
        clipspan_images *images = opened(paths[way], kinds[way]);
        assert_string_equal(clipspan_images_kind(images), "waterbirds");
        assert_int_equal(clipspan_images_count(images), 3);
        assert_string_equal(clipspan_images_name(images, 1), "129.Savannah_Sparrow/missing.jpg");
        assert_int_equal(clipspan_images_class_count(images), 2);
        assert_string_equal(clipspan_images_class(images, 0), "landbird");
        assert_int_equal(clipspan_images_label(images, 0), 1);
        assert_int_equal(clipspan_images_label(images, 1), 0);
        static const char *const EXPECTED[3][6] = {{"1", "waterbird", "train", "0", "water", "1"},
                                                   {"0", "landbird", "test", "2", "water", "1"},
                                                   {"1", "waterbird", "val", "1", "land", "0"}};
        static const char *const COLUMNS[] = {"y", "label", "split", "split_id", "place", "place_id"};
        for (size_t i = 0; i < 3; i++)
            for (size_t c = 0; c < 6; c++) assert_string_equal(value_of(images, i, COLUMNS[c]), EXPECTED[i][c]);
        assert_string_equal(value_of(images, 0, "place_filename"), "/o/ocean/00000692.jpg");
        assert_string_equal(value_of(images, 2, "img_id"), "5987");
        float pixels[3 * 16 * 16];
        clipspan_error err = {0};
        clsp_preprocess how = clip_settings(16);
        assert_int_equal(clsp_images_pixels(images, 0, &how, pixels, &err), CLIPSPAN_OK); /* beside the list */
        assert_int_equal(clsp_images_pixels(images, 1, &how, pixels, &err), CLIPSPAN_ERROR_IO);
        clipspan_images_free(images);
    }
}

/* A folder whose metadata.csv is of another kind is a folder as before. */
static void other_metadata(void **state)
{
    (void)state;
    char path[512];
    folder_with(path, "metadata", "file,caption\n1.png,y\n");
    clipspan_images *images = opened(path, NULL);
    assert_string_equal(clipspan_images_kind(images), "imagefolder");
    assert_int_equal(clipspan_images_count(images), 1);
    clipspan_images_free(images);
}

static void refused(const char *rows, const char *words)
{
    char path[512];
    clipspan_error err = {0};
    clipspan_images *images = (clipspan_images *)&err;
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.kind = "waterbirds";
    folder_with(path, "bad", rows);
    assert_int_equal(clipspan_images_open(&images, path, &options, &err), CLIPSPAN_ERROR_FORMAT);
    assert_null(images);
    if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
}

static void bad_lists(void **state)
{
    (void)state;
    char text[1024];
    snprintf(text, sizeof text, "%s1,a/1.jpg,2,0,1,x\n", HEAD);
    refused(text, "y of a/1.jpg is \"2\", expected a number from 0 to 1");
    snprintf(text, sizeof text, "%s1,a/1.jpg,1,3,1,x\n", HEAD);
    refused(text, "split of a/1.jpg is \"3\", expected a number from 0 to 2");
    snprintf(text, sizeof text, "%s1,a/1.jpg,1,0,,x\n", HEAD);
    refused(text, "place of a/1.jpg is \"\"");
    refused("img_id,img_filename,y,split\n1,a/1.jpg,1,0\n", "no column place");
    refused("img_filename,y,split,place,label\na/1.jpg,1,0,0,z\n", "a column label is there already");
    refused(HEAD, "no images");
}

static void allocation_failures(void **state)
{
    (void)state;
    char path[512], text[1024];
    snprintf(text, sizeof text, "%s%s", HEAD, ROWS);
    folder_with(path, "walk", text);
    clipspan_status status;
    unsigned long n = 0;
    do {
        clipspan_images *images = NULL;
        clipspan_error err;
        clsp_alloc_fail_at(++n);
        status = clipspan_images_open(&images, path, NULL, &err);
        if (status != CLIPSPAN_OK) assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        clsp_alloc_fail_at(0);
        clipspan_images_free(images);
    } while (status != CLIPSPAN_OK && n < 1000);
    assert_true(n > 40 && n < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_distributed), cmocka_unit_test(other_metadata), cmocka_unit_test(bad_lists),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
