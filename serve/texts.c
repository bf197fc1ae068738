/* A table of texts and their vectors: chains by hash over a ring in which the oldest is overwritten. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOGETHER = 16 }; /* texts that are embedded before others have their turn */
static const size_t NONE = SIZE_MAX;

typedef struct entry {
    char *text;  /* NULL: nothing here yet */
    size_t next; /* in its chain */
} entry;

struct serve_texts {
    pthread_mutex_t lock;
    size_t embed_dim, most, count; /* count: of texts that ever came */
    entry *entries;                /* [most] */
    float *vectors;                /* [most, E] */
    size_t *chains;                /* [most] first of each, or NONE */
};

clipspan_status serve_texts_open(serve_texts **out, size_t embed_dim, size_t most, clipspan_error *err)
{
    serve_texts *texts = calloc(1, sizeof *texts);
    *out = NULL;
    if (texts == NULL) return serve_no_memory(err);
    pthread_mutex_init(&texts->lock, NULL);
    texts->embed_dim = embed_dim;
    texts->most = most;
    texts->entries = calloc(most, sizeof *texts->entries);
    texts->vectors = calloc(most, embed_dim * sizeof *texts->vectors);
    texts->chains = calloc(most, sizeof *texts->chains);
    if (!texts->entries || !texts->vectors || !texts->chains) {
        serve_texts_free(texts);
        return serve_no_memory(err);
    }
    for (size_t i = 0; i < most; i++) texts->chains[i] = NONE;
    *out = texts;
    return CLIPSPAN_OK;
}

void serve_texts_free(serve_texts *texts)
{
    if (texts == NULL) return;
    for (size_t i = 0; texts->entries != NULL && i < texts->most; i++) free(texts->entries[i].text);
    free(texts->entries);
    free(texts->vectors);
    free(texts->chains);
    pthread_mutex_destroy(&texts->lock);
    free(texts);
}

/* FNV-1a, 64 bits. */
static size_t *chain_of(serve_texts *texts, const char *text)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
    return &texts->chains[hash % texts->most];
}

static size_t find(serve_texts *texts, const char *text)
{
    size_t at = *chain_of(texts, text);
    while (at != NONE && strcmp(texts->entries[at].text, text) != 0) at = texts->entries[at].next;
    return at;
}

/* 1: the vector was kept, and is in out [E]. */
static int take(serve_texts *texts, const char *text, float *out)
{
    pthread_mutex_lock(&texts->lock);
    size_t at = find(texts, text);
    if (at != NONE) memcpy(out, texts->vectors + at * texts->embed_dim, texts->embed_dim * sizeof *out);
    pthread_mutex_unlock(&texts->lock);
    return at != NONE;
}

static void unchain(serve_texts *texts, size_t at)
{
    size_t *link = chain_of(texts, texts->entries[at].text);
    while (*link != at) link = &texts->entries[*link].next;
    *link = texts->entries[at].next;
    free(texts->entries[at].text);
    texts->entries[at].text = NULL;
}

/* Without memory it is not kept, which is no error. vector: [E]. */
static void keep(serve_texts *texts, const char *text, const float *vector)
{
    char *copy = strdup(text);
    pthread_mutex_lock(&texts->lock);
    if (copy != NULL && find(texts, text) == NONE) {
        size_t at = texts->count++ % texts->most, *chain;
        if (texts->entries[at].text != NULL) unchain(texts, at);
        chain = chain_of(texts, copy);
        texts->entries[at] = (entry){copy, *chain};
        *chain = at;
        memcpy(texts->vectors + at * texts->embed_dim, vector, texts->embed_dim * sizeof *vector);
        copy = NULL;
    }
    pthread_mutex_unlock(&texts->lock);
    free(copy);
}

/* ---- embedding --------------------------------------------------------------------------------------------- */

static clipspan_status report(const clipspan_hooks *hooks, size_t done, size_t total, clipspan_error *err)
{
    const clipspan_progress progress = {"texts", done, total, 0};
    if (hooks == NULL || hooks->progress(hooks->user, &progress) == 0) return CLIPSPAN_OK;
    err->status = CLIPSPAN_ERROR_INTERRUPTED;
    snprintf(err->message, sizeof err->message, "stopped after %zu of %zu texts", done, total);
    return err->status;
}

/* words: [n], n at most TOGETHER, to rows places[i] of out. */
static clipspan_status embed(serve_texts *texts, clipspan_engine *engine, serve_gate *gate, const char *const *words,
                             const size_t *places, size_t n, float *out, clipspan_error *err)
{
    size_t dim = texts->embed_dim;
    float *vectors = calloc(n, dim * sizeof *vectors);
    if (vectors == NULL) return serve_no_memory(err);
    serve_gate_enter(gate);
    clipspan_status status = clipspan_engine_embed_texts(engine, words, n, 1, vectors, err);
    serve_gate_leave(gate);
    for (size_t i = 0; status == CLIPSPAN_OK && i < n; i++) {
        memcpy(out + places[i] * dim, vectors + i * dim, dim * sizeof *out);
        keep(texts, words[i], vectors + i * dim);
    }
    free(vectors);
    return status;
}

clipspan_status serve_texts_embed(serve_texts *texts, clipspan_engine *engine, serve_gate *gate, const char *const *words,
                                  size_t count, float *out, const clipspan_hooks *hooks, clipspan_error *err)
{
    const char *wanted[TOGETHER];
    size_t places[TOGETHER], n = 0;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; status == CLIPSPAN_OK && i < count; i++) {
        if (!take(texts, words[i], out + i * texts->embed_dim)) {
            wanted[n] = words[i];
            places[n++] = i;
        }
        if (n == 0 || (n < TOGETHER && i + 1 < count)) continue;
        status = embed(texts, engine, gate, wanted, places, n, out, err);
        if (status == CLIPSPAN_OK) status = report(hooks, i + 1, count, err);
        n = 0;
    }
    return status;
}
