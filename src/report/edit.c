/* An edited model: what was done, and accuracy before and after. */
#include <math.h>
#include <string.h>

#include "report/output.h"
#include "report/tree.h"

enum { NAME_WIDEST = 48, HEADS_ON_A_LINE = 10 };

static size_t chosen_count(const clipspan_edit_summary *s)
{
    size_t count = 0;
    for (size_t i = 0; i < (size_t)s->layers * (size_t)s->heads; i++) count += s->chosen[i] != 0;
    return count;
}

static const char *means_name(clipspan_edit_means means)
{
    return means == CLIPSPAN_EDIT_ZERO ? "zero" : means == CLIPSPAN_EDIT_TOKENS ? "tokens" : "class";
}

/* The group of the smallest accuracy, the earlier one on a tie; `which` picks the accuracy. */
static size_t worst(const clipspan_edit_summary *s, double (*which)(const clipspan_edit_score *))
{
    size_t found = 1;
    for (size_t i = 2; i < s->count; i++)
        if (which(&s->scores[i]) < which(&s->scores[found])) found = i;
    return found;
}

static double before_of(const clipspan_edit_score *score) { return score->before; }
static double direct_of(const clipspan_edit_score *score) { return score->direct; }
static double after_of(const clipspan_edit_score *score) { return score->after; }

/* ---- text --------------------------------------------------------------------------------------------------- */

static void text_heads(const clipspan_edit_summary *s, clsp_report *report)
{
    size_t all = (size_t)s->layers * (size_t)s->heads, said = 0;
    char name[32];
    for (size_t i = 0; i < all && said < HEADS_ON_A_LINE; i++) {
        if (!s->chosen[i]) continue;
        clsp_report_head_name(name, (int)(i / (size_t)s->heads), (int)(i % (size_t)s->heads));
        clsp_report_add(report, "%s%s", said++ ? ", " : "", name);
    }
    if (chosen_count(s) > said) clsp_report_add(report, ", +%zu", chosen_count(s) - said);
}

static void text_means(const clipspan_edit_summary *s, clsp_report *report)
{
    char images[32];
    clipspan_report_count(images, s->mean_images);
    switch (s->means) {
    case CLIPSPAN_EDIT_ZERO: clsp_report_add(report, "zeros stand in their place\n"); return;
    case CLIPSPAN_EDIT_TOKENS:
        clsp_report_add(report,
                        "their means over all tokens (last layer: the class token) and %s images, by running the model, stand\n"
                        "in their place: one vector a head, for a bias knows no token and no image\n",
                        images);
        return;
    case CLIPSPAN_EDIT_CLASS: break;
    }
    clsp_report_add(report,
                    "their means at the class token over %s images, from the store, stand in their place; patches get the\n"
                    "same vector, for a bias knows no token: the class token's own mean-ablation is exact, the patches' is not\n"
                    "(--mean tokens)\n",
                    images);
}

static void text_score(const char *name, double before, double direct, double after, size_t width, clsp_report *report)
{
    clsp_report_cell(report, name, width);
    clsp_report_add(report, "  %7.2f %%  %7.2f %%  %7.2f %%\n", 100 * before, 100 * direct, 100 * after);
}

static void text_scores(const clipspan_edit_summary *s, clsp_report *report)
{
    char images[32];
    size_t width = strlen("worst group");
    for (size_t i = 0; i < s->count; i++) width = clsp_max(width, clsp_text_width(s->scores[i].name));
    width = clsp_min(width, NAME_WIDEST);
    clsp_report_add(report, "\ntop-1 over %s images\n", clipspan_report_count(images, s->scores[0].images));
    clsp_report_cell(report, "", width);
    clsp_report_add(report, "     before     direct      total   images\n");
    for (size_t i = 0; i < s->count; i++) {
        const clipspan_edit_score *score = &s->scores[i];
        clsp_report_cell(report, score->name, width);
        clsp_report_add(report, "  %7.2f %%  %7.2f %%  %7.2f %%  %7s\n", 100 * score->before, 100 * score->direct,
                        100 * score->after, clipspan_report_count(images, score->images));
    }
    if (s->count > 1)
        text_score("worst group", before_of(&s->scores[worst(s, before_of)]), direct_of(&s->scores[worst(s, direct_of)]),
                   after_of(&s->scores[worst(s, after_of)]), width, report);
    clsp_report_add(report,
                    "before: the store's embeddings. direct: predicted from the store, the heads' terms replaced in the sum\n"
                    "(paper convention, the store's own means). total: the edited model, run over the pictures; later layers\n"
                    "see the change.\nmean cosine of an image's embeddings before and after: %.4f\n", s->cosine);
}

static void as_text(const void *given, clsp_report *report)
{
    const clipspan_edit_summary *s = given;
    clsp_report_add(report, "%s: written. %zu of %d heads are taken out: ", s->edited, chosen_count(s), s->layers * s->heads);
    text_heads(s, report);
    clsp_report_add(report, ";\n");
    text_means(s, report);
    if (s->count > 0) text_scores(s, report);
}

/* ---- CSV ------------------------------------------------------------------------------------------------------ */

static void as_csv(const void *given, clsp_report *report)
{
    const clipspan_edit_summary *s = given;
    clsp_report_add(report, "group,images,before,direct,total\n");
    for (size_t i = 0; i < s->count; i++) {
        clsp_report_field(report, true, s->scores[i].name);
        clsp_report_add(report, ",%llu", (unsigned long long)s->scores[i].images);
        clsp_report_number(report, false, s->scores[i].before);
        clsp_report_number(report, false, s->scores[i].direct);
        clsp_report_number(report, false, s->scores[i].after);
        clsp_report_add(report, "\n");
    }
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static clsp_json *json_heads(const clipspan_edit_summary *s)
{
    char name[32];
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < (size_t)s->layers * (size_t)s->heads; i++) {
        if (!s->chosen[i]) continue;
        clsp_report_head_name(name, (int)(i / (size_t)s->heads), (int)(i % (size_t)s->heads));
        good = clsp_json_push(list, clsp_json_new_string(name));
    }
    return clsp_json_settled(list, good);
}

static bool json_accuracies(clsp_json *node, double before, double direct, double after)
{
    return clsp_json_put(node, "before", clsp_json_new_number(before)) &&
           clsp_json_put(node, "direct", clsp_json_new_number(direct)) &&
           clsp_json_put(node, "total", clsp_json_new_number(after));
}

static clsp_json *json_score(const void *subject, size_t i)
{
    const clipspan_edit_score *score = &((const clipspan_edit_summary *)subject)->scores[i];
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "group", clsp_json_new_string(score->name)) &&
                clsp_json_put(node, "images", clsp_json_new_int((int64_t)score->images)) &&
                json_accuracies(node, score->before, score->direct, score->after);
    return clsp_json_settled(node, good);
}

static clsp_json *json_worst(const clipspan_edit_summary *s)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && json_accuracies(node, before_of(&s->scores[worst(s, before_of)]),
                                                direct_of(&s->scores[worst(s, direct_of)]),
                                                after_of(&s->scores[worst(s, after_of)]));
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const clipspan_edit_summary *s, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && clsp_json_put(root, "model", clsp_json_new_string(s->model)) &&
                clsp_json_put(root, "edited", clsp_json_new_string(s->edited)) &&
                clsp_json_put(root, "heads", json_heads(s)) &&
                clsp_json_put(root, "means", clsp_json_new_string(means_name(s->means))) &&
                clsp_json_put(root, "mean_images", clsp_json_new_int((int64_t)s->mean_images));
    if (good && s->count > 0)
        good = clsp_json_put(root, "cosine", clsp_json_new_number(s->cosine)) &&
               clsp_json_put(root, "top1", clsp_json_list(s, s->count, json_score));
    if (good && s->count > 1) good = clsp_json_put(root, "worst_group", json_worst(s));
    if (good && s->attribute != NULL) good = clsp_json_put(root, "attribute", clsp_json_new_string(s->attribute));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_edit(const clipspan_edit_summary *summary, clipspan_format format, const char *path,
                                     clipspan_error *err)
{
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(summary, path, err);
    return clsp_report_table(summary, format, as_csv, as_text, path, err);
}
