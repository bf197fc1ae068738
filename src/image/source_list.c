/* A text list: one path a line, relative to the list's folder; blank lines and a byte-order mark are passed over. */
#include "image/sources.h"

#include <string.h>

static const size_t MAX_LIST = (size_t)1 << 30;

static clipspan_status add_line(clipspan_images *images, const char *list, const char *line, size_t length,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *name = NULL, *path = NULL;
    CLSP_ALLOC(name, clsp_strndup(line, length));
    CLSP_ALLOC(path, clsp_path_beside(list, name));
    status = clsp_images_add(images, NULL, name, path, err);
    name = path = NULL;
out:
    clsp_free(name);
    clsp_free(path);
    return status;
}

clipspan_status clsp_source_list(clipspan_images *images, const char *path, clipspan_error *err)
{
    char *text = NULL;
    size_t size = 0, number = 0;
    clipspan_status status = clsp_file_read(&text, &size, path, MAX_LIST, err);
    if (status != CLIPSPAN_OK) return status;
    const char *at = text, *end = text + size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) at += 3;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end, *next = newline != NULL ? newline + 1 : end;
        number++;
        while (stop > at && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t')) stop--;
        if (stop > at && memchr(at, '\0', (size_t)(stop - at)) != NULL) {
            status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: line %zu holds a zero byte, expected a path", path,
                               number);
            goto out;
        }
        if (stop > at) CLSP_TRY(add_line(images, path, at, (size_t)(stop - at), err));
        at = next;
    }
out:
    clsp_free(text);
    return status;
}
