/* Images that are handed in or chosen from the store; pictures of both. */
#include "body.h"
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "clipspan/picture.h"

/* ---- handed in --------------------------------------------------------------------------------------------- */

/* The last part of a path, as browsers give them; printable. */
static clipspan_status name_of(const serve_request *request, char name[SERVE_NAME_MOST + 1], clipspan_error *err)
{
    const char *given = serve_field_of(request, "name"), *slash;
    if (given == NULL) given = "image";
    if ((slash = strrchr(given, '/')) != NULL) given = slash + 1;
    if ((slash = strrchr(given, '\\')) != NULL) given = slash + 1;
    size_t length = strlen(given);
    if (length == 0 || length > SERVE_NAME_MOST)
        return serve_wrong(err, "name: expected 1 to %d bytes", (int)SERVE_NAME_MOST);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)given[i] < 0x20 || given[i] == 0x7f) return serve_wrong(err, "name: holds control characters");
    if (!serve_is_utf8(given, length)) return serve_wrong(err, "name: is not UTF-8");
    memcpy(name, given, length + 1);
    return CLIPSPAN_OK;
}

static clipspan_status take_bytes(serve_session *session, const serve_request *request, serve_subject **subject,
                                  serve_picture **picture, serve_answer *answer, clipspan_error *err)
{
    char name[SERVE_NAME_MOST + 1];
    size_t number = 0;
    clipspan_status status = name_of(request, name, err);
    if (status == CLIPSPAN_OK) status = serve_number_of(request, "model", SERVE_SIDES, 0, &number, err);
    if (status == CLIPSPAN_OK) status = serve_session_subject(session, number, subject, err);
    if (status != CLIPSPAN_OK) return status;
    status = serve_pictures_take(*subject, name, request->body, request->length, request->hooks, picture, answer, err);
    if (status == CLIPSPAN_ERROR_IO) answer->status = 400; /* what a decoder says of damaged bytes */
    return status;
}

static clipspan_status take_row(serve_session *session, const serve_request *request, serve_subject **subject,
                                serve_picture **picture, serve_answer *answer, clipspan_error *err)
{
    static const char *const known[] = {"row", "model", NULL};
    serve_body *body = NULL;
    size_t row = 0;
    clipspan_status status = serve_body_open(&body, request->body, request->length, known, err);
    if (status == CLIPSPAN_OK) status = serve_session_asked(session, body, subject, err);
    if (status == CLIPSPAN_OK && (*subject)->rows->store == NULL) status = serve_need_store(*subject, answer, err);
    if (status == CLIPSPAN_OK && !serve_body_has(body, "row")) status = serve_wrong(err, "row is missing");
    if (status == CLIPSPAN_OK) status = serve_body_number(body, "row", 0, (size_t)1 << 62, 0, &row, err);
    if (status == CLIPSPAN_OK) status = serve_pictures_take_row(*subject, row, request->hooks, picture, answer, err);
    serve_body_free(body);
    return status;
}

clipspan_status serve_images_post(serve_session *session, const serve_request *request, serve_answer *answer,
                                  clipspan_error *err)
{
    serve_subject *subject = NULL;
    serve_picture *picture = NULL;
    clipspan_status status = request->json ? take_row(session, request, &subject, &picture, answer, err)
                                           : take_bytes(session, request, &subject, &picture, answer, err);
    if (status != CLIPSPAN_OK) return status;
    serve_add(answer, "{\"id\": \"%s\", \"name\": ", picture->id);
    serve_add_text(answer, picture->name);
    if (picture->row != UINT64_MAX) serve_add(answer, ", \"row\": %llu", (unsigned long long)picture->row);
    serve_add(answer, ", \"side\": %d, \"patches\": %d, \"picture\": %s}\n", subject->info->image_size, subject->info->grid,
              picture->list ? "true" : "false");
    serve_pictures_release(subject, picture);
    return CLIPSPAN_OK;
}

/* ---- shown ------------------------------------------------------------------------------------------------- */

/* The stem of "STEM.png". */
static clipspan_status stem_of(const serve_request *request, const char *ending, char stem[SERVE_ID], serve_answer *answer,
                               clipspan_error *err)
{
    size_t length = strlen(request->tail), last = strlen(ending);
    if (length <= last || length - last >= SERVE_ID || strcmp(request->tail + length - last, ending) != 0)
        return serve_refuse(answer, 404, err, "there is no picture %.60s", request->tail);
    memcpy(stem, request->tail, length - last);
    stem[length - last] = '\0';
    return CLIPSPAN_OK;
}

static clipspan_status subject_of(serve_session *session, const serve_request *request, serve_subject **subject,
                                  clipspan_error *err)
{
    size_t number = 0;
    clipspan_status status = serve_number_of(request, "model", SERVE_SIDES, 0, &number, err);
    return status == CLIPSPAN_OK ? serve_session_subject(session, number, subject, err) : status;
}

static clipspan_status add_photo(serve_answer *answer, const unsigned char *rgb, int width, int height, clipspan_photo as,
                                 clipspan_error *err)
{
    const char *path = serve_answer_file(answer, err);
    answer->type = as == CLIPSPAN_PHOTO_PNG ? "image/png" : "image/jpeg";
    return path ? clipspan_picture_photo(rgb, width, height, as, path, err) : err->status;
}

clipspan_status serve_images_get(serve_session *session, const serve_request *request, serve_answer *answer,
                                 clipspan_error *err)
{
    char id[SERVE_ID];
    serve_subject *subject = NULL;
    serve_picture *picture = NULL;
    clipspan_status status = stem_of(request, ".png", id, answer, err);
    if (status == CLIPSPAN_OK) status = subject_of(session, request, &subject, err);
    if (status == CLIPSPAN_OK) status = serve_pictures_find(subject, id, &picture, answer, err);
    if (status != CLIPSPAN_OK) return status;
    size_t side = (size_t)subject->info->image_size;
    unsigned char *rgb = malloc(3 * side * side);
    if (picture->list == NULL)
        status = serve_refuse(answer, 404, err, "the picture of %s is not at hand", id);
    else if (rgb == NULL)
        status = serve_no_memory(err);
    else
        status = clipspan_images_view(picture->list, picture->place, subject->side->model, rgb, err);
    serve_pictures_release(subject, picture);
    if (status == CLIPSPAN_OK) status = add_photo(answer, rgb, (int)side, (int)side, CLIPSPAN_PHOTO_PNG, err);
    free(rgb);
    return status;
}

/* A thumbnail; row: of the store. */
static clipspan_status add_thumbnail(const serve_subject *subject, uint64_t row, int side, serve_answer *answer,
                                     clipspan_error *err)
{
    size_t place = subject->side->places[row];
    int width = 0, height = 0;
    if (place == SIZE_MAX) return serve_refuse(answer, 404, err, "the picture of row %llu is not at hand", (unsigned long long)row);
    unsigned char *rgb = malloc(3 * (size_t)side * (size_t)side);
    clipspan_status status = rgb ? CLIPSPAN_OK : serve_no_memory(err);
    if (status == CLIPSPAN_OK)
        status = clipspan_images_thumbnail(subject->side->pictures, place, side, rgb, &width, &height, err);
    if (status == CLIPSPAN_OK) status = add_photo(answer, rgb, width, height, CLIPSPAN_PHOTO_JPEG, err);
    free(rgb);
    return status;
}

clipspan_status serve_rows_picture(serve_session *session, const serve_request *request, serve_answer *answer,
                                   clipspan_error *err)
{
    char stem[SERVE_ID];
    serve_subject *subject = NULL;
    size_t side = 0;
    clipspan_status status = stem_of(request, ".jpg", stem, answer, err);
    if (status == CLIPSPAN_OK) status = subject_of(session, request, &subject, err);
    if (status == CLIPSPAN_OK) status = serve_need_store(subject, answer, err);
    if (status == CLIPSPAN_OK) status = serve_number_of(request, "side", SERVE_THUMBNAIL_MOST, 96, &side, err);
    if (status != CLIPSPAN_OK) return status;
    size_t digits = strspn(stem, "0123456789");
    unsigned long long row = strtoull(stem, NULL, 10);
    if (digits == 0 || digits > 18 || stem[digits] || row >= clipspan_store_get_info(subject->side->store)->images)
        return serve_refuse(answer, 404, err, "the store has no row %.60s", stem);
    if (subject->side->pictures == NULL)
        return serve_refuse(answer, 404, err, "the store's pictures are not at hand (serve --images says where they are)");
    if (side < 8) return serve_wrong(err, "side: expected a number from 8 to %d", (int)SERVE_THUMBNAIL_MOST);
    return add_thumbnail(subject, row, (int)side, answer, err);
}

/* ---- listed ------------------------------------------------------------------------------------------------ */

static void add_row(serve_answer *answer, const clipspan_store *store, size_t row)
{
    int label = clipspan_store_image_label(store, row);
    serve_add(answer, "{\"row\": %zu, \"name\": ", row);
    serve_add_text(answer, clipspan_store_image_name(store, row));
    serve_add(answer, ", \"label\": ");
    serve_add_text(answer, label < 0 ? NULL : clipspan_store_class(store, (size_t)label));
    serve_add(answer, "}");
}

/* Whether the row's name, label or a value of it holds these characters. */
static bool is_like(const clipspan_store *store, size_t row, const char *like)
{
    int label = clipspan_store_image_label(store, row);
    if (strstr(clipspan_store_image_name(store, row), like) != NULL) return true;
    if (label >= 0 && strstr(clipspan_store_class(store, (size_t)label), like) != NULL) return true;
    for (size_t c = 0; c < clipspan_store_column_count(store); c++)
        if (strstr(clipspan_store_value(store, row, c), like) != NULL) return true;
    return false;
}

clipspan_status serve_rows(serve_session *session, const serve_request *request, serve_answer *answer, clipspan_error *err)
{
    serve_subject *subject = NULL;
    size_t first = 0, count = 0, total = 0;
    const char *like = serve_field_of(request, "like");
    clipspan_status status = subject_of(session, request, &subject, err);
    if (status == CLIPSPAN_OK) status = serve_need_store(subject, answer, err);
    if (status == CLIPSPAN_OK) status = serve_number_of(request, "first", (size_t)1 << 50, 0, &first, err);
    if (status == CLIPSPAN_OK) status = serve_number_of(request, "count", SERVE_ROWS_MOST, 60, &count, err);
    if (status != CLIPSPAN_OK) return status;
    const clipspan_store *store = subject->side->store;
    serve_add(answer, "{\"rows\": [");
    for (size_t row = 0, shown = 0; row < clipspan_store_get_info(store)->images; row++) {
        if (like != NULL && !is_like(store, row, like)) continue;
        if (total++ < first || shown == count) continue;
        serve_add(answer, shown++ ? ",\n" : "\n");
        add_row(answer, store, row);
    }
    serve_add(answer, "],\n\"total\": %zu}\n", total);
    return CLIPSPAN_OK;
}
