/* report/page.h - what a page gathers until it is written. */
#ifndef CLSP_REPORT_PAGE_H
#define CLSP_REPORT_PAGE_H

#ifndef CLSP_ROOM_REPORT
#error "report/page.h is private to the room report"
#endif

#include "base/base.h"
#include "clipspan/page.h"

enum { CLSP_PAGE_SIDES = 2, CLSP_PAGE_FOLDERS = 8 };

typedef struct clsp_page_folder {
    char *path, *escaped, *name; /* escaped: as in a JSON string */
} clsp_page_folder;

typedef struct clsp_page_section {
    char *kind, *command, *json; /* json: on one line */
} clsp_page_section;
typedef struct clsp_page_absent {
    char *kind, *why;
} clsp_page_absent;
typedef struct clsp_page_picture {
    uint64_t row;
    char *name, *url;
    int width, height;
} clsp_page_picture;
typedef struct clsp_page_side {
    char *store, *model, *sample; /* JSON; JSON or NULL; words or NULL */
    clsp_page_section *sections;
    clsp_page_absent *absent;
    clsp_page_picture *pictures; /* by row */
    size_t section_count, absent_count, picture_count;
} clsp_page_side;

struct clipspan_page {
    char *title;
    clsp_page_side sides[CLSP_PAGE_SIDES];
    size_t side_count, size;
    uint64_t *rows; /* [row_count] of the last section */
    size_t row_count;
    clsp_page_folder folders[CLSP_PAGE_FOLDERS]; /* said in short */
    size_t folder_count;
};

/* ---- page_short.c ------------------------------------------------------------------------------------------------- */

void clsp_page_folder_clear(clsp_page_folder *folder);
/* The text with the page's folders in short, each where a path begins; json: it is JSON. The caller's; NULL: no memory. */
char *clsp_page_short(const clipspan_page *page, const char *text, bool json);

#endif
