"use strict";
/* What is packed stands behind this script, so that the page draws while the browser still reads the file. */
const Blocks = (() => {
  const read = () => document.readyState !== "loading";
  const soon = () => new Promise((done) => setTimeout(done, 10));

  /* The text under a name, once all of it is there; empty where the file has none. */
  async function text(name) {
    for (;;) {
      const ended = read(); // before the look, for it may end between the two
      const element = document.getElementById(name);
      if (element?.nextElementSibling || ended) return element?.textContent ?? "";
      await soon();
    }
  }

  return { text };
})();
