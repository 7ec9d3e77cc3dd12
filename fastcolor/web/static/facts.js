// What is known of a picture or film, in words.

const $ = (id) => document.getElementById(id);
const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** How far a film is, in words. */
export function far({ done, total, fps, left }) {
  if (done === undefined) return "it begins";
  const words = [total ? `${done} of ${total} frames` : `${done} frames`];
  if (fps) words.push(`${fps} a second`);
  if (left != null) words.push(`${minutes(left)} left`);
  return words.join(", ");
}

/** Tell of a picture or film under its tools. */
export function showFacts(item) {
  const film = item.kind === "film";
  const words = [`${item.width} × ${item.height}`];
  if (item.seconds) words.push(`${minutes(item.seconds)}, ${item.frames} frames`);
  if (film) words.push(item.sound ? "with sound" : "without sound");
  if (item.words) words.push(item.words);
  if (item.frames > 1 && !film) words.push(`${item.frames} frames or pages, the first is shown`);
  if (item.doubt != null) words.push(`network's doubt ${item.doubt.toFixed(1)} ab units`);
  if (item.colored) words.push("was in colour before");
  words.push(...(item.notes ?? []));
  $("facts").textContent = words.join(" · ");
  $("shots-told").textContent = item.looked ? `The film is looked through: ${far(item.looked)}` : "";
  $("find-shots").disabled = Boolean(item.looked);
  $("preview-told").textContent = item.progress ? `The preview is being painted: ${far(item.progress)}` : "";
  const guides = { version: "It shows the same: its colours are taken, aligned.", similar: "What looks alike gets its colours." };
  $("guide-told").textContent = [guides[item.look.guide], ...(item.said ?? [])].filter(Boolean).join(" ");
  $("guide-off").hidden = !item.look.guide;
  for (const button of document.querySelectorAll("[data-mark]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mark === item.mark));
  }
}
