/* serve/session.h - what lasts between requests: models and engines, images held, texts kept.
 *
 * Handlers run on several threads, one a lane (lanes.h). An engine is taken through its gate, in the order of asking; only
 * the prompt lane adds and drops images, others hold on to one by its pin.
 */
#ifndef CLIPSPAN_SERVE_SESSION_H
#define CLIPSPAN_SERVE_SESSION_H

#include <stdint.h>

#include "clipspan/ablation.h"
#include "clipspan/map.h"
#include "clipspan/retrieval.h"
#include "body.h"
#include "exchange.h"
#include "serve.h"
#include "texts.h"

enum { SERVE_ID = 48, SERVE_RETRIEVALS = 8 };

/* An image, decomposed: its batch, and where its pixels come from. */
typedef struct serve_picture {
    char id[SERVE_ID];
    char *name;
    uint64_t row;                /* of the store; UINT64_MAX: not one of its images */
    clipspan_images *own;        /* a list of one; NULL: of the store's pictures */
    const clipspan_images *list; /* NULL: the picture itself is not at hand */
    size_t place;                /* in it */
    size_t bytes;                /* of the picture that was handed in; 0: of the store's */
    const clipspan_batch *batch;
    unsigned pins;               /* handlers that look at it */
    unsigned long used;          /* when it was last asked for */
} serve_picture;

/* A retrieval that stays open, with what was asked for. */
typedef struct serve_space {
    clipspan_retrieval *retrieval; /* NULL: none */
    unsigned char *heads;          /* [L * H] */
    bool whole, centred;
    clipspan_similarity similarity;
    unsigned long used;
} serve_space;

typedef struct serve_subject {
    const serve_side *side, *rows; /* rows: the side whose store's images are asked for by row: its own, else another's */
    const clipspan_model_info *info;
    int threads;
    serve_gate engine;
    serve_texts *texts;

    pthread_mutex_t lock; /* of the images */
    clipspan_held *held;
    serve_picture **pictures; /* [held_most], in the order of `held` */
    size_t picture_count, held_most;
    unsigned long clock;

    pthread_mutex_t once;
    clipspan_means *means; /* of the store's heads, once asked for */
    pthread_mutex_t passing;
    float *class_means; /* once asked for */

    /* the long lane's alone, each once asked for */
    clipspan_memory_file *heads; /* the answer to GET /api/heads */
    serve_space spaces[SERVE_RETRIEVALS];
    unsigned long space_clock;
    clipspan_moments *moments;
} serve_subject;

typedef struct serve_session {
    const serve_options *options;
    pthread_t warming; /* packs the text towers' weights, so that nobody's first text has to */
    bool warm;         /* it was started */
    serve_subject subjects[SERVE_SIDES];
    size_t count;
} serve_session;

clipspan_status serve_session_open(serve_session *session, const serve_options *options, clipspan_error *err);
void serve_session_close(serve_session *session); /* zeros are fine */

/* Subject `number`, or an error that says how many there are. */
clipspan_status serve_session_subject(serve_session *session, size_t number, serve_subject **out, clipspan_error *err);
/* That of a request's field "model"; without the field the first. */
clipspan_status serve_session_asked(serve_session *session, const serve_body *body, serve_subject **out, clipspan_error *err);
/* For what needs a store: 404 without. */
clipspan_status serve_need_store(const serve_subject *subject, serve_answer *answer, clipspan_error *err);

static inline size_t serve_head_count(const serve_subject *subject)
{
    return (size_t)subject->info->layers * (size_t)subject->info->heads;
}
/* chosen: [L * H], the caller's, by names as --heads takes them; "@file" is refused. names NULL: all. */
clipspan_status serve_heads_of(const serve_subject *subject, const char *names, unsigned char *chosen, clipspan_error *err);

/* ---- images (pictures.c) ------------------------------------------------------------------------------------- */

/* Holds the picture of these bytes, or of this row; one that is held already is found again. Of the prompt lane alone. */
clipspan_status serve_pictures_take(serve_subject *subject, const char *name, const char *bytes, size_t length,
                                    const clipspan_hooks *hooks, serve_picture **out, serve_answer *answer,
                                    clipspan_error *err);
clipspan_status serve_pictures_take_row(serve_subject *subject, uint64_t row, const clipspan_hooks *hooks,
                                        serve_picture **out, serve_answer *answer, clipspan_error *err);
/* The held picture of that id, pinned; 404 where there is none. */
clipspan_status serve_pictures_find(serve_subject *subject, const char *id, serve_picture **out, serve_answer *answer,
                                    clipspan_error *err);
void serve_pictures_release(serve_subject *subject, serve_picture *picture); /* NULL is fine */
void serve_pictures_close(serve_subject *subject);

/* ---- what is worked out once (means.c) ------------------------------------------------------------------------ */

clipspan_status serve_means_of(serve_subject *subject, const clipspan_means **out, clipspan_error *err);
/* [L, H, 1, d]: every head's mean output at the class token, as an intervention takes it; a pass over the store. */
clipspan_status serve_class_means_of(serve_subject *subject, const clipspan_hooks *hooks, const float **out,
                                     clipspan_error *err);

#endif
