/* Layers x heads, coloured. */
#include "report/canvas.h"
#include "report/scale.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 512, TITLE_LINES = 2, NOTE_LINES = 6 };
/* In units of two pixels. */
static const double CELL = 17, SMALL_CELL = 8, MARGIN = 16, PIXELS = 2;

typedef struct layout {
    const clipspan_grid *grid;
    clsp_canvas *canvas;
    double cell, left, top, width, height, legend_y, note_y, limit;
    clsp_font title, small;
    clsp_legend legend;
} layout;

static clipspan_status check(const clipspan_grid *grid, clipspan_error *err)
{
    if (grid->values != NULL && grid->rows >= 1 && grid->columns >= 1 && grid->rows <= MOST && grid->columns <= MOST)
        return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture grid: %zu x %zu values, expected 1 to %d each way", grid->rows,
                     grid->columns, (int)MOST);
}

static void label(char out[64], const char *prefix, size_t i)
{
    snprintf(out, 64, "%.40s%zu", prefix ? prefix : "", i);
}

static void lay_out(layout *l)
{
    const clipspan_grid *grid = l->grid;
    char widest[64];
    l->title = (clsp_font){13, true, CLSP_ALIGN_LEFT, clsp_ink};
    l->small = (clsp_font){9, false, CLSP_ALIGN_LEFT, clsp_soft_ink};
    for (size_t i = 0; i < grid->rows * grid->columns; i++)
        l->limit = clsp_scale_widen(grid->scale, l->limit, grid->values[i]);
    l->cell = clsp_max(grid->rows, grid->columns) <= 64 ? CELL : SMALL_CELL;
    label(widest, grid->row_prefix, grid->rows - 1);
    l->left = MARGIN + clsp_canvas_text_width(l->canvas, &l->small, widest) + 6;
    double across = (double)grid->columns * l->cell, bar = fmin(fmax(across, 160), 220);
    double unit = grid->unit ? clsp_canvas_text_width(l->canvas, &l->small, grid->unit) : 0;
    l->width = fmax(l->left + fmax(across, fmax(bar, unit)) + MARGIN, grid->title || grid->note ? 300 : 0);
    double inside = l->width - 2 * MARGIN, y = MARGIN;
    if (grid->title)
        y += 8 + clsp_line_height(&l->title) * (double)clsp_canvas_paragraph(l->canvas, &l->title, 0, 0, inside,
                                                                             TITLE_LINES, true, grid->title);
    l->top = y + 14;
    l->legend_y = l->top + (double)grid->rows * l->cell + 10;
    l->legend = (clsp_legend){grid->scale, l->limit, grid->unit, l->left, l->legend_y, bar, l->small};
    l->note_y = l->legend_y + clsp_legend_height(&l->legend) + 6;
    size_t lines = grid->note ? clsp_canvas_paragraph(l->canvas, &l->small, 0, 0, inside, NOTE_LINES, true, grid->note) : 0;
    l->height = l->note_y + (double)lines * clsp_line_height(&l->small) + MARGIN - 4;
}

static void draw_cell(const layout *l, size_t row, size_t column)
{
    double value = l->grid->values[row * l->grid->columns + column];
    double x = l->left + (double)column * l->cell, y = l->top + (double)row * l->cell;
    clsp_box box = {x + 0.5, y + 0.5, l->cell - 1, l->cell - 1};
    if (isfinite(value))
        clsp_canvas_fill(l->canvas, &box, clsp_colour(l->grid->scale, clsp_scale_place(value, l->limit)), 1);
    else
        clsp_canvas_dot(l->canvas, x + l->cell / 2, y + l->cell / 2, 0.7, clsp_rule);
}

/* Every label where there is room for it, else every second, fifth, ... */
static size_t label_step(double need, double cell)
{
    static const size_t STEPS[] = {1, 2, 5, 10, 20, 50, 100};
    size_t i = 0;
    while (i < 6 && (double)STEPS[i] * cell < need) i++;
    return STEPS[i];
}

static void draw_labels(const layout *l)
{
    char text[64];
    clsp_font font = l->small;
    label(text, l->grid->column_prefix, l->grid->columns - 1);
    size_t across = label_step(clsp_canvas_text_width(l->canvas, &font, text) + 2, l->cell);
    size_t down = label_step(font.size + 1, l->cell);
    font.align = CLSP_ALIGN_CENTRE;
    for (size_t c = 0; c < l->grid->columns; c += across) {
        label(text, l->grid->column_prefix, c);
        clsp_canvas_text(l->canvas, &font, l->left + ((double)c + 0.5) * l->cell, l->top - 4, 0, text);
    }
    font.align = CLSP_ALIGN_RIGHT;
    for (size_t r = 0; r < l->grid->rows; r += down) {
        label(text, l->grid->row_prefix, r);
        clsp_canvas_text(l->canvas, &font, l->left - 4, l->top + ((double)r + 0.5) * l->cell + 0.35 * font.size, 0, text);
    }
}

static void draw(const layout *l)
{
    double inside = l->width - 2 * MARGIN;
    if (l->grid->title)
        clsp_canvas_paragraph(l->canvas, &l->title, MARGIN, MARGIN + 11, inside, TITLE_LINES, false, l->grid->title);
    draw_labels(l);
    for (size_t r = 0; r < l->grid->rows; r++)
        for (size_t c = 0; c < l->grid->columns; c++) draw_cell(l, r, c);
    clsp_box around = {l->left, l->top, (double)l->grid->columns * l->cell, (double)l->grid->rows * l->cell};
    clsp_canvas_frame(l->canvas, &around, clsp_rule, 0.6);
    clsp_legend_draw(l->canvas, &l->legend);
    if (l->grid->note)
        clsp_canvas_paragraph(l->canvas, &l->small, MARGIN, l->note_y + l->small.size, inside, NOTE_LINES, false,
                              l->grid->note);
}

clipspan_status clipspan_picture_grid(const clipspan_grid *grid, const char *path, clipspan_error *err)
{
    layout l = {.grid = grid};
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(check(grid, err));
    CLSP_TRY(clsp_canvas_new(&l.canvas, path, PIXELS, err));
    lay_out(&l);
    CLSP_TRY(clsp_canvas_begin(l.canvas, l.width, l.height, err));
    draw(&l);
    CLSP_TRY(clsp_canvas_write(l.canvas, err));
out:
    clsp_canvas_free(l.canvas);
    return status;
}
