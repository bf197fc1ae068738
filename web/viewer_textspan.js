/* TextSpan with a pool pasted in: which of these texts say best what a head writes. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, term = (...args) => clipspan.words.term(...args);

  const lines = (text) => [...new Set(text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean))];

  viewer.textspanPanel = () => {
    if (!viewer.server.models.some((each) => each.store)) return null;
    const limit = viewer.server.limits.pool_texts, ask = clipspan.server.latest();
    let answer = null, asked = null; /* {pool, heads, size} of the answer */
    const command = () => `clipspan textspan ${viewer.command.store()} --texts - --heads ${viewer.command.quote(asked.heads)} --size ${asked.size} ${viewer.command.lines(asked.pool)}`;
    const table = () => [["head", "pick", "text", "explained", "score"], ...answer.heads.flatMap((head) => head.texts.map((each, i) => [head.name, i + 1, each.text, each.explained, each.score]))];
    const panel = viewer.panel({ id: "textspan", title: "Texts of your own",
      lead: [term("textspan"), " picks, from the texts you paste, those that say best what a head writes. It looks at all the store’s images, not at this one alone."],
      save: { picture: () => panel.body, csv: table, json: () => answer, command } });

    const pool = el("textarea", { id: "pool", rows: 7, spellcheck: "false", placeholder: "a text a line\na red shape\na small shape\nsnow" });
    const said = el("span", { class: "small soft", role: "status" });
    const heads = viewer.headsField({ label: "Heads", value: viewer.state.head || "last:1", placeholder: "L4.H3, last:2", on: () => null });
    const size = el("select", null, [1, 3, 5, 10, 20].map((n) => el("option", { value: n, selected: n === 5 }, String(n))));
    const go = el("button", { class: "button first", type: "submit" }, "Find their texts");
    const known = el("button", { class: "button slim", type: "button", hidden: true, on: { click: () => { pool.value = knownTexts().join("\n"); count(); } } }, "Start from the heads’ texts");
    const form = el("form", { class: "pool-form", on: { submit: (event) => { event.preventDefault(); run(); } } },
      el("label", { class: "field", for: "pool" }, el("span", { class: "soft small" }, "Pool of texts")), pool,
      el("div", { class: "spread" }, said, known),
      el("div", { class: "row" }, heads.element, el("label", { class: "field" }, el("span", { class: "soft small" }, "Texts a head"), size), go));
    panel.controls.append(form);

    const knownTexts = () => [...new Set((viewer.heads ? viewer.heads.heads : []).flatMap((head) => (head.texts || []).map((each) => each.text)))];
    function count() {
      const found = lines(pool.value).length, over = limit && found > limit;
      said.textContent = over ? `${clipspan.count(found)} texts; the server takes at most ${clipspan.count(limit)}` : `${clipspan.count(found)} different ${found === 1 ? "text" : "texts"}`;
      go.disabled = found < 2 || Boolean(over);
    }
    pool.addEventListener("input", count);
    count();

    function one(head) {
      return el("article", { class: "span-head" }, el("header", { class: "spread" },
        el("h3", null, el("button", { class: "link", type: "button", on: { click: () => { viewer.set({ head: head.name }, { step: true }); viewer.reveal("heads"); } } }, head.name)),
        el("span", { class: "small soft numbers" }, `${clipspan.percent(head.explained, 0)} of its variance explained`)),
      clipspan.head.texts(head, answer), viewer.pictured() && head.texts[0] && head.texts[0].images
        ? el("div", { class: "tiles small-tiles" }, head.texts[0].images.slice(0, 8).map((each) => viewer.tile({ row: each.row, name: each.name }))) : null);
    }
    const begin = () => panel.empty("Paste texts, choose heads.", "Words that may tell what the head looks at: colours, places, materials, moods. Hundreds are better than ten.");
    async function run() {
      const mine = { pool: lines(pool.value), heads: heads.field.value.trim() || "last:1", size: Number(size.value) };
      panel.wait("16rem");
      go.disabled = true;
      try {
        const got = await ask("textspan", { model: viewer.state.model, ...mine });
        if (!got) return;
        answer = got;
        asked = mine;
        panel.show(el("div", { class: "span-heads" }, answer.heads.map(one)));
        clipspan.announce(`Texts of ${answer.heads.length} heads found`);
      } catch (error) {
        panel.failed(error, run);
      }
      count();
    }
    viewer.on((changed) => {
      if (changed("head") && viewer.state.head) heads.field.value = viewer.state.head;
      if (changed("model")) { ask.stop(); begin(); count(); } /* what stood here was of the other model's heads */
      if (changed("known")) known.hidden = !knownTexts().length;
    });
    begin();
    return panel.element;
  };
})();
