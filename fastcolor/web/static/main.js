// The page: files come in, cards are opened, exports go out.

import { GONE, ask, download, listen, send, upload } from "./api.js";
import { arrange, drop, items, keepOnly, put, whenOpened } from "./grid.js";
import { far } from "./facts.js";
import { painted, showNetworks } from "./colours.js";
import { useColoured, useGuide } from "./given.js";
import { say, takeAtMost } from "./open.js";
import { closeViewer, isTold, opened, openItem, refreshed, step, tellEnds } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const AT_ONCE = 3; // uploads
const MOST_OPEN = 100; // pictures that were sent and are not in colour yet, before the next is sent
history.replaceState(null, "", location.pathname); // without the token

// Files in

const waiting = [];
const failures = [];
let notes = []; // of the server's folder
let sending = 0;

function take(files) {
  if (!sending) failures.length = 0; // of an earlier time
  waiting.push(...files);
  while (sending < AT_ONCE && waiting.length) next();
}

let happened = []; // who waits for the server's next word

function word() {
  for (const go of happened.splice(0)) go();
}

/** Until the server has room for one more picture. refused: it has just said that it has none. */
async function room(refused) {
  const open = () => [...items.values()].filter((item) => ["waiting", "working"].includes(item.state)).length;
  while (refused || open() >= MOST_OPEN) {
    refused = false;
    await new Promise((go) => {
      happened.push(go);
      setTimeout(go, 10000); // should that word be lost
    });
  }
}

async function next() {
  sending += 1;
  while (waiting.length) {
    const file = waiting.shift();
    try {
      put(await upload(file, room, (share) => file.size > 5e7 && say(`${file.name}: ${Math.round(100 * share)} % sent`)));
    } catch (error) {
      failures.push(error.message);
    }
    tell();
  }
  sending -= 1;
}

function tell() {
  const count = (state) => [...items.values()].filter((item) => item.state === state).length;
  const open = count("waiting") + count("working") + waiting.length;
  const parts = [];
  if (open) parts.push(`${open} to be coloured`);
  parts.push(...failures.slice(-3), ...notes.slice(0, 3));
  if (count("ready")) parts.unshift(`${count("ready")} in colour`);
  $("count").textContent = parts.join(" · ");
  $("export-all").disabled = !count("ready");
  tellEnds();
  $("csv").hidden = ![...items.values()].some((item) => item.mark);
}

// What is not sent yet would be lost with the page, so the browser asks.
addEventListener("beforeunload", (event) => (sending || waiting.length) && event.preventDefault());

$("files").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});
for (const name of ["dragover", "dragenter"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const files = [...event.dataTransfer.files];
  const shot = event.target.closest?.("[data-shot]")?.dataset.shot ?? null;
  if (files.length === 1 && event.target.closest?.("#stage")) useGuide(files[0]); // on the picture that is open
  else if (files.length === 1 && files[0].type.startsWith("image/") && (shot ?? event.target.closest?.("#frame"))) {
    useColoured(files[0], shot === null ? undefined : Number(shot)); // on a shot of the film that is open
  } else take(files);
});

// What the server tells

const exporting = new Map(); // what is known of the exports that we await, by their ids

async function everything() {
  const all = await ask("api/items");
  keepOnly(new Set(all.map((item) => item.id)));
  all.forEach(put);
  const about = await ask("api/about");
  notes = about.notes;
  takeAtMost(about.most);
  showNetworks(about);
  if (opened() && !items.has(opened())) closeViewer();
  tell();
  word();
  for (const told of await ask("api/exports")) exporting.set(told.id, told); // of before a reload too
  for (const id of [...exporting.keys()]) { // what happened while nobody listened
    await ask(`api/exports/${id}`).then(exported, (error) => {
      if (error instanceof TypeError) return; // no answer at all
      exporting.delete(id);
      progress();
    });
  }
}

listen({
  hello: () => everything().catch((error) => say(error.message)),
  item(item) {
    put(item);
    refreshed(item);
    tell();
    word();
  },
  removed({ id }) {
    if (opened() === id) closeViewer();
    drop(id);
    tell();
    word();
  },
  export: exported,
  lost: () => say(GONE),
});

// One picture

whenOpened((id) => openItem(id));
$("close").addEventListener("click", closeViewer);
for (const [id, by] of [["previous", -1], ["next", 1]]) {
  $(id).addEventListener("click", () => {
    const other = step(by);
    if (other) openItem(other, true);
  });
}
$("remove").addEventListener("click", () => {
  if (isTold() && !confirm(`Remove ${items.get(opened()).name}, and what you said of it?`)) return;
  ask(`api/items/${opened()}`, { method: "DELETE" }).catch((error) => say(error.message));
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeViewer();
});
$("order").addEventListener("change", () => {
  arrange($("order").value);
  tellEnds();
});

// Files out

async function exportThese(ids) {
  try {
    await painted(); // so that the export has the colours that are on the screen
    const told = await send("api/exports", "POST", { ids, format: $("format").value || null });
    exporting.set(told.id, told);
    exported(await ask(`api/exports/${told.id}`)); // what happened before we knew its id
  } catch (error) {
    say(error.message);
  }
}

/** How far all exports are together. */
function progress() {
  const all = [...exporting.values()];
  const sum = (key) => all.reduce((before, told) => before + told[key], 0);
  $("progress").hidden = !all.length;
  if (!all.length) return;
  const film = all.map((told) => told.film).find((film) => film.done !== undefined);
  const alone = film?.total && sum("total") === 1;
  $("bar").max = alone ? film.total : sum("total");
  $("bar").value = alone ? film.done : sum("done");
  say([`${sum("done")} of ${sum("total")} exported`, film ? far(film) : ""].filter(Boolean).join(" · "));
}

function exported(told) {
  if (!exporting.has(told.id)) return;
  exporting.set(told.id, told);
  if (told.state === "working") return progress();
  exporting.delete(told.id);
  progress();
  const inFolder = told.words.some((line) => line.startsWith("written into"));
  if (told.state === "ready" && !inFolder) download(`api/exports/${told.id}/file`);
  say([told.state === "ready" ? "Exported." : "Nothing was exported.", ...told.words].join(" "));
}

$("export").addEventListener("click", () => exportThese([opened()]));
$("export-all").addEventListener("click", () => {
  exportThese([...items.values()].filter((item) => item.state === "ready").map((item) => item.id));
});
$("cancel-export").addEventListener("click", async () => {
  const ids = [...exporting.keys()];
  exporting.clear();
  progress();
  say("Export cancelled. What is done of a film is kept: another export goes on from there.");
  for (const id of ids) await ask(`api/exports/${id}`, { method: "DELETE" }).catch(() => {});
});
