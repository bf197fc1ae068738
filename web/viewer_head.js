/* The open head: where it sees the text in this image, and what the store knows of it.
 *
 *   clipspan.viewer.heads            the answer to GET /api/heads of the model that is looked through, or null; .knownHead(name) one of its heads
 *   clipspan.viewer.headOf(name)     an <article> of one (clipspan.head) with its pictures
 *   clipspan.viewer.headCard()       {element}
 */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el;
  const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
  const byModel = new Map(); /* model: {doc, names} or null */
  Object.defineProperty(viewer, "heads", { get: () => { const known = byModel.get(viewer.state.model); return known ? known.doc : null; } });

  async function load() {
    const model = viewer.state.model;
    if (!viewer.model().store) byModel.set(model, null);
    if (!byModel.has(model)) {
      try {
        const doc = await clipspan.server.get(`heads${viewer.query()}`);
        byModel.set(model, { doc, names: new Map(doc.heads.map((head) => [head.name, head])) });
      } catch (error) {
        if (error.kind === "gone") return setTimeout(load, 3000);
        byModel.set(model, null);
      }
    }
    if (model === viewer.state.model) viewer.tell("known");
    return null;
  }
  viewer.loadHeads = () => {
    viewer.on((changed) => { if (changed("model")) load(); });
    return load();
  };
  const knownHead = (name) => { const known = byModel.get(viewer.state.model); return known ? known.names.get(name) : null; };

  function exists(name) {
    const place = clipspan.headOf(name), { layers, heads } = viewer.shape();
    return Boolean(place) && place[0] < layers && place[1] < heads;
  }

  function headOf(name, actions) {
    const head = knownHead(name), rows = [];
    const picture = !viewer.pictured() ? null : (row) => { rows.push(row); return { src: BLANK, width: 96, height: 96 }; };
    const article = clipspan.head({ head, doc: viewer.heads, picture, actions, open: viewer.pictured() ? viewer.openRow : null,
      command: `clipspan heads ${viewer.command.store()}${viewer.command.pools()} --heads ${name}` });
    article.querySelectorAll(".images img").forEach((image, i) =>
      clipspan.server.picture(`rows/${rows[i]}.jpg?side=96${viewer.query("&")}`).then((src) => { image.src = src; }, () => null));
    return article;
  }

  function actionsOf(name) {
    const off = viewer.off().has(name), plain = (words, title, act) => el("button", { class: "button slim", type: "button", title, dataset: { key: title }, on: { click: act } }, words);
    return [plain(off ? "Switch on" : "Switch off", "See what the probabilities owe to it", () => viewer.toggleHead(name)),
      viewer.searched() ? plain("Nearest", "The nearest images in its space", () => { viewer.set({ space: name }, { step: true }); viewer.reveal("nearest"); }) : null,
      plain("Compare", "Put it beside another head", () => { viewer.set({ beside: "head", other: null }, { step: true }); viewer.reveal("beside"); })];
  }

  viewer.headCard = () => {
    const element = el("div", { class: "head-card" }), place = el("div", { class: "head-here" });
    let shown = "", asking = 0, view = null, viewKey = "";

    /* Where this head sees the text in this image. */
    async function here() {
      const look = viewer.look(), name = viewer.state.head, mine = ++asking;
      if (!look || viewer.held.status !== "ready" || !exists(name)) return;
      try {
        const answer = await viewer.again(viewer.state.image, (held) => viewer.mapsOf(held, viewer.state.model, look.text, viewer.minus(), { heads: name }));
        if (mine === asking) draw(answer, name);
      } catch (error) {
        if (mine === asking && !(error.kind === "gone" && viewKey)) { clipspan.fill(place, clipspan.server.failure(error, here)); viewKey = ""; }
      }
    }
    function draw(answer, name) {
      const part = answer.images[0].texts[0].parts[0], values = clipspan.maps.values(part, answer.side);
      const limit = clipspan.maps.limitOf([values], answer.side), key = `${viewer.held.id} ${viewer.state.model} ${answer.side}`;
      const words = [`${clipspan.signed(part.effect)} `, el("span", { class: "soft small" }, answer.unit), el("br"),
        el("span", { class: "soft small" }, `for ${viewer.contrast()}`)];
      if (key !== viewKey) {
        viewKey = key;
        view = { caption: el("span", { class: "numbers" }), legend: el("div") };
        view.figure = clipspan.maps.view({ name: `${viewer.held.name}, head ${name}`, values, side: answer.side, limit, unit: answer.unit, width: 200, height: 200, caption: view.caption });
        clipspan.server.picture(viewer.held.path).then((src) => view.figure.update({ src }), () => null);
        clipspan.fill(place, view.figure, view.legend);
      }
      clipspan.fill(view.caption, words);
      clipspan.fill(view.legend, clipspan.colours.legend({ kind: "zero", over: true, limit, unit: `${answer.unit}, by patch`, format: (v) => clipspan.signed(v, 2) }));
      view.figure.update({ values, limit });
    }

    const refresh = () => viewer.keepFocus(element, build);
    function build() {
      const name = viewer.state.head;
      const key = `${name} ${viewer.off().has(name)} ${Boolean(viewer.heads)} ${viewer.state.model}`;
      if (key === shown) return;
      shown = key;
      if (!exists(name)) {
        clipspan.fill(element, clipspan.notice("No head is open.", "Choose a cell of the grid: you see where this head sees the text, what it writes in general, and for which images most."));
        return;
      }
      const known = knownHead(name), holder = el("div", { class: "head-holder" });
      if (known) {
        holder.append(headOf(name, actionsOf(name)));
        holder.querySelector("header").after(place);
      } else {
        holder.append(el("header", { class: "spread" }, el("h3", { class: "head-name" }, name), el("div", { class: "row" }, actionsOf(name))), place,
          el("p", { class: "small soft" }, viewer.model().store ? "The store does not say more of this head." : "With a store (clipspan serve MODEL STORE) its texts and images stand here."));
      }
      clipspan.fill(element, holder);
    }
    const hereLater = clipspan.debounce(160, here);
    viewer.on((changed) => {
      if (changed("head", "off", "known", "model")) refresh();
      if (changed("head")) { viewKey = ""; place.replaceChildren(); here(); }
      else if (changed("texts")) hereLater();
      else if (changed("held", "look", "minus")) here();
    });
    refresh();
    here();
    return { element };
  };
  Object.assign(viewer, { knownHead, headOf });
})();
