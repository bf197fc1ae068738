/* report/canvas.h - a white page that is drawn on and written as PNG, SVG or PDF: the one door to cairo.
 *
 *     CLSP_TRY(clsp_canvas_new(&canvas, path, 1, err));
 *     double wide = clsp_canvas_text_width(canvas, &font, "how wide");
 *     CLSP_TRY(clsp_canvas_begin(canvas, width, height, err));
 *     clsp_canvas_text(canvas, &font, x, y, 0, "text");
 *     CLSP_TRY(clsp_canvas_write(canvas, err));
 *     clsp_canvas_free(canvas);
 *
 * Places and sizes are in units of `scale` pixels, y downwards; a text's y is its base line. What fails while drawing
 * is said by _write. A path that ends in .svg or .pdf gets a vector page, 192 of a PNG's pixels an inch, with the letters
 * that it needs inside (an SVG's as outlines); any other path a PNG. The same drawing gives the same bytes.
 */
#ifndef CLSP_REPORT_CANVAS_H
#define CLSP_REPORT_CANVAS_H

#ifndef CLSP_ROOM_REPORT
#error "report/canvas.h is private to the room report"
#endif

#include "base/base.h"
#include "report/colours.h"

typedef struct clsp_canvas clsp_canvas;
typedef enum clsp_align { CLSP_ALIGN_LEFT, CLSP_ALIGN_CENTRE, CLSP_ALIGN_RIGHT } clsp_align;
typedef struct clsp_font {
    double size;
    bool bold;
    clsp_align align;
    clsp_rgb colour;
} clsp_font;
typedef struct clsp_box {
    double x, y, width, height;
} clsp_box;

extern const clsp_rgb clsp_ink, clsp_soft_ink, clsp_rule; /* text; lesser text; lines */

/* path: where it will be written; "-" is refused. */
clipspan_status clsp_canvas_new(clsp_canvas **out, const char *path, double scale, clipspan_error *err);
void clsp_canvas_free(clsp_canvas *canvas); /* NULL is fine */
bool clsp_canvas_is_vector(const clsp_canvas *canvas);
/* A white page; only measuring comes before. Refuses what PNG writers and memories cannot hold. */
clipspan_status clsp_canvas_begin(clsp_canvas *canvas, double width, double height, clipspan_error *err);
/* The whole file or none; ends the drawing. */
clipspan_status clsp_canvas_write(clsp_canvas *canvas, clipspan_error *err);

/* Texts: UTF-8; bytes that are not become U+FFFD, control characters spaces. */
double clsp_canvas_text_width(clsp_canvas *canvas, const clsp_font *font, const char *text);
/* widest: cut with an ellipsis where it is longer; 0: never. The font's alignment is to x. */
void clsp_canvas_text(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest, const char *text);
void clsp_canvas_text_upwards(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest,
                              const char *text);
/* Lines of at most `widest`, broken at spaces and line ends, at most `most` of them, line height 1.3. Returns how
 * many lines; draws unless `measure`. */
size_t clsp_canvas_paragraph(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest, size_t most,
                             bool measure, const char *text);
static inline double clsp_line_height(const clsp_font *font) { return 1.3 * font->size; }

void clsp_canvas_fill(clsp_canvas *canvas, const clsp_box *box, clsp_rgb colour, double opacity);
void clsp_canvas_frame(clsp_canvas *canvas, const clsp_box *box, clsp_rgb colour, double width);
/* Points [count] of one line; places that are not finite break it. dash: 0: none. */
void clsp_canvas_line(clsp_canvas *canvas, const double *x, const double *y, size_t count, clsp_rgb colour, double width,
                      double dash);
/* A closed area, count points. */
void clsp_canvas_area(clsp_canvas *canvas, const double *x, const double *y, size_t count, clsp_rgb colour,
                      double opacity);
void clsp_canvas_dot(clsp_canvas *canvas, double x, double y, double radius, clsp_rgb colour);
/* rgb: [height, width, 3], stretched over the box; smooth: 0: every pixel a rectangle. */
void clsp_canvas_picture(clsp_canvas *canvas, const clsp_box *box, const unsigned char *rgb, int width, int height,
                         bool smooth);
/* Drawing that is kept inside a box, until _release. */
void clsp_canvas_clip(clsp_canvas *canvas, const clsp_box *box);
void clsp_canvas_release(clsp_canvas *canvas);

#endif
