/* Maps laid over their images, as a sheet of tiles. */
#include "report/map_sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "report/output.h"

enum { TILES_MOST = 20000, HEADING = 512, NAME_MOST = 240, NOTE = 1024 };

/* The sheet and what it borrows. Rows are images x texts, or images alone where the texts are the columns. */
typedef struct clsp_maps_composition {
    const clipspan_maps *maps;
    const clipspan_maps_look *look;
    bool by_text; /* one column a text */
    size_t rows, columns, patches;
    clipspan_tile *tiles;  /* [rows, columns] */
    float *shown;          /* [images, texts, parts, patches] */
    char (*captions)[64];  /* [images, texts, parts] */
    char (*row_text)[HEADING];
    const char **row_names, **column_names;
    char note[NOTE];
} composition;

static void clear(composition *c)
{
    clsp_free(c->tiles);
    clsp_free(c->shown);
    clsp_free(c->captions);
    clsp_free(c->row_text);
    clsp_free(c->row_names);
    clsp_free(c->column_names);
}

static clipspan_status allocate(composition *c, clipspan_error *err)
{
    const clipspan_maps *maps = c->maps;
    size_t count = maps->image_count * maps->text_count * maps->part_count;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(c->tiles, clsp_alloc_zero(c->rows * c->columns, sizeof *c->tiles));
    CLSP_ALLOC(c->shown, clsp_alloc(count, c->patches * sizeof *c->shown));
    CLSP_ALLOC(c->captions, clsp_alloc_zero(count, sizeof *c->captions));
    CLSP_ALLOC(c->row_text, clsp_alloc_zero(c->rows, sizeof *c->row_text));
    CLSP_ALLOC(c->row_names, clsp_alloc_zero(c->rows, sizeof *c->row_names));
    CLSP_ALLOC(c->column_names, clsp_alloc_zero(c->columns, sizeof *c->column_names));
out:
    return status;
}

static float evidence_of(float value, clipspan_evidence evidence)
{
    if (evidence == CLIPSPAN_EVIDENCE_FOR) return value > 0 ? value : 0;
    if (evidence == CLIPSPAN_EVIDENCE_AGAINST) return value < 0 ? -value : 0;
    return value;
}

/* The patches of one map as they are drawn. */
static void show(const composition *c, const float *patches, float *out)
{
    double largest = 0;
    for (size_t n = 0; n < c->patches; n++) {
        out[n] = evidence_of(patches[n], c->look->evidence);
        largest = fmax(largest, fabs((double)out[n]));
    }
    for (size_t n = 0; c->look->each && n < c->patches; n++) out[n] = largest > 0 ? (float)((double)out[n] / largest) : 0;
}

static void put_map(const composition *c, size_t image, size_t text, size_t part, clipspan_tile *tile)
{
    const clipspan_maps *maps = c->maps;
    const clipspan_map_image *of = &maps->images[image];
    size_t within = text * maps->part_count + part;
    size_t number = image * maps->text_count * maps->part_count + within;
    float *shown = c->shown + number * c->patches;
    const clipspan_map_summary *m = &of->summaries[within];
    show(c, of->values + within * maps->places + (maps->places - c->patches), shown);
    *tile = (clipspan_tile){.rgb = of->rgb, .width = c->look->view_side, .height = c->look->view_side, .map = shown, .map_side = maps->side};
    tile->caption = c->captions[number];
    if (of->predicted != NULL && c->by_text)
        snprintf(c->captions[number], sizeof *c->captions, "%s %.3f, heads %+.3f", maps->score_name, of->scores[text], m->total);
    else if (of->predicted != NULL)
        snprintf(c->captions[number], sizeof *c->captions, "effect %+.4f", m->total);
    else
        tile->caption = NULL;
}

static void name_row(const composition *c, size_t row)
{
    const clipspan_maps *maps = c->maps;
    size_t image = c->by_text ? row : row / maps->text_count;
    const char *text = maps->texts[row % maps->text_count], *name = maps->images[image].name;
    char *to = c->row_text[row];
    if (!c->by_text && maps->image_count > 1)
        snprintf(to, HEADING, "%.*s\n%.*s", clsp_text_bytes(text, NAME_MOST), text, clsp_text_bytes(name, NAME_MOST), name);
    else
        snprintf(to, HEADING, "%.*s", clsp_text_bytes(c->by_text ? name : text, HEADING - 1), c->by_text ? name : text);
    c->row_names[row] = to;
}

static void compose(composition *c)
{
    const clipspan_maps *maps = c->maps;
    c->column_names[0] = "what the model sees";
    for (size_t column = 1; column < c->columns; column++)
        c->column_names[column] = c->by_text ? maps->texts[column - 1] : maps->parts[column - 1];
    for (size_t row = 0; row < c->rows; row++) {
        clipspan_tile *tiles = c->tiles + row * c->columns;
        size_t image = c->by_text ? row : row / maps->text_count;
        tiles[0] = (clipspan_tile){.rgb = maps->images[image].rgb, .width = c->look->view_side, .height = c->look->view_side};
        if (tiles[0].rgb == NULL) tiles[0].caption = "the picture is not there";
        for (size_t column = 1; column < c->columns; column++)
            put_map(c, image, c->by_text ? column - 1 : row % maps->text_count, c->by_text ? 0 : column - 1,
                    &tiles[column]);
        name_row(c, row);
    }
}

/* Values that are never negative need one colour only. */
static clipspan_scale scale_of(const composition *c)
{
    size_t count = c->maps->image_count * c->maps->text_count * c->maps->part_count * c->patches;
    for (size_t i = 0; i < count; i++)
        if (c->shown[i] < 0) return CLIPSPAN_SCALE_ZERO;
    return CLIPSPAN_SCALE_MOST;
}

static clipspan_status check(const clipspan_maps *maps, clipspan_error *err)
{
    size_t patches = maps->side > 0 ? (size_t)maps->side * (size_t)maps->side : 0;
    if (maps->image_count == 0 || maps->text_count == 0 || maps->part_count == 0 || patches == 0 ||
        (maps->places != patches && maps->places != patches + 1))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "there are no maps to draw");
    for (size_t i = 0; i < maps->image_count; i++)
        if (maps->images[i].values == NULL)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: its maps were not kept", maps->images[i].name);
    if (maps->image_count * maps->text_count * maps->part_count <= TILES_MOST) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a picture of %zu x %zu x %zu maps, expected at most %d in all",
                     maps->image_count, maps->text_count, maps->part_count, (int)TILES_MOST);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The 99.5th percentile of the magnitudes: a few hot patches would leave all others pale. largest: out. */
static clipspan_status find_limit(const composition *c, double *limit, double *largest, clipspan_error *err)
{
    size_t count = c->maps->image_count * c->maps->text_count * c->maps->part_count * c->patches;
    float *sizes = clsp_alloc(count, sizeof *sizes);
    if (sizes == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < count; i++) sizes[i] = isfinite(c->shown[i]) ? fabsf(c->shown[i]) : 0;
    qsort(sizes, count, sizeof *sizes, by_value);
    *largest = (double)sizes[count - 1];
    *limit = (double)sizes[(size_t)(0.995 * (double)(count - 1))];
    if (*limit <= 0) *limit = *largest;
    clsp_free(sizes);
    return CLIPSPAN_OK;
}

/* The scale, and a word about it where it does not reach the largest value. */
static clipspan_status set_scale(composition *c, clipspan_sheet *sheet, clipspan_error *err)
{
    double limit = 1, largest = 0;
    const char *note = c->maps->note ? c->maps->note : "";
    sheet->scale = scale_of(c);
    sheet->note = c->maps->note;
    sheet->limit = 1;
    if (c->look->each) return CLIPSPAN_OK;
    clipspan_status status = find_limit(c, &limit, &largest, err);
    if (status != CLIPSPAN_OK) return status;
    sheet->limit = c->look->limit > 0 ? c->look->limit : limit;
    if (largest > sheet->limit) {
        snprintf(c->note, sizeof c->note, "%.800s%sThe strongest colour stands for all beyond %.3g (the largest is %.3g).",
                 note, *note ? " " : "", sheet->limit, largest);
        sheet->note = c->note;
    }
    return CLIPSPAN_OK;
}

static clipspan_status fill(composition *c, clipspan_sheet *sheet, clipspan_error *err)
{
    const clipspan_maps *maps = c->maps;
    c->by_text = maps->part_count == 1;
    c->rows = c->by_text ? maps->image_count : maps->image_count * maps->text_count;
    c->columns = 1 + (c->by_text ? maps->text_count : maps->part_count);
    c->patches = (size_t)maps->side * (size_t)maps->side;
    clipspan_status status = allocate(c, err);
    if (status != CLIPSPAN_OK) return status;
    compose(c);
    *sheet = (clipspan_sheet){.tiles = c->tiles, .count = c->rows * c->columns, .columns = c->columns,
                              .tile_side = c->look->tile_side, .title = c->look->title, .rows = c->row_names,
                              .heads = c->column_names,
                              .unit = c->look->each ? "share of each map's largest magnitude" : maps->unit};
    if (c->by_text && maps->image_count == 1) sheet->rows = NULL;
    return set_scale(c, sheet, err);
}

clipspan_status clsp_maps_sheet_open(clsp_maps_sheet *out, const clipspan_maps *maps, const clipspan_maps_look *look,
                                     clipspan_error *err)
{
    *out = (clsp_maps_sheet){0};
    clipspan_status status = check(maps, err);
    if (status != CLIPSPAN_OK) return status;
    out->own = clsp_alloc_zero(1, sizeof *out->own);
    if (out->own == NULL) return clsp_fail_memory(err);
    out->own->maps = maps;
    out->own->look = look;
    return fill(out->own, &out->sheet, err);
}

void clsp_maps_sheet_close(clsp_maps_sheet *sheet)
{
    if (sheet->own == NULL) return;
    clear(sheet->own);
    clsp_free(sheet->own);
    *sheet = (clsp_maps_sheet){0};
}

clipspan_status clipspan_picture_maps(const clipspan_maps *maps, const clipspan_maps_look *look, const char *path,
                                      clipspan_error *err)
{
    clsp_maps_sheet maps_sheet;
    clipspan_status status = clsp_maps_sheet_open(&maps_sheet, maps, look, err);
    if (status == CLIPSPAN_OK) status = clipspan_picture_sheet(&maps_sheet.sheet, path, err);
    clsp_maps_sheet_close(&maps_sheet);
    return status;
}
