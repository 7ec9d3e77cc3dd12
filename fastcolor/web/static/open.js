// What is open: a picture or film, what is said of it, the shot that is chosen; and the line in which the page speaks.

/**
 * item: as the server told it last. look: how it is to be coloured, with what is not sent yet. shot: the number of the
 * film's shot that is chosen. known: the newest revision that is on the screen. guiding: a picture that is being sent.
 * guided: the id of the picture whose look that changes.
 */
export const open = { item: null, look: null, shot: null, known: 0, guiding: null, guided: null };

export const isFilm = () => open.item?.kind === "film";

export function say(text) {
  document.getElementById("status").textContent = text;
}

/** What the page said last. */
export const said = () => document.getElementById("status").textContent;

let most = { picture: {}, shot: {} };
const KINDS = { hints: "colour hints", key_frames: "frames in colour", references: "other pictures in colour" };

/** told: how much the server takes of a picture and of a shot. */
export function takeAtMost(told) {
  most = told;
}

/** Why a picture, or the shot that is chosen, cannot have so much said of it; "": it can. */
export function tooMuch(said) {
  const of = isFilm() ? "shot" : "picture";
  const kind = Object.keys(said).find((name) => Object.keys(said[name]).length > (most[of][name] ?? Infinity));
  return kind ? `${most[of][kind]} ${KINDS[kind]} are the most that a ${of} takes: remove one first.` : "";
}
