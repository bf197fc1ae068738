/* A run that is killed, interrupted or runs out of disk at any point goes on with the same command, and then every file
 * has the bytes of a run in one go. */
#include "store_fake.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "compute/compute.h"

static char reference[512];

/* A store made in one go; the tests compare with it. */
static void make_reference(const char *name, int moments_only)
{
    store_fake s;
    clipspan_error err = {0};
    store_fake_init(&s, name);
    s.options.moments_only = moments_only;
    if (moments_only) s.options.decompose.parts = 0;
    if (store_fake_run(&s, NULL, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    strcpy(reference, s.directory);
    s.directory[0] = '\0'; /* kept */
    clipspan_images_free(s.images);
    clsp_basis_clear(&s.basis);
    fake_clear(&s.model);
}

static void expect_same_files(const char *directory)
{
    char command[1200];
    snprintf(command, sizeof command, "diff -r '%s' '%s' > /dev/null", reference, directory);
    if (system(command) != 0) fail_msg("%s differs from %s", directory, reference);
}

/* Runs the job in a child; true: it was killed. */
static bool run_and_die(store_fake *s)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(store_fake_run(s, NULL, NULL, NULL) == CLIPSPAN_OK ? 0 : 1);
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how)) assert_int_equal(WEXITSTATUS(how), 0);
    return WIFSIGNALED(how);
}

static void finish_and_compare(store_fake *s, clipspan_store_summary *summary)
{
    clipspan_error err = {0};
    s->steps_until_death = s->batches_until_death = 0;
    if (store_fake_run(s, summary, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(summary->images, 40);
    assert_int_equal(summary->skipped, 7);
    expect_same_files(s->directory);
}

static int killed_at_every_step(int moments_only, bool batches)
{
    int deaths = 0, last = -1;
    store_fake s;
    clipspan_store_summary summary;
    for (int k = 1;; k += batches ? 3 : 1) {
        store_fake_init(&s, "killed");
        s.options.moments_only = moments_only;
        if (moments_only) s.options.decompose.parts = 0;
        *(batches ? &s.batches_until_death : &s.steps_until_death) = k;
        bool died = run_and_die(&s);
        finish_and_compare(&s, &summary);
        assert_true((int)summary.resumed >= last);
        last = (int)summary.resumed;
        store_fake_clear(&s);
        if (!died) break;
        deaths++;
    }
    assert_int_equal(last, 40);
    return deaths;
}

static void kill_9(void **state)
{
    (void)state;
    make_reference("reference", 0);
    int steps = killed_at_every_step(0, false), batches = killed_at_every_step(0, true);
    printf("killed at %d steps and %d batches\n", steps, batches);
    assert_int_equal(steps, 3 + 4 * 4); /* list, basis, manifest; four shards of sums, shard, manifest, removal */
    assert_int_equal(batches, 4);
}

static void kill_9_moments_alone(void **state)
{
    (void)state;
    make_reference("reference-moments", 1);
    assert_int_equal(killed_at_every_step(1, false), 3 + 4 * 3);
    assert_int_equal(killed_at_every_step(1, true), 4);
}

/* Killed again and again, a shard or nothing further each time. */
static void killed_many_times(void **state)
{
    (void)state;
    store_fake s;
    clipspan_store_summary summary;
    make_reference("reference", 0);
    store_fake_init(&s, "many");
    int deaths = 0;
    uint64_t random = 5;
    for (bool died = true; died && deaths < 1000; deaths += died) {
        s.steps_until_death = 1 + (int)(fake_next(&random) % 6);
        died = run_and_die(&s);
    }
    printf("%d deaths\n", deaths);
    assert_true(deaths > 2);
    finish_and_compare(&s, &summary);
    assert_int_equal(summary.resumed, 40);
    store_fake_clear(&s);
}

typedef struct stopper {
    int calls, stop_at;
    unsigned long long last_done, total, skipped;
    const char *directory;
    clipspan_status lock_status;
    char lock_message[CLIPSPAN_ERROR_LENGTH];
} stopper;

static int stop(void *user, const clipspan_progress *progress)
{
    stopper *s = user;
    assert_true(progress->done > s->last_done);
    s->last_done = progress->done;
    s->total = progress->total;
    s->skipped = progress->skipped;
    return ++s->calls == s->stop_at;
}

static void interrupted(void **state)
{
    (void)state;
    make_reference("reference", 0);
    for (int k = 1; k <= 12; k += 2) {
        store_fake s;
        clipspan_error err = {0};
        clipspan_store *store = NULL;
        clipspan_store_summary summary;
        stopper stopping = {.stop_at = k}, going = {0};
        clipspan_hooks hooks = {stop, NULL, &stopping};
        store_fake_init(&s, "interrupted");
        assert_int_equal(store_fake_run(&s, &summary, &hooks, &err), CLIPSPAN_ERROR_INTERRUPTED);
        char expected[64];
        snprintf(expected, sizeof expected, "keeps %d of 47 images", (k - 1) / 3 * 12);
        assert_non_null(strstr(err.message, expected));
        assert_ptr_equal(strstr(err.message, "stopped ("), err.message);
        assert_int_equal(stopping.total, 47);

        assert_int_equal(clipspan_store_open(&store, s.directory, &err), CLIPSPAN_OK); /* what is there can be read */
        assert_false(clipspan_store_get_info(store)->complete);
        gathered found = {0};
        assert_int_equal(clipspan_store_each(store, NULL, gather_batch, &found, NULL, &err), CLIPSPAN_OK);
        assert_int_equal(found.images, summary.images);
        free(found.values);
        clipspan_store_free(store);

        hooks.user = &going;
        assert_int_equal(store_fake_run(&s, &summary, &hooks, &err), CLIPSPAN_OK);
        assert_int_equal(going.last_done, 47);
        assert_int_equal(going.skipped, 7);
        assert_true(summary.resumed < 40);
        expect_same_files(s.directory);
        store_fake_clear(&s);
    }
}

/* Before a run goes on, or finds that there is nothing to do, the store is read; that can be stopped too. */
static void interrupted_while_checking(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    clipspan_store_summary summary;
    make_reference("reference", 0);
    store_fake_init(&s, "checked");
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_OK);
    for (int k = 1; k <= 4; k++) {
        stopper stopping = {.stop_at = k};
        clipspan_hooks hooks = {stop, NULL, &stopping};
        assert_int_equal(store_fake_run(&s, NULL, &hooks, &err), CLIPSPAN_ERROR_INTERRUPTED);
        assert_non_null(strstr(err.message, "stopped while "));
        assert_int_equal(stopping.last_done, k < 4 ? 12 * k : 47);
        assert_int_equal(stopping.total, 47);
        expect_same_files(s.directory);
    }
    stopper going = {0};
    clipspan_hooks hooks = {stop, NULL, &going};
    assert_int_equal(store_fake_run(&s, &summary, &hooks, &err), CLIPSPAN_OK);
    assert_int_equal(going.calls, 4); /* a shard each, and no more */
    assert_int_equal(summary.resumed, 40);
    store_fake_clear(&s);
}

/* Each file may have `limit` bytes, as on a full disk. The child checks the message. */
static int run_on_full_disk(store_fake *s, rlim_t limit)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        clipspan_error err = {0};
        struct rlimit most = {limit, limit};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &most);
        clipspan_status status = store_fake_run(s, NULL, NULL, &err);
        if (status == CLIPSPAN_OK) _exit(0);
        bool named = strstr(err.message, s->directory) != NULL && strstr(err.message, "cannot be written") != NULL;
        if (status == CLIPSPAN_ERROR_IO && named) _exit(1);
        fprintf(stderr, "limit %ld: %s\n", (long)limit, err.message);
        _exit(2);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    return WEXITSTATUS(how);
}

static void full_disk(void **state)
{
    (void)state;
    int full = 0;
    make_reference("reference", 0);
    for (rlim_t limit = 3;; limit += 1 + limit / 4) {
        store_fake s;
        clipspan_store_summary summary;
        char command[700];
        store_fake_init(&s, "full");
        int how = run_on_full_disk(&s, limit);
        assert_in_range(how, 0, 1);
        snprintf(command, sizeof command, "test -z \"$(find '%s' -name '*.part-*')\"", s.directory);
        assert_int_equal(system(command), 0); /* nothing half-written stays */
        finish_and_compare(&s, &summary);
        store_fake_clear(&s);
        if (how == 0) break;
        full++;
    }
    printf("%d sizes of disk\n", full);
    assert_true(full > 20);
}

static void a_finished_store_stays(void **state)
{
    (void)state;
    store_fake s;
    clipspan_store_summary summary;
    make_reference("reference", 0);
    store_fake_init(&s, "finished");
    finish_and_compare(&s, &summary);
    assert_int_equal(summary.resumed, 0);
    s.batches_until_failure = 1;
    finish_and_compare(&s, &summary);
    assert_int_equal(summary.resumed, 40);
    assert_true(summary.bytes > 1000);
    store_fake_clear(&s);
}

/* ---- what is refused ------------------------------------------------------------------------------------ */

static void refuse(store_fake *s, const char *message)
{
    clipspan_error err = {0};
    assert_int_equal(store_fake_run(s, NULL, NULL, &err), CLIPSPAN_ERROR_MISMATCH);
    if (strstr(err.message, message) == NULL) fail_msg("%s", err.message);
}

static void other_makings_are_refused(void **state)
{
    (void)state;
    store_fake s;
    char path[512];
    const int layer = 1;
    store_fake_init(&s, "other");
    s.batches_until_failure = 5;
    assert_int_equal(store_fake_run(&s, NULL, NULL, NULL), CLIPSPAN_ERROR_INTERNAL);
    clipspan_store_options options = s.options;
    s.options.half = 1;
    refuse(&s, "was begun with the type f32, asked for now is f16");
    s.options = options;
    s.options.moments_only = 1;
    refuse(&s, "was begun with what is kept: contributions, asked for now is moments alone");
    s.options = options;
    s.options.decompose.parts = CLIPSPAN_PART_MLP;
    refuse(&s, "was begun with the parts heads+mlp+cls, asked for now is heads+mlp");
    s.options = options;
    s.options.decompose.first = 1;
    refuse(&s, "was begun with the first image 0, asked for now is 1");
    s.options = options;
    s.options.decompose.count = 20;
    refuse(&s, "was begun with a number of images of 47, asked for now is 20");
    s.options = options;
    s.options.shard_images = 16;
    refuse(&s, "was begun with a number of images a shard of 12, asked for now is 16");
    s.options = options;
    s.options.decompose.parts |= CLIPSPAN_PART_TOKENS;
    s.options.decompose.token_layers = &layer;
    s.options.decompose.token_layer_count = 1;
    refuse(&s, "was begun with the parts heads+mlp+cls, asked for now is heads+mlp+cls+tokens");
    s.options = options;
    s.model.model.fingerprint[0] = 'f';
    refuse(&s, "was made by the model fake-ViT (00112233, from /models/fake-ViT), not by fake-ViT (f0112233)");
    s.model.model.fingerprint[0] = '0';
    clipspan_images *images = s.images;
    fake_list(path, "longer.csv", FAKE_IMAGES + 1);
    assert_int_equal(clipspan_images_open(&s.images, path, NULL, NULL), CLIPSPAN_OK);
    refuse(&s, "was begun with a list of 47 images, this one has 48");
    clipspan_images_free(s.images);
    fake_path(path, "renamed.csv");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "path,label,place\n");
    for (int i = 0; i < FAKE_IMAGES; i++) fprintf(file, "pictures/%d.jpg,cat,\n", i);
    fclose(file);
    assert_int_equal(clipspan_images_open(&s.images, path, NULL, NULL), CLIPSPAN_OK);
    refuse(&s, "was begun with another list: image 0 was pictures/0.png, is pictures/0.jpg");
    clipspan_images_free(s.images);
    static const char *const other[][4] = {
        {"path,label,place", "cat", "hen", "was begun with another list: label or columns of pictures/1.png differ"},
        {"path,label,Place", "cat", "dog", "was begun with another list: column 1 was place, is Place"}};
    for (size_t k = 0; k < sizeof other / sizeof *other; k++) {
        fake_named_list(path, "others.csv", FAKE_IMAGES, other[k][0], other[k][1], other[k][2]);
        assert_int_equal(clipspan_images_open(&s.images, path, NULL, NULL), CLIPSPAN_OK);
        refuse(&s, other[k][3]);
        clipspan_images_free(s.images);
    }
    fake_path(path, "list.csv");
    const clipspan_images_options turned = {.exif = 1};
    assert_int_equal(clipspan_images_open(&s.images, path, &turned, NULL), CLIPSPAN_OK);
    refuse(&s, "was begun with EXIF orientation ignored, asked for now is followed");
    clipspan_images_free(s.images);
    s.images = images;
    s.options.shard_images = 0; /* no wish: as it was begun */
    s.batches_until_failure = 0;
    clipspan_store_summary summary;
    assert_int_equal(store_fake_run(&s, &summary, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(summary.images, 40);
    store_fake_clear(&s);
}

/* Four pictures, the classes in files beside them. */
static clipspan_images *tar_of(const char *one, const char *two)
{
    char path[512], command[2200];
    clipspan_images *images = NULL;
    clipspan_error err = {0};
    fake_path(path, "classes");
    fake_erase(path);
    snprintf(command, sizeof command,
             "mkdir '%s' && cd '%s' && for i in 0 1 2 3; do echo picture >$i.png && "
             "if [ $i = 2 ]; then echo %s; else echo %s; fi >$i.cls; done && tar cf images.tar *.png *.cls",
             path, path, two, one);
    assert_int_equal(system(command), 0);
    snprintf(path + strlen(path), sizeof path - strlen(path), "/images.tar");
    if (clipspan_images_open(&images, path, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clipspan_images_class_count(images), strcmp(one, two) == 0 ? 1 : 2);
    return images;
}

/* The same names and label numbers, which stand for other classes now. */
static void other_classes_are_refused(void **state)
{
    (void)state;
    store_fake s;
    store_fake_init(&s, "classed");
    clipspan_images *list = s.images;
    s.images = tar_of("cat", "dog");
    assert_int_equal(store_fake_run(&s, NULL, NULL, NULL), CLIPSPAN_OK);
    clipspan_images_free(s.images);
    s.images = tar_of("cat", "hen");
    refuse(&s, "was begun with another list: class 1 was dog, is hen");
    clipspan_images_free(s.images);
    s.images = tar_of("cat", "dog");
    assert_int_equal(store_fake_run(&s, NULL, NULL, NULL), CLIPSPAN_OK);
    clipspan_images_free(s.images);
    s.images = list;
    store_fake_clear(&s);
}

static int try_second_writer(void *user, const clipspan_progress *progress)
{
    stopper *s = user;
    clipspan_error err = {0};
    int lock = -1;
    (void)progress;
    s->lock_status = clsp_store_lock(&lock, s->directory, CLSP_STORE_LOCK, false, &err);
    strcpy(s->lock_message, err.message);
    clsp_store_unlock(lock, s->directory, CLSP_STORE_LOCK);
    return 0;
}

static void one_writer(void **state)
{
    (void)state;
    store_fake s;
    char expected[64];
    store_fake_init(&s, "locked");
    stopper trying = {.directory = s.directory};
    clipspan_hooks hooks = {try_second_writer, NULL, &trying};
    assert_int_equal(store_fake_run(&s, NULL, &hooks, NULL), CLIPSPAN_OK);
    assert_int_equal(trying.lock_status, CLIPSPAN_ERROR_IO);
    snprintf(expected, sizeof expected, "process %ld is writing this store", (long)getpid());
    assert_non_null(strstr(trying.lock_message, expected));
    store_fake_clear(&s);
}

static void other_folders_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"thesis.tex", "shard-of-glass.txt", "shard-00000.tar", "shard-00000.safetensors",
                                        "images.safetensors", "moments.safetensors", "manifest-of-cargo.json", "shard-1.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        store_fake s;
        clipspan_error err = {0};
        char path[600];
        store_fake_init(&s, "foreign");
        assert_int_equal(clsp_directory_make(s.directory, NULL), CLIPSPAN_OK);
        snprintf(path, sizeof path, "%s/%s", s.directory, names[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
        for (int part = 0; part < 2; part++) {
            s.options.part = part;
            s.options.part_count = 2 * part;
            assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
            char *said = clsp_format("holds other files (%s) and no store", names[i]);
            if (strstr(err.message, said) == NULL) fail_msg("%s lacks %s", err.message, said);
            clsp_free(said);
            assert_true(clsp_file_exists(path));
        }
        store_fake_clear(&s);
    }
}

/* Somebody's files in a store's folder outlast a run that goes on. */
static void sweeps_only_its_own_names(void **state)
{
    (void)state;
    static const char *const names[] = {"shard-00000.tar", "neurons-top.png", "moments-of-joy.txt", "manifest.json.bak",
                                        "basis.safetensors.part-1", "report.html"};
    store_fake s;
    clipspan_error err = {0};
    char path[600], left[600];
    store_fake_init(&s, "with-others");
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", s.directory, names[i]);
        fclose(fopen(path, "w"));
    }
    snprintf(left, sizeof left, "%s/shard-00000.safetensors.part-clipspan-1", s.directory);
    fclose(fopen(left, "w"));
    assert_int_equal(store_fake_run(&s, NULL, NULL, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", s.directory, names[i]);
        if (!clsp_file_exists(path)) fail_msg("%s is gone", path);
    }
    assert_false(clsp_file_exists(left));
    store_fake_clear(&s);
}

/* A step that cannot be taken for want of memory is an error, and the next run goes on. */
static void without_memory(void **state)
{
    (void)state;
    make_reference("reference", 0);
    int failures = 0;
    for (unsigned long n = 1;; n += n < 30 ? 1 : n / 10) {
        store_fake s;
        clipspan_error err = {0};
        clipspan_store_summary summary;
        store_fake_init(&s, "memory");
        clsp_alloc_fail_at(n);
        clipspan_status status = store_fake_run(&s, NULL, NULL, &err);
        clsp_alloc_fail_at(0);
        if (status != CLIPSPAN_OK) assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        finish_and_compare(&s, &summary);
        store_fake_clear(&s);
        if (status == CLIPSPAN_OK && n > 2000) break;
        failures += status != CLIPSPAN_OK;
    }
    printf("%d failed allocations\n", failures);
    assert_true(failures > 40);
}

int main(void)
{
    clsp_threads(1); /* a team of threads would not live on in a child */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_9),
        cmocka_unit_test(kill_9_moments_alone),
        cmocka_unit_test(killed_many_times),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(interrupted_while_checking),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(a_finished_store_stays),
        cmocka_unit_test(other_makings_are_refused),
        cmocka_unit_test(other_classes_are_refused),
        cmocka_unit_test(one_writer),
        cmocka_unit_test(other_folders_are_left_alone),
        cmocka_unit_test(sweeps_only_its_own_names),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
