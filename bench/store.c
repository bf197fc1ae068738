/* store: writes a store of random numbers in the shape of a ViT-L-14 through the real writer and plays it back, beside plain
 * reading of the same bytes in the same run. --help has the options; SPEED.md the figures. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "programs.h"
#include "clipspan/store.h"
#include "model/model.h"
#include "store/store.h"

enum { LAYERS = 24, HEADS = 16, WIDE = 64, JOINT = 768, TOKENS = 257, STEP = 64, LAST = 4, TURNS = 5 };

static const char help[] =
    "store DIR [--images N] [--mlp] [--cold] [--json]\n"
    "Writes a store of N images (default 5,000) of random numbers, shaped as of ViT-L-14 (24 x 16 heads of 64, 768 joint\n"
    "dimensions), in f16, into DIR, which must not exist and is removed at the end; then reads it back. Full size: --images\n"
    "50000 (2.6 GB, with --mlp 4.6 GB). --cold also reads with the files dropped from the system's memory.\n"
    "--json: one object a line with name, value, unit and, where it is a ratio, what it is compared with (of).\n";

static bool json;

static void say(const char *name, double value, const char *unit, const char *of)
{
    if (json)
        printf("{\"name\": \"store: %s\", \"value\": %.6g, \"unit\": \"%s\", \"of\": \"%s\"}\n", name, value, unit, of);
    else
        printf("%-62s %10.3f %s%s%s\n", name, value, unit, *of ? " of " : "", of);
    fflush(stdout);
}

/* ---- invented batches ------------------------------------------------------------------------------------- */

static float *numbers(size_t count, float scale, uint64_t seed)
{
    float *out = malloc(count * sizeof *out);
    for (size_t i = 0; out != NULL && i < count; i++) out[i] = scale * uniform(&seed);
    return out;
}

typedef struct invention {
    clipspan_basis basis;
    clipspan_batch batch; /* of STEP images, the same for every batch but for the index */
    uint64_t index[STEP];
    double spent; /* seconds inside the writer */
} invention;

static clipspan_status source(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                              const clipspan_hooks *hooks, clipspan_error *err)
{
    invention *v = user;
    clipspan_status status = CLIPSPAN_OK;
    (void)hooks;
    for (uint64_t at = first; at < first + count && status == CLIPSPAN_OK; at += STEP) {
        for (size_t i = 0; i < STEP; i++) v->index[i] = at + i;
        status = fn(fn_user, at, STEP, &v->batch, err);
    }
    return status;
}

static bool invent(invention *v, bool mlp)
{
    size_t all = (size_t)LAYERS * HEADS * WIDE;
    v->basis = (clipspan_basis){.layers = LAYERS, .heads = HEADS, .head_dim = WIDE, .embed_dim = JOINT, .tokens = TOKENS,
                                .w = numbers(all * JOINT, 0.05F, 1), .w_mean = numbers(all, 0.1F, 2),
                                .ones = numbers(JOINT, 1, 3), .bias = numbers((size_t)LAYERS * JOINT, 0.3F, 4),
                                .bias_mean = numbers(LAYERS, 0.01F, 5), .constant = numbers(JOINT, 0.5F, 6)};
    v->batch = (clipspan_batch){.basis = &v->basis, .images = STEP, .index = v->index, .z = numbers(all * STEP, 1, 7),
                                .mu = numbers(STEP, 0.1F, 8), .sigma = numbers(STEP, 1, 9), .norm = numbers(STEP, 1, 10),
                                .embedding = numbers((size_t)STEP * JOINT, 0.5F, 11)};
    if (mlp) v->batch.mlp = numbers((size_t)(LAYERS + 1) * STEP * JOINT, 0.5F, 12);
    if (mlp) v->batch.mlp_mean = numbers((size_t)(LAYERS + 1) * STEP, 0.1F, 13);
    if (!v->basis.w || !v->basis.w_mean || !v->basis.ones || !v->basis.bias || !v->basis.bias_mean || !v->basis.constant ||
        !v->batch.z || !v->batch.mu || !v->batch.sigma || !v->batch.norm || !v->batch.embedding ||
        (mlp && (!v->batch.mlp || !v->batch.mlp_mean)))
        return false;
    for (size_t i = 0; i < STEP; i++) {
        float *sigma = (float *)v->batch.sigma, *norm = (float *)v->batch.norm;
        sigma[i] = 2 + sigma[i];
        norm[i] = 10 + norm[i];
    }
    return true;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static clipspan_status write_list(const char *path, size_t images, clipspan_error *err)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) return clsp_fail_errno(err, "%s", path);
    fprintf(file, "path\n");
    for (size_t i = 0; i < images; i++) fprintf(file, "val/n%08zu/ILSVRC2012_val_%08zu.JPEG\n", i / 50, i);
    return fclose(file) == 0 ? CLIPSPAN_OK : clsp_fail_errno(err, "%s", path);
}

static clipspan_status write_store(const char *directory, size_t images, invention *v, clipspan_error *err)
{
    char path[4200];
    clipspan_images *list = NULL;
    clipspan_model model = {0};
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    model.info = (clipspan_model_info){.name = "bench", .path = "bench", .family = "clip", .image_size = 224,
                                       .patch_size = 14, .tokens = TOKENS, .layers = LAYERS, .heads = HEADS,
                                       .fingerprint = "00112233445566778899aabbccddeeff", .logit_scale = 100.0F};
    strcpy(model.fingerprint, model.info.fingerprint);
    options.decompose.parts = v->batch.mlp ? CLIPSPAN_PART_MLP : 0;
    options.half = 1;
    snprintf(path, sizeof path, "%s.csv", directory);
    clipspan_status status = write_list(path, images, err);
    if (status == CLIPSPAN_OK) status = clipspan_images_open(&list, path, NULL, err);
    const clsp_store_job job = {.directory = directory, .model = &model, .images = list, .basis = &v->basis,
                                .options = &options, .batch = STEP, .source = source, .source_user = v};
    if (status == CLIPSPAN_OK) status = clsp_store_run(&job, NULL, NULL, err);
    clipspan_images_free(list);
    unlink(path);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* As cat does: one thread, 128 KB at a time, file after file. Bytes a second; drop: first out of the system's memory. */
static double plain(const clipspan_store *store, bool drop)
{
    static char buffer[1 << 17];
    double spent = 0, bytes = 0;
    for (size_t s = 0; s < store->manifest.shard_count; s++) {
        char *path = clsp_path_join(store->directory, store->manifest.shards[s].file.name);
        int file = path ? open(path, O_RDONLY) : -1;
        if (file >= 0 && drop) posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        double began = now();
        for (ssize_t got; file >= 0 && (got = read(file, buffer, sizeof buffer)) > 0;) bytes += (double)got;
        spent += now() - began;
        if (file >= 0) close(file);
        clsp_free(path);
    }
    return bytes / spent;
}

static void drop_all(const clipspan_store *store)
{
    for (size_t s = 0; s < store->manifest.shard_count; s++) {
        char *path = clsp_path_join(store->directory, store->manifest.shards[s].file.name);
        int file = path ? open(path, O_RDONLY) : -1;
        if (file >= 0) posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        if (file >= 0) close(file);
        clsp_free(path);
    }
}

static clipspan_status count_images(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    (void)err;
    *(size_t *)user += batch->images;
    return CLIPSPAN_OK;
}

/* Bytes of the store a second. fresh: opened anew, so that checksums are compared too. */
static clipspan_status play(const char *directory, const clipspan_store_selection *select, bool fresh, bool drop,
                            double *rate, clipspan_error *err)
{
    clipspan_store *store = NULL;
    clipspan_status status = clipspan_store_open(&store, directory, err);
    size_t images = 0;
    double bytes = 0;
    if (status != CLIPSPAN_OK) return status;
    if (!fresh) status = clipspan_store_each(store, select, count_images, &images, NULL, err);
    if (drop) drop_all(store);
    double began = now();
    if (status == CLIPSPAN_OK) status = clipspan_store_each(store, select, count_images, &images, NULL, err);
    double spent = now() - began;
    for (size_t f = 0; f < store->field_count; f++) {
        const clsp_field *field = &store->fields[f];
        bool in = field->kind != CLSP_FIELD_INDEX && (field->layer < 0 || !select->layers || select->layers[field->layer]);
        if (in) bytes += (double)(field->outer * field->inner * clsp_dtype_size(field->dtype));
    }
    *rate = bytes * (double)store->info.images / spent;
    clipspan_store_free(store);
    return status;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Medians of turns taken one after another, plain reading in between. */
static clipspan_status compare(const clipspan_store *store, const char *name, const clipspan_store_selection *select,
                               bool fresh, bool drop, clipspan_error *err)
{
    double ours[TURNS], theirs[TURNS], ratios[TURNS];
    char words[128];
    for (int t = 0; t < TURNS; t++) {
        theirs[t] = plain(store, drop);
        clipspan_status status = play(store->directory, select, fresh, drop, &ours[t], err);
        if (status != CLIPSPAN_OK) return status;
        ratios[t] = ours[t] / theirs[t];
    }
    qsort(ours, TURNS, sizeof *ours, by_size);
    qsort(theirs, TURNS, sizeof *theirs, by_size);
    qsort(ratios, TURNS, sizeof *ratios, by_size);
    say(name, 1e-9 * ours[TURNS / 2], "GB/s", "");
    snprintf(words, sizeof words, "%s, share", name);
    say(words, 100 * ratios[TURNS / 2], "%", drop ? "plain reading from the disk" : "plain reading (cat)");
    snprintf(words, sizeof words, "plain reading beside it (%.2f to %.2f)", 1e-9 * theirs[0], 1e-9 * theirs[TURNS - 1]);
    say(words, 1e-9 * theirs[TURNS / 2], "GB/s", "");
    return CLIPSPAN_OK;
}

static clipspan_status read_store(const char *directory, size_t images, bool cold, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_store *store = NULL;
    unsigned char last[LAYERS] = {0};
    clipspan_store_selection select = CLIPSPAN_STORE_SELECTION_INIT, four = select, of_512 = select;
    memset(last + LAYERS - LAST, 1, LAST);
    four.layers = last;
    of_512.batch = 512;
    CLSP_TRY(clipspan_store_open(&store, directory, err));
    say("size", 1e-9 * (double)store->info.bytes, "GB", "");
    double once = (double)(store->manifest.basis.bytes + store->manifest.moments.bytes);
    say("size at 50,000 images", 1e-9 * (once + ((double)store->info.bytes - once) / (double)images * 50000), "GB", "");
    CLSP_TRY(compare(store, "all layers, first reading, checksums compared", &select, true, false, err));
    CLSP_TRY(compare(store, "all layers, again", &select, false, false, err));
    CLSP_TRY(compare(store, "all layers, batches of 512, again", &of_512, false, false, err));
    CLSP_TRY(compare(store, "last 4 layers, first reading, checksums compared", &four, true, false, err));
    CLSP_TRY(compare(store, "last 4 layers, again", &four, false, false, err));
    if (cold) CLSP_TRY(compare(store, "all layers, from the disk, checksums compared", &select, true, true, err));
    if (cold) CLSP_TRY(compare(store, "last 4 layers, from the disk, checksums compared", &four, true, true, err));
out:
    clipspan_store_free(store);
    return status;
}

static void erase(const char *directory)
{
    clsp_manifest manifest;
    if (clsp_manifest_read(&manifest, directory, NULL) != CLIPSPAN_OK) return;
    for (size_t s = 0; s < manifest.shard_count; s++) {
        char *path = clsp_path_join(directory, manifest.shards[s].file.name);
        if (path != NULL) unlink(path);
        clsp_free(path);
    }
    static const char *const names[] = {CLSP_STORE_LIST, CLSP_STORE_BASIS, CLSP_STORE_MOMENTS, CLSP_STORE_LOCK,
                                        CLSP_STORE_MANIFEST};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = clsp_path_join(directory, names[i]);
        if (path != NULL) unlink(path);
        clsp_free(path);
    }
    rmdir(directory);
    clsp_manifest_clear(&manifest);
}

int main(int argc, char **argv)
{
    static invention v;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    size_t images = 5000;
    bool mlp = false, cold = false, bad = argc < 2 || argv[1][0] == '-';
    for (int a = 2; a < argc && !bad; a++) {
        if (strcmp(argv[a], "--mlp") == 0)
            mlp = true;
        else if (strcmp(argv[a], "--cold") == 0)
            cold = true;
        else if (strcmp(argv[a], "--json") == 0)
            json = true;
        else if (strcmp(argv[a], "--images") == 0 && a + 1 < argc)
            images = (size_t)strtoull(argv[++a], NULL, 10);
        else
            bad = true;
    }
    images = (images + STEP - 1) / STEP * STEP;
    struct stat about;
    if (bad || images == 0) return fputs(help, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr), argc != 2;
    if (stat(argv[1], &about) == 0) return fprintf(stderr, "%s is there already\n", argv[1]), 1;
    if (!invent(&v, mlp)) return fprintf(stderr, "out of memory\n"), 1;
    double began = now();
    clipspan_status status = write_store(argv[1], images, &v, &err);
    say("written, moments and sync included", (double)images / (now() - began), "images/s", "");
    if (status == CLIPSPAN_OK) status = read_store(argv[1], images, cold, &err);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    erase(argv[1]);
    return status == CLIPSPAN_OK ? 0 : 1;
}
