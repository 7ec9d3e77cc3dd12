// The stage: a picture before and after, moved, enlarged to its pixels, and clicked on.

const $ = (id) => document.getElementById(id);
const stage = $("stage"), canvas = $("canvas"), over = $("over");
const parts = { before: $("part-before"), after: $("part-after") };

let item = null;
let view = { scale: 1, x: 0, y: 0 }; // screen pixels a pixel of the picture, and where its corner lies
let split = 0.5;
let hints = null, splitFilm = () => {};

/** given: the hints that are set here, and what moves a film's line. */
export function attach(given) {
  ({ hints, splitFilm } = given);
}

/** Show another picture, or the same with other facts; null: none. */
export function onStage(picture) {
  const other = picture?.id !== item?.id;
  item = picture;
  if (!item) clearTimeout(waiting);
  else if (other) fit();
}

// Before and after

export function setSplit(value) {
  split = Math.min(Math.max(value, 0), 1);
  $("split").value = Math.round(split * 100);
  splitFilm(split);
  place();
}
$("split").addEventListener("input", () => setSplit($("split").value / 100));

// Zoom

const smallest = () => Math.min(stage.clientWidth / item.width, stage.clientHeight / item.height);

export function fit() {
  const scale = smallest();
  fitting = scale;
  view = {
    scale,
    x: (stage.clientWidth - item.width * scale) / 2,
    y: (stage.clientHeight - item.height * scale) / 2,
  };
  place();
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const scale = Math.min(Math.max(view.scale * factor, smallest()), Math.max(16, smallest()));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  place();
}

function move(x, y) {
  view.x += x;
  view.y += y;
  place();
}

/** Put everything where the view says; the picture never leaves the stage. */
function place() {
  if (!item) return;
  const width = item.width * view.scale, height = item.height * view.scale;
  const within = (at, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at)));
  view.x = within(view.x, width, stage.clientWidth);
  view.y = within(view.y, height, stage.clientHeight);
  canvas.style.transform = `translate(${view.x}px, ${view.y}px)`;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const left = split * stage.clientWidth;
  over.style.clipPath = `inset(0 0 0 ${Math.min(Math.max(left - view.x, 0), width)}px)`;
  $("line").style.left = `${left - 1}px`;
  hints.cross();
  sharpen();
}

let waiting = 0;

/** Where the screen shows more than the screen picture has, fetch that part of the whole one. */
export function sharpen() {
  clearTimeout(waiting);
  for (const part of Object.values(parts)) part.hidden = true;
  if (!item || view.scale <= Math.max(smallest(), 1600 / Math.max(item.width, item.height))) return;
  waiting = setTimeout(async () => {
    const { id, revision } = item;
    const left = Math.max(0, Math.floor(-view.x / view.scale)), top = Math.max(0, Math.floor(-view.y / view.scale));
    const right = Math.min(item.width, Math.ceil((stage.clientWidth - view.x) / view.scale));
    const bottom = Math.min(item.height, Math.ceil((stage.clientHeight - view.y) / view.scale));
    if (right - left > 2400 || bottom - top > 2400) return;
    for (const which of ["before", "after"]) {
      const part = parts[which];
      part.src = `api/items/${id}/${which}/part.jpg?left=${left}&top=${top}&right=${right}&bottom=${bottom}&v=${revision}`;
      try {
        await part.decode();
      } catch {
        return;
      }
      if (item?.id !== id) return;
      part.style.left = `${(100 * left) / item.width}%`;
      part.style.top = `${(100 * top) / item.height}%`;
      part.style.width = `${(100 * (right - left)) / item.width}%`;
      part.style.height = `${(100 * (bottom - top)) / item.height}%`;
      part.style.imageRendering = view.scale >= 2 ? "pixelated" : "auto";
      part.hidden = false;
    }
  }, 200);
}

$("in").addEventListener("click", () => zoom(1.5));
$("out").addEventListener("click", () => zoom(1 / 1.5));
$("fit").addEventListener("click", fit);
$("pixels").addEventListener("click", () => zoom(1 / view.scale / devicePixelRatio));
let fitting = 0; // the scale at which the whole picture was shown in the stage as it was
new ResizeObserver(() => {
  if (!item) return;
  const whole = view.scale <= fitting * 1.001;
  fitting = smallest();
  whole || view.scale < fitting ? fit() : place();
}).observe(stage);
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = stage.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

// Pointers: one moves the picture, the line, or paints hints; two zoom

const pointers = new Map();
let doing = "";

function at(event) {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

const inPicture = ([x, y]) => [(x - view.x) / view.scale / item.width, (y - view.y) / view.scale / item.height];

stage.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  const place = at(event);
  pointers.set(event.pointerId, place);
  stage.setPointerCapture(event.pointerId);
  if (pointers.size === 2) {
    hints.drop();
    doing = "zoom";
  } else if (hints.on) {
    doing = "hint";
    hints.begin(...inPicture(place));
  } else {
    doing = Math.abs(place[0] - split * stage.clientWidth) < 24 ? "split" : "move";
  }
});

stage.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = at(event);
  if (doing === "zoom" && pointers.size === 2) {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    zoom(distance(now, other) / Math.max(distance(before, other), 1), ...other);
  } else if (doing === "hint") hints.extend(...inPicture(now));
  else if (doing === "split") setSplit(now[0] / stage.clientWidth);
  else if (doing === "move") move(now[0] - before[0], now[1] - before[1]);
  pointers.set(event.pointerId, now);
});

for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (doing === "hint") end === "pointerup" ? hints.end() : hints.drop();
    if (pointers.size === 0) doing = "";
  });
}

stage.addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 80 : 20;
  const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  if (event.key in arrows) {
    const [x, y] = arrows[event.key];
    if (hints.on) hints.nudge((-x * step) / view.scale / item.width / 2, (-y * step) / view.scale / item.height / 2);
    else move(x * step, y * step);
  } else if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-") zoom(1 / 1.25);
  else if (event.key === "0") fit();
  else if (event.key === "Enter" && hints.on) hints.atCross();
  else return;
  event.preventDefault();
});
