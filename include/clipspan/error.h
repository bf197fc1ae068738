/* clipspan/error.h - what can go wrong, and how it is said.
 *
 *     clipspan_error err;
 *     clipspan_model *model = NULL;
 *     if (clipspan_model_open(&model, "ViT-B-16", NULL, &err) != CLIPSPAN_OK)
 *         fprintf(stderr, "%s\n", err.message);
 *
 * Every function that can fail returns a status and takes, last, the caller's own error struct (NULL: no
 * message wanted). On success the struct is left alone. On failure the message names the file and the thing,
 * and every out-parameter that owns something is NULL. Nothing here is global or thread-local.
 */
#ifndef CLIPSPAN_ERROR_H
#define CLIPSPAN_ERROR_H

#include "clipspan/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The kinds of failure that a caller may want to branch on. */
typedef enum clipspan_status {
    CLIPSPAN_OK = 0,
    CLIPSPAN_ERROR_ARGUMENT = 1,    /* the caller asked for something that makes no sense */
    CLIPSPAN_ERROR_IO = 2,          /* a file cannot be opened, read, written or renamed */
    CLIPSPAN_ERROR_FORMAT = 3,      /* a file's content is not what it claims to be */
    CLIPSPAN_ERROR_MISMATCH = 4,    /* two things do not fit: config and weights, store and model */
    CLIPSPAN_ERROR_UNSUPPORTED = 5, /* valid, but nothing here knows how to do it */
    CLIPSPAN_ERROR_MEMORY = 6,      /* out of memory */
    CLIPSPAN_ERROR_INTERRUPTED = 7, /* a progress callback asked to stop; what was finished is kept */
    CLIPSPAN_ERROR_INTERNAL = 8     /* a library underneath failed in a way that should not happen */
} clipspan_status;

enum { CLIPSPAN_ERROR_LENGTH = 1024 };

typedef struct clipspan_error {
    clipspan_status status;
    char message[CLIPSPAN_ERROR_LENGTH]; /* one line, UTF-8, no newline at its end */
} clipspan_error;

/* A short lower-case name for a status, such as "format". Never NULL; static storage. */
CLIPSPAN_API const char *clipspan_status_name(clipspan_status status);

/* The library's version, such as "0.1.0". Static storage. */
CLIPSPAN_API const char *clipspan_version(void);

/* How a long job tells its caller where it is, and how the caller stops it. */
typedef struct clipspan_progress {
    const char *stage; /* what is being done: "decompose", "texts", ...; valid during the call */
    unsigned long long done;
    unsigned long long total; /* 0: not known */
    unsigned long long skipped; /* items (images) that could not be read and were passed over */
} clipspan_progress;

/* The callbacks of a long job. All are optional; they are called from the thread that called the job. */
typedef struct clipspan_hooks {
    int (*progress)(void *user, const clipspan_progress *progress); /* non-zero: stop */
    void (*warn)(void *user, const char *message);                  /* one line, no newline */
    void *user;
} clipspan_hooks;

#ifdef __cplusplus
}
#endif

#endif
