/* Every head of a store: JSON and CSV; heads_text.c has the text. */
#include "report/heads.h"

#include <math.h>
#include <string.h>

#include "report/tree.h"

const clipspan_textspan_head *clsp_heads_texts(const clsp_heads *heads, const clsp_head_place *at)
{
    return at->texts == SIZE_MAX ? NULL : clipspan_textspan_get(heads->table->textspan, at->texts);
}

const char *clsp_heads_text(const clsp_heads *heads, const clsp_head_place *at, int m)
{
    return clipspan_textspan_text_of(heads->table->textspan, clsp_heads_texts(heads, at)->texts[m].text);
}

const char *clsp_heads_role(const clsp_heads *heads, const clsp_head_place *at)
{
    return at->role == SIZE_MAX ? NULL : clipspan_attributes_name(heads->table->attributes, at->role);
}

int clsp_heads_resamples(const clsp_heads *heads)
{
    return heads->table->textspan ? clipspan_textspan_resamples(heads->table->textspan) : 0;
}

/* ---- putting together ----------------------------------------------------------------------------------------- */

static clsp_head_place *place_of(const clsp_heads *heads, int layer, int head)
{
    bool known = layer >= 0 && layer < heads->info->layers && head >= 0 && head < heads->info->heads;
    return known ? &heads->places[(size_t)layer * (size_t)heads->info->heads + (size_t)head] : NULL;
}

static void fill_place(const clsp_heads *heads, size_t i)
{
    const clipspan_heads_table *table = heads->table;
    const clipspan_ablation_score *score = NULL;
    int layer = (int)(i / (size_t)heads->info->heads), head = (int)(i % (size_t)heads->info->heads);
    clsp_head_place at = {layer, head, &table->spread[i], SIZE_MAX, NULL, SIZE_MAX, (double)NAN, (double)NAN};
    if (table->attributes != NULL) at.role = clipspan_attributes_strongest(table->attributes, layer, head);
    if (at.role != SIZE_MAX) at.excess = clipspan_attributes_excess(table->attributes, at.role, layer, head);
    if (table->effects != NULL) score = clipspan_ablation_study_direct(table->effects, CLIPSPAN_ABLATED_HEAD, i);
    if (score != NULL) at.effect = score->logit_drop.value;
    heads->places[i] = at;
}

static clipspan_status misfit(int layer, int head, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "L%d.H%d is no head of the store's", layer, head);
}

static clipspan_status heads_open(clsp_heads *heads, clipspan_error *err)
{
    const clipspan_heads_table *table = heads->table;
    heads->info = clipspan_store_get_info(table->store);
    heads->count = (size_t)heads->info->layers * (size_t)heads->info->heads;
    heads->places = clsp_alloc(heads->count, sizeof *heads->places);
    if (heads->places == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < heads->count; i++) fill_place(heads, i);
    for (size_t i = 0; table->textspan != NULL && i < clipspan_textspan_head_count(table->textspan); i++) {
        const clipspan_textspan_head *texts = clipspan_textspan_get(table->textspan, i);
        clsp_head_place *at = place_of(heads, texts->layer, texts->head);
        if (at == NULL) return misfit(texts->layer, texts->head, err);
        at->texts = i;
    }
    for (size_t i = 0; table->activations != NULL && i < clipspan_activations_count(table->activations); i++) {
        const clipspan_activation *a = clipspan_activations_get(table->activations, i);
        clsp_head_place *at = place_of(heads, a->layer, a->head);
        if (at == NULL || at->texts == SIZE_MAX) return misfit(a->layer, a->head, err);
        at->activation = a;
    }
    return CLIPSPAN_OK;
}

/* ---- CSV: one line a head ------------------------------------------------------------------------------------- */

static int most_texts(const clsp_heads *heads)
{
    int most = 0;
    for (size_t i = 0; i < heads->count; i++) {
        const clipspan_textspan_head *texts = clsp_heads_texts(heads, &heads->places[i]);
        if (texts != NULL && texts->count > most) most = texts->count;
    }
    return most;
}

static void csv_head(const clsp_heads *heads, clsp_report *report, const clsp_head_place *at, int columns)
{
    const clipspan_textspan_head *texts = clsp_heads_texts(heads, at);
    const char *role = clsp_heads_role(heads, at);
    clsp_report_add(report, "%d,%d", at->layer, at->head);
    clsp_report_number(report, false, at->spread->variance);
    clsp_report_number(report, false, at->spread->share);
    clsp_report_add(report, ",%d", at->spread->rank);
    clsp_report_field(report, false, role ? role : "");
    clsp_report_number(report, false, at->excess);
    if (heads->table->effects != NULL) clsp_report_number(report, false, at->effect);
    for (int m = 0; m < columns; m++) {
        bool there = texts != NULL && m < texts->count;
        clsp_report_field(report, false, there ? clsp_heads_text(heads, at, m) : "");
        clsp_report_number(report, false, there ? texts->texts[m].explained : (double)NAN);
    }
    clsp_report_add(report, "\n");
}

static void as_csv(const void *given, clsp_report *report)
{
    const clsp_heads *heads = given;
    int columns = most_texts(heads);
    clsp_report_add(report, "layer,head,variance,share,rank,role,excess%s", heads->table->effects ? ",effect" : "");
    for (int m = 1; m <= columns; m++) clsp_report_add(report, ",text_%d,explained_%d", m, m);
    clsp_report_add(report, "\n");
    for (size_t i = 0; i < heads->count; i++) csv_head(heads, report, &heads->places[i], columns);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

/* One head's, as the builders of lists need it. */
typedef struct subject {
    const clsp_heads *heads;
    const clsp_head_place *at;
    const uint64_t *rows; /* images at one end */
    const double *values;
} subject;

static clsp_json *json_image(const void *given, size_t n)
{
    const subject *s = given;
    clsp_json *node = clsp_json_new_object();
    const char *name = clipspan_store_image_name(s->heads->table->store, (size_t)s->rows[n]);
    bool good = node != NULL && clsp_json_put(node, "row", clsp_json_new_int((int64_t)s->rows[n])) &&
                clsp_json_put(node, "name", clsp_json_new_string(name)) &&
                clsp_json_put(node, "value", clsp_json_new_number(s->values[n]));
    return clsp_json_settled(node, good);
}

static clsp_json *json_count(const void *given, size_t bin)
{
    const clipspan_activation *a = given;
    return clsp_json_new_int((int64_t)a->counts[bin]);
}

static clsp_json *json_activation(const clsp_heads *heads, const clsp_head_place *at)
{
    const clipspan_activation *a = at->activation;
    const subject most = {heads, at, a->most, a->most_values}, least = {heads, at, a->least, a->least_values};
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "text", clsp_json_new_string(clsp_heads_text(heads, at, 0))) &&
                clsp_json_put(node, "mean", clsp_json_new_number(a->mean)) &&
                clsp_json_put(node, "deviation", clsp_json_new_number(a->deviation)) &&
                clsp_json_put(node, "low", clsp_json_new_number(a->low)) &&
                clsp_json_put(node, "high", clsp_json_new_number(a->high)) &&
                clsp_json_put(node, "counts", clsp_json_list(a, a->bins, json_count)) &&
                clsp_json_put(node, "most", clsp_json_list(&most, a->top, json_image)) &&
                clsp_json_put(node, "least", clsp_json_list(&least, a->top, json_image));
    return clsp_json_settled(node, good);
}

static clsp_json *json_text(const void *given, size_t m)
{
    const subject *s = given;
    const clipspan_textspan_head *texts = clsp_heads_texts(s->heads, s->at);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "text", clsp_json_new_string(clsp_heads_text(s->heads, s->at, (int)m))) &&
                clsp_json_put(node, "explained", clsp_json_new_number(texts->texts[m].explained));
    if (good && clsp_heads_resamples(s->heads) > 0) {
        double stability = clipspan_textspan_stability(s->heads->table->textspan, s->at->texts, (int)m);
        good = clsp_json_put(node, "stability", clsp_json_new_number(stability));
    }
    return clsp_json_settled(node, good);
}

static clsp_json *json_excess(const clsp_heads *heads, const clsp_head_place *at)
{
    const clipspan_attributes *attributes = heads->table->attributes;
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL;
    for (size_t a = 0; good && a < clipspan_attributes_count(attributes); a++) {
        double excess = clipspan_attributes_excess(attributes, a, at->layer, at->head);
        good = clsp_json_put(node, clipspan_attributes_name(attributes, a), clsp_json_new_number(excess));
    }
    return clsp_json_settled(node, good);
}

static bool put_role(clsp_json *node, const clsp_heads *heads, const clsp_head_place *at)
{
    const clipspan_attributes *attributes = heads->table->attributes;
    const char *role = clsp_heads_role(heads, at);
    if (attributes == NULL || isnan(clipspan_attributes_share(attributes, 0, at->layer, at->head))) return true;
    return clsp_json_put(node, "role", role ? clsp_json_new_string(role) : clsp_json_new_null()) &&
           clsp_json_put(node, "excess", json_excess(heads, at));
}

static bool put_texts(clsp_json *node, const clsp_heads *heads, const clsp_head_place *at)
{
    const clipspan_textspan_head *texts = clsp_heads_texts(heads, at);
    const subject s = {.heads = heads, .at = at};
    if (texts == NULL) return true;
    return clsp_json_put(node, "explained", clsp_json_new_number(texts->explained)) &&
           clsp_json_put(node, "texts", clsp_json_list(&s, (size_t)texts->count, json_text)) &&
           (at->activation == NULL || clsp_json_put(node, "activation", json_activation(heads, at)));
}

static clsp_json *json_head(const void *given, size_t i)
{
    const clsp_heads *heads = given;
    const clsp_head_place *at = &heads->places[i];
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put_head(node, at->layer, at->head) &&
                clsp_json_put(node, "variance", clsp_json_new_number(at->spread->variance)) &&
                clsp_json_put(node, "share", clsp_json_new_number(at->spread->share)) &&
                clsp_json_put(node, "rank", clsp_json_new_int(at->spread->rank)) && put_role(node, heads, at) &&
                (isnan(at->effect) || clsp_json_put(node, "effect", clsp_json_new_number(at->effect))) &&
                put_texts(node, heads, at);
    return clsp_json_settled(node, good);
}

static clsp_json *json_source(const void *given, size_t i)
{
    const clipspan_heads_table *table = given;
    return clsp_json_new_string(table->sources[i]);
}

static clsp_json *json_pool(const clipspan_heads_table *table)
{
    if (table->textspan == NULL) return clsp_json_new_null();
    clsp_json *node = clsp_json_new_object();
    size_t texts = clipspan_textspan_get_info(table->textspan).pool_texts;
    bool good = node != NULL && clsp_json_put(node, "texts", clsp_json_new_int((int64_t)texts)) &&
                clsp_json_put(node, "sources", clsp_json_list(table, table->source_count, json_source));
    return clsp_json_settled(node, good);
}

static clsp_json *json_units(const clsp_heads *heads)
{
    bool paper = heads->table->convention == CLIPSPAN_PAPER;
    const char *const units[][2] = {
        {"variance", "squared units of the joint space, over images"},
        {"share", "of the sum of all heads' variances"},
        {"excess", "share of the head's variance between images of equal value, chance taken out (epsilon squared)"},
        {"effect", "change in logit: what replacing the head by its mean takes from the right class's mean logit"},
        {"explained", "share of the head's variance"},
        {"stability", "share of bootstrap resamples of the images in which the text is picked again"},
        {"activation", paper ? "change in cosine: contribution . text" : "contribution . text, the image not normalised"},
    };
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL;
    for (size_t i = 0; good && i < sizeof units / sizeof *units; i++)
        good = clsp_json_put(node, units[i][0], clsp_json_new_string(units[i][1]));
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const clsp_heads *heads, const char *path, clipspan_error *err)
{
    const clipspan_heads_table *table = heads->table;
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && clsp_json_put(root, "model", clsp_json_new_string(heads->info->model_name)) &&
                clsp_json_put(root, "images", clsp_json_new_int((int64_t)heads->info->images)) &&
                clsp_json_put(root, "layers", clsp_json_new_int(heads->info->layers)) &&
                clsp_json_put(root, "heads_a_layer", clsp_json_new_int(heads->info->heads)) &&
                clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(table->convention))) &&
                clsp_json_put(root, "pool", json_pool(table)) &&
                clsp_json_put(root, "resamples", clsp_json_new_int(clsp_heads_resamples(heads))) &&
                clsp_json_put(root, "units", json_units(heads)) &&
                clsp_json_put(root, "heads", clsp_json_list(heads, heads->count, json_head));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

static clipspan_status check(const clipspan_heads_table *table, const clipspan_heads_look *look, clipspan_format format,
                             clipspan_error *err)
{
    if (clsp_report_check(format, err) != CLIPSPAN_OK) return CLIPSPAN_ERROR_ARGUMENT;
    if (look->by == CLIPSPAN_HEADS_BY_ROLE && table->attributes == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "heads by role: no attribute of the images is known");
    if (look->by == CLIPSPAN_HEADS_BY_EFFECT && table->effects == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "heads by effect: effects were not measured");
    return CLIPSPAN_OK;
}

clipspan_status clipspan_report_heads(const clipspan_heads_table *table, const clipspan_heads_look *look,
                                      clipspan_format format, const char *path, clipspan_error *err)
{
    static const clipspan_heads_look standard = CLIPSPAN_HEADS_LOOK_INIT;
    clsp_heads heads = {.table = table, .look = look ? look : &standard};
    clipspan_status status = check(table, heads.look, format, err);
    if (status == CLIPSPAN_OK) status = heads_open(&heads, err);
    if (status == CLIPSPAN_OK)
        status = format == CLIPSPAN_JSON ? as_json(&heads, path, err)
                                         : clsp_report_table(&heads, format, as_csv, clsp_heads_as_text, path, err);
    clsp_free(heads.places);
    return status;
}
