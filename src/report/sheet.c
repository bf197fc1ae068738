/* Tiles in rows: contact sheets, and heat-maps laid over pictures. */
#include "report/canvas.h"
#include "report/scale.h"
#include "report/tile.h"

#include <math.h>
#include <string.h>

enum { TILES_MOST = 100000, SIDE_FEWEST = 16, SIDE_MOST = 4096, CAPTION_LINES = 3, HEADING_LINES = 4, NOTE_LINES = 6,
       TITLE_LINES = 2 };
static const double VECTOR_DETAIL = 2;       /* a map's pixels a page's: 384 an inch */
static const double VECTOR_SMALLEST = 1.35; /* the smallest letters have 6 points in print */
static const clsp_rgb FRAMED = {0.902, 0.380, 0.0}, NO_PICTURE = {0.93, 0.93, 0.94};

/* Where everything stands; u is what sizes are counted in, so that large tiles get large letters. */
typedef struct layout {
    const clipspan_sheet *sheet;
    clsp_canvas *canvas;
    double u, side, gap, left, top, caption, limit;
    double width, height, legend_y, note_y;
    size_t rows, note_lines, title_lines;
    clsp_font title, heading, small;
    clsp_legend legend;
    bool has_maps;
} layout;

static clipspan_status check_tile(const clipspan_sheet *sheet, size_t i, clipspan_error *err)
{
    const clipspan_tile *tile = &sheet->tiles[i];
    if (tile->rgb != NULL && (tile->width < 1 || tile->height < 1))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture sheet: tile %zu has %d x %d pixels", i, tile->width,
                         tile->height);
    if (tile->map == NULL || (tile->map_side >= 1 && tile->map_side <= INT16_MAX)) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture sheet: tile %zu has a map of side %d", i, tile->map_side);
}

clipspan_status clsp_sheet_check(const clipspan_sheet *sheet, clipspan_error *err)
{
    if (sheet->count == 0 || sheet->count > TILES_MOST || sheet->columns == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture sheet: %zu tiles in rows of %zu, expected 1 to %d tiles",
                         sheet->count, sheet->columns, (int)TILES_MOST);
    if (sheet->tile_side < SIDE_FEWEST || sheet->tile_side > SIDE_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture sheet: tiles of %d pixels, expected %d to %d",
                         sheet->tile_side, (int)SIDE_FEWEST, (int)SIDE_MOST);
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; i < sheet->count && status == CLIPSPAN_OK; i++) status = check_tile(sheet, i, err);
    return status;
}

/* ---- layout ---------------------------------------------------------------------------------------------- */

/* Such a tile says its caption itself. */
static bool is_missing(const clipspan_tile *tile)
{
    return tile->rgb == NULL && tile->map == NULL;
}

static size_t caption_lines(const layout *l)
{
    size_t most = 0;
    for (size_t i = 0; i < l->sheet->count; i++) {
        const clipspan_tile *tile = &l->sheet->tiles[i];
        if (tile->caption == NULL || is_missing(tile)) continue;
        most = clsp_max(most, clsp_canvas_paragraph(l->canvas, &l->small, 0, 0, l->side, CAPTION_LINES, true,
                                                    tile->caption));
    }
    return most;
}

bool clsp_sheet_has_maps(const clipspan_sheet *sheet)
{
    for (size_t i = 0; i < sheet->count; i++)
        if (sheet->tiles[i].map != NULL) return true;
    return false;
}

double clsp_sheet_limit(const clipspan_sheet *sheet)
{
    double limit = 0;
    for (size_t i = 0; i < sheet->count; i++) {
        const clipspan_tile *tile = &sheet->tiles[i];
        size_t cells = (size_t)tile->map_side * (size_t)tile->map_side;
        for (size_t c = 0; tile->map != NULL && c < cells; c++)
            limit = clsp_scale_widen(sheet->scale, limit, (double)tile->map[c]);
    }
    return sheet->limit > 0 ? sheet->limit : limit;
}

/* Width of the row headings: what the widest needs, at most a tile or so. */
static double headings_width(layout *l)
{
    double widest = 0, most = fmax(l->side, 130 * l->u);
    for (size_t r = 0; l->sheet->rows != NULL && r < l->rows; r++)
        if (l->sheet->rows[r] != NULL)
            widest = fmax(widest, clsp_canvas_text_width(l->canvas, &l->heading, l->sheet->rows[r]));
    return widest > 0 ? fmin(widest, most) + 12 * l->u : 0;
}

static size_t heads_lines(const layout *l)
{
    size_t most = 0;
    for (size_t c = 0; l->sheet->heads != NULL && c < l->sheet->columns; c++)
        if (l->sheet->heads[c] != NULL)
            most = clsp_max(most, clsp_canvas_paragraph(l->canvas, &l->heading, 0, 0, l->side, HEADING_LINES, true,
                                                        l->sheet->heads[c]));
    return most;
}

static void lay_out(layout *l)
{
    const clipspan_sheet *sheet = l->sheet;
    double margin = 20 * l->u, heads;
    size_t columns = clsp_min(sheet->columns, sheet->count);
    l->rows = (sheet->count - 1) / sheet->columns + 1;
    l->gap = 8 * l->u;
    l->left = margin + headings_width(l);
    l->caption = (double)caption_lines(l) * clsp_line_height(&l->small);
    l->width = l->left + (double)columns * (l->side + l->gap) - l->gap + margin;
    if (l->has_maps) l->width = fmax(l->width, 2 * margin + 240 * l->u);
    double inside = l->width - 2 * margin;
    if (sheet->title)
        l->title_lines = clsp_canvas_paragraph(l->canvas, &l->title, 0, 0, inside, TITLE_LINES, true, sheet->title);
    heads = (double)heads_lines(l) * clsp_line_height(&l->heading);
    l->top = margin + (double)l->title_lines * clsp_line_height(&l->title) + (l->title_lines ? 6 * l->u : 0) +
             (heads > 0 ? heads + 4 * l->u : 0);
    double row = l->side + l->caption + l->gap + (l->caption > 0 ? 6 * l->u : 0);
    l->legend_y = l->top + (double)l->rows * row;
    l->legend = (clsp_legend){sheet->scale, l->limit, sheet->unit, margin + 8 * l->u, l->legend_y + 4 * l->u,
                              fmin(260 * l->u, inside - 16 * l->u), l->small};
    l->note_y = l->legend_y + (l->has_maps ? clsp_legend_height(&l->legend) + 10 * l->u : 0);
    if (sheet->note)
        l->note_lines = clsp_canvas_paragraph(l->canvas, &l->small, 0, 0, inside, NOTE_LINES, true, sheet->note);
    l->height = l->note_y + (double)l->note_lines * clsp_line_height(&l->small) + margin - (l->note_lines ? 0 : l->gap);
}

/* ---- a tile ---------------------------------------------------------------------------------------------- */

static clipspan_status draw_map(const layout *l, const clipspan_tile *tile, const clsp_box *box, clipspan_error *err)
{
    double detail = clsp_canvas_is_vector(l->canvas) ? VECTOR_DETAIL : 1;
    int width = (int)ceil(detail * box->width), height = (int)ceil(detail * box->height);
    unsigned char *pixels = clsp_alloc((size_t)width * (size_t)height, 3);
    if (pixels == NULL) return clsp_fail_memory(err);
    clsp_tile_pixels(pixels, tile, l->sheet->scale, l->limit, width, height);
    clsp_canvas_picture(l->canvas, box, pixels, width, height, true);
    clsp_free(pixels);
    return CLIPSPAN_OK;
}

/* The tile's longer side gets `side`; it stands in the middle of its cell. */
static clsp_box fitted(const clipspan_tile *tile, double x, double y, double side)
{
    double longer = tile->width > tile->height ? tile->width : tile->height;
    clsp_box box = {x, y, side, side};
    if (tile->rgb == NULL || longer <= 0) return box;
    box.width = fmax(floor(side * tile->width / longer + 0.5), 1);
    box.height = fmax(floor(side * tile->height / longer + 0.5), 1);
    box.x = floor(x + (side - box.width) / 2);
    box.y = floor(y + (side - box.height) / 2);
    return box;
}

static void draw_missing(const layout *l, const clipspan_tile *tile, const clsp_box *box)
{
    clsp_font font = l->small;
    font.align = CLSP_ALIGN_CENTRE;
    clsp_canvas_fill(l->canvas, box, NO_PICTURE, 1);
    if (tile->caption == NULL) return;
    double inside = box->width - 12 * l->u;
    size_t lines = clsp_canvas_paragraph(l->canvas, &font, 0, 0, inside, HEADING_LINES, true, tile->caption);
    double y = box->y + box->height / 2 - ((double)lines / 2 - 0.75) * clsp_line_height(&font);
    clsp_canvas_paragraph(l->canvas, &font, box->x + box->width / 2, y, inside, HEADING_LINES, false, tile->caption);
}

static clipspan_status draw_tile(const layout *l, const clipspan_tile *tile, double x, double y, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_box box = fitted(tile, x, y, l->side);
    clsp_font font = l->small;
    if (tile->map != NULL)
        status = draw_map(l, tile, &box, err);
    else if (tile->rgb != NULL)
        clsp_canvas_picture(l->canvas, &box, tile->rgb, tile->width, tile->height, true);
    else
        draw_missing(l, tile, &box);
    if (tile->framed) {
        double width = 3 * l->u;
        clsp_box frame = {box.x + width / 2, box.y + width / 2, box.width - width, box.height - width};
        clsp_canvas_frame(l->canvas, &frame, FRAMED, width);
    }
    if (tile->caption == NULL || is_missing(tile)) return status;
    font.align = CLSP_ALIGN_CENTRE;
    font.colour = clsp_ink;
    clsp_canvas_paragraph(l->canvas, &font, x + l->side / 2, y + l->side + 3 * l->u + font.size, l->side, CAPTION_LINES,
                          false, tile->caption);
    return status;
}

/* ---- the page -------------------------------------------------------------------------------------------- */

static void draw_headings(const layout *l)
{
    const clipspan_sheet *sheet = l->sheet;
    double margin = 20 * l->u, row = (l->legend_y - l->top) / (double)l->rows;
    clsp_font centred = l->heading;
    centred.align = CLSP_ALIGN_CENTRE;
    for (size_t c = 0; sheet->heads != NULL && c < sheet->columns; c++) {
        double x = l->left + (double)c * (l->side + l->gap) + l->side / 2;
        if (sheet->heads[c] == NULL || sheet->heads[c][0] == '\0') continue;
        size_t lines = clsp_canvas_paragraph(l->canvas, &centred, 0, 0, l->side, HEADING_LINES, true, sheet->heads[c]);
        double y = l->top - 6 * l->u - (double)(lines - 1) * clsp_line_height(&centred); /* the last line is above the tile */
        clsp_canvas_paragraph(l->canvas, &centred, x, y, l->side, HEADING_LINES, false, sheet->heads[c]);
    }
    for (size_t r = 0; sheet->rows != NULL && r < l->rows; r++) {
        if (sheet->rows[r] == NULL) continue;
        double wide = l->left - margin - 12 * l->u;
        size_t of_row = clsp_canvas_paragraph(l->canvas, &l->heading, 0, 0, wide, HEADING_LINES, true, sheet->rows[r]);
        double y = l->top + (double)r * row + l->side / 2 - ((double)of_row / 2 - 0.75) * clsp_line_height(&l->heading);
        clsp_canvas_paragraph(l->canvas, &l->heading, margin, y, wide, HEADING_LINES, false, sheet->rows[r]);
    }
}

static clipspan_status draw(const layout *l, clipspan_error *err)
{
    const clipspan_sheet *sheet = l->sheet;
    double margin = 20 * l->u, inside = l->width - 2 * margin, row = (l->legend_y - l->top) / (double)l->rows;
    clipspan_status status = CLIPSPAN_OK;
    if (sheet->title)
        clsp_canvas_paragraph(l->canvas, &l->title, margin, margin + l->title.size * 0.85, inside, TITLE_LINES, false,
                              sheet->title);
    draw_headings(l);
    for (size_t i = 0; i < sheet->count && status == CLIPSPAN_OK; i++)
        status = draw_tile(l, &sheet->tiles[i], l->left + (double)(i % sheet->columns) * (l->side + l->gap),
                           l->top + (double)(i / sheet->columns) * row, err);
    if (l->has_maps) clsp_legend_draw(l->canvas, &l->legend);
    if (sheet->note)
        clsp_canvas_paragraph(l->canvas, &l->small, margin, l->note_y + l->small.size, inside, NOTE_LINES, false,
                              sheet->note);
    return status;
}

static void choose_fonts(layout *l)
{
    l->side = l->sheet->tile_side;
    l->u = fmin(fmax(l->side / 200, clsp_canvas_is_vector(l->canvas) ? VECTOR_SMALLEST : 0.85), 3);
    l->title = (clsp_font){17 * l->u, true, CLSP_ALIGN_LEFT, clsp_ink};
    l->heading = (clsp_font){13 * l->u, true, CLSP_ALIGN_LEFT, clsp_ink};
    l->small = (clsp_font){12 * l->u, false, CLSP_ALIGN_LEFT, clsp_soft_ink};
}

clipspan_status clipspan_picture_sheet(const clipspan_sheet *sheet, const char *path, clipspan_error *err)
{
    layout l = {.sheet = sheet};
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_sheet_check(sheet, err));
    CLSP_TRY(clsp_canvas_new(&l.canvas, path, 1, err));
    choose_fonts(&l);
    l.limit = clsp_sheet_limit(sheet);
    l.has_maps = clsp_sheet_has_maps(sheet);
    lay_out(&l);
    CLSP_TRY(clsp_canvas_begin(l.canvas, l.width, l.height, err));
    CLSP_TRY(draw(&l, err));
    CLSP_TRY(clsp_canvas_write(l.canvas, err));
out:
    clsp_canvas_free(l.canvas);
    return status;
}
