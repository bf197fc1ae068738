/* POST /api/nearest: what `clipspan retrieve --json` prints, from retrievals that stay open. */
#include "body.h"
#include "handlers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/report.h"

typedef struct job {
    serve_subject *subject;
    serve_picture *picture; /* NULL: none was asked for */
    uint64_t row;           /* of the store; UINT64_MAX: the query is none of its images */
    const char *text;       /* NULL: none */
    const char *names;      /* of the heads; NULL: the whole representation */
    size_t count;
    clipspan_retrieval_options how;
    unsigned char *chosen;      /* [L * H] */
    const char *column_name;    /* NULL: none */
    size_t column;              /* as many as there are columns: the classes */
    clipspan_retrieval_hit *hits;
    const char **values; /* [count] of the column */
} job;

/* ---- open retrievals --------------------------------------------------------------------------------------- */

static bool is_of(const serve_space *space, const job *j)
{
    return space->retrieval != NULL && space->whole == (j->how.whole != 0) && space->centred == (j->how.centred != 0) &&
           space->similarity == j->how.similarity &&
           memcmp(space->heads, j->chosen, serve_head_count(j->subject)) == 0;
}

/* The one that was asked for longest ago makes way. */
static serve_space *choose_space(const job *j)
{
    serve_space *spaces = j->subject->spaces, *oldest = &spaces[0];
    for (size_t i = 0; i < SERVE_RETRIEVALS; i++) {
        if (is_of(&spaces[i], j)) return &spaces[i];
        if (spaces[i].used < oldest->used) oldest = &spaces[i];
    }
    return oldest;
}

static clipspan_status open_space(const job *j, const clipspan_hooks *hooks, const clipspan_retrieval **out,
                                  clipspan_error *err)
{
    serve_space *space = choose_space(j);
    size_t heads = serve_head_count(j->subject);
    clipspan_status status = CLIPSPAN_OK;
    if (!is_of(space, j)) {
        clipspan_retrieval_free(space->retrieval);
        space->retrieval = NULL;
        if (space->heads == NULL) space->heads = malloc(heads);
        if (space->heads == NULL) return serve_no_memory(err);
        memcpy(space->heads, j->chosen, heads);
        space->whole = j->how.whole != 0;
        space->centred = j->how.centred != 0;
        space->similarity = j->how.similarity;
        status = clipspan_retrieval_open(&space->retrieval, j->subject->side->store, &j->how, hooks, err);
    }
    space->used = ++j->subject->space_clock;
    *out = space->retrieval;
    return status;
}

/* ---- the question ------------------------------------------------------------------------------------------ */

static clipspan_status ask_text(const job *j, const clipspan_retrieval *retrieval, const clipspan_hooks *hooks, size_t *found,
                                clipspan_error *err)
{
    serve_subject *subject = j->subject;
    float *direction = calloc((size_t)subject->info->embed_dim, sizeof *direction);
    clipspan_status status = direction ? CLIPSPAN_OK : serve_no_memory(err);
    if (status == CLIPSPAN_OK)
        status = serve_texts_embed(subject->texts, subject->side->engine, &subject->engine, &j->text, 1, direction, hooks, err);
    if (status == CLIPSPAN_OK) status = clipspan_retrieval_direction(retrieval, direction, j->count, j->hits, found, err);
    free(direction);
    return status;
}

static clipspan_status ask(const job *j, const clipspan_retrieval *retrieval, const clipspan_hooks *hooks, size_t *found,
                           clipspan_error *err)
{
    if (j->text != NULL) return ask_text(j, retrieval, hooks, found, err);
    if (j->row != UINT64_MAX) return clipspan_retrieval_row(retrieval, j->row, 0, j->count, j->hits, found, err);
    return clipspan_retrieval_batch(retrieval, j->picture->batch, 0, j->count, j->hits, found, err);
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

static const char *value_of(const job *j, uint64_t row)
{
    const clipspan_store *store = j->subject->side->store;
    if (j->column < clipspan_store_column_count(store)) return clipspan_store_value(store, (size_t)row, j->column);
    int label = clipspan_store_image_label(store, (size_t)row);
    return label < 0 ? "" : clipspan_store_class(store, (size_t)label);
}

static void fill_values(const job *j, clipspan_neighbours *space, const char *own)
{
    size_t same = 0;
    space->values = j->values;
    for (size_t i = 0; i < space->count; i++) {
        j->values[i] = value_of(j, j->hits[i].row);
        same += own != NULL && strcmp(j->values[i], own) == 0;
    }
    if (own != NULL && own[0] && space->count > 0) space->share = (double)same / (double)space->count;
}

static clipspan_status report(const job *j, const clipspan_retrieval *retrieval, size_t found, serve_answer *answer,
                              clipspan_error *err)
{
    const clipspan_store *store = j->subject->side->store;
    char *name = NULL;
    clipspan_status status = clipspan_retrieval_name(retrieval, &name, err);
    if (status != CLIPSPAN_OK) return status;
    const char *path = serve_answer_file(answer, err);
    clipspan_neighbours space = {.space = name, .hits = j->hits, .count = found, .share = (double)NAN};
    clipspan_neighbours_report given = {.query_row = j->row, .column = j->column_name, .how = clipspan_retrieval_get_info(retrieval),
                                        .spaces = &space, .count = 1};
    given.query_kind = j->text ? "text" : j->row != UINT64_MAX ? "row" : "image";
    given.query = j->text ? j->text : j->row != UINT64_MAX ? clipspan_store_image_name(store, (size_t)j->row) : j->picture->name;
    if (j->column_name != NULL && j->row != UINT64_MAX) given.value = value_of(j, j->row);
    if (j->column_name != NULL) fill_values(j, &space, given.value);
    status = path ? clipspan_report_neighbours(&given, store, CLIPSPAN_JSON, path, err) : err->status;
    free(name);
    return status;
}

/* ---- the request ------------------------------------------------------------------------------------------- */

static clipspan_status find_column(job *j, clipspan_error *err)
{
    const clipspan_store *store = j->subject->side->store;
    size_t count = clipspan_store_column_count(store);
    if (j->column_name == NULL) return CLIPSPAN_OK;
    if (strcmp(j->column_name, "label") == 0 && clipspan_store_class_count(store) > 0) {
        j->column = count; /* stands for the classes */
        return CLIPSPAN_OK;
    }
    for (j->column = 0; j->column < count; j->column++)
        if (strcmp(clipspan_store_column(store, j->column), j->column_name) == 0) return CLIPSPAN_OK;
    return serve_wrong(err, "column: the store's images have no column \"%.100s\"", j->column_name);
}

static clipspan_status find_query(job *j, const serve_body *body, serve_answer *answer, clipspan_error *err)
{
    const char *id = NULL;
    size_t row = SIZE_MAX, images = (size_t)clipspan_store_get_info(j->subject->side->store)->images;
    clipspan_status status = serve_body_text(body, "image", SERVE_ID, NULL, &id, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "text", SERVE_TEXT_BYTES, NULL, &j->text, err);
    if (status == CLIPSPAN_OK) status = serve_body_number(body, "row", 0, (size_t)1 << 62, SIZE_MAX, &row, err);
    if (status != CLIPSPAN_OK) return status;
    if ((id != NULL) + (j->text != NULL) + (row != SIZE_MAX) != 1)
        return serve_wrong(err, "one of image, row and text is needed");
    if (row != SIZE_MAX && row >= images) return serve_refuse(answer, 404, err, "row %zu: the store has %zu images", row, images);
    j->row = row == SIZE_MAX ? UINT64_MAX : row;
    if (id != NULL) status = serve_pictures_find(j->subject, id, &j->picture, answer, err);
    if (status == CLIPSPAN_OK && j->picture != NULL) j->row = j->picture->row;
    return status;
}

static clipspan_status find_space(job *j, const serve_body *body, clipspan_error *err)
{
    static const char *const similarities[] = {"cosine", "inner", NULL};
    int similarity = 0;
    bool centred = false;
    j->how = (clipspan_retrieval_options)CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    j->chosen = calloc(serve_head_count(j->subject), 1);
    if (j->chosen == NULL) return serve_no_memory(err);
    clipspan_status status = serve_body_text(body, "heads", SERVE_HEADS_BYTES, NULL, &j->names, err);
    if (status == CLIPSPAN_OK) status = serve_body_choice(body, "similarity", similarities, &similarity, err);
    if (status == CLIPSPAN_OK) status = serve_body_flag(body, "centre", &centred, err);
    if (status == CLIPSPAN_OK && j->names != NULL) status = serve_heads_of(j->subject, j->names, j->chosen, err);
    j->how.heads = j->chosen;
    j->how.whole = j->names == NULL;
    j->how.similarity = similarity == 1 ? CLIPSPAN_INNER : CLIPSPAN_COSINE;
    j->how.centred = centred;
    j->how.threads = j->subject->threads;
    return status;
}

static clipspan_status read_request(job *j, const serve_body *body, serve_answer *answer, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(j->subject->side->store);
    if (info->moments_only) return serve_refuse(answer, 404, err, "the store holds moments alone, no single images");
    clipspan_status status = serve_body_number(body, "count", 1, SERVE_NEAREST_MOST, 10, &j->count, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "column", SERVE_NAME_MOST, NULL, &j->column_name, err);
    if (status == CLIPSPAN_OK) status = find_column(j, err);
    if (status == CLIPSPAN_OK) status = find_space(j, body, err);
    if (status == CLIPSPAN_OK) status = find_query(j, body, answer, err);
    if (j->count > info->images) j->count = (size_t)info->images;
    return status;
}

static clipspan_status answer_query(job *j, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    const clipspan_retrieval *retrieval = NULL;
    size_t found = 0;
    j->hits = calloc(j->count + 1, sizeof *j->hits);
    j->values = calloc(j->count + 1, sizeof *j->values);
    if (j->hits == NULL || j->values == NULL) return serve_no_memory(err);
    clipspan_status status = open_space(j, request->hooks, &retrieval, err);
    if (status == CLIPSPAN_OK) status = ask(j, retrieval, request->hooks, &found, err);
    return status == CLIPSPAN_OK ? report(j, retrieval, found, answer, err) : status;
}

clipspan_status serve_nearest(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    static const char *const known[] = {"image", "row", "text", "heads", "count", "similarity", "centre", "column", "model", NULL};
    serve_body *body = NULL;
    job j = {.row = UINT64_MAX};
    clipspan_status status = serve_body_open(&body, request->body, request->length, known, err);
    if (status == CLIPSPAN_OK) status = serve_session_asked(session, body, &j.subject, err);
    if (status == CLIPSPAN_OK) status = serve_need_store(j.subject, answer, err);
    if (status == CLIPSPAN_OK) status = read_request(&j, body, answer, err);
    if (status == CLIPSPAN_OK) status = answer_query(&j, request, answer, err);
    if (j.subject != NULL) serve_pictures_release(j.subject, j.picture);
    free(j.chosen);
    free(j.hits);
    free(j.values);
    serve_body_free(body);
    return status;
}
