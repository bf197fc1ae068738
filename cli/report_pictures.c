/* The pictures of a report: those that its sections name, as many as fit. */
#include "report.h"

#include <stdlib.h>

enum { SIDE = 112 };

typedef struct showing {
    report_side *side;
    unsigned char *view;  /* [S, S, 3], and small: what is left of it */
    unsigned char *small; /* [SIDE or more, SIDE or more, 3] */
    size_t shown, named, unread;
    int view_side;
} showing;

static int is_mapped(const report_side *side, uint64_t row)
{
    const report_rows *mapped = &side->wanted[REPORT_MAPPED];
    for (size_t i = 0; i < mapped->count; i++)
        if (mapped->rows[i] == row) return 1;
    return 0;
}

/* out: [small, small, 3], each the mean of step x step pixels; what does not fill a step at the right and below is cut. */
static void shrink(unsigned char *out, int small, const unsigned char *rgb, int side, int step)
{
    for (int y = 0; y < small; y++)
        for (int x = 0; x < small * 3; x++) {
            unsigned sum = 0, count = (unsigned)(step * step);
            for (int v = 0; v < step; v++)
                for (int u = 0; u < step; u++)
                    sum += rgb[((size_t)(y * step + v) * (size_t)side + (size_t)(x / 3 * step + u)) * 3 + (size_t)(x % 3)];
            out[y * small * 3 + x] = (unsigned char)((sum + count / 2) / count);
        }
}

/* The model's square, for the maps that lie over it. */
static clipspan_status show_square(showing *v, uint64_t row, const char *name, size_t place, clipspan_error *err)
{
    int step = v->view_side / SIDE > 0 ? v->view_side / SIDE : 1, small = v->view_side / step;
    clipspan_status status = clipspan_images_view(v->side->images, place, v->side->model, v->view, err);
    if (status != CLIPSPAN_OK) return status;
    shrink(v->small, small, v->view, v->view_side, step);
    return clipspan_page_picture(v->side->page, row, name, v->small, small, small, err);
}

static clipspan_status show_whole(showing *v, uint64_t row, const char *name, size_t place, clipspan_error *err)
{
    int width, height;
    clipspan_status status = clipspan_images_thumbnail(v->side->images, place, SIDE, v->small, &width, &height, err);
    return status == CLIPSPAN_OK ? clipspan_page_picture(v->side->page, row, name, v->small, width, height, err) : status;
}

/* A picture that cannot be read any more is not there; the page has a place for it all the same. */
static clipspan_status show(showing *v, uint64_t row, clipspan_error *err)
{
    size_t place = cli_store_picture(v->side->images, v->side->store, (size_t)row);
    const char *name = clipspan_store_image_name(v->side->store, (size_t)row);
    if (place == SIZE_MAX) return CLIPSPAN_OK;
    int square = v->view != NULL && is_mapped(v->side, row);
    clipspan_status status = square ? show_square(v, row, name, place, err) : show_whole(v, row, name, place, err);
    if (status == CLIPSPAN_ERROR_MEMORY || status == CLIPSPAN_ERROR_INTERRUPTED) return status;
    if (status == CLIPSPAN_OK)
        v->shown++;
    else if (v->unread++ == 0)
        cli_warn("%s", err->message);
    return CLIPSPAN_OK;
}

static clipspan_status progress(size_t done, size_t total, clipspan_error *err)
{
    const clipspan_hooks *hooks = cli_hooks();
    const clipspan_progress at = {"pictures", done, total, 0};
    if (hooks->progress(hooks->user, &at) == 0) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu pictures", done, total);
}

/* Row after row that was not met before, while there is room. */
static clipspan_status show_all(showing *v, const uint64_t *rows, size_t count, clipspan_error *err)
{
    const report_side *side = v->side;
    uint64_t images = clipspan_store_get_info(side->store)->images;
    unsigned char *met = calloc((size_t)images + 1, 1);
    clipspan_status status = met ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; status == CLIPSPAN_OK && i < count; i++) {
        if (rows[i] >= images || met[rows[i]]) continue;
        met[rows[i]] = 1;
        v->named++;
        if (v->shown < side->s->pictures && clipspan_page_size(side->page) < side->most_bytes)
            status = show(v, rows[i], err);
        if (status == CLIPSPAN_OK) status = progress(i + 1, count, err);
    }
    cli_progress_end();
    free(met);
    return status;
}

/* The choice in words. */
static clipspan_status say(const showing *v, clipspan_error *err)
{
    char words[320], rest[128] = "", unread[64] = "", shown[32], images[32], named[32];
    if (v->shown + v->unread < v->named)
        snprintf(rest, sizeof rest, "; of %s that its lists name, those that stand first in them",
                 clipspan_report_count(named, v->named));
    if (v->unread > 0) snprintf(unread, sizeof unread, "; %s could not be read", clipspan_report_count(named, v->unread));
    snprintf(words, sizeof words, "%s of %s images have a picture in this page%s%s", clipspan_report_count(shown, v->shown),
             clipspan_report_count(images, clipspan_store_get_info(v->side->store)->images), rest, unread);
    if (v->shown == 0 && v->unread > 0)
        return report_leave_out(v->side, "pictures",
                                cli_fail(err, CLIPSPAN_ERROR_IO, "none of %s pictures could be read", clipspan_report_count(named, v->unread)),
                                err);
    cli_note("%s", words);
    return clipspan_page_sample(v->side->page, words, err);
}

static clipspan_status make_room(showing *v, clipspan_error *err)
{
    v->view_side = clipspan_store_get_info(v->side->store)->image_size;
    size_t pixels = (size_t)v->view_side * (size_t)v->view_side, least = (size_t)SIDE * SIDE;
    if (v->side->model != NULL) v->view = calloc(pixels, 3);
    v->small = calloc(pixels > least ? pixels : least, 3);
    return v->small && (v->view || v->side->model == NULL) ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static clipspan_status choose_and_show(report_side *side, clipspan_error *err)
{
    showing v = {.side = side};
    size_t count = 0, at = 0;
    for (int w = 0; w < REPORT_WISHES; w++) count += side->wanted[w].count;
    uint64_t *rows = calloc(count + 1, sizeof *rows);
    clipspan_status status = rows ? make_room(&v, err) : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (int w = 0; status == CLIPSPAN_OK && w < REPORT_WISHES; w++)
        for (size_t i = 0; i < side->wanted[w].count; i++) rows[at++] = side->wanted[w].rows[i];
    if (status == CLIPSPAN_OK) status = show_all(&v, rows, count, err);
    if (status == CLIPSPAN_OK) status = say(&v, err);
    free(v.view);
    free(v.small);
    free(rows);
    return status;
}

clipspan_status report_pictures(report_side *side, clipspan_error *err)
{
    const char *why = clipspan_store_get_info(side->store)->moments_only
                          ? "the store holds moments alone, no single images"
                          : side->images == NULL ? side->no_images : NULL;
    if (side->s->pictures == 0) return CLIPSPAN_OK;
    if (why == NULL) return choose_and_show(side, err);
    return report_leave_out(side, "pictures", cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s", why), err);
}
