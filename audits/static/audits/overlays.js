// With a script, a slider takes the place of the three steps for how strongly attributions cover the pictures.
"use strict";

for (const overlays of document.querySelectorAll(".overlays")) {
  const slide = overlays.querySelector(".slide");
  const range = slide.querySelector("input");
  const told = slide.querySelector("output");
  const show = () => {
    told.textContent = `${range.value} %`;
    for (const over of overlays.querySelectorAll(".over")) {
      over.style.opacity = range.value / 100;
    }
  };
  overlays.querySelector(".steps").hidden = true;
  slide.hidden = false;
  range.addEventListener("input", show);
  show();
}
