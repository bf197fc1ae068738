/* serve/handlers.h - what answers each path of the API (docs/api.md). A handler fills the answer, or returns what went wrong. */
#ifndef CLIPSPAN_SERVE_HANDLERS_H
#define CLIPSPAN_SERVE_HANDLERS_H

#include "lanes.h"
#include "session.h"

typedef clipspan_status (*serve_handler)(serve_session *session, const serve_request *request, serve_answer *answer,
                                         clipspan_error *err);

clipspan_status serve_page(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_state(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_heads(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_images_post(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_images_get(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_rows(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_rows_picture(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_maps(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_scores(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_nearest(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);
clipspan_status serve_textspan(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err);

/* The network is to run again, perhaps after a pass over the store. */
bool serve_scores_run(const serve_request *request);

/* One line of the table. */
typedef struct serve_route {
    const char *method, *path; /* path that ends in "/": whatever follows is the request's tail */
    serve_handler handler;
    serve_lane lane;
    size_t most;   /* bytes of its body; 0: none is taken */
    bool (*is_long)(const serve_request *request); /* this one goes to the long lane; NULL: none does */
    bool pictures; /* the body may be a picture instead of JSON, then of at most SERVE_IMAGE_BYTES */
    bool kept;     /* a browser may keep the answer, which stays the same while this server runs */
} serve_route;

/* Finds it and the tail. NULL: there is none; *allow: the methods that the path is asked with, or NULL: there is no such path. */
const serve_route *serve_route_find(const char *method, const char *path, const char **tail, const char **allow);

#endif
