/* POST /api/scores: an image's cosines with some texts, and what is left of them when heads are switched off.
 *
 * Direct effect, as docs/ablation.md has it: cosine - sum over the heads of c . t + sum over them of mean(c) . t, in the
 * paper's convention (or without the means: by zero). With `run` the network runs again with those heads replaced at the
 * class token. Letters: T texts, L layers, H heads, E joint dimension. */
#include "body.h"
#include "handlers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    serve_subject *subject;
    serve_picture *picture;
    const char **texts; /* [T] borrowed from the request */
    size_t count;
    const char *off; /* names of the heads; NULL: none */
    bool by_zero, run;
    unsigned char *chosen;       /* [L * H] those that are off */
    float *directions;           /* [T, E] */
    float *effects;              /* [T, L * H] */
    double *mean_effects;        /* [T, L * H]; NULL: no store */
    double *cosines, *off_cosines, *run_cosines; /* [T]; the last NULL: not run */
} job;

static void free_job(job *j)
{
    void *const blocks[] = {j->texts,        j->chosen,  j->directions,  j->effects,
                            j->mean_effects, j->cosines, j->off_cosines, j->run_cosines};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

static clipspan_status make_room(job *j, clipspan_error *err)
{
    size_t heads = serve_head_count(j->subject), dim = (size_t)j->subject->info->embed_dim;
    j->chosen = calloc(heads, 1);
    j->directions = calloc(j->count, dim * sizeof *j->directions);
    j->effects = calloc(j->count, heads * sizeof *j->effects);
    j->cosines = calloc(j->count, sizeof *j->cosines);
    j->off_cosines = calloc(j->count, sizeof *j->off_cosines);
    if (j->subject->side->store != NULL) j->mean_effects = calloc(j->count, heads * sizeof *j->mean_effects);
    if (j->run) j->run_cosines = calloc(j->count, sizeof *j->run_cosines);
    bool good = j->chosen && j->directions && j->effects && j->cosines && j->off_cosines &&
                (j->mean_effects || j->subject->side->store == NULL) && (j->run_cosines || !j->run);
    return good ? CLIPSPAN_OK : serve_no_memory(err);
}

/* a, b: [E] */
static double dot(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t e = 0; e < dim; e++) sum += (double)a[e] * (double)b[e];
    return sum;
}

/* ---- direct effects ---------------------------------------------------------------------------------------- */

static clipspan_status find_means(job *j, clipspan_error *err)
{
    size_t heads = serve_head_count(j->subject), dim = (size_t)j->subject->info->embed_dim;
    const clipspan_means *means = NULL;
    if (j->mean_effects == NULL) return CLIPSPAN_OK;
    clipspan_status status = serve_means_of(j->subject, &means, err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < j->count; t++)
        for (size_t h = 0; h < heads; h++)
            j->mean_effects[t * heads + h] = dot(clipspan_means_heads(means) + h * dim, j->directions + t * dim, dim);
    return status;
}

static clipspan_status score(job *j, clipspan_error *err)
{
    size_t heads = serve_head_count(j->subject), dim = (size_t)j->subject->info->embed_dim;
    const clipspan_batch *batch = j->picture->batch;
    clipspan_status status = clipspan_map_effects(j->effects, batch, CLIPSPAN_PAPER, NULL, j->directions, j->count,
                                                  j->subject->threads, err);
    if (status == CLIPSPAN_OK) status = find_means(j, err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < j->count; t++) {
        j->cosines[t] = dot(batch->embedding, j->directions + t * dim, dim) * (1 / (double)batch->norm[0]);
        double change = 0;
        for (size_t h = 0; h < heads; h++) {
            if (!j->chosen[h]) continue;
            change -= (double)j->effects[t * heads + h];
            if (!j->by_zero) change += j->mean_effects[t * heads + h];
        }
        j->off_cosines[t] = j->cosines[t] + change;
    }
    return status;
}

/* ---- the network again ------------------------------------------------------------------------------------- */

/* The engine is as it was behind this, whatever happened. embedding: [E], unit length. */
static clipspan_status run_changed(job *j, const float *means, const float *pixels, float *embedding, clipspan_error *err)
{
    clipspan_engine *engine = j->subject->side->engine;
    const clipspan_intervention change = {.heads = j->chosen, .values = means, .tokens = 1};
    serve_gate_enter(&j->subject->engine);
    clipspan_status status = clipspan_engine_intervene(engine, &change, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_embed_images(engine, pixels, 1, 1, embedding, err);
    clipspan_status after = clipspan_engine_intervene(engine, NULL, status == CLIPSPAN_OK ? err : NULL);
    serve_gate_leave(&j->subject->engine);
    return status == CLIPSPAN_OK ? after : status;
}

static clipspan_status run_again(job *j, const clipspan_hooks *hooks, clipspan_error *err)
{
    size_t side = (size_t)j->subject->info->image_size, dim = (size_t)j->subject->info->embed_dim;
    const float *means = NULL;
    if (!j->run) return CLIPSPAN_OK;
    clipspan_status status = j->by_zero ? CLIPSPAN_OK : serve_class_means_of(j->subject, hooks, &means, err);
    float *pixels = malloc(3 * side * side * sizeof *pixels), *embedding = calloc(dim, sizeof *embedding);
    if (status == CLIPSPAN_OK && (pixels == NULL || embedding == NULL)) status = serve_no_memory(err);
    if (status == CLIPSPAN_OK)
        status = clipspan_images_preprocess(j->picture->list, j->picture->place, j->subject->side->model, pixels, err);
    if (status == CLIPSPAN_OK) status = run_changed(j, means, pixels, embedding, err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < j->count; t++)
        j->run_cosines[t] = dot(embedding, j->directions + t * dim, dim);
    free(pixels);
    free(embedding);
    return status;
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

/* Softmax of logit scale times cosine, of text t. */
static double probability(const job *j, const double *cosines, size_t t)
{
    double scale = (double)j->subject->info->logit_scale, sum = 0;
    for (size_t other = 0; other < j->count; other++) sum += exp(scale * (cosines[other] - cosines[t]));
    return 1 / sum;
}

static void add_pair(serve_answer *answer, const job *j, const char *kind, const double *cosines, size_t t)
{
    serve_add(answer, ", \"cosine%s\": ", kind);
    serve_add_number(answer, cosines[t]);
    serve_add(answer, ", \"probability%s\": ", kind);
    serve_add_number(answer, probability(j, cosines, t));
}

/* [layers][heads] of text t; one of the two is NULL. */
static void add_grid(serve_answer *answer, const job *j, const float *floats, const double *doubles, size_t t)
{
    size_t layers = (size_t)j->subject->info->layers, heads = (size_t)j->subject->info->heads, at = t * layers * heads;
    for (size_t l = 0; l < layers; l++) {
        serve_add(answer, l ? ", [" : "[[");
        for (size_t h = 0; h < heads; h++, at++) {
            if (h) serve_add(answer, ", ");
            serve_add_number(answer, floats ? (double)floats[at] : doubles[at]);
        }
        serve_add(answer, "]");
    }
    serve_add(answer, "]");
}

static void add_text(serve_answer *answer, const job *j, size_t t)
{
    serve_add(answer, "%s\n{\"text\": ", t ? "," : "");
    serve_add_text(answer, j->texts[t]);
    add_pair(answer, j, "", j->cosines, t);
    add_pair(answer, j, "_off", j->off_cosines, t);
    if (j->run) add_pair(answer, j, "_run", j->run_cosines, t);
    serve_add(answer, ",\n\"effects\": ");
    add_grid(answer, j, j->effects, NULL, t);
    serve_add(answer, ",\n\"mean_effects\": ");
    if (j->mean_effects != NULL)
        add_grid(answer, j, NULL, j->mean_effects, t);
    else
        serve_add(answer, "null");
    serve_add(answer, "}");
}

/* ---- the request ------------------------------------------------------------------------------------------- */

bool serve_scores_run(const serve_request *request)
{
    static const char word[] = "\"run\"";
    const size_t length = sizeof word - 1;
    for (const char *at = request->body; (at = strstr(at, word)) != NULL;) {
        at += length;
        if (at[strspn(at, " \t\r\n")] == ':') return true; /* a field's name, not a text */
    }
    return false;
}

/* By mean where there is a store, else by zero. */
static clipspan_status read_request(job *j, const serve_body *body, serve_answer *answer, clipspan_error *err)
{
    static const char *const ways[] = {"mean", "zero", NULL};
    int way = 0;
    clipspan_status status = serve_body_texts(body, "texts", SERVE_TEXTS_MOST, SERVE_TEXT_BYTES, &j->texts, &j->count, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "off", SERVE_HEADS_BYTES, NULL, &j->off, err);
    if (status == CLIPSPAN_OK) status = serve_body_choice(body, "by", ways, &way, err);
    if (status == CLIPSPAN_OK) status = serve_body_flag(body, "run", &j->run, err);
    j->by_zero = way == 1 || (!serve_body_has(body, "by") && j->subject->side->store == NULL);
    if (status == CLIPSPAN_OK && !j->by_zero) status = serve_need_store(j->subject, answer, err);
    return status;
}

static clipspan_status check(const job *j, serve_answer *answer, clipspan_error *err)
{
    if (j->run && j->picture->list == NULL)
        return serve_refuse(answer, 404, err, "the picture of %s is not at hand, so the network cannot be run again",
                            j->picture->id);
    if (j->run && !j->by_zero && clipspan_store_get_info(j->subject->side->store)->moments_only)
        return serve_refuse(answer, 404, err, "the store holds moments alone: heads can be run by zero, not by their mean");
    return CLIPSPAN_OK;
}

static clipspan_status compute(job *j, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    serve_subject *subject = j->subject;
    clipspan_status status = check(j, answer, err);
    if (status == CLIPSPAN_OK) status = make_room(j, err);
    if (status == CLIPSPAN_OK && j->off != NULL) status = serve_heads_of(subject, j->off, j->chosen, err);
    if (status == CLIPSPAN_OK)
        status = serve_texts_embed(subject->texts, subject->side->engine, &subject->engine, j->texts, j->count, j->directions,
                                   request->hooks, err);
    if (status == CLIPSPAN_OK) status = score(j, err);
    if (status == CLIPSPAN_OK) status = run_again(j, request->hooks, err);
    return status;
}

clipspan_status serve_scores(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    static const char *const known[] = {"image", "texts", "off", "by", "run", "model", NULL};
    serve_body *body = NULL;
    const char *id = NULL;
    job j = {0};
    clipspan_status status = serve_body_open(&body, request->body, request->length, known, err);
    if (status == CLIPSPAN_OK) status = serve_session_asked(session, body, &j.subject, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "image", SERVE_ID, "", &id, err);
    if (status == CLIPSPAN_OK) status = read_request(&j, body, answer, err);
    if (status == CLIPSPAN_OK) status = serve_pictures_find(j.subject, id, &j.picture, answer, err);
    if (status == CLIPSPAN_OK) status = compute(&j, request, answer, err);
    if (status == CLIPSPAN_OK) {
        serve_add(answer, "{\"by\": \"%s\", \"logit_scale\": ", j.by_zero ? "zero" : "mean");
        serve_add_number(answer, (double)j.subject->info->logit_scale);
        serve_add(answer, ", \"texts\": [");
        for (size_t t = 0; t < j.count; t++) add_text(answer, &j, t);
        serve_add(answer, "]}\n");
    }
    if (j.subject != NULL) serve_pictures_release(j.subject, j.picture);
    free_job(&j);
    serve_body_free(body);
    return status;
}
