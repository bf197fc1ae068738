/* text/names.h - token strings and their ids, while a vocabulary is being read. */
#ifndef CLSP_TEXT_NAMES_H
#define CLSP_TEXT_NAMES_H

#if !defined(CLSP_ROOM_TEXT) && !defined(CLSP_TESTS)
#error "text/names.h belongs to src/text/"
#endif

#include "base/base.h"

typedef struct clsp_name {
    const char *text; /* borrowed; NULL: an empty place of the table */
    size_t length;
    int32_t id;
} clsp_name;

typedef struct clsp_names {
    clsp_name *slots; /* [capacity], open addressing */
    size_t count, capacity;
} clsp_names;

/* A later id for the same text replaces the earlier one. False: out of memory. */
bool clsp_names_put(clsp_names *names, const char *text, size_t length, int32_t id);
int32_t clsp_names_find(const clsp_names *names, const char *text, size_t length); /* -1: absent */
void clsp_names_free(clsp_names *names);

#endif
