"use strict";
/* The page: what is asked, what is shown, and the controls. All text goes in as text; nothing is fetched. */
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const painter = Paint(page.palette);
  const over = Lines(document.getElementById("over"), document.getElementById("wedge"), page.palette);
  const { MEAN } = Maps;
  const { at, make, number, percent, say, alarm, frame, bar, aboutCall, tongue, translate, translateCount } = Parts;
  const SUMMARY = { kind: "summary" };

  const state = {
    entry: 0, layer: 0, head: MEAN,
    cursor: null, // the place under the pointer, or moved by arrow keys
    pinned: null, // the place that was clicked
    rest: SUMMARY, // who looks when there is neither; null: someone of the layer
    common: false, smooth: true, strength: 1, alone: false,
    view: "both", // heat, lines or both
    count: 0, // of lines; 0: those that hold half of the weight
  };
  let about = null; // the entry that is shown
  let maps = new Map(); // its unpacked maps, or their promises
  let opening = 0; // counts openings, so that one that waited too long is dropped
  const film = Film(page.entries, (index) => open(index).catch(alarm));
  let turn = 0; // counts draws, so that one that waited too long is dropped
  let shown = null; // what is drawn now

  const entry = () => about;
  const layer = () => entry().layers[state.layer];
  /* The cells that the cursor moves over. */
  const grid = () => (layer() ? layer().queries : entry().summary.keys);

  function unpacked(name, packed) {
    const block = `map-${state.entry}-${name}`;
    if (!maps.has(block)) maps.set(block, Blocks.text(block).then((text) => Maps.unpack(text, packed)));
    return maps.get(block);
  }

  // -- what is asked ----------------------------------------------------------------------------

  function answers(place) {
    return Boolean(place) && (place.kind === "summary" || (layer() && Maps.indexIn(layer().queries, place) >= 0));
  }

  /* Who is looking: what is pinned, else what is under the cursor, else what was left to rest. */
  const asked = () => [state.pinned, state.cursor, state.rest].find(answers) ?? SUMMARY;

  /* Who looks when a layer was chosen and nobody yet: cls, or else the patch that the summary finds most important. */
  function someone(summary) {
    const { special } = layer().queries;
    if (special.length) return { kind: "special", name: special[0] };
    const { keys } = summary.about;
    return Maps.placeAt(keys, Maps.best(Maps.rowOf(summary, 0, 0), keys.special.length));
  }

  /* All that the drawing needs to know about the row of one place. */
  function looked(map, place) {
    const { about } = map;
    const summary = place.kind === "summary";
    const head = about.heads === 1 ? 0 : state.head;
    const query = summary ? 0 : Maps.indexIn(about.queries, place);
    const row = Maps.rowOf(map, head, query);
    const end = state.common && !summary ? { limit: about.top, how: "common" } : painter.end(about, row);
    return { about, place, summary, head, query, row, ...end, entropy: Maps.entropyOf(map, head, query) };
  }

  // -- drawing ----------------------------------------------------------------------------------

  async function draw() {
    const mine = ++turn;
    const chosen = layer();
    const [summary, map] = await Promise.all([
      unpacked("summary", entry().summary), chosen ? unpacked(state.layer, chosen) : null,
    ]);
    if (mine !== turn) return;
    if (map) state.rest ??= someone(summary);
    const place = asked();
    shown = { ...looked(place.kind === "summary" ? summary : map, place), entry: state.entry, layer: state.layer };
    shown.blurred = painter.heat(at("heat"), shown.about, shown.row, shown.limit, state.strength);
    Parts.lay(at("heat"), Maps.frameOf(shown.about.keys));
    at("heat").classList.toggle("part", Boolean(shown.about.keys.frame));
    drawOver();
    drawLegend();
    drawFrames();
    drawChips();
    drawScale();
    drawReadout();
    if (map) drawTiles(map, shown.summary ? someone(summary) : place);
    at("caption").textContent = caption();
    Object.assign(at("stage").dataset, { query: shown.summary ? "summary" : shown.query, pinned: pinned() });
  }

  const redraw = Parts.oncePerFrame(() => about && draw().catch(alarm));

  /* Lines from the place that looks, or the glimpses of the summary; the heat, unless they stand in for it. */
  function drawOver() {
    const { about, place, summary } = shown;
    const wanted = state.view !== "heat";
    over.clear();
    shown.marks = wanted && summary ? over.mark(entry().marks) : 0;
    const starts = wanted && !summary && place.kind === "patch";
    const end = state.common ? about.top : null;
    Object.assign(shown, starts ? over.draw(shown, Maps.placeAt(about.queries, shown.query), end, state.count) : { lines: [] });
    shown.heat = state.view !== "lines" || !(shown.marks || shown.lines.length);
    at("heat").hidden = !shown.heat;
    at("stage").classList.toggle("alone", state.alone);
  }

  /* What the lines mean, and how much of the weight they hold. */
  function drawLegend() {
    const { about, row, lines, own, thickest, marks } = shown;
    at("legend").hidden = !lines.length;
    at("ramp-row").hidden = at("scaled").hidden = !shown.heat;
    at("counted").textContent = state.count ? String(state.count) : translate("auto");
    const sum = (weights) => weights.reduce((total, weight) => total + Math.abs(weight), 0);
    const held = percent(sum(lines.map(({ weight }) => weight)) / sum([...row].slice(about.keys.special.length)));
    const placeless = state.view === "lines" && layer() && !marks;
    const what = translateCount(lines.length, "The thickest line holds {held} of the weight on patches", "The {count} thickest lines hold {held} of the weight on patches", { held });
    say("lined", !lines.length ? (placeless ? translate("No line starts from {name}, which is not a place in the image: here is its heat.", { name: who() }) : "")
      : `${what}${about.zero ? translate(", by size") : ""}. `
      + translate("Thickness is linear in the weight. Its own place, without a line: {weight}.", { weight: number(row[own]) }));
    if (!lines.length) return;
    over.legend(about.zero > 0);
    at("thin").textContent = about.zero ? number(-thickest) : "0";
    at("thick").textContent = number(thickest);
  }

  function drawFrames() {
    const from = shown.summary ? null : shown.place;
    frame(at("from"), grid(), from);
    frame(at("at"), shown.about.keys, Maps.same(grid(), state.cursor, from) ? null : state.cursor);
    at("stage").classList.toggle("pinned", pinned());
    const patches = shown.about.keys.noun !== "place";
    at("smoothing").hidden = !patches;
    at("heat").classList.toggle("hard", patches && !state.smooth);
  }

  function headName() {
    const { heads } = shown.about;
    if (heads > 1) return state.head === MEAN ? translate("mean of {count} heads", { count: heads }) : translate("head {number}", { number: state.head });
    return entry().heads ? translate("mean of heads") : "";
  }

  const pinned = () => Maps.same(grid(), shown.place, state.pinned);

  const who = () => (shown.summary ? translate("Summary") : Maps.labelOf(shown.about.queries, shown.query));

  function caption() {
    const kept = pinned() ? translate(" · pinned") : "";
    const { source, queries } = shown.about;
    if (shown.summary) return translate("Summary: {source}", { source: source || queries.special[0] || translate("whole image") }) + kept;
    const where = [translate("layer {number}", { number: state.layer }), headName()].filter(Boolean).join(", ");
    return `${translate("Where {name} looks", { name: who() })} · ${where}${kept}`;
  }

  function drawChips() {
    for (const chip of at("chips").children) {
      chip.setAttribute("aria-pressed", String(Maps.same(grid(), chip.place, state.pinned)));
      chip.classList.toggle("shown", Maps.same(grid(), chip.place, shown.place));
      if (!chip.swatch) continue;
      const key = shown.about.keys.special.indexOf(chip.place.name);
      const weight = key < 0 ? 0 : shown.row[key];
      chip.amount.textContent = key < 0 ? "" : number(weight);
      const [red, green, blue] = painter.colour(shown.limit ? weight / shown.limit : 0, shown.about.zero > 0);
      chip.swatch.style.background = `rgb(${red}, ${green}, ${blue})`;
    }
  }

  function drawScale() {
    const { about, row, limit, blurred } = shown;
    const beyond = about.keys.special.filter((_, key) => Math.abs(row[key]) > limit);
    at("low").textContent = about.zero ? number(-(blurred ?? limit)) : "0";
    at("high").textContent = number(blurred ?? limit);
    painter.ramp(at("ramp"), about.zero > 0);
    const end = Readout.rowEnd(shown, page.palette);
    at("scaled").textContent = (about.zero ? translate("Linear around 0 to {end}.", { end }) : translate("Linear from 0 to {end}.", { end }))
      + (beyond.length ? ` ${translate("Beyond the scale: {names}.", { names: beyond.join(", ") })}` : "");
  }

  function drawReadout() {
    const { about, row } = shown;
    const best = Maps.best(row);
    Readout.show([
      [translate("Who looks"), who() + (pinned() ? translate(" (pinned)") : "")],
      Readout.pointed(shown, state.cursor),
      [translate("Looks most at"), `${Maps.labelOf(about.keys, best)}: ${number(row[best])}`],
      ...Readout.spread(shown),
    ]);
  }

  function drawTiles(map, place) {
    const query = Maps.indexIn(map.about.queries, place);
    for (const tile of at("head").querySelectorAll("canvas")) {
      const row = Maps.rowOf(map, tile.head, query);
      const { limit } = state.common ? { limit: map.about.top } : painter.end(map.about, row);
      painter.heat(tile, map.about, row, limit, null);
    }
  }

  // -- controls ---------------------------------------------------------------------------------

  function choice(name, value, label, about, parts = []) {
    const input = make("input", [], { type: "radio", name, value, checked: state[name] === value });
    input.addEventListener("click", () => choose(name, value)); // also where it was checked before
    return make("label", [input, ...parts, make("span", label)], { title: about });
  }

  function choose(name, value) {
    state[name] = value;
    if (state.pinned?.kind === "summary") state.pinned = null;
    if (state.rest?.kind === "summary") state.rest = null;
    if (name === "layer") listHeads();
    redraw();
  }

  function listLayers() {
    const { layers, marks } = entry();
    at("layers").hidden = at("scaling").hidden = at("counting").hidden = !layers.length;
    at("drawing").hidden = !layers.length && !Object.keys(marks).length;
    at("lines-name").textContent = marks.objects ? translate("Boxes") : marks.boxes ? translate("Path")
      : marks.outline ? translate("Outline") : translate("Lines");
    state.layer = Math.min(state.layer, Math.max(layers.length - 1, 0));
    at("layer").replaceChildren(...layers.map(({ source }, index) => choice("layer", index, String(index), source)));
    listHeads();
  }

  function listHeads() {
    say("call", layer() ? aboutCall(layer(), entry().queried[state.layer]) : "");
    const count = layer()?.heads ?? 1;
    if (state.head >= count) state.head = MEAN;
    at("heads").hidden = at("head").hidden = count === 1;
    const heads = count === 1 ? [] : [MEAN, ...Array(count).keys()];
    at("head").replaceChildren(...heads.map((head) => {
      const canvas = make("canvas", [], { head });
      return choice("head", head, ...(head === MEAN ? [translate("mean"), translate("mean over heads")]
        : [String(head), translate("head {number}", { number: head })]), [canvas]);
    }));
  }

  function chip(place, parts, extra = {}) {
    const button = Object.assign(make("button", parts, { type: "button", className: "chip" }), { place, ...extra });
    button.addEventListener("click", () => pin(place));
    button.addEventListener("pointerenter", () => place.kind === "special" && moveTo(place));
    button.addEventListener("pointerleave", () => moveTo(null));
    button.addEventListener("focus", () => place.kind === "special" && moveTo(place));
    button.addEventListener("blur", () => moveTo(null));
    return button;
  }

  function listChips() {
    const names = grid().special.length ? grid().special : entry().summary.keys.special;
    const special = names.map((name) => {
      const swatch = make("i");
      const amount = make("output");
      return chip({ kind: "special", name }, [swatch, make("b", name), amount], { swatch, amount });
    });
    at("chips").replaceChildren(...(layer() ? [chip(SUMMARY, [make("b", translate("Summary"))])] : []), ...special);
  }

  function listPrediction() {
    const { prediction } = entry();
    at("predictions").hidden = !prediction.length;
    say("best", prediction.length ? `${prediction[0][0]} ${percent(prediction[0][1])}` : "");
    tongue(at("best"));
    at("bars").replaceChildren(...prediction.map(([name, share]) => bar(name, share)));
  }

  function notes() {
    const { lost, error, layers } = entry();
    say("note", entry().note);
    say("lost", lost && translate("To stay within {size} MB, this page holds {lost}.", { size: Number((page.budget / 1e6).toPrecision(2)), lost }));
    const bound = number(1.005 * error); // three digits, never rounded down
    at("stored").textContent = translate("Weights are stored in 8 bits, scaled row by row: here off by {bound} at most.", { bound });
    at("how").textContent = Readout.how(layers.length > 0);
  }

  async function drawPhoto(index) {
    const source = (await Blocks.text(`image-${index}`)) || (await Blocks.text(`thumb-${index}`));
    if (state.entry === index) at("photo").src = source;
  }

  async function open(index) {
    const mine = ++opening;
    film.select(index);
    const read = JSON.parse(await Blocks.text(`entry-${index}`));
    if (mine !== opening) return; // another image was chosen meanwhile
    about = { ...page.entries[index], ...read };
    Object.assign(state, { entry: index, cursor: null, pinned: null, rest: SUMMARY });
    maps = new Map();
    const { name, width, height } = about;
    at("name").textContent = name;
    tongue(at("name"), name);
    at("photo").removeAttribute("src");
    drawPhoto(index).catch(alarm);
    at("photo").classList.toggle("hard", Math.max(width, height) <= page.palette.hard);
    document.documentElement.style.setProperty("--ratio", String(width / height));
    at("stage").setAttribute("aria-label", translate("Attention in {name}", { name }));
    over.fit(width / height);
    at("stage").dataset.entry = index;
    Readout.judge(about);
    listLayers();
    listChips();
    listPrediction();
    notes();
    redraw();
  }

  // -- pointer and keys -------------------------------------------------------------------------

  function moveTo(place) {
    state.cursor = place;
    redraw();
  }

  function pin(place) {
    if (!answers(place) || !layer()) return;
    const again = Maps.same(grid(), place, state.pinned);
    state.pinned = again ? null : place;
    if (again) state.rest = SUMMARY;
    redraw();
  }

  function free() {
    if (state.pinned) state.pinned = null;
    else state.cursor = null;
    state.rest = SUMMARY;
    redraw();
  }

  function under(event) {
    const box = at("stage").getBoundingClientRect();
    return { kind: "patch", y: (event.clientY - box.top) / box.height, x: (event.clientX - box.left) / box.width };
  }

  function step(down, right) {
    const cells = grid();
    const from = [state.cursor, state.pinned].find((place) => place?.kind === "patch");
    const { row, column } = Maps.cell(cells, from ?? { y: 0.5, x: 0.5 });
    const bounded = (value, count) => Math.min(Math.max(value, 0), count - 1);
    moveTo(Maps.centre(cells, bounded(row + (from ? down : 0), cells.rows), bounded(column + (from ? right : 0), cells.columns)));
  }

  const KEYS = {
    ArrowUp: () => step(-1, 0), ArrowDown: () => step(1, 0), ArrowLeft: () => step(0, -1), ArrowRight: () => step(0, 1),
    Enter: () => state.cursor && pin(state.cursor), " ": () => state.cursor && pin(state.cursor),
  };

  async function press(event) {
    const act = KEYS[event.key];
    if (!act || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
    await draw().catch(alarm);
    const best = Maps.best(shown.row);
    const said = { caption: caption(), place: Maps.labelOf(shown.about.keys, best), weight: number(shown.row[best]) };
    at("live").textContent = translate("{caption}: most at {place}, {weight}", said);
  }

  function listen() {
    const stage = at("stage");
    Readout.whenTouched(redraw);
    for (const name of ["pointermove", "pointerdown"]) stage.addEventListener(name, (event) => moveTo(under(event)));
    for (const name of ["pointerleave", "pointercancel", "blur"]) stage.addEventListener(name, () => moveTo(null));
    stage.addEventListener("click", (event) => pin(under(event)));
    stage.addEventListener("keydown", press);
    document.addEventListener("keydown", (event) => event.key === "Escape" && free());
    Parts.imageOnly(at("alone"), (alone) => { state.alone = alone; redraw(); });
    for (const input of document.querySelectorAll("[name=common]")) {
      input.addEventListener("change", () => { state.common = Boolean(input.value); redraw(); });
    }
    at("strength").addEventListener("input", () => {
      state.strength = at("strength").value / 100;
      redraw();
    });
    for (const input of document.querySelectorAll("[name=view]")) {
      input.addEventListener("change", () => { state.view = input.value; redraw(); });
    }
    at("count-lines").addEventListener("input", () => { state.count = Number(at("count-lines").value); redraw(); });
    addEventListener("resize", redraw); // the legend's thickness is that of the drawing
    at("smooth").addEventListener("change", () => { state.smooth = at("smooth").checked; redraw(); });
  }

  function start() {
    at("title").textContent = page.title;
    at("made").textContent = translate("Made with {program}. One file, no network.", { program: page.made });
    state.layer = Math.max(page.deepest - 1, 0);
    at("images").hidden = page.entries.length < 2;
    film.start();
    Chosen(page.entries, film.list).start();
    listen();
    open(0).catch(alarm);
  }

  /* For scripts and tests: what is drawn now, as plain values. */
  window.jumok = {
    get shown() {
      return shown && { ...shown, row: [...shown.row], pinned: pinned() };
    },
  };

  try {
    start();
  } catch (error) {
    alarm(error);
  }
})();
