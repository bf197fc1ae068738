/* The colours of numbers, computed as src/report/colours.c computes them: arcs of a helix in OKLab, equal in lightness
 * and step, told apart with any kind of colour blindness. In the light theme, on paper, over pictures and in all that is saved
 * they are those of the command's pictures. In the dark theme what stands on the page itself has arcs that start from the
 * page's ground and grow lighter, so that what is near zero does not glare; equal in lightness and step as well.
 *
 *   clipspan.colours.most(t)      strength, t from 0 to 1: [r, g, b], each 0 to 255; as .dark() the same in the dark theme
 *   clipspan.colours.zero(t)      evidence, t from -1 (against, blue) over 0 (white, or the ground) to 1 (for, orange)
 *   clipspan.colours.css(rgb)     as a CSS colour of both themes
 *   clipspan.colours.ink(rgb)     black or white, whichever is read better on it, in both themes
 *   clipspan.colours.line(i)      CSS colour of the i-th line or kind
 *   clipspan.colours.washed(i)    the same as a ground for letters, pale, or deep in the dark theme
 *   clipspan.colours.scale(kind, limit)   kind "most" or "zero"; a function of a value: [r, g, b], null where none is known
 *   clipspan.colours.legend({kind, limit, unit, format, low, high, over})   an element: the map as a bar, its ends and middle with
 *       numbers (format(value), by default clipspan.number), the unit, and words at the ends if given; over: true for maps over
 *       pictures, whose colours are the same in both themes
 *   clipspan.colours.marks({items: [{name, mark, rgb}], unit})   an element: the legend of kinds
 */
"use strict";
(function () {
  const DEGREE = Math.PI / 180;
  const LIGHT = {
    from: 0.975,
    most: { rise: -0.655, radius: 0.078, hue: 100, sweep: -240 },
    for: { rise: -0.515, radius: 0.11, hue: 70, sweep: -80 },
    against: { rise: -0.515, radius: 0.11, hue: 225, sweep: 80 },
  };
  const DARK = {
    from: 0.25,
    most: { rise: 0.66, radius: 0.085, hue: 310, sweep: 280 }, /* the ground, purple, red, orange, straw */
    for: { rise: 0.54, radius: 0.11, hue: 30, sweep: 80 },
    against: { rise: 0.54, radius: 0.11, hue: 265, sweep: -80 },
  };
  const LINES = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [64, 64, 69]];

  function onArc(theme, name, t) {
    const way = theme[name], sweep = way.sweep * DEGREE * t, chroma = 2 * way.radius * Math.sin(Math.abs(sweep) / 2);
    const hue = way.hue * DEGREE + sweep / 2;
    return [theme.from + way.rise * t, chroma * Math.cos(hue), chroma * Math.sin(hue)];
  }

  const encoded = (linear) => (linear <= 0.0031308 ? 12.92 * linear : 1.055 * Math.pow(linear, 1 / 2.4) - 0.055);
  const byte = (linear) => Math.round(255 * Math.min(1, Math.max(0, encoded(linear))));

  function rgbOf([lightness, a, b]) {
    const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
    return [byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
      byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
      byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)];
  }

  function at(name, t) {
    const rgb = rgbOf(onArc(LIGHT, name, t));
    rgb.dark = () => rgbOf(onArc(DARK, name, t));
    return rgb;
  }
  const most = (t) => at("most", t > 0 ? Math.min(t, 1) : 0);
  const zero = (t) => at(t < 0 ? "against" : "for", Math.min(Math.abs(t), 1));

  const both = (f) => (rgb) => (clipspan.themed && rgb.dark ? `light-dark(${f(rgb)}, ${f(rgb.dark())})` : f(rgb));
  const plain = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
  const css = both(plain);

  function luminance(rgb) {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  const ink = both((rgb) => (luminance(rgb) > 0.179 ? "#000" : "#fff"));
  const line = (i) => css(LINES[i % LINES.length]);
  const washed = (i) => {
    const whole = LINES[i % LINES.length], rgb = whole.map((c) => Math.round(255 - 0.4 * (255 - c)));
    rgb.dark = () => whole.map((c) => Math.round(34 + 0.5 * (c - 34)));
    return rgb;
  };

  const scale = (kind, limit) => (value) =>
    typeof value === "number" && Number.isFinite(value) ? (kind === "zero" ? zero : most)(limit > 0 ? value / limit : 0) : null;

  function gradient(kind, over) {
    const stops = Array.from({ length: 25 }, (_, i) => (over ? plain : css)(kind === "zero" ? zero(i / 12 - 1) : most(i / 24)));
    return `linear-gradient(to right, ${stops.join(", ")})`;
  }

  function legend({ kind, limit, unit, format = clipspan.number, low = "", high = "", over = false }) {
    const el = clipspan.el, ends = kind === "zero" ? [-limit, 0, limit] : [0, limit / 2, limit];
    const end = (value, word) => el("span", null, format(value), word ? el("span", { class: "soft" }, " " + word) : null);
    return el("div", { class: "legend" },
      el("div", { class: "legend-unit" }, unit),
      el("div", { class: "legend-bar", style: { background: gradient(kind, over) } }),
      el("div", { class: "legend-ends numbers" }, end(ends[0], low), end(ends[1], ""), end(ends[2], high)));
  }

  const marks = ({ items, unit }) => clipspan.el("div", { class: "legend legend-kinds" },
    clipspan.el("div", { class: "legend-unit" }, unit),
    clipspan.el("ul", { class: "legend-marks" }, items.map((item) => clipspan.el("li", null,
      clipspan.el("span", { class: "legend-mark", "aria-hidden": "true", style: { background: css(item.rgb), color: ink(item.rgb) } }, item.mark),
      item.name))));

  clipspan.colours = { most, zero, css, ink, line, washed, scale, legend, marks };
})();
