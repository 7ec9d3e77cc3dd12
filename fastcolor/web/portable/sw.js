// Keeps all of the page's files, so that it works without a network after the first visit.

const OURS = `fastcolor ${self.registration.scope} `; // a host may have several such pages
const KEPT = `${OURS}VERSION`;
const FILES = [/* FILES */];
const LATER = [/* LATER */]; // kept once somebody has had a use for them

addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});
addEventListener("activate", (event) => {
  const older = (names) => names.filter((name) => name.startsWith(OURS) && name !== KEPT);
  event.waitUntil(
    caches.keys().then((names) => Promise.all(older(names).map((name) => caches.delete(name)))).then(() => self.clients.claim()),
  );
});
addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(file(event));
});

async function file(event) {
  const cache = await caches.open(KEPT);
  const found = await cache.match(event.request, { ignoreSearch: true });
  if (found) return found;
  const reply = await fetch(event.request);
  const later = LATER.some((name) => event.request.url === new URL(name, self.registration.scope).href);
  if (later && reply.ok) event.waitUntil(cache.put(event.request, reply.clone()));
  return reply;
}
