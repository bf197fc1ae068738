/* clipspan/terminal.h - pictures in a terminal: kitty's graphics protocol, sixel, or half-blocks of text.
 *
 *     clipspan_terminal terminal = CLIPSPAN_TERMINAL_INIT;
 *     clipspan_terminal_maps(&maps, &look, &terminal, "-", &err);
 *
 * What a terminal can do is the caller's to know: nothing here asks it. Colours, scale and limit are the PNG's.
 */
#ifndef CLIPSPAN_TERMINAL_H
#define CLIPSPAN_TERMINAL_H

#include "clipspan/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipspan_colours {
    CLIPSPAN_COLOURS_NONE, /* plain text */
    CLIPSPAN_COLOURS_256,  /* escapes for xterm's palette of 256 */
    CLIPSPAN_COLOURS_TRUE  /* for 24 bits */
} clipspan_colours;
typedef enum clipspan_graphics {
    CLIPSPAN_GRAPHICS_BLOCKS, /* U+2580: two pixels a character, one above the other; any terminal with colours */
    CLIPSPAN_GRAPHICS_SIXEL,  /* DEC's, with up to 255 colours */
    CLIPSPAN_GRAPHICS_KITTY   /* kitty's graphics protocol, 32 bits a pixel */
} clipspan_graphics;

typedef struct clipspan_terminal {
    clipspan_graphics graphics;
    clipspan_colours colours; /* of half-blocks and of the legend */
    int width;                /* characters of a line */
    int cell;                 /* pixels that a character is wide */
} clipspan_terminal;
#define CLIPSPAN_TERMINAL_INIT { CLIPSPAN_GRAPHICS_BLOCKS, CLIPSPAN_COLOURS_TRUE, 80, 10 }

/* As clipspan_picture_sheet: tiles side by side as far as the line reaches, headings and captions as text, and a line that says
 * what the colours stand for. tile_side is the most a tile gets, in pixels (half-blocks: up to 40 characters). */
CLIPSPAN_API clipspan_status clipspan_terminal_sheet(const clipspan_sheet *sheet, const clipspan_terminal *terminal,
                                                     const char *path, clipspan_error *err);
/* As clipspan_picture_maps. */
CLIPSPAN_API clipspan_status clipspan_terminal_maps(const clipspan_maps *maps, const clipspan_maps_look *look,
                                                    const clipspan_terminal *terminal, const char *path,
                                                    clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
