/* What a panel gives away: what it shows, as files, and the command line that makes the same.
 *
 *   clipspan.save.menu({name, picture, csv, json, command})   an element, a menu "Export" of what is given:
 *       name      of the files, without an ending
 *       picture   function: an element that is shown on the page. An <svg> is saved as SVG and PNG, anything else as PNG
 *       csv       function: an array of rows, each an array of cells; the first row is the header. null: an empty cell
 *       json      function: a value
 *       command   a string or an array of them, or a function that returns one
 *     Functions are called when an item is chosen, so they give what is shown at that time. They may return promises.
 *   clipspan.save.made(command, what)  an element: "How it was made", the command (or an array of them, a line each) and a button that
 *                                      copies; what was made, for those who listen
 *   clipspan.save.copy(text)           to the clipboard; says so through clipspan.announce
 *   clipspan.save.file(name, type, content)   a download, of a string or Blob
 *   clipspan.save.csvOf(rows)          RFC 4180
 *   clipspan.save.svgOf(svg)           an <svg> as a file's text: its styles written into it, light theme
 *   clipspan.save.pngOf(element)       a promise of a Blob, at twice the size shown, light theme
 *
 * Works from file://. Pictures are drawn by the browser itself: nothing is fetched but the images shown. */
"use strict";
(function () {
  const XHTML = "http://www.w3.org/1999/xhtml", SVG = "http://www.w3.org/2000/svg";
  const EDGE = 16, TITLE = 26; /* around a saved picture; above a drawing, for its title */
  const DRAWN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin",
    "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "font-variant-numeric"];

  function file(name, type, content) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    const link = clipspan.el("a", { href: url, download: name, hidden: true });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 30000);
    clipspan.announce(`${name} saved`);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (refused) { /* an old way, for pages that may not use the clipboard */
      const area = clipspan.el("textarea", { class: "visually-hidden" });
      const before = document.activeElement;
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (before) before.focus();
      if (!done) return clipspan.announce("The browser refused to copy");
    }
    return clipspan.announce("Copied");
  }

  function cell(value) {
    if (value === null || value === undefined) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }
  const csvOf = (rows) => rows.map((row) => row.map(cell).join(",") + "\r\n").join("");

  /* Does something while the page is in its light theme; nothing is painted in between. */
  function inLight(action) {
    const root = document.documentElement, before = root.dataset.theme;
    root.dataset.theme = "light";
    try { return action(); } finally {
      if (before === undefined) delete root.dataset.theme;
      else root.dataset.theme = before;
    }
  }

  /* With an edge around it, and its title above it, which stands in the page's text. */
  const heightOf = (svg) => svg.getBoundingClientRect().height + 2 * EDGE + (svg.dataset.title ? TITLE : 0);

  function svgOf(svg) {
    const copied = svg.cloneNode(true), box = svg.getBoundingClientRect();
    inLight(() => {
      const from = [svg, ...svg.querySelectorAll("*")], to = [copied, ...copied.querySelectorAll("*")];
      from.forEach((element, i) => {
        const style = getComputedStyle(element);
        for (const property of DRAWN) to[i].setAttribute(property, style.getPropertyValue(property));
        to[i].removeAttribute("class");
      });
    });
    const title = svg.dataset.title, head = title ? TITLE : 0, width = box.width + 2 * EDGE, height = heightOf(svg);
    copied.setAttribute("xmlns", SVG);
    copied.setAttribute("width", width);
    copied.setAttribute("height", height);
    copied.setAttribute("viewBox", `${-EDGE} ${-EDGE - head} ${width} ${height}`);
    copied.prepend(clipspan.svg("rect", { x: -EDGE, y: -EDGE - head, width, height, fill: "#fff" }));
    if (title) copied.append(clipspan.svg("text", { x: 0, y: -12, fill: "#22211e", "font-family": "sans-serif", "font-size": 13,
      "font-weight": 600 }, title));
    return new XMLSerializer().serializeToString(copied);
  }

  function stillOf(image) {
    if (image.src.startsWith("data:")) return image.src;
    const canvas = clipspan.el("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/png");
  }

  /* A canvas as an image of the same look, whatever the page's styles say of images. */
  function stillCanvas(canvas) {
    const look = getComputedStyle(canvas), style = { filter: "none", "object-fit": "fill", "max-width": "none" };
    for (const name of ["position", "top", "left", "width", "height", "opacity", "display", "border-radius",
      "aspect-ratio"]) style[name] = look.getPropertyValue(name);
    return clipspan.el("img", { src: canvas.toDataURL("image/png"), style });
  }

  /* The element as it stands, with its canvases and images inside it and the page's styles beside it. */
  function enclosed(element) {
    const copied = element.cloneNode(true), box = element.getBoundingClientRect();
    const drawn = element.querySelectorAll("canvas"), images = element.querySelectorAll("img");
    copied.querySelectorAll("img").forEach((image,
      i) => { if (images[i].naturalWidth > 0) image.src = stillOf(images[i]); image.removeAttribute("loading"); });
    copied.querySelectorAll("canvas").forEach((canvas, i) => canvas.replaceWith(stillCanvas(drawn[i])));
    copied.querySelectorAll(".save, .made, .numbers-of, .button, .map-opacity, script, [popover]").forEach((part) => part.remove());
    const rules = [...document.styleSheets].flatMap((sheet) => {
      try { return [...sheet.cssRules].map((rule) => rule.cssText); } catch (foreign) { return []; }
    });
    const width = Math.ceil(box.width) + 2 * EDGE, height = heightAt(copied, element.parentElement, box.width) + 2 * EDGE;
    const svg = clipspan.svg("svg", { width, height, "data-theme": "light" },
      clipspan.svg("style", null, rules.join("\n")), clipspan.svg("foreignObject", { width: "100%", height: "100%" }));
    const body = document.createElementNS(XHTML, "body");
    body.style.cssText = `padding:${EDGE}px;width:${width}px;background:#fff;container-type:inline-size`;
    body.append(copied);
    svg.lastChild.append(body);
    svg.setAttribute("xmlns", SVG);
    return { text: new XMLSerializer().serializeToString(svg), width, height };
  }

  /* The height that an element takes at a width, tried out of sight where the same rules hold for it; what asks for the
   * width around it is told this one, as in the picture. */
  function heightAt(element, parent, width) {
    const aside = clipspan.el("div", { "aria-hidden": "true",
      style: { position: "absolute", left: "-300vw", top: "0", width: `${width}px`, "container-type": "inline-size" } }, element);
    parent.append(aside);
    const height = Math.ceil(element.getBoundingClientRect().height);
    aside.remove();
    return height;
  }

  async function pngOf(element) {
    const isSvg = element instanceof SVGSVGElement, box = element.getBoundingClientRect();
    const { text, width, height } = isSvg ? { text: svgOf(element), width: box.width + 2 * EDGE, height: heightOf(element) } : enclosed(element);
    const image = new Image();
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
    await image.decode();
    const scale = 2, canvas = clipspan.el("canvas", { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/png"));
  }

  function items({ name, picture, csv, json, command }) {
    const list = [];
    if (picture) list.push(["Picture, PNG", async () => file(name + ".png", "image/png", await pngOf(await picture()))]);
    if (picture && picture() instanceof SVGSVGElement)
      list.push(["Drawing, SVG", async () => file(name + ".svg", "image/svg+xml", svgOf(await picture()))]);
    if (csv) list.push(["Table, CSV", async () => file(name + ".csv", "text/csv", csvOf(await csv()))]);
    if (json) list.push(["Data, JSON", async () => file(name + ".json", "application/json", JSON.stringify(await json(), null, 1) + "\n")]);
    if (command) list.push(["Copy the command", () => copy(linesOf(typeof command === "function" ? command() : command))]);
    return list;
  }

  function menu(options) {
    const list = clipspan.el("ul", { class: "save-items", role: "menu", "aria-label": `Export: ${options.name}`, hidden: true });
    const button = clipspan.el("button", { type: "button", class: "save-open", "aria-haspopup": "menu", "aria-expanded": "false",
      "aria-label": `Export: ${options.name}` }, "Export");
    const element = clipspan.el("div", { class: "save" }, button, list);
    const show = (open) => { list.hidden = !open; button.setAttribute("aria-expanded", String(open)); };
    const act = (action) => async () => {
      show(false);
      button.focus();
      try { await action(); } catch (failed) { clipspan.announce("This browser could not make the file; try another kind"); }
    };
    const within = () => [...list.querySelectorAll("button")];
    function open(at) {
      clipspan.fill(list, items(options).map(([label, action]) =>
        clipspan.el("li", { role: "none" }, clipspan.el("button",
          { type: "button", role: "menuitem", tabindex: -1, on: { click: act(action) } }, label))));
      show(true);
      within().at(at).focus();
    }
    button.addEventListener("click", () => (list.hidden ? open(0) : show(false)));
    element.addEventListener("keydown", (event) => {
      const all = within(), at = all.indexOf(document.activeElement);
      if (list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) open(event.key === "ArrowDown" ? 0 : -1);
      else if (list.hidden) return;
      else if (event.key === "Escape") { show(false); button.focus(); }
      else if (event.key === "ArrowDown") all[(at + 1) % all.length].focus();
      else if (event.key === "ArrowUp") all.at(at - 1).focus();
      else if (event.key === "Home") all[0].focus();
      else if (event.key === "End") all.at(-1).focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    element.addEventListener("focusout", (event) => { if (!element.contains(event.relatedTarget)) show(false); });
    return element;
  }

  const linesOf = (command) => (Array.isArray(command) ? command.join("\n") : command);
  const made = (command, what) => clipspan.el("details", { class: "made" }, clipspan.el("summary", null, "How it was made",
    what ? clipspan.el("span", { class: "visually-hidden" }, `: ${what}`) : null),
    clipspan.el("div", { class: "made-command" }, clipspan.el("pre", null, clipspan.el("code", null, linesOf(command))),
      clipspan.el("button", { type: "button", class: "button slim", on: { click: () => copy(linesOf(command)) } }, "Copy")));

  clipspan.save = { menu, made, copy, file, csvOf, svgOf, pngOf };
})();
