/* Images with labels, and class names for them. */
#include "labelled.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t cli_labelled_count(const cli_labelled *from)
{
    return from->images ? clipspan_images_count(from->images) : (size_t)clipspan_store_get_info(from->store)->images;
}

const char *cli_labelled_name(const cli_labelled *from, size_t i)
{
    return from->images ? clipspan_images_name(from->images, i) : clipspan_store_image_name(from->store, i);
}

static size_t class_count(const cli_labelled *from)
{
    return from->images ? clipspan_images_class_count(from->images) : clipspan_store_class_count(from->store);
}

static const char *class_name(const cli_labelled *from, size_t c)
{
    return from->images ? clipspan_images_class(from->images, c) : clipspan_store_class(from->store, c);
}

/* The name of image i's class; "": it has none. */
static const char *class_of(const cli_labelled *from, size_t i)
{
    if (from->column != SIZE_MAX)
        return from->images ? clipspan_images_value(from->images, i, from->column)
                            : clipspan_store_value(from->store, i, from->column);
    int label = from->images ? clipspan_images_label(from->images, i) : clipspan_store_image_label(from->store, i);
    return label < 0 ? "" : class_name(from, (size_t)label);
}

size_t cli_labelled_known(const cli_labelled *from)
{
    size_t images = cli_labelled_count(from), known = 0;
    for (size_t i = 0; i < images; i++) known += class_of(from, i)[0] != '\0';
    return known;
}

static const char *column_name(const cli_labelled *from, size_t c)
{
    return from->images ? clipspan_images_column(from->images, c) : clipspan_store_column(from->store, c);
}

static clipspan_status no_column(const cli_labelled *from, const char *column, size_t count, clipspan_error *err)
{
    char names[512] = "";
    for (size_t c = 0, used = 0; c < count && used < sizeof names; c++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", c ? ", " : "", column_name(from, c));
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the images have no column \"%s\"; %s%s", column,
                    count ? "they have: " : "their list has none", names);
}

clipspan_status cli_labelled_choose(cli_labelled *from, const char *column, clipspan_error *err)
{
    size_t count =
        from->images ? clipspan_images_column_count(from->images) : clipspan_store_column_count(from->store);
    from->column = SIZE_MAX;
    for (size_t c = 0; column != NULL && c < count; c++) {
        if (strcmp(column_name(from, c), column) == 0) from->column = c;
    }
    if (column == NULL || from->column != SIZE_MAX) return CLIPSPAN_OK;
    if (strcmp(column, "label") == 0 && class_count(from) > 0) return CLIPSPAN_OK; /* folders' names, say */
    return no_column(from, column, count, err);
}

static clipspan_status split_lines(cli_classes *classes, const clipspan_texts *lines, clipspan_error *err)
{
    size_t count = clipspan_texts_count(lines);
    char **labels = calloc(count + 1, sizeof *labels);
    const char **words = calloc(count + 1, sizeof *words);
    clipspan_status status = labels && words ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    size_t kept = 0; /* empty lines are none */
    for (size_t c = 0; status == CLIPSPAN_OK && c < count; c++) {
        const char *line = clipspan_texts_get(lines, c), *tab = strchr(line, '\t');
        if (line[strspn(line, " \t")] == '\0') continue;
        words[kept] = tab ? tab + 1 : line;
        labels[kept] = strndup(line, tab ? (size_t)(tab - line) : strlen(line));
        if (labels[kept++] == NULL) status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    }
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&classes->labels, (const char *const *)labels, kept, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&classes->words, words, kept, err);
    for (size_t c = 0; labels != NULL && c < count; c++) free(labels[c]);
    free(labels);
    free(words);
    return status;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two classes of one label: no image could ever be the second one. */
static clipspan_status check_repeats(const cli_classes *classes, const char *path, clipspan_error *err)
{
    size_t count = clipspan_texts_count(classes->labels);
    clipspan_status status = CLIPSPAN_OK;
    const char **sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t c = 0; c < count; c++) sorted[c] = clipspan_texts_get(classes->labels, c);
    qsort(sorted, count, sizeof *sorted, by_bytes);
    for (size_t c = 1; c < count && status == CLIPSPAN_OK; c++)
        if (strcmp(sorted[c - 1], sorted[c]) == 0)
            status = cli_fail(err, CLIPSPAN_ERROR_FORMAT,
                              "%s: the class \"%s\" stands there twice (a label of its own for each: label, tab, words)",
                              path, sorted[c]);
    free(sorted);
    return status;
}

/* The different values of the chosen column, sorted by bytes. */
static clipspan_status column_values(clipspan_texts **lines, const cli_labelled *from, clipspan_error *err)
{
    size_t images = cli_labelled_count(from), known = 0, count = 0;
    const char **values = calloc(images + 1, sizeof *values);
    if (values == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < images; i++) {
        values[known] = class_of(from, i);
        known += values[known][0] != '\0';
    }
    qsort(values, known, sizeof *values, by_bytes);
    for (size_t i = 0; i < known; i++)
        if (count == 0 || strcmp(values[count - 1], values[i]) != 0) values[count++] = values[i];
    clipspan_status status = count ? clipspan_texts_copy(lines, values, count, err)
                                   : cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no image has a value in the column \"%s\"",
                                              column_name(from, from->column));
    free(values);
    return status;
}

static clipspan_status own_labels(clipspan_texts **lines, const cli_labelled *from, clipspan_error *err)
{
    size_t count = class_count(from);
    if (from->column != SIZE_MAX) return column_values(lines, from, err);
    if (count == 0) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the images have no labels, so --classes FILE is needed");
    const char **names = calloc(count, sizeof *names);
    if (names == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t c = 0; c < count; c++) names[c] = class_name(from, c);
    clipspan_status status = clipspan_texts_copy(lines, names, count, err);
    free(names);
    return status;
}

clipspan_status cli_classes_open(cli_classes *classes, const char *path, const cli_labelled *from, clipspan_error *err)
{
    clipspan_texts *lines = NULL;
    clipspan_status status = path ? clipspan_texts_open(&lines, path, 0, err) : own_labels(&lines, from, err);
    if (status == CLIPSPAN_OK) status = split_lines(classes, lines, err);
    if (status == CLIPSPAN_OK && clipspan_texts_count(classes->labels) == 0)
        status = cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no class names in it", path);
    if (status == CLIPSPAN_OK) status = check_repeats(classes, path ? path : "the images' labels", err);
    clipspan_texts_free(lines);
    return status;
}

void cli_classes_free(cli_classes *classes)
{
    clipspan_texts_free(classes->labels);
    clipspan_texts_free(classes->words);
}

static int is_single(const char *path)
{
    return path != NULL && strcmp(path, "single") == 0;
}

clipspan_status cli_templates_open(clipspan_texts **templates, const char *path, clipspan_error *err)
{
    static const char *const plain[] = {"a photo of a {}."};
    if (path == NULL) return clipspan_texts_templates(templates, err);
    if (is_single(path)) return clipspan_texts_copy(templates, plain, 1, err);
    clipspan_status status = cli_open_texts(templates, path, err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < clipspan_texts_count(*templates); t++)
        if (strstr(clipspan_texts_get(*templates, t), "{}") == NULL)
            status = cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the template \"%s\" has no {} for the class name", path,
                              clipspan_texts_get(*templates, t));
    return status;
}

const char *cli_templates_source(const char *path)
{
    return path == NULL ? "clipspan's own set" : is_single(path) ? "\"a photo of a {}.\"" : path;
}

static int position(const cli_classes *classes, const char *name)
{
    size_t count = clipspan_texts_count(classes->labels);
    for (size_t c = 0; c < count; c++)
        if (strcmp(clipspan_texts_get(classes->labels, c), name) == 0) return (int)c;
    char *end;
    long number = strtol(name, &end, 10);
    return *name && *end == '\0' && number >= 0 && (size_t)number < count ? (int)number : -1;
}

int cli_classes_label(const cli_classes *classes, const cli_labelled *from, size_t i, cli_strays *strays)
{
    const char *name = class_of(from, i);
    int label = position(classes, name);
    if (label >= 0 || *name == '\0') return label;
    if (strays->count++ == 0) strays->example = name;
    return label;
}

void cli_strays_note(const cli_strays *strays)
{
    if (strays->count)
        cli_note("%zu images have a label that is none of the classes, such as \"%s\": they count as unlabelled",
                 strays->count, strays->example);
}
