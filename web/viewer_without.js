/* The texts' probabilities without the heads that are switched off: their direct effect at once, computed from the scores; their total
 * effect when the network has been run without them. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, term = (...args) => clipspan.words.term(...args);

  viewer.withoutHeads = () => {
    const element = el("section", { class: "without", "aria-label": "Without heads" });
    const ask = clipspan.server.latest();
    let run = null; /* {key, status, answer, error} */

    const key = () => JSON.stringify([viewer.state.model, viewer.held.id, viewer.state.off, viewer.by(), viewer.asked()]);
    async function start() {
      const mine = { key: key(), status: "loading" };
      run = mine;
      refresh();
      try {
        const texts = viewer.asked().map((each) => each.text);
        const answer = await viewer.again(viewer.state.image, (held) =>
          ask("scores", { model: viewer.state.model, image: held.id, texts, off: [...viewer.off()].join(","), by: viewer.by(), run: true }));
        if (run === mine) run = { ...mine, status: answer ? "ready" : "none", answer };
      } catch (error) {
        if (run === mine) run = { ...mine, status: "failed", error };
      }
      refresh();
    }

    function table(found, ran) {
      const many = found.length > 1, format = many ? viewer.chance : viewer.cosine;
      const of = many ? (text, key) => text[`probability${key}`] : (text, key) => text[`cosine${key}`];
      const number = (value) => el("td", { class: "number" }, format(value));
      return el("table", { class: "without-table" },
        el("caption", null, many ? term("probability") : term("cosine"), " of each text"),
        el("thead", null, el("tr", null, el("th", { scope: "col" }, "text"), el("th", { scope: "col", class: "number" }, "all heads"),
          el("th", { scope: "col", class: "number" }, term("direct", "without: direct")), el("th", { scope: "col", class: "number" }, term("total", "without: run again")))),
        el("tbody", null, found.map((text, i) => el("tr", null, el("th", { scope: "row" }, text.text), number(of(text, "")), number(of(text, "_off")),
          ran ? number(of(ran.texts[i], "_run")) : el("td", { class: "number soft" }, "–")))));
    }

    const refresh = () => viewer.keepFocus(element, build);
    function build() {
      const off = viewer.off(), found = viewer.without(off), count = off.size;
      if (run && run.key !== key()) run = null;
      if (!found || !count) return clipspan.fill(element, el("p", { class: "small soft" }, "All heads are on. ", el("kbd", null, "Space"), " on a cell switches it off."));
      const chips = [...off].map((name) => el("button", { class: "chip off-chip", type: "button", "aria-label": `Switch ${name} on again`, on: { click: () => viewer.toggleHead(name) } }, name, el("span", { "aria-hidden": "true" }, " ×")));
      const by = viewer.model().store ? viewer.radios({ name: "by", legend: "In their place", value: viewer.by(), options: [["mean", "their mean over the store"], ["zero", "nothing"]],
        on: (value) => viewer.set({ by: value }, { step: true }) }).element : null;
      return clipspan.fill(element,
        el("h3", null, `Without ${count} ${count === 1 ? "head" : "heads"}`),
        el("div", { class: "row chips" }, chips, el("button", { class: "button slim", type: "button", on: { click: () => viewer.set({ off: [] }, { step: true }) } }, "All on")),
        by, table(found, run && run.answer),
        run && run.status === "failed" ? clipspan.server.failure(run.error, start)
          : el("button", { class: "button slim", type: "button", disabled: Boolean(run) && run.status !== "none", on: { click: start } },
            run && run.status === "loading" ? "Running…" : run && run.answer ? "Network was run without them" : "Run the network without them"),
        run && run.answer ? el("p", { class: "small soft" }, "Run again, their writing is replaced at the class token alone, not at the patches (clipspan ablate --total --at class).") : null);
    }
    return { element, refresh, ran: () => (run && run.key === key() ? run.answer : null) };
  };
})();
