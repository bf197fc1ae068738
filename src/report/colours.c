/* The two colour maps. Each is an arc of a helix in OKLab (Ottosson 2020): lightness falls linearly while (a, b) runs
 * along a circle through the grey axis at constant speed,
 *
 *     L(t) = 0.975 - fall t,   C(t) = 2 R sin(|s| t / 2),   h(t) = h0 + s t / 2,   a = C cos h,   b = C sin h
 *
 * so that equal steps of the value are equal steps in lightness and equal steps in colour: the distance in OKLab is
 * sqrt(fall^2 + (R s)^2) for each unit of t, everywhere. The order can be told by lightness alone, in print and with any
 * kind of colour blindness; the diverging map's two halves are blue and orange, which all but the rarest kind tell apart,
 * and mirror each other in lightness and step.
 */
#include "report/colours.h"

#include <math.h>

#include "base/base.h"

typedef struct arc {
    double fall, radius, hue, sweep; /* angles in degrees */
} arc;

static const double LIGHTEST = 0.975, DEGREE = 0.017453292519943295;
static const arc MOST = {0.655, 0.078, 100, -240};   /* white, yellow, orange, red, dark purple */
static const arc FOR = {0.515, 0.11, 70, -80};       /* white, apricot, brick red */
static const arc AGAINST = {0.515, 0.11, 225, 80};   /* white, sky, blue */

static clsp_oklab on_arc(const arc *way, double t)
{
    double sweep = way->sweep * DEGREE * t, chroma = 2 * way->radius * sin(fabs(sweep) / 2);
    double hue = way->hue * DEGREE + sweep / 2;
    return (clsp_oklab){LIGHTEST - way->fall * t, chroma * cos(hue), chroma * sin(hue)};
}

clsp_oklab clsp_colour_oklab(clipspan_scale scale, double t)
{
    double size = fmin(fabs(t), 1);
    if (scale == CLIPSPAN_SCALE_MOST) return on_arc(&MOST, t > 0 ? size : 0);
    return on_arc(t < 0 ? &AGAINST : &FOR, size);
}

/* The transfer function of sRGB (IEC 61966-2-1). */
static double encoded(double linear)
{
    return linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
}

clsp_rgb clsp_rgb_of(clsp_oklab c)
{
    double l = c.l + 0.3963377774 * c.a + 0.2158037573 * c.b;
    double m = c.l - 0.1055613458 * c.a - 0.0638541728 * c.b;
    double s = c.l - 0.0894841775 * c.a - 1.2914855480 * c.b;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    return (clsp_rgb){encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
                      encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
                      encoded(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

clsp_rgb clsp_colour(clipspan_scale scale, double t)
{
    return clsp_rgb_of(clsp_colour_oklab(scale, t));
}

clsp_rgb clsp_line_colour(size_t i)
{
    static const clsp_rgb LINES[] = {{0, 0.447, 0.698},     {0.835, 0.369, 0},     {0, 0.620, 0.451}, {0.8, 0.475, 0.655},
                                     {0.902, 0.624, 0},     {0.337, 0.706, 0.914}, {0.25, 0.25, 0.27}};
    return LINES[i % (sizeof LINES / sizeof LINES[0])];
}
