/* Several engines of one model, each on a thread and on processors of its own: batches of a stream go round among them. Each
 * member has two slots, so that it finds its next batch posted when it has done one. */
#include "engine/towers.h"

#include <pthread.h>

enum { SLOTS_A_MEMBER = 2 };

typedef enum state { FREE, POSTED, DONE } state;

typedef struct task {
    state state;
    clsp_pixels batch;
    clipspan_status status;
    clipspan_error err;
} task;

typedef struct member {
    clsp_team *team;
    pthread_t thread;
    clipspan_engine *engine;
    size_t number;
    int first_cpu, cpus; /* cpus 0: not pinned */
} member;

struct clsp_team {
    pthread_mutex_t lock;
    pthread_cond_t posted, done;
    bool stop;
    clsp_pixels_fn work;
    void *user;
    const clipspan_model *model;
    const clsp_packed_tower *weights; /* held while the team is there; packed by all threads, before it starts */
    member *members;
    size_t count, started;
    task *tasks; /* [slots] */
};

size_t clsp_engine_slots(const clipspan_engine *engine)
{
    return engine->member_count > 0 ? SLOTS_A_MEMBER * (size_t)engine->member_count : 1;
}

static clipspan_status take_weights(clsp_team *team, clipspan_engine *engine, clipspan_error *err)
{
    int before = clsp_threads(engine->threads);
    clipspan_status status = clsp_packed_tower_take(&team->weights, engine->model, CLSP_IMAGES, engine->type, err);
    clsp_threads(before);
    return status;
}

static void *run(void *argument)
{
    member *m = argument;
    clsp_team *team = m->team;
    if (m->cpus > 0) clsp_cpu_pin(m->first_cpu, m->cpus);
    pthread_mutex_lock(&team->lock);
    for (size_t slot = m->number;; slot = (slot + team->count) % (SLOTS_A_MEMBER * team->count)) {
        task *t = &team->tasks[slot];
        while (!team->stop && t->state != POSTED) pthread_cond_wait(&team->posted, &team->lock);
        if (team->stop) break;
        pthread_mutex_unlock(&team->lock);
        clipspan_status status = team->work(team->user, m->engine, &t->batch, &t->err);
        pthread_mutex_lock(&team->lock);
        t->status = status;
        t->state = DONE;
        pthread_cond_broadcast(&team->done);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

/* Members are kept to processors of their own where the team has all that there are; a team that has fewer would push two
 * processes onto the same ones. */
static void place(clsp_team *team, const clipspan_engine *engine)
{
    int first = 0;
    for (size_t i = 0; i < team->count; i++) {
        member *m = &team->members[i];
        *m = (member){.team = team, .engine = engine->members[i], .number = i, .first_cpu = first};
        if (engine->threads == clsp_cpu_count()) m->cpus = m->engine->threads;
        m->engine->replacement = engine->replacement;
        first += m->engine->threads;
    }
}

clipspan_status clsp_team_start(clsp_team **out, clipspan_engine *engine, clsp_pixels_fn work, void *user,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_team *team = NULL;
    *out = NULL;
    CLSP_ALLOC(team, clsp_alloc_zero(1, sizeof *team));
    *team = (clsp_team){.work = work, .user = user, .model = engine->model,
                        .count = (size_t)engine->member_count};
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->posted, NULL);
    pthread_cond_init(&team->done, NULL);
    CLSP_ALLOC(team->tasks, clsp_alloc_zero(clsp_engine_slots(engine), sizeof *team->tasks));
    CLSP_ALLOC(team->members, clsp_alloc_zero(team->count, sizeof *team->members));
    place(team, engine);
    CLSP_TRY(take_weights(team, engine, err));
    for (; team->started < team->count; team->started++) {
        member *m = &team->members[team->started];
        if (pthread_create(&m->thread, NULL, run, m) != 0)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "thread %zu of %zu could not be started", team->started + 1,
                               team->count));
    }
    *out = team;
    team = NULL;
out:
    clsp_team_free(team);
    return status;
}

void clsp_team_post(clsp_team *team, const clsp_pixels *batch)
{
    task *t = &team->tasks[batch->slot];
    pthread_mutex_lock(&team->lock);
    t->batch = *batch;
    t->state = POSTED;
    pthread_cond_broadcast(&team->posted);
    pthread_mutex_unlock(&team->lock);
}

clipspan_status clsp_team_wait(clsp_team *team, size_t slot, clipspan_error *err)
{
    task *t = &team->tasks[slot];
    pthread_mutex_lock(&team->lock);
    while (t->state != DONE) pthread_cond_wait(&team->done, &team->lock);
    t->state = FREE;
    pthread_mutex_unlock(&team->lock);
    return t->status == CLIPSPAN_OK ? CLIPSPAN_OK : clsp_fail(err, t->status, "%s", t->err.message);
}

void clsp_team_free(clsp_team *team)
{
    if (team == NULL) return;
    pthread_mutex_lock(&team->lock);
    team->stop = true;
    pthread_cond_broadcast(&team->posted);
    pthread_mutex_unlock(&team->lock);
    for (size_t i = 0; i < team->started; i++) pthread_join(team->members[i].thread, NULL);
    for (size_t i = 0; team->members && i < team->count; i++) team->members[i].engine->replacement = NULL;
    if (team->weights) clsp_packed_tower_drop(team->model, CLSP_IMAGES, team->weights->type);
    pthread_cond_destroy(&team->posted);
    pthread_cond_destroy(&team->done);
    pthread_mutex_destroy(&team->lock);
    clsp_free(team->members);
    clsp_free(team->tasks);
    clsp_free(team);
}
