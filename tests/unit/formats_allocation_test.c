/* Every allocation of what is written fails once, jansson's too: its hooks are set to base's counted heap. The
 * status must be "out of memory", nothing may leak (ASan looks), nothing half-written may stay.
 *
 * Reading cannot be walked so: where jansson 2.14's lexer gets no memory it drops characters and then stops on an
 * assertion of its own. The other tests walk the readers' own allocations. */
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

static void walk(clipspan_status (*job)(void), unsigned long fewest)
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
        if (status != CLIPSPAN_ERROR_MEMORY)
            fail_msg("allocation %lu of the job: status %d", n, status);
    }
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

static void building_survives(void **state)
{
    (void)state;
    walk(build, 30);
}

static void writing_survives(void **state)
{
    (void)state;
    walk(write_tensors, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(building_survives),
        cmocka_unit_test(writing_survives),
    };
    json_set_alloc_funcs(counted, clsp_free);
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
