/* Colours by their definition; pictures as files: decoded, their pixels looked at, bad ones refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "clipspan/picture.h"
#include "image/picture.h"
#include "report/colours.h"
#include "scratch.h"

/* ---- colours ------------------------------------------------------------------------------------------------- */

static double distance(clsp_oklab a, clsp_oklab b)
{
    return sqrt((a.l - b.l) * (a.l - b.l) + (a.a - b.a) * (a.a - b.a) + (a.b - b.b) * (a.b - b.b));
}

/* OKLab of an sRGB colour, by its published matrices in the direction that the program does not use. */
static clsp_oklab oklab_of(clsp_rgb c)
{
    double rgb[3] = {c.r, c.g, c.b}, lms[3];
    static const double M1[3][3] = {{0.4122214708, 0.5363325363, 0.0514459929},
                                    {0.2119034982, 0.6806995451, 0.1073969566},
                                    {0.0883024619, 0.2817188376, 0.6299787005}};
    static const double M2[3][3] = {{0.2104542553, 0.7936177850, -0.0040720468},
                                    {1.9779984951, -2.4285922050, 0.4505937099},
                                    {0.0259040371, 0.7827717662, -0.8086757660}};
    for (int i = 0; i < 3; i++) rgb[i] = rgb[i] <= 0.04045 ? rgb[i] / 12.92 : pow((rgb[i] + 0.055) / 1.055, 2.4);
    for (int i = 0; i < 3; i++) lms[i] = cbrt(M1[i][0] * rgb[0] + M1[i][1] * rgb[1] + M1[i][2] * rgb[2]);
    return (clsp_oklab){M2[0][0] * lms[0] + M2[0][1] * lms[1] + M2[0][2] * lms[2],
                        M2[1][0] * lms[0] + M2[1][1] * lms[1] + M2[1][2] * lms[2],
                        M2[2][0] * lms[0] + M2[2][1] * lms[1] + M2[2][2] * lms[2]};
}

enum { STEPS = 256 };

/* From `from` to `to` in STEPS steps: lightness falls by the same amount and the colour moves as far at each. */
static void assert_uniform(clipspan_scale scale, double from, double to)
{
    double shortest = DBL_MAX, longest = 0, fall_most = 0, fall_least = DBL_MAX;
    for (int i = 0; i < STEPS; i++) {
        double t0 = from + (to - from) * i / STEPS, t1 = from + (to - from) * (i + 1) / STEPS;
        clsp_oklab a = oklab_of(clsp_colour(scale, t0)), b = oklab_of(clsp_colour(scale, t1));
        double step = distance(a, b), fall = fabs(a.l - b.l);
        shortest = fmin(shortest, step);
        longest = fmax(longest, step);
        fall_least = fmin(fall_least, fall);
        fall_most = fmax(fall_most, fall);
        assert_true(fabs(t1) > fabs(t0) ? a.l > b.l : a.l < b.l); /* lightest at zero */
    }
    print_message("steps %.6f to %.6f, of lightness %.6f to %.6f\n", shortest, longest, fall_least, fall_most);
    assert_true(shortest > 1e-3 && longest / shortest < 1.002);    /* observed: 1.0001; the matrices have 10 digits */
    assert_true(fall_least > 1e-3 && fall_most / fall_least < 1.002);
}

static void colours_are_uniform(void **state)
{
    (void)state;
    assert_uniform(CLIPSPAN_SCALE_MOST, 0, 1);
    assert_uniform(CLIPSPAN_SCALE_ZERO, 0, 1);
    assert_uniform(CLIPSPAN_SCALE_ZERO, -1, 0);
    for (int i = -STEPS; i <= STEPS; i++) {
        double t = (double)i / STEPS;
        clsp_rgb two = clsp_colour(CLIPSPAN_SCALE_ZERO, t), one = clsp_colour(CLIPSPAN_SCALE_MOST, t);
        double least = fmin(fmin(fmin(two.r, two.g), two.b), fmin(fmin(one.r, one.g), one.b));
        double most = fmax(fmax(fmax(two.r, two.g), two.b), fmax(fmax(one.r, one.g), one.b));
        assert_true(least >= 0 && most <= 1); /* nothing is clipped */
        double lightness = oklab_of(two).l, mirrored = oklab_of(clsp_colour(CLIPSPAN_SCALE_ZERO, -t)).l;
        assert_true(fabs(lightness - mirrored) < 1e-6);
    }
    assert_true(distance(clsp_colour_oklab(CLIPSPAN_SCALE_MOST, 7), clsp_colour_oklab(CLIPSPAN_SCALE_MOST, 1)) == 0);
    assert_true(distance(clsp_colour_oklab(CLIPSPAN_SCALE_MOST, -7), clsp_colour_oklab(CLIPSPAN_SCALE_MOST, 0)) == 0);
}

/* Without red-green vision (a = 0 in OKLab, roughly) the two halves are still yellow and blue: at no magnitude above a
 * tenth are they closer than to white. */
static void halves_differ_without_red_and_green(void **state)
{
    (void)state;
    for (int i = 13; i <= 128; i++) {
        clsp_oklab up = clsp_colour_oklab(CLIPSPAN_SCALE_ZERO, i / 128.0), down = clsp_colour_oklab(CLIPSPAN_SCALE_ZERO, -i / 128.0);
        assert_true(up.b - down.b > 0.15 * i / 128.0);
    }
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static clsp_picture decoded(const char *path)
{
    clsp_picture picture = {0};
    clipspan_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(clsp_file_read(&bytes, &size, path, (size_t)1 << 28, &err), CLIPSPAN_OK);
    clsp_encoded encoded = {.bytes = (unsigned char *)bytes, .length = size, .name = path, .max_pixels = 400000000};
    if (clsp_decode(&picture, &encoded, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_free(bytes);
    return picture;
}

static size_t colours_in(const clsp_picture *picture)
{
    static unsigned char seen[1 << 15];
    size_t count = 0;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < (size_t)picture->width * (size_t)picture->height; i++) {
        const unsigned char *p = picture->data + 3 * i;
        unsigned at = (unsigned)(p[0] >> 3) << 10 | (unsigned)(p[1] >> 3) << 5 | (unsigned)(p[2] >> 3);
        count += !seen[at];
        seen[at] = 1;
    }
    return count;
}

enum { VIEW = 20, MAP = 3 };
static unsigned char grey_view[VIEW * VIEW * 3];
static float high_map[MAP * MAP], low_map[MAP * MAP], odd_map[MAP * MAP];

static clipspan_sheet sheet_of(clipspan_tile tiles[4])
{
    memset(grey_view, 100, sizeof grey_view);
    for (int i = 0; i < MAP * MAP; i++) {
        high_map[i] = 0.5F;
        low_map[i] = -0.25F;
        odd_map[i] = i % 2 ? NAN : INFINITY;
    }
    tiles[0] = (clipspan_tile){.rgb = grey_view, .width = VIEW, .height = VIEW, .caption = "the picture itself"};
    tiles[1] = (clipspan_tile){.rgb = grey_view, .width = VIEW, .height = VIEW, .map = high_map, .map_side = MAP};
    tiles[2] = (clipspan_tile){.rgb = grey_view, .width = VIEW, .height = VIEW, .map = low_map, .map_side = MAP, .framed = 1};
    tiles[3] = (clipspan_tile){.rgb = grey_view, .width = VIEW, .height = VIEW, .map = odd_map, .map_side = MAP};
    return (clipspan_sheet){.tiles = tiles, .count = 4, .columns = 2, .tile_side = 100, .unit = "units"};
}

/* Does some pixel have this colour, give or take one? */
static bool holds(const clsp_picture *picture, double r, double g, double b, size_t at_least)
{
    size_t found = 0;
    for (size_t i = 0; i < (size_t)picture->width * (size_t)picture->height; i++) {
        const unsigned char *p = picture->data + 3 * i;
        found += fabs(p[0] - r) < 1.01 && fabs(p[1] - g) < 1.01 && fabs(p[2] - b) < 1.01;
    }
    return found >= at_least;
}

static void a_map_has_its_colour(void **state)
{
    (void)state;
    clipspan_tile tiles[4];
    clipspan_error err = {0};
    clipspan_sheet sheet = sheet_of(tiles);
    const char *path = scratch("sheet.png");
    if (clipspan_picture_sheet(&sheet, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_picture picture = decoded(path);
    assert_int_equal(picture.mode, CLSP_MODE_RGB);
    clsp_rgb high = clsp_colour(CLIPSPAN_SCALE_ZERO, 1), low = clsp_colour(CLIPSPAN_SCALE_ZERO, -0.5);
    double grey = 100 * (1 - 0.68); /* the opacity of an overlay */
    assert_true(holds(&picture, 100, 100, 100, 9000));
    assert_true(holds(&picture, 255 * 0.68 * high.r + grey, 255 * 0.68 * high.g + grey, 255 * 0.68 * high.b + grey, 9000));
    assert_true(holds(&picture, 255 * 0.68 * low.r + grey, 255 * 0.68 * low.g + grey, 255 * 0.68 * low.b + grey, 8000));
    assert_true(colours_in(&picture) > 60); /* the legend */
    clsp_picture_free(&picture);
    remove(path);
}

static void odd_texts_and_places(void **state)
{
    (void)state;
    clipspan_tile tiles[4];
    clipspan_error err = {0};
    char longest[20000];
    memset(longest, 'w', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 9; i < sizeof longest - 1; i += 10) longest[i] = ' ';
    clipspan_sheet sheet = sheet_of(tiles);
    const char *rows[2] = {"\xff\xfe not UTF-8 \xe2\x82", NULL}, *heads[2] = {longest, "\xe6\xbc\xa2\xe5\xad\x97 \t\n\x01"};
    sheet.title = longest;
    sheet.note = longest;
    sheet.rows = rows;
    sheet.heads = heads;
    tiles[0] = (clipspan_tile){.caption = longest};
    tiles[1].caption = "\xed\xa0\x80\n\n\n\n\n";
    const char *path = scratch("odd.png");
    if (clipspan_picture_sheet(&sheet, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_picture picture = decoded(path);
    assert_true(picture.width < 700 && picture.height < 1200 && colours_in(&picture) > 60);
    clsp_picture_free(&picture);
    remove(path);
}

static int height_with(const char *caption)
{
    clipspan_error err = {0};
    const clipspan_tile tile = {.rgb = (const unsigned char *)"rgb", .width = 1, .height = 1, .caption = caption};
    const clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = 16};
    const char *path = scratch("caption.png");
    if (clipspan_picture_sheet(&sheet, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_picture picture = decoded(path);
    int height = (int)picture.height;
    clsp_picture_free(&picture);
    remove(path);
    return height;
}

/* Captions are broken at spaces and behind hyphens, never between a sign and its number. */
static void numbers_keep_their_sign(void **state)
{
    (void)state;
    int one = height_with("x"), two = height_with("long long");
    assert_true(two > one);
    assert_int_equal(height_with("long-long"), two);
    assert_int_equal(height_with("folder/name"), two);
    assert_int_equal(height_with("-0.0025"), one);
    assert_int_equal(height_with("1e-05"), one);
    assert_int_equal(height_with("effect -0.0025"), two);
}

static void plots_and_grids(void **state)
{
    (void)state;
    clipspan_error err = {0};
    double x[5] = {0, 1, 2, 3, 4}, y[5] = {0.5, NAN, 0.7, INFINITY, 0.1}, flat[1] = {3}, low[5] = {0.4, 0, 0.6, 0.5, 0},
           high[5] = {0.6, 1, 0.8, 0.9, 0.2}, none[2] = {NAN, NAN}, values[6] = {1, -2, NAN, 0, 3, INFINITY};
    clipspan_line lines[3] = {{"line", x, y, low, high, 5}, {NULL, flat, flat, NULL, NULL, 1}, {"none", x, none, NULL, NULL, 2}};
    clipspan_plot plot = {.title = "a plot", .x_name = "x", .y_name = "y", .lines = lines, .count = 3};
    clipspan_grid grid = {.title = "a grid", .unit = "units", .values = values, .rows = 2, .columns = 3, .row_prefix = "L",
                          .column_prefix = "H"};
    const char *path = scratch("plot.png");
    for (int turn = 0; turn < 3; turn++) {
        plot.lines = lines + turn; /* also a lone point, and nothing at all */
        plot.count = (size_t)(3 - turn);
        if (clipspan_picture_plot(&plot, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
        clsp_picture picture = decoded(path);
        assert_true(picture.width > 1000 && picture.height > 600 && colours_in(&picture) > 4);
        clsp_picture_free(&picture);
    }
    if (clipspan_picture_grid(&grid, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_picture picture = decoded(path);
    clsp_rgb most = clsp_colour(CLIPSPAN_SCALE_ZERO, 1), least = clsp_colour(CLIPSPAN_SCALE_ZERO, -2.0 / 3);
    assert_true(holds(&picture, 255 * most.r, 255 * most.g, 255 * most.b, 800));
    assert_true(holds(&picture, 255 * least.r, 255 * least.g, 255 * least.b, 800));
    clsp_picture_free(&picture);
    remove(path);
}

static void masks_keep_their_indices(void **state)
{
    (void)state;
    clipspan_error err = {0};
    unsigned char mask[16 * 16];
    for (int i = 0; i < 256; i++) mask[i] = (unsigned char)i;
    const char *path = scratch("mask.png");
    if (clipspan_picture_mask(mask, 16, 16, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    clsp_picture picture = decoded(path);
    assert_int_equal(picture.mode, CLSP_MODE_P);
    assert_memory_equal(picture.data, mask, sizeof mask);
    /* colours that Pascal VOC's own masks have: background, aeroplane, bicycle, person, tv monitor, void */
    static const unsigned char known[][4] = {{0, 0, 0, 0},       {1, 128, 0, 0},    {2, 0, 128, 0},
                                             {15, 192, 128, 128}, {20, 0, 64, 128}, {255, 224, 224, 192}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_memory_equal(picture.palette[known[i][0]], known[i] + 1, 3);
    clsp_picture_free(&picture);
    remove(path);
}

static void refuses(void **state)
{
    (void)state;
    clipspan_tile tiles[4];
    clipspan_error err = {0};
    clipspan_sheet sheet = sheet_of(tiles);
    assert_int_equal(clipspan_picture_sheet(&sheet, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "a picture goes to a file");
    assert_int_equal(clipspan_picture_sheet(&sheet, "/no/such/folder/a.png", &err), CLIPSPAN_ERROR_IO);
    sheet.tile_side = 8;
    assert_int_equal(clipspan_picture_sheet(&sheet, scratch("x.png"), &err), CLIPSPAN_ERROR_ARGUMENT);
    sheet.tile_side = 4096;
    sheet.count = 4;
    sheet.columns = 1; /* 4 x 4096 and some more: too large in all only beyond 400 million pixels */
    sheet.tile_side = 100;
    sheet.count = 0;
    assert_int_equal(clipspan_picture_sheet(&sheet, scratch("x.png"), &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_tile *many = calloc(1000, sizeof *many);
    clipspan_sheet tall = {.tiles = many, .count = 1000, .columns = 1, .tile_side = 100};
    assert_int_equal(clipspan_picture_sheet(&tall, scratch("x.png"), &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "expected at most 32767 a side");
    free(many);
    clipspan_plot plot = {0};
    assert_int_equal(clipspan_picture_plot(&plot, scratch("x.png"), &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_grid grid = {0};
    assert_int_equal(clipspan_picture_grid(&grid, scratch("x.png"), &err), CLIPSPAN_ERROR_ARGUMENT);
    unsigned char mask = 0;
    assert_int_equal(clipspan_picture_mask(&mask, 0, 1, scratch("x.png"), &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_picture_mask(&mask, 1, 1, "/no/such/folder/a.png", &err), CLIPSPAN_ERROR_IO);
    assert_nothing_left(scratch("x.png"));
}

static char *draw_plot(const char *path, size_t *size)
{
    double values[2] = {1, 2};
    clipspan_line line = {"a line \xCE\xB1", values, values, values, values, 2};
    clipspan_plot plot = {.title = "Title", .lines = &line, .count = 1};
    char *bytes = NULL;
    assert_int_equal(clipspan_picture_plot(&plot, path, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_file_read(&bytes, size, path, SIZE_MAX, NULL), CLIPSPAN_OK);
    return bytes;
}

static bool says(const char *bytes, size_t size, const char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at + length <= size; at++)
        if (memcmp(bytes + at, text, length) == 0) return true;
    return false;
}

static void draws_vectors(void **state)
{
    (void)state;
    size_t size, again;
    char *pdf = draw_plot(scratch("plot.pdf"), &size), *second = draw_plot(scratch("plot.pdf"), &again);
    assert_memory_equal(pdf, "%PDF-", 5);
    assert_memory_equal(pdf + size - 6, "%%EOF\n", 6);
    assert_true(says(pdf, size, "/FontFile") || says(pdf, size, "/Type0")); /* its letters are inside */
    assert_true(says(pdf, size, "/Subtype /Type") && !says(pdf, size, "CreationDate"));
    assert_int_equal(size, again);
    assert_memory_equal(pdf, second, size);
    clsp_free(pdf);
    clsp_free(second);
    char *svg = draw_plot(scratch("plot.svg"), &size);
    assert_true(says(svg, size, "<svg ") && says(svg, size, "</svg>\n"));
    assert_true(says(svg, size, "<symbol") || says(svg, size, "<use")); /* letters as outlines: no font is asked for */
    assert_false(says(svg, size, "font-family") || says(svg, size, "<image"));
    clsp_free(svg);
    remove(scratch("plot.pdf"));
    remove(scratch("plot.svg"));
}

static clipspan_status draw_everything(void)
{
    static clipspan_tile tiles[4];
    double values[2] = {1, 2};
    unsigned char mask[4] = {0, 1, 2, 3};
    clipspan_sheet sheet = sheet_of(tiles);
    clipspan_line line = {"line", values, values, values, values, 2};
    clipspan_plot plot = {.lines = &line, .count = 1};
    clipspan_grid grid = {.values = values, .rows = 1, .columns = 2};
    const char *path = scratch("walk.png");
    clipspan_status status = clipspan_picture_sheet(&sheet, path, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_picture_plot(&plot, scratch("walk.pdf"), NULL);
    if (status == CLIPSPAN_OK) status = clipspan_picture_plot(&plot, scratch("walk.svg"), NULL);
    if (status == CLIPSPAN_OK) status = clipspan_picture_plot(&plot, path, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_picture_grid(&grid, path, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_picture_mask(mask, 2, 2, path, NULL);
    remove(path);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    walk_failed_allocations(draw_everything);
    assert_nothing_left(scratch("walk.png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_are_uniform),      cmocka_unit_test(halves_differ_without_red_and_green),
        cmocka_unit_test(a_map_has_its_colour),     cmocka_unit_test(odd_texts_and_places),
        cmocka_unit_test(plots_and_grids),          cmocka_unit_test(masks_keep_their_indices),
        cmocka_unit_test(refuses),                  cmocka_unit_test(draws_vectors),
        cmocka_unit_test(every_allocation_may_fail), cmocka_unit_test(numbers_keep_their_sign),
    };
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
