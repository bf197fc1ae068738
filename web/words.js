/* Short help where a term first stands.
 *
 *   clipspan.words.term(key, text)   an element: the text (by default the term) with a dotted line; a click, finger or
 *                                    Enter opens what it means
 *   clipspan.words.close()           what is open
 *   clipspan.words.of(key)           {name, means}: for use elsewhere
 *   clipspan.words.list(keys)        all of them as a <dl>, by default every term
 */
"use strict";
(function () {
  const WORDS = {
    head: ["head", "One of the attention heads of a layer. Each looks at some parts of the image and writes a vector into the " +
      "image's representation; the representation is the sum of what all heads and MLPs write. L4.H3 is head 3 of layer 4, " +
      "both counted from 0."],
    layer: ["layer", "One block of the image encoder: attention heads that work side by side, then an MLP. The last layers write most " +
      "of what can be said in words."],
    share: ["share of variance", "How much a head's contribution changes from image to image, as a share of the same of all heads " +
      "together. A head with a large share tells images apart; one with a small share writes nearly the same for all."],
    direct: ["direct effect", "What changes when a head's own writing is taken out of the sum and its mean over images put there, while " +
      "all other heads stay as they were. What later layers would have made of it is not counted."],
    total: ["total effect", "What changes when the network is run again with the heads' writing replaced inside it: later layers read the changed sum, " +
      "so what they make of it is counted too."],
    probability: ["probability", "The softmax over the texts given of cosine times the model's scale: how the model would share its choice among " +
      "just these. With other texts beside it, the same text has another probability."],
    textspan: ["TextSpan", "A way to say in texts what a head writes: from a pool of texts, those are picked, one after another, along whose " +
      "directions the head's contributions vary most. (Gandelsman, Efros, Steinhardt 2024.)"],
    explained: ["variance explained", "The share of the head's variance that lies along a text's direction, with the directions of the texts " +
      "before it taken out. All texts together explain the sum."],
    stability: ["stability", "The images are drawn again at random many times, and the texts are picked anew: the share of these draws " +
      "in which the text is picked again. Near 100 % it does not hang on a few images."],
    role: ["role", "The attribute of the images, of those in the image list's columns, that the head tells best: it explains most of " +
      "the head's variance beyond chance."],
    activation: ["activation", "The head's contribution to one image, taken along the direction of its first text: large where the head writes " +
      "this text's direction into the image, small or below 0 where it writes the opposite."],
    map: ["heat-map", "Where in the image a head's evidence for a text comes from: each patch of the image with the change in the score " +
      "that it brings. Orange speaks for the text, blue against it."],
    ablation: ["mean ablation", "Something is taken out of the model by putting its mean over many images in its place, so that it no longer " +
      "tells images apart."],
    zeroshot: ["zero-shot", "Classifying by names alone: an image goes to the class whose text its representation is most like. Nothing is trained."],
    interval: ["95 % interval", "Images are drawn again at random, with repeats, many times; 95 % of the results lie in the interval. " +
      "Narrow: the number would be much the same with other images of this kind."],
    worst: ["worst group", "Images are grouped by class and attribute; the accuracy of the group that fares worst. A model that leans on a cue " +
      "that only goes along with the class fails where the two part."],
    rule: ["rule", "How the heads are chosen. Given, published: named beforehand. Cue, by own variance: the share of a head's variance that lies " +
      "along the cue; by words: along its texts that hold the cue's words; by passing: the share of the representation's variance along the " +
      "cue that passes through it; by correlation: how closely it follows the representation along the cue. Contrast of groups: " +
      "it helps the class's best group more than its worst; right and wrong: right answers more than wrong ones. Greedy: one head " +
      "after another, each the one that leaves the best worst group."],
    rank: ["numerical rank", "How many directions the head's contributions vary in, as far as the numbers can tell; at most the head's width."],
    logit: ["logit", "An image's score for a class, before it becomes a probability: the cosine between image and text, times the model's " +
      "scale (often 100)."],
    cosine: ["cosine", "How alike the directions of an image and a text are in the joint space; 1 is the same direction, 0 unrelated."],
    iou: ["intersection over union",
      "Pixels that both masks hold, divided by the pixels that either holds: 1 when they agree, 0 when they are apart."],
    space: ["a head's space", "Images compared by what one head writes for them, and nothing else: near means alike in what this head looks at."],
    excess: ["share beyond chance", "The share of the head's variance that lies between images of different value, with what random values would " +
      "reach taken out."],
  };
  let count = 0, shown = null;
  const close = () => { if (shown) shown.hidePopover(); };
  addEventListener("scroll", close, { passive: true });

  const of = (key) => ({ name: WORDS[key][0], means: WORDS[key][1] });

  function place(button, note) {
    const at = button.getBoundingClientRect(), width = Math.min(336, innerWidth - 32);
    note.style.width = width + "px";
    note.style.left = Math.min(Math.max(16, at.left), innerWidth - width - 16) + "px";
    note.style.top = "0px";
    const below = at.bottom + 6, above = at.top - note.offsetHeight - 6;
    note.style.top = (below + note.offsetHeight > innerHeight && above > 0 ? above : below) + "px";
  }

  function term(key, text) {
    const { name, means } = of(key), id = `word-${++count}`;
    const note = clipspan.el("span", { class: "word-note", id, popover: "auto", role: "note" }, clipspan.el("strong", null, name), " ", means);
    const button = clipspan.el("button", { type: "button", class: "word", popovertarget: id,
      "aria-description": "what it means" }, text || name);
    note.addEventListener("toggle", (event) => {
      const opened = event.newState === "open";
      if (opened) place(button, note);
      if (opened || shown === note) shown = opened ? note : null;
    });
    return clipspan.el("span", { class: "word-whole" }, button, note);
  }

  const list = (keys = Object.keys(WORDS)) => clipspan.el("dl", { class: "words" }, keys.map((key) =>
    clipspan.el("div", null, clipspan.el("dt", null, of(key).name), clipspan.el("dd", null, of(key).means))));

  clipspan.words = { term, close, of, list };
})();
