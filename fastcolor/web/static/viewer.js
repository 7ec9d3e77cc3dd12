// One picture: before and after, zoom to pixels, colours live.

import { ask, guide, repaint, send } from "./api.js";
import { closeFilm, openFilm, splitFilm, whenDragged } from "./film.js";
import { Hints } from "./hints.js";
import { readProject, saveProject } from "./project.js";
import { showShots, whenChosen } from "./shots.js";
import { current, focus, items, shown } from "./grid.js";

const $ = (id) => document.getElementById(id);
const main = document.querySelector("main");
const stage = $("stage"), canvas = $("canvas"), over = $("over");
const images = { before: $("before"), after: $("after") };
const parts = { before: $("part-before"), after: $("part-after") };

let item = null;
let look = null;
let view = { scale: 1, x: 0, y: 0 }; // screen pixels a pixel of the picture, and where its corner lies
let split = 0.5;
let say = () => {};
let shownAddress = "";
let shot = null; // the number of the film's shot that is chosen
let known = 0; // the newest revision that is on the screen

export function whenTold(handle) {
  say = handle;
}

export const opened = () => item?.id;

export const hints = new Hints({
  changed(list) {
    look = { ...look, hints: list };
    paint();
  },
  place: (x, y) => ask(`api/items/${item.id}/suggestions?x=${x}&y=${y}`),
  say: (words) => say(words),
});

const isFilm = () => item?.kind === "film";

export function openItem(id) {
  item = items.get(id);
  look = structuredClone(item.look);
  shot = null;
  $("viewer").hidden = false;
  $("stage").hidden = $("stage-help").hidden = $("zoom").hidden = isFilm();
  $("film").hidden = !isFilm();
  main.classList.add("viewing");
  current(id);
  $("viewer-name").textContent = item.name;
  controls();
  facts();
  if (isFilm()) {
    $("hints").hidden = $("guide").hidden = true;
    showShots(item, look, shot);
    openFilm(item);
    $("play").focus({ preventScroll: true });
    $("viewer").scrollIntoView({ block: "nearest" });
    return;
  }
  closeFilm();
  known = item.revision;
  $("guide").hidden = false;
  images.before.src = `api/items/${id}/before.jpg`;
  showAfter(`api/items/${id}/after.jpg?v=${item.revision}`);
  hints.open(look.hints, item.hints, item.width / item.height);
  fit();
  stage.focus({ preventScroll: true });
  $("viewer").scrollIntoView({ block: "nearest" });
}

export function closeViewer() {
  if (!item) return;
  const id = item.id;
  item = null;
  clearTimeout(waiting);
  closeFilm();
  $("viewer").hidden = true;
  main.classList.remove("viewing");
  current(null);
  focus(id);
}

/** What another page or the server changed. */
export function refreshed(changed) {
  if (changed.id !== item?.id) return;
  const older = item.revision;
  item = changed;
  facts();
  if (isFilm()) {
    if (item.look.shots.length !== look.shots.length) look = structuredClone(item.look);
    showShots(item, look, shot);
    return item.revision !== older && openFilm(item);
  }
  if (painting || item.revision <= known) return; // our own doing
  known = item.revision;
  look = structuredClone(item.look); // of another tab, or with another picture's colours
  controls();
  hints.open(look.hints, item.hints, item.width / item.height);
  showAfter(`api/items/${item.id}/after.jpg?v=${item.revision}`);
  sharpen();
}

// Colours of another picture

let guiding = null;

export async function useGuide(file) {
  const { id } = item;
  say(`${file.name}: its colours are looked at …`);
  try {
    guiding = guide(id, file);
    refreshed(await guiding);
    say("");
  } catch (error) {
    say(error.message);
  }
}

$("guide-file").addEventListener("change", () => {
  const [file] = $("guide-file").files;
  if (file) useGuide(file);
  $("guide-file").value = "";
});
$("guide-off").addEventListener("click", () => {
  look = { ...look, guide: "" };
  paint();
});

function facts() {
  const words = [`${item.width} × ${item.height}`];
  if (item.seconds) words.push(`${clock(item.seconds)}, ${item.frames} frames`);
  if (isFilm()) words.push(item.sound ? "with sound" : "without sound");
  if (item.progress) words.push(`preview: ${far(item.progress)}`);
  if (item.words) words.push(item.words);
  if (item.frames > 1 && !isFilm()) words.push(`${item.frames} frames or pages, the first is shown`);
  if (item.doubt != null) words.push(`network's doubt ${item.doubt.toFixed(1)} ab units`);
  if (item.colored) words.push("was in colour before");
  words.push(...(item.notes ?? []));
  $("facts").textContent = words.join(" · ");
  const guides = { version: "It shows the same: its colours are taken, aligned.", similar: "What looks alike gets its colours." };
  $("guide-told").textContent = [guides[item.look.guide], ...(item.said ?? [])].filter(Boolean).join(" ");
  $("guide-off").hidden = !item.look.guide;
  for (const button of document.querySelectorAll("[data-mark]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mark === item.mark));
  }
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** How far a film is, in words. */
export function far({ done, total, fps, left }) {
  if (done === undefined) return "begins";
  const words = [total ? `${done} of ${total} frames` : `${done} frames`];
  if (fps) words.push(`${fps} a second`);
  if (left != null) words.push(`${clock(left)} left`);
  return words.join(", ");
}

// Colours

function showAfter(address) {
  images.after.src = address;
  if (shownAddress.startsWith("blob:")) URL.revokeObjectURL(shownAddress);
  shownAddress = address;
}

let painting = null, wanted = null;

/** Ask for the picture as `look` says; while one answer is awaited only the newest wish is kept. */
function paint() {
  if (isFilm()) return preview();
  wanted = { id: item.id, look: structuredClone(look) };
  painting ??= paintAll();
}

async function paintAll() {
  while (wanted) {
    const { id, look } = wanted;
    wanted = null;
    try {
      const { address, revision } = await repaint(id, look);
      if (item?.id === id) {
        known = Math.max(known, revision);
        showAfter(address);
        await images.after.decode().catch(() => {});
        say("");
      }
    } catch (error) {
      say(error.message);
    }
  }
  painting = null;
  stage.dataset.painted = String(Number(stage.dataset.painted ?? 0) + 1);
  sharpen();
}

let soon = 0, resting = null;

/** A film's preview takes seconds: it begins when the sliders rest. */
function preview() {
  const { id } = item;
  const asked = { ...structuredClone(look), shot };
  resting = () => {
    clearTimeout(soon);
    resting = null;
    return send(`api/items/${id}/preview`, "POST", asked).catch((error) => say(error.message));
  };
  clearTimeout(soon);
  soon = setTimeout(resting, 600);
}

/** Once the server knows the colours that were chosen last. */
export async function painted() {
  await guiding?.catch(() => {}); // which is told where it was sent
  await resting?.();
  await painting;
}

const LIVE = {
  saturation: { read: Number, tell: (value) => value.toFixed(2) },
  temperature: { read: Number, tell: (value) => (value === null ? "its own" : value.toFixed(2)) },
  detail: { read: Number, tell: (value) => (value === null ? "its own" : String(value)) },
};

const USUAL = { saturation: 1, temperature: 0.4, detail: 256 };

/** What the sliders act on: the chosen shot, else the whole. */
const ofShot = (name) => shot !== null && name !== "detail";

function controls() {
  for (const [name, { tell }] of Object.entries(LIVE)) {
    const value = ofShot(name) ? look.shots[shot][name] : look[name];
    $(name).value = value ?? look[name] ?? item.own?.[name] ?? USUAL[name]; // where the network's own lies
    $(`${name}-value`).textContent = value === null && ofShot(name) ? "the film's" : tell(value);
  }
}

function set(name, value) {
  if (!ofShot(name)) look = { ...look, [name]: value };
  else look = { ...look, shots: look.shots.map((one, at) => (at === shot ? { ...one, [name]: value } : one)) };
  if (isFilm()) showShots(item, look, shot);
}

for (const [name, { read, tell }] of Object.entries(LIVE)) {
  $(name).addEventListener("input", () => {
    set(name, read($(name).value));
    $(`${name}-value`).textContent = tell(read($(name).value));
    paint();
  });
}
$("own").addEventListener("click", () => {
  for (const [name, value] of [["temperature", null], ["saturation", 1], ["detail", null]]) {
    if (shot === null || ofShot(name)) set(name, value);
  }
  controls();
  paint();
});

// A film's shots, and what was said as a file

whenChosen((number) => {
  shot = number;
  controls();
  showShots(item, look, shot);
  preview();
});
$("find-shots").addEventListener("click", async () => {
  const { id } = item;
  $("shots-told").textContent = "The film is looked through …";
  try {
    refreshed(await ask(`api/items/${id}/shots`, { method: "POST" }));
  } catch (error) {
    say(error.message);
  }
  $("shots-told").textContent = "";
});
$("save-project").addEventListener("click", () => saveProject(item, look));
$("open-project").addEventListener("change", async () => {
  const [file] = $("open-project").files;
  $("open-project").value = "";
  try {
    look = { ...look, ...(await readProject(file, item)) };
    shot = null;
    controls();
    if (isFilm()) showShots(item, look, shot);
    else hints.open(look.hints, item.hints, item.width / item.height);
    paint();
  } catch (error) {
    say(error.message);
  }
});

// Before and after

export function setSplit(value) {
  split = Math.min(Math.max(value, 0), 1);
  $("split").value = Math.round(split * 100);
  splitFilm(split);
  place();
}
whenDragged(setSplit);
$("split").addEventListener("input", () => setSplit($("split").value / 100));

// Zoom

const smallest = () => Math.min(stage.clientWidth / item.width, stage.clientHeight / item.height);

export function fit() {
  const scale = smallest();
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
  if (!item || isFilm()) return;
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
function sharpen() {
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
addEventListener("resize", () => item && !isFilm() && fit());
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

// Going through the pictures, and judging them

export function step(by) {
  const ids = shown().filter((id) => items.get(id)?.state === "ready");
  const at = ids.indexOf(item?.id);
  const next = ids[at + by];
  return at >= 0 ? next : undefined;
}

export async function judge(mark) {
  if (!item) return;
  const { id } = item;
  try {
    await send(`api/items/${id}/mark`, "PUT", { mark: item.mark === mark ? "" : mark });
  } catch (error) {
    say(error.message);
  }
}
for (const button of document.querySelectorAll("[data-mark]")) {
  button.addEventListener("click", () => judge(button.dataset.mark));
}
