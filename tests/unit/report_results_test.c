/* Results in their three forms: what JSON and CSV say is read back and compared with the result itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_store.h"

#include "clipspan/report.h"
#include "formats/arrays.h"
#include "formats/json.h"

enum { IMAGES = 70, EMBED = 24, TEXTS = 40 };
static const world_spec spec = {2, 2, 8, EMBED, IMAGES, 3, 0.1, 0, 21};

typedef struct scene {
    world w;
    clipspan_store *store;
    clipspan_textspan *span;
    clipspan_attributes *attributes;
} scene;

static const char *const odd_texts[] = {"a photo, with \"quotes\"", "caf\xC3\xA9 \xE2\x80\x94 sign", "two\nlines"};

static void scene_open(scene *s, const char *name, int images)
{
    static char csv[IMAGES * 64 + 64];
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_texts *texts = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    const char *names[TEXTS];
    uint64_t state = 4;
    for (int t = 0; t < TEXTS; t++) names[t] = odd_texts[t % 3];
    size_t at = (size_t)snprintf(csv, sizeof csv, "path,\"odd, name\",half\n");
    for (int i = 0; i < IMAGES; i++)
        at += (size_t)snprintf(csv + at, sizeof csv - at, "dir/img-%02d.png,%d,%d\n", i,
                               (int)(world_next(&state) % 3), i < IMAGES / 2);
    world_open(&s->w, &spec);
    s->store = world_store(&s->w, name, csv, 0);
    float *pool = world_pool(TEXTS, EMBED, 0, 22);
    options.size = 3;
    options.top_images = 4;
    assert_int_equal(clipspan_texts_copy(&texts, names, TEXTS, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_moments(s->store, &moments, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&s->span, moments, texts, pool, &options, NULL, &err), CLIPSPAN_OK);
    if (images) assert_int_equal(clipspan_textspan_rank_images(s->span, s->store, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_attributes_run(&s->attributes, s->store, NULL, NULL, &err), CLIPSPAN_OK);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    free(pool);
}

static void scene_close(scene *s)
{
    clipspan_attributes_free(s->attributes);
    clipspan_textspan_free(s->span);
    clipspan_store_free(s->store);
    world_close(&s->w);
}

static double number(const clsp_json *node, const char *key)
{
    double value = NAN;
    if (!clsp_json_number(clsp_json_get(node, key), &value)) fail_msg("no number \"%s\"", key);
    return value;
}

static const char *string(const clsp_json *node, const char *key)
{
    const char *value = clsp_json_string(clsp_json_get(node, key));
    if (value == NULL) fail_msg("no string \"%s\"", key);
    return value;
}

static clsp_json *read_json(const char *path)
{
    clipspan_error err;
    clsp_json *root = NULL;
    if (clsp_json_open(&root, path, CLSP_JSON_MAXIMUM, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return root;
}

static char *read_text(const char *path)
{
    char *text = NULL;
    assert_int_equal(clsp_file_read(&text, NULL, path, 1 << 20, NULL), CLIPSPAN_OK);
    return text;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text++) count++;
    return count;
}

static void check_json_head(const scene *s, size_t i, const clsp_json *node)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(s->span, i);
    char name[16];
    snprintf(name, sizeof name, "L%d.H%d", head->layer, head->head);
    assert_string_equal(string(node, "name"), name);
    assert_int_equal((int)number(node, "layer"), head->layer);
    assert_int_equal((int)number(node, "head"), head->head);
    assert_true(number(node, "variance") == head->variance);
    assert_int_equal(clsp_json_length(clsp_json_get(node, "texts")), head->count);
    for (int m = 0; m < head->count; m++) {
        const clsp_json *text = clsp_json_at(clsp_json_get(node, "texts"), (size_t)m);
        const uint64_t *rows;
        const float *values;
        clipspan_textspan_images(s->span, i, m, &rows, &values);
        assert_string_equal(string(text, "text"), odd_texts[head->texts[m].text % 3]);
        assert_int_equal((size_t)number(text, "index"), head->texts[m].text);
        assert_true(number(text, "explained") == head->texts[m].explained);
        assert_true(number(text, "score") == head->texts[m].score);
        assert_int_equal(clsp_json_length(clsp_json_get(text, "images")), 4);
        const clsp_json *first = clsp_json_at(clsp_json_get(text, "images"), 0);
        assert_string_equal(string(first, "name"), clipspan_store_image_name(s->store, (size_t)rows[0]));
        assert_true(number(first, "value") == (double)values[0]);
    }
}

static void test_textspan_json(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    scene_open(&s, "json_store", 1);
    const char *path = scratch("textspan.json");
    assert_int_equal(clipspan_report_textspan(s.span, s.store, CLIPSPAN_JSON, path, &err), CLIPSPAN_OK);
    clsp_json *root = read_json(path);
    assert_string_equal(string(root, "convention"), "paper");
    assert_string_equal(string(clsp_json_get(root, "model"), "fingerprint"), "00112233445566778899aabbccddeeff");
    assert_int_equal((int)number(root, "size"), 3);
    assert_int_equal((int)number(root, "images"), IMAGES);
    assert_int_equal((int)number(clsp_json_get(root, "pool"), "texts"), TEXTS);
    assert_int_equal(clsp_json_length(clsp_json_get(root, "heads")), 4);
    for (size_t i = 0; i < 4; i++) check_json_head(&s, i, clsp_json_at(clsp_json_get(root, "heads"), i));
    clsp_json_free(root);
    scene_close(&s);
}

static void test_textspan_without_store_or_images(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    scene_open(&s, "bare_store", 0);
    const char *path = scratch("bare.json");
    assert_int_equal(clipspan_report_textspan(s.span, NULL, CLIPSPAN_JSON, path, &err), CLIPSPAN_OK);
    clsp_json *root = read_json(path);
    assert_null(clsp_json_get(root, "model"));
    const clsp_json *text = clsp_json_at(clsp_json_get(clsp_json_at(clsp_json_get(root, "heads"), 0), "texts"), 0);
    assert_non_null(text);
    assert_null(clsp_json_get(text, "images"));
    clsp_json_free(root);
    scene_close(&s);
}

static void test_textspan_csv_and_text(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    scene_open(&s, "table_store", 1);
    const char *csv = scratch("textspan.csv"), *txt = scratch("textspan.txt");
    assert_int_equal(clipspan_report_textspan(s.span, s.store, CLIPSPAN_CSV, csv, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_textspan(s.span, s.store, CLIPSPAN_TEXT, txt, &err), CLIPSPAN_OK);
    char *table = read_text(csv), *words = read_text(txt);
    size_t quoted = 0, split = 0;
    for (size_t i = 0; i < 4; i++)
        for (int m = 0; m < 3; m++) {
            size_t text = clipspan_textspan_get(s.span, i)->texts[m].text;
            quoted += text % 3 == 0;
            split += text % 3 == 2;
        }
    assert_int_equal(count_of(table, "\n"), 1 + 4 * 3 + split);
    assert_int_equal(count_of(table, "\"a photo, with \"\"quotes\"\"\""), quoted);
    assert_int_equal(count_of(table, "dir/img-"), 12 * 4);
    assert_int_equal(count_of(table, " | dir/img-"), 12 * 3);
    assert_int_equal(count_of(words, "\nL"), 4);
    assert_int_equal(count_of(words, "\nL1.H0   variance "), 1);
    assert_int_equal(count_of(words, " %  "), 4 + 4 * 3);
    assert_int_equal(count_of(words, "two lines"), split); /* its line end is not the table's */
    assert_non_null(strstr(words, "squared units of the joint space"));
    assert_int_equal(count_of(words, "dir/img-"), 4 * 3 * 4);
    free(table);
    free(words);
    scene_close(&s);
}

static void test_textspan_tables(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    const char *names[3] = {"50 % \\of {a_b} & #1 $x^2~", "a|b *c* <d> [e] ~f~", "two\nlines -- \"\xE2\x80\x9Cok\xE2\x80\x9D\" ?` '' caf\xC3\xA9 \xFF."}, *path = scratch("table.tex");
    clipspan_textspan *span = NULL;
    clipspan_moments *moments = NULL;
    clipspan_texts *texts = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    float *pool = world_pool(3, EMBED, 0, 22);
    scene_open(&s, "paper_store", 0);
    options.size = 3;
    assert_int_equal(clipspan_texts_copy(&texts, names, 3, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_moments(s.store, &moments, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&span, moments, texts, pool, &options, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_textspan_table(span, CLIPSPAN_LATEX, path, &err), CLIPSPAN_OK);
    char *latex = read_text(path), share[32];
    size_t heads = clipspan_textspan_head_count(span);
    assert_int_equal(count_of(latex, "50 \\% \\textbackslash{}of \\{a\\_b\\} \\& \\#1 \\$x\\textasciicircum{}2\\textasciitilde{} & "),
                     heads);
    assert_int_equal(count_of(latex, "a\\textbar{}b *c* \\textless{}d\\textgreater{} [e] \\textasciitilde{}f"), heads);
    assert_int_equal(count_of(latex, "two lines -{}- {\\char34}\xE2\x80\x9Cok\xE2\x80\x9D{\\char34} ?{\\char96} '{}' caf\xC3\xA9 ?. & "), heads);
    assert_int_equal(count_of(latex, " \\\\\n"), 1 + 3 * heads);
    assert_int_equal(count_of(latex, "\\addlinespace"), heads - 1);
    snprintf(share, sizeof share, " & %.1f \\\\\n", 100 * clipspan_textspan_get(span, 0)->texts[0].explained);
    assert_non_null(strstr(latex, share));
    assert_non_null(strstr(latex, "\nL1.H0 & "));
    assert_int_equal(clipspan_report_textspan_table(span, CLIPSPAN_MARKDOWN, path, &err), CLIPSPAN_OK);
    char *markdown = read_text(path);
    assert_int_equal(count_of(markdown, "| a\\|b \\*c\\* \\<d> \\[e] \\~f\\~ | "), heads);
    assert_int_equal(count_of(markdown, "\n"), 2 + 3 * heads);
    assert_int_equal(clipspan_report_textspan_table(span, (clipspan_markup)2, path, &err), CLIPSPAN_ERROR_ARGUMENT);
    free(latex);
    free(markdown);
    free(pool);
    clipspan_textspan_free(span);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    scene_close(&s);
}

static void test_attributes(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    scene_open(&s, "attributes_store", 0);
    const char *json = scratch("attributes.json"), *csv = scratch("attributes.csv"), *txt = scratch("attributes.txt");
    assert_int_equal(clipspan_report_attributes(s.attributes, s.store, NULL, CLIPSPAN_CSV, csv, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_attributes(s.attributes, s.store, s.span, CLIPSPAN_JSON, json, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_attributes(s.attributes, s.store, s.span, CLIPSPAN_TEXT, txt, &err), CLIPSPAN_OK);
    clsp_json *root = read_json(json);
    const clsp_json *head = clsp_json_at(clsp_json_get(root, "heads"), 3), *shares = clsp_json_get(head, "shares");
    double odd = number(shares, "odd, name"), half = number(shares, "half");
    assert_true(odd == clipspan_attributes_share(s.attributes, 0, 1, 1));
    double excess = number(clsp_json_get(head, "excess"), "half");
    size_t best = clipspan_attributes_strongest(s.attributes, 1, 1);
    assert_true(excess == clipspan_attributes_excess(s.attributes, 1, 1, 1) && excess < half && odd > 0);
    if (best == SIZE_MAX)
        assert_null(clsp_json_string(clsp_json_get(head, "strongest")));
    else
        assert_string_equal(string(head, "strongest"), clipspan_attributes_name(s.attributes, best));
    assert_int_equal(clsp_json_length(clsp_json_get(head, "texts")), 3);
    assert_int_equal((int)number(clsp_json_at(clsp_json_get(root, "attributes"), 0), "values"), 3);
    char *table = read_text(csv), *words = read_text(txt);
    assert_int_equal(count_of(table, "\n"), 1 + 4 * 2);
    assert_int_equal(count_of(table, ",\"odd, name\","), 4);
    assert_int_equal(count_of(table, ",3,70\n"), 4); /* values, images */
    assert_int_equal(count_of(words, "\nL"), 4);
    assert_int_equal(count_of(words, "\nodd, name       3          70    2.9 %\n"), 1);
    free(table);
    free(words);
    clsp_json_free(root);
    scene_close(&s);
}

static void test_classification(void **state)
{
    (void)state;
    clipspan_error err;
    clipspan_classification *result = NULL;
    float images[3 * 2] = {1, 0, 0, 1, 0.6F, 0.8F}, classifier[2 * 2] = {0, 1, 1, 0};
    int labels[3] = {1, 0, -1};
    const uint64_t rows[3] = {0, 5, 7};
    const char *classes[] = {"dog", "a, cat"}, *names[] = {"x.png", "y.png", "z.png"};
    clipspan_texts *texts = NULL;
    const char *json = scratch("classes.json"), *csv = scratch("classes.csv"), *txt = scratch("classes.txt");
    assert_int_equal(clipspan_texts_copy(&texts, classes, 2, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_classify_run(&result, images, 3, 2, labels, classifier, texts, 1.0F, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_classification(result, names, rows, NULL, CLIPSPAN_JSON, json, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_classification(result, NULL, rows, NULL, CLIPSPAN_CSV, csv, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_classification(result, names, NULL, NULL, CLIPSPAN_TEXT, txt, &err), CLIPSPAN_OK);
    clsp_json *root = read_json(json);
    assert_true(number(root, "top1") == 1);
    const clsp_json *second = clsp_json_at(clsp_json_get(root, "predictions"), 1);
    const clsp_json *third = clsp_json_at(clsp_json_get(root, "predictions"), 2);
    assert_string_equal(string(second, "label"), "dog");
    assert_int_equal((int)number(second, "row"), 5);
    assert_null(clsp_json_get(third, "label"));
    assert_null(clsp_json_get(third, "right"));
    assert_string_equal(string(third, "name"), "z.png");
    assert_string_equal(string(clsp_json_at(clsp_json_get(third, "choices"), 0), "class"), "dog");
    char *table = read_text(csv), *words = read_text(txt);
    assert_non_null(strstr(table, "row,name,label,right,class_1,"));
    assert_non_null(strstr(table, "\n0,,\"a, cat\",1,\"a, cat\",0.731058"));
    assert_non_null(strstr(table, "\n7,,,,dog,"));
    assert_non_null(strstr(words, "top-1 100.00 % of 2 labelled images"));
    free(table);
    free(words);
    clsp_json_free(root);
    clipspan_classification_free(result);
    clipspan_texts_free(texts);
}

static void test_store_and_npy(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    const float values[6] = {1, 2, 3, 4, 5, -6.5F};
    const size_t shape[2] = {2, 3};
    clsp_array array;
    bool complete = false;
    scene_open(&s, "info_store", 0);
    const char *json = scratch("store.json"), *txt = scratch("store.txt"), *npy = scratch("values.npy");
    assert_int_equal(clipspan_report_store(s.store, CLIPSPAN_JSON, json, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_report_store(s.store, CLIPSPAN_TEXT, txt, &err), CLIPSPAN_OK);
    clsp_json *root = read_json(json);
    assert_true(clsp_json_bool(clsp_json_get(root, "complete"), &complete) && complete);
    assert_int_equal((int)number(root, "images"), IMAGES);
    char *words = read_text(txt);
    assert_non_null(strstr(words, "joint dimension"));
    assert_int_equal(clipspan_report_npy(values, shape, 2, npy, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_npy_open(&array, npy, &err), CLIPSPAN_OK);
    assert_int_equal(array.shape[1], 3);
    assert_memory_equal(array.data, values, sizeof values);
    clsp_npy_close(&array);
    free(words);
    clsp_json_free(root);
    scene_close(&s);
}

/* Whole or absent, also where memory runs out or the folder is missing. */
static void test_failures(void **state)
{
    (void)state;
    scene s = {0};
    clipspan_error err;
    scene_open(&s, "failure_store", 1);
    assert_int_equal(clipspan_report_textspan(s.span, s.store, CLIPSPAN_TEXT, scratch("none/t.txt"), &err),
                     CLIPSPAN_ERROR_IO);
    assert_non_null(strstr(err.message, "none/t.txt"));
    assert_int_equal(clipspan_report_textspan(s.span, s.store, (clipspan_format)7, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    for (int format = 0; format < 3; format++) {
        char name[32];
        snprintf(name, sizeof name, "walk-%d.out", format);
        const char *path = scratch(name);
        remove(path);
        for (unsigned long n = 1;; n++) {
            clsp_alloc_fail_at(n);
            clipspan_status status = clipspan_report_textspan(s.span, s.store, (clipspan_format)format, path, &err);
            if (status == CLIPSPAN_OK)
                status = clipspan_report_attributes(s.attributes, s.store, s.span, (clipspan_format)format, path, &err);
            clsp_alloc_fail_at(0);
            if (status == CLIPSPAN_OK) break;
            assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        }
    }
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textspan_json), cmocka_unit_test(test_textspan_without_store_or_images),
        cmocka_unit_test(test_textspan_csv_and_text),
        cmocka_unit_test(test_textspan_tables), cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_classification), cmocka_unit_test(test_store_and_npy),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
