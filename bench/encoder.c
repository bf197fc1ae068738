/* encoder - the image encoder at its work, from decoded images in memory or from picture files; what bench/run.py drives.
 *
 *     bench_encoder MODEL [--dtype f32|bf16] [--batch B] [--threads T] [--list FILE]
 *
 * The protocol of every engine that is measured: prints {"ready": true, ...}; then reads lines "WHAT N", works through at
 * least N images and prints {"images": n, "seconds": s}; at the end of its input {"megabytes": peak memory}. WHAT:
 *     plain    embeddings alone
 *     heads    every head's contribution
 *     default  heads, MLPs and the class token's own share: what `clipspan decompose` keeps
 *     maps     heads, and a heat-map for one text at every head
 *     tokens   heads, and every head's contribution by source token
 * One batch of random pixels is used again and again; plain-files and heads-files decode the pictures of the list instead,
 * beside the work, as the command does.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "programs.h"
#include "clipspan/map.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { WHATS = 5, LAYERS_MOST = 256 };

/* One way of working: what is kept of a pass, and what is made of it. */
typedef struct way {
    const char *name;
    bool decomposes, maps;
    unsigned parts, capture;
} way;
static const way ways[WHATS] = {
    {"plain", false, false, 0, 0},
    {"heads", true, false, 0, 0},
    {"default", true, false, CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, CLSP_CAPTURE_MLP | CLSP_CAPTURE_CLS},
    {"maps", true, true, CLIPSPAN_PART_TOKENS, CLSP_CAPTURE_TOKENS},
    {"tokens", true, false, CLIPSPAN_PART_TOKENS, CLSP_CAPTURE_TOKENS},
};

/* The buffers of one way, made at its first use. */
typedef struct room {
    clsp_capture capture;
    clsp_contribution *contribution;
} room;

typedef struct job {
    const char *model_path, *list_path;
    clipspan_engine_options options;
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_images *images;
    size_t batch;
    float *pixels;     /* [batch, 3, S, S] */
    float *embeddings; /* [batch, E] */
    float *text;       /* [E], of unit length */
    float *map;        /* [batch, L, H, N] */
    unsigned char *ok; /* [batch] of ones */
    int layers[LAYERS_MOST];
    clsp_basis basis;
    room rooms[WHATS];
    const way *way; /* of the work in hand */
    double sum;     /* of what came out, so that nothing is left undone */
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

/* ---- making ready --------------------------------------------------------------------------------------------------- */

static void make_buffers(job *j)
{
    const clipspan_model_info *info = clipspan_model_get_info(j->model);
    size_t embed = (size_t)info->embed_dim, floats = j->batch * 3 * (size_t)info->image_size * (size_t)info->image_size;
    uint64_t state = 1;
    double length = 0;
    j->pixels = allocate(floats, sizeof *j->pixels);
    for (size_t i = 0; i < floats; i++) j->pixels[i] = 2 * uniform(&state);
    j->embeddings = allocate(j->batch * embed, sizeof *j->embeddings);
    j->text = allocate(embed, sizeof *j->text);
    for (size_t e = 0; e < embed; e++) j->text[e] = uniform(&state);
    for (size_t e = 0; e < embed; e++) length += (double)j->text[e] * (double)j->text[e];
    for (size_t e = 0; e < embed; e++) j->text[e] /= (float)sqrt(length);
    j->map = allocate(j->batch * (size_t)info->layers * (size_t)info->heads * (size_t)info->tokens, sizeof *j->map);
    j->ok = allocate(j->batch, 1);
    memset(j->ok, 1, j->batch);
    for (int l = 0; l < LAYERS_MOST; l++) j->layers[l] = l;
}

static room *room_of(job *j, const way *w)
{
    room *r = &j->rooms[w - ways];
    clipspan_error err;
    if (r->contribution != NULL || !w->decomposes) return r;
    int count = w->parts & CLIPSPAN_PART_TOKENS ? clipspan_model_get_info(j->model)->layers : 0;
    unsigned keep = CLSP_CAPTURE_Z | CLSP_CAPTURE_LAST | w->capture;
    if (j->basis.block == NULL) require(clsp_basis_make(&j->basis, j->model, &err), &err);
    require(clsp_capture_new(&r->capture, &j->model->vision, j->batch, keep, j->layers, count, &err), &err);
    require(clsp_contribution_new(&r->contribution, &j->basis, j->batch, w->parts, j->layers, count, &err), &err);
    return r;
}

static void make(job *j)
{
    clipspan_error err;
    require(clipspan_model_open(&j->model, j->model_path, NULL, &err), &err);
    require(clipspan_engine_open(&j->engine, j->model, &j->options, &err), &err);
    if (j->list_path) require(clipspan_images_open(&j->images, j->list_path, NULL, &err), &err);
    j->batch = (size_t)clipspan_engine_batch(j->engine);
    make_buffers(j);
}

/* ---- work ------------------------------------------------------------------------------------------------------------ */

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    job *j = user;
    clipspan_status status = CLIPSPAN_OK;
    if (j->way->maps) {
        status = clipspan_map_images(j->map, batch, CLIPSPAN_PAPER, NULL, j->text, 1, CLIPSPAN_MAP_HEAD, 0, err);
        j->sum += (double)j->map[0];
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
    room *r = room_of(j, j->way);
    const clipspan_batch *made = NULL;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_engine_forward(j->engine, j->pixels, j->batch, j->way->decomposes ? &r->capture : NULL, j->embeddings,
                                 err));
    if (!j->way->decomposes) return take_embeddings(j, 0, j->batch, j->embeddings, j->ok, err);
    CLSP_TRY(clsp_contribution_fill(r->contribution, &r->capture, j->embeddings, 0, j->batch, j->ok, &made, err));
    CLSP_TRY(take_batch(j, made, err));
out:
    return status;
}

static clipspan_status from_files(job *j, clipspan_error *err)
{
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    options.parts = j->way->parts;
    options.strict = 1;
    if (!j->way->decomposes)
        return clipspan_engine_embed_list(j->engine, j->images, 0, 1, take_embeddings, j, NULL, err);
    return clipspan_decompose_each(j->engine, j->images, &options, take_batch, j, NULL, err);
}

/* At least `images` of them. A list is gone through whole: its start, when nothing is decoded yet, counts too. */
static void work(job *j, size_t images, bool files)
{
    clipspan_error err;
    int before = clsp_threads(clipspan_engine_threads(j->engine));
    if (!files) room_of(j, j->way);
    double began = now();
    for (j->done = 0; j->done < images;) require(files ? from_files(j, &err) : from_memory(j, &err), &err);
    printf("{\"images\": %zu, \"seconds\": %.6f}\n", j->done, now() - began);
    fflush(stdout);
    clsp_threads(before);
}

/* A line "WHAT N" or "WHAT-files N". */
static void obey(job *j, const char *line)
{
    size_t length = strcspn(line, " "), name = length;
    bool files = length > 6 && strncmp(line + length - 6, "-files", 6) == 0 && j->images != NULL;
    if (files) name -= 6;
    j->way = NULL;
    for (size_t w = 0; w < WHATS; w++)
        if (strlen(ways[w].name) == name && strncmp(line, ways[w].name, name) == 0) j->way = &ways[w];
    if (j->way == NULL) {
        fprintf(stderr, "bench_encoder: no such work: %s", line);
        exit(2);
    }
    work(j, (size_t)strtoul(line + length, NULL, 10), files);
}

static void finish(job *j)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"megabytes\": %.1f, \"sum\": %g}\n", (double)usage.ru_maxrss / 1024, j->sum);
    for (size_t w = 0; w < WHATS; w++) {
        clsp_contribution_free(j->rooms[w].contribution);
        clsp_capture_free(&j->rooms[w].capture);
    }
    clsp_basis_clear(&j->basis);
    clsp_free(j->pixels), clsp_free(j->embeddings), clsp_free(j->text), clsp_free(j->map), clsp_free(j->ok);
    clipspan_images_free(j->images);
    clipspan_engine_free(j->engine);
    clipspan_model_free(j->model);
}

static bool parse(job *j, int argc, char **argv)
{
    if (argc < 2 || argc % 2 != 0) return false;
    *j = (job){.model_path = argv[1], .options = CLIPSPAN_ENGINE_OPTIONS_INIT};
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--dtype") == 0) j->options.dtype = strcmp(value, "bf16") == 0 ? CLIPSPAN_BF16 : CLIPSPAN_F32;
        else if (strcmp(argv[i], "--batch") == 0) j->options.batch = atoi(value);
        else if (strcmp(argv[i], "--threads") == 0) j->options.threads = atoi(value);
        else if (strcmp(argv[i], "--list") == 0) j->list_path = value;
        else return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static job j;
    char line[64];
    if (!parse(&j, argc, argv)) {
        fprintf(stderr, "usage: bench_encoder MODEL [--dtype f32|bf16] [--batch B] [--threads T] [--list FILE]\n");
        return 2;
    }
    make(&j);
    printf("{\"ready\": true, \"library\": \"clipspan with %s\", \"batch\": %zu, \"threads\": %d}\n", clsp_compute_name(),
           j.batch, clipspan_engine_threads(j.engine));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) obey(&j, line);
    finish(&j);
    return 0;
}
