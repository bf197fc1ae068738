/* map.c - where the images argue for a text: each patch's part of the cosine, as a character.
 *     cc map.c $(pkg-config --cflags --libs clipspan) && ./a.out MODEL IMAGES TEXT */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/map.h>

typedef struct asked {
    const float *text; /* [E], unit length */
    const clipspan_images *images;
    int grid;
} asked;

/* "#" for the strongest patches, "-" for those that argue as strongly against. */
static char mark(double share)
{
    return share > 0.5 ? '#' : share > 0.2 ? '+' : share < -0.2 ? '-' : '.';
}

static clipspan_status print_maps(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    const asked *a = user;
    float *map = malloc((size_t)batch->basis->tokens * sizeof *map); /* the class token, then patches */
    clipspan_status status = map ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY;
    for (size_t i = 0; status == CLIPSPAN_OK && i < batch->images; i++) {
        clipspan_map_summary sums;
        status = clipspan_map_batch(map, batch, i, CLIPSPAN_PAPER, NULL, a->text, 1, CLIPSPAN_MAP_WHOLE, 0, err);
        if (status == CLIPSPAN_OK)
            status = clipspan_map_summarise(&sums, map, (size_t)batch->basis->tokens, a->grid, err);
        if (status != CLIPSPAN_OK) break;
        printf("%s: the heads add %+.3f to the cosine\n", clipspan_images_name(a->images, (size_t)batch->index[i]), sums.total);
        for (int n = 0; n < a->grid * a->grid; n++)
            printf("%c%s", mark((double)map[n + 1] / (sums.most > 0 ? sums.most : 1)), (n + 1) % a->grid ? "" : "\n");
    }
    free(map);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: %s MODEL IMAGES TEXT\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_model *model = NULL;
    clipspan_images *images = NULL;
    clipspan_engine *engine = NULL;
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    float *text = NULL;
    const char *words = argv[3];
    options.parts = CLIPSPAN_PART_TOKENS; /* of every layer */

    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&images, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) {
        text = malloc((size_t)clipspan_model_get_info(model)->embed_dim * sizeof *text);
        status = text ? clipspan_engine_embed_texts(engine, &words, 1, 1, text, &err) : CLIPSPAN_ERROR_MEMORY;
    }
    if (status == CLIPSPAN_OK) {
        asked a = {text, images, clipspan_model_get_info(model)->grid};
        status = clipspan_decompose_each(engine, images, &options, print_maps, &a, NULL, &err);
    }
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    free(text);
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
