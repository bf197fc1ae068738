/* What is shown, as a drawing: letters, lines and grounds as vectors where the page has laid them out, pictures and maps as pixels.
 *
 *   clipspan.drawing(shown)   shown: an element of the page, or an array of them, drawn one below the other. A promise of
 *                             {text, width, height}: an SVG file that needs nothing else, in the light theme
 *
 * Left out is what is for the hand alone: buttons, menus, sliders, what is folded away. Of the style sheets it understands what the
 * pages use: grounds of one colour or a gradient from left to right, lines around them, letters, opacity, clipping. */
"use strict";
(function () {
  const EDGE = 16, GAP = 8;
  const LEFT_OUT = ".save, .made, .numbers-of, .button, .map-opacity, .grid-readout, .visually-hidden, input, select, [popover]";
  const DRAWN = ["fill-opacity", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity",
    "font-family", "font-size", "font-weight", "text-anchor"];
  const svg = (...args) => clipspan.svg(...args);

  const pen = clipspan.el("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });

  /* Any colour that a browser computes, oklab(...) too, as programs for drawings know it: {colour, opacity}. */
  const known = new Map();
  function plain(css) {
    if (!known.has(css)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = css;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(css, { colour: `rgb(${r}, ${g}, ${b})`, opacity: a / 255 });
    }
    return known.get(css);
  }

  /* How far above the lower edge of its line a letter stands, as a share of the line. */
  function baseline(style) {
    pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const { fontBoundingBoxAscent: up, fontBoundingBoxDescent: down } = pen.measureText("x");
    return up / (up + down);
  }

  /* The lines that a text is broken into: {text, left, top, height}. */
  function linesOf(node) {
    const range = document.createRange(), lines = [];
    let end = 0;
    for (const letter of node.data) {
      range.setStart(node, end);
      range.setEnd(node, end += letter.length);
      const { left, top, width, height } = range.getBoundingClientRect(), blank = !letter.trim(), last = lines.at(-1);
      if (height === 0 || (width === 0 && blank)) continue;
      if (!last || Math.abs(last.top - top) >= height / 2) lines.push({ text: letter, left: blank ? Infinity : left, top, height });
      else Object.assign(last, { text: last.text + letter, left: blank ? last.left : Math.min(last.left, left) });
    }
    return lines.filter((line) => line.text.trim());
  }

  const extend = (reach, { x, y, width, height }) => {
    reach.right = Math.max(reach.right, x + width);
    reach.bottom = Math.max(reach.bottom, y + height);
  };

  function letters(node, style, { x, y }, reach) {
    const look = { fill: plain(style.color).colour, "font-family": style.fontFamily, "font-size": style.fontSize, "font-weight": style.fontWeight };
    if (style.writingMode !== "horizontal-tb") { /* upwards along an edge */
      const box = node.parentElement.getBoundingClientRect(), left = box.left + box.width * 0.75 - x, middle = box.top + box.height / 2 - y;
      return [svg("text", { ...look, "text-anchor": "middle", transform: `translate(${left} ${middle}) rotate(-90)` }, node.data.trim())];
    }
    const rise = baseline(style), lines = linesOf(node);
    for (const line of lines) extend(reach, { x: line.left - x, y: line.top - y, width: 0, height: line.height });
    return lines.map((line) => svg("text", { ...look, x: line.left - x, y: line.top + rise * line.height - y }, line.text.trim()));
  }

  let shades = 0; /* so many have a name already */
  function gradient(colours, rect) {
    const id = `shade-${++shades}`;
    rect.setAttribute("fill", `url(#${id})`);
    return [svg("linearGradient", { id }, colours.map((colour, i) =>
      svg("stop", { offset: i / (colours.length - 1), "stop-color": plain(colour).colour }))), rect];
  }

  /* Its colour or gradient, and the lines along its sides. */
  function ground(style, at, reach) {
    const shades = style.backgroundImage.match(/(rgb|color|oklab)[^(]*\([^)]*\)/g), { colour, opacity } = plain(shades ? shades[0] : style.backgroundColor);
    const rect = svg("rect", { ...at, rx: parseFloat(style.borderTopLeftRadius) || null, fill: colour, "fill-opacity": opacity < 1 ? opacity : null });
    const sides = { Top: [0, 0, 1, 0], Right: [1, 0, 1, 1], Bottom: [0, 1, 1, 1], Left: [0, 0, 0, 1] };
    const lines = Object.entries(sides).map(([side, [x1, y1, x2, y2]]) => {
      const stroke = plain(style[`border${side}Color`]), width = parseFloat(style[`border${side}Width`]);
      return width > 0 && stroke.opacity > 0 && style[`border${side}Style`] !== "none"
        ? svg("line", { x1: at.x + x1 * at.width, y1: at.y + y1 * at.height, x2: at.x + x2 * at.width, y2: at.y + y2 * at.height,
          stroke: stroke.colour, "stroke-opacity": stroke.opacity, "stroke-width": width }) : null;
    });
    if (opacity > 0) extend(reach, at);
    return [opacity === 0 ? null : shades && style.backgroundImage.startsWith("linear") ? gradient(shades, rect) : rect, lines];
  }

  /* An <img> or <canvas>, cut and filtered as it is shown. */
  function pixels(node, style, at) {
    const wide = node.naturalWidth ?? node.width, high = node.naturalHeight ?? node.height;
    if (!wide || !high) return null;
    const cover = style.objectFit === "cover" ? Math.max(at.width / wide, at.height / high) : 0;
    const width = cover ? at.width / cover : wide, height = cover ? at.height / cover : high;
    const copy = clipspan.el("canvas", { width: Math.round(width), height: Math.round(height) }), context = copy.getContext("2d");
    context.filter = style.filter;
    context.drawImage(node, (wide - width) / 2, (high - height) / 2, width, height, 0, 0, copy.width, copy.height);
    const blend = style.mixBlendMode === "normal" ? null : { "mix-blend-mode": style.mixBlendMode };
    return svg("image", { ...at, href: copy.toDataURL("image/png"), preserveAspectRatio: "none", style: blend });
  }

  /* A drawing of the page's own, with its looks written into it. */
  function chart(node, at) {
    const copied = node.cloneNode(true), from = [node, ...node.querySelectorAll("*")], to = [copied, ...copied.querySelectorAll("*")];
    from.forEach((element, i) => {
      const style = getComputedStyle(element);
      for (const name of ["fill", "stroke"]) to[i].setAttribute(name, style[name] === "none" ? "none" : plain(style[name]).colour);
      for (const name of DRAWN) to[i].setAttribute(name, style.getPropertyValue(name));
      for (const name of ["class", "style", "aria-hidden"]) to[i].removeAttribute(name);
    });
    for (const [name, value] of Object.entries({ ...at, overflow: "visible" })) copied.setAttribute(name, value);
    return copied;
  }

  /* A node and all that is in it, with its place on the page moved by `from`. */
  function draw(node, from, reach) {
    if (node.nodeType === Node.TEXT_NODE) return letters(node, getComputedStyle(node.parentElement), from, reach);
    if (node.nodeType !== Node.ELEMENT_NODE || node.matches(LEFT_OUT)) return null;
    const style = getComputedStyle(node), box = node.getBoundingClientRect();
    if (style.display === "none" || style.visibility === "hidden") return null;
    const at = { x: box.left - from.x, y: box.top - from.y, width: box.width, height: box.height };
    const leaf = ["svg", "IMG", "CANVAS"].includes(node.tagName);
    const drawn = node.tagName === "svg" ? chart(node, at) : leaf ? pixels(node, style, at) : [ground(style, at, reach), inside(node, style, at, from, reach)];
    extend(reach, leaf ? at : { ...at, height: 0 });
    return style.opacity === "1" ? drawn : svg("g", { opacity: style.opacity }, drawn);
  }
  function inside(node, style, at, from, reach) {
    const cut = ["hidden", "clip"].includes(style.overflowX) && node.scrollWidth > node.clientWidth;
    const children = [...node.childNodes].map((child) => draw(child, from, cut ? { ...reach } : reach));
    return cut ? svg("svg", { ...at, viewBox: `${at.x} ${at.y} ${at.width} ${at.height}` }, children) : children;
  }

  /* Does something while the page is in its light theme, on white; nothing is painted in between. */
  function inLight(action) {
    const root = document.documentElement, before = root.dataset.theme;
    root.dataset.theme = "light";
    root.style.setProperty("--paper", "#fff");
    try { return action(); } finally {
      root.style.removeProperty("--paper");
      if (before === undefined) delete root.dataset.theme;
      else root.dataset.theme = before;
    }
  }

  /* Pictures that were to come when one scrolls to them. */
  const awaited = (elements) => Promise.all(elements.flatMap((element) => [...element.querySelectorAll("img")]).map((image) => {
    image.loading = "eager";
    return image.decode().catch(() => null);
  }));

  clipspan.drawing = async (shown) => {
    const elements = [shown].flat(), reach = { right: 0, bottom: -GAP };
    await awaited(elements);
    shades = 0;
    const parts = inLight(() => elements.map((element) => {
      const box = element.getBoundingClientRect();
      return draw(element, { x: box.left, y: box.top - reach.bottom - GAP }, reach);
    }));
    const width = Math.ceil(reach.right) + 2 * EDGE, height = Math.ceil(reach.bottom) + 2 * EDGE;
    const whole = svg("svg", { width, height, viewBox: `${-EDGE} ${-EDGE} ${width} ${height}` },
      svg("rect", { x: -EDGE, y: -EDGE, width, height, fill: "#fff" }), parts);
    whole.setAttribute("xmlns", whole.namespaceURI);
    return { text: new XMLSerializer().serializeToString(whole), width, height };
  };
})();
