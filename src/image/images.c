/* Lists of images: opened, asked, read. */
#include "image/sources.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const size_t MAX_FILE = (size_t)2 << 30;

bool clsp_image_ending(const char *name)
{
    static const char *const ENDINGS[] = {".jpg", ".jpeg", ".png", ".webp"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ENDINGS / sizeof ENDINGS[0]; i++) {
        size_t ending = strlen(ENDINGS[i]);
        if (length > ending && strcasecmp(name + length - ending, ENDINGS[i]) == 0) return true;
    }
    return false;
}

char *clsp_path_beside(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL || name[0] == '/') return clsp_strdup(name);
    char *folder = clsp_strndup(file, (size_t)(slash - file) + 1);
    char *path = folder != NULL ? clsp_path_join(folder, name) : NULL;
    clsp_free(folder);
    return path;
}

clipspan_status clsp_images_add(clipspan_images *images, clsp_entry **out, char *name, char *path, clipspan_error *err)
{
    bool good = name != NULL;
    if (good && images->count == images->capacity) {
        size_t capacity = images->capacity ? images->capacity * 2 : 64;
        clsp_entry *entries = clsp_grow(images->entries, capacity, sizeof *entries);
        good = entries != NULL;
        if (good) images->entries = entries;
        if (good) images->capacity = capacity;
    }
    if (!good) {
        clsp_free(name);
        clsp_free(path);
        return clsp_fail_memory(err);
    }
    clsp_entry *entry = &images->entries[images->count++];
    *entry = (clsp_entry){.name = name, .path = path, .label = -1};
    if (out != NULL) *out = entry;
    return CLIPSPAN_OK;
}

/* ---- labels ------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static clipspan_status number_labels(clipspan_images *images, clipspan_error *err)
{
    size_t labelled = 0, kept = 0;
    char **texts = clsp_alloc(images->count, sizeof *texts);
    if (texts == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < images->count; i++)
        if (images->entries[i].label_text != NULL) texts[labelled++] = images->entries[i].label_text;
    qsort(texts, labelled, sizeof *texts, by_text);
    for (size_t i = 0; i < labelled; i++)
        if (kept == 0 || strcmp(texts[kept - 1], texts[i]) != 0) texts[kept++] = texts[i];
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(images->classes, clsp_alloc_zero(kept, sizeof *images->classes));
    images->class_count = kept;
    for (size_t i = 0; i < kept; i++) CLSP_ALLOC(images->classes[i], clsp_strdup(texts[i]));
    for (size_t i = 0; i < images->count; i++) {
        clsp_entry *entry = &images->entries[i];
        if (entry->label_text == NULL) continue;
        char **found = bsearch(&entry->label_text, images->classes, kept, sizeof *found, by_text);
        entry->label = (int)(found - images->classes);
    }
out:
    clsp_free(texts);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const clsp_entry *)a)->name, ((const clsp_entry *)b)->name);
}

/* An ImageFolder tree, once read as a plain folder: images, none of them at the top. */
static bool looks_like_tree(const clipspan_images *images)
{
    for (size_t i = 0; i < images->count; i++)
        if (strchr(images->entries[i].name, '/') == NULL) return false;
    return images->count > 0;
}

static clipspan_status label_by_folder(clipspan_images *images, clipspan_error *err)
{
    for (size_t i = 0; i < images->count; i++) {
        clsp_entry *entry = &images->entries[i];
        const char *slash = strchr(entry->name, '/');
        if (slash == NULL) continue; /* an image at the top has no label */
        entry->label_text = clsp_strndup(entry->name, (size_t)(slash - entry->name));
        if (entry->label_text == NULL) return clsp_fail_memory(err);
    }
    return CLIPSPAN_OK;
}

static clipspan_status open_folder(clipspan_images *images, const char *path, const char **kind, clipspan_error *err)
{
    clipspan_status status = clsp_source_folder(images, path, err);
    if (status != CLIPSPAN_OK) return status;
    if (images->count > 0) qsort(images->entries, images->count, sizeof *images->entries, by_name);
    if (*kind == NULL) *kind = looks_like_tree(images) ? "imagefolder" : "folder";
    return strcmp(*kind, "imagefolder") == 0 ? label_by_folder(images, err) : CLIPSPAN_OK;
}

static clipspan_status open_single(clipspan_images *images, const char *path, clipspan_error *err)
{
    const char *slash = strrchr(path, '/');
    return clsp_images_add(images, NULL, clsp_strdup(slash ? slash + 1 : path), clsp_strdup(path), err);
}

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), wanted = strlen(ending);
    return length > wanted && strcasecmp(path + length - wanted, ending) == 0;
}

static const char *kind_of_file(const char *path)
{
    if (ends_with(path, ".csv")) return "csv";
    if (ends_with(path, ".tar")) return "tar";
    if (ends_with(path, ".txt")) return "list";
    if (ends_with(path, ".mat")) return "matlab";
    return "image";
}

static clipspan_status open_kind(clipspan_images *images, const char *path, const char **given, clipspan_error *err)
{
    clipspan_status status;
    const char *kind = *given;
    if (!clsp_directory_exists(path) && !clsp_file_exists(path))
        return clsp_fail_absent(path, err);
    if (ends_with(path, ".tar.gz") || ends_with(path, ".tgz"))
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: compressed tars are not read; unpack it to a .tar", path);
    if (kind == NULL && !clsp_directory_exists(path)) kind = kind_of_file(path);
    if (kind == NULL) {
        bool waterbirds;
        status = clsp_waterbirds_found(&waterbirds, path, err);
        if (status != CLIPSPAN_OK) return status;
        if (waterbirds) kind = "waterbirds";
    }
    if (kind == NULL || strcmp(kind, "folder") == 0 || strcmp(kind, "imagefolder") == 0)
        status = open_folder(images, path, &kind, err);
    else if (strcmp(kind, "list") == 0)
        status = clsp_source_list(images, path, err);
    else if (strcmp(kind, "csv") == 0)
        status = clsp_source_csv(images, path, err);
    else if (strcmp(kind, "waterbirds") == 0)
        status = clsp_source_waterbirds(images, path, err);
    else if (strcmp(kind, "tar") == 0)
        status = clsp_source_tar(images, path, err);
    else if (strcmp(kind, "matlab") == 0)
        status = clsp_source_matlab(images, path, err);
    else if (strcmp(kind, "image") == 0)
        status = open_single(images, path, err);
    else
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%s: images of kind '%s', expected folder, imagefolder, list, csv, waterbirds, tar or matlab", path, kind);
    *given = kind;
    return status;
}

static void entry_free(clsp_entry *entry, size_t columns)
{
    clsp_free(entry->name);
    clsp_free(entry->path);
    clsp_free(entry->label_text);
    for (size_t c = 0; entry->values != NULL && c < columns; c++) clsp_free(entry->values[c]);
    clsp_free(entry->values);
}

size_t clsp_images_column(const clipspan_images *images, const char *name)
{
    for (size_t c = 0; c < images->column_count; c++)
        if (strcmp(images->columns[c], name) == 0) return c;
    return SIZE_MAX;
}

void clsp_images_keep_first(clipspan_images *images, size_t limit)
{
    if (limit == 0) return;
    while (images->count > limit) entry_free(&images->entries[--images->count], images->column_count);
}

static char *absolute(const char *path)
{
    char found[PATH_MAX];
    return clsp_strdup(realpath(path, found) != NULL ? found : path);
}

clipspan_status clsp_images_finish(clipspan_images *images, const char *path, const char *kind, size_t limit,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(images->root, absolute(path));
    CLSP_ALLOC(images->kind, clsp_strdup(strcmp(kind, "image") == 0 ? "list" : kind));
    if (images->count == 0)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no images here (jpg, jpeg, png, webp)", path));
    CLSP_TRY(number_labels(images, err));
    clsp_images_keep_first(images, limit);
out:
    return status;
}

clipspan_status clipspan_images_open(clipspan_images **out, const char *path, const clipspan_images_options *options,
                                     clipspan_error *err)
{
    static const clipspan_images_options NONE = CLIPSPAN_IMAGES_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images *images = NULL;
    *out = NULL;
    if (options == NULL) options = &NONE;
    const char *kind = options->kind;
    CLSP_ALLOC(images, clsp_alloc_zero(1, sizeof *images));
    images->decode = (clsp_decoded_options){options->exif != 0, options->max_pixels};
    CLSP_TRY(open_kind(images, path, &kind, err));
    CLSP_TRY(clsp_images_finish(images, path, kind, options->limit, err));
    *out = images;
    images = NULL;
out:
    clipspan_images_free(images);
    return status;
}

void clipspan_images_free(clipspan_images *images)
{
    if (images == NULL) return;
    if (images->borrowed) {
        clsp_free(images->entries);
        clsp_free(images->cells);
        clsp_free(images);
        return;
    }
    for (size_t i = 0; i < images->count; i++) entry_free(&images->entries[i], images->column_count);
    for (size_t i = 0; i < images->class_count; i++) clsp_free(images->classes[i]);
    for (size_t i = 0; i < images->column_count; i++) clsp_free(images->columns[i]);
    clsp_free(images->entries);
    clsp_free(images->classes);
    clsp_free(images->columns);
    clsp_free(images->kind);
    clsp_free(images->root);
    clsp_map_close(&images->map);
    clsp_free(images->memory);
    clsp_matlab_close(images->matlab);
    clsp_free(images->cells);
    clsp_free(images);
}

/* ---- asking ------------------------------------------------------------------------------------------- */

size_t clipspan_images_count(const clipspan_images *images)
{
    return images->count;
}

const char *clipspan_images_kind(const clipspan_images *images)
{
    return images->kind;
}

const char *clipspan_images_root(const clipspan_images *images)
{
    return images->root;
}

int clipspan_images_exif(const clipspan_images *images)
{
    return images->decode.exif;
}

const char *clipspan_images_name(const clipspan_images *images, size_t i)
{
    return images->entries[i].name;
}

size_t clipspan_images_class_count(const clipspan_images *images)
{
    return images->class_count;
}

const char *clipspan_images_class(const clipspan_images *images, size_t c)
{
    return images->classes[c];
}

int clipspan_images_label(const clipspan_images *images, size_t i)
{
    return images->entries[i].label;
}

size_t clipspan_images_column_count(const clipspan_images *images)
{
    return images->column_count;
}

const char *clipspan_images_column(const clipspan_images *images, size_t column)
{
    return images->columns[column];
}

const char *clipspan_images_value(const clipspan_images *images, size_t i, size_t column)
{
    return images->entries[i].values[column];
}

/* ---- reading ------------------------------------------------------------------------------------------ */

clipspan_status clsp_images_picture(const clipspan_images *images, size_t i, clsp_picture *picture, clipspan_error *err)
{
    const clsp_entry *entry = &images->entries[i];
    *picture = (clsp_picture){0};
    if (images->matlab != NULL) return clsp_source_matlab_picture(images, i, picture, err);
    if (entry->path == NULL)
        return clsp_decode_as(picture, &images->decode,
                              (images->memory ? images->memory : images->map.bytes) + entry->offset, entry->length,
                              entry->name, err);
    char *bytes = NULL;
    size_t size = 0;
    clipspan_status status = clsp_file_read(&bytes, &size, entry->path, MAX_FILE, err);
    if (status != CLIPSPAN_OK) return status;
    status = clsp_decode_as(picture, &images->decode, (const unsigned char *)bytes, size, entry->path, err);
    clsp_free(bytes);
    return status;
}

static clipspan_status entry_pixels(const clipspan_images *images, size_t i, const clsp_preprocess *how, float *pixels,
                                    clipspan_error *err)
{
    const clsp_entry *entry = &images->entries[i];
    clsp_picture picture;
    clipspan_status status = clsp_images_picture(images, i, &picture, err);
    if (status != CLIPSPAN_OK) return status;
    status = clsp_preprocess_picture(how, &picture, entry->path ? entry->path : entry->name, pixels, err);
    clsp_picture_free(&picture);
    return status;
}

/* Whoever runs out of memory over one picture should learn which: it may be the one that needs a gigabyte. */
clipspan_status clsp_images_pixels(const clipspan_images *images, size_t i, const clsp_preprocess *how, float *pixels,
                                   clipspan_error *err)
{
    if (i >= images->count)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: image %zu of %zu", images->root, i, images->count);
    const clsp_entry *entry = &images->entries[i];
    clipspan_status status = entry_pixels(images, i, how, pixels, err);
    if (status != CLIPSPAN_ERROR_MEMORY) return status;
    return clsp_fail(err, status, "%s: out of memory", entry->path ? entry->path : entry->name);
}
