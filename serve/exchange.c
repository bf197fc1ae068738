/* What a request asks and what an answer holds. */
#include "exchange.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---------------------------------------------------------------------------------------------- */

const char *serve_field_of(const serve_request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (strcmp(request->fields[i].name, name) == 0) return request->fields[i].value;
    return NULL;
}

clipspan_status serve_number_of(const serve_request *request, const char *name, size_t most, size_t otherwise, size_t *out,
                                clipspan_error *err)
{
    const char *text = serve_field_of(request, name);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    *out = otherwise;
    if (text == NULL) return CLIPSPAN_OK;
    if (digits == 0 || digits > 18 || text[digits] != '\0' || strtoull(text, NULL, 10) > most)
        return serve_wrong(err, "%s: expected a number from 0 to %zu", name, most);
    *out = (size_t)strtoull(text, NULL, 10);
    return CLIPSPAN_OK;
}

/* Bytes of the well-formed character at text (RFC 3629); 0: there is none. */
static size_t character_length(const unsigned char *text, size_t left)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : text[0] < 0xf5 ? 4 : 0;
    if (length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90) ||
        (text[0] == 0xf4 && text[1] > 0x8f))
        return 0; /* longer than need be, a surrogate, or behind the last character */
    return length;
}

bool serve_is_utf8(const char *text, size_t length)
{
    for (size_t at = 0, n; at < length; at += n)
        if ((n = character_length((const unsigned char *)text + at, length - at)) == 0) return false;
    return true;
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

void serve_answer_free(serve_answer *answer)
{
    free(answer->bytes);
    clipspan_memory_file_free(answer->file);
    *answer = (serve_answer){0};
}

const char *serve_answer_file(serve_answer *answer, clipspan_error *err)
{
    if (clipspan_memory_file_new(&answer->file, err) != CLIPSPAN_OK) return NULL;
    return clipspan_memory_file_path(answer->file);
}

const char *serve_answer_bytes(const serve_answer *answer, size_t *length)
{
    if (answer->file != NULL) return clipspan_memory_file_bytes(answer->file, length);
    *length = answer->length;
    return answer->still ? answer->still : answer->bytes ? answer->bytes : "";
}

static bool make_room(serve_answer *answer, size_t more)
{
    size_t room = answer->room ? answer->room : 1024;
    if (answer->failed) return false;
    while (room - answer->length < more) room *= 2;
    if (room == answer->room) return true;
    char *bytes = realloc(answer->bytes, room);
    answer->failed = bytes == NULL;
    if (bytes == NULL) return false;
    answer->bytes = bytes;
    answer->room = room;
    return true;
}

void serve_add_bytes(serve_answer *answer, const char *bytes, size_t length)
{
    if (!make_room(answer, length + 1)) return;
    memcpy(answer->bytes + answer->length, bytes, length);
    answer->length += length;
}

void serve_add(serve_answer *answer, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof piece)
        answer->failed = true;
    else
        serve_add_bytes(answer, piece, (size_t)length);
}

void serve_add_text(serve_answer *answer, const char *text)
{
    if (text == NULL) {
        serve_add(answer, "null");
        return;
    }
    serve_add(answer, "\"");
    for (size_t left = strlen(text); left > 0;) {
        size_t length = character_length((const unsigned char *)text, left);
        unsigned char first = (unsigned char)*text;
        if (length == 0)
            serve_add(answer, "\xef\xbf\xbd"); /* a name on disk need not be UTF-8 */
        else if (first < 0x20 || first == 0x7f)
            serve_add(answer, "\\u%04x", first);
        else if (first == '"' || first == '\\')
            serve_add(answer, "\\%c", first);
        else
            serve_add_bytes(answer, text, length);
        text += length ? length : 1;
        left -= length ? length : 1;
    }
    serve_add(answer, "\"");
}

/* As few digits as bring the same number back. */
void serve_add_number(serve_answer *answer, double value)
{
    char text[40];
    if (!isfinite(value)) {
        serve_add(answer, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    serve_add(answer, "%s", text);
}

/* ---- errors ------------------------------------------------------------------------------------------------ */

clipspan_status serve_refuse(serve_answer *answer, int status, clipspan_error *err, const char *format, ...)
{
    va_list arguments;
    answer->status = status;
    err->status = CLIPSPAN_ERROR_ARGUMENT;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    return err->status;
}

clipspan_status serve_wrong(clipspan_error *err, const char *format, ...)
{
    va_list arguments;
    err->status = CLIPSPAN_ERROR_ARGUMENT;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    return err->status;
}

clipspan_status serve_no_memory(clipspan_error *err)
{
    err->status = CLIPSPAN_ERROR_MEMORY;
    snprintf(err->message, sizeof err->message, "out of memory");
    return err->status;
}

static int status_of(clipspan_status status)
{
    switch (status) {
    case CLIPSPAN_ERROR_ARGUMENT:
    case CLIPSPAN_ERROR_FORMAT:
    case CLIPSPAN_ERROR_MISMATCH:
    case CLIPSPAN_ERROR_UNSUPPORTED: return 400;
    case CLIPSPAN_ERROR_INTERRUPTED: return 503;
    default: return 500;
    }
}

void serve_answer_error(serve_answer *answer, clipspan_status status, const char *message)
{
    int said = answer->status;
    serve_answer_free(answer);
    answer->status = said ? said : status_of(status);
    serve_add(answer, "{\"error\": ");
    serve_add_text(answer, message);
    serve_add(answer, "}\n");
}
