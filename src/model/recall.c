/* The fingerprint of a model whose files have not changed since it was made: to read every byte of them at each start would
 * cost more than everything else.
 *
 *   <cache>/<key>.model   32 bytes  the fingerprint, hex
 *                         32 bytes  XXH3-128, hex, of the key and the fingerprint
 * key: XXH3-128, hex, of the configuration, of which tensors are used, and of each file's device, inode, size and times of
 * last modification and change, in nanoseconds. A file that was changed just before it was opened is not remembered: its
 * times could stay the same in a change that follows. */
#include "model/parts.h"

#include <string.h>

enum { HEX = CLSP_HASH_HEX - 1 };

static clipspan_status make_key(char key[CLSP_HASH_HEX], bool *settled, const clipspan_model *model, const bool *used,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_hasher *hasher;
    CLSP_ALLOC(hasher, clsp_hasher_new());
    CLSP_TRY(clsp_fingerprint_configuration(hasher, model, err));
    clsp_hasher_add(hasher, used, clsp_safetensors_count(model->weights) * sizeof *used);
    *settled = clsp_safetensors_identify(model->weights, hasher);
    clsp_hasher_hex(hasher, key);
out:
    clsp_hasher_free(hasher);
    return status;
}

/* check: of key and fingerprint. */
static void make_check(char check[CLSP_HASH_HEX], const char *key, const char *fingerprint)
{
    char both[2 * HEX];
    memcpy(both, key, HEX);
    memcpy(both + HEX, fingerprint, HEX);
    clsp_hash_hex(check, both, sizeof both);
}

static bool recall(clipspan_model *model, const char *path, const char *key)
{
    char *text, check[CLSP_HASH_HEX];
    size_t size;
    if (!clsp_file_exists(path) || clsp_file_read(&text, &size, path, 2 * HEX, NULL) != CLIPSPAN_OK) return false;
    make_check(check, key, text);
    bool good = size == 2 * HEX && memcmp(check, text + HEX, HEX) == 0;
    if (good)
        memcpy(model->fingerprint, text, HEX);
    else
        clsp_model_warn(model, path, "damaged: the model is read anew");
    clsp_free(text);
    return good;
}

static clipspan_status remember(const clipspan_model *model, const char *path, const char *key, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_output output = {0};
    char check[CLSP_HASH_HEX];
    make_check(check, key, model->fingerprint);
    CLSP_TRY(clsp_directory_make(model->cache, err));
    CLSP_TRY(clsp_output_open_file(&output, path, err));
    CLSP_TRY(clsp_output_write(&output, model->fingerprint, HEX, err));
    CLSP_TRY(clsp_output_write(&output, check, HEX, err));
    CLSP_TRY(clsp_output_commit(&output, err));
out:
    clsp_output_discard(&output);
    return status;
}

clipspan_status clsp_fingerprint_recall(clipspan_model *model, const bool *used, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_error problem;
    char key[CLSP_HASH_HEX], *path = NULL;
    bool settled = false;
    if (model->cache == NULL) return clsp_fingerprint_make(model, used, err);
    CLSP_TRY(make_key(key, &settled, model, used, err));
    CLSP_ALLOC(path, clsp_format("%s/%s.model", model->cache, key));
    if (settled && recall(model, path, key)) goto out;
    CLSP_TRY(clsp_fingerprint_make(model, used, err));
    if (settled && remember(model, path, key, &problem) != CLIPSPAN_OK)
        clsp_model_warn(model, "the fingerprint is not kept for the next start", problem.message);
out:
    clsp_free(path);
    return status;
}
