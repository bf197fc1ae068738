/* The contact sheet of a query's answers. */
#include "retrieve.h"
#include "tiles.h"

#include <stdint.h>
#include <stdlib.h>

enum { SIDE = 128, COLUMNS = 6, MOST_TILES = 4000, MOST_ROWS = 150, CAPTION = 80 };

typedef struct board {
    const cli_answers *answers;
    const clipspan_store *store;
    clipspan_images *images, *own; /* the store's; the query's file */
    clipspan_tile *tiles;
    unsigned char *pixels;   /* [tiles, detail, detail, 3] */
    int detail;
    char (*captions)[CAPTION];
    const char **rows;
    size_t shown, columns, count; /* answers a space; tiles a row; tiles */
    int query;                    /* 1: there is a picture of it */
} board;

static void show(board *b, size_t at, const clipspan_images *images, size_t i)
{
    cli_tile_fill(&b->tiles[at], b->pixels + at * (size_t)b->detail * (size_t)b->detail * 3, b->detail, images, i);
}

static void show_query(board *b, size_t at)
{
    const clipspan_neighbours_report *r = &b->answers->report;
    const char *value = r->value ? r->value : "";
    snprintf(b->captions[at], CAPTION, "query%s%.40s", *value ? ": " : "", value);
    b->tiles[at].caption = b->captions[at];
    b->tiles[at].framed = 1;
    if (b->own != NULL)
        show(b, at, b->own, 0);
    else
        show(b, at, b->images, cli_store_picture(b->images, b->store, (size_t)r->query_row));
}

static void show_hit(board *b, size_t at, const clipspan_neighbours *space, size_t i)
{
    const char *value = space->values ? space->values[i] : "";
    snprintf(b->captions[at], CAPTION, "%.3f%s%.40s", space->hits[i].score, *value ? "  " : "", value);
    b->tiles[at].caption = b->captions[at];
    show(b, at, b->images, cli_store_picture(b->images, b->store, (size_t)space->hits[i].row));
}

static void fill(board *b)
{
    const clipspan_neighbours_report *r = &b->answers->report;
    size_t at = 0;
    for (size_t n = 0; n < r->count; n++) {
        b->rows[n] = r->spaces[n].space;
        if (b->query) show_query(b, at++);
        for (size_t i = 0; i < b->shown && i < r->spaces[n].count; i++) show_hit(b, at++, &r->spaces[n], i);
    }
    b->count = at;
}

static clipspan_status plan(board *b, clipspan_error *err)
{
    const clipspan_neighbours_report *r = &b->answers->report;
    size_t most = r->count ? r->spaces[0].count : 0;
    b->query = b->answers->image != NULL || r->query_row != UINT64_MAX;
    b->shown = most;
    if (r->count > 1 && b->shown > 9) b->shown = 9; /* one row a space */
    size_t tiles = r->count * (b->shown + (size_t)b->query);
    b->columns = r->count > 1 ? b->shown + (size_t)b->query : COLUMNS;
    if (tiles > MOST_TILES)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--png: %zu pictures do not fit one sheet; %d do (-k, --heads)", tiles,
                        (int)MOST_TILES);
    if (r->count > MOST_ROWS)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--png: %zu rows do not fit one sheet; %d do (--heads)", r->count,
                        (int)MOST_ROWS);
    b->tiles = calloc(tiles + 1, sizeof *b->tiles);
    b->pixels = calloc(tiles + 1, (size_t)b->detail * (size_t)b->detail * 3);
    b->captions = calloc(tiles + 1, sizeof *b->captions);
    b->rows = calloc(r->count + 1, sizeof *b->rows);
    if (b->tiles && b->pixels && b->captions && b->rows) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static clipspan_status draw(const board *b, const char *path, clipspan_error *err)
{
    const clipspan_neighbours_report *r = &b->answers->report;
    char title[400], note[200];
    snprintf(title, sizeof title, "nearest to %s%.200s%s%.120s", b->query ? "" : "the text ", r->query,
             r->count == 1 ? " in " : "", r->count == 1 ? r->spaces[0].space : "");
    snprintf(note, sizeof note, "%s%s of the heads' terms, %s convention; %llu images",
             r->how.similarity == CLIPSPAN_COSINE ? "cosine" : "inner product", r->how.centred ? ", centred," : "",
             r->how.convention == CLIPSPAN_PAPER ? "paper" : "exact", (unsigned long long)r->how.images);
    const clipspan_sheet sheet = {.tiles = b->tiles, .count = b->count, .columns = b->columns, .tile_side = SIDE,
                                  .title = title, .rows = r->count > 1 ? b->rows : NULL, .note = note};
    return clipspan_picture_sheet(&sheet, path, err);
}

clipspan_status cli_retrieve_sheet(const cli_answers *answers, const clipspan_store *store, const char *images_path,
                                   const char *path, clipspan_error *err)
{
    board b = {.answers = answers, .store = store, .detail = cli_tile_detail(path, SIDE)};
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.exif = clipspan_store_get_info(store)->exif;
    clipspan_status status = plan(&b, err);
    if (status == CLIPSPAN_OK) status = cli_open_store_images(&b.images, store, images_path, err);
    if (status == CLIPSPAN_OK && answers->image != NULL) status = clipspan_images_open(&b.own, answers->image, &options, err);
    if (status == CLIPSPAN_OK) {
        fill(&b);
        status = draw(&b, path, err);
    }
    clipspan_images_free(b.images);
    clipspan_images_free(b.own);
    free(b.tiles);
    free(b.pixels);
    free(b.captions);
    free(b.rows);
    return status;
}
