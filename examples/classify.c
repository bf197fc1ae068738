/* classify.c - zero-shot classes of a list of labelled images (an ImageFolder tree, a CSV), and how many are right.
 *     cc classify.c $(pkg-config --cflags --libs clipspan) && ./a.out MODEL IMAGES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clipspan/analysis.h>
#include <clipspan/engine.h>

/* The images' own labels are the classes. */
static clipspan_status class_names(clipspan_texts **out, const clipspan_images *images, clipspan_error *err)
{
    size_t count = clipspan_images_class_count(images);
    const char **names = calloc(count + 1, sizeof *names);
    if (names == NULL) return CLIPSPAN_ERROR_MEMORY;
    for (size_t c = 0; c < count; c++) names[c] = clipspan_images_class(images, c);
    clipspan_status status = clipspan_texts_copy(out, names, count, err);
    free(names);
    return status;
}

static void tell(const clipspan_classification *result)
{
    const clipspan_classification_info *info = clipspan_classification_get_info(result);
    printf("top-1 %.1f %%, top-5 %.1f %% of %llu images\n", 100 * info->top1, 100 * info->top5,
           (unsigned long long)info->labelled);
    for (size_t i = 0; i < clipspan_classification_confusion_count(result); i++) {
        clipspan_confusion wrong = clipspan_classification_confusion(result, i);
        printf("%s taken for %s: %llu\n", clipspan_classification_class(result, (size_t)wrong.label),
               clipspan_classification_class(result, (size_t)wrong.choice), (unsigned long long)wrong.images);
    }
}

typedef struct rows {
    const clipspan_images *images;
    float *embeddings; /* [I, E] */
    int *labels;       /* [I]; -1: none, or the picture could not be read */
    size_t dim;
} rows;

static clipspan_status keep(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                            clipspan_error *err)
{
    rows *r = user;
    (void)err;
    memcpy(r->embeddings + first * r->dim, embeddings, n * r->dim * sizeof *embeddings);
    for (size_t i = 0; i < n; i++) r->labels[first + i] = ok[i] ? clipspan_images_label(r->images, first + i) : -1;
    return CLIPSPAN_OK;
}

static clipspan_status classify(clipspan_engine *engine, const clipspan_images *images, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(clipspan_engine_model(engine));
    size_t count = clipspan_images_count(images), dim = (size_t)info->embed_dim;
    clipspan_texts *classes = NULL, *templates = NULL;
    clipspan_classification *result = NULL;
    rows r = {images, calloc(count + 1, dim * sizeof *r.embeddings), calloc(count + 1, sizeof *r.labels), dim};
    float *classifier = calloc(clipspan_images_class_count(images) + 1, dim * sizeof *classifier); /* [C, E] */
    clipspan_status status = r.embeddings && r.labels && classifier ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY;
    if (status == CLIPSPAN_OK) status = class_names(&classes, images, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_templates(&templates, err);
    if (status == CLIPSPAN_OK) status = clipspan_classifier_build(engine, classes, templates, classifier, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_list(engine, images, 1, 0, keep, &r, NULL, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_classify_run(&result, r.embeddings, count, dim, r.labels, classifier, classes, info->logit_scale, 0, err);
    if (status == CLIPSPAN_OK) tell(result);
    clipspan_classification_free(result);
    clipspan_texts_free(templates);
    clipspan_texts_free(classes);
    free(classifier);
    free(r.labels);
    free(r.embeddings);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: %s MODEL IMAGES\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_images *images = NULL;
    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&images, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) status = classify(engine, images, &err);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_images_free(images);
    clipspan_engine_free(engine);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
