/* A sheet of tiles in a terminal: text in characters, tiles below their headings, a legend. */
#include <math.h>
#include <stdio.h>

#include "report/map_sheet.h"
#include "report/pixels.h"
#include "report/terminal.h"
#include "report/tile.h"
#include "text/width.h"

/* Characters: GAP between tiles; tiles take FEWEST to MOST (half-blocks) or what tile_side says. */
enum { GAP = 1, FEWEST = 16, MOST_BLOCKS = 40, NARROWEST = 20, LINES = 3, WIDEST = 1000, CELL_MOST = 100 };
static const unsigned char MISSING[3] = {237, 237, 240}, FRAMED[3] = {230, 97, 0};

typedef struct layout {
    const clipspan_sheet *sheet;
    const clipspan_terminal *terminal;
    clsp_report *report;
    size_t width, cells, side; /* of a line; of a tile, in characters and pixels */
    size_t columns, beside;    /* tiles in a row of the sheet; side by side in the terminal */
    size_t gap;                /* pixels */
    double limit;
} layout;

static void lay_out(layout *l)
{
    size_t cell = l->terminal->graphics == CLIPSPAN_GRAPHICS_BLOCKS ? 1 : (size_t)l->terminal->cell, most;
    most = cell == 1 ? MOST_BLOCKS : clsp_max((size_t)l->sheet->tile_side / cell, 1);
    l->width = (size_t)l->terminal->width;
    l->columns = clsp_min(l->sheet->columns, l->sheet->count);
    size_t fit = clsp_max((l->width + GAP) / (clsp_min(FEWEST, most) + GAP), 1), parts = (l->columns + fit - 1) / fit;
    l->beside = (l->columns + parts - 1) / parts;
    l->cells = clsp_min((l->width + GAP) / l->beside - GAP, most);
    if (cell == 1 && l->cells > 1) l->cells -= l->cells % 2; /* two pixels a line */
    l->side = l->cells * cell;
    l->gap = GAP * cell;
    l->limit = clsp_sheet_limit(l->sheet);
}

/* ---- pixels ------------------------------------------------------------------------------------------------------ */

/* Pixels [from, to) of the picture that pixel i of `target` covers; at least one. */
static void covered(int i, int target, int source, int *from, int *to)
{
    *from = (int)((int64_t)i * source / target);
    *to = (int)((int64_t)(i + 1) * source / target);
    if (*to <= *from) *to = *from + 1;
}

/* out: [height, width, 3], the mean of what each pixel covers. */
static void shrink(unsigned char *out, const clipspan_tile *tile, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int x0, x1, y0, y1;
            unsigned sum[3] = {0}, count = 0;
            covered(x, width, tile->width, &x0, &x1);
            covered(y, height, tile->height, &y0, &y1);
            for (int sy = y0; sy < y1; sy++)
                for (int sx = x0; sx < x1; sx++, count++)
                    for (int c = 0; c < 3; c++)
                        sum[c] += tile->rgb[3 * ((size_t)sy * (size_t)tile->width + (size_t)sx) + (size_t)c];
            for (int c = 0; c < 3; c++) *out++ = (unsigned char)((sum[c] + count / 2) / count);
        }
}

/* The tile's longer side gets l->side. */
static void fit(const layout *l, const clipspan_tile *tile, int *width, int *height)
{
    double longer = tile->width > tile->height ? tile->width : tile->height, side = (double)l->side;
    *width = *height = (int)l->side;
    if (tile->rgb == NULL) return;
    *width = (int)fmax(floor(side * tile->width / longer + 0.5), 1);
    *height = (int)fmax(floor(side * tile->height / longer + 0.5), 1);
}

/* small: [height, width, 3] of the tile without its map; the same with it. */
static void lay_map(const layout *l, const clipspan_tile *tile, unsigned char *small, unsigned char *out, int width, int height)
{
    clipspan_tile scaled = *tile;
    scaled.width = width;
    scaled.height = height;
    if (tile->rgb != NULL) scaled.rgb = small;
    clsp_tile_pixels(out, &scaled, l->sheet->scale, l->limit, width, height);
}

static void put(const clsp_pixels *to, size_t left, const unsigned char *rgb, int width, int height, bool framed)
{
    int edge = framed ? 1 + width / 100 : 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, rgb += 3) {
            bool at_edge = x < edge || y < edge || x >= width - edge || y >= height - edge;
            unsigned char *p = to->rgba + 4 * ((size_t)y * (size_t)to->width + left + (size_t)x);
            memcpy(p, at_edge ? FRAMED : rgb, 3);
            p[3] = 255;
        }
}

/* room: [2, side, side, 3] scratch. */
static void draw_tile(const layout *l, const clipspan_tile *tile, const clsp_pixels *to, size_t left, unsigned char *room)
{
    int width, height;
    unsigned char *small = room, *mapped = room + 3 * l->side * l->side;
    fit(l, tile, &width, &height);
    if (tile->rgb != NULL)
        shrink(small, tile, width, height);
    else
        for (size_t i = 0; i < l->side * l->side; i++) memcpy(small + 3 * i, MISSING, 3);
    if (tile->map != NULL) lay_map(l, tile, small, mapped, width, height);
    put(to, left, tile->map ? mapped : small, width, height, tile->framed != 0);
}

static void write_pixels(const layout *l, const clsp_pixels *pixels, size_t tiles)
{
    if (l->terminal->graphics == CLIPSPAN_GRAPHICS_KITTY)
        clsp_pixels_kitty(pixels, (int)(tiles * (l->cells + GAP) - GAP), l->report);
    else if (l->terminal->graphics == CLIPSPAN_GRAPHICS_SIXEL)
        clsp_pixels_sixel(pixels, l->report);
    else
        clsp_pixels_blocks(pixels, l->terminal->colours, l->report);
}

static void draw_tiles(const layout *l, const clipspan_tile *tiles, size_t count)
{
    clsp_pixels pixels = {NULL, (int)(count * (l->side + l->gap) - l->gap), 1};
    for (size_t i = 0; i < count; i++) {
        int width, height;
        fit(l, &tiles[i], &width, &height);
        pixels.height = height > pixels.height ? height : pixels.height;
    }
    pixels.rgba = clsp_alloc_zero((size_t)pixels.width * (size_t)pixels.height, 4);
    unsigned char *room = clsp_alloc(l->side * l->side, 6);
    l->report->failed |= pixels.rgba == NULL || room == NULL;
    if (!l->report->failed) {
        for (size_t i = 0; i < count; i++) draw_tile(l, &tiles[i], &pixels, i * (l->side + l->gap), room);
        write_pixels(l, &pixels, count);
    }
    clsp_free(pixels.rgba);
    clsp_free(room);
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Bytes of the first line of `text` that is no wider than a tile: up to a space, or cut where a word is longer. */
static size_t first_line(const layout *l, const char *text)
{
    size_t end = 0, wide = 0, at = 0, bytes;
    for (; text[at] != '\0'; at += bytes) {
        uint32_t rune;
        bytes = clsp_text_step(text + at, &rune);
        if (rune == ' ') end = at;
        wide += clsp_rune_columns(rune);
        if (wide > l->cells) return end > 0 ? end : at > 0 ? at : bytes;
    }
    return at;
}

/* Words above or below each tile, words(l, i) of the sheet's tile i, in as many lines as they need, at most LINES. */
static void text_lines(const layout *l, size_t first, size_t count, const char *(*words)(const layout *, size_t))
{
    size_t at[WIDEST] = {0};
    for (int line = 0, any = 1; line < LINES && any; line++) {
        any = 0;
        for (size_t i = 0; i < count; i++) any |= words(l, first + i) != NULL && words(l, first + i)[at[i]] != '\0';
        for (size_t i = 0; any && i < count; i++) {
            const char *text = words(l, first + i) ? words(l, first + i) + at[i] : "";
            size_t length = line + 1 < LINES ? first_line(l, text) : strlen(text); /* the last one is cut, and shows it */
            char *piece = clsp_strndup(text, length);
            l->report->failed |= piece == NULL;
            if (piece != NULL && i + 1 < count) clsp_report_cell(l->report, piece, l->cells);
            if (piece != NULL && i + 1 == count) clsp_report_cut(l->report, piece, l->cells);
            if (i + 1 < count) clsp_report_add(l->report, "%*s", GAP, "");
            clsp_free(piece);
            at[i] += length + strspn(text + length, " \n");
        }
        if (any) clsp_report_add(l->report, "\n");
    }
}

static const char *heading(const layout *l, size_t i)
{
    return l->sheet->heads ? l->sheet->heads[i % l->sheet->columns] : NULL;
}

static const char *caption(const layout *l, size_t i)
{
    return l->sheet->tiles[i].caption;
}

static void draw_row(const layout *l, size_t row)
{
    size_t first = row * l->sheet->columns, end = clsp_min(first + l->columns, l->sheet->count);
    if (l->sheet->rows != NULL && l->sheet->rows[row] != NULL) {
        clsp_report_cut(l->report, l->sheet->rows[row], l->width);
        clsp_report_add(l->report, "\n");
    }
    for (size_t at = first; at < end; at += l->beside) {
        size_t count = clsp_min(l->beside, end - at);
        text_lines(l, at, count, heading);
        draw_tiles(l, l->sheet->tiles + at, count);
        text_lines(l, at, count, caption);
    }
}

static void draw_legend(const layout *l)
{
    const clipspan_sheet *sheet = l->sheet;
    if (clsp_sheet_has_maps(sheet)) {
        clsp_terminal_bar(l->report, l->terminal->colours, sheet->scale, l->limit);
        clsp_report_add(l->report, "%s%s\n", sheet->unit ? "  " : "", sheet->unit ? sheet->unit : "");
    }
    if (sheet->note != NULL) clsp_report_wrap(l->report, l->width, 0, sheet->note);
}

static clipspan_status check(const clipspan_terminal *t, clipspan_error *err)
{
    if (t->width >= NARROWEST && t->width <= WIDEST && t->cell >= 1 && t->cell <= CELL_MOST) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                     "terminal: lines of %d characters of %d pixels, expected %d to %d of 1 to %d", t->width, t->cell,
                     (int)NARROWEST, (int)WIDEST, (int)CELL_MOST);
}

clipspan_status clipspan_terminal_sheet(const clipspan_sheet *sheet, const clipspan_terminal *terminal, const char *path,
                                        clipspan_error *err)
{
    clsp_report report;
    layout l = {.sheet = sheet, .terminal = terminal, .report = &report};
    clipspan_status status = clsp_sheet_check(sheet, err);
    if (status == CLIPSPAN_OK) status = check(terminal, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_report_open(&report);
    lay_out(&l);
    if (sheet->title != NULL) clsp_report_wrap(&report, l.width, 0, sheet->title);
    for (size_t row = 0; row * sheet->columns < sheet->count; row++) draw_row(&l, row);
    draw_legend(&l);
    return clsp_report_finish(&report, path, err);
}

clipspan_status clipspan_terminal_maps(const clipspan_maps *maps, const clipspan_maps_look *look,
                                       const clipspan_terminal *terminal, const char *path, clipspan_error *err)
{
    clsp_maps_sheet maps_sheet;
    clipspan_status status = clsp_maps_sheet_open(&maps_sheet, maps, look, err);
    if (status == CLIPSPAN_OK) status = clipspan_terminal_sheet(&maps_sheet.sheet, terminal, path, err);
    clsp_maps_sheet_close(&maps_sheet);
    return status;
}
