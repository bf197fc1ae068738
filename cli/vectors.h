/* cli/vectors.h - text vectors that were made before: a pool's embeddings, a classifier. */
#ifndef CLIPSPAN_CLI_VECTORS_H
#define CLIPSPAN_CLI_VECTORS_H

#include "cli.h"

#define CLI_EMBEDDINGS_HELP                                                                                           \
    "the pool's text embeddings, made before: an npy of floats, a row a line of POOL (in place of the model's)"
#define CLI_CLASSIFIER_HELP                                                                                           \
    "the classes' vectors, made before: an npy of floats [E, classes] in the classes' order (in place of prompts)"

/* As many files of embeddings as pools, or none. */
clipspan_status cli_check_embeddings(const cli_list *texts, const cli_list *embeddings, clipspan_error *err);
/* One of the two at most. */
clipspan_status cli_check_classifier(const char *classifier, const char *templates, clipspan_error *err);
/* [T, E] of unit length, the caller frees. The file has a row for each line of the pool, or for each text that is left of
 * them without blank and repeated lines (what `export` writes). */
clipspan_status cli_embeddings_open(float **out, const char *path, const clipspan_texts *pool, const char *pool_path,
                                    size_t embed_dim, clipspan_error *err);
/* The same where they lie, mapped, for what reads them block by block; float64 files are copied. */
typedef struct cli_embeddings {
    clipspan_vectors vectors; /* points into the rest, which therefore stays where it is */
    clipspan_npy_map map;
    float *copied;
    size_t *rows;
    double *scale;
} cli_embeddings;
clipspan_status cli_embeddings_map(cli_embeddings *out, const char *path, const clipspan_texts *pool, const char *pool_path,
                                   size_t embed_dim, size_t threads, clipspan_error *err);
void cli_embeddings_close(cli_embeddings *embeddings);
/* [C, E] of unit length from a file [E, C], the caller frees. */
clipspan_status cli_classifier_open(float **out, const char *path, size_t classes, size_t embed_dim, clipspan_error *err);

#endif
