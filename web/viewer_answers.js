/* What the server answered for the image and texts that are looked at. Texts are asked for as one types: after a
 * pause as long as the last answer took (120 ms at most), or 360 ms after the first letter; what is no longer wanted is given
 * up. An answer stays in view until the next one is there.
 *
 *   clipspan.viewer.scores, .maps    {status: "none", "loading", "ready" or "failed", answer, asked, error}
 *                                    asked of scores: the texts, in the answer's order; of maps: {texts, minus, detail}
 *   clipspan.viewer.effects()        [layers][heads] of the text looked at (less the other one), or null; .means() the store's
 *   clipspan.viewer.off()            Set of names of heads that are switched off
 *   clipspan.viewer.without(heads)   of each text asked for: {text, index, cosine, probability, cosine_off, probability_off}, the
 *                                    direct effect of these heads (a Set of names) computed here; null without an answer
 *   clipspan.viewer.mapsOf(held, model, text, minus, more)   promise of docs/api.md's maps; more: detail, heads
 */
"use strict";
(function () {
  const viewer = clipspan.viewer;
  const PAUSE = 120, LONGEST = 360;
  let pause = PAUSE;
  viewer.scores = { status: "none" };
  viewer.maps = { status: "none" };
  const askers = { scores: clipspan.server.latest(), maps: clipspan.server.latest() };

  function keep(name, value) {
    viewer[name] = value;
    viewer.tell(name);
  }

  function drop(name) {
    askers[name].stop();
    keep(name, { status: "none" });
  }

  async function ask(name, asked, body) {
    keep(name, { ...viewer[name], status: "loading", error: null });
    const begun = performance.now(), send = (held) => askers[name](name, { model: viewer.state.model, image: held.id, ...body });
    try {
      const answer = await viewer.again(viewer.state.image, send);
      if (!answer) return;
      pause = Math.min(PAUSE, performance.now() - begun);
      keep(name, { status: "ready", asked, answer });
    } catch (error) {
      const stays = error.kind === "gone" && viewer[name].answer; /* the page says at its top that the server is gone */
      keep(name, stays ? { ...viewer[name], status: "ready" } : { status: "failed", error });
    }
  }

  function askScores() {
    const asked = viewer.asked();
    if (viewer.held.status !== "ready" || !asked.length) return drop("scores");
    return ask("scores", asked, { texts: asked.map((each) => each.text) });
  }

  /* Against the mean all texts are named, and one of them answered. */
  function mapsBody(text, minus, more) {
    const all = viewer.asked().map((each) => each.text);
    if (minus && minus.mean) return { texts: all, minus_mean: true, only: Math.max(0, all.indexOf(text)), ...more };
    return { texts: [text], ...(minus ? { minus: minus.text } : {}), ...more };
  }
  const mapsOf = (held, model, text, minus, more) => clipspan.server.post("maps", { model, image: held.id, ...mapsBody(text, minus, more) });

  /* As a whole every text has its map; by layer and head the one looked at alone. */
  function askMaps() {
    const look = viewer.look(), minus = viewer.minus(), detail = viewer.state.detail;
    if (viewer.held.status !== "ready" || !look) return drop("maps");
    if (detail !== "whole") return ask("maps", { texts: [look], minus, detail }, mapsBody(look.text, minus, { detail }));
    const texts = viewer.asked().filter((each) => !minus || each.index !== minus.index);
    return ask("maps", { texts, minus, detail }, { ...mapsBody(look.text, minus, { detail, only: undefined }), texts: texts.map((each) => each.text) });
  }

  const askAll = () => { askScores(); askMaps(); };
  /* After a pause in typing, and now and then while there is none. */
  let waiting = 0, timer = 0;
  function later() {
    const now = performance.now();
    waiting = waiting || now;
    clearTimeout(timer);
    timer = setTimeout(() => { waiting = 0; askAll(); }, Math.min(pause, Math.max(0, waiting + LONGEST - now)));
  }
  viewer.on((changed) => {
    if (changed("model")) for (const name of ["scores", "maps"]) drop(name); /* another model has other heads: nothing stays in view */
    if (changed("held")) {
      if (viewer.held.status === "ready") return askAll();
      if (viewer.held.status === "loading") for (const name of ["scores", "maps"]) keep(name, { ...viewer[name], status: viewer[name].answer ? "loading" : "none" });
      else for (const name of ["scores", "maps"]) drop(name);
      return null;
    }
    if (changed("texts")) later();
    else if (changed("minus", "detail") || (changed("look") && (viewer.state.detail !== "whole" || viewer.state.minus !== null))) askMaps();
    return null;
  });

  /* Where a text stands in an answer: the text itself, or what was at its place before the last letters. */
  function placeIn(asked, each) {
    const itself = asked.findIndex((other) => other.text === each.text && other.index === each.index);
    if (itself >= 0) return itself;
    const moved = asked.findIndex((other) => other.text === each.text);
    return moved >= 0 ? moved : asked.findIndex((other) => other.index === each.index);
  }

  const minusGrid = (a, b) => a.map((row, l) => row.map((value, h) => value - b[l][h]));
  function meanGrid(grids) {
    return grids[0].map((row, l) => row.map((_, h) => grids.reduce((sum, grid) => sum + grid[l][h], 0) / grids.length));
  }
  function contrasted(key) {
    const { answer, asked } = viewer.scores, look = viewer.look(), minus = viewer.minus();
    if (!answer || !look) return null;
    const grid = (each) => { const at = placeIn(asked, each); return at < 0 ? null : answer.texts[at][key]; };
    const mine = grid(look);
    if (!mine || !minus) return mine;
    const less = minus.mean ? meanGrid(answer.texts.map((each) => each[key])) : grid(minus);
    return less && minusGrid(mine, less);
  }

  function softmax(cosines, scale) {
    const top = Math.max(...cosines), powers = cosines.map((c) => Math.exp(scale * (c - top)));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((p) => p / sum);
  }
  function without(heads) {
    const { answer, asked } = viewer.scores;
    if (!answer) return null;
    const places = [...heads].map(clipspan.headOf), mean = viewer.by() === "mean";
    const cosines = answer.texts.map(({ cosine, effects, mean_effects: means }) =>
      places.reduce((sum, [l, h]) => sum - effects[l][h] + (mean && means ? means[l][h] : 0), cosine));
    const chances = softmax(cosines, viewer.model().model.logit_scale);
    return answer.texts.map((text, i) => ({ text: asked[i].text, index: asked[i].index, cosine: text.cosine, probability: text.probability,
      cosine_off: heads.size ? cosines[i] : text.cosine, probability_off: heads.size ? chances[i] : text.probability }));
  }

  function off() {
    const { layers, heads } = viewer.shape();
    return new Set(viewer.state.off.filter((name) => { const [l, h] = clipspan.headOf(name); return l < layers && h < heads; }));
  }

  Object.assign(viewer, { mapsOf, without, off, askAll, placeIn,
    effects: () => contrasted("effects"), means: () => contrasted("mean_effects") });
})();
