// The page of pictures without a server: files in, a worker that colours them, PNG out.

import { allowHints, openHints } from "./hints.js";

const $ = (id) => document.getElementById(id);
const MOST = 40e6; // pixels of a picture: more does not fit into every browser's memory
const pictures = new Map(); // id -> {name, picture: {pixels, height, width}, card, look, result}
const worker = new Worker(`work.js${location.search}`, { type: "module" });
const asked = new Map(); // ticket -> what to do with the answer
let tickets = 0;
let open = null;
let own = 0.38;

const say = (words) => ($("status").textContent = words);

worker.addEventListener("message", ({ data }) => {
  if (data.ready) {
    if (data.hints) allowHints(hinted);
    return say("");
  }
  if (data.failed) return say(`The network cannot be loaded: ${data.failed}`);
  const done = asked.get(data.ticket);
  asked.delete(data.ticket);
  done(data);
});
worker.addEventListener("error", (event) => say(`The network cannot be loaded: ${event.message}`));

function colour(id) {
  const { picture, look } = pictures.get(id);
  return new Promise((resolve, reject) => {
    tickets += 1;
    asked.set(tickets, (answer) => (answer.error ? reject(new Error(answer.error)) : resolve(answer)));
    worker.postMessage({ id, ticket: tickets, picture, ...look });
  });
}

async function read(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(`${file.name}: is not a picture that this browser reads`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST) throw new Error(`${file.name}: has ${width} x ${height} pixels, more than ${MOST / 1e6} million`);
  const pencil = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pencil.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { pixels: pencil.getImageData(0, 0, width, height).data, height, width };
}

function put(canvas, { pixels, height, width }) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

function gray({ pixels, height, width }) {
  const result = new Uint8ClampedArray(pixels.length);
  for (let at = 0; at < pixels.length; at += 4) {
    const value = (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 32768) >> 16;
    result.set([value, value, value, pixels[at + 3]], at);
  }
  return { pixels: result, height, width };
}

let number = 0;

async function take(files) {
  for (const file of files) {
    try {
      const picture = await read(file);
      number += 1;
      const id = number;
      const card = document.createElement("li"), button = document.createElement("button");
      const canvas = document.createElement("canvas"), name = document.createElement("span");
      name.textContent = file.name;
      button.append(canvas, name);
      button.addEventListener("click", () => show(id));
      card.append(button);
      $("grid").append(card);
      $("empty").hidden = true;
      pictures.set(id, { name: file.name, picture, card, look: { temperature: null, saturation: 1, hints: [] } });
      put(canvas, gray(picture));
      await paint(id);
      card.className = "ready";
    } catch (error) {
      say(error.message);
    }
  }
}

async function paint(id) {
  const answer = await colour(id);
  const item = pictures.get(id);
  if (!item) return;
  own = answer.own;
  item.result = answer;
  $("engine").textContent = answer.by === "webgpu" ? "This machine's graphics processor answers (WebGPU)." : "";
  put(item.card.querySelector("canvas"), answer);
  if (open === id) put($("after"), answer);
}

let busy = false, again = false;

async function repaint() {
  again = true;
  if (busy) return;
  busy = true;
  while (again && open !== null) {
    again = false;
    try {
      await paint(open);
      say("");
    } catch (error) {
      say(error.message);
    }
  }
  busy = false;
  $("stage").dataset.painted = String(Number($("stage").dataset.painted ?? 0) + 1);
}

function show(id) {
  const item = pictures.get(id);
  if (!item.result) return;
  open = id;
  $("name").textContent = item.name;
  $("viewer").hidden = false;
  put($("before"), gray(item.picture));
  put($("after"), item.result);
  $("saturation").value = item.look.saturation;
  $("temperature").value = item.look.temperature ?? own;
  split();
  openHints(id, item.look.hints);
  $("split").focus();
  $("viewer").scrollIntoView({ block: "nearest" });
}

function close() {
  $("viewer").hidden = true;
  pictures.get(open)?.card.querySelector("button").focus();
  open = null;
}

function split() {
  const share = $("split").value;
  $("after").style.clipPath = `inset(0 0 0 ${share}%)`;
  $("line").style.left = `calc(${share}% - 1px)`;
}

$("files").addEventListener("change", () => {
  take([...$("files").files]);
  $("files").value = "";
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  take([...event.dataTransfer.files]);
});
$("split").addEventListener("input", split);
for (const name of ["saturation", "temperature"]) {
  $(name).addEventListener("input", () => {
    pictures.get(open).look[name] = Number($(name).value);
    repaint();
  });
}
function hinted(list) {
  pictures.get(open).look.hints = list;
  say("Painting …");
  repaint();
}
$("own").addEventListener("click", () => {
  Object.assign(pictures.get(open).look, { temperature: null, saturation: 1 });
  show(open);
  repaint();
});
$("close").addEventListener("click", close);
addEventListener("keydown", (event) => event.key === "Escape" && open !== null && close());
$("remove").addEventListener("click", () => {
  pictures.get(open).card.remove();
  pictures.delete(open);
  close();
  $("empty").hidden = pictures.size > 0;
});
$("save").addEventListener("click", () => {
  const { name } = pictures.get(open);
  $("after").toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.[^.]*$/, "")}-coloured.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }, "image/png");
});
navigator.serviceWorker?.register("sw.js").catch(() => {}); // not from a file or over plain http
