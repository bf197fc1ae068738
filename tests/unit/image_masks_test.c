/* Images with masks: MATLAB v7.3 files made by h5py, folders, CSV, Pascal VOC; masks on the network's square as Pillow's. */
#include "image_testing.h"

#include <sys/stat.h>
#include <unistd.h>

#include "formats/arrays.h"
#include "image/mask_list.h"
#include "image/masks.h"

static const char GOLDEN[] = "golden/segmentation";

static const char *golden(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", GOLDEN, name);
    return path;
}

static void open_array(clsp_array *array, const char *name)
{
    clipspan_error err = {0};
    if (clsp_npy_open(array, golden(name), &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(array->dtype, CLSP_U8);
}

static void is_array(const clsp_picture *picture, const char *name)
{
    clsp_array expected;
    open_array(&expected, name);
    assert_int_equal(picture->height, (int)expected.shape[0]);
    assert_int_equal(picture->width, (int)expected.shape[1]);
    assert_int_equal((size_t)picture->height * (size_t)picture->width * (size_t)picture->channels, expected.count);
    assert_memory_equal(picture->data, expected.data, expected.count);
    clsp_npy_close(&expected);
}

/* Every pixel of pictures and masks, with the cells' references in a row and in a column. */
static void test_matlab_pixels(void **state)
{
    static const char *const files[] = {"row.mat", "column.mat"};
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        clipspan_masks *masks = NULL;
        clipspan_error err = {0};
        if (clipspan_masks_open(&masks, golden(files[f]), NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        assert_string_equal(clipspan_masks_kind(masks), "matlab");
        assert_int_equal(clipspan_images_count(clipspan_masks_images(masks)), 3);
        for (size_t i = 0; i < 3; i++) {
            char name[32];
            clsp_picture picture, truth = {0};
            assert_int_equal(clsp_images_picture(masks->images, i, &picture, &err), CLIPSPAN_OK);
            assert_int_equal(picture.mode, i == 0 ? CLSP_MODE_L : CLSP_MODE_RGB);
            snprintf(name, sizeof name, "img_%zu.npy", i);
            is_array(&picture, name);
            assert_int_equal(clsp_matlab_to_picture(&truth, masks->images->matlab, masks->cells[i], "gt", &err), CLIPSPAN_OK);
            snprintf(name, sizeof name, "gt_%zu.npy", i);
            is_array(&truth, name);
            clsp_picture_free(&picture);
            clsp_picture_free(&truth);
        }
        clipspan_masks_free(masks);
    }
}

/* A picture that came from a MATLAB file goes on as one that was decoded. */
static void test_matlab_preprocessing(void **state)
{
    clsp_preprocess how = clip_settings(32);
    clipspan_images *images = NULL;
    clsp_picture picture;
    float from_list[3 * 32 * 32], from_picture[3 * 32 * 32];
    clipspan_error err = {0};
    (void)state;
    assert_int_equal(clipspan_images_open(&images, golden("row.mat"), NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_images_pixels(images, 1, &how, from_list, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_picture_allocate((picture = (clsp_picture){0}, &picture), CLSP_MODE_RGB, 26, 40, &err), CLIPSPAN_OK);
    clsp_array expected;
    open_array(&expected, "img_1.npy");
    memcpy(picture.data, expected.data, expected.count);
    assert_int_equal(clsp_preprocess_picture(&how, &picture, "direct", from_picture, &err), CLIPSPAN_OK);
    assert_memory_equal(from_list, from_picture, sizeof from_list);
    clsp_npy_close(&expected);
    clsp_picture_free(&picture);
    clipspan_images_free(images);
}

static void refused(const char *path, const clipspan_masks_options *options, const char *because)
{
    clipspan_masks *masks = NULL;
    clipspan_error err = {0};
    if (clipspan_masks_open(&masks, path, options, &err) == CLIPSPAN_OK) fail_msg("%s was accepted", path);
    assert_null(masks);
    if (strstr(err.message, because) == NULL) fail_msg("%s: '%s' lacks '%s'", path, err.message, because);
}

static void refused_when_read(const char *name, const char *because)
{
    clipspan_images *images = NULL;
    float pixels[3 * 32 * 32];
    clsp_preprocess how = clip_settings(32);
    clipspan_error err = {0};
    assert_int_equal(clipspan_images_open(&images, golden(name), NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_images_pixels(images, 0, &how, pixels, &err), CLIPSPAN_ERROR_FORMAT);
    if (strstr(err.message, because) == NULL) fail_msg("%s: '%s' lacks '%s'", name, err.message, because);
    clipspan_images_free(images);
}

static void test_matlab_refused(void **state)
{
    static const struct {
        const char *name, *because;
    } cases[] = {
        {"bad_size.mat", "bad_size.mat: the mask is 26 x 39, its picture img_00000 is 26 x 40"},
        {"bad_double.mat", "not of type uint8"},
        {"bad_four.mat", "4 dimensions"},
        {"bad_filter.mat", "stored as MATLAB does not store arrays"},
        {"bad_count.mat", "1 pictures, 2 masks"},
        {"bad_numbers.mat", "no cell array"},
        {"bad_outside.mat", "has no array value/gt"},
        {"bad_null.mat", "HDF5"},
        {"bad_missing.mat", "has no array value/gt"},
        {"bad_old.mat", "MATLAB 5 file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused(golden(cases[i].name), NULL, cases[i].because);
    refused_when_read("bad_planes.mat", "2 planes");
    refused_when_read("bad_short.mat", "img_00000 is damaged: bytes are missing");
}

/* Every cut of a small file is refused or read, never worse (under ASan). */
static void test_matlab_truncated(void **state)
{
    char path[512];
    char *bytes = NULL;
    size_t size = 0;
    (void)state;
    assert_int_equal(clsp_file_read(&bytes, &size, golden("row.mat"), (size_t)1 << 20, NULL), CLIPSPAN_OK);
    for (size_t cut = 0; cut < size; cut += 397) {
        clipspan_masks *masks = NULL;
        clipspan_error err = {0};
        write_file(scratch(path, "cut.mat"), bytes, cut);
        assert_int_not_equal(clipspan_masks_open(&masks, path, NULL, &err), CLIPSPAN_OK);
        assert_non_null(strstr(err.message, "cut.mat"));
    }
    clsp_free(bytes);
}

/* ---- masks on the square ------------------------------------------------------------------------------------- */

static void truth_is(clipspan_masks *masks, size_t i, clipspan_protocol protocol, const char *name)
{
    unsigned char truth[32 * 32];
    clsp_preprocess how = clip_settings(32);
    clipspan_error err = {0};
    clsp_array expected;
    if (clsp_masks_truth(masks, i, &how, protocol, truth, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    open_array(&expected, name);
    assert_int_equal(expected.count, sizeof truth);
    assert_memory_equal(truth, expected.data, sizeof truth);
    clsp_npy_close(&expected);
}

static void test_folder_as_pillow(void **state)
{
    clipspan_masks *masks = NULL;
    clipspan_masks_options options = CLIPSPAN_MASKS_OPTIONS_INIT;
    clipspan_error err = {0};
    (void)state;
    options.binary = 0;
    if (clipspan_masks_open(&masks, golden("pairs"), &options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clipspan_masks_ignore(masks), 255);
    for (size_t i = 0; i < 2; i++) { /* palette indices beside a JPEG; grey beside a PNG */
        truth_is(masks, i, CLIPSPAN_PROTOCOL_PAPER, "stretched.npy");
        truth_is(masks, i, CLIPSPAN_PROTOCOL_ALIGNED, "aligned.npy");
    }
    clipspan_masks_free(masks);
}

static void test_values(void **state)
{
    clipspan_masks_options options = CLIPSPAN_MASKS_OPTIONS_INIT;
    clsp_preprocess how = clip_settings(32);
    unsigned char raw[32 * 32], truth[32 * 32];
    clsp_array stretched;
    (void)state;
    open_array(&stretched, "stretched.npy");
    memcpy(raw, stretched.data, sizeof raw);
    clsp_npy_close(&stretched);
    for (int ignore = -1; ignore <= 255; ignore += 128) { /* none, 127 (not there), 255 */
        clipspan_masks *masks = NULL;
        clipspan_error err = {0};
        options.ignore = ignore;
        assert_int_equal(clipspan_masks_open(&masks, golden("pairs"), &options, &err), CLIPSPAN_OK);
        assert_int_equal(clsp_masks_truth(masks, 1, &how, CLIPSPAN_PROTOCOL_PAPER, truth, &err), CLIPSPAN_OK);
        for (size_t p = 0; p < sizeof raw; p++)
            assert_int_equal(truth[p], raw[p] == ignore ? 255 : raw[p] > 0);
        clipspan_masks_free(masks);
    }
}

/* The long side to S and padding around: what the picture leaves is not scored. */
static void test_padding_is_unscored(void **state)
{
    clipspan_masks *masks = NULL;
    clsp_preprocess how = clip_settings(64);
    unsigned char truth[64 * 64];
    clipspan_error err = {0};
    (void)state;
    how.mode = CLSP_RESIZE_LONGEST;
    assert_int_equal(clipspan_masks_open(&masks, golden("pairs"), NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_masks_truth(masks, 1, &how, CLIPSPAN_PROTOCOL_ALIGNED, truth, &err), CLIPSPAN_OK);
    size_t height = 59, outside = 0; /* 45 x 64 / 49 rounded */
    for (size_t p = 0; p < sizeof truth; p++) outside += truth[p] == CLIPSPAN_MASK_UNSCORED;
    assert_int_equal(outside, (64 - height) * 64);
    assert_int_equal(truth[0], CLIPSPAN_MASK_UNSCORED);
    clipspan_masks_free(masks);
}

/* ---- other layouts ----------------------------------------------------------------------------------------------- */

static void copy(const char *from, const char *to)
{
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(clsp_file_read(&bytes, &size, golden(from), (size_t)1 << 20, NULL), CLIPSPAN_OK);
    write_file(to, bytes, size);
    clsp_free(bytes);
}

static void make_folders(const char *const *names, size_t count)
{
    char path[512], command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch(path, names[0]));
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < count; i++) assert_int_equal(mkdir(scratch(path, names[i]), 0777), 0);
}

static void test_voc(void **state)
{
    static const char *const folders[] = {"voc", "voc/JPEGImages", "voc/SegmentationClass", "voc/ImageSets",
                                          "voc/ImageSets/Segmentation"};
    static const char list[] = "2007_1\r\n\n  2007_2  1\n";
    clipspan_masks *masks = NULL;
    clipspan_masks_options options = CLIPSPAN_MASKS_OPTIONS_INIT;
    clipspan_error err = {0};
    char path[512], root[512];
    (void)state;
    make_folders(folders, 5);
    scratch(root, "voc");
    for (int i = 1; i <= 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "voc/JPEGImages/2007_%d.jpg", i);
        copy("pairs/images/a.jpg", scratch(path, name));
        snprintf(name, sizeof name, "voc/SegmentationClass/2007_%d.png", i);
        copy("pairs/masks/a.png", scratch(path, name));
    }
    write_file(scratch(path, "voc/ImageSets/Segmentation/val.txt"), list, sizeof list - 1);
    options.binary = 0;
    if (clipspan_masks_open(&masks, root, &options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_string_equal(clipspan_masks_kind(masks), "voc");
    assert_int_equal(clipspan_images_count(clipspan_masks_images(masks)), 2);
    assert_string_equal(clipspan_images_name(clipspan_masks_images(masks), 1), "2007_2.jpg");
    assert_int_equal(clipspan_masks_class_count(masks), 21);
    assert_string_equal(clipspan_masks_class(masks, 20), "tvmonitor");
    assert_int_equal(clipspan_masks_ignore(masks), 255);
    truth_is(masks, 0, CLIPSPAN_PROTOCOL_PAPER, "stretched.npy");
    clipspan_masks_free(masks);
    options.split = "train";
    refused(root, &options, "train.txt");
    options.split = NULL;
    write_file(scratch(path, "voc/ImageSets/Segmentation/val.txt"), "../2007_1\n", 10);
    refused(root, &options, "is a path");
    write_file(path, "2007_3\n", 7);
    refused(root, &options, "2007_3.png: the mask of 2007_3.jpg is missing");
}

static void test_csv_and_mistakes(void **state)
{
    static const char *const folders[] = {"csv", "csv/images", "csv/masks"};
    static const char good[] = "path,mask,other\nimages/a.jpg,masks/a.png,\n";
    clipspan_masks *masks = NULL;
    clipspan_masks_options options = CLIPSPAN_MASKS_OPTIONS_INIT;
    clipspan_error err = {0};
    char path[512], csv[512], root[512];
    (void)state;
    make_folders(folders, 3);
    scratch(csv, "csv/list.csv");
    scratch(root, "csv");
    copy("pairs/images/a.jpg", scratch(path, "csv/images/a.jpg"));
    copy("pairs/masks/a.png", scratch(path, "csv/masks/a.png"));
    write_file(csv, good, sizeof good - 1);
    options.binary = 0;
    if (clipspan_masks_open(&masks, csv, &options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    truth_is(masks, 0, CLIPSPAN_PROTOCOL_ALIGNED, "aligned.npy");
    clipspan_masks_free(masks);
    options.column = "other";
    refused(csv, &options, "image images/a.jpg has no mask in column other");
    options.column = "nonsense";
    refused(csv, &options, "has no column nonsense");
    copy("../image/png_grey8.png", scratch(path, "csv/masks/a.png"));
    refused(root, NULL, "the mask is");
    copy("../image/png_rgb8.png", path);
    refused(root, NULL, "a PNG of colours");
    copy("../image/png_grey16.png", path);
    refused(root, NULL, "a PNG of colours or 16 bits");
    copy("pairs/images/a.jpg", path);
    refused(root, NULL, "this is JPEG");
    write_file(path, "nothing", 7);
    refused(root, NULL, "none that is known");
    assert_int_equal(unlink(path), 0);
    refused(root, NULL, "the mask of a.jpg is missing");
    refused(scratch(path, "csv/images"), NULL, "expected the folders images and masks");
    refused(scratch(path, "no-such"), NULL, "No such file or directory");
    options.ignore = 256;
    refused(csv, &options, "256");
}

/* ---- sizes from headers --------------------------------------------------------------------------------------------- */

/* Every golden picture: what the header says is what the decoder finds. */
static void test_headers(void **state)
{
    static const char *const names[] = {"jpeg_420.jpg", "jpeg_progressive.jpg", "jpeg_grey.jpg", "jpeg_cmyk.jpg",
                                        "jpeg_restarts.jpg", "exif6_jpeg_420.jpg", "png_grey1.png", "png_palette4.png",
                                        "png_rgb16_interlaced.png", "png_greyalpha8.png", "webp_lossy.webp",
                                        "webp_lossless.webp", "webp_lossy_alpha.webp", "webp_animated.webp",
                                        "exif3_webp_lossless.webp"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        unsigned char *bytes = golden_bytes(names[i], &size);
        clsp_picture picture;
        clsp_header header;
        assert_int_equal(clsp_decode_as(&picture, NULL, bytes, size, names[i], NULL), CLIPSPAN_OK);
        if (!clsp_header_read(&header, bytes, size)) fail_msg("%s: no size", names[i]);
        if ((int)header.width != picture.width || (int)header.height != picture.height)
            fail_msg("%s: %u x %u, decoded %d x %d", names[i], header.width, header.height, picture.width, picture.height);
        clsp_picture_free(&picture);
        free(bytes);
        for (size_t cut = 0; cut < 64; cut++) { /* under ASan: no read beyond */
            unsigned char *begin = malloc(cut + 1), *whole = golden_bytes(names[i], &size);
            memcpy(begin, whole, cut);
            clsp_header_read(&header, begin, cut);
            free(begin);
            free(whole);
        }
    }
}

/* Every allocation fails once: that is said, and nothing leaks (under ASan). */
static clipspan_status whole_job(const char *data)
{
    clipspan_masks *masks = NULL;
    unsigned char truth[32 * 32];
    clsp_preprocess how = clip_settings(32);
    clipspan_error err = {0};
    clipspan_status status = clipspan_masks_open(&masks, data, NULL, &err);
    if (status == CLIPSPAN_OK) status = clsp_masks_truth(masks, 1, &how, CLIPSPAN_PROTOCOL_ALIGNED, truth, &err);
    clipspan_masks_free(masks);
    return status;
}

static void test_failed_allocations(void **state)
{
    static const char *const data[] = {"pairs", "row.mat"};
    (void)state;
    for (size_t d = 0; d < 2; d++)
        for (unsigned long n = 1;; n++) {
            clsp_alloc_fail_at(n);
            clipspan_status status = whole_job(golden(data[d]));
            unsigned long seen = clsp_alloc_fail_at(0);
            assert_int_equal(status, seen < n ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY);
            if (seen < n) break;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matlab_pixels),   cmocka_unit_test(test_matlab_preprocessing),
        cmocka_unit_test(test_matlab_refused),  cmocka_unit_test(test_matlab_truncated),
        cmocka_unit_test(test_folder_as_pillow), cmocka_unit_test(test_values),
        cmocka_unit_test(test_padding_is_unscored), cmocka_unit_test(test_voc),
        cmocka_unit_test(test_csv_and_mistakes), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
