/* The report's sections of pictures: nearest images, segmentation. */
"use strict";
clipspan.report = clipspan.report || { sections: [] };
(function () {
  const el = (...args) => clipspan.el(...args), term = (...args) => clipspan.words.term(...args), percent = (...args) => clipspan.percent(...args);

  function picture(place, row, name) {
    const at = place.picture(row, name);
    return at ? el("img", { src: at.src, alt: name, title: name, width: at.width, height: at.height, loading: "lazy" })
      : el("span", { class: "no-picture", title: name }, el("span", null, name));
  }

  function spaceName(space, place) {
    return clipspan.headOf(space) ? ["by ", place.headLink(space), " alone"] : space === "the whole representation"
      ? "by the whole representation" : `by ${space}`;
  }
  function answer(space, doc, place) {
    const unit = doc.similarity === "cosine" ? "cosine" : "inner product";
    return el("div", { class: "answer" }, el("p", { class: "small" }, spaceName(space.space, place),
      Number.isFinite(space.share) ? el("span", { class: "soft numbers" },
        ` \u00b7 ${percent(space.share, 0)} with the query's ${doc.column}`) : el("span", { class: "soft" }, ` \u00b7 ${unit}`)),
    el("ol", { class: "images" }, space.nearest.map((n) => el("li", null, el("figure", null, picture(place, n.row, n.name),
      el("figcaption", { class: "numbers" }, clipspan.number(n.score, 2),
        n.value && doc.query.value ? el("span", { class: "value", title: `${doc.column}: ${n.value}` }, n.value) : null))))));
  }
  function query(section, place) {
    const doc = section.data, rows = () => [["space", "rank", "row", "name", "score", ...(doc.column ? [doc.column] : [])],
      ...doc.spaces.flatMap((s) => s.nearest.map((n, i) => [s.space, i + 1, n.row, n.name, n.score, ...(doc.column ? [n.value] : [])]))];
    const q = doc.query, title = q.kind === "text" ? `\u201c${q.name}\u201d` : `Nearest to ${q.name}`;
    return clipspan.report.panel(place, { name: `nearest-${clipspan.headOf(doc.spaces[0].space) ? doc.spaces[0].space : "images"}`, title,
      csv: rows, json: () => doc, command: section.command },
      el("div", { class: "query" }, el("figure", { class: "asked" },
        q.kind === "text" ? el("p", { class: "said" }, title) : q.row !== undefined ? picture(place, q.row, q.name)
          : el("span", { class: "no-picture" }, el("span", null, q.name)),
        el("figcaption", { class: "small soft" }, "the query", q.value ? `, ${doc.column}: ${q.value}` : "")),
          el("div", { class: "answers" }, doc.spaces.map((s) => answer(s, doc, place)))));
  }
  clipspan.report.sections.push({ id: "nearest", kinds: ["retrieve"], title: "Nearest images, head by head", short: "Nearest images",
    intro: () => ["In ", term("space"), ", images are near when they are alike in what that head looks at. Below each image: ",
      term("cosine"), " to the query."],
    draw: (place, of) => el("div", { class: "queries" }, of.retrieve.map((section) => query(section, place))) });

  function scores(section, place) {
    const doc = section.data, measures = [["pixel_accuracy", "pixel accuracy"], ["miou", "mean IoU"],
      ["map", "mean average precision"]].filter(([k]) => doc.methods.some((m) => m[k]));
    const rows = () => [["method", "images", ...measures.flatMap(([k]) => [k, `${k}_low`, `${k}_high`])],
      ...doc.methods.map((m) => [m.method, m.images, ...measures.flatMap(([k]) => (m[k] ? [m[k].value, m[k].low, m[k].high] : [null, null, null]))])];
    const bars = clipspan.charts.bars({ title: "Mean intersection over union, by method",
      unit: "share of pixels, from 0 to 1; whiskers: 95 % interval", limit: 1, format: (v) => clipspan.number(v, 2),
      items: doc.methods.map((m) => ({ name: m.method, value: m.miou.value, low: m.miou.low, high: m.miou.high })) });
    const table = clipspan.report.table({ caption: "Scores by method", header: ["method", ...measures.map(([, name]) => name)],
      rows: doc.methods.map((m) => [m.method, ...measures.map(([k]) => (m[k] ? percent(m[k].value) : "\u2013"))]) });
    return clipspan.report.panel(place, { name: "segmentation", title: "Scores", csv: rows, json: () => doc, command: section.command },
      el("div", { class: "pair" }, bars, table),
      el("p", { class: "soft small" },
        `${clipspan.count(doc.methods[0].images)} images, scored at ${doc.size} \u00d7 ${doc.size} pixels, masks ${doc.protocol === "aligned" ? "resized and cropped as their images" : "stretched to the square"}. ${doc.steps}.`),
      el("p", { class: "soft small" }, doc.methods.filter((m) => m.citation).map((m) => `${m.method}: ${m.citation}`).join("; "), "."));
  }

  function masked(image, mask, caption, note) {
    return el("figure", { class: "masked" }, el("div", { class: "masked-frame" },
      el("img", { src: image.src, alt: caption ? "" : image.name, width: 96, height: 96, loading: "lazy" }),
      mask ? el("img", { class: "mask", src: mask, alt: `${image.name}: mask, ${caption}`, width: 96, height: 96, loading: "lazy" }) : null),
    el("figcaption", { class: "small" }, caption || image.name, note ? el("span", { class: "soft numbers" }, note) : null));
  }
  function examples(section, place) {
    const doc = section.data, rows = () => [["image", ...doc.methods], ...doc.images.map((i) => [i.name, ...i.masks.map((m) => m.iou)])];
    return clipspan.report.panel(place, { name: "segmentation-examples", title: "Examples", csv: rows, command: section.command,
      json: () => ({ methods: doc.methods, images: doc.images.map((i) => ({ name: i.name, iou: i.masks.map((m) => m.iou) })) }) },
      el("ul", { class: "examples" }, doc.images.map((image) => el("li", null, masked(image, null, ""), masked(image, image.truth, "truth"),
        image.masks.map((m, i) => masked(image, m.src, doc.methods[i], m.iou === null ? "no object" : `IoU ${m.iou.toFixed(2)}`))))));
  }
  clipspan.report.sections.push({ id: "masks", kinds: ["segment", "segment-examples"], title: "From maps to masks", short: "Segmentation",
    intro: () => [term("map", "Heat-maps"),
      " cut at their mean make masks; held against true masks they say how well a map finds the object. ", term("iou", "IoU"),
        " is pixels in both, divided by pixels in either."],
    draw: (place, of) => [of.segment.map((s) => scores(s, place)), of["segment-examples"].map((s) => examples(s, place))] });
})();
