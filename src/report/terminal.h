/* report/terminal.h - colours in a terminal's text. */
#ifndef CLSP_REPORT_TERMINAL_H
#define CLSP_REPORT_TERMINAL_H

#include "clipspan/terminal.h"
#include "report/colours.h"
#include "report/output.h"

/* What follows stands on this colour, in black or white, whichever is read better. Nothing without colours. */
void clsp_terminal_paint(clsp_report *report, clipspan_colours colours, clsp_rgb background);
void clsp_terminal_plain(clsp_report *report, clipspan_colours colours); /* as the terminal has it again */
/* A scale's colours with the values at its ends. */
void clsp_terminal_bar(clsp_report *report, clipspan_colours colours, clipspan_scale scale, double limit);
/* Number in the palette of 256 of the colour nearest to r, g, b, 0 to 255. */
int clsp_terminal_nearest(int r, int g, int b);

#endif
