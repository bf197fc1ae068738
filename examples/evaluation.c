/* evaluation.c - what m texts a head leave of zero-shot accuracy, and how much they explain on images not seen.
 *     cc evaluation.c $(pkg-config --cflags --libs clipspan) && ./a.out STORE POOL        (STORE has labelled images) */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/textspan_evaluation.h>

typedef struct inputs {
    clipspan_store *store;
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_texts *pool, *classes, *templates;
    float *pool_embeddings, *classifier; /* [T, E], [C, E] */
    int *labels;                         /* [I] */
} inputs;

static clipspan_status open_texts(inputs *in, const char *path, clipspan_error *err)
{
    static const char *const plain[] = {"a photo of a {}."};
    size_t count = clipspan_store_class_count(in->store);
    const char **names = calloc(count + 1, sizeof *names);
    if (names == NULL) return CLIPSPAN_ERROR_MEMORY;
    for (size_t c = 0; c < count; c++) names[c] = clipspan_store_class(in->store, c);
    clipspan_status status = clipspan_texts_open(&in->pool, path, 1, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&in->classes, names, count, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&in->templates, plain, 1, err);
    free(names);
    return status;
}

static clipspan_status embed(inputs *in, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    size_t e = (size_t)info->embed_dim, images = (size_t)info->images;
    in->pool_embeddings = calloc(clipspan_texts_count(in->pool), e * sizeof(float));
    in->classifier = calloc(clipspan_texts_count(in->classes) + 1, e * sizeof(float));
    in->labels = calloc(images + 1, sizeof(int));
    if (!in->pool_embeddings || !in->classifier || !in->labels) return CLIPSPAN_ERROR_MEMORY;
    for (size_t i = 0; i < images; i++) in->labels[i] = clipspan_store_image_label(in->store, i);
    clipspan_status status = clipspan_engine_embed_pool(in->engine, in->pool, 0, in->pool_embeddings, NULL, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_classifier_build(in->engine, in->classes, in->templates, in->classifier, NULL, err);
}

static clipspan_status run(inputs *in, char **argv, clipspan_textspan_evaluation **result, clipspan_error *err)
{
    clipspan_status status = clipspan_store_open(&in->store, argv[1], err);
    if (status == CLIPSPAN_OK) status = clipspan_model_open(&in->model, clipspan_store_get_info(in->store)->model_path, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_check_model(in->store, in->model, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&in->engine, in->model, NULL, err);
    if (status == CLIPSPAN_OK) status = open_texts(in, argv[2], err);
    if (status == CLIPSPAN_OK) status = embed(in, err);
    if (status != CLIPSPAN_OK) return status;
    clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
    options.halves = 1;
    const clipspan_textspan_pool pool = {argv[2], in->pool, in->pool_embeddings};
    const clipspan_textspan_scoring scoring = {in->classifier, clipspan_texts_count(in->classes), in->labels};
    return clipspan_textspan_evaluate(result, in->store, &pool, 1, &scoring, &options, NULL, err);
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: %s STORE POOL\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_textspan_evaluation *result = NULL;
    inputs in = {0};
    clipspan_status status = run(&in, argv, &result, &err);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    for (size_t s = 0; result && s < clipspan_textspan_evaluation_get_info(result).sizes; s++) {
        clipspan_textspan_evaluation_point p = clipspan_textspan_evaluation_get(result, 0, s);
        printf("%d texts: top-1 %.1f %%, explained %.1f %%, held out %.1f %%\n", p.size, 100 * p.accuracy, 100 * p.explained,
               100 * p.held_out);
    }
    clipspan_textspan_evaluation_free(result);
    clipspan_texts_free(in.pool);
    clipspan_texts_free(in.classes);
    clipspan_texts_free(in.templates);
    clipspan_engine_free(in.engine);
    clipspan_model_free(in.model);
    clipspan_store_free(in.store);
    free(in.pool_embeddings);
    free(in.classifier);
    free(in.labels);
    return status == CLIPSPAN_OK ? 0 : 1;
}
