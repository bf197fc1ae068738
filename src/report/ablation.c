/* An ablation study in words, JSON and CSV. */
#include "clipspan/ablation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

enum { NAME = 64, NAME_WIDTH = 28, STRONGEST = 12 };

static const char *const kind_names[CLIPSPAN_ABLATED_KINDS] = {
    "nothing", "mlps", "cls", "mlps_cls", "up_to", "up_to_mlps", "layer", "mlp", "head", "set"};

typedef struct entry {
    const clipspan_ablation_study *study;
    clipspan_ablated what;
    size_t index;
    const clipspan_ablation_score *direct, *total; /* total NULL: none */
} entry;

static entry entry_of(const clipspan_ablation_study *study, clipspan_ablated what, size_t index)
{
    return (entry){study, what, index, clipspan_ablation_study_direct(study, what, index),
                   clipspan_ablation_study_total(study, what, index)};
}

/* Layer and head of an entry, -1 where it has none. */
static int layer_of(const entry *e)
{
    switch (e->what) {
    case CLIPSPAN_ABLATED_UP_TO:
    case CLIPSPAN_ABLATED_UP_TO_MLPS:
    case CLIPSPAN_ABLATED_LAYER: return (int)e->index;
    case CLIPSPAN_ABLATED_MLP: return (int)e->index - 1;
    case CLIPSPAN_ABLATED_HEAD: return (int)e->index / clipspan_ablation_study_get_info(e->study).heads;
    default: return -1;
    }
}

static int head_of(const entry *e)
{
    return e->what == CLIPSPAN_ABLATED_HEAD ? (int)e->index % clipspan_ablation_study_get_info(e->study).heads : -1;
}

static void name_of(const entry *e, char out[NAME])
{
    int layer = layer_of(e);
    size_t named = clipspan_ablation_study_get_info(e->study).named;
    switch (e->what) {
    case CLIPSPAN_ABLATED_NOTHING: snprintf(out, NAME, "nothing (baseline)"); break;
    case CLIPSPAN_ABLATED_MLPS: snprintf(out, NAME, "x0 and all MLPs"); break;
    case CLIPSPAN_ABLATED_CLS: snprintf(out, NAME, "class token to itself"); break;
    case CLIPSPAN_ABLATED_MLPS_CLS: snprintf(out, NAME, "both"); break;
    case CLIPSPAN_ABLATED_UP_TO: snprintf(out, NAME, "attention L0..L%d", layer); break;
    case CLIPSPAN_ABLATED_UP_TO_MLPS: snprintf(out, NAME, "attention L0..L%d and MLPs", layer); break;
    case CLIPSPAN_ABLATED_LAYER: snprintf(out, NAME, "attention L%d", layer); break;
    case CLIPSPAN_ABLATED_MLP: layer < 0 ? snprintf(out, NAME, "x0") : snprintf(out, NAME, "MLP L%d", layer); break;
    case CLIPSPAN_ABLATED_HEAD: snprintf(out, NAME, "L%d.H%d", layer, head_of(e)); break;
    default: snprintf(out, NAME, "the named heads (%zu)", named); break;
    }
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static void text_replacement(const clipspan_ablation_report *given, clsp_report *report)
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(given->study);
    char images[32];
    clsp_report_add(report, "replaced by: ");
    if (info.zero)
        clsp_report_add(report, "zero\n");
    else if (given->means_from != NULL)
        clsp_report_add(report, "the term's mean over the %s images of %s\n", clipspan_report_count(images, info.mean_images),
                        given->means_from);
    else
        clsp_report_add(report, "the term's mean over all %s images of this store, the scored ones among them (as in the "
                                "paper)\n", clipspan_report_count(images, info.mean_images));
}

static void text_total(const clipspan_ablation_report *given, clsp_report *report)
{
    char images[32];
    if (given->at == NULL) return;
    clsp_report_add(report, "total effect: the model run again with the heads' outputs replaced inside, at %s, by ",
                    strcmp(given->at, "class") == 0 ? "the class token" : "every token by its position");
    if (given->total_mean_images == 0)
        clsp_report_add(report, "zero\n");
    else
        clsp_report_add(report, "their mean over a pass of %s images%s%s\n",
                        clipspan_report_count(images, given->total_mean_images), given->means_from ? " of " : " of this store",
                        given->means_from ? given->means_from : "");
}

static void text_preamble(const clipspan_ablation_report *given, clsp_report *report)
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(given->study);
    char scored[32], images[32];
    clsp_report_add(report, "%s: %s of %s images scored, %zu classes, zero-shot; %s convention\n",
                    clipspan_store_get_info(given->store)->model_name, clipspan_report_count(scored, info.scored),
                    clipspan_report_count(images, info.images), info.classes, clsp_convention_name(info.convention));
    text_replacement(given, report);
    clsp_report_add(report, "direct effect: terms of the class token's sum are replaced, nothing is run again\n");
    text_total(given, report);
    clsp_report_add(report,
                    "drop: baseline less ablated, positive where the ablation hurts; top-1 in points (of 100), logit: the "
                    "right class's mean\nlogit, logit scale %.4g x cosine%s\n",
                    (double)info.logit_scale, given->at ? " (direct: with |r| as it was; total: of the new r)" : " (|r| as it was)");
    if (info.resamples > 0)
        clsp_report_add(report, "[ ]: 95 %% bootstrap interval over images, %d resamples, seed %llu\n", info.resamples,
                        (unsigned long long)info.seed);
}

/* Wide enough for the column's title where there is no interval. */
enum { BARE_WIDTH = 16, INTERVAL_WIDTH = 28 };

static void text_estimate(clsp_report *report, const clipspan_estimate *e, double scale, int digits)
{
    if (isfinite(e->low))
        clsp_report_add(report, "  %7.*f [%7.*f, %7.*f]", digits, scale * e->value, digits, scale * e->low, digits,
                        scale * e->high);
    else
        clsp_report_add(report, "%*.*f", (int)BARE_WIDTH, digits, scale * e->value);
}

static int estimate_width(const clipspan_ablation_study *study)
{
    return clipspan_ablation_study_get_info(study).resamples > 0 ? INTERVAL_WIDTH : BARE_WIDTH;
}

static void text_header(clsp_report *report, const clipspan_ablation_study *study, const char *title, int totals)
{
    int width = estimate_width(study);
    clsp_report_add(report, "\n");
    clsp_report_cell(report, title, NAME_WIDTH);
    clsp_report_add(report, "%*s%*s%9s%*s", width, "top-1 %", width, "drop, points", "top-5 %", width, "logit drop");
    if (totals) clsp_report_add(report, "  |%*s%*s", width, "total: points", width, "total: logit");
    clsp_report_add(report, "\n");
}

/* totals: their columns are there, filled where the entry has some. */
static void text_row(clsp_report *report, const entry *e, int totals)
{
    char name[NAME];
    name_of(e, name);
    clsp_report_cell(report, name, NAME_WIDTH);
    text_estimate(report, &e->direct->top1, 100, 2);
    text_estimate(report, &e->direct->top1_drop, 100, 2);
    clsp_report_add(report, "  %7.2f", 100 * e->direct->top5.value);
    text_estimate(report, &e->direct->logit_drop, 1, 3);
    if (totals && e->total != NULL) {
        clsp_report_add(report, "  |");
        text_estimate(report, &e->total->top1_drop, 100, 2);
        text_estimate(report, &e->total->logit_drop, 1, 3);
    }
    clsp_report_add(report, "\n");
}

static void text_rows(clsp_report *report, const clipspan_ablation_study *study, clipspan_ablated what, int totals)
{
    for (size_t i = 0; i < clipspan_ablation_study_count(study, what); i++) {
        entry e = entry_of(study, what, i);
        text_row(report, &e, totals);
    }
}

static int by_logit_drop(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    double p = x->direct->logit_drop.value, q = y->direct->logit_drop.value;
    if (p != q) return p < q ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The heads that matter most; all are in JSON and CSV. */
static clipspan_status text_strongest(clsp_report *report, const clipspan_ablation_study *study, clipspan_error *err)
{
    size_t count = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_HEAD);
    entry *heads = clsp_alloc(count, sizeof *heads);
    if (heads == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < count; h++) heads[h] = entry_of(study, CLIPSPAN_ABLATED_HEAD, h);
    qsort(heads, count, sizeof *heads, by_logit_drop);
    text_header(report, study, "heads of the largest drop", 0);
    for (size_t h = 0; h < count && h < STRONGEST; h++) text_row(report, &heads[h], 0);
    clsp_free(heads);
    return CLIPSPAN_OK;
}

static void text_named(clsp_report *report, const clipspan_ablation_study *study, int totals)
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(study);
    if (info.named == 0) return;
    text_header(report, study, "named heads, each alone", totals);
    for (size_t h = 0; h < clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_HEAD); h++) {
        entry e = entry_of(study, CLIPSPAN_ABLATED_HEAD, h);
        if (clipspan_ablation_study_named(study, layer_of(&e), head_of(&e))) text_row(report, &e, totals);
    }
    text_rows(report, study, CLIPSPAN_ABLATED_SET, totals);
}

static clipspan_status as_text(const clipspan_ablation_report *given, clsp_report *report, clipspan_error *err)
{
    const clipspan_ablation_study *study = given->study;
    int totals = clipspan_ablation_study_get_info(study).totals;
    text_preamble(given, report);
    text_header(report, study, "replaced", 0);
    for (int what = CLIPSPAN_ABLATED_NOTHING; what <= CLIPSPAN_ABLATED_MLPS_CLS; what++)
        text_rows(report, study, (clipspan_ablated)what, 0);
    text_header(report, study, "attention, from the first", 0);
    text_rows(report, study, CLIPSPAN_ABLATED_UP_TO, 0);
    text_rows(report, study, CLIPSPAN_ABLATED_UP_TO_MLPS, 0);
    text_header(report, study, "one layer alone", totals);
    text_rows(report, study, CLIPSPAN_ABLATED_LAYER, totals);
    text_rows(report, study, CLIPSPAN_ABLATED_MLP, 0);
    text_named(report, study, totals);
    return text_strongest(report, study, err);
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static const char *const measures[] = {"top1", "top5", "logit", "top1_drop", "top5_drop", "logit_drop"};
enum { MEASURES = sizeof measures / sizeof *measures };

static const clipspan_estimate *measure(const clipspan_ablation_score *s, int m)
{
    const clipspan_estimate *const all[MEASURES] = {&s->top1,      &s->top5,      &s->logit,
                                                    &s->top1_drop, &s->top5_drop, &s->logit_drop};
    return all[m];
}

static void csv_line(clsp_report *report, const entry *e, const char *effect, const clipspan_ablation_score *score)
{
    char name[NAME];
    int layer = layer_of(e), head = head_of(e);
    name_of(e, name);
    clsp_report_add(report, "%s,%zu", kind_names[e->what], e->index);
    clsp_report_field(report, false, name);
    clsp_report_number(report, false, layer < 0 ? (double)NAN : layer);
    clsp_report_number(report, false, head < 0 ? (double)NAN : head);
    clsp_report_add(report, ",%s", effect);
    for (int m = 0; m < MEASURES; m++) {
        const clipspan_estimate *estimate = measure(score, m);
        clsp_report_number(report, false, estimate->value);
        clsp_report_number(report, false, estimate->low);
        clsp_report_number(report, false, estimate->high);
    }
    clsp_report_add(report, "\n");
}

static void as_csv(const clipspan_ablation_report *given, clsp_report *report)
{
    clsp_report_add(report, "kind,index,name,layer,head,effect");
    for (int m = 0; m < MEASURES; m++) clsp_report_add(report, ",%s,%s_low,%s_high", measures[m], measures[m], measures[m]);
    clsp_report_add(report, "\n");
    for (int what = 0; what < CLIPSPAN_ABLATED_KINDS; what++)
        for (size_t i = 0; i < clipspan_ablation_study_count(given->study, (clipspan_ablated)what); i++) {
            entry e = entry_of(given->study, (clipspan_ablated)what, i);
            csv_line(report, &e, "direct", e.direct);
            if (e.total != NULL) csv_line(report, &e, "total", e.total);
        }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static clsp_json *json_estimate(const clipspan_estimate *e)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "value", clsp_json_new_number(e->value)) &&
                clsp_json_put(node, "low", clsp_json_new_number(e->low)) &&
                clsp_json_put(node, "high", clsp_json_new_number(e->high));
    return clsp_json_settled(node, good);
}

static clsp_json *json_score(const clipspan_ablation_score *s)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL;
    for (int m = 0; good && m < MEASURES; m++) good = clsp_json_put(node, measures[m], json_estimate(measure(s, m)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_entry(const entry *e)
{
    char name[NAME];
    int layer = layer_of(e), head = head_of(e);
    name_of(e, name);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "kind", clsp_json_new_string(kind_names[e->what])) &&
                clsp_json_put(node, "index", clsp_json_new_int((int64_t)e->index)) &&
                clsp_json_put(node, "name", clsp_json_new_string(name)) &&
                (layer < 0 || clsp_json_put(node, "layer", clsp_json_new_int(layer))) &&
                (head < 0 || clsp_json_put(node, "head", clsp_json_new_int(head)));
    if (good && head >= 0)
        good = clsp_json_put(node, "named", clsp_json_new_bool(clipspan_ablation_study_named(e->study, layer, head)));
    good = good && clsp_json_put(node, "direct", json_score(e->direct)) &&
           (e->total == NULL || clsp_json_put(node, "total", json_score(e->total)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_entries(const clipspan_ablation_study *study)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (int what = 0; what < CLIPSPAN_ABLATED_KINDS; what++)
        for (size_t i = 0; good && i < clipspan_ablation_study_count(study, (clipspan_ablated)what); i++) {
            entry e = entry_of(study, (clipspan_ablated)what, i);
            good = clsp_json_push(list, json_entry(&e));
        }
    return clsp_json_settled(list, good);
}

static clsp_json *json_replacement(const clipspan_ablation_report *given)
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(given->study);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "by", clsp_json_new_string(info.zero ? "zero" : "mean"));
    if (good && !info.zero)
        good = clsp_json_put(node, "mean_images", clsp_json_new_int((int64_t)info.mean_images)) &&
               clsp_json_put(node, "mean_from",
                             given->means_from ? clsp_json_new_string(given->means_from) : clsp_json_new_null());
    return clsp_json_settled(node, good);
}

static clsp_json *json_total(const clipspan_ablation_report *given)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "at", clsp_json_new_string(given->at)) &&
                clsp_json_put(node, "mean_images", clsp_json_new_int((int64_t)given->total_mean_images));
    return clsp_json_settled(node, good);
}

static clsp_json *json_root(const clipspan_ablation_report *given)
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(given->study);
    const clipspan_store_info *store = clipspan_store_get_info(given->store);
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && clsp_json_put(root, "model", clsp_json_new_string(store->model_name)) &&
                clsp_json_put(root, "model_fingerprint", clsp_json_new_string(store->model_fingerprint)) &&
                clsp_json_put(root, "images", clsp_json_new_int((int64_t)info.images)) &&
                clsp_json_put(root, "scored", clsp_json_new_int((int64_t)info.scored)) &&
                clsp_json_put(root, "classes", clsp_json_new_int((int64_t)info.classes)) &&
                clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(info.convention))) &&
                clsp_json_put(root, "logit_scale", clsp_json_new_number((double)info.logit_scale)) &&
                clsp_json_put(root, "resamples", clsp_json_new_int(info.resamples)) &&
                clsp_json_put(root, "seed", clsp_json_new_int((int64_t)info.seed)) &&
                clsp_json_put(root, "replaced", json_replacement(given)) &&
                clsp_json_put(root, "total", given->at ? json_total(given) : clsp_json_new_null()) &&
                clsp_json_put(root, "units",
                              clsp_json_new_string("top1, top5: shares of the scored images; logit: mean over them of the "
                                                   "right class's logit; drops: baseline less ablated; low, high: 95 % "
                                                   "bootstrap interval over images")) &&
                clsp_json_put(root, "ablations", json_entries(given->study));
    return clsp_json_settled(root, good);
}

static clipspan_status as_json(const clipspan_ablation_report *given, const char *path, clipspan_error *err)
{
    clsp_json *root = json_root(given);
    clipspan_status status = root ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_ablation(const clipspan_ablation_report *given, clipspan_format format, const char *path,
                                         clipspan_error *err)
{
    clsp_report report;
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(given, path, err);
    clsp_report_open(&report);
    if (format == CLIPSPAN_CSV)
        as_csv(given, &report);
    else
        status = as_text(given, &report, err);
    if (status == CLIPSPAN_OK) return clsp_report_finish(&report, path, err);
    clsp_buffer_free(&report.text);
    return status;
}
