/** The Web Worker: all expensive work, one picture at a time, so that the page stays responsive. */

import { RowResampler } from "./core/resample";
import { RowSharpener, defaultSharpness } from "./core/sharpen";
import { MODEL } from "./core/model";
import { targetSize } from "./core/numbers";
import { upscale, type Listener } from "./core/upscale";
import { decode } from "./files/decode";
import { describe } from "./files/read";
import type { OutputFormat } from "./files/kept";
import { keep, startEncoder, toRgba, withoutText } from "./files/write";
import type { FromWorker, Job, ToWorker } from "./messages";
import { Engine, OutOfMemory, oneLine } from "./network";

const PREVIEW_SIDE = 2048; // px, longer side of the preview while tiles are computed
class Cancelled extends Error {}
class BadInput extends Error {}

let engine: Engine | undefined;
let loading: Promise<void> | undefined;
const cancelled = new Set<number>();
let last: Promise<void> = Promise.resolve();

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "load") loading = load(data);
  if (data.kind === "cancel") cancelled.add(data.id);
  if (data.kind === "run") last = last.then(() => attempt(data.job));
});

function say(message: FromWorker, transfer: Transferable[] = []): void {
  postMessage(message, { transfer });
}

async function load({ backend, threads, fast, base }: Extract<ToWorker, { kind: "load" }>): Promise<void> {
  const ready = () => say({ kind: "ready", backend: engine!.backend, threads, note: engine!.note });
  engine = new Engine(base, threads, ready, (bytes) => say({ kind: "loading", bytes }));
  try {
    await engine.load(backend, fast);
    ready();
  } catch (error) {
    engine = undefined;
    say({ kind: "broken", reason: oneLine(error) });
  }
}

async function attempt(job: Job): Promise<void> {
  const { id } = job;
  try {
    await perform(job);
  } catch (error) {
    const memory = error instanceof OutOfMemory || error instanceof RangeError;
    const failure = error instanceof Cancelled ? "cancelled" : error instanceof BadInput ? "input" : memory ? "memory" : "defect";
    say({ kind: "failed", id, failure, reason: error instanceof BadInput ? error.message : oneLine(error) });
  } finally {
    cancelled.delete(id);
  }
}

async function perform(job: Job): Promise<void> {
  const { id, settings, file } = job;
  const start = performance.now();
  const notes: string[] = [];
  const bytes = await asBadInput(async () => new Uint8Array(await file.arrayBuffer()));
  const described = await describe(bytes);
  const picture = await asBadInput(() => decode(bytes, described, file.type, notes));
  const size = await asBadInput(async () => targetSize(picture.width, picture.height, settings));
  const reduced = size.width < picture.width || size.height < picture.height; // by Lanczos alone, as in the Python package
  const full = reduced ? picture : { width: picture.width * MODEL.scale, height: picture.height * MODEL.scale };
  const format = outputFormat(settings.format, described.format);
  const kept = keep(settings.strip ? withoutText(described) : described, format, size.width, size.height, notes);
  const encoder = await asBadInput(() => startEncoder(format, size, picture.channels, kept, notes, settings.quality));
  say({ kind: "opened", id, width: picture.width, height: picture.height, outWidth: size.width, outHeight: size.height });
  stopIfCancelled(id);
  const resampler = new RowResampler(full, size, picture.channels);
  const sharpness = settings.sharpness ?? (reduced ? 0 : defaultSharpness(settings.fidelity));
  const sharpener = new RowSharpener(size, picture.channels, sharpness);
  const write = (rows: Uint8Array) => encoder.rows(sharpener.push(resampler.push(rows)));
  if (reduced) {
    await write(picture.data);
    say({ kind: "done", id, blob: await encoder.finish(), notes, milliseconds: performance.now() - start });
    return;
  }
  await loading;
  if (!engine) throw new Error("the model did not start");
  const network = await engine.network(settings.fidelity, settings.fast);
  const shrink = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(full.width, full.height) / PREVIEW_SIDE))); // tiles start at multiples of it
  const listener: Listener = {
    band: write,
    async step(done, total) {
      say({ kind: "progress", id, done, total });
      await new Promise((resolve) => setTimeout(resolve)); // lets a cancel message arrive
      stopIfCancelled(id);
    },
    tile: (data, channels, left, top, width, height) => showTile(id, data, channels, left, top, width, height, shrink),
  };
  await upscale(picture, network, job.windowPixels, listener);
  const blob = await encoder.finish();
  say({ kind: "done", id, blob, notes, milliseconds: performance.now() - start });
}

/** Post a tile for the preview, with every `shrink`-th pixel. */
function showTile(
  id: number, data: Uint8Array, channels: number, left: number, top: number, width: number, height: number, shrink: number,
): void {
  const [columns, lines] = [Math.floor(width / shrink), Math.floor(height / shrink)];
  if (columns < 1 || lines < 1) return;
  const small = new Uint8Array(columns * lines * channels);
  for (let y = 0, at = 0; y < lines; y++) {
    for (let x = 0; x < columns; x++) {
      const source = (y * shrink * width + x * shrink) * channels;
      for (let c = 0; c < channels; c++) small[at++] = data[source + c]!;
    }
  }
  const rgba = toRgba(shrink === 1 ? data : small, channels, false);
  const place = { left: Math.floor(left / shrink), top: Math.floor(top / shrink), scale: MODEL.scale / shrink };
  say({ kind: "tile", id, data: rgba, width: columns, height: lines, ...place }, [rgba.buffer]);
}

function outputFormat(wanted: OutputFormat | "SAME", own: string | undefined): OutputFormat {
  if (wanted !== "SAME") return wanted;
  return own === "JPEG" || own === "WEBP" ? own : "PNG";
}

function stopIfCancelled(id: number): void {
  if (cancelled.has(id)) throw new Cancelled("cancelled");
}

async function asBadInput<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new BadInput(oneLine(error));
  }
}
