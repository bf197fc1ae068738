/* What is lost when every MLP of a store's images is replaced by its mean, and which head matters most?
 *     example_ablation STORE MODEL CLASSES.txt
 * The store's labels are class names of CLASSES.txt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/ablation.h"

/* labels: [images] the class of each row, by name; -1: none. */
static void find_labels(int *labels, const clipspan_store *store, const clipspan_texts *classes)
{
    for (size_t i = 0; i < clipspan_store_get_info(store)->images; i++) {
        int own = clipspan_store_image_label(store, i);
        labels[i] = -1;
        for (size_t c = 0; own >= 0 && c < clipspan_texts_count(classes); c++)
            if (strcmp(clipspan_texts_get(classes, c), clipspan_store_class(store, (size_t)own)) == 0) labels[i] = (int)c;
    }
}

static void tell(const clipspan_ablation_study *study)
{
    const clipspan_ablation_score *mlps = clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_MLPS, 0);
    int heads = clipspan_ablation_study_get_info(study).heads;
    size_t best = 0;
    for (size_t h = 1; h < clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_HEAD); h++)
        if (clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_HEAD, h)->logit_drop.value >
            clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_HEAD, best)->logit_drop.value)
            best = h;
    const clipspan_ablation_score *head = clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_HEAD, best);
    if (mlps != NULL)
        printf("without MLPs: %.1f points less accuracy [%.1f, %.1f]\n", 100 * mlps->top1_drop.value,
               100 * mlps->top1_drop.low, 100 * mlps->top1_drop.high);
    printf("L%d.H%d matters most: %.3f less logit of the right class [%.3f, %.3f]\n", (int)best / heads, (int)best % heads,
           head->logit_drop.value, head->logit_drop.low, head->logit_drop.high);
}

int main(int argc, char **argv)
{
    clipspan_error err;
    clipspan_store *store = NULL;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_texts *classes = NULL, *templates = NULL;
    clipspan_ablation_study *study = NULL;
    const char *const template[] = {"a photo of a {}."};
    float *classifier = NULL;
    int *labels = NULL;
    if (argc != 4) return 2;
    int good = clipspan_store_open(&store, argv[1], &err) == CLIPSPAN_OK &&
               clipspan_model_open(&model, argv[2], NULL, &err) == CLIPSPAN_OK &&
               clipspan_engine_open(&engine, model, NULL, &err) == CLIPSPAN_OK &&
               clipspan_texts_open(&classes, argv[3], 1, &err) == CLIPSPAN_OK &&
               clipspan_texts_copy(&templates, template, 1, &err) == CLIPSPAN_OK;
    if (good) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        classifier = malloc(clipspan_texts_count(classes) * (size_t)info->embed_dim * sizeof *classifier);
        labels = malloc((size_t)info->images * sizeof *labels);
        if (classifier == NULL || labels == NULL) return 1;
        find_labels(labels, store, classes);
        good = clipspan_classifier_build(engine, classes, templates, classifier, NULL, &err) == CLIPSPAN_OK &&
               clipspan_ablation_study_run(&study, store, classifier, clipspan_texts_count(classes), labels, NULL, NULL,
                                           &err) == CLIPSPAN_OK;
    }
    if (good) tell(study);
    else fprintf(stderr, "%s\n", err.message);
    clipspan_ablation_study_free(study);
    free(classifier);
    free(labels);
    clipspan_texts_free(templates);
    clipspan_texts_free(classes);
    clipspan_engine_free(engine);
    clipspan_model_free(model);
    clipspan_store_free(store);
    return good ? 0 : 1;
}
