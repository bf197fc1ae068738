/* Zero-shot classification: accuracy, by class and by image. */
#include <math.h>

#include "report/output.h"
#include "report/tree.h"

enum { CLASS_WIDEST = 32, NAME_WIDEST = 48, BEST = 5, CONFUSIONS = 10 };

typedef struct subject {
    const clipspan_classification *result;
    const clipspan_classification_info *info;
    const char *const *names; /* [images], may be NULL */
    const uint64_t *rows;     /* [images], may be NULL */
    const clipspan_prompts *prompts; /* may be NULL */
} subject;

static uint64_t row_of(const subject *s, size_t i)
{
    return s->rows ? s->rows[i] : i;
}

/* The true class; NULL: not known. */
static const char *label_of(const subject *s, size_t i)
{
    int label = clipspan_classification_label(s->result, i);
    return label < 0 ? NULL : clipspan_classification_class(s->result, (size_t)label);
}

static bool is_right(const subject *s, size_t i)
{
    return clipspan_classification_label(s->result, i) == clipspan_classification_choice(s->result, i, 0, NULL);
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static size_t class_width(const subject *s)
{
    size_t width = 5;
    for (size_t c = 0; c < clipspan_classification_class_count(s->result); c++)
        width = clsp_max(width, clsp_text_width(clipspan_classification_class(s->result, c)));
    return clsp_min(width, CLASS_WIDEST);
}

static void text_prompts(const subject *s, clsp_report *report)
{
    if (s->prompts == NULL) return;
    if (s->prompts->templates == 0)
        clsp_report_add(report, "classifier: ");
    else
        clsp_report_add(report, "prompts: %zu template%s a class, ", s->prompts->templates,
                        s->prompts->templates == 1 ? "" : "s");
    clsp_report_cut(report, s->prompts->source, NAME_WIDEST);
    clsp_report_add(report, "\n");
}

static void text_share(clsp_report *report, uint64_t part, uint64_t whole)
{
    if (whole > 0)
        clsp_report_add(report, "  %7.1f %%", 100 * (double)part / (double)whole);
    else
        clsp_report_add(report, "          -");
}

/* Classes that no image has or was put into say nothing. */
static void text_classes(const subject *s, clsp_report *report)
{
    size_t width = class_width(s);
    clsp_report_add(report, "\n");
    clsp_report_cell(report, "class", width);
    clsp_report_add(report, "  images      recall   chosen   precision\n");
    for (size_t c = 0; c < clipspan_classification_class_count(s->result); c++) {
        uint64_t all, right, chosen = clipspan_classification_chosen(s->result, c);
        clipspan_classification_of_class(s->result, c, &all, &right);
        if (all == 0 && chosen == 0) continue;
        clsp_report_cell(report, clipspan_classification_class(s->result, c), width);
        clsp_report_add(report, "  %6llu ", (unsigned long long)all);
        text_share(report, right, all);
        clsp_report_add(report, "  %6llu ", (unsigned long long)chosen);
        text_share(report, right, chosen);
        clsp_report_add(report, "\n");
    }
}

static void text_confusions(const subject *s, clsp_report *report)
{
    size_t count = clipspan_classification_confusion_count(s->result), width = clsp_max(class_width(s), 10);
    if (count == 0) return;
    clsp_report_add(report, "\n");
    clsp_report_cell(report, "most often", width);
    clsp_report_add(report, "  ");
    clsp_report_cell(report, "taken for", width);
    clsp_report_add(report, "  images\n");
    for (size_t i = 0; i < count && i < CONFUSIONS; i++) {
        const clipspan_confusion pair = clipspan_classification_confusion(s->result, i);
        clsp_report_cell(report, clipspan_classification_class(s->result, (size_t)pair.label), width);
        clsp_report_add(report, "  ");
        clsp_report_cell(report, clipspan_classification_class(s->result, (size_t)pair.choice), width);
        clsp_report_add(report, "  %6llu\n", (unsigned long long)pair.images);
    }
    if (count > CONFUSIONS) clsp_report_add(report, "and %zu other pairs (JSON has them all)\n", count - CONFUSIONS);
}

static void text_accuracy(const subject *s, clsp_report *report)
{
    char images[32], classes[32];
    size_t count = clipspan_classification_class_count(s->result);
    clsp_report_add(report, "%s images, %s classes\n", clipspan_report_count(images, s->info->images),
                    clipspan_report_count(classes, count));
    if (s->info->labelled == 0) return;
    clsp_report_add(report, "top-1 %.2f %%", 100 * s->info->top1);
    if (count > BEST) clsp_report_add(report, ", top-5 %.2f %%", 100 * s->info->top5); /* else it is 100 % */
    clsp_report_add(report, " of %s labelled images\n", clipspan_report_count(images, s->info->labelled));
    clsp_report_add(report, "calibration: error (ECE, %d bins) %.2f %%; mean probability of the choice %.2f %%\n",
                    (int)CLIPSPAN_CALIBRATION_BINS, 100 * s->info->calibration_error, 100 * s->info->confidence);
}

/* Image by image where nothing is known to count. */
static void text_choices(const subject *s, clsp_report *report)
{
    size_t width = 5;
    for (size_t i = 0; s->names && i < s->info->images; i++) width = clsp_max(width, clsp_text_width(s->names[i]));
    width = clsp_min(width, NAME_WIDEST);
    for (size_t i = 0; i < s->info->images; i++) {
        char number[32];
        clsp_report_cell(report, s->names ? s->names[i] : clipspan_report_count(number, row_of(s, i)), width);
        for (int k = 0; k < 3; k++) {
            float probability;
            int choice = clipspan_classification_choice(s->result, i, k, &probability);
            if (choice < 0) break;
            clsp_report_add(report, k ? ", " : "  ");
            clsp_report_cut(report, clipspan_classification_class(s->result, (size_t)choice), CLASS_WIDEST);
            clsp_report_add(report, " %.1f %%", 100 * (double)probability);
        }
        clsp_report_add(report, "\n");
    }
}

static void as_text(const void *given, clsp_report *report)
{
    const subject *s = given;
    text_accuracy(s, report);
    text_prompts(s, report);
    if (s->info->labelled == 0) {
        text_choices(s, report);
        return;
    }
    text_classes(s, report);
    text_confusions(s, report);
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static void as_csv(const void *given, clsp_report *report)
{
    const subject *s = given;
    clsp_report_add(report, "row,name,label,right");
    for (int k = 1; k <= BEST; k++) clsp_report_add(report, ",class_%d,probability_%d", k, k);
    clsp_report_add(report, "\n");
    for (size_t i = 0; i < s->info->images; i++) {
        const char *label = label_of(s, i);
        clsp_report_add(report, "%llu", (unsigned long long)row_of(s, i));
        clsp_report_field(report, false, s->names ? s->names[i] : "");
        clsp_report_field(report, false, label ? label : "");
        clsp_report_add(report, ",%s", label == NULL ? "" : is_right(s, i) ? "1" : "0");
        for (int k = 0; k < BEST; k++) {
            float probability;
            int choice = clipspan_classification_choice(s->result, i, k, &probability);
            clsp_report_field(report, false,
                              choice < 0 ? "" : clipspan_classification_class(s->result, (size_t)choice));
            clsp_report_number(report, false, choice < 0 ? (double)NAN : (double)probability);
        }
        clsp_report_add(report, "\n");
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

/* null where nothing is known */
static clsp_json *json_share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? clsp_json_new_number((double)part / (double)whole) : clsp_json_new_null();
}

static clsp_json *json_class(const void *given, size_t c)
{
    const subject *s = given;
    uint64_t all, right, chosen = clipspan_classification_chosen(s->result, c);
    clipspan_classification_of_class(s->result, c, &all, &right);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL &&
                clsp_json_put(node, "name", clsp_json_new_string(clipspan_classification_class(s->result, c))) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)all)) &&
                clsp_json_put(node, "right", clsp_json_new_int((int64_t)right)) &&
                clsp_json_put(node, "chosen", clsp_json_new_int((int64_t)chosen)) &&
                clsp_json_put(node, "recall", json_share(right, all)) &&
                clsp_json_put(node, "precision", json_share(right, chosen));
    return clsp_json_settled(node, good);
}

static clsp_json *json_confusion(const void *given, size_t i)
{
    const subject *s = given;
    const clipspan_confusion pair = clipspan_classification_confusion(s->result, i);
    const char *label = clipspan_classification_class(s->result, (size_t)pair.label);
    const char *choice = clipspan_classification_class(s->result, (size_t)pair.choice);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "class", clsp_json_new_string(label)) &&
                clsp_json_put(node, "taken_for", clsp_json_new_string(choice)) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)pair.images));
    return clsp_json_settled(node, good);
}

static clsp_json *json_bin(const void *given, size_t b)
{
    const subject *s = given;
    const clipspan_calibration_bin bin = clipspan_classification_bin(s->result, b);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "low", clsp_json_new_number(bin.low)) &&
                clsp_json_put(node, "high", clsp_json_new_number(bin.high)) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)bin.images)) &&
                clsp_json_put(node, "accuracy", clsp_json_new_number(bin.accuracy)) &&
                clsp_json_put(node, "confidence", clsp_json_new_number(bin.confidence));
    return clsp_json_settled(node, good);
}

static clsp_json *json_calibration(const subject *s)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "error", clsp_json_new_number(s->info->calibration_error)) &&
                clsp_json_put(node, "confidence", clsp_json_new_number(s->info->confidence)) &&
                clsp_json_put(node, "bins", clsp_json_list(s, CLIPSPAN_CALIBRATION_BINS, json_bin));
    return clsp_json_settled(node, good);
}

static clsp_json *json_prompts(const clipspan_prompts *prompts)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "source", clsp_json_new_string(prompts->source)) &&
                clsp_json_put(node, "count", clsp_json_new_int((int64_t)prompts->templates));
    return clsp_json_settled(node, good);
}

static clsp_json *json_choices(const subject *s, size_t i)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (int k = 0; good && k < BEST; k++) {
        float probability;
        int choice = clipspan_classification_choice(s->result, i, k, &probability);
        if (choice < 0) break;
        clsp_json *node = clsp_json_new_object();
        const char *name = clipspan_classification_class(s->result, (size_t)choice);
        good = node != NULL && clsp_json_put(node, "class", clsp_json_new_string(name)) &&
               clsp_json_put(node, "probability", clsp_json_new_number((double)probability));
        good = clsp_json_push(list, clsp_json_settled(node, good));
    }
    return clsp_json_settled(list, good);
}

static clsp_json *json_image(const void *given, size_t i)
{
    const subject *s = given;
    const char *label = label_of(s, i);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "row", clsp_json_new_int((int64_t)row_of(s, i))) &&
                (s->names == NULL || clsp_json_put(node, "name", clsp_json_new_string(s->names[i]))) &&
                (label == NULL || (clsp_json_put(node, "label", clsp_json_new_string(label)) &&
                                   clsp_json_put(node, "right", clsp_json_new_bool(is_right(s, i))))) &&
                clsp_json_put(node, "choices", json_choices(s, i));
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const subject *s, bool each, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    size_t classes = clipspan_classification_class_count(s->result);
    bool good = root != NULL && clsp_json_put(root, "images", clsp_json_new_int((int64_t)s->info->images)) &&
                clsp_json_put(root, "labelled", clsp_json_new_int((int64_t)s->info->labelled)) &&
                clsp_json_put(root, "top1", clsp_json_new_number(s->info->top1)) &&
                clsp_json_put(root, "top5", clsp_json_new_number(s->info->top5)) &&
                (s->prompts == NULL || clsp_json_put(root, "templates", json_prompts(s->prompts))) &&
                clsp_json_put(root, "calibration", json_calibration(s)) &&
                clsp_json_put(root, "classes", clsp_json_list(s, classes, json_class)) &&
                clsp_json_put(root, "confusions",
                              clsp_json_list(s, clipspan_classification_confusion_count(s->result), json_confusion)) &&
                (!each || clsp_json_put(root, "predictions", clsp_json_list(s, (size_t)s->info->images, json_image)));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_classification(const clipspan_classification *result, const char *const *names,
                                               const uint64_t *rows, const clipspan_prompts *prompts,
                                               clipspan_format format, const char *path, clipspan_error *err)
{
    const subject s = {result, clipspan_classification_get_info(result), names, rows, prompts};
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(&s, true, path, err);
    return clsp_report_table(&s, format, as_csv, as_text, path, err);
}

clipspan_status clipspan_report_accuracy(const clipspan_classification *result, const clipspan_prompts *prompts,
                                         const char *path, clipspan_error *err)
{
    const subject s = {result, clipspan_classification_get_info(result), NULL, NULL, prompts};
    return as_json(&s, false, path, err);
}
