/* Text vectors that were made before, from npy files. */
#include "vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is of unit length within float32's rounding stays as it is, to the bit. */
static const double rounding = 1e-6, noted = 1e-3;

clipspan_status cli_check_embeddings(const cli_list *texts, const cli_list *embeddings, clipspan_error *err)
{
    if (embeddings->count == 0 || embeddings->count == texts->count) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%zu --embeddings for %zu --texts: expected one for each, in the same order",
                    embeddings->count, texts->count);
}

clipspan_status cli_check_classifier(const char *classifier, const char *templates, clipspan_error *err)
{
    if (classifier == NULL || templates == NULL) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                    "--templates and --classifier: the classifier's vectors stand in place of prompts, choose one");
}

/* How far the vector's length was from 1; it is made 1. Negative: there is no direction in it. */
static double make_unit(float *vector, size_t embed_dim)
{
    double squares = 0;
    for (size_t e = 0; e < embed_dim; e++) squares += (double)vector[e] * (double)vector[e];
    double length = sqrt(squares), off = fabs(length - 1);
    if (!(length > 0)) return -1;
    for (size_t e = 0; off > rounding && e < embed_dim; e++) vector[e] = (float)((double)vector[e] / length);
    return off;
}

/* vectors [count, E]; numbers: where each stands in the file (NULL: in this order), for messages. */
static clipspan_status make_all_unit(float *vectors, size_t count, size_t embed_dim, const char *path, const char *what,
                                     const clipspan_texts *numbers, clipspan_error *err)
{
    size_t far = 0;
    double farthest = 0;
    for (size_t i = 0; i < count; i++) {
        double off = make_unit(vectors + i * embed_dim, embed_dim);
        if (off < 0)
            return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s %zu (from 0) holds nothing but zeros", path, what,
                            numbers ? clipspan_texts_line(numbers, i) : i);
        far += off > noted;
        if (off > farthest) farthest = off;
    }
    if (far)
        cli_note("%s: %zu of %zu %ss were not of unit length (off by up to %.3g) and have been made so", path, far, count,
                 what, farthest);
    return CLIPSPAN_OK;
}

static clipspan_status wrong_rows(const char *path, size_t rows, size_t columns, const clipspan_texts *pool,
                                  const char *pool_path, size_t embed_dim, clipspan_error *err)
{
    size_t lines = clipspan_texts_lines(pool), kept = clipspan_texts_count(pool);
    char without[96] = "";
    if (kept != lines) snprintf(without, sizeof without, " (or %zu rows: without blank and repeated ones)", kept);
    return cli_fail(err, CLIPSPAN_ERROR_MISMATCH,
                    "%s: an array of shape (%zu, %zu), expected (%zu, %zu): a row for each line of %s%s, of the store's %zu numbers",
                    path, rows, columns, lines, embed_dim, strcmp(pool_path, "-") == 0 ? "standard input" : pool_path, without,
                    embed_dim);
}

clipspan_status cli_embeddings_open(float **out, const char *path, const clipspan_texts *pool, const char *pool_path,
                                    size_t embed_dim, clipspan_error *err)
{
    size_t rows = 0, columns = 0, count = clipspan_texts_count(pool), lines = clipspan_texts_lines(pool);
    clipspan_status status = clipspan_npy_read(out, &rows, &columns, path, err);
    if (status == CLIPSPAN_OK && (columns != embed_dim || (rows != lines && rows != count)))
        status = wrong_rows(path, rows, columns, pool, pool_path, embed_dim, err);
    int of_lines = rows == lines && rows != count;
    for (size_t i = 0; status == CLIPSPAN_OK && of_lines && i < count; i++)
        memmove(*out + i * embed_dim, *out + clipspan_texts_line(pool, i) * embed_dim, embed_dim * sizeof **out);
    if (status == CLIPSPAN_OK)
        status = make_all_unit(*out, count, embed_dim, path, "row", of_lines ? pool : NULL, err);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    free(*out);
    *out = NULL;
    return status;
}

clipspan_status cli_classifier_open(float **out, const char *path, size_t classes, size_t embed_dim, clipspan_error *err)
{
    size_t rows = 0, columns = 0;
    float *file = NULL; /* [E, C] */
    *out = NULL;
    clipspan_status status = clipspan_npy_read(&file, &rows, &columns, path, err);
    if (status == CLIPSPAN_OK && (rows != embed_dim || columns != classes))
        status = cli_fail(err, CLIPSPAN_ERROR_MISMATCH,
                          "%s: an array of shape (%zu, %zu), expected (%zu, %zu): an embedding's numbers by the classes", path,
                          rows, columns, embed_dim, classes);
    if (status == CLIPSPAN_OK && (*out = calloc(classes, embed_dim * sizeof **out)) == NULL)
        status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t e = 0; status == CLIPSPAN_OK && e < embed_dim; e++)
        for (size_t c = 0; c < classes; c++) (*out)[c * embed_dim + e] = file[e * classes + c];
    free(file);
    if (status == CLIPSPAN_OK) status = make_all_unit(*out, classes, embed_dim, path, "column", NULL, err);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    free(*out);
    *out = NULL;
    return status;
}
