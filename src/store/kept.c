/* Derived numbers in a file of their own, so that they are found again. */
#include <string.h>

#include "formats/safetensors.h"
#include "store/view.h"

clipspan_status clsp_kept_write(const float *values, size_t count, const char *path, const char *key,
                                clipspan_error *err)
{
    char hash[CLSP_HASH_HEX];
    clsp_safetensors_writer *writer = NULL;
    const clsp_tensor_plan plan = {.name = "values", .dtype = CLSP_F32, .dims = 1, .shape = {count}};
    clsp_hash_hex(hash, values, count * sizeof *values);
    const char *const metadata[] = {"format", "clipspan-kept-1", "key", key, "hash", hash, NULL};
    clipspan_status status = clsp_safetensors_writer_open(&writer, path, &plan, 1, metadata, err);
    if (status == CLIPSPAN_OK) status = clsp_safetensors_writer_add(writer, values, count * sizeof *values, err);
    if (status == CLIPSPAN_OK) return clsp_safetensors_writer_commit(writer, NULL, err);
    clsp_safetensors_writer_discard(writer);
    return status;
}

/* Damage is not named: what is wrong is derived anew and written over. */
static bool is_whole(const clsp_safetensors *file, const float *values, size_t count)
{
    char hash[CLSP_HASH_HEX];
    const char *said = clsp_safetensors_metadata(file, "hash");
    clsp_hash_hex(hash, values, count * sizeof *values);
    return said != NULL && strcmp(said, hash) == 0;
}

clipspan_status clsp_kept_read(float *values, size_t count, const char *path, const char *key, bool *fits,
                               clipspan_error *err)
{
    clsp_safetensors *file = NULL;
    *fits = false;
    if (!clsp_file_exists(path)) return CLIPSPAN_OK;
    clipspan_status status = clsp_safetensors_open(&file, path, NULL);
    const char *format = status ? NULL : clsp_safetensors_metadata(file, "format");
    if (status == CLIPSPAN_ERROR_MEMORY)
        status = clsp_fail_memory(err);
    else if (format == NULL || strcmp(format, "clipspan-kept-1") != 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s is there and no file of norms: it is not written over", path);
    const clsp_tensor *tensor = status ? NULL : clsp_safetensors_find(file, "values");
    const char *found = status ? NULL : clsp_safetensors_metadata(file, "key");
    if (tensor != NULL && tensor->dtype == CLSP_F32 && tensor->count == count && found && strcmp(found, key) == 0) {
        memcpy(values, tensor->data, count * sizeof *values);
        *fits = is_whole(file, values, count);
    }
    clsp_safetensors_free(file);
    return status;
}
