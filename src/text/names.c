/* A hash table from strings to ids (open addressing, FNV-1a). */
#include "text/names.h"

#include <string.h>

static uint64_t hash_of(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

/* The place where the text stands, or the empty one where it would. */
static clsp_name *place(const clsp_names *names, const char *text, size_t length)
{
    size_t i = (size_t)hash_of(text, length) & (names->capacity - 1);
    for (;; i = (i + 1) & (names->capacity - 1)) {
        clsp_name *slot = &names->slots[i];
        if (slot->text == NULL || (slot->length == length && memcmp(slot->text, text, length) == 0)) return slot;
    }
}

static bool widen(clsp_names *names)
{
    clsp_names wider = {.capacity = names->capacity ? names->capacity * 2 : 1024};
    wider.slots = clsp_alloc_zero(wider.capacity, sizeof *wider.slots);
    if (wider.slots == NULL) return false;
    for (size_t i = 0; i < names->capacity; i++) {
        const clsp_name *old = &names->slots[i];
        if (old->text != NULL) *place(&wider, old->text, old->length) = *old;
    }
    wider.count = names->count;
    clsp_free(names->slots);
    *names = wider;
    return true;
}

bool clsp_names_put(clsp_names *names, const char *text, size_t length, int32_t id)
{
    if (names->count * 2 >= names->capacity && !widen(names)) return false;
    clsp_name *slot = place(names, text, length);
    names->count += slot->text == NULL;
    *slot = (clsp_name){text, length, id};
    return true;
}

int32_t clsp_names_find(const clsp_names *names, const char *text, size_t length)
{
    if (names->capacity == 0) return -1;
    const clsp_name *slot = place(names, text, length);
    return slot->text != NULL ? slot->id : -1;
}

void clsp_names_free(clsp_names *names)
{
    clsp_free(names->slots);
    *names = (clsp_names){0};
}
