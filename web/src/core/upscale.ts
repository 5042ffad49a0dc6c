/** Upscale a picture of any size, as `edgesr.upscaling.upscaler`, in bands from top to bottom, so that the result is never held as a whole. */

import { MODEL } from "./model";
import { noiseField } from "./noise";
import { fillTransparent, holdWithinNeighbours, toGrey } from "./planes";
import { planExact, type Span } from "./tiling";

/** Upright 8-bit pixels (height, width, channels), straight alpha last. */
export interface Pixels {
  width: number;
  height: number;
  channels: 1 | 2 | 3 | 4;
  data: Uint8Array;
}

/** lr (1, 3, height, width) in [0, 1], eps (1, C, height / 2, width / 2) -> hr (1, 3, 4 height, 4 width) in [0, 1]. */
export type Network = (lr: Float32Array, eps: Float32Array, height: number, width: number) => Promise<Float32Array>;

export interface Listener {
  /** Receives the next output rows, all channels. */
  band(rows: Uint8Array): Promise<void>;
  /** Called after each evaluation of the network; throw to cancel. */
  step(done: number, total: number): Promise<void>;
  /** Receives the colour of a tile for the preview, (height, width, channels) at (left, top) of the result at x4. */
  tile?(data: Uint8Array, channels: number, left: number, top: number, width: number, height: number): void;
}

export async function upscale(picture: Pixels, network: Network, windowPixels: number, listener: Listener, seed = 0): Promise<void> {
  const { width, height, channels } = picture;
  const withAlpha = channels === 2 || channels === 4;
  const colours = withAlpha ? channels - 1 : channels;
  const [colour, alpha] = withAlpha ? split(picture) : [picture.data, undefined];
  const throughAlpha = alpha !== undefined && alpha.some((value) => value !== alpha[0]);
  if (alpha && throughAlpha) fillTransparent(colour, alpha, width, height);
  const plan = planExact(padded(height), padded(width), MODEL.halo, MODEL.multiple, windowPixels);
  const total = plan.rows.length * plan.columns.length * (throughAlpha ? 2 : 1);
  let done = 0;
  for (const row of plan.rows) {
    const lines = Math.min(height, row.keepStop) - row.keepStart;
    if (lines <= 0) continue; // a tile that only contains padding
    const band = new Uint8Array(lines * width * MODEL.scale ** 2 * channels);
    const bandAlpha = new Uint8Array(alpha ? band.length / channels : 0).fill(alpha?.[0] ?? 0);
    for (const column of plan.columns) {
      const columns = Math.min(width, column.keepStop) - column.keepStart;
      if (columns <= 0) continue;
      const tile = await evaluate(colour, colours, picture, row, column, network, seed);
      paste(tile, colours, band, channels, width, column.keepStart, lines, columns);
      listener.tile?.(tile, colours, column.keepStart * MODEL.scale, row.keepStart * MODEL.scale, columns * MODEL.scale, lines * MODEL.scale);
      await listener.step(++done, total);
      if (!alpha || !throughAlpha) continue;
      paste(await evaluate(alpha, 1, picture, row, column, network, seed), 1, bandAlpha, 1, width, column.keepStart, lines, columns);
      await listener.step(++done, total);
    }
    if (alpha) {
      if (throughAlpha) holdWithinNeighbours(bandAlpha, alpha, width, height, row.keepStart, MODEL.scale);
      for (let i = 0; i < bandAlpha.length; i++) band[(i + 1) * channels - 1] = bandAlpha[i]!;
    }
    await listener.band(band);
  }
}

/** The kept part of a window's result, cropped at the picture's border: (height, width, channels). */
async function evaluate(
  data: Uint8Array, channels: number, size: { width: number; height: number }, row: Span, column: Span, network: Network, seed: number,
): Promise<Uint8Array> {
  const [height, width] = [row.stop - row.start, column.stop - column.start];
  const lr = toNetwork(data, channels, size, row, column);
  const latent = (span: Span): [number, number] => [span.start / MODEL.latentStride, span.stop / MODEL.latentStride];
  const eps = noiseField(seed, MODEL.latentChannels, latent(row), latent(column));
  const result = await network(lr, eps, height, width);
  const planes = channels === 1 ? toGrey(result) : result;
  const scale = MODEL.scale;
  const [top, left] = [(row.keepStart - row.start) * scale, (column.keepStart - column.start) * scale];
  const lines = (Math.min(size.height, row.keepStop) - row.keepStart) * scale;
  const columns = (Math.min(size.width, column.keepStop) - column.keepStart) * scale;
  const [stride, plane] = [width * scale, width * height * scale * scale];
  const kept = new Uint8Array(lines * columns * channels);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < lines; y++) {
      const source = c * plane + (top + y) * stride + left;
      let target = y * columns * channels + c;
      for (let x = 0; x < columns; x++, target += channels) kept[target] = Math.fround(planes[source + x]! * 255) + 0.5;
    }
  }
  return kept;
}

/** (1, 3, h, w) in [0, 1]; the last row and column are repeated up to the multiple. */
function toNetwork(
  data: Uint8Array, channels: number, size: { width: number; height: number }, row: Span, column: Span,
): Float32Array {
  const [height, width] = [row.stop - row.start, column.stop - column.start];
  const planes = new Float32Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    const line = Math.min(size.height - 1, row.start + y) * size.width;
    for (let x = 0; x < width; x++) {
      const source = (line + Math.min(size.width - 1, column.start + x)) * channels;
      for (let c = 0; c < 3; c++) planes[(c * height + y) * width + x] = data[channels === 1 ? source : source + c]! / 255;
    }
  }
  return planes;
}

function paste(
  tile: Uint8Array, tileChannels: number, band: Uint8Array, channels: number, width: number, left: number, lines: number, columns: number,
): void {
  const scale = MODEL.scale;
  for (let y = 0; y < lines * scale; y++) {
    let source = y * columns * scale * tileChannels;
    let target = (y * width * scale + left * scale) * channels;
    for (let x = 0; x < columns * scale; x++, target += channels) {
      for (let c = 0; c < tileChannels; c++) band[target + c] = tile[source++]!;
    }
  }
}

function split(picture: Pixels): [Uint8Array, Uint8Array] {
  const count = picture.width * picture.height;
  const channels = picture.channels;
  const colour = new Uint8Array(count * (channels - 1));
  const alpha = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < channels - 1; c++) colour[i * (channels - 1) + c] = picture.data[i * channels + c]!;
    alpha[i] = picture.data[(i + 1) * channels - 1]!;
  }
  return [colour, alpha];
}

function padded(side: number): number {
  return Math.ceil(side / MODEL.multiple) * MODEL.multiple;
}
