/* textspan DIR IMAGES [moments]: writes a synthetic store of ViT-L-14's shape through the real writer (24 layers of 16 heads,
 * 64 wide, 768 joint dimensions, f16; or moments alone), for bench/texts.py. Numbers are random with a falling spectrum. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"
#include "model/model.h"
#include "store/store.h"

enum { LAYERS = 24, HEADS = 16, WIDE = 64, JOINT = 768, ALL = LAYERS * HEADS, BATCH = 64 };

/* A batch made from the positions alone: factor c of a head falls with c. */
static clipspan_status source(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                              const clipspan_hooks *hooks, clipspan_error *err)
{
    static float z[ALL * BATCH * WIDE], mu[BATCH], sigma[BATCH], norm[BATCH], embedding[BATCH * JOINT], fall[WIDE];
    static uint64_t index[BATCH];
    (void)hooks;
    for (size_t c = 0; c < WIDE; c++) fall[c] = c == 0 ? 0.3F : 0.94F * fall[c - 1];
    for (uint64_t at = first; at < first + count; at += BATCH) {
        size_t n = (size_t)(first + count - at < BATCH ? first + count - at : BATCH);
        for (size_t i = 0; i < n; i++) {
            uint64_t state = (at + i) << 20;
            index[i] = at + i;
            mu[i] = 0.1F * uniform(&state);
            sigma[i] = 1.5F + 0.2F * uniform(&state);
            norm[i] = 9 + uniform(&state);
            for (size_t h = 0; h < ALL; h++)
                for (size_t c = 0; c < WIDE; c++) z[(h * n + i) * WIDE + c] = fall[c] * (0.5F + uniform(&state));
            for (size_t e = 0; e < JOINT; e++) embedding[i * JOINT + e] = uniform(&state);
        }
        const clipspan_batch batch = {.basis = user, .images = n, .index = index, .z = z, .mu = mu, .sigma = sigma,
                                      .norm = norm, .embedding = embedding};
        clipspan_status status = fn(fn_user, at, n, &batch, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status open_list(clipspan_images **list, const char *directory, size_t images, clipspan_error *err)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.csv", directory);
    FILE *file = fopen(path, "w");
    if (file == NULL) return clsp_fail_errno(err, "%s", path);
    fprintf(file, "path\n");
    for (size_t i = 0; i < images; i++) fprintf(file, "%07zu.jpg\n", i);
    fclose(file);
    return clipspan_images_open(list, path, NULL, err);
}

static clipspan_status write_store(const char *directory, size_t images, bool moments, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images *list = NULL;
    clipspan_model model = {0};
    clipspan_basis basis = {.layers = LAYERS, .heads = HEADS, .head_dim = WIDE, .embed_dim = JOINT, .tokens = 257};
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    clipspan_store_options options = CLIPSPAN_STORE_OPTIONS_INIT;
    float *block = NULL;
    size_t total;
    uint64_t state = 1;
    if (!clsp_basis_parts(&basis, parts, &total)) return clsp_fail_memory(err);
    CLSP_ALLOC(block, clsp_alloc(total, sizeof *block));
    for (size_t i = 0; i < total; i++) block[i] = 0.05F * uniform(&state);
    for (size_t p = 0; p < CLSP_BASIS_PARTS; p++) *parts[p].field = block + parts[p].offset;
    model.info = (clipspan_model_info){.name = "bench", .path = "bench", .family = "clip", .image_size = 224,
                                       .patch_size = 14, .tokens = 257, .layers = LAYERS, .heads = HEADS,
                                       .fingerprint = "00112233445566778899aabbccddeeff", .logit_scale = 100.0F};
    strcpy(model.fingerprint, model.info.fingerprint);
    options.decompose.parts = 0;
    options.half = !moments;
    options.moments_only = moments;
    CLSP_TRY(open_list(&list, directory, images, err));
    const clsp_store_job job = {.directory = directory, .model = &model, .images = list, .basis = &basis,
                                .options = &options, .batch = BATCH, .source = source, .source_user = &basis};
    CLSP_TRY(clsp_store_run(&job, NULL, NULL, err));
out:
    clipspan_images_free(list);
    clsp_free(block);
    return status;
}

int main(int argc, char **argv)
{
    clipspan_error err = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: textspan DIR IMAGES [moments]\n");
        return 2;
    }
    if (write_store(argv[1], strtoull(argv[2], NULL, 10), argc > 3, &err) == CLIPSPAN_OK) return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}
