/* Every allocation fails once, jansson's too: its hooks are set to base's counted heap. Nothing may crash or leak
 * (ASan looks), nothing half-written may stay, and what is written says "out of memory".
 *
 * Reading is held to less. jansson 2.14 calls a string it had no memory for an invalid token, and where its lexer's
 * buffer cannot grow it drops a character and goes on; from outside neither can be told from the file's content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdint.h>

#include "formats/json.h"
#include "formats/safetensors.h"
#include "scratch.h"

static void *counted(size_t size)
{
    return clsp_alloc(size, 1);
}

static void walk(clipspan_status (*job)(void), unsigned long fewest, bool strict)
{
    for (unsigned long n = 1;; n++) {
        clsp_alloc_fail_at(n);
        clipspan_status status = job();
        unsigned long seen = clsp_alloc_fail_at(0);
        if (seen < n) {
            assert_int_equal(status, CLIPSPAN_OK);
            assert_true(seen >= fewest); /* the hooks are really in use */
            return;
        }
        if (strict && status != CLIPSPAN_ERROR_MEMORY)
            fail_msg("allocation %lu of the job: status %d", n, status);
    }
}

static clipspan_status parse(void)
{
    static const char text[] = "{\"hidden_size\": 768, \"ratio\": 2.5, \"texts\": [\"a\", \"b\\u00e9\", null, true],"
                               " \"vision\": {\"a\": 1, \"b\": 2, \"c\": 3, \"d\": 4, \"e\": 5, \"f\": 6, \"g\": 7,"
                               " \"h\": 8, \"i\": 9}, \"limit\": 1000000000000000019884624838656}";
    clsp_json *root = NULL;
    clipspan_status status = clsp_json_parse(&root, text, sizeof text - 1, "walk.json", NULL);
    assert_true((root == NULL) == (status != CLIPSPAN_OK));
    clsp_json_free(root);
    return status;
}

static clipspan_status build(void)
{
    const char *path = scratch("walk.json");
    clsp_json *root = clsp_json_new_object(), *array = clsp_json_new_array();
    bool ok = true;
    for (int i = 0; i < 20; i++) ok &= clsp_json_push(array, clsp_json_new_number(i * 0.1));
    ok &= clsp_json_put(root, "numbers", array);
    ok &= clsp_json_put(root, "text\xff", clsp_json_new_string("not UTF-8: \xff"));
    ok &= clsp_json_put(root, "inner", clsp_json_new_object());
    clipspan_status status = ok ? clsp_json_write(root, path, NULL) : CLIPSPAN_ERROR_MEMORY;
    clsp_json_free(root);
    if (status != CLIPSPAN_OK) assert_nothing_left(path);
    remove(path);
    return status;
}

static clipspan_status open_shards(void)
{
    clsp_safetensors *file = NULL;
    clipspan_status status = clsp_safetensors_open_index(&file, "golden/formats/model.safetensors.index.json", NULL);
    assert_true((file == NULL) == (status != CLIPSPAN_OK));
    clsp_safetensors_free(file);
    return status;
}

static clipspan_status write_tensors(void)
{
    static const clsp_tensor_plan plans[] = {{"a", CLSP_F32, 1, {1}}, {"b", CLSP_F16, 2, {0, 3}}};
    static const char *const metadata[] = {"format", "pt", NULL};
    const char *path = scratch("walk.safetensors");
    clsp_safetensors_writer *w = NULL;
    clipspan_status status = clsp_safetensors_writer_open(&w, path, plans, 2, metadata, NULL);
    if (status == CLIPSPAN_OK) {
        assert_int_equal(clsp_safetensors_writer_floats(w, &(float){1}, 1, CLSP_F32, NULL), CLIPSPAN_OK);
        status = clsp_safetensors_writer_commit(w, NULL, NULL);
    }
    if (status != CLIPSPAN_OK) assert_nothing_left(path);
    remove(path);
    return status;
}

static void parsing_survives(void **state)
{
    (void)state;
    walk(parse, 50, false);
}

static void building_survives(void **state)
{
    (void)state;
    walk(build, 30, true);
}

static void shards_survive(void **state)
{
    (void)state;
    walk(open_shards, 60, false);
}

static void writing_survives(void **state)
{
    (void)state;
    walk(write_tensors, 40, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing_survives),
        cmocka_unit_test(building_survives),
        cmocka_unit_test(shards_survive),
        cmocka_unit_test(writing_survives),
    };
    json_set_alloc_funcs(counted, clsp_free);
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
