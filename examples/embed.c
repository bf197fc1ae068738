/* embed.c - the cosine between one picture and some texts.
 *     cc embed.c $(pkg-config --cflags --libs clipspan) && ./a.out MODEL PICTURE TEXT ... */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/engine.h>

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* pixels: [3, S, S]; vectors: [1 + texts, E], the picture's first. */
static clipspan_status embed(clipspan_engine *engine, const clipspan_images *images, const char *const *texts,
                             size_t count, float *pixels, float *vectors, clipspan_error *err)
{
    const clipspan_model *model = clipspan_engine_model(engine);
    size_t embed_dim = (size_t)clipspan_model_get_info(model)->embed_dim;
    clipspan_status status = clipspan_images_preprocess(images, 0, model, pixels, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_images(engine, pixels, 1, 1, vectors, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_texts(engine, texts, count, 1, vectors + embed_dim, err);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 4) return fprintf(stderr, "usage: %s MODEL PICTURE TEXT ...\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, ""};
    clipspan_model *model = NULL;
    clipspan_images *images = NULL;
    clipspan_engine *engine = NULL;
    float *pixels = NULL, *vectors = NULL;
    size_t texts = (size_t)argc - 3;

    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&images, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) {
        const clipspan_model_info *info = clipspan_model_get_info(model);
        size_t size = (size_t)info->image_size, embed_dim = (size_t)info->embed_dim;
        pixels = malloc(3 * size * size * sizeof *pixels);
        vectors = malloc((texts + 1) * embed_dim * sizeof *vectors);
        if (pixels != NULL && vectors != NULL)
            status = embed(engine, images, (const char *const *)argv + 3, texts, pixels, vectors, &err);
        for (size_t t = 0; status == CLIPSPAN_OK && t < texts; t++)
            printf("%.4f  %s\n", (double)dot(vectors, vectors + (t + 1) * embed_dim, embed_dim), argv[3 + t]);
    }
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    free(vectors);
    free(pixels);
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
