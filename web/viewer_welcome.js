/* The first page: before an image is chosen, what the model's heads say, with images to begin from. */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, term = (...args) => clipspan.words.term(...args);
  const SHOWN = 6, IMAGES = 5;

  /* Heads worth seeing: much variance, of which their first text explains much; one of each first text, so that they differ. */
  function telling(doc) {
    const worth = (head) => (head.share || 0) * head.texts[0].explained, seen = new Set();
    return doc.heads.filter((head) => head.texts && head.texts.length)
      .sort((a, b) => worth(b) - worth(a))
      .filter((head) => !seen.has(head.texts[0].text) && seen.add(head.texts[0].text)).slice(0, SHOWN);
  }
  const textsOf = (heads) => [...new Set(heads.map((head) => head.texts[0].text))];

  function start(row, head, heads) {
    const typed = viewer.asked().length > 0, mine = head.texts[0].text, other = textsOf(heads).find((text) => text !== mine);
    viewer.set({ image: viewer.refOf(row), name: null, head: head.name, ...(typed ? {} : { texts: [mine, other || ""], look: 0, minus: null }) }, { step: true });
  }

  function card(head, heads) {
    return el("li", { class: "telling" },
      el("div", { class: "spread" }, el("h3", null, head.name), el("span", { class: "small soft numbers" }, head.role ? `tells ${head.role} · ` : "", term("share", `${clipspan.percent(head.share)} of variance`))),
      el("p", { class: "said" }, head.texts.slice(0, 3).map((each) => each.text).join(" · ")),
      viewer.pictured() && head.activation ? el("div", { class: "tiles" }, head.activation.most.slice(0, IMAGES).map((each) =>
        viewer.tile({ row: each.row, name: each.name, onPick: (row) => start(row, head, heads) }))) : null);
  }

  /* What this page is for, in two sentences. */
  viewer.hello = (holder) => clipspan.fill(holder, el("h2", null, "See what a model sees, head by head"),
    el("p", null, "Choose a picture and type what may be in it. You see where in the picture the model finds each text, which of its ", term("head", "attention heads"),
      " argue for it and which against, and what is left when some are switched off."));

  /* Without a store: what will be seen. */
  const PROSPECT = [["Where in the image", "Heat-maps of each text, as a whole and by every layer and head: which patches speak for it, and which against."],
    ["Which heads", "Every head by what it adds to a text, or to one text against another."],
    ["Without heads", "What the texts’ probabilities are when you switch some off: at once, or with the network run again."]];
  const prospect = () => [el("section", null, el("h2", null, "What you will see"),
    el("ul", { class: "tellings" }, PROSPECT.map(([title, words]) => el("li", { class: "telling" }, el("h3", null, title), el("p", null, words))))),
  el("section", null, el("h2", null, "With images of your own"), el("p", null, "Decompose a folder of images once, and this page also shows what each head says in words, ",
    "for which images it says it most, and which images are near in its space:"),
    el("pre", { class: "notice" }, el("code", null, `clipspan decompose ${viewer.command.model()} IMAGES -o STORE\nclipspan serve ${viewer.command.model()} STORE --texts POOL`)))];

  viewer.welcomePanel = () => {
    const heads = el("div", { class: "welcome" });
    const element = el("div", null, heads);
    function fill() {
      if (!viewer.model().store) return clipspan.fill(heads, prospect());
      const found = viewer.heads ? telling(viewer.heads) : [];
      viewer.suggested = viewer.heads ? textsOf(telling({ heads: viewer.heads.heads })) : [];
      viewer.tell("suggested");
      const says = el("p", { class: "soft small" }, "For each: the texts that say best what it writes (", term("textspan"), ")",
        viewer.pictured() ? ", and the images for which it writes most. Click one to begin." : ".");
      const gallery = viewer.pictured() ? el("section", null, el("h2", null, found.length ? "Or any image of the store" : "Images of the store"), viewer.gallery({ count: 24, onPick: viewer.openRow })) : null;
      const alone = viewer.pictured() ? null : el("div", null, clipspan.notice("The store’s images cannot be shown.", viewer.model().store.moments_only
        ? "It holds moments alone, and no single images: begin with a picture of your own. What heads write in general, and their means, are known."
        : "Its pictures are not where they were. Start the server with --images and the folder where they are now, or begin with a picture of your own."));
      if (found.length) clipspan.fill(heads, el("section", null, el("h2", null, "Its most telling heads"), says, el("ul", { class: "tellings" }, found.map((head) => card(head, found)))), gallery, alone);
      else clipspan.fill(heads, gallery, alone, clipspan.notice("Its heads have no words yet.", "Start the server with a pool of texts (--texts POOL): then the heads that say most stand here."));
      return null;
    }
    if (viewer.model().store) clipspan.fill(heads, viewer.skeleton("60rem"));
    else clipspan.fill(heads, prospect());
    viewer.on((changed) => { if (changed("known")) fill(); });
    return element;
  };
})();
