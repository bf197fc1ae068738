/* Which heads: the grid coloured by what each head adds to the text looked at, the strongest for and against it, the open head,
 * and the texts' probabilities with heads switched off. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, term = (...args) => clipspan.words.term(...args);
  const LISTED = 5;

  viewer.effectUnit = () => (viewer.minus() ? "change in the difference of cosines" : "change in cosine");

  function toggle(name) {
    const off = viewer.off();
    if (!off.delete(name)) off.add(name);
    const order = [...off].sort((a, b) => { const [la, ha] = clipspan.headOf(a), [lb, hb] = clipspan.headOf(b); return la - lb || ha - hb; });
    viewer.set({ off: order }, { step: true });
    clipspan.announce(`${name} switched ${off.has(name) ? "off" : "on"}`);
  }
  viewer.toggleHead = toggle;
  const openHead = (name) => viewer.set({ head: viewer.state.head === name ? null : name }, { step: true });

  /* A table's cell with an effect as a bar, in the grid's colour. */
  viewer.effectCell = (value, limit) => el("td", { class: "effect-cell", "aria-hidden": "true" },
    el("span", { style: { width: `${(100 * Math.abs(value)) / limit}%`, background: clipspan.colours.css(clipspan.colours.zero(value / limit)) } }));

  /* All heads by effect, largest first. */
  function ranked(effects) {
    return effects.flatMap((row, l) => row.map((value, h) => ({ name: clipspan.headName(l, h), value }))).sort((a, b) => b.value - a.value);
  }
  viewer.ranked = ranked;
  const largest = (effects) => Math.max(...effects.flat().map(Math.abs)) || 1;

  function makeGrid() {
    const { layers, heads } = viewer.shape();
    let limit = 1;
    function cell(l, h) {
      const effects = viewer.effects(), name = clipspan.headName(l, h), off = viewer.off().has(name), means = viewer.means();
      if (!effects) return { rgb: null, mark: "", said: "not known yet", off };
      const what = viewer.knownHead(name), says = what && what.texts && what.texts.length ? `; ${viewer.quoted(what.texts[0].text)}` : "";
      const mean = means ? `, the store's mean ${clipspan.signed(means[l][h], 2)}` : "";
      return { rgb: clipspan.colours.zero(effects[l][h] / limit), mark: "", off, said: `${clipspan.signed(effects[l][h])} ${viewer.effectUnit()}${mean}${says}` };
    }
    const grid = clipspan.grid({ layers, heads, name: "Effect of every head", cell, open: (l, h) => openHead(clipspan.headName(l, h)),
      toggle: (l, h) => toggle(clipspan.headName(l, h)), second: (l, h) => viewer.set({ beside: "head", other: clipspan.headName(l, h) }, { step: true }) });
    return { grid, update: () => {
      limit = largest(viewer.effects());
      grid.redraw();
      grid.select(clipspan.headOf(viewer.state.head));
      grid.second(viewer.state.beside === "head" ? clipspan.headOf(viewer.state.other) : null);
      return limit;
    } };
  }

  function line({ name, value }, limit, off) {
    const known = viewer.knownHead(name), says = known && known.texts && known.texts.length ? known.texts[0].text : "";
    const box = el("input", { type: "checkbox", "aria-label": `${name} is on`, on: { change: () => toggle(name) } });
    box.checked = !off.has(name);
    return el("tr", { class: off.has(name) ? "is-off" : null },
      el("td", null, el("label", { class: "tick" }, box)),
      el("th", { scope: "row" }, el("button", { class: "link", type: "button", on: { click: () => viewer.set({ head: name }, { step: true }) } }, name)),
      el("td", { class: "number" }, clipspan.signed(value)),
      viewer.effectCell(value, limit),
      el("td", { class: "said-cell small soft" }, says));
  }
  function ranking(title, heads, limit) {
    const off = viewer.off(), head = (words, more) => el("th", { scope: "col", ...more }, words);
    return el("table", { class: "ranking" }, el("caption", null, title),
      el("thead", null, el("tr", null, head("on"), head("head"), head("effect", { class: "number" }), el("td"), viewer.heads ? head("says") : el("td"))),
      el("tbody", null, heads.length ? heads.map((head) => line(head, limit, off)) : el("tr", null, el("td", { colspan: 5, class: "soft" }, "none"))));
  }
  function rankings(limit) {
    const all = ranked(viewer.effects()), look = viewer.look(), minus = viewer.minus();
    const against = minus ? (minus.mean ? "the mean of the texts" : viewer.quoted(minus.text)) : "";
    return el("div", { class: "rankings" },
      ranking(`Heads for ${viewer.quoted(look.text)}`, all.filter((each) => each.value > 0).slice(0, LISTED), limit),
      ranking(against ? `Heads for ${against}` : "Heads against it", all.filter((each) => each.value < 0).slice(-LISTED).reverse(), limit));
  }

  viewer.headsPanel = () => {
    const command = () => viewer.command.maps([viewer.look()], viewer.minus(), " --detail head --top 0 --csv heads.csv");
    const table = () => [["head", "effect", "mean_effect", "off"], ...ranked(viewer.effects()).map(({ name, value }) => {
      const [l, h] = clipspan.headOf(name), means = viewer.means();
      return [name, value, means ? means[l][h] : null, viewer.off().has(name) ? 1 : 0];
    })];
    const data = () => ({ text: viewer.look().text, minus: viewer.minus(), unit: viewer.effectUnit(), effects: viewer.effects(), mean_effects: viewer.means(),
      off: [...viewer.off()], by: viewer.by(), texts: viewer.without(viewer.off()), run: without.ran() });
    let made = null;
    const panel = viewer.panel({ id: "heads", title: "Which heads",
      lead: ["Each cell is a head, coloured by its ", term("direct", "direct effect"), " on the text. Open one to see what it is about; ",
        "switch some off to see what the texts’ probabilities owe to them."],
      save: { picture: () => [of, made.grid.element, legend], csv: table, json: data, command } });
    const click = viewer.radios({ name: "click", legend: "A click", value: "open", options: [["open", "opens a head"], ["toggle", "switches it off"]],
      on: (value) => { if (made) made.grid.mode = value; mode = value; } });
    let mode = "open";
    const of = el("span", { class: "small soft contrast" });
    panel.controls.append(click.element, of);
    const legend = el("div"), lists = el("div"), without = viewer.withoutHeads(), one = viewer.headCard();

    function build() {
      made = makeGrid();
      made.key = viewer.state.model;
      made.grid.mode = mode;
      made.whole = el("div", { class: "heads-whole" },
        el("div", { class: "heads-grid" }, made.grid.element, legend, without.element, lists), el("div", { class: "heads-side" }, one.element));
    }
    function draw() {
      if (!made || made.key !== viewer.state.model) build();
      if (panel.body.firstChild !== made.whole) panel.show(made.whole);
      const limit = made.update();
      clipspan.fill(legend, clipspan.colours.legend({ kind: "zero", limit, unit: viewer.effectUnit(), format: (v) => clipspan.signed(v, 2), low: "against", high: "for" }));
      viewer.keepFocus(lists, () => clipspan.fill(lists, rankings(limit)));
      panel.remade();
      without.refresh();
    }
    function refresh() {
      const { status, error, answer } = viewer.scores;
      of.textContent = viewer.contrast() ? `for ${viewer.contrast()}` : "";
      panel.busy(status === "loading");
      if (status === "failed") panel.failed(error, viewer.askAll);
      else if (answer && viewer.effects()) draw();
      else if (status === "loading" || viewer.held.status === "loading") panel.wait("56rem");
      else if (viewer.held.status === "failed") panel.empty("There is no image to look at.", "Drop or choose one.");
      else panel.empty("Type a text.", "The grid shows which heads speak for the first one and which against it.");
    }
    viewer.on((changed) => { if (changed("scores", "off", "by", "head", "beside", "other", "look", "minus", "known")) refresh(); });
    refresh();
    return panel.element;
  };
})();
