/* The store's images, to look through, search and choose from.
 *
 *   clipspan.viewer.thumb(path, name, side)     an <img> of the server's picture, its place kept while it loads
 *   clipspan.viewer.tile({row, name, caption, onPick})   a button with a store's image
 *   clipspan.viewer.gallery({count, onPick})    an element: search field and tiles; onPick(row)
 *   clipspan.viewer.browse(onPick)              the same in a dialog; by default the image is looked at
 */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el;
  const SIDE = 96;

  function thumb(path, name, side = SIDE) {
    const image = el("img", { alt: name, width: side, height: side, class: "thumb", decoding: "async" });
    clipspan.server.picture(path).then((address) => { image.src = address; }, () => image.classList.add("missing"));
    image.addEventListener("error", () => image.classList.add("missing"));
    return image;
  }

  const query = () => viewer.query("&");
  function tile({ row, name, caption, onPick = viewer.openRow, pictured = true }) {
    if (!pictured) return el("div", { class: "tile" }, el("span", { class: "no-picture", title: name }, el("span", null, name)), el("span", { class: "tile-caption small" }, caption));
    return el("button", { class: "tile", type: "button", title: name, on: { click: () => onPick(row) } },
      thumb(`rows/${row}.jpg?side=${SIDE}${query()}`, name || `row ${row}`), caption ? el("span", { class: "tile-caption small" }, caption) : null);
  }

  function gallery({ count = 60, onPick }) {
    const tiles = el("div", { class: "tiles" }), said = el("p", { class: "small soft", role: "status" }, "\u00a0");
    const more = el("button", { class: "button slim", type: "button", hidden: true }, "Show more");
    const field = el("input", { type: "search", placeholder: "Search names and labels", "aria-label": "Search the store's images by name or label" });
    let first = 0, asking = 0;

    async function load(fresh) {
      if (fresh) first = 0;
      const mine = ++asking, { model } = viewer.state;
      if (fresh) clipspan.fill(tiles, Array.from({ length: Math.min(count, 24) }, () => el("div", { class: "tile skeleton" })));
      try {
        const found = await clipspan.server.get(`rows?like=${encodeURIComponent(field.value.trim())}&first=${first}&count=${count}${query()}`);
        if (mine !== asking || model !== viewer.state.model) return; /* the rows are of another model's store */
        if (fresh) tiles.replaceChildren();
        tiles.append(...found.rows.map((each) => tile({ row: each.row, name: each.name, caption: each.label, onPick })));
        first += found.rows.length;
        more.hidden = first >= found.total;
        said.textContent = found.total ? `${clipspan.count(first)} of ${clipspan.count(found.total)} images` : "No image of this name or label. Try fewer letters.";
      } catch (error) {
        if (mine === asking) clipspan.fill(tiles, clipspan.server.failure(error, () => load(fresh)));
      }
    }
    field.addEventListener("input", clipspan.debounce(150, () => load(true)));
    more.addEventListener("click", () => load(false));
    load(true);
    return el("div", { class: "gallery" }, el("div", { class: "row" }, field, said), tiles, more);
  }

  function browse(onPick = viewer.openRow) {
    const dialog = el("dialog", { class: "browse", "aria-label": "Images of the store" });
    const pick = (row) => { dialog.close(); onPick(row); };
    dialog.append(el("div", { class: "spread" }, el("h2", null, "Images of the store"),
      el("button", { class: "button slim", type: "button", on: { click: () => dialog.close() } }, "Close")), gallery({ count: 60, onPick: pick }));
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("input").focus();
  }

  Object.assign(viewer, { thumb, tile, gallery, browse });
})();
