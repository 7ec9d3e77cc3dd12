// Colours that somebody knows, set on the picture by a click, a stroke or the keyboard.

const $ = (id) => document.getElementById(id);
const stage = $("stage"), marks = $("marks");
const MOST_POINTS = 60; // of a stroke

let shown = null, list = [], past = [], future = [], stroke = null, on = false, keyboard = false, cross = [0.5, 0.5];
let changed = () => {};

/** Have the picture take hints. handle: gets the new list. */
export function allowHints(handle) {
  changed = handle;
  $("hints").hidden = false;
  stage.tabIndex = 0;
  const said = { role: "application", "aria-label": "Picture, before and after", "aria-describedby": "help" };
  for (const [name, value] of Object.entries(said)) stage.setAttribute(name, value);
}

/** Show the hints of the picture `id`; that of another begins a new history. */
export function openHints(id, hints) {
  if (id !== shown) [shown, list, past, future, cross] = [id, hints, [], [], [0.5, 0.5]];
  stroke = null;
  show();
}

function become(next) {
  past.push(list);
  future = [];
  set(next);
}

function set(next) {
  list = next;
  show();
  changed(list);
}

function step(from, to) {
  if (!from.length) return;
  to.push(list);
  set(from.pop());
}

/** Where the picture lies in the stage, in pixels: its width is the stage's or its height is. */
function place() {
  const { width, height } = $("after");
  const box = $("after").getBoundingClientRect(), outer = stage.getBoundingClientRect();
  const scale = Math.min(box.width / width, box.height / height);
  const size = [width * scale, height * scale];
  return { size, corner: [box.left - outer.left + (box.width - size[0]) / 2, box.top - outer.top + (box.height - size[1]) / 2], outer };
}

function show() {
  const { size: [width, height], corner: [left, top] } = place();
  Object.assign(marks.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  const dots = [...list, ...(stroke ? [stroke] : [])].flatMap(({ points, color, radius }) => points.map(([x, y]) => {
    const dot = document.createElement("span"), side = `${2 * radius * Math.min(width, height)}px`;
    Object.assign(dot.style, { left: `${100 * x}%`, top: `${100 * y}%`, width: side, height: side, background: color });
    return dot;
  }));
  if (on && keyboard) { // who points needs none
    const dot = Object.assign(document.createElement("span"), { className: "cross" });
    Object.assign(dot.style, { left: `${100 * cross[0]}%`, top: `${100 * cross[1]}%` });
    dots.push(dot);
  }
  marks.replaceChildren(...dots);
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  $("clear").disabled = !list.length;
}
addEventListener("resize", () => $("viewer").hidden || show());

function begin(at) {
  stroke = { points: [at], color: $("color").value, radius: Number($("radius").value) };
}

function end() {
  const every = Math.ceil(stroke.points.length / MOST_POINTS);
  const done = { ...stroke, points: stroke.points.filter((_, index) => index % every === 0) };
  stroke = null;
  become([...list, done]);
}

function at(event) {
  const { size, corner, outer } = place();
  const found = [(event.clientX - outer.left - corner[0]) / size[0], (event.clientY - outer.top - corner[1]) / size[1]];
  return found.every((value) => value >= 0 && value <= 1) ? found : null;
}
stage.addEventListener("pointerdown", (event) => {
  const found = on && event.button === 0 && at(event);
  if (!found) return;
  stage.setPointerCapture(event.pointerId);
  begin(found);
  show();
});
stage.addEventListener("pointermove", (event) => {
  const found = stroke && at(event);
  if (!found) return;
  const last = stroke.points.at(-1), { size } = place();
  const gone = Math.hypot((found[0] - last[0]) * size[0], (found[1] - last[1]) * size[1]);
  if (gone < (stroke.radius * Math.min(...size)) / 2) return;
  stroke.points.push(found);
  show();
});
stage.addEventListener("pointerup", () => stroke && end());
stage.addEventListener("pointercancel", () => {
  stroke = null;
  show();
});
stage.addEventListener("keydown", (event) => {
  if (!on) return;
  const by = event.shiftKey ? 0.08 : 0.02;
  const arrows = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
  if (event.key in arrows) {
    keyboard = true;
    cross = cross.map((value, axis) => Math.min(Math.max(value + arrows[event.key][axis], 0), 1));
  } else if (event.key === "Enter") {
    begin(cross);
    return end();
  } else return;
  event.preventDefault();
  show();
});

$("hint-mode").addEventListener("click", (event) => {
  on = !on;
  keyboard = event.detail === 0; // by Enter or the space bar
  $("hint-mode").setAttribute("aria-pressed", String(on));
  stage.classList.toggle("hinting", on);
  show();
});
$("undo").addEventListener("click", () => step(past, future));
$("redo").addEventListener("click", () => step(future, past));
$("clear").addEventListener("click", () => become([]));
addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || $("viewer").hidden || $("hints").hidden || event.key.toLowerCase() !== "z") return;
  event.shiftKey ? step(future, past) : step(past, future);
  event.preventDefault();
});
