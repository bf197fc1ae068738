/* What the viewer looks at: one object, kept by the address, so that a view can be sent.
 *
 *   clipspan.viewer.state            below
 *   clipspan.viewer.set(changes, {step})   changes it; step: the browser's back button comes back to the state before
 *   clipspan.viewer.on(f)            f(changed) after each change; changed(name, ...) says whether one of these changed
 *   clipspan.viewer.tell(name)       tells the same listeners that something outside the state changed ("scores", "maps", "image!")
 *   clipspan.viewer.server           the answer to GET /api/state
 *   clipspan.viewer.model()          what it says of the model that is looked through; .shape() {layers, heads}
 *   clipspan.viewer.asked()          the texts that are not blank: [{text, index}]
 *   clipspan.viewer.look()           {text, index} that maps and grid are of, or null; .minus() {text, index} taken from it,
 *                                    {mean: true}, or null; .contrast() both in words;
 *                                  .quoted(text) a text among words
 */
"use strict";
(function () {
  const state = {
    model: 0,        /* 0 or 1 (serve --beside) */
    image: null,     /* "row:66", "row:66@1" of the second model's store, or the id of a picture that the server holds */
    name: null,      /* of a picture that is not the store's */
    texts: ["", ""], /* as typed; blank ones are not asked for */
    look: 0,         /* position of the text that maps and grid are of */
    minus: null,     /* position of the text taken from it, or "mean" */
    detail: "whole", /* of the maps: whole, layer, head */
    part: null,      /* which of them stands large, such as "L3" */
    head: null,      /* the head that is open, such as "L4.H3" */
    off: [],         /* heads switched off, by name */
    by: null,        /* what stands in their place: mean, zero; null: mean where there is a store */
    near: "image",   /* nearest to the image or the text */
    space: null,     /* in the space of these heads; null: the whole representation */
    beside: null,    /* what is compared: image, text, head, model */
    other: null,     /* with which: as `image`, a text, a head, a model */
  };
  const START = { ...state };
  const listeners = [];

  const asNumber = (text, otherwise) => (/^\d+$/.test(text || "") ? Number(text) : otherwise);
  const OUT = {
    texts: (texts) => texts.join("\n").replace(/\n+$/, ""),
    off: (heads) => heads.join(","),
  };
  const IN = {
    model: (text) => asNumber(text, 0),
    texts: (text) => (text ? text.split("\n") : ["", ""]),
    look: (text) => asNumber(text, 0),
    minus: (text) => (text === "mean" ? text : asNumber(text, null)),
    off: (text) => (text || "").split(",").filter((name) => /^L\d+\.H\d+$/.test(name)),
    detail: (text) => (["layer", "head"].includes(text) ? text : "whole"),
  };

  function words(changes) {
    const out = {};
    for (const [name, value] of Object.entries(changes)) {
      const text = value === null ? "" : OUT[name] ? OUT[name](value) : String(value);
      out[name] = value === START[name] || text === "" ? null : text;
    }
    return out;
  }

  function fromAddress(kept) {
    const changes = {};
    for (const name of Object.keys(START)) changes[name] = IN[name] ? IN[name](kept[name]) : kept[name] ?? START[name];
    if (viewer.server && !viewer.server.models[changes.model]) changes.model = 0;
    return changes;
  }

  const same = (a, b) => a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((x, i) => x === b[i]));

  function tell(names) {
    const changed = (...asked) => asked.some((name) => names.includes(name));
    for (const f of listeners) f(changed);
  }

  function set(changes, { step = false, write = true } = {}) {
    const names = Object.keys(changes).filter((name) => !same(state[name], changes[name]));
    if (!names.length) return;
    Object.assign(state, changes);
    if (write) keep(changes, step, names.length === 1 && names[0] === "texts");
    tell(names);
  }

  /* The address follows typing with some delay: browsers take only so many changes of it. */
  let pending = {};
  function flush(step = false) {
    const now = pending;
    pending = {};
    clipspan.address.write(now, { step });
  }
  const flushLater = clipspan.debounce(400, () => flush());
  function keep(changes, step, typed) {
    if (!typed) flush();
    Object.assign(pending, words(changes));
    if (typed) flushLater();
    else flush(step);
  }

  const asked = () => state.texts.map((text, index) => ({ text: text.trim(), index })).filter((each) => each.text);

  function look() {
    const all = asked();
    return all.find((each) => each.index === state.look) || all[0] || null;
  }
  function minus() {
    const of = look();
    if (!of || state.minus === null) return null;
    if (state.minus === "mean") return asked().length > 1 ? { mean: true } : null;
    return asked().find((each) => each.index === state.minus && each.index !== of.index) || null;
  }
  /* Between marks that keep a text's own direction, such as Arabic's, from turning the words around it. */
  const quoted = (text) => `“\u2068${text}\u2069”`;
  function contrast() {
    const of = look(), less = minus();
    if (!of) return "";
    return quoted(of.text) + (less ? (less.mean ? " against the mean of the texts" : ` against ${quoted(less.text)}`) : "");
  }

  const viewer = {
    state, set, asked, look, minus, contrast, quoted,
    server: null,
    on: (f) => listeners.push(f),
    tell: (name) => tell([name]),
    model: () => viewer.server.models[state.model],
    /* Whether the store's images can be looked at, and whether they can be searched for. */
    pictured: () => Boolean(viewer.model().store && viewer.model().pictures && !viewer.model().store.moments_only),
    searched: () => Boolean(viewer.model().store && !viewer.model().store.moments_only),
    shape: () => ({ layers: viewer.model().model.layers, heads: viewer.model().model.heads }),
    by: () => state.by || (viewer.model().store ? "mean" : "zero"),
    query: (first = "?") => (state.model ? `${first}model=${state.model}` : ""),
    start: () => {
      Object.assign(state, fromAddress(clipspan.address.read()));
      clipspan.address.onChange((kept) => {
        pending = {}; /* what was typed a moment before belongs to the view that was left */
        set(fromAddress(kept), { write: false });
      });
    },
  };
  clipspan.viewer = viewer;
})();
