"use strict";
/* The two ways to see one alignment: words with lines between them, and a heat map. Knows nothing of the page around. */
const Views = (() => {
  const { make, tongue, translate } = Parts;
  const SVG = "http://www.w3.org/2000/svg";
  const THICKEST = 9; // pixels of a line of weight 1
  const NUMBERED = 14; // a heat map with up to so many words a side has its weights in its cells
  const OTHER = { source: "target", target: "source" };
  const WORD = { source: translate("source word"), target: translate("target word") };

  /* Two decimals, and never a 0 or a 1 that is none. */
  function number(weight) {
    if (weight < 0.005) return weight > 0 ? "< 0.01" : "0";
    return weight < 10 ? weight.toFixed(2) : weight.toPrecision(3);
  }

  /* A word that can be pointed at, focused and pinned. */
  function wordButton(text, side, index) {
    const label = tongue(make("bdi", text));
    const amount = make("small");
    const button = make("button", [label, amount], { type: "button", className: "word", title: text, tabIndex: index ? -1 : 0 });
    Object.assign(button.dataset, { side, index });
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label", `${WORD[side]} ${index + 1}: ${text}`);
    return Object.assign(button, { amount });
  }

  const buttonsOf = (entry) => ({
    source: entry.source.map((text, index) => wordButton(text, "source", index)),
    target: entry.target.map((text, index) => wordButton(text, "target", index)),
  });

  /* The weights that a word gives (target) or is given (source), as pairs with the words on the other side. */
  function partners(weights, word) {
    const row = word.side === "target" ? weights[word.index] : weights.map((each) => each[word.index]);
    return Array.from(row, (weight, index) => ({ side: OTHER[word.side], index, weight }));
  }

  const strongest = (weights, word) =>
    partners(weights, word).reduce((top, each) => (each.weight > top.weight ? each : top));

  // -- lines ------------------------------------------------------------------------------------

  /* Source words above (or left), target words below (or right). */
  function lines(entry, way) {
    const buttons = buttonsOf(entry);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("aria-hidden", "true");
    const row = (side, place, name) => {
      const words = make("div", buttons[side], { className: `words ${place}` });
      words.setAttribute("role", "group");
      words.setAttribute("aria-label", name);
      return words;
    };
    const side = (name, place) => make("div", name, { className: `side ${place}` });
    const plane = make("div", [
      svg, side(translate("Source"), "from"), row("source", "from", translate("Source words")),
      row("target", "to", translate("Target words")), side(translate("Target"), "to"),
    ], { className: `plane ${way}` });
    return { element: plane, buttons, svg, way, draw: drawLines };
  }

  /* Where a line may start or end on a word's box, in the plane. */
  function anchor(button, plane, way, side) {
    const box = button.getBoundingClientRect();
    const source = side === "source";
    if (way === "across") return [(box.left + box.right) / 2 - plane.left, (source ? box.bottom : box.top) - plane.top];
    return [(source ? box.right : box.left) - plane.left, (box.top + box.bottom) / 2 - plane.top];
  }

  function curve([x1, y1], [x2, y2], way) {
    const [dx, dy] = way === "across" ? [0, (y2 - y1) * 0.45] : [(x2 - x1) * 0.45, 0];
    return `M${x1} ${y1}C${x1 + dx} ${y1 + dy} ${x2 - dx} ${y2 - dy} ${x2} ${y2}`;
  }

  function path(shape, attributes) {
    const element = document.createElementNS(SVG, "path");
    element.setAttribute("d", shape);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  /* Draws the lines of one word, or all from the least weight on. Returns how many there are. */
  function drawLines(view, { weights, top, word, least, gold }) {
    const { svg, buttons, way } = view;
    const plane = view.element.getBoundingClientRect();
    const ends = Object.fromEntries(["source", "target"].map((side) =>
      [side, buttons[side].map((button) => anchor(button, plane, way, side))]));
    const shape = (source, target) => curve(ends.source[source], ends.target[target], way);
    const concerns = (source, target) => !word || (word.side === "source" ? source : target) === word.index;
    const paths = [];
    weights.forEach((row, target) => row.forEach((weight, source) => {
      if (!concerns(source, target) || weight < Math.max(word ? 0 : least, 0.005)) return;
      const share = weight / top;
      paths.push([share, path(shape(source, target), {
        "stroke-width": Math.max(THICKEST * share, 0.6).toFixed(2), "stroke-opacity": (0.08 + 0.87 * share).toFixed(3),
      })]);
    }));
    paths.sort(([one], [other]) => one - other); // the strongest lie on top
    const marks = goldLinks(gold).filter(([, source, target]) => concerns(source, target))
      .map(([kind, source, target]) => path(shape(source, target), { class: `gold ${kind}` }));
    svg.replaceChildren(...paths.map(([, element]) => element), ...marks);
    drawWords(buttons, weights, top, word);
    return paths.length;
  }

  const goldLinks = (gold) =>
    (gold ? ["sure", "possible"].flatMap((kind) => gold[kind].map(([source, target]) => [kind, source, target])) : []);

  /* The chosen word, and at the words it is linked to the weights, as shade and number. */
  function drawWords(buttons, weights, top, word) {
    const given = word ? partners(weights, word) : [];
    for (const [side, all] of Object.entries(buttons)) {
      all.forEach((button, index) => {
        const mine = word?.side === side && word.index === index;
        const weight = word && side !== word.side ? given[index].weight : 0;
        const seen = weight >= 0.005;
        button.classList.toggle("asked", mine);
        button.classList.toggle("seen", seen);
        button.amount.textContent = seen ? number(weight) : "";
        button.style.setProperty("--w", seen ? (weight / top).toFixed(3) : "0");
        button.setAttribute("aria-pressed", String(mine && Boolean(word.pinned)));
      });
    }
  }

  // -- heat map ---------------------------------------------------------------------------------

  function heat(entry) {
    const buttons = buttonsOf(entry);
    const head = make("tr", [make("td"), ...buttons.source.map((button) => make("th", button, { scope: "col" }))]);
    const cells = entry.target.map((_, target) => entry.source.map((_, source) => {
      const cell = make("td");
      Object.assign(cell.dataset, { source, target });
      return cell;
    }));
    const rows = cells.map((row, target) => make("tr", [make("th", buttons.target[target], { scope: "row" }), ...row]));
    const table = make("table", [make("thead", head), make("tbody", rows)], { className: "heat" });
    const most = Math.max(entry.source.length, entry.target.length);
    table.classList.toggle("dense", most > NUMBERED);
    table.style.setProperty("--cell", `${most > NUMBERED ? Math.max(14, Math.min(28, Math.round(640 / most))) : 44}px`);
    return { element: table, buttons, cells, draw: drawHeat, painted: null };
  }

  function drawHeat(view, { weights, top, word, gold }) {
    const { cells, buttons } = view;
    if (view.painted !== weights) cells.forEach((row, target) => row.forEach((cell, source) => paint(cell, weights[target][source], top)));
    view.painted = weights;
    cells.forEach((row, target) => row.forEach((cell, source) => {
      cell.classList.toggle("seen", Boolean(word) && (word.side === "source" ? source : target) === word.index);
      cell.classList.remove("sure", "possible");
    }));
    for (const [kind, source, target] of goldLinks(gold)) cells[target][source].classList.add(kind);
    drawWords(buttons, weights, top, word);
    return 0;
  }

  function paint(cell, weight, top) {
    cell.textContent = weight < 0.005 ? "" : number(weight);
    cell.style.setProperty("--w", Math.min(weight / top, 1).toFixed(3));
    cell.classList.toggle("strong", weight / top > 0.55);
    cell.classList.toggle("faint", weight / top < 0.1);
  }

  return { number, partners, strongest, lines, heat };
})();
