/* contributions.c - which heads argue for a text, for every picture of a folder, without a store.
 *     cc contributions.c $(pkg-config --cflags --libs clipspan) && ./a.out MODEL IMAGES TEXT */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/contributions.h>

typedef struct scores {
    const clipspan_images *images;
    const float *text; /* [E], unit length */
    float *terms;      /* [I, E] scratch for one batch */
    size_t room;       /* images that scratch has room for */
} scores;

static float dot(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* For each image of the batch, the head whose contribution has the largest product with the text. */
static clipspan_status print_best(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    scores *s = user;
    const clipspan_basis *basis = batch->basis;
    size_t embed_dim = (size_t)basis->embed_dim, images = batch->images;
    float *best = calloc(images, sizeof *best);
    int *which = calloc(images, sizeof *which);
    clipspan_status status = best && which ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY;
    if (status == CLIPSPAN_OK && images > s->room) {
        free(s->terms);
        s->terms = malloc(images * embed_dim * sizeof *s->terms);
        s->room = images;
        if (s->terms == NULL) status = CLIPSPAN_ERROR_MEMORY;
    }
    for (int head = 0; status == CLIPSPAN_OK && head < basis->layers * basis->heads; head++) {
        status = clipspan_batch_head(batch, CLIPSPAN_PAPER, head / basis->heads, head % basis->heads, s->terms, err);
        for (size_t i = 0; status == CLIPSPAN_OK && i < images; i++) {
            float value = dot(s->terms + i * embed_dim, s->text, basis->embed_dim);
            if (head > 0 && value <= best[i]) continue;
            best[i] = value;
            which[i] = head;
        }
    }
    for (size_t i = 0; status == CLIPSPAN_OK && i < images; i++)
        printf("L%d.H%d %+.4f  %s\n", which[i] / basis->heads, which[i] % basis->heads, (double)best[i],
               clipspan_images_name(s->images, batch->index[i]));
    free(which);
    free(best);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: %s MODEL IMAGES TEXT\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_model *model = NULL;
    clipspan_images *images = NULL;
    clipspan_engine *engine = NULL;
    scores s = {0};
    float *text = NULL;

    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&images, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) {
        text = malloc((size_t)clipspan_model_get_info(model)->embed_dim * sizeof *text);
        status = text ? clipspan_engine_embed_texts(engine, (const char *const *)argv + 3, 1, 1, text, &err)
                      : CLIPSPAN_ERROR_MEMORY;
    }
    if (status == CLIPSPAN_OK) {
        s.images = images;
        s.text = text;
        status = clipspan_decompose_each(engine, images, NULL, print_best, &s, NULL, &err);
    }
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    free(s.terms);
    free(text);
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
