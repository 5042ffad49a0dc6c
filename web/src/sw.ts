/**
 * The service worker: caches the page for offline use, and adds the headers that WASM threads need, for hosts that do not send them.
 * It only handles requests to its own scope.
 */

export {}; // makes this file a module

interface Lifetime extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Lifetime {
  request: Request;
  respondWith(answer: Promise<Response>): void;
}
declare const registration: { scope: string };
declare const clients: { claim(): Promise<void> };
declare function skipWaiting(): Promise<void>;

const VERSION = "__VERSION__";
const FILES = "__FILES__" as unknown as string[];
const CACHE = `edgesr-${VERSION}`;
const SHARED = "shared-with-edgesr"; // pictures from other apps, until the page has fetched them
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": [
    "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'", "style-src 'self'", "img-src 'self' blob:",
    "connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'",
  ].join("; "),
};

addEventListener("install", (event) => {
  (event as Lifetime).waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(skipWaiting),
  );
});

addEventListener("activate", (event) => {
  (event as Lifetime).waitUntil(dropOlder().then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  const { request } = event as Fetching;
  const inside = request.url.startsWith(registration.scope);
  if (request.method === "POST" && request.url === `${registration.scope}share`) {
    (event as Fetching).respondWith(takeShared(request));
    return;
  }
  const path = request.url.slice(registration.scope.length).replace(/[?#].*/, "");
  const ours = path === "" || /^(index\.html|licences\.txt|icon\.svg|manifest\.webmanifest)$|^(assets|ort|model|examples)\//.test(path);
  if (request.method === "GET" && inside && ours) (event as Fetching).respondWith(answer(path || "index.html"));
});

/** Keep the pictures that another app shares, and open the page, which fetches them. */
async function takeShared(request: Request): Promise<Response> {
  const cache = await caches.open(SHARED);
  for (const [number, entry] of (await request.formData()).getAll("pictures").entries()) {
    if (typeof entry === "string") continue;
    const headers = { "Content-Type": entry.type, "X-Name": encodeURIComponent(entry.name) };
    await cache.put(`${registration.scope}shared/${number}`, new Response(entry, { headers }));
  }
  return Response.redirect(`${registration.scope}?shared`, 303);
}

async function dropOlder(): Promise<void> {
  const older = (await caches.keys()).filter((name) => name.startsWith("edgesr-") && name !== CACHE);
  await Promise.all(older.map((name) => caches.delete(name)));
}

async function answer(path: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  let response = await cache.match(path);
  if (!response) {
    response = await fetch(path);
    if (response.ok) await cache.put(path, response.clone());
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
