"use strict";
/* The page: what is asked, what is shown, and the controls. All text goes in as text; nothing is fetched. */
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const { number, partners, strongest } = Views;
  const { at, make, say, alarm, tongue, translate, translateCount } = Parts;
  const MOST_BARS = 12;
  const LONG = 16; // words of a sentence whose shorter side is spread out, so that lines run straight

  const state = {
    entry: 0, map: 0,
    way: null, // across, down or heat; null: whichever of the first two fits
    hovered: null, focused: null, pinned: null, // words: {side, index}
    least: 0.05, gold: true,
  };
  let maps = null; // the unpacked block of the entry that is shown
  let weights = []; // (target, source) of the map that is shown
  let top = 1; // the weight that is drawn thickest
  let view = null;
  let turn = 0; // counts openings, so that one that waited too long is dropped
  let shown = null; // what is drawn now

  const entry = () => page.entries[state.entry];
  const names = () => page.names[entry().names];
  const textOf = ({ side, index }) => entry()[side][index];
  const same = (one, other) => Boolean(one && other) && one.side === other.side && one.index === other.index;

  // -- drawing ----------------------------------------------------------------------------------

  /* The word that is asked: under the pointer, else pinned, else focused. */
  function asked() {
    const word = state.hovered ?? state.pinned ?? state.focused;
    return word && { ...word, pinned: same(word, state.pinned) };
  }

  const redraw = Parts.oncePerFrame(() => draw());

  function draw() {
    if (!view) return;
    const word = asked();
    const gold = state.gold ? entry().gold : null;
    const count = view.draw(view, { weights, top, word, least: state.least, gold });
    view.element.classList.toggle("asking", Boolean(word));
    shown = {
      way: view.way ?? "heat", word, lines: count, weights,
      entry: state.entry, map: names()[state.map], pinned: Boolean(word?.pinned),
    };
    drawReadout(word);
  }

  const quoted = (word) => `“${textOf(word)}”`;

  function caption(word) {
    if (!word) return translate("Strongest links, target → source");
    return word.side === "target" ? translate("{word} looks at", { word: quoted(word) })
      : translate("{word} is looked at by", { word: quoted(word) });
  }

  function bar(label, weight) {
    const fill = make("i");
    fill.style.width = `${Math.min(100, (100 * weight) / top)}%`;
    return make("li", [tongue(make("b", label, { title: label, dir: "auto" })), make("output", number(weight)), make("div", fill, { className: "bar" })]);
  }

  /* The links to list: of the word that is asked, else each target word's strongest. */
  function listed(word) {
    const found = word
      ? partners(weights, word).map((each) => ({ label: textOf(each), weight: each.weight }))
      : entry().target.map((text, index) => {
        const best = strongest(weights, { side: "target", index });
        return { label: `${text} → ${textOf(best)}`, weight: best.weight };
      });
    return found.filter(({ weight }) => weight >= 0.005).sort((one, other) => other.weight - one.weight);
  }

  function drawReadout(word) {
    const links = listed(word);
    const sum = word ? partners(weights, word).reduce((all, { weight }) => all + weight, 0) : 0;
    const left = links.length - MOST_BARS;
    const more = left > 0 ? translateCount(left, "{count} weaker one is not listed.", "{count} weaker ones are not listed.") : "";
    const all = word ? translate("In all {sum}.", { sum: number(sum) }) : "";
    at("caption").textContent = caption(word) + (word?.pinned ? translate(" · pinned") : "");
    at("bars").replaceChildren(...links.slice(0, MOST_BARS).map(({ label, weight }) => bar(label, weight)));
    say("rest", [more, all, links.length ? "" : translate("No weight of 0.005 or more.")].filter(Boolean).join(" "));
  }

  // -- choosing what is shown -------------------------------------------------------------------

  function build(way) {
    view = way === "heat" ? Views.heat(entry()) : Views.lines(entry(), way);
    at("stage").replaceChildren(view.element);
    for (const input of document.querySelectorAll("[name=view]")) input.checked = input.value === way;
    at("cut").hidden = way === "heat";
    say("scaled", scaledWords(way));
  }

  function scaledWords(way) {
    const end = top === 1 ? "1" : translate("the largest, {weight}", { weight: number(top) });
    if (way === "heat") return translate("Target words down, source words across. Shades are linear in the raw weights, from 0 to {end}.", { end });
    return translate("A line's thickness and opacity grow linearly with the raw weight, from 0 to {end}.", { end });
  }

  /* Across where the words find room beside each other, else down. */
  function show() {
    state.hovered = null;
    build(state.way ?? "across");
    const crowded = () => at("stage").scrollWidth > at("stage").clientWidth + 1;
    if (!state.way && crowded()) build("down");
    view.element.classList.toggle("wide", crowded() || Math.max(entry().source.length, entry().target.length) > LONG);
    draw();
  }

  function read(index) {
    state.map = index;
    at("map").value = String(index);
    weights = entry().target.map((_, target) => Array.from(Maps.rowOf(maps, index, target)));
    top = Math.max(1, ...weights.map((row) => Math.max(...row)));
    if (top < 1.005) top = 1; // rounding
  }

  async function open(index) {
    const mine = ++turn;
    const before = names()[state.map];
    const block = await Maps.unpack(await Blocks.text(`maps-${index}`), page.entries[index].packed);
    if (mine !== turn) return; // another sentence was chosen meanwhile
    Object.assign(state, { entry: index, hovered: null, focused: null, pinned: null });
    maps = block;
    listMaps();
    read(Math.max(0, names().indexOf(before)));
    notes();
    for (const button of at("list").querySelectorAll("button")) {
      button.setAttribute("aria-current", String(Number(button.dataset.entry) === index));
    }
    at("stage").scrollTo(0, 0);
    show();
  }

  function listMaps() {
    at("map").replaceChildren(...names().map((name, index) => make("option", name, { value: String(index) })));
    at("map").disabled = names().length < 2;
  }

  function notes() {
    const { note, lost, gold, error } = entry();
    say("note", note);
    const size = Number((page.budget / 1e6).toPrecision(2));
    say("lost", lost && translate("To stay within {size} MB, this page holds only the first of this sentence's {count} maps.", { size, count: lost + 1 }));
    at("golden").hidden = !(gold && gold.sure.length + gold.possible.length);
    const bound = Number((1.005 * error).toPrecision(3)); // never rounded down
    at("stored").textContent = translate("Weights are stored in 8 bits, scaled row by row: here off by {bound} at most.", { bound });
    at("how").textContent = matchMedia("(pointer: coarse)").matches
      ? translate("Tap a word to see its weights; tap it again to let go.")
      : translate("Hover a word to see its weights. A click pins it, a second click or Esc lets go. With the keyboard: Tab to a word, arrow keys move along the sentence and to the strongest word opposite, Enter pins.");
  }

  // -- the list of sentences --------------------------------------------------------------------

  function row({ source, target, score }, index) {
    const texts = [source, target].map((words) => tongue(make("bdi", words.join(" "))));
    const parts = [texts[0], ...(score === null ? [] : [make("output", score.toFixed(3))]), texts[1]];
    const button = make("button", parts, { type: "button" });
    button.dataset.entry = index;
    if (score !== null) button.lastChild.before(make("span", ` ${page.score} `, { className: "unseen" }));
    button.addEventListener("click", () => open(index).catch(alarm));
    return make("li", button);
  }

  const ORDERS = {
    given: () => 0,
    least: (one, other) => (page.entries[one].score ?? Infinity) - (page.entries[other].score ?? Infinity) || one - other,
    most: (one, other) => (page.entries[other].score ?? -Infinity) - (page.entries[one].score ?? -Infinity) || one - other,
  };

  function listSentences() {
    const { entries } = page;
    document.querySelector("main").classList.toggle("alone", entries.length < 2);
    at("choose").hidden = entries.length < 2;
    if (entries.length < 2) return;
    const rows = entries.map(row);
    const texts = entries.map(({ source, target, note }) => [...source, ...target, note].join(" ").toLowerCase());
    const orders = {
      given: translate("As given"),
      least: translate("{score}: low first", { score: page.score }),
      most: translate("{score}: high first", { score: page.score }),
    };
    at("order").replaceChildren(...Object.entries(orders).map(([value, name]) => make("option", name, { value })));
    at("order").hidden = entries.every(({ score }) => score === null);
    const list = () => {
      const wanted = at("find").value.trim().normalize("NFC").toLowerCase();
      const found = [...rows.keys()].filter((index) => texts[index].includes(wanted)).sort(ORDERS[at("order").value || "given"]);
      at("list").replaceChildren(...found.map((index) => rows[index]));
      at("none").hidden = found.length > 0;
    };
    at("find").addEventListener("input", list);
    at("order").addEventListener("change", list);
    list();
  }

  // -- pointer and keys -------------------------------------------------------------------------

  function wordOf(event) {
    const button = event.target.closest?.(".word");
    if (button) return { side: button.dataset.side, index: Number(button.dataset.index) };
    const cell = event.target.closest?.("td[data-target]");
    return cell ? { side: "target", index: Number(cell.dataset.target) } : null;
  }

  function hover(word) {
    if (same(word, state.hovered) || word === state.hovered) return;
    state.hovered = word;
    redraw();
  }

  function pin(word) {
    const again = same(word, state.pinned);
    state.pinned = again ? null : word;
    if (again) Object.assign(state, { hovered: null, focused: null });
    redraw();
  }

  function free() {
    Object.assign(state, { pinned: null, hovered: null, focused: null });
    redraw();
  }

  function focus(word) {
    view.buttons[word.side].forEach((button, index) => { button.tabIndex = index === word.index ? 0 : -1; });
    view.buttons[word.side][word.index].focus({ preventScroll: true });
    view.buttons[word.side][word.index].scrollIntoView({ block: "nearest", inline: "nearest" });
    state.hovered = null;
    const best = strongest(weights, word);
    at("live").textContent = `${caption(word)} ${textOf(best)}, ${number(best.weight)}`;
  }

  const ALONG = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };

  function press(event) {
    const word = event.target.closest(".word") && wordOf(event);
    if (!word || !(event.key in ALONG) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const level = view.way === "across" || (!view.way && word.side === "source"); // how the words of this side run
    if (/Left|Right/.test(event.key) !== level) return focus(strongest(weights, word));
    const last = entry()[word.side].length - 1;
    focus({ side: word.side, index: Math.min(Math.max(word.index + ALONG[event.key], 0), last) });
  }

  function listenToWords() {
    const stage = at("stage");
    stage.addEventListener("pointerover", (event) => event.pointerType === "mouse" && hover(wordOf(event)));
    stage.addEventListener("pointerleave", () => hover(null));
    stage.addEventListener("click", (event) => wordOf(event) && pin(wordOf(event)));
    stage.addEventListener("keydown", press);
    stage.addEventListener("focusin", (event) => {
      if (!event.target.matches(":focus-visible")) return; // a click pins by itself
      state.focused = wordOf(event);
      redraw();
    });
    stage.addEventListener("focusout", () => { state.focused = null; redraw(); });
    document.addEventListener("keydown", (event) => event.key === "Escape" && free());
    const refit = (paint) => (view && !state.way && view.way ? show() : paint());
    new ResizeObserver(() => refit(redraw)).observe(stage);
    Parts.followPrint(() => refit(draw));
  }

  function setLeast() {
    state.least = Number(at("least").value) / 100;
    at("least-value").textContent = state.least.toFixed(2);
    redraw();
  }

  function listen() {
    listenToWords();
    at("map").addEventListener("change", () => { read(Number(at("map").value)); say("scaled", scaledWords(view.way ?? "heat")); redraw(); });
    for (const input of document.querySelectorAll("[name=view]")) {
      input.addEventListener("change", () => { state.way = input.value; show(); });
    }
    at("least").value = String(100 * state.least);
    at("least").addEventListener("input", setLeast);
    setLeast();
    at("gold").addEventListener("change", () => { state.gold = at("gold").checked; redraw(); });
    document.fonts?.ready.then(redraw);
  }

  function start() {
    at("title").textContent = page.title;
    at("count").textContent = page.entries.length > 1 ? translate("{count} sentences", { count: page.entries.length }) : "";
    at("made").textContent = translate("Made with {program}. One file, no network.", { program: page.made });
    listSentences();
    listen();
    open(0).catch(alarm);
  }

  /* For scripts and tests: what is drawn now, as plain values. */
  window.jumok = {
    get shown() {
      return shown && { ...shown };
    },
  };

  try {
    start();
  } catch (error) {
    alarm(error);
  }
})();
