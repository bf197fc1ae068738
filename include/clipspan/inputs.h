/* clipspan/inputs.h - the files that a program reads: not written over, not cut short.
 *
 *     clipspan_inputs_remember(1);
 *     clipspan_model_open(&model, "ViT-B-16", NULL, &err);
 *     ...
 *     clipspan_report_model(model, CLIPSPAN_JSON, "ViT-B-16/config.json", &err);  // CLIPSPAN_ERROR_ARGUMENT
 *
 * For programs that run once, as the command does; off until it is asked for. While it is on, every regular file that the
 * library opens to read is remembered, 16 to 32 bytes each, and an output that would replace one of them is refused before
 * anything is written. Files are told apart by device and inode, so that another path, a symbolic or a hard link is the
 * same file. Of a model's folder and of a store all files count that belong to it. What the library names itself (a store's
 * files, caches) is replaced as ever.
 *
 * One memory for the whole process; all of this may be called from several threads.
 *
 * Models, stores, arrays, pictures and caches are read through mappings. Where another process cuts such a file short, or its disk
 * fails, the system sends SIGBUS to the thread that reads: this one fault has no status, and the library installs no
 * handler. A program that lives long (a server, an embedding program) should see that files which are open are replaced by
 * rename and never written into, or catch SIGBUS and end with a message, as the command does (cli/bus.c).
 */
#ifndef CLIPSPAN_INPUTS_H
#define CLIPSPAN_INPUTS_H

#include "clipspan/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* on: 1 begins, 0 ends and forgets. */
CLIPSPAN_API void clipspan_inputs_remember(int on);
/* A file that will be read: counts as read already. No file, or none that is regular: nothing. */
CLIPSPAN_API clipspan_status clipspan_inputs_add(const char *path, clipspan_error *err);
/* CLIPSPAN_ERROR_ARGUMENT where `path` leads to a file that was read; for those who want to know before long work. */
CLIPSPAN_API clipspan_status clipspan_inputs_check(const char *path, clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
