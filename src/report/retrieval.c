/* Nearest images of one query, and which head retrieves what. */
#include <math.h>
#include <stdio.h>

#include "report/output.h"
#include "report/tree.h"

enum { VALUE_WIDEST = 24, COLUMN_WIDEST = 16, NAME_SHOWN = 200 };

static const char *similarity_name(clipspan_similarity similarity)
{
    return similarity == CLIPSPAN_COSINE ? "cosine" : "inner product";
}

/* ---- neighbours: text --------------------------------------------------------------------------------------- */

typedef struct subject {
    const clipspan_neighbours_report *given;
    const clipspan_store *store;
} subject;

static const char *name_of(const subject *s, const clipspan_retrieval_hit *hit)
{
    return clipspan_store_image_name(s->store, (size_t)hit->row);
}

static size_t value_width(const subject *s)
{
    size_t width = s->given->column ? clsp_text_width(s->given->column) : 0;
    for (size_t n = 0; n < s->given->count; n++)
        for (size_t i = 0; s->given->spaces[n].values && i < s->given->spaces[n].count; i++)
            width = clsp_max(width, clsp_text_width(s->given->spaces[n].values[i]));
    return clsp_min(width, VALUE_WIDEST);
}

static void text_space(const subject *s, clsp_report *report, const clipspan_neighbours *space, size_t width)
{
    clsp_report_add(report, "\nin ");
    clsp_report_cut(report, space->space, NAME_SHOWN);
    clsp_report_add(report, "\n  rank     score       row  ");
    if (width > 0) {
        clsp_report_cell(report, s->given->column, width);
        clsp_report_add(report, "  ");
    }
    clsp_report_add(report, "image\n");
    for (size_t i = 0; i < space->count; i++) {
        clsp_report_add(report, "  %4zu  %8.4f  %8llu  ", i + 1, space->hits[i].score,
                        (unsigned long long)space->hits[i].row);
        if (width > 0) {
            clsp_report_cell(report, space->values[i], width);
            clsp_report_add(report, "  ");
        }
        clsp_report_cut(report, name_of(s, &space->hits[i]), NAME_SHOWN);
        clsp_report_add(report, "\n");
    }
    if (isfinite(space->share))
        clsp_report_add(report, "  %.1f %% of these %zu have the query's %s\n", 100 * space->share, space->count,
                        s->given->column);
}

static void as_text(const void *given, clsp_report *report)
{
    const subject *s = given;
    const clipspan_neighbours_report *g = s->given;
    char images[32];
    if (g->query_row != UINT64_MAX)
        clsp_report_add(report, "images nearest to row %llu, ", (unsigned long long)g->query_row);
    else
        clsp_report_add(report, "images nearest to the %s ", g->query_kind);
    clsp_report_cut(report, g->query, NAME_SHOWN);
    if (g->value != NULL) {
        clsp_report_add(report, " (%s: ", g->column);
        clsp_report_cut(report, g->value[0] ? g->value : "none", NAME_SHOWN);
        clsp_report_add(report, ")");
    }
    clsp_report_add(report, "\nscore: %s of the heads' summed terms%s, %s convention; %s images\n",
                    similarity_name(g->how.similarity), g->how.centred ? " less their mean over the images" : "",
                    clsp_convention_name(g->how.convention), clipspan_report_count(images, g->how.images));
    for (size_t n = 0; n < g->count; n++) text_space(s, report, &g->spaces[n], value_width(s));
}

/* ---- neighbours: CSV and JSON ------------------------------------------------------------------------------- */

static void as_csv(const void *given, clsp_report *report)
{
    const subject *s = given;
    const clipspan_neighbours_report *g = s->given;
    clsp_report_add(report, "space,rank,row,name,score");
    if (g->column != NULL) clsp_report_field(report, false, g->column);
    clsp_report_add(report, "\n");
    for (size_t n = 0; n < g->count; n++)
        for (size_t i = 0; i < g->spaces[n].count; i++) {
            const clipspan_retrieval_hit *hit = &g->spaces[n].hits[i];
            clsp_report_field(report, true, g->spaces[n].space);
            clsp_report_add(report, ",%zu,%llu", i + 1, (unsigned long long)hit->row);
            clsp_report_field(report, false, name_of(s, hit));
            clsp_report_number(report, false, hit->score);
            if (g->column != NULL) clsp_report_field(report, false, g->spaces[n].values[i]);
            clsp_report_add(report, "\n");
        }
}

static clsp_json *json_hit(const subject *s, const clipspan_neighbours *space, size_t i)
{
    const clipspan_retrieval_hit *hit = &space->hits[i];
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "row", clsp_json_new_int((int64_t)hit->row)) &&
                clsp_json_put(node, "name", clsp_json_new_string(name_of(s, hit))) &&
                clsp_json_put(node, "score", clsp_json_new_number(hit->score)) &&
                (space->values == NULL || clsp_json_put(node, "value", clsp_json_new_string(space->values[i])));
    return clsp_json_settled(node, good);
}

static clsp_json *json_space(const void *given, size_t n)
{
    const subject *s = given;
    const clipspan_neighbours *space = &s->given->spaces[n];
    clsp_json *node = clsp_json_new_object(), *hits = clsp_json_new_array();
    bool good = hits != NULL;
    for (size_t i = 0; good && i < space->count; i++) good = clsp_json_push(hits, json_hit(s, space, i));
    hits = clsp_json_settled(hits, good);
    good = node != NULL && clsp_json_put(node, "space", clsp_json_new_string(space->space)) &&
           (s->given->column == NULL || clsp_json_put(node, "share", clsp_json_new_number(space->share)));
    if (!good) { /* put would have taken the list over */
        clsp_json_free(hits);
        return clsp_json_settled(node, false);
    }
    return clsp_json_settled(node, clsp_json_put(node, "nearest", hits));
}

static clsp_json *json_query(const clipspan_neighbours_report *g)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "kind", clsp_json_new_string(g->query_kind)) &&
                clsp_json_put(node, "name", clsp_json_new_string(g->query)) &&
                (g->query_row == UINT64_MAX || clsp_json_put(node, "row", clsp_json_new_int((int64_t)g->query_row))) &&
                (g->value == NULL || clsp_json_put(node, "value", clsp_json_new_string(g->value)));
    return clsp_json_settled(node, good);
}

/* What precision and neighbours say of how they were made. */
static bool put_how(clsp_json *root, clipspan_similarity similarity, clipspan_convention convention, int centred,
                    uint64_t images)
{
    return clsp_json_put(root, "similarity", clsp_json_new_string(similarity == CLIPSPAN_COSINE ? "cosine" : "inner")) &&
           clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(convention))) &&
           clsp_json_put(root, "centred", clsp_json_new_bool(centred != 0)) &&
           clsp_json_put(root, "images", clsp_json_new_int((int64_t)images));
}

static clipspan_status as_json(const subject *s, const char *path, clipspan_error *err)
{
    const clipspan_neighbours_report *g = s->given;
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && put_how(root, g->how.similarity, g->how.convention, g->how.centred, g->how.images) &&
                clsp_json_put(root, "query", json_query(g)) &&
                (g->column == NULL || clsp_json_put(root, "column", clsp_json_new_string(g->column))) &&
                clsp_json_put(root, "spaces", clsp_json_list(s, g->count, json_space));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_neighbours(const clipspan_neighbours_report *given, const clipspan_store *store,
                                           clipspan_format format, const char *path, clipspan_error *err)
{
    const subject s = {given, store};
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(&s, path, err);
    return clsp_report_table(&s, format, as_csv, as_text, path, err);
}

/* ---- precision ---------------------------------------------------------------------------------------------- */

static const char *space_name(char out[64], const clipspan_space *space)
{
    if (space->kind == CLIPSPAN_SPACE_HEAD)
        clsp_report_head_name(out, space->layer, space->head);
    else if (space->kind == CLIPSPAN_SPACE_SET)
        snprintf(out, 64, "these %zu heads", space->heads);
    else
        snprintf(out, 64, "whole");
    return out;
}

/* The head of the highest precision, the earlier one on a tie; SIZE_MAX: no head has one. */
static size_t best_head(const clipspan_precision *r, size_t column)
{
    size_t best = SIZE_MAX;
    for (size_t s = 0; s < clipspan_precision_get_info(r).spaces; s++) {
        double value = clipspan_precision_of(r, s, column);
        if (clipspan_precision_space(r, s).kind != CLIPSPAN_SPACE_HEAD || !isfinite(value)) continue;
        if (best == SIZE_MAX || value > clipspan_precision_of(r, best, column)) best = s;
    }
    return best;
}

static size_t column_width(const clipspan_precision *r, size_t column)
{
    return clsp_min(clsp_max(clsp_text_width(clipspan_precision_column(r, column)), 9), COLUMN_WIDEST);
}

static void text_number(const clipspan_precision *r, clsp_report *report, size_t column, double value)
{
    char text[32] = "-";
    if (isfinite(value)) snprintf(text, sizeof text, "%5.1f %%", 100 * value);
    clsp_report_add(report, "  ");
    clsp_report_cell(report, text, column_width(r, column));
}

static void text_best(const clipspan_precision *r, clsp_report *report, size_t columns)
{
    clsp_report_cell(report, "best head", 14);
    for (size_t c = 0; c < columns; c++) {
        char name[64] = "-";
        size_t best = best_head(r, c);
        if (best != SIZE_MAX) {
            clipspan_space space = clipspan_precision_space(r, best);
            space_name(name, &space);
        }
        clsp_report_add(report, "  ");
        clsp_report_cell(report, name, column_width(r, c));
    }
    clsp_report_add(report, "\n");
}

static void precision_text(const clipspan_precision *r, clsp_report *report)
{
    const clipspan_precision_info info = clipspan_precision_get_info(r);
    char queries[32], images[32], name[64];
    clsp_report_add(report,
                    "precision at %zu: share of an image's %zu nearest, among those that have a value, with its own value; "
                    "mean over\nthe query images that have one, of %s drawn from %s. Nearest by %s of the term%s, "
                    "%s convention.\nchance: what neighbours drawn at random give.\n\n",
                    info.k, info.k, clipspan_report_count(queries, info.queries), clipspan_report_count(images, info.images),
                    similarity_name(info.similarity), info.centred ? " less its mean over the images" : "",
                    clsp_convention_name(info.convention));
    clsp_report_cell(report, "space", 14);
    for (size_t c = 0; c < info.columns; c++) {
        clsp_report_add(report, "  ");
        clsp_report_cell(report, clipspan_precision_column(r, c), column_width(r, c));
    }
    clsp_report_add(report, "\n");
    for (size_t s = 0; s < info.spaces; s++) {
        clipspan_space space = clipspan_precision_space(r, s);
        clsp_report_cell(report, space_name(name, &space), 14);
        for (size_t c = 0; c < info.columns; c++) text_number(r, report, c, clipspan_precision_of(r, s, c));
        clsp_report_add(report, "\n");
    }
    clsp_report_cell(report, "chance", 14);
    for (size_t c = 0; c < info.columns; c++) text_number(r, report, c, clipspan_precision_chance(r, c));
    clsp_report_add(report, "\n");
    text_best(r, report, info.columns);
}

static void precision_csv(const clipspan_precision *r, clsp_report *report)
{
    const clipspan_precision_info info = clipspan_precision_get_info(r);
    clsp_report_add(report, "space,layer,head,column,precision,chance,k,queries,images,values\n");
    for (size_t s = 0; s < info.spaces; s++)
        for (size_t c = 0; c < info.columns; c++) {
            char name[64];
            clipspan_space space = clipspan_precision_space(r, s);
            clsp_report_field(report, true, space_name(name, &space));
            clsp_report_number(report, false, space.layer < 0 ? (double)NAN : space.layer);
            clsp_report_number(report, false, space.head < 0 ? (double)NAN : space.head);
            clsp_report_field(report, false, clipspan_precision_column(r, c));
            clsp_report_number(report, false, clipspan_precision_of(r, s, c));
            clsp_report_number(report, false, clipspan_precision_chance(r, c));
            clsp_report_add(report, ",%zu,%llu,%llu,%zu\n", info.k, (unsigned long long)clipspan_precision_queries(r, c),
                            (unsigned long long)clipspan_precision_images(r, c), clipspan_precision_values(r, c));
        }
}

static clsp_json *precision_column(const void *given, size_t c)
{
    const clipspan_precision *r = given;
    size_t best = best_head(r, c);
    char name[64] = "";
    clipspan_space space = clipspan_precision_space(r, best);
    if (best != SIZE_MAX) space_name(name, &space);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "name", clsp_json_new_string(clipspan_precision_column(r, c))) &&
                clsp_json_put(node, "values", clsp_json_new_int((int64_t)clipspan_precision_values(r, c))) &&
                clsp_json_put(node, "queries", clsp_json_new_int((int64_t)clipspan_precision_queries(r, c))) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)clipspan_precision_images(r, c))) &&
                clsp_json_put(node, "chance", clsp_json_new_number(clipspan_precision_chance(r, c))) &&
                clsp_json_put(node, "best_head", best == SIZE_MAX ? clsp_json_new_null() : clsp_json_new_string(name));
    return clsp_json_settled(node, good);
}

static clsp_json *precision_space(const void *given, size_t s)
{
    const clipspan_precision *r = given;
    char name[64];
    clipspan_space space = clipspan_precision_space(r, s);
    clsp_json *node = clsp_json_new_object(), *values = clsp_json_new_object();
    bool good = values != NULL;
    for (size_t c = 0; good && c < clipspan_precision_get_info(r).columns; c++)
        good = clsp_json_put(values, clipspan_precision_column(r, c), clsp_json_new_number(clipspan_precision_of(r, s, c)));
    values = clsp_json_settled(values, good);
    good = node != NULL && clsp_json_put(node, "space", clsp_json_new_string(space_name(name, &space))) &&
           (space.layer < 0 || (clsp_json_put(node, "layer", clsp_json_new_int(space.layer)) &&
                                clsp_json_put(node, "head", clsp_json_new_int(space.head))));
    if (!good) {
        clsp_json_free(values);
        return clsp_json_settled(node, false);
    }
    return clsp_json_settled(node, clsp_json_put(node, "precision", values));
}

static clipspan_status precision_json(const clipspan_precision *r, const char *path, clipspan_error *err)
{
    const clipspan_precision_info info = clipspan_precision_get_info(r);
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && put_how(root, info.similarity, info.convention, info.centred, info.images) &&
                clsp_json_put(root, "k", clsp_json_new_int((int64_t)info.k)) &&
                clsp_json_put(root, "queries", clsp_json_new_int((int64_t)info.queries)) &&
                clsp_json_put(root, "columns", clsp_json_list(r, info.columns, precision_column)) &&
                clsp_json_put(root, "spaces", clsp_json_list(r, info.spaces, precision_space));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_precision(const clipspan_precision *result, clipspan_format format, const char *path,
                                          clipspan_error *err)
{
    clsp_report report;
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return precision_json(result, path, err);
    clsp_report_open(&report);
    if (format == CLIPSPAN_CSV)
        precision_csv(result, &report);
    else
        precision_text(result, &report);
    return clsp_report_finish(&report, path, err);
}
