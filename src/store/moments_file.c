/* Moments and the basis as safetensors files.
 *
 *   moments   images I64 [1]   skipped I64 [S]   paper.sum F64 [L, H, d + 3]   paper.second F64 [L, H, (d+3)(d+4)/2]
 *             exact.sum F64 [L, H, d + 1]   exact.second F64 [L, H, (d+1)(d+2)/2]; lower triangles, row by row
 *   basis     w F32 or F16 [L, H, d, E]   w_mean [L, H, d]   ones [E]   bias [L, E]   bias_mean [L]   constant [E]
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
    CLSP_TRY(clsp_moments_borrow(&moments, basis, err));
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

/* Rows of `width` values; false: f16 does not hold one of them well. */
static bool narrow_rows(uint16_t *out, const float *rows, size_t count, size_t width, float *back)
{
    size_t where;
    for (size_t r = 0; r < count; r++, rows += width, out += width) {
        double squares = 0, lost = 0;
        if (!clsp_f16_narrow(out, rows, width, &where)) return false;
        clsp_f16_widen(back, out, width);
        for (size_t e = 0; e < width; e++) {
            double x = (double)rows[e], difference = x - (double)back[e];
            squares += x * x;
            lost += difference * difference;
        }
        if (!(lost <= squares * 0x1p-20)) return false;
    }
    return true;
}

/* w: its plan becomes F16 and its values come to *halves, where f16 holds them well. */
static clipspan_status narrow_basis(const clipspan_basis *basis, clsp_tensor_plan *plan, size_t count, uint16_t **halves,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)basis->embed_dim;
    float *back = NULL;
    CLSP_ALLOC(back, clsp_alloc(width, sizeof *back));
    CLSP_ALLOC(*halves, clsp_alloc(count, sizeof **halves));
    if (narrow_rows(*halves, basis->w, count / width, width, back)) plan->dtype = CLSP_F16;
out:
    clsp_free(back);
    return status;
}

clipspan_status clsp_basis_write(const clipspan_basis *basis, bool half, const char *directory, clsp_store_file *file,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    uint16_t *halves = NULL;
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
    if (half) CLSP_TRY(narrow_basis(basis, &plans[0], parts[0].count, &halves, err)); /* w is the first */
    CLSP_ALLOC(path, clsp_path_join(directory, CLSP_STORE_BASIS));
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, CLSP_BASIS_PARTS, NULL, err));
    for (int p = 0; p < CLSP_BASIS_PARTS; p++) {
        bool narrow = plans[p].dtype == CLSP_F16;
        CLSP_TRY(clsp_safetensors_writer_add(writer, narrow ? (const void *)halves : *parts[p].field,
                                             parts[p].count * clsp_dtype_size(plans[p].dtype), err));
    }
    snprintf(file->name, sizeof file->name, "%s", CLSP_STORE_BASIS);
    status = clsp_store_file_commit(file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(halves);
    clsp_free(path);
    return status;
}

/* One tensor of the basis, in place where it is F32; `w` may be F16. */
static clipspan_status map_part(const clsp_basis_part *part, const clsp_safetensors *file, float **w, clipspan_error *err)
{
    const clsp_tensor *tensor = clsp_safetensors_find(file, part->name);
    bool half = strcmp(part->name, "w") == 0 && tensor != NULL && tensor->dtype == CLSP_F16;
    clipspan_status status = clsp_store_tensor(&tensor, file, part->name, half ? CLSP_F16 : CLSP_F32, part->dims,
                                               part->shape, err);
    if (status != CLIPSPAN_OK) return status;
    if (half) {
        *part->field = *w = clsp_alloc_aligned(part->count, sizeof **w);
        if (*w == NULL) return clsp_fail_memory(err);
        clsp_f16_widen(*w, tensor->data, part->count);
        return CLIPSPAN_OK;
    }
    if ((uintptr_t)tensor->data % sizeof(float) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor '%s' is not aligned", clsp_safetensors_path(file),
                         part->name);
    *part->field = tensor->data;
    return CLIPSPAN_OK;
}

clipspan_status clsp_basis_open(clipspan_basis *basis, clsp_safetensors **keep, float **w, const clsp_manifest *manifest,
                                const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    size_t total;
    *basis = manifest->shape;
    *keep = NULL;
    *w = NULL;
    if (!clsp_basis_parts(basis, parts, &total))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s/%s: its model's dimensions are too large", directory,
                         CLSP_STORE_MANIFEST);
    CLSP_TRY(clsp_store_file_open(keep, &manifest->basis, directory, err));
    for (int p = 0; p < CLSP_BASIS_PARTS; p++) CLSP_TRY(map_part(&parts[p], *keep, w, err));
out:
    if (status != CLIPSPAN_OK) {
        clsp_free(*w);
        *w = NULL;
        clsp_safetensors_free(*keep);
        *keep = NULL;
    }
    return status;
}
