/* What a panel gives away: what it shows, as files, and the command line that makes the same.
 *
 *   clipspan.save.menu({name, picture, csv, json, command})   an element, a menu "Export" of what is given:
 *       name      of the files, without an ending
 *       picture   function: what is shown on the page, as clipspan.drawing takes it; saved as PNG and SVG
 *       csv       function: an array of rows, each an array of cells; the first row is the header. null: an empty cell
 *       json      function: a value
 *       command   a string or an array of them, or a function that returns one
 *     Functions are called when an item is chosen, so they give what is shown at that time.
 *   clipspan.save.made(command, what)  an element: "How it was made", the command (or an array of them, a line each) and a button that
 *                                      copies; what was made, for those who listen
 *
 * Works from file://. Pictures are drawn by the browser itself: nothing is fetched but the images shown. */
"use strict";
(function () {
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

  /* At twice the size shown. */
  async function pngOf({ text, width, height }) {
    const image = new Image(), canvas = clipspan.el("canvas", { width: 2 * width, height: 2 * height });
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
    await image.decode();
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/png"));
  }

  function items({ name, picture, csv, json, command }) {
    const list = [];
    if (picture) {
      const drawn = () => clipspan.drawing(picture());
      list.push(["Picture, PNG", async () => file(name + ".png", "image/png", await pngOf(await drawn()))]);
      list.push(["Drawing, SVG", async () => file(name + ".svg", "image/svg+xml", (await drawn()).text)]);
    }
    if (csv) list.push(["Table, CSV", async () => file(name + ".csv", "text/csv", csvOf(csv()))]);
    if (json) list.push(["Data, JSON", async () => file(name + ".json", "application/json", JSON.stringify(json(), null, 1) + "\n")]);
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

  clipspan.save = { menu, made };
})();
