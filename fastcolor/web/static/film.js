// A film's preview: one video that holds gray and colour side by side, so that both always show the same frame.

const $ = (id) => document.getElementById(id);
const video = $("video"), screen = $("screen");
const pencil = screen.getContext("2d");

let item = null;
let split = 0.5;

export function openFilm(film) {
  const address = `api/items/${film.id}/preview.mp4?v=${film.revision}`;
  item = film;
  if (video.getAttribute("src") !== address) {
    const { currentTime, paused } = video;
    const part = `${film.id} ${film.shot ?? ""}`, same = video.dataset.part === part;
    video.dataset.part = part;
    video.src = address;
    if (same) video.currentTime = currentTime; // where one was looking
    if (same && !paused) video.play();
  }
  draw();
}

export function closeFilm() {
  item = null;
  video.pause();
  video.removeAttribute("src");
  delete video.dataset.part;
  video.load();
}

/** Which second of the film is shown, in the middle of a frame; null while that is not of this shot. */
export function second(number) {
  const shot = item?.shot === number ? item.look.shots[number ?? -1] : null;
  if (!shot || item.progress || video.readyState < 2) return null;
  const at = shot.start + (Math.floor(video.currentTime * item.rate + 0.01) + 0.5) / item.rate;
  return Math.round(1000 * Math.min(at, (shot.start + shot.end) / 2 + (shot.end - shot.start) * 0.499)) / 1000;
}

/** Go on or back by frames. */
export function stepFrame(by) {
  video.pause();
  const at = (Math.floor(video.currentTime * item.rate + 0.01) + by + 0.5) / item.rate;
  video.currentTime = Math.min(Math.max(at, 0), video.duration || 0);
}

export function pause() {
  video.pause();
}

export function splitFilm(value) {
  split = value;
  draw();
}

/** Where in the video the gray and the coloured frame lie: side by side before a camera's rotation was undone. */
function halves() {
  const width = video.videoWidth, height = video.videoHeight;
  const upright = item.turns % 2 === 0;
  const size = upright ? [width / 2, height] : [width, height / 2];
  const places = [[0, 0], upright ? [width / 2, 0] : [0, height / 2]];
  if (item.turns === 1 || item.turns === 2) places.reverse();
  return { size, gray: places[0], colour: places[1] };
}

function draw() {
  if (!item || video.readyState < 2) return;
  const { size: [width, height], gray, colour } = halves();
  if (screen.width !== width || screen.height !== height) {
    screen.width = width;
    screen.height = height;
    $("frame").style.aspectRatio = `${item.width} / ${item.height}`;
    $("frame").style.width = `min(100%, var(--tall) * ${item.width / item.height})`;
  }
  const line = Math.round(split * width);
  pencil.drawImage(video, ...gray, width, height, 0, 0, width, height);
  if (line < width) pencil.drawImage(video, colour[0] + line, colour[1], width - line, height, line, 0, width - line, height);
  pencil.fillStyle = "#fff";
  pencil.fillRect(line - width / 600, 0, width / 300, height);
  $("time").max = video.duration || 1;
  if (document.activeElement !== $("time")) $("time").value = video.currentTime;
}

function again() {
  draw();
  if (!video.paused && !video.ended) requestAnimationFrame(again);
}

video.addEventListener("play", () => {
  $("play").textContent = "Pause";
  again();
});
for (const name of ["pause", "ended"]) video.addEventListener(name, () => ($("play").textContent = "Play"));
for (const name of ["seeked", "pause", "loadeddata"]) video.addEventListener(name, () => moved());
video.addEventListener("seeked", draw);
video.addEventListener("loadeddata", () => {
  if (video.currentTime === 0) video.currentTime = Math.min(0.05, video.duration / 2); // else there is no picture yet
});
video.muted = true;
$("mute").setAttribute("aria-pressed", "true");

$("play").addEventListener("click", () => (video.paused ? video.play() : video.pause()));
$("mute").addEventListener("click", () => {
  video.muted = !video.muted;
  $("mute").setAttribute("aria-pressed", String(video.muted));
});
$("time").addEventListener("input", () => (video.currentTime = Number($("time").value)));

let moved = () => {}, point = () => {};

/** moved: is called when another frame rests on the screen. point: gets "down", "move", "up" or "cancel", and where. */
export function whenUsed(handlers) {
  ({ moved, point } = handlers);
}
for (const kind of ["down", "move", "up", "cancel"]) {
  screen.addEventListener(`pointer${kind}`, (event) => {
    if (kind === "down") screen.setPointerCapture(event.pointerId);
    else if (kind === "move" && !screen.hasPointerCapture(event.pointerId)) return;
    const box = screen.getBoundingClientRect();
    const within = (value) => Math.min(Math.max(value, 0), 1);
    point(kind, within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height));
  });
}
