"use strict";
/* Three ways to see who reads whom: two columns with lines, running text, and a matrix. Knows nothing of the page around.
   A sheet is {queries, keys, weights, set} : tokens [text, gap, special], weights row by row, and which keys are set aside. */
const ReadingViews = (() => {
  const { make, tongue } = Parts;
  const SVG = "http://www.w3.org/2000/svg";
  const THICKEST = 8; // pixels of the strongest line
  const MOST_LINES = 1500; // beyond it only the strongest are drawn
  const FAINT = 0.01; // share of the strongest below which nothing is drawn
  const FEW = 16, EVEN = 2; // of nearly even maps, as colour_range.py has them
  const LABELLED = 64; // tokens a side of a matrix that are written beside it
  const WIDEST = 760; // pixels of a matrix
  const OTHER = { query: "key", key: "query" };

  function number(weight) {
    const size = Math.abs(weight);
    if (size < 0.0005) return size > 0 ? "≈ 0" : "0";
    return size < 0.1 ? weight.toFixed(3) : size < 10 ? weight.toFixed(2) : weight.toPrecision(3);
  }

  /* The weights of a row (of a query) or of a column (of a key), as pairs with the tokens on the other side. */
  function partners(sheet, { side, index }) {
    const { weights, keys, queries } = sheet;
    const along = side === "query" ? keys : queries;
    const at = (other) => (side === "query" ? index * keys.length + other : other * keys.length + index);
    return along.map((_, other) => ({ side: OTHER[side], index: other, weight: weights[at(other)] }));
  }

  const isAside = (sheet, side, index) => side === "key" && sheet.set.has(index);

  function strongest(sheet, word) {
    const found = partners(sheet, word).filter(({ side, index }) => !isAside(sheet, side, index));
    return found.reduce((top, each) => (Math.abs(each.weight) > Math.abs(top?.weight ?? 0) ? each : top), found[0]);
  }

  /* Where strengths end: at the largest weight that is shown, of the asked token or of all; where all prefer nothing,
     beyond it, so that none looks strong. */
  function end(sheet, word) {
    if (word) return { top: partners(sheet, word).reduce((top, { side, index, weight }) => (isAside(sheet, side, index) ? top : Math.max(top, Math.abs(weight))), 0) || 1, even: false };
    let [top, sum, count] = [0, 0, 0];
    const { weights, keys, set } = sheet;
    for (let at = 0; at < weights.length; at++) {
      if (set.has(at % keys.length)) continue;
      top = Math.max(top, Math.abs(weights[at]));
      sum += weights[at];
      count++;
    }
    const even = count >= FEW && top < (EVEN * sum) / count;
    return { top: (even ? (EVEN * sum) / count : top) || 1, even };
  }

  function button([text, , special], side, index, name) {
    const label = tongue(make("bdi", text));
    const amount = make("small");
    const found = make("button", [label, amount], { type: "button", className: name, title: text, tabIndex: index ? -1 : 0 });
    Object.assign(found.dataset, { side, index });
    found.classList.toggle("special", Boolean(special));
    found.setAttribute("aria-pressed", "false");
    return Object.assign(found, { amount });
  }

  /* The asked token, and at the tokens opposite the weights, as shade and number. */
  function mark(buttons, sheet, word, top, pinned) {
    const given = word ? partners(sheet, word) : [];
    for (const [side, all] of Object.entries(buttons)) {
      all.forEach((each, index) => {
        const mine = word?.side === side && word.index === index;
        const across = Boolean(word) && side !== word.side && !isAside(sheet, side, index);
        const weight = across ? given[index].weight : 0;
        const share = Math.min(Math.abs(weight) / top, 1);
        each.classList.toggle("asked", mine);
        each.classList.toggle("seen", share >= FAINT);
        each.classList.toggle("minus", weight < 0);
        each.amount.textContent = share >= 0.03 ? number(weight) : "";
        each.style.setProperty("--w", share.toFixed(3));
        each.setAttribute("aria-pressed", String(mine && pinned));
      });
    }
  }

  // -- lines ------------------------------------------------------------------------------------

  function lines(sheet, names) {
    const buttons = {
      query: sheet.queries.map((token, index) => button(token, "query", index, "word")),
      key: sheet.keys.map((token, index) => button(token, "key", index, "word")),
    };
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("aria-hidden", "true");
    const column = (side, place) => {
      const words = make("div", buttons[side], { className: `words ${place}` });
      words.setAttribute("role", "group");
      words.setAttribute("aria-label", names[side]);
      return words;
    };
    const head = (side, place) => make("div", names[side], { className: `side ${place}` });
    const element = make("div", [svg, head("query", "from"), head("key", "to"), column("query", "from"), column("key", "to")], { className: "plane two" });
    return { element, buttons, svg, ends: null, draw: drawLines, measure: (view) => { view.ends = null; } };
  }

  function findEnds(view) {
    const plane = view.element.getBoundingClientRect();
    const ends = (side) => view.buttons[side].map((each) => {
      const box = each.getBoundingClientRect();
      return [(side === "query" ? box.right : box.left) - plane.left, (box.top + box.bottom) / 2 - plane.top];
    });
    return { query: ends("query"), key: ends("key") };
  }

  function listPairs(sheet, word, least, top) {
    const floor = Math.max(word ? FAINT : least, FAINT) * top;
    if (word) {
      return partners(sheet, word).filter(({ side, index, weight }) => Math.abs(weight) >= floor && !isAside(sheet, side, index))
        .map(({ index, weight }) => (word.side === "query" ? [word.index, index, weight] : [index, word.index, weight]));
    }
    const { weights, keys, set } = sheet;
    const found = [];
    for (let at = 0; at < weights.length; at++) {
      const key = at % keys.length;
      if (Math.abs(weights[at]) >= floor && !set.has(key)) found.push([(at - key) / keys.length, key, weights[at]]);
    }
    return found.sort((one, other) => Math.abs(other[2]) - Math.abs(one[2])).slice(0, MOST_LINES);
  }

  function path([x1, y1], [x2, y2], share, minus, strong) {
    const element = document.createElementNS(SVG, "path");
    const bend = (x2 - x1) * 0.45;
    element.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
    element.setAttribute("stroke-width", Math.max(THICKEST * share, 0.6).toFixed(2));
    element.setAttribute("stroke-opacity", (0.06 + (strong ? 0.8 : 0.5) * share).toFixed(3));
    if (minus) element.setAttribute("class", "minus");
    return element;
  }

  function drawLines(view, sheet, word, least, pinned) {
    const { top, even } = end(sheet, word);
    view.ends ??= findEnds(view);
    const pairs = listPairs(sheet, word, least, top).sort((one, other) => Math.abs(one[2]) - Math.abs(other[2]));
    view.svg.replaceChildren(...pairs.map(([query, key, weight]) => (
      path(view.ends.query[query], view.ends.key[key], Math.abs(weight) / top, weight < 0, word)
    )));
    mark(view.buttons, sheet, word, top, pinned);
    return { top, even, lines: pairs.length };
  }

  // -- running text -----------------------------------------------------------------------------

  function flow(tokens, side, name) {
    const buttons = tokens.map((token, index) => button(token, side, index, "tok"));
    const parts = buttons.flatMap((each, index) => (tokens[index][1] && index ? [" ", each] : [each]));
    const words = make("p", parts, { className: "flow", dir: "auto" });
    words.setAttribute("aria-label", name);
    words.setAttribute("role", "group");
    return { buttons, words };
  }

  /* One text where who reads is who is read, else both, the reader's above. */
  function text(sheet, names) {
    const same = sheet.queries === sheet.keys;
    const keys = flow(sheet.keys, same ? "query" : "key", same ? Parts.translate("Text") : names.key);
    const queries = same ? keys : flow(sheet.queries, "query", names.query);
    const head = (name) => make("div", name, { className: "side" });
    const parts = same ? [keys.words] : [head(names.query), queries.words, head(names.key), keys.words];
    const element = make("div", parts, { className: "pages" });
    return { element, same, buttons: same ? { query: keys.buttons } : { query: queries.buttons, key: keys.buttons }, draw: drawText, measure() {} };
  }

  function drawText(view, sheet, word, least, pinned) {
    const { top, even } = end(sheet, word);
    if (!view.same) mark(view.buttons, sheet, word, top, pinned);
    else {
      const given = word ? partners(sheet, word) : [];
      view.buttons.query.forEach((each, index) => {
        const mine = word?.index === index;
        const weight = word && !isAside(sheet, word.side === "query" ? "key" : "query", index) ? given[index].weight : 0;
        each.style.setProperty("--w", Math.min(Math.abs(weight) / top, 1).toFixed(3));
        each.style.setProperty("--hue", weight < 0 ? "var(--minus)" : "var(--plus)");
        each.classList.toggle("asked", mine);
        each.setAttribute("aria-pressed", String(mine && pinned));
      });
    }
    for (const all of Object.values(view.buttons)) for (const each of all) each.amount.textContent = "";
    return { top, even, lines: 0 };
  }

  // -- matrix -----------------------------------------------------------------------------------

  const colourOf = (element, name) => {
    element.style.color = `var(${name})`;
    const found = getComputedStyle(element).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    element.style.color = "";
    return found;
  };

  function labels(tokens, name) {
    const written = tokens.map(([word]) => tongue(make("span", word, { title: word })));
    const column = make("div", written, { className: name });
    column.setAttribute("aria-hidden", "true");
    return { column, written };
  }

  function matrix(sheet, names, room) {
    const [rows, columns] = [sheet.queries.length, sheet.keys.length];
    const written = Math.max(rows, columns) <= LABELLED;
    const wide = Math.min(WIDEST, room - (written ? 130 : 40));
    const fits = wide / Math.max(rows, columns);
    const cell = fits < 1 ? 1 : Math.max(written ? 13 : 1, Math.min(26, Math.floor(fits)));
    const joined = Math.ceil(1 / Math.min(fits, 1)); // tokens a side that one pixel stands for
    const canvas = make("canvas", [], { width: Math.ceil(columns / joined), height: Math.ceil(rows / joined), tabIndex: 0 });
    Object.assign(canvas.style, { width: `${cell * canvas.width}px`, height: `${cell * canvas.height}px` });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", Parts.translate("{rows} down, {columns} across; arrow keys move, the reading below tells the weights", { rows: names.query, columns: names.key }));
    const [down, across] = [labels(sheet.queries, "down"), labels(sheet.keys, "across")];
    const element = make("div", written ? [across.column, down.column, canvas] : [canvas], { className: "grid" });
    element.style.setProperty("--cell", `${cell}px`);
    return { element, canvas, down, across, joined, byRow: !written, draw: drawMatrix, measure() {}, place: placeOf, cell: null, buttons: {} };
  }

  function placeOf(view, sheet, event) {
    const box = view.canvas.getBoundingClientRect();
    const at = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    return {
      query: at((event.clientY - box.top) / box.height, sheet.queries.length),
      key: at((event.clientX - box.left) / box.width, sheet.keys.length),
    };
  }

  /* Shares of the largest weight, or each row's own; a pixel has the largest of the cells that it stands for. */
  function pool({ canvas, joined, byRow }, { weights, keys, queries, set }, top) {
    const shares = new Float32Array(canvas.width * canvas.height);
    for (let query = 0; query < queries.length; query++) {
      const row = weights.subarray(query * keys.length, (query + 1) * keys.length);
      const end = byRow ? row.reduce((most, weight, key) => (set.has(key) ? most : Math.max(most, Math.abs(weight))), 0) || 1 : top;
      row.forEach((weight, key) => {
        const at = Math.floor(query / joined) * canvas.width + Math.floor(key / joined);
        if (!set.has(key) && Math.abs(weight) / end > Math.abs(shares[at])) shares[at] = weight / end;
      });
    }
    return shares;
  }

  function paint(view, sheet, top, row) {
    const { canvas, joined } = view;
    const [plus, minus] = [colourOf(canvas, "--accent"), colourOf(canvas, "--minus")];
    if (view.pooled !== sheet.weights) Object.assign(view, { pooled: sheet.weights, shares: pool(view, sheet, top) });
    const picture = new ImageData(canvas.width, canvas.height);
    view.shares.forEach((share, at) => {
      const dim = row >= 0 && Math.floor(at / canvas.width) !== Math.floor(row / joined) ? 0.35 : 1;
      picture.data.set(share < 0 ? minus : plus, 4 * at);
      picture.data[4 * at + 3] = Math.round(255 * dim * Math.sqrt(Math.min(Math.abs(share), 1)));
    });
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  function drawMatrix(view, sheet, word) {
    const { top, even } = end(sheet, null);
    paint(view, sheet, top, word?.side === "query" ? word.index : -1);
    const at = { down: word?.side === "query" ? word.index : -1, across: view.cell?.key ?? (word?.side === "key" ? word.index : -1) };
    for (const side of ["down", "across"]) view[side].written.forEach((each, index) => each.classList.toggle("asked", index === at[side]));
    return { top, even, lines: 0 };
  }

  return { number, partners, strongest, isAside, lines, text, matrix };
})();
