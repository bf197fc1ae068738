/* Configuration files of models: the bytes stand as config.json, then as open_clip_config.json, then as
 * preprocessor_config.json. A reader may refuse; what it accepts must divide and stay within its bounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLSP_ROOM_MODEL 1 /* the readers are private to the room */
#include "model/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const clipspan_model *m)
{
    const clsp_vision *v = &m->vision;
    const clsp_tower_config *t = &m->text.config;
    if (v->config.width != v->config.heads * v->config.head_dim || t->width != t->heads * t->head_dim) abort();
    if (v->grid < 1 || v->grid * v->patch_size != v->image_size || v->tokens != v->grid * v->grid + 1) abort();
    if (m->embed_dim < 1 || v->config.mlp_width < 1 || t->mlp_width < 1 || m->text.eot_id >= m->text.vocab_size) abort();
    if (!(v->config.ln_eps > 0)) abort();
}

static char scratch[64];

static void remove_folder(void)
{
    rmdir(scratch);
}

static const char *folder(void)
{
    if (!scratch[0]) {
        snprintf(scratch, sizeof scratch, "/tmp/clipspan-fuzz-XXXXXX");
        if (mkdtemp(scratch) == NULL || atexit(remove_folder) != 0) abort();
    }
    return scratch;
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];
    const char *note;
    clipspan_error err;
    clsp_preprocess preprocess;
    snprintf(path, sizeof path, "%s/preprocessor_config.json", folder());
    write_file(path, data, size);
    clipspan_model first = {.embed_dim = 0}, second = {.embed_dim = 0};
    if (clsp_config_huggingface(&first, path, &err) == CLIPSPAN_OK) check(&first);
    if (clsp_config_open_clip(&second, path, &err) == CLIPSPAN_OK) check(&second);
    if (clsp_preprocess_huggingface(&preprocess, folder(), 224, &note, &err) == CLIPSPAN_OK && preprocess.size != 224) abort();
    unlink(path);
    return 0;
}
