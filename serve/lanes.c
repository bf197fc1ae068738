/* Queues and their threads. */
#include "lanes.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

typedef struct lane {
    serve_lanes *lanes;
    pthread_t thread;
    pthread_cond_t filled;
    serve_job *first, *last;
    size_t count;
} lane;

struct serve_lanes {
    pthread_mutex_t lock;
    lane all[SERVE_LANES];
    size_t started;
    bool stopping;
    void (*work)(void *user, serve_job *job);
    void (*done)(void *user, serve_job *job);
    void *user;
};

/* The next job; NULL: the lanes stop and nothing is left. *begin: it is to be worked on. */
static serve_job *wait_for_job(lane *self, bool *begin)
{
    serve_lanes *lanes = self->lanes;
    pthread_mutex_lock(&lanes->lock);
    while (self->first == NULL && !lanes->stopping) pthread_cond_wait(&self->filled, &lanes->lock);
    serve_job *job = self->first;
    if (job != NULL) {
        self->first = job->next;
        if (self->first == NULL) self->last = NULL;
        self->count--;
    }
    *begin = !lanes->stopping;
    pthread_mutex_unlock(&lanes->lock);
    return job;
}

static void *run(void *given)
{
    lane *self = given;
    bool begin = false;
    for (serve_job *job; (job = wait_for_job(self, &begin)) != NULL;) {
        if (begin) self->lanes->work(self->lanes->user, job);
        self->lanes->done(self->lanes->user, job);
    }
    return NULL;
}

/* Signals are for the thread that reads requests. */
static bool start_thread(lane *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool good = pthread_create(&self->thread, NULL, run, self) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return good;
}

bool serve_lanes_open(serve_lanes **out, void (*work)(void *user, serve_job *job), void (*done)(void *user, serve_job *job),
                      void *user)
{
    serve_lanes *lanes = calloc(1, sizeof *lanes);
    *out = NULL;
    if (lanes == NULL) return false;
    pthread_mutex_init(&lanes->lock, NULL);
    lanes->work = work;
    lanes->done = done;
    lanes->user = user;
    for (size_t i = 0; i < SERVE_LANES; i++) {
        lanes->all[i].lanes = lanes;
        pthread_cond_init(&lanes->all[i].filled, NULL);
    }
    while (lanes->started < SERVE_LANES && start_thread(&lanes->all[lanes->started])) lanes->started++;
    if (lanes->started == SERVE_LANES) {
        *out = lanes;
        return true;
    }
    serve_lanes_stop(lanes);
    serve_lanes_free(lanes);
    return false;
}

bool serve_lanes_push(serve_lanes *lanes, serve_lane which, serve_job *job)
{
    lane *to = &lanes->all[which];
    job->next = NULL;
    pthread_mutex_lock(&lanes->lock);
    bool room = to->count < SERVE_QUEUE_MOST && !lanes->stopping;
    if (room) {
        if (to->last != NULL)
            to->last->next = job;
        else
            to->first = job;
        to->last = job;
        to->count++;
        pthread_cond_signal(&to->filled);
    }
    pthread_mutex_unlock(&lanes->lock);
    return room;
}

void serve_lanes_stop(serve_lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    lanes->stopping = true;
    for (size_t i = 0; i < SERVE_LANES; i++) pthread_cond_signal(&lanes->all[i].filled);
    pthread_mutex_unlock(&lanes->lock);
    for (size_t i = 0; i < lanes->started; i++) pthread_join(lanes->all[i].thread, NULL);
    lanes->started = 0;
}

void serve_lanes_free(serve_lanes *lanes)
{
    if (lanes == NULL) return;
    for (size_t i = 0; i < SERVE_LANES; i++) pthread_cond_destroy(&lanes->all[i].filled);
    pthread_mutex_destroy(&lanes->lock);
    free(lanes);
}
