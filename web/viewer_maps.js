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

  /* The answer as this panel uses it: parts by name with their values, and one scale for all. */
  function read(answer) {
    const parts = answer.images[0].texts[0].parts.map((part) => ({ ...part, values: clipspan.maps.values(part, answer.side) }));
    return { parts, side: answer.side, unit: answer.unit, limit: clipspan.maps.limitOf(parts.map((part) => part.values), answer.side),
      score: answer.images[0].texts[0].score, scored: answer.score };
  }
  function chosen(shown, detail) {
    const wanted = detail === "head" ? viewer.state.head : viewer.state.part;
    return shown.parts.find((part) => part.name === wanted) ||
      shown.parts.reduce((best, part) => (Math.abs(part.effect) > Math.abs(best.effect) ? part : best));
  }

  function fact(name, value, note) {
    return el("div", null, el("dt", null, name), el("dd", { class: "numbers" }, value, note ? el("span", { class: "soft small" }, " " + note) : null));
  }
  function facts(shown, part) {
    const signed = (x) => clipspan.signed(x);
    return el("dl", { class: "facts" },
      fact(shown.scored === "cosine" ? term("cosine", "cosine, whole model") : shown.scored, clipspan.number(shown.score)),
      fact(term("direct", `effect of ${part.name}`), signed(part.effect), shown.unit),
      fact("patches for", signed(part.for)), fact("patches against", signed(part.against)), fact("class token", signed(part.class_token)));
  }

  function layerStrip(open) {
    const cells = new Map(), element = el("div", { class: "layer-maps", role: "group", "aria-label": "Maps of the layers" });
    function update(shown, part) {
      if (cells.size !== shown.parts.length || !cells.has(shown.parts[0].name)) {
        cells.clear();
        clipspan.fill(element, shown.parts.map(({ name }) => {
          const canvas = el("canvas", { "aria-hidden": "true" }), said = el("span", { class: "small numbers" });
          const button = el("button", { class: "small-map", type: "button", on: { click: () => open(name) } }, canvas, el("span", { class: "small" }, name), said);
          cells.set(name, { canvas, said, button });
          return button;
        }));
      }
      for (const each of shown.parts) {
        const cell = cells.get(each.name);
        paint(cell.canvas, each.values, shown.side, shown.limit);
        cell.said.textContent = clipspan.signed(each.effect, 2);
        cell.button.setAttribute("aria-pressed", String(each === part));
      }
    }
    return { element, update };
  }

  function headGrid(open) {
    const { layers, heads } = viewer.shape(), canvases = new Map();
    let shown = null, byName = new Map();
    function cell(l, h) {
      const name = clipspan.headName(l, h), part = byName.get(name);
      if (!part) return { rgb: null, mark: "", said: "no map" };
      if (!canvases.has(name)) canvases.set(name, el("canvas", { "aria-hidden": "true" }));
      return { rgb: [255, 255, 255], mark: "", picture: canvases.get(name), said: `${clipspan.signed(part.effect)} ${shown.unit}`, off: viewer.off().has(name) };
    }
    const grid = clipspan.grid({ layers, heads, name: "Maps of all heads", cell, open: (l, h) => open(clipspan.headName(l, h)),
      second: (l, h) => viewer.set({ beside: "head", other: clipspan.headName(l, h) }, { step: true }) });
    grid.element.classList.add("grid-pictures");
    function update(now, part) {
      shown = now;
      byName = new Map(now.parts.map((each) => [each.name, each]));
      grid.redraw();
      for (const each of now.parts) paint(canvases.get(each.name), each.values, now.side, now.limit);
      grid.select(clipspan.headOf(part.name));
    }
    return { element: grid.element, update };
  }

  function stage(detail) {
    const held = viewer.held, side = LARGE;
    const open = (name) => viewer.set(detail === "head" ? { head: name } : { part: name }, { step: true });
    const small = detail === "layer" ? layerStrip(open) : detail === "head" ? headGrid(open) : null;
    const whole = el("div", { class: `stage stage-${detail}` });
    const title = el("h3"), numbers = el("div"), legend = el("div"), figures = el("div", { class: "stage-large" });
    let view = null, of = null;
    function update(shown, part) {
      if (!view || of !== held.id + shown.side) {
        of = held.id + shown.side;
        view = clipspan.maps.view({ name: held.name, values: part.values, side: shown.side, limit: shown.limit, unit: shown.unit, width: side, height: side, caption: title });
        clipspan.server.picture(`images/${held.id}.png${viewer.query()}`).then((src) => view.update({ src }), () => null);
        clipspan.fill(figures, view, legend, clipspan.maps.opacity(whole));
      }
      view.update({ values: part.values, limit: shown.limit });
      title.textContent = part.name === "all heads" ? "All heads" : `${part.name.includes("H") ? "Head" : "Layer"} ${part.name}`;
      clipspan.fill(numbers, facts(shown, part));
      clipspan.fill(legend, clipspan.colours.legend({ kind: "zero", limit: shown.limit, unit: `${shown.unit}, by patch`, format: (v) => clipspan.signed(v, 2), low: "against", high: "for" }));
      if (small) small.update(shown, part);
    }
    clipspan.fill(whole, figures, el("div", { class: "stage-side" }, small ? small.element : null, numbers));
    return { element: whole, update, key: `${detail} ${held.id} ${viewer.state.model}` };
  }

  viewer.mapsPanel = () => {
    const answer = () => viewer.maps.answer;
    const table = () => [["part", "row", "column", "value"], ...read(answer()).parts.flatMap((part) =>
      Array.from(part.values, (value, i) => [part.name, Math.floor(i / answer().side), i % answer().side, value]))];
    const command = () => {
      const asked = viewer.maps.asked, detail = asked.detail === "whole" ? "" : ` --detail ${asked.detail} --top 0`;
      return viewer.command.maps(asked.text, asked.minus, `${detail} --png maps.png`);
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
      const { answer: got, asked } = viewer.maps;
      if (!now || now.key !== `${asked.detail} ${viewer.held.id} ${viewer.state.model}` || !panel.body.contains(now.element)) {
        now = stage(asked.detail);
        panel.show(now.element);
      }
      if (from !== got) { from = got; shown = read(got); }
      const part = chosen(shown, asked.detail);
      now.update(shown, part);
      panel.remade();
      clipspan.announce(`Maps of ${viewer.contrast()}: ${part.name} ${clipspan.signed(part.effect)} ${shown.unit}`);
    }
    function refresh() {
      const { status, error, answer: got } = viewer.maps;
      detail.set(viewer.state.detail);
      of.textContent = viewer.contrast() ? `of ${viewer.contrast()}` : "";
      panel.busy(status === "loading");
      if (status === "failed") panel.failed(error, viewer.askAll);
      else if (got && viewer.held.status === "ready") draw();
      else if (got) return;
      else if (status === "loading" || viewer.held.status === "loading") panel.wait("24rem");
      else panel.empty("Type a text.", "The map of the first one appears as you type.");
    }
    viewer.on((changed) => { if (changed("maps", "part", "head", "look", "minus", "off")) refresh(); });
    refresh();
    return panel.element;
  };
})();
