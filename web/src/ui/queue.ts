/** The queue of pictures: state, progress and list entry of each. */

import type { Settings } from "../messages";
import { t } from "./language";

export type State = "waiting" | "working" | "done" | "failed" | "cancelled";

export interface Item {
  id: number;
  file: File;
  folder: string; // in which it was dropped; "" or ending with a slash
  url: string; // of the input
  settings: Settings;
  state: State;
  share: number; // done, 0 to 1
  rest?: number; // seconds, estimated
  note: string; // for the user
  size: { width: number; height: number }; // of the result
  input?: { width: number; height: number };
  preview?: HTMLCanvasElement;
  result?: Version | undefined; // which is shown
  versions: Version[]; // all results that are kept, the newest last
  left?: Version | undefined; // with which the result is compared; else with the input
  line: HTMLLIElement;
}

/** A result and the settings with which it was made. */
export interface Version {
  blob: Blob;
  url: string;
  name: string;
  milliseconds: number;
  settings: Settings;
  size: { width: number; height: number };
}

export interface Actions {
  select(item: Item): void;
  cancel(item: Item): void;
  retry(item: Item): void;
  remove(item: Item): void;
}

export function makeLine(name: string): HTMLLIElement {
  const line = document.createElement("li");
  line.innerHTML =
    '<button class="pick" type="button"><img alt="" width="44" height="44" /><span class="name"></span><span class="state"></span></button>' +
    '<span class="actions"></span><progress max="1" hidden></progress>';
  line.querySelector(".name")!.textContent = name;
  return line;
}

/** Update an item's entry in the list. */
export function drawLine(item: Item, selected: boolean, actions: Actions): void {
  const { line, state } = item;
  const name = item.file.name;
  const pick = line.querySelector<HTMLButtonElement>(".pick")!;
  pick.onclick = () => actions.select(item);
  pick.setAttribute("aria-current", String(selected));
  const thumbnail = line.querySelector("img")!;
  if (state === "failed" && !item.input) thumbnail.removeAttribute("src");
  else if (thumbnail.getAttribute("src") !== item.url) thumbnail.src = item.url;
  line.dataset["state"] = state;
  line.querySelector(".state")!.textContent = describeState(item);
  const bar = line.querySelector("progress")!;
  bar.hidden = state !== "working";
  bar.setAttribute("aria-label", `${t("Progress")}: ${name}`);
  if (item.share > 0) bar.value = item.share;
  else bar.removeAttribute("value");
  const wanted: [string, string, () => void][] = [];
  if (state === "waiting" || state === "working") wanted.push([t("Cancel"), "✕", () => actions.cancel(item)]);
  if (state === "failed" || state === "cancelled") wanted.push([t("Try again"), "↻", () => actions.retry(item)]);
  if (state !== "waiting" && state !== "working") wanted.push([t("Remove"), "✕", () => actions.remove(item)]);
  const box = line.querySelector<HTMLSpanElement>(".actions")!;
  const now = [state, item.result?.url, document.documentElement.lang].join();
  if (box.dataset["for"] === now) return; // else a button would be replaced while it is pressed
  box.dataset["for"] = now;
  box.replaceChildren(
    ...(item.result ? [saveLink(item)] : []),
    ...wanted.map(([label, sign, run]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.title = label;
      button.setAttribute("aria-label", `${label}: ${name}`);
      button.onclick = run;
      return button;
    }),
  );
}

/** Returns a function that scrolls `list` to the entry at work, unless the user has scrolled that entry out of sight. */
export function keepInView(list: HTMLElement): (line: HTMLElement) => void {
  let following = true;
  let expected = 0; // scroll position; any other comes from the user
  let current: HTMLElement | undefined;
  const hidden = (line: HTMLElement) => {
    const [box, frame] = [line.getBoundingClientRect(), list.getBoundingClientRect()];
    return Math.min(0, box.top - frame.top) + Math.max(0, box.bottom - frame.bottom); // px to scroll
  };
  list.addEventListener("scroll", () => {
    if (Math.abs(list.scrollTop - expected) < 2) return;
    expected = list.scrollTop;
    following = !current || Math.abs(hidden(current)) < 2;
  });
  return (line) => {
    current = line;
    if (!following) return;
    list.scrollTop += hidden(line);
    expected = list.scrollTop;
  };
}

function saveLink(item: Item): HTMLAnchorElement {
  const link = document.createElement("a");
  link.href = item.result!.url;
  link.download = item.result!.name;
  link.textContent = "↓";
  link.title = t("Download");
  link.setAttribute("aria-label", `${t("Download")} ${item.result!.name}`);
  return link;
}

function describeState(item: Item): string {
  const { width, height } = item.size;
  switch (item.state) {
    case "waiting": return t("waiting");
    case "working": return item.rest === undefined ? t("working…") : `${Math.round(item.share * 100)}% · ${t("{time} left", { time: duration(item.rest) })}`;
    case "done": return `${width} × ${height} · ${bytes(item.result!.blob.size)}`;
    case "failed": return item.note;
    case "cancelled": return t("cancelled");
  }
}

export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

export function bytes(count: number): string {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(1)} MB`;
}
