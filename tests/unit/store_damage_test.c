/* A store that was damaged, or made by another model, is refused with the name of what is wrong; and no shortage of
 * memory while reading leaks or crashes. */
#include "store_fake.h"

#include "compute/compute.h"

/* An intact store, copied for each damage. */
static store_fake intact;

static void copy_store(char out[512])
{
    char command[1200];
    fake_path(out, "damaged");
    fake_erase(out);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", intact.directory, out);
    assert_int_equal(system(command), 0);
}

static void edit(const char *directory, const char *name, const char *how)
{
    char command[1400];
    snprintf(command, sizeof command, "cd '%s' && f=%s && %s", directory, name, how);
    assert_int_equal(system(command), 0);
}

/* Opens, plays back and reads the moments; the first error's message, or "". */
static void use_store(const char *directory, clipspan_error *err)
{
    clipspan_store *store = NULL;
    clipspan_moments *moments = NULL;
    gathered found = {0};
    err->message[0] = '\0';
    clipspan_status status = clipspan_store_open(&store, directory, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_each(store, NULL, gather_batch, &found, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_moments(store, &moments, err);
    clipspan_moments_free(moments);
    clipspan_store_free(store);
    free(found.values);
    if (status == CLIPSPAN_OK) assert_string_equal(err->message, "");
}

static void expect_message(const char *name, const char *how, const char *message)
{
    char directory[512];
    clipspan_error err = {0};
    copy_store(directory);
    edit(directory, name, how);
    use_store(directory, &err);
    if (strstr(err.message, message) == NULL) fail_msg("%s after %s: %s", name, how, err.message);
}

/* One byte at $n, one in the middle, the file cut short, the file gone. */
#define FLIP                                          \
    "b=$(od -An -tu1 -j$n -N1 $f) && "                \
    "printf \"\\\\$(printf %o $(( b ^ 64 )))\" | dd of=$f bs=1 seek=$n conv=notrunc 2>/dev/null"
static const char flip_there[] = FLIP, flip[] = "n=$(( $(stat -c %s $f) * 3 / 4 )) && " FLIP;
static const char cut[] = "truncate -s -5 $f", gone[] = "rm $f";

static void damaged_files(void **state)
{
    (void)state;
    static const char *const files[] = {"basis.safetensors", "images.safetensors", "moments.safetensors",
                                        "shard-00000.safetensors", "shard-00003.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char message[128];
        snprintf(message, sizeof message, "%s is damaged: its checksum is", files[i]);
        expect_message(files[i], flip, message);
        snprintf(message, sizeof message, "%s is damaged: ", files[i]);
        expect_message(files[i], cut, message);
        snprintf(message, sizeof message, "%s is missing from the store (restore the file, or delete", files[i]);
        expect_message(files[i], gone, message);
    }
    expect_message("manifest.json", gone, "not a store (it has no manifest.json)");
    expect_message("manifest.json", cut, "manifest.json");
}

static const struct {
    const char *edit, *message;
} manifests[] = {
    {"s/\"clipspan store\"/\"another\"/", "\"format\" of the manifest: expected \"clipspan store\""},
    {"s/\"version\": 2/\"version\": 3/", "store version 3, this program reads versions 1 to 2"},
    {"s/\"layers\": 3/\"layers\": 0/", "\"layers\" of model: expected a whole number in its range"},
    {"s/\"layers\": 3/\"layers\": 4/", "basis.safetensors: tensor 'w' is F32 [3, 2, 5, 7], expected F32 [4, 2, 5, 7]"},
    {"s/\"layers\": 3/\"layers\": -3/", "\"layers\" of model"},
    {"s/\"heads\": 2/\"heads\": 1100/", "tensor 'w' is F32 [3, 2, 5, 7], expected F32 [3, 1100, 5, 7]"}, /* as a model may */
    {"s/\"heads\": 2/\"heads\": 13107/", "tensor 'w' is F32 [3, 2, 5, 7], expected F32 [3, 13107, 5, 7]"},
    {"s/\"heads\": 2/\"heads\": 13108/", "\"head_dim\" of model: expected a whole number in its range"}, /* too wide */
    {"s/\"heads\": 2/\"heads\": 65537/", "\"heads\" of model: expected a whole number in its range"},
    {"s/\"head_dim\": 5/\"head_dim\": 32768/", "tensor 'w' is F32 [3, 2, 5, 7], expected F32 [3, 2, 32768, 7]"},
    {"s/\"head_dim\": 5/\"head_dim\": 5.5/", "\"head_dim\" of model"},
    {"s/\"embed_dim\": 7/\"embed_dim\": 8/", "tensor 'w' is F32 [3, 2, 5, 7], expected F32 [3, 2, 5, 8]"},
    {"s/\"listed\": 47/\"listed\": 48/", "'names' and 'names.starts' are not a table of strings"},
    {"s/\"exif\": false/\"exif\": 0/", "\"exif\" of images: expected true or false"},
    {"s/\"dtype\": \"f32\"/\"dtype\": \"f64\"/", "\"dtype\" of options: expected \"f32\" or \"f16\""},
    {"s/\"dtype\": \"f32\"/\"dtype\": \"f16\"/", "tensor 'embedding' is F32 [10, 7], expected F16 [10, 7]"},
    {"s/\"cls\"/\"cld\"/", "\"parts\" of options"},
    {"s/\"token_layers\": \\[\\]/\"token_layers\": [1]/", "\"token_layers\" of options"},
    {"s/\"images\": 40/\"images\": 41/", "of done"},
    {"s/\"positions\": 47/\"positions\": 36/", "of done"},
    {"0,/\"count\": 12/s//\"count\": 13/", "of shards"},
    {"s/shard-00001/..\\/shard-1/", "\"file\" of shards: expected the name of a file in the store's folder"},
    {"s/shard-00001/shard-00009/", "shard-00009.safetensors is missing from the store"},
    {"s/moments.safetensors//", "of moments: expected"},
    {"s/\"logit_scale\": 100.0/\"logit_scale\": \"x\"/", "\"logit_scale\" of model: expected a number"},
};

static void damaged_manifests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof manifests / sizeof *manifests; i++) {
        char how[256];
        snprintf(how, sizeof how, "cp $f before && sed -i '%s' $f && ! cmp -s $f before && rm before", manifests[i].edit);
        expect_message("manifest.json", how, manifests[i].message);
    }
}

/* In the header's length, its brace, a name, a type, a number: damage is called damage, and the way out is named. */
static void damaged_headers(void **state)
{
    (void)state;
    static const char *const files[] = {"basis.safetensors", "images.safetensors", "moments.safetensors",
                                        "shard-00000.safetensors", "shard-00003.safetensors"};
    static const int places[] = {0, 4, 7, 8, 9, 11, 13, 24, 25, 40, 52};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            char directory[512], how[256], message[128];
            clipspan_error err = {0};
            snprintf(how, sizeof how, "n=%d && %s", places[k], flip_there);
            snprintf(message, sizeof message, "%s is damaged: its checksum is", files[i]);
            copy_store(directory);
            edit(directory, files[i], how);
            use_store(directory, &err);
            if (strstr(err.message, message) == NULL || strstr(err.message, "(restore the file, or delete") == NULL)
                fail_msg("%s, byte %d: %s", files[i], places[k], err.message);
        }
}

/* Image 2 becomes image 3, which was left out: names would be wrong in analyses that never play the store back. */
static void damaged_index(void **state)
{
    (void)state;
    char directory[512];
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    copy_store(directory);
    edit(directory, "shard-00000.safetensors",
         "n=$(( $(od -An -tu8 -N8 $f) + 8 + 16 )) && printf '\\003' | dd of=$f bs=1 seek=$n conv=notrunc 2>/dev/null");
    assert_int_equal(clipspan_store_open(&store, directory, &err), CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "shard-00000.safetensors is damaged: its checksum is"));
}

/* A shard that carries another shard's name is caught by its checksum; so is one of another store. */
static void exchanged_shards(void **state)
{
    (void)state;
    expect_message("shard-00001.safetensors", "cp shard-00002.safetensors $f", "shard-00001.safetensors is damaged");
}

/* A damaged unfinished store is not built upon. */
static void damage_before_going_on(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    store_fake_init(&s, "unfinished");
    s.batches_until_failure = 8;
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_INTERNAL);
    edit(s.directory, "moments-00000-00001.safetensors", flip);
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "moments-00000-00001.safetensors is damaged: its checksum is"));
    edit(s.directory, "shard-00001.safetensors", gone);
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "shard-00001.safetensors is missing from the store"));
    store_fake_clear(&s);
}

/* Nor is a damaged complete one called finished: every file is read before a run goes on or has nothing to do. */
static void damage_under_a_finished_store(void **state)
{
    (void)state;
    static const char *const files[] = {"basis.safetensors", "images.safetensors", "moments.safetensors",
                                        "shard-00000.safetensors", "shard-00003.safetensors"};
    store_fake s;
    clipspan_error err = {0};
    clipspan_store_summary summary;
    store_fake_init(&s, "finished");
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char message[128];
        edit(s.directory, files[i], "cp $f ../kept");
        edit(s.directory, files[i], flip);
        assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_FORMAT);
        snprintf(message, sizeof message, "%s is damaged: its checksum is", files[i]);
        if (strstr(err.message, message) == NULL) fail_msg("%s", err.message);
        assert_non_null(strstr(err.message, "(restore the file, or delete the store's folder and begin anew)"));
        edit(s.directory, files[i], "cp ../kept $f"); /* the way out that the message names */
        if (store_fake_run(&s, &summary, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        assert_int_equal(summary.resumed, 40);
    }
    store_fake_clear(&s);
}

static void another_model(void **state)
{
    (void)state;
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    assert_int_equal(clipspan_store_open(&store, intact.directory, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_check_model(store, &intact.model.model, &err), CLIPSPAN_OK);
    clipspan_model other = intact.model.model;
    strcpy(other.fingerprint, "ffeeddccbbaa99887766554433221100");
    other.info.fingerprint = other.fingerprint;
    other.info.name = "other-ViT";
    assert_int_equal(clipspan_store_check_model(store, &other, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_non_null(strstr(err.message, "was made by the model fake-ViT (00112233, from /models/fake-ViT), not by other-ViT "
                                        "(ffeeddcc)"));
    clipspan_store_free(store);
}

static clipspan_status refuse_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    int *calls = user;
    (void)batch;
    return ++*calls == 3 ? clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "enough") : CLIPSPAN_OK;
}

static int stop_at_once(void *user, const clipspan_progress *progress)
{
    (void)user;
    return progress->done >= 5;
}

/* A callback's own error comes back; a progress hook can stop. */
static void stopping_a_playback(void **state)
{
    (void)state;
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    int calls = 0;
    clipspan_store_selection select = {.parts = 0, .batch = 4};
    clipspan_hooks hooks = {stop_at_once, NULL, NULL};
    assert_int_equal(clipspan_store_open(&store, intact.directory, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_each(store, &select, refuse_batch, &calls, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "enough");
    calls = -100;
    assert_int_equal(clipspan_store_each(store, &select, refuse_batch, &calls, &hooks, &err), CLIPSPAN_ERROR_INTERRUPTED);
    assert_int_equal(calls, -98);
    clipspan_store_free(store);
}

/* Every allocation of opening, playing back and reading the moments fails once. */
static void without_memory(void **state)
{
    (void)state;
    unsigned long failures = 0;
    for (unsigned long n = 1;; n++, failures++) {
        clipspan_error err = {0};
        clsp_alloc_fail_at(n);
        use_store(intact.directory, &err);
        clsp_alloc_fail_at(0);
        if (err.message[0] == '\0') break;
        assert_int_equal(err.status, CLIPSPAN_ERROR_MEMORY);
    }
    printf("%lu failed allocations\n", failures);
    assert_true(failures > 50);
}

int main(void)
{
    clsp_threads(1);
    clipspan_error err = {0};
    store_fake_init(&intact, "intact");
    if (store_fake_run(&intact, NULL, NULL, &err) != CLIPSPAN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_files),          cmocka_unit_test(damaged_manifests), cmocka_unit_test(exchanged_shards),
        cmocka_unit_test(damaged_headers),        cmocka_unit_test(damaged_index),
        cmocka_unit_test(damage_before_going_on),
        cmocka_unit_test(damage_under_a_finished_store), cmocka_unit_test(another_model),     cmocka_unit_test(stopping_a_playback),
        cmocka_unit_test(without_memory),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    store_fake_clear(&intact);
    return failed;
}
