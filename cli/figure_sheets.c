/* A contact sheet a head: its texts, and the images that rank highest along each. */
#include "figure.h"
#include "tiles.h"

#include <stdlib.h>

enum { SIDE = 160, HEADS_MOST = 100 };

typedef struct board {
    const figure_job *job;
    clipspan_images *images;
    size_t columns, rows;
    clipspan_tile *tiles;  /* [rows, columns] */
    unsigned char *pixels; /* [rows, columns, detail, detail, 3] */
    int detail;
    const char **texts;    /* [rows] */
} board;

static clipspan_status open_board(board *b, clipspan_error *err)
{
    const figure_settings *s = b->job->s;
    b->columns = s->pictures;
    const clipspan_textspan *result = b->job->found.textspan;
    for (size_t i = 0; i < clipspan_textspan_head_count(result); i++) {
        size_t texts = (size_t)clipspan_textspan_get(result, i)->count;
        b->rows = texts > b->rows ? texts : b->rows;
    }
    for (size_t f = 0; f < b->job->format_count; f++) { /* the most that one of them wants */
        int detail = cli_tile_detail(b->job->formats[f], SIDE);
        b->detail = detail > b->detail ? detail : b->detail;
    }
    b->tiles = calloc(b->rows * b->columns + 1, sizeof *b->tiles);
    b->pixels = calloc(b->rows * b->columns + 1, (size_t)b->detail * (size_t)b->detail * 3);
    b->texts = calloc(b->rows + 1, sizeof *b->texts);
    if (b->tiles == NULL || b->pixels == NULL || b->texts == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    return cli_open_store_images(&b->images, b->job->store, s->images, err);
}

static void close_board(board *b)
{
    clipspan_images_free(b->images);
    free(b->tiles);
    free(b->pixels);
    free(b->texts);
}

static void show(board *b, size_t at, uint64_t row)
{
    cli_tile_fill(&b->tiles[at], b->pixels + at * (size_t)b->detail * (size_t)b->detail * 3, b->detail, b->images,
                  cli_store_picture(b->images, b->job->store, (size_t)row));
}

static size_t fill(board *b, size_t head)
{
    const clipspan_textspan *result = b->job->found.textspan;
    size_t rows = (size_t)clipspan_textspan_get(result, head)->count;
    for (size_t m = 0; m < rows; m++) {
        const uint64_t *images = NULL;
        size_t found = clipspan_textspan_images(result, head, (int)m, &images, NULL);
        b->texts[m] = clipspan_textspan_text_of(result, clipspan_textspan_get(result, head)->texts[m].text);
        for (size_t k = 0; k < b->columns; k++) {
            b->tiles[m * b->columns + k] = (clipspan_tile){0};
            if (k < found) show(b, m * b->columns + k, images[k]);
        }
    }
    return rows;
}

static clipspan_status draw(figure_job *job, board *b, size_t head, clipspan_error *err)
{
    const clipspan_textspan_head *h = clipspan_textspan_get(job->found.textspan, head);
    char name[64], title[128], path[4096];
    snprintf(name, sizeof name, "sheet-L%d.H%d", h->layer, h->head);
    snprintf(title, sizeof title, "L%d.H%d: its texts, and the images that rank highest along each", h->layer, h->head);
    const clipspan_sheet sheet = {.tiles = b->tiles, .count = fill(b, head) * b->columns, .columns = b->columns,
                                  .tile_side = SIDE, .title = job->s->bare ? NULL : title, .rows = b->texts};
    clipspan_status status = CLIPSPAN_OK;
    for (size_t f = 0; f < job->format_count && status == CLIPSPAN_OK; f++) {
        status = figure_path(job, name, job->formats[f], path, sizeof path, err);
        if (status == CLIPSPAN_OK) status = clipspan_picture_sheet(&sheet, path, err);
    }
    return status;
}

clipspan_status figure_sheets(figure_job *job, clipspan_error *err)
{
    board b = {.job = job};
    const clipspan_textspan *result = job->found.textspan;
    if (result == NULL) return figure_lacks(job, FIGURE_SHEETS, "--texts POOL is missing", err);
    if (clipspan_store_get_info(job->store)->moments_only)
        return figure_lacks(job, FIGURE_SHEETS, "the store holds moments alone, no single images", err);
    if (clipspan_textspan_head_count(result) > HEADS_MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "sheets of %zu heads, expected at most %d (--heads)",
                        clipspan_textspan_head_count(result), (int)HEADS_MOST);
    clipspan_status status = open_board(&b, err);
    if (status != CLIPSPAN_OK && b.images == NULL && !job->named) { /* pictures that moved away: the other figures stand */
        close_board(&b);
        return figure_lacks(job, FIGURE_SHEETS, err->message, err);
    }
    for (size_t i = 0; i < clipspan_textspan_head_count(result) && status == CLIPSPAN_OK; i++)
        if (clipspan_textspan_get(result, i)->count > 0) status = draw(job, &b, i, err);
    close_board(&b);
    return status;
}
