/** Results of one picture with different settings: earlier ones are kept, and any two can be compared. */

import type { Settings } from "../messages";
import { t } from "./language";
import type { Item, Version } from "./queue";

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const MOST = 4; // results of a picture that are kept

/** Keep a new result, show it, and forget the oldest if there are too many. */
export function addVersion(item: Item, version: Version): void {
  item.versions.push(version);
  for (const old of item.versions.splice(0, item.versions.length - MOST)) {
    URL.revokeObjectURL(old.url);
    if (item.left === old) item.left = undefined;
  }
  showVersion(item, version);
}

export function showVersion(item: Item, version: Version): void {
  Object.assign(item, { result: version, size: version.size, settings: version.settings });
}

export function forgetVersions(item: Item): void {
  for (const { url } of item.versions) URL.revokeObjectURL(url);
}

/** The two lists below the picture, for the left and the right half; `changed` is called after a choice. */
export function drawVersions(item: Item, changed: () => void): void {
  const { versions } = item;
  $("#versions").hidden = versions.length < 2 || !item.result;
  const names = versions.map(({ settings, size }) => describeSettings(settings, size));
  fill($<HTMLSelectElement>("#left"), [t("Before"), ...names], item.left ? versions.indexOf(item.left) + 1 : 0, (index) => {
    item.left = versions[index - 1];
    changed();
  });
  fill($<HTMLSelectElement>("#right"), names, item.result ? versions.indexOf(item.result) : -1, (index) => {
    showVersion(item, versions[index]!);
    changed();
  });
  $(".tag.left").textContent = item.left ? describeSettings(item.left.settings, item.left.size) : t("Before");
  $(".tag.right").textContent = item.left && item.result ? describeSettings(item.settings, item.size) : t("After");
}

/** The settings in a few words. */
export function describeSettings(settings: Settings, size: { width: number; height: number }): string {
  const { width, height, scale, fidelity, fast, sharpness, format, quality, strip, onServer } = settings;
  return [
    width || height ? `${size.width} × ${size.height}` : `${scale}×`,
    fidelity === 0 ? t("crisp") : fidelity === 1 ? t("faithful") : t("look {value}", { value: fidelity }),
    fast ? t("fast") : "",
    sharpness !== undefined ? t("sharpness {value}", { value: sharpness }) : "",
    format === "SAME" ? "" : format,
    quality ? t("quality {value}", { value: quality }) : "",
    strip ? t("no metadata") : "",
    onServer ? t("server") : "",
  ].filter(Boolean).join(" · ");
}

function fill(list: HTMLSelectElement, names: string[], chosen: number, choose: (index: number) => void): void {
  if (names.join("\n") !== [...list.options].map(({ text }) => text).join("\n")) list.replaceChildren(...names.map((name) => new Option(name)));
  list.selectedIndex = chosen;
  list.onchange = () => choose(list.selectedIndex);
}
