"use strict";
/* What pages with maps over images say in words: readings of a row, where its colours end, and how to point. */
const Readout = (() => {
  const { at, make, number, translate } = Parts;
  const EFFECTIVE = {
    patch: translate("Effective number of patches (exp of entropy)"),
    place: translate("Effective number of places (exp of entropy)"),
  };
  const ALL = {
    patch: (count) => translate("{count} patches and tokens", { count }),
    place: (count) => translate("{count} places and tokens", { count }),
  };

  /* Whether a finger points, and not a mouse. */
  const finger = matchMedia("(pointer: coarse)");
  const touched = () => finger.matches;
  const whenTouched = (redraw) => finger.addEventListener("change", redraw);
  const cursorName = () => (touched() ? translate("Under your finger") : translate("Under the cursor"));

  /* How evenly a row is spread, with its term; nothing where that has no meaning. */
  function spread({ about, row, entropy }) {
    if (entropy === null) return [];
    const { special, noun = "patch" } = about.keys;
    const all = special.length ? ALL[noun](row.length) : `${row.length}`;
    return [
      [EFFECTIVE[noun], translate("{number} of {all}", { number: Math.exp(entropy).toFixed(1), all })],
      [translate("Spread (entropy)"), `${entropy.toFixed(2)} nats`],
    ];
  }

  const MEANING = translate("Effective number: the weight is spread as widely as if it were shared evenly by so many.");

  function show(lines) {
    at("readout").replaceChildren(...lines.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
    Parts.say("meaning", lines.some(([name]) => Object.values(EFFECTIVE).includes(name)) ? MEANING : "");
  }

  /* What is under the cursor. */
  function pointed({ about, row }, cursor, label = Maps.labelOf) {
    const under = Maps.indexIn(about.keys, cursor);
    return [cursorName(), under < 0 ? "–" : `${label(about.keys, under)}: ${number(row[under])}`];
  }

  /* Where the colours end, in words; `largest` says what the largest weight is of. */
  function end({ about, limit, how }, largest) {
    if (how === "even") return translate("{number} times the mean weight, as this map is nearly even", { number: about.even });
    return how === "one" ? "1" : largest;
  }

  /* Where the colours of a row over the image end, in words. */
  function rowEnd({ about, how, blurred, layer }, { grain, even }) {
    if (blurred !== null) return translate("the largest of what is drawn: blurred by {share} of the image's longer side, so that single pixels can be seen", { share: Parts.percent(grain) });
    if (how === "common") return translate("the largest weight on a patch in all of layer {number}", { number: layer });
    const patches = about.keys.noun !== "place";
    return end({ about: { even }, how }, patches ? translate("the row's largest weight on a patch") : translate("the row's largest weight on a place"));
  }

  /* Whether the prediction of an image is right, by a sign and in words. */
  function judge(image) {
    const words = {
      right: translate("✓ right"),
      wrong: translate("✗ wrong: the true class is {name}", { name: image.truth }),
      unknown: image.truth && translate("True class: {name}", { name: image.truth }),
    };
    const how = Parts.outcome(image);
    Parts.say("judged", words[how]);
    at("judged").className = `judged ${how}`;
    Parts.tongue(at("judged"));
  }

  /* How to ask; `layered`: where each patch looks is known, not only a summary. */
  function how(layered) {
    if (!layered) return touched() ? translate("Touch the image to read its weights.") : translate("Hover the image to read its weights.");
    if (touched()) return translate("Tap a patch to see where it looks; tap it again to let go.");
    return translate("Hover a patch to see where it looks. A click pins it, a second click or Esc lets go; arrow keys move, Enter pins.");
  }

  return { judge, how, touched, whenTouched, spread, show, pointed, end, rowEnd };
})();
