/* Text on its way to a file or to standard output. */
#include "report/output.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const size_t REPORT_MAXIMUM = SIZE_MAX / 2;

void clsp_report_open(clsp_report *report)
{
    clsp_buffer_init(&report->text, REPORT_MAXIMUM);
    report->failed = false;
}

void clsp_report_add(clsp_report *report, const char *format, ...)
{
    va_list arguments;
    char small[512];
    va_start(arguments, format);
    int length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof small) {
        report->failed |= !clsp_buffer_append(&report->text, small, (size_t)length);
        return;
    }
    char *large = length < 0 ? NULL : clsp_alloc((size_t)length + 1, 1);
    report->failed |= large == NULL;
    if (large == NULL) return;
    va_start(arguments, format);
    vsnprintf(large, (size_t)length + 1, format, arguments);
    va_end(arguments);
    report->failed |= !clsp_buffer_append(&report->text, large, (size_t)length);
    clsp_free(large);
}

static bool begins_character(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

size_t clsp_text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++) width += begins_character(*text);
    return width;
}

/* Bytes of the first `width` characters. */
static size_t prefix(const char *text, size_t width)
{
    size_t at = 0;
    for (size_t seen = 0; text[at]; at++) {
        if (begins_character(text[at]) && seen++ == width) break;
    }
    return at;
}

/* Line ends and terminal commands that hide in a text or a file's name become spaces. */
static bool append_plain(clsp_buffer *out, const char *text, size_t length)
{
    size_t from = out->length;
    if (!clsp_buffer_append(out, text, length)) return false;
    for (char *c = out->data + from; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
    return true;
}

void clsp_report_cut(clsp_report *report, const char *text, size_t width)
{
    bool whole = clsp_text_width(text) <= width || width < 2;
    size_t length = whole ? strlen(text) : prefix(text, width - 2);
    report->failed |= !append_plain(&report->text, text, length);
    if (!whole) report->failed |= !clsp_buffer_text(&report->text, "..");
}

void clsp_report_cell(clsp_report *report, const char *text, size_t width)
{
    clsp_report_cut(report, text, width);
    for (size_t w = clsp_text_width(text); w < width; w++) report->failed |= !clsp_buffer_text(&report->text, " ");
}

void clsp_report_wrap(clsp_report *report, size_t width, size_t indent, const char *text)
{
    size_t used = strspn(text, " ");
    bool begun = false;
    clsp_report_add(report, "%*s", (int)used, "");
    for (const char *word = text + used; *word;) {
        size_t length = strcspn(word, " ");
        if (strncmp(word + length, " %", 2) == 0) length += 2 + strcspn(word + length + 2, " "); /* stays with its number */
        char *copy = clsp_strndup(word, length);
        size_t wide = copy ? clsp_text_width(copy) : 0;
        bool breaks = begun && used + 1 + wide > width;
        if (begun) clsp_report_add(report, "%s%*s", breaks ? "\n" : " ", breaks ? (int)indent : 0, "");
        if (copy == NULL)
            report->failed = true;
        else
            clsp_report_cut(report, copy, wide);
        used = (breaks ? indent : used + begun) + wide;
        begun = true;
        clsp_free(copy);
        word += length + strspn(word + length, " ");
    }
    clsp_report_add(report, "\n");
}

void clsp_report_field(clsp_report *report, bool first, const char *text)
{
    clsp_buffer *out = &report->text;
    bool quoted = strpbrk(text, ",\"\r\n") != NULL, good = first || clsp_buffer_text(out, ",");
    if (!quoted) {
        report->failed |= !(good && clsp_buffer_text(out, text));
        return;
    }
    good = good && clsp_buffer_text(out, "\"");
    for (const char *c = text; good && *c; c++) {
        if (*c == '"') good = clsp_buffer_text(out, "\""); /* a quote is written twice */
        good = good && clsp_buffer_append(out, c, 1);
    }
    report->failed |= !(good && clsp_buffer_text(out, "\""));
}

void clsp_report_number(clsp_report *report, bool first, double value)
{
    char text[64], clean[64];
    size_t length = 0;
    snprintf(text, sizeof text, "%.9g", value);
    for (const char *c = text; *c; c++) { /* a locale's decimal point, one byte or several, becomes "." */
        if (strchr("0123456789+-e", *c) != NULL)
            clean[length++] = *c;
        else if (length == 0 || clean[length - 1] != '.')
            clean[length++] = '.';
    }
    clean[length] = '\0';
    clsp_report_add(report, "%s%s", first ? "" : ",", isfinite(value) ? clean : "");
}

const char *clsp_report_count(char out[32], uint64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

/* The one place of the room that touches standard output. */
static clipspan_status to_standard_output(const clsp_buffer *text, clipspan_error *err)
{
    if ((text->length == 0 || fwrite(text->data, 1, text->length, stdout) == text->length) && fflush(stdout) == 0)
        return CLIPSPAN_OK;
    return clsp_fail_errno(err, "standard output: cannot be written");
}

static clipspan_status to_file(const clsp_buffer *text, const char *path, clipspan_error *err)
{
    clsp_output output;
    clipspan_status status = clsp_output_open(&output, path, err);
    if (status != CLIPSPAN_OK) return status;
    status = clsp_output_write(&output, text->data, text->length, err);
    if (status == CLIPSPAN_OK) return clsp_output_commit(&output, err);
    clsp_output_discard(&output);
    return status;
}

clipspan_status clsp_report_finish(clsp_report *report, const char *path, clipspan_error *err)
{
    clipspan_status status = report->failed             ? clsp_fail_memory(err)
                             : strcmp(path, "-") == 0 ? to_standard_output(&report->text, err)
                                                      : to_file(&report->text, path, err);
    clsp_buffer_free(&report->text);
    return status;
}

clipspan_status clsp_report_table(const void *subject, clipspan_format format, clsp_report_fn as_csv, clsp_report_fn as_text,
                                  const char *path, clipspan_error *err)
{
    clsp_report report;
    clsp_report_open(&report);
    (format == CLIPSPAN_CSV ? as_csv : as_text)(subject, &report);
    return clsp_report_finish(&report, path, err);
}

const char *clsp_convention_name(clipspan_convention convention)
{
    return convention == CLIPSPAN_EXACT ? "exact" : "paper";
}

clipspan_status clsp_report_check(clipspan_format format, clipspan_error *err)
{
    if (format == CLIPSPAN_TEXT || format == CLIPSPAN_JSON || format == CLIPSPAN_CSV) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "report: unknown format %d", (int)format);
}

void clsp_report_head_name(char out[32], int layer, int head)
{
    snprintf(out, 32, "L%d.H%d", layer, head);
}
