/* clipspan/page.h - pages for people: one HTML file that holds results, pictures and what shows them. Computes nothing.
 *
 *     clipspan_page_new(&page, "photos.store", &err);
 *     clipspan_page_side(page, store, model, &err);
 *     clipspan_page_section(page, "textspan", "clipspan textspan photos.store --texts general.txt", json, length, &err);
 *     clipspan_page_picture(page, 17, "beach.jpg", rgb, 96, 64, &err);
 *     clipspan_page_write(page, "report.html", &err);
 *     clipspan_page_free(page);
 *
 * The page is web/report.html with its style sheets, scripts and data put inside: nothing is loaded from elsewhere when it is
 * opened. docs/report.md says what the data are.
 */
#ifndef CLIPSPAN_PAGE_H
#define CLIPSPAN_PAGE_H

#include "clipspan/report.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_page clipspan_page;
CLIPSPAN_API clipspan_status clipspan_page_new(clipspan_page **out, const char *title, clipspan_error *err);
CLIPSPAN_API void clipspan_page_free(clipspan_page *page); /* NULL is fine */
/* From here on a path in `folder` (whole, without a / at its end) is said as one in `name`, such as "~"; in "." it is
 * relative. So of what reports, reasons and names of pictures say; a command is taken as it is given. A page that is sent
 * away then does not tell where its maker keeps things. Of several folders the deepest counts; at most 8. */
CLIPSPAN_API clipspan_status clipspan_page_shorten(clipspan_page *page, const char *folder, const char *name,
                                                   clipspan_error *err);
/* Sections and pictures from here on are of this store; a second side (another store, say of another model) is shown beside
 * the first. model: NULL: not at hand. Both are read now, not kept. */
CLIPSPAN_API clipspan_status clipspan_page_side(clipspan_page *page, const clipspan_store *store,
                                                const clipspan_model *model, clipspan_error *err);
/* kind: what reads it (docs/report.md). command: that makes the same. json: the bytes of one JSON value, copied; what is no
 * JSON is CLIPSPAN_ERROR_FORMAT. */
CLIPSPAN_API clipspan_status clipspan_page_section(clipspan_page *page, const char *kind, const char *command,
                                                   const char *json, size_t length, clipspan_error *err);
/* Rows of the store that the section last added names (values of the key "row"), each once, those that stand first in their
 * lists first: whose pictures are worth having. Borrowed until the next section. */
CLIPSPAN_API const uint64_t *clipspan_page_rows(const clipspan_page *page, size_t *count);
/* What could not be shown of this side: a section's kind, and why, in words. */
CLIPSPAN_API clipspan_status clipspan_page_absent(clipspan_page *page, const char *kind, const char *why,
                                                  clipspan_error *err);
/* The picture of image `row`, kept as JPEG. rgb: [height, width, 3]. A row that has one already keeps it. */
CLIPSPAN_API clipspan_status clipspan_page_picture(clipspan_page *page, uint64_t row, const char *name,
                                                   const unsigned char *rgb, int width, int height, clipspan_error *err);
/* What the page says of its choice of pictures, in words: "60 of 50,000 images"; NULL: nothing. Copied. */
CLIPSPAN_API clipspan_status clipspan_page_sample(clipspan_page *page, const char *words, clipspan_error *err);
/* Bytes that were added so far: but for the page's own text, and some hundred bytes, what it will have. */
CLIPSPAN_API size_t clipspan_page_size(const clipspan_page *page);
/* Whole or absent. The same page twice has the same bytes. */
CLIPSPAN_API clipspan_status clipspan_page_write(const clipspan_page *page, const char *path, clipspan_error *err);

/* ---- sections that no other report writes, as JSON (docs/report.md); all borrowed ------------------------------- */

/* Where a head sees a text in an image. */
typedef struct clipspan_head_map {
    int layer, head;
    const char *text, *command; /* command: that prints the same map */
    uint64_t row;
    double effect;       /* sum over all places */
    const float *values; /* [side * side] patches */
} clipspan_head_map;
CLIPSPAN_API clipspan_status clipspan_report_head_maps(const clipspan_head_map *maps, size_t count, int side,
                                                       clipspan_convention convention, const char *path,
                                                       clipspan_error *err);

/* An image of a segmentation, on the model's square of S pixels. */
typedef struct clipspan_segment_example {
    const char *name;
    const unsigned char *rgb;   /* [S, S, 3] */
    const unsigned char *truth; /* [S, S]: 0, 1, and CLIPSPAN_MASK_UNSCORED, which is shown as 0 */
    const unsigned char *masks; /* [methods, S, S] of 0 and 1 */
    const double *iou;          /* [methods] of the object; NaN: neither has a pixel of it */
} clipspan_segment_example;
CLIPSPAN_API clipspan_status clipspan_report_segment_examples(const clipspan_segment_example *examples, size_t count,
                                                              const char *const *methods, size_t method_count, int side,
                                                              const char *path, clipspan_error *err);

/* A file of web/ as it was when the library was built; NULL: there is none of that name. Static storage. type: its media
 * type, such as "text/css"; both may be NULL. */
CLIPSPAN_API const char *clipspan_web_file(const char *name, size_t *length, const char **type);

#ifdef __cplusplus
}
#endif

#endif
