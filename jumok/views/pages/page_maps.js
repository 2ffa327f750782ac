"use strict";
/* Unpacks the maps that packed_maps.py packed, and finds places on their axes. Knows nothing of the page. */
const Maps = (() => {
  const MEAN = -1; // instead of a head: the mean over them
  const NOUNS = { patch: Parts.translate("patch"), place: Parts.translate("place") };

  // -- unpacking --------------------------------------------------------------------------------

  async function inflate(text) {
    if (typeof DecompressionStream === "undefined") {
      throw new Error(Parts.translate("this browser is too old (Chrome 103, Firefox 113 and Safari 16.4 are new enough)"));
    }
    const packed = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Response(stream).arrayBuffer();
  }

  const length = (grid) => grid.special.length + grid.rows * grid.columns;

  /* A map from its deflated text and what the page knows about it. */
  async function unpack(text, about) {
    const bytes = await inflate(text);
    const queries = length(about.queries);
    const rows = about.heads * queries;
    const spreads = about.spread ? rows + (about.heads > 1 ? queries : 0) : 0;
    let offset = 0;
    const take = (Type, count) => {
      const part = new Type(bytes, offset, count);
      offset += part.byteLength;
      return part;
    };
    return {
      about, queries,
      patches: about.keys.rows * about.keys.columns,
      peaks: take(Float32Array, rows),
      special: take(Float32Array, rows * about.keys.special.length),
      spread: take(Uint16Array, spreads),
      codes: take(Uint8Array, rows * about.keys.rows * about.keys.columns),
    };
  }

  /* Adds one row of weights, times `share`, to `sum` (keys). */
  function addRow(map, head, query, share, sum) {
    const { about, peaks, special, codes, patches } = map;
    const row = head * map.queries + query;
    const specials = about.keys.special.length;
    const step = (share * peaks[row]) / (255 - about.zero);
    for (let key = 0; key < specials; key++) sum[key] += share * special[row * specials + key];
    for (let patch = 0; patch < patches; patch++) {
      sum[specials + patch] += step * (codes[row * patches + patch] - about.zero);
    }
  }

  /* One row of weights (keys), of one head or the mean over them. */
  function rowOf(map, head, query) {
    const { heads } = map.about;
    const sum = new Float64Array(length(map.about.keys));
    if (head !== MEAN) addRow(map, head, query, 1, sum);
    else for (let each = 0; each < heads; each++) addRow(map, each, query, 1 / heads, sum);
    return sum;
  }

  /* In nats, or null where it means nothing. */
  function entropyOf(map, head, query) {
    const { about, spread, queries } = map;
    if (!about.spread) return null;
    const row = head !== MEAN ? head : about.heads > 1 ? about.heads : 0;
    return (spread[row * queries + query] / 65535) * Math.log(length(about.keys));
  }

  /* The largest weight by size, among the patches. */
  const largest = (row, start) => row.subarray(start).reduce((top, weight) => Math.max(top, Math.abs(weight)), 0);

  /* The key with the largest weight. */
  function best(row, start = 0) {
    return row.reduce((top, weight, key) => (key > start && weight > row[top] ? key : top), start);
  }

  // -- places -----------------------------------------------------------------------------------
  // Who looks, or what the cursor is on: the summary, a special token by name, or a patch by the centre of its cell
  // in [0, 1], so that it stays where it is when layers differ in their grids.

  /* The part of the image that a grid covers. */
  function frameOf({ frame: [top, left, bottom, right] = [0, 0, 1, 1] }) {
    return { top, left, height: bottom - top, width: right - left };
  }

  function cell(grid, place) {
    const { top, left, height, width } = frameOf(grid);
    const clamp = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    return { row: clamp((place.y - top) / height, grid.rows), column: clamp((place.x - left) / width, grid.columns) };
  }

  function centre(grid, row, column) {
    const { top, left, height, width } = frameOf(grid);
    return { kind: "patch", y: top + ((row + 0.5) / grid.rows) * height, x: left + ((column + 0.5) / grid.columns) * width };
  }

  /* Whether a place of the image is one that a grid covers. */
  function covers(grid, { y, x }) {
    const { top, left, height, width } = frameOf(grid);
    return y >= top && y < top + height && x >= left && x < left + width;
  }

  /* The index of a place on an axis, or -1 if the axis hasn't got it. */
  function indexIn(grid, place) {
    if (!place || place.kind === "summary") return -1;
    if (place.kind === "special") return grid.special.indexOf(place.name);
    if (!grid.rows || (grid.frame && !covers(grid, place))) return -1;
    const { row, column } = cell(grid, place);
    return grid.special.length + row * grid.columns + column;
  }

  function placeAt(grid, index) {
    const patch = index - grid.special.length;
    if (patch < 0) return { kind: "special", name: grid.special[index] };
    return centre(grid, Math.floor(patch / grid.columns), patch % grid.columns);
  }

  function labelOf(grid, index) {
    if (index < grid.special.length) return grid.special[index];
    return `${NOUNS[grid.noun ?? "patch"]} ${positionOf(grid, index - grid.special.length).join()}`;
  }

  /* Row and column of a patch; of what has no patches, those of the pixel in its middle. */
  function positionOf(grid, patch) {
    const row = Math.floor(patch / grid.columns), column = patch % grid.columns;
    if (!grid.pixels) return [row, column];
    const { y, x } = centre(grid, row, column);
    return [Math.floor(y * grid.pixels[0]), Math.floor(x * grid.pixels[1])];
  }

  /* Whether two places are one on this grid. */
  function same(grid, one, other) {
    if (!one || !other || one.kind !== other.kind) return false;
    return one.kind === "patch" ? indexIn(grid, one) === indexIn(grid, other) : one.name === other.name;
  }

  return { MEAN, inflate, unpack, length, rowOf, entropyOf, largest, best, frameOf, cell, centre, indexIn, placeAt, labelOf, same };
})();
