/** The page: accepts pictures, runs the queue and shows the results. The worker does the computation. */

import "./style.css";
import { Client, type Report } from "./client";
import { targetSize } from "./core/numbers";
import { MODEL } from "./core/model";
import type { Backend, Settings } from "./messages";
import { startServiceWorker } from "./offline";
import { bytes, drawLine, duration, keepInView, makeLine, type Item } from "./ui/queue";
import { startTheme } from "./ui/theme";
import { canShare, copy, download, share, zip, type Result } from "./ui/outgoing";
import { acceptPictures, type Incoming } from "./ui/incoming";
import { addVersion, drawVersions, forgetVersions, showVersion } from "./ui/versions";
import { Viewer } from "./ui/viewer";

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const SHOWN_PIXELS = 2 ** 26; // of a result; for larger ones the collected tiles are shown, which need less memory
const EXTENSIONS: Record<string, string> = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" };

const items: Item[] = [];
let selected: Item | undefined;
let picked = false; // by the user; else the selection follows the queue
let running: { item: Item; start: number } | undefined;
let nextId = 1;

const asked = new URLSearchParams(location.search); // ?backend=wasm&threads=1, for comparison and debugging
const threads = crossOriginIsolated ? Number(asked.get("threads")) || Math.min(8, navigator.hardwareConcurrency || 1) : 1;
const viewer = new Viewer();
const reveal = keepInView($("#queue ul"));
let reportLoaded = () => {};
const loaded = new Promise<void>((resolve) => (reportLoaded = resolve));
const backend = (asked.get("backend") as Backend | null) ?? "auto";
const patience = 1000 * (Number(asked.get("patience")) || 60);
const client = new Client({ backend, threads, patience }, (status) => {
  const pill = $("#backend");
  $("#trouble").hidden = status.kind !== "broken";
  if (status.kind === "loading") {
    pill.textContent = `loading · ${bytes(status.bytes)}`;
    return;
  }
  reportLoaded();
  if (status.kind === "broken") {
    pill.textContent = "unavailable";
    pill.title = status.reason;
    $("#trouble span").textContent = `The model did not start: ${status.reason}`;
    return;
  }
  const count = `${status.threads} thread${status.threads > 1 ? "s" : ""}`;
  pill.textContent = status.backend === "webgpu" ? "WebGPU" : `WASM · ${count}`;
  pill.title = status.note ?? "Runtime of the model";
  pill.dataset["ready"] = "yes";
  if (status.note) announce(status.note);
});

const actions = {
  select(item: Item) {
    picked = true;
    select(item);
  },
  cancel(item: Item) {
    if (item === running?.item) client.cancel();
    else update(item, { state: "cancelled" });
  },
  retry(item: Item) {
    start(item, settings());
  },
  remove(item: Item) {
    items.splice(items.indexOf(item), 1);
    item.line.remove();
    URL.revokeObjectURL(item.url);
    forgetVersions(item);
    if (item === selected) {
      picked = false;
      select(latestResult() ?? items.at(-1));
    }
    draw();
  },
};

function settings(): Settings {
  const number = (selector: string) => {
    const { validity, valueAsNumber } = $<HTMLInputElement>(selector);
    return validity.valid ? valueAsNumber || undefined : undefined;
  };
  const scale = $<HTMLInputElement>("input[name=scale]:checked").value;
  const [width, height] = scale === "px" ? [number("#width"), number("#height")] : [];
  return {
    scale: Number(scale) || MODEL.scale,
    ...(width || height ? { width, height } : {}),
    fidelity: Number($<HTMLInputElement>("#fidelity").value),
    format: $<HTMLSelectElement>("#format").value as Settings["format"],
    quality: number("#quality"),
    strip: $<HTMLInputElement>("#strip").checked,
  };
}

function add(pictures: Incoming[]): void {
  const added: Item[] = [];
  for (const { file, folder } of pictures) {
    const item: Item = {
      id: nextId++, file, folder, url: URL.createObjectURL(file), settings: settings(), state: "waiting", share: 0, note: "",
      size: { width: 1, height: 1 }, versions: [], line: makeLine(file.name),
    };
    $("#queue ul").append(item.line);
    items.push(item);
    added.push(item);
  }
  if (added.length === 0) return;
  if (!running) {
    picked = false;
    select(added[0]);
  }
  draw();
  void advance();
}

/** Put an item back into the queue, possibly with other settings. */
function start(item: Item, wanted: Settings): void {
  Object.assign(item, { id: nextId++, settings: wanted, state: "waiting", share: 0, rest: undefined, note: "", result: undefined });
  item.preview = undefined;
  picked = false;
  select(item);
  void advance();
}

async function advance(): Promise<void> {
  const item = items.find(({ state }) => state === "waiting");
  if (running || !item) return;
  running = { item, start: performance.now() };
  update(item, { state: "working" });
  if (!picked) select(item);
  const outcome = await client.run({ id: item.id, file: item.file, settings: item.settings }, (report) => receive(item, report));
  if (outcome.kind === "done") {
    const name = resultName(item, outcome.blob.type);
    const { blob, milliseconds } = outcome;
    addVersion(item, { blob, url: URL.createObjectURL(blob), name, milliseconds, settings: item.settings, size: item.size });
    if (!isHuge(item)) item.preview = undefined;
    update(item, { state: "done", share: 1, note: outcome.notes.join("; ") });
    announce(`${item.file.name} is done${outcome.notes.length ? `: ${item.note}` : ""}`);
  } else if (item.versions.length) {
    showVersion(item, item.versions.at(-1)!);
    update(item, { state: "done", share: 1, note: outcome.reason, preview: undefined });
    announce(`${item.file.name}: ${outcome.reason}`);
  } else {
    const state = outcome.failure === "cancelled" ? "cancelled" : "failed";
    update(item, { state, note: outcome.reason, preview: undefined });
    if (item === selected && !picked && state === "failed") select(latestResult() ?? item);
    announce(state === "cancelled" ? `${item.file.name} cancelled` : `${item.file.name}: ${outcome.reason}`);
  }
  running = undefined;
  void advance();
}

function receive(item: Item, report: Report): void {
  if (report.kind === "opened") {
    item.input = { width: report.width, height: report.height };
    update(item, { size: { width: report.outWidth, height: report.outHeight } });
  } else if (report.kind === "tile") {
    item.preview ??= blank(item, report.scale);
    const tile = new ImageData(report.data, report.width, report.height);
    item.preview.getContext("2d")!.putImageData(tile, report.left, report.top);
    if (item === selected) {
      show();
      viewer.paint(tile, report.left, report.top);
    }
  } else {
    const elapsed = (performance.now() - running!.start) / 1000;
    const share = report.done / report.total;
    update(item, { share, rest: (elapsed / share) * (1 - share) });
  }
}

/** The canvas that collects tiles until the result is complete; `scale` is its px per input px. */
function blank(item: Item, scale: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(item.input!.width * scale));
  canvas.height = Math.max(1, Math.floor(item.input!.height * scale));
  return canvas;
}

function resultName(item: Item, type: string): string {
  const stem = item.file.name.replace(/\.[^.]*$/, "") || "picture";
  const { scale, width, height } = item.settings;
  const size = width || height ? `${item.size.width}x${item.size.height}` : `${scale}x`;
  return `${stem}_${size}.${EXTENSIONS[type] ?? "png"}`;
}

/** The last picture in the list that has a result. */
function latestResult(): Item | undefined {
  return items.filter(({ result }) => result).at(-1);
}

function update(item: Item, change: Partial<Item>): void {
  Object.assign(item, change);
  draw();
}

function select(item: Item | undefined): void {
  selected = item;
  draw();
}

function draw(): void {
  $("#pixels").hidden = $<HTMLInputElement>("input[name=scale]:checked").value !== "px";
  for (const item of items) drawLine(item, item === selected, actions);
  $("#welcome").hidden = items.length > 0;
  $("#queue").hidden = items.length === 0;
  $("#save-all").hidden = items.filter(({ result }) => result).length < 2;
  show();
  if (running) reveal(running.item.line);
}

/** Show the selected picture in its current state. */
function show(): void {
  const item = selected;
  $("#viewer").hidden = !item;
  if (!item) return;
  const unreadable = item.state === "failed" && !item.input;
  $("#area").hidden = unreadable;
  $(".zoom").hidden = unreadable;
  $("#failure").hidden = !unreadable;
  $("#failure").textContent = unreadable ? `${item.file.name}: ${item.note}` : "";
  drawVersions(item, draw);
  if (item.input) viewer.show(item.url, item.left?.url ?? item.url, isHuge(item) ? undefined : item.result?.url, item.preview, item.size);
  else if (!unreadable) void firstLook(item);
  const { width, height } = item.size;
  const scale = item.input ? ` → ${width} × ${height} px` : "";
  const from = item.input ? `${item.input.width} × ${item.input.height}${scale}` : "";
  const seconds = item.result ? ` in ${duration(item.result.milliseconds / 1000)}${isHuge(item) ? ", preview reduced" : ""}` : "";
  const note = item.state === "failed" ? `${item.file.name}: ${item.note}` : item.state === "cancelled" ? "cancelled" : item.note;
  $("#sizes").textContent = unreadable ? "" : [`${from}${seconds}`, note].filter(Boolean).join(" · ");
  const busy = item.state === "working" || item.state === "waiting";
  $("#busy").hidden = !busy;
  const bar = $<HTMLProgressElement>("#bar");
  if (item.share > 0) bar.value = item.share;
  else bar.removeAttribute("value");
  $("#eta").textContent = item.rest === undefined ? (item.state === "waiting" ? "waiting" : "working…") : `${duration(item.rest)} left`;
  const save = $<HTMLAnchorElement>("#save");
  save.hidden = !item.result;
  $("#share").hidden = !item.result || !canShare();
  $("#copy").hidden = !item.result || isHuge(item) || !("ClipboardItem" in window);
  if (item.result) {
    save.href = item.result.url;
    save.download = item.result.name;
    save.setAttribute("aria-label", `Download ${item.result.name}`);
  }
  const wanted = settings();
  const same = Object.entries(wanted).every(([key, value]) => item.settings[key as keyof Settings] === value);
  $("#redo").hidden = same || busy || unreadable;
}

function isHuge({ size }: Item): boolean {
  return size.width * size.height > SHOWN_PIXELS;
}

/** Show the input immediately: the browser decodes it long before the worker does. */
async function firstLook(item: Item): Promise<void> {
  const image = new Image();
  image.src = item.url;
  try {
    await image.decode();
  } catch {
    return; // the worker will report the error
  }
  if (item.input || item !== selected || item.state === "failed") return;
  const { width, height } = item.settings;
  const size = targetSize(image.naturalWidth, image.naturalHeight, width || height ? { scale: MODEL.scale } : item.settings);
  viewer.show(item.url, item.url, undefined, undefined, size);
}

function announce(text: string): void {
  $("#news").textContent = text;
}

/** Give the selected result to `deliver`, and say so, or why it failed. */
async function give(deliver: (result: Result) => Promise<void>, said: string): Promise<void> {
  const result = selected?.result;
  if (!result) return;
  try {
    await deliver(result);
    announce(said);
    $("#sizes").textContent = said;
  } catch (error) {
    $("#sizes").textContent = `${result.name}: ${(error as Error).message}`;
    announce($("#sizes").textContent!);
  }
}

async function saveAll(): Promise<void> {
  const done = items.filter(({ result }) => result);
  download(await zip(done.map(({ result }) => result!), done.map(({ folder }) => folder)), "edgesr.zip");
}

$("#stalled").remove();
$("#trouble button").addEventListener("click", () => {
  $("#trouble").hidden = true;
  $("#backend").textContent = "starting…";
  client.startAgain();
});
$("#settings").addEventListener("input", draw);
$("#settings").addEventListener("submit", (event) => event.preventDefault());
$("#redo").addEventListener("click", () => selected && start(selected, settings()));
$("#stop").addEventListener("click", () => selected && actions.cancel(selected));
$("#save-all").addEventListener("click", () => void saveAll());
$("#share").addEventListener("click", () => void give(share, ""));
$("#copy").addEventListener("click", () => void give(copy, "copied"));
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});
acceptPictures(add);
startTheme($("#theme"));
void startServiceWorker(() => items.length === 0, loaded);
