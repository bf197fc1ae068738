/* POST /api/maps: what `clipspan map --top 0 --json` prints of that image. */
#include "body.h"
#include "handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/picture.h"

enum { PART_NAME = 40 };

/* Letters: T texts, P parts, L layers, H heads, E joint dimension, N places (the class token first). */
typedef struct job {
    serve_subject *subject;
    const clipspan_batch *batch;
    const char **texts; /* [T] borrowed from the request */
    size_t text_count;
    size_t only; /* of the texts, by position, the one that is answered; SIZE_MAX: all of them */
    const char *minus;
    bool minus_mean;
    const char *names; /* of the heads, as they were given */
    clipspan_map_detail detail;
    unsigned char *chosen; /* [L * H] */
    float *directions;     /* [T, E] */
    size_t *columns;       /* [P] head or layer of each part */
    char (*part_names)[PART_NAME];
    const char **parts;
    size_t part_count;
    float *effects; /* [T, L * H] */
    float *made;    /* [T, maps, N] as the library makes them */
    float *values;  /* [T, P, N] */
    double *scores, *predicted;
    clipspan_map_summary *summaries;
} job;

static void free_job(job *j)
{
    void *const blocks[] = {j->texts, j->chosen, j->directions, j->columns,   j->part_names, j->parts,
                            j->effects, j->made, j->values,     j->scores, j->predicted,  j->summaries};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

/* ---- texts ------------------------------------------------------------------------------------------------- */

/* What is subtracted of every text: another one, or their mean (in the command's order of adding). minus: [E]. */
static clipspan_status find_minus(const job *j, float *minus, const clipspan_hooks *hooks, clipspan_error *err)
{
    serve_subject *subject = j->subject;
    size_t dim = (size_t)subject->info->embed_dim;
    if (j->minus != NULL)
        return serve_texts_embed(subject->texts, subject->side->engine, &subject->engine, &j->minus, 1, minus,
                                 hooks, err);
    for (size_t e = 0; e < dim; e++) {
        double sum = 0;
        for (size_t t = 0; t < j->text_count; t++) sum += (double)j->directions[t * dim + e];
        minus[e] = (float)(sum / (double)j->text_count);
    }
    return CLIPSPAN_OK;
}

static clipspan_status embed(job *j, const clipspan_hooks *hooks, clipspan_error *err)
{
    serve_subject *subject = j->subject;
    size_t dim = (size_t)subject->info->embed_dim;
    float *minus = calloc(dim, sizeof *minus);
    j->directions = calloc(j->text_count, dim * sizeof *j->directions);
    clipspan_status status = minus && j->directions ? CLIPSPAN_OK : serve_no_memory(err);
    if (status == CLIPSPAN_OK)
        status = serve_texts_embed(subject->texts, subject->side->engine, &subject->engine, j->texts,
                                   j->text_count, j->directions, hooks, err);
    if (status == CLIPSPAN_OK && (j->minus != NULL || j->minus_mean)) {
        status = find_minus(j, minus, hooks, err);
        for (size_t i = 0; status == CLIPSPAN_OK && i < j->text_count * dim; i++) j->directions[i] -= minus[i % dim];
    }
    free(minus);
    return status;
}

/* The others have given their share of the mean. */
static void keep_only(job *j)
{
    size_t dim = (size_t)j->subject->info->embed_dim;
    if (j->only == SIZE_MAX) return;
    memmove(j->directions, j->directions + j->only * dim, dim * sizeof *j->directions);
    j->texts[0] = j->texts[j->only];
    j->text_count = 1;
}

/* ---- parts ------------------------------------------------------------------------------------------------- */

static bool layer_has_chosen(const job *j, size_t layer)
{
    size_t heads = (size_t)j->subject->info->heads;
    return memchr(j->chosen + layer * heads, 1, heads) != NULL;
}

/* Layers whose tokens are held: of a store, perhaps not all. */
static clipspan_status check_kept(const job *j, clipspan_error *err)
{
    for (size_t l = 0; l < (size_t)j->subject->info->layers; l++) {
        int kept = 0;
        for (int t = 0; t < j->batch->token_layer_count; t++) kept |= (size_t)j->batch->token_layers[t] == l;
        if (kept || !layer_has_chosen(j, l)) continue;
        if (j->names != NULL && strcmp(j->names, "all") != 0)
            return serve_wrong(err, "heads: the store keeps no terms by token of layer %zu", l);
        memset(j->chosen + l * (size_t)j->subject->info->heads, 0, (size_t)j->subject->info->heads);
    }
    return CLIPSPAN_OK;
}

static void name_parts(job *j, bool all_kept)
{
    size_t heads = (size_t)j->subject->info->heads;
    bool all = j->names == NULL || strcmp(j->names, "all") == 0;
    for (size_t p = 0; p < j->part_count; p++) {
        char *name = j->part_names[p];
        size_t at = j->columns[p];
        if (j->detail == CLIPSPAN_MAP_WHOLE)
            snprintf(name, PART_NAME, "%s",
                     all ? all_kept ? "all heads" : "all heads kept" : strlen(j->names) < 24 ? j->names : "chosen heads");
        else if (j->detail == CLIPSPAN_MAP_LAYER)
            snprintf(name, PART_NAME, "L%zu", at);
        else
            snprintf(name, PART_NAME, "L%zu.H%zu", at / heads, at % heads);
        j->parts[p] = name;
    }
}

static clipspan_status choose(job *j, clipspan_error *err)
{
    size_t all = serve_head_count(j->subject), layers = (size_t)j->subject->info->layers, chosen = 0;
    j->chosen = calloc(all, 1);
    j->columns = calloc(all, sizeof *j->columns);
    j->part_names = calloc(all, sizeof *j->part_names);
    j->parts = calloc(all, sizeof *j->parts);
    if (!j->chosen || !j->columns || !j->part_names || !j->parts) return serve_no_memory(err);
    clipspan_status status = serve_heads_of(j->subject, j->names, j->chosen, err);
    if (status == CLIPSPAN_OK) status = check_kept(j, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t h = 0; h < all; h++) chosen += j->chosen[h];
    if (j->detail == CLIPSPAN_MAP_WHOLE) j->part_count = 1;
    for (size_t l = 0; j->detail == CLIPSPAN_MAP_LAYER && l < layers; l++)
        if (layer_has_chosen(j, l)) j->columns[j->part_count++] = l;
    for (size_t h = 0; j->detail == CLIPSPAN_MAP_HEAD && h < all; h++)
        if (j->chosen[h]) j->columns[j->part_count++] = h;
    name_parts(j, chosen == all);
    size_t most = (size_t)SERVE_MAP_VALUES / (size_t)j->subject->info->tokens, texts = j->only == SIZE_MAX ? j->text_count : 1;
    if (texts * j->part_count <= most) return CLIPSPAN_OK;
    return serve_wrong(err, "%zu texts by %zu maps: an answer holds at most %zu maps: choose fewer heads or texts, or one text by `only`",
                       texts, j->part_count, most);
}

/* ---- numbers ----------------------------------------------------------------------------------------------- */

static clipspan_status make_room(job *j, clipspan_error *err)
{
    size_t layers = (size_t)j->batch->token_layer_count, places = (size_t)j->subject->info->tokens;
    size_t maps = j->detail == CLIPSPAN_MAP_WHOLE   ? 1
                  : j->detail == CLIPSPAN_MAP_LAYER ? layers
                                                    : layers * (size_t)j->subject->info->heads;
    j->effects = calloc(j->text_count, serve_head_count(j->subject) * sizeof *j->effects);
    j->made = calloc(j->text_count, maps * places * sizeof *j->made);
    j->values = calloc(j->text_count, j->part_count * places * sizeof *j->values);
    j->scores = calloc(j->text_count, sizeof *j->scores);
    j->predicted = calloc(j->text_count, j->part_count * sizeof *j->predicted);
    j->summaries = calloc(j->text_count, j->part_count * sizeof *j->summaries);
    return j->effects && j->made && j->values && j->scores && j->predicted && j->summaries ? CLIPSPAN_OK : serve_no_memory(err);
}

/* Where the map of part p and text t stands among those that the library made: [T, token layers (, heads), N]. */
static const float *made_of(const job *j, size_t t, size_t p)
{
    size_t layers = (size_t)j->batch->token_layer_count, heads = (size_t)j->subject->info->heads, at = j->columns[p], place = 0;
    size_t layer = j->detail == CLIPSPAN_MAP_HEAD ? at / heads : at, maps = 1, within = 0;
    while (j->detail != CLIPSPAN_MAP_WHOLE && place < layers && (size_t)j->batch->token_layers[place] != layer) place++;
    if (j->detail == CLIPSPAN_MAP_LAYER) {
        maps = layers;
        within = place;
    } else if (j->detail == CLIPSPAN_MAP_HEAD) {
        maps = layers * heads;
        within = place * heads + at % heads;
    }
    return j->made + (t * maps + within) * (size_t)j->subject->info->tokens;
}

static bool head_in_part(const job *j, size_t head, size_t part)
{
    if (!j->chosen[head]) return false;
    if (j->detail == CLIPSPAN_MAP_LAYER) return head / (size_t)j->subject->info->heads == j->columns[part];
    return j->detail == CLIPSPAN_MAP_WHOLE || head == j->columns[part];
}

static double score(const job *j, size_t t)
{
    size_t dim = (size_t)j->subject->info->embed_dim;
    double sum = 0;
    for (size_t e = 0; e < dim; e++) sum += (double)j->batch->embedding[e] * (double)j->directions[t * dim + e];
    return sum * (1 / (double)j->batch->norm[0]);
}

static clipspan_status summarise(job *j, size_t t, clipspan_error *err)
{
    size_t places = (size_t)j->subject->info->tokens, heads = serve_head_count(j->subject);
    clipspan_status status = CLIPSPAN_OK;
    j->scores[t] = score(j, t);
    for (size_t p = 0; status == CLIPSPAN_OK && p < j->part_count; p++) {
        size_t at = t * j->part_count + p;
        memcpy(j->values + at * places, made_of(j, t, p), places * sizeof *j->values);
        for (size_t h = 0; h < heads; h++)
            if (head_in_part(j, h, p)) j->predicted[at] += (double)j->effects[t * heads + h];
        status = clipspan_map_summarise(&j->summaries[at], j->values + at * places, places, j->subject->info->grid, err);
    }
    return status;
}

static clipspan_status compute(job *j, clipspan_error *err)
{
    clipspan_status status = make_room(j, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_map_effects(j->effects, j->batch, CLIPSPAN_PAPER, j->chosen, j->directions, j->text_count,
                                      j->subject->threads, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_map_images(j->made, j->batch, CLIPSPAN_PAPER, j->chosen, j->directions, j->text_count, j->detail,
                                     j->subject->threads, err);
    for (size_t t = 0; status == CLIPSPAN_OK && t < j->text_count; t++) status = summarise(j, t, err);
    return status;
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

static clipspan_status report(const job *j, const serve_picture *picture, serve_answer *answer, clipspan_error *err)
{
    bool difference = j->minus != NULL || j->minus_mean;
    const clipspan_map_image image = {.name = picture->name, .row = picture->row == UINT64_MAX ? 0 : picture->row,
                                      .scores = j->scores, .predicted = j->predicted, .effects = j->effects,
                                      .summaries = j->summaries, .values = j->values};
    const clipspan_maps maps = {
        .model = j->subject->info->name, .method = "decomposition, paper's convention",
        .minus = j->minus ? j->minus : j->minus_mean ? "the mean of the texts" : NULL,
        .unit = difference ? "change in the difference of cosines" : "change in cosine",
        .score_name = difference ? "difference of cosines" : "cosine", .texts = j->texts, .parts = j->parts,
        .text_count = j->text_count, .part_count = j->part_count, .chosen = j->chosen, .layers = j->subject->info->layers,
        .heads = j->subject->info->heads, .side = j->subject->info->grid, .places = (size_t)j->subject->info->tokens,
        .images = &image, .image_count = 1};
    const char *path = serve_answer_file(answer, err);
    return path ? clipspan_report_maps(&maps, CLIPSPAN_JSON, path, err) : err->status;
}

static clipspan_status read_request(job *j, const serve_body *body, clipspan_error *err)
{
    static const char *const details[] = {"whole", "layer", "head", NULL};
    static const clipspan_map_detail meant[] = {CLIPSPAN_MAP_WHOLE, CLIPSPAN_MAP_LAYER, CLIPSPAN_MAP_HEAD};
    int detail = 0;
    clipspan_status status = serve_body_texts(body, "texts", SERVE_TEXTS_MOST, SERVE_TEXT_BYTES, &j->texts, &j->text_count, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "minus", SERVE_TEXT_BYTES, NULL, &j->minus, err);
    if (status == CLIPSPAN_OK) status = serve_body_flag(body, "minus_mean", &j->minus_mean, err);
    if (status == CLIPSPAN_OK) status = serve_body_choice(body, "detail", details, &detail, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "heads", SERVE_HEADS_BYTES, NULL, &j->names, err);
    if (status == CLIPSPAN_OK) status = serve_body_number(body, "only", 0, j->text_count - 1, SIZE_MAX, &j->only, err);
    j->detail = meant[detail];
    if (status == CLIPSPAN_OK && j->minus != NULL && j->minus_mean)
        status = serve_wrong(err, "minus and minus_mean cannot both be subtracted");
    if (status == CLIPSPAN_OK && j->minus_mean && j->text_count < 2)
        status = serve_wrong(err, "minus_mean needs two texts or more");
    return status;
}

clipspan_status serve_maps(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    static const char *const known[] = {"image", "texts", "minus", "minus_mean", "only", "detail", "heads", "model", NULL};
    serve_body *body = NULL;
    serve_subject *subject = NULL;
    serve_picture *picture = NULL;
    const char *id = NULL;
    job j = {0};
    clipspan_status status = serve_body_open(&body, request->body, request->length, known, err);
    if (status == CLIPSPAN_OK) status = serve_session_asked(session, body, &subject, err);
    if (status == CLIPSPAN_OK) status = serve_body_text(body, "image", SERVE_ID, "", &id, err);
    if (status == CLIPSPAN_OK) status = read_request(&j, body, err);
    if (status == CLIPSPAN_OK) status = serve_pictures_find(subject, id, &picture, answer, err);
    if (status == CLIPSPAN_OK) {
        j.subject = subject;
        j.batch = picture->batch;
        status = choose(&j, err);
    }
    if (status == CLIPSPAN_OK) status = embed(&j, request->hooks, err);
    if (status == CLIPSPAN_OK) keep_only(&j);
    if (status == CLIPSPAN_OK) status = compute(&j, err);
    if (status == CLIPSPAN_OK) status = report(&j, picture, answer, err);
    serve_pictures_release(subject, picture);
    free_job(&j);
    serve_body_free(body);
    return status;
}
