/** Encode a result band by band, and add the metadata of the source file. */

import { ascii, concat, latin, viewOf, type Bytes } from "./bytes";
import type { Size } from "../core/numbers";
import { refreshed } from "./exif";
import type { Kept, OutputFormat } from "./kept";
import { PngWriter } from "./png";
import { JPEG_EXIF_PREFIX, JPEG_XMP_PREFIX, type Description } from "./read";

export interface Encoder {
  rows(rows: Uint8Array): Promise<void>;
  finish(): Promise<Blob>;
}

export const TYPES: Record<OutputFormat, string> = { PNG: "image/png", JPEG: "image/jpeg", WEBP: "image/webp" };
const QUALITY: Record<OutputFormat, number> = { PNG: 100, JPEG: 95, WEBP: 90 }; // a PNG has none
const LONGEST_SIDE: Record<OutputFormat, number> = { PNG: 2 ** 31 - 1, JPEG: 16384, WEBP: 16383 };
const CANVAS_PIXELS = 2 ** 28; // maximum size of a canvas in current browsers
const TEXT = new Set(["tEXt", "zTXt", "iTXt"]); // of the chunks of a PNG
const SEGMENT = 65533; // bytes in one segment of a JPEG

/** The metadata for the result, updated to its size; `notes` list what is not kept. */
export function keep(described: Description, format: OutputFormat, width: number, height: number, notes: string[]): Kept {
  const kept: Kept = { icc: described.icc, xmp: described.xmp && upright(described.xmp), pngChunks: [] };
  if (described.exif) {
    kept.exif = refreshed(described.exif, width, height);
    if (!kept.exif) notes.push("damaged EXIF dropped");
  }
  if (described.format === "PNG" && format === "PNG") kept.pngChunks = described.pngChunks;
  else if (described.pngChunks.length) notes.push(`text, resolution and gamma of the PNG are not kept in a ${format}`);
  if (described.grey && described.icc && format !== "PNG") {
    kept.icc = undefined; // a canvas writes colour files, for which a grey profile is invalid
    notes.push(`the grey colour profile is not kept in a ${format}`);
  }
  if (described.format === "AVIF" || described.format === "HEIF" || described.format === "TIFF") {
    notes.push(`EXIF and colour profile of ${described.format} files are not kept in the browser`);
  }
  if (format === "JPEG") {
    for (const kind of ["exif", "xmp"] as const) {
      if ((kept[kind]?.length ?? 0) <= 65500) continue;
      kept[kind] = undefined;
      notes.push(`${kind.toUpperCase()} dropped: it is too long for a JPEG`);
    }
  }
  return kept;
}

/** The description without EXIF, XMP and text; colour and resolution stay. */
export function withoutText(described: Description): Description {
  const { exif: _, xmp: __, ...rest } = described;
  return { ...rest, pngChunks: rest.pngChunks.filter((chunk) => !TEXT.has(ascii(chunk, 4, 4))) };
}

/** Throws, before any work is done, if the browser cannot write such a picture in this format. */
export async function startEncoder(
  format: OutputFormat, { width, height }: Size, channels: number, kept: Kept, notes: string[], quality = QUALITY[format],
): Promise<Encoder> {
  if (format === "PNG") return PngWriter.start(width, height, channels, kept);
  if (Math.max(width, height) > LONGEST_SIDE[format] || width * height > CANVAS_PIXELS) {
    throw new Error(`a browser cannot write a ${format} of ${width} × ${height} px: choose PNG, or a lower scale`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error(`this browser does not support a canvas of ${width} × ${height} px: choose PNG, or a lower scale`);
  if (format === "JPEG" && channels % 2 === 0) notes.push("transparency replaced by white: JPEG does not support it");
  let top = 0;
  return {
    async rows(rows) {
      const lines = rows.length / (width * channels);
      if (lines === 0) return;
      context.putImageData(new ImageData(toRgba(rows, channels, format === "JPEG"), width, lines), 0, top);
      top += lines;
    },
    async finish() {
      const blob = await canvas.convertToBlob({ type: TYPES[format], quality: quality / 100 });
      const written = (Object.keys(TYPES) as OutputFormat[]).find((name) => TYPES[name] === blob.type) ?? "PNG";
      if (written !== format) {
        notes.push(`this browser cannot write ${format}: the result is a ${written}, without EXIF and colour profile`);
        return blob;
      }
      const bytes = new Uint8Array(await blob.arrayBuffer());
      return new Blob([format === "JPEG" ? intoJpeg(bytes, kept) : intoWebp(bytes, kept, width, height)], { type: blob.type });
    },
  };
}

/** (n, 1 to 4 channels) -> (n, RGBA); with `onWhite`, opaque. */
export function toRgba(rows: Uint8Array, channels: number, onWhite: boolean): Uint8ClampedArray<ArrayBuffer> {
  const count = rows.length / channels;
  const out = new Uint8ClampedArray(count * 4);
  const green = channels >= 3 ? 1 : 0;
  for (let i = 0; i < count; i++) {
    const [source, target] = [i * channels, i * 4];
    const alpha = channels % 2 === 0 ? rows[source + channels - 1]! : 255;
    for (let c = 0; c < 3; c++) {
      const value = rows[source + c * green]!;
      out[target + c] = onWhite && alpha < 255 ? Math.floor((value * alpha + 255 * (255 - alpha) + 127) / 255) : value;
    }
    out[target + 3] = onWhite ? 255 : alpha;
  }
  return out;
}

/** Set the orientation in an XMP packet to 1, with the same number of bytes. */
function upright(xmp: Bytes): Bytes {
  const text = Array.from(xmp, (byte) => String.fromCharCode(byte)).join("");
  return latin(text.replace(/(tiff:Orientation(?:\s*=\s*["']|\s*>\s*))[1-8]/g, "$11"));
}

export function intoJpeg(jpeg: Bytes, kept: Kept): Bytes {
  const segments: Bytes[] = [];
  if (kept.exif) segments.push(segment(0xe1, JPEG_EXIF_PREFIX, kept.exif));
  if (kept.xmp) segments.push(segment(0xe1, JPEG_XMP_PREFIX, kept.xmp));
  if (kept.icc) {
    const size = SEGMENT - 14;
    const count = Math.ceil(kept.icc.length / size);
    for (let i = 0; i < count; i++) {
      segments.push(segment(0xe2, latin(`ICC_PROFILE\0${String.fromCharCode(i + 1, count)}`), kept.icc.subarray(i * size, (i + 1) * size)));
    }
  }
  const withJfif = jpeg[3] === 0xe0;
  const start = withJfif ? 4 + viewOf(jpeg).getUint16(4) : 2;
  return concat(jpeg.subarray(0, start), ...segments, withoutProfile(jpeg.subarray(start)));
}

/** The rest of a JPEG without the profile that the browser may have added. */
function withoutProfile(rest: Uint8Array): Uint8Array {
  const view = viewOf(rest);
  let at = 0;
  while (view.getUint16(at) === 0xffe2 && ascii(rest, at + 4, 11) === "ICC_PROFILE") at += 2 + view.getUint16(at + 2);
  return rest.subarray(at);
}

function segment(marker: number, ...parts: Uint8Array[]): Bytes {
  const body = concat(...parts);
  return concat(Uint8Array.of(0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255), body);
}

export function intoWebp(webp: Bytes, kept: Kept, width: number, height: number): Bytes {
  if (!kept.exif && !kept.icc && !kept.xmp) return webp;
  const chunks = new Map<string, Bytes>();
  const view = viewOf(webp);
  for (let at = 12; at + 8 <= webp.length; ) {
    const length = view.getUint32(at + 4, true);
    chunks.set(ascii(webp, at, 4), webp.slice(at + 8, at + 8 + length));
    at += 8 + length + (length & 1);
  }
  const alpha = chunks.has("ALPH") || ((chunks.get("VP8L")?.[4] ?? 0) & 16) !== 0 || ((chunks.get("VP8X")?.[0] ?? 0) & 16) !== 0;
  const head = new Uint8Array(10);
  head[0] = (kept.icc ? 32 : 0) | (alpha ? 16 : 0) | (kept.exif ? 8 : 0) | (kept.xmp ? 4 : 0);
  [width - 1, height - 1].forEach((side, i) => head.set([side & 255, (side >> 8) & 255, side >> 16], 4 + 3 * i));
  const parts = [riff("VP8X", head)];
  if (kept.icc) parts.push(riff("ICCP", kept.icc));
  for (const name of ["ALPH", "VP8 ", "VP8L"]) if (chunks.has(name)) parts.push(riff(name, chunks.get(name)!));
  if (kept.exif) parts.push(riff("EXIF", kept.exif));
  if (kept.xmp) parts.push(riff("XMP ", kept.xmp));
  return riff("RIFF", concat(latin("WEBP"), ...parts));
}

function riff(name: string, body: Uint8Array): Bytes {
  const size = new Uint8Array(4);
  viewOf(size).setUint32(0, body.length, true);
  return concat(latin(name), size, body, new Uint8Array(body.length & 1));
}
