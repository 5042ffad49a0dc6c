/** Registers the service worker: use without network, and threads on hosts that send no headers for them. */

export async function startServiceWorker(idle: () => boolean): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  try {
    await navigator.serviceWorker.register("./sw.js");
    await navigator.serviceWorker.ready;
  } catch {
    return; // a private window, or no https: the page works, only not offline
  }
  // The headers that it adds count from the next load on: take that one now, once, unless it would cost somebody's work.
  if (crossOriginIsolated || !idle() || sessionStorage.getItem("reloaded")) return;
  sessionStorage.setItem("reloaded", "yes");
  location.reload();
}
