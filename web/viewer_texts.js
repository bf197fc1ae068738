/* The texts: a field each, its probability below it, which of them the maps are of, and which is taken from it. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el;
  let rows = [];

  function setTexts(texts, more = {}) {
    viewer.set({ texts: texts.length ? texts : [""], ...more });
  }
  function type(index, text) {
    setTexts(viewer.state.texts.map((each, i) => (i === index ? text.replace(/[\r\n]+/g, " ") : each)));
  }
  const after = (kept, gone) => (typeof kept !== "number" ? kept : kept === gone ? null : kept > gone ? kept - 1 : kept);
  function remove(index) {
    const { texts, look, minus } = viewer.state;
    setTexts(texts.filter((_, i) => i !== index), { look: after(look, index) || 0, minus: after(minus, index) });
    const next = rows[Math.min(index, rows.length - 1)];
    if (next) next.field.focus();
  }
  function add(text = "") {
    const texts = viewer.state.texts, blank = texts.findIndex((each) => !each.trim());
    if (text && blank >= 0) type(blank, text);
    else setTexts([...texts, text]);
    if (!text) rows[rows.length - 1].field.focus();
  }

  const PLACEHOLDERS = ["a photo of a dog", "a photo of a cat", "another text"];
  function makeRow(index) {
    const look = el("input", { type: "radio", name: "look", "aria-label": `Show maps and heads of text ${index + 1}`,
      on: { change: () => viewer.set({ look: index, minus: viewer.state.minus === index ? null : viewer.state.minus }, { step: true }) } });
    const field = el("input", { type: "text", "aria-label": `Text ${index + 1}`, placeholder: PLACEHOLDERS[Math.min(index, 2)], autocomplete: "off", spellcheck: "false", dir: "auto",
      maxlength: viewer.server.limits.text_bytes || null,
      on: { input: () => type(index, field.value), keydown: (event) => { if (event.key === "Enter") add(); } } });
    const gone = el("button", { class: "text-remove", type: "button", "aria-label": `Remove text ${index + 1}`, on: { click: () => remove(index) } }, "×");
    const bar = el("div", { class: "text-bar", "aria-hidden": "true" }, el("span", { class: "text-now" }), el("span", { class: "text-before" }));
    const said = el("div", { class: "text-numbers small numbers" });
    const element = el("li", { class: "text" }, el("label", { class: "text-look", title: "Show the maps and heads of this text" }, look), field, gone, bar, said);
    return { element, look, field, bar, said, gone };
  }

  /* A probability with what can be told of it: "98.2 %", "0.42 %", "< 0.01 %". */
  viewer.chance = (p) => (p > 0 && p < 5e-5 ? "<\u202f0.01\u202f%" : clipspan.percent(p, p < 0.01 ? 2 : 1));

  /* A cosine to three places: "0.291". */
  viewer.cosine = (x) => (Math.abs(x) < 5e-4 ? "0.000" : x.toFixed(3).replace("-", "\u2212"));

  function numbers(row, found, many, some) {
    row.element.classList.toggle("known", Boolean(found));
    row.bar.style.setProperty("--now", found && many ? found.probability_off : 0);
    row.bar.style.setProperty("--before", found && many && some ? found.probability : 0);
    if (!found) return clipspan.fill(row.said, "\u00a0");
    const arrow = (before, now, format) => (some ? `${format(before)} → ${format(now)}` : format(now));
    return clipspan.fill(row.said,
      many ? [el("strong", null, arrow(found.probability, found.probability_off, viewer.chance)), " "] : "",
      el("span", { class: "soft" }, "cosine ", arrow(found.cosine, found.cosine_off, viewer.cosine)));
  }

  function refresh() {
    const off = viewer.off(), found = viewer.without(off), look = viewer.look(), minus = viewer.minus();
    const many = Boolean(found) && found.length > 1;
    rows.forEach((row, index) => {
      const text = viewer.state.texts[index];
      if (row.field.value !== text && (document.activeElement !== row.field || row.field.value.trim() !== text.trim())) row.field.value = text;
      row.look.checked = look ? look.index === index : index === 0;
      row.look.disabled = !text.trim();
      row.gone.hidden = rows.length < 2;
      row.element.classList.toggle("looked", Boolean(look) && look.index === index);
      row.element.classList.toggle("against", Boolean(minus) && minus.index === index);
      numbers(row, text.trim() ? found && found.find((each) => each.index === index) : null, many, off.size > 0);
    });
  }

  function makeAgainst() {
    const select = el("select", { id: "against", on: { change: () => {
      const value = select.value;
      viewer.set({ minus: value === "" ? null : value === "mean" ? value : Number(value) }, { step: true });
    } } });
    const swap = el("button", { class: "button slim", type: "button", title: "Swap the two texts", "aria-label": "Swap the two texts",
      on: { click: () => viewer.set({ look: viewer.minus().index, minus: viewer.look().index }, { step: true }) } }, "⇅");
    function refreshAgainst() {
      const look = viewer.look(), asked = viewer.asked(), minus = viewer.minus();
      const option = (value, words) => el("option", { value }, words);
      clipspan.fill(select, option("", "nothing"), asked.length > 1 ? option("mean", "the mean of the texts") : null,
        asked.filter((each) => !look || each.index !== look.index).map((each) => option(String(each.index), viewer.quoted(each.text))));
      select.value = minus ? (minus.mean ? "mean" : String(minus.index)) : "";
      select.disabled = asked.length < 2;
      swap.disabled = !minus || minus.mean === true;
    }
    return { element: el("div", { class: "against-line" }, el("label", { for: "against", class: "small" }, "Shown against"), select, swap), refresh: refreshAgainst };
  }

  viewer.textsCard = (holder) => {
    const list = el("ol", { class: "text-list" }), against = makeAgainst(), ideas = el("div", { class: "ideas" });
    const adder = el("button", { class: "button slim", type: "button", on: { click: () => add() } }, "Add a text");
    const note = el("p", { class: "small soft" });
    clipspan.fill(holder, el("h2", null, "Texts"), list, el("div", { class: "row" }, adder), against.element, note, ideas);

    function keepRows() {
      const count = viewer.state.texts.length;
      while (rows.length > count) rows.pop().element.remove();
      while (rows.length < count) { rows.push(makeRow(rows.length)); list.append(rows[rows.length - 1].element); }
      return count;
    }
    function rebuild() {
      const count = keepRows();
      adder.disabled = count >= (viewer.server.limits.texts || Infinity);
      refresh();
      against.refresh();
      showIdeas(ideas);
      clipspan.fill(note, viewer.asked().length > 1 ? [clipspan.words.term("probability"), " over these texts; ", clipspan.words.term("cosine")]
        : "Two texts or more are weighed against each other.");
    }
    viewer.on((changed) => {
      if (changed("texts", "look", "minus", "suggested")) rebuild();
      else if (changed("scores", "off", "by", "model")) { keepRows(); refresh(); }
    });
    rebuild();
  };

  /* Texts that the store's heads are known for, to try with a click. */
  viewer.suggested = [];
  function showIdeas(holder) {
    const typed = viewer.state.texts.map((each) => each.trim()), left = viewer.suggested.filter((text) => !typed.includes(text)).slice(0, 5);
    viewer.keepFocus(holder, () => clipspan.fill(holder, left.length ? el("span", { class: "small soft" }, "Try ") : null,
      left.map((text) => el("button", { class: "chip idea", type: "button", on: { click: () => add(text) } }, text))));
  }
})();
