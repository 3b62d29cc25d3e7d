"use strict";

// Plots. Each is given a view box, by which a sheet of paper scales it.
const figures = JSON.parse(document.getElementById("figures").textContent);
const touch = matchMedia("(pointer: coarse)").matches;

function fit(plot) {
  for (const svg of plot.querySelectorAll(".main-svg")) {
    svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
  }
}

for (const [name, figure] of Object.entries(figures)) {
  const plot = document.getElementById(`plot-${name}`);
  if (!plot) continue;
  if (touch) figure.layout.dragmode = false; // a finger scrolls the page
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d"],
  };
  Plotly.newPlot(plot, figure.data, figure.layout, options).then(() => {
    plot.on("plotly_afterplot", () => fit(plot));
    fit(plot);
    plot.dataset.drawn = "true";
  });
}

// Tables whose headings are buttons are sorted by them: numbers by size, text by letters.
function compare(a, b) {
  if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1; // what is not known comes last
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

function sort(table, heading) {
  const column = [...heading.parentNode.children].indexOf(heading);
  const downwards = heading.dataset.first === "down";
  const now = heading.getAttribute("aria-sort");
  const order = now ? (now === "ascending" ? "descending" : "ascending")
    : downwards ? "descending" : "ascending";
  for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const value = (row) => row.children[column].dataset.value;
  const rows = [...table.tBodies[0].rows].sort((one, two) => {
    const [a, b] = [value(one), value(two)];
    const known = a !== "" && b !== "";
    return compare(a, b) * (order === "descending" && known ? -1 : 1);
  });
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[0].cells) {
    heading.querySelector("button")?.addEventListener("click", () => sort(table, heading));
  }
}

// Commands are copied by a click, where the browser allows it to a file.
for (const button of document.querySelectorAll("button.copy")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "copied";
  });
}
