/* The files of web/ as they were when the library was built. */
#include "clipspan/page.h"

#include <string.h>

typedef struct embedded_file {
    const char *name; /* NULL: behind the last */
    const unsigned char *bytes;
    size_t length;
} embedded_file;

/* `embedded`, made by cmake/embed.cmake. */
#include "report/web_files.inc"

static const char *type_of(const char *name)
{
    const char *ending = strrchr(name, '.');
    if (strcmp(ending, ".html") == 0) return "text/html";
    if (strcmp(ending, ".css") == 0) return "text/css";
    return "text/javascript";
}

const char *clipspan_web_file(const char *name, size_t *length, const char **type)
{
    for (const embedded_file *file = embedded; file->name != NULL; file++) {
        if (strcmp(file->name, name) != 0) continue;
        if (length != NULL) *length = file->length;
        if (type != NULL) *type = type_of(name);
        return (const char *)file->bytes;
    }
    return NULL;
}
