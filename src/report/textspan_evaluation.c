/* TextSpan's evaluation: a table a pool for a terminal; every description too in JSON; one line a pool and size in CSV. */
#include <math.h>

#include "report/output.h"
#include "report/tree.h"

typedef struct subject {
    const clipspan_textspan_evaluation *result;
    clipspan_textspan_evaluation_info info;
    size_t pool; /* at hand */
} subject;

/* ---- text --------------------------------------------------------------------------------------------------- */

/* Mean over the descriptions of all heads at this size of their stability (which was measured at the largest). */
static double mean_stability(const clipspan_textspan *span, int size)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < clipspan_textspan_head_count(span); i++)
        for (int t = 0; t < size && t < clipspan_textspan_get(span, i)->count; t++, count++)
            sum += clipspan_textspan_stability(span, i, t);
    return count ? sum / (double)count : (double)NAN;
}

static void text_pool(const subject *s, clsp_report *report)
{
    const clipspan_textspan *span = clipspan_textspan_evaluation_spans(s->result, s->pool);
    char texts[32];
    bool stable = clipspan_textspan_resamples(span) > 0;
    clsp_report_add(report, "\n%s: %s texts\n     m   top-1     texts   explained", clipspan_textspan_evaluation_pool(s->result, s->pool),
                    clipspan_report_count(texts, clipspan_textspan_get_info(span).pool_texts));
    clsp_report_add(report, "%s%s\n", s->info.apart ? "   held out" : "", stable ? "   again" : "");
    for (size_t i = 0; i < s->info.sizes; i++) {
        clipspan_textspan_evaluation_point p = clipspan_textspan_evaluation_get(s->result, s->pool, i);
        clsp_report_add(report, "  %4d  %6.2f %%  %6s     %5.1f %%", p.size, 100 * p.accuracy,
                        clipspan_report_count(texts, p.distinct), 100 * p.explained);
        if (s->info.apart) clsp_report_add(report, "    %5.1f %%", 100 * p.held_out);
        if (stable) clsp_report_add(report, "   %3.0f %%", 100 * mean_stability(span, p.size));
        clsp_report_add(report, "\n");
    }
}

static void as_text(const void *given, clsp_report *report)
{
    subject own = *(const subject *)given, *s = &own;
    char found[32], measured[32], scored[32];
    const clipspan_textspan_evaluation_info *i = &s->info;
    clsp_report_add(report, "TextSpan evaluated: the %d heads of the last %d of %d layers may say m texts each (%s convention).\n", i->heads,
                    i->last, i->layers, clsp_convention_name(i->convention));
    clsp_report_add(report, "Texts and means of %s images, accuracy of %s labelled ones%s.\n\n", clipspan_report_count(found, i->found_on),
                    clipspan_report_count(scored, i->scored), i->apart ? ", which are others" : " (the same)");
    clsp_report_add(report,
                    "  %6.2f %%  top-1 of the whole representation\n"
                    "  %6.2f %%  with the heads of earlier layers at their means\n"
                    "  %6.2f %%  with all heads at their means: what MLPs alone give\n",
                    100 * i->baseline, 100 * i->late, 100 * i->none);
    for (s->pool = 0; s->pool < i->pools; s->pool++) text_pool(s, report);
    clsp_report_add(report, "\ntexts: different ones among all heads'. explained: of the late heads' variance together, along the directions.\n");
    if (i->apart)
        clsp_report_add(report, "held out: the same share of the %s images that the texts were not found on.\n",
                        clipspan_report_count(measured, i->measured_on));
    int resamples = clipspan_textspan_resamples(clipspan_textspan_evaluation_spans(s->result, 0));
    if (resamples > 0)
        clsp_report_add(report,
                        "again: of %d bootstrap resamples of the images, those whose %d texts a head hold the text, on average.\n",
                        resamples, clipspan_textspan_evaluation_get(s->result, 0, i->sizes - 1).size);
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static void as_csv(const void *given, clsp_report *report)
{
    const subject *s = given;
    clsp_report_add(report, "pool,size,top1,distinct,explained,held_out,stability\n");
    for (size_t p = 0; p < s->info.pools; p++)
        for (size_t i = 0; i < s->info.sizes; i++) {
            clipspan_textspan_evaluation_point point = clipspan_textspan_evaluation_get(s->result, p, i);
            clsp_report_field(report, true, clipspan_textspan_evaluation_pool(s->result, p));
            clsp_report_add(report, ",%d", point.size);
            clsp_report_number(report, false, point.accuracy);
            clsp_report_add(report, ",%zu", point.distinct);
            clsp_report_number(report, false, point.explained);
            clsp_report_number(report, false, point.held_out);
            clsp_report_number(report, false, mean_stability(clipspan_textspan_evaluation_spans(s->result, p), point.size));
            clsp_report_add(report, "\n");
        }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static clsp_json *json_point(const void *subject_, size_t i)
{
    const subject *s = subject_;
    const clipspan_textspan *span = clipspan_textspan_evaluation_spans(s->result, s->pool);
    clipspan_textspan_evaluation_point p = clipspan_textspan_evaluation_get(s->result, s->pool, i);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "size", clsp_json_new_int(p.size)) &&
                clsp_json_put(node, "top1", clsp_json_new_number(p.accuracy)) &&
                clsp_json_put(node, "distinct", clsp_json_new_int((int64_t)p.distinct)) &&
                clsp_json_put(node, "explained", clsp_json_new_number(p.explained));
    if (good && s->info.apart) good = clsp_json_put(node, "held_out", clsp_json_new_number(p.held_out));
    if (good && clipspan_textspan_resamples(span) > 0)
        good = clsp_json_put(node, "stability", clsp_json_new_number(mean_stability(span, p.size)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_text(const subject *s, size_t i, int t)
{
    const clipspan_textspan *span = clipspan_textspan_evaluation_spans(s->result, s->pool);
    const clipspan_textspan_text *text = &clipspan_textspan_get(span, i)->texts[t];
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL &&
                clsp_json_put(node, "text", clsp_json_new_string(clipspan_textspan_text_of(span, text->text))) &&
                clsp_json_put(node, "index", clsp_json_new_int((int64_t)text->text)) &&
                clsp_json_put(node, "explained", clsp_json_new_number(text->explained));
    if (good && s->info.apart)
        good = clsp_json_put(node, "held_out",
                             clsp_json_new_number(clipspan_textspan_evaluation_held_out(s->result, s->pool, i, t)));
    if (good && clipspan_textspan_resamples(span) > 0)
        good = clsp_json_put(node, "stability", clsp_json_new_number(clipspan_textspan_stability(span, i, t)));
    return clsp_json_settled(node, good);
}

static clsp_json *json_head(const void *subject_, size_t i)
{
    const subject *s = subject_;
    const clipspan_textspan_head *head = clipspan_textspan_get(clipspan_textspan_evaluation_spans(s->result, s->pool), i);
    char name[32];
    clsp_report_head_name(name, head->layer, head->head);
    clsp_json *node = clsp_json_new_object(), *texts = clsp_json_new_array();
    bool good = node != NULL && texts != NULL && clsp_json_put(node, "name", clsp_json_new_string(name)) &&
                clsp_json_put(node, "variance", clsp_json_new_number(head->variance));
    for (int t = 0; good && t < head->count; t++) good = clsp_json_push(texts, json_text(s, i, t));
    if (good) return clsp_json_settled(node, clsp_json_put(node, "texts", texts));
    clsp_json_free(texts);
    return clsp_json_settled(node, false);
}

static clsp_json *json_pool(const subject *all, size_t p)
{
    const subject s = {all->result, all->info, p};
    const clipspan_textspan *span = clipspan_textspan_evaluation_spans(s.result, p);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL &&
                clsp_json_put(node, "pool", clsp_json_new_string(clipspan_textspan_evaluation_pool(s.result, p))) &&
                clsp_json_put(node, "texts", clsp_json_new_int((int64_t)clipspan_textspan_get_info(span).pool_texts)) &&
                clsp_json_put(node, "sizes", clsp_json_list(&s, s.info.sizes, json_point)) &&
                clsp_json_put(node, "heads", clsp_json_list(&s, clipspan_textspan_head_count(span), json_head));
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const subject *s, const char *path, clipspan_error *err)
{
    const clipspan_textspan_evaluation_info *i = &s->info;
    clsp_json *root = clsp_json_new_object(), *pools = clsp_json_new_array();
    int resamples = clipspan_textspan_resamples(clipspan_textspan_evaluation_spans(s->result, 0));
    bool good = root != NULL && pools != NULL &&
                clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(i->convention))) &&
                clsp_json_put(root, "layers", clsp_json_new_int(i->layers)) &&
                clsp_json_put(root, "last", clsp_json_new_int(i->last)) &&
                clsp_json_put(root, "apart", clsp_json_new_bool(i->apart != 0)) &&
                clsp_json_put(root, "found_on", clsp_json_new_int((int64_t)i->found_on)) &&
                clsp_json_put(root, "measured_on", clsp_json_new_int((int64_t)i->measured_on)) &&
                clsp_json_put(root, "scored", clsp_json_new_int((int64_t)i->scored)) &&
                clsp_json_put(root, "resamples", clsp_json_new_int(resamples)) &&
                clsp_json_put(root, "baseline", clsp_json_new_number(i->baseline)) &&
                clsp_json_put(root, "late", clsp_json_new_number(i->late)) &&
                clsp_json_put(root, "none", clsp_json_new_number(i->none));
    for (size_t p = 0; good && p < i->pools; p++) good = clsp_json_push(pools, json_pool(s, p));
    if (good)
        good = clsp_json_put(root, "pools", pools);
    else
        clsp_json_free(pools);
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_textspan_evaluation(const clipspan_textspan_evaluation *result, clipspan_format format,
                                                    const char *path, clipspan_error *err)
{
    subject s = {result, clipspan_textspan_evaluation_get_info(result), 0};
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(&s, path, err);
    return clsp_report_table(&s, format, as_csv, as_text, path, err);
}
