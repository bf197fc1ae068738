/* Stores of version 1 (before checksums by blocks): finished ones are read as ever, unfinished ones not gone on with. */
#include "store_fake.h"

static void expect_ok(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

/* One shard as version 1 had it: no `sums`, embedding in f32. */
static void rewrite_shard(clsp_shard *shard, const clsp_field *fields, size_t count, const char *directory)
{
    clipspan_error err = {0};
    clsp_safetensors *file = NULL;
    clsp_safetensors_writer *writer = NULL;
    clsp_tensor_plan plans[64] = {0};
    char *path = clsp_store_file_path(&shard->file, directory);
    expect_ok(clsp_safetensors_open(&file, path, &err), &err);
    assert_true(count <= 64);
    for (size_t f = 0; f < count; f++) {
        plans[f] = (clsp_tensor_plan){.name = fields[f].name, .dtype = fields[f].dtype, .dims = fields[f].dims};
        clsp_field_shape(&fields[f], shard->images, plans[f].shape);
    }
    expect_ok(clsp_safetensors_writer_open(&writer, path, plans, count, NULL, &err), &err);
    for (size_t f = 0; f < count; f++) {
        const clsp_tensor *tensor = clsp_safetensors_find(file, fields[f].name);
        if (tensor->dtype == fields[f].dtype) {
            expect_ok(clsp_safetensors_writer_add(writer, tensor->data, tensor->count * clsp_dtype_size(tensor->dtype), &err),
                      &err);
            continue;
        }
        float *wide = malloc(tensor->count * sizeof *wide);
        clsp_f16_widen(wide, tensor->data, tensor->count);
        expect_ok(clsp_safetensors_writer_floats(writer, wide, tensor->count, CLSP_F32, &err), &err);
        free(wide);
    }
    expect_ok(clsp_store_file_commit(&shard->file, &writer, path, &err), &err);
    shard->sums[0] = '\0';
    clsp_safetensors_free(file);
    clsp_free(path);
}

/* The fake's finished store as version 1 wrote it; of its shards only the first `keep`. */
static void rewrite(const store_fake *s, size_t keep)
{
    clipspan_error err = {0};
    clsp_manifest m;
    clsp_field *fields = NULL;
    size_t count = 0;
    expect_ok(clsp_manifest_read(&m, s->directory, &err), &err);
    m.version = 1;
    expect_ok(clsp_fields_new(&fields, &count, &m, &err), &err);
    for (size_t i = 0; i < m.shard_count; i++) rewrite_shard(&m.shards[i], fields, count, s->directory);
    expect_ok(clsp_basis_write(&s->basis.view, false, s->directory, &m.basis, &err), &err);
    if (keep < m.shard_count) {
        m.shard_count = keep;
        m.complete = false;
        m.positions = m.images = 0;
        for (size_t i = 0; i < keep; i++) {
            m.positions += m.shards[i].count;
            m.images += m.shards[i].images;
        }
        m.skipped = m.positions - m.images;
        if (keep == 0) m.moments = (clsp_store_file){0};
    }
    expect_ok(clsp_manifest_write(&m, s->directory, &err), &err);
    clsp_free(fields);
    clsp_manifest_clear(&m);
}

static clipspan_status play(const char *directory, gathered *found, size_t batch, clipspan_error *err)
{
    clipspan_store *store = NULL;
    clipspan_store_selection select = {.parts = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, .batch = batch};
    clipspan_status status = clipspan_store_open(&store, directory, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_each(store, &select, gather_batch, found, NULL, err);
    clipspan_store_free(store);
    return status;
}

static void write_fake(store_fake *s, const char *name, int half)
{
    clipspan_error err = {0};
    store_fake_init(s, name);
    s->options.half = half;
    expect_ok(store_fake_run(s, NULL, NULL, &err), &err);
}

static void finished_stores_are_read(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        store_fake s;
        gathered expected = {0};
        clipspan_error err = {0};
        clipspan_store_summary summary;
        write_fake(&s, "old", half);
        expect_ok(play(s.directory, &expected, 5, &err), &err);
        rewrite(&s, SIZE_MAX);
        for (size_t batch = 0; batch <= CLSP_BLOCK; batch += CLSP_BLOCK / 2) {
            gathered found = {0};
            expect_ok(play(s.directory, &found, batch, &err), &err);
            assert_int_equal(found.images, 40);
            assert_memory_equal(found.values, expected.values, 40 * found.per_image * sizeof(float));
            free(found.values);
        }
        expect_ok(store_fake_run(&s, &summary, NULL, &err), &err); /* it is there already */
        assert_int_equal(summary.resumed, 40);
        free(expected.values);
        store_fake_clear(&s);
    }
}

/* Wherever it is: version 1 has one checksum for the whole shard. */
static void damage_is_found(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    write_fake(&s, "old_damaged", 1);
    rewrite(&s, SIZE_MAX);
    for (int place = 1; place < 8; place++) {
        char command[1400];
        gathered found = {0};
        snprintf(command, sizeof command,
                 "cd '%s' && f=shard-00001.safetensors && cp $f ../kept && n=$(( $(stat -c %%s $f) * %d / 8 )) && "
                 "b=$(od -An -tu1 -j$n -N1 $f) && printf \"\\\\$(printf %%o $(( b ^ 4 )))\" | "
                 "dd of=$f bs=1 seek=$n conv=notrunc 2>/dev/null",
                 s.directory, place);
        assert_int_equal(system(command), 0);
        clipspan_status status = play(s.directory, &found, 0, &err);
        if (status == CLIPSPAN_OK || strstr(err.message, "shard-00001.safetensors is damaged") == NULL)
            fail_msg("at %d/8: %s", place, err.message);
        snprintf(command, sizeof command, "cd '%s' && mv ../kept shard-00001.safetensors", s.directory);
        assert_int_equal(system(command), 0);
        free(found.values);
    }
    store_fake_clear(&s);
}

static void unfinished_stores_are_only_read(void **state)
{
    (void)state;
    for (size_t keep = 0; keep < 4; keep += 2) {
        store_fake s;
        gathered found = {0};
        clipspan_error err = {0};
        write_fake(&s, "old_unfinished", 1);
        rewrite(&s, keep);
        expect_ok(play(s.directory, &found, 0, &err), &err);
        assert_int_equal(found.images, keep == 0 ? 0 : 21);
        assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "was begun by an earlier version"));
        assert_non_null(strstr(err.message, "name another folder, or delete this one"));
        free(found.values);
        store_fake_clear(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finished_stores_are_read),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(unfinished_stores_are_only_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
