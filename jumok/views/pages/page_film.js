"use strict";
/* The thumbnails: only those in view are made, one of them takes part in the order of Tab, arrow keys move along. */
const Film = (entries, opened) => {
  const { at, make, percent, outcome, tongue, translate } = Parts;
  const SPARE = 2; // rows or columns that are made beyond what is in view
  const SIGNS = { right: "✓", wrong: "✗", unknown: "" };
  const film = at("film"), rail = at("rail");
  const cells = new Map(); // by the index of an image
  let listed = []; // indices, in order
  let current = 0; // the index of the image that is open
  let size = null; // [width, height] of a cell, with the gap after it

  const tiled = () => film.classList.contains("tiled");
  const position = () => Math.max(0, listed.indexOf(current));
  const columns = () => (tiled() ? Math.max(1, Math.floor(film.clientWidth / size[0])) : Infinity);

  // -- cells ------------------------------------------------------------------------------------

  function lines({ name, truth, best }, how) {
    const said = best && make("span", [make("i", SIGNS[how]), make("b", best[0]), make("small", percent(best[1]))], { className: `said ${how}` });
    const real = truth && make("span", translate("true: {name}", { name: truth }), { className: "true" });
    const called = make("span", name, { className: "called" });
    return [said, real, called].filter(Boolean);
  }

  function spoken({ name, truth, best }, how) {
    const predicted = best && translate("predicted {name}, {share}", { name: best[0], share: percent(best[1]) });
    const verdict = { right: translate("right"), wrong: translate("wrong") }[how];
    return [name, predicted, truth && translate("true class {name}", { name: truth }), verdict]
      .filter(Boolean).join("; ");
  }

  function makeCell(index) {
    const entry = entries[index];
    const how = outcome(entry);
    const photo = make("img", [], { alt: "", decoding: "async" });
    const cell = make("button", [photo, ...lines(entry, how)], { type: "button", title: entry.name, className: "cell" });
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-label", spoken(entry, how));
    tongue(cell, entry.name);
    cell.addEventListener("click", () => go(listed.indexOf(index)));
    cells.set(index, cell);
    Blocks.text(`thumb-${index}`).then((source) => { photo.src = source; });
    return cell;
  }

  function mark(cell, index, place) {
    const [column, row] = tiled() ? [place % columns(), Math.floor(place / columns())] : [place, 0];
    cell.style.translate = `${column * size[0]}px ${row * size[1]}px`;
    cell.setAttribute("aria-selected", String(index === current));
    cell.setAttribute("aria-posinset", String(place + 1));
    cell.setAttribute("aria-setsize", String(listed.length));
    cell.tabIndex = place === position() ? 0 : -1;
  }

  /* Positions from the first to the last that is in view, and the one that Tab goes to. */
  function inView() {
    const many = columns();
    const [start, room, step] = tiled()
      ? [film.scrollTop, film.clientHeight, size[1]] : [film.scrollLeft, film.clientWidth, size[0]];
    const bounds = [Math.floor(start / step) - SPARE, Math.ceil((start + room) / step) + SPARE];
    const [first, end] = bounds.map((line) => Math.min(Math.max(tiled() ? line * many : line, 0), listed.length));
    const places = new Set([position(), ...Array.from({ length: end - first }, (_, step_) => first + step_)]);
    return [...places].filter((place) => place < listed.length).sort((one, other) => one - other);
  }

  function measure() {
    const probe = make("span", [], { className: "cell" });
    rail.append(probe);
    const gap = parseFloat(getComputedStyle(film).getPropertyValue("--gap"));
    size = [probe.offsetWidth + gap, probe.offsetHeight + gap];
    probe.remove();
  }

  function draw() {
    measure();
    const many = Math.min(columns(), listed.length);
    rail.style.width = tiled() ? "100%" : `${many * size[0]}px`;
    rail.style.height = `${(tiled() ? Math.ceil(listed.length / many) : 1) * size[1]}px`;
    const places = inView();
    const wanted = new Set(places.map((place) => listed[place]));
    for (const [index, cell] of cells) if (!wanted.has(index)) { cell.remove(); cells.delete(index); }
    let next = rail.firstElementChild; // cells stay where they are, so that none loses the focus
    for (const place of places) {
      const index = listed[place];
      const cell = cells.get(index) ?? makeCell(index);
      mark(cell, index, place);
      if (cell === next) next = next.nextElementSibling;
      else rail.insertBefore(cell, next);
    }
  }

  const redraw = Parts.oncePerFrame(draw);

  // -- moving -----------------------------------------------------------------------------------

  /* Scrolls as little as brings the open image into view. */
  function reveal() {
    const place = position();
    const [side, room, step, line] = tiled()
      ? ["scrollTop", film.clientHeight, size[1], Math.floor(place / columns())]
      : ["scrollLeft", film.clientWidth, size[0], place];
    film[side] = Math.max(Math.min(film[side], line * step), (line + 1) * step - room);
  }

  function select(index) {
    current = index;
    if (!size) measure();
    reveal();
    draw();
  }

  /* Opens the image at a position and moves the focus there. */
  function go(place) {
    const index = listed[Math.min(Math.max(place, 0), listed.length - 1)];
    if (index === undefined) return;
    select(index);
    cells.get(index).focus({ preventScroll: true });
    opened(index);
  }

  const page = () => Math.max(1, Math.floor(film.clientWidth / size[0])) * (tiled() ? Math.max(1, Math.floor(film.clientHeight / size[1])) : 1);
  const STEPS = {
    ArrowLeft: (place) => place - 1, ArrowRight: (place) => place + 1,
    ArrowUp: (place) => (tiled() ? place - columns() : place - 1), ArrowDown: (place) => (tiled() ? place + columns() : place + 1),
    PageUp: (place) => place - page(), PageDown: (place) => place + page(),
    Home: () => 0, End: () => listed.length - 1,
  };

  function press(event) {
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go(step(position()));
  }

  function list(indices) {
    listed = indices;
    film.scrollTo(0, 0);
    if (!size) measure();
    if (listed.includes(current)) reveal();
    draw();
  }

  function start() {
    film.addEventListener("scroll", redraw);
    film.addEventListener("keydown", press);
    at("find")?.addEventListener("keydown", (event) => event.key === "Enter" && listed.length && go(0));
    at("tiled")?.addEventListener("change", () => {
      film.classList.toggle("tiled", at("tiled").checked);
      reveal();
      draw();
    });
    new ResizeObserver(redraw).observe(film);
  }

  return { start, list, select };
};
