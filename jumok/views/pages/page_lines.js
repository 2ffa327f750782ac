"use strict";
/* Draws what lies over the heat: lines from a place to where it looks, boxes of glimpses with their path, outlines. */
const Lines = (svg, wedge, palette) => {
  const WIDE = 1000; // of the drawing, in units of its own
  const THICKEST = 24; // of a line whose weight is the end of the scale
  const [FEWEST, MOST, SHARE] = [3, 16, 0.5]; // lines by themselves: those that hold half of the weight
  const EDGE = 5; // what the dark edge adds to a line
  const [PLUS, MINUS, DARK] = [palette.line, palette.belowZero, "#0009"];
  let tall = WIDE;

  function shape(tag, attributes, content = "") {
    const element = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = content;
    return element;
  }

  /* The strongest keys but for one, strongest first: `count` of them, or where it is 0 those that hold half of it all. */
  function strongest(row, start, own, count) {
    const size = (key) => Math.abs(row[key]);
    const keys = [...row.keys()].filter((key) => key >= start && key !== own && row[key] !== 0)
      .sort((one, other) => size(other) - size(one));
    if (count) return keys.slice(0, count);
    let left = SHARE * keys.reduce((sum, key) => sum + size(key), 0);
    const enough = keys.findIndex((key) => (left -= size(key)) <= 0) + 1;
    return keys.slice(0, Math.min(Math.max(enough, FEWEST), MOST));
  }

  const point = ({ y, x }) => [x * WIDE, y * tall];

  /* One stroke twice: its dark edge, and itself. */
  function stroked(tag, place, width, colour, edge = EDGE) {
    const drawn = { ...place, fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" };
    return [
      shape(tag, { ...drawn, stroke: DARK, "stroke-width": width + edge }),
      shape(tag, { ...drawn, stroke: colour, "stroke-width": width }),
    ];
  }

  function line(from, to, width, colour) {
    const [[x1, y1], [x2, y2]] = [point(from), point(to)];
    const end = { cx: x2, cy: y2, r: 3 + width * 0.7, fill: colour, stroke: DARK, "stroke-width": EDGE / 2 };
    return [...stroked("line", { x1, y1, x2, y2 }, width, colour), shape("circle", end)];
  }

  /* Lines from a place to where it looks, its own place left out. Gives back what was drawn, and its scale.
     `end`: the weight of the thickest line; null: the largest that is drawn. */
  function draw({ about, row }, from, end, count) {
    const own = Maps.indexIn(about.keys, from);
    const keys = strongest(row, about.keys.special.length, own, count);
    const thickest = end ?? Math.abs(row[keys[0]] ?? 0);
    const lines = keys.map((key) => ({ key, weight: row[key], width: (THICKEST * Math.abs(row[key])) / thickest }));
    svg.replaceChildren(...lines.flatMap(({ key, weight, width }) => (
      line(from, Maps.placeAt(about.keys, key), width, weight < 0 ? MINUS : PLUS)
    )));
    return { lines, own, thickest };
  }

  /* With a number in its middle, or a label in its corner. */
  function box([top, left, bottom, right], number, label = "") {
    const place = { x: left * WIDE, y: top * tall, width: (right - left) * WIDE, height: (bottom - top) * tall };
    const middle = point({ y: (top + bottom) / 2, x: (left + right) / 2 });
    const late = left > 0.75; // a label would leave the image to the right
    const corner = { x: late ? right * WIDE - 10 : left * WIDE + 10, y: top * tall, dy: top > 0.93 ? "-.3em" : "1.1em" };
    const at = label ? { ...corner, "text-anchor": late ? "end" : "start", "font-size": 30 }
      : { x: middle[0], y: middle[1], dy: ".35em", "text-anchor": "middle", "font-size": 40 };
    const text = { ...at, "font-weight": 700, fill: "#fff" };
    const about = { stroke: "#000b", "stroke-width": 9, "paint-order": "stroke" };
    return [...stroked("rect", place, 4, PLUS), shape("text", { ...text, ...about }, label || String(number))];
  }

  /* Boxes of glimpses, numbered, with the path between them; or the outline of a region; or boxes of objects, with
     labels or numbered from 1. Gives back how many. */
  function mark({ boxes = [], outline = [], objects = [], labels = [] }) {
    const path = boxes.map(([top, left, bottom, right]) => point({ y: (top + bottom) / 2, x: (left + right) / 2 }).join());
    const rim = outline.map(([y, x]) => point({ y, x }).join());
    svg.replaceChildren(
      ...(path.length > 1 ? stroked("polyline", { points: path.join(" ") }, 3, "#fff") : []),
      ...boxes.flatMap((each, number) => box(each, number)),
      ...objects.flatMap((each, number) => box(each, number + 1, labels[number])),
      ...(rim.length ? stroked("polygon", { points: rim.join(" ") }, 5, PLUS) : []),
    );
    return boxes.length + objects.length + (rim.length ? 1 : 0);
  }

  const clear = () => svg.replaceChildren();

  function fit(ratio) {
    tall = WIDE / ratio;
    svg.setAttribute("viewBox", `0 0 ${WIDE} ${tall}`);
    clear();
  }

  /* The legend: a wedge that grows to the thickest line, at the size of the drawing. */
  function legend(signed) {
    const high = (THICKEST * svg.clientWidth) / WIDE;
    wedge.style.height = `${Math.max(high, 2) + 2}px`;
    wedge.setAttribute("viewBox", `0 0 100 ${high + 2}`);
    const middle = 1 + high / 2;
    const half = (x, end, colour) => (
      shape("polygon", { points: `${x},${middle} ${end},1 ${end},${high + 1}`, fill: colour })
    );
    wedge.replaceChildren(...(signed ? [half(50, 0, MINUS), half(50, 100, PLUS)] : [half(0, 100, PLUS)]));
  }

  return { strongest, draw, mark, clear, fit, legend };
};
