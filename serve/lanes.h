/* serve/lanes.h - who works on what: a thread and a queue a lane, first come, first served. */
#ifndef CLIPSPAN_SERVE_LANES_H
#define CLIPSPAN_SERVE_LANES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum serve_lane {
    SERVE_PROMPT,   /* what follows somebody's typing: images, maps, scores */
    SERVE_LONG,     /* what may take long: whole pools, whole stores */
    SERVE_PICTURES, /* decoding and encoding of pictures */
    SERVE_LANES,
    SERVE_AT_ONCE = SERVE_LANES /* no lane: answered where it was read */
} serve_lane;

enum { SERVE_QUEUE_MOST = 128 };

/* Begins what is put into a queue. */
typedef struct serve_job {
    struct serve_job *next;
} serve_job;

typedef struct serve_lanes serve_lanes;
/* work runs on the lane's thread, done right after it (or instead of it, when the lanes stop). false: no threads. */
bool serve_lanes_open(serve_lanes **out, void (*work)(void *user, serve_job *job), void (*done)(void *user, serve_job *job),
                      void *user);
/* false: the queue is full. */
bool serve_lanes_push(serve_lanes *lanes, serve_lane lane, serve_job *job);
/* Waits for what is being worked on; what was not begun is done at once. */
void serve_lanes_stop(serve_lanes *lanes);
void serve_lanes_free(serve_lanes *lanes); /* stopped, or NULL */

#endif
