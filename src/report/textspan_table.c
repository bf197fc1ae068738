/* TextSpan's result as a table for papers: LaTeX (with booktabs) or Markdown. */
#include <string.h>

#include "report/output.h"
#include "text/width.h"

typedef struct markup {
    const char *special;           /* characters that mean something */
    const char *const *instead;    /* what stands for each */
    const char *pairs, *apart;     /* characters that mean something as a pair; what stands between the two */
    const char *between, *row_end; /* cells */
} markup;

/* In LaTeX's older font encodings < > | are other characters, ?` and -- ligatures; " is a command of babel's in some languages. */
static const char LATEX_SPECIAL[] = "\\{}$&#_%~^<>|\"`";
static const char *const LATEX_INSTEAD[] = {"\\textbackslash{}", "\\{", "\\}", "\\$", "\\&", "\\#", "\\_", "\\%",
                                            "\\textasciitilde{}", "\\textasciicircum{}", "\\textless{}",
                                            "\\textgreater{}", "\\textbar{}", "{\\char34}", "{\\char96}"};
static const char MARKDOWN_SPECIAL[] = "\\|*_`<[~$&";
static const char *const MARKDOWN_INSTEAD[] = {"\\\\", "\\|", "\\*", "\\_", "\\`", "\\<", "\\[", "\\~", "\\$", "\\&"};
static const markup MARKUPS[] = {
    [CLIPSPAN_LATEX] = {LATEX_SPECIAL, LATEX_INSTEAD, "-',", "{}", " & ", " \\\\\n"},
    [CLIPSPAN_MARKDOWN] = {MARKDOWN_SPECIAL, MARKDOWN_INSTEAD, "", "", " | ", " |\n"},
};

/* A pool's text holds what its author wrote: it is quoted character by character; what is not UTF-8 becomes "?". */
static void quoted(clsp_report *report, const markup *how, const char *text)
{
    uint32_t rune;
    for (size_t length; *text; text += length) {
        length = clsp_text_step(text, &rune);
        const char *special = length == 1 ? strchr(how->special, *text) : NULL;
        if (special != NULL)
            clsp_report_add(report, "%s", how->instead[special - how->special]);
        else if (clsp_rune_is_control(rune) || rune == 0xfffd)
            clsp_report_add(report, "%c", rune == 0xfffd ? '?' : ' ');
        else
            clsp_report_add(report, "%.*s", (int)length, text);
        if (text[0] == text[1] && strchr(how->pairs, *text) != NULL) clsp_report_add(report, "%s", how->apart);
    }
}

static void row(clsp_report *report, const markup *how, const clipspan_textspan *result, size_t i, int m)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
    char name[32] = "";
    if (m == 0) clsp_report_head_name(name, head->layer, head->head);
    clsp_report_add(report, "%s%s%s", how == &MARKUPS[CLIPSPAN_MARKDOWN] ? "| " : "", name, how->between);
    quoted(report, how, clipspan_textspan_text_of(result, head->texts[m].text));
    clsp_report_add(report, "%s%.1f", how->between, 100 * head->texts[m].explained);
    if (clipspan_textspan_resamples(result) > 0)
        clsp_report_add(report, "%s%.0f", how->between, 100 * clipspan_textspan_stability(result, i, m));
    clsp_report_add(report, "%s", how->row_end);
}

static void rows(clsp_report *report, const markup *how, const clipspan_textspan *result, const char *apart)
{
    bool first = true;
    for (size_t i = 0; i < clipspan_textspan_head_count(result); i++) {
        int count = clipspan_textspan_get(result, i)->count;
        if (!first && count > 0) clsp_report_add(report, "%s", apart);
        for (int m = 0; m < count; m++) row(report, how, result, i, m);
        first &= count == 0;
    }
}

static void as_latex(clsp_report *report, const clipspan_textspan *result)
{
    bool stable = clipspan_textspan_resamples(result) > 0;
    clsp_report_add(report, "%% needs \\usepackage{booktabs}\n\\begin{tabular}{llr%s}\n\\toprule\n"
                            "Head & Text & Share of variance, \\%%%s \\\\\n\\midrule\n",
                    stable ? "r" : "", stable ? " & Picked again, \\%" : "");
    rows(report, &MARKUPS[CLIPSPAN_LATEX], result, "\\addlinespace\n");
    clsp_report_add(report, "\\bottomrule\n\\end{tabular}\n");
}

static void as_markdown(clsp_report *report, const clipspan_textspan *result)
{
    bool stable = clipspan_textspan_resamples(result) > 0;
    clsp_report_add(report, "| head | text | share of variance, %%%s |\n|---|---|---:|%s\n",
                    stable ? " | picked again, %" : "", stable ? "---:|" : "");
    rows(report, &MARKUPS[CLIPSPAN_MARKDOWN], result, "");
}

clipspan_status clipspan_report_textspan_table(const clipspan_textspan *result, clipspan_markup as, const char *path,
                                               clipspan_error *err)
{
    clsp_report report;
    if (as != CLIPSPAN_LATEX && as != CLIPSPAN_MARKDOWN)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "report: unknown markup %d", (int)as);
    clsp_report_open(&report);
    (as == CLIPSPAN_LATEX ? as_latex : as_markdown)(&report, result);
    return clsp_report_finish(&report, path, err);
}
