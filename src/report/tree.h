/* report/tree.h - building JSON trees without leaks. */
#ifndef CLSP_REPORT_TREE_H
#define CLSP_REPORT_TREE_H

#ifndef CLSP_ROOM_REPORT
#error "report/tree.h is private to the room report"
#endif

#include "formats/json.h"
#include "report/output.h"

/* The node if all went well; else frees it and gives NULL, which put and push report as false. */
static inline clsp_json *clsp_json_settled(clsp_json *node, bool good)
{
    if (good) return node;
    clsp_json_free(node);
    return NULL;
}

/* An array of item(subject, 0) .. item(subject, count - 1). */
static inline clsp_json *clsp_json_list(const void *subject, size_t count, clsp_json *(*item)(const void *, size_t))
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < count; i++) good = clsp_json_push(list, item(subject, i));
    return clsp_json_settled(list, good);
}

/* What every object about a head begins with. */
static inline bool clsp_json_put_head(clsp_json *node, int layer, int head)
{
    char name[32];
    clsp_report_head_name(name, layer, head);
    return clsp_json_put(node, "layer", clsp_json_new_int(layer)) && clsp_json_put(node, "head", clsp_json_new_int(head)) &&
           clsp_json_put(node, "name", clsp_json_new_string(name));
}

#endif
