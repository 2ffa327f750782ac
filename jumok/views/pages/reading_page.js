"use strict";
/* The page: which text, what the model said of it, which layer and head, and the controls. Nothing is fetched. */
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const { at, make, say, alarm, tongue, percent, translate, translateCount } = Parts;
  const { number, partners, strongest, isAside } = ReadingViews;
  const MOST_BARS = 12;
  const LINED = 80; // tokens a side up to which lines are shown first
  const ROLLOUT = "rollout";

  const state = {
    entry: 0, sheet: 0, layer: 0, head: Maps.MEAN, view: null, answer: 0, // view null: lines of short texts, else text
    hovered: null, focused: null, pinned: null, // tokens: {side: query or key, index}
    least: 0.2, aside: false,
  };
  let sheet = null; // what is drawn: {queries, keys, weights, set}
  let view = null;
  let turn = 0; // counts openings, so that one that waited too long is dropped
  let shown = null;

  const entry = () => page.entries[state.entry];
  const about = () => entry().sheets[state.sheet];
  const same = (one, other) => Boolean(one && other) && one.side === other.side && one.index === other.index;
  const textOf = ({ side, index }) => (side === "query" ? sheet.queries : sheet.keys)[index][0];
  const scores = () => about().scores;

  // -- what the model said ----------------------------------------------------------------------

  function drawSaid() {
    const { asked, told, method, text, output, lists } = entry();
    at("said").hidden = !told.length;
    if (!told.length) return;
    const one = told[state.answer];
    at("asked").replaceChildren(`${asked}: `, tongue(make("bdi", one.name)), one.best.length ? ` ${percent(one.share)}` : ` ${number(one.share)}`);
    at("best").replaceChildren(...one.best.map(([name, share]) => Parts.bar(name, share)));
    const tokens = [...lists[text], ...(output === null ? [] : lists[output])];
    const top = (one.relevance ?? []).reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    at("shaded").replaceChildren(...tokens.flatMap((token, index) => shade(token, index, index - lists[text].length, (one.relevance?.[index] ?? 0) / top)));
    say("by", by(one, method, output !== null));
  }

  function by({ relevance }, method, wrote) {
    const choose = wrote ? ` ${translate("Choose a word that was written to see what it was written for.")}` : "";
    if (!relevance) return translate("The relevance of this word was not computed.") + choose;
    const signed = relevance.some((value) => value < 0);
    return (signed ? translate("Relevance by {method}: orange spoke for it, blue against it; scaled to the strongest.", { method })
      : translate("Relevance by {method}: orange spoke for it; scaled to the strongest.", { method })) + choose;
  }

  function shade([text, gap, special], index, written, share) {
    const told = written >= 0;
    const label = make(told ? "button" : "mark", text, { className: told ? "wrote" : special ? "special" : "", title: text });
    label.style.setProperty("--s", Math.min(Math.abs(share), 1).toFixed(3));
    if (share < 0) label.style.setProperty("--hue", "var(--minus)");
    if (told) {
      label.type = "button";
      label.setAttribute("aria-pressed", String(written === state.answer));
      label.addEventListener("click", () => choose(written));
    }
    return gap && index ? [" ", tongue(label)] : [tongue(label)];
  }

  /* A word that was written: its relevance, and its row where the sheet has one. */
  function choose(index) {
    state.answer = index;
    if (about().queries === entry().output) state.pinned = { side: "query", index };
    drawSaid();
    at("shaded").querySelectorAll(".wrote")[index]?.focus();
    redraw();
  }

  // -- drawing ----------------------------------------------------------------------------------

  const asked = () => state.hovered ?? state.pinned ?? state.focused;
  const redraw = Parts.oncePerFrame(() => draw());

  function draw() {
    if (!view) return;
    const word = asked();
    const drawn = view.draw(view, sheet, word, state.least, same(word, state.pinned));
    view.element.classList.toggle("asking", Boolean(word));
    shown = {
      entry: state.entry, sheet: about().name, layer: state.layer, head: state.head, view: wanted(), word, answer: state.answer,
      pinned: Boolean(state.pinned), lines: drawn.lines, top: drawn.top,
      row: word ? partners(sheet, word).map(({ weight }) => weight) : null,
    };
    say("scaled", scaledWords(drawn));
    drawReadout(word);
  }

  const quoted = (word) => `“${textOf(word)}”`;

  function caption(word) {
    if (!word) return scores() ? translate("Strongest pairs") : translate("Strongest links");
    const named = { word: quoted(word) };
    if (scores()) return translate("{word} met", named);
    return word.side === "query" ? translate("{word} reads", named) : translate("{word} is read by", named);
  }

  function listed(word) {
    if (word) return partners(sheet, word).filter(({ side, index, weight }) => weight && !isAside(sheet, side, index)).map((each) => ({ label: textOf(each), weight: each.weight }));
    return sheet.queries.map((_, index) => ({ side: "query", index })).map((query) => {
      const best = strongest(sheet, query);
      return { label: `${textOf(query)} → ${best ? textOf(best) : "–"}`, weight: best?.weight ?? 0 };
    });
  }

  function bar({ label, weight }, top) {
    const fill = make("i");
    fill.style.width = `${Math.min(100, (100 * Math.abs(weight)) / top)}%`;
    fill.classList.toggle("minus", weight < 0);
    return make("li", [tongue(make("b", label, { title: label, dir: "auto" })), make("output", number(weight)), make("div", fill, { className: "bar" })]);
  }

  function drawReadout(word) {
    const links = listed(word).sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight));
    const top = Math.abs(links[0]?.weight ?? 1) || 1;
    at("caption").textContent = caption(word) + (same(word, state.pinned) ? translate(" · pinned") : "");
    tongue(at("caption"));
    at("bars").replaceChildren(...links.slice(0, MOST_BARS).map((each) => bar(each, top)));
    say("rest", rest(word, links));
  }

  function rest(word, links) {
    const left = links.length - MOST_BARS;
    const more = left > 0 ? translateCount(left, "{count} more is not listed.", "{count} more are not listed.") : "";
    if (!word) return more;
    const all = partners(sheet, word);
    const sum = (some) => some.reduce((total, { weight }) => total + weight, 0);
    const apart = sum(all.filter(({ side, index }) => isAside(sheet, side, index)));
    const told = { sum: number(sum(all)), apart: number(apart) };
    const whole = sheet.set.size && word.side === "query" ? translate("In all {sum}, of that {apart} set aside.", told) : translate("In all {sum}.", told);
    return `${more} ${whole}`.trim();
  }

  function scaledWords({ top, even }) {
    const largest = { weight: number(top) };
    const sides = wanted() === "matrix" ? translate("Who reads stands on the left, what is read above.") : "";
    const pale = even && !view.byRow ? [sides, translate("These weights are nearly even: the strongest shade stands for twice their mean, {weight}.", largest)].filter(Boolean).join(" ") : "";
    const what = {
      lines: translate("A line's thickness and opacity grow linearly from 0 to the largest, {weight}.", largest),
      text: translate("Shades grow linearly from 0 to the largest, {weight}.", largest),
      matrix: view.byRow
        ? translate("Who reads stands on the left, what is read above. Opacity grows with the square root of the weight, from 0 to the largest of each row.")
        : translate("Who reads stands on the left, what is read above. Opacity grows with the square root of the weight, from 0 to the largest, {weight}.", largest),
    }[wanted()];
    const joined = view.joined > 1 ? translate("A pixel stands for {count} × {count} weights and shows the largest.", { count: view.joined }) : "";
    return [pale || what, joined, scores() ? translate("Blue: below 0, which made the two less alike.") : ""].filter(Boolean).join(" ");
  }

  // -- choosing what is shown -------------------------------------------------------------------

  function wanted() {
    return state.view ?? (Math.max(sheet.queries.length, sheet.keys.length) <= LINED ? "lines" : "text");
  }

  function build() {
    const way = wanted();
    const names = scores() ? { query: translate("First"), key: translate("Second") } : { query: translate("Reads"), key: translate("Is read") };
    view = ReadingViews[way](sheet, names, at("stage").clientWidth);
    at("stage").replaceChildren(view.element);
    for (const input of document.querySelectorAll("[name=view]")) input.checked = input.value === way;
    at("cut").hidden = way !== "lines";
    state.hovered = state.focused = null;
    draw();
  }

  /* Keys that are set aside: special tokens, and of a text without any its first token, where decoders leave what is left. */
  function findAside(keys) {
    const special = keys.flatMap(([, , each], index) => (each ? [index] : []));
    return special.length ? special : [0];
  }

  async function read() {
    const mine = ++turn;
    const [number_, name] = [state.entry, `${state.sheet}-${state.layer}`];
    const told = state.layer === ROLLOUT ? about().rollout : about().abouts[state.layer];
    const block = await Rows.unpack(await Blocks.text(`maps-${number_}-${name}`), told);
    if (mine !== turn) return;
    const { lists } = entry();
    const [queries, keys] = [lists[about().queries], lists[about().keys]];
    const head = state.layer === ROLLOUT || state.head >= Rows.heads(told) ? Maps.MEAN : state.head;
    sheet = { queries, keys, weights: Rows.matrix(block, head, queries.length, keys.length), set: new Set(state.aside && !scores() ? findAside(keys) : []) };
    build();
  }

  function listLayers() {
    const { layers, rollout, abouts } = about();
    const names = layers.map((name, index) => make("option", scores() ? name : `${index + 1} · ${name}`, { value: String(index) }));
    at("layer").replaceChildren(...names, ...(rollout ? [make("option", translate("Rollout over all layers"), { value: ROLLOUT })] : []));
    at("layer").value = String(state.layer);
    at("layer-name").textContent = scores() ? translate("Map") : translate("Layer");
    const heads = state.layer === ROLLOUT ? 0 : Rows.heads(abouts[state.layer]);
    at("head").replaceChildren(make("option", translate("Mean over heads"), { value: String(Maps.MEAN) }), ...Array.from({ length: heads > 1 ? heads : 0 }, (_, index) => make("option", translate("Head {number}", { number: index + 1 }), { value: String(index) })));
    at("head").disabled = heads < 2;
    at("head").value = String(state.head < heads ? state.head : Maps.MEAN);
    at("heads").hidden = at("apart").hidden = scores();
    at("apart").lastElementChild.textContent = entry().lists[about().keys].some(([, , special]) => special) ? translate("Set special tokens aside") : translate("Set the first token aside");
  }

  const kept = ({ abouts, held, least }) => ({ count: abouts[0].kept, held: percent(held), least: percent(least) });
  const KEPT = {
    all: () => "",
    top: (told) => translate("A long text: of each row the {count} largest weights are kept, which hold {held} of it on average and {least} at least. Others are drawn as 0.", kept(told)),
    means: (told) => translate("A long text: the mean over heads of each layer is kept, single heads are not; of each row the {count} largest weights, which hold {held} of it on average and {least} at least. Others are drawn as 0.", kept(told)),
  };

  function openSheet(index) {
    Object.assign(state, { sheet: index, pinned: null });
    const last = about().layers.length - 1;
    state.layer = scores() ? 0 : state.layer === ROLLOUT && about().rollout ? ROLLOUT : Math.min(state.layer === ROLLOUT ? last : state.layer, last);
    if (about().queries === entry().output) state.pinned = { side: "query", index: state.answer };
    at("sheet").value = String(index);
    listLayers();
    say("kept", [KEPT[about().form](about()), about().note].filter(Boolean).join(" "));
    const bound = Number((1.005 * about().error).toPrecision(3)); // never rounded down
    const size = page.bytes < 1e6
      ? translate("They take {size} kB of this file.", { size: Math.ceil(page.bytes / 1e3) })
      : translate("They take {size} MB of this file.", { size: (page.bytes / 1e6).toFixed(1) });
    at("stored").textContent = `${translate("Weights are stored in 8 bits, scaled row by row: here off by {bound} at most.", { bound })} ${size}`;
    return read();
  }

  function open(index) {
    Object.assign(state, { entry: index, answer: 0, layer: page.entries[index].sheets[0].layers.length - 1 });
    at("sheet").replaceChildren(...entry().sheets.map(({ name }, number_) => make("option", name, { value: String(number_) })));
    at("sheets").hidden = entry().sheets.length < 2;
    say("note", entry().note);
    for (const each of at("list").querySelectorAll("button")) each.setAttribute("aria-current", String(Number(each.dataset.entry) === index));
    drawSaid();
    return openSheet(0);
  }

  function listTexts() {
    const { entries } = page;
    document.querySelector("main").classList.toggle("alone", entries.length < 2);
    at("choose").hidden = entries.length < 2;
    const rows = entries.map(({ name, told }, index) => {
      const parts = [tongue(make("bdi", name)), ...(told.length === 1 && told[0].best.length ? [tongue(make("output", told[0].name))] : [])];
      const button = make("button", parts, { type: "button" });
      button.dataset.entry = index;
      button.addEventListener("click", () => open(index).catch(alarm));
      return make("li", button);
    });
    const list = () => {
      const sought = at("find").value.trim().normalize("NFC").toLowerCase();
      const found = rows.filter((_, index) => entries[index].name.toLowerCase().includes(sought));
      at("list").replaceChildren(...found);
      at("none").hidden = found.length > 0;
    };
    at("find").addEventListener("input", list);
    list();
  }

  // -- pointer and keys -------------------------------------------------------------------------

  function wordOf(event) {
    if (view?.canvas && event.target === view.canvas) {
      view.cell = view.place(view, sheet, event);
      return { side: "query", index: view.cell.query };
    }
    const found = event.target.closest?.(".word, .tok");
    return found ? { side: found.dataset.side, index: Number(found.dataset.index) } : null;
  }

  function hover(word) {
    if (word === state.hovered || (same(word, state.hovered) && !view.canvas)) return;
    state.hovered = word;
    redraw();
  }

  function pin(word) {
    state.pinned = same(word, state.pinned) ? null : word;
    state.hovered = state.focused = null;
    if (state.pinned?.side === "query" && about().queries === entry().output) Object.assign(state, { answer: state.pinned.index });
    drawSaid();
    redraw();
  }

  function free() {
    Object.assign(state, { pinned: null, hovered: null, focused: null });
    if (view) view.cell = null;
    redraw();
  }

  function focus(word) {
    const all = view.buttons[word.side];
    all.forEach((each, index) => { each.tabIndex = index === word.index ? 0 : -1; });
    all[word.index].focus({ preventScroll: true });
    all[word.index].scrollIntoView({ block: "nearest", inline: "nearest" });
    state.hovered = null;
    const best = strongest(sheet, word);
    if (best) at("live").textContent = `${caption(word)} ${textOf(best)}, ${number(best.weight)}`;
  }

  const ALONG = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
  const bounded = (index, count) => Math.min(Math.max(index, 0), count - 1);

  function pressInMatrix(key) {
    const cell = view.cell ?? { query: 0, key: 0 };
    const side = /Left|Right/.test(key) ? "key" : "query";
    view.cell = { ...cell, [side]: bounded(cell[side] + ALONG[key], side === "key" ? sheet.keys.length : sheet.queries.length) };
    state.focused = { side: "query", index: view.cell.query };
    state.hovered = state.pinned = null;
    const weight = sheet.weights[view.cell.query * sheet.keys.length + view.cell.key];
    at("live").textContent = `${caption(state.focused)} ${sheet.keys[view.cell.key][0]}: ${number(weight)}`;
    redraw();
  }

  function press(event) {
    if (!(event.key in ALONG) || event.altKey || event.ctrlKey || event.metaKey) return;
    if (view?.canvas && event.target === view.canvas) {
      event.preventDefault();
      pressInMatrix(event.key);
      return;
    }
    const word = wordOf(event);
    if (!word) return;
    event.preventDefault();
    const across = wanted() === "lines" && /Left|Right/.test(event.key);
    const best = across && strongest(sheet, word);
    if (best) focus(best);
    else if (!across) focus({ side: word.side, index: bounded(word.index + ALONG[event.key], view.buttons[word.side].length) });
  }

  function listenToWords() {
    const stage = at("stage");
    stage.addEventListener("pointermove", (event) => event.pointerType === "mouse" && hover(wordOf(event)));
    stage.addEventListener("pointerleave", () => { if (view) view.cell = null; hover(null); });
    stage.addEventListener("click", (event) => { const word = wordOf(event); if (word) pin(word); });
    stage.addEventListener("keydown", press);
    stage.addEventListener("focusin", (event) => {
      if (!event.target.matches(":focus-visible") || view.canvas) return; // a click pins by itself
      state.focused = wordOf(event);
      redraw();
    });
    stage.addEventListener("focusout", () => { state.focused = null; redraw(); });
    document.addEventListener("keydown", (event) => event.key === "Escape" && free());
    const refit = (paint) => { view?.measure(view); paint(); };
    new ResizeObserver(() => refit(redraw)).observe(stage);
    Parts.followPrint(() => refit(draw));
  }

  function setLeast() {
    state.least = Number(at("least").value) / 100;
    at("least-value").textContent = `${at("least").value}%`;
    redraw();
  }

  function listen() {
    listenToWords();
    at("sheet").addEventListener("change", () => openSheet(Number(at("sheet").value)).catch(alarm));
    at("layer").addEventListener("change", () => {
      state.layer = at("layer").value === ROLLOUT ? ROLLOUT : Number(at("layer").value);
      listLayers();
      read().catch(alarm);
    });
    at("head").addEventListener("change", () => { state.head = Number(at("head").value); read().catch(alarm); });
    at("aside").addEventListener("change", () => { state.aside = at("aside").checked; read().catch(alarm); });
    for (const input of document.querySelectorAll("[name=view]")) {
      input.addEventListener("change", () => { state.view = input.value; build(); });
    }
    at("least").value = String(100 * state.least);
    at("least").addEventListener("input", setLeast);
    setLeast();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    document.fonts?.ready.then(() => { view?.measure(view); redraw(); });
  }

  function start() {
    const texts = page.entries.filter(({ pair }) => !pair).length;
    at("title").textContent = page.title;
    at("count").textContent = texts > 1 ? translate("{count} texts", { count: texts }) : "";
    at("made").textContent = translate("Made with {program}. One file, no network.", { program: page.made });
    at("how").textContent = matchMedia("(pointer: coarse)").matches
      ? translate("Tap a word to see what it reads; tap it again to let go.")
      : translate("Hover a word to see what it reads. A click pins it, a second click or Esc lets go. With the keyboard: Tab to a word, arrow keys move along the text (in lines: up and down) and to the strongest word opposite, Enter pins.");
    listTexts();
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
