/* A model with heads changed in its weights. A head's output z enters the out-projection as O_h' z; with the columns of
 * O_h zero and b + O_h' m in place of the bias b, the layer computes what it would with z = m at every token.
 *
 * The safetensors files keep their headers, since no tensor changes its type, shape or place: an edited file differs
 * from the old one in the bytes of those columns and biases alone. */
#include "clipspan/edit.h"

#include <dirent.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "model/copy.h"
#include "model/parts.h"

enum { MOST_MODELS = 2 }; /* the one that was opened, and the same in the other layout */

typedef struct edit {
    const unsigned char *heads; /* [L * H] */
    const float *means;         /* [L, H, d]; NULL: zeros */
    clsp_change *changes;       /* [room] */
    size_t count, room;
    const char **kept; /* [kept_room] names of the weight files */
    size_t kept_count, kept_room;
} edit;

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- what changes --------------------------------------------------------------------------------------- */

/* b [D] += O_h' mean, over the layer's chosen heads; one row of the matrix at a time. */
static clipspan_status add_means(const edit *e, const clipspan_model *model, size_t layer, float *bias,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_tower_config *c = &model->vision.config;
    const clsp_weight *out = &model->vision.blocks[layer].out;
    size_t width = (size_t)c->width, h = (size_t)c->heads, d = (size_t)c->head_dim;
    float *row;
    CLSP_ALLOC(row, clsp_alloc(width, sizeof *row));
    for (size_t o = 0; o < width; o++) {
        double sum = 0;
        CLSP_TRY(clsp_tensor_floats(out->tensor, (out->first + o) * width, width, row, err));
        for (size_t i = 0; i < width; i++)
            if (e->heads[layer * h + i / d]) sum += (double)row[i] * (double)e->means[layer * width + i];
        bias[o] = (float)((double)bias[o] + sum);
    }
out:
    clsp_free(row);
    return status;
}

/* values to the tensor's own type. */
static clipspan_status encode(unsigned char *bytes, const float *values, size_t count, const clsp_tensor *tensor,
                              clipspan_error *err)
{
    size_t size = clsp_dtype_size(tensor->dtype);
    for (size_t i = 0; i < count; i++) {
        uint16_t half = tensor->dtype == CLSP_BF16 ? clsp_f32_to_bf16(values[i]) : clsp_f32_to_f16(values[i]);
        float back = tensor->dtype == CLSP_F32    ? values[i]
                     : tensor->dtype == CLSP_BF16 ? clsp_bf16_to_f32(half)
                                                  : clsp_f16_to_f32(half);
        if (!isfinite(back))
            return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                             "%s: tensor %s: element %zu would be %g, beyond the range of %s", tensor->file, tensor->name,
                             i, (double)values[i], clsp_dtype_name(tensor->dtype));
        memcpy(bytes + i * size, tensor->dtype == CLSP_F32 ? (const void *)&values[i] : (const void *)&half, size);
    }
    return CLIPSPAN_OK;
}

static clipspan_status change_bias(edit *e, const clipspan_model *model, size_t layer, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_weight *bias = &model->vision.blocks[layer].out_bias;
    size_t width = (size_t)model->vision.config.width;
    float *values = NULL;
    if (bias->tensor == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "%s: layer %zu's out-projection has no bias that a mean could go into (zero ablation needs none)",
                         clsp_safetensors_path(model->weights), layer);
    clsp_change *c = &e->changes[e->count];
    size_t size = clsp_dtype_size(bias->tensor->dtype);
    *c = (clsp_change){.file = file_name(bias->tensor->file), .offset = bias->tensor->offset + bias->first * size,
                       .length = width * size};
    CLSP_ALLOC(values, clsp_alloc(width, sizeof *values));
    CLSP_ALLOC(c->bytes, clsp_alloc(c->length, 1));
    e->count++;
    CLSP_TRY(clsp_weight_floats(bias, width, values, err));
    CLSP_TRY(add_means(e, model, layer, values, err));
    CLSP_TRY(encode(c->bytes, values, width, bias->tensor, err));
out:
    clsp_free(values);
    return status;
}

static bool touches(const edit *e, size_t heads, size_t layer)
{
    for (size_t h = 0; h < heads; h++)
        if (e->heads[layer * heads + h]) return true;
    return false;
}

/* The layers with a chosen head. */
static clipspan_status change_model(edit *e, const clipspan_model *model, clipspan_error *err)
{
    const clsp_tower_config *t = &model->vision.config;
    for (size_t layer = 0; layer < (size_t)t->layers; layer++) {
        if (!touches(e, (size_t)t->heads, layer)) continue;
        const clsp_weight *out = &model->vision.blocks[layer].out;
        if (out->transposed) return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "an out-projection stored [in, out]");
        size_t size = clsp_dtype_size(out->tensor->dtype), row = (size_t)t->width * size;
        e->changes[e->count++] = (clsp_change){
            .file = file_name(out->tensor->file), .offset = out->tensor->offset + out->first * row,
            .length = out->rows * row, .row = row, .piece = (size_t)t->head_dim * size,
            .zeros = e->heads + layer * (size_t)t->heads};
        clipspan_status status = e->means != NULL ? change_bias(e, model, layer, err) : CLIPSPAN_OK;
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

/* The names of the model's weight files: the one, or the index and its shards. */
static void keep_files(edit *e, const clipspan_model *model)
{
    const char *path = clsp_safetensors_path(model->weights), *last = path;
    e->kept[e->kept_count++] = file_name(path);
    for (size_t i = 0; i < clsp_safetensors_count(model->weights); i++) {
        const char *file = clsp_safetensors_at(model->weights, i)->file;
        bool known = file == last; /* tensors of one shard share its path */
        for (size_t k = 0; !known && k < e->kept_count; k++) known = strcmp(e->kept[k], file_name(file)) == 0;
        last = file;
        if (!known) e->kept[e->kept_count++] = file_name(file);
    }
}

static clipspan_status plan(edit *e, const clipspan_model *const *models, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t m = 0; m < count; m++) {
        e->room += 2 * (size_t)models[m]->vision.config.layers;
        e->kept_room += 1 + clsp_safetensors_count(models[m]->weights);
    }
    CLSP_ALLOC(e->changes, clsp_alloc_zero(e->room, sizeof *e->changes));
    CLSP_ALLOC(e->kept, clsp_alloc_zero(e->kept_room, sizeof *e->kept));
    for (size_t m = 0; m < count; m++) {
        CLSP_TRY(change_model(e, models[m], err));
        keep_files(e, models[m]);
        clsp_safetensors_drop_pages(models[m]->weights);
    }
out:
    return status;
}

/* ---- checks --------------------------------------------------------------------------------------------- */

static clipspan_status check_values(const edit *e, const clipspan_model *model, clipspan_error *err)
{
    const clsp_tower_config *c = &model->vision.config;
    size_t h = (size_t)c->heads, d = (size_t)c->head_dim, all = (size_t)c->layers * h, chosen = 0;
    for (size_t i = 0; i < all; i++) {
        if (!e->heads[i]) continue;
        chosen++;
        for (size_t j = 0; e->means != NULL && j < d; j++)
            if (!isfinite(e->means[i * d + j]))
                return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "L%zu.H%zu: its mean output is not finite", i / h, i % h);
    }
    return chosen > 0 ? CLIPSPAN_OK : clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no head is chosen");
}

static bool is_empty(const char *directory)
{
    DIR *folder = opendir(directory);
    if (folder == NULL) return false;
    bool empty = true;
    for (const struct dirent *entry; empty && (entry = readdir(folder)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(folder);
    return empty;
}

/* The folder that a path lies in. NULL: out of memory. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? clsp_strdup(".") : slash == path ? clsp_strdup("/") : clsp_strndup(path, (size_t)(slash - path));
}

/* A place inside the model's own folder: the copy would copy itself. What does not exist yet is made below what does. */
static clipspan_status check_outside(const char *place, const char *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = strlen(model);
    char *above, *absolute = NULL;
    CLSP_ALLOC(above, parent_of(place));
    while (!clsp_directory_exists(above)) {
        char *next;
        CLSP_ALLOC(next, parent_of(above));
        clsp_free(above);
        above = next;
    }
    CLSP_ALLOC(absolute, clsp_files_absolute(above));
    if (strncmp(absolute, model, n) == 0 && (absolute[n] == '/' || absolute[n] == '\0'))
        status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: inside the model's own folder %s", place, model);
out:
    clsp_free(absolute);
    clsp_free(above);
    return status;
}

/* A folder above which another file system begins: nothing can be renamed to it. */
static bool is_mount_point(const char *directory)
{
    struct stat own, above;
    char *parent = clsp_path_join(directory, "..");
    bool other = parent != NULL && stat(directory, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
    clsp_free(parent);
    return other;
}

/* What rename would refuse when all has been copied is refused here. */
static clipspan_status check_folder(const char *place, const clipspan_model *model, clipspan_error *err)
{
    struct stat about;
    bool folder = clsp_directory_exists(place);
    if (*place == '\0') return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the place for the edited model has no name");
    if (clsp_file_exists(place)) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: a file is there already", place);
    if (!folder && lstat(place, &about) == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: something that is neither a file nor a folder is there already",
                         place);
    if (folder && !is_empty(place))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: a folder that is not empty is there already", place);
    if (folder && is_mount_point(place))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: another file system begins there: name a folder inside it", place);
    return clsp_directory_exists(model->path) ? check_outside(place, model->path, err) : CLIPSPAN_OK;
}

/* The place without slashes at its end, checked, its parents made. */
static clipspan_status prepare_place(char **out, const char *directory, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *place = NULL, *parent = NULL;
    size_t n = strlen(directory);
    while (n > 1 && directory[n - 1] == '/') n--;
    CLSP_ALLOC(place, clsp_strndup(directory, n));
    CLSP_TRY(check_folder(place, model, err));
    CLSP_ALLOC(parent, parent_of(place));
    CLSP_TRY(clsp_directory_make(parent, err));
    if (clsp_directory_exists(place)) { /* a link to an empty folder: what it leads to is filled */
        char *real;
        CLSP_ALLOC(real, clsp_files_absolute(place));
        clsp_free(place);
        place = real;
    }
    *out = place;
    place = NULL;
out:
    clsp_free(parent);
    clsp_free(place);
    return status;
}

/* ---- the other layout ------------------------------------------------------------------------------------ */

static void warn(const clipspan_hooks *hooks, const char *what, const clipspan_error *why)
{
    char *message = clsp_format("%s is not edited, and left out of the copy: %s", what, why->message);
    if (hooks != NULL && hooks->warn != NULL && message != NULL) hooks->warn(hooks->user, message);
    clsp_free(message);
}

/* Many published folders hold the same weights a second time, under Hugging Face's names. *out NULL: this one not. */
static clipspan_status open_beside(clipspan_model **out, const clipspan_model *model, const clipspan_hooks *hooks,
                                   clipspan_error *err)
{
    clipspan_error why = {CLIPSPAN_OK, ""};
    clsp_model_files files;
    const char *own = file_name(clsp_safetensors_path(model->weights));
    const clsp_tower_config *a = &model->vision.config, *b;
    *out = NULL;
    if (strcmp(model->info.layout, "open_clip") != 0 || !clsp_directory_exists(model->path)) return CLIPSPAN_OK;
    clipspan_status status = clsp_files_beside(&files, model->path, err);
    if (status != CLIPSPAN_OK) return status;
    if (files.weights != NULL && strcmp(file_name(files.weights), own) != 0) {
        status = clsp_model_open_files(out, model->path, &files, NULL, &why);
        b = status == CLIPSPAN_OK ? &(*out)->vision.config : NULL;
        if (b != NULL && (a->layers != b->layers || a->heads != b->heads || a->width != b->width)) {
            status = clsp_fail(&why, CLIPSPAN_ERROR_MISMATCH, "its image tower is another one");
            clipspan_model_free(*out);
            *out = NULL;
        }
        if (status != CLIPSPAN_OK) warn(hooks, files.weights, &why);
        status = status == CLIPSPAN_ERROR_MEMORY ? clsp_fail_memory(err) : CLIPSPAN_OK;
    }
    clsp_files_free(&files);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static uint64_t weight_bytes(const clipspan_model *model)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < clsp_safetensors_count(model->weights); i++) {
        const clsp_tensor *t = clsp_safetensors_at(model->weights, i);
        bytes += (uint64_t)t->count * clsp_dtype_size(t->dtype);
    }
    return bytes;
}

static clipspan_status write_copy(const edit *e, const clipspan_model *model, const char *place, uint64_t bytes,
                                  const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_copy copy = {.changes = e->changes, .count = e->count, .kept = e->kept, .kept_count = e->kept_count,
                      .hooks = hooks, .total = bytes};
    char *folder = NULL;
    if (clsp_directory_exists(model->path)) return clsp_copy_folder(&copy, model->path, place, err);
    /* As it was opened: what a link leads to may have another name, and no shards beside it. */
    const char *path = clsp_safetensors_path(model->weights), *name = file_name(path);
    if (!clsp_ends_with(name, ".index.json")) {
        if (!clsp_ends_with(place, ".safetensors"))
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                             "%s: the model is one file, so its copy is one: a name that ends in .safetensors", place);
        return clsp_copy_file(&copy, path, name, place, err);
    }
    copy.only_kept = true; /* an index and its shards: the rest of their folder is not the model's */
    CLSP_ALLOC(folder, name == path ? clsp_strdup(".") : clsp_strndup(path, (size_t)(name - path)));
    status = clsp_copy_folder(&copy, folder, place, err);
out:
    clsp_free(folder);
    return status;
}

clipspan_status clipspan_model_edit(const clipspan_model *model, const unsigned char *heads, const float *means,
                                    const char *directory, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    edit e = {.heads = heads, .means = means};
    clipspan_model *beside = NULL;
    char *place = NULL;
    CLSP_TRY(check_values(&e, model, err));
    CLSP_TRY(prepare_place(&place, directory, model, err));
    CLSP_TRY(open_beside(&beside, model, hooks, err));
    const clipspan_model *const models[MOST_MODELS] = {model, beside};
    CLSP_TRY(plan(&e, models, beside != NULL ? 2 : 1, err));
    CLSP_TRY(write_copy(&e, model, place, weight_bytes(model) + (beside ? weight_bytes(beside) : 0), hooks, err));
out:
    for (size_t i = 0; e.changes != NULL && i < e.count; i++) clsp_free(e.changes[i].bytes);
    clsp_free(e.changes);
    clsp_free(e.kept);
    clsp_free(place);
    clipspan_model_free(beside);
    return status;
}
