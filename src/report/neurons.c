/* Neurons: importance, texts, top images. Text for people, CSV one line a neuron, JSON everything. */
#include "report/output.h"

#include <stdio.h>

#include "formats/json.h"
#include "report/tree.h"

typedef struct subject {
    const clipspan_neurons_table *table;
    const clipspan_store *store;
    clipspan_neuron_image *images; /* [K] */
} subject;

static void neuron_name(char out[32], const clipspan_neuron *n)
{
    snprintf(out, 32, "L%d.N%d", n->layer, n->neuron);
}

static size_t images_of(const subject *s, size_t i, int lowest)
{
    const clipspan_neurons_table *t = s->table;
    size_t found = clipspan_neuron_images(t->neurons, t->rows[i].layer, t->rows[i].neuron, lowest, s->images);
    return clsp_min(found, t->images);
}

static const char *unit_of(clipspan_convention convention)
{
    return convention == CLIPSPAN_PAPER ? "r / |r|" : "r";
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static void text_texts(const subject *s, clsp_report *report, size_t i, const clipspan_neuron_text *texts, const char *words)
{
    if (texts == NULL) return;
    clsp_report_add(report, "  %s\n", words);
    for (size_t k = 0; k < s->table->texts; k++) {
        const clipspan_neuron_text *one = &texts[i * s->table->texts + k];
        clsp_report_add(report, "    %+.3f  ", one->cosine);
        clsp_report_cut(report, clipspan_texts_get(s->table->pool, one->text), 100);
        clsp_report_add(report, "\n");
    }
}

static void text_images(const subject *s, clsp_report *report, size_t i, int lowest)
{
    size_t count = images_of(s, i, lowest);
    if (count > 0) clsp_report_add(report, "  %s", lowest ? "least active in" : "most active in ");
    for (size_t k = 0; k < count; k++) {
        clsp_report_add(report, k ? ", " : " ");
        clsp_report_cut(report, clipspan_store_image_name(s->store, (size_t)s->images[k].image), 40);
        clsp_report_add(report, " (%.3g)", (double)s->images[k].activation);
    }
    if (count > 0) clsp_report_add(report, "\n");
}

static void as_text(const void *given, clsp_report *report)
{
    const subject *s = given;
    const clipspan_neurons_table *t = s->table;
    const clipspan_neurons_info *info = clipspan_neurons_get_info(t->neurons);
    char images[32], name[32];
    clsp_report_add(report, "%zu neurons%s%s of %d layers of %d, over %s images; %s convention, lengths in units of %s\n\n",
                    t->count, t->order ? ", the largest by " : "", t->order ? t->order : "", info->layers, info->width,
                    clipspan_report_count(images, info->images), clsp_convention_name(t->convention), unit_of(t->convention));
    for (size_t i = 0; i < t->count; i++) {
        const clipspan_neuron *n = &t->rows[i];
        neuron_name(name, n);
        clsp_report_add(report,
                        "%s: contribution %.4g long (rms), variance %.3g = %.2f %% of L%d's MLP term's, active in %.1f %% "
                        "of the images\n",
                        name, n->rms, n->variance, 100.0 * n->share, n->layer, 100.0 * n->active);
        text_texts(s, report, i, t->most, "texts that its direction is most like (cosine)");
        text_texts(s, report, i, t->least, "and least like");
        text_images(s, report, i, 0);
        text_images(s, report, i, 1);
        if (i + 1 < t->count) clsp_report_add(report, "\n");
    }
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static void csv_text(const subject *s, clsp_report *report, size_t i, const clipspan_neuron_text *texts)
{
    const clipspan_neuron_text *one = texts ? &texts[i * s->table->texts] : NULL;
    clsp_report_field(report, false, one ? clipspan_texts_get(s->table->pool, one->text) : "");
    if (one)
        clsp_report_number(report, false, one->cosine);
    else
        clsp_report_add(report, ",");
}

static void csv_image(const subject *s, clsp_report *report, size_t i, int lowest)
{
    bool there = images_of(s, i, lowest) > 0;
    clsp_report_field(report, false, there ? clipspan_store_image_name(s->store, (size_t)s->images[0].image) : "");
    if (there)
        clsp_report_number(report, false, (double)s->images[0].activation);
    else
        clsp_report_add(report, ",");
}

static void as_csv(const void *given, clsp_report *report)
{
    const subject *s = given;
    clsp_report_add(report, "layer,neuron,rms,variance,share,length,mean,deviation,active,most_text,most_cosine,"
                            "least_text,least_cosine,most_image,most_activation,least_image,least_activation\n");
    for (size_t i = 0; i < s->table->count; i++) {
        const clipspan_neuron *n = &s->table->rows[i];
        const double numbers[] = {n->rms, n->variance, n->share, n->length, n->mean, n->deviation, n->active};
        clsp_report_add(report, "%d,%d", n->layer, n->neuron);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) clsp_report_number(report, false, numbers[k]);
        csv_text(s, report, i, s->table->most);
        csv_text(s, report, i, s->table->least);
        csv_image(s, report, i, 0);
        csv_image(s, report, i, 1);
        clsp_report_add(report, "\n");
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static clsp_json *json_texts(const subject *s, size_t i, const clipspan_neuron_text *texts)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t k = 0; good && k < s->table->texts; k++) {
        const clipspan_neuron_text *one = &texts[i * s->table->texts + k];
        clsp_json *node = clsp_json_new_object();
        good = node != NULL &&
               clsp_json_put(node, "text", clsp_json_new_string(clipspan_texts_get(s->table->pool, one->text))) &&
               clsp_json_put(node, "cosine", clsp_json_new_number(one->cosine));
        good = clsp_json_push(list, clsp_json_settled(node, good));
    }
    return clsp_json_settled(list, good);
}

static clsp_json *json_images(const subject *s, size_t i, int lowest)
{
    size_t count = images_of(s, i, lowest);
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t k = 0; good && k < count; k++) {
        clsp_json *node = clsp_json_new_object();
        const char *name = clipspan_store_image_name(s->store, (size_t)s->images[k].image);
        good = node != NULL && clsp_json_put(node, "row", clsp_json_new_int((int64_t)s->images[k].image)) &&
               clsp_json_put(node, "image", clsp_json_new_string(name)) &&
               clsp_json_put(node, "activation", clsp_json_new_number((double)s->images[k].activation));
        good = clsp_json_push(list, clsp_json_settled(node, good));
    }
    return clsp_json_settled(list, good);
}

static bool put_numbers(clsp_json *node, const clipspan_neuron *n)
{
    const struct { const char *key; double value; } numbers[] = {
        {"rms", n->rms}, {"variance", n->variance}, {"share", n->share}, {"length", n->length}, {"mean", n->mean},
        {"deviation", n->deviation}, {"active", n->active}};
    bool good = true;
    for (size_t k = 0; good && k < sizeof numbers / sizeof *numbers; k++)
        good = clsp_json_put(node, numbers[k].key, clsp_json_new_number(numbers[k].value));
    return good;
}

static clsp_json *json_neuron(const void *given, size_t i)
{
    const subject *s = given;
    const clipspan_neurons_table *t = s->table;
    const clipspan_neuron *n = &t->rows[i];
    char name[32];
    neuron_name(name, n);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "layer", clsp_json_new_int(n->layer)) &&
                clsp_json_put(node, "neuron", clsp_json_new_int(n->neuron)) &&
                clsp_json_put(node, "name", clsp_json_new_string(name)) && put_numbers(node, n) &&
                (t->most == NULL || clsp_json_put(node, "most", json_texts(s, i, t->most))) &&
                (t->least == NULL || clsp_json_put(node, "least", json_texts(s, i, t->least))) &&
                clsp_json_put(node, "most_active", json_images(s, i, 0)) &&
                clsp_json_put(node, "least_active", json_images(s, i, 1));
    return clsp_json_settled(node, good);
}

static clsp_json *json_layer(const void *given, size_t l)
{
    const subject *s = given;
    clipspan_mlp_spread mlp;
    if (clipspan_neurons_mlp(s->table->neurons, s->table->convention, (int)l, &mlp, NULL) != CLIPSPAN_OK) return NULL;
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "layer", clsp_json_new_int((int64_t)l)) &&
                clsp_json_put(node, "rms", clsp_json_new_number(mlp.rms)) &&
                clsp_json_put(node, "mean_length", clsp_json_new_number(mlp.mean_length)) &&
                clsp_json_put(node, "variance", clsp_json_new_number(mlp.variance));
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const subject *s, const char *path, clipspan_error *err)
{
    const clipspan_neurons_table *t = s->table;
    const clipspan_neurons_info *info = clipspan_neurons_get_info(t->neurons);
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(t->convention))) &&
                clsp_json_put(root, "unit", clsp_json_new_string(unit_of(t->convention))) &&
                clsp_json_put(root, "images", clsp_json_new_int((int64_t)info->images)) &&
                clsp_json_put(root, "neurons_a_layer", clsp_json_new_int(info->width)) &&
                clsp_json_put(root, "order", t->order ? clsp_json_new_string(t->order) : clsp_json_new_null()) &&
                clsp_json_put(root, "mlp", clsp_json_list(s, (size_t)info->layers, json_layer)) &&
                clsp_json_put(root, "neurons", clsp_json_list(s, t->count, json_neuron));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_neurons(const clipspan_neurons_table *table, const clipspan_store *store,
                                        clipspan_format format, const char *path, clipspan_error *err)
{
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    subject s = {.table = table, .store = store};
    s.images = clsp_alloc((size_t)clipspan_neurons_get_info(table->neurons)->top, sizeof *s.images);
    if (s.images == NULL) return clsp_fail_memory(err);
    status = format == CLIPSPAN_JSON ? as_json(&s, path, err) : clsp_report_table(&s, format, as_csv, as_text, path, err);
    clsp_free(s.images);
    return status;
}
