/* nearest.c - the ten images of a store that are most like one of them in one head's space.
 *     cc nearest.c $(pkg-config --cflags --libs clipspan) && ./a.out STORE L9.H3 17 */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/retrieval.h>

enum { NEAREST = 10 };

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: %s STORE HEADS ROW\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_store *store = NULL;
    clipspan_retrieval *retrieval = NULL;
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_retrieval_hit hits[NEAREST];
    unsigned char *heads = NULL; /* [L * H] */
    size_t found = 0;

    clipspan_status status = clipspan_store_open(&store, argv[1], &err);
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        heads = calloc((size_t)info->layers * (size_t)info->heads, 1);
        status = heads ? clipspan_heads_parse(argv[2], info->layers, info->heads, heads, &err) : CLIPSPAN_ERROR_MEMORY;
    }
    options.heads = heads;
    if (status == CLIPSPAN_OK) status = clipspan_retrieval_open(&retrieval, store, &options, NULL, &err);
    if (status == CLIPSPAN_OK)
        status = clipspan_retrieval_row(retrieval, strtoull(argv[3], NULL, 10), 0, NEAREST, hits, &found, &err);
    for (size_t i = 0; i < found; i++)
        printf("%.4f %s\n", hits[i].score, clipspan_store_image_name(store, (size_t)hits[i].row));
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_retrieval_free(retrieval);
    clipspan_store_free(store);
    free(heads);
    return status == CLIPSPAN_OK ? 0 : 1;
}
