/* Ticks at round numbers, and the bar that says what a colour stands for. */
#include "report/scale.h"

#include <math.h>
#include <stdio.h>

enum { LEGEND_STEPS = 256, LEGEND_TICKS = 5 };

clsp_ticks clsp_ticks_for(double low, double high, size_t wanted)
{
    static const double FACTORS[] = {1, 2, 5, 10};
    double rough = (high - low) / (double)(wanted ? wanted : 1), power = floor(log10(rough)), step = pow(10, power);
    for (size_t i = 0; i < 4; i++) {
        step = FACTORS[i] * pow(10, power);
        if (step >= rough * 0.999) break;
    }
    double slack = 1e-6 * step, first = ceil((low - slack) / step), last = floor((high + slack) / step);
    clsp_ticks ticks = {first * step, step, (size_t)fmax(last - first + 1, 0), 0};
    double decimals = -floor(log10(step) + 1e-9);
    ticks.digits = decimals > 0 ? (int)fmin(decimals, 12) : 0;
    return ticks;
}

void clsp_tick_label(char out[48], const clsp_ticks *ticks, size_t i)
{
    static const char MINUS[] = "\xE2\x88\x92"; /* the width of a plus, where a hyphen is half of it */
    double value = clsp_tick(ticks, i), size = fmax(fabs(ticks->first), fabs(clsp_tick(ticks, ticks->count - 1)));
    bool below = value < -1e-9 * ticks->step;
    if (fabs(value) < 1e-9 * ticks->step) value = 0; /* no "-0" */
    if (size < 1e7 && ticks->digits <= 5)
        snprintf(out, 48, "%s%.*f", below ? MINUS : "", ticks->digits, fabs(value));
    else
        snprintf(out, 48, "%s%.3g", below ? MINUS : "", fabs(value));
}

double clsp_scale_widen(clipspan_scale scale, double limit, double value)
{
    if (!isfinite(value)) return limit;
    return fmax(limit, scale == CLIPSPAN_SCALE_ZERO ? fabs(value) : value);
}

double clsp_legend_height(const clsp_legend *legend)
{
    return (legend->unit ? 1.6 : 0.2) * legend->font.size + 2.6 * legend->font.size;
}

static void draw_bar(clsp_canvas *canvas, const clsp_legend *legend, const clsp_box *bar)
{
    unsigned char colours[3 * LEGEND_STEPS];
    bool two = legend->scale == CLIPSPAN_SCALE_ZERO;
    for (size_t i = 0; i < LEGEND_STEPS; i++) {
        double t = (double)i / (LEGEND_STEPS - 1);
        clsp_rgb c = clsp_colour(legend->scale, two ? 2 * t - 1 : t);
        colours[3 * i] = (unsigned char)(255 * c.r + 0.5);
        colours[3 * i + 1] = (unsigned char)(255 * c.g + 0.5);
        colours[3 * i + 2] = (unsigned char)(255 * c.b + 0.5);
    }
    clsp_canvas_picture(canvas, bar, colours, LEGEND_STEPS, 1, true);
    clsp_canvas_frame(canvas, bar, clsp_rule, 0.08 * legend->font.size);
}

void clsp_legend_draw(clsp_canvas *canvas, const clsp_legend *legend)
{
    double size = legend->font.size, limit = legend->limit > 0 ? legend->limit : 1;
    double low = legend->scale == CLIPSPAN_SCALE_ZERO ? -limit : 0;
    clsp_font font = legend->font;
    clsp_box bar = {legend->x, legend->y + (legend->unit ? 1.6 * size : 0.2 * size), legend->width, 0.9 * size};
    font.align = CLSP_ALIGN_LEFT;
    if (legend->unit) clsp_canvas_text(canvas, &font, bar.x, legend->y + size, bar.width * 2.5, legend->unit);
    draw_bar(canvas, legend, &bar);
    clsp_ticks ticks = clsp_ticks_for(low, limit, LEGEND_TICKS);
    font.align = CLSP_ALIGN_CENTRE;
    for (size_t i = 0; i < ticks.count; i++) {
        char label[48];
        double x = bar.x + bar.width * (clsp_tick(&ticks, i) - low) / (limit - low);
        double ys[2] = {bar.y + bar.height, bar.y + bar.height + 0.3 * size}, xs[2] = {x, x};
        clsp_canvas_line(canvas, xs, ys, 2, clsp_soft_ink, 0.08 * size, 0);
        clsp_tick_label(label, &ticks, i);
        double half = clsp_canvas_text_width(canvas, &font, label) / 2; /* which stays on the page beside a bar at its edge */
        x = fmin(fmax(x, bar.x - 1.6 * size + half), bar.x + bar.width + 1.6 * size - half);
        clsp_canvas_text(canvas, &font, x, ys[1] + 1.1 * size, 0, label);
    }
}
