/* Charts as SVG, drawn at the width that they have on the page, each with its numbers as a table below.
 *
 *   clipspan.charts.histogram({title, unit, low, high, counts, of, marks})     bins of equal width; `of`: what is counted ("images");
 *       marks ?: array of {value, name}, drawn as a tick below the axis
 *   clipspan.charts.bars({title, unit, items, limit, format})   items: {name, value, low ?, high ?, note ?}; from 0, to either side
 *   clipspan.charts.curve({title, xTitle, yTitle, unit, series, xNames, baseline, format, from, to})
 *       series: {name, points: [{x, y, low ?, high ?}]}; a band from low to high; xNames ?(x): what an x is called;
 *       baseline ?: {value, name}, a dotted line; from ?, to ?: the ends of y (0 and the largest by default)
 *   clipspan.charts.pairs({title, unit, names: [before, after], items, format})   items: {name, before, after ?}, each {value, low ?, high ?}
 *
 * Each returns a <figure>; its .querySelector("svg") can be saved; figure.rows() gives the table as rows for CSV. Titles stand in
 * the figure's caption; what a chart is made of is not read out one by one. A chart draws itself anew when its width changes; its height is fixed, so nothing jumps. */
"use strict";
(function () {
  const el = (...args) => clipspan.el(...args), svg = (...args) => clipspan.svg(...args);

  /* Round steps of 1, 2 or 5 times a power of ten, about `wanted` of them. */
  function ticks(low, high, wanted) {
    const span = high - low;
    if (!(span > 0)) return [low];
    const raw = span / wanted, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
    return out;
  }

  const map = (low, high, from, to) => (v) => (high === low ? (from + to) / 2 : from + ((v - low) / (high - low)) * (to - from));
  const text = (x, y, anchor, what, more) => svg("text", { x, y, "text-anchor": anchor, ...more }, what);
  const line = (x1, y1, x2, y2, name) => svg("line", { x1, y1, x2, y2, class: name });

  function table(rows, caption) {
    const [header, ...body] = rows, number = (v) => typeof v === "number" || v === null;
    const show = (v) => (number(v) ? clipspan.number(v, 4) : v);
    return el("table", null, el("caption", null, caption),
      el("thead", null, el("tr", null, header.map((h, i) => el("th", { scope: "col", class: i > 0 ? "number" : null }, h)))),
      el("tbody", null, body.map((row) => el("tr", null, row.map((v, i) =>
        i === 0 ? el("th", { scope: "row" }, show(v)) : el("td", { class: number(v) ? "number" : null }, show(v)))))));
  }

  /* draw(width) fills the drawing; called again when the width changes. */
  function figure({ title, height, draw, rows, said }) {
    const drawing = svg("svg", { class: "chart", role: "img",
      "aria-label": `${title}. ${said || ""} The numbers are in the table below.`, height });
    const details = el("details", { class: "numbers-of" }, el("summary", null, "The numbers",
      el("span", { class: "visually-hidden" }, `: ${title}`)));
    const whole = el("figure", { class: "chart-whole" }, el("figcaption", null, title), drawing, details);
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(el("div",
        { class: "scroll", tabindex: 0, role: "group", "aria-label": `Numbers: ${title}` }, table(rows(), title)));
    });
    let drawn = 0;
    const redraw = (width) => {
      if (Math.abs(width - drawn) < 1) return;
      drawn = width;
      drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
      clipspan.fill(drawing, svg("g", { "aria-hidden": "true" }, draw(width)));
    };
    redraw(560);
    new ResizeObserver(([entry]) => { if (entry.contentRect.width > 0) redraw(Math.round(entry.contentRect.width)); }).observe(whole);
    whole.rows = rows;
    whole.redrawAt = redraw;
    return whole;
  }

  /* Paper is narrower than most windows: charts are drawn at its width, so that their letters keep their size. */
  const PAPER = 660, all = () => document.querySelectorAll("figure.chart-whole");
  addEventListener("beforeprint", () => all().forEach((chart) => chart.redrawAt(Math.min(PAPER, chart.clientWidth || PAPER))));
  addEventListener("afterprint", () => all().forEach((chart) => { if (chart.clientWidth > 0) chart.redrawAt(chart.clientWidth); }));

  function axisX(scale, values, y, name, width) {
    return [values.map((v) => text(scale(v), y + 16, "middle", clipspan.number(v, 2), { class: "tick" })),
      text(width / 2, y + 34, "middle", name, { class: "axis" })];
  }

  function histogram({ title, unit, low, high, counts, of = "images", marks = [] }) {
    const height = 168, bottom = height - 42, top = 10, most = Math.max(1, ...counts), step = (high - low) / counts.length;
    function draw(width) {
      const left = 38, right = width - 8, x = map(low, high, left, right), y = map(0, most, bottom, top);
      return [ticks(0, most, 3).map((v) => [line(left, y(v), right, y(v), "rule"),
        text(left - 6, y(v) + 4, "end", clipspan.count(v), { class: "tick" })]),
        counts.map((n, i) => svg("rect", { x: x(low + i * step) + 0.5, y: y(n),
          width: Math.max(0.5, x(low + (i + 1) * step) - x(low + i * step) - 1), height: bottom - y(n), class: "bar" },
          svg("title", null, `${clipspan.number(low + i * step)} to ${clipspan.number(low + (i + 1) * step)}: ${clipspan.count(n)} ${of}`))),
        line(left, bottom, right, bottom, "base"),
        marks.map((m) => svg("path", { d: `M${x(m.value)} ${bottom + 1}l-4 6h8z`, class: "mark" },
          svg("title", null, `${m.name}: ${clipspan.number(m.value)}`))),
        axisX(x, ticks(low, high, width < 420 ? 3 : 5), bottom, unit, left + right)];
    }
    const rows = () => [["from", "to", of], ...counts.map((n, i) => [low + i * step, low + (i + 1) * step, n])];
    return figure({ title, height, draw, rows,
      said: `${clipspan.count(counts.reduce((a, b) => a + b, 0))} ${of} from ${clipspan.number(low)} to ${clipspan.number(high)}, ${unit}.` });
  }

  function bars({ title, unit, items, limit, format = clipspan.number }) {
    const row = 26, height = items.length * row + 44, all = items.flatMap((i) => [i.value, i.low, i.high]).filter((v) => Number.isFinite(v));
    const high = limit || Math.max(1e-12, ...all), low = Math.min(0, ...all);
    function draw(width) {
      const left = Math.min(width * 0.42, 12 + 7 * Math.max(...items.map((i) => i.name.length))), right = width - 56;
      const x = map(low, high, left, right), bottom = items.length * row + 4, letters = Math.max(6, Math.floor(left / 6.6));
      return [ticks(low, high, width < 420 ? 2 : 5).map((v) =>
        [line(x(v), 0, x(v), bottom, "rule"), text(x(v), bottom + 15, "middle", format(v), { class: "tick" })]),
        items.map((item, i) => {
          const middle = i * row + row / 2, shown = item.name.length > letters ? item.name.slice(0, letters - 1) + "\u2026" : item.name;
          return [text(left - 8, middle + 4, "end", shown, { class: "name" }),
            Number.isFinite(item.value) ? svg("rect", { x: Math.min(x(0), x(item.value)), y: middle - 7,
              width: Math.abs(x(item.value) - x(0)), height: 14, class: "bar" }, svg("title", null, `${item.name}: ${format(item.value)}`)) : null,
            Number.isFinite(item.low) ? [line(x(item.low), middle, x(item.high), middle, "whisker"),
              line(x(item.low), middle - 4, x(item.low), middle + 4, "whisker"),
                line(x(item.high), middle - 4, x(item.high), middle + 4, "whisker")] : null,
            text(x(Math.max(item.value || 0, item.high || 0, 0)) + 6, middle + 4, "start", format(item.value), { class: "value" })];
        }),
        line(x(0), 0, x(0), bottom, "base"), text((left + right) / 2, bottom + 34, "middle", unit, { class: "axis" })];
    }
    const ranged = items.some((i) => Number.isFinite(i.low));
    const rows = () => [["name", unit, ...(ranged ? ["low", "high"] : [])],
      ...items.map((i) => [i.name, i.value, ...(ranged ? [i.low ?? null, i.high ?? null] : [])])];
    return figure({ title, height, draw, rows, said: items.slice(0, 3).map((i) => `${i.name}: ${format(i.value)}`).join(", ") + "." });
  }

  function path(points, x, y) {
    return points.map((p, i) => `${i ? "L" : "M"}${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`).join("");
  }
  function band(points, x, y) {
    const known = points.filter((p) => Number.isFinite(p.low) && Number.isFinite(p.high));
    if (known.length < 2) return null;
    return path(known.map((p) => ({ x: p.x, y: p.high })), x, y) + path([...known].reverse().map((p) => ({ x: p.x, y: p.low })), x,
      y).replace("M", "L") + "Z";
  }
  const POINTS = [(x, y) => `M${x - 3.5} ${y}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z`, (x, y) => `M${x - 3} ${y - 3}h6v6h-6z`,
    (x, y) => `M${x} ${y - 4}l4 7h-8z`, (x, y) => `M${x} ${y - 4.5}l4 4.5l-4 4.5l-4-4.5z`];

  /* What the marks of the series are, in the drawing's first lines: beside each other where they fit, below each other where
   * they don't. The lines that they take at this width. */
  const keyWidth = (name) => 24 + 6.4 * name.length;
  const keyLines = (names, width) => (names.length === 0 ? 0 : names.reduce((sum, n) => sum + keyWidth(n), 0) <= width ? 1 : names.length);
  function keys(names, left, width) {
    const stacked = keyLines(names, width) > 1;
    let x = left;
    return names.map((name, i) => {
      const at = stacked ? left : x, y = stacked ? 8 + 18 * i : 8;
      x += keyWidth(name);
      return [svg("path", { d: POINTS[i % POINTS.length](at + 5, y), class: "sign", style: { "--series": clipspan.colours.line(i) } }),
        text(at + 14, y + 4, "start", name, { class: "key" })];
    });
  }

  function curve({ title, xTitle, yTitle, unit, series, xNames = String, baseline, format = clipspan.number, from = 0, to }) {
    const height = 340, bottom = height - 58, points = series.flatMap((s) => s.points), names = series.map((s) => s.name).filter(Boolean);
    const xs = [...new Set(points.map((p) => p.x))].sort((a, b) => a - b);
    const high = to || Math.max(...points.flatMap((p) => [p.y, p.high]).filter(Number.isFinite), baseline ? baseline.value : -Infinity);
    function draw(width) {
      const left = 54, right = width - 14, top = 18 * keyLines(names, width) + 30;
      const x = map(xs[0], xs[xs.length - 1], left + 6, right - 6), y = map(from, to || high * 1.02 || 1, bottom, top);
      const every = Math.ceil((xs.length * Math.max(...xs.map((v) => xNames(v).length)) * 6.4 + 20) / (right - left));
      return [keys(names, 0, width), text(0, top - 12, "start", `${yTitle}, ${unit}`, { class: "axis" }),
        ticks(from, high, 5).map((v) => [line(left, y(v), right, y(v), "rule"), text(left - 8, y(v) + 4, "end", format(v), { class: "tick" })]),
        baseline ? [line(left, y(baseline.value), right, y(baseline.value), "dotted"),
          text(right, y(baseline.value) - 6, "end", baseline.name, { class: "tick" })] : null,
        series.map((s, i) => { const d = band(s.points, x, y); return d
          ? svg("path", { d, class: "band", style: { "--series": clipspan.colours.line(i) } }) : null; }),
        series.map((s, i) => [svg("path", { d: path(s.points, x, y), class: "curve", style: { "--series": clipspan.colours.line(i) } }),
          s.points.map((p) => svg("path", { d: POINTS[i % POINTS.length](x(p.x), y(p.y)), class: "point",
            style: { "--series": clipspan.colours.line(i) } },
            svg("title", null, `${s.name}, ${xNames(p.x)}: ${format(p.y)}${Number.isFinite(p.low) ? ` (${format(p.low)} to ${format(p.high)})` : ""}`)))]),
        line(left, bottom, right, bottom, "base"),
        xs.map((v, i) => (i % every === 0 ? text(x(v), bottom + 17, "middle", xNames(v), { class: "tick" }) : null)),
        text((left + right) / 2, bottom + 38, "middle", xTitle, { class: "axis" })];
    }
    const rows = () => [[xTitle, ...series.flatMap((s) => [`${s.name}, ${unit}`, "low", "high"])],
      ...xs.map((v) => [xNames(v), ...series.flatMap((s) => { const p = s.points.find((q) => q.x === v) || {}; return [p.y ?? null,
        p.low ?? null, p.high ?? null]; })])];
    return figure({ title, height, draw, rows, said: `${yTitle}, ${unit}.` });
  }

  function pairs({ title, unit, names, items, format = clipspan.number }) {
    const row = 34, head = 26, height = head + items.length * row + 44, bottom = head + items.length * row + 4;
    const kinds = ["before", "after"].filter((k) => items.some((i) => i[k]));
    const all = items.flatMap((i) => kinds.flatMap((k) => [i[k].value, i[k].low])).filter(Number.isFinite),
      low = Math.max(0, Math.floor((Math.min(...all) - 0.02) * 10) / 10);
    function draw(width) {
      const left = Math.min(width * 0.4, 12 + 7 * Math.max(...items.map((i) => i.name.length))), right = width - 16, x = map(low, 1, left, right);
      return [keys(names.slice(0, kinds.length), 0, width), ticks(low, 1,
        width < 420 ? 3 : 5).map((v) => [line(x(v), head, x(v), bottom, "rule"), text(x(v), bottom + 15, "middle", format(v), { class: "tick" })]),
        items.map((item, i) => {
          const at = head + i * row + row / 2;
          return [text(left - 10, at + 4, "end", item.name, { class: "name" }), kinds.map((k, n) => {
            const m = item[k], y = at + (kinds.length > 1 ? (n ? 5 : -5) : 0), style = { "--series": clipspan.colours.line(n ? 1 : 0) };
            return [Number.isFinite(m.low) ? svg("line", { x1: x(Math.max(low, m.low)), y1: y, x2: x(Math.min(1, m.high)), y2: y,
              class: "range", style }) : null,
              svg("path", { d: POINTS[n](x(m.value), y), class: "point", style },
                svg("title", null, `${item.name}, ${names[n]}: ${format(m.value)}`))];
          })];
        }), line(left, bottom, right, bottom, "base"), text((left + right) / 2, bottom + 34, "middle", unit, { class: "axis" })];
    }
    const rows = () => [["group", ...kinds.flatMap((k, n) => [names[n], "low", "high"])],
      ...items.map((i) => [i.name, ...kinds.flatMap((k) => [i[k].value, i[k].low ?? null, i[k].high ?? null])])];
    return figure({ title, height, draw, rows, said: items.map((i) =>
      `${i.name}: ${kinds.map((k) => format(i[k].value)).join(" then ")}`).join("; ") + "." });
  }

  clipspan.charts = { histogram, bars, curve, pairs, table };
})();
