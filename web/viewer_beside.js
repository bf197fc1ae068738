/* Two images, two texts, two heads or two models side by side: the same figures for both, on one scale. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el;
  const LISTED = 6, SIDE = 260;

  /* The one named, or the next of those that are typed; null: there is none. */
  function otherText() {
    const look = viewer.look(), next = viewer.asked().find((each) => each.index !== look.index);
    return viewer.state.other || (next ? next.text : null);
  }

  /* What stands on either side: {model, ref, text, minus, head, name}. */
  function sides() {
    const { state } = viewer, look = viewer.look(), other = state.other;
    const first = { model: state.model, ref: state.image, text: look && look.text, minus: viewer.minus(), head: null };
    const second = { ...first };
    if (state.beside === "head") {
      const { layers, heads } = viewer.shape();
      first.head = state.head || clipspan.headName(layers - 1, 0);
      second.head = clipspan.headOf(other) ? other : clipspan.headName(layers - 1, heads - 1);
      first.name = `Head ${first.head}`;
      second.name = `Head ${second.head}`;
    } else if (state.beside === "text") {
      second.text = otherText();
      first.minus = second.minus = null;
      first.name = viewer.quoted(first.text);
      second.name = viewer.quoted(second.text);
    } else if (state.beside === "image") {
      second.ref = other;
      first.name = "This image";
      second.name = "The other image";
    } else {
      second.model = 1 - state.model;
      const models = viewer.server.models, alike = models[0].model.name === models[1].model.name;
      for (const side of [first, second]) side.name = alike ? models[side.model].model_path : models[side.model].model.name;
    }
    return [first, second];
  }

  async function answerOf(side) {
    const more = { detail: "whole", ...(side.head ? { heads: side.head } : {}) };
    let held = null;
    const answer = await viewer.again(side.ref, (now) => { held = now; return viewer.mapsOf(now, side.model, side.text, side.minus, more); }, side.model);
    const of = answer.images[0].texts[0], part = of.parts[0];
    return { ...side, held, unit: answer.unit, scored: answer.score, side: answer.side, part, score: of.score, strongest: of.strongest, values: clipspan.maps.values(part, answer.side), answer };
  }

  function strongest(one, limit) {
    const list = [...one.strongest].sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, LISTED);
    return el("table", { class: "ranking" }, el("caption", null, "Strongest heads"),
      el("thead", { class: "visually-hidden" }, el("tr", null, el("th", { scope: "col" }, "head"), el("th", { scope: "col" }, "effect"), el("td"))),
      el("tbody", null, list.map((each) => el("tr", null, el("th", { scope: "row" }, each.head), el("td", { class: "number" }, clipspan.signed(each.effect)),
        viewer.effectCell(each.effect, limit)))));
  }

  /* Every head's effect, small, coloured on the scale of both sides. */
  function gridOf(one, limit) {
    const { layers, heads } = viewer.server.models[one.model].model, here = one.model === viewer.state.model;
    const effects = new Map(one.strongest.map((each) => [each.head, each.effect]));
    return clipspan.grid({ layers, heads, name: `Effect of every head, ${one.name}`,
      cell: (l, h) => {
        const value = effects.get(clipspan.headName(l, h)), known = Number.isFinite(value);
        return { rgb: known ? clipspan.colours.zero(value / limit) : null, mark: "", said: known ? `${clipspan.signed(value)} ${one.unit}` : "not known" };
      },
      open: (l, h) => { if (here) { viewer.set({ head: clipspan.headName(l, h) }, { step: true }); viewer.reveal("heads"); } } }).element;
  }

  function column(one, limit, headLimit) {
    const figure = clipspan.maps.view({ name: `${one.held.name}, ${one.name}`, values: one.values, side: one.side, limit, unit: one.unit, width: SIDE, height: SIDE,
      caption: el("span", { class: "small soft" }, one.held.name) });
    clipspan.server.picture(one.held.path).then((src) => figure.update({ src }), () => null);
    const known = one.head && viewer.knownHead(one.head);
    return el("div", { class: "beside-side" }, el("h3", null, el("bdi", null, one.name)), figure,
      el("dl", { class: "facts" }, el("div", null, el("dt", null, one.scored === "cosine" ? "cosine, whole model" : one.scored), el("dd", { class: "numbers" }, clipspan.number(one.score))),
        el("div", null, el("dt", null, one.head ? `effect of ${one.head}` : "effect of all heads"),
          el("dd", { class: "numbers" }, clipspan.signed(one.part.effect), el("span", { class: "soft small" }, ` ${one.unit}`)))),
      one.head ? (known && known.texts ? clipspan.head.texts(known, viewer.heads) : null) : [gridOf(one, headLimit), strongest(one, headLimit)]);
  }

  viewer.besidePanel = () => {
    let shown = null, asking = 0;
    const { command: words } = viewer;
    const command = () => shown.map((one) => words.maps([one], one.minus, one.head ? ` --heads ${one.head}` : " --top 0", one)).join("\n");
    const table = () => [["side", "head", "effect"], ...shown.filter((one) => one.head).map((one) => [one.name, one.head, one.part.effect]), ...shown.flatMap((one) => (one.head ? [] : one.strongest).map((each) => [one.name, each.head, each.effect]))];
    const panel = viewer.panel({ id: "beside", title: "Side by side", lead: "The same figures for two, on one scale.",
      save: { picture: () => panel.body, csv: table, json: () => shown.map(({ name, answer }) => ({ name, ...answer })), command } });
    const kinds = [["image", "images"], ["text", "texts"], ["head", "heads"], ...(viewer.server.models.length > 1 ? [["model", "models"]] : [])];
    const kind = viewer.radios({ name: "beside", legend: "Two", value: viewer.state.beside, options: kinds, on: (value) => viewer.set({ beside: value, other: null }, { step: true }) });
    const choose = el("div", { class: "row" });
    const of = el("span", { class: "small soft contrast" });
    panel.controls.append(kind.element, choose, of);

    function choosers() {
      const { beside, other } = viewer.state, set = (value) => viewer.set({ other: value || null }, { step: true });
      if (beside === "image") {
        const file = async (chosen) => { try { set((await viewer.giveFile(chosen)).id); } catch (error) { panel.failed(error); } };
        return [viewer.pictured() ? el("button", { class: "button slim", type: "button", on: { click: () => viewer.browse((row) => set(viewer.refOf(row))) } }, "Choose from the store") : null,
          viewer.chooser("Choose a file", "slim", file)];
      }
      if (beside === "text") {
        const field = el("input", { type: "text", value: other || "", placeholder: "another text", "aria-label": "The other text", autocomplete: "off", dir: "auto" });
        field.addEventListener("input", clipspan.debounce(300, () => set(field.value.trim())));
        return field;
      }
      if (beside === "head") return viewer.headsField({ label: "The other head", value: other || "", placeholder: "L4.H3", on: set }).element;
      return null;
    }

    const legend = (limit, unit, over) => clipspan.colours.legend({ kind: "zero", over, limit, unit, format: (v) => clipspan.signed(v, 2), low: "against", high: "for" });
    async function refresh() {
      const { beside } = viewer.state, mine = ++asking;
      kind.set(beside);
      of.textContent = beside && beside !== "text" && viewer.look() ? `for ${viewer.contrast()}` : "";
      if (!beside) return panel.empty("Choose what to compare.", "Shift and click on a head of a grid puts it beside the open one.");
      if (!viewer.look()) return panel.empty("Type a text.", "Both sides are shown for it.");
      if (beside === "image" && !viewer.state.other) return panel.empty("Choose the other image.", "");
      if (beside === "text" && !otherText()) return panel.empty("Type the other text.", "Here, or as a second one above.");
      if (viewer.held.status === "failed") { shown = null; return panel.empty("There is no image to look at.", "Drop or choose one."); }
      if (viewer.held.status !== "ready") return null;
      if (!shown) panel.wait("24rem"); else panel.busy(true);
      try {
        const found = await Promise.all(sides().map(answerOf));
        if (mine !== asking) return null;
        shown = found;
        const limit = clipspan.maps.limitOf(found.map((one) => one.values), found[0].side);
        const headLimit = Math.max(...found.flatMap((one) => one.strongest.map((each) => Math.abs(each.effect)))) || 1;
        panel.show(el("div", { class: "maps" }, el("div", { class: "beside-sides" }, found.map((one) => column(one, limit, headLimit))),
          el("div", { class: "row beside-legends" }, legend(limit, `${found[0].unit}, by patch`, true), found[0].head ? null : legend(headLimit, `${found[0].unit}, by head`, false))));
      } catch (error) {
        if (mine === asking && !(error.kind === "gone" && shown)) { shown = null; panel.failed(error, refresh); }
      }
      if (mine === asking) panel.busy(false);
      return null;
    }
    const later = clipspan.debounce(300, refresh);
    viewer.on((changed) => {
      if (changed("beside")) clipspan.fill(choose, choosers());
      if (changed("beside", "other", "held", "look", "minus", "model")) refresh();
      else if (changed("texts") && viewer.state.beside) later();
      else if (changed("head") && viewer.state.beside === "head") refresh();
    });
    clipspan.fill(choose, choosers());
    refresh();
    return panel.element;
  };
})();
