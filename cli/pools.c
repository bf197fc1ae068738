/* Several pools of texts as one. */
#include "pools.h"

#include <stdlib.h>
#include <string.h>

typedef struct line {
    const char *text;
    size_t at; /* among the texts of all pools */
} line;

typedef struct pools {
    clipspan_texts *pools[CLI_LIST_MOST];
    float *vectors[CLI_LIST_MOST]; /* [texts of the pool, E]; NULL: no files */
    line *lines;                   /* [count] of all pools */
    const char **texts;            /* [kept] */
    unsigned char *repeated;       /* [count] */
    size_t count, kept;
} pools;

static int by_text(const void *a, const void *b)
{
    const line *first = a, *second = b;
    int order = strcmp(first->text, second->text);
    return order != 0 ? order : first->at < second->at ? -1 : first->at > second->at;
}

static clipspan_status open_each(pools *p, const cli_list *paths, const cli_list *files, size_t embed_dim,
                                 clipspan_error *err)
{
    for (size_t i = 0; i < paths->count; i++) {
        clipspan_status status = cli_open_texts(&p->pools[i], paths->items[i], err);
        if (status == CLIPSPAN_OK && files->count > 0)
            status = cli_embeddings_open(&p->vectors[i], files->items[i], p->pools[i], paths->items[i], embed_dim, err);
        if (status != CLIPSPAN_OK) return status;
        p->count += clipspan_texts_count(p->pools[i]);
    }
    p->lines = calloc(p->count, sizeof *p->lines);
    p->texts = calloc(p->count, sizeof *p->texts);
    p->repeated = calloc(p->count, 1);
    return p->lines && p->texts && p->repeated ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static void find_repeated(pools *p, size_t pool_count)
{
    for (size_t i = 0, at = 0; i < pool_count; i++)
        for (size_t t = 0; t < clipspan_texts_count(p->pools[i]); t++, at++)
            p->lines[at] = (line){clipspan_texts_get(p->pools[i], t), at};
    qsort(p->lines, p->count, sizeof *p->lines, by_text);
    for (size_t n = 1; n < p->count; n++)
        p->repeated[p->lines[n].at] = strcmp(p->lines[n].text, p->lines[n - 1].text) == 0;
}

/* to: [kept, E]; NULL: texts alone. */
static void keep(pools *p, size_t pool_count, float *to, size_t embed_dim)
{
    p->kept = 0;
    for (size_t i = 0, at = 0; i < pool_count; i++)
        for (size_t t = 0; t < clipspan_texts_count(p->pools[i]); t++, at++) {
            if (p->repeated[at]) continue;
            p->texts[p->kept] = clipspan_texts_get(p->pools[i], t);
            if (to != NULL) memcpy(to + p->kept * embed_dim, p->vectors[i] + t * embed_dim, embed_dim * sizeof *to);
            p->kept++;
        }
}

clipspan_status cli_pools_open(clipspan_texts **out, float **embeddings, const cli_list *paths, const cli_list *files,
                               size_t embed_dim, clipspan_error *err)
{
    pools p = {0};
    *out = NULL;
    *embeddings = NULL;
    clipspan_status status = open_each(&p, paths, files, embed_dim, err);
    if (status == CLIPSPAN_OK && files->count > 0 && (*embeddings = calloc(p.count, embed_dim * sizeof **embeddings)) == NULL)
        status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK) {
        find_repeated(&p, paths->count);
        keep(&p, paths->count, *embeddings, embed_dim);
        status = clipspan_texts_copy(out, p.texts, p.kept, err);
    }
    for (size_t i = 0; i < paths->count; i++) {
        clipspan_texts_free(p.pools[i]);
        free(p.vectors[i]);
    }
    free(p.lines);
    free(p.texts);
    free(p.repeated);
    if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
    free(*embeddings);
    *embeddings = NULL;
    return status;
}
