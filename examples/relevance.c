/* relevance.c - where one picture speaks for a text, by one method, as numbers of the patch grid (of pixels for lrp).
 *     cc relevance.c $(pkg-config --cflags --libs clipspan) && ./a.out MODEL PICTURE rollout "a red square" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clipspan/relevance.h>

static clipspan_relevance method_of(const char *name)
{
    clipspan_relevance method = CLIPSPAN_RAW_ATTENTION;
    while (method < CLIPSPAN_RELEVANCES && strcmp(clipspan_relevance_get_info(method)->name, name) != 0) method++;
    return method;
}

/* pixels: [3, S, S]; direction: [E] */
static clipspan_status embed(const clipspan_model *model, const char *picture, const char *text, float *pixels,
                             float *direction, clipspan_error *err)
{
    clipspan_images *images = NULL;
    clipspan_engine *engine = NULL;
    clipspan_status status = clipspan_images_open(&images, picture, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_images_preprocess(images, 0, model, pixels, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_texts(engine, &text, 1, 1, direction, err);
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    return status;
}

static clipspan_status trace(const clipspan_model *model, clipspan_relevance method, const float *pixels,
                             const float *direction, float *map, clipspan_error *err)
{
    clipspan_tracer *tracer = NULL;
    clipspan_status status = clipspan_tracer_open(&tracer, model, 0, err);
    if (status == CLIPSPAN_OK) status = clipspan_tracer_run(tracer, pixels, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_tracer_map(tracer, method, direction, 1, map, err);
    clipspan_tracer_free(tracer);
    return status;
}

int main(int argc, char **argv)
{
    clipspan_relevance method = argc == 5 ? method_of(argv[3]) : CLIPSPAN_RELEVANCES;
    if (method == CLIPSPAN_RELEVANCES)
        return fprintf(stderr, "usage: %s MODEL PICTURE METHOD TEXT, METHOD such as rollout\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_model *model = NULL;
    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) {
        const clipspan_model_info *info = clipspan_model_get_info(model);
        size_t image = (size_t)info->image_size;
        size_t side = clipspan_relevance_get_info(method)->pixels ? image : (size_t)info->grid;
        float *pixels = malloc(3 * image * image * sizeof *pixels), *map = malloc(side * side * sizeof *map);
        float *direction = malloc((size_t)info->embed_dim * sizeof *direction);
        status = pixels && map && direction ? embed(model, argv[2], argv[4], pixels, direction, &err)
                                            : CLIPSPAN_ERROR_MEMORY;
        if (status == CLIPSPAN_OK) status = trace(model, method, pixels, direction, map, &err);
        for (size_t i = 0; status == CLIPSPAN_OK && i < side * side; i++)
            printf("%.5f%c", (double)map[i], i % side + 1 == side ? '\n' : ' ');
        free(pixels), free(direction), free(map);
    }
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
