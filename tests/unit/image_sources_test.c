/* Folders, trees, lists, CSVs and tars of images: what is listed, how it is labelled, and what is refused. */
#include "image_testing.h"

#include <sys/stat.h>
#include <unistd.h>

#include "image/sources.h"

enum { SIZE = 16, FLOATS = 3 * SIZE * SIZE };

static void copy_golden(const char *name, const char *to)
{
    size_t size;
    unsigned char *bytes = golden_bytes(name, &size);
    write_file(to, bytes, size);
    free(bytes);
}

/* An empty folder of that name in the scratch folder. */
static void fresh(char path[512], const char *name)
{
    char command[1100];
    scratch(path, name);
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", path, path);
    assert_int_equal(system(command), 0);
}

static void put(const char *folder, const char *name, const char *golden)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    if (golden != NULL)
        copy_golden(golden, path);
    else
        write_file(path, "text", 4);
}

static clipspan_images *opened(const char *path, const clipspan_images_options *options)
{
    clipspan_error err = {0};
    clipspan_images *images = NULL;
    if (clipspan_images_open(&images, path, options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_non_null(images);
    return images;
}

static void refused(const char *path, const char *kind, const char *words)
{
    clipspan_error err = {0};
    clipspan_images *images = (clipspan_images *)&err;
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.kind = kind;
    assert_int_not_equal(clipspan_images_open(&images, path, &options, &err), CLIPSPAN_OK);
    assert_null(images);
    if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
}

static void names_are(const clipspan_images *images, const char *const *names, size_t count)
{
    assert_int_equal(clipspan_images_count(images), count);
    for (size_t i = 0; i < count; i++) assert_string_equal(clipspan_images_name(images, i), names[i]);
}

static clipspan_status read_one(const clipspan_images *images, size_t i, clipspan_error *err)
{
    static float pixels[FLOATS];
    clsp_preprocess how = clip_settings(SIZE);
    return clsp_images_pixels(images, i, &how, pixels, err);
}

/* ---- some of a list ------------------------------------------------------------------------------------- */

static void some_of_a_list(void **state)
{
    (void)state;
    char path[512];
    float pixels[FLOATS], theirs[FLOATS];
    clipspan_error err;
    clipspan_images *some = NULL;
    clsp_preprocess how = clip_settings(SIZE);
    fresh(path, "some");
    put(path, "a/one.png", "png_rgb8.png");
    put(path, "a/two.jpg", "jpeg_420.jpg");
    put(path, "b/three.webp", "webp_lossy.webp");
    clipspan_images *images = opened(path, NULL);
    const size_t places[] = {2, 0, 2}, beyond[] = {0, 3};
    assert_int_equal(clipspan_images_some(&some, images, places, 3, &err), CLIPSPAN_OK);
    static const char *const NAMES[] = {"b/three.webp", "a/one.png", "b/three.webp"};
    names_are(some, NAMES, 3);
    assert_int_equal(clipspan_images_class_count(some), 0);
    assert_int_equal(clipspan_images_label(some, 1), -1);
    assert_int_equal(clipspan_images_column_count(some), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(clsp_images_pixels(some, i, &how, pixels, &err), CLIPSPAN_OK);
        assert_int_equal(clsp_images_pixels(images, places[i], &how, theirs, &err), CLIPSPAN_OK);
        assert_memory_equal(pixels, theirs, sizeof pixels);
    }
    clipspan_images_free(some);
    assert_int_equal(clipspan_images_some(&some, images, beyond, 2, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_null(some);
    assert_non_null(strstr(err.message, "image 3 was chosen, the list has 3"));
    assert_int_equal(clipspan_images_some(&some, images, places, 0, &err), CLIPSPAN_ERROR_ARGUMENT);
    for (unsigned long n = 1; n <= 2; n++) { /* the list, its entries */
        clsp_alloc_fail_at(n);
        assert_int_equal(clipspan_images_some(&some, images, places, 3, &err), CLIPSPAN_ERROR_MEMORY);
        clsp_alloc_fail_at(0);
        assert_null(some);
    }
    assert_int_equal(clipspan_images_class_count(images), 2); /* the list is as it was */
    clipspan_images_free(images);
}

/* ---- folders ------------------------------------------------------------------------------------------ */

static void folder(void **state)
{
    (void)state;
    char path[512], link[600];
    clipspan_error err;
    fresh(path, "folder");
    put(path, "b.JPG", "jpeg_420.jpg");
    put(path, "a/z.png", "png_rgb8.png");
    put(path, "a.webp", "webp_lossy.webp");
    put(path, "a/deep/er/x.jpeg", "png_rgb8.png"); /* mislabelled, and fine */
    put(path, "B.png", NULL);                      /* a text */
    put(path, "notes.txt", NULL);
    put(path, ".hidden.png", "png_rgb8.png");
    put(path, ".cache/h.png", "png_rgb8.png");
    snprintf(link, sizeof link, "%s/a/loop", path);
    assert_int_equal(symlink("..", link), 0);
    snprintf(link, sizeof link, "%s/gone.png", path);
    assert_int_equal(symlink("nowhere.png", link), 0);
    clipspan_images *images = opened(path, NULL);
    static const char *const NAMES[] = {"B.png", "a.webp", "a/deep/er/x.jpeg", "a/z.png", "b.JPG", "gone.png"};
    names_are(images, NAMES, 6);
    assert_string_equal(clipspan_images_kind(images), "folder");
    assert_int_equal(clipspan_images_root(images)[0], '/');
    assert_int_equal(clipspan_images_class_count(images), 0);
    assert_int_equal(clipspan_images_label(images, 2), -1);
    static const clipspan_status EXPECTED[] = {CLIPSPAN_ERROR_FORMAT, CLIPSPAN_OK, CLIPSPAN_OK, CLIPSPAN_OK, CLIPSPAN_OK,
                                               CLIPSPAN_ERROR_IO};
    for (size_t i = 0; i < 6; i++) assert_int_equal(read_one(images, i, &err), EXPECTED[i]);
    assert_int_equal(read_one(images, 6, &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_images_free(images);
}

static void image_folder(void **state)
{
    (void)state;
    char path[512];
    fresh(path, "tree");
    put(path, "water/2.png", "png_rgb8.png");
    put(path, "land/x/1.png", "png_rgb8.png");
    put(path, "land/0.png", "png_rgb8.png");
    put(path, "README", NULL);
    clipspan_images *images = opened(path, NULL);
    static const char *const NAMES[] = {"land/0.png", "land/x/1.png", "water/2.png"};
    names_are(images, NAMES, 3);
    assert_string_equal(clipspan_images_kind(images), "imagefolder");
    assert_int_equal(clipspan_images_class_count(images), 2);
    assert_string_equal(clipspan_images_class(images, 0), "land");
    assert_string_equal(clipspan_images_class(images, 1), "water");
    assert_int_equal(clipspan_images_label(images, 1), 0);
    assert_int_equal(clipspan_images_label(images, 2), 1);
    clipspan_images_free(images);
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.kind = "folder";
    options.limit = 2;
    images = opened(path, &options);
    names_are(images, NAMES, 2);
    assert_int_equal(clipspan_images_class_count(images), 0);
    clipspan_images_free(images);
}

static void bad_folders(void **state)
{
    (void)state;
    char path[512], missing[600];
    fresh(path, "empty");
    refused(path, NULL, "no images");
    put(path, "notes.txt", NULL);
    refused(path, NULL, "no images");
    snprintf(missing, sizeof missing, "%s/missing", path);
    refused(missing, "folder", "missing");
    refused(path, "zip", "kind 'zip'");
    snprintf(missing, sizeof missing, "%s/notes.txt", path);
    refused(missing, "folder", "cannot be read");
    if (geteuid() == 0) return; /* root reads everything */
    assert_int_equal(chmod(path, 0), 0);
    refused(path, NULL, "cannot be read");
    chmod(path, 0700);
}

static void single_image(void **state)
{
    (void)state;
    char path[512], file[600];
    clipspan_error err;
    fresh(path, "single");
    put(path, "one.png", "png_rgb8.png");
    snprintf(file, sizeof file, "%s/one.png", path);
    clipspan_images *images = opened(file, NULL);
    static const char *const NAMES[] = {"one.png"};
    names_are(images, NAMES, 1);
    assert_string_equal(clipspan_images_kind(images), "list");
    assert_int_equal(read_one(images, 0, &err), CLIPSPAN_OK);
    clipspan_images_free(images);
}

/* ---- lists and CSVs ----------------------------------------------------------------------------------- */

/* A picture that cannot be read, not one that is waited for: the alarm ends a program that waits. */
static void a_pipe_in_the_list(const char *folder, const char *file)
{
    char pipe[600];
    clipspan_error err;
    snprintf(pipe, sizeof pipe, "%s/pipe.png", folder);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    write_file(file, "pipe.png\nsub/one.png\n", 21);
    clipspan_images *images = opened(file, NULL);
    alarm(20);
    assert_int_equal(read_one(images, 0, &err), CLIPSPAN_ERROR_IO);
    assert_non_null(strstr(err.message, "pipe.png: not a regular file"));
    alarm(0);
    assert_int_equal(read_one(images, 1, &err), CLIPSPAN_OK);
    clipspan_images_free(images);
}

static void text_list(void **state)
{
    (void)state;
    char path[512], file[600];
    clipspan_error err;
    fresh(path, "list");
    put(path, "sub/one.png", "png_rgb8.png");
    snprintf(file, sizeof file, "%s/list.txt", path);
    static const char TEXT[] = "\xef\xbb\xbfsub/one.png\r\n\n  \nmissing.jpg  \nsub/one.png";
    write_file(file, TEXT, sizeof TEXT - 1);
    clipspan_images *images = opened(file, NULL);
    static const char *const NAMES[] = {"sub/one.png", "missing.jpg", "sub/one.png"};
    names_are(images, NAMES, 3);
    assert_int_equal(read_one(images, 0, &err), CLIPSPAN_OK);
    assert_int_equal(read_one(images, 1, &err), CLIPSPAN_ERROR_IO);
    assert_non_null(strstr(err.message, "missing.jpg"));
    clipspan_images_free(images);
    a_pipe_in_the_list(path, file);
    write_file(file, "\n\r\n", 3);
    refused(file, NULL, "no images");
    write_file(file, "a.png\nb\0.png\n", 13);
    refused(file, NULL, "line 2");
}

static const char *csv(char file[600], const char *text)
{
    char path[512];
    fresh(path, "csv");
    put(path, "p/one.png", "png_rgb8.png");
    snprintf(file, 600, "%s/images.csv", path);
    write_file(file, text, strlen(text));
    return file;
}

static void csv_columns(void **state)
{
    (void)state;
    char file[600];
    clipspan_error err;
    clipspan_images *images = opened(csv(file, "\xef\xbb\xbfgroup,path,label,\"a \"\"note\"\"\"\r\n"
                                               "water,p/one.png,gull,\"two\r\nlines, and a comma\"\r\n"
                                               "\r\n"
                                               "land,\"missing, too.png\",,x\n"
                                               ",p/one.png,auk,\"\""),
                                     NULL);
    static const char *const NAMES[] = {"p/one.png", "missing, too.png", "p/one.png"};
    names_are(images, NAMES, 3);
    assert_string_equal(clipspan_images_kind(images), "csv");
    assert_int_equal(clipspan_images_column_count(images), 3);
    assert_string_equal(clipspan_images_column(images, 0), "group");
    assert_string_equal(clipspan_images_column(images, 1), "label");
    assert_string_equal(clipspan_images_column(images, 2), "a \"note\"");
    assert_string_equal(clipspan_images_value(images, 0, 2), "two\r\nlines, and a comma");
    assert_string_equal(clipspan_images_value(images, 2, 0), "");
    assert_string_equal(clipspan_images_value(images, 2, 2), "");
    assert_int_equal(clipspan_images_class_count(images), 2);
    assert_string_equal(clipspan_images_class(images, 0), "auk");
    assert_int_equal(clipspan_images_label(images, 0), 1);
    assert_int_equal(clipspan_images_label(images, 1), -1);
    assert_int_equal(clipspan_images_label(images, 2), 0);
    assert_int_equal(read_one(images, 0, &err), CLIPSPAN_OK);
    assert_int_equal(read_one(images, 1, &err), CLIPSPAN_ERROR_IO);
    clipspan_images_free(images);
    images = opened(csv(file, "img_filename,y\np/one.png,1\n"), NULL);
    assert_int_equal(clipspan_images_column_count(images), 1);
    assert_int_equal(clipspan_images_class_count(images), 0);
    clipspan_images_free(images);
}

static void bad_csvs(void **state)
{
    (void)state;
    char file[600];
    refused(csv(file, ""), NULL, "no column named path");
    refused(csv(file, "file,label\na,b\n"), NULL, "no column named path");
    refused(csv(file, "path,label\n"), NULL, "no images");
    refused(csv(file, "\npath,a,b,\"a\"\nx.png,1,2,3\n"), NULL, "line 2 names columns 2 and 4 both 'a'");
    refused(csv(file, "path,path\na.png,b.png\n"), NULL, "line 1 names columns 1 and 2 both 'path'");
    refused(csv(file, "path,label,label\na.png,x,y\n"), NULL, "line 1 names columns 2 and 3 both 'label'");
    refused(csv(file, "path,label\na.png,x\nb.png\n"), NULL, "line 3 has 1 cells, expected 2");
    refused(csv(file, "path,label\n\"a\n.png\",x\n\nb.png,y,z\n"), NULL, "line 5 has 3 cells, expected 2");
    refused(csv(file, "path,label\na.png,\"x\n"), NULL, "line 2 opens a quote");
    refused(csv(file, "path,label\na.png,\"x\"y\n"), NULL, "line 2 goes on");
    refused(csv(file, "path,label\n,x\n"), NULL, "line 2 has no path");
}

/* ---- tars --------------------------------------------------------------------------------------------- */

typedef struct archive {
    unsigned char bytes[1 << 17];
    size_t size;
} archive;

static void add_member(archive *tar, const char *name, char type, const void *data, size_t size)
{
    unsigned char *header = tar->bytes + tar->size;
    unsigned sum = 0;
    memset(header, 0, 512);
    memcpy(header, name, strlen(name) < 100 ? strlen(name) : 100);
    snprintf((char *)header + 124, 12, "%011zo", size);
    memset(header + 148, ' ', 8);
    header[156] = (unsigned char)type;
    memcpy(header + 257, "ustar\0" "00", 8);
    for (int i = 0; i < 512; i++) sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
    memset(header + 512, 0, (size + 511) / 512 * 512);
    memcpy(header + 512, data, size);
    tar->size += 512 + (size + 511) / 512 * 512;
}

static void add_golden(archive *tar, const char *name, const char *golden)
{
    size_t size;
    unsigned char *bytes = golden_bytes(golden, &size);
    add_member(tar, name, '0', bytes, size);
    free(bytes);
}

static archive *sample_tar(void)
{
    archive *tar = calloc(1, sizeof *tar);
    char name[300], record[400];
    memset(name, 'n', sizeof name);
    strcpy(name + 200, "/long.png");
    add_member(tar, "./", '5', "", 0);
    add_golden(tar, "./00001.jpg", "jpeg_420.jpg");
    add_member(tar, "00001.cls", '0', "7\n", 2);
    add_member(tar, "00001.json", '0', "{}", 2);
    add_member(tar, "00002.cls", '0', "owl", 3);
    add_golden(tar, "00002.input.png", "png_rgb8.png");
    add_golden(tar, "._00002.png", "png_rgb8.png");
    add_member(tar, "././@LongLink", 'L', name, strlen(name) + 1);
    add_golden(tar, "nnnn", "webp_lossy.webp");
    snprintf(record, sizeof record, "19 path=d\xc3\xa9j\xc3\xa0.png\n");
    add_member(tar, "PaxHeader", 'x', record, strlen(record));
    add_golden(tar, "deja.txt", "png_rgb8.png");
    add_member(tar, "link.png", '2', "", 0);
    add_golden(tar, "bare.png", "png_rgb8.png");
    tar->size += 1024; /* the end */
    return tar;
}

static void tar_members(void **state)
{
    (void)state;
    char path[512], file[600];
    clipspan_error err;
    fresh(path, "tar");
    snprintf(file, sizeof file, "%s/shard.tar", path);
    archive *tar = sample_tar();
    write_file(file, tar->bytes, tar->size);
    free(tar);
    clipspan_images *images = opened(file, NULL);
    char name[300];
    memset(name, 'n', sizeof name);
    strcpy(name + 200, "/long.png");
    const char *const names[] = {"00001.jpg", "00002.input.png", name, "d\xc3\xa9j\xc3\xa0.png", "bare.png"};
    names_are(images, names, 5);
    assert_string_equal(clipspan_images_kind(images), "tar");
    assert_int_equal(clipspan_images_class_count(images), 2);
    assert_string_equal(clipspan_images_class(images, 0), "7");
    assert_string_equal(clipspan_images_class(images, 1), "owl");
    assert_int_equal(clipspan_images_label(images, 0), 0);
    assert_int_equal(clipspan_images_label(images, 1), 1);
    assert_int_equal(clipspan_images_label(images, 4), -1);
    for (size_t i = 0; i < 5; i++) assert_int_equal(read_one(images, i, &err), CLIPSPAN_OK);
    clipspan_images_free(images);
}

static void bad_tars(void **state)
{
    (void)state;
    char path[512], file[600];
    fresh(path, "badtar");
    snprintf(file, sizeof file, "%s/shard.tar", path);
    archive *tar = sample_tar();
    write_file(file, tar->bytes, 1500);
    refused(file, NULL, "truncated");
    write_file(file, tar->bytes, 512 + 100);
    refused(file, NULL, "truncated in a header");
    tar->bytes[512 + 130] = '7'; /* a size that the checksum does not know */
    write_file(file, tar->bytes, tar->size);
    refused(file, NULL, "no tar header at byte 512");
    write_file(file, "", 0);
    refused(file, NULL, "no images");
    tar->size = 0;
    add_member(tar, "PaxHeader", 'x', "9999 path=x\n", 12);
    write_file(file, tar->bytes, tar->size);
    refused(file, NULL, "pax");
    free(tar);
}

/* ---- every allocation fails once ---------------------------------------------------------------------- */

static void allocation_failures(void **state)
{
    (void)state;
    char tree[512], tars[512], files[3][600];
    fresh(tree, "walk");
    put(tree, "a/1.png", "png_rgb8.png");
    put(tree, "b/2.png", "png_rgb8.png");
    snprintf(files[0], sizeof files[0], "%s", tree);
    csv(files[1], "path,label,group\np/one.png,a,\"x\"\"y\"\nb.png,b,z\n");
    fresh(tars, "walktar");
    snprintf(files[2], sizeof files[2], "%s/shard.tar", tars);
    archive *tar = sample_tar();
    write_file(files[2], tar->bytes, tar->size);
    free(tar);
    for (int i = 0; i < 3; i++) {
        clipspan_images *images = NULL;
        clipspan_error err;
        clipspan_status status;
        unsigned long n = 0;
        do {
            clsp_alloc_fail_at(++n);
            status = clipspan_images_open(&images, files[i], NULL, &err);
            if (status != CLIPSPAN_OK) assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        } while (status != CLIPSPAN_OK && n < 1000);
        clsp_alloc_fail_at(0);
        assert_true(n > 10 && n < 1000);
        clipspan_images_free(images);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder),       cmocka_unit_test(image_folder), cmocka_unit_test(bad_folders),
        cmocka_unit_test(single_image), cmocka_unit_test(text_list),    cmocka_unit_test(csv_columns),
        cmocka_unit_test(bad_csvs),     cmocka_unit_test(tar_members),  cmocka_unit_test(bad_tars),
        cmocka_unit_test(allocation_failures), cmocka_unit_test(some_of_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
