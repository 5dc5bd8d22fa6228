// Redraws each chart of the report from its Vega-Lite specification, so that a pointer shows the numbers of a mark.
// The drawing made on the server stays in the page: it is the first paint, and what is printed. Nothing is fetched, and
// expressions are interpreted rather than compiled, so the page needs no permission to evaluate code.
const specs = JSON.parse(document.getElementById("assay-specs").textContent);
const fetchNothing = {
  load: () => Promise.reject(new Error("A report loads nothing.")),
  sanitize: () => Promise.reject(new Error("A report links nowhere.")),
};

for (const figure of document.querySelectorAll("[data-spec]")) {
  const spec = specs[figure.dataset.spec];
  const drawing = figure.querySelector(".drawing");
  if (!spec || !drawing) continue;
  const view = document.createElement("div");
  view.className = "chart live-view";
  vegaEmbed(view, spec, {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    ast: true,
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true, theme: "assay" },
    config: { mark: { tooltip: true } },
    loader: fetchNothing,
  }).then(
    () => {
      drawing.append(view);
      drawing.classList.add("redrawn");
    },
    () => drawing.classList.add("not-redrawn"),
  );
}
