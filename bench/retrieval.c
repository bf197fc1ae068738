/* retrieval: the nearest of a million images of random numbers with structure, beside what the machine reads at that moment.
 * --help has the options; SPEED.md the figures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"
#include "clipspan/retrieval.h"
#include "model/model.h"
#include "store/store.h"

enum { LAYERS = 2, HEADS = 4, WIDE = 64, JOINT = 128, ALL = LAYERS * HEADS, QUERIES = 40, NEAREST = 20 };

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

/* Plain reading: an array of as many bytes as a query reads, summed on all threads. */
typedef struct plain {
    uint64_t *words, sum;
    size_t count;
} plain;

static double read_plainly(plain *p) /* seconds */
{
    uint64_t sum = 0;
    double began = now();
#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (size_t i = 0; i < p->count; i++) sum += p->words[i];
    p->sum += sum; /* so that it is computed */
    return now() - began;
}

static bool plain_open(plain *p, uint64_t bytes)
{
    *p = (plain){.count = (size_t)(bytes / 8)};
    p->words = malloc(p->count * sizeof *p->words);
    if (p->words == NULL) return false;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < p->count; i++) p->words[i] = i;
    return true;
}

static bool json;

static void say(const char *space, const char *what, double value, const char *unit, const char *of)
{
    if (json)
        printf("{\"name\": \"retrieval: %s, %s\", \"value\": %.6g, \"unit\": \"%s\", \"of\": \"%s\"}\n", space, what, value,
               unit, of);
    else
        printf("%s, %s: %.4g %s%s%s\n", space, what, value, unit, *of ? " of " : "", of);
    fflush(stdout);
}

/* Queries and plain reading in turn, so that both have the machine as it is at that moment. */
static clipspan_status time_queries(const clipspan_retrieval *retrieval, const char *space, clipspan_error *err)
{
    const clipspan_retrieval_info info = clipspan_retrieval_get_info(retrieval);
    clipspan_retrieval_hit hits[NEAREST];
    double taken[QUERIES], plainly[QUERIES], shares[QUERIES];
    plain p;
    size_t found;
    clipspan_status status = plain_open(&p, info.bytes) ? CLIPSPAN_OK : clsp_fail_memory(err);
    for (int q = -1; status == CLIPSPAN_OK && q < QUERIES; q++) { /* the first maps what is not mapped yet */
        double before = read_plainly(&p), began = now();
        status = clipspan_retrieval_row(retrieval, (uint64_t)(q + 1) * 37, 0, NEAREST, hits, &found, err);
        double spent = now() - began, around = 0.5 * (before + read_plainly(&p));
        if (q < 0) continue;
        taken[q] = spent;
        plainly[q] = around;
        shares[q] = 100 * around / spent;
    }
    free(p.words);
    if (status != CLIPSPAN_OK) return status;
    qsort(taken, QUERIES, sizeof *taken, by_size);
    qsort(plainly, QUERIES, sizeof *plainly, by_size);
    qsort(shares, QUERIES, sizeof *shares, by_size);
    say(space, "a query, median", 1e3 * taken[QUERIES / 2], "ms", "");
    say(space, "a query, least", 1e3 * taken[0], "ms", "");
    say(space, "a query, most", 1e3 * taken[QUERIES - 1], "ms", "");
    say(space, "read", 1e-9 * (double)info.bytes / taken[QUERIES / 2], "GB/s", "");
    say(space, "plain reading beside it", 1e-9 * (double)info.bytes / plainly[QUERIES / 2], "GB/s", "");
    say(space, "share, median", shares[QUERIES / 2], "%", "plain reading of as many bytes, taken before and after each query");
    say(space, "share, quarter", shares[QUERIES / 4], "%", "the same");
    say(space, "share, three quarters", shares[QUERIES * 3 / 4], "%", "the same");
    return status;
}

static clipspan_status time_space(const clipspan_store *store, const unsigned char *heads, const char *space,
                                  clipspan_error *err)
{
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_retrieval *retrieval = NULL;
    options.heads = heads;
    options.verify = CLIPSPAN_VERIFY_NEVER;
    double began = now();
    clipspan_status status = clipspan_retrieval_open(&retrieval, store, &options, NULL, err);
    if (status == CLIPSPAN_OK) say(space, "opened with norms", now() - began, "s", "");
    if (status == CLIPSPAN_OK) status = time_queries(retrieval, space, err);
    clipspan_retrieval_free(retrieval);
    return status;
}

static const char help[] =
    "retrieval DIR [--images N] [--json]\n"
    "Writes a store of N images (default 1,000,000; small: 100000) into DIR where there is none (f16; 2 layers of 4 heads, 64\n"
    "wide; 128 joint dimensions; 1.4 GB for a million), then times the search for the 20 nearest to an image by one head and\n"
    "by all 8, beside plain reading of as many bytes on the same threads, in turn. DIR is left; remove it yourself.\n"
    "--json: one object a line with name, value, unit and, where it is a ratio, what it is compared with (of).\n";

int main(int argc, char **argv)
{
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    clipspan_store *store = NULL;
    unsigned char one[ALL] = {0, 0, 0, 1}, all[ALL];
    size_t images = 1000000;
    bool bad = argc < 2 || argv[1][0] == '-';
    for (int a = 2; a < argc && !bad; a++) {
        if (strcmp(argv[a], "--json") == 0)
            json = true;
        else if (strcmp(argv[a], "--images") == 0 && a + 1 < argc)
            images = (size_t)strtoull(argv[++a], NULL, 10);
        else
            bad = true;
    }
    if (bad) return fputs(help, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr), argc != 2;
    memset(all, 1, sizeof all);
    basis = (clipspan_basis){.layers = LAYERS, .heads = HEADS, .head_dim = WIDE, .embed_dim = JOINT, .tokens = 5,
                             .w = numbers((size_t)ALL * WIDE * JOINT, 0.2F, 1), .w_mean = numbers((size_t)ALL * WIDE, 0.1F, 2),
                             .ones = numbers(JOINT, 1, 3), .bias = numbers((size_t)LAYERS * JOINT, 0.3F, 4),
                             .bias_mean = numbers(LAYERS, 0.01F, 5), .constant = numbers(JOINT, 0.5F, 6)};
    clipspan_status status = clipspan_store_open(&store, argv[1], NULL);
    if (status != CLIPSPAN_OK || !clipspan_store_get_info(store)->complete) {
        clipspan_store_free(store);
        store = NULL;
        status = write_store(argv[1], images, &err); /* or what a killed run left to do */
        if (status == CLIPSPAN_OK) status = clipspan_store_open(&store, argv[1], &err);
    }
    if (status == CLIPSPAN_OK) {
        const clipspan_store_info *info = clipspan_store_get_info(store);
        say("store", "images", (double)info->images, "images", "");
        say("store", "size", 1e-9 * (double)info->bytes, "GB", "");
        status = time_space(store, one, "1 head", &err);
    }
    if (status == CLIPSPAN_OK) status = time_space(store, all, "8 heads", &err);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_store_free(store);
    return status == CLIPSPAN_OK ? 0 : 1;
}
