// Requests to the server, which is below the page's own address, and what it tells.

export const GONE = "The server does not answer. If it was stopped, start it anew and open its new address.";

/** An answer, whatever it is; a TypeError where there is none. */
async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new TypeError(GONE); // in place of the browser's words, such as "Failed to fetch"
  }
}

/** JSON of a request; an Error with the server's sentence where it refuses. */
export async function ask(path, options = {}) {
  const reply = await reach(path, options);
  if (!reply.ok) throw new Error(await sentence(reply));
  return reply.status === 204 ? null : reply.json();
}

export function send(path, method, body) {
  const text = JSON.stringify(body), keepalive = text.length < 30_000; // also from a page that is being left
  return ask(path, { method, headers: { "content-type": "application/json" }, body: text, keepalive });
}

async function sentence(reply) {
  const text = await reply.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `the server answered ${reply.status}`;
  }
}

/** Paint a picture anew: the answer as an address for an <img>, and the number of what is shown. */
export async function repaint(id, look) {
  const reply = await reach(`api/items/${id}/look`, {
    method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(look),
  });
  if (!reply.ok) throw new Error(await sentence(reply));
  return { address: URL.createObjectURL(await reply.blob()), revision: Number(reply.headers.get("x-revision")) };
}

/** Give a picture the colours of a coloured one. */
export function guide(id, file) {
  return ask(`api/items/${id}/guide?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
}

/** Send a coloured frame of a film; its name there. */
export async function keyFrame(id, file, time) {
  const path = `api/items/${id}/key-frames?name=${encodeURIComponent(file.name)}&time=${time}`;
  return (await ask(path, { method: "POST", body: file })).picture;
}

/**
 * Send a coloured picture whose colours a shot of a film is to have for what looks alike; its name there. time: of the
 * frame whose key frame it is if it shows that: its name then begins with "key-".
 */
export async function reference(id, file, time) {
  const path = `api/items/${id}/references?name=${encodeURIComponent(file.name)}${time === undefined ? "" : `&time=${time}`}`;
  return (await ask(path, { method: "POST", body: file })).picture;
}

/** Have a picture removed that was sent, and that no shot has; what comes of it nobody waits for. */
export function dropSent(id, name) {
  ask(`api/items/${id}/sent/${name}`, { method: "DELETE" }).catch(() => {});
}

/** Send a file of hints or a project in place of what was said of an item. */
export function openProject(id, file) {
  return ask(`api/items/${id}/project?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
}

/** Send a file. room: is awaited before, and again where the server has too much to do (429). */
export async function upload(file, room, progress = () => {}) {
  for (let tries = 0; ; tries += 1) {
    await room(tries > 0);
    const reply = await new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `api/items?name=${encodeURIComponent(file.name)}`);
      request.upload.onprogress = (event) => progress(event.loaded / Math.max(event.total, 1));
      request.onload = () => resolve(request);
      request.onerror = () => reject(new Error(`${file.name}: the server does not answer`));
      request.send(file);
    });
    if (reply.status === 429) continue;
    let told = {};
    try {
      told = JSON.parse(reply.responseText);
    } catch {
      told = { error: reply.responseText };
    }
    if (reply.status !== 201) throw new Error(told.error || `${file.name}: the server answered ${reply.status}`);
    return told;
  }
}

/** Listen to what happens. handlers: by the event's name; `hello` comes at each new connection, `lost` at its end. */
export function listen(handlers) {
  const source = new EventSource("api/events");
  for (const [name, handle] of Object.entries(handlers)) {
    if (name !== "lost") source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
  source.onerror = () => handlers.lost?.();
  addEventListener("pagehide", () => source.close());
}

/** Save what an address gives under its own name. */
export function download(path) {
  const link = document.createElement("a");
  link.href = path;
  link.download = "";
  document.body.append(link);
  link.click();
  link.remove();
}
