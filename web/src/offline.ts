/** Registers the service worker: offline use, and WASM threads on hosts that do not send the headers for them. */

/** `loaded` resolves when the model is: the cache, which needs the same files, is filled afterwards, so that it does not slow them down. */
export async function startServiceWorker(idle: () => boolean, loaded: Promise<void>): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  if (crossOriginIsolated) await loaded; // else its headers are needed first
  try {
    await navigator.serviceWorker.register("./sw.js");
    await navigator.serviceWorker.ready;
  } catch {
    return; // a private window, or no https: the page works, but not offline
  }
  // Its headers apply from the next load on: reload once, unless a picture was added already.
  if (crossOriginIsolated || !idle() || sessionStorage.getItem("reloaded")) return;
  sessionStorage.setItem("reloaded", "yes");
  location.reload();
}
