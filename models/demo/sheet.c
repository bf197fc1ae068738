/* sheet.c - the picture of the demo: for every known attribute the head that tells it best, what TextSpan says of
 * that head, and the images that rank highest along each text. Shares of variance are compared with chance taken out
 * (clipspan_attributes_excess), so that an attribute of many values has no start.
 *
 *     demo-sheet MODEL STORE POOL IMAGE_FOLDER OUT.png ATTRIBUTE ...
 *
 * A client of include/clipspan alone; drawn with cairo. */
#include <cairo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/analysis.h"

enum { TEXTS = 3, PICTURES = 5, THUMB = 58, GAP = 4, LEFT = 250, COLUMN = PICTURES * (THUMB + GAP) + 16,
       ROW = THUMB + 44, TOP = 64, WIDTH = LEFT + TEXTS * COLUMN, MOST_ATTRIBUTES = 16 };

typedef struct sheet {
    clipspan_model *model;
    clipspan_store *store;
    clipspan_engine *engine;
    clipspan_texts *pool;
    clipspan_moments *moments;
    clipspan_attributes *attributes;
    clipspan_textspan *spans;
    float *embeddings; /* [T, E] */
    const char *folder;
    cairo_t *cr;
} sheet;

/* ---- what is shown ------------------------------------------------------------------------------------ */

static clipspan_status analyse(sheet *s, const char *model, const char *store, const char *pool,
                               const char *const *names, size_t count, clipspan_error *err)
{
    clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    options.size = TEXTS;
    options.top_images = PICTURES;
    clipspan_status status = clipspan_model_open(&s->model, model, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&s->store, store, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_check_model(s->store, s->model, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_open(&s->pool, pool, 1, err);
    if (status == CLIPSPAN_OK) status = clipspan_engine_open(&s->engine, s->model, NULL, err);
    if (status != CLIPSPAN_OK) return status;
    size_t row = (size_t)clipspan_model_get_info(s->model)->embed_dim * sizeof *s->embeddings;
    s->embeddings = calloc(clipspan_texts_count(s->pool), row);
    if (s->embeddings == NULL) return CLIPSPAN_ERROR_MEMORY;
    status = clipspan_engine_embed_pool(s->engine, s->pool, 0, s->embeddings, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_moments(s->store, &s->moments, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_textspan_run(&s->spans, s->moments, s->pool, s->embeddings, &options, NULL, err);
    if (status == CLIPSPAN_OK) status = clipspan_textspan_rank_images(s->spans, s->store, NULL, err);
    clipspan_attributes_options scored = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    scored.columns = names;
    scored.column_count = count;
    if (status == CLIPSPAN_OK) status = clipspan_attributes_run(&s->attributes, s->store, &scored, NULL, err);
    return status;
}

/* The head of the largest excess, among those for which the attribute comes first or among all; its index in the
 * TextSpan result. excess: out, below 0 where there is no such head. */
static size_t best_of(const sheet *s, size_t attribute, int first_alone, double *excess)
{
    size_t best = 0;
    *excess = -1;
    for (size_t i = 0; i < clipspan_textspan_head_count(s->spans); i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(s->spans, i);
        double of_head = clipspan_attributes_excess(s->attributes, attribute, head->layer, head->head);
        int first = clipspan_attributes_strongest(s->attributes, head->layer, head->head) == attribute;
        if (of_head <= *excess || (first_alone && !first)) continue;
        *excess = of_head;
        best = i;
    }
    return best;
}

/* A head that sees the attribute before all else, if it sees much of it; else the one that sees most of it, and a
 * word about that. */
static size_t best_head(const sheet *s, size_t attribute, const char **remark)
{
    static const double much = 0.3;
    double excess;
    size_t best = best_of(s, attribute, 1, &excess);
    *remark = "";
    if (excess >= much) return best;
    best = best_of(s, attribute, 0, &excess);
    *remark = excess >= much ? "no head has it first" : "no head specialises in it";
    return best;
}

/* ---- drawing ------------------------------------------------------------------------------------------ */

static void write_at(cairo_t *cr, double x, double y, double size, int bold, const char *text)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
    cairo_move_to(cr, x, y);
    cairo_show_text(cr, text);
}

static void draw_picture(sheet *s, uint64_t row, double x, double y)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", s->folder, clipspan_store_image_name(s->store, (size_t)row));
    cairo_surface_t *picture = cairo_image_surface_create_from_png(path);
    if (cairo_surface_status(picture) == CAIRO_STATUS_SUCCESS) {
        double scale = (double)THUMB / cairo_image_surface_get_width(picture);
        cairo_save(s->cr);
        cairo_translate(s->cr, x, y);
        cairo_scale(s->cr, scale, scale);
        cairo_set_source_surface(s->cr, picture, 0, 0);
        cairo_paint(s->cr);
        cairo_restore(s->cr);
    }
    cairo_surface_destroy(picture);
}

static void draw_text_column(sheet *s, size_t head_index, int t, double x, double y)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(s->spans, head_index);
    const uint64_t *rows;
    const float *values;
    char line[256];
    if (t >= head->count) return;
    snprintf(line, sizeof line, "%s  (%.0f %%)", clipspan_textspan_text_of(s->spans, head->texts[t].text),
             100 * head->texts[t].explained);
    cairo_set_source_rgb(s->cr, 0.1, 0.1, 0.12);
    write_at(s->cr, x, y - 8, 13, 0, line);
    size_t count = clipspan_textspan_images(s->spans, head_index, t, &rows, &values);
    for (size_t p = 0; p < count && p < PICTURES; p++) draw_picture(s, rows[p], x + (double)(p * (THUMB + GAP)), y);
}

static void draw_row(sheet *s, size_t attribute, double y)
{
    const char *remark;
    size_t best = best_head(s, attribute, &remark);
    const clipspan_textspan_head *head = clipspan_textspan_get(s->spans, best);
    double share = clipspan_attributes_share(s->attributes, attribute, head->layer, head->head);
    char line[128];
    cairo_set_source_rgb(s->cr, 0.1, 0.1, 0.12);
    write_at(s->cr, 16, y + 14, 17, 1, clipspan_attributes_name(s->attributes, attribute));
    snprintf(line, sizeof line, "head L%d.H%d", head->layer, head->head);
    write_at(s->cr, 16, y + 34, 13, 0, line);
    snprintf(line, sizeof line, "%.0f %% of its variance (chance %.1f %%)", 100 * share,
             100 * clipspan_attributes_chance(s->attributes, attribute));
    write_at(s->cr, 16, y + 52, 12, 0, line);
    cairo_set_source_rgb(s->cr, 0.5, 0.5, 0.52);
    write_at(s->cr, 16, y + 68, 12, 0, remark);
    for (int t = 0; t < TEXTS; t++) draw_text_column(s, best, t, LEFT + t * COLUMN, y);
}

static int draw(sheet *s, const char *path)
{
    size_t rows = clipspan_attributes_count(s->attributes);
    cairo_surface_t *page = cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, TOP + (int)rows * ROW);
    s->cr = cairo_create(page);
    cairo_set_source_rgb(s->cr, 1, 1, 1);
    cairo_paint(s->cr);
    cairo_set_source_rgb(s->cr, 0.1, 0.1, 0.12);
    write_at(s->cr, 16, 26, 16, 1, "For each attribute, the head that tells it best; the texts that TextSpan finds for the "
                                   "head (share of its variance);");
    write_at(s->cr, 16, 46, 16, 1, "and the images that rank highest along each text.");
    for (size_t a = 0; a < rows; a++) draw_row(s, a, TOP + (double)a * ROW + 22);
    int good = cairo_surface_write_to_png(page, path) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(s->cr);
    cairo_surface_destroy(page);
    return good;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 6 + MOST_ATTRIBUTES)
        return fprintf(stderr, "usage: %s MODEL STORE POOL IMAGE_FOLDER OUT.png ATTRIBUTE ...\n", argv[0]), 2;
    clipspan_error err = {CLIPSPAN_OK, "out of memory"};
    sheet s = {.folder = argv[4]};
    clipspan_status status =
        analyse(&s, argv[1], argv[2], argv[3], (const char *const *)argv + 6, (size_t)argc - 6, &err);
    int good = status == CLIPSPAN_OK;
    if (!good)
        fprintf(stderr, "%s: %s\n", argv[0], err.message);
    else if (!(good = draw(&s, argv[5])))
        fprintf(stderr, "%s: %s: cannot be written\n", argv[0], argv[5]);
    clipspan_attributes_free(s.attributes);
    clipspan_textspan_free(s.spans);
    clipspan_moments_free(s.moments);
    clipspan_texts_free(s.pool);
    clipspan_engine_free(s.engine);
    clipspan_store_free(s.store);
    clipspan_model_free(s.model);
    free(s.embeddings);
    return good ? 0 : 1;
}
