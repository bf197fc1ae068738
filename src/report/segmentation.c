/* The table of a segmentation: one row a method. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

typedef struct score {
    const char *name, *key; /* heading; in JSON and CSV */
    const clipspan_interval *(*of)(const clipspan_segmentation_row *);
} score;

static const clipspan_interval *accuracy_of(const clipspan_segmentation_row *row)
{
    return &row->scores.accuracy;
}

static const clipspan_interval *iou_of(const clipspan_segmentation_row *row)
{
    return &row->scores.iou;
}

static const clipspan_interval *precision_of(const clipspan_segmentation_row *row)
{
    return &row->scores.precision;
}

static const score scores[] = {
    {"pixel accuracy", "pixel_accuracy", accuracy_of}, {"mIoU", "miou", iou_of}, {"mAP", "map", precision_of}};

enum { SCORES = 3, INTERVAL_WIDTH = 24 };

/* mAP is of the binary protocol alone. */
static size_t score_count(const clipspan_segmentation_table *t)
{
    return t->values ? SCORES - 1 : SCORES;
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static void text_setting(const clipspan_segmentation_table *t, clsp_report *report)
{
    char images[32];
    unsigned long long count = t->count ? t->rows[0].scores.images : 0;
    clsp_report_add(report, "%s images of %s (%s), %s; %d x %d pixels\n", clipspan_report_count(images, count), t->data, t->kind,
                    t->model, t->size, t->size);
    if (t->skipped) clsp_report_add(report, "%zu images could not be read and were left out\n", t->skipped);
    clsp_report_add(report, "protocol %s: masks %s\n", t->protocol,
                    strcmp(t->protocol, "paper") == 0
                        ? "stretched to the square, although images are resized and cropped (as the reference code)"
                        : "resized and cropped exactly as their images");
    if (t->ignore >= 0) clsp_report_add(report, "pixels of value %d are not scored\n", t->ignore);
    if (t->chosen) clsp_report_add(report, "class of an image: %s\n", t->chosen);
    if (t->background) clsp_report_add(report, "background: %s\n", t->background);
    if (t->heads)
        clsp_report_add(report, "decomposition: heads %s, %s convention, summed\n", t->heads, t->convention);
    if (t->steps) clsp_report_add(report, "%s\n", t->steps);
}

static void text_score(clsp_report *report, const clipspan_interval *v)
{
    char cell[64];
    if (isnan(v->low))
        snprintf(cell, sizeof cell, "%6.2f", 100 * v->value);
    else
        snprintf(cell, sizeof cell, "%6.2f  %6.2f - %6.2f", 100 * v->value, 100 * v->low, 100 * v->high);
    clsp_report_add(report, "  ");
    clsp_report_cell(report, cell, INTERVAL_WIDTH);
}

static size_t method_width(const clipspan_segmentation_table *t)
{
    size_t width = strlen("method");
    for (size_t m = 0; m < t->count; m++) width = clsp_max(width, clsp_text_width(t->rows[m].method));
    return width;
}

static void text_rows(const clipspan_segmentation_table *t, clsp_report *report)
{
    size_t width = method_width(t);
    clsp_report_add(report, "\nin percent%s\n\n",
                    t->resamples ? ", with 95 % intervals (bootstrap over images, the same draws for every method)" : "");
    clsp_report_cell(report, "method", width);
    for (size_t k = 0; k < score_count(t); k++) {
        clsp_report_add(report, "  ");
        clsp_report_cell(report, scores[k].name, INTERVAL_WIDTH);
    }
    clsp_report_add(report, "\n");
    for (size_t m = 0; m < t->count; m++) {
        clsp_report_cell(report, t->rows[m].method, width);
        for (size_t k = 0; k < score_count(t); k++) text_score(report, scores[k].of(&t->rows[m]));
        clsp_report_add(report, "\n");
    }
}

static double class_iou(const clipspan_segmentation_row *row, size_t value)
{
    uint64_t both, either;
    clipspan_segmentation_of_class(row->result, value, &both, &either);
    return either ? (double)both / (double)either : (double)NAN;
}

static void text_classes(const clipspan_segmentation_table *t, clsp_report *report)
{
    size_t width = strlen("IoU by class");
    for (size_t v = 0; v < t->value_count; v++) width = clsp_max(width, clsp_text_width(t->values[v]));
    width = clsp_min(width, 32);
    clsp_report_add(report, "\n");
    clsp_report_cell(report, "IoU by class", width);
    for (size_t m = 0; m < t->count; m++) clsp_report_add(report, "  %14s", t->rows[m].method);
    for (size_t v = 0; v < t->value_count; v++) {
        clsp_report_add(report, "\n");
        clsp_report_cell(report, t->values[v], width);
        for (size_t m = 0; m < t->count; m++) {
            double iou = class_iou(&t->rows[m], v);
            if (isnan(iou))
                clsp_report_add(report, "  %14s", "-");
            else
                clsp_report_add(report, "  %14.2f", 100 * iou);
        }
    }
    clsp_report_add(report, "\n");
}

static void as_text(const void *given, clsp_report *report)
{
    const clipspan_segmentation_table *t = given;
    text_setting(t, report);
    text_rows(t, report);
    if (t->values) text_classes(t, report);
}

/* ---- CSV: one line a method ----------------------------------------------------------------------------------- */

static void as_csv(const void *given, clsp_report *report)
{
    const clipspan_segmentation_table *t = given;
    clsp_report_add(report, "method,protocol,images");
    for (size_t k = 0; k < SCORES; k++)
        clsp_report_add(report, ",%s,%s_low,%s_high", scores[k].key, scores[k].key, scores[k].key);
    clsp_report_add(report, "\n");
    for (size_t m = 0; m < t->count; m++) {
        clsp_report_field(report, true, t->rows[m].method);
        clsp_report_add(report, ",%s,%llu", t->protocol, (unsigned long long)t->rows[m].scores.images);
        for (size_t k = 0; k < SCORES; k++) {
            const clipspan_interval *v = scores[k].of(&t->rows[m]);
            clsp_report_number(report, false, v->value);
            clsp_report_number(report, false, v->low);
            clsp_report_number(report, false, v->high);
        }
        clsp_report_add(report, "\n");
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static clsp_json *json_interval(const clipspan_interval *v)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "value", clsp_json_new_number(v->value)) &&
                clsp_json_put(node, "low", clsp_json_new_number(v->low)) &&
                clsp_json_put(node, "high", clsp_json_new_number(v->high));
    return clsp_json_settled(node, good);
}

static clsp_json *json_class(const clipspan_segmentation_table *t, const clipspan_segmentation_row *row, size_t value)
{
    uint64_t both, either;
    clsp_json *node = clsp_json_new_object();
    clipspan_segmentation_of_class(row->result, value, &both, &either);
    bool good = node != NULL && clsp_json_put(node, "name", clsp_json_new_string(t->values[value])) &&
                clsp_json_put(node, "intersection", clsp_json_new_int((int64_t)both)) &&
                clsp_json_put(node, "union", clsp_json_new_int((int64_t)either)) &&
                clsp_json_put(node, "iou", clsp_json_new_number(class_iou(row, value)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_classes(const clipspan_segmentation_table *t, const clipspan_segmentation_row *row)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t v = 0; good && v < t->value_count; v++) good = clsp_json_push(list, json_class(t, row, v));
    return clsp_json_settled(list, good);
}

static clsp_json *json_method(const void *given, size_t m)
{
    const clipspan_segmentation_table *t = given;
    const clipspan_segmentation_row *row = &t->rows[m];
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "method", clsp_json_new_string(row->method)) &&
                clsp_json_put(node, "words", clsp_json_new_string(row->words)) &&
                clsp_json_put(node, "citation", clsp_json_new_string(row->citation)) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)row->scores.images));
    for (size_t k = 0; good && k < score_count(t); k++)
        good = clsp_json_put(node, scores[k].key, json_interval(scores[k].of(row)));
    if (good && t->values) good = clsp_json_put(node, "classes", json_classes(t, row));
    return clsp_json_settled(node, good);
}

static clsp_json *json_text_of(const void *given, size_t c)
{
    const clipspan_segmentation_table *t = given;
    return clsp_json_new_string(clipspan_texts_get(t->classes, c));
}

static clsp_json *words_or_null(const char *words)
{
    return words ? clsp_json_new_string(words) : clsp_json_new_null();
}

static bool json_setting(const clipspan_segmentation_table *t, clsp_json *root)
{
    return clsp_json_put(root, "model", clsp_json_new_string(t->model)) &&
           clsp_json_put(root, "data", clsp_json_new_string(t->data)) &&
           clsp_json_put(root, "kind", clsp_json_new_string(t->kind)) &&
           clsp_json_put(root, "protocol", clsp_json_new_string(t->protocol)) &&
           clsp_json_put(root, "size", clsp_json_new_int(t->size)) &&
           clsp_json_put(root, "ignore", t->ignore < 0 ? clsp_json_new_null() : clsp_json_new_int(t->ignore)) &&
           clsp_json_put(root, "semantic", clsp_json_new_bool(t->values != NULL)) &&
           clsp_json_put(root, "chosen", words_or_null(t->chosen)) &&
           clsp_json_put(root, "background", words_or_null(t->background)) &&
           clsp_json_put(root, "convention", words_or_null(t->convention)) &&
           clsp_json_put(root, "heads", words_or_null(t->heads)) &&
           clsp_json_put(root, "steps", words_or_null(t->steps)) &&
           clsp_json_put(root, "skipped", clsp_json_new_int((int64_t)t->skipped)) &&
           clsp_json_put(root, "resamples", clsp_json_new_int((int64_t)t->resamples));
}

static clipspan_status as_json(const clipspan_segmentation_table *t, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && json_setting(t, root) &&
                clsp_json_put(root, "units", clsp_json_new_string("shares from 0 to 1; low and high: 95 % interval by "
                                                                  "bootstrap over images")) &&
                clsp_json_put(root, "classes", clsp_json_list(t, clipspan_texts_count(t->classes), json_text_of)) &&
                clsp_json_put(root, "methods", clsp_json_list(t, t->count, json_method));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_segmentation(const clipspan_segmentation_table *table, clipspan_format format,
                                             const char *path, clipspan_error *err)
{
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK || format == CLIPSPAN_JSON)
        return status != CLIPSPAN_OK ? status : as_json(table, path, err);
    return clsp_report_table(table, format, as_csv, as_text, path, err);
}
