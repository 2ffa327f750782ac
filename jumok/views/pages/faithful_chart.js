"use strict";
/* The curves of one image: the answer as patches go, one line per map, and a mark at the step that is shown. */
const Chart = (() => {
  const WIDTH = 620, HEIGHT = 230, LEFT = 58, RIGHT = 14, TOP = 12, BOTTOM = 46;
  const across = (share) => LEFT + share * (WIDTH - LEFT - RIGHT);
  const down = (answer) => TOP + (1 - answer) * (HEIGHT - TOP - BOTTOM);

  function shape(tag, attributes, content = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = content;
    return element;
  }

  /* A line in the style of a map: [colour, dash, width]. */
  function style(element, [colour, dash, width]) {
    element.style.setProperty("--curve", colour);
    element.setAttribute("stroke-width", width);
    if (dash.length) element.setAttribute("stroke-dasharray", dash.map((part) => part * width).join(" "));
    return element;
  }

  function swatch(look) {
    const svg = shape("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(style(shape("line", { x1: 0, x2: 100, y1: 4, y2: 4 }), look));
    return svg;
  }

  function axes() {
    const lines = [0, 0.5, 1].flatMap((answer) => [
      shape("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: down(answer), y2: down(answer) }),
      shape("text", { x: LEFT - 6, y: down(answer) + 4, "text-anchor": "end" }, `${100 * answer}%`),
    ]);
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) =>
      shape("text", { x: across(share), y: HEIGHT - 27, "text-anchor": share === 1 ? "end" : "middle" }, `${100 * share}%`));
    const name = shape("text", { x: across(0.5), y: HEIGHT - 4, "text-anchor": "middle" }, Parts.translate("patches taken away"));
    return [...lines, ...ticks, name];
  }

  /* `shares` of each step, `looks` of each map; `choose` is called with the step that is pointed at. */
  function make(shares, looks, label, choose) {
    const svg = shape("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
    const lines = looks.map((look) => style(shape("polyline", {}), look));
    const at = shape("line", { class: "at", y1: TOP, y2: HEIGHT - BOTTOM });
    const dot = shape("circle", { r: 5 });
    svg.append(...axes(), ...lines, at, dot);
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const share = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
      choose(shares.reduce((best, each, step) => (Math.abs(each - share) < Math.abs(shares[best] - share) ? step : best), 0));
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);

    function draw(curves, map, step) {
      lines.forEach((line, each) => {
        line.setAttribute("points", curves[each].map((answer, place) => `${across(shares[place]).toFixed(1)},${down(answer).toFixed(1)}`).join(" "));
        line.classList.toggle("chosen", each === map);
      });
      svg.append(lines[map], at, dot);
      at.setAttribute("x1", across(shares[step]));
      at.setAttribute("x2", across(shares[step]));
      dot.style.setProperty("--curve", looks[map][0]);
      dot.setAttribute("cx", across(shares[step]));
      dot.setAttribute("cy", down(curves[map][step]));
    }
    return { svg, draw };
  }

  return { make, swatch };
})();
