/* Pages; what the server has; what it was found of heads. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "clipspan/page.h"
#include "clipspan/report.h"

clipspan_status serve_page(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    const char *name = request->tail[0] ? request->tail : "viewer.html";
    (void)session;
    answer->still = clipspan_web_file(name, &answer->length, &answer->type);
    answer->page = request->tail[0] == '\0';
    if (answer->still != NULL) return CLIPSPAN_OK;
    return serve_refuse(answer, 404, err, "there is no page /%.100s", name);
}

/* A report among other JSON. */
typedef clipspan_status (*report_fn)(const void *subject, const char *path, clipspan_error *err);

static clipspan_status of_model(const void *model, const char *path, clipspan_error *err)
{
    return clipspan_report_model(model, CLIPSPAN_JSON, path, err);
}

static clipspan_status of_store(const void *store, const char *path, clipspan_error *err)
{
    return clipspan_report_store(store, CLIPSPAN_JSON, path, err);
}

static clipspan_status add_report(serve_answer *answer, report_fn report, const void *subject, clipspan_error *err)
{
    clipspan_memory_file *file = NULL;
    size_t length = 0;
    clipspan_status status = clipspan_memory_file_new(&file, err);
    if (status == CLIPSPAN_OK) status = report(subject, clipspan_memory_file_path(file), err);
    if (status == CLIPSPAN_OK) {
        const char *bytes = clipspan_memory_file_bytes(file, &length);
        while (length > 0 && bytes[length - 1] == '\n') length--;
        serve_add_bytes(answer, bytes, length);
    }
    clipspan_memory_file_free(file);
    return status;
}

static clipspan_status add_subject(serve_answer *answer, const serve_side *side, clipspan_error *err)
{
    serve_add(answer, "{\"model\": ");
    clipspan_status status = add_report(answer, of_model, side->model, err);
    if (status != CLIPSPAN_OK) return status;
    serve_add(answer, ",\n\"model_path\": ");
    serve_add_text(answer, side->model_path);
    serve_add(answer, ",\n\"store\": ");
    if (side->store == NULL)
        serve_add(answer, "null");
    else
        status = add_report(answer, of_store, side->store, err);
    serve_add(answer, ",\n\"store_path\": ");
    serve_add_text(answer, side->store_path);
    serve_add(answer, ",\n\"pictures\": %s}", side->pictures ? "true" : "false");
    return status;
}

static void add_images(serve_answer *answer, serve_session *session)
{
    int first = 1;
    serve_add(answer, "[");
    for (size_t i = 0; i < session->count; i++) {
        serve_subject *subject = &session->subjects[i];
        pthread_mutex_lock(&subject->lock);
        for (size_t p = 0; p < subject->picture_count; p++, first = 0) {
            const serve_picture *picture = subject->pictures[p];
            serve_add(answer, "%s\n{\"id\": \"%s\", \"name\": ", first ? "" : ",", picture->id);
            serve_add_text(answer, picture->name);
            serve_add(answer, ", \"model\": %zu}", i);
        }
        pthread_mutex_unlock(&subject->lock);
    }
    serve_add(answer, "]");
}

clipspan_status serve_state(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    (void)request;
    serve_add(answer, "{\"version\": \"%s\",\n\"command\": ", clipspan_version());
    serve_add_text(answer, session->options->command);
    serve_add(answer, ",\n\"models\": [");
    for (size_t i = 0; status == CLIPSPAN_OK && i < session->count; i++) {
        serve_add(answer, i ? ",\n" : "");
        status = add_subject(answer, session->subjects[i].side, err);
    }
    serve_add(answer, "],\n\"limits\": {\"image_bytes\": %d, \"image_pixels\": %d, \"texts\": %d, \"text_bytes\": %d, ",
              (int)SERVE_IMAGE_BYTES, (int)SERVE_IMAGE_PIXELS, (int)SERVE_TEXTS_MOST, (int)SERVE_TEXT_BYTES);
    serve_add(answer, "\"pool_texts\": %d, \"images_held\": %zu, \"map_values\": %d, \"nearest\": %d},\n\"images\": ",
              (int)SERVE_POOL_MOST, session->subjects[0].held_most, (int)SERVE_MAP_VALUES, (int)SERVE_NEAREST_MOST);
    add_images(answer, session);
    serve_add(answer, "}\n");
    return status;
}

/* Found once; the bytes are copied for each answer. */
clipspan_status serve_heads(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    serve_subject *subject = NULL;
    size_t number = 0, length = 0;
    clipspan_status status = serve_number_of(request, "model", SERVE_SIDES, 0, &number, err);
    if (status == CLIPSPAN_OK) status = serve_session_subject(session, number, &subject, err);
    if (status == CLIPSPAN_OK) status = serve_need_store(subject, answer, err);
    if (status == CLIPSPAN_OK && subject->heads == NULL) {
        clipspan_memory_file *file = NULL;
        status = clipspan_memory_file_new(&file, err);
        if (status == CLIPSPAN_OK) status = subject->side->heads(subject->side->user, clipspan_memory_file_path(file), err);
        if (status == CLIPSPAN_OK)
            subject->heads = file;
        else
            clipspan_memory_file_free(file);
    }
    if (status != CLIPSPAN_OK) return status;
    const char *bytes = clipspan_memory_file_bytes(subject->heads, &length);
    serve_add_bytes(answer, bytes, length);
    return CLIPSPAN_OK;
}
