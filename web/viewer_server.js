/* Asks the server that handed out this page (docs/api.md).
 *
 *   clipspan.server.get(path, {signal})           an answer; path as in docs/api.md, without "/api/"
 *   clipspan.server.post(path, body, {signal})    body: an object, or a Blob (a picture)
 *   clipspan.server.latest()                      a function ask(path, body): as post, but a new call ends the one before,
 *                                                 which then answers with null; ask.stop() ends it
 *   clipspan.server.bytes(path)                   a Blob
 *   clipspan.server.picture(path)                 an address for <img src>; kept, so that the same path costs one request
 *   clipspan.server.failure(error, again)         an element that says what happened and what to do, with a button if again
 *   clipspan.server.onReach(f)                    f(true or false): the server answers again, or does not answer
 *
 * Errors have `kind`: "gone" (no answer at all), "token", "lost" (404), "busy", "large", "refused" (any other), and `message`.
 * A token comes once as ?token=..., is kept for this tab alone and taken out of the address, and goes along as a header. */
"use strict";
(function () {
  const KEPT = "clipspan-token";
  const KINDS = { 401: "token", 404: "lost", 408: "busy", 413: "large", 429: "busy", 503: "busy" };
  const TODO = {
    gone: "Is “clipspan serve” still running? This page goes on by itself as soon as it answers.",
    token: "Open the address that “clipspan serve” printed when it started: it holds the token.",
    lost: "",
    busy: "The server has much to do. Try again in a moment.",
    large: "The server takes no larger ones.",
    refused: "",
  };
  const TITLE = { gone: "The server does not answer", token: "The server asks for its token", lost: "It is no longer there" };

  function takeToken() {
    const query = new URLSearchParams(location.search), given = query.get("token");
    if (!given) return;
    query.delete("token");
    try { sessionStorage.setItem(KEPT, given); } catch (refused) { return; }
    const rest = query.toString();
    history.replaceState(null, "", location.pathname + (rest ? "?" + rest : "") + location.hash);
  }
  function token() {
    try { return sessionStorage.getItem(KEPT); } catch (refused) { return null; }
  }

  const listeners = [];
  let reached = true;
  function reach(now) {
    if (now === reached) return;
    reached = now;
    if (!now) setTimeout(knock, 2000);
    for (const f of listeners) f(now);
  }
  async function knock() {
    try { await fetch("api/state", { headers: headers() }); reach(true); } catch (silent) { setTimeout(knock, 2000); }
  }

  function headers(type) {
    const given = token(), all = {};
    if (given) all.Authorization = "Bearer " + given;
    if (type) all["Content-Type"] = type;
    return all;
  }

  function fault(kind, message) {
    return Object.assign(new Error(message), { kind });
  }

  async function call(path, options) {
    let answer;
    try {
      answer = await fetch("api/" + path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      reach(false);
      throw fault("gone", TITLE.gone);
    }
    reach(true);
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => null);
    throw fault(KINDS[answer.status] || "refused", (said && said.error) || `the server answers ${answer.status}`);
  }

  async function get(path, { signal } = {}) {
    return (await call(path, { headers: headers(), signal })).json();
  }

  async function post(path, body, { signal } = {}) {
    const picture = body instanceof Blob;
    const type = picture ? body.type || "application/octet-stream" : "application/json";
    const sent = picture ? body : JSON.stringify(body);
    return (await call(path, { method: "POST", headers: headers(type), body: sent, signal })).json();
  }

  function latest() {
    let running = null;
    const ask = async (path, body) => {
      if (running) running.abort();
      const mine = running = new AbortController();
      try {
        const answer = await post(path, body, { signal: mine.signal });
        return mine === running ? answer : null;
      } catch (error) {
        if (error.name === "AbortError" || mine !== running) return null;
        throw error;
      }
    };
    ask.stop = () => {
      if (running) running.abort();
      running = null;
    };
    return ask;
  }

  const bytes = async (path) => (await call(path, { headers: headers() })).blob();

  const HELD = 600, pictures = new Map();
  function picture(path) {
    if (pictures.has(path)) return pictures.get(path);
    const made = token() ? bytes(path).then((blob) => URL.createObjectURL(blob))
      : Promise.resolve("api/" + path);
    pictures.set(path, made);
    made.catch(() => pictures.delete(path));
    if (pictures.size > HELD) forget(pictures.keys().next().value);
    return made;
  }
  function forget(path) {
    pictures.get(path).then((address) => address.startsWith("blob:") && URL.revokeObjectURL(address), () => null);
    pictures.delete(path);
  }

  function failure(error, again) {
    const title = TITLE[error.kind] || "That did not work";
    const said = error.message === title || error.kind === "token" ? "" : error.message[0].toUpperCase() + error.message.slice(1);
    const todo = [said, TODO[error.kind] || ""].filter(Boolean).join(". ");
    const notice = clipspan.notice(title, todo, true);
    if (again) notice.append(clipspan.el("p", null, clipspan.el("button", { class: "button slim", type: "button", on: { click: again } }, "Try again")));
    return notice;
  }

  takeToken();
  clipspan.server = { get, post, latest, bytes, picture, failure, onReach: (f) => listeners.push(f), token };
})();
