/* Elements, and words for those who listen.
 *
 *   clipspan.el(tag, attributes, ...children)   an element. attributes: null, or name: value, where
 *       class, id, ...        are set as attributes; true sets an empty one; false, null and undefined set none
 *       style: {name: value}  sets properties (custom ones too)
 *       on: {event: function} adds listeners
 *       dataset: {name: value}
 *       children are nodes, strings (put in as text, never as markup), arrays of them; null and false are passed over
 *   clipspan.svg(tag, attributes, ...children)  the same in SVG
 *   clipspan.fill(element, ...children)         replaces what the element holds
 *   clipspan.announce(text)                     says it through a live region, at most once in 400 ms, the last one wins
 *   clipspan.notice(title, todo, failed)        an element that says what is empty or failed, and what to do
 *   clipspan.number(x, digits = 3)              "0.0123", "-4.56"; "not known" for null
 *   clipspan.percent(x, decimals = 1)           "12.3 %" of a share from 0 to 1
 *   clipspan.count(n)                           "50,000"
 *   clipspan.signed(x, digits = 3)              "+0.0123", with a true minus
 *   clipspan.range(low, high)                   "-0.018 to +0.002", with true minuses: two digits of the larger, as many decimals of the other
 *   clipspan.themed                             whether this browser has two themes
 *   clipspan.theme(button)                      makes a button switch light and dark; the choice is kept where it can be
 *   clipspan.debounce(wait, action)             action after `wait` ms without another call
 */
"use strict";
var clipspan = window.clipspan || {};
window.clipspan = clipspan;

(function () {
  const SVG = "http://www.w3.org/2000/svg";

  function put(parent, child) {
    if (child === null || child === undefined || child === false) return;
    if (Array.isArray(child)) child.forEach((each) => put(parent, each));
    else parent.append(child instanceof Node ? child : String(child));
  }

  function set(element, name, value) {
    if (value === null || value === undefined || value === false) return;
    if (name === "style") for (const [key, v] of Object.entries(value)) element.style.setProperty(key, v);
    else if (name === "on") for (const [event, f] of Object.entries(value)) element.addEventListener(event, f);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }

  function make(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) set(element, name, value);
    put(element, children);
    return element;
  }

  clipspan.el = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);
  clipspan.svg = (tag, attributes, ...children) => make(document.createElementNS(SVG, tag), attributes, children);
  clipspan.fill = (element, ...children) => {
    element.replaceChildren();
    put(element, children);
    return element;
  };

  clipspan.debounce = (wait, action) => {
    let timer = 0;
    return (...args) => {
      clearTimeout(timer);
      timer = setTimeout(() => action(...args), wait);
    };
  };

  let region = null;
  const say = clipspan.debounce(400, (text) => { region.textContent = text; });
  clipspan.announce = (text) => {
    if (!region) {
      region = clipspan.el("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
      document.body.append(region);
    }
    say(text);
  };

  clipspan.notice = (title, todo, failed = false) =>
    clipspan.el("div", { class: failed ? "notice failed" : "notice", role: failed ? "alert" : null },
      clipspan.el("p", null, clipspan.el("strong", null, title)), todo ? clipspan.el("p", { class: "small" }, todo) : null);

  const known = (x) => typeof x === "number" && Number.isFinite(x);
  const minus = (text) => text.replace(/^-/, "\u2212").replace("e-", "e\u2212");
  clipspan.number = (x, digits = 3) => {
    if (!known(x)) return "not known";
    if (x === 0) return "0";
    const size = Math.abs(x);
    if (size >= 1e6 || size < 1e-4) return minus(x.toExponential(Math.max(digits - 1, 0)));
    return minus(x.toFixed(Math.min(8, Math.max(0, digits - 1 - Math.floor(Math.log10(size))))));
  };
  clipspan.percent = (x, decimals = 1) => (known(x) ? minus((100 * x).toFixed(decimals)) + "\u202f%" : "not known");
  clipspan.count = (n) => (known(n) ? String(n).replace(/\B(?=(\d{3})+(?!\d))/g, ",") : "not known");
  clipspan.signed = (x, digits = 3) => (known(x) && x > 0 ? "+" : "") + clipspan.number(x, digits);

  clipspan.range = (low, high) => {
    const size = Math.max(Math.abs(low), Math.abs(high)), decimals = size > 0 ? Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(size)))) : 0;
    return [low, high].map((x) => (x > 0 ? "+" : "") + minus(x.toFixed(decimals))).join(" to ");
  };

  function keep(theme) {
    try { localStorage.setItem("clipspan-theme", theme); } catch (refused) { /* a page from a file may keep nothing */ }
  }
  function kept() {
    try { return localStorage.getItem("clipspan-theme"); } catch (refused) { return null; }
  }
  /* Browsers of before 2024 know no light-dark(): they have the light theme alone (design.css). */
  clipspan.themed = CSS.supports("color", "light-dark(#000, #fff)");
  clipspan.theme = (button) => {
    if (!clipspan.themed) { button.remove(); return; }
    const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const name = () => { button.textContent = dark() ? "Light"
      : "Dark"; button.setAttribute("aria-label", `Use the ${dark() ? "light" : "dark"} theme`); };
    if (kept()) root.dataset.theme = kept();
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; keep(root.dataset.theme); name(); });
    system.addEventListener("change", name);
    name();
  };
})();
