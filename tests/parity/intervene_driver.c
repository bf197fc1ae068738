/* Embeddings of images with heads replaced inside: intervene_driver MODEL IMAGES HEADS zeros|class|every OUT
 *
 * Writes float32, little endian, one array behind the other: every head's means over the images [L, H, N, d], and the
 * embeddings [I, E] under the intervention. zeros: the heads write nothing at any token; class, every: their means, at the
 * class token or at every token. Used by tests/parity/intervene.py; sees the public headers alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/contributions.h"

static int complain(const clipspan_error *err)
{
    fprintf(stderr, "intervene_driver: %s\n", err->message);
    return 1;
}

static clipspan_status write_rows(void *user, size_t first, size_t n, const float *rows, const unsigned char *ok,
                                  clipspan_error *err)
{
    FILE *file = user;
    (void)first, (void)ok, (void)err;
    return fwrite(rows, sizeof *rows, n, file) == n ? CLIPSPAN_OK : CLIPSPAN_ERROR_IO;
}

typedef struct embeddings {
    FILE *file;
    size_t dim;
} embeddings;

static clipspan_status write_embeddings(void *user, size_t first, size_t n, const float *rows, const unsigned char *ok,
                                        clipspan_error *err)
{
    const embeddings *to = user;
    return write_rows(to->file, first, n * to->dim, rows, ok, err);
}

/* The class token's rows [L, H, 1, d] of means [L, H, N, d], in place. */
static void keep_class_token(float *means, const clipspan_model_info *info)
{
    size_t d = (size_t)info->head_dim, n = (size_t)info->tokens;
    for (size_t h = 0; h < (size_t)(info->layers * info->heads); h++)
        memmove(means + h * d, means + h * n * d, d * sizeof *means);
}

static clipspan_status run(clipspan_engine *engine, const clipspan_model_info *info, const clipspan_images *images,
                           const char *heads, const char *how, FILE *file, clipspan_error *err)
{
    size_t all = (size_t)(info->layers * info->heads), count = all * (size_t)(info->tokens * info->head_dim);
    float *means = malloc(count * sizeof *means);
    unsigned char *chosen = malloc(all);
    embeddings to = {file, (size_t)info->embed_dim};
    clipspan_status status = CLIPSPAN_ERROR_MEMORY;
    if (means && chosen) status = clipspan_heads_parse(heads, info->layers, info->heads, chosen, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_head_means(engine, images, 1, means, NULL, err);
    if (status == CLIPSPAN_OK) status = write_rows(file, 0, count, means, NULL, err);
    int class_token = strcmp(how, "class") == 0;
    if (class_token && status == CLIPSPAN_OK) keep_class_token(means, info);
    clipspan_intervention swap = {chosen, strcmp(how, "zeros") == 0 ? NULL : means, class_token ? 1 : info->tokens};
    if (status == CLIPSPAN_OK) status = clipspan_engine_intervene(engine, &swap, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_engine_embed_list(engine, images, 0, 1, write_embeddings, &to, NULL, err);
    free(means);
    free(chosen);
    return status;
}

int main(int argc, char **argv)
{
    clipspan_error err = {0};
    clipspan_model *model = NULL;
    clipspan_images *images = NULL;
    clipspan_engine *engine = NULL;
    if (argc != 6) return 2;
    FILE *file = fopen(argv[5], "wb");
    if (file == NULL) return 2;
    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&images, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK)
        status = run(engine, clipspan_model_get_info(model), images, argv[3], argv[4], file, &err);
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    if (fclose(file) != 0 || status != CLIPSPAN_OK) return complain(&err);
    return 0;
}
