/* A store's job over invented batches: a CSV list of images that do not exist, a tiny model, and a source that hands
 * over what decompose makes of invented captures. Image 3, 10, 17 ... of the list "cannot be read". */
#ifndef STORE_FAKE_H
#define STORE_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "decompose_fake.h"
#include "store/store.h"

enum { FAKE_LAYERS = 3, FAKE_HEADS = 2, FAKE_WIDTH = 5, FAKE_EMBED = 7, FAKE_TOKENS = 5, FAKE_IMAGES = 47 };

typedef struct store_fake {
    fake model;
    clsp_basis basis;
    clipspan_images *images;
    clipspan_store_options options;
    clsp_store_job job;
    size_t batch;
    int skip_every, skip_at; /* position % skip_every == skip_at cannot be read; 0: all can */
    int batches_until_death, batches_until_failure; /* 0: never */
    int steps_until_death;
    float scale; /* z is multiplied by this */
    char directory[512];
} store_fake;

static inline void fake_path(char out[512], const char *name)
{
    snprintf(out, 512, "%s/%s", getenv("CLIPSPAN_TEST_TMP"), name);
}

static inline void fake_erase(const char *directory)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static inline bool fake_readable(const store_fake *s, uint64_t position)
{
    return s->skip_every == 0 || position % (uint64_t)s->skip_every != (uint64_t)s->skip_at;
}

static inline clipspan_status fake_hand_over(store_fake *s, uint64_t first, size_t n, clsp_range_fn fn, void *user,
                                             clipspan_error *err)
{
    fake_capture capture;
    clsp_contribution *made = NULL;
    const clipspan_batch *batch = NULL;
    unsigned char ok[64];
    clipspan_status status;
    const int *layers = s->options.decompose.token_layers;
    int count = s->options.decompose.token_layer_count;
    fake_capture_init(&s->model, &capture, first, n);
    for (size_t i = 0; i < n * FAKE_LAYERS * s->model.width; i++) capture.capture.z[i] *= s->scale;
    if (layers != NULL) fake_pick_tokens(&s->model, &capture, layers, count);
    for (size_t i = 0; i < n; i++) ok[i] = fake_readable(s, first + i);
    unsigned parts = s->options.decompose.parts;
    if (s->options.neurons) parts |= CLIPSPAN_PART_NEURONS | CLIPSPAN_PART_MLP;
    status = clsp_contribution_new(&made, &s->basis, n, parts, layers, count, err);
    if (status == CLIPSPAN_OK)
        status = clsp_contribution_fill(made, &capture.capture, capture.embedding, first, n, ok, &batch, err);
    if (status == CLIPSPAN_OK) status = fn(user, first, n, batch, err);
    clsp_contribution_free(made);
    fake_capture_clear(&capture);
    return status;
}

static inline clipspan_status fake_source(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                                          const clipspan_hooks *hooks, clipspan_error *err)
{
    store_fake *s = user;
    clipspan_status status = CLIPSPAN_OK;
    uint64_t skipped = 0;
    for (uint64_t done = 0; done < count && status == CLIPSPAN_OK;) {
        size_t n = count - done < s->batch ? (size_t)(count - done) : s->batch;
        if (s->batches_until_death > 0 && --s->batches_until_death == 0) kill(getpid(), SIGKILL);
        if (s->batches_until_failure > 0 && --s->batches_until_failure == 0)
            return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "the source fails here");
        status = fake_hand_over(s, first + done, n, fn, fn_user, err);
        for (size_t i = 0; i < n; i++) skipped += !fake_readable(s, first + done + i);
        done += n;
        clipspan_progress progress = {"decompose", done, count, skipped};
        if (status == CLIPSPAN_OK && hooks && hooks->progress && hooks->progress(hooks->user, &progress))
            status = clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "interrupted");
    }
    return status;
}

static inline void fake_step(void *user, const char *step)
{
    store_fake *s = user;
    (void)step;
    if (s->steps_until_death > 0 && --s->steps_until_death == 0) kill(getpid(), SIGKILL);
}

static inline void fake_named_list(char path[512], const char *name, int images, const char *header, const char *one,
                                   const char *two)
{
    fake_path(path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", header);
    for (int i = 0; i < images; i++)
        fprintf(file, "pictures/%d.png,%s,%s\n", i, i % 3 == 0 ? one : i % 3 == 1 ? two : "", i % 2 ? "\"sea, deep\"" : "");
    fclose(file);
}

static inline void fake_list(char path[512], const char *name, int images)
{
    fake_named_list(path, name, images, "path,label,place", "cat", "dog");
}

static inline void store_fake_init(store_fake *s, const char *name)
{
    char path[512];
    clipspan_error err = {0};
    *s = (store_fake){.options = CLIPSPAN_STORE_OPTIONS_INIT, .batch = 4, .skip_every = 7, .skip_at = 3, .scale = 1};
    fake_init(&s->model, FAKE_LAYERS, FAKE_HEADS, FAKE_WIDTH, FAKE_EMBED, FAKE_TOKENS, false, 21);
    assert_int_equal(clsp_basis_make(&s->basis, &s->model.model, NULL), CLIPSPAN_OK);
    fake_list(path, "list.csv", FAKE_IMAGES);
    if (clipspan_images_open(&s->images, path, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    fake_path(s->directory, name);
    fake_erase(s->directory);
    s->options.shard_images = 10; /* 12, for whole batches of 4 */
}

static inline clipspan_status store_fake_run(store_fake *s, clipspan_store_summary *summary,
                                             const clipspan_hooks *hooks, clipspan_error *err)
{
    s->job = (clsp_store_job){.directory = s->directory, .model = &s->model.model, .images = s->images,
                              .basis = &s->basis.view, .options = &s->options, .batch = (int)s->batch,
                              .source = fake_source, .source_user = s, .step = fake_step, .step_user = s};
    return clsp_store_run(&s->job, summary, hooks, err);
}

static inline void store_fake_clear(store_fake *s)
{
    clipspan_images_free(s->images);
    clsp_basis_clear(&s->basis);
    fake_clear(&s->model);
    fake_erase(s->directory);
}

/* All the values of a store, row by row, for comparisons. */
typedef struct gathered {
    size_t images;
    uint64_t rows[FAKE_IMAGES];
    size_t per_image;
    float *values; /* [images, per_image] */
} gathered;

/* Appends one tensor [outer, I, inner] of a batch to the images' values, at `at` of each. */
static inline size_t gather_tensor(gathered *g, const clipspan_batch *b, const float *from, size_t outer, size_t inner,
                                   size_t at)
{
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < b->images; i++)
            memcpy(g->values + (g->images + i) * g->per_image + at + o * inner, from + (o * b->images + i) * inner,
                   inner * sizeof *from);
    return at + outer * inner;
}

static inline size_t gathered_width(const clipspan_batch *b)
{
    size_t layers = (size_t)b->basis->layers, heads = (size_t)b->basis->heads, d = (size_t)b->basis->head_dim;
    size_t embed = (size_t)b->basis->embed_dim, tokens = (size_t)b->basis->tokens, width = 3 + embed + layers * heads * d;
    if (b->mlp) width += (layers + 1) * (embed + 1);
    if (b->cls) width += layers * (embed + 1);
    if (b->tokens) width += (size_t)b->token_layer_count * heads * tokens * d;
    return width;
}

static inline clipspan_status gather_batch(void *user, const clipspan_batch *b, clipspan_error *err)
{
    gathered *g = user;
    size_t layers = (size_t)b->basis->layers, heads = (size_t)b->basis->heads, d = (size_t)b->basis->head_dim;
    size_t embed = (size_t)b->basis->embed_dim, at = 0;
    (void)err;
    if (g->values == NULL) {
        g->per_image = gathered_width(b);
        g->values = calloc(FAKE_IMAGES * g->per_image, sizeof *g->values);
    }
    assert_int_equal(g->per_image, gathered_width(b));
    at = gather_tensor(g, b, b->mu, 1, 1, at);
    at = gather_tensor(g, b, b->sigma, 1, 1, at);
    at = gather_tensor(g, b, b->norm, 1, 1, at);
    at = gather_tensor(g, b, b->embedding, 1, embed, at);
    at = gather_tensor(g, b, b->z, layers * heads, d, at);
    if (b->mlp) at = gather_tensor(g, b, b->mlp, layers + 1, embed, at);
    if (b->mlp) at = gather_tensor(g, b, b->mlp_mean, layers + 1, 1, at);
    if (b->cls) at = gather_tensor(g, b, b->cls, layers, embed, at);
    if (b->cls) at = gather_tensor(g, b, b->cls_mean, layers, 1, at);
    if (b->tokens)
        at = gather_tensor(g, b, b->tokens, (size_t)b->token_layer_count * heads, (size_t)b->basis->tokens * d, at);
    assert_int_equal(at, g->per_image);
    memcpy(g->rows + g->images, b->index, b->images * sizeof *b->index);
    g->images += b->images;
    return CLIPSPAN_OK;
}

/* A clsp_range_fn that gathers straight from the source. */
static inline clipspan_status gather_range(void *user, uint64_t first, size_t n, const clipspan_batch *b,
                                           clipspan_error *err)
{
    (void)first;
    (void)n;
    return b->images ? gather_batch(user, b, err) : CLIPSPAN_OK;
}

#endif
