/* Pascal VOC's layout (Everingham et al., IJCV 2010): a list of names, photographs and palette masks of those names. */
#include "image/mask_list.h"

#include <string.h>

const char *const clsp_voc_classes[CLSP_VOC_CLASSES] = {
    "background", "aeroplane",    "bicycle", "bird",  "boat",      "bottle",      "bus",
    "car",        "cat",          "chair",   "cow",   "diningtable", "dog",       "horse",
    "motorbike",  "person",       "pottedplant", "sheep", "sofa",  "train",       "tvmonitor"};

clipspan_status clsp_masks_looks_voc(bool *voc, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *pictures = NULL, *masks = NULL;
    CLSP_ALLOC(pictures, clsp_path_join(path, "JPEGImages"));
    CLSP_ALLOC(masks, clsp_path_join(path, "SegmentationClass"));
    *voc = clsp_directory_exists(pictures) && clsp_directory_exists(masks);
out:
    clsp_free(pictures);
    clsp_free(masks);
    return status;
}

/* ROOT/FOLDER/NAME + ending */
static char *path_of(const char *root, const char *folder, const char *name, const char *ending)
{
    return clsp_format("%s/%s/%s%s", root, folder, name, ending);
}

static clipspan_status add(clipspan_masks *masks, const char *root, const char *name, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char **paths;
    CLSP_TRY(clsp_images_add(masks->images, NULL, clsp_format("%s.jpg", name), path_of(root, "JPEGImages", name, ".jpg"),
                             err));
    CLSP_ALLOC(paths, clsp_grow(masks->paths, masks->images->capacity, sizeof *paths));
    masks->paths = paths;
    CLSP_ALLOC(masks->paths[masks->count], path_of(root, "SegmentationClass", name, ".png"));
    masks->count++;
out:
    return status;
}

/* A line's first word: a list of one class (aeroplane_val.txt) has a number behind it. */
static clipspan_status read_lines(clipspan_masks *masks, const char *root, char *text, const char *list, size_t limit,
                                  clipspan_error *err)
{
    char *rest = text;
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL && (limit == 0 || masks->count < limit);) {
        line += strspn(line, " \t\r");
        line[strcspn(line, " \t\r")] = '\0';
        if (*line == '\0') continue;
        if (strchr(line, '/') != NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s is a path, expected the name of a picture", list, line);
        clipspan_status status = add(masks, root, line, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_masks_voc(clipspan_masks *masks, const char *path, const char *split, size_t limit,
                               clipspan_error *err)
{
    static const size_t MAX_LIST = (size_t)64 << 20;
    clipspan_status status = CLIPSPAN_OK;
    char *list = NULL, *text = NULL;
    size_t size;
    bool voc = false;
    CLSP_TRY(clsp_masks_looks_voc(&voc, path, err));
    if (!voc)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT,
                           "%s: is not in Pascal VOC's layout (JPEGImages and SegmentationClass, such as VOCdevkit/VOC2012)",
                           path));
    masks->voc = true;
    CLSP_ALLOC(masks->images, clsp_alloc_zero(1, sizeof *masks->images));
    CLSP_ALLOC(list, clsp_format("%s/ImageSets/Segmentation/%s.txt", path, split ? split : "val"));
    CLSP_TRY(clsp_file_read(&text, &size, list, MAX_LIST, err));
    CLSP_TRY(read_lines(masks, path, text, list, limit, err));
    if (masks->count == 0) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: names no picture", list));
    CLSP_TRY(clsp_images_finish(masks->images, path, "list", 0, err));
out:
    clsp_free(text);
    clsp_free(list);
    return status;
}
