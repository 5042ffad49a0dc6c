/** The selected picture: before and after, progress, sizes, and what can be done with its result. */

import { MODEL } from "../core/model";
import { targetSize } from "../core/numbers";
import type { Settings } from "../messages";
import { t } from "./language";
import { canShare } from "./outgoing";
import { duration, type Item } from "./queue";
import { drawVersions } from "./versions";
import { Viewer } from "./viewer";

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const SHOWN_PIXELS = 2 ** 26; // of a result; for larger ones the collected tiles are shown, which need less memory

export class Stage {
  private readonly viewer = new Viewer();
  private item: Item | undefined;

  /** Show a picture in its current state; `wanted` are the settings on the page, `changed` is called when a result was chosen. */
  show(item: Item | undefined, wanted: Settings, changed: () => void): void {
    this.item = item;
    $("#viewer").hidden = !item;
    if (!item) return;
    const unreadable = item.state === "failed" && !item.input;
    $("#area").hidden = unreadable;
    $(".zoom").hidden = unreadable;
    $("#failure").hidden = !unreadable;
    $("#failure").textContent = unreadable ? `${item.file.name}: ${item.note}` : "";
    drawVersions(item, changed);
    if (item.input) this.viewer.show(item.url, item.left?.url ?? item.url, isHuge(item) ? undefined : item.result?.url, item.preview, item.size);
    else if (!unreadable) void this.firstLook(item);
    const { width, height } = item.size;
    const scale = item.input ? ` → ${width} × ${height} px` : "";
    const from = item.input ? `${item.input.width} × ${item.input.height}${scale}` : "";
    const seconds = item.result ? ` · ${duration(item.result.milliseconds / 1000)}${isHuge(item) ? `, ${t("preview reduced")}` : ""}` : "";
    const note = item.state === "failed" ? `${item.file.name}: ${item.note}` : item.state === "cancelled" ? t("cancelled") : item.note;
    $("#sizes").textContent = unreadable ? "" : [`${from}${seconds}`, note].filter(Boolean).join(" · ");
    const busy = item.state === "working" || item.state === "waiting";
    $("#busy").hidden = !busy;
    const bar = $<HTMLProgressElement>("#bar");
    if (item.share > 0) bar.value = item.share;
    else bar.removeAttribute("value");
    $("#eta").textContent = item.rest === undefined ? t(item.state === "waiting" ? "waiting" : "working…") : t("{time} left", { time: duration(item.rest) });
    const save = $<HTMLAnchorElement>("#save");
    save.hidden = !item.result;
    $("#share").hidden = !item.result || !canShare();
    $("#copy").hidden = !item.result || isHuge(item) || !("ClipboardItem" in window);
    if (item.result) {
      save.href = item.result.url;
      save.download = item.result.name;
      save.setAttribute("aria-label", `${t("Download")} ${item.result.name}`);
    }
    const same = Object.entries(wanted).every(([key, value]) => item.settings[key as keyof Settings] === value);
    $("#redo").hidden = same || busy || unreadable;
  }

  /** Show the input immediately: the browser decodes it long before the worker does. */
  private async firstLook(item: Item): Promise<void> {
    const image = new Image();
    image.src = item.url;
    try {
      await image.decode();
    } catch {
      return; // the worker will report the error
    }
    if (item.input || item !== this.item || item.state === "failed") return;
    const { width, height } = item.settings;
    const size = targetSize(image.naturalWidth, image.naturalHeight, width || height ? { scale: MODEL.scale } : item.settings);
    this.viewer.show(item.url, item.url, undefined, undefined, size);
  }

  /** Draw a tile of the picture that is shown. */
  paint(tile: ImageData, left: number, top: number): void {
    this.viewer.paint(tile, left, top);
  }
}

export function isHuge({ size }: Item): boolean {
  return size.width * size.height > SHOWN_PIXELS;
}
