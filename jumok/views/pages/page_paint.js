"use strict";
/* Turns weights into colours on a canvas, as the Python side does (raster.py gives the tables and the opacities). */
const Paint = (palette) => {
  const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  const tables = { sequential: bytesOf(palette.sequential), diverging: bytesOf(palette.diverging) };

  /* [red, green, blue] of a share of the largest weight; maps with both signs have 0 in the middle. */
  function colour(share, signed) {
    const bounded = Math.min(Math.max(share, signed ? -1 : 0), 1);
    const start = 3 * Math.round(255 * (signed ? (bounded + 1) / 2 : bounded));
    return (signed ? tables.diverging : tables.sequential).subarray(start, start + 3);
  }

  function opacity(share) {
    return palette.strongest * Math.min(Math.abs(share), 1) ** palette.power;
  }

  /* Draws shares (rows x columns), one pixel each; `strength` 0..1 lets the image through, null hides it. */
  function paint(canvas, shares, rows, columns, signed, strength) {
    const picture = new ImageData(columns, rows);
    shares.forEach((share, pixel) => {
      picture.data.set(colour(share, signed), 4 * pixel);
      picture.data[4 * pixel + 3] = strength === null ? 255 : Math.round(255 * strength * opacity(share));
    });
    canvas.width = columns;
    canvas.height = rows;
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  /* Draws the patches of a row of weights (keys), with `limit` as the end of the colours. Over an image, single pixels
     could not be seen: they are blurred, and the colours end at the largest of that, which is returned; else null. */
  function heat(canvas, about, row, limit, strength) {
    const { rows, columns, special, pixels } = about.keys;
    const places = row.subarray(special.length);
    const grain = pixels && strength !== null ? blur(places, rows, columns) : null;
    const end = grain && 2 * largest(grain) < largest(places) ? largest(grain) : null;
    const top = end ?? limit;
    paint(canvas, (end === null ? places : grain).map((weight) => (top ? weight / top : 0)), rows, columns, about.zero > 0, strength);
    return end;
  }

  /* Blurs a grid as raster.py does. */
  function blur(places, rows, columns) {
    const width = palette.grain * Math.max(rows, columns);
    const reach = Math.ceil(4 * width);
    const bell = Array.from({ length: 2 * reach + 1 }, (_, step) => Math.exp(-((step - reach) ** 2) / (2 * width * width)));
    const whole = bell.reduce((sum, weight) => sum + weight);
    const along = (from, count, stride, starts) => {
      const to = new Float32Array(from.length);
      for (const start of starts) for (let at = 0; at < count; at++) {
        let sum = 0;
        for (let step = Math.max(-reach, -at); step <= Math.min(reach, count - 1 - at); step++)
          sum += bell[step + reach] * from[start + (at + step) * stride];
        to[start + at * stride] = sum / whole;
      }
      return to;
    };
    const across = along(places, columns, 1, Array.from({ length: rows }, (_, row) => row * columns));
    return along(across, rows, columns, Array.from({ length: columns }, (_, column) => column));
  }

  /* Where the colours of a row (keys) end, and why: at its largest weight; at 1, of gates; of a row that prefers nothing
     beyond its largest weight, so that no place has a strong colour. */
  function end(about, row) {
    const places = row.subarray(about.keys.special.length);
    const top = largest(places);
    if (about.zero) return { limit: top, how: "largest" };
    if (about.scale === "gate" || about.scale === "mask") return top <= 1 ? { limit: 1, how: "one" } : { limit: top, how: "largest" };
    const even = (palette.even * places.reduce((sum, weight) => sum + weight, 0)) / (places.length || 1);
    return places.length >= palette.few && top < even ? { limit: even, how: "even" } : { limit: top, how: "largest" };
  }

  function ramp(canvas, signed) {
    const shares = Float64Array.from({ length: 256 }, (_, step) => (signed ? step / 127.5 - 1 : step / 255));
    paint(canvas, shares, 1, 256, signed, null);
  }

  /* Cells of a grid, as shares of the largest. */
  const cells = (canvas, shares, rows, columns, signed) => paint(canvas, shares, rows, columns, signed, 1);

  return { colour, heat, end, ramp, cells };
};
