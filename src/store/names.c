/* What the files of a store are called, and which names are theirs. */
#include "store/names.h"

#include <stdio.h>
#include <string.h>

void clsp_name_shard(char name[CLSP_STORE_NAME], unsigned long long shard)
{
    snprintf(name, CLSP_STORE_NAME, "shard-%05llu.safetensors", shard);
}

void clsp_name_sums(char name[CLSP_STORE_NAME], const char *what, unsigned long long first, unsigned long long last)
{
    snprintf(name, CLSP_STORE_NAME, "%s-%05llu-%05llu.safetensors", what, first, last);
}

bool clsp_name_is(const char *name, const char *file)
{
    size_t length = strlen(file);
    return strncmp(name, file, length) == 0 && (name[length] == '\0' || clsp_is_beside(name + length));
}

static bool is_part(const char *name)
{
    char whole[CLSP_STORE_NAME];
    int number, of;
    if (clsp_part_parse(name, "lock", "", &number, &of)) return true;
    if (sscanf(name, "manifest-%d-of-%d", &number, &of) != 2) return false;
    clsp_part_name(whole, "manifest", number, of, ".json");
    return clsp_name_is(name, whole);
}

bool clsp_name_of_shards(const char *name, unsigned long long *first, unsigned long long *last)
{
    static const char *const sums[] = {"moments", "neurons"};
    char whole[CLSP_STORE_NAME];
    if (sscanf(name, "shard-%llu", first) == 1) {
        *last = *first;
        clsp_name_shard(whole, *first);
        return clsp_name_is(name, whole);
    }
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        size_t length = strlen(sums[i]);
        if (strncmp(name, sums[i], length) != 0 || sscanf(name + length, "-%llu-%llu", first, last) != 2) continue;
        clsp_name_sums(whole, sums[i], *first, *last);
        return clsp_name_is(name, whole);
    }
    return false;
}

bool clsp_name_is_ours(const char *name)
{
    static const char *const files[] = {CLSP_STORE_MANIFEST, CLSP_STORE_BASIS, CLSP_STORE_LIST, CLSP_STORE_MOMENTS,
                                        CLSP_STORE_NEURONS};
    unsigned long long first, last;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (clsp_name_is(name, files[i])) return true;
    return strcmp(name, CLSP_STORE_LOCK) == 0 || is_part(name) || clsp_name_of_shards(name, &first, &last);
}
