/* segment.c - masks of a folder's pictures by the decomposition, scored against the true ones.
 *     cc segment.c $(pkg-config --cflags --libs clipspan) && ./a.out MODEL DATA CLASS CLASS ...
 * DATA holds images/ and masks/ of equal names. */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/segmentation.h>

typedef struct job {
    const clipspan_model *model;
    clipspan_masks *masks;
    float *classifier, *direction, *map; /* [C, E], [E], [N] */
    unsigned char *truth;                /* [S, S] */
    size_t classes;
    clipspan_segmentation *result;
} job;

static clipspan_status take(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    job *j = user;
    const clipspan_model_info *info = clipspan_model_get_info(j->model);
    size_t e = (size_t)info->embed_dim, side = (size_t)(info->image_size / info->patch_size);
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; status == CLIPSPAN_OK && i < batch->images; i++) {
        size_t chosen = clipspan_segmentation_choose(batch->embedding + i * e, j->classifier, j->classes, e);
        clipspan_segmentation_contrast(j->direction, j->classifier, j->classes, e, chosen);
        status = clipspan_map_batch(j->map, batch, i, CLIPSPAN_PAPER, NULL, j->direction, 1, CLIPSPAN_MAP_WHOLE, 0, err);
        if (status == CLIPSPAN_OK)
            status = clipspan_masks_truth(j->masks, (size_t)batch->index[i], j->model, CLIPSPAN_PROTOCOL_ALIGNED, j->truth, err);
        if (status == CLIPSPAN_OK) /* token 0 is the class token */
            status = clipspan_segmentation_add(j->result, j->map + 1, side, j->truth, NULL, err);
    }
    return status;
}

/* "a photo of a CLASS." for each. */
static clipspan_status embed(job *j, clipspan_engine *engine, char **names, clipspan_error *err)
{
    static const char *const template[] = {"a photo of a {}."};
    clipspan_texts *classes = NULL, *templates = NULL;
    clipspan_status status = clipspan_texts_copy(&classes, (const char *const *)names, j->classes, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&templates, template, 1, err);
    if (status == CLIPSPAN_OK) status = clipspan_classifier_build(engine, classes, templates, j->classifier, NULL, err);
    clipspan_texts_free(templates);
    clipspan_texts_free(classes);
    return status;
}

static clipspan_status allocate(job *j, clipspan_error *err)
{
    const clipspan_model_info *info = clipspan_model_get_info(j->model);
    clipspan_segmentation_options options = {.size = (size_t)info->image_size, .classes = 2, .positive = 1};
    j->classifier = calloc(j->classes, (size_t)info->embed_dim * sizeof *j->classifier);
    j->direction = calloc((size_t)info->embed_dim, sizeof *j->direction);
    j->map = calloc((size_t)info->tokens, sizeof *j->map);
    j->truth = calloc(options.size, options.size);
    if (!j->classifier || !j->direction || !j->map || !j->truth) return CLIPSPAN_ERROR_MEMORY;
    return clipspan_segmentation_open(&j->result, &options, err);
}

int main(int argc, char **argv)
{
    if (argc < 5) return fprintf(stderr, "usage: %s MODEL DATA CLASS CLASS ...\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    clipspan_segmentation_scores scores;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    job j = {.classes = (size_t)argc - 3};

    options.parts = CLIPSPAN_PART_TOKENS; /* of every layer, as in the paper */
    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    j.model = model;
    if (status == CLIPSPAN_OK) status = clipspan_masks_open(&j.masks, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) status = allocate(&j, &err);
    if (status == CLIPSPAN_OK) status = embed(&j, engine, argv + 3, &err);
    if (status == CLIPSPAN_OK)
        status = clipspan_decompose_each(engine, clipspan_masks_images(j.masks), &options, take, &j, NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_segmentation_score(&scores, j.result, 1000, 1, &err);
    if (status == CLIPSPAN_OK)
        printf("pixel accuracy %.2f %%, mIoU %.2f %%, mAP %.2f %%\n", 100 * scores.accuracy.value, 100 * scores.iou.value,
               100 * scores.precision.value);
    else
        fprintf(stderr, "%s\n", err.message);
    clipspan_segmentation_free(j.result);
    free(j.classifier);
    free(j.direction);
    free(j.map);
    free(j.truth);
    clipspan_engine_free(engine);
    clipspan_masks_free(j.masks);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
