"use strict";
/* Small parts of the page: elements, numbers and words. All text goes in as text. */
const Parts = (() => {
  const at = (id) => document.getElementById(id);

  const TRANSLATED = JSON.parse(at("page-texts")?.textContent ?? "{}");
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

  /* A text in the language of the page, with values in the places of its {names}; page_texts.py finds it by this call. */
  const translate = (text, values = {}) => fill(TRANSLATED[text] ?? text, values);

  /* The same about a number of things, which stands in the place of {count}. */
  function translateCount(count, one, many, values = {}) {
    const text = TRANSLATED[one] ?? (count === 1 ? one : many);
    return fill(text, { count: count.toLocaleString("en"), ...values });
  }

  function make(tag, content = [], properties = {}) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...[content].flat());
    return element;
  }

  function number(value) {
    if (value === 0) return "≈ 0"; // what is stored as 0 may be less than half a step of the 8 bits
    return Math.abs(value) >= 0.001 ? String(Number(value.toPrecision(3))) : value.toExponential(2);
  }

  /* As pictures and printed lines have it: one that is not all or nothing is not written so. */
  function percent(share) {
    if (share > 0 && share < 0.001) return "<0.1%";
    return share >= 0.9995 && share < 1 ? "99.9%" : `${(100 * share).toFixed(1)}%`;
  }

  function say(id, text) {
    at(id).textContent = text;
    at(id).hidden = !text;
  }

  const alarm = (error) => say("alarm", translate("This page cannot be drawn: {reason}", { reason: error.message ?? error }));

  /* Draws anew what stands at places of the page: print has a width of its own, which the class `printing` gives. */
  function followPrint(redraw) {
    for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
      addEventListener(event, () => { document.documentElement.classList.toggle("printing", printing); redraw(); });
    }
  }

  /* Puts an element over a part of the image. */
  function lay(element, part) {
    for (const [side, share] of Object.entries(part)) element.style[side] = `${100 * share}%`;
  }

  /* Lays a frame over one cell of a grid, or hides it. */
  function frame(element, cells, place) {
    element.hidden = !(place?.kind === "patch" && cells.rows && Maps.indexIn(cells, place) >= 0);
    if (element.hidden) return;
    const { row, column } = Maps.cell(cells, place);
    const { top, left, height, width } = Maps.frameOf(cells);
    lay(element, {
      top: top + (row / cells.rows) * height, height: height / cells.rows,
      left: left + (column / cells.columns) * width, width: width / cells.columns,
    });
  }

  /* One line of a list of answers or classes, with its share as a bar; `more` stands behind the name. */
  function bar(name, share, more = []) {
    const fill = make("i");
    fill.style.width = `${100 * share}%`;
    return make("li", [tongue(make("b", [name, more].flat()), name), make("output", percent(share)), make("div", fill, { className: "bar" })]);
  }

  /* Which call a layer is, and from which places to which it looks; [rows, columns] before packing. */
  function aboutCall({ source, queries, keys }, [rows, columns]) {
    const size = (cells) => `${cells.rows} × ${cells.columns}`;
    const same = queries.rows === keys.rows && queries.columns === keys.columns;
    const places = same ? translate("{places} places look at each other", { places: size(queries) })
      : translate("{places} places look at {keys}", { places: size(queries), keys: size(keys) });
    const mean = rows === queries.rows && columns === queries.columns ? ""
      : translate(", as means over {cells}", { cells: `${rows} × ${columns}` });
    return [source, places + mean].filter(Boolean).join(": ");
  }

  /* Whether what was predicted of an image is its true class: right, wrong or unknown. */
  const outcome = ({ truth, best }) => (!truth || !best ? "unknown" : best[0] === truth ? "right" : "wrong");

  const TONGUES = { ko: /[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]/, ja: /[\u3041-\u30ff]/ };

  /* Tells readers and fonts that a text is in another language than the page. Gives the element back. */
  function tongue(element, text = element.textContent) {
    const found = Object.keys(TONGUES).find((name) => TONGUES[name].test(text));
    if (found) element.lang = found;
    else element.removeAttribute("lang");
    return element;
  }

  /* A button and a key that show the photograph alone, as it is. */
  function imageOnly(button, show) {
    const toggle = () => {
      const alone = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(alone));
      show(alone);
    };
    button.addEventListener("click", toggle);
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input:not([type=radio], [type=checkbox], [type=range]), select, textarea");
      if (event.key.toLowerCase() === "i" && !typing && !event.altKey && !event.ctrlKey && !event.metaKey) toggle();
    });
  }

  /* A function that calls `draw` once before the next frame, however often it is called until then. */
  function oncePerFrame(draw) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        draw();
      });
    };
  }

  return { at, translate, translateCount, make, number, percent, say, alarm, lay, frame, bar, aboutCall, outcome, tongue, imageOnly, oncePerFrame, followPrint };
})();
