/* Exported arrays against the vectors of clipspan_batch_*, in both conventions, as npy and as HDF5. */
#define _GNU_SOURCE /* memmem */
#include "store_fake.h"

#include <math.h>

#include "compute/compute.h"
#include "formats/arrays.h"

static store_fake made;
static clipspan_store *store;
static float classifier[3 * FAKE_EMBED], pool[4 * FAKE_EMBED];

enum { ROWS = 40 };

static clipspan_export_options wanted(const char *format, clipspan_convention convention)
{
    return (clipspan_export_options){.format = format, .name = "birds", .model = NULL, .convention = convention,
                                     .classifier = classifier, .classes = 3, .pool_name = "words", .pool = pool,
                                     .pool_texts = 4};
}

static void open_array(clsp_array *array, const char *directory, const char *name, int dims, const size_t *shape)
{
    char path[700];
    clipspan_error err = {0};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (clsp_npy_open(array, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(array->dims, dims);
    for (int d = 0; d < dims; d++) assert_int_equal(array->shape[d], shape[d]);
}

typedef struct expected {
    clipspan_convention convention;
    const float *attn, *mlp, *cls, *constant; /* of the files; constant NULL: none */
    double sum_error;
} expected;

static void expect_rows(const float *file, const float *rows, size_t images, size_t first, size_t row, size_t at)
{
    for (size_t i = 0; i < images; i++)
        assert_memory_equal(file + (first + i) * row + at, rows + i * FAKE_EMBED, FAKE_EMBED * sizeof *rows);
}

/* Attention and MLP terms (and constants) of every row add up to r or r / |r|. */
static void add_up(expected *e, const clipspan_batch *b)
{
    for (size_t i = 0; i < b->images; i++)
        for (size_t k = 0; k < FAKE_EMBED; k++) {
            size_t at = b->index[i];
            double sum = e->constant ? (double)e->constant[at * FAKE_EMBED + k] : 0.0;
            for (size_t t = 0; t < FAKE_LAYERS * FAKE_HEADS; t++)
                sum += (double)e->attn[(at * FAKE_LAYERS * FAKE_HEADS + t) * FAKE_EMBED + k];
            for (size_t t = 0; t <= FAKE_LAYERS; t++)
                sum += (double)e->mlp[(at * (FAKE_LAYERS + 1) + t) * FAKE_EMBED + k];
            double r = (double)b->embedding[i * FAKE_EMBED + k];
            if (e->convention == CLIPSPAN_PAPER) r /= (double)b->norm[i];
            e->sum_error = fmax(e->sum_error, fabs(sum - r) / (e->convention == CLIPSPAN_PAPER ? 1 : (double)b->norm[i]));
        }
}

static clipspan_status check_batch(void *user, const clipspan_batch *b, clipspan_error *err)
{
    expected *e = user;
    size_t first = b->index[0], n = b->images, embed = FAKE_EMBED;
    float rows[ROWS * FAKE_EMBED];
    for (int l = 0; l < FAKE_LAYERS; l++) {
        for (int h = 0; h < FAKE_HEADS; h++) {
            assert_int_equal(clipspan_batch_head(b, e->convention, l, h, rows, err), CLIPSPAN_OK);
            expect_rows(e->attn, rows, n, first, FAKE_LAYERS * FAKE_HEADS * embed, (size_t)(l * FAKE_HEADS + h) * embed);
        }
        assert_int_equal(clipspan_batch_cls(b, e->convention, l, rows, err), CLIPSPAN_OK);
        expect_rows(e->cls, rows, n, first, FAKE_LAYERS * embed, (size_t)l * embed);
    }
    for (int t = 0; t <= FAKE_LAYERS; t++) {
        assert_int_equal(clipspan_batch_mlp(b, e->convention, t, rows, err), CLIPSPAN_OK);
        expect_rows(e->mlp, rows, n, first, (FAKE_LAYERS + 1) * embed, (size_t)t * embed);
    }
    add_up(e, b);
    return CLIPSPAN_OK;
}

static void check_beside(const char *directory)
{
    clsp_array labels, classes, words;
    const size_t rows[1] = {ROWS}, by_class[2] = {FAKE_EMBED, 3}, by_text[2] = {4, FAKE_EMBED};
    open_array(&labels, directory, "birds_labels.npy", 1, rows);
    assert_int_equal(labels.dtype, CLSP_I64);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(((const int64_t *)labels.data)[i], clipspan_store_image_label(store, i));
    clsp_npy_close(&labels);
    open_array(&classes, directory, "birds_classifier_fake-ViT.npy", 2, by_class);
    for (size_t e = 0; e < FAKE_EMBED; e++)
        for (size_t c = 0; c < 3; c++)
            assert_memory_equal((const float *)classes.data + e * 3 + c, &classifier[c * FAKE_EMBED + e], 4);
    clsp_npy_close(&classes);
    open_array(&words, directory, "words_fake-ViT.npy", 2, by_text);
    assert_memory_equal(words.data, pool, sizeof pool);
    clsp_npy_close(&words);
}

/* Line i names the image of row i. */
static void check_names(const char *directory)
{
    char path[700], *text = NULL;
    clipspan_error err = {0};
    snprintf(path, sizeof path, "%s/birds_images.txt", directory);
    if (clsp_file_read(&text, NULL, path, 1 << 20, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    char *at = text;
    for (size_t i = 0; i < ROWS; i++) {
        char *end = strchr(at, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_string_equal(at, clipspan_store_image_name(store, i));
        at = end + 1;
    }
    assert_int_equal(*at, '\0');
    clsp_free(text);
}

static void npy(void **state)
{
    (void)state;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        char directory[512];
        clipspan_error err = {0};
        clsp_array attn, mlp, cls, constant = {0};
        const size_t attn_shape[] = {ROWS, FAKE_LAYERS, FAKE_HEADS, FAKE_EMBED};
        const size_t mlp_shape[] = {ROWS, FAKE_LAYERS + 1, FAKE_EMBED}, cls_shape[] = {ROWS, FAKE_LAYERS, FAKE_EMBED};
        const size_t constant_shape[] = {ROWS, FAKE_EMBED};
        clipspan_export_options options = wanted("npy", c);
        fake_path(directory, c ? "exact" : "paper");
        fake_erase(directory);
        if (clipspan_store_export(store, directory, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        open_array(&attn, directory, "birds_attn_fake-ViT.npy", 4, attn_shape);
        open_array(&mlp, directory, "birds_mlp_fake-ViT.npy", 3, mlp_shape);
        open_array(&cls, directory, "birds_cls_attn_fake-ViT.npy", 3, cls_shape);
        if (c == CLIPSPAN_EXACT) open_array(&constant, directory, "birds_constant_fake-ViT.npy", 2, constant_shape);
        expected e = {c, attn.data, mlp.data, cls.data, constant.data, 0};
        clipspan_store_selection select = CLIPSPAN_STORE_SELECTION_INIT;
        assert_int_equal(clipspan_store_each(store, &select, check_batch, &e, NULL, &err), CLIPSPAN_OK);
        printf("%s: terms add up within %.1e of |r|\n", c ? "exact" : "paper", e.sum_error);
        assert_true(e.sum_error < 1e-5);
        check_beside(directory);
        check_names(directory);
        clsp_npy_close(&attn);
        clsp_npy_close(&mlp);
        clsp_npy_close(&cls);
        clsp_npy_close(&constant);
        char command[700];
        snprintf(command, sizeof command, "test $(ls '%s' | wc -l) = %d", directory, c ? 8 : 7);
        assert_int_equal(system(command), 0);
        fake_erase(directory);
    }
}

/* The HDF5 file holds, contiguous and somewhere, the very bytes of each npy file's data. */
static void hdf5(void **state)
{
    (void)state;
    static const char *const names[] = {"birds_attn_fake-ViT", "birds_mlp_fake-ViT", "birds_cls_attn_fake-ViT",
                                        "birds_labels", "birds_classifier_fake-ViT", "words_fake-ViT"};
    char directory[512], path[700];
    clipspan_error err = {0};
    clsp_map file;
    fake_path(directory, "both");
    fake_erase(directory);
    clipspan_export_options options = wanted("hdf5", CLIPSPAN_PAPER);
    if (clipspan_store_export(store, directory, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    options.format = "npy";
    if (clipspan_store_export(store, directory, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/birds_fake-ViT.h5", directory);
    assert_int_equal(clsp_map_open(&file, path, &err), CLIPSPAN_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        clsp_array array;
        snprintf(path, sizeof path, "%s/%s.npy", directory, names[i]);
        assert_int_equal(clsp_npy_open(&array, path, &err), CLIPSPAN_OK);
        assert_non_null(memmem(file.bytes, file.size, array.data, array.count * clsp_dtype_size(array.dtype)));
        assert_non_null(memmem(file.bytes, file.size, names[i], strlen(names[i]) + 1));
        clsp_npy_close(&array);
    }
    assert_non_null(memmem(file.bytes, file.size, "birds_images", sizeof "birds_images"));
    for (size_t i = 0; i < ROWS; i++) {
        const char *name = clipspan_store_image_name(store, i);
        assert_non_null(memmem(file.bytes, file.size, name, strlen(name)));
    }
    clsp_map_close(&file);
    fake_erase(directory);
}

static void export_to(char directory[512], const char *name, const clipspan_store *from,
                      const clipspan_export_options *options)
{
    clipspan_error err = {0};
    fake_path(directory, name);
    fake_erase(directory);
    if (clipspan_store_export(from, directory, options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
}

/* One folder, one name, two conventions: what is there belongs together. Other files stay. */
static void a_stale_constant_goes(void **state)
{
    (void)state;
    static const int order[] = {CLIPSPAN_EXACT, CLIPSPAN_PAPER, CLIPSPAN_EXACT};
    char directory[512], path[700], other[700];
    clipspan_error err = {0};
    clsp_output output;
    fake_path(directory, "again");
    fake_erase(directory);
    snprintf(path, sizeof path, "%s/birds_constant_fake-ViT.npy", directory);
    snprintf(other, sizeof other, "%s/words_constant_fake-ViT.npy", directory);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        clipspan_export_options options = wanted("npy", order[i]);
        if (clipspan_store_export(store, directory, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        assert_int_equal(clsp_file_exists(path), order[i] == CLIPSPAN_EXACT);
        if (i == 0) {
            assert_int_equal(clsp_output_open(&output, other, &err), CLIPSPAN_OK);
            assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
        }
        assert_true(clsp_file_exists(other));
    }
    clipspan_export_options options = wanted("hdf5", CLIPSPAN_PAPER); /* another file: the arrays stay as they were */
    if (clipspan_store_export(store, directory, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_true(clsp_file_exists(path));
    fake_erase(directory);
}

/* A second and more apart (HDF5's time stamps are whole seconds): no byte knows. */
static void the_same_bytes_again(void **state)
{
    (void)state;
    char first[512], second[512], command[1200];
    clipspan_export_options options = wanted("hdf5", CLIPSPAN_EXACT);
    export_to(first, "first", store, &options);
    usleep(1100000);
    export_to(second, "second", store, &options);
    snprintf(command, sizeof command, "diff -r '%s' '%s'", first, second);
    assert_int_equal(system(command), 0);
    fake_erase(first);
    fake_erase(second);
}

/* What is given takes the place of the list's own labels, also where the list has none of its own. */
static void given_labels(void **state)
{
    (void)state;
    char directory[512];
    int given[ROWS];
    clsp_array labels;
    const size_t rows[1] = {ROWS};
    clipspan_export_options options = wanted("npy", CLIPSPAN_PAPER);
    for (int i = 0; i < ROWS; i++) given[i] = i % 5 - 1;
    options.labels = given;
    export_to(directory, "labels", store, &options);
    open_array(&labels, directory, "birds_labels.npy", 1, rows);
    for (int i = 0; i < ROWS; i++) assert_int_equal(((const int64_t *)labels.data)[i], given[i]);
    clsp_npy_close(&labels);
    fake_erase(directory);
}

/* A name may hold line breaks (a CSV's can); its line may not. HDF5 keeps the name as it is. */
static void names_with_line_breaks(void **state)
{
    (void)state;
    static const char list[] = "path\n\"a\nb.png\"\n\"\nc\r\n.png\"\nplain.png\n";
    char path[512], directory[512], *text = NULL;
    clipspan_error err = {0};
    clipspan_store *odd = NULL;
    clsp_map file;
    store_fake s;
    store_fake_init(&s, "odd");
    clipspan_images_free(s.images);
    fake_path(path, "odd.csv");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(list, out);
    fclose(out);
    s.skip_every = 0;
    if (clipspan_images_open(&s.images, path, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    if (store_fake_run(&s, NULL, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    if (clipspan_store_open(&odd, s.directory, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clipspan_export_options options = wanted("npy", CLIPSPAN_PAPER);
    export_to(directory, "lines", odd, &options);
    snprintf(path, sizeof path, "%.480s/birds_images.txt", directory);
    assert_int_equal(clsp_file_read(&text, NULL, path, 1000, &err), CLIPSPAN_OK);
    assert_string_equal(text, "a b.png\n c  .png\nplain.png\n");
    clsp_free(text);
    options.format = "hdf5";
    export_to(directory, "lines", odd, &options);
    snprintf(path, sizeof path, "%.480s/birds_fake-ViT.h5", directory);
    assert_int_equal(clsp_map_open(&file, path, &err), CLIPSPAN_OK);
    assert_non_null(memmem(file.bytes, file.size, "\nc\r\n.png", 8));
    clsp_map_close(&file);
    fake_erase(directory);
    clipspan_store_free(odd);
    store_fake_clear(&s);
}

static void what_cannot_be_exported(void **state)
{
    (void)state;
    clipspan_error err = {0};
    char directory[512];
    fake_path(directory, "nothing");
    clipspan_export_options options = wanted("mat", CLIPSPAN_PAPER);
    assert_int_equal(clipspan_store_export(store, directory, &options, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_string_equal(err.message, "unknown format \"mat\": expected npy or hdf5");
    options = wanted("npy", CLIPSPAN_PAPER);
    options.name = "";
    assert_int_equal(clipspan_store_export(store, directory, &options, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_false(clsp_directory_exists(directory));
}

static void names_stay_in_the_folder(void **state)
{
    (void)state;
    clipspan_error err = {0};
    char directory[512], path[700];
    clipspan_export_options options = wanted("npy", CLIPSPAN_PAPER);
    options.name = "../birds";
    options.model = "org/ViT";
    fake_path(directory, "names");
    if (clipspan_store_export(store, directory, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/.._birds_attn_org_ViT.npy", directory);
    assert_true(clsp_file_exists(path));
    fake_erase(directory);
}

/* Every allocation fails once: nothing is put in place, nothing leaks. */
static void without_memory(void **state)
{
    (void)state;
    char directory[512], command[700];
    unsigned long failures = 0;
    fake_path(directory, "memory");
    fake_erase(directory);
    clipspan_export_options options = wanted("npy", CLIPSPAN_EXACT);
    for (unsigned long n = 1;; n++, failures++) {
        clipspan_error err = {0};
        clsp_alloc_fail_at(n);
        clipspan_status status = clipspan_store_export(store, directory, &options, NULL, &err);
        clsp_alloc_fail_at(0);
        if (status == CLIPSPAN_OK) break;
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
    }
    printf("%lu failed allocations\n", failures);
    assert_true(failures > 50);
    snprintf(command, sizeof command, "test $(ls '%s' | wc -l) = 8", directory);
    assert_int_equal(system(command), 0);
    fake_erase(directory);
}

int main(void)
{
    clsp_threads(1);
    clipspan_error err = {0};
    uint64_t seed = 9;
    fake_fill(classifier, 3 * FAKE_EMBED, 0, 1, &seed);
    fake_fill(pool, 4 * FAKE_EMBED, 0, 1, &seed);
    store_fake_init(&made, "made");
    if (store_fake_run(&made, NULL, NULL, &err) != CLIPSPAN_OK) return 1;
    if (clipspan_store_open(&store, made.directory, &err) != CLIPSPAN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy),
        cmocka_unit_test(a_stale_constant_goes), cmocka_unit_test(hdf5),
        cmocka_unit_test(the_same_bytes_again),
        cmocka_unit_test(given_labels),
        cmocka_unit_test(names_with_line_breaks),
        cmocka_unit_test(what_cannot_be_exported),
        cmocka_unit_test(names_stay_in_the_folder),
        cmocka_unit_test(without_memory),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clipspan_store_free(store);
    store_fake_clear(&made);
    return failed;
}
