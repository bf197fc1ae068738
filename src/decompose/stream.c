/* Images through the engine, batch after batch of contributions out, in list order and constant memory. */
#include "decompose/decompose.h"

#include "compute/compute.h"

struct clsp_decomposer {
    clipspan_engine *engine;
    clsp_basis basis;
    clsp_contribution *contribution;
    size_t slots; /* batches under way */
    clsp_capture *captures; /* [slots] */
    float *embeddings;      /* [slots, batch, E] */
    int *token_layers;
    int token_layer_count;
    bool strict;
    /* of the run in progress */
    clsp_range_fn fn;
    void *user;
};

clipspan_status clsp_token_layers_check(const int *token_layers, int count, int layers, clipspan_error *err)
{
    for (int t = 0; t < count; t++) {
        if (token_layers[t] < 0 || token_layers[t] >= layers)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "tokens of layer %d: expected 0 to %d", token_layers[t],
                             layers - 1);
        if (t > 0 && token_layers[t] <= token_layers[t - 1])
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "token layers must ascend: %d stands behind %d",
                             token_layers[t], token_layers[t - 1]);
    }
    return CLIPSPAN_OK;
}

/* The layers whose tokens are kept: those asked for, or all. */
static clipspan_status choose_token_layers(clsp_decomposer *d, const clipspan_decompose_options *options, int layers,
                                           clipspan_error *err)
{
    if (!(options->parts & CLIPSPAN_PART_TOKENS)) return CLIPSPAN_OK;
    bool all = options->token_layers == NULL || options->token_layer_count == 0;
    int count = all ? layers : options->token_layer_count;
    if (!all) {
        clipspan_status status = clsp_token_layers_check(options->token_layers, count, layers, err);
        if (status != CLIPSPAN_OK) return status;
    }
    d->token_layers = clsp_alloc((size_t)count, sizeof *d->token_layers);
    if (d->token_layers == NULL) return clsp_fail_memory(err);
    for (int t = 0; t < count; t++) d->token_layers[t] = all ? t : options->token_layers[t];
    d->token_layer_count = count;
    return CLIPSPAN_OK;
}

static unsigned capture_mask(unsigned parts)
{
    unsigned what = CLSP_CAPTURE_Z | CLSP_CAPTURE_LAST;
    if (parts & CLIPSPAN_PART_MLP) what |= CLSP_CAPTURE_MLP;
    if (parts & CLIPSPAN_PART_CLS) what |= CLSP_CAPTURE_CLS;
    if (parts & CLIPSPAN_PART_TOKENS) what |= CLSP_CAPTURE_TOKENS;
    if (parts & CLIPSPAN_PART_NEURONS) what |= CLSP_CAPTURE_HIDDEN;
    return what;
}

clipspan_status clsp_decomposer_new(clsp_decomposer **out, clipspan_engine *engine,
                                    const clipspan_decompose_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_decomposer *d = NULL;
    const clipspan_model *model = clipspan_engine_model(engine);
    size_t batch = (size_t)clipspan_engine_batch(engine);
    int before = clsp_threads(clipspan_engine_threads(engine));
    *out = NULL;
    CLSP_ALLOC(d, clsp_alloc_zero(1, sizeof *d));
    d->engine = engine;
    d->strict = options->strict != 0;
    d->slots = clsp_engine_slots(engine);
    CLSP_TRY(clsp_engine_check_parts(engine, options->parts & CLIPSPAN_PART_CLS, options->parts & CLIPSPAN_PART_TOKENS,
                                     err));
    CLSP_TRY(choose_token_layers(d, options, model->vision.config.layers, err));
    CLSP_TRY(clsp_basis_make(&d->basis, model, err));
    CLSP_TRY(clsp_contribution_new(&d->contribution, &d->basis, batch, options->parts, d->token_layers,
                                   d->token_layer_count, err));
    CLSP_ALLOC(d->captures, clsp_alloc_zero(d->slots, sizeof *d->captures));
    for (size_t i = 0; i < d->slots; i++)
        CLSP_TRY(clsp_capture_new(&d->captures[i], &model->vision, batch, capture_mask(options->parts), d->token_layers,
                                  d->token_layer_count, err));
    CLSP_ALLOC(d->embeddings, clsp_alloc_aligned(d->slots * batch * (size_t)model->embed_dim, sizeof *d->embeddings));
    *out = d;
    d = NULL;
out:
    clsp_threads(before);
    clsp_decomposer_free(d);
    return status;
}

void clsp_decomposer_free(clsp_decomposer *decomposer)
{
    if (decomposer == NULL) return;
    clsp_contribution_free(decomposer->contribution);
    for (size_t i = 0; decomposer->captures && i < decomposer->slots; i++) clsp_capture_free(&decomposer->captures[i]);
    clsp_free(decomposer->captures);
    clsp_basis_clear(&decomposer->basis);
    clsp_free(decomposer->embeddings);
    clsp_free(decomposer->token_layers);
    clsp_free(decomposer);
}

const clipspan_basis *clsp_decomposer_basis(const clsp_decomposer *decomposer)
{
    return &decomposer->basis.view;
}

static float *embedding_of(const clsp_decomposer *d, size_t slot)
{
    return d->embeddings + slot * (size_t)clipspan_engine_batch(d->engine) * (size_t)d->basis.view.embed_dim;
}

static clipspan_status take_pixels(void *user, clipspan_engine *engine, const clsp_pixels *batch, clipspan_error *err)
{
    clsp_decomposer *d = user;
    return clsp_engine_forward(engine, batch->pixels, batch->n, &d->captures[batch->slot], embedding_of(d, batch->slot),
                               err);
}

static clipspan_status hand_on(void *user, clipspan_engine *engine, const clsp_pixels *pixels, clipspan_error *err)
{
    clsp_decomposer *d = user;
    const clipspan_batch *batch = NULL;
    clipspan_status status = CLIPSPAN_OK;
    (void)engine;
    CLSP_TRY(clsp_contribution_fill(d->contribution, &d->captures[pixels->slot], embedding_of(d, pixels->slot),
                                    pixels->first, pixels->n, pixels->ok, &batch, err));
    CLSP_TRY(d->fn(d->user, pixels->first, pixels->n, batch, err));
out:
    return status;
}

clipspan_status clsp_decomposer_run(clsp_decomposer *decomposer, const clipspan_images *images, uint64_t first,
                                    uint64_t count, clsp_range_fn fn, void *user, const clipspan_hooks *hooks,
                                    clipspan_error *err)
{
    const clsp_stream_job job = {.stage = "decompose", .first = first, .count = count, .strict = decomposer->strict,
                                 .work = take_pixels, .finish = hand_on, .user = decomposer};
    decomposer->fn = fn;
    decomposer->user = user;
    int before = clsp_threads(clipspan_engine_threads(decomposer->engine)); /* also of what fn does with a batch */
    clipspan_status status = clsp_engine_stream(decomposer->engine, images, &job, hooks, err);
    clsp_threads(before);
    return status;
}

typedef struct handing {
    clipspan_batch_fn fn;
    void *user;
} handing;

static clipspan_status hand_over(void *user, uint64_t first, size_t n, const clipspan_batch *batch,
                                 clipspan_error *err)
{
    const handing *to = user;
    (void)first;
    (void)n;
    return batch->images > 0 ? to->fn(to->user, batch, err) : CLIPSPAN_OK;
}

clipspan_status clipspan_decompose_each(clipspan_engine *engine, const clipspan_images *images,
                                        const clipspan_decompose_options *options, clipspan_batch_fn fn, void *user,
                                        const clipspan_hooks *hooks, clipspan_error *err)
{
    static const clipspan_decompose_options standard = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    if (options == NULL) options = &standard;
    size_t listed = clipspan_images_count(images);
    if (!clsp_range_ok(options->first, options->count, listed) || options->first == listed)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: images %zu and %zu more asked for, the list has %zu",
                         clipspan_images_root(images), options->first, options->count, listed);
    size_t count = options->count ? options->count : listed - options->first;
    clsp_decomposer *decomposer = NULL;
    clipspan_status status = clsp_decomposer_new(&decomposer, engine, options, err);
    if (status != CLIPSPAN_OK) return status;
    handing to = {fn, user};
    status = clsp_decomposer_run(decomposer, images, options->first, count, hand_over, &to, hooks, err);
    clsp_decomposer_free(decomposer);
    return status;
}
