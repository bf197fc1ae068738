/* The pictures of a store: the list it was made from, opened again and held against it. */
#include "cli.h"

#include <string.h>
#include <unistd.h>

/* A store of a single picture says "list", which as a source means a list of names. */
static int is_picture(const clipspan_store *store, const char *path)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    const char *slash = strrchr(path, '/');
    return info->listed == 1 && info->images == 1 &&
           strcmp(clipspan_store_image_name(store, 0), slash ? slash + 1 : path) == 0;
}

size_t cli_store_picture(const clipspan_images *images, const clipspan_store *store, size_t row)
{
    size_t skipped = (size_t)clipspan_store_get_info(store)->skipped, count = clipspan_images_count(images);
    const char *name = clipspan_store_image_name(store, row);
    for (size_t i = row; i <= row + skipped && i < count; i++)
        if (strcmp(clipspan_images_name(images, i), name) == 0) return i;
    return SIZE_MAX;
}

static clipspan_status check(const clipspan_images *images, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    const char *root = clipspan_images_root(images);
    size_t count = clipspan_images_count(images);
    if (count != info->listed)
        return cli_fail(err, CLIPSPAN_ERROR_MISMATCH,
                        "%.300s: %zu images here, the store was made from %llu: pictures were moved or removed since "
                        "(--images says where they are now)",
                        root, count, (unsigned long long)info->listed);
    for (size_t row = 0; row < info->images; row++)
        if (cli_store_picture(images, store, row) == SIZE_MAX)
            return cli_fail(err, CLIPSPAN_ERROR_MISMATCH,
                            "%.300s: image %zu is \"%.120s\", the store has \"%.120s\": pictures were moved, renamed or "
                            "added since (--images says where they are now)",
                            root, row, clipspan_images_name(images, row), clipspan_store_image_name(store, row));
    return CLIPSPAN_OK;
}

clipspan_status cli_open_store_images(clipspan_images **out, const clipspan_store *store, const char *path,
                                      clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    const char *where = path ? path : info->images_path;
    if (info->images_kind[0] && !is_picture(store, where)) options.kind = info->images_kind;
    options.exif = info->exif;
    options.limit = (size_t)info->listed; /* the store may hold the first images of a longer list */
    clipspan_status status = clipspan_images_open(out, where, &options, err);
    if (status != CLIPSPAN_OK && path == NULL && access(where, F_OK) != 0) {
        char reason[CLIPSPAN_ERROR_LENGTH];
        snprintf(reason, sizeof reason, "%s", err->message);
        return cli_fail(err, status, "the store's pictures are not where they were (--images says where they are now): %.700s",
                        reason);
    }
    if (status == CLIPSPAN_OK) status = check(*out, store, err);
    if (status == CLIPSPAN_OK) return status;
    clipspan_images_free(*out);
    *out = NULL;
    return status;
}
