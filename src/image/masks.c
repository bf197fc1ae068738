/* Lists of images with masks: opened, checked, read. */
#include "image/mask_list.h"

#include <limits.h>
#include <string.h>

static const size_t MAX_FILE = (size_t)2 << 30;
static const char MATLAB_MASKS[] = "value/gt";

const char *clipspan_protocol_name(clipspan_protocol protocol)
{
    return protocol == CLIPSPAN_PROTOCOL_PAPER ? "paper" : "aligned";
}

/* ---- a folder: images/ and masks/ with equal stems ------------------------------------------------------ */

static clipspan_status no_pairs(const char *path, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                     "%s: expected the folders images and masks in it, or Pascal VOC's layout, or a CSV with the columns path "
                     "and mask, or gtsegs_ijcv.mat", path);
}

static char *mask_beside(const char *root, const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    size_t stem = dot ? (size_t)(dot - name) : strlen(name);
    char *copy = clsp_strndup(name, stem), *path = copy ? clsp_format("%s/masks/%s.png", root, copy) : NULL;
    clsp_free(copy);
    return path;
}

static clipspan_status open_folder(clipspan_masks *masks, const char *path, const char *unused, size_t limit,
                                   clipspan_error *err)
{
    (void)unused;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images_options how = CLIPSPAN_IMAGES_OPTIONS_INIT;
    char *pictures = NULL, *truths = NULL;
    how.kind = "folder";
    how.limit = limit;
    CLSP_ALLOC(pictures, clsp_path_join(path, "images"));
    CLSP_ALLOC(truths, clsp_path_join(path, "masks"));
    if (!clsp_directory_exists(pictures) || !clsp_directory_exists(truths)) CLSP_TRY(no_pairs(path, err));
    CLSP_TRY(clipspan_images_open(&masks->images, pictures, &how, err));
    CLSP_ALLOC(masks->paths, clsp_alloc_zero(masks->images->count, sizeof *masks->paths));
    for (; masks->count < masks->images->count; masks->count++)
        CLSP_ALLOC(masks->paths[masks->count], mask_beside(path, masks->images->entries[masks->count].name));
out:
    clsp_free(truths);
    clsp_free(pictures);
    return status;
}

/* ---- a CSV ------------------------------------------------------------------------------------------------ */

static clipspan_status open_csv(clipspan_masks *masks, const char *path, const char *column, size_t limit,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images_options how = CLIPSPAN_IMAGES_OPTIONS_INIT;
    how.kind = "csv";
    how.limit = limit;
    if (column == NULL) column = "mask";
    CLSP_TRY(clipspan_images_open(&masks->images, path, &how, err));
    size_t at = clsp_images_column(masks->images, column);
    if (at == SIZE_MAX) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: has no column %s", path, column));
    CLSP_ALLOC(masks->paths, clsp_alloc_zero(masks->images->count, sizeof *masks->paths));
    for (; masks->count < masks->images->count; masks->count++) {
        const clsp_entry *entry = &masks->images->entries[masks->count];
        if (entry->values[at][0] == '\0')
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: image %s has no mask in column %s", path, entry->name,
                               column));
        CLSP_ALLOC(masks->paths[masks->count], clsp_path_beside(path, entry->values[at]));
    }
out:
    return status;
}

/* ---- a MATLAB file ---------------------------------------------------------------------------------------- */

static clipspan_status open_matlab(clipspan_masks *masks, const char *path, const char *unused, size_t limit,
                                   clipspan_error *err)
{
    (void)unused;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images_options how = CLIPSPAN_IMAGES_OPTIONS_INIT;
    how.kind = "matlab";
    CLSP_TRY(clipspan_images_open(&masks->images, path, &how, err));
    CLSP_TRY(clsp_matlab_cells(masks->images->matlab, MATLAB_MASKS, &masks->cells, &masks->count, err));
    if (masks->count != masks->images->count)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s: %zu pictures, %zu masks", path, masks->images->count,
                           masks->count));
    if (limit > 0 && limit < masks->count) {
        clsp_images_keep_first(masks->images, limit);
        masks->count = limit;
    }
out:
    return status;
}

/* ---- what headers say -------------------------------------------------------------------------------------- */

static const char *mask_name(const clipspan_masks *masks, size_t i)
{
    return masks->paths ? masks->paths[i] : masks->images->entries[i].name;
}

/* known: false where the file cannot be read or says no size; the reader will say why. */
static clipspan_status file_header(clsp_header *header, bool *known, const char *path, clipspan_error *err)
{
    clsp_map map;
    *header = (clsp_header){.format = "a file that cannot be read"};
    clipspan_status status = clsp_map_open(&map, path, NULL);
    *known = status == CLIPSPAN_OK && clsp_header_read(header, map.bytes, map.size);
    if (status == CLIPSPAN_OK) clsp_map_close(&map);
    return status == CLIPSPAN_ERROR_MEMORY ? clsp_fail_memory(err) : CLIPSPAN_OK;
}

static clipspan_status compare(const clipspan_masks *masks, size_t i, const clsp_header *picture, const clsp_header *mask,
                               clipspan_error *err)
{
    if (picture->width == mask->width && picture->height == mask->height) return CLIPSPAN_OK;
    const char *where = masks->paths ? masks->paths[i] : masks->images->root; /* a MATLAB file */
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s: the mask is %u x %u, its picture %s is %u x %u", where, mask->width,
                     mask->height, masks->images->entries[i].name, picture->width, picture->height);
}

static clipspan_status check_files(const clipspan_masks *masks, size_t i, clipspan_error *err)
{
    const clsp_entry *entry = &masks->images->entries[i];
    const char *path = masks->paths[i];
    clsp_header picture, mask;
    bool known;
    if (!clsp_file_exists(path))
        return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: the mask of %s is missing", path, entry->name);
    clipspan_status status = file_header(&mask, &known, path, err);
    if (status != CLIPSPAN_OK) return status;
    if (!known || strcmp(mask.format, "PNG") != 0 || !mask.indices)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: a mask is a PNG of grey values or palette indices, 8 bits or less; "
                         "this is %s", path, strcmp(mask.format, "PNG") == 0 ? "a PNG of colours or 16 bits" : mask.format);
    status = file_header(&picture, &known, entry->path, err);
    return status == CLIPSPAN_OK && known ? compare(masks, i, &picture, &mask, err) : status;
}

static clipspan_status matlab_header(const clipspan_masks *masks, uint64_t cell, size_t i, clsp_header *header,
                                     clipspan_error *err)
{
    clsp_matlab_array a;
    clipspan_status status =
        clsp_matlab_array_read(&a, masks->images->matlab, cell, masks->images->entries[i].name, false, err);
    if (status != CLIPSPAN_OK) return status;
    header->width = (uint32_t)a.shape[a.dims - 2]; /* at most 3 x 178,956,970 */
    header->height = (uint32_t)a.shape[a.dims - 1];
    header->indices = a.dims == 2 || a.shape[0] == 1;
    return CLIPSPAN_OK;
}

static clipspan_status check_cells(const clipspan_masks *masks, size_t i, clipspan_error *err)
{
    clsp_header picture, mask;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(matlab_header(masks, masks->images->cells[i], i, &picture, err));
    CLSP_TRY(matlab_header(masks, masks->cells[i], i, &mask, err));
    if (!mask.indices)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the mask of %s has several planes", masks->images->root,
                           masks->images->entries[i].name));
    CLSP_TRY(compare(masks, i, &picture, &mask, err));
out:
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

/* kind: "" where nothing is known of it. */
static clipspan_status find_kind(const char **kind, const char *path, clipspan_error *err)
{
    size_t length = strlen(path);
    bool voc = false;
    *kind = "";
    if (length > 4 && strcmp(path + length - 4, ".mat") == 0) *kind = "matlab";
    if (length > 4 && strcmp(path + length - 4, ".csv") == 0) *kind = "csv";
    if (!clsp_directory_exists(path)) return CLIPSPAN_OK;
    clipspan_status status = clsp_masks_looks_voc(&voc, path, err);
    *kind = voc ? "voc" : "folder";
    return status;
}

/* What opens each kind; `name`: its list, or its column. */
static const struct {
    const char *kind;
    clipspan_status (*open)(clipspan_masks *masks, const char *path, const char *name, size_t limit, clipspan_error *err);
} KINDS[] = {{"voc", clsp_masks_voc}, {"folder", open_folder}, {"csv", open_csv}, {"matlab", open_matlab}};

static clipspan_status open_kind(clipspan_masks *masks, const char *path, const clipspan_masks_options *o,
                                 clipspan_error *err)
{
    const char *kind = o->kind;
    clipspan_status status = CLIPSPAN_OK;
    if (!clsp_directory_exists(path) && !clsp_file_exists(path))
        return clsp_fail_absent(path, err);
    if (kind == NULL) status = find_kind(&kind, path, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        if (strcmp(kind, KINDS[k].kind) != 0) continue;
        masks->kind = KINDS[k].kind;
        return KINDS[k].open(masks, path, KINDS[k].open == open_csv ? o->column : o->split, o->limit, err);
    }
    if (o->kind == NULL) return no_pairs(path, err);
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: masks of kind '%s', expected folder, csv, voc or matlab", path,
                     kind);
}

clipspan_status clipspan_masks_open(clipspan_masks **out, const char *path, const clipspan_masks_options *options,
                                    clipspan_error *err)
{
    static const clipspan_masks_options usual = CLIPSPAN_MASKS_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    clipspan_masks *masks = NULL;
    *out = NULL;
    if (options == NULL) options = &usual;
    if (options->ignore < CLIPSPAN_MASK_IGNORE_USUAL || options->ignore > 255)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "masks: the value that is not scored is %d, expected 0 to 255",
                         options->ignore);
    CLSP_ALLOC(masks, clsp_alloc_zero(1, sizeof *masks));
    masks->binary = options->binary != 0;
    CLSP_TRY(open_kind(masks, path, options, err));
    masks->ignore = options->ignore;
    if (options->ignore == CLIPSPAN_MASK_IGNORE_USUAL) masks->ignore = masks->voc || !masks->binary ? 255 : -1;
    for (size_t i = 0; i < masks->count; i++)
        CLSP_TRY(masks->paths ? check_files(masks, i, err) : check_cells(masks, i, err));
    *out = masks;
    masks = NULL;
out:
    clipspan_masks_free(masks);
    return status;
}

void clipspan_masks_free(clipspan_masks *masks)
{
    if (masks == NULL) return;
    for (size_t i = 0; masks->paths != NULL && i < masks->count; i++) clsp_free(masks->paths[i]);
    clsp_free(masks->paths);
    clsp_free(masks->cells);
    clipspan_images_free(masks->images);
    clsp_free(masks);
}

const clipspan_images *clipspan_masks_images(const clipspan_masks *masks)
{
    return masks->images;
}

const char *clipspan_masks_kind(const clipspan_masks *masks)
{
    return masks->kind;
}

int clipspan_masks_ignore(const clipspan_masks *masks)
{
    return masks->ignore;
}

size_t clipspan_masks_class_count(const clipspan_masks *masks)
{
    return masks->voc ? CLSP_VOC_CLASSES : 0;
}

const char *clipspan_masks_class(const clipspan_masks *masks, size_t c)
{
    return masks->voc && c < CLSP_VOC_CLASSES ? clsp_voc_classes[c] : NULL;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static clipspan_status decode_file(clsp_picture *mask, const char *path, clipspan_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    clipspan_status status = clsp_file_read(&bytes, &size, path, MAX_FILE, err);
    if (status != CLIPSPAN_OK) return status;
    status = clsp_decode_as(mask, NULL, (const unsigned char *)bytes, size, path, err);
    clsp_free(bytes);
    return status;
}

/* Raw values to truths, in place; a picture of one bit has 0 and not 0. */
static void settle_values(clsp_picture *mask, const clipspan_masks *masks)
{
    unsigned char table[256];
    for (int v = 0; v < 256; v++) {
        int value = mask->mode == CLSP_MODE_1 ? v != 0 : v;
        table[v] = (unsigned char)(value == masks->ignore ? CLIPSPAN_MASK_UNSCORED : masks->binary ? value > 0 : value);
    }
    size_t count = clsp_picture_row(mask) * (size_t)mask->height;
    for (size_t i = 0; i < count; i++) mask->data[i] = table[mask->data[i]];
    mask->mode = CLSP_MODE_L;
}

static clipspan_status read_mask(const clipspan_masks *masks, size_t i, clsp_picture *mask, clipspan_error *err)
{
    *mask = (clsp_picture){0};
    const char *name = mask_name(masks, i);
    clipspan_status status = masks->paths ? decode_file(mask, name, err)
                                          : clsp_matlab_to_picture(mask, masks->images->matlab, masks->cells[i], name, err);
    if (status != CLIPSPAN_OK) return status;
    if (mask->mode == CLSP_MODE_1 || mask->mode == CLSP_MODE_L || mask->mode == CLSP_MODE_P) {
        settle_values(mask, masks);
        return CLIPSPAN_OK;
    }
    clsp_picture_free(mask);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: holds colours, expected one value a pixel", name);
}

static clipspan_status stretch(clsp_picture *mask, int size, clipspan_error *err)
{
    const clsp_window whole = {.width = size, .height = size, .across = size, .down = size};
    clsp_picture square = {0};
    clipspan_status status = clsp_resize(&square, mask, &whole, CLSP_NEAREST, err);
    if (status == CLIPSPAN_OK) clsp_picture_replace(mask, &square);
    return status;
}

clipspan_status clsp_masks_truth(const clipspan_masks *masks, size_t i, const clsp_preprocess *how,
                                 clipspan_protocol protocol, unsigned char *truth, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_picture mask = {0};
    if (i >= masks->count)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: mask %zu of %zu", masks->images->root, i, masks->count);
    CLSP_TRY(read_mask(masks, i, &mask, err));
    CLSP_TRY(protocol == CLIPSPAN_PROTOCOL_PAPER
                 ? stretch(&mask, how->size, err)
                 : clsp_preprocess_mask(how, &mask, CLIPSPAN_MASK_UNSCORED, mask_name(masks, i), err));
    memcpy(truth, mask.data, (size_t)how->size * (size_t)how->size);
out:
    clsp_picture_free(&mask);
    return status;
}
