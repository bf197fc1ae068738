/* store/names.h - what the files of a store are called. docs/store.md has the list. */
#ifndef CLSP_STORE_NAMES_H
#define CLSP_STORE_NAMES_H

#if !defined(CLSP_ROOM_STORE) && !defined(CLSP_TESTS)
#error "store/names.h is private to src/store"
#endif

#include "store/store.h"

void clsp_name_shard(char name[CLSP_STORE_NAME], unsigned long long shard);
/* what: "moments" or "neurons", over shards first to last. */
void clsp_name_sums(char name[CLSP_STORE_NAME], const char *what, unsigned long long first, unsigned long long last);

bool clsp_name_is(const char *name, const char *file); /* `file`, or what a writer of it has begun */
/* A shard, or sums over some, whole or begun: of shards *first to *last. */
bool clsp_name_of_shards(const char *name, unsigned long long *first, unsigned long long *last);
/* Any file of a store, whole or begun. By the whole name: what has one may be removed, and people have files such as
 * shard-00000.tar. */
bool clsp_name_is_ours(const char *name);

#endif
