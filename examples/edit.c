/* edit.c - a copy of a model without one head: its mean output at the class token stands in its place.
 *     cc edit.c $(pkg-config --cflags --libs clipspan) && ./a.out STORE L11.H3 NEWMODEL */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/edit.h>
#include <clipspan/store.h>

typedef struct means {
    float *values; /* [L, H, d]: sums, until they are divided */
    size_t images;
} means;

static clipspan_status add(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    means *m = user;
    size_t d = (size_t)batch->basis->head_dim, heads = (size_t)(batch->basis->layers * batch->basis->heads);
    (void)err;
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < batch->images; i++)
            for (size_t j = 0; j < d; j++) m->values[h * d + j] += batch->z[(h * batch->images + i) * d + j];
    m->images += batch->images;
    return CLIPSPAN_OK;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: %s STORE HEADS NEWMODEL\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_store *store = NULL;
    clipspan_model *model = NULL;
    unsigned char *chosen = NULL;
    means m = {NULL, 0};
    clipspan_status status = clipspan_store_open(&store, argv[1], &err);
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        size_t heads = (size_t)(info->layers * info->heads), cells = heads * (size_t)info->head_dim;
        chosen = calloc(heads, 1);
        m.values = calloc(cells, sizeof *m.values);
        status = chosen && m.values ? clipspan_heads_parse(argv[2], info->layers, info->heads, chosen, &err)
                                    : CLIPSPAN_ERROR_MEMORY;
        if (status == CLIPSPAN_OK) status = clipspan_store_each(store, NULL, add, &m, NULL, &err);
        for (size_t i = 0; i < cells && m.images; i++) m.values[i] /= (float)m.images;
        if (status == CLIPSPAN_OK) status = clipspan_model_open(&model, info->model_path, NULL, &err);
    }
    if (status == CLIPSPAN_OK) status = clipspan_store_check_model(store, model, &err);
    if (status == CLIPSPAN_OK) status = clipspan_model_edit(model, chosen, m.values, argv[3], NULL, &err);
    if (status == CLIPSPAN_OK)
        printf("%s is %s without %s\n", argv[3], clipspan_model_get_info(model)->name, argv[2]);
    else
        fprintf(stderr, "%s\n", err.message);
    clipspan_model_free(model);
    clipspan_store_free(store);
    free(m.values);
    free(chosen);
    return status == CLIPSPAN_OK ? 0 : 1;
}
