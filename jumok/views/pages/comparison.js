"use strict";
/* Lays each row's photograph under its cells, once per row, and switches what is shown. */
(() => {
  for (const row of document.querySelectorAll("tr[data-photo]")) {
    for (const shot of row.querySelectorAll(".shot")) {
      const photo = new Image();
      photo.src = row.dataset.photo;
      photo.alt = "";
      photo.className = "photo";
      shot.style.aspectRatio = row.dataset.ratio;
      shot.prepend(photo);
    }
  }
  const [over, , alone] = document.querySelectorAll("[name=show]");
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "i" || event.altKey || event.ctrlKey || event.metaKey) return;
    (alone.checked ? over : alone).click();
  });
  for (const input of document.querySelectorAll("[name=show]")) {
    input.addEventListener("change", () => { document.body.dataset.show = input.value; });
  }
})();
