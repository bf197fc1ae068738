/* Pages: what they hold, that nothing breaks out of its element, the same bytes twice, bad input refused, memory running
 * out. The files of web/ are carried as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>

#include "analysis_store.h"

#include "clipspan/memory_file.h"
#include "clipspan/page.h"
#include "formats/json.h"
#include "image/picture.h"

enum { IMAGES = 12, SIDE = 16 };
static const char BREAKER[] = "</script><script>alert(1)</script><!-- <script> \"\\ \xe2\x80\xa8";

static clipspan_store *store;

static int open_store(void **state)
{
    static const world_spec spec = {.layers = 1, .heads = 2, .head_dim = 3, .embed_dim = 5, .images = IMAGES, .factors = 2, .seed = 3};
    static char csv[IMAGES * 32 + 16] = "path\n";
    world w;
    for (int i = 0; i < IMAGES; i++) snprintf(csv + strlen(csv), 32, "img-%02d.png\n", i);
    scratch_begin(state);
    world_open(&w, &spec);
    store = world_store(&w, "page_store", csv, 0);
    world_close(&w);
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    clipspan_store_free(store);
    return 0;
}

static void paint(unsigned char *rgb, int seed)
{
    for (int i = 0; i < SIDE * SIDE * 3; i++) rgb[i] = (unsigned char)(i * 7 + seed * 31 + (i % 3) * 50);
}

/* A page with one of everything. */
static clipspan_status fill(clipspan_page *page, clipspan_error *err)
{
    static const char JSON[] = "{\"b\": [1, 0.1, {\"row\": 4}, {\"row\": 2}], \"a\": \"</script><!--\", \"row\": 7, "
                               "\"other\": [{\"row\": 3}, {\"row\": 4}]}";
    unsigned char rgb[SIDE * SIDE * 3];
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clipspan_page_side(page, store, NULL, err));
    CLSP_TRY(clipspan_page_section(page, "heads", BREAKER, JSON, sizeof JSON - 1, err));
    CLSP_TRY(clipspan_page_absent(page, "groups", BREAKER, err));
    CLSP_TRY(clipspan_page_sample(page, BREAKER, err));
    for (int row = 5; row >= 3; row--) {
        paint(rgb, row);
        CLSP_TRY(clipspan_page_picture(page, (uint64_t)row, BREAKER, rgb, SIDE, SIDE, err));
    }
out:
    return status;
}

static clipspan_page *filled(void)
{
    clipspan_error err;
    clipspan_page *page = NULL;
    assert_int_equal(clipspan_page_new(&page, BREAKER, &err), CLIPSPAN_OK);
    if (fill(page, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return page;
}

static char *read_file(const char *path, size_t *size)
{
    char *text = NULL;
    clipspan_error err;
    assert_int_equal(clsp_file_read(&text, size, path, (size_t)1 << 30, &err), CLIPSPAN_OK);
    return text;
}

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0, length = strlen(what);
    for (; *text; text++) count += strncmp(text, what, length) == 0;
    return count;
}

/* The data element's content. */
static clsp_json *data_of(const char *page)
{
    static const char BEGIN[] = "<script type=\"application/json\" id=\"data\">";
    clipspan_error err;
    clsp_json *root = NULL;
    const char *begin = strstr(page, BEGIN);
    assert_non_null(begin);
    begin += sizeof BEGIN - 1;
    const char *end = strstr(begin, "</script>");
    assert_non_null(end);
    if (clsp_json_parse(&root, begin, (size_t)(end - begin), "data", &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return root;
}

static void test_nothing_breaks_out(void **state)
{
    (void)state;
    clipspan_error err;
    size_t size, bare_size;
    clipspan_page *page = filled(), *bare = NULL;
    assert_int_equal(clipspan_page_new(&bare, "plain", &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_side(bare, store, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_write(page, scratch("page.html"), &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_write(bare, scratch("bare.html"), &err), CLIPSPAN_OK);
    char *text = read_file(scratch("page.html"), &size), *other = read_file(scratch("bare.html"), &bare_size);
    /* whatever the strings hold, elements and comments are those of the page without them */
    assert_int_equal(count_of(text, "<script"), count_of(other, "<script"));
    assert_int_equal(count_of(text, "</script"), count_of(text, "<script"));
    assert_int_equal(count_of(text, "<style>"), count_of(text, "</style"));
    assert_int_equal(count_of(text, "<!--"), count_of(other, "<!--"));
    assert_null(strstr(text, "<script>alert(1)"));
    assert_non_null(strstr(text, "<title>&lt;/script>&lt;script>"));
    assert_non_null(strstr(text, "default-src 'none'"));
    assert_null(strstr(text, "<link rel=\"stylesheet\""));
    assert_null(strstr(text, "<script src="));
    clsp_json *root = data_of(text);
    assert_string_equal(clsp_json_string(clsp_json_get(root, "title")), BREAKER);
    const clsp_json *side = clsp_json_at(clsp_json_get(root, "sides"), 0);
    const clsp_json *section = clsp_json_at(clsp_json_get(side, "sections"), 0);
    assert_string_equal(clsp_json_string(clsp_json_get(section, "command")), BREAKER);
    assert_string_equal(clsp_json_string(clsp_json_get(clsp_json_get(section, "data"), "a")), "</script><!--");
    assert_string_equal(clsp_json_string(clsp_json_get(side, "sample")), BREAKER);
    assert_string_equal(clsp_json_string(clsp_json_get(clsp_json_at(clsp_json_get(side, "absent"), 0), "why")), BREAKER);
    assert_string_equal(clsp_json_string(clsp_json_get(clsp_json_get(side, "store"), "model")), "fake");
    assert_null(clsp_json_get(side, "model"));
    clsp_json_free(root);
    clsp_free(text);
    clsp_free(other);
    clipspan_page_free(page);
    clipspan_page_free(bare);
}

static void test_same_bytes(void **state)
{
    (void)state;
    clipspan_error err;
    size_t first_size, second_size;
    clipspan_page *page = filled(), *again = filled();
    assert_int_equal(clipspan_page_write(page, scratch("one.html"), &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_write(again, scratch("two.html"), &err), CLIPSPAN_OK);
    char *first = read_file(scratch("one.html"), &first_size), *second = read_file(scratch("two.html"), &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    assert_true(clipspan_page_size(page) > 1000 && clipspan_page_size(page) < first_size);
    clsp_free(first);
    clsp_free(second);
    clipspan_page_free(page);
    clipspan_page_free(again);
}

static void test_rows(void **state)
{
    (void)state;
    clipspan_error err;
    size_t count = 0;
    clipspan_page *page = filled();
    const uint64_t *rows = clipspan_page_rows(page, &count);
    /* 7 stands in no list, 3 first in its own; then 4, second in one; 2 is fourth */
    assert_int_equal(count, 4);
    assert_int_equal(rows[0], 7);
    assert_int_equal(rows[1], 3);
    assert_int_equal(rows[2], 4);
    assert_int_equal(rows[3], 2);
    assert_int_equal(clipspan_page_section(page, "attributes", "x", "[]", 2, &err), CLIPSPAN_OK);
    clipspan_page_rows(page, &count);
    assert_int_equal(count, 0);
    clipspan_page_free(page);
}

/* Decodes a base64 text into out; returns how many bytes. */
static size_t decode64(unsigned char *out, const char *text)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = 0;
    for (; text[0] && text[1]; text += 4) {
        unsigned word = 0;
        for (int i = 0; i < 4; i++) word = word << 6 | (text[i] == '=' ? 0 : (unsigned)(strchr(DIGITS, text[i]) - DIGITS));
        out[length++] = (unsigned char)(word >> 16);
        if (text[2] != '=') out[length++] = (unsigned char)(word >> 8);
        if (text[3] != '=') out[length++] = (unsigned char)word;
    }
    return length;
}

static void test_pictures(void **state)
{
    (void)state;
    clipspan_error err;
    size_t size;
    unsigned char rgb[SIDE * SIDE * 3], bytes[20000];
    clipspan_page *page = filled();
    memset(rgb, 0, sizeof rgb);
    assert_int_equal(clipspan_page_picture(page, 4, "other", rgb, SIDE, SIDE, &err), CLIPSPAN_OK); /* keeps the first */
    assert_int_equal(clipspan_page_picture(page, 9, "empty", rgb, 0, SIDE, &err), CLIPSPAN_ERROR_ARGUMENT);
    for (int i = 0; i < SIDE * SIDE; i++) rgb[3 * i] = 200; /* red, but for rounding */
    assert_int_equal(clipspan_page_picture(page, 0, "red.png", rgb, SIDE, SIDE, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_write(page, scratch("pictures.html"), &err), CLIPSPAN_OK);
    char *text = read_file(scratch("pictures.html"), &size);
    clsp_json *root = data_of(text);
    const clsp_json *pictures = clsp_json_get(clsp_json_at(clsp_json_get(root, "sides"), 0), "pictures");
    assert_int_equal(clsp_json_length(pictures), 4);
    assert_string_equal(clsp_json_string(clsp_json_get(clsp_json_get(pictures, "4"), "name")), BREAKER);
    const char *url = clsp_json_string(clsp_json_get(clsp_json_get(pictures, "0"), "src"));
    static const char HEAD[] = "data:image/jpeg;base64,";
    assert_memory_equal(url, HEAD, sizeof HEAD - 1);
    const clsp_encoded encoded = {bytes, decode64(bytes, url + sizeof HEAD - 1), "red", 1 << 20, false};
    clsp_picture picture = {0};
    if (clsp_decode(&picture, &encoded, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(picture.width, SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) assert_true(abs(picture.data[3 * i] - 200) <= 3 && picture.data[3 * i + 1] <= 3);
    clsp_picture_free(&picture);
    clsp_json_free(root);
    clsp_free(text);
    clipspan_page_free(page);
}

static void test_refused(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_page *page = NULL;
    assert_int_equal(clipspan_page_new(&page, "t", &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_section(page, "heads", "c", "{}", 2, &err), CLIPSPAN_ERROR_ARGUMENT); /* no side yet */
    assert_int_equal(clipspan_page_side(page, store, NULL, &err), CLIPSPAN_OK);
    static const char *const BAD[] = {"", "{", "{}x", "[1,]", "{\"a\": 1, \"a\": 2}", "nan", "\"\xff\"", "</script>"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_int_equal(clipspan_page_section(page, "heads", "c", BAD[i], strlen(BAD[i]), &err), CLIPSPAN_ERROR_FORMAT);
        assert_message(err, "not valid JSON");
    }
    assert_int_equal(clipspan_page_side(page, store, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_side(page, store, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    const char *nowhere = scratch("no/such/folder.html");
    assert_int_equal(clipspan_page_write(page, nowhere, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "folder.html");
    clipspan_page_free(page);
    clipspan_page_free(NULL);
}

/* What the page says of "/home/me" and of the work in it, in JSON and in words. */
static void test_short_folders(void **state)
{
    (void)state;
    clipspan_error err;
    size_t size;
    static const char *const PAIRS[][2] = {
        {"/home/me/work/store", "store"}, {"/home/me/work", "."}, {"/home/me/work/", "./"}, {"/home/me/models/a b", "~/models/a b"},
        {"/home/me", "~"}, {"/home/me/working", "~/working"}, {"/home/meredith/x", "/home/meredith/x"},
        {"/mnt/home/me/x", "/mnt/home/me/x"}, {"a \"/home/me/x\", (/home/me/work/y: no)", "a \"~/x\", (y: no)"},
        {"/od\"d\\ \xc3\xa9/x", "=/x"}, {"", ""}, {"/", "/"}};
    clipspan_page *page = NULL;
    assert_int_equal(clipspan_page_new(&page, "t", &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_shorten(page, "/home/me", "~", &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_shorten(page, "/home/me/work", ".", &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_page_shorten(page, "/od\"d\\ \xc3\xa9", "=", &err), CLIPSPAN_OK);
    static const char *const BAD[] = {"", "/", "home", "/home/"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_int_equal(clipspan_page_shorten(page, BAD[i], "x", &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_page_side(page, store, NULL, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        clsp_json *value = clsp_json_new_string(PAIRS[i][0]);
        char *json = clsp_json_text(value);
        assert_int_equal(clipspan_page_section(page, "heads", "/home/me/as/given", json, strlen(json), &err), CLIPSPAN_OK);
        assert_int_equal(clipspan_page_absent(page, "groups", PAIRS[i][0], &err), CLIPSPAN_OK);
        clsp_free(json);
        clsp_json_free(value);
    }
    assert_int_equal(clipspan_page_write(page, scratch("short.html"), &err), CLIPSPAN_OK);
    char *text = read_file(scratch("short.html"), &size);
    clsp_json *root = data_of(text);
    const clsp_json *side = clsp_json_at(clsp_json_get(root, "sides"), 0);
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        const clsp_json *section = clsp_json_at(clsp_json_get(side, "sections"), i);
        const clsp_json *absent = clsp_json_at(clsp_json_get(side, "absent"), i);
        assert_string_equal(clsp_json_string(clsp_json_get(section, "data")), PAIRS[i][1]);
        assert_string_equal(clsp_json_string(clsp_json_get(section, "command")), "/home/me/as/given");
        assert_string_equal(clsp_json_string(clsp_json_get(absent, "why")), PAIRS[i][1]);
    }
    clsp_json_free(root);
    clsp_free(text);
    clipspan_page_free(page);
}

static clipspan_status whole_job(void)
{
    clipspan_page *page = NULL;
    const char *path = scratch("walk.html");
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clipspan_page_new(&page, "title", NULL));
    CLSP_TRY(clipspan_page_shorten(page, "/home/me", "~", NULL));
    CLSP_TRY(fill(page, NULL));
    CLSP_TRY(clipspan_page_write(page, path, NULL));
out:
    if (status != CLIPSPAN_OK) assert_nothing_left(path);
    clipspan_page_free(page);
    remove(path);
    return status;
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    remove(scratch("walk.html"));
    walk_failed_allocations(whole_job);
}

static void test_head_maps(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_memory_file *file = NULL;
    const float values[4] = {0.5F, -1.0F, 0.25F, 0};
    const clipspan_head_map maps[2] = {{4, 3, "a \"text\"", "clipspan map", 17, -0.125, values},
                                       {0, 0, "flat", "clipspan map", 2, 0, (const float[4]){0}}};
    unsigned char bytes[8];
    size_t length;
    assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_head_maps(maps, 2, 2, CLIPSPAN_PAPER, clipspan_memory_file_path(file), &err), CLIPSPAN_OK);
    const char *json = clipspan_memory_file_bytes(file, &length);
    clsp_json *root = NULL;
    assert_int_equal(clsp_json_parse(&root, json, length, "maps", &err), CLIPSPAN_OK);
    assert_string_equal(clsp_json_string(clsp_json_get(root, "unit")), "change in cosine");
    const clsp_json *list = clsp_json_get(root, "maps"), *first = clsp_json_at(list, 0);
    assert_string_equal(clsp_json_string(clsp_json_get(first, "head")), "L4.H3");
    assert_int_equal(decode64(bytes, clsp_json_string(clsp_json_get(first, "values"))), 4);
    assert_int_equal((signed char)bytes[0], 64);
    assert_int_equal((signed char)bytes[1], -127);
    assert_int_equal((signed char)bytes[2], 32);
    assert_int_equal((signed char)bytes[3], 0);
    assert_int_equal(decode64(bytes, clsp_json_string(clsp_json_get(clsp_json_at(list, 1), "values"))), 4);
    assert_int_equal(bytes[0], 0);
    clsp_json_free(root);
    clipspan_memory_file_free(file);
}

static void test_segment_examples(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_memory_file *file = NULL;
    unsigned char rgb[SIDE * SIDE * 3], truth[SIDE * SIDE], masks[2 * SIDE * SIDE], bytes[4000];
    const double iou[2] = {0.25, (double)NAN};
    const char *const methods[2] = {"decomposition", "gradcam"};
    size_t length;
    paint(rgb, 1);
    for (int i = 0; i < SIDE * SIDE; i++) {
        truth[i] = (unsigned char)(i == 5 ? 255 : i < 40);
        masks[i] = (unsigned char)(i < 20);
        masks[SIDE * SIDE + i] = 0;
    }
    const clipspan_segment_example example = {"a.png", rgb, truth, masks, iou};
    assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_segment_examples(&example, 1, methods, 2, SIDE, clipspan_memory_file_path(file), &err),
                     CLIPSPAN_OK);
    const char *json = clipspan_memory_file_bytes(file, &length);
    clsp_json *root = NULL;
    assert_int_equal(clsp_json_parse(&root, json, length, "examples", &err), CLIPSPAN_OK);
    const clsp_json *image = clsp_json_at(clsp_json_get(root, "images"), 0), *found = clsp_json_get(image, "masks");
    double value = 0;
    assert_true(clsp_json_number(clsp_json_get(clsp_json_at(found, 0), "iou"), &value) && value == 0.25);
    assert_null(clsp_json_get(clsp_json_at(found, 1), "iou"));
    static const char HEAD[] = "data:image/png;base64,";
    const char *url = clsp_json_string(clsp_json_get(image, "truth"));
    assert_memory_equal(url, HEAD, sizeof HEAD - 1);
    const clsp_encoded encoded = {bytes, decode64(bytes, url + sizeof HEAD - 1), "truth", 1 << 20, false};
    clsp_picture picture = {0};
    assert_int_equal(clsp_decode(&picture, &encoded, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_convert_rgb(&picture, &err), CLIPSPAN_OK);
    for (int i = 0; i < SIDE * SIDE; i++) assert_int_equal(picture.data[3 * i], i < 40 && i != 5 ? 255 : 0);
    clsp_picture_free(&picture);
    clsp_json_free(root);
    clipspan_memory_file_free(file);
}

/* Every page, style sheet and script of web/, byte for byte. */
static void test_web_files(void **state)
{
    (void)state;
    clipspan_error err;
    DIR *folder = opendir("../web");
    size_t seen = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.'), *type = NULL;
        char path[512], *text = NULL;
        size_t length = 0, size = 0;
        if (dot == NULL || (strcmp(dot, ".html") != 0 && strcmp(dot, ".css") != 0 && strcmp(dot, ".js") != 0)) continue;
        snprintf(path, sizeof path, "../web/%s", entry->d_name);
        const char *carried = clipspan_web_file(entry->d_name, &length, &type);
        if (carried == NULL) fail_msg("%s is not in the library", path);
        assert_int_equal(clsp_file_read(&text, &size, path, 1 << 24, &err), CLIPSPAN_OK);
        assert_int_equal(length, size);
        assert_memory_equal(carried, text, size);
        assert_int_equal(carried[length], '\0');
        assert_string_equal(type, dot[1] == 'h' ? "text/html" : dot[1] == 'c' ? "text/css" : "text/javascript");
        clsp_free(text);
        seen++;
    }
    closedir(folder);
    assert_true(seen >= 3);
    assert_null(clipspan_web_file("README.md", NULL, NULL));
    assert_null(clipspan_web_file("no.css", NULL, NULL));
    assert_null(clipspan_web_file("", NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_breaks_out), cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_pictures),           cmocka_unit_test(test_refused),    cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_head_maps),          cmocka_unit_test(test_segment_examples),
        cmocka_unit_test(test_short_folders),      cmocka_unit_test(test_web_files),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
