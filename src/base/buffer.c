/* A growable byte buffer that never passes its maximum. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

void clsp_buffer_init(clsp_buffer *buffer, size_t maximum)
{
    *buffer = (clsp_buffer){.maximum = maximum};
}

static bool reserve(clsp_buffer *buffer, size_t extra)
{
    size_t needed;
    if (!clsp_add(&needed, buffer->length, extra) || needed > buffer->maximum) return false;
    if (!clsp_add(&needed, needed, 1)) return false;
    if (needed <= buffer->capacity) return true;
    size_t capacity = clsp_max(needed, clsp_max(64, buffer->capacity * 2));
    char *data = clsp_grow(buffer->data, capacity, 1);
    if (data == NULL) return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool clsp_buffer_append(clsp_buffer *buffer, const void *bytes, size_t length)
{
    if (!reserve(buffer, length)) return false;
    if (length) memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
    return true;
}

bool clsp_buffer_text(clsp_buffer *buffer, const char *text)
{
    return clsp_buffer_append(buffer, text, strlen(text));
}

bool clsp_buffer_format(clsp_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !reserve(buffer, (size_t)length)) return false;
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
    return true;
}

void clsp_buffer_free(clsp_buffer *buffer)
{
    clsp_free(buffer->data);
    *buffer = (clsp_buffer){0};
}
