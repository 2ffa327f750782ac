"use strict";
/* Unpacks the layers that packed_rows.py packed: all weights of one head, or of the mean over heads, as one block. */
const Rows = (() => {
  async function unpack(text, about) {
    if (!about.form) return { about, dense: await Maps.unpack(text, about) };
    const bytes = await Maps.inflate(text);
    const rows = about.heads * about.queries;
    const peaks = new Float32Array(bytes, 0, rows);
    const places = new Uint16Array(bytes, 4 * rows, rows * about.kept);
    return { about, peaks, places, codes: new Uint8Array(bytes, 4 * rows + 2 * rows * about.kept) };
  }

  /* How many heads can be chosen; 0: the mean alone is there. */
  const heads = (about) => (about.form ? about.heads - 1 : about.heads);

  function fill({ about, peaks, places, codes }, head) {
    const { queries, keys, kept } = about;
    const weights = new Float32Array(queries * keys);
    const first = (head === Maps.MEAN ? about.heads - 1 : head) * queries;
    for (let query = 0; query < queries; query++) {
      for (let number = 0; number < kept; number++) {
        const at = (first + query) * kept + number;
        weights[query * keys + places[at]] = (peaks[first + query] * codes[at]) / 255;
      }
    }
    return weights;
  }

  /* (queries x keys), row by row. */
  function matrix(block, head, queries, keys) {
    if (!block.dense) return fill(block, head);
    const weights = new Float32Array(queries * keys);
    for (let query = 0; query < queries; query++) weights.set(Maps.rowOf(block.dense, head, query), query * keys);
    return weights;
  }

  return { unpack, heads, matrix };
})();
