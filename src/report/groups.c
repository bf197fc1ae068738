/* Accuracy by group before and after heads are taken out: one row a rule. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clipspan/groups.h"
#include "report/output.h"
#include "report/tree.h"

enum { NAME_WIDEST = 32, GROUP_WIDEST = 40 };

static const clipspan_groups_row *row_of(const clipspan_groups *g, size_t row)
{
    return clipspan_groups_row_get(g, row);
}

static void head_name(const clipspan_groups *g, size_t head, char out[32])
{
    size_t heads = (size_t)clipspan_groups_get_info(g).heads;
    clsp_report_head_name(out, (int)(head / heads), (int)(head % heads));
}

static uint64_t scored(const clipspan_groups_info *info, const clipspan_group *group)
{
    return info->halves ? group->images - group->searched : group->images;
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static void text_group_name(clsp_report *report, const clipspan_group *group, size_t width)
{
    char name[256];
    snprintf(name, sizeof name, "%.120s, %.120s", group->label, group->value);
    clsp_report_cell(report, name, width);
}

static size_t group_width(const clipspan_groups *g, const clipspan_groups_info *info)
{
    size_t width = strlen("group");
    for (size_t k = 0; k < info->groups; k++) {
        const clipspan_group *group = clipspan_groups_get(g, k);
        width = clsp_max(width, clsp_text_width(group->label) + 2 + clsp_text_width(group->value));
    }
    return clsp_min(width, GROUP_WIDEST);
}

static size_t name_width(const clipspan_groups *g, const clipspan_groups_info *info)
{
    size_t width = strlen("heads taken out");
    for (size_t i = 0; i < info->rows; i++) width = clsp_max(width, clsp_text_width(row_of(g, i)->name));
    return clsp_min(width, NAME_WIDEST);
}

static void text_preamble(clsp_report *report, const clipspan_groups_info *info)
{
    char images[32], search[32], score[32], means[32];
    clsp_report_add(report, "%s images in %zu groups of class and %s; %s convention; direct effects.\n",
                    clipspan_report_count(images, info->images), info->groups, info->attribute,
                    clsp_convention_name(info->convention));
    if (info->halves)
        clsp_report_add(report, "Heads are searched for on %s images (half of each group, by a hash of the names) and scored on the other %s.\n",
                        clipspan_report_count(search, info->searched), clipspan_report_count(score, info->images - info->searched));
    else
        clsp_report_add(report, "Nothing is searched for: all images are scored.\n");
    clsp_report_add(report, "What is taken out is replaced by its mean over %s images%s.\n",
                    clipspan_report_count(means, info->mean_images),
                    info->mean_from ? " of another store" : ", those that are looked at (labels are not used for it)");
    if (info->paper)
        clsp_report_add(report, "Paper's protocol: x0, every MLP and all attention but the last %d layers' are replaced too, in all rows but the first.\n",
                        info->last);
    clsp_report_add(report, "Accuracy in %%, with 95 %% intervals: Wilson's; for mean of groups, worst group and change, 2,000 bootstrap resamples within groups.\n\n");
}

static void text_share(clsp_report *report, const clipspan_share *share, bool with_sign)
{
    clsp_report_add(report, with_sign ? "  %+6.1f (%+5.1f ..%+6.1f)" : "  %5.1f (%5.1f ..%6.1f)", 100 * share->value,
                    100 * share->low, 100 * share->high);
}

static void text_row(clsp_report *report, const clipspan_groups *g, const clipspan_groups_info *info, size_t i, size_t width)
{
    const clipspan_groups_row *row = row_of(g, i);
    clsp_report_cell(report, row->name, width);
    clsp_report_add(report, "  %5zu", row->count);
    text_share(report, &row->average, false);
    text_share(report, &row->balanced, false);
    text_share(report, &row->worst, false);
    if (i > 0)
        text_share(report, &row->change, true);
    else
        clsp_report_add(report, "  %23s", "");
    if (info->halves) clsp_report_add(report, "  %8.1f", 100 * row->search_worst);
    clsp_report_add(report, "\n");
}

static void text_rows(clsp_report *report, const clipspan_groups *g, const clipspan_groups_info *info)
{
    size_t width = name_width(g, info);
    clsp_report_cell(report, "heads taken out", width);
    clsp_report_add(report, "  count  %-22s  %-22s  %-22s  %-23s%s\n", "average", "mean of groups", "worst group", "change of worst",
                    info->halves ? "  searched" : "");
    for (size_t i = 0; i < info->rows; i++) text_row(report, g, info, i, width);
    if (info->halves) clsp_report_add(report, "searched: the worst group on the searched half, by which heads and their number were chosen.\n");
}

static void text_groups(clsp_report *report, const clipspan_groups *g, const clipspan_groups_info *info)
{
    size_t width = group_width(g, info), names = name_width(g, info);
    char images[32];
    clsp_report_add(report, "\n");
    clsp_report_cell(report, "group", names);
    for (size_t k = 0; k < info->groups; k++) {
        clsp_report_add(report, "  ");
        text_group_name(report, clipspan_groups_get(g, k), clsp_max(width, 22));
    }
    clsp_report_add(report, "\n");
    clsp_report_cell(report, "images scored", names);
    for (size_t k = 0; k < info->groups; k++)
        clsp_report_add(report, "  %-*s", (int)clsp_max(width, 22),
                        clipspan_report_count(images, scored(info, clipspan_groups_get(g, k))));
    clsp_report_add(report, "\n");
    for (size_t i = 0; i < info->rows; i++) {
        clsp_report_cell(report, row_of(g, i)->name, names);
        for (size_t k = 0; k < info->groups; k++) {
            text_share(report, &row_of(g, i)->group[k], false);
            clsp_report_add(report, "%*s", (int)(clsp_max(width, 22) - 22), "");
        }
        clsp_report_add(report, "\n");
    }
}

static void text_heads(clsp_report *report, const clipspan_groups *g, const clipspan_groups_info *info)
{
    char name[32];
    bool any = false;
    for (size_t i = 1; i < info->rows; i++) {
        const clipspan_groups_row *row = row_of(g, i);
        if (row->count == 0) continue;
        clsp_report_add(report, any ? "%s: " : "\n%s: ", row->name);
        any = true;
        for (size_t h = 0; h < row->count; h++) {
            head_name(g, row->heads[h], name);
            clsp_report_add(report, "%s%s", h ? "," : "", name);
        }
        clsp_report_add(report, "\n");
    }
}

/* ---- CSV: one line a rule and measure ------------------------------------------------------------------------- */

static void csv_line(clsp_report *report, const clipspan_groups *g, const clipspan_groups_row *row, const char *measure,
                     const clipspan_group *group, uint64_t images, const clipspan_share *share)
{
    char name[32];
    clsp_report_field(report, true, row->name);
    clsp_report_add(report, ",%d,%zu,\"", row->searched, row->count);
    for (size_t h = 0; h < row->count; h++) {
        head_name(g, row->heads[h], name);
        clsp_report_add(report, "%s%s", h ? "," : "", name);
    }
    clsp_report_add(report, "\"");
    clsp_report_field(report, false, measure);
    clsp_report_field(report, false, group ? group->label : "");
    clsp_report_field(report, false, group ? group->value : "");
    clsp_report_add(report, ",%llu", (unsigned long long)images);
    clsp_report_number(report, false, share->value);
    clsp_report_number(report, false, share->low);
    clsp_report_number(report, false, share->high);
    clsp_report_add(report, "\n");
}

static void as_csv(clsp_report *report, const clipspan_groups *g, const clipspan_groups_info *info)
{
    uint64_t all = info->halves ? info->images - info->searched : info->images;
    clsp_report_add(report, "rule,searched,count,heads,measure,label,value,images,accuracy,low,high\n");
    for (size_t i = 0; i < info->rows; i++) {
        const clipspan_groups_row *row = row_of(g, i);
        csv_line(report, g, row, "average", NULL, all, &row->average);
        csv_line(report, g, row, "balanced", NULL, all, &row->balanced);
        csv_line(report, g, row, "worst", clipspan_groups_get(g, row->worst_group), all, &row->worst);
        csv_line(report, g, row, "change", NULL, all, &row->change);
        for (size_t k = 0; k < info->groups; k++) {
            const clipspan_group *group = clipspan_groups_get(g, k);
            csv_line(report, g, row, "group", group, scored(info, group), &row->group[k]);
        }
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static bool put_int(clsp_json *node, const char *key, uint64_t value)
{
    return clsp_json_put(node, key, clsp_json_new_int((int64_t)value));
}

static clsp_json *json_share(const clipspan_share *share)
{
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "value", clsp_json_new_number(share->value)) &&
                clsp_json_put(node, "low", clsp_json_new_number(share->low)) &&
                clsp_json_put(node, "high", clsp_json_new_number(share->high));
    return clsp_json_settled(node, good);
}

static clsp_json *json_group(const void *given, size_t k)
{
    const clipspan_group *group = clipspan_groups_get(given, k);
    const clipspan_groups_info info = clipspan_groups_get_info(given);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "label", clsp_json_new_string(group->label)) &&
                clsp_json_put(node, "value", clsp_json_new_string(group->value)) &&
                put_int(node, "images", group->images) && put_int(node, "searched", info.halves ? group->searched : 0) &&
                put_int(node, "scored", scored(&info, group));
    return clsp_json_settled(node, good);
}

static clsp_json *json_heads(const clipspan_groups *g, const clipspan_groups_row *row)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    char name[32];
    for (size_t h = 0; good && h < row->count; h++) {
        head_name(g, row->heads[h], name);
        good = clsp_json_push(list, clsp_json_new_string(name));
    }
    return clsp_json_settled(list, good);
}

static clsp_json *json_row(const void *given, size_t i)
{
    const clipspan_groups *g = given;
    const clipspan_groups_row *row = row_of(g, i);
    size_t groups = clipspan_groups_get_info(g).groups;
    clsp_json *node = clsp_json_new_object(), *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t k = 0; good && k < groups; k++) good = clsp_json_push(list, json_share(&row->group[k]));
    list = clsp_json_settled(list, good);
    good = node != NULL && clsp_json_put(node, "rule", clsp_json_new_string(row->name)) &&
           clsp_json_put(node, "searched", clsp_json_new_bool(row->searched)) &&
           clsp_json_put(node, "heads", json_heads(g, row)) && clsp_json_put(node, "average", json_share(&row->average)) &&
           clsp_json_put(node, "balanced", json_share(&row->balanced)) &&
           clsp_json_put(node, "worst", json_share(&row->worst)) && put_int(node, "worst_group", row->worst_group) &&
           clsp_json_put(node, "change", json_share(&row->change)) &&
           clsp_json_put(node, "search_worst", clsp_json_new_number(row->search_worst));
    if (!good) clsp_json_free(list);
    good = good && clsp_json_put(node, "groups", list);
    return clsp_json_settled(node, good);
}

static clipspan_status as_json(const clipspan_groups *g, const clipspan_groups_info *info, const char *path,
                               clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL && clsp_json_put(root, "attribute", clsp_json_new_string(info->attribute)) &&
                clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(info->convention))) &&
                clsp_json_put(root, "protocol", clsp_json_new_string(info->paper ? "paper" : "heads")) &&
                put_int(root, "last", info->paper ? (uint64_t)info->last : (uint64_t)info->layers) &&
                put_int(root, "images", info->images) && put_int(root, "searched", info->halves ? info->searched : 0) &&
                put_int(root, "scored", info->halves ? info->images - info->searched : info->images) &&
                put_int(root, "mean_images", info->mean_images) &&
                clsp_json_put(root, "mean_from", clsp_json_new_string(info->mean_from ? "another store" : "these images")) &&
                clsp_json_put(root, "groups", clsp_json_list(g, info->groups, json_group)) &&
                clsp_json_put(root, "rows", clsp_json_list(g, info->rows, json_row));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

clipspan_status clipspan_report_groups(const clipspan_groups *g, clipspan_format format, const char *path,
                                       clipspan_error *err)
{
    const clipspan_groups_info info = clipspan_groups_get_info(g);
    clsp_report report;
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(g, &info, path, err);
    clsp_report_open(&report);
    if (format == CLIPSPAN_CSV) {
        as_csv(&report, g, &info);
        return clsp_report_finish(&report, path, err);
    }
    text_preamble(&report, &info);
    text_rows(&report, g, &info);
    text_groups(&report, g, &info);
    text_heads(&report, g, &info);
    return clsp_report_finish(&report, path, err);
}
