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

/* length [count] becomes what each vector is to be multiplied by; *all_unit: 1 everywhere. numbers: where each stands in
 * the file (NULL: in this order), for messages. */
static clipspan_status scales_of(double *length, size_t count, const char *path, const char *what,
                                 const clipspan_texts *numbers, int *all_unit, clipspan_error *err)
{
    size_t far = 0;
    double farthest = 0;
    *all_unit = 1;
    for (size_t i = 0; i < count; i++) {
        double off = fabs(length[i] - 1);
        if (!(length[i] > 0))
            return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s %zu (from 0) holds nothing but zeros", path, what,
                            numbers ? clipspan_texts_line(numbers, i) : i);
        far += off > noted;
        if (off > farthest) farthest = off;
        if (off > rounding) *all_unit = 0;
        length[i] = off > rounding ? 1 / length[i] : 1;
    }
    if (far)
        cli_note("%s: %zu of %zu %ss were not of unit length (off by up to %.3g) and have been made so", path, far, count,
                 what, farthest);
    return CLIPSPAN_OK;
}

/* vectors [count, E], finite */
static clipspan_status make_all_unit(float *vectors, size_t count, size_t embed_dim, const char *path, const char *what,
                                     const clipspan_texts *numbers, clipspan_error *err)
{
    const clipspan_vectors all = {.values = vectors, .count = count, .embed_dim = embed_dim};
    int all_unit = 1;
    double *scale = calloc(count, sizeof *scale);
    if (scale == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_vectors_lengths(&all, scale, 0, err);
    if (status == CLIPSPAN_OK) status = scales_of(scale, count, path, what, numbers, &all_unit, err);
    for (size_t i = 0; status == CLIPSPAN_OK && !all_unit && i < count; i++)
        for (size_t e = 0; scale[i] != 1 && e < embed_dim; e++)
            vectors[i * embed_dim + e] = (float)((double)vectors[i * embed_dim + e] * scale[i]);
    free(scale);
    return status;
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

/* Whether the file has a row for each line (1) or for each text that is left of them (0). */
static clipspan_status match_rows(int *of_lines, size_t rows, size_t columns, const char *path, const clipspan_texts *pool,
                                  const char *pool_path, size_t embed_dim, clipspan_error *err)
{
    size_t count = clipspan_texts_count(pool), lines = clipspan_texts_lines(pool);
    *of_lines = rows == lines && rows != count;
    if (columns == embed_dim && (rows == lines || rows == count)) return CLIPSPAN_OK;
    return wrong_rows(path, rows, columns, pool, pool_path, embed_dim, err);
}

clipspan_status cli_embeddings_open(float **out, const char *path, const clipspan_texts *pool, const char *pool_path,
                                    size_t embed_dim, clipspan_error *err)
{
    size_t rows = 0, columns = 0, count = clipspan_texts_count(pool);
    int of_lines = 0;
    clipspan_status status = clipspan_npy_read(out, &rows, &columns, path, err);
    if (status == CLIPSPAN_OK) status = match_rows(&of_lines, rows, columns, path, pool, pool_path, embed_dim, err);
    for (size_t i = 0; status == CLIPSPAN_OK && of_lines && i < count; i++)
        memmove(*out + i * embed_dim, *out + clipspan_texts_line(pool, i) * embed_dim, embed_dim * sizeof **out);
    if (status == CLIPSPAN_OK)
        status = make_all_unit(*out, count, embed_dim, path, "row", of_lines ? pool : NULL, err);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    free(*out);
    *out = NULL;
    return status;
}

static int all_finite(const double *length, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(length[i])) return 0;
    return 1;
}

/* What the mapped rows are to be multiplied by; *fits 0: a number is not finite, and reading them one by one says which. */
static clipspan_status measure(cli_embeddings *m, const char *path, const clipspan_texts *numbers, size_t threads, int *fits,
                               clipspan_error *err)
{
    int all_unit = 1;
    m->scale = calloc(m->vectors.count, sizeof *m->scale);
    if (m->scale == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_vectors_lengths(&m->vectors, m->scale, (int)threads, err);
    if (status != CLIPSPAN_OK) return status;
    *fits = all_finite(m->scale, m->vectors.count);
    if (!*fits) return CLIPSPAN_OK;
    status = scales_of(m->scale, m->vectors.count, path, "row", numbers, &all_unit, err);
    if (!all_unit) m->vectors.scale = m->scale;
    return status;
}

static clipspan_status list_rows(cli_embeddings *m, const clipspan_texts *pool, clipspan_error *err)
{
    m->rows = calloc(m->vectors.count, sizeof *m->rows);
    if (m->rows == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < m->vectors.count; i++) m->rows[i] = clipspan_texts_line(pool, i);
    m->vectors.rows = m->rows;
    return CLIPSPAN_OK;
}

clipspan_status cli_embeddings_map(cli_embeddings *out, const char *path, const clipspan_texts *pool, const char *pool_path,
                                   size_t embed_dim, size_t threads, clipspan_error *err)
{
    int of_lines = 0, fits = 0;
    *out = (cli_embeddings){.vectors = {.count = clipspan_texts_count(pool), .embed_dim = embed_dim}};
    clipspan_status status = clipspan_npy_map_open(&out->map, path, err);
    if (status != CLIPSPAN_OK && status != CLIPSPAN_ERROR_UNSUPPORTED) return status;
    if (status == CLIPSPAN_OK) {
        out->vectors.values = out->map.values;
        out->vectors.half = out->map.half;
        out->vectors.passed = clipspan_npy_map_drop;
        out->vectors.user = &out->map;
        status = match_rows(&of_lines, out->map.rows, out->map.columns, path, pool, pool_path, embed_dim, err);
        if (status == CLIPSPAN_OK && of_lines) status = list_rows(out, pool, err);
        if (status == CLIPSPAN_OK) status = measure(out, path, of_lines ? pool : NULL, threads, &fits, err);
        if (status != CLIPSPAN_OK || fits) return status;
    }
    cli_embeddings_close(out);
    status = cli_embeddings_open(&out->copied, path, pool, pool_path, embed_dim, err);
    out->vectors = (clipspan_vectors){.values = out->copied, .count = clipspan_texts_count(pool), .embed_dim = embed_dim};
    return status;
}

void cli_embeddings_close(cli_embeddings *embeddings)
{
    clipspan_npy_map_close(&embeddings->map);
    free(embeddings->copied);
    free(embeddings->rows);
    free(embeddings->scale);
    *embeddings = (cli_embeddings){0};
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
