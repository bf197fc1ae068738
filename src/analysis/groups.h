/* analysis/groups.h - images grouped by the value of a column. */
#ifndef CLSP_ANALYSIS_GROUPS_H
#define CLSP_ANALYSIS_GROUPS_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/groups.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/analysis.h"

typedef struct clsp_groups {
    char *name;
    size_t count;    /* distinct values that are not empty */
    uint64_t images; /* with such a value */
    uint64_t *sizes; /* [count] */
    int32_t *of;     /* [rows of the store]: group, or -1 for an empty cell; groups in byte order of their values */
} clsp_groups;

enum { CLSP_GROUPS_FEWEST = 2, CLSP_GROUPS_MOST = 64, CLSP_GROUPS_LIMIT = 4096 };

/* Grouping by the named columns; NULL: by all with 2 to 64 values and on average two images or more a value (where
 * nearly every image has a value of its own, groups say nothing). "label" also names the classes of a store that has
 * no such column. The caller frees each and the array. */
clipspan_status clsp_groups_open(clsp_groups **out, size_t *count, const clipspan_store *store,
                                 const char *const *columns, size_t column_count, clipspan_error *err);
/* A column by its name, and a cell of it; fails listing what there is. */
clipspan_status clsp_column_find(size_t *column, const clipspan_store *store, const char *name, clipspan_error *err);
const char *clsp_column_cell(const clipspan_store *store, size_t column, size_t row);
void clsp_groups_free(clsp_groups *groups, size_t count); /* NULL is fine */

#endif
