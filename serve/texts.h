/* serve/texts.h - embeddings of texts that were asked for before. */
#ifndef CLIPSPAN_SERVE_TEXTS_H
#define CLIPSPAN_SERVE_TEXTS_H

#include <pthread.h>

#include "clipspan/engine.h"

/* Whoever comes first is served first. */
typedef struct serve_gate {
    pthread_mutex_t lock;
    pthread_cond_t turned;
    unsigned long next, serving;
} serve_gate;
void serve_gate_open(serve_gate *gate);
void serve_gate_close(serve_gate *gate);
void serve_gate_enter(serve_gate *gate);
void serve_gate_leave(serve_gate *gate);

typedef struct serve_texts serve_texts;
/* At most `most` texts are kept, those that came last. */
clipspan_status serve_texts_open(serve_texts **out, size_t embed_dim, size_t most, clipspan_error *err);
void serve_texts_free(serve_texts *texts);

/* out: [count, E], unit length. What is not kept yet is embedded, few at a time, and between those others have their turn
 * at the engine. Stage "texts". */
clipspan_status serve_texts_embed(serve_texts *texts, clipspan_engine *engine, serve_gate *gate,
                                  const char *const *words, size_t count, float *out, const clipspan_hooks *hooks,
                                  clipspan_error *err);

#endif
