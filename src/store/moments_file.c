/* Moments and the basis as safetensors files.
 *
 *   moments   images I64 [1]   skipped I64 [S]   paper.sum F64 [L, H, d + 3]   paper.second F64 [L, H, (d+3)(d+4)/2]
 *             exact.sum F64 [L, H, d + 1]   exact.second F64 [L, H, (d+1)(d+2)/2]; lower triangles, row by row
 *   basis     w F32 [L, H, d, E]   w_mean [L, H, d]   ones [E]   bias [L, E]   bias_mean [L]   constant [E]
 */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const char *const sum_names[2] = {"paper.sum", "exact.sum"};
static const char *const second_names[2] = {"paper.second", "exact.second"};

static size_t sum_count(const clipspan_basis *b, int c)
{
    return (size_t)b->layers * (size_t)b->heads * clsp_head_width(b, c);
}

static size_t second_count(const clipspan_basis *b, int c)
{
    return (size_t)b->layers * (size_t)b->heads * clsp_moments_packed(b, c);
}

static clsp_tensor_plan head_plan(const char *name, const clipspan_basis *b, size_t width)
{
    return (clsp_tensor_plan){name, CLSP_F64, 3, {(size_t)b->layers, (size_t)b->heads, width}};
}

clipspan_status clsp_moments_write(const clipspan_moments *moments, const uint64_t *skipped, size_t skipped_count,
                                   const char *directory, clsp_store_file *file, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    clsp_safetensors_writer *writer = NULL;
    const clipspan_basis *b = &moments->basis;
    clsp_tensor_plan plans[6] = {{"images", CLSP_I64, 1, {1}}, {"skipped", CLSP_I64, 1, {skipped_count}}};
    for (int c = 0; c < 2; c++) {
        plans[2 + 2 * c] = head_plan(sum_names[c], b, clsp_head_width(b, c));
        plans[3 + 2 * c] = head_plan(second_names[c], b, clsp_moments_packed(b, c));
    }
    CLSP_ALLOC(path, clsp_path_join(directory, file->name));
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, 6, NULL, err));
    CLSP_TRY(clsp_safetensors_writer_add(writer, &moments->images, sizeof moments->images, err));
    if (skipped_count > 0) CLSP_TRY(clsp_safetensors_writer_add(writer, skipped, skipped_count * sizeof *skipped, err));
    for (int c = 0; c < 2; c++) {
        CLSP_TRY(clsp_safetensors_writer_add(writer, moments->sum[c], sum_count(b, c) * sizeof(double), err));
        CLSP_TRY(clsp_safetensors_writer_add(writer, moments->second[c], second_count(b, c) * sizeof(double), err));
    }
    status = clsp_store_file_commit(file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(path);
    return status;
}

static clipspan_status read_skipped(const clsp_safetensors *file, uint64_t **skipped, size_t *count,
                                    clipspan_error *err)
{
    const clsp_tensor *tensor = clsp_safetensors_find(file, "skipped");
    size_t found = tensor != NULL && tensor->dims == 1 ? tensor->count : 0;
    clipspan_status status = clsp_store_tensor(&tensor, file, "skipped", CLSP_I64, 1, &found, err);
    if (status != CLIPSPAN_OK || skipped == NULL) return status;
    *skipped = clsp_alloc(found, sizeof **skipped);
    if (*skipped == NULL) return clsp_fail_memory(err);
    if (found > 0) memcpy(*skipped, tensor->data, found * sizeof **skipped);
    *count = found;
    return CLIPSPAN_OK;
}

static clipspan_status read_doubles(double *out, const clsp_safetensors *file, const char *name,
                                    const clipspan_basis *b, size_t width, clipspan_error *err)
{
    const clsp_tensor *tensor = NULL;
    const size_t shape[3] = {(size_t)b->layers, (size_t)b->heads, width};
    clipspan_status status = clsp_store_tensor(&tensor, file, name, CLSP_F64, 3, shape, err);
    if (status == CLIPSPAN_OK) memcpy(out, tensor->data, tensor->count * sizeof *out);
    return status;
}

clipspan_status clsp_moments_read(clipspan_moments **out, const clipspan_basis *basis, const clsp_store_file *file,
                                  uint64_t images, const char *directory, uint64_t **skipped, size_t *skipped_count,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors *opened = NULL;
    clipspan_moments *moments = NULL;
    const clsp_tensor *counted = NULL;
    const size_t one = 1;
    *out = NULL;
    CLSP_TRY(clsp_store_file_open(&opened, file, directory, err));
    CLSP_TRY(clipspan_moments_new(&moments, basis, err));
    CLSP_TRY(clsp_store_tensor(&counted, opened, "images", CLSP_I64, 1, &one, err));
    memcpy(&moments->images, counted->data, sizeof moments->images);
    if (moments->images != images)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: moments of %llu images, expected %llu",
                           clsp_safetensors_path(opened), (unsigned long long)moments->images,
                           (unsigned long long)images));
    for (int c = 0; c < 2; c++) {
        CLSP_TRY(read_doubles(moments->sum[c], opened, sum_names[c], basis, clsp_head_width(basis, c), err));
        CLSP_TRY(read_doubles(moments->second[c], opened, second_names[c], basis, clsp_moments_packed(basis, c), err));
    }
    CLSP_TRY(read_skipped(opened, skipped, skipped_count, err));
    *out = moments;
    moments = NULL;
out:
    clipspan_moments_free(moments);
    clsp_safetensors_free(opened);
    return status;
}

/* ---- the basis ------------------------------------------------------------------------------------------ */

clipspan_status clsp_basis_write(const clipspan_basis *basis, const char *directory, clsp_store_file *file,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    clsp_safetensors_writer *writer = NULL;
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    clsp_tensor_plan plans[CLSP_BASIS_PARTS];
    clipspan_basis copy = *basis;
    size_t total;
    if (!clsp_basis_parts(&copy, parts, &total)) return clsp_fail_memory(err);
    for (int p = 0; p < CLSP_BASIS_PARTS; p++) {
        plans[p] = (clsp_tensor_plan){.name = parts[p].name, .dtype = CLSP_F32, .dims = parts[p].dims};
        memcpy(plans[p].shape, parts[p].shape, sizeof parts[p].shape);
    }
    CLSP_ALLOC(path, clsp_path_join(directory, CLSP_STORE_BASIS));
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, CLSP_BASIS_PARTS, NULL, err));
    for (int p = 0; p < CLSP_BASIS_PARTS; p++)
        CLSP_TRY(clsp_safetensors_writer_add(writer, *parts[p].field, parts[p].count * sizeof(float), err));
    snprintf(file->name, sizeof file->name, "%s", CLSP_STORE_BASIS);
    status = clsp_store_file_commit(file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(path);
    return status;
}

clipspan_status clsp_basis_open(clipspan_basis *basis, clsp_safetensors **keep, const clsp_manifest *manifest,
                                const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    size_t total;
    *basis = manifest->shape;
    *keep = NULL;
    if (!clsp_basis_parts(basis, parts, &total))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s/%s: its model's dimensions are too large", directory,
                         CLSP_STORE_MANIFEST);
    CLSP_TRY(clsp_store_file_open(keep, &manifest->basis, directory, err));
    for (int p = 0; p < CLSP_BASIS_PARTS; p++) {
        const clsp_tensor *tensor = NULL;
        CLSP_TRY(clsp_store_tensor(&tensor, *keep, parts[p].name, CLSP_F32, parts[p].dims, parts[p].shape, err));
        if ((uintptr_t)tensor->data % sizeof(float) != 0)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor '%s' is not aligned",
                               clsp_safetensors_path(*keep), parts[p].name));
        *parts[p].field = tensor->data;
    }
out:
    if (status != CLIPSPAN_OK) {
        clsp_safetensors_free(*keep);
        *keep = NULL;
    }
    return status;
}
