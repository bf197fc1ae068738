/* Where in the image: one map large, beside it those of every layer or head, all on one scale. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, term = (...args) => clipspan.words.term(...args);
  const LARGE = 320;

  /* Colours of one small map, on a canvas of a pixel a patch. */
  function paint(canvas, values, side, limit) {
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const colour = clipspan.colours.scale("zero", limit), context = canvas.getContext("2d"), pixels = context.createImageData(side, side);
    values.forEach((value, i) => pixels.data.set([...colour(value), 255], 4 * i));
    context.putImageData(pixels, 0, 0);
  }

  /* The answer as this panel uses it: of each text its parts by name with their values, and one scale for all. */
  function read({ answer, asked }) {
    const { side, unit } = answer, image = answer.images[0];
    const texts = image.texts.map((of, i) => ({ ...asked.texts[i], score: of.score, parts: of.parts.map((part) => ({ ...part, values: clipspan.maps.values(part, side) })) }));
    return { texts, side, unit, detail: asked.detail, scored: answer.score, limit: scaleOf(texts.flatMap((of) => of.parts), side) };
  }
  /* One scale for all maps, set by the few strongest: most heads are near 0 everywhere, and would make the others all of one colour. */
  function scaleOf(parts, side) {
    const strong = [...parts].sort((a, b) => Math.max(b.max, -b.min) - Math.max(a.max, -a.min)).slice(0, 6);
    return clipspan.maps.limitOf(strong.map((part) => part.values), side);
  }
  /* What stands large: {text, part}. */
  function chosen(shown) {
    const look = viewer.look(), of = shown.texts[Math.max(0, look ? viewer.placeIn(shown.texts, look) : 0)];
    const wanted = shown.detail === "head" ? viewer.state.head : viewer.state.part;
    const part = of.parts.find((each) => each.name === wanted) || of.parts.reduce((best, each) => (Math.abs(each.effect) > Math.abs(best.effect) ? each : best));
    return { of, part };
  }

  function fact(name, value, note) {
    return el("div", null, el("dt", null, name), el("dd", { class: "numbers" }, value, note ? el("span", { class: "soft small" }, " " + note) : null));
  }
  const signed = (x) => (Math.abs(x) < 5e-5 ? "about 0" : clipspan.signed(x));
  function facts(shown, { of, part }) {
    return el("dl", { class: "facts" },
      fact(shown.scored === "cosine" ? term("cosine", "cosine, whole model") : shown.scored, clipspan.number(of.score)),
      fact(term("direct", `effect of ${part.name}`), signed(part.effect), shown.unit),
      fact("patches for", signed(part.for)), fact("patches against", signed(part.against)), fact("class token", signed(part.class_token)));
  }

  /* Small maps in a row, to choose from: of the texts, or of the layers. */
  function strip({ label, list, open }) {
    let cells = [];
    const element = el("div", { class: "strip-maps", role: "group", "aria-label": label });
    function update(shown, now) {
      const all = list(shown, now);
      if (cells.length !== all.length) {
        cells = all.map((_, i) => {
          const canvas = el("canvas", { "aria-hidden": "true" }), name = el("span", { class: "small small-map-name" }), said = el("span", { class: "small numbers" });
          const button = el("button", { class: "small-map", type: "button", on: { click: () => open(cells[i].key) } }, canvas, name, said);
          return { canvas, name, said, button };
        });
        clipspan.fill(element, cells.map((cell) => cell.button));
      }
      all.forEach(({ key, name, part, here }, i) => {
        const cell = cells[i];
        cell.key = key;
        paint(cell.canvas, part.values, shown.side, shown.limit);
        cell.name.textContent = name;
        cell.said.textContent = clipspan.signed(part.effect, 2);
        cell.button.setAttribute("aria-pressed", String(here));
      });
    }
    return { element, update };
  }
  const textStrip = () => strip({ label: "Maps of the texts", open: (index) => viewer.set({ look: index }, { step: true }),
    list: (shown, now) => shown.texts.map((of) => ({ key: of.index, name: of.text, part: of.parts[0], here: of === now.of })) });
  const layerStrip = () => strip({ label: "Maps of the layers", open: (part) => viewer.set({ part }, { step: true }),
    list: (shown, now) => now.of.parts.map((part) => ({ key: part.name, name: part.name, part, here: part === now.part })) });

  function headGrid() {
    const { layers, heads } = viewer.shape(), canvases = new Map();
    let shown = null, byOf = null, byName = new Map();
    function cell(l, h) {
      const name = clipspan.headName(l, h), part = byName.get(name);
      if (!part) return { rgb: null, mark: "", said: "no map" };
      if (!canvases.has(name)) canvases.set(name, el("canvas", { "aria-hidden": "true" }));
      return { rgb: [255, 255, 255], mark: "", picture: canvases.get(name), said: `${clipspan.signed(part.effect)} ${shown.unit}`, off: viewer.off().has(name) };
    }
    const grid = clipspan.grid({ layers, heads, name: "Maps of all heads", cell, open: (l, h) => viewer.set({ head: clipspan.headName(l, h) }, { step: true }),
      second: (l, h) => viewer.set({ beside: "head", other: clipspan.headName(l, h) }, { step: true }) });
    grid.element.classList.add("grid-pictures");
    function update(now, { of, part }) {
      const fresh = byOf !== of;
      shown = now;
      byOf = of;
      if (fresh) byName = new Map(of.parts.map((each) => [each.name, each]));
      grid.redraw();
      if (fresh) for (const each of of.parts) paint(canvases.get(each.name), each.values, now.side, now.limit);
      grid.select(clipspan.headOf(part.name));
    }
    return { element: grid.element, update };
  }

  function stage(detail) {
    const held = viewer.held, side = LARGE;
    const small = { whole: textStrip, layer: layerStrip, head: headGrid }[detail]();
    const whole = el("div", { class: `stage stage-${detail}` });
    const title = el("h3"), numbers = el("div"), legend = el("div"), figures = el("div", { class: "stage-large" });
    let view = null, of = null;
    function update(shown, now) {
      const { part, of: text } = now;
      if (!view || of !== held.id + shown.side) {
        of = held.id + shown.side;
        view = clipspan.maps.view({ name: held.name, values: part.values, side: shown.side, limit: shown.limit, unit: shown.unit, width: side, height: side, caption: title });
        clipspan.server.picture(held.path).then((src) => view.update({ src }), () => null);
        clipspan.fill(figures, view, legend, clipspan.maps.opacity(whole));
      }
      view.update({ values: part.values, limit: shown.limit });
      title.textContent = detail === "whole" ? text.text : `${detail === "head" ? "Head" : "Layer"} ${part.name}`;
      clipspan.fill(numbers, facts(shown, now));
      clipspan.fill(legend, clipspan.colours.legend({ kind: "zero", over: true, limit: shown.limit, unit: `${shown.unit}, by patch`, format: (v) => clipspan.signed(v, 2), low: "against", high: "for" }));
      small.update(shown, now);
    }
    clipspan.fill(whole, figures, el("div", { class: "stage-side" }, small.element, numbers));
    return { element: whole, update, key: `${detail} ${held.id} ${viewer.state.model}` };
  }

  viewer.mapsPanel = () => {
    const answer = () => viewer.maps.answer;
    const table = () => [["text", "part", "row", "column", "value"], ...shown.texts.flatMap((of) => of.parts.flatMap((part) =>
      Array.from(part.values, (value, i) => [of.text, part.name, Math.floor(i / shown.side), i % shown.side, value])))];
    const command = () => {
      const asked = viewer.maps.asked, detail = asked.detail === "whole" ? "" : ` --detail ${asked.detail} --top 0`;
      return viewer.command.maps(asked.texts, asked.minus, `${detail} --png maps.png`);
    };
    const panel = viewer.panel({ id: "maps", title: "Where in the image",
      lead: ["A ", term("map", "heat-map"), " says which patches bring image and text together (orange) and which apart (blue), by way of the ", term("head", "attention heads"), "."],
      save: { picture: () => panel.body.firstChild, csv: table, json: answer, command } });
    const detail = viewer.radios({ name: "detail", legend: "Maps of", value: viewer.state.detail, options: [["whole", "the whole"], ["layer", "every layer"], ["head", "every head"]],
      on: (value) => viewer.set({ detail: value }, { step: true }) });
    const of = el("span", { class: "small soft contrast" });
    panel.controls.append(detail.element, of);
    let now = null, shown = null, from = null;

    function draw() {
      const { answer: got, asked } = viewer.maps, key = `${asked.detail} ${viewer.held.id} ${viewer.state.model}`, fresh = from !== got;
      if (!now || now.key !== key || panel.body.firstChild !== now.element) {
        now = stage(asked.detail);
        panel.show(now.element);
      }
      if (fresh) { from = got; shown = read(viewer.maps); }
      const large = chosen(shown);
      now.update(shown, large);
      panel.remade();
      if (fresh) clipspan.announce(`Map of ${viewer.contrast()}, ${large.part.name}: ${clipspan.signed(large.part.effect)} ${shown.unit}`);
    }
    /* About what the maps will take. */
    function height() {
      const { layers, heads } = viewer.shape();
      return viewer.state.detail === "head" ? `${200 + layers * (2 + Math.min(72, 560 / heads))}px` : "30rem";
    }
    function refresh() {
      const { status, error, answer: got } = viewer.maps;
      detail.set(viewer.state.detail);
      of.textContent = viewer.contrast() ? `of ${viewer.contrast()}` : "";
      panel.busy(status === "loading");
      if (status === "failed") panel.failed(error, viewer.askAll);
      else if (got && viewer.held.status === "ready") draw();
      else if (got) return;
      else if (status === "loading" || viewer.held.status === "loading") panel.wait(height());
      else if (viewer.held.status === "failed") panel.empty("There is no image to look at.", "Drop or choose one.");
      else panel.empty("Type a text.", "The map of the first one appears as you type.");
    }
    viewer.on((changed) => { if (changed("maps", "part", "head", "look", "minus", "off")) refresh(); });
    refresh();
    return panel.element;
  };
})();
