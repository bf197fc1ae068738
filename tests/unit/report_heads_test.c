/* Heads at a glance: odd texts and names in all three forms, results of some heads alone, what does not fit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_store.h"

#include "clipspan/heads.h"
#include "formats/json.h"

enum { IMAGES = 70, EMBED = 24, HEADS = 4, TEXTS = 3 };
static const world_spec spec = {2, 2, 8, EMBED, IMAGES, 3, 0.1, 0, 21};
static const char *const odd_texts[] = {"a photo, with \"quotes\"", "caf\xC3\xA9 \033[31m\xC2\x9B" "31m sign", "two\nlines"};
static const char *const sources[] = {"one pool.txt"};

typedef struct scene {
    world w;
    clipspan_store *store;
    clipspan_head_spread spread[HEADS];
    clipspan_textspan *span; /* of L0.H1 and L1.H0 */
    clipspan_attributes *attributes;
    clipspan_activations *activations; /* of the same */
    clipspan_heads_table table;
} scene;

static void find(scene *s)
{
    static const unsigned char chosen[HEADS] = {0, 1, 1, 0};
    clipspan_error err;
    clipspan_moments *moments = NULL;
    clipspan_texts *texts = NULL;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    const clipspan_activations_options few = {CLIPSPAN_PAPER, 3, 8, 0};
    float *pool = world_pool(TEXTS, EMBED, 0, 22);
    const clipspan_direction directions[] = {{0, 1, pool}, {1, 0, pool}};
    options.size = 2;
    options.heads = chosen;
    assert_int_equal(clipspan_texts_copy(&texts, odd_texts, TEXTS, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_moments(s->store, &moments, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_heads_spread(s->spread, moments, CLIPSPAN_PAPER, 0, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_textspan_run(&s->span, moments, texts, pool, &options, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_attributes_run(&s->attributes, s->store, NULL, NULL, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_activations_run(&s->activations, s->store, directions, 2, &few, NULL, &err), CLIPSPAN_OK);
    clipspan_moments_free(moments);
    clipspan_texts_free(texts);
    free(pool);
}

static void scene_open(scene *s, const char *name)
{
    static char csv[IMAGES * 64 + 64];
    uint64_t state = 4;
    size_t at = (size_t)snprintf(csv, sizeof csv, "path,\"odd, name\",half\n");
    for (int i = 0; i < IMAGES; i++)
        at += (size_t)snprintf(csv + at, sizeof csv - at, "dir/img-%02d.png,%d,%d\n", i, (int)(world_next(&state) % 3),
                               i < IMAGES / 2);
    world_open(&s->w, &spec);
    s->store = world_store(&s->w, name, csv, 0);
    find(s);
    s->table = (clipspan_heads_table){.store = s->store, .spread = s->spread, .attributes = s->attributes,
                                      .textspan = s->span, .sources = sources, .source_count = 1,
                                      .activations = s->activations};
}

static void scene_close(scene *s)
{
    clipspan_activations_free(s->activations);
    clipspan_attributes_free(s->attributes);
    clipspan_textspan_free(s->span);
    clipspan_store_free(s->store);
    world_close(&s->w);
}

static char *written(const clipspan_heads_table *table, const clipspan_heads_look *look, clipspan_format format)
{
    clipspan_error err;
    char *text = NULL;
    const char *path = scratch("heads.out");
    if (clipspan_report_heads(table, look, format, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clsp_file_read(&text, NULL, path, 1 << 20, NULL), CLIPSPAN_OK);
    return text;
}

static void test_json(void **state)
{
    (void)state;
    static scene s;
    clsp_json *root = NULL;
    clipspan_error err;
    scene_open(&s, "heads_json");
    clsp_free(written(&s.table, NULL, CLIPSPAN_JSON));
    assert_int_equal(clsp_json_open(&root, scratch("heads.out"), CLSP_JSON_MAXIMUM, &err), CLIPSPAN_OK);
    const clsp_json *heads = clsp_json_get(root, "heads");
    assert_int_equal(clsp_json_length(heads), HEADS);
    for (size_t i = 0; i < HEADS; i++) {
        const clsp_json *head = clsp_json_at(heads, i);
        double share = NAN;
        bool described = i == 1 || i == 2;
        assert_true(clsp_json_number(clsp_json_get(head, "share"), &share) && share == s.spread[i].share);
        assert_int_equal(clsp_json_get(head, "texts") != NULL, described);
        assert_int_equal(clsp_json_get(head, "activation") != NULL, described);
        assert_non_null(clsp_json_get(clsp_json_get(head, "excess"), "odd, name"));
        assert_null(clsp_json_get(head, "effect"));
        if (!described) continue;
        const clipspan_textspan_head *texts = clipspan_textspan_get(s.span, i - 1);
        const clsp_json *first = clsp_json_at(clsp_json_get(head, "texts"), 0);
        assert_string_equal(clsp_json_string(clsp_json_get(first, "text")), odd_texts[texts->texts[0].text]);
        assert_null(clsp_json_get(first, "stability"));
    }
    clsp_json_free(root);
    s.table = (clipspan_heads_table){.store = s.store, .spread = s.spread};
    clsp_free(written(&s.table, NULL, CLIPSPAN_JSON));
    assert_int_equal(clsp_json_open(&root, scratch("heads.out"), CLSP_JSON_MAXIMUM, &err), CLIPSPAN_OK);
    assert_null(clsp_json_get(clsp_json_at(clsp_json_get(root, "heads"), 0), "role"));
    clsp_json_free(root);
    scene_close(&s);
}

/* No text reaches the terminal as a command or breaks a line; a quoted field is quoted. */
static void test_text_and_csv(void **state)
{
    (void)state;
    static scene s;
    static const unsigned char described[HEADS] = {0, 1, 1, 0};
    clipspan_heads_look look = {CLIPSPAN_HEADS_BY_SHARE, CLIPSPAN_COLOURS_NONE, 80, described};
    scene_open(&s, "heads_text");
    char *text = written(&s.table, &look, CLIPSPAN_TEXT);
    assert_null(strchr(text, '\033'));
    assert_null(strstr(text, "\xC2\x9B"));
    assert_non_null(strstr(text, "two lines"));
    assert_non_null(strstr(text, "L1.H0: variance"));
    assert_null(strstr(text, "L0.H0:"));
    clsp_free(text);
    look.colours = CLIPSPAN_COLOURS_256;
    look.by = CLIPSPAN_HEADS_BY_ROLE;
    text = written(&s.table, &look, CLIPSPAN_TEXT);
    assert_non_null(strstr(text, "\033[48;5;"));
    assert_null(strstr(text, "\033[31m"));
    clsp_free(text);
    text = written(&s.table, NULL, CLIPSPAN_CSV);
    assert_non_null(strstr(text, "\"a photo, with \"\"quotes\"\"\""));
    assert_non_null(strstr(text, "layer,head,variance,share,rank,role,excess,text_1,explained_1,text_2,explained_2\n0,0,"));
    clsp_free(text);
    scene_close(&s);
}

static void test_refused(void **state)
{
    (void)state;
    static scene s, other;
    clipspan_error err;
    clipspan_heads_look look = CLIPSPAN_HEADS_LOOK_INIT;
    scene_open(&s, "heads_refused");
    look.by = CLIPSPAN_HEADS_BY_EFFECT;
    assert_int_equal(clipspan_report_heads(&s.table, &look, CLIPSPAN_TEXT, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_report_heads(&s.table, NULL, (clipspan_format)7, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_report_heads(&s.table, NULL, CLIPSPAN_TEXT, scratch("none/h.txt"), &err), CLIPSPAN_ERROR_IO);
    clipspan_heads_table table = s.table;
    table.attributes = NULL;
    look.by = CLIPSPAN_HEADS_BY_ROLE;
    assert_int_equal(clipspan_report_heads(&table, &look, CLIPSPAN_TEXT, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    table = s.table; /* a store of fewer layers than the results know */
    const world_spec small = {1, 2, 8, EMBED, IMAGES, 3, 0.1, 0, 21};
    char *csv = calloc(IMAGES * 16 + 16, 1);
    strcpy(csv, "path\n");
    for (int i = 0; i < IMAGES; i++) snprintf(csv + strlen(csv), 16, "i%02d.png\n", i);
    world_open(&other.w, &small);
    other.store = world_store(&other.w, "heads_small", csv, 0);
    table.store = other.store;
    assert_int_equal(clipspan_report_heads(&table, NULL, CLIPSPAN_TEXT, "-", &err), CLIPSPAN_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "L1.H0"));
    clipspan_store_free(other.store);
    world_close(&other.w);
    free(csv);
    scene_close(&s);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    static scene s;
    static const unsigned char described[HEADS] = {0, 1, 1, 0};
    const clipspan_heads_look look = {CLIPSPAN_HEADS_BY_ROLE, CLIPSPAN_COLOURS_TRUE, 80, described};
    clipspan_error err;
    scene_open(&s, "heads_walk");
    for (int format = 0; format < 3; format++) {
        char name[32];
        unsigned long n = 1;
        snprintf(name, sizeof name, "heads-%d.out", format);
        const char *path = scratch(name);
        remove(path);
        for (;; n++) {
            clsp_alloc_fail_at(n);
            clipspan_status status = clipspan_report_heads(&s.table, &look, (clipspan_format)format, path, &err);
            clsp_alloc_fail_at(0);
            if (status == CLIPSPAN_OK) break;
            assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
            assert_false(clsp_file_exists(path));
        }
        assert_true(n > 3);
    }
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json), cmocka_unit_test(test_text_and_csv), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
