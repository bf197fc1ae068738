/* clipspan/page.h - pages for people: one HTML file that holds results, pictures and what shows them. Computes nothing.
 *
 *     clipspan_page_new(&page, "photos.store", &err);
 *     clipspan_page_side(page, store, model, &err);
 *     clipspan_page_section(page, "textspan", "clipspan textspan photos.store --texts general.txt", json, length, &err);
 *     clipspan_page_picture(page, 17, rgb, 96, 64, &err);
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
/* Sections and pictures from here on are of this store; a second side (another store, say of another model) is shown beside
 * the first. model: NULL: not at hand. Both are read now, not kept. */
CLIPSPAN_API clipspan_status clipspan_page_side(clipspan_page *page, const clipspan_store *store,
                                                const clipspan_model *model, clipspan_error *err);
/* kind: what reads it (docs/report.md). command: that makes the same. json: the bytes of one JSON value, copied; what is no
 * JSON is CLIPSPAN_ERROR_FORMAT. */
CLIPSPAN_API clipspan_status clipspan_page_section(clipspan_page *page, const char *kind, const char *command,
                                                   const char *json, size_t length, clipspan_error *err);
/* The picture of image `row`, kept as JPEG. rgb: [height, width, 3]. A row that has one already keeps it. */
CLIPSPAN_API clipspan_status clipspan_page_picture(clipspan_page *page, uint64_t row, const unsigned char *rgb, int width,
                                                   int height, clipspan_error *err);
/* What the page says of its choice of pictures, in words: "60 of 50,000 images"; NULL: nothing. Copied. */
CLIPSPAN_API clipspan_status clipspan_page_sample(clipspan_page *page, const char *words, clipspan_error *err);
/* Whole or absent. The same page twice has the same bytes. */
CLIPSPAN_API clipspan_status clipspan_page_write(const clipspan_page *page, const char *path, clipspan_error *err);

/* A file of web/ as it was when the library was built; NULL: there is none of that name. Static storage. type: its media
 * type, such as "text/css"; both may be NULL. */
CLIPSPAN_API const char *clipspan_web_file(const char *name, size_t *length, const char **type);

#ifdef __cplusplus
}
#endif

#endif
