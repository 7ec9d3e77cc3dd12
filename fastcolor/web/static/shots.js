// A film's shots as a strip: one is chosen, and the sliders then act on it alone.

const $ = (id) => document.getElementById(id);
const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

let shown = "";
let choose = () => {};
export function whenChosen(handle) {
  choose = handle;
}

/** Show the strip of a film. chosen: the number of a shot, or null for the whole film. */
export function showShots(item, look, chosen) {
  const { shots } = look;
  const now = JSON.stringify([item.id, item.pictures, shots, chosen]);
  if (now === shown) return; // progress comes often, and whoever is in the strip wants to stay there
  shown = now;
  $("find-shots").hidden = shots.length > 0;
  if (!shots.length) return $("shots").replaceChildren();
  const entry = (number, words, picture) => {
    const line = document.createElement("li"), button = document.createElement("button");
    button.setAttribute("aria-pressed", String(number === chosen));
    if (picture) button.append(Object.assign(document.createElement("img"), { src: picture, alt: "", loading: "lazy" }));
    button.append(words);
    button.addEventListener("click", () => choose(number));
    line.append(button);
    return line;
  };
  const entries = shots.map((shot, number) => {
    const own = shot.saturation !== 1 || shot.temperature !== null ? " · own colours" : "";
    const picture = number < (item.pictures ?? 0) ? `api/items/${item.id}/shots/${number}.jpg` : null;
    return entry(number, `${number + 1}: ${clock(shot.start)}${own}`, picture);
  });
  $("shots").replaceChildren(entry(null, "The whole film", `api/items/${item.id}/after-small.jpg`), ...entries);
  $("shots").querySelector('[aria-pressed="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
