/* Neurons as a safetensors file (clipspan/neurons.h has the letters and formulas).
 *
 *   images I64 [1]   length F32 [L, M]   active I64 [L, M]
 *   paper.sum, paper.squares, exact.sum, exact.squares F64 [L, M]
 *   paper.mlp.sum, exact.mlp.sum F64 [L, E]   paper.mlp.squares, exact.mlp.squares F64 [L]
 *   top.activation F32 [L, M, 2, K]   top.image I64 [L, M, 2, K]
 */
#include "store/store.h"

#include <string.h>

clipspan_status clsp_neurons_write(clipspan_neurons *neurons, const char *directory, clsp_store_file *file,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    clsp_safetensors_writer *writer = NULL;
    clsp_neuron_part parts[CLSP_NEURON_PARTS];
    clsp_tensor_plan plans[1 + CLSP_NEURON_PARTS] = {{"images", CLSP_I64, 1, {1}}};
    if (!clsp_neuron_parts(neurons, parts)) return clsp_fail_memory(err);
    for (int p = 0; p < CLSP_NEURON_PARTS; p++) {
        plans[1 + p] = (clsp_tensor_plan){.name = parts[p].name, .dtype = parts[p].dtype, .dims = parts[p].dims};
        memcpy(plans[1 + p].shape, parts[p].shape, sizeof parts[p].shape);
    }
    CLSP_ALLOC(path, clsp_path_join(directory, file->name));
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, plans, 1 + CLSP_NEURON_PARTS, NULL, err));
    CLSP_TRY(clsp_safetensors_writer_add(writer, &neurons->info.images, sizeof neurons->info.images, err));
    for (int p = 0; p < CLSP_NEURON_PARTS; p++)
        CLSP_TRY(clsp_safetensors_writer_add(writer, parts[p].values, parts[p].count * clsp_dtype_size(parts[p].dtype),
                                             err));
    status = clsp_store_file_commit(file, &writer, path, err);
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(path);
    return status;
}

static clipspan_status read_images(clipspan_neurons *neurons, const clsp_safetensors *file, uint64_t expected,
                                   clipspan_error *err)
{
    const clsp_tensor *tensor = NULL;
    const size_t one = 1;
    clipspan_status status = clsp_store_tensor(&tensor, file, "images", CLSP_I64, 1, &one, err);
    if (status != CLIPSPAN_OK) return status;
    memcpy(&neurons->info.images, tensor->data, sizeof neurons->info.images);
    if (neurons->info.images == expected) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: neurons of %llu images, expected %llu",
                     clsp_safetensors_path(file), (unsigned long long)neurons->info.images,
                     (unsigned long long)expected);
}

/* Positions of the subtotal's range of the list, or -1 for none, which only follow others. */
static clipspan_status check_images(const clipspan_neurons *n, const clsp_manifest *m, const clsp_subtotal *subtotal,
                                    const char *path, clipspan_error *err)
{
    uint64_t first, count;
    clsp_manifest_range(m, subtotal->shard, subtotal->shards, &first, &count);
    size_t top = (size_t)n->info.top, rows = (size_t)n->info.layers * (size_t)n->info.width * 2;
    size_t filled = (size_t)(n->info.images < top ? n->info.images : top);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < top; k++) {
            int64_t image = n->image[r * top + k];
            bool good = k < filled ? image >= 0 && (uint64_t)image >= first && (uint64_t)image - first < count
                                   : image == -1;
            if (!good)
                return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: 'top.image' names image %lld, which is not in the store",
                                 path, (long long)image);
        }
    return CLIPSPAN_OK;
}

clipspan_status clsp_neurons_read(clipspan_neurons **out, const clsp_manifest *manifest, const clsp_subtotal *subtotal,
                                  const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors *file = NULL;
    clipspan_neurons *n = NULL;
    clsp_neuron_part parts[CLSP_NEURON_PARTS];
    const clsp_tensor *tensors[CLSP_NEURON_PARTS];
    clipspan_neurons shape = {.info = {manifest->shape.layers, manifest->mlp_width, manifest->top_images,
                                       manifest->shape.embed_dim, 0}};
    *out = NULL;
    CLSP_TRY(clsp_store_file_open(&file, &subtotal->neurons, directory, err));
    if (!clsp_neuron_parts(&shape, parts)) CLSP_TRY(clsp_fail_memory(err));
    for (int p = 0; p < CLSP_NEURON_PARTS; p++) /* all of them, before as much memory is asked for as they say */
        CLSP_TRY(clsp_store_tensor(&tensors[p], file, parts[p].name, parts[p].dtype, parts[p].dims, parts[p].shape, err));
    CLSP_TRY(clsp_neurons_alloc(&n, &shape.info, err));
    clsp_neuron_parts(n, parts);
    for (int p = 0; p < CLSP_NEURON_PARTS; p++)
        memcpy(parts[p].values, tensors[p]->data, parts[p].count * clsp_dtype_size(parts[p].dtype));
    CLSP_TRY(read_images(n, file, subtotal->images, err));
    CLSP_TRY(check_images(n, manifest, subtotal, clsp_safetensors_path(file), err));
    *out = n;
    n = NULL;
out:
    clipspan_neurons_free(n);
    clsp_safetensors_free(file);
    return status;
}

/* List positions to rows; false: one of them is no row of the store. */
static bool name_rows(clipspan_neurons *n, const clipspan_store *store)
{
    size_t count = (size_t)n->info.layers * (size_t)n->info.width * 2 * (size_t)n->info.top;
    for (size_t i = 0; i < count; i++) {
        size_t low = 0, high = (size_t)store->info.images;
        if (n->image[i] < 0) continue;
        while (low < high) { /* the first row at or behind the position */
            size_t middle = low + (high - low) / 2;
            if (store->rows[middle] < (uint64_t)n->image[i])
                low = middle + 1;
            else
                high = middle;
        }
        if (low == store->info.images || store->rows[low] != (uint64_t)n->image[i]) return false;
        n->image[i] = (int64_t)low;
    }
    return true;
}

clipspan_status clipspan_store_neurons(const clipspan_store *store, clipspan_neurons **out, clipspan_error *err)
{
    const clsp_manifest *m = &store->manifest;
    clsp_totals totals;
    *out = NULL;
    if (m->top_images == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%s: keeps no neurons: decompose the images again, with neurons (--neurons)", store->directory);
    if (m->positions == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: no images are finished yet", store->directory);
    clipspan_status status = clsp_subtotals_sum(&totals, m, NULL, &store->basis, store->directory, err);
    if (status != CLIPSPAN_OK) return status;
    if (name_rows(totals.neurons, store)) {
        *out = totals.neurons;
        totals.neurons = NULL;
    } else
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: its top images are not rows of the store", store->directory);
    clsp_totals_free(&totals);
    return status;
}
