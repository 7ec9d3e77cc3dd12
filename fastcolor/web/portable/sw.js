// Keeps all of the page's files, so that it works without a network after the first visit.

const OURS = `fastcolor ${self.registration.scope} `; // a host may have several such pages
const KEPT = `${OURS}VERSION`;
const FILES = [/* FILES */];

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
  if (event.request.method !== "GET") return;
  event.respondWith(
    caches.open(KEPT).then((cache) => cache.match(event.request, { ignoreSearch: true })).then((found) => found ?? fetch(event.request)),
  );
});
