/* encoder - the image encoder at its work, from decoded images in memory or from picture files; what bench/run.py drives.
 *
 *     bench_encoder MODEL WHAT [--dtype f32|bf16] [--batch B] [--threads T] [--list FILE]
 *
 * WHAT: plain    embeddings alone
 *       heads    every head's contribution
 *       default  heads, MLPs and the class token's own share: what `clipspan decompose` keeps
 *       maps     heads, and a heat-map for one text at every head
 *       tokens   heads, and every head's contribution by source token
 * With --list the pictures of a text list are decoded beside the work, as the command does; without, one batch of random
 * pixels is used again and again.
 *
 * The protocol of every engine that is measured: prints {"ready": true, ...}; then for each line N from its input it
 * works through at least N images and prints {"images": n, "seconds": s}; at the end of its input {"megabytes": peak memory}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "clipspan/map.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

typedef enum what { PLAIN, HEADS, DEFAULT, MAPS, TOKENS, WHATS } what;
static const char *const what_names[WHATS] = {"plain", "heads", "default", "maps", "tokens"};
static const unsigned parts_of[WHATS] = {
    [DEFAULT] = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, [MAPS] = CLIPSPAN_PART_TOKENS, [TOKENS] = CLIPSPAN_PART_TOKENS};

typedef struct job {
    what what;
    const char *model_path, *list_path;
    clipspan_engine_options options;
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_images *images;
    float *pixels;     /* [batch, 3, S, S] */
    float *embeddings; /* [batch, E] */
    float *text;       /* [E], of unit length */
    float *map;        /* [L, H, N] */
    unsigned char *ok; /* [batch] of ones */
    clsp_basis basis;
    clsp_capture capture;
    clsp_contribution *contribution;
    double sum; /* of what came out, so that nothing is left undone */
    size_t done;
} job;

static void require(clipspan_status status, const clipspan_error *err)
{
    if (status == CLIPSPAN_OK) return;
    fprintf(stderr, "bench_encoder: %s\n", err->message);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    clipspan_error err;
    void *block = clsp_alloc_aligned(count, size);
    if (block == NULL) require(clsp_fail_memory(&err), &err);
    return block;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float uniform(uint64_t *state) /* [-1, 1) */
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (float)((double)(*state >> 11) / 4503599627370496.0 - 1.0);
}

/* ---- making ready --------------------------------------------------------------------------------------------------- */

static void make_buffers(job *j)
{
    const clipspan_model_info *info = clipspan_model_get_info(j->model);
    size_t batch = (size_t)clipspan_engine_batch(j->engine), embed = (size_t)info->embed_dim;
    size_t floats = batch * 3 * (size_t)info->image_size * (size_t)info->image_size;
    uint64_t state = 1;
    j->pixels = allocate(floats, sizeof *j->pixels);
    for (size_t i = 0; i < floats; i++) j->pixels[i] = 2 * uniform(&state);
    j->embeddings = allocate(batch * embed, sizeof *j->embeddings);
    j->text = allocate(embed, sizeof *j->text);
    for (size_t e = 0; e < embed; e++) j->text[e] = uniform(&state) * 0.07F;
    j->map = allocate((size_t)info->layers * (size_t)info->heads * (size_t)info->tokens, sizeof *j->map);
    j->ok = allocate(batch, 1);
    memset(j->ok, 1, batch);
}

static void make_decomposition(job *j)
{
    const clipspan_model_info *info = clipspan_model_get_info(j->model);
    size_t batch = (size_t)clipspan_engine_batch(j->engine);
    unsigned parts = parts_of[j->what], keep = CLSP_CAPTURE_Z | CLSP_CAPTURE_LAST;
    int layers[256], count = parts & CLIPSPAN_PART_TOKENS ? info->layers : 0;
    clipspan_error err;
    for (int l = 0; l < count; l++) layers[l] = l;
    if (parts & CLIPSPAN_PART_MLP) keep |= CLSP_CAPTURE_MLP;
    if (parts & CLIPSPAN_PART_CLS) keep |= CLSP_CAPTURE_CLS;
    if (parts & CLIPSPAN_PART_TOKENS) keep |= CLSP_CAPTURE_TOKENS;
    require(clsp_basis_make(&j->basis, j->model, &err), &err);
    int *kept = allocate(256, sizeof *kept); /* borrowed until the end */
    memcpy(kept, layers, (size_t)count * sizeof *kept);
    require(clsp_capture_new(&j->capture, &j->model->vision, batch, keep, kept, count, &err), &err);
    require(clsp_contribution_new(&j->contribution, &j->basis, batch, parts, kept, count, &err), &err);
}

static void make(job *j)
{
    clipspan_error err;
    require(clipspan_model_open(&j->model, j->model_path, NULL, &err), &err);
    require(clipspan_engine_open(&j->engine, j->model, &j->options, &err), &err);
    if (j->list_path) require(clipspan_images_open(&j->images, j->list_path, NULL, &err), &err);
    make_buffers(j);
    if (j->what != PLAIN && !j->list_path) make_decomposition(j);
}

/* ---- work ------------------------------------------------------------------------------------------------------------ */

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    job *j = user;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; status == CLIPSPAN_OK && j->what == MAPS && i < batch->images; i++) {
        status = clipspan_map_batch(j->map, batch, i, CLIPSPAN_PAPER, NULL, j->text, 1, CLIPSPAN_MAP_HEAD, 0, err);
        j->sum += (double)j->map[i];
    }
    j->sum += (double)batch->z[0];
    j->done += batch->images;
    return status;
}

static clipspan_status take_embeddings(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                                       clipspan_error *err)
{
    job *j = user;
    (void)first, (void)ok, (void)err;
    j->sum += (double)embeddings[0];
    j->done += n;
    return CLIPSPAN_OK;
}

static clipspan_status from_memory(job *j, clipspan_error *err)
{
    size_t batch = (size_t)clipspan_engine_batch(j->engine);
    const clipspan_batch *made = NULL;
    clipspan_status status = CLIPSPAN_OK;
    if (j->what == PLAIN) {
        CLSP_TRY(clsp_engine_forward(j->engine, j->pixels, batch, NULL, j->embeddings, err));
        return take_embeddings(j, 0, batch, j->embeddings, j->ok, err);
    }
    CLSP_TRY(clsp_engine_forward(j->engine, j->pixels, batch, &j->capture, j->embeddings, err));
    CLSP_TRY(clsp_contribution_fill(j->contribution, &j->capture, j->embeddings, 0, batch, j->ok, &made, err));
    CLSP_TRY(take_batch(j, made, err));
out:
    return status;
}

static clipspan_status from_files(job *j, clipspan_error *err)
{
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    options.parts = parts_of[j->what];
    options.strict = 1;
    if (j->what == PLAIN) return clipspan_engine_embed_list(j->engine, j->images, 0, 1, take_embeddings, j, NULL, err);
    return clipspan_decompose_each(j->engine, j->images, &options, take_batch, j, NULL, err);
}

/* At least `images` of them. A list is gone through whole, once at least: its start and end are part of the time. */
static void work(job *j, size_t images)
{
    clipspan_error err;
    int before = clsp_threads(clipspan_engine_threads(j->engine));
    double began = now();
    for (j->done = 0; j->done < images;) require(j->images ? from_files(j, &err) : from_memory(j, &err), &err);
    printf("{\"images\": %zu, \"seconds\": %.6f}\n", j->done, now() - began);
    fflush(stdout);
    clsp_threads(before);
}

static void finish(job *j)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"megabytes\": %.1f, \"sum\": %g}\n", (double)usage.ru_maxrss / 1024, j->sum);
    clsp_contribution_free(j->contribution);
    if (j->what != PLAIN && !j->images) clsp_free((void *)(uintptr_t)j->capture.token_layers);
    clsp_capture_free(&j->capture);
    clsp_basis_clear(&j->basis);
    clsp_free(j->pixels), clsp_free(j->embeddings), clsp_free(j->text), clsp_free(j->map), clsp_free(j->ok);
    clipspan_images_free(j->images);
    clipspan_engine_free(j->engine);
    clipspan_model_free(j->model);
}

static bool parse(job *j, int argc, char **argv)
{
    if (argc < 3 || argc % 2 == 0) return false;
    *j = (job){.model_path = argv[1], .what = WHATS, .options = CLIPSPAN_ENGINE_OPTIONS_INIT};
    for (int w = 0; w < WHATS; w++)
        if (strcmp(argv[2], what_names[w]) == 0) j->what = (what)w;
    for (int i = 3; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--dtype") == 0) j->options.dtype = strcmp(value, "bf16") == 0 ? CLIPSPAN_BF16 : CLIPSPAN_F32;
        else if (strcmp(argv[i], "--batch") == 0) j->options.batch = atoi(value);
        else if (strcmp(argv[i], "--threads") == 0) j->options.threads = atoi(value);
        else if (strcmp(argv[i], "--list") == 0) j->list_path = value;
        else return false;
    }
    return j->what != WHATS;
}

int main(int argc, char **argv)
{
    job j;
    char line[64];
    if (!parse(&j, argc, argv)) {
        fprintf(stderr, "usage: bench_encoder MODEL plain|heads|default|maps|tokens [--dtype f32|bf16] [--batch B] "
                        "[--threads T] [--list FILE]\n");
        return 2;
    }
    make(&j);
    printf("{\"ready\": true, \"library\": \"clipspan with %s\", \"batch\": %d, \"threads\": %d}\n", clsp_compute_name(),
           clipspan_engine_batch(j.engine), clipspan_engine_threads(j.engine));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) work(&j, (size_t)strtoul(line, NULL, 10));
    finish(&j);
    return 0;
}
