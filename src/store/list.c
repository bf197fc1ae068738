/* The image list: names, labels and column values, in one safetensors file that is read in place.
 *
 *   names, classes, columns, column.<k>   U8 [bytes]    strings one after another, each with its NUL
 *   names.starts, ...                     I64 [count]   where each begins
 *   labels                                I32 [listed]  class, or -1
 * Names are bytes: they may hold what no JSON string can.
 */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 1024, NAME = 32 };

typedef const char *(*string_fn)(const clipspan_images *images, size_t i, size_t column);

static const char *image_name(const clipspan_images *images, size_t i, size_t column)
{
    (void)column;
    return clipspan_images_name(images, i);
}

static const char *class_name(const clipspan_images *images, size_t i, size_t column)
{
    (void)column;
    return clipspan_images_class(images, i);
}

static const char *column_name(const clipspan_images *images, size_t i, size_t column)
{
    (void)column;
    return clipspan_images_column(images, i);
}

static const char *cell(const clipspan_images *images, size_t i, size_t column)
{
    return clipspan_images_value(images, i, column);
}

/* One table of strings on its way to the file. */
typedef struct strings_source {
    char name[NAME], starts[NAME];
    string_fn get;
    size_t count, column, bytes;
} strings_source;

static void describe(strings_source *s, const char *name, string_fn get, const clipspan_images *images, size_t count,
                     size_t column)
{
    *s = (strings_source){.get = get, .count = count, .column = column};
    if (get == cell)
        snprintf(s->name, sizeof s->name, "%s.%zu", name, column);
    else
        snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->starts, sizeof s->starts, "%.20s.starts", s->name);
    for (size_t i = 0; i < count; i++) s->bytes += strlen(get(images, i, column)) + 1;
}

static clipspan_status write_strings(clsp_safetensors_writer *writer, const strings_source *s,
                                     const clipspan_images *images, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t starts[BLOCK], at = 0;
    for (size_t i = 0; i < s->count;) {
        size_t n = 0;
        for (; n < BLOCK && i < s->count; n++, i++) {
            starts[n] = at;
            at += strlen(s->get(images, i, s->column)) + 1;
        }
        CLSP_TRY(clsp_safetensors_writer_add(writer, starts, n * sizeof *starts, err));
    }
    for (size_t i = 0; i < s->count; i++) {
        const char *text = s->get(images, i, s->column);
        CLSP_TRY(clsp_safetensors_writer_add(writer, text, strlen(text) + 1, err));
    }
out:
    return status;
}

static clipspan_status write_labels(clsp_safetensors_writer *writer, const clipspan_images *images,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t listed = clipspan_images_count(images);
    int32_t labels[BLOCK];
    for (size_t i = 0; i < listed && status == CLIPSPAN_OK;) {
        size_t n = 0;
        for (; n < BLOCK && i < listed; n++, i++) labels[n] = clipspan_images_label(images, i);
        status = clsp_safetensors_writer_add(writer, labels, n * sizeof *labels, err);
    }
    return status;
}

clipspan_status clsp_list_write(const clipspan_images *images, const char *directory, clsp_store_file *file,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    strings_source *sources = NULL;
    clsp_tensor_plan *plans = NULL;
    clsp_safetensors_writer *writer = NULL;
    size_t listed = clipspan_images_count(images), columns = clipspan_images_column_count(images), count = 3 + columns;
    CLSP_ALLOC(path, clsp_path_join(directory, CLSP_STORE_LIST));
    CLSP_ALLOC(sources, clsp_alloc(count, sizeof *sources));
    CLSP_ALLOC(plans, clsp_alloc(2 * count + 1, sizeof *plans));
    describe(&sources[0], "names", image_name, images, listed, 0);
    describe(&sources[1], "classes", class_name, images, clipspan_images_class_count(images), 0);
    describe(&sources[2], "columns", column_name, images, columns, 0);
    for (size_t k = 0; k < columns; k++) describe(&sources[3 + k], "column", cell, images, listed, k);
    for (size_t s = 0; s < count; s++) {
        plans[2 * s] = (clsp_tensor_plan){sources[s].starts, CLSP_I64, 1, {sources[s].count}};
        plans[2 * s + 1] = (clsp_tensor_plan){sources[s].name, CLSP_U8, 1, {sources[s].bytes}};
    }
    plans[2 * count] = (clsp_tensor_plan){"labels", CLSP_I32, 1, {listed}};
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, 2 * count + 1, NULL, err));
    for (size_t s = 0; s < count; s++) CLSP_TRY(write_strings(writer, &sources[s], images, err));
    CLSP_TRY(write_labels(writer, images, err));
    snprintf(file->name, sizeof file->name, "%s", CLSP_STORE_LIST);
    status = clsp_store_file_commit(file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(sources);
    clsp_free(plans);
    clsp_free(path);
    return status;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static uint64_t start_of(const clsp_strings *strings, size_t i)
{
    uint64_t start;
    memcpy(&start, strings->starts + i * sizeof start, sizeof start);
    return start;
}

const char *clsp_strings_get(const clsp_strings *strings, size_t i)
{
    return i < strings->count ? strings->bytes + start_of(strings, i) : "";
}

int clsp_list_label(const clsp_list *list, size_t i)
{
    int32_t label = -1;
    if (i < list->names.count) memcpy(&label, list->labels + i * sizeof label, sizeof label);
    return label;
}

/* Every start lies in the bytes, and the bytes end with a NUL: so every string ends inside. */
static clipspan_status find_strings(clsp_strings *out, const clsp_safetensors *file, const char *name, size_t expected,
                                    clipspan_error *err)
{
    char starts_name[NAME];
    snprintf(starts_name, sizeof starts_name, "%.20s.starts", name);
    const clsp_tensor *bytes = clsp_safetensors_find(file, name), *starts = clsp_safetensors_find(file, starts_name);
    bool good = bytes != NULL && starts != NULL && bytes->dtype == CLSP_U8 && starts->dtype == CLSP_I64 &&
                bytes->dims == 1 && starts->dims == 1 && (expected == SIZE_MAX || starts->count == expected);
    if (good) *out = (clsp_strings){bytes->data, starts->data, starts->count};
    if (good && starts->count > 0) good = bytes->count > 0 && out->bytes[bytes->count - 1] == '\0';
    for (size_t i = 0; good && i < starts->count; i++) good = start_of(out, i) < bytes->count;
    if (good) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: '%s' and '%s' are not a table of strings",
                     clsp_safetensors_path(file), name, starts_name);
}

static clipspan_status check_labels(const clsp_list *list, clipspan_error *err)
{
    for (size_t i = 0; i < list->names.count; i++) {
        int label = clsp_list_label(list, i);
        if (label < -1 || (label >= 0 && (size_t)label >= list->classes.count))
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: image %zu has label %d, expected -1 to %lld",
                             clsp_safetensors_path(list->file), i, label, (long long)list->classes.count - 1);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_list_open(clsp_list *list, const clsp_store_file *file, uint64_t listed, const char *directory,
                               clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_tensor *labels = NULL;
    const size_t shape[1] = {listed};
    *list = (clsp_list){0};
    CLSP_TRY(clsp_store_file_open(&list->file, file, directory, err));
    CLSP_TRY(find_strings(&list->names, list->file, "names", listed, err));
    CLSP_TRY(find_strings(&list->classes, list->file, "classes", SIZE_MAX, err));
    CLSP_TRY(find_strings(&list->column_names, list->file, "columns", SIZE_MAX, err));
    CLSP_ALLOC(list->columns, clsp_alloc_zero(list->column_names.count, sizeof *list->columns));
    for (size_t k = 0; k < list->column_names.count; k++) {
        char name[NAME];
        snprintf(name, sizeof name, "column.%zu", k);
        CLSP_TRY(find_strings(&list->columns[k], list->file, name, listed, err));
    }
    CLSP_TRY(clsp_store_tensor(&labels, list->file, "labels", CLSP_I32, 1, shape, err));
    list->labels = labels->data;
    CLSP_TRY(check_labels(list, err));
out:
    if (status != CLIPSPAN_OK) clsp_list_close(list);
    return status;
}

void clsp_list_close(clsp_list *list)
{
    clsp_free(list->columns);
    clsp_safetensors_free(list->file);
    *list = (clsp_list){0};
}

/* Labels are numbers: what they stand for may have changed under them. */
static clipspan_status compare_classes(const clsp_list *list, const clipspan_images *images, const char *directory,
                                       clipspan_error *err)
{
    size_t classes = clipspan_images_class_count(images);
    if (classes != list->classes.count)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with a list of %zu classes, this one has %zu (%s)",
                         directory, list->classes.count, classes, clipspan_images_root(images));
    for (size_t c = 0; c < classes; c++) {
        const char *was = clsp_strings_get(&list->classes, c), *is = clipspan_images_class(images, c);
        if (strcmp(was, is) != 0)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with another list: class %zu was %s, is %s",
                             directory, c, was, is);
    }
    return CLIPSPAN_OK;
}

static clipspan_status compare_columns(const clsp_list *list, const clipspan_images *images, const char *directory,
                                       clipspan_error *err)
{
    size_t columns = clipspan_images_column_count(images);
    if (columns != list->column_names.count)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with a list of %zu columns, this one has %zu (%s)",
                         directory, list->column_names.count, columns, clipspan_images_root(images));
    for (size_t k = 0; k < columns; k++) {
        const char *was = clsp_strings_get(&list->column_names, k), *is = clipspan_images_column(images, k);
        if (strcmp(was, is) != 0)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with another list: column %zu was %s, is %s",
                             directory, k, was, is);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_list_compare(const clsp_list *list, const clipspan_images *images, const char *directory,
                                  clipspan_error *err)
{
    size_t listed = clipspan_images_count(images), columns = clipspan_images_column_count(images);
    if (listed != list->names.count)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with a list of %zu images, this one has %zu (%s)",
                         directory, list->names.count, listed, clipspan_images_root(images));
    clipspan_status status = compare_columns(list, images, directory, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < listed; i++) {
        const char *was = clsp_strings_get(&list->names, i), *is = clipspan_images_name(images, i);
        if (strcmp(was, is) != 0)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with another list: image %zu was %s, is %s",
                             directory, i, was, is);
        bool same = clsp_list_label(list, i) == clipspan_images_label(images, i);
        for (size_t k = 0; same && k < columns; k++)
            same = strcmp(clsp_strings_get(&list->columns[k], i), clipspan_images_value(images, i, k)) == 0;
        if (!same)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s was begun with another list: label or columns of %s differ",
                             directory, is);
    }
    return compare_classes(list, images, directory, err);
}
