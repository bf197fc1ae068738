/* retrieval DIR [IMAGES]: writes a store of IMAGES (default 1,000,000) images in DIR where there is none (f16; 2 layers of 4
 * heads, 64 wide; 128 joint dimensions; random numbers with structure), then times the search in it, beside what the
 * machine reads. About 1.6 GB and some minutes for a million images; SPEED.md has the figures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clipspan/retrieval.h"
#include "model/model.h"
#include "store/store.h"

enum { LAYERS = 2, HEADS = 4, WIDE = 64, JOINT = 128, ALL = LAYERS * HEADS, QUERIES = 20, NEAREST = 20 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static float uniform(uint64_t *state) /* [-1, 1) */
{
    return (float)((double)(next(state) >> 11) / 4503599627370496.0 - 1);
}

static float *numbers(size_t count, float scale, uint64_t seed)
{
    float *out = malloc(count * sizeof *out);
    for (size_t i = 0; out != NULL && i < count; i++) out[i] = scale * uniform(&seed);
    return out;
}

static clipspan_basis basis;

/* A batch made from the positions alone. */
static clipspan_status source(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                              const clipspan_hooks *hooks, clipspan_error *err)
{
    enum { STEP = 1024 };
    static float z[ALL * STEP * WIDE], mu[STEP], sigma[STEP], norm[STEP], embedding[STEP * JOINT];
    static uint64_t index[STEP];
    (void)user, (void)hooks;
    for (uint64_t at = first; at < first + count; at += STEP) {
        size_t n = (size_t)(first + count - at < STEP ? first + count - at : STEP);
        for (size_t i = 0; i < n; i++) {
            uint64_t state = at + i;
            index[i] = at + i;
            mu[i] = 0.1F * uniform(&state);
            sigma[i] = 1.5F + 0.2F * uniform(&state);
            norm[i] = 9 + uniform(&state);
            for (size_t h = 0; h < ALL; h++)
                for (size_t c = 0; c < WIDE; c++) z[(h * n + i) * WIDE + c] = 0.2F + uniform(&state);
            for (size_t e = 0; e < JOINT; e++) embedding[i * JOINT + e] = uniform(&state);
        }
        const clipspan_batch batch = {.basis = &basis, .images = n, .index = index, .z = z, .mu = mu, .sigma = sigma,
                                      .norm = norm, .embedding = embedding};
        clipspan_status status = fn(fn_user, at, n, &batch, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status write_store(const char *directory, size_t images, clipspan_error *err)
{
    char path[4200];
    clipspan_images *list = NULL;
    clipspan_model model = {0};
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    snprintf(path, sizeof path, "%s.csv", directory);
    FILE *file = fopen(path, "w");
    if (file == NULL) return clsp_fail_errno(err, "%s", path);
    fprintf(file, "path,group\n");
    for (size_t i = 0; i < images; i++) fprintf(file, "%07zu.jpg,%zu\n", i, i % 10);
    fclose(file);
    model.info = (clipspan_model_info){.name = "bench", .path = "bench", .family = "clip", .image_size = 16,
                                       .patch_size = 8, .tokens = 5, .layers = LAYERS, .heads = HEADS,
                                       .fingerprint = "00112233445566778899aabbccddeeff", .logit_scale = 100.0F};
    strcpy(model.fingerprint, model.info.fingerprint);
    options.decompose.parts = 0;
    options.half = 1;
    clipspan_status status = clipspan_images_open(&list, path, NULL, err);
    const clsp_store_job job = {.directory = directory, .model = &model, .images = list, .basis = &basis,
                                .options = &options, .batch = 1024, .source = source};
    if (status == CLIPSPAN_OK) status = clsp_store_run(&job, NULL, NULL, err);
    clipspan_images_free(list);
    return status;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What two of the machine's cores read at most: one array summed, as large as what a query reads. */
static double reading(uint64_t bytes)
{
    size_t count = (size_t)(bytes / 8);
    uint64_t *words = malloc(count * sizeof *words), sum = 0;
    double best = INFINITY;
    if (words == NULL) return 0;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) words[i] = i;
    for (int turn = 0; turn < 5; turn++) {
        double began = now();
#pragma omp parallel for schedule(static) reduction(+ : sum)
        for (size_t i = 0; i < count; i++) sum += words[i];
        best = fmin(best, now() - began);
    }
    free(words);
    return sum ? (double)bytes / best : 0;
}

static clipspan_status time_space(const clipspan_store *store, const unsigned char *heads, clipspan_error *err)
{
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_retrieval *retrieval = NULL;
    clipspan_retrieval_hit hits[NEAREST];
    double taken[QUERIES];
    size_t found;
    options.heads = heads;
    options.verify = CLIPSPAN_VERIFY_NEVER;
    double began = now();
    clipspan_status status = clipspan_retrieval_open(&retrieval, store, &options, NULL, err);
    double opened = now() - began;
    for (int q = 0; status == CLIPSPAN_OK && q < QUERIES; q++) {
        began = now();
        status = clipspan_retrieval_row(retrieval, (uint64_t)q * 37, 0, NEAREST, hits, &found, err);
        taken[q] = now() - began;
    }
    if (status == CLIPSPAN_OK) {
        const clipspan_retrieval_info info = clipspan_retrieval_get_info(retrieval);
        qsort(taken, QUERIES, sizeof *taken, by_size);
        double median = taken[QUERIES / 2], rate = (double)info.bytes / median, machine = reading(info.bytes);
        printf("%zu heads: opened with norms in %.2f s; a query %.1f ms (%.1f to %.1f), %.1f GB/s of the %.1f that plain "
               "reading gives: %.0f %%\n",
               info.heads, opened, 1e3 * median, 1e3 * taken[0], 1e3 * taken[QUERIES - 1], 1e-9 * rate, 1e-9 * machine,
               100 * rate / machine);
    }
    clipspan_retrieval_free(retrieval);
    return status;
}

int main(int argc, char **argv)
{
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_store *store = NULL;
    unsigned char one[ALL] = {0, 0, 0, 1}, all[ALL];
    char manifest[4200];
    if (argc < 2) return fprintf(stderr, "usage: %s DIR [IMAGES]\n", argv[0]), 2;
    size_t images = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) : 1000000;
    memset(all, 1, sizeof all);
    basis = (clipspan_basis){.layers = LAYERS, .heads = HEADS, .head_dim = WIDE, .embed_dim = JOINT, .tokens = 5,
                             .w = numbers((size_t)ALL * WIDE * JOINT, 0.2F, 1), .w_mean = numbers((size_t)ALL * WIDE, 0.1F, 2),
                             .ones = numbers(JOINT, 1, 3), .bias = numbers((size_t)LAYERS * JOINT, 0.3F, 4),
                             .bias_mean = numbers(LAYERS, 0.01F, 5), .constant = numbers(JOINT, 0.5F, 6)};
    snprintf(manifest, sizeof manifest, "%s/manifest.json", argv[1]);
    clipspan_status status = clsp_file_exists(manifest) ? CLIPSPAN_OK : write_store(argv[1], images, &err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, argv[1], &err);
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        printf("%llu images, %.2f GB, %llu shards, %s\n", (unsigned long long)info->images, 1e-9 * (double)info->bytes,
               (unsigned long long)info->shards, info->dtype);
        status = time_space(store, one, &err);
    }
    if (status == CLIPSPAN_OK) status = time_space(store, all, &err);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_store_free(store);
    return status == CLIPSPAN_OK ? 0 : 1;
}
