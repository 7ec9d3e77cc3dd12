// A person's pairs, one after the other: each shown for a second, then judged.

import { ask, send } from "./api.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 1000; // milliseconds
const FRAME = 1000 / 60;
history.replaceState(null, "", location.pathname); // without the token

let person = localStorage.getItem("fastcolor-person");
let state = null; // {total, practice, done}
let phase = "";
let since = 0;

function show(section) {
  for (const id of ["begin", "trial", "end"]) $(id).hidden = id !== section;
}

async function guarded(work) {
  try {
    $("trouble").textContent = "";
    await work();
  } catch (error) {
    $("trouble").textContent = `${error.message} Your answers so far are stored.`;
  }
}

async function open() {
  const study = await ask("api/study");
  $("numbers").textContent = `${study.practice} pairs of practice, in which you are told whether you were right, then ` +
    `${study.trials} that count.`;
  if (person) {
    try {
      state = await ask(`api/people/${person}`);
    } catch {
      person = null; // of another study
    }
  }
  if (!person) return show("begin");
  next();
}

async function begin() {
  const screen = `${innerWidth}x${innerHeight}@${devicePixelRatio}`;
  state = await send("api/people", "POST", { screen });
  person = state.code;
  localStorage.setItem("fastcolor-person", person);
  next();
}

/** Fetch the pair that is next, so that it is there at once when it is to be seen. */
function next() {
  if (state.done >= state.total) {
    phase = "";
    localStorage.removeItem("fastcolor-person");
    return show("end");
  }
  show("trial");
  const practice = state.done < state.practice;
  const number = practice ? state.done + 1 : state.done - state.practice + 1;
  const of = practice ? state.practice : state.total - state.practice;
  $("far").textContent = `${practice ? "Practice" : "Pair"} ${number} of ${of}`;
  choose(false);
  phase = "loading";
  $("show").disabled = true;
  return guarded(async () => {
    for (const side of ["left", "right"]) $(side).src = `api/people/${person}/pairs/${state.done}/${side}.png`;
    await Promise.all([$("left").decode(), $("right").decode()]);
    phase = "ready";
    $("show").disabled = false;
    $("show").focus();
  });
}

function choose(open) {
  $("show").hidden = open;
  $("answer-left").hidden = $("answer-right").hidden = !open;
}

const frame = () => new Promise((done) => requestAnimationFrame(done));

/** Show the pair for a second, counted in the screen's own frames, and tell how long it really was. */
async function display() {
  phase = "shown";
  $("show").disabled = true;
  $("told").textContent = "";
  await send(`api/people/${person}/pairs/${state.done}/begun`, "POST", {}); // a reload in the midst of it counts
  await frame();
  $("pair").classList.add("shown");
  const began = await frame();
  while ((await frame()) - began < SHOWN - 1.5 * FRAME);
  $("pair").classList.remove("shown");
  const ms = (await frame()) - began;
  await send(`api/people/${person}/pairs/${state.done}/shown`, "POST", { ms });
  phase = "asked";
  since = performance.now();
  choose(true);
}

async function answer(side) {
  phase = "sending";
  const ms = performance.now() - since;
  const told = await send(`api/people/${person}/pairs/${state.done}/answer`, "POST", { side, ms });
  if (told.right !== null) $("told").textContent = told.right ? "Right: that one is recoloured." : "No, it was the other one.";
  state = told;
  await next();
}

$("start").addEventListener("click", () => guarded(begin));
$("show").addEventListener("click", () => phase === "ready" && guarded(display));
for (const side of ["left", "right"]) {
  $(`answer-${side}`).addEventListener("click", () => phase === "asked" && guarded(() => answer(side)));
}
$("another").addEventListener("click", () => {
  person = null;
  show("begin");
  $("start").focus();
});
addEventListener("keydown", (event) => {
  const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
  if (side && phase === "asked") guarded(() => answer(side));
});

guarded(open);
