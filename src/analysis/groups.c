/* Images grouped by the value of a column. */
#include "analysis/groups.h"

#include <stdlib.h>
#include <string.h>

static const size_t CLASSES = SIZE_MAX; /* stands for the store's labels where no column holds them */

const char *clsp_column_cell(const clipspan_store *store, size_t column, size_t row)
{
    if (column != CLASSES) return clipspan_store_value(store, row, column);
    int label = clipspan_store_image_label(store, row);
    return label < 0 ? "" : clipspan_store_class(store, (size_t)label);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts and drops repetitions and the empty string; returns how many are left. */
static size_t distinct(const char **values, size_t n)
{
    size_t kept = 0;
    qsort(values, n, sizeof *values, by_bytes);
    for (size_t i = 0; i < n; i++)
        if (values[i][0] != '\0' && (kept == 0 || strcmp(values[kept - 1], values[i]) != 0)) values[kept++] = values[i];
    return kept;
}

static void assign(clsp_groups *g, const clipspan_store *store, size_t column, const char **values, size_t rows)
{
    for (size_t row = 0; row < rows; row++) {
        const char *value = clsp_column_cell(store, column, row);
        const char **found = bsearch(&value, values, g->count, sizeof *values, by_bytes);
        g->of[row] = found ? (int32_t)(found - values) : -1;
        if (found == NULL) continue;
        g->sizes[found - values]++;
        g->images++;
    }
}

static void clear(clsp_groups *g)
{
    clsp_free(g->name);
    clsp_free(g->sizes);
    clsp_free(g->of);
    *g = (clsp_groups){0};
}

/* Groups by one column; `count` alone is filled where it lies outside [2, most]. */
static clipspan_status group(clsp_groups *g, const clipspan_store *store, size_t column, const char *name, size_t most,
                             clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t rows = (size_t)clipspan_store_get_info(store)->images;
    const char **values = NULL;
    *g = (clsp_groups){0};
    CLSP_ALLOC(values, clsp_alloc(rows, sizeof *values));
    for (size_t row = 0; row < rows; row++) values[row] = clsp_column_cell(store, column, row);
    g->count = distinct(values, rows);
    if (g->count < CLSP_GROUPS_FEWEST || g->count > most) goto out;
    CLSP_ALLOC(g->name, clsp_strdup(name));
    CLSP_ALLOC(g->sizes, clsp_alloc_zero(g->count, sizeof *g->sizes));
    CLSP_ALLOC(g->of, clsp_alloc(rows, sizeof *g->of));
    assign(g, store, column, values, rows);
out:
    clsp_free(values);
    return status;
}

static size_t find_column(const clipspan_store *store, const char *name)
{
    size_t columns = clipspan_store_column_count(store);
    for (size_t c = 0; c < columns; c++)
        if (strcmp(clipspan_store_column(store, c), name) == 0) return c;
    bool labels = strcmp(name, "label") == 0 && clipspan_store_class_count(store) > 0;
    return labels ? CLASSES : columns;
}

/* Fails, listing what there is. */
static clipspan_status no_column(const clipspan_store *store, const char *name, clipspan_error *err)
{
    clsp_buffer list;
    size_t columns = clipspan_store_column_count(store);
    clsp_buffer_init(&list, 512);
    for (size_t c = 0; c < columns; c++)
        if (!clsp_buffer_format(&list, "%s%s", c ? ", " : "", clipspan_store_column(store, c))) break;
    clipspan_status status =
        name ? clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no column \"%s\"; the store has: %s", name,
                         list.length ? list.data : "none (its images came without a CSV)")
             : clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "no column with %d to %d values and two images or more a value; the store has: %s",
                         (int)CLSP_GROUPS_FEWEST, (int)CLSP_GROUPS_MOST,
                         list.length ? list.data : "none (its images came without a CSV)");
    clsp_buffer_free(&list);
    return status;
}

clipspan_status clsp_column_find(size_t *column, const clipspan_store *store, const char *name, clipspan_error *err)
{
    *column = find_column(store, name);
    return *column == clipspan_store_column_count(store) ? no_column(store, name, err) : CLIPSPAN_OK;
}

static clipspan_status named(clsp_groups *groups, size_t *count, const clipspan_store *store,
                             const char *const *columns, size_t column_count, clipspan_error *err)
{
    for (size_t i = 0; i < column_count; i++) {
        size_t column = find_column(store, columns[i]);
        if (column == clipspan_store_column_count(store)) return no_column(store, columns[i], err);
        clipspan_status status = group(&groups[i], store, column, columns[i], CLSP_GROUPS_LIMIT, err);
        *count = i + 1;
        if (status != CLIPSPAN_OK) return status;
        if (groups[i].of == NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "column \"%s\" has %zu values, expected %d to %d",
                             columns[i], groups[i].count, (int)CLSP_GROUPS_FEWEST, (int)CLSP_GROUPS_LIMIT);
    }
    return CLIPSPAN_OK;
}

static clipspan_status all(clsp_groups *groups, size_t *count, const clipspan_store *store, clipspan_error *err)
{
    size_t columns = clipspan_store_column_count(store);
    bool labels = find_column(store, "label") == CLASSES;
    for (size_t c = 0; c < columns + labels; c++) {
        bool last = c == columns;
        clipspan_status status = group(&groups[*count], store, last ? CLASSES : c,
                                       last ? "label" : clipspan_store_column(store, c), CLSP_GROUPS_MOST, err);
        if (status != CLIPSPAN_OK) {
            ++*count; /* what was begun is freed with the rest */
            return status;
        }
        clsp_groups *g = &groups[*count];
        if (g->of != NULL && g->images >= 2 * (uint64_t)g->count)
            ++*count;
        else
            clear(g);
    }
    return *count ? CLIPSPAN_OK : no_column(store, NULL, err);
}

clipspan_status clsp_groups_open(clsp_groups **out, size_t *count, const clipspan_store *store,
                                 const char *const *columns, size_t column_count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t room = columns ? column_count : clipspan_store_column_count(store) + 1;
    clsp_groups *groups = NULL;
    *out = NULL;
    *count = 0;
    CLSP_ALLOC(groups, clsp_alloc_zero(room, sizeof *groups));
    CLSP_TRY(columns ? named(groups, count, store, columns, column_count, err) : all(groups, count, store, err));
    *out = groups;
    groups = NULL;
out:
    if (groups != NULL) {
        clsp_groups_free(groups, *count);
        *count = 0;
    }
    return status;
}

void clsp_groups_free(clsp_groups *groups, size_t count)
{
    for (size_t i = 0; groups != NULL && i < count; i++) clear(&groups[i]);
    clsp_free(groups);
}
