/* All that is known of one head.
 *
 *   clipspan.head({head, doc, picture, effect, maps, level, command, actions})   an <article>
 *       head      one of doc.heads (docs/json.md, heads)
 *       doc       what `clipspan heads --json` printed
 *       picture   (row, name) => {src, width, height} of an image of the store, or null where it is not at hand
 *       effect    ? the head's ablation (docs/json.md, ablate), for its direct effect
 *       maps      ? {unit, side, maps: [{text, row, effect, limit, values, command ?}]}: those of this head; scale ?: the value of their
 *                 strongest colour, where other heads' maps stand beside them
 *       level     of its heading, 3 by default; the parts' headings are one lower
 *       command   ? the command line that made it
 *       actions   ? nodes to stand beside the name
 *       open      ? (row) an image was chosen; without it images cannot be
 *   clipspan.head.line(head)      "2.3 % of variance; texts ..." in one line of text
 *   clipspan.head.texts(head, doc)   the table of its texts alone
 *   clipspan.head.strip({images, picture, title, open})   images in a row: array of {row, name, value}
 */
"use strict";
(function () {
  const el = (...args) => clipspan.el(...args), percent = (...args) => clipspan.percent(...args), term = (...args) => clipspan.words.term(...args);

  function fact(name, value, note) {
    return el("div", null, el("dt", null, name), el("dd", { class: "numbers" }, value,
      note ? el("span", { class: "soft small" }, " " + note) : null));
  }

  function drop(effect) {
    const d = effect.direct && effect.direct.logit_drop;
    if (!d) return null;
    const interval = Number.isFinite(d.low) ? clipspan.range(d.low, d.high) : null;
    return fact(term("direct", "direct effect"), `${clipspan.signed(d.value, 2)} logit`,
      interval ? `lost without it (95\u202f%: ${interval})` : "lost without it");
  }

  function facts({ head, effect }) {
    return el("dl", { class: "facts" },
      fact(term("share", "share of variance"), percent(head.share)),
      head.role ? fact(term("role", "role"), head.role, head.excess ? `${percent(head.excess[head.role], 0)} beyond chance` : null) : null,
      effect ? drop(effect) : null,
      head.explained !== undefined ? fact(term("explained", "its texts explain"), percent(head.explained, 0), "of its variance") : null,
      fact(term("rank", "numerical rank"), String(head.rank)));
  }

  function texts(head) {
    const stable = head.texts.some((t) => t.stability !== undefined), most = Math.max(...head.texts.map((t) => t.explained), 1e-9);
    return el("table", { class: "texts" },
      el("caption", { class: "visually-hidden" }, `Texts of ${head.name}, in the order they were picked`),
      el("thead", null, el("tr", null, el("th", { scope: "col" }, term("textspan", "text")),
        el("th", { scope: "col", class: "number" }, term("explained", "explained")), el("th", { class: "texts-bar", "aria-hidden": "true" }),
        stable ? el("th", { scope: "col", class: "number" }, term("stability", "stability")) : null)),
      el("tbody", null, head.texts.map((t) => el("tr", null, el("th", { scope: "row", class: "said" }, el("bdi", null, t.text)),
        el("td", { class: "number" }, percent(t.explained)),
        el("td", { class: "texts-bar", "aria-hidden": "true" }, el("span", { style: { width: `${(100 * Math.max(0, t.explained)) / most}%` } })),
        stable ? el("td", { class: "number" }, t.stability === undefined ? "" : percent(t.stability, 0)) : null))));
  }

  function image({ row, name, value }, picture, open) {
    const at = picture ? picture(row, name) : null;
    const shown = at ? el("img", { src: at.src, alt: name, title: name, width: at.width, height: at.height, loading: "lazy" }) :
      el("span", { class: "no-picture", title: name }, el("span", null, name));
    return el("li", null, el("figure", null,
      open ? el("button", { type: "button", class: "image-open", on: { click: () => open(row) } }, shown) : shown,
      value === undefined ? null : el("figcaption", { class: "numbers" }, clipspan.signed(value, 2))));
  }
  function strip({ images, picture, title, open, level = 4 }) {
    return el("div", { class: "strip" }, el("h" + level, null, title), el("ul", { class: "images" }, images.map((i) => image(i, picture, open))));
  }

  function activation({ head, doc, picture, open, level }) {
    const a = head.activation, unit = ((doc.units && doc.units.activation) || "contribution . text").replace(" . ", " \u00b7 ");
    const below = el("span", { class: "soft" }, ` \u00b7 below each: ${unit.split(":")[0]}`);
    return [strip({ images: a.most, picture, title: [term("activation", "Images where it writes this most"), below], open, level }),
      strip({ images: a.least, picture, title: "\u2026 and least", open, level }),
      clipspan.charts.histogram({ title: `All ${clipspan.count(doc.images)} images along \u201c${a.text}\u201d`, unit, low: a.low,
        high: a.high, counts: a.counts,
        marks: Number.isFinite(a.mean) ? [{ value: a.mean, name: "mean" }] : [] })];
  }

  const commandsOf = (doc) => [...new Set(doc.maps.map((m) => m.command).filter(Boolean))];
  function mapRows(head, doc) {
    return [["head", "text", "row", "patch_row", "patch_column", "value"], ...doc.maps.flatMap((m) =>
      Array.from(clipspan.maps.values(m, doc.side), (v, i) => [head.name, m.text, m.row, Math.floor(i / doc.side), i % doc.side, v]))];
  }

  function maps({ maps: doc, head, picture, level }) {
    const limit = doc.scale || clipspan.maps.limitOf(doc.maps, doc.side);
    const views = doc.maps.map((m) => {
      const at = picture(m.row) || { src: "", width: 224, height: 224 };
      return clipspan.maps.view({ src: at.src, width: at.width, height: at.height, name: at.name || `row ${m.row}`,
        values: clipspan.maps.values(m, doc.side), side: doc.side,
        limit, unit: doc.unit, caption: [el("span", { class: "said" }, el("bdi", null, m.text)),
          el("span", { class: "soft small numbers" }, `in all ${clipspan.signed(m.effect, 2)} `)] });
    });
    const largest = Math.max(...doc.maps.map((m) => m.limit)),
      beyond = largest > limit * 1.01
        ? `The strongest colour stands for all beyond ${clipspan.number(limit, 2)}; the largest is ${clipspan.number(largest, 2)}.` : "";
    const group = clipspan.maps.group({ views, limit, unit: doc.unit, note: `One scale for these maps. ${beyond}` }), commands = commandsOf(doc);
    return el("section", { class: "head-maps" }, el("div", { class: "spread" }, el("h" + level, null, term("map", "Where it sees its texts")),
      clipspan.save.menu({ name: `maps-${head.name}`, picture: () => group, csv: () => mapRows(head, doc),
        json: () => doc.maps.map((m) => ({ ...m, unit: doc.unit, side: doc.side, values: Array.from(clipspan.maps.values(m, doc.side)) })),
          command: commands.length ? commands : null })),
    group, commands.length ? clipspan.save.made(commands, `maps of ${head.name}`) : null);
  }

  function csv(head) {
    return [["head", "pick", "text", "explained", "stability"], ...head.texts.map((t, i) => [head.name, i + 1, t.text, t.explained, t.stability])];
  }

  clipspan.head = function (options) {
    const { head, doc, command, actions, maps: of } = options, level = options.level || 3, inside = { ...options, level: level + 1 };
    const known = head.texts && head.texts.length > 0;
    const whole = el("article", { class: "head", "aria-label": `Head ${head.name}` });
    clipspan.fill(whole,
      el("header", { class: "spread" }, el("h" + level, { class: "head-name", tabindex: -1 }, head.name), el("div", { class: "row" }, actions,
        clipspan.save.menu({ name: `head-${head.name}`, picture: () => whole, csv: known ? () => csv(head) : null, json: () => head, command }))),
      facts(options),
      known ? texts(head, doc) : clipspan.notice("This head has no texts yet.", "Give a pool of texts: --texts POOL."),
      head.activation ? activation(inside) : !known ? null : clipspan.notice("Single images are not kept.",
        "The store holds moments alone; decompose without --moments to see images along a head."),
      of && of.maps.length > 0 ? maps(inside) : null,
      command ? clipspan.save.made(command, head.name) : null);
    return whole;
  };
  clipspan.head.line = (head) => `${head.name}, ${percent(head.share)} of variance` +
    (head.texts && head.texts.length ? `: ${head.texts.slice(0, 3).map((t) => t.text).join("; ")}` : "");
  clipspan.head.texts = texts;
  clipspan.head.strip = strip;
})();
