/* The grid of heads: a row a layer, a column a head.
 *
 *   const grid = clipspan.grid({layers, heads, name, cell, open, second, toggle})
 *       name            what the grid shows, for screen readers
 *       cell(l, h)      {rgb: [r, g, b] or null, mark: string or "", said: string, off: boolean, picture: a canvas that fills it ?}
 *                       said: value with unit, "2.3 % of variance, size"; read out and shown under the grid
 *       open(l, h)      a head was chosen: click, finger, Enter
 *       second(l, h)    ? chosen for comparison: the same with Shift
 *       toggle(l, h)    ? switched off or on: Space, or the same with Alt
 *   grid.element
 *   grid.redraw()       asks for every cell again
 *   grid.select([l, h] or null), grid.second([l, h] or null)   the heads that are shown open; no callback
 *   grid.focus(l, h)    moves the keyboard there
 *   grid.mode           "open" (at first), "second" or "toggle": what a plain click and Enter do, for those without keys
 *
 * Keys: arrows, Home and End (in the row; with Ctrl in the grid), Page Up and Page Down (in the column), Enter, Shift+Enter,
 * Space. One cell is in the tab order. Cells are 24 pixels and more; a wide grid scrolls in its frame. */
"use strict";
clipspan.headName = (l, h) => `L${l}.H${h}`;
/* [layer, head] of "L4.H3", or null. */
clipspan.headOf = (name) => {
  const found = /^L(\d{1,4})\.H(\d{1,4})$/.exec(name || "");
  return found ? [Number(found[1]), Number(found[2])] : null;
};

clipspan.grid = function ({ layers, heads, name, cell, open, second, toggle }) {
  const el = clipspan.el, cells = [], shown = { first: null, second: null };
  let at = [layers - 1, 0];
  const grid = { mode: "open" };

  function makeCell(l, h) {
    const mark = el("span", { class: "grid-mark", "aria-hidden": "true" });
    cells.push({ l, h, mark, element: el("td", { tabindex: -1, dataset: { l, h } }, mark) });
    return cells[cells.length - 1].element;
  }
  const of = (l, h) => cells[l * heads + h];

  const body = Array.from({ length: layers }, (_, l) =>
    el("tr", null, el("th", { scope: "row" }, String(l)), Array.from({ length: heads }, (_, h) => makeCell(l, h))));
  const top = el("tr", null, el("th", { class: "grid-corner" }, el("span", { class: "visually-hidden" }, "Layer")),
    Array.from({ length: heads }, (_, h) => el("th", { scope: "col" }, String(h))));
  const table = el("table", { role: "grid", class: "grid", "aria-label": name, style: { "--heads": heads } }, el("thead", null, top),
    el("tbody", null, body));
  const readout = el("p", { class: "grid-readout numbers", "aria-hidden": "true" });
  const frame = el("div", { class: "grid-frame" }, table);
  grid.element = el("div", { class: "grid-whole" },
    el("div", { class: "grid-axis-heads", "aria-hidden": "true" }, "head"),
    el("div", { class: "grid-axis-layers", "aria-hidden": "true" }, "layer"), frame, readout);

  const same = (a, l, h) => a !== null && a[0] === l && a[1] === h;
  function words(l, h, what) {
    return `${clipspan.headName(l, h)}: ${what.said}${what.off ? ", switched off" : ""}` +
      `${same(shown.first, l, h) ? ", open" : ""}${same(shown.second, l, h) ? ", open for comparison" : ""}`;
  }

  function draw(c) {
    const what = cell(c.l, c.h), style = c.element.style;
    style.background = what.rgb ? clipspan.colours.css(what.rgb) : "";
    style.color = what.rgb ? clipspan.colours.ink(what.rgb) : "";
    c.mark.textContent = what.mark || "";
    if (c.element.firstChild !== (what.picture || c.mark)) c.element.replaceChildren(...(what.picture ? [what.picture, c.mark] : [c.mark]));
    c.element.className = [what.rgb ? "" : "unknown", what.off ? "off" : "", same(shown.first, c.l, c.h) ? "first" : "",
      same(shown.second, c.l, c.h) ? "second" : "", what.picture ? "pictured" : ""].join(" ").trim();
    c.element.setAttribute("aria-label", words(c.l, c.h, what));
    c.element.setAttribute("aria-selected", String(same(shown.first, c.l, c.h) || same(shown.second, c.l, c.h)));
  }

  function say(l, h) {
    readout.textContent = l === null ? "" : words(l, h, cell(l, h));
  }
  const sayOpen = () => (shown.first ? say(...shown.first) : say(null));

  grid.redraw = () => { cells.forEach(draw); sayOpen(); };

  function reach(l, h) {
    of(...at).element.tabIndex = -1;
    at = [Math.min(layers - 1, Math.max(0, l)), Math.min(heads - 1, Math.max(0, h))];
    of(...at).element.tabIndex = 0;
  }
  grid.focus = (l, h) => { reach(l, h); of(...at).element.focus(); };

  function mark(which, place) {
    const before = shown[which];
    shown[which] = place && of(...place) && place[0] < layers && place[1] < heads ? place : null;
    if (before) draw(of(...before));
    if (shown[which]) draw(of(...shown[which]));
    if (which === "first" && shown.first && !table.contains(document.activeElement)) reach(...shown.first);
    sayOpen();
  }
  grid.select = (place) => mark("first", place);
  grid.second = (place) => mark("second", place);

  function choose(l, h, event) {
    const way = event.shiftKey ? "second" : event.altKey ? "toggle" : grid.mode;
    const action = { open, second, toggle }[way] || open;
    reach(l, h);
    action(l, h);
  }

  const steps = (l, h, ctrl) => ({
    ArrowLeft: [l, h - 1], ArrowRight: [l, h + 1], ArrowUp: [l - 1, h], ArrowDown: [l + 1, h],
    Home: [ctrl ? 0 : l, 0], End: [ctrl ? layers - 1 : l, heads - 1], PageUp: [0, h], PageDown: [layers - 1, h],
  });
  const target = (event) => event.target.closest("td");
  table.addEventListener("keydown", (event) => {
    const step = steps(at[0], at[1], event.ctrlKey || event.metaKey)[event.key];
    if (step) grid.focus(...step);
    else if (event.key === "Enter") choose(at[0], at[1], event);
    else if (event.key === " ") (toggle || open)(...at);
    else return;
    event.preventDefault();
  });
  table.addEventListener("click", (event) => {
    const cellOf = target(event);
    if (!cellOf) return;
    choose(Number(cellOf.dataset.l), Number(cellOf.dataset.h), event);
    cellOf.focus();
  });
  const look = (event) => { const c = target(event); if (c) say(Number(c.dataset.l), Number(c.dataset.h)); };
  table.addEventListener("pointerover", look);
  table.addEventListener("focusin", (event) => { look(event); const c = target(event); if (c) reach(Number(c.dataset.l), Number(c.dataset.h)); });
  table.addEventListener("pointerleave", sayOpen);

  of(...at).element.tabIndex = 0;
  grid.redraw();
  return grid;
};
