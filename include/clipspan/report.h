/* clipspan/report.h - results as JSON, CSV and text. Computes nothing.
 *
 *     clipspan_report_textspan(result, store, CLIPSPAN_JSON, "textspan.json", &err);
 *
 * path "-" is standard output; any other file is written beside its place and renamed: whole or absent.
 */
#ifndef CLIPSPAN_REPORT_H
#define CLIPSPAN_REPORT_H

#include "clipspan/analysis.h"
#include "clipspan/edit.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipspan_format { CLIPSPAN_TEXT = 0, CLIPSPAN_JSON = 1, CLIPSPAN_CSV = 2 } clipspan_format;

CLIPSPAN_API clipspan_status clipspan_report_model(const clipspan_model *model, clipspan_format format,
                                                   const char *path, clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_report_store(const clipspan_store *store, clipspan_format format,
                                                   const char *path, clipspan_error *err);
/* store may be NULL (moments from elsewhere): then no image names. */
CLIPSPAN_API clipspan_status clipspan_report_textspan(const clipspan_textspan *result, const clipspan_store *store,
                                                      clipspan_format format, const char *path, clipspan_error *err);
/* names: [images] or NULL. rows: [images], the number by which each image is known elsewhere (its row in the store, its
 * position in the image list); NULL: 0, 1, ... */
CLIPSPAN_API clipspan_status clipspan_report_classification(const clipspan_classification *result,
                                                            const char *const *names, const uint64_t *rows,
                                                            clipspan_format format, const char *path,
                                                            clipspan_error *err);
/* The heads that were scored, with their texts where textspan (NULL: none) has them. */
CLIPSPAN_API clipspan_status clipspan_report_attributes(const clipspan_attributes *result, const clipspan_store *store,
                                                        const clipspan_textspan *textspan, clipspan_format format,
                                                        const char *path, clipspan_error *err);
/* CSV: the accuracies. */
CLIPSPAN_API clipspan_status clipspan_report_edit(const clipspan_edit_summary *summary, clipspan_format format,
                                                  const char *path, clipspan_error *err);
/* A float32 array in NumPy's format. shape: [dims]. Written beside its place and renamed. */
CLIPSPAN_API clipspan_status clipspan_report_npy(const float *values, const size_t *shape, int dims, const char *path,
                                                 clipspan_error *err);

/* The same, streamed: rows of the leading axis come in pieces. shape[0] may be SIZE_MAX: as many as come. The file
 * appears at commit, which frees the writer also when it fails; discard drops what was begun (NULL is fine). */
typedef struct clipspan_npy clipspan_npy;
CLIPSPAN_API clipspan_status clipspan_npy_create(clipspan_npy **out, const char *path, const size_t *shape, int dims,
                                                 clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_npy_append(clipspan_npy *npy, const float *values, size_t rows,
                                                 clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_npy_commit(clipspan_npy *npy, clipspan_error *err);
CLIPSPAN_API void clipspan_npy_discard(clipspan_npy *npy);

#ifdef __cplusplus
}
#endif

#endif
