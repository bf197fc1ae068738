/* A store made in parts, as several machines would, one after another here; then put together.
 *
 *     parts MODEL IMAGES STORE PARTS
 */
#include <stdio.h>
#include <stdlib.h>

#include "clipspan/image.h"
#include "clipspan/model.h"
#include "clipspan/store.h"

static clipspan_status make_parts(clipspan_engine *engine, const clipspan_images *images, const char *store, int parts,
                                  clipspan_error *err)
{
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    options.shard_images = 1; /* of as many images as a batch: small shards, so that every part has one */
    options.part_count = parts;
    for (options.part = 1; options.part <= parts && status == CLIPSPAN_OK; options.part++)
        status = clipspan_store_decompose(engine, images, store, &options, NULL, NULL, err);
    return status;
}

int main(int argc, char **argv)
{
    clipspan_error err = {CLIPSPAN_OK, ""};
    clipspan_engine_options options = CLIPSPAN_ENGINE_OPTIONS_INIT;
    clipspan_store_summary summary;
    clipspan_model *model = NULL;
    clipspan_engine *engine = NULL;
    clipspan_images *images = NULL;
    if (argc != 5) return fprintf(stderr, "usage: parts MODEL IMAGES STORE PARTS\n"), 2;
    options.batch = 2;
    clipspan_status status = clipspan_model_open(&model, argv[1], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&images, argv[2], NULL, &err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&engine, model, &options, &err);
    if (status == CLIPSPAN_OK) status = make_parts(engine, images, argv[3], atoi(argv[4]), &err);
    if (status == CLIPSPAN_OK) status = clipspan_store_merge(argv[3], NULL, 0, NULL, &summary, NULL, &err);
    if (status == CLIPSPAN_OK)
        printf("%llu images from %s parts\n", (unsigned long long)summary.images, argv[4]);
    else
        fprintf(stderr, "%s\n", err.message);
    clipspan_engine_free(engine);
    clipspan_images_free(images);
    clipspan_model_free(model);
    return status == CLIPSPAN_OK ? 0 : 1;
}
