/* Known attributes beside what TextSpan says: one line a head. */
#include <stdlib.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

enum { TEXTS_SHOWN = 3, TEXT_WIDEST = 28 };

/* Heads that are shown: those of the TextSpan result, else all. */
typedef struct subject {
    const clipspan_attributes *result;
    const clipspan_textspan *textspan; /* may be NULL */
    size_t count, heads;               /* heads: a layer */
    size_t *order;                     /* [attributes] scratch: strongest first */
} subject;

typedef struct place {
    int layer, head;
    const clipspan_textspan_head *texts;
} place;

static place head_at(const subject *s, size_t i)
{
    const clipspan_textspan_head *texts = s->textspan ? clipspan_textspan_get(s->textspan, i) : NULL;
    if (texts != NULL) return (place){texts->layer, texts->head, texts};
    return (place){(int)(i / s->heads), (int)(i % s->heads), NULL};
}

static double share(const subject *s, size_t attribute, const place *at)
{
    return clipspan_attributes_share(s->result, attribute, at->layer, at->head);
}

/* Insertion sort: strongest first, the earlier column on a tie. */
static void sort_attributes(const subject *s, const place *at)
{
    size_t count = clipspan_attributes_count(s->result);
    for (size_t a = 0; a < count; a++) {
        size_t to = a;
        while (to > 0 && share(s, a, at) > share(s, s->order[to - 1], at)) to--;
        memmove(s->order + to + 1, s->order + to, (a - to) * sizeof *s->order);
        s->order[to] = a;
    }
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static size_t name_width(const subject *s)
{
    size_t width = 9;
    for (size_t a = 0; a < clipspan_attributes_count(s->result); a++)
        width = clsp_max(width, clsp_text_width(clipspan_attributes_name(s->result, a)));
    return clsp_min(width, 24);
}

static void text_line(const subject *s, clsp_report *report, size_t i, size_t width)
{
    place at = head_at(s, i);
    char name[32];
    clsp_report_head_name(name, at.layer, at.head);
    sort_attributes(s, &at);
    clsp_report_cell(report, name, 8);
    clsp_report_cell(report, clipspan_attributes_name(s->result, s->order[0]), width);
    clsp_report_add(report, "  %5.1f %%  %5.1f %%", 100 * share(s, s->order[0], &at),
                    100 * clipspan_attributes_chance(s->result, s->order[0]));
    if (clipspan_attributes_count(s->result) > 1) {
        clsp_report_add(report, "   ");
        clsp_report_cell(report, clipspan_attributes_name(s->result, s->order[1]), width);
        clsp_report_add(report, "  %5.1f %%", 100 * share(s, s->order[1], &at));
    }
    for (int m = 0; at.texts != NULL && m < at.texts->count && m < TEXTS_SHOWN; m++) {
        clsp_report_add(report, m ? " | " : "   ");
        clsp_report_cut(report, clipspan_textspan_text_of(s->textspan, at.texts->texts[m].text), TEXT_WIDEST);
    }
    clsp_report_add(report, "\n");
}

static void as_text(const subject *s, clsp_report *report)
{
    size_t width = name_width(s);
    clsp_report_add(report,
                    "Share of each head's variance that lies between the images of different value (eta squared), %s "
                    "convention.\nchance: what as many random groups would give.%s\n\n",
                    clsp_convention_name(clipspan_attributes_convention(s->result)),
                    s->textspan ? " Beside it, the head's first TextSpan texts." : "");
    clsp_report_cell(report, "head", 8);
    clsp_report_cell(report, "strongest", width);
    clsp_report_add(report, "    share   chance");
    if (clipspan_attributes_count(s->result) > 1) {
        clsp_report_add(report, "   ");
        clsp_report_cell(report, "next", width);
        clsp_report_add(report, "    share");
    }
    clsp_report_add(report, s->textspan ? "   texts\n" : "\n");
    for (size_t i = 0; i < s->count; i++) text_line(s, report, i, width);
}

/* ---- CSV: one line a head and attribute --------------------------------------------------------------------- */

static void as_csv(const subject *s, clsp_report *report)
{
    clsp_report_add(report, "layer,head,attribute,share,chance\n");
    for (size_t i = 0; i < s->count; i++) {
        place at = head_at(s, i);
        for (size_t a = 0; a < clipspan_attributes_count(s->result); a++) {
            clsp_report_add(report, "%d,%d", at.layer, at.head);
            clsp_report_field(report, false, clipspan_attributes_name(s->result, a));
            clsp_report_number(report, false, share(s, a, &at));
            clsp_report_number(report, false, clipspan_attributes_chance(s->result, a));
            clsp_report_add(report, "\n");
        }
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static clsp_json *json_attribute(const subject *s, size_t a)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL &&
                clsp_json_put(node, "name", clsp_json_new_string(clipspan_attributes_name(s->result, a))) &&
                clsp_json_put(node, "values", clsp_json_new_int((int64_t)clipspan_attributes_groups(s->result, a))) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)clipspan_attributes_images(s->result, a))) &&
                clsp_json_put(node, "chance", clsp_json_new_number(clipspan_attributes_chance(s->result, a)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_shares(const subject *s, const place *at)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL;
    for (size_t a = 0; good && a < clipspan_attributes_count(s->result); a++)
        good = clsp_json_put(node, clipspan_attributes_name(s->result, a), clsp_json_new_number(share(s, a, at)));
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

static clsp_json *json_head(const subject *s, size_t i)
{
    place at = head_at(s, i);
    char name[32];
    clsp_report_head_name(name, at.layer, at.head);
    sort_attributes(s, &at);
    const char *strongest = clipspan_attributes_name(s->result, s->order[0]);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "layer", clsp_json_new_int(at.layer)) &&
                clsp_json_put(node, "head", clsp_json_new_int(at.head)) &&
                clsp_json_put(node, "name", clsp_json_new_string(name)) &&
                clsp_json_put(node, "strongest", clsp_json_new_string(strongest)) &&
                clsp_json_put(node, "shares", json_shares(s, &at)) &&
                (at.texts == NULL || clsp_json_put(node, "texts", json_texts(s, &at)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_list(const subject *s, size_t count, clsp_json *(*item)(const subject *, size_t))
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < count; i++) good = clsp_json_push(list, item(s, i));
    return clsp_json_settled(list, good);
}

static clipspan_status as_json(const subject *s, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    const char *convention = clsp_convention_name(clipspan_attributes_convention(s->result));
    size_t attributes = clipspan_attributes_count(s->result);
    bool good = root != NULL && clsp_json_put(root, "convention", clsp_json_new_string(convention)) &&
                clsp_json_put(root, "units", clsp_json_new_string("share of the head's variance between groups of "
                                                                  "equal value (eta squared)")) &&
                clsp_json_put(root, "attributes", json_list(s, attributes, json_attribute)) &&
                clsp_json_put(root, "heads", json_list(s, s->count, json_head));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_attributes(const clipspan_attributes *result, const clipspan_store *store,
                                           const clipspan_textspan *textspan, clipspan_format format, const char *path,
                                           clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    size_t all = (size_t)info->layers * (size_t)info->heads;
    subject s = {result, textspan, textspan ? clipspan_textspan_head_count(textspan) : all, (size_t)info->heads, NULL};
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    s.order = clsp_alloc(clipspan_attributes_count(result) + 1, sizeof *s.order);
    if (s.order == NULL) return clsp_fail_memory(err);
    if (format == CLIPSPAN_JSON) {
        status = as_json(&s, path, err);
    } else {
        clsp_report report;
        clsp_report_open(&report);
        if (format == CLIPSPAN_CSV)
            as_csv(&s, &report);
        else
            as_text(&s, &report);
        status = clsp_report_finish(&report, path, err);
    }
    clsp_free(s.order);
    return status;
}
