/* A CSV of images: RFC 4180 (quoted cells, doubled quotes, line ends of either kind), UTF-8 with or without a
 * byte-order mark. The first line names the columns. One of them is the path, relative to the CSV's folder; `label`
 * gives the classes; the others are kept. */
#include "image/sources.h"

#include <string.h>

static const size_t MAX_CSV = (size_t)1 << 30;

typedef struct reader {
    const char *at, *end, *path;
    size_t line;      /* of the next byte, 1-based */
    char **cells;     /* of the record just read */
    size_t count, capacity;
    clsp_buffer cell; /* the cell being read */
} reader;

static void drop_cells(reader *in)
{
    for (size_t i = 0; i < in->count; i++) clsp_free(in->cells[i]);
    in->count = 0;
}

static clipspan_status push_cell(reader *in, clipspan_error *err)
{
    if (in->count == in->capacity) {
        size_t capacity = in->capacity ? in->capacity * 2 : 16;
        char **cells = clsp_grow(in->cells, capacity, sizeof *cells);
        if (cells == NULL) return clsp_fail_memory(err);
        in->cells = cells;
        in->capacity = capacity;
    }
    const char *text = in->cell.length > 0 ? in->cell.data : "";
    in->cells[in->count] = clsp_strndup(text, in->cell.length);
    if (in->cells[in->count] == NULL) return clsp_fail_memory(err);
    in->count++;
    in->cell.length = 0;
    return CLIPSPAN_OK;
}

static bool at_line_end(const reader *in)
{
    return in->at >= in->end || *in->at == '\n' || (*in->at == '\r' && in->at + 1 < in->end && in->at[1] == '\n') ||
           (*in->at == '\r' && in->at + 1 == in->end);
}

static clipspan_status append(reader *in, const char *from, size_t length, clipspan_error *err)
{
    if (memchr(from, '\0', length) != NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu holds a zero byte", in->path, in->line);
    return clsp_buffer_append(&in->cell, from, length) ? CLIPSPAN_OK : clsp_fail_memory(err);
}

/* After the opening quote; a doubled quote stands for one. */
static clipspan_status read_quoted(reader *in, clipspan_error *err)
{
    size_t opened = in->line;
    for (;;) {
        const char *quote = memchr(in->at, '"', (size_t)(in->end - in->at));
        if (quote == NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu opens a quote that nothing closes", in->path,
                             opened);
        clipspan_status status = append(in, in->at, (size_t)(quote - in->at), err);
        if (status != CLIPSPAN_OK) return status;
        for (const char *c = in->at; c < quote; c++) in->line += *c == '\n';
        in->at = quote + 1;
        if (in->at >= in->end || *in->at != '"') break;
        status = append(in, "\"", 1, err);
        if (status != CLIPSPAN_OK) return status;
        in->at++;
    }
    if (at_line_end(in) || *in->at == ',') return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu goes on after a closing quote, expected a comma",
                     in->path, in->line);
}

static clipspan_status read_cell(reader *in, clipspan_error *err)
{
    clipspan_status status;
    if (in->at < in->end && *in->at == '"') {
        in->at++;
        status = read_quoted(in, err);
    } else {
        const char *from = in->at;
        while (!at_line_end(in) && *in->at != ',') in->at++;
        status = append(in, from, (size_t)(in->at - from), err);
    }
    return status == CLIPSPAN_OK ? push_cell(in, err) : status;
}

/* The next record that is not an empty line, into `cells`; none at the end. *line: where it began. */
static clipspan_status read_record(reader *in, size_t *line, clipspan_error *err)
{
    drop_cells(in);
    while (in->at < in->end) {
        bool empty = at_line_end(in);
        *line = in->line;
        while (!empty) {
            clipspan_status status = read_cell(in, err);
            if (status != CLIPSPAN_OK) return status;
            if (at_line_end(in)) break;
            in->at++; /* the comma */
        }
        if (in->at < in->end && *in->at == '\r') in->at++;
        if (in->at < in->end) in->at++;
        in->line++;
        if (!empty) break;
    }
    return CLIPSPAN_OK;
}

static size_t find_column(const reader *in, const char *name)
{
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->cells[i], name) == 0) return i;
    return SIZE_MAX;
}

static size_t find_path_column(const reader *in)
{
    static const char *const NAMES[] = {"path", "filepath", "image", "img_filename"};
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0] && found == SIZE_MAX; i++) found = find_column(in, NAMES[i]);
    return found;
}

/* Columns are asked for by name, so a name must say which; nameless ones, as spreadsheets leave them, do no harm. */
static clipspan_status check_column_names(const reader *in, size_t line, clipspan_error *err)
{
    for (size_t i = 1; i < in->count; i++) {
        size_t first = find_column(in, in->cells[i]);
        if (first < i && in->cells[i][0] != '\0')
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu names columns %zu and %zu both '%.100s'", in->path,
                             line, first + 1, i + 1, in->cells[i]);
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_header(clipspan_images *images, reader *in, size_t *path_column, size_t *label_column,
                                   clipspan_error *err)
{
    size_t line = in->line;
    clipspan_status status = read_record(in, &line, err);
    if (status == CLIPSPAN_OK) status = check_column_names(in, line, err);
    if (status != CLIPSPAN_OK) return status;
    *path_column = find_path_column(in);
    *label_column = find_column(in, "label");
    if (*path_column == SIZE_MAX)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                         "%s: no column named path in its first line (filepath, image and img_filename do too)",
                         in->path);
    images->columns = clsp_alloc_zero(in->count, sizeof *images->columns);
    if (images->columns == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < in->count; i++) {
        if (i == *path_column) continue;
        images->columns[images->column_count++] = in->cells[i];
        in->cells[i] = NULL; /* handed over */
    }
    return CLIPSPAN_OK;
}

static clipspan_status add_record(clipspan_images *images, reader *in, size_t path_column, size_t label_column,
                                  clipspan_error *err)
{
    clsp_entry *entry;
    char *name = in->cells[path_column], *path = clsp_path_beside(in->path, name);
    in->cells[path_column] = NULL;
    if (path == NULL) {
        clsp_free(name);
        return clsp_fail_memory(err);
    }
    clipspan_status status = clsp_images_add(images, &entry, name, path, err);
    if (status != CLIPSPAN_OK) return status;
    if (label_column != SIZE_MAX && in->cells[label_column][0] != '\0') {
        entry->label_text = clsp_strdup(in->cells[label_column]);
        if (entry->label_text == NULL) return clsp_fail_memory(err);
    }
    entry->values = clsp_alloc_zero(images->column_count, sizeof *entry->values);
    if (entry->values == NULL) return clsp_fail_memory(err);
    for (size_t i = 0, column = 0; i < in->count; i++) {
        if (i == path_column) continue;
        entry->values[column++] = in->cells[i];
        in->cells[i] = NULL;
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_rows(clipspan_images *images, reader *in, clipspan_error *err)
{
    size_t path_column, label_column, line = 1;
    clipspan_status status = read_header(images, in, &path_column, &label_column, err);
    while (status == CLIPSPAN_OK) {
        status = read_record(in, &line, err);
        if (status != CLIPSPAN_OK || in->count == 0) break;
        if (in->count != images->column_count + 1)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu has %zu cells, expected %zu", in->path, line,
                             in->count, images->column_count + 1);
        if (in->cells[path_column][0] == '\0')
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu has no path", in->path, line);
        status = add_record(images, in, path_column, label_column, err);
    }
    return status;
}

clipspan_status clsp_csv_read(clipspan_images *images, const char *text, size_t size, const char *path,
                              clipspan_error *err)
{
    reader in = {.at = text, .end = text + size, .path = path, .line = 1};
    clsp_buffer_init(&in.cell, MAX_CSV);
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) in.at += 3;
    clipspan_status status = read_rows(images, &in, err);
    drop_cells(&in);
    clsp_free(in.cells);
    clsp_buffer_free(&in.cell);
    return status;
}

clipspan_status clsp_source_csv(clipspan_images *images, const char *path, clipspan_error *err)
{
    char *text = NULL;
    size_t size = 0;
    clipspan_status status = clsp_file_read(&text, &size, path, MAX_CSV, err);
    if (status == CLIPSPAN_OK) status = clsp_csv_read(images, text, size, path, err);
    clsp_free(text);
    return status;
}
