/* Accuracy by group as a picture: a line a rule, a dot a group, a bar for the worst group's interval. */
#include "clipspan/groups.h"
#include "report/canvas.h"
#include "report/scale.h"

#include "base/base.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TICKS = 6, GROUPS_MOST = 64, TITLE_LINES = 2, NOTE_LINES = 6 };
static const double WIDTH = 620, MARGIN = 16, NAMES = 150, NUMBERS = 56, STEP = 22, DOT = 3.6, PIXELS = 2;

typedef struct layout {
    const clipspan_groups *g;
    clipspan_groups_info info;
    clsp_canvas *canvas;
    clsp_font title, label, small;
    double left, right, top, bottom, low, height;
} layout;

static double place(const layout *a, double share)
{
    return a->left + (share - a->low) / (1 - a->low) * (a->right - a->left);
}

/* The axis begins at a tenth below everything that is drawn. */
static double lowest(const layout *a)
{
    double low = 1;
    for (size_t i = 0; i < a->info.rows; i++) low = fmin(low, clipspan_groups_row_get(a->g, i)->worst.low);
    return fmax(0, floor(low * 10 - 1e-9) / 10 - (low < 0.05 ? 0 : 0.02));
}

static void draw_axis(const layout *a)
{
    clsp_ticks ticks = clsp_ticks_for(100 * a->low, 100, TICKS);
    clsp_font font = a->small;
    font.align = CLSP_ALIGN_CENTRE;
    for (size_t i = 0; i < ticks.count; i++) {
        char text[48];
        double x = place(a, clsp_tick(&ticks, i) / 100);
        const double xs[] = {x, x}, ys[] = {a->top, a->bottom};
        clsp_tick_label(text, &ticks, i);
        clsp_canvas_line(a->canvas, xs, ys, 2, clsp_rule, 0.6, 0);
        clsp_canvas_text(a->canvas, &font, x, a->bottom + 12, 0, text);
    }
    clsp_canvas_text(a->canvas, &font, (a->left + a->right) / 2, a->bottom + 26, 0,
                     "accuracy of each group, %; bar: 95 % interval of the worst group");
}

/* Dots are drawn in the groups' order: one that later ones cover is larger, so that a ring of it shows. */
static double radius_of(const layout *a, const clipspan_groups_row *row, size_t k)
{
    size_t covering = 0;
    for (size_t later = k + 1; later < a->info.groups; later++)
        covering += fabs(place(a, row->group[later].value) - place(a, row->group[k].value)) < DOT;
    return fmin(DOT + 0.5 * DOT * (double)covering, 0.45 * STEP);
}

static void draw_row(const layout *a, size_t i)
{
    const clipspan_groups_row *row = clipspan_groups_row_get(a->g, i);
    double y = a->top + STEP * ((double)i + 0.5);
    char number[64];
    clsp_font name = a->label, value = a->label;
    name.align = CLSP_ALIGN_RIGHT;
    value.bold = true;
    const clsp_box bar = {place(a, row->worst.low), y - 2.5, place(a, row->worst.high) - place(a, row->worst.low), 5};
    clsp_canvas_text(a->canvas, &name, a->left - 10, y + 3.5, NAMES - 12, row->name);
    clsp_canvas_fill(a->canvas, &bar, clsp_soft_ink, 0.3);
    for (size_t k = 0; k < a->info.groups; k++)
        clsp_canvas_dot(a->canvas, place(a, row->group[k].value), y, radius_of(a, row, k), clsp_line_colour(k));
    snprintf(number, sizeof number, "%.1f %%", 100 * row->worst.value);
    clsp_canvas_text(a->canvas, &value, a->right + 10, y + 3.5, 0, number);
}

/* Returns how far down it went. */
static double draw_legend(const layout *a, double y, bool measure)
{
    double x = a->left;
    for (size_t k = 0; k < a->info.groups; k++) {
        const clipspan_group *group = clipspan_groups_get(a->g, k);
        char text[256];
        snprintf(text, sizeof text, "%.100s, %.100s", group->label, group->value);
        double wide = clsp_canvas_text_width(a->canvas, &a->small, text) + 24;
        if (x > a->left && x + wide > WIDTH - MARGIN) {
            x = a->left;
            y += 15;
        }
        if (!measure) {
            clsp_canvas_dot(a->canvas, x + 4, y - 3, DOT, clsp_line_colour(k));
            clsp_canvas_text(a->canvas, &a->small, x + 12, y, WIDTH - MARGIN - x - 12, text);
        }
        x += wide;
    }
    return y;
}

static void note_of(const layout *a, char out[512])
{
    char heads[128] = "";
    if (a->info.paper)
        snprintf(heads, sizeof heads, "; in all rows but the first also x0, every MLP and all attention but the last %d layers",
                 a->info.last);
    snprintf(out, 512, "%llu images; heads replaced by their means%s%s. Number at the right: worst group.",
             (unsigned long long)a->info.images, heads,
             a->info.halves ? "; searched on half of each group, drawn for the other half" : "");
}

static clipspan_status draw(layout *a, clipspan_error *err)
{
    char title[320], note[512];
    snprintf(title, sizeof title, "Accuracy by class and %.200s, heads taken out by each rule", a->info.attribute);
    note_of(a, note);
    size_t lines = clsp_canvas_paragraph(a->canvas, &a->title, 0, 0, WIDTH - 2 * MARGIN, TITLE_LINES, true, title);
    a->left = MARGIN + NAMES;
    a->right = WIDTH - MARGIN - NUMBERS;
    a->top = MARGIN + (double)lines * clsp_line_height(&a->title) + 8;
    a->bottom = a->top + STEP * (double)a->info.rows;
    double legend = draw_legend(a, a->bottom + 46, true), note_y = legend + 22;
    size_t notes = clsp_canvas_paragraph(a->canvas, &a->small, 0, 0, WIDTH - 2 * MARGIN, NOTE_LINES, true, note);
    a->height = note_y + (double)notes * clsp_line_height(&a->small) + MARGIN - 8;
    clipspan_status status = clsp_canvas_begin(a->canvas, WIDTH, a->height, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_canvas_paragraph(a->canvas, &a->title, MARGIN, MARGIN + a->title.size, WIDTH - 2 * MARGIN, TITLE_LINES, false, title);
    draw_axis(a);
    for (size_t i = 0; i < a->info.rows; i++) draw_row(a, i);
    draw_legend(a, a->bottom + 46, false);
    clsp_canvas_paragraph(a->canvas, &a->small, MARGIN, note_y, WIDTH - 2 * MARGIN, NOTE_LINES, false, note);
    return clsp_canvas_write(a->canvas, err);
}

clipspan_status clipspan_picture_groups(const clipspan_groups *g, const char *path, clipspan_error *err)
{
    layout a = {.g = g, .info = clipspan_groups_get_info(g)};
    if (a.info.groups > GROUPS_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "picture of groups: %zu groups, expected at most %d", a.info.groups,
                         (int)GROUPS_MOST);
    clipspan_status status = clsp_canvas_new(&a.canvas, path, PIXELS, err);
    if (status != CLIPSPAN_OK) return status;
    a.title = (clsp_font){12, true, CLSP_ALIGN_LEFT, clsp_ink};
    a.label = (clsp_font){10, false, CLSP_ALIGN_LEFT, clsp_ink};
    a.small = (clsp_font){9, false, CLSP_ALIGN_LEFT, clsp_soft_ink};
    a.low = lowest(&a);
    status = draw(&a, err);
    clsp_canvas_free(a.canvas);
    return status;
}
