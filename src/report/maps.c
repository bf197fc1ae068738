/* Maps of texts over images: in words, as JSON, as a table of heads. */
#include "clipspan/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

enum { TEXT_WIDEST = 60 };

/* One image and text, as the JSON builders need it. */
typedef struct subject {
    const clipspan_maps *maps;
    const clipspan_map_image *image;
    size_t text, part;
    const size_t *order; /* [chosen heads], strongest first */
    size_t ordered;
} subject;

/* ---- heads in order --------------------------------------------------------------------------------------- */

typedef struct ranked {
    size_t head;
    double size;
} ranked;

static int by_size(const void *a, const void *b)
{
    const ranked *first = a, *second = b;
    if (first->size != second->size) return first->size < second->size ? 1 : -1;
    return first->head < second->head ? -1 : first->head > second->head;
}

static size_t head_count(const clipspan_maps *maps)
{
    return (size_t)maps->layers * (size_t)maps->heads;
}

static double effect_of(const subject *s, size_t head)
{
    return (double)s->image->effects[s->text * head_count(s->maps) + head];
}

/* The chosen heads by the magnitude of their effect, as many as are to be named. order: [L * H]. */
static clipspan_status rank_heads(const subject *s, size_t *order, size_t *count, clipspan_error *err)
{
    size_t all = head_count(s->maps), chosen = 0;
    *count = 0;
    if (s->image->effects == NULL || s->maps->chosen == NULL) return CLIPSPAN_OK;
    ranked *heads = clsp_alloc(all, sizeof *heads);
    if (heads == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < all; h++)
        if (s->maps->chosen[h]) heads[chosen++] = (ranked){h, fabs(effect_of(s, h))};
    qsort(heads, chosen, sizeof *heads, by_size);
    *count = s->maps->strongest ? clsp_min(chosen, s->maps->strongest) : chosen;
    for (size_t i = 0; i < *count; i++) order[i] = heads[i].head;
    clsp_free(heads);
    return CLIPSPAN_OK;
}

static void name_head(const clipspan_maps *maps, size_t head, char out[32])
{
    clsp_report_head_name(out, (int)(head / (size_t)maps->heads), (int)(head % (size_t)maps->heads));
}

static const clipspan_map_summary *summary_of(const subject *s, size_t part)
{
    return &s->image->summaries[s->text * s->maps->part_count + part];
}

static double predicted_of(const subject *s, size_t part)
{
    return s->image->predicted ? s->image->predicted[s->text * s->maps->part_count + part] : (double)NAN;
}

/* ---- text --------------------------------------------------------------------------------------------------- */

/* Where the parts' numbers begin: behind the longest name. */
static int name_width(const clipspan_maps *maps)
{
    size_t width = 12;
    for (size_t p = 0; p < maps->part_count; p++) width = clsp_max(width, strlen(maps->parts[p]));
    return (int)width;
}

/* Cosines have five decimals; a method's values are in a unit of its own, of any size. */
static void text_patches(const clipspan_map_summary *m, int fixed, clsp_report *report)
{
    const double values[] = {m->in_favour, m->against, m->least, m->most};
    const char *const words[] = {"patches: for ", ", against ", "; ", " to "};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        clsp_report_add(report, fixed ? "%s%+.5f" : "%s%+.3g", words[i], values[i]);
    clsp_report_add(report, ", largest at row %d, column %d\n", m->row, m->column);
}

static void text_part(const subject *s, size_t part, clsp_report *report)
{
    const clipspan_map_summary *m = summary_of(s, part);
    int width = name_width(s->maps), fixed = !isnan(predicted_of(s, part));
    clsp_report_add(report, "    %-*s ", width, s->maps->parts[part]);
    if (fixed)
        clsp_report_add(report, "effect %+.5f, sum of the map %+.5f (class token %+.5f)\n    %-*s ", predicted_of(s, part),
                        m->total, m->class_token, width, "");
    text_patches(m, fixed, report);
}

static void text_one(const subject *s, clsp_report *report)
{
    char name[32];
    clsp_report_add(report, "  ");
    clsp_report_cut(report, s->maps->texts[s->text], TEXT_WIDEST);
    clsp_report_add(report, ": %s %.5f\n", s->maps->score_name, s->image->scores[s->text]);
    for (size_t p = 0; p < s->maps->part_count; p++) text_part(s, p, report);
    for (size_t i = 0; i < s->ordered; i++) {
        name_head(s->maps, s->order[i], name);
        clsp_report_add(report, "%s%s %+.5f", i ? ", " : "    strongest    ", name, effect_of(s, s->order[i]));
    }
    if (s->ordered) clsp_report_add(report, "\n");
}

static void text_head(const clipspan_maps *maps, clsp_report *report)
{
    clsp_report_add(report, "%s, %s; unit: %s; %d x %d places, rows and columns counted from 0\n", maps->model,
                    maps->method, maps->unit, maps->side, maps->side);
    if (maps->minus != NULL) {
        clsp_report_add(report, "each text minus ");
        clsp_report_cut(report, maps->minus, TEXT_WIDEST);
        clsp_report_add(report, "\n");
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

/* [side, side] of the patches; row `row`. */
static clsp_json *json_row(const float *patches, int side)
{
    clsp_json *row = clsp_json_new_array();
    bool good = row != NULL;
    for (int c = 0; good && c < side; c++) good = clsp_json_push(row, clsp_json_new_number((double)patches[c]));
    return clsp_json_settled(row, good);
}

static clsp_json *json_values(const subject *s, size_t part)
{
    const clipspan_maps *maps = s->maps;
    size_t side = (size_t)maps->side, patches = side * side;
    const float *values = s->image->values + (s->text * maps->part_count + part) * maps->places + (maps->places - patches);
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t r = 0; good && r < side; r++) good = clsp_json_push(list, json_row(values + r * side, maps->side));
    return clsp_json_settled(list, good);
}

static clsp_json *json_part(const void *subject_of, size_t part)
{
    const subject *s = subject_of;
    const clipspan_map_summary *m = summary_of(s, part);
    clsp_json *o = clsp_json_new_object();
    bool good = o && clsp_json_put(o, "name", clsp_json_new_string(s->maps->parts[part]));
    if (good && !isnan(predicted_of(s, part)))
        good = clsp_json_put(o, "effect", clsp_json_new_number(predicted_of(s, part)));
    good = good && clsp_json_put(o, "total", clsp_json_new_number(m->total)) &&
           clsp_json_put(o, "class_token", clsp_json_new_number(m->class_token)) &&
           clsp_json_put(o, "for", clsp_json_new_number(m->in_favour)) &&
           clsp_json_put(o, "against", clsp_json_new_number(m->against)) &&
           clsp_json_put(o, "min", clsp_json_new_number(m->least)) &&
           clsp_json_put(o, "max", clsp_json_new_number(m->most)) && clsp_json_put(o, "row", clsp_json_new_int(m->row)) &&
           clsp_json_put(o, "column", clsp_json_new_int(m->column));
    if (good && s->image->values != NULL) good = clsp_json_put(o, "values", json_values(s, part));
    return clsp_json_settled(o, good);
}

static clsp_json *json_strong(const void *subject_of, size_t i)
{
    const subject *s = subject_of;
    char name[32];
    clsp_json *o = clsp_json_new_object();
    name_head(s->maps, s->order[i], name);
    bool good = o && clsp_json_put(o, "head", clsp_json_new_string(name)) &&
                clsp_json_put(o, "effect", clsp_json_new_number(effect_of(s, s->order[i])));
    return clsp_json_settled(o, good);
}

static clsp_json *json_text(const subject *s)
{
    clsp_json *o = clsp_json_new_object();
    bool good = o && clsp_json_put(o, "text", clsp_json_new_string(s->maps->texts[s->text])) &&
                clsp_json_put(o, "score", clsp_json_new_number(s->image->scores[s->text])) &&
                clsp_json_put(o, "parts", clsp_json_list(s, s->maps->part_count, json_part));
    if (good && s->ordered) good = clsp_json_put(o, "strongest", clsp_json_list(s, s->ordered, json_strong));
    return clsp_json_settled(o, good);
}

/* NULL: no memory. order: [L * H] scratch. */
static clsp_json *json_image(const clipspan_maps *maps, size_t i, size_t *order)
{
    const clipspan_map_image *image = &maps->images[i];
    clsp_json *o = clsp_json_new_object(), *texts = clsp_json_new_array();
    bool good = o != NULL && texts != NULL;
    for (size_t t = 0; good && t < maps->text_count; t++) {
        subject s = {maps, image, t, 0, order, 0};
        good = rank_heads(&s, order, &s.ordered, NULL) == CLIPSPAN_OK && clsp_json_push(texts, json_text(&s));
    }
    good = good && clsp_json_put(o, "name", clsp_json_new_string(image->name)) &&
           clsp_json_put(o, "row", clsp_json_new_int((int64_t)image->row));
    if (!good) {
        clsp_json_free(texts);
        return clsp_json_settled(o, false);
    }
    return clsp_json_settled(o, clsp_json_put(o, "texts", texts));
}

static clipspan_status as_json(const clipspan_maps *maps, size_t *order, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object(), *images = clsp_json_new_array();
    bool good = root && images && clsp_json_put(root, "model", clsp_json_new_string(maps->model)) &&
                clsp_json_put(root, "method", clsp_json_new_string(maps->method)) &&
                clsp_json_put(root, "unit", clsp_json_new_string(maps->unit)) &&
                clsp_json_put(root, "score", clsp_json_new_string(maps->score_name)) &&
                clsp_json_put(root, "side", clsp_json_new_int(maps->side));
    if (good && maps->minus != NULL) good = clsp_json_put(root, "minus", clsp_json_new_string(maps->minus));
    for (size_t i = 0; good && i < maps->image_count; i++) good = clsp_json_push(images, json_image(maps, i, order));
    if (good)
        good = clsp_json_put(root, "images", images);
    else
        clsp_json_free(images);
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static void csv_one(const subject *s, clsp_report *report)
{
    char name[32];
    for (size_t i = 0; i < s->ordered; i++) {
        name_head(s->maps, s->order[i], name);
        clsp_report_add(report, "%llu", (unsigned long long)s->image->row);
        clsp_report_field(report, false, s->image->name);
        clsp_report_field(report, false, s->maps->texts[s->text]);
        clsp_report_add(report, ",%zu,%s", i + 1, name);
        clsp_report_number(report, false, effect_of(s, s->order[i]));
        clsp_report_number(report, false, s->image->scores[s->text]);
        clsp_report_add(report, "\n");
    }
}

static clipspan_status as_lines(const clipspan_maps *maps, clipspan_format format, size_t *order, const char *path,
                                clipspan_error *err)
{
    clsp_report report;
    clipspan_status status = CLIPSPAN_OK;
    clsp_report_open(&report);
    if (format == CLIPSPAN_CSV)
        clsp_report_add(&report, "row,image,text,rank,head,effect,score\n");
    else
        text_head(maps, &report);
    for (size_t i = 0; i < maps->image_count; i++) {
        if (format == CLIPSPAN_TEXT) {
            clsp_report_cut(&report, maps->images[i].name, TEXT_WIDEST);
            clsp_report_add(&report, "\n");
        }
        for (size_t t = 0; t < maps->text_count && status == CLIPSPAN_OK; t++) {
            subject s = {maps, &maps->images[i], t, 0, order, 0};
            status = rank_heads(&s, order, &s.ordered, err);
            if (format == CLIPSPAN_CSV)
                csv_one(&s, &report);
            else
                text_one(&s, &report);
        }
    }
    if (status == CLIPSPAN_OK) return clsp_report_finish(&report, path, err);
    clsp_buffer_free(&report.text);
    return status;
}

clipspan_status clipspan_report_maps(const clipspan_maps *maps, clipspan_format format, const char *path,
                                     clipspan_error *err)
{
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    size_t *order = clsp_alloc(head_count(maps) + 1, sizeof *order);
    if (order == NULL) return clsp_fail_memory(err);
    status = format == CLIPSPAN_JSON ? as_json(maps, order, path, err) : as_lines(maps, format, order, path, err);
    clsp_free(order);
    return status;
}
