/* heads.c - the first three texts of every head of a store, by TextSpan.
 *     cc heads.c $(pkg-config --cflags --libs clipspan) && ./a.out STORE POOL */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/analysis.h>

static void print_heads(const clipspan_textspan *result)
{
    for (size_t i = 0; i < clipspan_textspan_head_count(result); i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(result, i);
        printf("L%d.H%d", head->layer, head->head);
        for (int t = 0; t < head->count; t++)
            printf("%s %s (%.0f %%)", t ? "," : "", clipspan_textspan_text_of(result, head->texts[t].text),
                   100 * head->texts[t].explained);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: %s STORE POOL\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_store *store = NULL;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_texts *pool = NULL;
    clipspan_moments *moments = NULL;
    clipspan_textspan *result = NULL;
    float *embeddings = NULL; /* [T, E] */
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    options.size = 3;

    clipspan_status status = clipspan_store_open(&store, argv[1], &err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_open(&pool, argv[2], 1, &err);
    if (status == CLIPSPAN_OK)
        status = clipspan_model_open(&model, clipspan_store_get_info(store)->model_path, NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_store_check_model(store, model, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, NULL, &err);
    if (status == CLIPSPAN_OK) {
        size_t row = (size_t)clipspan_store_get_info(store)->embed_dim * sizeof *embeddings;
        embeddings = malloc(clipspan_texts_count(pool) * row);
        status = embeddings ? clipspan_engine_embed_pool(engine, pool, 0, embeddings, NULL, &err)
                            : CLIPSPAN_ERROR_MEMORY;
    }
    if (status == CLIPSPAN_OK) status = clipspan_store_moments(store, &moments, &err);
    if (status == CLIPSPAN_OK)
        status = clipspan_textspan_run(&result, moments, pool, embeddings, &options, NULL, &err);
    if (status == CLIPSPAN_OK)
        print_heads(result);
    else
        fprintf(stderr, "%s\n", err.message);
    clipspan_textspan_free(result);
    clipspan_moments_free(moments);
    clipspan_texts_free(pool);
    clipspan_engine_free(engine);
    clipspan_model_free(model);
    clipspan_store_free(store);
    free(embeddings);
    return status == CLIPSPAN_OK ? 0 : 1;
}
