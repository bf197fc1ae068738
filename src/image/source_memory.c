/* A picture that is at hand as bytes: a list of one. */
#include "image/sources.h"

#include <string.h>

clipspan_status clipspan_images_open_memory(clipspan_images **out, const char *name, const void *bytes, size_t length,
                                            const clipspan_images_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images *images = NULL;
    clsp_entry *entry = NULL;
    *out = NULL;
    if (length == 0) return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the file is empty", name);
    CLSP_ALLOC(images, clsp_alloc_zero(1, sizeof *images));
    if (options != NULL) images->decode = (clsp_decoded_options){options->exif != 0, options->max_pixels};
    CLSP_ALLOC(images->memory, clsp_alloc(length, 1));
    memcpy(images->memory, bytes, length);
    CLSP_TRY(clsp_images_add(images, &entry, clsp_strdup(name), NULL, err));
    entry->length = length;
    CLSP_ALLOC(images->root, clsp_strdup(name));
    CLSP_ALLOC(images->kind, clsp_strdup("list"));
    *out = images;
    images = NULL;
out:
    clipspan_images_free(images);
    return status;
}
