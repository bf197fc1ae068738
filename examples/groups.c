/* groups.c - the worst group before and after the heads of a spurious cue are taken out, searched on half of the images.
 *     cc groups.c $(pkg-config --cflags --libs clipspan) && ./a.out STORE CLASSES TEMPLATES ATTRIBUTE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clipspan/groups.h>

/* labels: [images of the store] position of each image's label among the classes, or -1 */
static void read_labels(int *labels, const clipspan_store *store, const clipspan_texts *classes)
{
    for (size_t i = 0; i < clipspan_store_get_info(store)->images; i++) {
        int label = clipspan_store_image_label(store, i);
        labels[i] = -1;
        for (size_t c = 0; label >= 0 && c < clipspan_texts_count(classes); c++)
            if (strcmp(clipspan_texts_get(classes, c), clipspan_store_class(store, (size_t)label)) == 0) labels[i] = (int)c;
    }
}

static void print_row(const clipspan_groups *groups, size_t i)
{
    const clipspan_groups_row *row = clipspan_groups_row_get(groups, i);
    const clipspan_group *worst = clipspan_groups_get(groups, row->worst_group);
    printf("%-18s %2zu heads, average %.1f %%, worst group (%s, %s) %.1f %% [%.1f, %.1f]\n", row->name, row->count,
           100 * row->average.value, worst->label, worst->value, 100 * row->worst.value, 100 * row->worst.low,
           100 * row->worst.high);
}

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: %s STORE CLASSES TEMPLATES ATTRIBUTE\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_store *store = NULL;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_texts *classes = NULL, *templates = NULL;
    clipspan_groups *groups = NULL;
    float *classifier = NULL; /* [C, E] */
    int *labels = NULL;
    clipspan_groups_options options = CLIPSPAN_GROUPS_OPTIONS_INIT;
    options.attribute = argv[4];

    clipspan_status status = clipspan_store_open(&store, argv[1], &err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_open(&classes, argv[2], 1, &err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_open(&templates, argv[3], 1, &err);
    if (status == CLIPSPAN_OK)
        status = clipspan_model_open(&model, clipspan_store_get_info(store)->model_path, NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_store_check_model(store, model, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        classifier = malloc(clipspan_texts_count(classes) * (size_t)info->embed_dim * sizeof *classifier);
        labels = malloc((size_t)info->images * sizeof *labels);
        if (classifier == NULL || labels == NULL) status = CLIPSPAN_ERROR_MEMORY;
    }
    if (status == CLIPSPAN_OK) {
        read_labels(labels, store, classes);
        status = clipspan_classifier_build(engine, classes, templates, classifier, NULL, &err);
    }
    if (status == CLIPSPAN_OK)
        status = clipspan_groups_open(&groups, store, labels, classes, classifier, &options, NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_groups_add_greedy(groups, "greedy", 5, NULL, &err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < clipspan_groups_get_info(groups).rows; i++) print_row(groups, i);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_groups_free(groups);
    free(labels);
    free(classifier);
    clipspan_texts_free(templates);
    clipspan_texts_free(classes);
    clipspan_engine_free(engine);
    clipspan_model_free(model);
    clipspan_store_free(store);
    return status == CLIPSPAN_OK ? 0 : 1;
}
