/* Known attributes beside what TextSpan says: one line a head. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

enum { TEXTS_SHOWN = 3, TEXT_WIDEST = 28, NAME_WIDEST = 24 };

typedef struct place {
    int layer, head;
    const clipspan_textspan_head *texts; /* NULL: none */
} place;

typedef struct subject {
    const clipspan_attributes *result;
    const clipspan_textspan *textspan; /* may be NULL */
    place *places;                     /* [count]: the heads that were scored */
    size_t count;
    size_t *order; /* [attributes] scratch: strongest first */
} subject;

static double share(const subject *s, size_t attribute, const place *at)
{
    return clipspan_attributes_share(s->result, attribute, at->layer, at->head);
}

static double excess(const subject *s, size_t attribute, const place *at)
{
    return clipspan_attributes_excess(s->result, attribute, at->layer, at->head);
}

static const clipspan_textspan_head *texts_of(const clipspan_textspan *textspan, int layer, int head)
{
    for (size_t i = 0; textspan != NULL && i < clipspan_textspan_head_count(textspan); i++) {
        const clipspan_textspan_head *texts = clipspan_textspan_get(textspan, i);
        if (texts->layer == layer && texts->head == head) return texts;
    }
    return NULL;
}

static clipspan_status subject_open(subject *s, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    size_t heads = (size_t)info->heads, all = (size_t)info->layers * heads;
    s->order = clsp_alloc(clipspan_attributes_count(s->result) + 1, sizeof *s->order);
    s->places = clsp_alloc(all + 1, sizeof *s->places);
    if (s->order == NULL || s->places == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < all; h++) {
        place at = {(int)(h / heads), (int)(h % heads), NULL};
        if (isnan(share(s, 0, &at))) continue;
        at.texts = texts_of(s->textspan, at.layer, at.head);
        s->places[s->count++] = at;
    }
    return CLIPSPAN_OK;
}

/* Insertion sort: strongest first, chance taken out; the earlier column on a tie. */
static void sort_attributes(const subject *s, const place *at)
{
    size_t count = clipspan_attributes_count(s->result);
    for (size_t a = 0; a < count; a++) {
        size_t to = a;
        while (to > 0 && excess(s, a, at) > excess(s, s->order[to - 1], at)) to--;
        memmove(s->order + to + 1, s->order + to, (a - to) * sizeof *s->order);
        s->order[to] = a;
    }
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static size_t name_width(const subject *s)
{
    size_t width = strlen("attribute");
    for (size_t a = 0; a < clipspan_attributes_count(s->result); a++)
        width = clsp_max(width, clsp_text_width(clipspan_attributes_name(s->result, a)));
    return clsp_min(width, NAME_WIDEST);
}

/* What each attribute's shares rest on: columns with empty cells speak of fewer images. */
static void text_attributes(const subject *s, clsp_report *report, size_t width)
{
    char images[32];
    clsp_report_cell(report, "attribute", width);
    clsp_report_add(report, "  values      images   chance\n");
    for (size_t a = 0; a < clipspan_attributes_count(s->result); a++) {
        clsp_report_cell(report, clipspan_attributes_name(s->result, a), width);
        clsp_report_add(report, "  %6zu  %10s  %5.1f %%\n", clipspan_attributes_groups(s->result, a),
                        clipspan_report_count(images, clipspan_attributes_images(s->result, a)),
                        100 * clipspan_attributes_chance(s->result, a));
    }
}

static void text_cell(const subject *s, clsp_report *report, const place *at, size_t rank, size_t width)
{
    size_t a = s->order[rank];
    bool any = excess(s, a, at) > 0; /* else nothing is known of it: no name to print */
    clsp_report_add(report, "   ");
    clsp_report_cell(report, any ? clipspan_attributes_name(s->result, a) : "-", width);
    if (any)
        clsp_report_add(report, "  %5.1f %%  %5.1f %%", 100 * share(s, a, at),
                        100 * clipspan_attributes_chance(s->result, a));
    else
        clsp_report_add(report, "                  ");
}

static void text_line(const subject *s, clsp_report *report, const place *at, size_t width)
{
    char name[32];
    clsp_report_head_name(name, at->layer, at->head);
    sort_attributes(s, at);
    clsp_report_cell(report, name, 8);
    for (size_t rank = 0; rank < 2 && rank < clipspan_attributes_count(s->result); rank++)
        text_cell(s, report, at, rank, width);
    for (int m = 0; at->texts != NULL && m < at->texts->count && m < TEXTS_SHOWN; m++) {
        clsp_report_add(report, m ? " | " : "   ");
        clsp_report_cut(report, clipspan_textspan_text_of(s->textspan, at->texts->texts[m].text), TEXT_WIDEST);
    }
    clsp_report_add(report, "\n");
}

static void text_header(const subject *s, clsp_report *report, size_t width)
{
    static const char *const titles[] = {"strongest", "next"};
    clsp_report_add(report, "\n");
    clsp_report_cell(report, "head", 8);
    for (size_t rank = 0; rank < 2 && rank < clipspan_attributes_count(s->result); rank++) {
        clsp_report_add(report, "   ");
        clsp_report_cell(report, titles[rank], width);
        clsp_report_add(report, "    share   chance");
    }
    clsp_report_add(report, s->textspan ? "   texts\n" : "\n");
}

static void as_text(const void *given, clsp_report *report)
{
    const subject *s = given;
    size_t width = name_width(s);
    clsp_report_add(report,
                    "share: of a head's variance over the images, what lies between images of different value (eta "
                    "squared); %s convention.\n"
                    "chance: the share that values dealt to the images at random would give.\n"
                    "strongest: by the share with chance taken out, (share - chance) / (1 - chance); -: none above "
                    "chance.\n"
                    "images: those whose cell is not empty; an attribute's shares rest on them alone.%s\n\n",
                    clsp_convention_name(clipspan_attributes_convention(s->result)),
                    s->textspan ? "\ntexts: the head's first TextSpan texts." : "");
    text_attributes(s, report, width);
    text_header(s, report, width);
    for (size_t i = 0; i < s->count; i++) text_line(s, report, &s->places[i], width);
}

/* ---- CSV: one line a head and attribute --------------------------------------------------------------------- */

static void as_csv(const void *given, clsp_report *report)
{
    const subject *s = given;
    clsp_report_add(report, "layer,head,attribute,share,chance,excess,values,images\n");
    for (const place *at = s->places; at < s->places + s->count; at++)
        for (size_t a = 0; a < clipspan_attributes_count(s->result); a++) {
            clsp_report_add(report, "%d,%d", at->layer, at->head);
            clsp_report_field(report, false, clipspan_attributes_name(s->result, a));
            clsp_report_number(report, false, share(s, a, at));
            clsp_report_number(report, false, clipspan_attributes_chance(s->result, a));
            clsp_report_number(report, false, excess(s, a, at));
            clsp_report_add(report, ",%zu,%llu\n", clipspan_attributes_groups(s->result, a),
                            (unsigned long long)clipspan_attributes_images(s->result, a));
        }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static clsp_json *json_attribute(const void *given, size_t a)
{
    const subject *s = given;
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL &&
                clsp_json_put(node, "name", clsp_json_new_string(clipspan_attributes_name(s->result, a))) &&
                clsp_json_put(node, "values", clsp_json_new_int((int64_t)clipspan_attributes_groups(s->result, a))) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)clipspan_attributes_images(s->result, a))) &&
                clsp_json_put(node, "chance", clsp_json_new_number(clipspan_attributes_chance(s->result, a)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_by_attribute(const subject *s, const place *at,
                                    double (*value)(const subject *, size_t, const place *))
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL;
    for (size_t a = 0; good && a < clipspan_attributes_count(s->result); a++)
        good = clsp_json_put(node, clipspan_attributes_name(s->result, a), clsp_json_new_number(value(s, a, at)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_texts(const subject *s, const place *at)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (int m = 0; good && m < at->texts->count; m++) {
        clsp_json *node = clsp_json_new_object();
        const char *text = clipspan_textspan_text_of(s->textspan, at->texts->texts[m].text);
        good = node != NULL && clsp_json_put(node, "text", clsp_json_new_string(text)) &&
               clsp_json_put(node, "explained", clsp_json_new_number(at->texts->texts[m].explained));
        good = clsp_json_push(list, clsp_json_settled(node, good));
    }
    return clsp_json_settled(list, good);
}

static clsp_json *json_strongest(const subject *s, const place *at)
{
    size_t best = clipspan_attributes_strongest(s->result, at->layer, at->head);
    return best == SIZE_MAX ? clsp_json_new_null() : clsp_json_new_string(clipspan_attributes_name(s->result, best));
}

static clsp_json *json_head(const void *given, size_t i)
{
    const subject *s = given;
    const place *at = &s->places[i];
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put_head(node, at->layer, at->head) &&
                clsp_json_put(node, "strongest", json_strongest(s, at)) &&
                clsp_json_put(node, "shares", json_by_attribute(s, at, share)) &&
                clsp_json_put(node, "excess", json_by_attribute(s, at, excess)) &&
                (at->texts == NULL || clsp_json_put(node, "texts", json_texts(s, at)));
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const subject *s, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    const char *convention = clsp_convention_name(clipspan_attributes_convention(s->result));
    size_t attributes = clipspan_attributes_count(s->result);
    bool good = root != NULL && clsp_json_put(root, "convention", clsp_json_new_string(convention)) &&
                clsp_json_put(root, "units", clsp_json_new_string("shares: of the head's variance, between images of "
                                                                  "equal value (eta squared); excess: the same with "
                                                                  "chance taken out (epsilon squared)")) &&
                clsp_json_put(root, "attributes", clsp_json_list(s, attributes, json_attribute)) &&
                clsp_json_put(root, "heads", clsp_json_list(s, s->count, json_head));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_attributes(const clipspan_attributes *result, const clipspan_store *store,
                                           const clipspan_textspan *textspan, clipspan_format format, const char *path,
                                           clipspan_error *err)
{
    subject s = {.result = result, .textspan = textspan};
    clipspan_status status = clsp_report_check(format, err);
    if (status == CLIPSPAN_OK) status = subject_open(&s, store, err);
    if (status == CLIPSPAN_OK)
        status = format == CLIPSPAN_JSON ? as_json(&s, path, err) : clsp_report_table(&s, format, as_csv, as_text, path, err);
    clsp_free(s.order);
    clsp_free(s.places);
    return status;
}
