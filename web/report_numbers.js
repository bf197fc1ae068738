/* The report's sections of numbers: ablation, attributes, zero-shot classification, groups. */
"use strict";
clipspan.report = clipspan.report || { sections: [] };
(function () {
  const el = (...args) => clipspan.el(...args), term = (...args) => clipspan.words.term(...args), percent = (...args) => clipspan.percent(...args);
  const interval = (m, format = percent) => (Number.isFinite(m.low) ? `${format(m.low)} to ${format(m.high)}` : "");

  /* A panel: its content, what it exports and how it was made. */
  function panel(place, { name, csv, json, command, title }, ...content) {
    const body = el("div", { class: "panel-body" }, content), chart = body.querySelector("figure.chart-whole");
    return el("div", { class: "panel" }, el("div", { class: title ? "spread panel-head" : "panel-head bare" },
      title ? el("h" + place.level, null, title) : null,
      clipspan.save.menu({ name: place.file(name), picture: () => chart || body, csv, json, command })), body,
        clipspan.save.made(command, title || place.file(name)));
  }
  clipspan.report.panel = panel;

  function table({ caption, header, rows, numbers = 1 }) {
    return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
      el("table", { class: "wide" }, el("caption", { class: "visually-hidden" }, caption),
      el("thead", null, el("tr", null, header.map((h, i) => el("th", { scope: "col", class: i >= numbers ? "number" : null }, h)))),
      el("tbody", null, rows.map((row) => el("tr", null, row.map((cell, i) =>
        (i === 0 ? el("th", { scope: "row" }, cell) : el("td", { class: i >= numbers ? "number" : null }, cell))))))));
  }
  clipspan.report.table = table;

  /* Of every side: what stands side by side has one scale. */
  const sidesOf = (place, kind) => place.shared.places.map((p) => p.first(kind)).filter(Boolean);
  const metric = (a, key) => a.direct[key];
  function curveOf(doc) {
    const points = (kind, start) => [doc.ablations.find((a) => a.kind === start), ...doc.ablations.filter((a) => a.kind === kind)].filter(Boolean)
      .map((a, i) => ({ x: i, y: metric(a, "top1").value, low: metric(a, "top1").low, high: metric(a, "top1").high }));
    return [{ name: "attention replaced", points: points("up_to", "nothing") },
      { name: "attention and all MLPs replaced", points: points("up_to_mlps", "mlps") }].filter((s) => s.points.length > 1);
  }

  function ablation(place, of) {
    const { data: doc, command } = of.ablate[0], by = doc.replaced.by === "zero" ? "zero" : "their mean";
    const series = curveOf(doc), layers = Math.max(...series.map((s) => s.points.length)) - 1;
    const heads = doc.ablations.filter((a) => a.kind === "head").sort((a, b) =>
      metric(b, "logit_drop").value - metric(a, "logit_drop").value).slice(0, 10);
    const all = [["kind", "name", "layer", "head", ...["top1", "top5", "logit", "top1_drop",
      "logit_drop"].flatMap((k) => [k, `${k}_low`, `${k}_high`])],
      ...doc.ablations.map((a) => [a.kind, a.name, a.layer, a.head,
        ...["top1", "top5", "logit", "top1_drop", "logit_drop"].flatMap((k) => [metric(a, k).value, metric(a, k).low, metric(a, k).high])])];
    const common = { json: () => doc, csv: () => all, command };
    const chart = clipspan.charts.curve({ title: `Accuracy when early attention layers are replaced by ${by}`,
      xTitle: "attention layers replaced, from the first on", yTitle: "zero-shot top-1", unit: "share of images",
      series, to: series.some((each) => each.points.some((point) => point.y > 0.5)) ? 1 : undefined,
        xNames: (x) => (x === 0 ? "none" : x === layers ? `all ${layers}` : String(x)), format: (v) => percent(v, 0) });
    const bars = clipspan.charts.bars({ title: "The heads that are worth most", unit: `direct effect: right class's logit lost${doc.resamples ? "; whiskers: 95 % interval" : ""}`,
      limit: Math.max(1e-9, ...sidesOf(place, "ablate").flatMap((d) => d.ablations).filter((a) => a.kind === "head").flatMap((a) =>
        [metric(a, "logit_drop").value, metric(a, "logit_drop").high]).filter(Number.isFinite)), format: (v) => clipspan.signed(v, 2),
      items: heads.map((a) => ({ name: a.name, value: metric(a, "logit_drop").value, low: metric(a, "logit_drop").low,
        high: metric(a, "logit_drop").high })) });
    return el("div", { class: "pair" },
      panel(place, { name: "ablation", ...common }, chart, el("p", { class: "soft small" },
        `${clipspan.count(doc.scored)} labelled images, ${clipspan.count(doc.classes)} classes; bands: `,
          doc.resamples ? [term("interval"), `, ${clipspan.count(doc.resamples)} draws.`] : "not measured.")),
      panel(place, { name: "direct-effects", ...common }, bars,
        heads.length ? el("p", { class: "small" }, el("span", { class: "soft" }, "Open: "),
          heads.slice(0, 5).map((a, i) => [i ? ", " : "", place.headLink(a.name)])) : null));
  }
  clipspan.report.sections.push({ id: "ablation", kinds: ["ablate"], title: "What layers and heads are worth", short: "Ablation",
    intro: () => [term("ablation", "Mean ablation"),
      ": parts of the sum are replaced by their mean over images, and the images are classified again. This is the ",
        term("direct", "direct effect"), "."], draw: ablation });

  /* One attribute over all heads: a small picture of the grid. */
  function small(doc, attribute, limit, place) {
    const layers = Math.max(...doc.heads.map((h) => h.layer)) + 1, heads = Math.max(...doc.heads.map((h) => h.head)) + 1;
    const colour = clipspan.colours.scale("most", limit), of = (h) => h.excess[attribute.name];
    const best = [...doc.heads].sort((a, b) => of(b) - of(a)).slice(0, 3);
    const drawing = clipspan.svg("svg", { class: "small-grid", viewBox: `0 0 ${heads} ${layers}`, preserveAspectRatio: "none", role: "img",
      style: { "aspect-ratio": `${heads} / ${layers}` }, "aria-label": `${attribute.name} over all heads, ${layers} layers by ${heads} heads; ` +
        `most in ${best.map((h) => `${h.name} ${percent(of(h), 0)}`).join(", ")}` },
    clipspan.svg("g", { "aria-hidden": "true" }, doc.heads.map((h) => clipspan.svg("rect", { x: h.head, y: h.layer, width: 1.02, height: 1.02,
      style: { fill: clipspan.colours.css(colour(Math.max(0, of(h) || 0))) } }, clipspan.svg("title", null, `${h.name}: ${percent(of(h), 0)}`)))));
    return el("figure", { class: "attribute" }, el("figcaption", null, el("strong", null, attribute.name),
      el("span", { class: "soft small" }, ` ${attribute.values} values, ${clipspan.count(attribute.images)} images`)), drawing,
      el("ul", { class: "small numbers" }, best.map((h) => el("li", { class: "spread" }, place.headLink(h.name),
        percent(of(h), 0)))));
  }
  function attributes(place, of) {
    const { data: doc, command } = of.attributes[0], limit = Math.max(1e-9,
      ...sidesOf(place, "attributes").flatMap((d) => d.heads.flatMap((h) => Object.values(h.excess))).filter(Number.isFinite));
    const rows = () => [["layer", "head", "attribute", "share", "excess"],
      ...doc.heads.flatMap((h) => doc.attributes.map((a) => [h.layer, h.head, a.name, h.shares[a.name], h.excess[a.name]]))];
    return panel(place, { name: "attributes", title: "By attribute", csv: rows, json: () => doc, command },
      el("div", { class: "attributes" }, doc.attributes.map((a) => small(doc, a, limit, place))),
      clipspan.colours.legend({ kind: "most", limit, unit: "share of the head's variance beyond chance", format: (v) => percent(v, 0) }));
  }
  clipspan.report.sections.push({ id: "attributes", kinds: ["attributes"], title: "What heads can tell apart", short: "Attributes",
    intro: () => ["For attributes that are known of the images: the ", term("excess", "share of each head's variance"),
      " that lies between images of different value. One small grid an attribute, layers down, heads across, one scale for all."],
        draw: attributes });

  function classification(place, of) {
    const { data: doc, command } = of.classify[0], fact = (name, value) =>
      el("div", null, el("dt", null, name), el("dd", { class: "numbers" }, value));
    if (doc.top1 === null) return clipspan.notice("No image has a label that is a class.",
      "Name the column that holds the true class: --column NAME, and the classes: --classes FILE.");
    const worst = [...doc.classes].filter((c) => c.images > 0).sort((a, b) => a.recall - b.recall).slice(0, 10),
      every = worst.length === doc.classes.length;
    const rows = () => [["class", "images", "right", "chosen", "recall", "precision"],
      ...doc.classes.map((c) => [c.name, c.images, c.right, c.chosen, c.recall, c.precision])];
    return panel(place, { name: "zero-shot", csv: rows, json: () => doc, command },
      el("dl", { class: "facts large" }, fact("top-1", percent(doc.top1)), doc.classes.length > 5 ? fact("top-5", percent(doc.top5)) : null,
        fact("labelled images", clipspan.count(doc.labelled)),
        doc.calibration && doc.calibration.error !== null ? fact("calibration error", percent(doc.calibration.error)) : null),
      el("div", { class: "pair" }, table({ caption: every ? "By class" : "The ten classes that are missed most",
        header: [every ? "class" : "classes missed most", "images", "recall", "precision"],
        rows: worst.map((c) => [c.name, clipspan.count(c.images), percent(c.recall), c.precision === null ? "\u2013" : percent(c.precision)]) }),
      doc.confusions.length ? table({ caption: "Most frequent confusions", header: ["most frequent confusions", "images"],
        rows: doc.confusions.slice(0, 8).map((c) => [`${c.class} taken for ${c.taken_for}`, clipspan.count(c.images)]) })
          : el("p", { class: "soft" }, "No image was taken for another class.")));
  }
  clipspan.report.sections.push({ id: "classes", kinds: ["classify"], title: "Zero-shot classification", short: "Zero-shot",
    intro: () => ["Images put to classes by the classes' names alone: ", term("zeroshot"), "."], draw: classification });

  const groupName = (g) => `${g.label}, ${g.value}`;
  function afterOf(doc) {
    const found = doc.rows.slice(1).filter((r) => r.heads.length), score = (r) => (Number.isFinite(r.search_worst) ? r.search_worst : r.worst.value);
    return found.sort((a, b) => score(b) - score(a))[0] || null;
  }
  function headsList(names, place) {
    if (names.length === 0) return "none";
    return el("span", { class: "numbers heads-list" }, names.map((n, i) => [i ? ", " : "", place.headLink(n)]));
  }
  function groups(place, of) {
    const { data: doc, command } = of.groups[0], before = doc.rows[0], after = afterOf(doc);
    const rows = () => [["rule", "heads", "worst", "worst_low", "worst_high", "average", "change", ...doc.groups.map(groupName)],
      ...doc.rows.map((r) => [r.rule, r.heads.join(","), r.worst.value, r.worst.low, r.worst.high, r.average.value, r.change.value,
        ...r.groups.map((g) => g.value)])];
    const pairs = clipspan.charts.pairs({ title: after
      ? `Accuracy by group: as it is, and without ${after.heads.length} head${after.heads.length > 1 ? "s" : ""} (${after.rule})`
        : "Accuracy by group",
      unit: `accuracy, share of the group's images${before.groups.some((g) => Number.isFinite(g.low)) ? "; lines: 95 % interval" : ""}`, names: ["before", "after"], format: (v) => percent(v, 0),
      items: doc.groups.map((g, i) => ({ name: groupName(g), before: before.groups[i], after: after ? after.groups[i] : null })) });
    const text = table({ caption: "Accuracy by rule", numbers: 2,
      header: [term("rule", "heads are taken out by"), "which", term("worst", "worst group"), "95 % interval", "average", "change of the worst"],
      rows: doc.rows.map((r) => [r.rule, headsList(r.heads, place), percent(r.worst.value), interval(r.worst), percent(r.average.value),
        r === before ? "" : `${clipspan.signed(100 * r.change.value, 3)} points`]) });
    return panel(place, { name: "groups", csv: rows, json: () => doc, command }, pairs, text,
      el("p", { class: "soft small" },
        doc.searched ? `Heads were searched for on ${clipspan.count(doc.searched)} images; all accuracies are of the other ${clipspan.count(doc.scored)}.` : `${clipspan.count(doc.scored)} images.`,
        " The worst group\u2019s interval comes from 2,000 bootstrap resamples of the images, a group\u2019s own line from Wilson\u2019s formula."));
  }
  clipspan.report.sections.push({ id: "groups", kinds: ["groups"], title: "Groups, before and after", short: "Groups",
    intro: () => ["A class can lean on a cue that only goes along with it. Accuracy by class and cue, and what becomes of the ",
      term("worst", "worst group"), " when heads that carry the cue are replaced by their mean."], draw: groups });
})();
