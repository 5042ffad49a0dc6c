/** Decode a file: upright, without colour conversion, with straight alpha if the browser supports it. */

import type { Pixels } from "../core/upscale";
import type { Bytes } from "./bytes";
import type { Description } from "./read";

export const MAX_PIXELS = 2 ** 26; // of an input: 8,192 x 8,192

export async function decode(file: Bytes, described: Description, type: string, notes: string[]): Promise<Pixels> {
  if (described.animated) throw new Error("animations are not supported");
  const blob = new Blob([file], { type });
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image",
    });
  } catch {
    throw new Error(reason(file, described));
  }
  try {
    const { width, height } = bitmap;
    if (width * height > MAX_PIXELS) {
      throw new Error(`${width} × ${height} px is too large for this page (at most ${MAX_PIXELS.toLocaleString("en")} px); use the command edgesr upscale`);
    }
    if (described.sixteenBit) notes.push("16 bits per channel reduced to 8: browsers do not support more");
    const straight = described.mayHaveAlpha ? await straightPixels(file, type, width, height) : undefined;
    return fewestChannels(straight ?? drawnPixels(bitmap, described.mayHaveAlpha), width, height, described.grey);
  } finally {
    bitmap.close();
  }
}

function reason(file: Bytes, described: Description): string {
  if (file.length === 0) return "empty file (0 bytes)";
  if (!described.format) return "unsupported image format";
  if (["HEIF", "TIFF"].includes(described.format)) return `this browser does not support ${described.format} files; use the command edgesr upscale`;
  return `damaged ${described.format} file, or not enough memory in this browser`;
}

function drawnPixels(bitmap: ImageBitmap, withAlpha: boolean): Uint8ClampedArray {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { alpha: withAlpha, willReadFrequently: true });
  if (!context) throw new Error("not enough memory in this browser");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** A canvas premultiplies alpha and loses the colour of nearly transparent pixels; WebCodecs does not. */
async function straightPixels(file: Bytes, type: string, width: number, height: number): Promise<Uint8Array | undefined> {
  if (typeof ImageDecoder === "undefined" || !(await ImageDecoder.isTypeSupported(type))) return undefined;
  const decoder = new ImageDecoder({ data: file, type, colorSpaceConversion: "none", premultiplyAlpha: "none" } as ImageDecoderInit);
  try {
    const { image } = await decoder.decode();
    try {
      const upright = image.codedWidth === width && image.codedHeight === height;
      if (!upright || !["RGBA", "BGRA"].includes(image.format ?? "")) return undefined;
      const pixels = new Uint8Array(image.allocationSize());
      await image.copyTo(pixels);
      if (image.format === "BGRA") for (let i = 0; i < pixels.length; i += 4) [pixels[i], pixels[i + 2]] = [pixels[i + 2]!, pixels[i]!];
      return pixels;
    } finally {
      image.close();
    }
  } catch {
    return undefined;
  } finally {
    decoder.close();
  }
}

/** RGBA -> the channels in use: alpha only if a pixel is not opaque, one colour channel if the file is grey. */
function fewestChannels(rgba: Uint8ClampedArray | Uint8Array, width: number, height: number, grey: boolean): Pixels {
  let opaque = true;
  for (let i = 3; i < rgba.length && opaque; i += 4) opaque = rgba[i] === 255;
  const channels = ((grey ? 1 : 3) + (opaque ? 0 : 1)) as Pixels["channels"];
  const data = new Uint8Array(width * height * channels);
  let at = 0;
  for (let i = 0; i < rgba.length; i += 4) {
    data[at++] = rgba[i]!;
    if (!grey) {
      data[at++] = rgba[i + 1]!;
      data[at++] = rgba[i + 2]!;
    }
    if (!opaque) data[at++] = rgba[i + 3]!;
  }
  return { width, height, channels, data };
}
