"use strict";
/* Shows what is left of each image at a step, in the order of a map, and what the model says then. */
(async () => {
  const { at, make, percent, say, alarm, translate, translateCount } = Parts;
  const page = JSON.parse(at("page-data").textContent);
  const maps = [...page.methods, ...page.baselines];
  const [rows, columns] = page.grid;
  const patches = rows * columns;
  const shares = page.gone.map((count) => count / patches);
  const paint = Paint(page.palette);
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const quarter = shares.findIndex((share) => share >= 0.25);
  const state = { filling: 0, map: Math.max(0, maps.indexOf(page.first)), step: quarter, alone: false };
  window.jumok = { shown: null }; // what is drawn, for whoever drives the page
  let waiting = false;

  async function load(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
  }

  // -- one image --------------------------------------------------------------------------------

  /* Where a patch begins, in pixels; as jumok cuts images, a pixel belongs to the patch that its middle lies in. */
  const edge = (number, count, size) => Math.round((number * size) / count);

  function takeAway(entry, canvas, order, count) {
    const brush = canvas.getContext("2d");
    const { filled, image } = entry, filling = filled[state.filling];
    brush.drawImage(image, 0, 0, canvas.width, canvas.height);
    brush.fillStyle = filling?.colour ?? "#808080";
    for (const patch of order.subarray(0, count)) {
      const row = Math.floor(patch / columns), column = patch % columns;
      const [top, bottom] = [row, row + 1].map((each) => edge(each, rows, canvas.height));
      const [left, right] = [column, column + 1].map((each) => edge(each, columns, canvas.width));
      const box = [left, top, right - left, bottom - top];
      if (filling?.picture) brush.drawImage(filling.picture, ...box, ...box);
      else brush.fillRect(...box);
    }
  }

  function drawHeat(canvas, entry, heat) {
    const codes = bytes(heat.codes), small = make("canvas"), brush = canvas.getContext("2d");
    const values = Float32Array.from(codes, (code) => (heat.signed ? (code - 127) / 127 : code / 255));
    paint.cells(small, values, rows, columns, heat.signed);
    canvas.width = 130;
    canvas.height = Math.max(1, Math.round(130 / entry.ratio));
    brush.drawImage(entry.image, 0, 0, canvas.width, canvas.height);
    brush.imageSmoothingEnabled = false;
    brush.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  function makeTile(entry, number, map) {
    const input = make("input", [], { type: "radio", name: `map-${number}`, value: map, checked: map === state.map });
    input.addEventListener("change", () => set({ map }));
    const canvas = make("canvas");
    drawHeat(canvas, entry, entry.heats[map]);
    const srg = make("small");
    const name = make("b", maps[map], { title: maps[map] });
    return { input, srg, label: make("label", [input, canvas, Chart.swatch(page.styles[map]), name, srg]) };
  }

  function describe(steps, target) {
    const [name, share] = steps.best[state.step], said = steps.names[name];
    const answer = `${target}: ${percent(steps.answers[state.step])}`;
    if (said === target) return { answer, turned: false };
    return { answer: translate("{answer}; the answer is now {name} ({share})", { answer, name: said, share: percent(share) }), turned: true };
  }

  async function makeEntry(entry, number) {
    entry.image = await load(entry.image);
    for (const filling of entry.filled) if (filling?.image) filling.picture = await load(filling.image);
    entry.orders = entry.steps.map((each) => each.map(({ order }) => new Uint16Array(bytes(order).buffer)));
    const canvas = make("canvas", [], { className: "picture", width: entry.image.naturalWidth, height: entry.image.naturalHeight });
    canvas.classList.toggle("hard", Math.max(canvas.width, canvas.height) <= page.palette.hard);
    canvas.setAttribute("role", "img");
    const says = make("p", [], { className: "says" });
    const chart = Chart.make(shares, page.styles, translate("{name}: the answer as patches are taken away", { name: entry.name }), (step) => set({ step }));
    const tiles = maps.map((_, map) => makeTile(entry, number, map));
    const chooser = make("fieldset", tiles.map(({ label }) => label), { className: "maps" });
    chooser.setAttribute("aria-label", translate("Map of {name}", { name: entry.name }));
    const whole = `${entry.target} ${percent(entry.steps[0][0].answers[0])}`;
    const head = make("div", [Parts.tongue(make("h3", entry.name)), Parts.tongue(make("span", whole, { className: "badge" })), Parts.tongue(make("span", entry.note, { className: "quiet small" }))], { className: "heading" });
    const element = make("article", [head, make("div", [make("figure", [canvas, says]), chart.svg], { className: "body" }), chooser], { className: "entry" });
    element.style.setProperty("--ratio", entry.ratio);
    at("entries").append(element);

    return function draw() {
      const all = entry.steps[state.filling], steps = all[state.map];
      takeAway(entry, canvas, entry.orders[state.filling][state.map], state.alone ? 0 : page.gone[state.step]);
      const { answer, turned } = describe(steps, entry.target);
      says.hidden = state.alone;
      says.textContent = answer;
      Parts.tongue(says);
      says.classList.toggle("turned", turned);
      canvas.setAttribute("aria-label", state.alone ? translate("{name}, whole", { name: entry.name })
        : translate("{name}, {count} patches gone: {answer}", { name: entry.name, count: page.gone[state.step], answer }));
      chart.draw(all.map(({ answers }) => answers), state.map, state.step);
      tiles.forEach(({ input, srg }, map) => {
        input.checked = map === state.map;
        srg.textContent = `SRG ${(Math.round(100 * all[map].srg) / 100 || 0).toFixed(2)}`; // -0 reads as 0
      });
      return { answer, turned };
    };
  }

  // -- the whole page ---------------------------------------------------------------------------

  function set(change) {
    Object.assign(state, change);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  function draw() {
    waiting = false;
    const count = page.gone[state.step], share = Math.round(100 * shares[state.step]);
    const gone = translate("{count} of {all} ({share}%)", { count, all: patches, share });
    at("share").value = state.step;
    at("share").setAttribute("aria-valuetext", translate("{count} patches", { count: gone }));
    at("gone").textContent = gone;
    at("chosen").textContent = translate("in the order of {name}", { name: maps[state.map] });
    const composed = page.entries[0].filled[state.filling];
    say("remark", composed ? "" : translate("What {name} puts in depends on all that is gone and is not kept on this page: patches are shown in grey. The answers are those to the real filling.", { name: page.fillings[state.filling] }));
    const shown = drawings.map((each) => each());
    window.jumok.shown = { ...state, name: maps[state.map], gone: count, entries: shown };
  }

  function makeFillings() {
    at("fillings").append(...page.fillings.map((name, filling) => {
      const input = make("input", [], { type: "radio", name: "filling", value: filling, checked: !filling });
      input.addEventListener("change", () => set({ filling }));
      return make("label", [input, make("span", translate("filling: {name}", { name }))]);
    }));
    at("fillings").hidden = page.fillings.length < 2;
  }

  function write() {
    const counted = page.entries.length;
    at("title").textContent = page.title;
    at("count").textContent = translateCount(counted, "{count} image shown", "{count} images shown");
    at("stored").textContent = translate("Images are shown as the model is given them, and maps as means over the {cells} patches that are taken away.", { cells: `${rows} × ${columns}` });
    const left = page.left ? ` ${translateCount(page.left, "{count} more was left out to keep this page small.", "{count} more were left out to keep this page small.")}` : "";
    at("made").textContent = translate("Made with {program}. One file, no network.", { program: page.made }) + left;
    at("signs").hidden = !page.entries.some((entry) => entry.heats.some((heat) => heat.signed));
    at("share").max = shares.length - 1;
    at("share").addEventListener("input", () => set({ step: Number(at("share").value) }));
  }

  const drawings = [];
  try {
    write();
    makeFillings();
    Parts.imageOnly(at("alone"), (alone) => set({ alone }));
    for (const [number, entry] of page.entries.entries()) drawings.push(await makeEntry(entry, number));
    draw();
  } catch (error) {
    alarm(error);
  }
})();
