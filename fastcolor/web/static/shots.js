// A film's shots as a strip: one is chosen, and the sliders then act on it alone.

import { open } from "./open.js";

const $ = (id) => document.getElementById(id);
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

let shown = "";
let choose = () => {}, become = () => {};
export function whenChosen(handle) {
  choose = handle;
}

/** handle: is called with what is left of a shot's key frames and references when one is to go. */
export function whenRemoved(handle) {
  become = handle;
}

/** Show the strip of the film that is open. */
export function showShots() {
  const { item, look: { shots }, shot: chosen } = open;
  const now = JSON.stringify([item.id, item.pictures, shots, chosen]);
  if (now === shown) return; // progress comes often, and whoever is in the strip wants to stay there
  shown = now;
  $("find-shots").hidden = shots.length > 0;
  if (!shots.length) return $("shots").replaceChildren();
  const entry = (number, words, picture) => {
    const line = document.createElement("li"), button = document.createElement("button");
    button.setAttribute("aria-pressed", String(number === chosen));
    if (number !== null) button.dataset.shot = number;
    if (picture) button.append(Object.assign(document.createElement("img"), { src: picture, alt: "", loading: "lazy" }));
    button.append(words);
    button.addEventListener("click", () => choose(number));
    line.append(button);
    return line;
  };
  const entries = shots.map((shot, number) => {
    const words = [`${number + 1}: ${clock(shot.start)}`];
    if (shot.saturation !== 1 || shot.temperature !== null) words.push("own colours");
    if (shot.hints?.length) words.push(`hints ${shot.hints.length}`);
    const keys = Object.keys(shot.key_frames ?? {}).length;
    if (keys) words.push(`key frames ${keys}`);
    if (shot.references?.length) words.push(`references ${shot.references.length}`);
    const picture = pictured(item, shot, number) === null ? null : `api/items/${item.id}/shots/${number}.jpg`;
    return entry(number, words.join(" · "), picture);
  });
  $("shots").replaceChildren(entry(null, "The whole film", `api/items/${item.id}/after-small.jpg`), ...entries);
  const strip = $("shots"), pressed = strip.querySelector('[aria-pressed="true"]');
  const [inside, around] = [pressed, strip].map((one) => one.getBoundingClientRect());
  strip.scrollLeft += Math.max(0, inside.right - around.right) + Math.min(0, inside.left - around.left); // and only that
}

/** When the picture of a shot is shown, where there is one. */
export function pictured(item, shot, number) {
  const at = item.pictures?.[number];
  return at !== undefined && shot.start <= at && at < shot.end ? at : null;
}

/** List a shot's key frames and references. */
export function showPictures({ key_frames = {}, references = [] }) {
  const entry = (name, left) => {
    const line = document.createElement("li"), button = document.createElement("button");
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove the ${name}`);
    button.addEventListener("click", () => become(left()));
    line.append(`${name[0].toUpperCase()}${name.slice(1)} `, button);
    return line;
  };
  const times = Object.keys(key_frames).sort((a, b) => a - b);
  $("key-frames").replaceChildren(
    ...times.map((time) => entry(`frame at ${clock(Number(time))}`, () => {
      const { [time]: gone, ...key_frames_left } = key_frames;
      return { key_frames: key_frames_left, references };
    })),
    ...references.map((one, at) => entry(`other picture, ${at + 1}`, () => (
      { key_frames, references: references.filter((_, place) => place !== at) }
    ))),
  );
}
