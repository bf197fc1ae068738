/* Colours in a terminal's text: ECMA-48 "select graphic rendition", with ISO 8613-6's colours by number. */
#include "report/terminal.h"

#include <math.h>

enum { BAR = 24 };

static int byte_of(double component)
{
    return (int)(255 * fmin(fmax(component, 0), 1) + 0.5);
}

/* xterm's palette: a cube of six levels a colour from 16 on, and 24 greys from 232 on. */
static int cube_level(int value)
{
    return value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40;
}

static int distance(int r, int g, int b, int x, int y, int z)
{
    return (r - x) * (r - x) + (g - y) * (g - y) + (b - z) * (b - z);
}

int clsp_terminal_nearest(int r, int g, int b)
{
    static const int LEVELS[] = {0, 95, 135, 175, 215, 255};
    int x = cube_level(r), y = cube_level(g), z = cube_level(b), mean = (r + g + b) / 3;
    int grey = mean < 8 ? 0 : mean > 238 ? 23 : (mean - 3) / 10, tone = 8 + 10 * grey;
    bool greyer = distance(r, g, b, tone, tone, tone) < distance(r, g, b, LEVELS[x], LEVELS[y], LEVELS[z]);
    return greyer ? 232 + grey : 16 + 36 * x + 6 * y + z;
}

static double linear(double component)
{
    double c = fmin(fmax(component, 0), 1);
    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

static double luminance(clsp_rgb c)
{
    return 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
}

void clsp_terminal_paint(clsp_report *report, clipspan_colours colours, clsp_rgb background)
{
    int r = byte_of(background.r), g = byte_of(background.g), b = byte_of(background.b);
    bool light = luminance(background) > 0.179; /* where black and white ink have the same contrast (WCAG 2, 1.4.3) */
    if (colours == CLIPSPAN_COLOURS_TRUE)
        clsp_report_add(report, "\033[48;2;%d;%d;%dm", r, g, b);
    else if (colours == CLIPSPAN_COLOURS_256)
        clsp_report_add(report, "\033[48;5;%dm", clsp_terminal_nearest(r, g, b));
    if (colours != CLIPSPAN_COLOURS_NONE) clsp_report_add(report, "\033[38;5;%dm", light ? 16 : 231);
}

void clsp_terminal_plain(clsp_report *report, clipspan_colours colours)
{
    if (colours != CLIPSPAN_COLOURS_NONE) clsp_report_add(report, "\033[0m");
}

void clsp_terminal_bar(clsp_report *report, clipspan_colours colours, clipspan_scale scale, double limit)
{
    bool two = scale == CLIPSPAN_SCALE_ZERO;
    clsp_report_add(report, "%.3g ", two ? -limit : 0.0);
    for (int i = 0; i < BAR; i++) {
        double t = (double)i / (BAR - 1);
        clsp_terminal_paint(report, colours, clsp_colour(scale, two ? 2 * t - 1 : t));
        clsp_report_add(report, colours == CLIPSPAN_COLOURS_NONE ? "-" : " ");
    }
    clsp_terminal_plain(report, colours);
    clsp_report_add(report, " %.3g", limit);
}
