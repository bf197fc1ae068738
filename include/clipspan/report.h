/* clipspan/report.h - results as JSON, CSV and text. Computes nothing.
 *
 *     clipspan_report_textspan(result, store, CLIPSPAN_JSON, "textspan.json", &err);
 *
 * path "-" is standard output; any other file is written beside its place and renamed: whole or absent.
 */
#ifndef CLIPSPAN_REPORT_H
#define CLIPSPAN_REPORT_H

#include "clipspan/neurons.h"
#include "clipspan/analysis.h"
#include "clipspan/edit.h"
#include "clipspan/textspan_evaluation.h"
#include "clipspan/segmentation.h"
#include "clipspan/retrieval.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1234567 as "1,234,567"; returns out. */
CLIPSPAN_API const char *clipspan_report_count(char out[32], uint64_t value);
typedef enum clipspan_format { CLIPSPAN_TEXT = 0, CLIPSPAN_JSON = 1, CLIPSPAN_CSV = 2 } clipspan_format;

CLIPSPAN_API clipspan_status clipspan_report_model(const clipspan_model *model, clipspan_format format,
                                                   const char *path, clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_report_store(const clipspan_store *store, clipspan_format format,
                                                   const char *path, clipspan_error *err);
/* store may be NULL (moments from elsewhere): then no image names. */
CLIPSPAN_API clipspan_status clipspan_report_textspan(const clipspan_textspan *result, const clipspan_store *store,
                                                      clipspan_format format, const char *path, clipspan_error *err);
/* The same as a table for a paper: head, text, share of the head's variance in %, and where it was measured how often the text
 * is picked again. LaTeX needs booktabs. */
typedef enum clipspan_markup { CLIPSPAN_LATEX = 0, CLIPSPAN_MARKDOWN = 1 } clipspan_markup;
CLIPSPAN_API clipspan_status clipspan_report_textspan_table(const clipspan_textspan *result, clipspan_markup as,
                                                            const char *path, clipspan_error *err);
/* Where a classifier's prompts came from. */
typedef struct clipspan_prompts {
    const char *source; /* a file, or words for a set of the program's own */
    size_t templates;   /* a class; 0: no prompts, source is the file that holds the classes' vectors */
} clipspan_prompts;
/* names: [images] or NULL. rows: [images], the number by which each image is known elsewhere (its row in the store, its
 * position in the image list); NULL: 0, 1, ... prompts: NULL: not known. */
CLIPSPAN_API clipspan_status clipspan_report_classification(const clipspan_classification *result,
                                                            const char *const *names, const uint64_t *rows,
                                                            const clipspan_prompts *prompts, clipspan_format format,
                                                            const char *path, clipspan_error *err);
/* Its JSON without the images' own choices. */
CLIPSPAN_API clipspan_status clipspan_report_accuracy(const clipspan_classification *result,
                                                      const clipspan_prompts *prompts, const char *path,
                                                      clipspan_error *err);
/* The heads that were scored, with their texts where textspan (NULL: none) has them. */
CLIPSPAN_API clipspan_status clipspan_report_attributes(const clipspan_attributes *result, const clipspan_store *store,
                                                        const clipspan_textspan *textspan, clipspan_format format,
                                                        const char *path, clipspan_error *err);
/* JSON: every description too. CSV: one line a pool and size. */
CLIPSPAN_API clipspan_status clipspan_report_textspan_evaluation(const clipspan_textspan_evaluation *result,
                                                                 clipspan_format format, const char *path,
                                                                 clipspan_error *err);
/* CSV: the accuracies. */
CLIPSPAN_API clipspan_status clipspan_report_edit(const clipspan_edit_summary *summary, clipspan_format format,
                                                  const char *path, clipspan_error *err);
/* The answers to one query, space after space. */
typedef struct clipspan_neighbours {
    const char *space; /* "L9.H3", "L9.H3, L10.H1", "the whole representation" */
    const clipspan_retrieval_hit *hits;
    const char *const *values; /* [count] the images' values in the column; NULL: none */
    size_t count;
    double share; /* of the hits, those with the query's value; NaN: not known */
} clipspan_neighbours;
typedef struct clipspan_neighbours_report {
    const char *query;         /* the image's name or the text */
    const char *query_kind;    /* "row", "image" (a file), "text" */
    uint64_t query_row;        /* UINT64_MAX: not in the store */
    const char *column, *value; /* asked for, and the query's own; NULL: none */
    clipspan_retrieval_info how;
    const clipspan_neighbours *spaces;
    size_t count;
} clipspan_neighbours_report;
CLIPSPAN_API clipspan_status clipspan_report_neighbours(const clipspan_neighbours_report *given,
                                                        const clipspan_store *store, clipspan_format format,
                                                        const char *path, clipspan_error *err);
CLIPSPAN_API clipspan_status clipspan_report_precision(const clipspan_precision *result, clipspan_format format,
                                                       const char *path, clipspan_error *err);
/* One run of segmentation: a row a method, and what they have in common. Borrowed. */
typedef struct clipspan_segmentation_row {
    const char *method, *words, *citation;
    const clipspan_segmentation *result;
    clipspan_segmentation_scores scores;
} clipspan_segmentation_row;
typedef struct clipspan_segmentation_table {
    const clipspan_segmentation_row *rows;
    size_t count;
    const char *model, *data, *kind;
    const char *protocol;      /* "paper" or "aligned" */
    const char *convention, *heads; /* of the decomposition; NULL: it was not run */
    const char *chosen;        /* how an image's class was chosen, in words; NULL when semantic */
    const char *steps;         /* what the methods' maps went through, in words */
    const char *background;    /* when semantic, in words */
    const clipspan_texts *classes; /* that compete */
    const char *const *values; /* [value_count] names of a mask's values, when semantic; NULL else */
    size_t value_count;
    int size, ignore;          /* S; the value that was not scored, or -1 */
    size_t skipped, resamples;
} clipspan_segmentation_table;
CLIPSPAN_API clipspan_status clipspan_report_segmentation(const clipspan_segmentation_table *table,
                                                          clipspan_format format, const char *path,
                                                          clipspan_error *err);
/* Text and JSON name the store's images; CSV: one line a neuron, with its first text and image on either side. */
CLIPSPAN_API clipspan_status clipspan_report_neurons(const clipspan_neurons_table *table, const clipspan_store *store,
                                                     clipspan_format format, const char *path, clipspan_error *err);
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
/* Reads an array of two axes [rows, columns] of float16, float32 or float64, as float32. A value that is NaN or infinite, or
 * is so as float32, is refused. The caller frees *out with free(). */
CLIPSPAN_API clipspan_status clipspan_npy_read(float **out, size_t *rows, size_t *columns, const char *path,
                                               clipspan_error *err);
/* The same array where it lies, mapped and not copied: float16 (half) or float32; float64 is CLIPSPAN_ERROR_UNSUPPORTED. Its
 * numbers are not looked at. Closing what was never opened (zeros) is fine. */
typedef struct clipspan_npy_map {
    const void *values; /* [rows, columns] */
    int half;
    size_t rows, columns;
    void *keep;
} clipspan_npy_map;
CLIPSPAN_API clipspan_status clipspan_npy_map_open(clipspan_npy_map *out, const char *path, clipspan_error *err);
/* Lets the mapped pages go for now; they come back when touched. map: a clipspan_npy_map. */
CLIPSPAN_API void clipspan_npy_map_drop(void *map);
CLIPSPAN_API void clipspan_npy_map_close(clipspan_npy_map *map);

#ifdef __cplusplus
}
#endif

#endif
