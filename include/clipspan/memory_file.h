/* clipspan/memory_file.h - a file in memory: results for a program's own use, without the disk.
 *
 *     clipspan_memory_file *file = NULL;
 *     clipspan_memory_file_new(&file, &err);
 *     clipspan_report_textspan(result, store, CLIPSPAN_JSON, clipspan_memory_file_path(file), &err);
 *     size_t length = 0;
 *     const char *json = clipspan_memory_file_bytes(file, &length);
 *     clipspan_memory_file_free(file);
 *
 * Its path is for this library's writers of reports and pictures alone (clipspan_report_*, clipspan_picture_*); the system
 * knows no such file, and arrays, which are written out of order, refuse it. Several threads may each write their own.
 */
#ifndef CLIPSPAN_MEMORY_FILE_H
#define CLIPSPAN_MEMORY_FILE_H

#include <stddef.h>

#include "clipspan/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_memory_file clipspan_memory_file;
CLIPSPAN_API clipspan_status clipspan_memory_file_new(clipspan_memory_file **out, clipspan_error *err);
CLIPSPAN_API void clipspan_memory_file_free(clipspan_memory_file *file); /* NULL is fine */
/* "memory:1", "memory:2", ...: borrowed from the file. */
CLIPSPAN_API const char *clipspan_memory_file_path(const clipspan_memory_file *file);
/* What was last written there, whole, with a NUL byte behind it; NULL: nothing yet. Borrowed until it is written again or
 * freed. length may be NULL. */
CLIPSPAN_API const char *clipspan_memory_file_bytes(const clipspan_memory_file *file, size_t *length);

#ifdef __cplusplus
}
#endif

#endif
