/* Which images are looked at, which group each belongs to, and which half. */
#include <stdlib.h>
#include <string.h>

#include "analysis/groups.h"
#include "analysis/worst_groups.h"

typedef struct filter {
    size_t column;
    const char *value;
} filter;

/* "COLUMN=VALUE": cut at the first '=' whose left side is a column, so that either may hold one. */
static clipspan_status open_filter(filter *out, const clipspan_store *store, const char *text, clipspan_error *err)
{
    for (const char *sign = strchr(text, '='); sign != NULL; sign = strchr(sign + 1, '=')) {
        char *name = clsp_strndup(text, (size_t)(sign - text));
        if (name == NULL) return clsp_fail_memory(err);
        bool last = strchr(sign + 1, '=') == NULL;
        clipspan_status status = clsp_column_find(&out->column, store, name, last ? err : NULL);
        clsp_free(name);
        out->value = sign + 1;
        if (status == CLIPSPAN_OK || last) return status;
    }
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "\"%s\": expected COLUMN=VALUE", text);
}

/* place: 0 where the row is to be kept, -1 elsewhere. */
static clipspan_status apply_filters(clipspan_groups *g, const clipspan_store *store,
                                     const clipspan_groups_options *options, clipspan_error *err)
{
    for (size_t f = 0; f < options->where_count; f++) {
        filter one;
        size_t found = 0;
        clipspan_status status = open_filter(&one, store, options->where[f], err);
        if (status != CLIPSPAN_OK) return status;
        for (size_t row = 0; row < g->rows_of_store; row++) {
            bool fits = strcmp(clsp_column_cell(store, one.column, row), one.value) == 0;
            found += fits;
            if (!fits) g->place[row] = -1;
        }
        if (found == 0)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no image of the store has %s", options->where[f]);
    }
    return CLIPSPAN_OK;
}

/* A pair of class and value, while groups are made. */
typedef struct pairs {
    size_t values;
    uint64_t *images;  /* [classes, values] */
    size_t *example;   /* [values]: a row that has it */
    size_t *group_of;  /* [classes, values]; SIZE_MAX: none */
    size_t column;
} pairs;

static void count_pairs(clipspan_groups *g, const clsp_groups *by, const int *labels, pairs *p)
{
    for (size_t row = 0; row < g->rows_of_store; row++) {
        if (g->place[row] < 0 || labels[row] < 0 || by->of[row] < 0) {
            g->place[row] = -1;
            continue;
        }
        size_t value = (size_t)by->of[row];
        p->images[(size_t)labels[row] * p->values + value]++;
        p->example[value] = row;
        g->place[row] = (int32_t)g->images++;
    }
}

static bool occurs(const clipspan_groups *g, const pairs *p, size_t class, size_t value, bool by_class)
{
    size_t end = by_class ? p->values : g->classes;
    for (size_t i = 0; i < end; i++)
        if (p->images[(by_class ? class : i) * p->values + (by_class ? i : value)] > 0) return true;
    return false;
}

/* Every class that occurs by every value that occurs. */
static clipspan_status number_pairs(clipspan_groups *g, const clipspan_store *store, const clipspan_texts *classes,
                                    bool skip_empty, pairs *p, clipspan_error *err)
{
    for (size_t c = 0; c < g->classes; c++)
        for (size_t v = 0; v < p->values; v++) {
            size_t at = c * p->values + v;
            p->group_of[at] = SIZE_MAX;
            if (!occurs(g, p, c, v, true) || !occurs(g, p, c, v, false)) continue;
            if (p->images[at] > 0)
                p->group_of[at] = g->count++;
            else if (!skip_empty)
                return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                                 "a group with no image: none of the %zu images is \"%s\" with %s \"%s\" (--skip-empty leaves it out)", g->images,
                                 clipspan_texts_get(classes, c), g->attribute,
                                 clsp_column_cell(store, p->column, p->example[v]));
        }
    if (g->count >= 2) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu groups of class and %s among %zu images with both, expected 2 or more",
                     g->count, g->attribute, g->images);
}

static clipspan_status name_groups(clipspan_groups *g, const clipspan_store *store, const clipspan_texts *classes,
                                   const pairs *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(g->groups, clsp_alloc_zero(g->count, sizeof *g->groups));
    CLSP_ALLOC(g->texts, clsp_alloc_zero(2 * g->count, sizeof *g->texts));
    for (size_t at = 0; at < g->classes * p->values; at++) {
        size_t group = p->group_of[at];
        if (group == SIZE_MAX) continue;
        const char *value = clsp_column_cell(store, p->column, p->example[at % p->values]);
        CLSP_ALLOC(g->texts[2 * group], clsp_strdup(clipspan_texts_get(classes, at / p->values)));
        CLSP_ALLOC(g->texts[2 * group + 1], clsp_strdup(value));
        g->groups[group] = (clipspan_group){g->texts[2 * group], g->texts[2 * group + 1], p->images[at], 0};
    }
out:
    return status;
}

static clipspan_status assign(clipspan_groups *g, const clsp_groups *by, const int *labels, const pairs *p,
                              clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(g->group, clsp_alloc(g->images, sizeof *g->group));
    CLSP_ALLOC(g->label, clsp_alloc(g->images, sizeof *g->label));
    for (size_t row = 0; row < g->rows_of_store; row++) {
        if (g->place[row] < 0) continue;
        g->label[g->place[row]] = labels[row];
        g->group[g->place[row]] = (int32_t)p->group_of[(size_t)labels[row] * p->values + (size_t)by->of[row]];
    }
out:
    return status;
}

/* ---- halves --------------------------------------------------------------------------------------------- */

typedef struct dealt {
    int32_t group;
    char hash[CLSP_HASH_HEX];
    size_t row, place;
} dealt;

static int by_group_and_hash(const void *a, const void *b)
{
    const dealt *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    int order = strcmp(x->hash, y->hash);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Of each group, the half of the smaller hashes is searched; of an odd group the scored half is the larger. */
static clipspan_status deal(clipspan_groups *g, const clipspan_store *store, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    dealt *all = NULL;
    CLSP_ALLOC(all, clsp_alloc(g->images, sizeof *all));
    for (size_t row = 0; row < g->rows_of_store; row++) {
        if (g->place[row] < 0) continue;
        size_t i = (size_t)g->place[row];
        const char *name = clipspan_store_image_name(store, row);
        all[i] = (dealt){.group = g->group[i], .row = row, .place = i};
        clsp_hash_hex(all[i].hash, name, strlen(name));
    }
    qsort(all, g->images, sizeof *all, by_group_and_hash);
    for (size_t first = 0; first < g->images;) {
        clipspan_group *group = &g->groups[all[first].group];
        group->searched = group->images / 2;
        if (group->searched == 0)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                               "group \"%s\" with %s \"%s\" has 1 image: it cannot be searched on one half and scored on "
                               "the other", group->label, g->attribute, group->value));
        for (size_t i = 0; i < group->images; i++) g->search[all[first + i].place] = i < group->searched;
        g->searched += group->searched;
        first += group->images;
    }
out:
    clsp_free(all);
    return status;
}

static clipspan_status open_halves(clipspan_groups *g, const clipspan_store *store, clipspan_error *err)
{
    g->search = clsp_alloc(g->images, 1);
    if (g->search == NULL) return clsp_fail_memory(err);
    memset(g->search, 1, g->images);
    if (g->halves) return deal(g, store, err);
    return CLIPSPAN_OK;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static clipspan_status check_labels(const clipspan_groups *g, const int *labels, clipspan_error *err)
{
    for (size_t row = 0; row < g->rows_of_store; row++)
        if (labels[row] < -1 || (labels[row] >= 0 && (size_t)labels[row] >= g->classes))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "label %d of row %zu, expected -1 or a class below %zu",
                             labels[row], row, g->classes);
    return CLIPSPAN_OK;
}

static clipspan_status make_groups(clipspan_groups *g, const clipspan_store *store, const int *labels,
                                   const clipspan_texts *classes, const clsp_groups *by, bool skip_empty,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    pairs p = {.values = by->count};
    size_t cells;
    if (!clsp_mul(&cells, g->classes, p.values)) return clsp_fail_memory(err);
    CLSP_TRY(clsp_column_find(&p.column, store, g->attribute, err));
    CLSP_ALLOC(p.images, clsp_alloc_zero(cells, sizeof *p.images));
    CLSP_ALLOC(p.example, clsp_alloc_zero(p.values, sizeof *p.example));
    CLSP_ALLOC(p.group_of, clsp_alloc(cells, sizeof *p.group_of));
    count_pairs(g, by, labels, &p);
    CLSP_TRY(number_pairs(g, store, classes, skip_empty, &p, err));
    CLSP_TRY(name_groups(g, store, classes, &p, err));
    CLSP_TRY(assign(g, by, labels, &p, err));
out:
    clsp_free(p.images);
    clsp_free(p.example);
    clsp_free(p.group_of);
    return status;
}

clipspan_status clsp_members_open(clipspan_groups *g, const clipspan_store *store, const int *labels,
                                  const clipspan_texts *classes, const clipspan_groups_options *options,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_groups *by = NULL;
    size_t count = 0;
    g->rows_of_store = (size_t)clipspan_store_get_info(store)->images;
    CLSP_TRY(check_labels(g, labels, err));
    CLSP_TRY(clsp_groups_open(&by, &count, store, &options->attribute, 1, err));
    CLSP_ALLOC(g->attribute, clsp_strdup(options->attribute));
    CLSP_ALLOC(g->place, clsp_alloc_zero(g->rows_of_store, sizeof *g->place));
    CLSP_TRY(apply_filters(g, store, options, err));
    CLSP_TRY(make_groups(g, store, labels, classes, by, options->skip_empty, err));
    CLSP_TRY(open_halves(g, store, err));
out:
    clsp_groups_free(by, count);
    return status;
}
