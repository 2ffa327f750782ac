"use strict";
/* The page: what is asked, what is shown, and the controls. All text goes in as text; nothing is fetched. */
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const painter = Paint(page.palette);
  const { at, make, number, percent, say, alarm, frame, bar, tongue, translate, translateCount } = Parts;
  const MANY = 16; // words, from which on they are set smaller

  const state = {
    image: 0, question: 0, look: 0,
    hovered: null, focused: null, pinned: null, // indices of words
    cursor: null, // the place under the pointer, or moved by arrow keys
    common: false, smooth: true, strength: 1, alone: false,
  };
  const film = Film(page.images, open);
  let maps = new Map(); // unpacked maps of the question that is shown, or their promises
  let turn = 0; // counts draws, so that one that waited too long is dropped
  let shown = null; // what is drawn now

  const image = () => page.images[state.image];
  const question = () => image().questions[state.question];
  const look = () => question().looks[state.look];
  const visible = (word) => (word.trim() ? word : "␣");
  const whole = () => (question().generated ? translate("the whole answer") : translate("the whole question"));
  const quoted = (index) => `“${visible(question().words[index])}”`;

  function unpacked(kind, index, about) {
    const block = `${kind}-${state.image}-${state.question}-${index}`;
    if (!maps.has(block)) maps.set(block, Blocks.text(block).then((text) => Maps.unpack(text, about)));
    return maps.get(block);
  }

  // -- what is asked ----------------------------------------------------------------------------

  /* The word that is asked: under the pointer, else pinned, else focused; null: the whole question. */
  const asked = () => state.hovered ?? state.pinned ?? state.focused;

  /* Where a word looked by one of the looks, or the whole question if there is no word or its look is not held. */
  async function looked(index, word) {
    const words = word === null ? undefined : question().byWord[index];
    const map = words ? await unpacked("words", index, words) : await unpacked("look", index, question().looks[index]);
    const query = words ? word : 0;
    const row = Maps.rowOf(map, 0, query);
    const end = state.common && words ? { limit: words.top, how: "common" } : painter.end(map.about, row);
    return { about: map.about, row, ...end, own: Boolean(words), entropy: Maps.entropyOf(map, 0, query) };
  }

  // -- drawing ----------------------------------------------------------------------------------

  async function draw() {
    const mine = ++turn;
    const word = asked();
    const all = await Promise.all(question().looks.map((_, index) => looked(index, word)));
    if (mine !== turn) return;
    const nothing = { about: null, row: null, limit: 0, own: false, entropy: null };
    shown = { ...(all[state.look] ?? nothing), word, pinned: word !== null && word === state.pinned };
    Object.assign(shown, { image: state.image, question: state.question, look: question().names[state.look] ?? null });
    if (shown.row) drawHeat(all);
    drawWords();
    drawReadout();
    at("caption").textContent = caption();
  }

  const redraw = Parts.oncePerFrame(() => draw().catch(alarm));

  function drawHeat(all) {
    const { about, row, limit, how } = shown;
    painter.heat(at("heat"), about, row, limit, state.strength);
    at("smoothing").hidden = Boolean(about.keys.pixels);
    at("heat").classList.toggle("hard", !about.keys.pixels && !state.smooth);
    for (const tile of at("looks").querySelectorAll("canvas")) {
      const each = all[tile.look];
      painter.heat(tile, each.about, each.row, each.limit, null);
    }
    at("seen").hidden = !question().seen;
    if (question().seen) Parts.lay(at("seen"), Maps.frameOf({ frame: question().seen }));
    frame(at("at"), about.keys, state.cursor);
    const signed = about.zero > 0;
    const end = how === "common" ? translate("the largest weight of all words' looks here")
      : Readout.end({ about: { even: page.palette.even }, how }, translate("this look's largest weight on a place"));
    painter.ramp(at("ramp"), signed);
    at("low").textContent = signed ? number(-limit) : "0";
    at("high").textContent = number(limit);
    at("scaled").textContent = signed ? translate("Heat: linear around 0 to {end}.", { end }) : translate("Heat: linear from 0 to {end}.", { end });
  }

  function drawWords() {
    for (const [index, button] of [...at("words").children].entries()) {
      button.classList.toggle("shown", index === shown.word);
      button.setAttribute("aria-pressed", String(index === state.pinned));
    }
  }

  function caption() {
    const { about, word, own, row, look: name, pinned } = shown;
    const kept = pinned ? translate(" · pinned") : "";
    if (!row) return `${translate("This system attends to no part of the image.")} ${word === null ? "" : mattered(word)}`.trim();
    if (own) return `${translate("Where {word} looked", { word: quoted(word) })} · ${about.source || name}${kept}`;
    const all = `${question().generated ? translate("Where the whole answer looked") : translate("Where the whole question looked")} · ${name}`;
    return word === null ? all : `${all} · ${translate("that of {word} alone is not known here", { word: quoted(word) })}${kept}`;
  }

  function mattered(word) {
    const { weights, labels, generated } = question();
    if (!weights) return "";
    const values = { word: quoted(word), weight: labels[word] };
    return generated ? translate("{word} has probability {weight}.", values) : translate("{word} mattered {weight}.", values);
  }

  function drawReadout() {
    const { about, row, word, own } = shown;
    at("reading").hidden = !row && word === null;
    const lines = row ? [[translate("Who looks"), own ? quoted(word) : whole()]] : [];
    if (question().weights) lines.push([question().generated ? translate("Probability") : translate("The word mattered"), word === null ? "–" : question().labels[word]]);
    if (row) {
      const best = Maps.best(row, about.keys.special.length);
      lines.push(Readout.pointed(shown, state.cursor, place));
      lines.push([translate("Looks most at"), `${place(about.keys, best)}: ${number(row[best])}`]);
      about.keys.special.forEach((name, key) => lines.push([translate("On {name} (no place)", { name }), number(row[key])]));
      lines.push(...Readout.spread(shown));
    }
    Readout.show(lines);
  }

  // -- the question that is shown ---------------------------------------------------------------

  function listWords() {
    const { words, weights, labels, mattered: source } = question();
    const top = weights ? Math.max(...weights) : 0;
    at("words").classList.toggle("many", words.length > MANY);
    at("words").classList.toggle("plain", !weights);
    at("words").replaceChildren(...words.map((word, index) => {
      const parts = [make("bdi", visible(word)), ...(weights ? [make("small", labels[index])] : [])];
      const button = make("button", parts, { type: "button", className: "word", tabIndex: index ? -1 : 0 });
      button.dataset.index = index;
      button.style.setProperty("--w", String(top ? weights[index] / top : 0));
      return button;
    }));
    at("mattered").textContent = question().generated ? translate("A word's shade: its probability, linear from 0 to the largest.")
      : !weights ? translate("How much each word mattered is not known.")
      : translate("A word's shade: how much it mattered{source}, linear from 0 to the largest, {weight}.", { source: source ? ` (${source})` : "", weight: number(top) });
  }

  function listLooks() {
    const { names, looks } = question();
    at("looks").hidden = looks.length < 2;
    at("ramp-row").hidden = at("scaled").hidden = at("heat").hidden = at("display").hidden = !looks.length;
    at("alone").hidden = !looks.length;
    if (!looks.length) at("at").hidden = true;
    at("looks").replaceChildren(...looks.map((_, index) => {
      const input = make("input", [], { type: "radio", name: "look", value: String(index), checked: index === state.look });
      input.addEventListener("change", () => { state.look = index; listed(); redraw(); });
      return make("label", [input, make("span", [make("canvas", [], { look: index }), make("b", names[index])])]);
    }));
    listed();
  }

  /* A place of a sound by the moment in its middle; one of an image by its row and column. */
  function place(keys, index) {
    const { seconds } = question();
    const column = index - keys.special.length;
    if (seconds === null || column < 0) return Maps.labelOf(keys, index);
    return translate("{moment} s", { moment: (((column + 0.5) * seconds) / keys.columns).toFixed(2) });
  }

  /* Marks of time under a spectrogram, and what it is called. */
  function rule() {
    const { seconds, ticks } = question();
    const sound = seconds !== null;
    at("ruler").hidden = !sound;
    at("ruler").replaceChildren(...ticks.map((tick, index) => {
      const mark = make("span", index === ticks.length - 1 ? translate("{moment} s", { moment: tick }) : String(tick));
      mark.style.left = `${(100 * tick) / seconds}%`;
      mark.classList.toggle("end", tick > 0.97 * seconds); // in the middle it would stand out of the page
      return mark;
    }));
    at("over").textContent = sound ? translate("Heat over the spectrogram") : translate("Heat over the image");
    at("alone").textContent = sound ? translate("Spectrogram only") : translate("Image only");
  }

  /* What depends on whether the words' own looks are held. */
  function listed() {
    const own = state.look in question().byWord;
    at("scaling").hidden = !own;
    say("how", !look() ? "" : !own ? translate("Where each word looked on its own is not known here.")
      : Readout.touched() ? translate("Tap a word to see where it looked; tap it again to let go.")
      : translate("Hover a word to see where it looked; click to pin, Esc lets go. Arrow keys move along the words."));
  }

  const sign = (right) => make("span", right ? translate("✓ right") : translate("✗ wrong"), { className: right ? "right" : "wrong" });

  function listAnswers() {
    const { answers, truth } = question();
    const [best, share, right] = answers[0];
    at("best").textContent = `${best} ${percent(share)}`;
    tongue(at("best"));
    at("verdict").replaceChildren(...(right === null ? [] : [sign(right)]));
    at("bars").replaceChildren(...answers.map(([answer, each, good]) => {
      const row = bar(answer, each, good ? [make("span", `  ${translate("✓ right answer")}`, { className: "right" })] : []);
      row.classList.toggle("good", good === true);
      return row;
    }));
    const among = answers.some(([, , good]) => good);
    say("truth", truth.trim() && !among ? translate("Right answer: {answer}, not among these.", { answer: truth }) : "");
  }

  function notes() {
    const { note, lost, error, looks, names } = question();
    const gone = [
      lost.looks && translate("only the first of this question's {count} looks", { count: names.length }),
      lost.words && translate("not where each word looked"),
      image().smaller && translate("a smaller copy of the image"),
    ].filter(Boolean);
    say("note", note);
    const size = Number((page.budget / 1e6).toPrecision(2));
    say("lost", gone.length && translate("To stay within {size} MB, this page holds {lost}.", { size, lost: gone.join(", ") }));
    const bound = number(1.005 * error); // three digits, never rounded down
    at("stored").textContent = looks.length ? translate("Weights are stored in 8 bits, scaled row by row: here off by {bound} at most.", { bound }) : "";
  }

  /* How the question was typed, where that tells more than its words. */
  function name() {
    const plain = (text) => text.toLowerCase().replace(/\s/g, "");
    const { question: typed, words } = question();
    at("asked").textContent = typed;
    for (const id of ["asked", "words", "truth"]) tongue(at(id), typed);
    const said = typed === image().name || plain(typed) === plain(words.join(""));
    at("name").textContent = [image().name, said ? "" : typed].filter(Boolean).join(" · ");
  }

  function ask(index) {
    const before = look() && question().names[state.look];
    Object.assign(state, { question: index, hovered: null, focused: null, pinned: null });
    state.look = Math.max(0, question().names.slice(0, question().looks.length).indexOf(before));
    maps = new Map();
    for (const [other, { firstChild }] of [...at("questions").children].entries()) {
      firstChild.setAttribute("aria-current", String(other === index));
    }
    for (const list of [name, rule, listWords, listLooks, listAnswers, notes]) list();
    redraw();
  }

  // -- images and their questions ---------------------------------------------------------------

  function listQuestions() {
    at("choose").hidden = image().questions.length < 2;
    at("questions").replaceChildren(...image().questions.map(({ question: text, answers: [[best, share, right]] }, index) => {
      const got = make("span", [tongue(make("bdi", best)), ...(right === null ? [] : [" ", sign(right)])], { className: "got" });
      const button = make("button", [tongue(make("bdi", visible(text))), got, make("output", percent(share))], { type: "button" });
      button.addEventListener("click", () => ask(index));
      return make("li", button);
    }));
  }

  async function drawPhoto(index) {
    const source = (await Blocks.text(`image-${index}`)) || (await Blocks.text(`thumb-${index}`));
    if (state.image === index) at("photo").src = source;
  }

  function open(index) {
    Object.assign(state, { image: index, question: 0, cursor: null });
    const { name: title, width, height } = image();
    film.select(index);
    at("photo").removeAttribute("src");
    drawPhoto(index).catch(alarm);
    at("photo").classList.toggle("hard", Math.max(width, height) <= page.palette.hard);
    document.documentElement.style.setProperty("--ratio", String(width / height));
    at("stage").setAttribute("aria-label", translate("Where {name} was looked at", { name: title }));
    listQuestions();
    ask(0);
  }

  // -- pointer and keys -------------------------------------------------------------------------

  function wordOf(event) {
    const button = event.target.closest?.(".word");
    return button ? Number(button.dataset.index) : null;
  }

  function set(changes) {
    Object.assign(state, changes);
    redraw();
  }

  function pin(word) {
    const again = word === state.pinned;
    set(again ? { pinned: null, hovered: null, focused: null } : { pinned: word });
  }

  const ALONG = { ArrowLeft: (word) => word - 1, ArrowRight: (word) => word + 1, Home: () => 0, End: () => Infinity };
  const held = (event) => event.altKey || event.ctrlKey || event.metaKey;

  async function press(event) {
    const word = wordOf(event);
    if (word === null || !(event.key in ALONG) || held(event)) return;
    event.preventDefault();
    const buttons = [...at("words").children];
    const next = Math.min(Math.max(ALONG[event.key](word), 0), buttons.length - 1);
    buttons.forEach((button, index) => { button.tabIndex = index === next ? 0 : -1; });
    buttons[next].focus();
    set({ hovered: null, focused: next });
    await draw();
    at("live").textContent = spoken();
  }

  function spoken() {
    const { row, about } = shown;
    const best = row && Maps.best(row, about.keys.special.length);
    if (!row) return caption();
    return translate("{caption}: most at {place}, {weight}", { caption: caption(), place: place(about.keys, best), weight: number(row[best]) });
  }

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  async function step(event) {
    if (!(event.key in STEPS) || held(event) || !shown?.row) return;
    event.preventDefault();
    const { keys } = shown.about;
    const { row, column } = Maps.cell(keys, state.cursor ?? { y: 0.5, x: 0.5 });
    const [down, right] = state.cursor ? STEPS[event.key] : [0, 0];
    const bounded = (value, count) => Math.min(Math.max(value, 0), count - 1);
    state.cursor = Maps.centre(keys, bounded(row + down, keys.rows), bounded(column + right, keys.columns));
    await draw();
    const under = Maps.indexIn(keys, state.cursor);
    at("live").textContent = `${place(keys, under)}: ${number(shown.row[under])}`;
  }

  function under(event) {
    const box = at("stage").getBoundingClientRect();
    return { kind: "patch", y: (event.clientY - box.top) / box.height, x: (event.clientX - box.left) / box.width };
  }

  function listenToWords() {
    const words = at("words");
    words.addEventListener("pointerover", (event) => event.pointerType !== "touch" && set({ hovered: wordOf(event) }));
    words.addEventListener("pointerleave", () => set({ hovered: null }));
    words.addEventListener("click", (event) => wordOf(event) !== null && pin(wordOf(event)));
    words.addEventListener("keydown", (event) => press(event).catch(alarm));
    words.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && set({ focused: wordOf(event) }));
    words.addEventListener("focusout", () => set({ focused: null }));
    document.addEventListener("keydown", (event) => event.key === "Escape" && set({ pinned: null, hovered: null, focused: null }));
  }

  function listen() {
    const stage = at("stage");
    Readout.whenTouched(() => { listed(); redraw(); });
    for (const name of ["pointermove", "pointerdown"]) stage.addEventListener(name, (event) => set({ cursor: under(event) }));
    for (const name of ["pointerleave", "pointercancel", "blur"]) stage.addEventListener(name, () => set({ cursor: null }));
    stage.addEventListener("keydown", (event) => step(event).catch(alarm));
    for (const input of document.querySelectorAll("[name=common]")) {
      input.addEventListener("change", () => set({ common: Boolean(input.value) }));
    }
    at("strength").addEventListener("input", () => {
      set({ strength: at("strength").value / 100 });
    });
    Parts.imageOnly(at("alone"), (alone) => {
      set({ alone });
      stage.classList.toggle("alone", alone);
    });
    at("smooth").addEventListener("change", () => set({ smooth: at("smooth").checked }));
    listenToWords();
  }

  function start() {
    const questions = page.images.reduce((sum, each) => sum + each.questions.length, 0);
    const count = page.images.length;
    const sounds = page.images.every((each) => each.questions.every((asked) => asked.seconds !== null));
    const counts = [
      count > 1 && (sounds ? translate("{count} sounds", { count }) : translate("{count} images", { count })),
      questions > count && translate("{count} questions", { count: questions }),
    ];
    at("title").textContent = page.title;
    at("count").textContent = counts.filter(Boolean).join(", ");
    at("made").textContent = translate("Made with {program}. One file, no network.", { program: page.made });
    at("images").hidden = count < 2;
    if (sounds) for (const named of [at("images"), at("film")]) named.setAttribute("aria-label", translate("Sounds"));
    film.start();
    film.list([...page.images.keys()]);
    listen();
    open(0);
  }

  /* For scripts and tests: what is drawn now, as plain values. */
  window.jumok = {
    get shown() {
      return shown && { ...shown, row: shown.row && [...shown.row] };
    },
  };

  try {
    start();
  } catch (error) {
    alarm(error);
  }
})();
