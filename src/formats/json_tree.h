/* formats/json_tree.h - private to formats: the step between a clsp_json and jansson's json_t. */
#ifndef CLSP_FORMATS_JSON_TREE_H
#define CLSP_FORMATS_JSON_TREE_H

#ifndef CLSP_ROOM_FORMATS
#error "formats/json_tree.h is private to src/formats/"
#endif

#include <jansson.h>

#include "formats/json.h"

/* jansson's iterators and lookups take a json_t without const and change nothing in it. */
static inline json_t *clsp_json_tree(const clsp_json *node)
{
    return (json_t *)(uintptr_t)node;
}

static inline clsp_json *clsp_json_of(json_t *tree)
{
    return (clsp_json *)tree;
}

#endif
