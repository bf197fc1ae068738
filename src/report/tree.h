/* report/tree.h - building JSON trees without leaks. */
#ifndef CLSP_REPORT_TREE_H
#define CLSP_REPORT_TREE_H

#ifndef CLSP_ROOM_REPORT
#error "report/tree.h is private to the room report"
#endif

#include "formats/json.h"

/* The node if all went well; else frees it and gives NULL, which put and push report as false. */
static inline clsp_json *clsp_json_settled(clsp_json *node, bool good)
{
    if (good) return node;
    clsp_json_free(node);
    return NULL;
}

#endif
