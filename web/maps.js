/* Heat-maps over their pictures: the picture in grey, the map's colours over it, as the command draws them.
 *
 *   clipspan.maps.values(map, side)    side x side numbers, row by row: of an array of rows, a flat array, or base64 of
 *                                      signed bytes (map.values) times map.limit / 127
 *   clipspan.maps.limitOf(maps, side)  one scale for several: the 99.5th percentile of all magnitudes, as the command's
 *   clipspan.maps.view({src, name, values, side, limit, kind, unit, caption, width, height})   a <figure>; kind "zero" (by default)
 *       or "most"; caption: a node or string; the value under the pointer stands in a line below. width and height: of the picture,
 *       so that its place is kept
 *       view.update({values, limit, src})   draws other values over it without building it anew
 *   clipspan.maps.group({views, kind, limit, unit, note})   the views with one legend and one slider for how strongly the maps cover
 *   clipspan.maps.opacity(target)      the slider alone; sets --map-opacity on target
 */
"use strict";
(function () {
  const el = (...args) => clipspan.el(...args);

  function bytes(base64, limit) {
    const raw = atob(base64), out = new Float32Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = ((raw.charCodeAt(i) << 24 >> 24) * limit) / 127;
    return out;
  }
  function values(map, side) {
    const of = typeof map.values === "string" ? bytes(map.values, map.limit) : Float32Array.from(map.values.flat());
    if (of.length !== side * side) throw new Error(`a map of ${of.length} places, expected ${side} x ${side}`);
    return of;
  }

  function limitOf(maps, side) {
    const all = maps.map((map) => (map instanceof Float32Array ? map : values(map, side)));
    const sizes = new Float32Array(all.reduce((count, of) => count + of.length, 0));
    let at = 0;
    for (const of of all) for (const value of of) sizes[at++] = Math.abs(value);
    sizes.sort();
    return sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
  }

  function paint(canvas, of, side, limit, kind) {
    canvas.width = canvas.height = side;
    const colour = clipspan.colours.scale(kind, limit), context = canvas.getContext("2d"), pixels = context.createImageData(side, side);
    of.forEach((value, i) => pixels.data.set([...(colour(value) || [255, 255, 255]), 255], 4 * i));
    context.putImageData(pixels, 0, 0);
  }

  function view({ src, name, values: of, side, limit, kind = "zero", unit, caption, width = 224, height = 224 }) {
    const picture = el("img", { src, alt: name, width, height, loading: "lazy" });
    const canvas = el("canvas", { class: "map-colours", "aria-hidden": "true" });
    const readout = el("span", { class: "map-readout numbers", "aria-hidden": "true" });
    const frame = el("div", { class: "map-frame", style: { "--aspect": `${width} / ${height}` } }, picture, canvas);
    const whole = el("figure", { class: "map" }, frame, el("figcaption", null, caption, readout));
    let shown = of;
    const strongest = () => {
      let best = 0;
      shown.forEach((v, i) => { if (Math.abs(v) > Math.abs(shown[best])) best = i; });
      return `strongest ${clipspan.signed(shown[best], 2)} in row ${Math.floor(best / side) + 1}, column ${(best % side) + 1} of ${side}`;
    };
    const describe = () => { readout.textContent = ""; picture.alt = `${name}; heat-map: ${strongest()}, ${unit}`; };
    frame.addEventListener("pointermove", (event) => {
      const box = frame.getBoundingClientRect(), place = (at, size) => Math.min(side - 1, Math.max(0, Math.floor((at / size) * side)));
      const value = shown[place(event.clientY - box.top, box.height) * side + place(event.clientX - box.left, box.width)];
      readout.textContent = `here ${clipspan.signed(value, 2)}`;
    });
    frame.addEventListener("pointerleave", () => { readout.textContent = ""; });
    whole.update = (change) => {
      if (change.src) picture.src = change.src;
      if (change.values) shown = change.values;
      if (change.limit) limit = change.limit;
      paint(canvas, shown, side, limit, kind);
      describe();
    };
    whole.update({});
    return whole;
  }

  function opacity(target) {
    const slider = el("input", { type: "range", min: 0, max: 100, value: 68 });
    slider.addEventListener("input", () => target.style.setProperty("--map-opacity", String(slider.value / 100)));
    return el("label", { class: "map-opacity" }, el("span", { class: "soft small" }, "Map over picture"), slider);
  }

  function group({ views, kind = "zero", limit, unit, note }) {
    const list = el("div", { class: "map-row" }, views), whole = el("div", { class: "maps" });
    whole.append(list, el("div", { class: "map-foot" },
      clipspan.colours.legend({ kind, limit, unit, over: true, format: (v) => (kind === "zero" ? clipspan.signed(v, 2) : clipspan.number(v, 2)),
        low: kind === "zero" ? "against" : "", high: kind === "zero" ? "for" : "" }), opacity(whole)),
      note ? el("p", { class: "soft small" }, note) : null);
    return whole;
  }

  clipspan.maps = { values, limitOf, view, group, opacity };
})();
