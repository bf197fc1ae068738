/* Pictures in a terminal: each way's bytes decoded again and held against the pixels that went in and the PNG's colours. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "clipspan/memory_file.h"
#include "clipspan/terminal.h"
#include "report/colours.h"

enum { SIDE = 32, CELL = 2 }; /* pixels of a tile; of a character */

/* [height, width, 4]; 255 in the last where something was drawn. */
typedef struct decoded {
    int width, height;
    unsigned char *rgba;
} decoded;

static char *text_of(const clipspan_sheet *sheet, const clipspan_terminal *terminal)
{
    clipspan_error err;
    clipspan_memory_file *file = NULL;
    assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
    clipspan_status status = clipspan_terminal_sheet(sheet, terminal, clipspan_memory_file_path(file), &err);
    if (status != CLIPSPAN_OK) fail_msg("%s", err.message);
    char *text = strdup(clipspan_memory_file_bytes(file, NULL));
    clipspan_memory_file_free(file);
    return text;
}

static unsigned base64_digit(char c)
{
    return (unsigned)(c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : 63);
}

static decoded kitty(const char *text)
{
    decoded d = {0};
    size_t length = 0, bits = 0, held = 0;
    const char *at = strstr(text, "\033_Ga=T,q=2,f=32,s=");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\033_Ga=T,q=2,f=32,s=%d,v=%d", &d.width, &d.height), 2);
    d.rgba = calloc((size_t)d.width * (size_t)d.height, 4);
    for (; at != NULL; at = strstr(at, "\033_G")) {
        int more = strncmp(strchr(at, ';') - 1, "1", 1) == 0;
        for (at = strchr(at, ';') + 1; *at != '\033'; at++) {
            if (*at == '=') continue;
            held = held << 6 | base64_digit(*at);
            bits += 6;
            if (bits < 8) continue;
            bits -= 8;
            assert_true(length < 4 * (size_t)d.width * (size_t)d.height);
            d.rgba[length++] = (unsigned char)(held >> bits & 255);
        }
        if (!more) break;
    }
    assert_int_equal(length, 4 * d.width * d.height);
    return d;
}

static decoded sixel(const char *text)
{
    static int palette[256][3];
    decoded d = {0};
    int x = 0, top = 0, colour = 0, used = 0;
    const char *at = strstr(text, "\033P0;1;0q");
    assert_non_null(at);
    assert_int_equal(sscanf(at + 8, "\"1;1;%d;%d%n", &d.width, &d.height, &used), 2);
    d.rgba = calloc((size_t)d.width * (size_t)d.height, 4);
    for (at += 8 + used; *at != '\033';) {
        int number, r, g, b, times = 1;
        used = 1;
        if (sscanf(at, "#%d;2;%d;%d;%d%n", &number, &r, &g, &b, &used) == 4) {
            palette[number][0] = (r * 255 + 50) / 100;
            palette[number][1] = (g * 255 + 50) / 100;
            palette[number][2] = (b * 255 + 50) / 100;
        } else if (sscanf(at, "#%d%n", &colour, &used) == 1 || *at == '$') {
            x = 0;
        } else if (*at == '-') {
            x = 0;
            top += 6;
        } else {
            char sign = *at;
            if (*at == '!') assert_int_equal(sscanf(at, "!%d%c%n", &times, &sign, &used), 2);
            for (; times > 0; times--, x++)
                for (int row = 0; row < 6; row++)
                    if ((sign - 63) >> row & 1) {
                        assert_true(x < d.width && top + row < d.height);
                        unsigned char *p = d.rgba + 4 * (x + (top + row) * d.width);
                        for (int c = 0; c < 3; c++) p[c] = (unsigned char)palette[colour][c];
                        p[3] = 255;
                    }
        }
        at += used;
    }
    return d;
}

/* One line a row of upper half-blocks with both colours. */
static decoded blocks(const char *text)
{
    decoded d = {SIDE, SIDE, calloc(SIDE * SIDE, 4)};
    const char *at = strstr(text, "\033[38;2;");
    for (int y = 0; y < SIDE; y += 2)
        for (int x = 0; x < SIDE; x++) {
            int upper[3], lower[3], used = 0;
            at = strstr(at, "\033[38;2;");
            assert_non_null(at);
            assert_int_equal(sscanf(at, "\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm\xE2\x96\x80\033[0m%n", &upper[0], &upper[1],
                                    &upper[2], &lower[0], &lower[1], &lower[2], &used), 6);
            assert_true(used > 0);
            at += used;
            for (int c = 0; c < 3; c++) {
                d.rgba[4 * (x + y * SIDE) + c] = (unsigned char)upper[c];
                d.rgba[4 * (x + (y + 1) * SIDE) + c] = (unsigned char)lower[c];
            }
            d.rgba[4 * (x + y * SIDE) + 3] = d.rgba[4 * (x + (y + 1) * SIDE) + 3] = 255;
        }
    return d;
}

static decoded shown(const clipspan_sheet *sheet, clipspan_graphics graphics)
{
    const clipspan_terminal terminal = {graphics, CLIPSPAN_COLOURS_TRUE, graphics == CLIPSPAN_GRAPHICS_BLOCKS ? SIDE : SIDE * 4, CELL};
    char *text = text_of(sheet, &terminal);
    decoded d = graphics == CLIPSPAN_GRAPHICS_KITTY ? kitty(text) : graphics == CLIPSPAN_GRAPHICS_SIXEL ? sixel(text) : blocks(text);
    free(text);
    return d;
}

static int farthest(const unsigned char *a, const unsigned char *b)
{
    int most = 0;
    for (int c = 0; c < 3; c++) most = abs(a[c] - b[c]) > most ? abs(a[c] - b[c]) : most;
    return most;
}

/* A picture of few colours comes back as it was: to the bit, and from sixels to their hundredths. */
static void test_pixels(void **state)
{
    (void)state;
    static unsigned char rgb[SIDE * SIDE * 3];
    for (int i = 0; i < SIDE * SIDE; i++) {
        rgb[3 * i] = (unsigned char)(i % SIDE / 4 * 36);
        rgb[3 * i + 1] = (unsigned char)(i / SIDE / 4 * 36);
        rgb[3 * i + 2] = (unsigned char)(i % 3 * 100);
    }
    const clipspan_tile tile = {.rgb = rgb, .width = SIDE, .height = SIDE};
    const clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = SIDE};
    for (int graphics = 0; graphics <= CLIPSPAN_GRAPHICS_KITTY; graphics++) {
        decoded d = shown(&sheet, (clipspan_graphics)graphics);
        int worst = 0;
        assert_int_equal(d.width, SIDE);
        assert_int_equal(d.height, SIDE);
        for (int i = 0; i < SIDE * SIDE; i++) {
            int off = farthest(d.rgba + 4 * i, rgb + 3 * i);
            assert_int_equal(d.rgba[4 * i + 3], 255);
            worst = off > worst ? off : worst;
        }
        assert_true(worst <= (graphics == CLIPSPAN_GRAPHICS_SIXEL ? 2 : 0)); /* a hundredth is 2.55 */
        free(d.rgba);
    }
}

/* More colours than a palette holds: none is far from what stands for it. */
static void test_many_colours(void **state)
{
    (void)state;
    static unsigned char rgb[SIDE * SIDE * 3];
    double mean = 0;
    int worst = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        rgb[3 * i] = (unsigned char)(i % SIDE * 8);
        rgb[3 * i + 1] = (unsigned char)(i / SIDE * 8);
        rgb[3 * i + 2] = (unsigned char)(i * 7 % 256);
    }
    const clipspan_tile tile = {.rgb = rgb, .width = SIDE, .height = SIDE};
    const clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = SIDE};
    decoded d = shown(&sheet, CLIPSPAN_GRAPHICS_SIXEL);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int off = farthest(d.rgba + 4 * i, rgb + 3 * i);
        worst = off > worst ? off : worst;
        mean += (double)off / (SIDE * SIDE);
    }
    printf("1,024 colours by 255: off by %.1f of 255 on average, %d at most\n", mean, worst);
    assert_true(mean < 20 && worst < 48); /* observed 10.7 and 38: a box of four colours in three dimensions */
    free(d.rgba);
}

/* The map's strongest colours, over white and black, are the PNG's: 0.68 of the scale's colour over the grey. */
static void test_map_colours(void **state)
{
    (void)state;
    static unsigned char rgb[SIDE * SIDE * 3];
    static const float map[4] = {0.5F, -0.5F, 2.0F, 0.0F}; /* for, against, beyond the limit; nothing */
    memset(rgb + sizeof rgb / 2, 255, sizeof rgb / 2);
    const clipspan_tile tile = {.rgb = rgb, .width = SIDE, .height = SIDE, .map = map, .map_side = 2};
    const clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = SIDE, .scale = CLIPSPAN_SCALE_ZERO, .limit = 0.5};
    for (int graphics = 0; graphics <= CLIPSPAN_GRAPHICS_KITTY; graphics++) {
        decoded d = shown(&sheet, (clipspan_graphics)graphics);
        for (int corner = 0; corner < 4; corner++) {
            clsp_rgb c = clsp_colour(CLIPSPAN_SCALE_ZERO, fmin((double)map[corner] / 0.5, 1));
            double grey = corner < 2 ? 0 : 1, parts[3] = {c.r, c.g, c.b};
            const unsigned char *p = d.rgba + 4 * (corner % 2 * (SIDE - 1) + corner / 2 * (SIDE - 1) * SIDE);
            for (int i = 0; i < 3; i++)
                assert_true(fabs((double)p[i] - 255 * (0.68 * parts[i] + 0.32 * grey)) <= (graphics == CLIPSPAN_GRAPHICS_SIXEL ? 10 : 1));
        }
        free(d.rgba);
    }
}

/* Tiles beside each other with a gap that shows the terminal; a flat picture takes fewer lines. */
static void test_layout(void **state)
{
    (void)state;
    static unsigned char rgb[SIDE * SIDE * 3];
    const clipspan_tile tiles[] = {{.rgb = rgb, .width = SIDE, .height = SIDE, .caption = "one"},
                                   {.rgb = rgb, .width = SIDE, .height = SIDE / 2, .caption = "two words of it"},
                                   {.caption = "not there"}};
    const char *const heads[] = {"first", "second"};
    const clipspan_sheet sheet = {.tiles = tiles, .count = 3, .columns = 2, .tile_side = SIDE, .heads = heads, .title = "Title"};
    const clipspan_terminal terminal = {CLIPSPAN_GRAPHICS_KITTY, CLIPSPAN_COLOURS_NONE, 40, CELL};
    char *text = text_of(&sheet, &terminal);
    decoded d = kitty(text);
    assert_int_equal(d.width, 2 * SIDE + CELL);
    assert_int_equal(d.height, SIDE);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < d.width; x++)
            assert_int_equal(d.rgba[4 * (x + y * d.width) + 3], x < SIDE || (x >= SIDE + CELL && y < SIDE / 2) ? 255 : 0);
    assert_non_null(strstr(text, "Title\nfirst            second\n\033_G"));
    assert_non_null(strstr(text, "\none              two words of it\n"));
    assert_non_null(strstr(text, "not there\n"));
    assert_null(strstr(text, "\033["));
    free(d.rgba);
    free(text);
}

#define KAN "\xE6\xBC\xA2"
#define TEN_KAN KAN KAN KAN KAN KAN KAN KAN KAN KAN KAN

/* A wide character takes two columns, a mark none; what does not fit three lines is cut, and that is shown. */
static void test_wide_characters(void **state)
{
    (void)state;
    static unsigned char rgb[SIDE * SIDE * 3];
    const clipspan_tile tiles[] = {{.rgb = rgb, .width = SIDE, .height = SIDE, .caption = TEN_KAN TEN_KAN TEN_KAN},
                                   {.rgb = rgb, .width = SIDE, .height = SIDE, .caption = "e\xCC\x81\xF0\x9F\x98\x80 |"}};
    const char *const heads[] = {KAN "a" KAN, "right"}, *const rows[] = {TEN_KAN TEN_KAN "a"}, *const odd[] = {"x\xFF\xF0\x9F\x98 \xC2\x9B|"};
    const clipspan_sheet sheet = {.tiles = tiles, .count = 2, .columns = 2, .tile_side = SIDE, .heads = heads, .rows = rows};
    const clipspan_terminal terminal = {CLIPSPAN_GRAPHICS_KITTY, CLIPSPAN_COLOURS_NONE, 40, CELL};
    char *text = text_of(&sheet, &terminal);
    assert_non_null(strstr(text, TEN_KAN KAN KAN KAN KAN KAN KAN KAN KAN KAN "..\n" KAN "a" KAN "            right\n"));
    assert_non_null(strstr(text, "\n" KAN KAN KAN KAN KAN KAN KAN KAN " e\xCC\x81\xF0\x9F\x98\x80 |\n"
                                 KAN KAN KAN KAN KAN KAN KAN KAN " \n" KAN KAN KAN KAN KAN KAN KAN ".. \n"));
    free(text);
    clipspan_sheet other = sheet;
    other.rows = odd;
    text = text_of(&other, &terminal);
    assert_true(strncmp(text, "x??  |\n", 7) == 0);
    free(text);
}

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + strlen(what), what)) count++;
    return count;
}

/* Half-blocks in lesser terminals: a palette of 256, and shades of plain text. */
static void test_lesser_blocks(void **state)
{
    (void)state;
    static unsigned char rgb[SIDE * SIDE * 3];
    for (int i = 0; i < SIDE * SIDE / 2; i++) memcpy(rgb + 3 * i, (const unsigned char[]){215, 0, 95}, 3); /* one of the palette */
    memset(rgb + sizeof rgb / 2, 255, sizeof rgb / 2);
    const clipspan_tile tile = {.rgb = rgb, .width = SIDE, .height = SIDE};
    const clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = SIDE};
    clipspan_terminal terminal = {CLIPSPAN_GRAPHICS_BLOCKS, CLIPSPAN_COLOURS_256, SIDE, 10};
    char *text = text_of(&sheet, &terminal);
    assert_int_equal(count_of(text, "\033[38;5;161m\033[48;5;161m\xE2\x96\x80"), SIDE * SIDE / 4);
    assert_int_equal(count_of(text, "\033[38;5;231m\033[48;5;231m\xE2\x96\x80"), SIDE * SIDE / 4);
    free(text);
    terminal.colours = CLIPSPAN_COLOURS_NONE;
    text = text_of(&sheet, &terminal);
    assert_int_equal(count_of(text, "\xE2\x96\x91"), SIDE * SIDE / 4); /* light shade */
    assert_int_equal(count_of(text, "\xE2\x96\x88"), SIDE * SIDE / 4); /* full block */
    assert_int_equal(count_of(text, "\033"), 0);
    free(text);
}

static void test_refused(void **state)
{
    (void)state;
    clipspan_error err;
    static unsigned char rgb[SIDE * SIDE * 3];
    const clipspan_tile tile = {.rgb = rgb, .width = SIDE, .height = SIDE}, bad = {.rgb = rgb, .width = 0, .height = SIDE};
    clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = SIDE};
    clipspan_terminal terminal = CLIPSPAN_TERMINAL_INIT;
    terminal.width = 3;
    assert_int_equal(clipspan_terminal_sheet(&sheet, &terminal, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "3 characters"));
    terminal = (clipspan_terminal)CLIPSPAN_TERMINAL_INIT;
    terminal.cell = 0;
    assert_int_equal(clipspan_terminal_sheet(&sheet, &terminal, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    terminal.cell = 10;
    sheet.tiles = &bad;
    assert_int_equal(clipspan_terminal_sheet(&sheet, &terminal, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
    const clipspan_maps none = {0};
    const clipspan_maps_look look = {0};
    assert_int_equal(clipspan_terminal_maps(&none, &look, &terminal, "-", &err), CLIPSPAN_ERROR_ARGUMENT);
}

/* Whichever allocation fails, the picture is whole or there is none. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    clipspan_error err;
    static unsigned char rgb[SIDE * SIDE * 3];
    static const float map[4] = {0.5F, -0.5F, 2.0F, 0.0F};
    const clipspan_tile tile = {.rgb = rgb, .width = SIDE, .height = SIDE, .map = map, .map_side = 2, .caption = "words"};
    const clipspan_sheet sheet = {.tiles = &tile, .count = 1, .columns = 1, .tile_side = SIDE, .title = "Title"};
    for (int graphics = 0; graphics <= CLIPSPAN_GRAPHICS_KITTY; graphics++) {
        const clipspan_terminal terminal = {(clipspan_graphics)graphics, CLIPSPAN_COLOURS_TRUE, 40, CELL};
        unsigned long n = 1;
        for (;; n++) {
            clipspan_memory_file *file = NULL;
            assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
            clsp_alloc_fail_at(n);
            clipspan_status status = clipspan_terminal_sheet(&sheet, &terminal, clipspan_memory_file_path(file), &err);
            clsp_alloc_fail_at(0);
            bool there = clipspan_memory_file_bytes(file, NULL) != NULL;
            clipspan_memory_file_free(file);
            assert_int_equal(there, status == CLIPSPAN_OK);
            if (status == CLIPSPAN_OK) break;
            assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        }
        assert_true(n > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels), cmocka_unit_test(test_many_colours), cmocka_unit_test(test_map_colours),
        cmocka_unit_test(test_layout), cmocka_unit_test(test_wide_characters), cmocka_unit_test(test_lesser_blocks),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
