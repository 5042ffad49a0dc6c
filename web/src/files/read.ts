/** Read the metadata of an image file: EXIF, colour profile, XMP, and properties that browsers do not report. */

import { ascii, concat, latin, viewOf, type Bytes } from "./bytes";

export type Format = "JPEG" | "PNG" | "WEBP" | "GIF" | "BMP" | "AVIF" | "HEIF" | "TIFF";

export interface Description {
  format: Format | undefined;
  grey: boolean;
  mayHaveAlpha: boolean;
  animated: boolean;
  sixteenBit: boolean;
  exif?: Bytes; // without the "Exif\0\0" prefix
  icc?: Bytes;
  xmp?: Bytes;
  pngChunks: Bytes[]; // complete gAMA, cHRM, sRGB, cICP, pHYs and text chunks, for PNG to PNG
}

const COLOUR_AND_TEXT = new Set(["gAMA", "cHRM", "sRGB", "cICP", "pHYs", "tEXt", "zTXt", "iTXt"]);
const LARGEST_PROFILE = 2 ** 24; // bytes
const XMP_PREFIX = "http://ns.adobe.com/xap/1.0/\0";

/** Never throws: of a truncated file it returns what it can read, and the decoder reports the error. */
export async function describe(file: Bytes): Promise<Description> {
  const described: Description = {
    format: detect(file), grey: false, mayHaveAlpha: true, animated: false, sixteenBit: false, pngChunks: [],
  };
  try {
    if (described.format === "JPEG") readJpeg(file, described);
    if (described.format === "PNG") await readPng(file, described);
    if (described.format === "WEBP") readWebp(file, described);
    if (described.format === "GIF") described.animated = gifFrames(file) > 1;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return described;
}

export function detect(file: Uint8Array): Format | undefined {
  const head = ascii(file, 0, 16);
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (head.startsWith("\xff\xd8\xff")) return "JPEG";
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return "WEBP";
  if (head.startsWith("GIF8")) return "GIF";
  if (head.startsWith("BM")) return "BMP";
  if (head.startsWith("II*\0") || head.startsWith("MM\0*")) return "TIFF";
  if (head.slice(4, 8) !== "ftyp") return undefined;
  const brands = ascii(file, 8, Math.min(64, viewOf(file).getUint32(0)) - 8);
  if (/avi[fs]/.test(brands)) return "AVIF";
  return /hei[cxms]|hev[cx]|mif1|msf1/.test(brands) ? "HEIF" : undefined;
}

function readJpeg(file: Bytes, described: Description): void {
  described.mayHaveAlpha = false;
  const view = viewOf(file);
  const profile: Bytes[] = [];
  let at = 2;
  while (view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0xda || marker === 0xd9) break;
    const length = view.getUint16(at + 2);
    const body = file.subarray(at + 4, at + 2 + length);
    if (marker === 0xe1 && ascii(body, 0, 6) === "Exif\0\0") described.exif ??= body.slice(6);
    if (marker === 0xe1 && ascii(body, 0, XMP_PREFIX.length) === XMP_PREFIX) described.xmp ??= body.slice(XMP_PREFIX.length);
    if (marker === 0xe2 && ascii(body, 0, 12) === "ICC_PROFILE\0") profile[body[12]! - 1] = body.slice(14);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) described.grey = body[5] === 1;
    at += 2 + length;
  }
  if (profile.length) described.icc = concat(...profile.filter(Boolean));
}

async function readPng(file: Bytes, described: Description): Promise<void> {
  const view = viewOf(file);
  let at = 8;
  while (at + 12 <= file.length) {
    const length = view.getUint32(at);
    const type = ascii(file, at + 4, 4);
    const body = file.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") {
      described.sixteenBit = body[8] === 16;
      described.grey = body[9] === 0 || body[9] === 4;
      described.mayHaveAlpha = body[9]! >= 4;
    }
    if (type === "tRNS") described.mayHaveAlpha = true;
    if (type === "acTL") described.animated = view.getUint32(at + 8) > 1;
    if (type === "eXIf") described.exif = body.slice();
    if (type === "iCCP") described.icc = await inflated(body.slice(body.indexOf(0) + 2));
    if (type === "iTXt" && ascii(body, 0, 18) === "XML:com.adobe.xmp\0") described.xmp = body.slice(22);
    else if (COLOUR_AND_TEXT.has(type)) described.pngChunks.push(file.slice(at, at + 12 + length));
    if (type === "IEND") break;
    at += 12 + length;
  }
}

/** The profile in a PNG; undefined if it is damaged, or larger than any real one when unpacked. */
async function inflated(bytes: Bytes): Promise<Bytes | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length;
      if (length > LARGEST_PROFILE) {
        await reader.cancel();
        return undefined;
      }
      parts.push(next.value);
    }
    return concat(...parts);
  } catch {
    return undefined;
  }
}

function readWebp(file: Bytes, described: Description): void {
  const view = viewOf(file);
  described.mayHaveAlpha = false;
  let at = 12;
  while (at + 8 <= file.length) {
    const length = view.getUint32(at + 4, true);
    const body = file.subarray(at + 8, at + 8 + length);
    const type = ascii(file, at, 4);
    if (type === "VP8X") {
      described.animated = (body[0]! & 2) !== 0;
      described.mayHaveAlpha ||= (body[0]! & 16) !== 0;
    }
    if (type === "VP8L") described.mayHaveAlpha ||= (body[4]! & 16) !== 0;
    if (type === "EXIF") described.exif = ascii(body, 0, 6) === "Exif\0\0" ? body.slice(6) : body.slice();
    if (type === "ICCP") described.icc = body.slice();
    if (type === "XMP ") described.xmp = body.slice();
    at += 8 + length + (length & 1);
  }
}

function gifFrames(file: Bytes): number {
  const view = viewOf(file);
  const colours = (flags: number) => (flags & 128 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let [at, frames] = [13 + colours(file[10]!), 0];
  for (;;) {
    const kind = view.getUint8(at);
    if (kind !== 0x21 && kind !== 0x2c) return frames;
    if (kind === 0x2c) frames++;
    at += kind === 0x21 ? 2 : 11 + colours(view.getUint8(at + 9));
    while (view.getUint8(at) !== 0) at += 1 + view.getUint8(at);
    at++;
  }
}

export const JPEG_EXIF_PREFIX = latin("Exif\0\0");
export const JPEG_XMP_PREFIX = latin(XMP_PREFIX);
