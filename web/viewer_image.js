/* The image: how it comes (dropped, pasted, chosen, or one of the store's), and its card.
 *
 *   clipspan.viewer.held             {status: "none", "loading", "ready" or "failed", ref, id, path, name, side, patches, row, error, problem}
 *                                  path: of its picture
 *   clipspan.viewer.openRow(row)     looks at an image of the store; .openFile(file) at a picture of the reader's; .refOf(row),
 *                                  .rowOf(ref): {row, of} of which model's store, or null
 *   clipspan.viewer.hold(ref, model) promise of {id, path, name, side, patches, row}: the server holds the picture for this model
 *   clipspan.viewer.again(ref, ask)  ask(held), and once more after giving the server a picture that it no longer holds
 *   clipspan.viewer.giveFile(file)   promise of the same, of a picture of the reader's
 *   clipspan.viewer.chooser(words, looks, onFile)   nodes: a button that chooses a file
 *   clipspan.viewer.imageCard(element)
 * A picture of the reader's is kept here while the page is open, so that it can be given again. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el;
  let latest = 0; /* of what was chosen: only the last is shown */
  const TYPES = ["image/jpeg", "image/png", "image/webp"];
  const files = new Map(); /* id: file */
  const holds = new Map(); /* model and ref: promise */
  viewer.held = { status: "none" };

  /* {row, of}: an image of the store of model `of`; null: a picture of the reader's. */
  function rowOf(ref) {
    const found = /^row:(\d+)(?:@(\d))?$/.exec(ref);
    return found && { row: Number(found[1]), of: Number(found[2] || 0) };
  }
  const refOf = (row, of = viewer.state.model) => `row:${row}${of ? `@${of}` : ""}`;
  const lost = () => Object.assign(new Error("Pictures of your own are held for a while only. Drop it here again, or choose another"), { kind: "lost" });
  const asked = (model) => (model ? `model=${model}` : "");
  const pathOf = (id, model) => `images/${id}.png${model ? "?" + asked(model) : ""}`;
  const sendFile = (file, name, model) =>
    clipspan.server.post(`images?name=${encodeURIComponent(name)}${model ? `&${asked(model)}` : ""}`, file);

  async function give(ref, model) {
    const place = rowOf(ref), file = files.get(ref);
    if (place) return place.of === model ? clipspan.server.post("images", { row: place.row, model }) : carry(ref, place, model);
    if (file) return sendFile(file, file.name || "pasted", model);
    const of = viewer.server.models[model].model, side = of.image_size;
    await probe(await clipspan.server.picture(pathOf(ref, model)));
    return { id: ref, name: viewer.state.name || "a picture", side, patches: Math.round(side / of.patch_size) };
  }
  /* An image of the other model's store: this store's own where that is the same image, else the picture as the other sees it. */
  async function carry(ref, { row, of }, model) {
    const { store, pictures } = viewer.server.models[model], source = viewer.server.models[of].store;
    if (!store && viewer.server.models[of].pictures) return clipspan.server.post("images", { row, model });
    const first = await hold(ref, of);
    if (store && pictures && source && store.images_path === source.images_path && row < store.images) {
      const same = await clipspan.server.post("images", { row, model });
      if (same.name === first.name) return same;
    }
    return sendFile(await clipspan.server.bytes(first.path), first.name, model);
  }
  function probe(address) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = resolve;
      image.onerror = () => reject(lost());
      image.src = address;
    });
  }

  function hold(ref, model = viewer.state.model) {
    const key = `${model} ${ref}`;
    if (!holds.has(key)) {
      const made = give(ref, model).then((held) => ({ ...held, path: pathOf(held.id, model) }));
      holds.set(key, made);
      made.catch(() => holds.delete(key));
    }
    return holds.get(key);
  }

  async function again(ref, ask, model = viewer.state.model) {
    try {
      return await ask(await hold(ref, model));
    } catch (error) {
      if (error.kind !== "lost") throw error;
      holds.delete(`${model} ${ref}`);
      if (!rowOf(ref) && !files.has(ref)) throw lost();
      return ask(await hold(ref, model));
    }
  }

  function tellHeld(held) {
    viewer.held = held;
    viewer.tell("held");
  }

  async function follow() {
    const ref = viewer.state.image, model = viewer.state.model;
    latest++;
    if (!ref) return tellHeld({ status: "none" });
    tellHeld({ ...viewer.held, status: "loading", ref });
    const current = () => ref === viewer.state.image && model === viewer.state.model;
    try {
      const held = await hold(ref, model);
      if (current()) tellHeld({ ...held, status: "ready", ref });
    } catch (error) {
      if (current()) tellHeld({ status: "failed", ref, error: error.kind === "gone" || rowOf(ref) ? error : lost() });
    }
  }

  const openRow = (row) => viewer.set({ image: refOf(row), name: null }, { step: true });

  /* Gives the server a picture of the reader's. */
  async function giveFile(file) {
    const limit = viewer.server.limits.image_bytes, name = file.name || "pasted";
    const refuse = (why) => { throw Object.assign(new Error(`${name} ${why}`), { kind: "refused" }); };
    if (file.type && !TYPES.includes(file.type)) refuse("is neither JPEG, PNG nor WebP");
    if (limit && file.size > limit) refuse(`has ${clipspan.count(Math.ceil(file.size / 1024))} KB; the server takes at most ${clipspan.count(Math.floor(limit / 1024))}`);
    const held = await sendFile(file, name, viewer.state.model);
    files.set(held.id, file);
    holds.set(`${viewer.state.model} ${held.id}`, Promise.resolve({ ...held, path: pathOf(held.id, viewer.state.model) }));
    return held;
  }

  /* What cannot be taken leaves what was there before, with a word on what was wrong. */
  async function openFile(file) {
    const before = viewer.held, mine = ++latest;
    tellHeld({ ...before, status: "loading", problem: null });
    try {
      const held = await giveFile(file);
      if (mine !== latest) return;
      if (viewer.state.image === held.id) follow();
      else viewer.set({ image: held.id, name: held.name }, { step: true });
    } catch (error) {
      if (mine === latest) tellHeld({ ...before, problem: error });
    }
  }

  /* Where pictures are dropped: the whole page. */
  function takeDrops() {
    const body = document.body, hasFile = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    addEventListener("dragover", (event) => { if (hasFile(event)) { event.preventDefault(); body.classList.add("dropping"); } });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) body.classList.remove("dropping"); });
    addEventListener("drop", (event) => {
      body.classList.remove("dropping");
      if (!hasFile(event)) return;
      event.preventDefault();
      if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
    });
    addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files || [])].find((each) => each.type.startsWith("image/"));
      if (file) { event.preventDefault(); openFile(file); }
    });
  }

  function chooser(words, looks, onFile = openFile) {
    const input = el("input", { type: "file", accept: TYPES.join(","), hidden: true,
      on: { change: () => { if (input.files[0]) onFile(input.files[0]); input.value = ""; } } });
    return [input, el("button", { class: `button ${looks}`, type: "button", on: { click: () => input.click() } }, words)];
  }

  function show(holder) {
    const held = viewer.held, some = held.status !== "none";
    const picture = el("div", { class: "picture", "aria-busy": held.status === "loading" ? "true" : null });
    const shown = held.id && held.status !== "failed";
    if (held.status === "failed") picture.append(clipspan.server.failure(held.error, held.error.kind === "lost" ? null : follow));
    else if (shown) picture.append(viewer.thumb(held.path, held.name, held.side));
    else if (some) picture.append(el("div", { class: "skeleton" }));
    else picture.append(el("p", { class: "picture-empty soft" }, "Drop a picture here, or paste one"));
    clipspan.fill(holder, el("h2", null, "Image"), picture, held.problem ? clipspan.server.failure(held.problem) : null,
      some ? el("p", { class: "picture-name small soft" }, shown ? [held.row !== undefined ? `row ${held.row} · ` : "", held.name] : "\u00a0") : null,
      el("div", { class: "row" }, chooser(some ? "Another file" : "Choose a file", some ? "slim" : "slim first"),
        viewer.pictured() ? el("button", { class: "button slim", type: "button", on: { click: () => viewer.browse() } }, "From the store") : null));
  }

  viewer.imageCard = (holder) => {
    takeDrops();
    viewer.on((changed) => {
      if (changed("image", "model")) follow();
      if (changed("held")) show(holder);
    });
    show(holder);
    if (viewer.state.image) follow();
  };
  Object.assign(viewer, { hold, again, refOf, rowOf, openRow, openFile, giveFile, chooser });
})();
