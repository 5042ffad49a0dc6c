/**
 * Edit EXIF blocks in place, as `edgesr.images.exif`: MakerNote, GPS and all other entries keep their bytes and offsets. Only
 * orientation and sizes are updated for the result, and the thumbnail, which shows the input, is blanked.
 */

import { ascii, viewOf, type Bytes } from "./bytes";

const ORIENTATION = 274;
const EXIF_DIRECTORY = 34665;
const WIDTHS = new Set([256, 40962]);
const HEIGHTS = new Set([257, 40963]);
const SHORT = 3;
const LONG = 4;

/** The block for an upright result of this size; undefined if it is damaged. */
export function refreshed(block: Bytes, width: number, height: number): Bytes | undefined {
  const edited = block.slice();
  const view = viewOf(edited);
  try {
    const little = ascii(edited, 0, 2) === "II";
    if (!little && ascii(edited, 0, 2) !== "MM") return undefined;
    const first = view.getUint32(4, little);
    const { next, inner } = edit(view, first, little, width, height);
    if (inner) edit(view, inner, little, width, height);
    const thumbnail = view.getUint32(next, little);
    view.setUint32(next, 0, little);
    if (thumbnail) blankThumbnail(view, thumbnail, little);
    return edited;
  } catch (error) {
    if (error instanceof RangeError) return undefined; // a pointer out of the block
    throw error;
  }
}

/** Edit one directory; return the position of its pointer to the next one, and its first pointer to an EXIF directory. */
function edit(view: DataView, directory: number, little: boolean, width: number, height: number): { next: number; inner?: number } {
  const next = directory + 2 + 12 * view.getUint16(directory, little);
  let inner: number | undefined;
  for (let at = directory + 2; at < next; at += 12) {
    const tag = view.getUint16(at, little);
    if (tag === ORIENTATION) patch(view, at, little, 1);
    if (WIDTHS.has(tag)) patch(view, at, little, width);
    if (HEIGHTS.has(tag)) patch(view, at, little, height);
    if (tag === EXIF_DIRECTORY) inner ??= view.getUint32(at + 8, little);
  }
  return { next, inner };
}

function patch(view: DataView, at: number, little: boolean, value: number): void {
  const type = view.getUint16(at + 2, little);
  if (view.getUint32(at + 4, little) !== 1 || (type !== SHORT && type !== LONG)) return;
  if (type === LONG || value > 0xffff) {
    view.setUint16(at + 2, LONG, little);
    view.setUint32(at + 8, value, little);
  } else {
    view.setUint16(at + 8, value, little);
  }
}

function blankThumbnail(view: DataView, directory: number, little: boolean): void {
  try {
    const count = view.getUint16(directory, little);
    const found = new Map<number, number>();
    for (let at = directory + 2; at < directory + 2 + 12 * count; at += 12) {
      found.set(view.getUint16(at, little), view.getUint32(at + 8, little));
    }
    const blank = (start: number, length: number) =>
      new Uint8Array(view.buffer, view.byteOffset, view.byteLength).fill(0, start, start + length);
    const [offset, length] = [found.get(513), found.get(514)];
    if (offset && length) blank(offset, length);
    blank(directory, 2 + 12 * count + 4);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // an invalid pointer: there is no thumbnail
  }
}
