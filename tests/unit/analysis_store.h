/* A store on disk, written by the room store itself from contributions made by hand. Include behind cmocka.h. */
#ifndef ANALYSIS_STORE_H
#define ANALYSIS_STORE_H

#include <stdio.h>

#include "analysis_fake.h"
#include "scratch.h"

#include "store/store.h"

/* Rows [first, first + count) of the world's batch: z must be packed anew. */
static inline clipspan_status world_slice(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                                          const clipspan_hooks *hooks, clipspan_error *err)
{
    const world *w = user;
    size_t d = (size_t)w->spec.head_dim, heads = (size_t)(w->spec.layers * w->spec.heads), n = (size_t)count;
    size_t e = (size_t)w->spec.embed_dim;
    float *z = malloc(heads * n * d * sizeof *z), *embedding = calloc(n * e, sizeof *embedding);
    (void)hooks;
    for (size_t h = 0; h < heads; h++)
        memcpy(z + h * n * d, w->batch.z + (h * w->spec.images + first) * d, n * d * sizeof *z);
    if (w->batch.embedding != NULL) memcpy(embedding, w->batch.embedding + first * e, n * e * sizeof *embedding);
    clipspan_batch batch = w->batch;
    batch.images = n;
    batch.index = w->index + first;
    batch.z = z;
    batch.mu += first;
    batch.sigma += first;
    batch.norm += first;
    batch.embedding = embedding;
    clipspan_status status = fn(fn_user, first, n, &batch, err);
    free(z);
    free(embedding);
    return status;
}

/* csv: the image list, one line for each image of the world under its header. */
static inline clipspan_store *world_store(world *w, const char *name, const char *csv, int moments_only)
{
    clipspan_error err;
    clipspan_images *images = NULL;
    clipspan_store *store = NULL;
    char file[64], command[4200];
    snprintf(file, sizeof file, "%.50s.csv", name);
    const char *list = scratch_write(file, csv, strlen(csv)), *directory = scratch(name);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
    clipspan_model model = {0};
    model.info = (clipspan_model_info){.name = "fake", .path = "/models/fake", .family = "clip", .image_size = 16,
                                       .fingerprint = "00112233445566778899aabbccddeeff", .patch_size = 8, .tokens = 5,
                                       .layers = w->spec.layers, .heads = w->spec.heads, .logit_scale = 100.0F};
    strcpy(model.fingerprint, model.info.fingerprint);
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    options.decompose.parts = 0;
    options.shard_images = 64;
    options.moments_only = moments_only;
    if (clipspan_images_open(&images, list, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    const clsp_store_job job = {.directory = directory, .model = &model, .images = images, .basis = &w->basis,
                                .options = &options, .batch = 16, .source = world_slice, .source_user = w};
    if (clsp_store_run(&job, NULL, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clipspan_images_free(images);
    if (clipspan_store_open(&store, directory, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clipspan_store_get_info(store)->images, w->spec.images);
    return store;
}

#endif
