/** The page: accepts pictures, runs the queue and shows the results. The worker does the computation. */

import "./style.css";
import { Client, type Report, type Status } from "./client";
import { MODEL, hasFast } from "./core/model";
import { defaultSharpness } from "./core/sharpen";
import type { Backend, Settings } from "./messages";
import { findServer, runOnServer } from "./server";
import { startServiceWorker } from "./offline";
import { drawLine, keepInView, makeLine, type Item } from "./ui/queue";
import { startLanguage, t } from "./ui/language";
import { Stage, isHuge } from "./ui/stage";
import { showStatus } from "./ui/status";
import { startTheme } from "./ui/theme";
import { copy, download, share, zip, type Result } from "./ui/outgoing";
import { acceptPictures, type Incoming } from "./ui/incoming";
import { addVersion, forgetVersions, showVersion } from "./ui/versions";

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const EXTENSIONS: Record<string, string> = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/tiff": "tif", "image/avif": "avif" };

const items: Item[] = [];
let selected: Item | undefined;
let picked = false; // by the user; else the selection follows the queue
let running: { item: Item; start: number; abort: AbortController } | undefined;
let nextId = 1;
const sharpness = $<HTMLInputElement>("#sharpness");
let sharpened = false; // by the user; else the slider shows the default
const model = $<HTMLSelectElement>("#model");
let fast = localStorage.getItem("model") === "fast"; // the user's choice; the list shows the model that will be used

const asked = new URLSearchParams(location.search); // ?backend=wasm&threads=1, for comparison and debugging
const threads = crossOriginIsolated ? Number(asked.get("threads")) || Math.min(8, navigator.hardwareConcurrency || 1) : 1;
const stage = new Stage();
const reveal = keepInView($("#queue ul"));
let reportLoaded = () => {};
const loaded = new Promise<void>((resolve) => (reportLoaded = resolve));
const backend = (asked.get("backend") as Backend | null) ?? "auto";
const patience = 1000 * (Number(asked.get("patience")) || 60);
let status: Status | undefined;
const client = new Client({ backend, threads, fast, patience }, (news) => {
  status = news;
  showStatus(status);
  if (news.kind === "loading") return;
  draw();
  reportLoaded();
  if (news.kind === "ready" && news.note) announce(news.note);
});

const actions = {
  select(item: Item) {
    picked = true;
    select(item);
  },
  cancel(item: Item) {
    if (item === running?.item) {
      if (item.settings.onServer) running.abort.abort();
      else client.cancel();
    } else stop(item, "cancelled", t("cancelled"));
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
  const fidelity = Number($<HTMLInputElement>("#fidelity").value);
  const onServer = $<HTMLInputElement>("#on-server").checked;
  const [width, height] = scale === "px" ? [number("#width"), number("#height")] : [];
  return {
    scale: Number(scale) || MODEL.scale,
    width,
    height,
    fidelity,
    fast: fast && canBeFast(fidelity, onServer),
    sharpness: sharpened ? Number(sharpness.value) : undefined,
    format: $<HTMLSelectElement>("#format").value as Settings["format"],
    quality: number("#quality"),
    strip: $<HTMLInputElement>("#strip").checked,
    onServer,
  };
}

/** Whether there is a choice of models: WebGPU has no kernels for the 8-bit one, and the server has its own. */
function canBeFast(fidelity: number, onServer: boolean): boolean {
  return hasFast(fidelity) && !onServer && !(status?.kind === "ready" && status.backend === "webgpu");
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
  running = { item, start: performance.now(), abort: new AbortController() };
  update(item, { state: "working" });
  if (!picked) select(item);
  const job = { id: item.id, file: item.file, settings: item.settings };
  const report = (news: Report) => receive(item, news);
  const token = $<HTMLInputElement>("#token").value.trim();
  const outcome = await (item.settings.onServer ? runOnServer(job, token, running.abort.signal, report) : client.run(job, report));
  if (outcome.kind === "done") {
    const name = resultName(item, outcome.blob.type);
    const { blob, milliseconds } = outcome;
    addVersion(item, { blob, url: URL.createObjectURL(blob), name, milliseconds, settings: item.settings, size: item.size });
    if (!isHuge(item)) item.preview = undefined;
    update(item, { state: "done", share: 1, note: outcome.notes.join("; ") });
    announce([t("{name} is done", { name: item.file.name }), item.note].filter(Boolean).join(": "));
  } else {
    const cancelled = outcome.failure === "cancelled";
    const reason = cancelled ? t("cancelled") : outcome.reason;
    stop(item, cancelled ? "cancelled" : "failed", reason);
    if (item === selected && !picked && item.state === "failed") select(latestResult() ?? item);
    announce(`${item.file.name}: ${reason}`);
  }
  running = undefined;
  void advance();
}

/** End a picture without a new result; an earlier one is shown again. */
function stop(item: Item, state: "failed" | "cancelled", reason: string): void {
  const earlier = item.versions.at(-1);
  if (earlier) showVersion(item, earlier);
  update(item, { state: earlier ? "done" : state, share: earlier ? 1 : item.share, note: reason, preview: undefined });
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
      stage.paint(tile, report.left, report.top);
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
  const wanted = settings();
  const { onServer } = wanted;
  model.value = wanted.fast ? "fast" : "best";
  model.disabled = !canBeFast(wanted.fidelity, onServer);
  $("#token").hidden = !onServer;
  $("#network").textContent = t(
    onServer ? "Pictures are sent to this page's server." : "Nothing is uploaded: this page can only connect to its own server.",
  );
  $("#pixels").hidden = $<HTMLInputElement>("input[name=scale]:checked").value !== "px";
  for (const item of items) drawLine(item, item === selected, actions);
  $("#welcome").hidden = items.length > 0;
  $("#queue").hidden = items.length === 0;
  $("#save-all").hidden = items.filter(({ result }) => result).length < 2;
  show();
  if (running) reveal(running.item.line);
}

function show(): void {
  stage.show(selected, settings(), draw);
}

function announce(text: string): void {
  $("#news").textContent = text;
}

/** Offer the server behind the page, if there is one. */
async function offerServer(): Promise<void> {
  const engine = await findServer();
  $("#offer").hidden = engine === undefined;
  $("#offer").title = engine ?? "";
}

/** Give the selected result to `deliver`, and say so, or why it failed. */
async function give(deliver: (result: Result) => Promise<void>, said = ""): Promise<void> {
  const result = selected?.result;
  if (!result) return;
  try {
    await deliver(result);
  } catch (error) {
    said = `${result.name}: ${(error as Error).message}`;
  }
  if (!said) return;
  announce(said);
  $("#sizes").textContent = said;
}

async function saveAll(): Promise<void> {
  const done = items.filter(({ result }) => result);
  download(await zip(done.map(({ result }) => result!), done.map(({ folder }) => folder)), "edgesr.zip");
}

$("#stalled").remove();
$("#trouble button").addEventListener("click", () => {
  showStatus((status = undefined));
  client.startAgain();
});
model.addEventListener("input", () => {
  fast = model.value === "fast";
  localStorage.setItem("model", model.value);
});
sharpness.addEventListener("input", () => (sharpened = true));
$("#settings").addEventListener("input", () => {
  if (!sharpened) sharpness.value = String(defaultSharpness(Number($<HTMLInputElement>("#fidelity").value)));
  draw();
});
$("#settings details").addEventListener("toggle", () => void offerServer(), { once: true });
$("#settings").addEventListener("submit", (event) => event.preventDefault());
$("#redo").addEventListener("click", () => selected && start(selected, settings()));
$("#stop").addEventListener("click", () => selected && actions.cancel(selected));
$("#save-all").addEventListener("click", () => void saveAll());
$("#share").addEventListener("click", () => void give(share));
$("#copy").addEventListener("click", () => void give(copy, t("copied")));
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});
acceptPictures(add);
startTheme($("#theme"));
startLanguage($("#language"), () => {
  showStatus(status);
  draw();
});
showStatus(status);
void startServiceWorker(() => items.length === 0, loaded);
