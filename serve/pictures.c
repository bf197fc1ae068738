/* Images that are held: found by their id, taken in by the network once, let go when others come. */
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t ENCODED_MOST = (size_t)512 << 20; /* bytes of the pictures that were handed in */

/* ---- finding ----------------------------------------------------------------------------------------------- */

/* Under the lock. */
static serve_picture *find(const serve_subject *subject, const char *id)
{
    for (size_t i = 0; i < subject->picture_count; i++)
        if (strcmp(subject->pictures[i]->id, id) == 0) return subject->pictures[i];
    return NULL;
}

static serve_picture *pin(serve_subject *subject, const char *id)
{
    pthread_mutex_lock(&subject->lock);
    serve_picture *picture = find(subject, id);
    if (picture != NULL) {
        picture->pins++;
        picture->used = ++subject->clock;
    }
    pthread_mutex_unlock(&subject->lock);
    return picture;
}

clipspan_status serve_pictures_find(serve_subject *subject, const char *id, serve_picture **out, serve_answer *answer,
                                    clipspan_error *err)
{
    *out = pin(subject, id);
    if (*out != NULL) return CLIPSPAN_OK;
    return serve_refuse(answer, 404, err, "image %.60s is not held (any more): send it again", id);
}

void serve_pictures_release(serve_subject *subject, serve_picture *picture)
{
    if (picture == NULL) return;
    pthread_mutex_lock(&subject->lock);
    picture->pins--;
    pthread_mutex_unlock(&subject->lock);
}

/* ---- letting go -------------------------------------------------------------------------------------------- */

static void picture_free(serve_picture *picture)
{
    if (picture == NULL) return;
    clipspan_images_free(picture->own);
    free(picture->name);
    free(picture);
}

void serve_pictures_close(serve_subject *subject)
{
    for (size_t i = 0; i < subject->picture_count; i++) picture_free(subject->pictures[i]);
    subject->picture_count = 0;
}

/* Under the lock: one more image, of so many encoded bytes, would be too many. */
static bool is_full(const serve_subject *subject, size_t bytes)
{
    size_t all = bytes;
    for (size_t i = 0; i < subject->picture_count; i++) all += subject->pictures[i]->bytes;
    return subject->picture_count == subject->held_most || (subject->picture_count > 0 && all > ENCODED_MOST);
}

/* Under the lock: the image that was asked for longest ago, unless a handler is at it; NULL: all are in use. */
static serve_picture *drop_oldest(serve_subject *subject)
{
    size_t oldest = SIZE_MAX;
    for (size_t i = 0; i < subject->picture_count; i++) {
        const serve_picture *picture = subject->pictures[i];
        if (picture->pins == 0 && (oldest == SIZE_MAX || picture->used < subject->pictures[oldest]->used)) oldest = i;
    }
    if (oldest == SIZE_MAX) return NULL;
    serve_picture *gone = subject->pictures[oldest];
    clipspan_held_drop(subject->held, oldest);
    subject->picture_count--;
    memmove(subject->pictures + oldest, subject->pictures + oldest + 1,
            (subject->picture_count - oldest) * sizeof(serve_picture *));
    return gone;
}

/* Makes room for one of so many encoded bytes. */
static clipspan_status make_room(serve_subject *subject, size_t bytes, serve_answer *answer, clipspan_error *err)
{
    bool full = true, stuck = false;
    while (full && !stuck) {
        serve_picture *gone = NULL;
        pthread_mutex_lock(&subject->lock);
        if ((full = is_full(subject, bytes))) gone = drop_oldest(subject);
        pthread_mutex_unlock(&subject->lock);
        stuck = full && gone == NULL;
        picture_free(gone);
    }
    if (!stuck) return CLIPSPAN_OK;
    return serve_refuse(answer, 503, err, "the images that are held are all in use: try again");
}

/* ---- taking in --------------------------------------------------------------------------------------------- */

/* FNV-1a, 128 bits: a name for the bytes, no protection against anybody. */
static void hash(char id[SERVE_ID], const char *bytes, size_t length)
{
    const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;
    unsigned __int128 hash = ((unsigned __int128)0x6c62272e07bb0142ULL << 64) | 0x62b821756295c58dULL;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * prime;
    snprintf(id, SERVE_ID, "%016" PRIx64 "%016" PRIx64, (uint64_t)(hash >> 64), (uint64_t)hash);
}

/* From the store's own terms by token, where the picture is not at hand. */
static clipspan_status take_from_store(serve_subject *subject, const serve_picture *picture, const clipspan_hooks *hooks,
                                       clipspan_error *err)
{
    clipspan_store_selection select = CLIPSPAN_STORE_SELECTION_INIT;
    select.parts = CLIPSPAN_PART_TOKENS;
    select.first = picture->row;
    select.count = 1;
    return clipspan_store_each(subject->side->store, &select, clipspan_held_take, subject->held, hooks, err);
}

static clipspan_status decompose(serve_subject *subject, const serve_picture *picture, const clipspan_hooks *hooks,
                                 clipspan_error *err)
{
    clipspan_decompose_options options = CLIPSPAN_DECOMPOSE_OPTIONS_INIT;
    if (picture->list == NULL) return take_from_store(subject, picture, hooks, err);
    options.parts = CLIPSPAN_PART_TOKENS;
    options.first = picture->place;
    options.count = 1;
    options.strict = 1;
    serve_gate_enter(&subject->engine);
    clipspan_status status = clipspan_decompose_each(subject->side->engine, picture->list, &options, clipspan_held_take,
                                                     subject->held, hooks, err);
    serve_gate_leave(&subject->engine);
    return status;
}

/* The picture becomes the session's, or is freed. */
static clipspan_status take(serve_subject *subject, serve_picture *picture, const clipspan_hooks *hooks, serve_picture **out,
                            serve_answer *answer, clipspan_error *err)
{
    clipspan_status status = make_room(subject, picture->bytes, answer, err);
    if (status == CLIPSPAN_OK) status = decompose(subject, picture, hooks, err);
    if (status != CLIPSPAN_OK) {
        clipspan_held_drop(subject->held, subject->picture_count); /* it may be held, where its client left only then */
        picture_free(picture);
        return status;
    }
    picture->batch = clipspan_held_batch(subject->held, subject->picture_count);
    picture->pins = 1;
    pthread_mutex_lock(&subject->lock);
    picture->used = ++subject->clock;
    subject->pictures[subject->picture_count++] = picture;
    pthread_mutex_unlock(&subject->lock);
    *out = picture;
    return CLIPSPAN_OK;
}

static serve_picture *picture_new(const char *id, const char *name, uint64_t row)
{
    serve_picture *picture = calloc(1, sizeof *picture);
    if (picture == NULL || (picture->name = strdup(name)) == NULL) {
        free(picture);
        return NULL;
    }
    snprintf(picture->id, sizeof picture->id, "%s", id);
    picture->row = row;
    return picture;
}

clipspan_status serve_pictures_take(serve_subject *subject, const char *name, const char *bytes, size_t length,
                                    const clipspan_hooks *hooks, serve_picture **out, serve_answer *answer,
                                    clipspan_error *err)
{
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    char id[SERVE_ID];
    hash(id, bytes, length);
    if ((*out = pin(subject, id)) != NULL) return CLIPSPAN_OK;
    serve_picture *picture = picture_new(id, name, UINT64_MAX);
    if (picture == NULL) return serve_no_memory(err);
    options.max_pixels = SERVE_IMAGE_PIXELS;
    if (subject->rows->store != NULL) options.exif = clipspan_store_get_info(subject->rows->store)->exif;
    clipspan_status status = clipspan_images_open_memory(&picture->own, name, bytes, length, &options, err);
    picture->list = picture->own;
    picture->bytes = length;
    if (status == CLIPSPAN_OK) return take(subject, picture, hooks, out, answer, err);
    picture_free(picture);
    return status;
}

clipspan_status serve_pictures_take_row(serve_subject *subject, uint64_t row, const clipspan_hooks *hooks,
                                        serve_picture **out, serve_answer *answer, clipspan_error *err)
{
    const serve_side *from = subject->rows;
    const clipspan_store_info *info = clipspan_store_get_info(from->store);
    char id[SERVE_ID];
    if (row >= info->images)
        return serve_refuse(answer, 404, err, "row %" PRIu64 ": the store has %" PRIu64 " images", row, info->images);
    snprintf(id, sizeof id, "row%" PRIu64, row);
    if ((*out = pin(subject, id)) != NULL) return CLIPSPAN_OK;
    int at_hand = from->pictures != NULL && from->places[row] != SIZE_MAX;
    if (!at_hand && from != subject->side)
        return serve_refuse(answer, 404, err, "row %" PRIu64 ": the pictures of the other model's store are not at hand", row);
    if (!at_hand && (info->moments_only || !(info->parts & CLIPSPAN_PART_TOKENS)))
        return serve_refuse(answer, 404, err, "row %" PRIu64 ": the store's pictures are not at hand (serve --images says "
                            "where they are), and it keeps no terms by token", row);
    serve_picture *picture = picture_new(id, clipspan_store_image_name(from->store, (size_t)row), row);
    if (picture == NULL) return serve_no_memory(err);
    if (at_hand) {
        picture->list = from->pictures;
        picture->place = from->places[row];
    }
    return take(subject, picture, hooks, out, answer, err);
}
