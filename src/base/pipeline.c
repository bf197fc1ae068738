/* Ordered work ahead of one consumer.
 *
 * Item i uses slot i % ahead. Workers take the next index while it is less than released + ahead, so a slot is
 * never written while its former item is still in the consumer's hands. */
#define _GNU_SOURCE
#include "base/base.h"

#include <pthread.h>
#include <sched.h>

struct clsp_pipeline {
    pthread_mutex_t lock;
    pthread_cond_t may_work, is_done;
    pthread_t *workers;
    int worker_count;
    bool stop;
    size_t ahead, count;
    size_t next, taken, released; /* released <= taken <= next <= count */
    bool *done;                   /* [ahead] */
    clsp_pipeline_fn work;
    void *user;
};

int clsp_cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

void clsp_cpu_pin(int first, int count)
{
    cpu_set_t all, chosen;
    CPU_ZERO(&chosen);
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE && seen < first + count; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        if (seen >= first) CPU_SET(cpu, &chosen);
        seen++;
    }
    if (CPU_COUNT(&chosen) > 0) sched_setaffinity(0, sizeof chosen, &chosen);
}

static void *run(void *argument)
{
    clsp_pipeline *p = argument;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && p->next < p->count && p->next >= p->released + p->ahead)
            pthread_cond_wait(&p->may_work, &p->lock);
        if (p->stop || p->next >= p->count) break;
        size_t index = p->next++, slot = index % p->ahead;
        pthread_mutex_unlock(&p->lock);
        p->work(p->user, index, slot);
        pthread_mutex_lock(&p->lock);
        p->done[slot] = true;
        pthread_cond_signal(&p->is_done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

clipspan_status clsp_pipeline_start(clsp_pipeline **out, int threads, size_t ahead, size_t count,
                                    clsp_pipeline_fn work, void *user, clipspan_error *err)
{
    *out = NULL;
    clsp_pipeline *p = clsp_alloc_zero(1, sizeof *p);
    if (p == NULL) return clsp_fail_memory(err);
    *p = (clsp_pipeline){.ahead = clsp_max(ahead, 1), .count = count, .work = work, .user = user};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->may_work, NULL);
    pthread_cond_init(&p->is_done, NULL);
    size_t wanted = threads > 0 ? (size_t)threads : 1;
    p->done = clsp_alloc_zero(p->ahead, sizeof *p->done);
    p->workers = clsp_alloc_zero(wanted, sizeof *p->workers);
    if (p->done == NULL || p->workers == NULL) {
        clsp_pipeline_free(p);
        return clsp_fail_memory(err);
    }
    while ((size_t)p->worker_count < wanted && pthread_create(&p->workers[p->worker_count], NULL, run, p) == 0)
        p->worker_count++;
    if (p->worker_count == 0) {
        clsp_pipeline_free(p);
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "no worker thread could be started");
    }
    *out = p;
    return CLIPSPAN_OK;
}

size_t clsp_pipeline_take(clsp_pipeline *p)
{
    size_t slot = SIZE_MAX;
    pthread_mutex_lock(&p->lock);
    if (p->taken < p->count) {
        slot = p->taken % p->ahead;
        while (!p->done[slot] || p->next <= p->taken) pthread_cond_wait(&p->is_done, &p->lock);
        p->done[slot] = false;
        p->taken++;
    }
    pthread_mutex_unlock(&p->lock);
    return slot;
}

void clsp_pipeline_release(clsp_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->released < p->taken) p->released++;
    pthread_cond_broadcast(&p->may_work);
    pthread_mutex_unlock(&p->lock);
}

void clsp_pipeline_free(clsp_pipeline *p)
{
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->may_work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->worker_count; i++) pthread_join(p->workers[i], NULL);
    pthread_cond_destroy(&p->is_done);
    pthread_cond_destroy(&p->may_work);
    pthread_mutex_destroy(&p->lock);
    clsp_free(p->workers);
    clsp_free(p->done);
    clsp_free(p);
}
