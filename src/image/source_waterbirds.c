/* The Waterbirds folder as it is distributed (Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for
 * Group Shifts", ICLR 2020): metadata.csv with the columns img_id, img_filename, y, split, place, place_filename, and the
 * pictures in a folder a species. The numbers are given words, and kept:
 *
 *     column    0         1          2      the number is kept in
 *     label     landbird  waterbird         y
 *     split     train     val        test   split_id
 *     place     land      water             place_id
 */
#include "image/sources.h"

#include <string.h>

#define LIST "metadata.csv"

typedef struct coded {
    const char *from; /* column of the file that holds the number */
    const char *words, *number; /* columns of the list; the words or the number are `from` itself */
    const char *values[3];
} coded;

static const coded CODED[] = {
    {"y", "label", "y", {"landbird", "waterbird", NULL}},
    {"split", "split", "split_id", {"train", "val", "test"}},
    {"place", "place", "place_id", {"land", "water", NULL}},
};
enum { CODED_COUNT = sizeof CODED / sizeof CODED[0] };

static bool has_cell(const char *line, size_t length, const char *name)
{
    size_t wanted = strlen(name);
    for (size_t at = 0; at + wanted <= length; at++) {
        bool begins = at == 0 || line[at - 1] == ',' || line[at - 1] == '"';
        char after = at + wanted < length ? line[at + wanted] : ',';
        if (begins && memcmp(line + at, name, wanted) == 0 && (after == ',' || after == '"' || after == '\r')) return true;
    }
    return false;
}

static clipspan_status header_fits(bool *fits, const char *path, clipspan_error *err)
{
    clsp_map map;
    clipspan_status status = clsp_map_open(&map, path, err);
    if (status != CLIPSPAN_OK) return status;
    const char *text = (const char *)map.bytes, *end = map.size ? memchr(text, '\n', map.size) : NULL;
    size_t length = end ? (size_t)(end - text) : map.size;
    *fits = map.size > 0 && has_cell(text, length, "img_filename");
    for (size_t i = 0; i < CODED_COUNT; i++) *fits = *fits && has_cell(text, length, CODED[i].from);
    clsp_map_close(&map);
    return CLIPSPAN_OK;
}

clipspan_status clsp_waterbirds_found(bool *found, const char *folder, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = clsp_path_join(folder, LIST);
    *found = false;
    if (path == NULL) return clsp_fail_memory(err);
    if (clsp_file_exists(path)) status = header_fits(found, path, err);
    clsp_free(path);
    return status;
}

/* One more column of every image, named `name`, with empty slots. */
static clipspan_status add_column(clipspan_images *images, const char *name, clipspan_error *err)
{
    size_t count = images->column_count + 1;
    char **columns = clsp_grow(images->columns, count, sizeof *columns);
    if (columns == NULL) return clsp_fail_memory(err);
    images->columns = columns;
    for (size_t i = 0; i < images->count; i++) {
        char **values = clsp_grow(images->entries[i].values, count, sizeof *values);
        if (values == NULL) return clsp_fail_memory(err);
        images->entries[i].values = values;
        values[count - 1] = NULL;
    }
    columns[count - 1] = clsp_strdup(name);
    if (columns[count - 1] == NULL) return clsp_fail_memory(err);
    images->column_count = count;
    return CLIPSPAN_OK;
}

static const char *word_of(const coded *code, const char *number)
{
    for (size_t v = 0; v < 3 && code->values[v] != NULL; v++)
        if (number[0] == (char)('0' + v) && number[1] == '\0') return code->values[v];
    return NULL;
}

static clipspan_status decode(clipspan_images *images, const coded *code, size_t from, const char *path,
                              clipspan_error *err)
{
    size_t to = images->column_count - 1; /* just added: the words of `y`, the number of the others */
    bool words_added = strcmp(code->words, code->from) != 0;
    for (size_t i = 0; i < images->count; i++) {
        clsp_entry *entry = &images->entries[i];
        const char *word = word_of(code, entry->values[from]);
        if (word == NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s of %s is \"%.40s\", expected a number from 0 to %d", path,
                             code->from, entry->name, entry->values[from], code->values[2] != NULL ? 2 : 1);
        char *copy = clsp_strdup(word);
        if (copy == NULL) return clsp_fail_memory(err);
        entry->values[to] = words_added ? copy : entry->values[from];
        if (!words_added) entry->values[from] = copy;
    }
    return CLIPSPAN_OK;
}

static clipspan_status name_labels(clipspan_images *images, clipspan_error *err)
{
    size_t column = clsp_images_column(images, CODED[0].words);
    for (size_t i = 0; i < images->count; i++) {
        images->entries[i].label_text = clsp_strdup(images->entries[i].values[column]);
        if (images->entries[i].label_text == NULL) return clsp_fail_memory(err);
    }
    return CLIPSPAN_OK;
}

static clipspan_status decode_all(clipspan_images *images, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; i < CODED_COUNT && status == CLIPSPAN_OK; i++) {
        const coded *code = &CODED[i];
        const char *added = strcmp(code->words, code->from) != 0 ? code->words : code->number;
        size_t from = clsp_images_column(images, code->from);
        if (from == SIZE_MAX)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no column %s in its first line, as Waterbirds has", path,
                             code->from);
        if (clsp_images_column(images, added) != SIZE_MAX)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: a column %s is there already, which Waterbirds has not", path,
                             added);
        status = add_column(images, added, err);
        if (status == CLIPSPAN_OK) status = decode(images, code, from, path, err);
    }
    return status == CLIPSPAN_OK ? name_labels(images, err) : status;
}

clipspan_status clsp_source_waterbirds(clipspan_images *images, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *list = clsp_directory_exists(path) ? clsp_path_join(path, LIST) : clsp_strdup(path);
    if (list == NULL) return clsp_fail_memory(err);
    CLSP_TRY(clsp_source_csv(images, list, err));
    CLSP_TRY(decode_all(images, list, err));
out:
    clsp_free(list);
    return status;
}
