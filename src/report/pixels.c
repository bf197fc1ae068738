/* Pixels as a terminal takes them: half-blocks, sixels (DEC STD 070), kitty's graphics protocol. */
#include "report/pixels.h"

#include "report/data_url.h"
#include "report/terminal.h"

/* ---- half-blocks ------------------------------------------------------------------------------------------------- */

static void colour(clsp_report *report, clipspan_colours colours, bool background, const unsigned char *p)
{
    if (colours == CLIPSPAN_COLOURS_TRUE)
        clsp_report_add(report, "\033[%d;2;%d;%d;%dm", background ? 48 : 38, p[0], p[1], p[2]);
    else if (colours == CLIPSPAN_COLOURS_256)
        clsp_report_add(report, "\033[%d;5;%dm", background ? 48 : 38, clsp_terminal_nearest(p[0], p[1], p[2]));
}

/* Without colours, by lightness: five shades. */
static const char *shade(const unsigned char *upper, const unsigned char *lower)
{
    static const char *const SHADES[] = {" ", "\xE2\x96\x91", "\xE2\x96\x92", "\xE2\x96\x93", "\xE2\x96\x88"};
    int light = 299 * (upper[0] + lower[0]) + 587 * (upper[1] + lower[1]) + 114 * (upper[2] + lower[2]);
    return SHADES[light / 102001];
}

/* An upper half-block: its ink is the upper pixel, its ground the lower one. */
static void block(clsp_report *report, clipspan_colours colours, const unsigned char *upper, const unsigned char *lower)
{
    if (upper[3] == 0 && lower[3] == 0) {
        clsp_report_add(report, " ");
        return;
    }
    if (colours == CLIPSPAN_COLOURS_NONE) {
        clsp_report_add(report, "%s", shade(upper, lower));
        return;
    }
    bool half = upper[3] == 0 || lower[3] == 0;
    colour(report, colours, false, upper[3] ? upper : lower);
    if (!half) colour(report, colours, true, lower);
    clsp_report_add(report, upper[3] ? "\xE2\x96\x80\033[0m" : "\xE2\x96\x84\033[0m");
}

void clsp_pixels_blocks(const clsp_pixels *pixels, clipspan_colours colours, clsp_report *report)
{
    static const unsigned char NOTHING[4] = {0};
    size_t stride = 4 * (size_t)pixels->width;
    for (int y = 0; y < pixels->height; y += 2) {
        const unsigned char *row = pixels->rgba + (size_t)y * stride;
        for (int x = 0; x < pixels->width; x++)
            block(report, colours, row + 4 * x, y + 1 < pixels->height ? row + stride + 4 * x : NOTHING);
        clsp_report_add(report, "\n");
    }
}

/* ---- sixel -------------------------------------------------------------------------------------------------------- */

enum { BAND = 6 };

/* "!12~" where that is shorter than repeating. */
static void run(clsp_report *report, unsigned bits, int length)
{
    if (length > 3)
        clsp_report_add(report, "!%d%c", length, (char)(63 + bits));
    else
        for (int i = 0; i < length; i++) clsp_report_add(report, "%c", (char)(63 + bits));
}

/* One colour's pixels in a band; bits: [width], a bit a row from above. */
static void colour_of_band(clsp_report *report, size_t number, const unsigned char *bits, int width)
{
    int at = 0;
    while (width > 0 && bits[width - 1] == 0) width--;
    clsp_report_add(report, "#%zu", number);
    while (at < width) {
        int end = at + 1;
        while (end < width && bits[end] == bits[at]) end++;
        run(report, bits[at], end - at);
        at = end;
    }
    clsp_report_add(report, "$");
}

/* bits: [colours, width], scratch. */
static void sixel_band(const clsp_pixels *pixels, int top, const clsp_palette *palette, unsigned char *bits,
                       clsp_report *report)
{
    size_t width = (size_t)pixels->width;
    bool used[CLSP_PALETTE_MOST] = {false};
    memset(bits, 0, palette->count * width);
    for (int y = top; y < top + BAND && y < pixels->height; y++)
        for (size_t x = 0; x < width; x++) {
            const unsigned char *p = pixels->rgba + 4 * ((size_t)y * width + x);
            if (p[3] == 0) continue;
            size_t number = palette->of[clsp_palette_bin(p)];
            bits[number * width + x] |= (unsigned char)(1 << (y - top));
            used[number] = true;
        }
    for (size_t c = 0; c < palette->count; c++)
        if (used[c]) colour_of_band(report, c, bits + c * width, pixels->width);
    clsp_report_add(report, "-");
}

void clsp_pixels_sixel(const clsp_pixels *pixels, clsp_report *report)
{
    clsp_palette *palette = clsp_alloc(1, sizeof *palette);
    unsigned char *bits = clsp_alloc(CLSP_PALETTE_MOST, (size_t)pixels->width);
    if (palette == NULL || bits == NULL || !clsp_palette_make(palette, pixels))
        report->failed = true;
    else {
        /* pixels are square (1;1), and those without a colour stay as the terminal has them (second parameter 1) */
        clsp_report_add(report, "\033P0;1;0q\"1;1;%d;%d", pixels->width, pixels->height);
        for (size_t c = 0; c < palette->count; c++) {
            const unsigned char *p = palette->rgb[c];
            clsp_report_add(report, "#%zu;2;%d;%d;%d", c, (p[0] * 100 + 127) / 255, (p[1] * 100 + 127) / 255,
                            (p[2] * 100 + 127) / 255);
        }
        for (int top = 0; top < pixels->height; top += BAND) sixel_band(pixels, top, palette, bits, report);
        clsp_report_add(report, "\033\\\n");
    }
    clsp_free(palette);
    clsp_free(bits);
}

/* ---- kitty ------------------------------------------------------------------------------------------------------- */

void clsp_pixels_kitty(const clsp_pixels *pixels, int columns, clsp_report *report)
{
    enum { CHUNK = 4096 }; /* of base64, as the protocol asks */
    clsp_buffer text;
    clsp_buffer_init(&text, SIZE_MAX / 2);
    if (!clsp_base64(&text, pixels->rgba, 4 * (size_t)pixels->width * (size_t)pixels->height)) report->failed = true;
    for (size_t at = 0; !report->failed && at < text.length; at += CHUNK) {
        size_t length = clsp_min(CHUNK, text.length - at);
        clsp_report_add(report, "\033_G");
        if (at == 0) /* transmit and show 32-bit pixels, answer nothing */
            clsp_report_add(report, "a=T,q=2,f=32,s=%d,v=%d,c=%d,", pixels->width, pixels->height, columns);
        clsp_report_add(report, "m=%d;", at + length < text.length);
        report->failed |= !clsp_buffer_append(&report->text, text.data + at, length);
        clsp_report_add(report, "\033\\");
    }
    clsp_report_add(report, "\n");
    clsp_buffer_free(&text);
}
