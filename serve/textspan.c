/* POST /api/textspan: what `clipspan textspan --json` prints, with a pool that came with the request. */
#include "body.h"
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "clipspan/report.h"

typedef struct job {
    serve_subject *subject;
    const char **pool; /* [count] borrowed from the request, each once */
    size_t count, size, images;
    const char *names; /* of the heads; NULL: all */
    unsigned char *chosen; /* [L * H] */
    clipspan_texts *texts;
    float *embeddings; /* [count, E] */
} job;

/* ---- the pool ---------------------------------------------------------------------------------------------- */

typedef struct place {
    const char *text;
    size_t at;
} place;

static int by_text(const void *a, const void *b)
{
    const place *first = a, *second = b;
    int order = strcmp(first->text, second->text);
    return order ? order : first->at < second->at ? -1 : first->at > second->at;
}

/* Texts that came before are left out, as the lines of a file are. */
static clipspan_status drop_repeated(job *j, clipspan_error *err)
{
    place *places = calloc(j->count, sizeof *places);
    size_t kept = 0;
    if (places == NULL) return serve_no_memory(err);
    for (size_t i = 0; i < j->count; i++) places[i] = (place){j->pool[i], i};
    qsort(places, j->count, sizeof *places, by_text);
    for (size_t i = 1; i < j->count; i++)
        if (strcmp(places[i].text, places[i - 1].text) == 0) j->pool[places[i].at] = NULL;
    for (size_t i = 0; i < j->count; i++)
        if (j->pool[i] != NULL) j->pool[kept++] = j->pool[i];
    j->count = kept;
    free(places);
    return CLIPSPAN_OK;
}

static clipspan_status embed(job *j, const clipspan_hooks *hooks, clipspan_error *err)
{
    serve_subject *subject = j->subject;
    clipspan_status status = drop_repeated(j, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&j->texts, j->pool, j->count, err);
    if (status != CLIPSPAN_OK) return status;
    j->embeddings = calloc(j->count, (size_t)subject->info->embed_dim * sizeof *j->embeddings);
    if (j->embeddings == NULL) return serve_no_memory(err);
    return serve_texts_embed(subject->texts, subject->side->engine, &subject->engine, j->pool, j->count, j->embeddings, hooks,
                             err);
}

/* ---- heads ------------------------------------------------------------------------------------------------- */

static clipspan_status span(job *j, const clipspan_hooks *hooks, clipspan_textspan **out, clipspan_error *err)
{
    serve_subject *subject = j->subject;
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    const clipspan_vectors vectors = {.values = j->embeddings, .count = j->count, .embed_dim = (size_t)subject->info->embed_dim};
    clipspan_status status = CLIPSPAN_OK;
    if (subject->moments == NULL) status = clipspan_store_moments(subject->side->store, &subject->moments, err);
    options.heads = j->chosen;
    options.size = (int)j->size;
    options.top_images = (int)j->images;
    options.threads = subject->threads;
    if (status == CLIPSPAN_OK)
        status = clipspan_textspan_run_vectors(out, subject->moments, j->texts, &vectors, &options, hooks, err);
    if (status == CLIPSPAN_OK && j->images > 0 && !clipspan_store_get_info(subject->side->store)->moments_only)
        status = clipspan_textspan_rank_images(*out, subject->side->store, hooks, err);
    return status;
}

static clipspan_status describe(job *j, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    clipspan_textspan *result = NULL;
    const char *path = NULL;
    j->chosen = calloc(serve_head_count(j->subject), 1);
    clipspan_status status = j->chosen ? serve_heads_of(j->subject, j->names, j->chosen, err) : serve_no_memory(err);
    if (status == CLIPSPAN_OK) status = embed(j, request->hooks, err);
    if (status == CLIPSPAN_OK) status = span(j, request->hooks, &result, err);
    if (status == CLIPSPAN_OK && (path = serve_answer_file(answer, err)) == NULL) status = err->status;
    if (status == CLIPSPAN_OK)
        status = clipspan_report_textspan(result, j->subject->side->store, CLIPSPAN_JSON, path, err);
    clipspan_textspan_free(result);
    return status;
}

static clipspan_status read_request(job *j, const serve_body *body, clipspan_error *err)
{
    clipspan_status status = serve_body_texts(body, "pool", SERVE_POOL_MOST, SERVE_TEXT_BYTES, &j->pool, &j->count, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "heads", SERVE_HEADS_BYTES, NULL, &j->names, err);
    if (status == CLIPSPAN_OK) status = serve_body_number(body, "size", 1, 1000, 20, &j->size, err);
    if (status == CLIPSPAN_OK) status = serve_body_number(body, "images", 0, 100, 8, &j->images, err);
    return status;
}

clipspan_status serve_textspan(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    static const char *const known[] = {"pool", "heads", "size", "images", "model", NULL};
    serve_body *body = NULL;
    job j = {0};
    clipspan_status status = serve_body_open(&body, request->body, request->length, known, err);
    if (status == CLIPSPAN_OK) status = serve_session_asked(session, body, &j.subject, err);
    if (status == CLIPSPAN_OK) status = serve_need_store(j.subject, answer, err);
    if (status == CLIPSPAN_OK) status = read_request(&j, body, err);
    if (status == CLIPSPAN_OK) status = describe(&j, request, answer, err);
    clipspan_texts_free(j.texts);
    free(j.pool);
    free(j.chosen);
    free(j.embeddings);
    serve_body_free(body);
    return status;
}
