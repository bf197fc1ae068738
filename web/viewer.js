/* Puts the viewer together: asks the server what it has, builds the panels, shows the first page or the work.
 *
 *   clipspan.viewer.reveal(id)     brings a panel into view and moves the keyboard there
 */
"use strict";
(function () {
  const viewer = clipspan.viewer, el = clipspan.el, at = (id) => document.getElementById(id);

  viewer.reveal = (id) => {
    const panel = at(id), title = panel && panel.querySelector("h2");
    if (!title) return;
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "start" });
  };

  function describe() {
    const { model, store } = viewer.model(), parts = [];
    parts.push(`${model.layers} layers of ${model.heads} heads`);
    parts.push(store ? `store of ${clipspan.count(store.images)} images` : "no store");
    clipspan.fill(at("served"), viewer.server.models.length > 1
      ? el("label", null, el("span", { class: "visually-hidden" }, "Model"), el("select", { on: { change: (event) => viewer.set({ model: Number(event.target.value) }, { step: true }) } },
        viewer.server.models.map((each, i) => el("option", { value: i, selected: i === viewer.state.model }, each.model.name))))
      : el("strong", null, model.name), el("span", { class: "soft small" }, parts.join(" · ")));
  }

  /* A server that was started again may have another model or store; the address keeps the view. */
  async function compare() {
    const now = await clipspan.server.get("state").catch(() => null);
    if (now && JSON.stringify(now.models) !== JSON.stringify(viewer.server.models)) location.reload();
  }

  function showReach(now) {
    const todo = "What you see is from before. Is “clipspan serve” still running? This page goes on by itself as soon as it answers.";
    clipspan.fill(at("reach"), now ? null : clipspan.notice("The server does not answer.", todo, true));
    if (now) compare();
    if (now && viewer.held.status === "failed") viewer.tell("image");
    else if (now) viewer.tell("held");
  }

  function build() {
    viewer.imageCard(at("image"));
    viewer.textsCard(at("texts"));
    const welcome = viewer.welcomePanel();
    const work = el("div", { class: "work" }, viewer.mapsPanel(), viewer.headsPanel(), viewer.nearestPanel(), viewer.besidePanel(), viewer.textspanPanel());
    clipspan.fill(at("panels"), welcome, work);
    function turn() {
      const begun = Boolean(viewer.state.image) || viewer.held.status === "loading";
      welcome.hidden = begun;
      work.hidden = !begun;
      document.body.classList.toggle("begun", begun);
    }
    viewer.on((changed) => {
      if (changed("image", "held")) turn();
      if (changed("model")) describe();
      if (changed("image")) scrollTo({ top: 0 });
    });
    turn();
    describe();
    clipspan.fill(at("words"), clipspan.words.list(["head", "layer", "map", "direct", "total", "cosine", "probability", "share", "textspan", "explained", "role", "activation", "space"]));
  }

  async function start() {
    document.body.classList.toggle("begun", Boolean(clipspan.address.read().image)); /* nothing jumps when the server answers */
    viewer.hello(at("hello"));
    document.body.classList.add("started");
    try {
      viewer.server = await clipspan.server.get("state");
    } catch (error) {
      return clipspan.fill(at("panels"), clipspan.server.failure(error, () => { clipspan.fill(at("panels"), viewer.skeleton("60rem")); start(); }));
    }
    viewer.start();
    build();
    clipspan.server.onReach(showReach);
    document.body.classList.add("ready");
    return viewer.loadHeads();
  }
  clipspan.theme(at("theme"));
  start();
})();
