/* The report's first two sections: the heads that say most, and the grid with the open head. */
"use strict";
clipspan.report = clipspan.report || { sections: [] };
(function () {
  const el = (...args) => clipspan.el(...args), term = (...args) => clipspan.words.term(...args);
  const SHOWN = 5, IMAGES = 8;
  const excess = (head) => (head.role && head.excess ? head.excess[head.role] : null);

  /* The heads worth seeing first: those whose first text says most about them, and steadily; where roles are known, those that
   * also tell theirs best, one of each role before a second of any. No text comes twice. Heads that hardly vary are passed over. */
  function worth(doc) {
    const able = doc.heads.filter((h) => h.texts && h.texts.length && h.share * doc.heads.length > 0.2);
    const score = (h) => h.texts[0].explained * (h.texts[0].stability ?? 1) * (h.role ? excess(h) : 1);
    const once = (heads, of) => { const seen = new Set(); return heads.filter((h) => !seen.has(of(h)) && seen.add(of(h))); };
    const distinct = once([...able].sort((a, b) => score(b) - score(a)), (h) => h.texts[0].text);
    return [...new Set([...once(distinct, (h) => h.role || h.name), ...distinct])].slice(0, SHOWN);
  }

  const quoted = ({ text }) => ["\u201c", el("bdi", null, text), "\u201d"];
  function story(head, place) {
    const text = head.texts[0], images = head.activation ? head.activation.most.slice(0, IMAGES) : [];
    return el("li", { class: "story" },
      el("div", { class: "story-words" },
        el("h" + place.level, { class: "story-text" }, quoted(text)),
        el("p", { class: "small soft numbers" }, place.headLink(head.name), head.role ? ` tells ${head.role}` : "",
          ` \u00b7 the text explains ${clipspan.percent(text.explained, 0)} of its variance`),
        head.texts.length > 1 ? el("p", { class: "small soft" }, "then ",
          head.texts.slice(1, 3).map((t, i) => [i ? ", " : "", quoted(t)])) : null),
      images.length ? el("ul", { class: "images story-images" }, images.map((i) => {
        const at = place.picture(i.row, i.name);
        return el("li", null, at ? el("img", { src: at.src, alt: i.name, width: at.width, height: at.height })
          : el("span", { class: "no-picture" }, el("span", null, i.name)));
      })) : null);
  }

  function stories(place, of) {
    const doc = of.heads[0].data, chosen = worth(doc);
    if (chosen.length === 0)
      return clipspan.notice("No head has texts yet.", ["Write the report with a pool of texts: ",
        el("code", { class: "command" }, "clipspan report STORE --texts POOL -o report.html")]);
    return el("ol", { class: "stories" }, chosen.map((head) => story(head, place)));
  }

  clipspan.report.sections.push({
    id: "first", kinds: ["heads"], title: "Heads that say it plainly", short: "Highlights",
    intro: () => ["Each line is one ", term("head"),
      ": the text that its writing varies along most, and the images where it writes this text most strongly."],
    draw: stories,
  });

  /* What the grid can show: each a name, what a cell is, and a legend. */
  function colourings(place) {
    const all = place.shared.places.map((p) => p.first("heads")).filter(Boolean), list = [];
    const limit = Math.max(...all.flatMap((doc) => doc.heads.map((h) => h.share)).filter(Number.isFinite));
    list.push({ key: "share", name: "share of variance", word: "share",
      ...scaled("most", limit, (h) => h.share, "share of the variance of all heads", (v) => clipspan.percent(v, limit < 0.02 ? 2 : 1),
        "of all heads' variance") });
    const effects = place.shared.places.flatMap((p) => [...effectsOf(p).values()].map(logit)).filter(Number.isFinite);
    if (effects.length) {
      const most = Math.max(...effects.map(Math.abs)), mine = effectsOf(place);
      list.push({ key: "effect", name: "direct effect", word: "direct",
        ...scaled("zero", most, (h) => (mine.has(h.name) ? logit(mine.get(h.name)) : null),
          "direct effect: right class's logit lost without the head",
        (v) => clipspan.signed(v, 2), "logit lost without it", ["helps without", "worth having"]) });
    }
    if (all.some((doc) => doc.heads.some((h) => h.role))) list.push({ key: "role", name: "role", word: "role", ...byRole(all) });
    return list;
  }

  const logit = (effect) => (effect.direct && effect.direct.logit_drop ? effect.direct.logit_drop.value : null);
  function effectsOf(place) {
    const doc = place.first("ablate"), map = new Map();
    if (doc && Array.isArray(doc.ablations)) for (const a of doc.ablations) if (a.kind === "head") map.set(a.name, a);
    return map;
  }

  function scaled(kind, limit, value, unit, format, said, [low, high] = []) {
    const colour = clipspan.colours.scale(kind, limit);
    return { cell: (h) => ({ rgb: colour(value(h)), mark: "", said: Number.isFinite(value(h)) ? `${format(value(h))} ${said}` : "not known" }),
      scale: { kind, limit, unit, format, low, high } };
  }

  /* Two letters for each role, all different: the first, and the first later one that makes them so. */
  function lettersOf(roles) {
    const taken = new Set(), out = new Map();
    for (const role of roles) {
      const first = role[0].toUpperCase(), mark = [...role.slice(1), ..."0123456789"].map((c) => first + c).find((m) => !taken.has(m)) || first;
      taken.add(mark);
      out.set(role, mark);
    }
    return out;
  }
  function byRole(docs) {
    const roles = [...new Set(docs.flatMap((doc) => doc.heads.map((h) => h.role)).filter(Boolean))].sort(), marks = lettersOf(roles);
    const rgb = (role) => clipspan.colours.washed(roles.indexOf(role));
    return { cell: (h) => (h.role ? { rgb: rgb(h.role), mark: marks.get(h.role),
      said: `tells ${h.role}, ${clipspan.percent(excess(h), 0)} of its variance beyond chance` } : { rgb: null, mark: "", said: "no role known" }),
      scale: { unit: "the attribute that the head tells best",
        items: roles.map((role) => ({ name: role, mark: marks.get(role), rgb: rgb(role) })) } };
  }

  function allHeads(doc, place) {
    const columns = [["head", (h) => h.layer * 1e4 + h.head, (h) => place.headLink(h.name)],
      ["share of variance", (h) => -h.share, (h) => clipspan.percent(h.share)]];
    if (doc.heads.some((h) => h.role)) columns.push(["role", (h) => h.role || "\uffff", (h) => h.role || ""]);
    columns.push(["first texts", null, (h) => (h.texts || []).slice(0, 3).map((t) => t.text).join("; ")]);
    const body = el("tbody", null), details = el("details", { class: "made all-heads" }, el("summary", null, "All heads as a table"));
    const header = columns.map(([name, by], i) => el("th", { scope: "col", class: i === 1 ? "number" : null },
      by ? el("button", { type: "button", class: "sorter", on: { click: () => fill(i) } }, name) : name));
    function fill(by) {
      const value = columns[by][1], less = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
      header.forEach((th, i) => (i === by ? th.setAttribute("aria-sort", by === 1 ? "descending" : "ascending") : th.removeAttribute("aria-sort")));
      clipspan.fill(body, [...doc.heads].sort(less).map((h) =>
        el("tr", null, columns.map(([, , show], i) => (i === 0 ? el("th", { scope: "row" }, show(h))
          : el("td", { class: i === 1 ? "number" : null }, show(h)))))));
    }
    details.fillNow = () => {
      if (details.childElementCount > 1) return;
      details.append(el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "All heads" },
        el("table", { class: "small" }, el("caption", { class: "visually-hidden" }, "All heads"), el("thead", null, el("tr", null, header)), body)));
      fill(0);
    };
    details.addEventListener("toggle", () => { if (details.open) details.fillNow(); });
    return details;
  }

  function csvOf(doc, effects) {
    const deep = Math.max(0, ...doc.heads.map((h) => (h.texts || []).length)), numbered = Array.from({ length: deep }, (_, i) => i);
    return [["layer", "head", "variance", "share", "rank", "role", "excess", "direct_effect_logit",
      ...numbered.flatMap((i) => [`text_${i + 1}`, `explained_${i + 1}`])],
      ...doc.heads.map((h) => [h.layer, h.head, h.variance, h.share, h.rank, h.role, h.role ? excess(h) : null,
        effects.has(h.name) ? logit(effects.get(h.name)) : null,
        ...numbered.flatMap((i) => (h.texts && h.texts[i] ? [h.texts[i].text, h.texts[i].explained] : [null, null]))])];
  }

  function explorer(place, of) {
    const doc = of.heads[0].data, command = of.heads[0].command, byName = new Map(doc.heads.map((h) => [h.name, h]));
    const headOf = (l, h) => byName.get(clipspan.headName(l, h)), effects = effectsOf(place), ways = colourings(place);
    const mapsDoc = place.first("head-maps"), keys = { first: place.key("head"), second: place.key("with") };
    const shown = { first: null, second: null, way: ways[0] };
    const legend = el("div", { class: "explorer-legend" }), panels = { first: el("div", { class: "panel" }),
      second: el("div", { class: "panel panel-second" }) };

    const grid = clipspan.grid({ layers: doc.layers, heads: doc.heads_a_layer, name: `Heads of ${place.name}`,
      cell: (l, h) => (headOf(l, h) ? shown.way.cell(headOf(l, h)) : { rgb: null, mark: "", said: "not known" }),
      open: (l, h) => choose("first", clipspan.headName(l, h)), second: (l, h) => choose("second", clipspan.headName(l, h)) });
    const whole = el("div", { class: "explorer" });

    const mapsNamed = (name) => (mapsDoc ? mapsDoc.maps.filter((m) => m.head === name) : []);
    /* Two heads beside each other have their maps on one scale. */
    function mapsOf(head) {
      const maps = mapsNamed(head.name), all = [...mapsNamed(shown.first), ...mapsNamed(shown.second)];
      return maps.length ? { ...mapsDoc, maps, scale: clipspan.maps.limitOf(all, mapsDoc.side) } : null;
    }
    const compare = el("button", { type: "button", class: "button slim", "aria-pressed": "false" }, "Compare");
    compare.addEventListener("click", () => setMode(grid.mode === "second" ? "open" : "second"));
    function setMode(mode) {
      grid.mode = mode;
      compare.setAttribute("aria-pressed", String(mode === "second"));
      whole.classList.toggle("choosing", mode === "second");
      if (mode === "second") clipspan.announce("Choose the head to compare with in the grid");
    }
    const close = () => el("button", { type: "button", class: "button slim",
      on: { click: () => { choose("second", null); grid.focus(...clipspan.headOf(shown.first)); } } }, "Close");

    function drawPanel(which) {
      const head = byName.get(shown[which]);
      clipspan.fill(panels[which], head ? clipspan.head({ head, doc, picture: place.picture, effect: effects.get(head.name),
        maps: mapsOf(head), level: place.level, command,
        actions: which === "first" ? compare : close() }) : null);
      whole.classList.toggle("comparing", Boolean(shown.second));
    }
    function set(which, name) {
      const known = byName.has(name) ? name : null;
      if (shown[which] === known) return;
      shown[which] = known;
      (which === "first" ? grid.select : grid.second)(known ? clipspan.headOf(known) : null);
      for (const each of mapsDoc ? ["first", "second"] : [which]) drawPanel(each);
    }
    function choose(which, name) {
      setMode("open");
      set(which, name);
      clipspan.address.write({ [keys[which]]: name }, { step: true });
      if (!name) return;
      clipspan.announce(clipspan.head.line(byName.get(name)));
      const panel = panels[which], top = panel.getBoundingClientRect().top;
      if (top > innerHeight * 0.75) panel.scrollIntoView();
    }
    whole.addEventListener("keydown", (event) => { if (event.key === "Escape") setMode("open"); });
    place.openHead = (name) => {
      choose("first", name);
      panels.first.scrollIntoView();
      const title = panels.first.querySelector(".head-name");
      if (title) title.focus({ preventScroll: true });
    };

    function colour(key) {
      shown.way = ways.find((way) => way.key === key) || ways[0];
      grid.redraw();
      clipspan.fill(legend, (shown.way.scale.items ? clipspan.colours.marks : clipspan.colours.legend)(shown.way.scale));
      whole.querySelectorAll(".switch input").forEach((input) => { input.checked = input.value === shown.way.key; });
    }
    const choice = el("fieldset", { class: "switch" }, el("legend", null, "Coloured by"), ways.map((way) => el("label", null,
      el("input", { type: "radio", name: `colour-${place.index}`, value: way.key,
        on: { change: () => { clipspan.address.write({ colour: way.key }); place.shared.redraw.forEach((f) => f(clipspan.address.read())); } } }),
      el("span", null, way.name))));

    const follow = (state) => { colour(state.colour); set("first", state[keys.first] || worthFirst()); set("second", state[keys.second]); };
    const worthFirst = () => (worth(doc)[0] || doc.heads[doc.heads.length - 1]).name;
    const menu = clipspan.save.menu({ name: place.file("heads"), picture: () => [grid.element, legend], csv: () => csvOf(doc, effects),
      json: () => doc, command });
    clipspan.fill(whole, el("div", { class: "explorer-grid" }, el("div", { class: "spread" }, choice, menu), grid.element, legend,
      el("p", { class: "soft small keys" }, "Arrow keys move, ", el("kbd", null, "Enter"), " opens, ", el("kbd", null, "Shift"),
        " with a click or ", el("kbd", null, "Enter"), " compares."),
      el("p", { class: "soft small fingers" }, "A cell opens its head; Compare, then another cell, shows two beside each other."),
      allHeads(doc, place), clipspan.save.made(command, "all heads")), panels.first, panels.second);
    place.shared.redraw.push(follow);
    follow(clipspan.address.read());
    return whole;
  }

  clipspan.report.sections.push({
    id: "heads", kinds: ["heads", "head-maps"], title: "All heads", short: "All heads",
    intro: () => ["A row a ", term("layer"), ", a column a head. Choose one to see all that is known of it."],
    draw: explorer,
  });
})();
