// The pictures as a grid that fills while they are coloured.

const grid = document.querySelector("#grid");
const empty = document.querySelector("#empty");
export const items = new Map();
const cards = new Map();
let open = () => {};
let order = "came";

export function whenOpened(handle) {
  open = handle;
}

export function put(item) {
  items.set(item.id, item);
  let card = cards.get(item.id);
  if (!card) {
    card = made(item);
    cards.set(item.id, card);
    const before = [...grid.children].findLast((other) => items.get(other.dataset.id).came < item.came);
    before ? before.after(card) : grid.prepend(card);
  }
  show(card, item);
  if (order !== "came") arrange();
  empty.hidden = items.size > 0;
}

export function drop(id) {
  items.delete(id);
  cards.get(id)?.remove();
  cards.delete(id);
  empty.hidden = items.size > 0;
}

export function keepOnly(ids) {
  for (const id of [...items.keys()]) if (!ids.has(id)) drop(id);
}

/** Show which one is open, in a grid that scrolls by itself too. */
export function current(id) {
  for (const [key, card] of cards) card.setAttribute("aria-current", String(key === id));
  if (!cards.has(id)) return;
  const list = grid.parentElement;
  const [inside, around] = [cards.get(id), list].map((one) => one.getBoundingClientRect());
  list.scrollTop += Math.max(0, inside.bottom - around.bottom) + Math.min(0, inside.top - around.top);
}

export function focus(id) {
  cards.get(id)?.querySelector("button")?.focus();
}

/** The ids as they are shown. */
export function shown() {
  return [...grid.children].map((card) => card.dataset.id);
}

export function arrange(by = order) {
  order = by;
  const came = [...items.values()];
  came.sort((a, b) => a.came - b.came);
  if (order === "name") came.sort((a, b) => named(a).localeCompare(named(b), undefined, { numeric: true }));
  if (order === "doubt") came.sort((a, b) => (b.doubt ?? -1) - (a.doubt ?? -1));
  if (order === "again") came.sort((a, b) => (b.mark === "again") - (a.mark === "again"));
  const focused = document.activeElement;
  came.forEach((item, at) => {
    const card = cards.get(item.id);
    if (grid.children[at] !== card) grid.insertBefore(card, grid.children[at] ?? null);
  });
  if (grid.contains(focused)) focused.focus();
}

function made(item) {
  const card = document.createElement("li");
  card.dataset.id = item.id;
  const button = document.createElement("button");
  button.className = "open";
  const image = document.createElement("img");
  image.alt = "";
  image.loading = "lazy";
  const name = document.createElement("div");
  name.className = "name";
  const state = document.createElement("p");
  state.className = "state";
  button.append(image, name);
  button.addEventListener("click", () => open(item.id));
  card.append(button, state);
  return card;
}

const named = (item) => (item.inside ? `${item.inside}/${item.name}` : item.name);
const STATES = { waiting: "waiting", working: "at work …", ready: "", failed: "" };
const MARKS = { good: "good", bad: "bad", again: "again" };

function show(card, item) {
  card.className = item.state;
  card.querySelector(".name").textContent = named(item);
  const image = card.querySelector("img");
  if (item.state === "ready") {
    const address = `api/items/${item.id}/after-small.jpg?v=${item.revision}`;
    if (image.getAttribute("src") !== address) image.src = address;
    image.alt = item.kind === "film" ? `${item.name}, a film` : `${item.name}, in colour`;
  }
  card.querySelector("button").disabled = item.state !== "ready";
  const words = [STATES[item.state] || item.words, MARKS[item.mark], item.kind === "film" && item.state === "ready" ? "film" : ""];
  if (item.progress && item.state !== "failed") {
    const { done, total } = item.progress;
    words.push(done === undefined ? "preview begins" : `preview ${done} of ${total ?? "?"}`);
  }
  if (item.state === "ready" && item.colored) words.push("was in colour");
  card.querySelector(".state").textContent = words.filter(Boolean).join(" · ");
}
