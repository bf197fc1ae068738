/* TextSpan's result: one block a head for a terminal, one object a head in JSON, one line a head and text in CSV. */
#include <stdio.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

enum { TEXT_WIDEST = 56, IMAGES_WIDEST = 100, IMAGE_WIDEST = 40 };

typedef struct subject {
    const clipspan_textspan *result;
    const clipspan_store *store; /* may be NULL */
    clipspan_textspan_info info;
} subject;

static const char *image_name(const subject *s, uint64_t row)
{
    return s->store ? clipspan_store_image_name(s->store, (size_t)row) : NULL;
}

/* ---- text ------------------------------------------------------------------------------------------------- */

/* As many as fit on a line, at least one, and how many more there are. */
static void images_of(const subject *s, clsp_report *report, size_t i, int m)
{
    const uint64_t *rows;
    char number[32];
    size_t count = clipspan_textspan_images(s->result, i, m, &rows, NULL), used = 0;
    for (size_t k = 0; k < count; k++) {
        const char *name = image_name(s, rows[k]);
        if (name == NULL) {
            snprintf(number, sizeof number, "image %llu", (unsigned long long)rows[k]);
            name = number;
        }
        used += clsp_min(clsp_text_width(name), IMAGE_WIDEST) + 2;
        if (k > 0 && used > IMAGES_WIDEST) {
            clsp_report_add(report, ", +%zu", count - k);
            return;
        }
        clsp_report_add(report, k ? ", " : "  ");
        clsp_report_cut(report, name, IMAGE_WIDEST);
    }
}

static void text_head(const subject *s, clsp_report *report, size_t i)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(s->result, i);
    bool images = clipspan_textspan_images(s->result, i, 0, NULL, NULL) > 0;
    bool stable = clipspan_textspan_resamples(s->result) > 0;
    size_t width = strlen("text");
    for (int m = 0; m < head->count; m++)
        width = clsp_max(width, clsp_text_width(clipspan_textspan_text_of(s->result, head->texts[m].text)));
    width = clsp_min(width, TEXT_WIDEST);
    clsp_report_add(report, "\nL%d.H%d   variance %.4g   %d texts explain %.1f %%   rank %d\n", head->layer, head->head,
                    head->variance, head->count, 100 * head->explained, head->rank);
    if (head->count == 0) return;
    clsp_report_add(report, stable ? "   share  again  " : "   share  ");
    if (images) {
        clsp_report_cell(report, "text", width);
        clsp_report_add(report, "  images that rank highest\n");
    } else
        clsp_report_add(report, "text\n");
    for (int m = 0; m < head->count; m++) {
        const char *text = clipspan_textspan_text_of(s->result, head->texts[m].text);
        clsp_report_add(report, "  %4.1f %%  ", 100 * head->texts[m].explained);
        if (stable) clsp_report_add(report, "%3.0f %%  ", 100 * clipspan_textspan_stability(s->result, i, m));
        if (images)
            clsp_report_cell(report, text, width);
        else
            clsp_report_cut(report, text, TEXT_WIDEST);
        images_of(s, report, i, m);
        clsp_report_add(report, "\n");
    }
}

static void as_text(const void *given, clsp_report *report)
{
    const subject *s = given;
    char heads[32], texts[32], images[32];
    clsp_report_add(report,
                    "TextSpan: %s heads, %s images, %s texts to choose from, %s convention.\n"
                    "variance: over images, of a head's contribution, in squared units of the joint space%s.\n"
                    "share: of the head's variance along a text's direction, what earlier texts span taken out.\n"
                    "Texts stand in the order they were picked, by the paper's score, so shares need not fall.\n"
                    "+N after images: N more, which JSON and CSV name.\n",
                    clipspan_report_count(heads, clipspan_textspan_head_count(s->result)),
                    clipspan_report_count(images, s->info.images), clipspan_report_count(texts, s->info.pool_texts),
                    clsp_convention_name(s->info.convention),
                    s->info.convention == CLIPSPAN_PAPER ? " (the image's embedding has length 1)" : "");
    if (clipspan_textspan_resamples(s->result) > 0)
        clsp_report_add(report, "again: of %d bootstrap resamples of the images, those in which the text is picked again.\n",
                        clipspan_textspan_resamples(s->result));
    for (size_t i = 0; i < clipspan_textspan_head_count(s->result); i++) text_head(s, report, i);
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

/* One cell: names, highest first. */
static void csv_images(const subject *s, clsp_report *report, size_t i, int m)
{
    const uint64_t *rows;
    clsp_buffer list;
    size_t count = s->store ? clipspan_textspan_images(s->result, i, m, &rows, NULL) : 0;
    clsp_buffer_init(&list, SIZE_MAX / 2);
    for (size_t k = 0; k < count && !report->failed; k++)
        report->failed = !clsp_buffer_format(&list, "%s%s", k ? " | " : "",
                                             clipspan_store_image_name(s->store, (size_t)rows[k]));
    clsp_report_field(report, false, list.length ? list.data : "");
    clsp_buffer_free(&list);
}

static void csv_head(const subject *s, clsp_report *report, size_t i)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(s->result, i);
    for (int m = 0; m < head->count; m++) {
        clsp_report_add(report, "%d,%d,%d", head->layer, head->head, m + 1);
        clsp_report_field(report, false, clipspan_textspan_text_of(s->result, head->texts[m].text));
        clsp_report_number(report, false, head->texts[m].explained);
        clsp_report_number(report, false, head->texts[m].score);
        clsp_report_number(report, false, head->variance);
        csv_images(s, report, i, m);
        if (clipspan_textspan_resamples(s->result) > 0)
            clsp_report_number(report, false, clipspan_textspan_stability(s->result, i, m));
        clsp_report_add(report, "\n");
    }
}

static void as_csv(const void *given, clsp_report *report)
{
    const subject *s = given;
    clsp_report_add(report, "layer,head,pick,text,explained,score,head_variance,images%s\n",
                    clipspan_textspan_resamples(s->result) > 0 ? ",stability" : "");
    for (size_t i = 0; i < clipspan_textspan_head_count(s->result); i++) csv_head(s, report, i);
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static clsp_json *json_images(const subject *s, size_t i, int m)
{
    const uint64_t *rows;
    const float *values;
    size_t count = clipspan_textspan_images(s->result, i, m, &rows, &values);
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t k = 0; good && k < count; k++) {
        clsp_json *image = clsp_json_new_object();
        const char *name = image_name(s, rows[k]);
        good = image != NULL && clsp_json_put(image, "row", clsp_json_new_int((int64_t)rows[k])) &&
               (name == NULL || clsp_json_put(image, "name", clsp_json_new_string(name))) &&
               clsp_json_put(image, "value", clsp_json_new_number((double)values[k]));
        good = clsp_json_push(list, clsp_json_settled(image, good));
    }
    return clsp_json_settled(list, good);
}

static clsp_json *json_text(const subject *s, size_t i, int m)
{
    const clipspan_textspan_text *t = &clipspan_textspan_get(s->result, i)->texts[m];
    bool images = clipspan_textspan_images(s->result, i, m, NULL, NULL) > 0;
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL &&
                clsp_json_put(node, "text", clsp_json_new_string(clipspan_textspan_text_of(s->result, t->text))) &&
                clsp_json_put(node, "index", clsp_json_new_int((int64_t)t->text)) &&
                clsp_json_put(node, "explained", clsp_json_new_number(t->explained)) &&
                clsp_json_put(node, "score", clsp_json_new_number(t->score));
    if (good && clipspan_textspan_resamples(s->result) > 0)
        good = clsp_json_put(node, "stability", clsp_json_new_number(clipspan_textspan_stability(s->result, i, m)));
    good = good && (!images || clsp_json_put(node, "images", json_images(s, i, m)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_head(const subject *s, size_t i)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(s->result, i);
    clsp_json *node = clsp_json_new_object(), *texts = clsp_json_new_array();
    bool good = node != NULL && texts != NULL && clsp_json_put_head(node, head->layer, head->head) &&
                clsp_json_put(node, "rank", clsp_json_new_int(head->rank)) &&
                clsp_json_put(node, "variance", clsp_json_new_number(head->variance)) &&
                clsp_json_put(node, "explained", clsp_json_new_number(head->explained));
    for (int m = 0; good && m < head->count; m++) good = clsp_json_push(texts, json_text(s, i, m));
    if (good) return clsp_json_settled(node, clsp_json_put(node, "texts", texts));
    clsp_json_free(texts);
    return clsp_json_settled(node, false);
}

static bool json_origin(const subject *s, clsp_json *root)
{
    const clipspan_store_info *store = s->store ? clipspan_store_get_info(s->store) : NULL;
    if (store == NULL) return true;
    clsp_json *model = clsp_json_new_object(), *images = clsp_json_new_object();
    bool good = model != NULL && clsp_json_put(model, "name", clsp_json_new_string(store->model_name)) &&
                clsp_json_put(model, "path", clsp_json_new_string(store->model_path)) &&
                clsp_json_put(model, "fingerprint", clsp_json_new_string(store->model_fingerprint));
    good = clsp_json_put(root, "model", clsp_json_settled(model, good));
    good = good && images != NULL && clsp_json_put(images, "images", clsp_json_new_int((int64_t)store->images)) &&
           clsp_json_put(images, "images_path", clsp_json_new_string(store->images_path)) &&
           clsp_json_put(images, "complete", clsp_json_new_bool(store->complete != 0));
    return clsp_json_put(root, "store", clsp_json_settled(images, good)) && good;
}

static bool json_settings(const subject *s, clsp_json *root)
{
    clsp_json *pool = clsp_json_new_object();
    bool good = pool != NULL && clsp_json_put(pool, "texts", clsp_json_new_int((int64_t)s->info.pool_texts));
    int resamples = clipspan_textspan_resamples(s->result);
    return (resamples == 0 || clsp_json_put(root, "resamples", clsp_json_new_int(resamples))) &
           clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(s->info.convention))) &
           clsp_json_put(root, "size", clsp_json_new_int(s->info.size)) &
           clsp_json_put(root, "rank", clsp_json_new_int(s->info.rank)) &
           clsp_json_put(root, "images", clsp_json_new_int((int64_t)s->info.images)) &
           clsp_json_put(root, "pool", clsp_json_settled(pool, good)) &
           clsp_json_put(root, "units",
                         clsp_json_new_string("variance: squared units of the joint space; explained: share of the "
                                              "head's variance; score: standard deviation over images of c . t"));
}

static clipspan_status as_json(const subject *s, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object(), *heads = clsp_json_new_array();
    bool good = root != NULL && heads != NULL && json_origin(s, root) && json_settings(s, root);
    for (size_t i = 0; good && i < clipspan_textspan_head_count(s->result); i++)
        good = clsp_json_push(heads, json_head(s, i));
    if (good)
        good = clsp_json_put(root, "heads", heads);
    else
        clsp_json_free(heads);
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_textspan(const clipspan_textspan *result, const clipspan_store *store,
                                         clipspan_format format, const char *path, clipspan_error *err)
{
    const subject s = {result, store, clipspan_textspan_get_info(result)};
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(&s, path, err);
    return clsp_report_table(&s, format, as_csv, as_text, path, err);
}
