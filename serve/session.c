/* What lasts between requests, opened and closed. */
#include "session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS_KEPT = 16384, HELD_LEAST = 2, HELD_MOST = 64 };
static const double HELD_BYTES = 1e9;

/* ---- the gate ---------------------------------------------------------------------------------------------- */

void serve_gate_open(serve_gate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->turned, NULL);
}

void serve_gate_close(serve_gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
    pthread_cond_destroy(&gate->turned);
}

void serve_gate_enter(serve_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    unsigned long mine = gate->next++;
    while (gate->serving != mine) pthread_cond_wait(&gate->turned, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

void serve_gate_leave(serve_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->serving++;
    pthread_cond_broadcast(&gate->turned);
    pthread_mutex_unlock(&gate->lock);
}

/* ---- subjects ---------------------------------------------------------------------------------------------- */

/* How many images with all their tokens fit. */
static size_t fitting(const clipspan_model_info *info)
{
    double bytes = (double)info->layers * (double)info->width * (double)info->tokens * sizeof(float);
    double fits = HELD_BYTES / bytes;
    return fits < HELD_LEAST ? HELD_LEAST : fits > HELD_MOST ? HELD_MOST : (size_t)fits;
}

static clipspan_status subject_open(serve_subject *subject, const serve_side *side, const serve_options *options,
                                    clipspan_error *err)
{
    subject->side = side;
    subject->info = clipspan_model_get_info(side->model);
    subject->threads = options->threads;
    serve_gate_open(&subject->engine);
    pthread_mutex_init(&subject->lock, NULL);
    pthread_mutex_init(&subject->once, NULL);
    pthread_mutex_init(&subject->passing, NULL);
    subject->held_most = options->held ? options->held : fitting(subject->info);
    subject->pictures = calloc(subject->held_most, sizeof(serve_picture *));
    clipspan_status status = subject->pictures ? CLIPSPAN_OK : serve_no_memory(err);
    if (status == CLIPSPAN_OK) status = clipspan_held_new(&subject->held, err);
    if (status == CLIPSPAN_OK)
        status = serve_texts_open(&subject->texts, (size_t)subject->info->embed_dim, TEXTS_KEPT, err);
    return status;
}

static void subject_close(serve_subject *subject)
{
    serve_pictures_close(subject);
    clipspan_held_free(subject->held);
    for (size_t i = 0; i < SERVE_RETRIEVALS; i++) {
        clipspan_retrieval_free(subject->spaces[i].retrieval);
        free(subject->spaces[i].heads);
    }
    free(subject->pictures);
    free(subject->class_means);
    clipspan_means_free(subject->means);
    clipspan_moments_free(subject->moments);
    clipspan_memory_file_free(subject->heads);
    serve_texts_free(subject->texts);
    serve_gate_close(&subject->engine);
    pthread_mutex_destroy(&subject->lock);
    pthread_mutex_destroy(&subject->once);
    pthread_mutex_destroy(&subject->passing);
}

static void *warm(void *given)
{
    static const char *const word = "a";
    serve_session *session = given;
    for (size_t i = 0; i < session->count; i++) {
        serve_subject *subject = &session->subjects[i];
        clipspan_error ignored; /* a text that is asked for says what is wrong */
        float *vector = calloc((size_t)subject->info->embed_dim, sizeof *vector);
        if (vector != NULL)
            serve_texts_embed(subject->texts, subject->side->engine, &subject->engine, &word, 1, vector, NULL, &ignored);
        free(vector);
    }
    return NULL;
}

/* Signals are for the thread that reads requests. */
static void start_warming(serve_session *session)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    session->warm = pthread_create(&session->warming, NULL, warm, session) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static const serve_side *choose_rows(const serve_options *options, size_t own)
{
    const serve_side *side = &options->sides[own];
    for (size_t i = 0; side->store == NULL && i < options->side_count; i++)
        if (options->sides[i].store != NULL) side = &options->sides[i];
    return side;
}

clipspan_status serve_session_open(serve_session *session, const serve_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *session = (serve_session){.options = options};
    while (status == CLIPSPAN_OK && session->count < options->side_count) {
        size_t i = session->count++;
        status = subject_open(&session->subjects[i], &options->sides[i], options, err);
    }
    for (size_t i = 0; i < session->count; i++) session->subjects[i].rows = choose_rows(options, i);
    if (status == CLIPSPAN_OK) start_warming(session);
    return status;
}

void serve_session_close(serve_session *session)
{
    if (session->warm) pthread_join(session->warming, NULL);
    for (size_t i = 0; i < session->count; i++) subject_close(&session->subjects[i]);
    *session = (serve_session){0};
}

clipspan_status serve_session_subject(serve_session *session, size_t number, serve_subject **out, clipspan_error *err)
{
    *out = NULL;
    if (number >= session->count)
        return serve_wrong(err, "model: there is no model %zu, the last one is %zu", number, session->count - 1);
    *out = &session->subjects[number];
    return CLIPSPAN_OK;
}

clipspan_status serve_need_store(const serve_subject *subject, serve_answer *answer, clipspan_error *err)
{
    if (subject->side->store != NULL) return CLIPSPAN_OK;
    return serve_refuse(answer, 404, err, "the server was started without a store of %s (clipspan serve MODEL STORE)",
                        subject->info->name);
}

clipspan_status serve_heads_of(const serve_subject *subject, const char *names, unsigned char *chosen, clipspan_error *err)
{
    if (names != NULL && strchr(names, '@') != NULL)
        return serve_wrong(err, "heads: a request names them, such as \"L%d.H0\", and no file", subject->info->layers - 1);
    return clipspan_heads_parse(names ? names : "all", subject->info->layers, subject->info->heads, chosen, err);
}

clipspan_status serve_session_asked(serve_session *session, const serve_body *body, serve_subject **out, clipspan_error *err)
{
    size_t number = 0;
    clipspan_status status = serve_body_number(body, "model", 0, SERVE_SIDES, 0, &number, err);
    return status == CLIPSPAN_OK ? serve_session_subject(session, number, out, err) : status;
}
