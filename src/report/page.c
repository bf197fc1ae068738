/* A page's data, gathered: JSON that others wrote, pictures, words. page_html.c makes the file of it. */
#include "report/page.h"

#include <stdlib.h>

#include "clipspan/memory_file.h"
#include "report/data_url.h"
#include "report/tree.h"

/* ---- growing -------------------------------------------------------------------------------------------------- */

/* Room for one more; false: no memory, and the list is as it was. */
static bool more(void *list, size_t count, size_t size)
{
    void *old, *grown;
    if ((count & (count + 1)) != 0) return true; /* grows at 0, 1, 3, 7, ... */
    memcpy(&old, list, sizeof old);
    grown = clsp_grow(old, 2 * count + 1, size);
    if (grown != NULL) memcpy(list, &grown, sizeof grown);
    return grown != NULL;
}

static clipspan_status copy(char **out, const char *text, clipspan_error *err)
{
    *out = clsp_strdup(text);
    return *out ? CLIPSPAN_OK : clsp_fail_memory(err);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

clipspan_status clipspan_page_new(clipspan_page **out, const char *title, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_page *page = NULL;
    *out = NULL;
    CLSP_ALLOC(page, clsp_alloc_zero(1, sizeof *page));
    CLSP_TRY(copy(&page->title, title, err));
    *out = page;
    page = NULL;
out:
    clipspan_page_free(page);
    return status;
}

static void side_clear(clsp_page_side *side)
{
    for (size_t i = 0; i < side->section_count; i++) {
        clsp_free(side->sections[i].kind);
        clsp_free(side->sections[i].command);
        clsp_free(side->sections[i].json);
    }
    for (size_t i = 0; i < side->absent_count; i++) {
        clsp_free(side->absent[i].kind);
        clsp_free(side->absent[i].why);
    }
    for (size_t i = 0; i < side->picture_count; i++) {
        clsp_free(side->pictures[i].name);
        clsp_free(side->pictures[i].url);
    }
    clsp_free(side->sections);
    clsp_free(side->absent);
    clsp_free(side->pictures);
    clsp_free(side->store);
    clsp_free(side->model);
    clsp_free(side->sample);
}

void clipspan_page_free(clipspan_page *page)
{
    if (page == NULL) return;
    for (size_t i = 0; i < page->side_count; i++) side_clear(&page->sides[i]);
    for (size_t i = 0; i < page->folder_count; i++) clsp_page_folder_clear(&page->folders[i]);
    clsp_free(page->rows);
    clsp_free(page->title);
    clsp_free(page);
}

/* Words, or the JSON that `tree` is, with folders in short. */
static clipspan_status shorten(char **out, const clipspan_page *page, const char *words, clipspan_error *err)
{
    *out = clsp_page_short(page, words, false);
    return *out ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status shorten_json(char **out, const clipspan_page *page, const clsp_json *tree, clipspan_error *err)
{
    char *text = clsp_json_text(tree);
    *out = text ? clsp_page_short(page, text, true) : NULL;
    clsp_free(text);
    return *out ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status current(clsp_page_side **out, clipspan_page *page, clipspan_error *err)
{
    if (page->side_count == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a page begins with a store (clipspan_page_side)");
    *out = &page->sides[page->side_count - 1];
    return CLIPSPAN_OK;
}

/* ---- a side ----------------------------------------------------------------------------------------------------- */

/* The value that is in the file, on one line. */
static clipspan_status compact(char **out, const clipspan_page *page, clipspan_memory_file *file, clipspan_error *err)
{
    clsp_json *tree = NULL;
    size_t length = 0;
    const char *bytes = clipspan_memory_file_bytes(file, &length);
    clipspan_status status = clsp_json_parse(&tree, bytes, length, "a report", err);
    if (status == CLIPSPAN_OK) status = shorten_json(out, page, tree, err);
    clsp_json_free(tree);
    return status;
}

static clipspan_status describe(clsp_page_side *side, const clipspan_page *page, const clipspan_store *store,
                                const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_memory_file *file = NULL;
    CLSP_TRY(clipspan_memory_file_new(&file, err));
    CLSP_TRY(clipspan_report_store(store, CLIPSPAN_JSON, clipspan_memory_file_path(file), err));
    CLSP_TRY(compact(&side->store, page, file, err));
    if (model != NULL) {
        CLSP_TRY(clipspan_report_model(model, CLIPSPAN_JSON, clipspan_memory_file_path(file), err));
        CLSP_TRY(compact(&side->model, page, file, err));
    }
out:
    clipspan_memory_file_free(file);
    return status;
}

clipspan_status clipspan_page_side(clipspan_page *page, const clipspan_store *store, const clipspan_model *model,
                                   clipspan_error *err)
{
    if (page->side_count == CLSP_PAGE_SIDES)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a page shows %d stores beside each other, no more",
                         (int)CLSP_PAGE_SIDES);
    clsp_page_side side = {0};
    clipspan_status status = describe(&side, page, store, model, err);
    if (status != CLIPSPAN_OK) {
        side_clear(&side);
        return status;
    }
    page->size += strlen(side.store) + (side.model ? strlen(side.model) : 0);
    page->row_count = 0;
    page->sides[page->side_count++] = side;
    return CLIPSPAN_OK;
}

/* ---- rows that a section names ------------------------------------------------------------------------------- */

typedef struct named_row {
    uint64_t row;
    size_t rank, turn; /* its place in the list that names it; in the whole section */
} named_row;
typedef struct naming {
    named_row *rows;
    size_t count;
    bool failed;
} naming;

static void name_row(naming *to, const clsp_json *node, size_t rank)
{
    int64_t row;
    if (!clsp_json_int(clsp_json_get(node, "row"), &row) || row < 0) return;
    if (to->failed || !more(&to->rows, to->count, sizeof *to->rows)) {
        to->failed = true;
        return;
    }
    to->rows[to->count] = (named_row){(uint64_t)row, rank, to->count};
    to->count++;
}

/* Recursion is as deep as the value is nested, which the parser bounds. */
static void find_rows(naming *to, const clsp_json *node, size_t rank)
{
    if (clsp_json_is_array(node)) {
        for (size_t i = 0; i < clsp_json_length(node); i++) find_rows(to, clsp_json_at(node, i), i);
        return;
    }
    if (!clsp_json_is_object(node)) return;
    name_row(to, node, rank);
    for (void *m = clsp_json_first(node); m != NULL; m = clsp_json_next(node, m)) find_rows(to, clsp_json_value(m), rank);
}

static int by_rank(const void *a, const void *b)
{
    const named_row *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return x->turn < y->turn ? -1 : x->turn > y->turn;
}

static int by_row(const void *a, const void *b)
{
    const named_row *x = a, *y = b;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    return by_rank(a, b);
}

static clipspan_status keep_rows(clipspan_page *page, const clsp_json *tree, clipspan_error *err)
{
    naming found = {0};
    size_t kept = 0;
    find_rows(&found, tree, 0);
    uint64_t *rows = found.failed ? NULL : clsp_alloc(found.count, sizeof *rows);
    if (rows == NULL) return clsp_free(found.rows), clsp_fail_memory(err);
    if (found.count > 0) qsort(found.rows, found.count, sizeof *found.rows, by_row);
    for (size_t i = 0; i < found.count; i++)
        if (i == 0 || found.rows[i].row != found.rows[i - 1].row) found.rows[kept++] = found.rows[i];
    if (kept > 0) qsort(found.rows, kept, sizeof *found.rows, by_rank);
    for (size_t i = 0; i < kept; i++) rows[i] = found.rows[i].row;
    clsp_free(found.rows);
    clsp_free(page->rows);
    page->rows = rows;
    page->row_count = kept;
    return CLIPSPAN_OK;
}

const uint64_t *clipspan_page_rows(const clipspan_page *page, size_t *count)
{
    *count = page->row_count;
    return page->rows;
}

/* ---- sections --------------------------------------------------------------------------------------------------- */

static clipspan_status add_section(clipspan_page *page, clsp_page_side *side, const char *kind, const char *command,
                                   const clsp_json *tree, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_page_section section = {0};
    CLSP_TRY(copy(&section.kind, kind, err));
    CLSP_TRY(copy(&section.command, command, err));
    CLSP_TRY(shorten_json(&section.json, page, tree, err));
    if (!more(&side->sections, side->section_count, sizeof *side->sections)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_TRY(keep_rows(page, tree, err));
    page->size += strlen(kind) + strlen(command) + strlen(section.json);
    side->sections[side->section_count++] = section;
    section = (clsp_page_section){0};
out:
    clsp_free(section.kind);
    clsp_free(section.command);
    clsp_free(section.json);
    return status;
}

clipspan_status clipspan_page_section(clipspan_page *page, const char *kind, const char *command, const char *json,
                                      size_t length, clipspan_error *err)
{
    clsp_page_side *side = NULL;
    clsp_json *tree = NULL;
    clipspan_status status = current(&side, page, err);
    if (status == CLIPSPAN_OK) status = clsp_json_parse(&tree, json, length, kind, err);
    if (status == CLIPSPAN_OK) status = add_section(page, side, kind, command, tree, err);
    clsp_json_free(tree);
    return status;
}

clipspan_status clipspan_page_absent(clipspan_page *page, const char *kind, const char *why, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_page_side *side = NULL;
    clsp_page_absent absent = {0};
    CLSP_TRY(current(&side, page, err));
    CLSP_TRY(copy(&absent.kind, kind, err));
    CLSP_TRY(shorten(&absent.why, page, why, err));
    if (!more(&side->absent, side->absent_count, sizeof *side->absent)) CLSP_TRY(clsp_fail_memory(err));
    page->size += strlen(kind) + strlen(absent.why);
    side->absent[side->absent_count++] = absent;
    absent = (clsp_page_absent){0};
out:
    clsp_free(absent.kind);
    clsp_free(absent.why);
    return status;
}

clipspan_status clipspan_page_sample(clipspan_page *page, const char *words, clipspan_error *err)
{
    clsp_page_side *side = NULL;
    char *copied = NULL;
    clipspan_status status = current(&side, page, err);
    if (status == CLIPSPAN_OK && words != NULL) status = copy(&copied, words, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_free(side->sample);
    side->sample = copied;
    return CLIPSPAN_OK;
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* Where the row's picture is, or belongs: pictures stand in the order of their rows. */
static size_t place_of(const clsp_page_side *side, uint64_t row)
{
    size_t low = 0, high = side->picture_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (side->pictures[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

clipspan_status clipspan_page_picture(clipspan_page *page, uint64_t row, const char *name, const unsigned char *rgb, int width,
                                      int height, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_page_side *side = NULL;
    clsp_page_picture picture = {.row = row, .width = width, .height = height};
    CLSP_TRY(current(&side, page, err));
    size_t at = place_of(side, row);
    if (at < side->picture_count && side->pictures[at].row == row) return CLIPSPAN_OK;
    CLSP_TRY(shorten(&picture.name, page, name, err));
    CLSP_TRY(clsp_jpeg_url(&picture.url, rgb, width, height, err));
    if (!more(&side->pictures, side->picture_count, sizeof *side->pictures)) CLSP_TRY(clsp_fail_memory(err));
    memmove(side->pictures + at + 1, side->pictures + at, (side->picture_count - at) * sizeof *side->pictures);
    side->pictures[at] = picture;
    side->picture_count++;
    page->size += strlen(picture.name) + strlen(picture.url) + 60; /* its keys and numbers */
    picture = (clsp_page_picture){0};
out:
    clsp_free(picture.name);
    clsp_free(picture.url);
    return status;
}

size_t clipspan_page_size(const clipspan_page *page)
{
    return page->size;
}
