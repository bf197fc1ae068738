/* The store's images that are nearest to the image or to a text, as a whole or in the space of some heads. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, term = (...args) => clipspan.words.term(...args);
  const COUNT = 18;

  viewer.headsField = ({ label, value, placeholder, on }) => {
    const field = el("input", { type: "text", value, placeholder, autocomplete: "off", spellcheck: "false", class: "heads-field" });
    field.addEventListener("change", () => on(field.value.trim()));
    return { element: el("label", { class: "field" }, el("span", { class: "soft small" }, label), field), field };
  };

  viewer.nearestPanel = () => {
    if (!viewer.server.models.some((each) => each.store && !each.store.moments_only)) return null;
    let answer = null, asked = null, asking = 0;
    const ask = clipspan.server.latest();
    const query = () => {
      const { near, space } = viewer.state, look = viewer.look();
      return { ...(near === "text" && look ? { text: look.text } : {}), ...(space ? { heads: space } : {}), count: COUNT };
    };
    const command = () => {
      const { near, space } = viewer.state, held = viewer.held, look = viewer.look();
      const what = near === "text" && look ? `-t ${viewer.command.quote(look.text)}` : held.row !== undefined ? `--row ${held.row}` : `--image ${viewer.command.quote(held.name || "IMAGE")}`;
      return `clipspan retrieve ${viewer.command.store()} ${what} -k ${COUNT}${space ? ` --heads ${viewer.command.quote(space)}` : ""} --png nearest.png`;
    };
    const table = () => [["space", "rank", "row", "name", "score"], ...answer.spaces.flatMap((each) => each.nearest.map((one, i) => [each.space, i + 1, one.row, one.name, one.score]))];
    const panel = viewer.panel({ id: "nearest", title: "Nearest images",
      lead: ["The store’s images that are most like it, as the whole model sees them or in ", term("space", "a head’s space"), "."],
      save: { picture: () => panel.body, csv: table, json: () => answer, command } });
    const near = viewer.radios({ name: "near", legend: "Nearest to", value: viewer.state.near, options: [["image", "the image"], ["text", "the text"]], on: (value) => viewer.set({ near: value }, { step: true }) });
    const space = viewer.headsField({ label: "In the space of", value: viewer.state.space || "", placeholder: "the whole representation", on: (value) => viewer.set({ space: value || null }, { step: true }) });
    const shortcuts = el("div", { class: "row chips" });
    panel.controls.append(near.element, space.element, shortcuts);

    function offer() {
      const { head, space: now } = viewer.state;
      const chip = (value, words) => el("button", { class: "chip idea", type: "button", on: { click: () => viewer.set({ space: value }, { step: true }) } }, words);
      viewer.keepFocus(shortcuts, () => clipspan.fill(shortcuts, now ? chip(null, "the whole") : null, head && head !== now ? chip(head, `${head}, the open head`) : null));
    }

    function show() {
      const list = answer.spaces[0].nearest, unit = answer.similarity === "cosine" ? "cosine" : "inner product";
      const of = asked.near === "text" ? viewer.quoted(asked.text) : asked.name, { space: where } = answer.spaces[0];
      const within = where === "the whole representation" ? where : `the space of ${where}`;
      panel.show(el("p", { class: "small soft" }, `${of}, in ${within}. Below each: its ${unit}.`),
        el("div", { class: "tiles" }, list.map((each) => viewer.tile({ row: each.row, name: each.name, caption: clipspan.number(each.score), pictured: viewer.pictured() }))));
    }

    async function refresh() {
      const turn = ++asking;
      offer();
      near.set(viewer.state.near);
      near.enable("text", Boolean(viewer.look()));
      if (document.activeElement !== space.field) space.field.value = viewer.state.space || "";
      if (!viewer.searched()) { ask.stop(); answer = null; return panel.empty("This model has no store of images.", "Images can be found in the other model’s."); }
      if (viewer.held.status === "failed") { ask.stop(); answer = null; return panel.empty("There is no image to look at.", "Drop or choose one."); }
      if (viewer.held.status !== "ready") { if (!answer) panel.wait("12rem"); return null; }
      if (answer) panel.busy(true); else panel.wait("12rem");
      const mine = { near: viewer.state.near === "text" && viewer.look() ? "text" : "image", name: viewer.held.name, text: viewer.look() && viewer.look().text };
      try {
        const got = await viewer.again(viewer.state.image, (held) => {
          const of = query().text ? {} : held.row !== undefined ? { row: held.row } : { image: held.id };
          return ask("nearest", { model: viewer.state.model, ...of, ...query() });
        });
        if (!got || turn !== asking) return null;
        answer = got;
        asked = mine;
        panel.busy(false);
        show();
      } catch (error) {
        if (turn !== asking) return null;
        panel.busy(false);
        if (error.kind === "gone" && answer) return null;
        answer = null;
        panel.failed(error, refresh);
      }
      return null;
    }
    const later = clipspan.debounce(250, refresh);
    viewer.on((changed) => {
      if (changed("held", "near", "space", "model")) refresh();
      else if (changed("texts", "look") && viewer.state.near === "text") later();
      else if (changed("head")) offer();
      near.enable("text", Boolean(viewer.look()));
    });
    refresh();
    return panel.element;
  };
})();
