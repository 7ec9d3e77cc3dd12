// One picture or film: opened and closed, its hints and shots, and what it is called.

import { ask, send } from "./api.js";
import { controls, hasten, isPainting, paint, preview, setShot, showAfter } from "./colours.js";
import { showFacts } from "./facts.js";
import { closeFilm, openFilm, pause, second, splitFilm, stepFrame, whenUsed } from "./film.js";
import { current, focus, items, shown } from "./grid.js";
import { Hints } from "./hints.js";
import { isFilm, open, say, tooMuch } from "./open.js";
import { showPictures, showShots, whenChosen, whenRemoved } from "./shots.js";
import { attach, onStage, setSplit, sharpen } from "./stage.js";

const $ = (id) => document.getElementById(id);
const main = document.querySelector("main");

export const opened = () => open.item?.id;

export const hints = new Hints({
  changed(list, rest) {
    if (open.shot !== null) setShot({ hints: list, ...rest });
    else if (!isFilm()) open.look = { ...open.look, hints: list, ...rest };
    paint();
  },
  refuse(list, rest) {
    const beside = "The other picture's colours are taken as they are, without hints beside them: choose Without it first.";
    return list.length && rest.guide === "version" ? beside : tooMuch({ hints: list, ...rest });
  },
  place(x, y, time) {
    const at = time === undefined ? "" : `&time=${time}`;
    return ask(`api/items/${open.item.id}/suggestions?x=${x}&y=${y}${at}`);
  },
  say,
});
attach({ hints, splitFilm });

/** Show a picture or film. stay: the keyboard stays where it is. */
export function openItem(id, stay = false) {
  const item = items.get(id);
  hasten();
  say(""); // what was said of another
  Object.assign(open, { item, look: structuredClone(item.look), shot: null });
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
    showShots();
    openFilm(item);
    return arrived("play", stay);
  }
  closeFilm();
  open.known = item.revision;
  $("guide").hidden = false;
  $("before").src = `api/items/${id}/before.jpg`;
  showAfter(`api/items/${id}/after.jpg?v=${item.revision}`);
  onStage(item);
  arrived("stage", stay);
}

function arrived(at, stay) {
  tellEnds();
  const { activeElement } = document;
  if (!stay || activeElement === document.body || activeElement.disabled) $(at).focus({ preventScroll: true });
  $("viewer").scrollIntoView(); // its top, where it has no room beside the grid
}

/** Have the hints of the picture, or of the chosen shot, on the screen. */
function openHints() {
  const { item, look, shot } = open;
  const aspect = item.width / item.height;
  const chosen = shot === null ? null : look.shots[shot];
  const of = [item.id, chosen?.start, chosen?.end].join(" "); // another project may divide a film otherwise
  $("keys").hidden = !chosen || !item.hints;
  if (!isFilm()) {
    const { hints: list, guide, guide_file } = look;
    return hints.open({ key: of, list, rest: { guide, guide_file }, able: item.hints, aspect });
  }
  const on = ["frame", "film-marks", "film-cross"];
  const { hints: list = [], key_frames = {}, references = [] } = chosen ?? {};
  const rest = { key_frames, references };
  hints.open({ key: of, list, rest, able: Boolean(chosen && item.hints), aspect, on, time: () => second(shot) });
  if (chosen) showPictures(rest);
}

export function closeViewer() {
  if (!open.item) return;
  const { id } = open.item;
  hasten();
  open.item = null;
  onStage(null);
  closeFilm();
  $("viewer").hidden = true;
  main.classList.remove("viewing");
  current(null);
  focus(id);
}

/** What another page or the server changed. */
export function refreshed(changed) {
  if (changed.id !== open.item?.id) return;
  const older = open.item.revision;
  open.item = changed;
  showFacts(changed);
  if (isFilm()) {
    hints.allow(open.shot !== null && changed.hints);
    if (changed.look.shots.length !== open.look.shots.length) { // the rest of the look may not be sent yet
      open.look = { ...open.look, shots: structuredClone(changed.look.shots) };
      choose(null);
    }
    showShots();
    return changed.revision !== older && openFilm(changed);
  }
  onStage(changed);
  hints.allow(changed.hints);
  if (isPainting() || changed.revision <= open.known) return; // our own doing
  adopt();
}

/** Another picture's colours were looked at for this one; what was said meanwhile is painted with them. */
export function guidedBy(changed) {
  refreshed(changed);
  if (changed.id !== open.item?.id || !isPainting()) return;
  const { hints: list, guide, guide_file } = changed.look;
  open.look = { ...open.look, hints: list, guide, guide_file };
  openHints();
  paint();
}

/** Show what the server knows: of another tab, of a project, or with another picture's colours. */
export function adopt() {
  const { item } = open;
  open.known = item.revision;
  open.look = structuredClone(item.look);
  controls();
  openHints();
  if (isFilm()) return showShots();
  showAfter(`api/items/${item.id}/after.jpg?v=${item.revision}`);
  sharpen();
}

// A film's shots, and what is clicked in its frames

/** Have the sliders and hints act on a shot; null: on the whole film. */
export function choose(number) {
  open.shot = number;
  controls();
  openHints();
  showShots();
}
whenChosen((number) => {
  choose(number);
  preview();
});
whenRemoved((rest) => hints.become(hints.list, rest));
$("find-shots").addEventListener("click", async () => {
  const { id } = open.item;
  $("find-shots").disabled = true; // at once, as some click twice
  try {
    refreshed(await ask(`api/items/${id}/shots`, { method: "POST" }));
  } catch (error) {
    say(error.message);
    if (open.item?.id === id) showFacts(open.item);
  }
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

// Going through the pictures, and judging them

export function step(by) {
  const ids = shown().filter((id) => items.get(id)?.state === "ready");
  const at = ids.indexOf(opened());
  const next = ids[at + by];
  return at >= 0 ? next : undefined;
}

/** Show whether there is one before, and one after, what is open. */
export function tellEnds() {
  $("previous").disabled = step(-1) === undefined;
  $("next").disabled = step(1) === undefined;
}

/** Was something said of what is open that cannot be said anew by a slider? */
export function isTold() {
  const { hints: list = [], guide, shots = [] } = open.look;
  const ofShot = (one) => one.hints?.length || one.references?.length || Object.keys(one.key_frames ?? {}).length;
  return Boolean(list.length || guide || shots.some(ofShot));
}

export async function judge(mark) {
  if (!open.item) return;
  const { id } = open.item;
  try {
    await send(`api/items/${id}/mark`, "PUT", { mark: open.item.mark === mark ? "" : mark });
  } catch (error) {
    say(error.message);
  }
}
for (const button of document.querySelectorAll("[data-mark]")) {
  button.addEventListener("click", () => judge(button.dataset.mark));
}
