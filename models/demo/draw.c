/* How a scene looks: settings pixel by pixel, objects by cairo paths. */
#include "world.h"

#include <cairo.h>
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

typedef struct {
    double r, g, b;
} colour_t;

static const colour_t paint[N_COLOURS] = {
    {0.86, 0.10, 0.12}, {0.98, 0.52, 0.05}, {0.98, 0.90, 0.12}, {0.10, 0.66, 0.20},
    {0.12, 0.28, 0.92}, {0.52, 0.14, 0.72}, {0.98, 0.52, 0.76}, {0.46, 0.27, 0.10},
    {0.06, 0.06, 0.07}, {0.98, 0.98, 0.98}};

/* ---- settings ---------------------------------------------------------- */

enum { NOISE = 16 };

/* Value noise over a table of random numbers, bilinear between them. */
typedef struct {
    double value[NOISE][NOISE];
} noise_t;

static noise_t noise_make(rng_t *rng) {
    noise_t n;
    for (int i = 0; i < NOISE; i++) {
        for (int j = 0; j < NOISE; j++) {
            n.value[i][j] = rng_between(rng, -1.0, 1.0);
        }
    }
    return n;
}

static double noise_at(const noise_t *n, double x, double y) {
    int i = (int)floor(y), j = (int)floor(x);
    double fy = y - i, fx = x - j;
    int i0 = i & (NOISE - 1), i1 = (i + 1) & (NOISE - 1);
    int j0 = j & (NOISE - 1), j1 = (j + 1) & (NOISE - 1);
    double top = n->value[i0][j0] + fx * (n->value[i0][j1] - n->value[i0][j0]);
    double low = n->value[i1][j0] + fx * (n->value[i1][j1] - n->value[i1][j0]);
    return top + fy * (low - top);
}

typedef struct {
    noise_t noise;
    rng_t *rng;
    double light, dx, dy;
} ground_t;

static colour_t shade(colour_t base, double by) {
    colour_t c = {base.r + by, base.g + by, base.b + by};
    return c;
}

static colour_t water_at(ground_t *g, double x, double y) {
    double wave = sin((y + 3.0 * noise_at(&g->noise, x / 14, y / 14)) * 0.75 + g->dy);
    colour_t base = {0.20, 0.50, 0.66};
    return shade(base, 0.10 * wave * wave * wave);
}

static colour_t grass_at(ground_t *g, double x, double y) {
    double blade = noise_at(&g->noise, x / 1.5, y / 5.0);
    colour_t c = {0.30 + 0.12 * blade, 0.52 + 0.16 * blade, 0.20 + 0.08 * blade};
    return c;
}

static colour_t sand_at(ground_t *g, double x, double y) {
    double grain = rng_between(g->rng, -0.06, 0.06);
    colour_t base = {0.84, 0.74, 0.52};
    return shade(base, grain + 0.05 * noise_at(&g->noise, x / 9, y / 5));
}

static colour_t snow_at(ground_t *g, double x, double y) {
    double drift = noise_at(&g->noise, x / 16, y / 9);
    colour_t c = {0.88 + 0.06 * drift, 0.92 + 0.04 * drift, 0.97};
    return shade(c, rng_between(g->rng, -0.02, 0.02));
}

static colour_t night_at(ground_t *g, double x, double y) {
    double haze = 0.03 * noise_at(&g->noise, x / 20, y / 20);
    colour_t base = {0.07, 0.08, 0.20};
    int star = rng_below(g->rng, 70) == 0;
    return shade(base, star ? rng_between(g->rng, 0.3, 0.9) : haze);
}

static colour_t bricks_at(ground_t *g, double x, double y) {
    double row = floor((y + g->dy) / 8.0);
    double across = x + g->dx + (fmod(row, 2.0) == 0.0 ? 0.0 : 8.0);
    int mortar = fmod(y + g->dy, 8.0) < 1.5 || fmod(across, 16.0) < 1.5;
    double tone = noise_at(&g->noise, floor(across / 16.0) * 3.3, row * 2.7);
    colour_t joint = {0.76, 0.74, 0.70};
    colour_t brick = {0.62 + 0.07 * tone, 0.32 + 0.05 * tone, 0.26 + 0.04 * tone};
    return mortar ? joint : brick;
}

static colour_t wood_at(ground_t *g, double x, double y) {
    double plank = floor((x + g->dx) / 16.0);
    double grain = sin((x + 4.0 * noise_at(&g->noise, plank * 5.1, y / 18)) * 1.6);
    int seam = fmod(x + g->dx, 16.0) < 1.2;
    double by = seam ? -0.3 : 0.05 * grain + 0.06 * noise_at(&g->noise, plank * 3.7, 0.0);
    colour_t base = {0.70, 0.52, 0.32};
    return shade(base, by);
}

static colour_t tiles_at(ground_t *g, double x, double y) {
    double column = floor((x + g->dx) / 12.0), row = floor((y + g->dy) / 12.0);
    int joint = fmod(x + g->dx, 12.0) < 1.3 || fmod(y + g->dy, 12.0) < 1.3;
    double tone = 0.06 * noise_at(&g->noise, column * 2.3, row * 2.3);
    colour_t base = {0.60, 0.64, 0.66};
    return shade(base, joint ? -0.25 : tone);
}

static uint8_t byte_of(double v) {
    double scaled = v * 255.0 + 0.5;
    return (uint8_t)(scaled < 0.0 ? 0.0 : scaled > 255.0 ? 255.0 : scaled);
}

static void draw_setting(rng_t *rng, unsigned setting, uint8_t *pixels, int stride) {
    static colour_t (*const at[N_SETTINGS])(ground_t *, double, double) = {
        water_at, grass_at, sand_at, snow_at, night_at, bricks_at, wood_at, tiles_at};
    ground_t g = {noise_make(rng), rng, 0.0, 0.0, 0.0};
    g.light = rng_between(rng, -0.05, 0.05);
    g.dx = rng_between(rng, 0.0, 16.0);
    g.dy = rng_between(rng, 0.0, 16.0);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            colour_t c = shade(at[setting](&g, x, y), g.light);
            uint32_t word = (uint32_t)byte_of(c.r) << 16 | (uint32_t)byte_of(c.g) << 8 |
                            byte_of(c.b);
            memcpy(pixels + y * stride + 4 * x, &word, sizeof word);
        }
    }
}

/* ---- outlines, all within the square from -1 to 1 ----------------------- */

static void circle(cairo_t *c, double x, double y, double r) {
    cairo_new_sub_path(c);
    cairo_arc(c, x, y, r, 0.0, 2.0 * PI);
    cairo_close_path(c);
}

static void polygon(cairo_t *c, const double (*point)[2], int n) {
    cairo_move_to(c, point[0][0], point[0][1]);
    for (int i = 1; i < n; i++) {
        cairo_line_to(c, point[i][0], point[i][1]);
    }
    cairo_close_path(c);
}

static void star(cairo_t *c) {
    double point[10][2];
    for (int i = 0; i < 10; i++) {
        double r = i % 2 == 0 ? 1.08 : 0.45, a = -PI / 2 + i * PI / 5;
        point[i][0] = r * cos(a);
        point[i][1] = r * sin(a);
    }
    polygon(c, (const double(*)[2])point, 10);
}

static void heart(cairo_t *c) {
    cairo_move_to(c, 0.0, 1.0);
    cairo_curve_to(c, -0.5, 0.55, -1.05, 0.2, -1.0, -0.4);
    cairo_curve_to(c, -0.95, -1.1, -0.15, -1.1, 0.0, -0.5);
    cairo_curve_to(c, 0.15, -1.1, 0.95, -1.1, 1.0, -0.4);
    cairo_curve_to(c, 1.05, 0.2, 0.5, 0.55, 0.0, 1.0);
    cairo_close_path(c);
}

static void moon(cairo_t *c) {
    cairo_new_sub_path(c);
    cairo_arc(c, 0.1, 0.0, 1.0, 0.30 * PI, 1.70 * PI);
    cairo_arc_negative(c, 0.56, 0.0, 0.82, 1.58 * PI, 0.42 * PI);
    cairo_close_path(c);
}

static void shape_path(cairo_t *c, unsigned kind) {
    static const double square[4][2] = {{-.88, -.88}, {.88, -.88}, {.88, .88}, {-.88, .88}};
    static const double triangle[3][2] = {{0.0, -1.0}, {1.05, .85}, {-1.05, .85}};
    static const double cross[12][2] = {{-.34, -1.}, {.34, -1.}, {.34, -.34}, {1., -.34},
                                        {1., .34},   {.34, .34}, {.34, 1.},   {-.34, 1.},
                                        {-.34, .34}, {-1., .34}, {-1., -.34}, {-.34, -.34}};
    switch (kind) {
    case 0: circle(c, 0.0, 0.0, 0.98); break;
    case 1: polygon(c, square, 4); break;
    case 2: polygon(c, triangle, 3); break;
    case 3: star(c); break;
    case 4: heart(c); break;
    case 5: polygon(c, cross, 12); break;
    case 6: circle(c, 0.0, 0.0, 1.0), circle(c, 0.0, 0.0, 0.5); break;
    default: moon(c); break;
    }
}

/* Both birds are one drawing; `build` lengthens neck, beak and legs. */
static void bird_path(cairo_t *c, double build) {
    double t = build < -1.8 ? -1.8 : build > 1.8 ? 1.8 : build;
    double neck = 0.32 + 0.15 * t, beak = 0.34 + 0.18 * t, leg = 0.40 + 0.16 * t;
    double head_y = -0.16 - neck;
    const double tail[3][2] = {{-0.45, 0.0}, {-1.0, -0.2}, {-0.9, 0.25}};
    const double throat[4][2] = {{0.1, 0.0}, {0.30, head_y}, {0.55, head_y}, {0.55, 0.15}};
    const double bill[3][2] = {{0.5, head_y - 0.16}, {0.55 + beak, head_y + 0.05},
                               {0.5, head_y + 0.14}};
    const double left[4][2] = {{-0.2, 0.35}, {-0.2, 0.5 + leg}, {-0.06, 0.5 + leg}, {-0.06, 0.35}};
    const double right[4][2] = {{0.14, 0.35}, {0.14, 0.5 + leg}, {0.28, 0.5 + leg}, {0.28, 0.35}};
    cairo_save(c);
    cairo_scale(c, 0.62, 0.46);
    circle(c, 0.05, 0.35, 1.0);
    cairo_restore(c);
    circle(c, 0.42, head_y, 0.22);
    polygon(c, tail, 3);
    polygon(c, throat, 4);
    polygon(c, bill, 3);
    polygon(c, left, 4);
    polygon(c, right, 4);
}

static void object_path(cairo_t *c, const object_t *o) {
    cairo_new_path(c);
    cairo_save(c);
    cairo_translate(c, o->x, o->y);
    cairo_rotate(c, o->tilt);
    cairo_scale(c, o->kind >= N_SHAPES && o->mirrored ? -o->radius : o->radius, o->radius);
    if (o->kind >= N_SHAPES) {
        bird_path(c, o->build);
    } else {
        shape_path(c, o->kind);
    }
    cairo_restore(c);
}

/* ---- filling ------------------------------------------------------------ */

static double luminance(colour_t c) { return 0.3 * c.r + 0.6 * c.g + 0.1 * c.b; }

static void use(cairo_t *c, colour_t k) { cairo_set_source_rgb(c, k.r, k.g, k.b); }

/* Marks are grey, dark on light paint and light on dark, so that no textured
 * object passes for one of another colour. */
static colour_t mark_colour(unsigned colour) {
    double grey = colour == 9 ? 0.50 : colour == 8 ? 0.62 : luminance(paint[colour]) > 0.45 ? 0.15
                                                                                          : 0.88;
    colour_t c = {grey, grey, grey};
    return c;
}

static void draw_marks(cairo_t *c, unsigned texture, double reach) {
    double step = texture == 1 ? 7.0 : texture == 2 ? 8.0 : 6.0;
    int n = (int)ceil(reach / step) + 1;
    for (int i = -n; i <= n; i++) {
        if (texture == 1) {
            cairo_rectangle(c, -2.0 * reach, i * step, 4.0 * reach, 0.45 * step);
            continue;
        }
        for (int j = -n; j <= n; j++) {
            if (texture == 2) {
                circle(c, i * step, j * step, 2.1);
            } else if ((i + j) % 2 == 0) {
                cairo_rectangle(c, i * step, j * step, step, step);
            }
        }
    }
    cairo_fill(c);
}

static void draw_object(cairo_t *c, rng_t *rng, const object_t *o) {
    colour_t fill = shade(paint[o->colour], rng_between(rng, -0.035, 0.035));
    double edge = luminance(fill) > 0.45 ? 0.08 : 0.94;
    colour_t rim = {edge, edge, edge};
    object_path(c, o);
    cairo_set_fill_rule(c, o->kind == 6 ? CAIRO_FILL_RULE_EVEN_ODD : CAIRO_FILL_RULE_WINDING);
    if (o->kind >= N_SHAPES) { /* a rim under the parts, or it would show inside */
        use(c, rim);
        cairo_set_line_width(c, 2.4);
        cairo_stroke_preserve(c);
        use(c, fill);
        cairo_fill(c);
        return;
    }
    use(c, fill);
    cairo_fill_preserve(c);
    if (o->texture != 0) {
        cairo_save(c);
        cairo_clip_preserve(c);
        cairo_new_path(c);
        double y = o->y + rng_between(rng, -4, 4), x = o->x + rng_between(rng, -4, 4); /* in this order */
        cairo_translate(c, x, y);
        cairo_rotate(c, o->texture == 1 ? -PI / 4 + o->tilt : o->tilt);
        use(c, mark_colour(o->colour));
        draw_marks(c, o->texture, o->radius * 1.5 + 4.0);
        cairo_restore(c);
        object_path(c, o);
    }
    use(c, rim);
    cairo_set_line_width(c, 1.6);
    cairo_stroke(c);
}

static int draw_mask(const scene_t *s, uint8_t *mask) {
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, SIDE, SIDE);
    cairo_t *c = cairo_create(surface);
    int rc = cairo_status(c) == CAIRO_STATUS_SUCCESS ? 0 : -1;
    cairo_set_antialias(c, CAIRO_ANTIALIAS_NONE);
    cairo_set_operator(c, CAIRO_OPERATOR_SOURCE);
    for (unsigned i = 0; rc == 0 && i < s->count; i++) {
        object_path(c, &s->object[i]);
        cairo_set_fill_rule(c, s->object[i].kind == 6 ? CAIRO_FILL_RULE_EVEN_ODD
                                                      : CAIRO_FILL_RULE_WINDING);
        cairo_set_source_rgba(c, 0, 0, 0, (i + 1) / 255.0);
        cairo_fill(c);
    }
    cairo_surface_flush(surface);
    const uint8_t *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; rc == 0 && y < SIDE; y++) {
        memcpy(mask + y * SIDE, data + y * stride, SIDE);
    }
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    return rc;
}

static void unpack_rgb(const uint8_t *data, int stride, uint8_t *rgb) {
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            uint32_t word;
            memcpy(&word, data + y * stride + 4 * x, sizeof word);
            *rgb++ = (uint8_t)(word >> 16);
            *rgb++ = (uint8_t)(word >> 8);
            *rgb++ = (uint8_t)word;
        }
    }
}

int scene_draw(const scene_t *s, uint8_t *rgb, uint8_t *mask) {
    rng_t rng = {s->paint_seed};
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, SIDE, SIDE);
    uint8_t *data = cairo_image_surface_get_data(surface);
    if (data == NULL) {
        cairo_surface_destroy(surface);
        return -1;
    }
    cairo_surface_flush(surface);
    draw_setting(&rng, s->setting, data, cairo_image_surface_get_stride(surface));
    cairo_surface_mark_dirty(surface);
    cairo_t *c = cairo_create(surface);
    for (unsigned i = 0; i < s->count; i++) {
        draw_object(c, &rng, &s->object[i]);
    }
    int rc = cairo_status(c) == CAIRO_STATUS_SUCCESS ? 0 : -1;
    cairo_surface_flush(surface);
    unpack_rgb(data, cairo_image_surface_get_stride(surface), rgb);
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    return rc == 0 ? draw_mask(s, mask) : rc;
}
