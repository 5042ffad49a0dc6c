/** Upscaling by the server behind the page, `edgesr serve`, in place of the browser; only if the user asks for it. */

import type { Outcome, Report } from "./client";
import type { Settings } from "./messages";

/** The engine of the server behind the page; undefined if there is none, as on a host for files. */
export async function findServer(): Promise<string | undefined> {
  try {
    const response = await fetch("./health");
    const health = response.ok ? ((await response.json()) as { status?: string; engine?: string }) : {};
    return health.status === "ok" ? health.engine : undefined;
  } catch {
    return undefined; // offline, or not JSON
  }
}

/** Upscale one picture on the server; never rejects. `token` may be empty. */
export async function runOnServer(
  job: { id: number; file: File; settings: Settings }, token: string, signal: AbortSignal, report: (report: Report) => void,
): Promise<Outcome> {
  const { id, file, settings } = job;
  const start = performance.now();
  try {
    const response = await fetch(`./v1/upscale?${queryOf(settings)}`, {
      method: "POST", body: file, signal, headers: token ? { Authorization: `Bearer ${token}` } : {},
    });
    if (!response.ok) return { kind: "failed", id, failure: "input", reason: await reasonOf(response) };
    const blob = await response.blob();
    const [outWidth, outHeight] = [Number(response.headers.get("X-Width")), Number(response.headers.get("X-Height"))];
    const own = await sizeOf(file);
    report({ kind: "opened", id, width: own?.width ?? outWidth, height: own?.height ?? outHeight, outWidth, outHeight });
    const notes = JSON.parse(response.headers.get("X-Notes") ?? "[]") as string[];
    return { kind: "done", id, blob, notes, milliseconds: performance.now() - start };
  } catch {
    if (signal.aborted) return { kind: "failed", id, failure: "cancelled", reason: "cancelled" };
    return { kind: "failed", id, failure: "defect", reason: "the server cannot be reached" };
  }
}

export function queryOf(settings: Settings): URLSearchParams {
  const { scale, width, height, fidelity, sharpness, format, quality, strip } = settings;
  const query = new URLSearchParams({ fidelity: String(fidelity) });
  if (!width && !height) query.set("scale", String(scale));
  if (width) query.set("width", String(width));
  if (height) query.set("height", String(height));
  if (format !== "SAME") query.set("format", format.toLowerCase());
  if (quality) query.set("quality", String(quality));
  if (sharpness !== undefined) query.set("sharpness", String(sharpness));
  if (strip) query.set("strip_metadata", "true");
  return query;
}

async function reasonOf(response: Response): Promise<string> {
  if (response.status === 401) return "the server asks for its token: give it under More";
  try {
    return ((await response.json()) as { detail: string }).detail;
  } catch {
    return `the server answered with HTTP ${response.status}`;
  }
}

/** The size of a picture in px; undefined for a format that the browser cannot read. */
async function sizeOf(file: File): Promise<{ width: number; height: number } | undefined> {
  try {
    const image = await createImageBitmap(file);
    const size = { width: image.width, height: image.height };
    image.close();
    return size;
  } catch {
    return undefined;
  }
}
