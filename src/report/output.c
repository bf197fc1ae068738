/* Text on its way to a file or to standard output. */
#include "report/output.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/width.h"

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

/* Bytes of the first characters that fill at most `columns`, and how many they fill. */
static size_t prefix(const char *text, size_t columns, size_t *filled)
{
    size_t at = 0;
    *filled = 0;
    while (text[at] != '\0') {
        uint32_t rune;
        size_t bytes = clsp_text_step(text + at, &rune), wide = clsp_rune_columns(rune);
        if (wide > columns - *filled) break;
        *filled += wide;
        at += bytes;
    }
    return at;
}

size_t clsp_text_width(const char *text)
{
    size_t width;
    prefix(text, SIZE_MAX, &width);
    return width;
}

int clsp_text_bytes(const char *text, size_t most)
{
    uint32_t rune;
    size_t at = 0;
    while (text[at] != '\0') {
        size_t next = at + clsp_text_step(text + at, &rune);
        if (next > most) break;
        at = next;
    }
    return (int)at;
}

/* Line ends and terminal commands that hide in a text or a file's name become spaces, what is not UTF-8 "?". */
static bool append_plain(clsp_buffer *out, const char *text, size_t length)
{
    size_t begin = out->length;
    if (!clsp_buffer_append(out, text, length)) return false;
    char *to = out->data + begin;
    for (const char *from = to; *from != '\0';) {
        uint32_t rune;
        size_t bytes = clsp_text_step(from, &rune);
        if (clsp_rune_is_control(rune) || rune == 0xfffd)
            *to++ = rune == 0xfffd ? '?' : ' ';
        else
            for (size_t i = 0; i < bytes; i++) *to++ = from[i];
        from += bytes;
    }
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return true;
}

/* Returns the columns that it fills. */
static size_t cut(clsp_report *report, const char *text, size_t width)
{
    size_t filled, length = prefix(text, width < 2 ? SIZE_MAX : width, &filled);
    bool whole = text[length] == '\0';
    if (!whole) length = prefix(text, width - 2, &filled);
    report->failed |= !append_plain(&report->text, text, length);
    if (whole) return filled;
    report->failed |= !clsp_buffer_text(&report->text, "..");
    return filled + 2;
}

void clsp_report_cut(clsp_report *report, const char *text, size_t width)
{
    cut(report, text, width);
}

void clsp_report_cell(clsp_report *report, const char *text, size_t width)
{
    for (size_t w = cut(report, text, width); w < width; w++) report->failed |= !clsp_buffer_text(&report->text, " ");
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

const char *clipspan_report_count(char out[32], uint64_t value)
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
