/* The public job: the store written by an engine. */
#include "store/store.h"

typedef struct engine_source {
    clsp_decomposer *decomposer;
    const clipspan_images *images;
} engine_source;

static clipspan_status run_engine(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                                  const clipspan_hooks *hooks, clipspan_error *err)
{
    const engine_source *source = user;
    return clsp_decomposer_run(source->decomposer, source->images, first, count, fn, fn_user, hooks, err);
}

clipspan_status clipspan_store_decompose(clipspan_engine *engine, const clipspan_images *images,
                                         const char *directory, const clipspan_store_options *options,
                                         clipspan_store_summary *summary, const clipspan_hooks *hooks,
                                         clipspan_error *err)
{
    static const clipspan_store_options standard = CLIPSPAN_STORE_OPTIONS_INIT;
    clipspan_store_options used = options ? *options : standard;
    engine_source source = {NULL, images};
    if (clsp_engine_intervened(engine))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%s: heads are replaced inside the model now, and a store speaks of the model as it is: end the "
                         "intervention first",
                         directory);
    if (used.moments_only) used.decompose.parts = 0;
    clipspan_decompose_options made = used.decompose; /* what the batches hold; shards hold what was asked for */
    made.parts &= ~(unsigned)CLIPSPAN_PART_NEURONS;
    if (used.neurons) made.parts |= CLIPSPAN_PART_NEURONS | CLIPSPAN_PART_MLP;
    clipspan_status status = clsp_decomposer_new(&source.decomposer, engine, &made, err);
    if (status != CLIPSPAN_OK) return status;
    const clsp_store_job job = {
        .directory = directory,
        .model = clipspan_engine_model(engine),
        .images = images,
        .basis = clsp_decomposer_basis(source.decomposer),
        .options = &used,
        .batch = clipspan_engine_batch(engine),
        .compute = clipspan_engine_dtype(engine),
        .source = run_engine,
        .source_user = &source,
    };
    status = clsp_store_run(&job, summary, hooks, err);
    clsp_decomposer_free(source.decomposer);
    return status;
}
