// One picture or film: its colours live, hints, shots, and what it is called.

import { ask, download, guide, keyFrame, openProject, reference, repaint, send } from "./api.js";
import { closeFilm, openFilm, pause, second, splitFilm, stepFrame, whenUsed } from "./film.js";
import { showFacts } from "./facts.js";
import { Hints } from "./hints.js";
import { pictured, showPictures, showShots, whenChosen } from "./shots.js";
import { attach, onStage, setSplit, sharpen } from "./stage.js";
import { current, focus, items, shown } from "./grid.js";

const $ = (id) => document.getElementById(id);
const main = document.querySelector("main");
const stage = $("stage");
const images = { before: $("before"), after: $("after") };

let item = null;
let look = null;
let say = () => {};
let shownAddress = "";
let shot = null; // the number of the film's shot that is chosen
let known = 0; // the newest revision that is on the screen

export function whenTold(handle) {
  say = handle;
}

export const opened = () => item?.id;

const hints = new Hints({
  changed(list, rest) {
    if (shot === null) look = { ...look, hints: list };
    else setShot({ hints: list, ...rest });
    paint();
  },
  place: (x, y, time) => ask(`api/items/${item.id}/suggestions?x=${x}&y=${y}${time === undefined ? "" : `&time=${time}`}`),
  say: (words) => say(words),
});
attach({ hints, splitFilm });

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
  showFacts(item);
  openHints();
  if (isFilm()) {
    onStage(null);
    $("guide").hidden = true;
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
  onStage(item);
  stage.focus({ preventScroll: true });
  $("viewer").scrollIntoView({ block: "nearest" });
}

/** Have the hints of the picture, or of the chosen shot, on the screen. */
function openHints() {
  const aspect = item.width / item.height, of = `${item.id} ${shot ?? ""}`;
  const chosen = shot === null ? null : look.shots[shot];
  $("keys").hidden = !chosen || !item.hints;
  if (!isFilm()) return hints.open({ key: of, list: look.hints, able: item.hints, aspect });
  const on = ["frame", "film-marks", "film-cross"];
  const { hints: list = [], key_frames = {}, references = [] } = chosen ?? {};
  const rest = { key_frames, references };
  hints.open({ key: of, list, rest, able: Boolean(chosen && item.hints), aspect, on, time: () => second(shot) });
  if (chosen) showPictures(rest, becomePictures);
}

export function closeViewer() {
  if (!item) return;
  const id = item.id;
  item = null;
  onStage(null);
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
  showFacts(item);
  if (isFilm()) {
    hints.allow(shot !== null && item.hints);
    if (item.look.shots.length !== look.shots.length) look = structuredClone(item.look);
    showShots(item, look, shot);
    return item.revision !== older && openFilm(item);
  }
  onStage(item);
  hints.allow(item.hints);
  if (painting || item.revision <= known) return; // our own doing
  adopt();
}

/** Show what the server knows: of another tab, of a project, or with another picture's colours. */
function adopt() {
  known = item.revision;
  look = structuredClone(item.look);
  controls();
  openHints();
  if (isFilm()) return showShots(item, look, shot);
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
      if (item?.id === id) chooseNetwork(item.look.weights); // the server kept what it had
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
    return send(`api/items/${id}/preview`, "POST", asked).catch((error) => {
      say(error.message);
      if (item?.id === id) chooseNetwork(item.look.weights);
    });
  };
  clearTimeout(soon);
  soon = setTimeout(resting, 600);
}

addEventListener("pagehide", () => resting?.()); // what was said last is not lost

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
  $("weights").value = look.weights;
}

function set(name, value) {
  if (ofShot(name)) return setShot({ [name]: value });
  look = { ...look, [name]: value };
  if (isFilm()) showShots(item, look, shot);
}

/** Say something else of a shot; of the chosen one, if none is named. */
function setShot(more, number = shot) {
  look = { ...look, shots: look.shots.map((one, at) => (at === number ? { ...one, ...more } : one)) };
  showShots(item, look, shot);
  if (shot !== null) showPictures(look.shots[shot], becomePictures);
}

/** The networks that can be chosen; there is a choice only where more than one is here. */
export function showNetworks({ weights, networks }) {
  const entries = [["", weights], ...networks.map((name) => [name, name])];
  $("weights").replaceChildren(...entries.map(([value, words]) => new Option(words, value)));
  $("networks").hidden = !networks.length;
  if (item) $("weights").value = look.weights;
}

function chooseNetwork(name) {
  look = { ...look, weights: name };
  $("weights").value = name;
}
$("weights").addEventListener("change", () => {
  chooseNetwork($("weights").value);
  paint();
});

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

function choose(number) {
  shot = number;
  controls();
  openHints();
  showShots(item, look, shot);
}
whenChosen((number) => {
  choose(number);
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

/**
 * Give a shot a coloured picture. number: of the shot; else the chosen one. kind: "key", of the frame that is shown, or
 * in another shot of that of its picture; "reference", of what looks alike; or else whichever it is.
 */
export async function useColoured(file, number = shot, kind = "") {
  const { id } = item, chosen = look.shots[number];
  if (!chosen) return say("Choose a shot first.");
  const shown = number === shot ? second(shot) : null;
  const time = shown ?? pictured(item, chosen, number) ?? Math.round(500 * (chosen.start + chosen.end)) / 1000;
  say(`${file.name}: its colours are looked at …`);
  try {
    guiding = kind === "key" ? keyFrame(id, file, time) : reference(id, file, kind ? undefined : time);
    const picture = await guiding, key = picture.startsWith("key-");
    if (item?.id !== id) return;
    if (number !== shot) choose(number);
    const { key_frames, references } = hints.rest;
    hints.become(hints.list, key ? { key_frames: { ...key_frames, [time]: picture }, references }
      : { key_frames, references: [...references, picture] });
    const told = kind === "" && !key;
    say(told ? `${file.name} does not show this frame: what looks alike in the shot gets its colours.` : "");
  } catch (error) {
    say(error.message);
  }
}

function becomePictures(rest) {
  hints.become(hints.list, rest);
}

for (const [id, kind] of [["key-file", "key"], ["reference-file", "reference"]]) {
  $(id).addEventListener("change", () => {
    const [file] = $(id).files;
    if (file) useColoured(file, shot, kind);
    $(id).value = "";
  });
}
$("save-frame").addEventListener("click", () => {
  const time = second(shot);
  if (time === null) say("The preview of this shot is being painted; a moment more.");
  else download(`api/items/${item.id}/frame.png?time=${time}`);
});

let pressed = "";
whenUsed({
  moved() {
    if (isFilm()) hints.show();
  },
  point(kind, x, y) {
    if (kind === "down") {
      pressed = hints.on ? "hint" : "split";
      if (hints.on) pause();
      return hints.on ? hints.begin(x, y) : setSplit(x);
    }
    if (kind === "move") return pressed === "hint" ? hints.extend(x, y) : setSplit(x);
    if (pressed === "hint") kind === "up" ? hints.end() : hints.drop();
    pressed = "";
  },
});
$("screen").addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 0.08 : 0.02;
  const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (hints.on && event.key in arrows) hints.nudge(...arrows[event.key]);
  else if (hints.on && event.key === "Enter") hints.atCross();
  else if (event.key === "," || event.key === ".") stepFrame(event.key === "." ? 1 : -1);
  else return;
  event.preventDefault();
});

$("save-project").addEventListener("click", async () => {
  const { id } = item;
  await painted(); // so that the file has what is on the screen
  download(`api/items/${id}/project`);
});
$("open-project").addEventListener("change", async () => {
  const [file] = $("open-project").files;
  $("open-project").value = "";
  if (!file) return;
  const { id } = item;
  try {
    const opened = await openProject(id, file);
    if (item?.id !== id) return;
    item = opened;
    shot = null;
    adopt();
    say("");
  } catch (error) {
    say(error.message);
  }
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
