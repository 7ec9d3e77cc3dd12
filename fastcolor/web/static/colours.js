// How a picture, film or shot is to be coloured: sliders and networks, and what comes of them on the screen.

import { repaint, send } from "./api.js";
import { isFilm, open, said, say } from "./open.js";
import { showPictures, showShots } from "./shots.js";
import { sharpen } from "./stage.js";

const $ = (id) => document.getElementById(id);
const after = $("after");

let shownAddress = "";

export function showAfter(address) {
  after.src = address;
  if (shownAddress.startsWith("blob:")) URL.revokeObjectURL(shownAddress);
  shownAddress = address;
}

let painting = null, wanted = null;

export const isPainting = () => painting !== null;

/** Ask for the picture as the look says; while one answer is awaited only the newest wish is kept. */
export function paint() {
  if (isFilm()) return preview();
  wanted = { id: open.item.id, look: structuredClone(open.look), before: said() };
  painting ??= paintAll();
}

async function paintAll() {
  while (wanted) {
    if (open.guided === wanted.id) await open.guiding?.catch(() => {}); // which else would be told that there is none
    const { id, before } = wanted;
    const look = open.item?.id === id ? structuredClone(open.look) : wanted.look;
    wanted = null;
    try {
      const { address, revision } = await repaint(id, look);
      if (open.item?.id === id) {
        open.known = Math.max(open.known, revision);
        showAfter(address);
        await after.decode().catch(() => {});
        if (said() === before) say(""); // what came since is news
      }
    } catch (error) {
      refused(id, error);
    }
  }
  painting = null;
  const { dataset } = $("stage");
  dataset.painted = String(Number(dataset.painted ?? 0) + 1);
  sharpen();
}

function refused(id, error) {
  say(error.message);
  if (open.item?.id === id) chooseNetwork(open.item.look.weights); // the server kept what it had
}

let soon = 0, resting = null;

/** A film's preview takes seconds: it begins when the sliders rest, with what is said by then. */
export function preview() {
  resting ??= () => {
    clearTimeout(soon);
    resting = null;
    const { item: { id }, look, shot } = open;
    return send(`api/items/${id}/preview`, "POST", { ...look, shot }).catch((error) => refused(id, error));
  };
  clearTimeout(soon);
  soon = setTimeout(resting, 600);
}

/** Have a preview that waits for the sliders begin: what was said last is not lost when something else is opened. */
export function hasten() {
  return resting?.();
}
addEventListener("pagehide", hasten);

/** Once the server knows the colours that were chosen last. */
export async function painted() {
  await open.guiding?.catch(() => {}); // which is told where it was sent
  await hasten();
  await painting;
}

// Sliders

const LIVE = {
  saturation: { read: Number, tell: (value) => value.toFixed(2) },
  temperature: { read: Number, tell: (value) => (value === null ? "its own" : value.toFixed(2)) },
  detail: { read: Number, tell: (value) => (value === null ? "its own" : String(value)) },
};

const USUAL = { saturation: 1, temperature: 0.4, detail: 256 };

/** What the sliders act on: the chosen shot, else the whole. */
const ofShot = (name) => open.shot !== null && name !== "detail";

export function controls() {
  const { item, look, shot } = open;
  for (const [name, { tell }] of Object.entries(LIVE)) {
    const value = ofShot(name) ? look.shots[shot][name] : look[name];
    $(name).value = value ?? look[name] ?? item.own?.[name] ?? USUAL[name]; // where the network's own lies
    $(`${name}-value`).textContent = value === null && ofShot(name) ? "the film's" : tell(value);
  }
  $("weights").value = look.weights;
}

function set(name, value) {
  if (ofShot(name)) return setShot({ [name]: value });
  open.look = { ...open.look, [name]: value };
  if (isFilm()) showShots();
}

/** Say something else of the shot that is chosen. */
export function setShot(more) {
  const { look, shot } = open;
  open.look = { ...look, shots: look.shots.map((one, at) => (at === shot ? { ...one, ...more } : one)) };
  showShots();
  showPictures(open.look.shots[shot]);
}

/** The networks that can be chosen; there is a choice only where more than one is here. */
export function showNetworks({ weights, networks }) {
  const entries = [["", weights], ...networks.map((name) => [name, name])];
  $("weights").replaceChildren(...entries.map(([value, words]) => new Option(words, value)));
  $("networks").hidden = !networks.length;
  if (open.item) $("weights").value = open.look.weights;
}

function chooseNetwork(name) {
  open.look = { ...open.look, weights: name };
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
    if (open.shot === null || ofShot(name)) set(name, value);
  }
  controls();
  paint();
});
