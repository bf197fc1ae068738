/* Drawing with cairo. */
#include "report/canvas.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>

#include "text/width.h"

typedef enum medium { PNG, SVG, PDF } medium;

struct clsp_canvas {
    cairo_surface_t *surface;
    cairo_t *cr;
    char *path;
    medium medium;
    clsp_buffer bytes; /* of a vector page, as far as it is drawn */
    double scale;
    bool starved; /* an allocation of ours failed */
};

enum { SIDE_MOST = 32767, TEXT_MOST = 4096, UNKNOWN = 0xFFFD };
static const char INSTEAD[] = "\xEF\xBF\xBD"; /* UNKNOWN in UTF-8 */
static const double PIXELS_MOST = 400e6;
static const double POINTS = 72.0 / 192; /* of a vector page, where a PNG has one pixel */
static const double SLACK = 0.5; /* what was measured to fit is not cut for a rounding */

const clsp_rgb clsp_ink = {0.12, 0.12, 0.14}, clsp_soft_ink = {0.42, 0.42, 0.45}, clsp_rule = {0.86, 0.86, 0.88};

/* ---- the page ------------------------------------------------------------------------------------------- */

static medium medium_of(const char *path)
{
    size_t length = strlen(path);
    const char *ending = length > 4 ? path + length - 4 : "";
    return strcmp(ending, ".svg") == 0 ? SVG : strcmp(ending, ".pdf") == 0 ? PDF : PNG;
}

static clipspan_status said(const clsp_canvas *canvas, cairo_status_t state, clipspan_error *err)
{
    if (canvas->starved || state == CAIRO_STATUS_NO_MEMORY) return clsp_fail_memory(err);
    if (state == CAIRO_STATUS_SUCCESS) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "%s: cairo: %s", canvas->path, cairo_status_to_string(state));
}

static clipspan_status failed(const clsp_canvas *canvas, clipspan_error *err)
{
    cairo_status_t state = cairo_status(canvas->cr);
    return said(canvas, state != CAIRO_STATUS_SUCCESS ? state : cairo_surface_status(canvas->surface), err);
}

static cairo_status_t gather(void *closure, const unsigned char *bytes, unsigned int length)
{
    clsp_canvas *canvas = closure;
    canvas->starved |= !clsp_buffer_append(&canvas->bytes, bytes, length);
    return canvas->starved ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static cairo_surface_t *new_surface(clsp_canvas *canvas, medium to, int width, int height)
{
    double across = POINTS * width, down = POINTS * height;
    if (to == PNG) return cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (to == SVG) return cairo_svg_surface_create_for_stream(gather, canvas, across, down);
    cairo_surface_t *surface = cairo_pdf_surface_create_for_stream(gather, canvas, across, down);
    cairo_pdf_surface_restrict_to_version(surface, CAIRO_PDF_VERSION_1_4); /* which journals take */
    cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE, ""); /* the same figure, the same bytes */
    return surface;
}

static clipspan_status open_page(clsp_canvas *canvas, medium to, int width, int height, clipspan_error *err)
{
    cairo_font_options_t *options = cairo_font_options_create();
    double scale = canvas->scale * (to == PNG ? 1 : POINTS);
    canvas->surface = new_surface(canvas, to, width, height);
    canvas->cr = cairo_create(canvas->surface);
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    /* hinting moves outlines to a screen's pixels; on a page of points it closed the gaps of small letters */
    cairo_font_options_set_hint_style(options, to == PNG ? CAIRO_HINT_STYLE_SLIGHT : CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF); /* widths that do not depend on the scale */
    cairo_set_font_options(canvas->cr, options);
    cairo_font_options_destroy(options);
    cairo_set_source_rgb(canvas->cr, 1, 1, 1);
    cairo_paint(canvas->cr);
    cairo_scale(canvas->cr, scale, scale);
    cairo_set_line_join(canvas->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(canvas->cr, CAIRO_LINE_CAP_BUTT);
    return failed(canvas, err);
}

static void close_page(clsp_canvas *canvas)
{
    cairo_destroy(canvas->cr);
    cairo_surface_destroy(canvas->surface);
}

clipspan_status clsp_canvas_new(clsp_canvas **out, const char *path, double scale, clipspan_error *err)
{
    *out = NULL;
    if (strcmp(path, "-") == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-: a picture goes to a file, not to standard output");
    clsp_canvas *canvas = clsp_alloc_zero(1, sizeof *canvas);
    if (canvas == NULL) return clsp_fail_memory(err);
    canvas->scale = scale;
    canvas->medium = medium_of(path);
    canvas->path = clsp_strdup(path);
    canvas->starved = canvas->path == NULL;
    clsp_buffer_init(&canvas->bytes, SIZE_MAX / 4);
    clipspan_status status = open_page(canvas, PNG, 1, 1, err);
    if (status == CLIPSPAN_OK)
        *out = canvas;
    else
        clsp_canvas_free(canvas);
    return status;
}

void clsp_canvas_free(clsp_canvas *canvas)
{
    if (canvas == NULL) return;
    close_page(canvas);
    clsp_buffer_free(&canvas->bytes);
    clsp_free(canvas->path);
    clsp_free(canvas);
}

bool clsp_canvas_is_vector(const clsp_canvas *canvas)
{
    return canvas->medium != PNG;
}

clipspan_status clsp_canvas_begin(clsp_canvas *canvas, double width, double height, clipspan_error *err)
{
    double across = ceil(width * canvas->scale), down = ceil(height * canvas->scale);
    if (!(across >= 1 && down >= 1 && across <= SIDE_MOST && down <= SIDE_MOST && across * down <= PIXELS_MOST))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "a picture of %.0f x %.0f pixels, expected at most %d a side and %.0f million in all", across,
                         down, (int)SIDE_MOST, PIXELS_MOST / 1e6);
    close_page(canvas);
    return open_page(canvas, canvas->medium, (int)across, (int)down, err);
}

/* Ends the page: all its bytes are gathered then. */
static clipspan_status finish(clsp_canvas *canvas, clipspan_error *err)
{
    clipspan_status status = failed(canvas, err);
    if (status != CLIPSPAN_OK) return status;
    cairo_status_t state = CAIRO_STATUS_SUCCESS;
    if (canvas->medium == PNG)
        state = cairo_surface_write_to_png_stream(canvas->surface, gather, canvas);
    else {
        cairo_surface_finish(canvas->surface);
        state = cairo_surface_status(canvas->surface);
    }
    return said(canvas, state, err);
}

clipspan_status clsp_canvas_write(clsp_canvas *canvas, clipspan_error *err)
{
    clsp_output output = {0};
    clipspan_status status = finish(canvas, err);
    if (status == CLIPSPAN_OK) status = clsp_output_open(&output, canvas->path, err);
    if (status == CLIPSPAN_OK) status = clsp_output_write(&output, canvas->bytes.data, canvas->bytes.length, err);
    if (status == CLIPSPAN_OK) return clsp_output_commit(&output, err);
    clsp_output_discard(&output);
    return status;
}

/* ---- text ------------------------------------------------------------------------------------------------ */

/* The first `limit` bytes of a text as cairo takes it: it refuses to draw what is not UTF-8. A last character that is broken
 * off was cut by who had no room for it, and is left out. out: [TEXT_MOST]. */
static void clean(char *out, const char *text, size_t limit)
{
    size_t used = 0;
    for (size_t at = 0, length; at < limit && text[at] && used + 8 < TEXT_MOST; at += length) {
        uint32_t rune;
        length = clsp_text_step(text + at, &rune);
        bool broken = rune == UNKNOWN && memcmp(text + at, INSTEAD, length) != 0;
        size_t wide = broken ? sizeof INSTEAD - 1 : length;
        if (broken && (unsigned char)text[at] >= 0xC2 && (unsigned char)text[at] < 0xF5 && text[at + length] == '\0') break;
        memcpy(out + used, broken ? INSTEAD : text + at, wide);
        if (rune < ' ' || rune == 0x7f) out[used] = ' ';
        used += wide;
    }
    out[used] = '\0';
}

static void use_font(clsp_canvas *canvas, const clsp_font *font)
{
    cairo_select_font_face(canvas->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           font->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(canvas->cr, font->size);
}

static double advance(clsp_canvas *canvas, const char *cleaned)
{
    cairo_text_extents_t extents = {0};
    cairo_text_extents(canvas->cr, cleaned, &extents);
    return extents.x_advance;
}

double clsp_canvas_text_width(clsp_canvas *canvas, const clsp_font *font, const char *text)
{
    char cleaned[TEXT_MOST];
    clean(cleaned, text, SIZE_MAX);
    use_font(canvas, font);
    return advance(canvas, cleaned);
}

/* Takes characters off the end until the rest and an ellipsis fit. */
static void cut(clsp_canvas *canvas, char *text, double widest)
{
    static const char ELLIPSIS[] = "\xE2\x80\xA6";
    size_t length = strlen(text);
    if (widest <= 0 || advance(canvas, text) <= widest + SLACK) return;
    while (length > 0) {
        do length--;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80);
        size_t end = length;
        while (end > 0 && text[end - 1] == ' ') end--;
        memcpy(text + end, ELLIPSIS, sizeof ELLIPSIS); /* never longer than what was there: see clean's margin */
        if (advance(canvas, text) <= widest) return;
        text[length] = '\0';
    }
}

static void show(clsp_canvas *canvas, const clsp_font *font, const char *cleaned, double x, double y, bool upwards)
{
    double width = advance(canvas, cleaned);
    double shift = font->align == CLSP_ALIGN_LEFT ? 0 : font->align == CLSP_ALIGN_CENTRE ? width / 2 : width;
    cairo_save(canvas->cr);
    cairo_set_source_rgb(canvas->cr, font->colour.r, font->colour.g, font->colour.b);
    cairo_translate(canvas->cr, x, y);
    if (upwards) cairo_rotate(canvas->cr, -1.5707963267948966);
    cairo_move_to(canvas->cr, -shift, 0);
    cairo_show_text(canvas->cr, cleaned);
    cairo_restore(canvas->cr);
}

static void draw_text(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest, bool upwards,
                      const char *text)
{
    char cleaned[TEXT_MOST];
    clean(cleaned, text, SIZE_MAX);
    use_font(canvas, font);
    cut(canvas, cleaned, widest);
    show(canvas, font, cleaned, x, y, upwards);
}

void clsp_canvas_text(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest, const char *text)
{
    draw_text(canvas, font, x, y, widest, false, text);
}

void clsp_canvas_text_upwards(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest,
                              const char *text)
{
    draw_text(canvas, font, x, y, widest, true, text);
}

/* Long names are broken behind "/" and "-", but no number loses its sign: "effect -0.1", "1e-05". */
static bool breaks_behind(const char *text, size_t at)
{
    if (text[at] == '/') return true;
    if (text[at] != '-' || at == 0 || !isalnum((unsigned char)text[at - 1])) return false;
    return at < 2 || text[at - 1] != 'e' || !isdigit((unsigned char)text[at - 2]) || !isdigit((unsigned char)text[at + 1]);
}

/* Bytes of the next line: up to a line end, or as many words as fit, at least one. */
static size_t line_length(clsp_canvas *canvas, const char *text, double widest)
{
    char cleaned[TEXT_MOST];
    size_t end = strcspn(text, "\n"), best = 0;
    for (size_t at = 0; at < end;) {
        at += strspn(text + at, " ");
        while (at < end && text[at] != ' ' && !breaks_behind(text, at)) at++;
        at += at < end && text[at] != ' ';
        clean(cleaned, text, at);
        if (best > 0 && advance(canvas, cleaned) > widest + SLACK) return best;
        best = at;
    }
    return best ? best : end;
}

size_t clsp_canvas_paragraph(clsp_canvas *canvas, const clsp_font *font, double x, double y, double widest, size_t most,
                             bool measure, const char *text)
{
    char cleaned[TEXT_MOST];
    size_t lines = 0;
    use_font(canvas, font);
    while (*text && lines < most) {
        size_t length = lines + 1 == most ? strlen(text) : line_length(canvas, text, widest);
        clean(cleaned, text, length);
        cut(canvas, cleaned, widest);
        if (!measure) show(canvas, font, cleaned, x, y + (double)lines * clsp_line_height(font), false);
        lines++;
        text += length;
        text += *text == '\n';
        text += strspn(text, " ");
    }
    return lines;
}

/* ---- shapes ---------------------------------------------------------------------------------------------- */

static void use_colour(clsp_canvas *canvas, clsp_rgb colour, double opacity)
{
    cairo_set_source_rgba(canvas->cr, colour.r, colour.g, colour.b, opacity);
}

void clsp_canvas_fill(clsp_canvas *canvas, const clsp_box *box, clsp_rgb colour, double opacity)
{
    use_colour(canvas, colour, opacity);
    cairo_rectangle(canvas->cr, box->x, box->y, box->width, box->height);
    cairo_fill(canvas->cr);
}

void clsp_canvas_frame(clsp_canvas *canvas, const clsp_box *box, clsp_rgb colour, double width)
{
    use_colour(canvas, colour, 1);
    cairo_set_line_width(canvas->cr, width);
    cairo_set_dash(canvas->cr, NULL, 0, 0);
    cairo_rectangle(canvas->cr, box->x, box->y, box->width, box->height);
    cairo_stroke(canvas->cr);
}

void clsp_canvas_line(clsp_canvas *canvas, const double *x, const double *y, size_t count, clsp_rgb colour, double width,
                      double dash)
{
    bool drawing = false;
    use_colour(canvas, colour, 1);
    cairo_set_line_width(canvas->cr, width);
    cairo_set_dash(canvas->cr, &dash, dash > 0, 0);
    for (size_t i = 0; i < count; i++) {
        bool there = isfinite(x[i]) && isfinite(y[i]);
        if (there && drawing) cairo_line_to(canvas->cr, x[i], y[i]);
        if (there && !drawing) cairo_move_to(canvas->cr, x[i], y[i]);
        drawing = there;
    }
    cairo_stroke(canvas->cr);
}

void clsp_canvas_area(clsp_canvas *canvas, const double *x, const double *y, size_t count, clsp_rgb colour,
                      double opacity)
{
    use_colour(canvas, colour, opacity);
    for (size_t i = 0; i < count; i++)
        if (isfinite(x[i]) && isfinite(y[i])) cairo_line_to(canvas->cr, x[i], y[i]);
    cairo_close_path(canvas->cr);
    cairo_fill(canvas->cr);
}

void clsp_canvas_dot(clsp_canvas *canvas, double x, double y, double radius, clsp_rgb colour)
{
    if (!isfinite(x) || !isfinite(y)) return;
    use_colour(canvas, colour, 1);
    cairo_arc(canvas->cr, x, y, radius, 0, 6.283185307179586);
    cairo_fill(canvas->cr);
}

void clsp_canvas_picture(clsp_canvas *canvas, const clsp_box *box, const unsigned char *rgb, int width, int height,
                         bool smooth)
{
    cairo_surface_t *picture = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    unsigned char *to = cairo_image_surface_get_data(picture);
    canvas->starved |= to == NULL;
    size_t stride = (size_t)cairo_image_surface_get_stride(picture);
    for (int y = 0; to != NULL && y < height; y++)
        for (int x = 0; x < width; x++, rgb += 3) {
            uint32_t pixel = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            memcpy(to + (size_t)y * stride + 4 * (size_t)x, &pixel, sizeof pixel);
        }
    cairo_surface_mark_dirty(picture);
    cairo_save(canvas->cr);
    cairo_rectangle(canvas->cr, box->x, box->y, box->width, box->height);
    cairo_clip(canvas->cr);
    cairo_translate(canvas->cr, box->x, box->y);
    cairo_scale(canvas->cr, box->width / width, box->height / height);
    cairo_set_source_surface(canvas->cr, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(canvas->cr), smooth ? CAIRO_FILTER_GOOD : CAIRO_FILTER_NEAREST);
    cairo_pattern_set_extend(cairo_get_source(canvas->cr), CAIRO_EXTEND_PAD); /* no pale edges */
    cairo_paint(canvas->cr);
    cairo_restore(canvas->cr);
    cairo_surface_destroy(picture);
}

void clsp_canvas_clip(clsp_canvas *canvas, const clsp_box *box)
{
    cairo_save(canvas->cr);
    cairo_rectangle(canvas->cr, box->x, box->y, box->width, box->height);
    cairo_clip(canvas->cr);
}

void clsp_canvas_release(clsp_canvas *canvas)
{
    cairo_restore(canvas->cr);
}
