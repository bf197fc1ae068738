/* Some of a list's images, as a list. */
#include "image/sources.h"

static clipspan_status pick(clipspan_images *some, const clipspan_images *from, const size_t *places, clipspan_error *err)
{
    for (size_t i = 0; i < some->count; i++) {
        if (places[i] >= from->count)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: image %zu was chosen, the list has %zu", from->root, places[i],
                             from->count);
        some->entries[i] = from->entries[places[i]];
        some->entries[i].label = -1;
        some->entries[i].label_text = NULL;
        some->entries[i].values = NULL;
        if (some->cells != NULL) some->cells[i] = from->cells[places[i]];
    }
    return CLIPSPAN_OK;
}

clipspan_status clipspan_images_some(clipspan_images **out, const clipspan_images *images, const size_t *places, size_t count,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images *some = NULL;
    *out = NULL;
    if (count == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: no image was chosen", images->root);
    CLSP_ALLOC(some, clsp_alloc(1, sizeof *some));
    *some = *images;
    some->borrowed = true;
    some->count = some->capacity = count;
    some->classes = some->columns = NULL;
    some->class_count = some->column_count = 0;
    some->entries = NULL;
    some->cells = NULL;
    CLSP_ALLOC(some->entries, clsp_alloc(count, sizeof *some->entries));
    if (images->cells != NULL) CLSP_ALLOC(some->cells, clsp_alloc(count, sizeof *some->cells));
    CLSP_TRY(pick(some, images, places, err));
    *out = some;
    some = NULL;
out:
    clipspan_images_free(some);
    return status;
}
