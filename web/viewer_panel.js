/* What every panel of the viewer has: a heading, a line that says what it shows, its controls, its exports, its states.
 *
 *   const panel = clipspan.viewer.panel({id, title, lead, save})   lead: text and terms; save: as clipspan.save.menu, `command`
 *                                   also shown below as "How it was made"
 *   panel.element, .body, .controls
 *   panel.show(...children)         what it shows; panel.empty(title, todo); panel.failed(error, again)
 *   panel.busy(true or false)       an answer is on its way; what is shown stays
 *   clipspan.viewer.keepFocus(element, build)   build() fills the element anew; the keyboard stays
 *   clipspan.viewer.skeleton(height)   a place held for what is loading
 *   clipspan.viewer.radios({name, legend, options: [[value, words]], value, on})   one control of several choices; .set(value)
 *   clipspan.viewer.command.*       parts of command lines: quote(word), model(), store(), pools(), lines(texts), image(), maps()
 */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el;

  function panel({ id, title, lead, save }) {
    const body = el("div", { class: "panel-body" }), controls = el("div", { class: "panel-controls row" });
    const made = el("div", { class: "panel-made" });
    const menu = save ? clipspan.save.menu({ name: `clipspan-${id}`, ...save }) : null;
    const element = el("section", { class: "panel", id, "aria-labelledby": `${id}-title` },
      el("div", { class: "panel-head spread" }, el("h2", { id: `${id}-title` }, title), menu),
      lead ? el("p", { class: "panel-lead soft small" }, lead) : null, controls, body, made);
    const filled = (some) => element.classList.toggle("filled", some); /* without, there is nothing to export */
    function show(...children) {
      clipspan.fill(body, ...children);
      filled(true);
      remade();
    }
    function remade() {
      const command = save && save.command ? save.command() : null, before = made.firstChild;
      if (!command || (before && before.dataset.command === command)) return;
      viewer.keepFocus(made, () => clipspan.fill(made, clipspan.save.made(command, title)));
      made.firstChild.dataset.command = command;
      made.firstChild.open = Boolean(before && before.open);
    }
    function notice(element) {
      clipspan.fill(body, element);
      clipspan.fill(made);
      busy(false);
      filled(false);
    }
    function busy(now) {
      if (now) body.setAttribute("aria-busy", "true");
      else body.removeAttribute("aria-busy");
    }
    filled(false);
    return { element, body, controls, show, remade,
      empty: (words, todo) => notice(clipspan.notice(words, todo)),
      wait: (height) => notice(viewer.skeleton(height)),
      failed: (error, again) => notice(clipspan.server.failure(error, again)),
      busy };
  }

  /* What is built anew keeps the keyboard where it was: on the control of the same name, the first one, or the whole. */
  function keepFocus(root, build) {
    const active = document.activeElement, held = root.contains(active);
    const key = (control) => `${control.tagName} ${control.value || ""} ${control.dataset.key || control.getAttribute("aria-label") || control.textContent}`;
    const before = held ? key(active) : "";
    build();
    if (!held) return;
    const all = [...root.querySelectorAll("button:not(:disabled), input, select, summary, a")];
    const to = all.find((control) => key(control) === before) || all[0];
    if (!to) root.tabIndex = -1;
    (to || root).focus({ preventScroll: true });
  }

  const skeleton = (height) => el("div", { class: "skeleton", style: { height }, role: "status" }, el("span", { class: "visually-hidden" }, "Loading"));

  function radios({ name, legend, options, value, on }) {
    const inputs = options.map(([each, words]) => {
      const input = el("input", { type: "radio", name, value: each, on: { change: () => on(each) } });
      return { each, input, label: el("label", null, input, el("span", null, words)) };
    });
    const element = el("fieldset", { class: "switch" }, el("legend", null, legend), inputs.map((one) => one.label));
    const set = (now) => inputs.forEach((one) => { one.input.checked = one.each === now; });
    set(value);
    return { element, set, enable: (each, may) => { inputs.find((one) => one.each === each).input.disabled = !may; } };
  }

  /* Command lines. */
  const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`);
  const model = (of = viewer.state.model) => quote(viewer.server.models[of].model_path);
  const store = (of = viewer.state.model) => quote(viewer.server.models[of].store_path || "STORE");
  const pools = () => (viewer.heads && viewer.heads.pool ? viewer.heads.pool.sources : []).map((pool) => ` --texts ${quote(pool)}`).join("");
  function image(held, ref) {
    const place = viewer.rowOf(ref || ""), of = place && viewer.server.models[place.of].store;
    return of ? `${quote(of.images_path)} --rows ${place.row}` : quote(held.name || "IMAGE");
  }
  /* A shell hands these lines to the command as its standard input, as they are. */
  function lines(texts) {
    let end = "TEXTS";
    while (texts.includes(end)) end += "_";
    return [`<<'${end}'`, ...texts, end].join("\n");
  }
  /* texts: those looked at; against the mean all are named. side: {model, held, ref}, by default what is looked at. */
  function maps(looked, minus, more = "", side = { model: viewer.state.model, held: viewer.held, ref: viewer.state.image }) {
    const texts = (minus && minus.mean ? viewer.asked() : looked).map((each) => each.text);
    const less = minus ? (minus.mean ? " --minus-mean" : ` --minus ${quote(minus.text)}`) : "";
    return `clipspan map ${model(side.model)} ${image(side.held, side.ref)}${texts.map((each) => ` -t ${quote(each)}`).join("")}${less}${more}`;
  }

  Object.assign(viewer, { panel, keepFocus, skeleton, radios, command: { quote, model, store, pools, lines, image, maps } });
})();
