/* Lines over one axis, with bands. */
#include "report/canvas.h"
#include "report/scale.h"

#include <float.h>
#include <math.h>

enum { LINES_MOST = 64, POINTS_MOST = 10000000, DOTS_MOST = 60, COLOURS = 7, X_TICKS = 7, Y_TICKS = 6, TITLE_LINES = 2,
       NOTE_LINES = 6 };
/* In units of two pixels. */
static const double WIDTH = 560, PLANE_HEIGHT = 260, MARGIN = 16, LEFT = 64, SAMPLE = 22, BELOW = 46;
static const double PIXELS = 2;

typedef struct range {
    double low, high;
} range;

typedef struct layout {
    const clipspan_plot *plot;
    clsp_canvas *canvas;
    clsp_box plane;
    range x, y;
    double width, height, note_y, legend_x;
    clsp_font title, label, small;
} layout;

static clipspan_status check(const clipspan_plot *plot, clipspan_error *err)
{
    if (plot->count == 0 || plot->count > LINES_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture plot: %zu lines, expected 1 to %d", plot->count,
                         (int)LINES_MOST);
    for (size_t i = 0; i < plot->count; i++) {
        const clipspan_line *line = &plot->lines[i];
        if (line->x == NULL || line->y == NULL || line->count == 0 || line->count > POINTS_MOST)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture plot: line %zu has %zu points, expected 1 to %d", i,
                             line->count, (int)POINTS_MOST);
    }
    return CLIPSPAN_OK;
}

static void widen(range *r, const double *values, size_t count)
{
    for (size_t i = 0; values != NULL && i < count; i++) {
        if (!isfinite(values[i])) continue;
        r->low = fmin(r->low, values[i]);
        r->high = fmax(r->high, values[i]);
    }
}

/* A range without width gets one. */
static void settle(range *r, double spare)
{
    if (!(r->low <= r->high)) *r = (range){0, 1};
    double size = r->high - r->low, near = fmax(fabs(r->low), fabs(r->high));
    if (size <= 1e-12 * near) size = near > 0 ? 0.2 * near : 1;
    bool flat = r->high - r->low < size;
    r->low -= flat ? size / 2 : spare * size;
    r->high += flat ? size / 2 : spare * size;
}

static void find_ranges(layout *l)
{
    const clipspan_plot *plot = l->plot;
    l->x = l->y = (range){DBL_MAX, -DBL_MAX};
    for (size_t i = 0; i < plot->count; i++) {
        const clipspan_line *line = &plot->lines[i];
        widen(&l->x, line->x, line->count);
        widen(&l->y, line->y, line->count);
        widen(&l->y, line->low, line->count);
        widen(&l->y, line->high, line->count);
    }
    settle(&l->x, 0.015);
    settle(&l->y, 0.05);
    if (plot->y_low < plot->y_high) l->y = (range){plot->y_low, plot->y_high};
}

static double place_x(const layout *l, double x)
{
    return l->plane.x + l->plane.width * (x - l->x.low) / (l->x.high - l->x.low);
}

static double place_y(const layout *l, double y)
{
    return l->plane.y + l->plane.height * (l->y.high - y) / (l->y.high - l->y.low);
}

static void lay_out(layout *l)
{
    const clipspan_plot *plot = l->plot;
    double names = 0, inside, y = MARGIN;
    l->title = (clsp_font){13, true, CLSP_ALIGN_LEFT, clsp_ink};
    l->label = (clsp_font){10, false, CLSP_ALIGN_LEFT, clsp_ink};
    l->small = (clsp_font){9, false, CLSP_ALIGN_LEFT, clsp_soft_ink};
    for (size_t i = 0; i < plot->count; i++)
        if (plot->lines[i].name) names = fmax(names, clsp_canvas_text_width(l->canvas, &l->label, plot->lines[i].name));
    names = names > 0 ? SAMPLE + 18 + fmin(names, 170) : 0;
    l->width = WIDTH + names;
    inside = l->width - 2 * MARGIN;
    if (plot->title)
        y += 8 + clsp_line_height(&l->title) * (double)clsp_canvas_paragraph(l->canvas, &l->title, 0, 0, inside,
                                                                             TITLE_LINES, true, plot->title);
    /* the names need room too */
    double tall = fmax(PLANE_HEIGHT, (double)plot->count * clsp_line_height(&l->label) * 1.15);
    l->plane = (clsp_box){LEFT, y, WIDTH - LEFT - MARGIN, tall};
    l->legend_x = WIDTH;
    l->note_y = y + tall + BELOW;
    size_t lines = plot->note ? clsp_canvas_paragraph(l->canvas, &l->small, 0, 0, inside, NOTE_LINES, true, plot->note) : 0;
    l->height = l->note_y + (double)lines * clsp_line_height(&l->small) + (lines ? 2 : -4);
}

static void draw_axes(const layout *l)
{
    char label[48];
    clsp_ticks xs = clsp_ticks_for(l->x.low, l->x.high, X_TICKS), ys = clsp_ticks_for(l->y.low, l->y.high, Y_TICKS);
    clsp_font font = l->small;
    double bottom = l->plane.y + l->plane.height, right = l->plane.x + l->plane.width;
    font.align = CLSP_ALIGN_RIGHT;
    for (size_t i = 0; i < ys.count; i++) {
        double y = place_y(l, clsp_tick(&ys, i)), px[2] = {l->plane.x, right}, py[2] = {y, y};
        clsp_canvas_line(l->canvas, px, py, 2, clsp_rule, 0.6, 0);
        clsp_tick_label(label, &ys, i);
        clsp_canvas_text(l->canvas, &font, l->plane.x - 6, y + 3.2, 0, label);
    }
    font.align = CLSP_ALIGN_CENTRE;
    double px[2] = {l->plane.x, right}, py[2] = {bottom, bottom};
    clsp_canvas_line(l->canvas, px, py, 2, clsp_soft_ink, 0.8, 0);
    for (size_t i = 0; i < xs.count; i++) {
        double x = place_x(l, clsp_tick(&xs, i)), tx[2] = {x, x}, ty[2] = {bottom, bottom + 3.5};
        clsp_canvas_line(l->canvas, tx, ty, 2, clsp_soft_ink, 0.8, 0);
        clsp_tick_label(label, &xs, i);
        clsp_canvas_text(l->canvas, &font, x, bottom + 14, 0, label);
    }
    clsp_font name = l->label;
    name.align = CLSP_ALIGN_CENTRE;
    if (l->plot->x_name)
        clsp_canvas_text(l->canvas, &name, l->plane.x + l->plane.width / 2, bottom + 30, l->plane.width, l->plot->x_name);
    if (l->plot->y_name)
        clsp_canvas_text_upwards(l->canvas, &name, MARGIN + 6, l->plane.y + l->plane.height / 2, l->plane.height,
                                 l->plot->y_name);
}

/* Repeats of a colour are dashed. */
static double dash_of(size_t line)
{
    return line < COLOURS ? 0 : 2.0 + 2.0 * (double)(line / COLOURS);
}

static void draw_band(const layout *l, const clipspan_line *line, clsp_rgb colour, double *x, double *y)
{
    size_t n = line->count;
    for (size_t i = 0; i < n; i++) {
        x[i] = place_x(l, line->x[i]);
        y[i] = place_y(l, line->high[i]);
        x[2 * n - 1 - i] = x[i];
        y[2 * n - 1 - i] = place_y(l, line->low[i]);
    }
    clsp_canvas_area(l->canvas, x, y, 2 * n, colour, 0.16);
}

/* Bands first, so that no line is behind one. */
static clipspan_status draw_lines(const layout *l, bool bands, clipspan_error *err)
{
    clsp_box around = {l->plane.x - 3, l->plane.y - 3, l->plane.width + 6, l->plane.height + 6};
    clsp_canvas_clip(l->canvas, &around);
    for (size_t i = 0; i < l->plot->count; i++) {
        const clipspan_line *line = &l->plot->lines[i];
        if (bands && (line->low == NULL || line->high == NULL)) continue;
        double *x = clsp_alloc(2 * line->count, sizeof *x), *y = clsp_alloc(2 * line->count, sizeof *y);
        bool good = x != NULL && y != NULL;
        if (good && bands) draw_band(l, line, clsp_line_colour(i), x, y);
        for (size_t p = 0; good && !bands && p < line->count; p++) {
            x[p] = place_x(l, line->x[p]);
            y[p] = place_y(l, line->y[p]);
            if (line->count <= DOTS_MOST) clsp_canvas_dot(l->canvas, x[p], y[p], 2.4, clsp_line_colour(i));
        }
        if (good && !bands) clsp_canvas_line(l->canvas, x, y, line->count, clsp_line_colour(i), 1.6, dash_of(i));
        clsp_free(x);
        clsp_free(y);
        if (!good) return clsp_fail_memory(err);
    }
    clsp_canvas_release(l->canvas);
    return CLIPSPAN_OK;
}

static void draw_names(const layout *l)
{
    double y = l->plane.y + 8;
    for (size_t i = 0; i < l->plot->count; i++) {
        if (l->plot->lines[i].name == NULL) continue;
        double x[2] = {l->legend_x, l->legend_x + SAMPLE}, at[2] = {y - 3.5, y - 3.5};
        clsp_canvas_line(l->canvas, x, at, 2, clsp_line_colour(i), 2, dash_of(i));
        clsp_canvas_text(l->canvas, &l->label, x[1] + 6, y, l->width - x[1] - 6 - MARGIN / 2, l->plot->lines[i].name);
        y += clsp_line_height(&l->label) * 1.15;
    }
}

static clipspan_status draw(const layout *l, clipspan_error *err)
{
    double inside = l->width - 2 * MARGIN;
    if (l->plot->title)
        clsp_canvas_paragraph(l->canvas, &l->title, MARGIN, MARGIN + 11, inside, TITLE_LINES, false, l->plot->title);
    draw_axes(l);
    clipspan_status status = draw_lines(l, true, err);
    if (status == CLIPSPAN_OK) status = draw_lines(l, false, err);
    draw_names(l);
    if (l->plot->note)
        clsp_canvas_paragraph(l->canvas, &l->small, MARGIN, l->note_y, inside, NOTE_LINES, false, l->plot->note);
    return status;
}

clipspan_status clipspan_picture_plot(const clipspan_plot *plot, const char *path, clipspan_error *err)
{
    layout l = {.plot = plot};
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(check(plot, err));
    CLSP_TRY(clsp_canvas_new(&l.canvas, path, PIXELS, err));
    find_ranges(&l);
    lay_out(&l);
    CLSP_TRY(clsp_canvas_begin(l.canvas, l.width, l.height, err));
    CLSP_TRY(draw(&l, err));
    CLSP_TRY(clsp_canvas_write(l.canvas, err));
out:
    clsp_canvas_free(l.canvas);
    return status;
}
