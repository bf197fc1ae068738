/* serve/exchange.h - one request and its answer, as handlers see them: no HTTP library here. */
#ifndef CLIPSPAN_SERVE_EXCHANGE_H
#define CLIPSPAN_SERVE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "clipspan/memory_file.h"

enum {
    SERVE_FIELDS = 8,           /* parameters behind "?" */
    SERVE_NAME_MOST = 200,      /* bytes of a picture's name */
    SERVE_TEXTS_MOST = 64,      /* texts of a request */
    SERVE_TEXT_BYTES = 2000,    /* of one */
    SERVE_POOL_MOST = 5000,     /* texts of a pool */
    SERVE_HEADS_BYTES = 20000,  /* of a list of heads */
    SERVE_JSON_DEPTH = 8,
    SERVE_JSON_BYTES = 1 << 18, /* of a request; a pool's: */
    SERVE_POOL_BYTES = 2 << 20,
    SERVE_IMAGE_BYTES = 32 << 20,
    SERVE_IMAGE_PIXELS = 64000000,
    SERVE_MAP_VALUES = 1000000, /* numbers of an answer to maps */
    SERVE_NEAREST_MOST = 1000,
    SERVE_ROWS_MOST = 1000,
    SERVE_THUMBNAIL_MOST = 1024
};

typedef struct serve_field {
    const char *name, *value;
} serve_field;

typedef struct serve_request {
    const char *tail; /* of the path, behind what the route begins with */
    serve_field fields[SERVE_FIELDS];
    size_t field_count;
    bool json; /* the body is said to be JSON */
    const char *body;
    size_t length;
    const clipspan_hooks *hooks; /* stop long work when nobody waits for it any more */
} serve_request;

/* Value of a parameter; NULL: not given. */
const char *serve_field_of(const serve_request *request, const char *name);
/* The same as a number up to `most`; `otherwise` where it is not given. */
clipspan_status serve_number_of(const serve_request *request, const char *name, size_t most, size_t otherwise, size_t *out,
                                clipspan_error *err);

typedef struct serve_answer {
    int status;       /* HTTP's; 0: 200, or by what the handler returned */
    const char *type; /* NULL: JSON */
    char *bytes;      /* owned, malloc */
    size_t length, room;
    bool failed;      /* there was no memory for it */
    const char *still;          /* bytes that stand for ever, instead */
    clipspan_memory_file *file; /* a report's bytes, instead; owned */
    bool page;                  /* begins with the token in its address, which becomes a cookie */
} serve_answer;

void serve_answer_free(serve_answer *answer);
/* Opens answer->file; its path, for a report, or NULL with err written. */
const char *serve_answer_file(serve_answer *answer, clipspan_error *err);
/* The bytes, whichever they are. */
const char *serve_answer_bytes(const serve_answer *answer, size_t *length);

/* JSON, piece by piece; without memory `failed` is set and the rest does nothing. */
void serve_add(serve_answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void serve_add_bytes(serve_answer *answer, const char *bytes, size_t length);
void serve_add_text(serve_answer *answer, const char *text); /* quoted; NULL: null */
void serve_add_number(serve_answer *answer, double value);   /* reads back to the same; not finite: null */

/* The end of a handler that refuses: with HTTP's own status. */
clipspan_status serve_refuse(serve_answer *answer, int status, clipspan_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same where the request makes no sense: 400. */
clipspan_status serve_wrong(clipspan_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
clipspan_status serve_no_memory(clipspan_error *err);
/* Makes the answer an error's. */
void serve_answer_error(serve_answer *answer, clipspan_status status, const char *message);

bool serve_is_utf8(const char *text, size_t length);

#endif
