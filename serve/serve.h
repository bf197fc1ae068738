/* serve/serve.h - the viewer's server: pages of web/ and the JSON API of docs/api.md, over HTTP.
 *
 *     serve_server *server = NULL;
 *     serve_open(&server, &options, &err);
 *     puts(serve_url(server));
 *     serve_run(server, &err);     (until serve_stop, which a signal handler may call)
 *     serve_free(server);
 *
 * A client of include/clipspan, as the command is. Models, stores and engines are the caller's: borrowed, and used by the
 * server alone while it is open. Nothing is read from paths that a request names: none of them names one.
 */
#ifndef CLIPSPAN_SERVE_H
#define CLIPSPAN_SERVE_H

#include "clipspan/engine.h"
#include "clipspan/store.h"

/* A model, and what was found of pictures with it. */
typedef struct serve_side {
    const clipspan_model *model;
    clipspan_engine *engine;
    const clipspan_store *store;     /* NULL: none */
    const clipspan_images *pictures; /* [listed] the store's list, opened again; NULL: not at hand */
    const size_t *places;            /* [images of the store] where each row stands in that list; SIZE_MAX: nowhere */
    const char *model_path, *store_path; /* as commands take them; store_path NULL: no store */
    /* Writes `heads --json` of the store to path. Called once, when it is first asked for. NULL: there is no store. */
    clipspan_status (*heads)(void *user, const char *path, clipspan_error *err);
    void *user;
} serve_side;

enum { SERVE_SIDES = 2 };
typedef struct serve_options {
    serve_side sides[SERVE_SIDES];
    size_t side_count;
    const char *command; /* how the server was started, in words that start it again */
    const char *host;    /* a name or an address; NULL: 127.0.0.1 */
    size_t port;         /* 0: any that is free */
    const char *token;   /* NULL: one is made up where the host is not this machine alone */
    size_t held;         /* images held for each model; 0: as many as fit in 1 GB, 2 to 64 */
    int threads;         /* of products outside the engines; 0: all */
    size_t slow_seconds; /* a request that has not come whole by then is cut; 0: 30 */
} serve_options;

typedef struct serve_server serve_server;
clipspan_status serve_open(serve_server **out, const serve_options *options, clipspan_error *err);
/* Where it is: "http://127.0.0.1:8765/", with the token where there is one. Borrowed. */
const char *serve_url(const serve_server *server);
/* Answers requests until serve_stop was called; what is being computed then is given up. */
clipspan_status serve_run(serve_server *server, clipspan_error *err);
void serve_stop(serve_server *server); /* may be called from a signal handler, and before serve_run */
void serve_free(serve_server *server); /* NULL is fine */

#endif
