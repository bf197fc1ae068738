/* A list of named values as text, JSON or CSV. */
#include "report/table.h"

#include "formats/json.h"

static clsp_json *value_of(const clsp_entry *e)
{
    if (e->text != NULL) return clsp_json_new_string(e->text);
    return e->whole ? clsp_json_new_int((int64_t)e->number) : clsp_json_new_number(e->number);
}

static clipspan_status as_json(const clsp_entry *entries, size_t count, const char *path, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL;
    for (size_t i = 0; good && i < count; i++) good = clsp_json_put(root, entries[i].key, value_of(&entries[i]));
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

static void as_csv(clsp_report *report, const clsp_entry *entries, size_t count)
{
    clsp_report_add(report, "key,value\n");
    for (size_t i = 0; i < count; i++) {
        clsp_report_field(report, true, entries[i].key);
        if (entries[i].text != NULL)
            clsp_report_field(report, false, entries[i].text);
        else if (entries[i].whole)
            clsp_report_add(report, ",%.0f", entries[i].number);
        else
            clsp_report_number(report, false, entries[i].number);
        clsp_report_add(report, "\n");
    }
}

static void as_text(clsp_report *report, const clsp_entry *entries, size_t count)
{
    size_t width = 0;
    char grouped[32];
    for (size_t i = 0; i < count; i++)
        if (entries[i].words != NULL) width = clsp_max(width, clsp_text_width(entries[i].words));
    for (size_t i = 0; i < count; i++) {
        const clsp_entry *e = &entries[i];
        if (e->words == NULL || (e->text != NULL && e->text[0] == '\0')) continue;
        clsp_report_cell(report, e->words, width + 2);
        if (e->text != NULL)
            clsp_report_add(report, "%s\n", e->text);
        else if (e->whole)
            clsp_report_add(report, "%s\n", clipspan_report_count(grouped, (uint64_t)e->number));
        else
            clsp_report_add(report, "%.6g\n", e->number);
    }
}

clipspan_status clsp_report_entries(const clsp_entry *entries, size_t count, clipspan_format format, const char *path,
                                    clipspan_error *err)
{
    clipspan_status status = clsp_report_check(format, err);
    if (status != CLIPSPAN_OK) return status;
    if (format == CLIPSPAN_JSON) return as_json(entries, count, path, err);
    clsp_report report;
    clsp_report_open(&report);
    if (format == CLIPSPAN_CSV)
        as_csv(&report, entries, count);
    else
        as_text(&report, entries, count);
    return clsp_report_finish(&report, path, err);
}
