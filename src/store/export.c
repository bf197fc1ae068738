/* The reference code's files (ALGORITHMS 9), npy or HDF5, a batch at a time.
 *
 *   {name}_attn_{model} [I, L, H, E]   {name}_mlp_{model} [I, L + 1, E]   {name}_cls_attn_{model} [I, L, E]
 *   {name}_constant_{model} [I, E] (exact convention)   {name}_labels [I] int64
 *   {name}_classifier_{model} [E, C]   {pool}_{model} [T, E]
 *   {name}_images: the rows' image names, a text file or strings
 * Nothing is put in place before everything is written. What an earlier exact export left as {name}_constant_{model}
 * goes when the paper's convention takes its place.
 */
#include "store/store.h"

#include <string.h>
#include <unistd.h>

#include "formats/arrays.h"

enum { BATCH_BYTES = 32 << 20, MOST_IMAGES = 256 };
enum { ATTN, MLP, CLS, CONSTANT, LABELS, CLASSIFIER, POOL, OUTPUTS };

/* One array on its way out. */
typedef struct output {
    char *stem; /* file name without its ending, or data set; NULL: not written */
    clsp_dtype dtype;
    int dims;
    size_t shape[4], row; /* row: elements of one entry of the leading axis */
    size_t rows;          /* written so far */
    clsp_npy_writer *npy;
} output;

typedef struct exporter {
    const clipspan_store *store;
    const clipspan_export_options *options;
    const char *directory;
    char *model; /* its name, as part of a file name */
    bool hdf5;
    clsp_hdf5_writer *file;
    output outputs[OUTPUTS];
    char *names_stem;  /* {name}_images */
    clsp_output names; /* the text file; of HDF5 it is a data set */
    float *values; /* [batch, L, H, E] */
} exporter;

/* '/' would lead out of the folder. */
static char *name_part(const char *text)
{
    char *copy = clsp_strdup(text);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        if (*c == '/') *c = '_';
    return copy;
}

static clipspan_status declare(exporter *x, int which, clsp_dtype dtype, int dims, const size_t *shape, char *stem,
                               clipspan_error *err)
{
    output *o = &x->outputs[which];
    if (stem == NULL) return clsp_fail_memory(err);
    *o = (output){.stem = stem, .dtype = dtype, .dims = dims, .row = 1};
    for (int d = 0; d < dims; d++) {
        o->shape[d] = shape[d];
        if (d > 0) o->row *= shape[d];
    }
    for (char *c = stem; *c != '\0'; c++)
        if (*c == '/') *c = '_';
    return CLIPSPAN_OK;
}

static clipspan_status declare_terms(exporter *x, clipspan_error *err)
{
    const clipspan_store_info *info = &x->store->info;
    const char *name = x->options->name, *model = x->model;
    size_t images = (size_t)info->images, layers = (size_t)info->layers, embed = (size_t)info->embed_dim;
    const size_t attn[] = {images, layers, (size_t)info->heads, embed}, mlp[] = {images, layers + 1, embed};
    const size_t cls[] = {images, layers, embed}, constant[] = {images, embed};
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(declare(x, ATTN, CLSP_F32, 4, attn, clsp_format("%s_attn_%s", name, model), err));
    if (info->parts & CLIPSPAN_PART_MLP)
        CLSP_TRY(declare(x, MLP, CLSP_F32, 3, mlp, clsp_format("%s_mlp_%s", name, model), err));
    if (info->parts & CLIPSPAN_PART_CLS)
        CLSP_TRY(declare(x, CLS, CLSP_F32, 3, cls, clsp_format("%s_cls_attn_%s", name, model), err));
    if (x->options->convention == CLIPSPAN_EXACT)
        CLSP_TRY(declare(x, CONSTANT, CLSP_F32, 2, constant, clsp_format("%s_constant_%s", name, model), err));
out:
    return status;
}

static clipspan_status declare_beside(exporter *x, clipspan_error *err)
{
    const clipspan_export_options *options = x->options;
    size_t images = (size_t)x->store->info.images, embed = (size_t)x->store->info.embed_dim;
    const size_t classifier[] = {embed, options->classes}, pool[] = {options->pool_texts, embed};
    clipspan_status status = CLIPSPAN_OK;
    if (options->labels != NULL || x->store->list.classes.count > 0)
        CLSP_TRY(declare(x, LABELS, CLSP_I64, 1, &images, clsp_format("%s_labels", options->name), err));
    if (options->classifier != NULL)
        CLSP_TRY(declare(x, CLASSIFIER, CLSP_F32, 2, classifier,
                         clsp_format("%s_classifier_%s", options->name, x->model), err));
    if (options->pool != NULL)
        CLSP_TRY(declare(x, POOL, CLSP_F32, 2, pool,
                         clsp_format("%s_%s", options->pool_name ? options->pool_name : "pool", x->model), err));
out:
    return status;
}

static clipspan_status create_npy(exporter *x, output *o, clipspan_error *err)
{
    char *name = clsp_format("%s.npy", o->stem), *path = name ? clsp_path_join(x->directory, name) : NULL;
    clipspan_status status = path ? clsp_npy_create(&o->npy, path, o->dtype, o->dims, o->shape, err)
                                  : clsp_fail_memory(err);
    clsp_free(name);
    clsp_free(path);
    return status;
}

static clipspan_status declare_names(exporter *x, clipspan_error *err)
{
    char *name = name_part(x->options->name);
    x->names_stem = name ? clsp_format("%s_images", name) : NULL;
    clsp_free(name);
    return x->names_stem ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status create_names(exporter *x, clipspan_error *err)
{
    char *name = clsp_format("%s.txt", x->names_stem), *path = name ? clsp_path_join(x->directory, name) : NULL;
    clipspan_status status = path ? clsp_output_open(&x->names, path, err) : clsp_fail_memory(err);
    clsp_free(name);
    clsp_free(path);
    return status;
}

static clipspan_status create_hdf5(exporter *x, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *name = NULL, *path = NULL, *stem = NULL;
    const clipspan_store_info *info = &x->store->info;
    CLSP_ALLOC(stem, name_part(x->options->name));
    CLSP_ALLOC(name, clsp_format("%s_%s.h5", stem, x->model));
    CLSP_ALLOC(path, clsp_path_join(x->directory, name));
    CLSP_TRY(clsp_hdf5_create(&x->file, path, err));
    for (output *o = x->outputs; o < x->outputs + OUTPUTS; o++)
        if (o->stem != NULL) CLSP_TRY(clsp_hdf5_dataset(x->file, o->stem, o->dtype, o->dims, o->shape, err));
    CLSP_TRY(clsp_hdf5_attribute(x->file, "model", info->model_name, err));
    CLSP_TRY(clsp_hdf5_attribute(x->file, "model_fingerprint", info->model_fingerprint, err));
    CLSP_TRY(clsp_hdf5_attribute(x->file, "images", info->images_path, err));
    CLSP_TRY(clsp_hdf5_attribute(x->file, "convention", x->options->convention == CLIPSPAN_EXACT ? "exact" : "paper", err));
    CLSP_TRY(clsp_hdf5_attribute(x->file, "terms_sum_to", x->options->convention == CLIPSPAN_EXACT ? "r" : "r/|r|", err));
out:
    clsp_free(stem);
    clsp_free(name);
    clsp_free(path);
    return status;
}

static clipspan_status create(exporter *x, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (x->hdf5) return create_hdf5(x, err);
    for (output *o = x->outputs; o < x->outputs + OUTPUTS; o++)
        if (o->stem != NULL) CLSP_TRY(create_npy(x, o, err));
    CLSP_TRY(create_names(x, err));
out:
    return status;
}

static clipspan_status write_rows(exporter *x, int which, size_t rows, const void *values, clipspan_error *err)
{
    output *o = &x->outputs[which];
    clipspan_status status = x->hdf5 ? clsp_hdf5_write(x->file, o->stem, o->rows, rows, values, err)
                                     : clsp_npy_append(o->npy, values, rows * o->row, err);
    o->rows += rows;
    return status;
}

static clipspan_status write_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    exporter *x = user;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_convention convention = x->options->convention;
    int layers = batch->basis->layers;
    size_t embed = (size_t)batch->basis->embed_dim, row, n = batch->images;
    CLSP_TRY(clsp_batch_all_heads(batch, convention, x->values, err));
    CLSP_TRY(write_rows(x, ATTN, n, x->values, err));
    if (x->outputs[MLP].stem != NULL) {
        row = x->outputs[MLP].row;
        for (int t = 0; t <= layers; t++)
            CLSP_TRY(clsp_batch_mlp_rows(batch, convention, t, x->values + (size_t)t * embed, row, err));
        CLSP_TRY(write_rows(x, MLP, n, x->values, err));
    }
    if (x->outputs[CLS].stem != NULL) {
        row = x->outputs[CLS].row;
        for (int l = 0; l < layers; l++)
            CLSP_TRY(clsp_batch_cls_rows(batch, convention, l, x->values + (size_t)l * embed, row, err));
        CLSP_TRY(write_rows(x, CLS, n, x->values, err));
    }
    if (x->outputs[CONSTANT].stem != NULL) {
        CLSP_TRY(clipspan_batch_constant(batch, convention, x->values, err));
        CLSP_TRY(write_rows(x, CONSTANT, n, x->values, err));
    }
out:
    return status;
}

static const char *name_of(const void *store, size_t i)
{
    return clipspan_store_image_name(store, i);
}

/* One name a line: line breaks inside a name become spaces, so that line i is row i. */
static clipspan_status write_names(exporter *x, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t images = (size_t)x->store->info.images;
    if (x->hdf5) return clsp_hdf5_strings(x->file, x->names_stem, images, name_of, x->store, err);
    for (size_t i = 0; i < images; i++) {
        const char *name = name_of(x->store, i);
        for (size_t length; *name != '\0'; name += length + (name[length] != '\0')) {
            length = strcspn(name, "\r\n");
            CLSP_TRY(clsp_output_write(&x->names, name, length, err));
            if (name[length] != '\0') CLSP_TRY(clsp_output_write(&x->names, " ", 1, err));
        }
        CLSP_TRY(clsp_output_write(&x->names, "\n", 1, err));
    }
out:
    return status;
}

static clipspan_status write_beside(exporter *x, clipspan_error *err)
{
    const clipspan_export_options *options = x->options;
    clipspan_status status = CLIPSPAN_OK;
    size_t embed = (size_t)x->store->info.embed_dim;
    float *row = NULL;
    CLSP_TRY(write_names(x, err));
    for (size_t i = 0; x->outputs[LABELS].stem != NULL && i < x->store->info.images; i++) {
        int64_t label = options->labels != NULL ? options->labels[i] : clipspan_store_image_label(x->store, i);
        CLSP_TRY(write_rows(x, LABELS, 1, &label, err));
    }
    if (options->classifier != NULL) {
        CLSP_ALLOC(row, clsp_alloc(options->classes, sizeof *row));
        for (size_t e = 0; e < embed; e++) {
            for (size_t c = 0; c < options->classes; c++) row[c] = options->classifier[c * embed + e];
            CLSP_TRY(write_rows(x, CLASSIFIER, 1, row, err));
        }
    }
    if (options->pool != NULL) CLSP_TRY(write_rows(x, POOL, options->pool_texts, options->pool, err));
out:
    clsp_free(row);
    return status;
}

/* The paper's convention has no constant: one that an exact export left beside these files would be added to terms
 * that it does not belong to. */
static clipspan_status remove_constant(const exporter *x, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *part = NULL, *name = NULL, *path = NULL;
    CLSP_ALLOC(part, name_part(x->options->name));
    CLSP_ALLOC(name, clsp_format("%s_constant_%s.npy", part, x->model));
    CLSP_ALLOC(path, clsp_path_join(x->directory, name));
    if (clsp_file_exists(path) && unlink(path) != 0)
        status = clsp_fail_errno(err, "%s: of an earlier export, cannot be removed", path);
out:
    clsp_free(part);
    clsp_free(name);
    clsp_free(path);
    return status;
}

static clipspan_status commit(exporter *x, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (x->hdf5) {
        status = clsp_hdf5_commit(x->file, err);
        x->file = NULL;
        return status;
    }
    for (output *o = x->outputs; o < x->outputs + OUTPUTS && status == CLIPSPAN_OK; o++) {
        if (o->npy == NULL) continue;
        status = clsp_npy_commit(o->npy, err);
        o->npy = NULL;
    }
    if (status == CLIPSPAN_OK) status = clsp_output_commit(&x->names, err);
    if (status == CLIPSPAN_OK && x->outputs[CONSTANT].stem == NULL) status = remove_constant(x, err);
    return status;
}

static void discard(exporter *x)
{
    for (output *o = x->outputs; o < x->outputs + OUTPUTS; o++) {
        clsp_npy_discard(o->npy);
        clsp_free(o->stem);
    }
    clsp_hdf5_discard(x->file);
    clsp_output_discard(&x->names);
    clsp_free(x->names_stem);
    clsp_free(x->values);
    clsp_free(x->model);
}

static clipspan_status check(const exporter *x, const clipspan_hooks *hooks, clipspan_error *err)
{
    const clipspan_store *store = x->store;
    const char *format = x->options->format;
    if (format == NULL || (strcmp(format, "npy") != 0 && strcmp(format, "hdf5") != 0))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown format \"%s\": expected npy or hdf5", format ? format : "");
    if (x->options->name == NULL || x->options->name[0] == '\0')
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the data set needs a name for its file names");
    if (store->info.moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s keeps moments alone: there is nothing to export",
                         store->directory);
    if (store->info.images == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: no images are finished yet", store->directory);
    if (store->info.complete || hooks == NULL || hooks->warn == NULL) return CLIPSPAN_OK;
    char *line = clsp_format("%s is unfinished: its first %llu images are exported", store->directory,
                             (unsigned long long)store->info.images);
    if (line != NULL) hooks->warn(hooks->user, line);
    clsp_free(line);
    return CLIPSPAN_OK;
}

clipspan_status clipspan_store_export(const clipspan_store *store, const char *directory,
                                      const clipspan_export_options *options, const clipspan_hooks *hooks,
                                      clipspan_error *err)
{
    static const clipspan_export_options standard = CLIPSPAN_EXPORT_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    exporter x = {.store = store, .options = options ? options : &standard, .directory = directory};
    clipspan_store_selection select = {.parts = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS};
    CLSP_TRY(check(&x, hooks, err));
    x.hdf5 = strcmp(x.options->format, "hdf5") == 0;
    CLSP_ALLOC(x.model, name_part(x.options->model ? x.options->model : store->info.model_name));
    CLSP_TRY(declare_terms(&x, err));
    CLSP_TRY(declare_beside(&x, err));
    CLSP_TRY(declare_names(&x, err));
    size_t row = x.outputs[ATTN].row * sizeof(float), mlp = x.outputs[MLP].row * sizeof(float);
    row = clsp_max(row, mlp); /* one head a layer makes the MLP's the longer row */
    select.batch = clsp_min(clsp_max(1, BATCH_BYTES / row), MOST_IMAGES);
    CLSP_ALLOC(x.values, clsp_alloc_aligned(select.batch * row, 1));
    CLSP_TRY(clsp_directory_make(directory, err));
    CLSP_TRY(create(&x, err));
    CLSP_TRY(write_beside(&x, err));
    CLSP_TRY(clipspan_store_each(store, &select, write_batch, &x, hooks, err));
    CLSP_TRY(commit(&x, err));
out:
    discard(&x);
    return status;
}
