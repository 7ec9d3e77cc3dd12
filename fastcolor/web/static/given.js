// What people give a picture or film that is open: pictures in colour, and projects; and what they take from it.

import { download, dropSent, guide, keyFrame, openProject, reference } from "./api.js";
import { painted } from "./colours.js";
import { second } from "./film.js";
import { open, say, tooMuch } from "./open.js";
import { pictured } from "./shots.js";
import { adopt, choose, guidedBy, hints } from "./viewer.js";

const $ = (id) => document.getElementById(id);

/** Have a file that is chosen in a form taken, and the next choice told even if it is the same. */
function whenGiven(id, take) {
  $(id).addEventListener("change", () => {
    const [file] = $(id).files;
    if (file) take(file);
    $(id).value = "";
  });
}

/** Give a picture the colours of another one. */
export async function useGuide(file) {
  const { id } = open.item;
  say(`${file.name}: its colours are looked at …`);
  try {
    open.guided = id;
    open.guiding = guide(id, file);
    guidedBy(await open.guiding);
    say("");
  } catch (error) {
    say(error.message);
  }
}
whenGiven("guide-file", useGuide);
$("guide-off").addEventListener("click", () => hints.become(hints.list, { guide: "", guide_file: "" }));

/**
 * Give a shot a coloured picture. number: of the shot; else the chosen one. kind: "key", of the frame that is shown, or
 * in another shot of that of its picture; "reference", of what looks alike; or else whichever it is.
 */
export async function useColoured(file, number = open.shot, kind = "") {
  const { id } = open.item, chosen = open.look.shots[number];
  if (!chosen) return say("Choose a shot first.");
  const shown = number === open.shot ? second(number) : null;
  const time = shown ?? pictured(open.item, chosen, number) ?? Math.round(500 * (chosen.start + chosen.end)) / 1000;
  const having = (kind, picture, { key_frames = {}, references = [] }) => (
    kind === "key" ? { key_frames: { ...key_frames, [time]: picture }, references } : { key_frames, references: [...references, picture] }
  );
  const full = (kind) => tooMuch(having(kind, "", chosen));
  const words = kind ? full(kind) : full("key") && full("reference");
  if (words) return say(words); // before it is sent
  say(`${file.name}: its colours are looked at …`);
  try {
    open.guiding = kind === "key" ? keyFrame(id, file, time) : reference(id, file, kind ? undefined : time);
    const picture = await open.guiding, found = picture.startsWith("key-") ? "key" : "reference";
    if (open.item?.id !== id) {
      dropSent(id, picture);
      return say(`${file.name} was not used: something else was opened meanwhile.`);
    }
    if (number !== open.shot) choose(number);
    if (!hints.become(hints.list, having(found, picture, hints.rest))) return dropSent(id, picture);
    const told = kind === "" && found === "reference";
    say(told ? `${file.name} does not show this frame: what looks alike in the shot gets its colours.` : "");
  } catch (error) {
    say(error.message);
  }
}
whenGiven("key-file", (file) => useColoured(file, open.shot, "key"));
whenGiven("reference-file", (file) => useColoured(file, open.shot, "reference"));

$("save-frame").addEventListener("click", () => {
  const time = second(open.shot);
  if (time === null) say("The preview of this shot is being painted; a moment more.");
  else download(`api/items/${open.item.id}/frame.png?time=${time}`);
});

$("save-project").addEventListener("click", async () => {
  const { id } = open.item, { guide } = open.look;
  await painted(); // so that the file has what is on the screen
  if (guide) say("The file has the hints; the other picture's colours are not in it."); // painting would clear it
  download(`api/items/${id}/project`);
});
whenGiven("open-project", async (file) => {
  const { id } = open.item;
  try {
    const opened = await openProject(id, file);
    if (open.item?.id !== id) return;
    open.item = opened;
    open.shot = null;
    adopt();
    say("");
  } catch (error) {
    say(error.message);
  }
});
