/* The state that the address keeps, after the # as readable words: report.html#head=L4.H3&colour=role
 *
 *   clipspan.address.read()            the state: an object of strings
 *   clipspan.address.write(changes, {step: true})   sets keys (null takes one out); the page does not jump. With `step` the
 *                                      browser's back button comes back to the state before
 *   clipspan.address.onChange(f)       f(state) when the reader went back or on, or changed the address; not after write()
 *   clipspan.address.link(changes)     the address with these changes, for an <a href>
 *
 * An address without "=" (#ablation) is the place of an element and holds no state. */
"use strict";
(function () {
  const readable = (text) => encodeURIComponent(text).replace(/%20/g, "+").replace(/%(2C|3A|2F|3B|40)/g, decodeURIComponent);

  function plain(text) {
    try { return decodeURIComponent(text.replace(/\+/g, "%20")); } catch (broken) { return text; }
  }

  function read() {
    const state = {};
    for (const pair of location.hash.slice(1).split("&")) {
      const at = pair.indexOf("=");
      if (at > 0) state[plain(pair.slice(0, at))] = plain(pair.slice(at + 1));
    }
    return state;
  }

  function link(changes) {
    const state = { ...read(), ...changes };
    const pairs = Object.entries(state).filter(([, v]) => v !== null && v !== undefined && v !== "");
    return "#" + pairs.map(([k, v]) => readable(k) + "=" + readable(String(v))).join("&");
  }

  let written = location.hash;
  function write(changes, { step = false } = {}) {
    const hash = link(changes);
    if (hash === location.hash || (hash === "#" && !location.hash)) return;
    const to = hash === "#" ? location.pathname + location.search : hash;
    try {
      if (step) history.pushState(null, "", to);
      else history.replaceState(null, "", to);
    } catch (refused) { location.replace(hash); } /* some browsers refuse it to pages that come from a file */
    written = location.hash;
  }

  function onChange(f) {
    const changed = () => {
      if (location.hash === written) return;
      written = location.hash;
      if (!location.hash || location.hash.includes("=")) f(read());
    };
    addEventListener("hashchange", changed);
    addEventListener("popstate", changed);
  }

  clipspan.address = { read, write, link, onChange };
})();
