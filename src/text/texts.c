/* Ordered lists of texts: lines of a file, or copies. One block of bytes, one array of pointers into it. */
#include "clipspan/text.h"

#include <string.h>

#include "base/base.h"
#include "text/names.h"

struct clipspan_texts {
    char *bytes;  /* all texts, each with its NUL */
    char **texts; /* [count] */
    size_t count;
    size_t *lines; /* [count] where each stood; NULL: text i on line i */
    size_t line_count;
};

enum { FILE_MAXIMUM = 1 << 30, LINE_MAXIMUM = 1 << 20 }; /* to split a line into tokens takes 20 times its length */

static size_t count_lines(const char *bytes, size_t size)
{
    size_t count = size > 0 && bytes[size - 1] != '\n';
    for (size_t i = 0; i < size; i++) count += bytes[i] == '\n';
    return count;
}

/* Takes the line in, or passes it over: blank, or there already (`seen` is NULL where every line counts). */
static clipspan_status take_line(clipspan_texts *texts, clsp_names *seen, char *line, size_t length,
                                 clipspan_error *err)
{
    if (seen != NULL) {
        if (strspn(line, " \t\v\f\r") == length || clsp_names_find(seen, line, length) >= 0) return CLIPSPAN_OK;
        if (!clsp_names_put(seen, line, length, 0)) return clsp_fail_memory(err);
        texts->lines[texts->count] = texts->line_count - 1;
    }
    texts->texts[texts->count++] = line;
    return CLIPSPAN_OK;
}

static clipspan_status split_lines(clipspan_texts *texts, clsp_names *seen, char *at, char *end, const char *path,
                                   clipspan_error *err)
{
    for (size_t number = 1; at < end; number++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        char *next = stop ? stop + 1 : end;
        size_t length = (size_t)((stop ? stop : end) - at);
        if (length > 0 && at[length - 1] == '\r') length--;
        if (memchr(at, '\0', length) != NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu holds a zero byte: not a text file", path, number);
        if (length > LINE_MAXIMUM)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu has %zu bytes, expected at most %d: not a list of texts", path,
                             number, length, (int)LINE_MAXIMUM);
        at[length] = '\0';
        texts->line_count = number;
        clipspan_status status = take_line(texts, seen, at, length, err);
        if (status != CLIPSPAN_OK) return status;
        at = next;
    }
    return CLIPSPAN_OK;
}

clipspan_status clipspan_texts_open(clipspan_texts **out, const char *path, int skip_blank, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_texts *texts = NULL;
    clsp_names seen = {0};
    size_t size = 0;
    *out = NULL;
    CLSP_ALLOC(texts, clsp_alloc_zero(1, sizeof *texts));
    CLSP_TRY(clsp_stream_read(&texts->bytes, &size, path, FILE_MAXIMUM, err));
    CLSP_ALLOC(texts->texts, clsp_alloc(count_lines(texts->bytes, size), sizeof *texts->texts));
    if (skip_blank) CLSP_ALLOC(texts->lines, clsp_alloc(count_lines(texts->bytes, size), sizeof *texts->lines));
    size_t first = size >= 3 && memcmp(texts->bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    CLSP_TRY(split_lines(texts, skip_blank ? &seen : NULL, texts->bytes + first, texts->bytes + size,
                         strcmp(path, "-") == 0 ? "standard input" : path, err));
    *out = texts;
    texts = NULL;
out:
    clsp_names_free(&seen);
    clipspan_texts_free(texts);
    return status;
}

static bool total_length(size_t *total, const char *const *texts, size_t count)
{
    *total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!clsp_add(total, *total, strlen(texts[i]) + 1)) return false;
    }
    return true;
}

clipspan_status clipspan_texts_copy(clipspan_texts **out, const char *const *texts, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_texts *copy = NULL;
    size_t total;
    *out = NULL;
    if (!total_length(&total, texts, count)) return clsp_fail_memory(err);
    CLSP_ALLOC(copy, clsp_alloc_zero(1, sizeof *copy));
    CLSP_ALLOC(copy->bytes, clsp_alloc(total, 1));
    CLSP_ALLOC(copy->texts, clsp_alloc(count, sizeof *copy->texts));
    char *at = copy->bytes;
    for (; copy->count < count; copy->count++) {
        size_t length = strlen(texts[copy->count]) + 1;
        memcpy(at, texts[copy->count], length);
        copy->texts[copy->count] = at;
        at += length;
    }
    copy->line_count = count;
    *out = copy;
    copy = NULL;
out:
    clipspan_texts_free(copy);
    return status;
}

void clipspan_texts_free(clipspan_texts *texts)
{
    if (texts == NULL) return;
    clsp_free(texts->lines);
    clsp_free(texts->texts);
    clsp_free(texts->bytes);
    clsp_free(texts);
}

size_t clipspan_texts_count(const clipspan_texts *texts)
{
    return texts->count;
}

const char *clipspan_texts_get(const clipspan_texts *texts, size_t i)
{
    return texts->texts[i];
}

size_t clipspan_texts_lines(const clipspan_texts *texts)
{
    return texts->line_count;
}

size_t clipspan_texts_line(const clipspan_texts *texts, size_t i)
{
    return texts->lines ? texts->lines[i] : i;
}
