// What came of a study: rates with their intervals, as a plot and as tables.

import { ask } from "./api.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

function row(table, cells) {
  const line = document.createElement("tr");
  for (const cell of cells) line.append(Object.assign(document.createElement("td"), { textContent: cell }));
  $(table).tBodies[0].append(line);
}

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** Rates as dots on lines as long as their intervals. */
function plot(rows) {
  const width = 700, left = 180, right = 660, step = 36;
  const height = 50 + step * rows.length;
  const x = (share) => left + (right - left) * Math.min(share / 0.6, 1);
  const figure = element("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Fooling rates: ${rows.map((one) => `${one.name} ${percent(one.rate)}`).join(", ")}` });
  for (let share = 0; share <= 0.6001; share += 0.1) {
    figure.append(element("line", { class: Math.abs(share - 0.5) < 0.01 ? "half" : "axis", x1: x(share), x2: x(share),
      y1: Math.abs(share - 0.5) < 0.01 ? 8 : height - 34, y2: height - 28 }));
    figure.append(element("text", { x: x(share), y: height - 10, "text-anchor": "middle" }, `${Math.round(100 * share)} %`));
  }
  figure.append(element("line", { class: "axis", x1: left, x2: right, y1: height - 28, y2: height - 28 }));
  rows.forEach((one, index) => {
    const y = 24 + step * index;
    figure.append(element("text", { x: left - 12, y: y + 4, "text-anchor": "end" }, one.name.slice(0, 24)));
    if (one.rate === null) return;
    figure.append(element("line", { class: "bar", x1: x(one.low), x2: x(one.high), y1: y, y2: y }));
    figure.append(element("circle", { class: "dot", cx: x(one.rate), cy: y, r: 6 }));
  });
  $("figure").replaceChildren(figure);
}

async function open() {
  const told = await ask("api/results");
  const time = told.shown_ms;
  $("summary").textContent = `${told.people} ${told.people === 1 ? "person" : "people"}, ${told.answers} answers` +
    (told.left_out ? `, ${told.left_out} left out` : "") +
    (time ? `; pairs were seen for ${Math.round(time.median)} ms (${Math.round(time.from)} to ${Math.round(time.to)})` : "") + ".";
  const rows = [...told.methods, { ...told.random, name: "random colours (control)" }];
  plot(rows);
  for (const one of rows) {
    row("methods", [one.name, one.answers, one.fooled, percent(one.rate), one.rate === null ? "–" : `${percent(one.low)} to ${percent(one.high)}`]);
  }
  const { answers, left } = told.true;
  $("controls").textContent = answers ? `Twice the same photograph: the left one was taken for recoloured in ${left} of ${answers}.` : "";
  const names = told.methods.map((one) => one.name);
  for (const name of names) $("pictures").tHead.rows[0].append(Object.assign(document.createElement("th"), { textContent: name }));
  for (const { name, methods } of told.pictures) {
    row("pictures", [name, ...names.map((one) => (methods[one] ? `${methods[one][0]} of ${methods[one][1]}` : ""))]);
  }
}

open().catch((error) => ($("trouble").textContent = error.message));
