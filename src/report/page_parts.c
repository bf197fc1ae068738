/* Sections of a page that no other report writes: heads' maps, examples of segmentation. */
#include <math.h>

#include "clipspan/page.h"
#include "report/data_url.h"
#include "report/output.h"
#include "report/tree.h"

static clipspan_status finish(clsp_json *root, bool good, clipspan_status status, const char *path, clipspan_error *err)
{
    if (status == CLIPSPAN_OK) status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
}

/* ---- heads' maps -------------------------------------------------------------------------------------------- */

static double largest(const float *values, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)values[i]));
    return most;
}

/* [count] of base64: each value's part of the limit, in signed 127ths. NULL: no memory. */
static clsp_json *coded(const float *values, size_t count, double limit)
{
    clsp_buffer text;
    clsp_json *node = NULL;
    signed char *bytes = clsp_alloc(count, 1);
    if (bytes == NULL) return NULL;
    for (size_t i = 0; i < count; i++)
        bytes[i] = (signed char)(limit > 0 ? lround((double)values[i] / limit * 127) : 0);
    clsp_buffer_init(&text, 2 * count + 8);
    if (clsp_base64(&text, bytes, count)) node = clsp_json_new_string(text.data);
    clsp_buffer_free(&text);
    clsp_free(bytes);
    return node;
}

static clsp_json *json_map(const clipspan_head_map *map, size_t places)
{
    char name[32];
    double limit = largest(map->values, places);
    clsp_report_head_name(name, map->layer, map->head);
    clsp_json *node = clsp_json_new_object();
    bool good = node != NULL && clsp_json_put(node, "head", clsp_json_new_string(name)) &&
                clsp_json_put(node, "text", clsp_json_new_string(map->text)) &&
                clsp_json_put(node, "row", clsp_json_new_int((int64_t)map->row)) &&
                clsp_json_put(node, "effect", clsp_json_new_number(map->effect)) &&
                clsp_json_put(node, "limit", clsp_json_new_number(limit)) &&
                clsp_json_put(node, "values", coded(map->values, places, limit)) &&
                clsp_json_put(node, "command", clsp_json_new_string(map->command));
    return clsp_json_settled(node, good);
}

clipspan_status clipspan_report_head_maps(const clipspan_head_map *maps, size_t count, int side,
                                          clipspan_convention convention, const char *path, clipspan_error *err)
{
    const char *unit = convention == CLIPSPAN_EXACT ? "change in r . text" : "change in cosine";
    clsp_json *root = clsp_json_new_object(), *list = clsp_json_new_array();
    bool good = root != NULL && list != NULL;
    for (size_t i = 0; good && i < count; i++)
        good = clsp_json_push(list, json_map(&maps[i], (size_t)side * (size_t)side));
    good = good && clsp_json_put(root, "unit", clsp_json_new_string(unit)) &&
           clsp_json_put(root, "convention", clsp_json_new_string(clsp_convention_name(convention))) &&
           clsp_json_put(root, "side", clsp_json_new_int(side));
    if (good)
        good = clsp_json_put(root, "maps", list);
    else
        clsp_json_free(list);
    return finish(root, good, CLIPSPAN_OK, path, err);
}

/* ---- examples of segmentation --------------------------------------------------------------------------------- */

static clipspan_status put_url(clsp_json *node, const char *key, char *url, clipspan_status status, clipspan_error *err)
{
    if (status == CLIPSPAN_OK && !clsp_json_put(node, key, clsp_json_new_string(url))) status = clsp_fail_memory(err);
    clsp_free(url);
    return status;
}

static clipspan_status put_mask(clsp_json *node, const char *key, const unsigned char *mask, int side, clipspan_error *err)
{
    char *url = NULL;
    clipspan_status status = clsp_mask_url(&url, mask, side, side, err);
    return put_url(node, key, url, status, err);
}

/* Puts the masks of every method into `list`. */
static clipspan_status put_masks(clsp_json *list, const clipspan_segment_example *e, size_t methods, int side,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t m = 0; status == CLIPSPAN_OK && m < methods; m++) {
        clsp_json *node = clsp_json_new_object();
        bool good = node != NULL && clsp_json_put(node, "iou", clsp_json_new_number(e->iou[m]));
        if (!good) status = clsp_fail_memory(err);
        if (status == CLIPSPAN_OK) status = put_mask(node, "src", e->masks + m * (size_t)side * (size_t)side, side, err);
        if (!clsp_json_push(list, clsp_json_settled(node, status == CLIPSPAN_OK)) && status == CLIPSPAN_OK)
            status = clsp_fail_memory(err);
    }
    return status;
}

static clipspan_status put_example(clsp_json *images, const clipspan_segment_example *e, size_t methods, int side,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_json *node = clsp_json_new_object(), *list = clsp_json_new_array();
    char *url = NULL;
    bool good = node != NULL && list != NULL && clsp_json_put(node, "name", clsp_json_new_string(e->name));
    if (!good) status = clsp_fail_memory(err);
    if (status == CLIPSPAN_OK) status = clsp_jpeg_url(&url, e->rgb, side, side, err);
    status = put_url(node, "src", url, status, err);
    if (status == CLIPSPAN_OK) status = put_mask(node, "truth", e->truth, side, err);
    if (status == CLIPSPAN_OK) status = put_masks(list, e, methods, side, err);
    if (!clsp_json_put(node, "masks", clsp_json_settled(list, status == CLIPSPAN_OK)) && status == CLIPSPAN_OK)
        status = clsp_fail_memory(err);
    if (!clsp_json_push(images, clsp_json_settled(node, status == CLIPSPAN_OK)) && status == CLIPSPAN_OK)
        status = clsp_fail_memory(err);
    return status;
}

static clsp_json *json_name(const void *names, size_t i)
{
    return clsp_json_new_string(((const char *const *)names)[i]);
}

clipspan_status clipspan_report_segment_examples(const clipspan_segment_example *examples, size_t count,
                                                 const char *const *methods, size_t method_count, int side, const char *path,
                                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_json *root = clsp_json_new_object(), *images = clsp_json_new_array();
    if (root == NULL || images == NULL) status = clsp_fail_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < count; i++)
        status = put_example(images, &examples[i], method_count, side, err);
    bool good = status == CLIPSPAN_OK && clsp_json_put(root, "methods", clsp_json_list(methods, method_count, json_name));
    good &= clsp_json_put(root, "images", clsp_json_settled(images, good));
    return finish(root, good, status, path, err);
}
