/* The report page: its frame, its state, and the order of its sections. docs/report.md says what the data holds.
 *
 * A section's script adds to clipspan.report.sections:
 *   {id, kinds: [kind, ...], title, short (in the contents), intro(place) ?, draw(place, of)}
 *   drawn where a side has one of `kinds`; of[kind] is an array of {kind, command, data}; draw returns nodes
 * A place is one side of the page: {side, index, two, level, first(kind), picture(row), openHead(name), headLink(name), shared}. */
"use strict";
(function () {
  const el = (...args) => clipspan.el(...args);
  const FORMAT = "clipspan report 1";

  const modelOf = (side) => (side.model && side.model.name) || (side.store && side.store.model) || "a model";
  /* The model's name; where two sides have one model, the last part that tells their images' paths apart, too. */
  function nameOf(side, sides) {
    const other = sides.find((s) => s !== side);
    if (!other || modelOf(other) !== modelOf(side)) return modelOf(side);
    const parts = (s) => ((s.store && s.store.images_path) || "").split("/").reverse(), mine = parts(side), theirs = parts(other);
    const told = mine.find((part, i) => part && part !== theirs[i]);
    return `${modelOf(side)}${told ? `, ${told}` : sides[0] === side ? ", first store" : ", second store"}`;
  }

  function readData() {
    const element = document.getElementById("data");
    if (!element) throw new Error("It holds no data.");
    let data;
    try { data = JSON.parse(element.textContent); } catch (broken) { throw new Error("Its data is cut off or broken."); }
    if (data.format !== FORMAT) throw new Error(`Its data is in the format "${data.format}", and this page reads "${FORMAT}".`);
    if (!Array.isArray(data.sides) || data.sides.length === 0) throw new Error("It holds no store.");
    return data;
  }

  function placeOf(side, index, data, shared) {
    const first = (kind) => { const s = side.sections.find((each) => each.kind === kind); return s ? s.data : null; };
    const key = (name) => (index === 0 ? name : name + (index + 1));
    return {
      side, index, two: data.sides.length > 1, shared, first, key, level: data.sides.length > 1 ? 4 : 3, name: nameOf(side, data.sides),
      commandOf: (kind) => (side.sections.find((each) => each.kind === kind) || {}).command,
      picture: (row, name) => (side.pictures && side.pictures[row] ? side.pictures[row] : null),
      file: (what) => `${data.sides.length > 1 ? `${index + 1}-` : ""}${what}`,
      openHead: () => {},
      headLink(name) {
        if (!clipspan.headOf(name)) return name;
        return el("a", { class: "head-link numbers", href: clipspan.address.link({ [key("head")]: name, [key("with")]: null }), on: {
          click: (event) => { if (event.ctrlKey || event.metaKey || event.shiftKey) return; event.preventDefault(); this.openHead(name,
            true); } } }, name);
      },
    };
  }

  const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

  function failure(what, error) {
    return clipspan.notice(`${what} could not be drawn.`,
      `Its data is not as expected (${error.message}). Write the report anew with the same version of clipspan; if it comes back, tell us with this line.`, true);
  }

  function drawSide(section, place) {
    const of = {}, kinds = section.kinds;
    for (const kind of kinds) of[kind] = place.side.sections.filter((s) => s.kind === kind);
    if (!kinds.some((kind) => of[kind].length > 0)) return null;
    try { return section.draw(place, of); } catch (error) { return failure(section.title, error); }
  }
  /* What a section lacks; what of the heads is not known is said once, beside their grid. */
  const missing = (section, place) => (section.id === "first" && place.first("heads") ? []
    : (place.side.absent || []).filter((a) => section.kinds.includes(a.kind)));

  function drawSection(section, places) {
    const parts = places.map((place) => [place, drawSide(section, place), missing(section, place)]);
    if (parts.every(([, drawn]) => !drawn)) return null; /* why, says the last section */
    const bodies = parts.map(([place, drawn, absent]) => el("div", { class: "side" },
      place.two ? el("h3", { class: "side-name" }, place.name) : null, drawn,
      absent.length === 0 ? null : clipspan.notice(drawn ? "Not everything is shown here." : "Not in this report.",
        [...new Set(absent.map((a) => sentence(a.why)))].join(" ")),
      !drawn && absent.length === 0 ? clipspan.notice("Not in this report.", "Only the other store was asked for this.") : null));
    return el("section", { id: section.id, class: `part part-${section.id}`, "aria-labelledby": `${section.id}-title` },
      el("div", { class: "part-head" }, el("h2", { id: `${section.id}-title`, tabindex: -1 }, section.title),
        section.intro ? el("p", { class: "soft" }, section.intro(places[0])) : null,
        section.id === "first" && places.length === 1 && places[0].side.sample
          ? el("p", { class: "soft small" }, sentence(places[0].side.sample)) : null),
      el("div", { class: "sides" }, bodies));
  }

  /* Model and data at a glance; of two sides, the one's above the other's. */
  const GLANCE = [
    ["model", (place) => place.two && place.name],
    ["images", ({ side: { store } }) => store && clipspan.count(store.images)],
    ["heads", ({ side: { store } }) => store && `${clipspan.count(store.layers * store.heads)} in ${store.layers} layers`],
    ["parameters", ({ side: { model } }) => model && `${clipspan.number(model.parameters / 1e6, 3)} million`],
    ["sees", ({ side: { model } }) => model && `${model.image_size} \u00d7 ${model.image_size} pixels, patches of ${model.patch_size}`],
    ["zero-shot top-1", (place) => { const doc = place.first("classify"); return doc && doc.top1 !== null && clipspan.percent(doc.top1); }],
  ];
  const glance = (places) => GLANCE.map(([name, of]) => [name, places.map(of)]).filter(([, values]) => values.some(Boolean))
    .map(([name, values]) => el("div", null, el("dt", null, name), values.map((v) => el("dd", { class: "numbers" }, v || "\u2013"))));

  function lead(places) {
    if (places.length > 1) return `Side by side: ${places.map((p) => p.name).join(" and ")}.`;
    const heads = places[0].first("heads");
    return heads && heads.pool ?
      `What each attention head of the image encoder writes, said in texts from a pool of ${clipspan.count(heads.pool.texts)}, and shown in the images that it writes them for.` :
      "What each attention head of the image encoder writes.";
  }

  function known(side, level) {
    const words = (v) => (Array.isArray(v) ? v.join(", ") : typeof v === "boolean" ? (v ? "yes" : "no") : v === "" ? "\u2013" : String(v));
    const list = (of, title) => (of ? [el("h" + level, null, title),
      el("dl", { class: "known" }, Object.entries(of).map(([k, v]) =>
        el("div", null, el("dt", null, k.replace(/_/g, " ")), el("dd", { class: "numbers" }, words(v)))))] : null);
    return [list(side.model, "The model"), list(side.store, "The store")];
  }

  /* What is not here: by its section's title, or its own name within one. */
  function nameOfKind(kind) {
    const section = [...clipspan.report.sections].reverse().find((s) => s.kinds[0] === kind);
    return section ? section.title : kind.replace("-", " ");
  }
  const absences = ({ side, level }) => ((side.absent || []).length ? [el("h" + level, null, "What is not here, and why"),
    el("ul", { class: "plain-list" }, side.absent.map((a) => el("li", null, el("strong", null, nameOfKind(a.kind)), ": ", sentence(a.why)))),
    side.store && side.store.moments_only ? el("p", null, "For these, decompose the images again without --moments.") : null] : null);

  function about(data, places) {
    return el("section", { id: "about", class: "part part-about", "aria-labelledby": "about-title" },
      el("div", { class: "part-head" }, el("h2", { id: "about-title", tabindex: -1 }, "About this report")),
      el("div", { class: "sides" }, places.map((place) => el("div", { class: "side" },
        place.two ? el("h3", { class: "side-name" }, place.name) : null,
        place.side.sample ? el("p", null, sentence(place.side.sample)) : null,
        el("details", { class: "made" }, el("summary", null, "All that is known of model and store"), known(place.side, place.level)),
        absences(place)))),
      el("details", { class: "made", id: "words" }, el("summary", null, "The words used here"), clipspan.words.list()),
      el("p", { class: "soft small" }, `Written by clipspan ${data.version}. The file is whole in itself: it loads nothing and sends nothing.`));
  }

  function contents(sections) {
    const go = (id) => (event) => {
      event.preventDefault();
      clipspan.address.write({ at: id });
      show(id);
    };
    return el("ul", null, sections.map((s) => el("li", null,
      el("a", { href: clipspan.address.link({ at: s.id }), on: { click: go(s.id) } }, s.short))));
  }
  function show(id) {
    const title = document.getElementById(`${id}-title`);
    if (!title) return;
    title.closest("section").scrollIntoView();
    title.focus({ preventScroll: true });
  }

  /* On paper everything that is folded away is unfolded. */
  function unfoldForPrint() {
    let opened = [];
    addEventListener("beforeprint", () => {
      clipspan.words.close();
      opened = [...document.querySelectorAll("details.made:not([open]), details.all-heads:not([open])")];
      for (const details of opened) { details.open = true; if (details.fillNow) details.fillNow(); }
    });
    addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
  }

  function start() {
    clipspan.theme(document.getElementById("theme"));
    const main = document.getElementById("main");
    let data;
    try { data = readData(); } catch (error) {
      document.getElementById("contents").remove();
      clipspan.fill(main, clipspan.notice("This report cannot be read.",
        [error.message, " Ask the sender for the file again, or write it anew: ",
          el("code", { class: "command" }, "clipspan report STORE -o report.html")], true));
      return;
    }
    const shared = { redraw: [] }, places = data.sides.map((side, i) => placeOf(side, i, data, shared));
    shared.places = places;
    document.title = `${data.title} \u2013 clipspan report`;
    document.getElementById("title").textContent = data.title;
    document.getElementById("lead").textContent = lead(places);
    clipspan.fill(document.getElementById("glance"), glance(places));
    const drawn = clipspan.report.sections.map((section) => [section, drawSection(section, places)]).filter(([, node]) => node);
    clipspan.fill(main, drawn.map(([, node]) => node), about(data, places));
    clipspan.fill(document.getElementById("contents"), contents([...drawn.map(([section]) => section), { id: "about", short: "About" }]));
    clipspan.address.onChange((state) => { for (const f of shared.redraw) f(state); if (state.at) show(state.at); });
    const state = clipspan.address.read();
    if (state.at) show(state.at);
    unfoldForPrint();
  }

  clipspan.report = Object.assign(clipspan.report || { sections: [] }, { start });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
