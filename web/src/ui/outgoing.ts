/** Results leave the page: all in one zip file, shared with another app, or copied to the clipboard. */

import { downloadZip } from "client-zip";

export interface Result {
  blob: Blob;
  name: string;
}

/** The paths, of which those that occur again get a number: a.png, a (2).png. Upper and lower case count as equal, as on many disks. */
export function uniqueNames(paths: string[]): string[] {
  const taken = new Set<string>();
  return paths.map((path) => {
    const [, stem, extension] = /^(.*?)(\.[^./]*)?$/.exec(path)!;
    let name = path;
    for (let number = 2; taken.has(name.toLowerCase()); number++) name = `${stem} (${number})${extension ?? ""}`;
    taken.add(name.toLowerCase());
    return name;
  });
}

/** One zip file with all results, not compressed further; `folders` are their places in it, "" or ending with a slash. */
export async function zip(results: Result[], folders: string[]): Promise<Blob> {
  const names = uniqueNames(results.map(({ name }, i) => folders[i] + name));
  const now = new Date();
  return downloadZip(results.map(({ blob }, i) => ({ input: blob, name: names[i], lastModified: now, size: blob.size }))).blob();
}

export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser reads it after the click
}

/** Whether this browser can share files; `share` then opens its list of apps. */
export function canShare(): boolean {
  return navigator.canShare?.({ files: [new File([], "a.png", { type: "image/png" })] }) ?? false;
}

export async function share({ blob, name }: Result): Promise<void> {
  try {
    await navigator.share({ files: [new File([blob], name, { type: blob.type })] });
  } catch (error) {
    if ((error as Error).name !== "AbortError") throw error; // the user closed the list
  }
}

/** Copy a picture; the clipboard only takes PNG. */
export async function copy({ blob }: Result): Promise<void> {
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob.type === "image/png" ? blob : asPng(blob) })]);
}

async function asPng(blob: Blob): Promise<Blob> {
  const image = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")!.drawImage(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
