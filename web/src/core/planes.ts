/** Operations on pixels around the network, as in `edgesr.upscaling.planes`: colour under transparency, range of alpha, grey. */

/** Luma (BT.601) of three planes, added in the same order as in `edgesr.upscaling.planes.to_grey`. */
export function toGrey(planes: Float32Array): Float32Array {
  const size = planes.length / 3;
  const [red, green, blue] = [Math.fround(0.299), Math.fround(0.587), Math.fround(0.114)];
  const grey = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const warm = Math.fround(Math.fround(red * planes[i]!) + Math.fround(green * planes[size + i]!));
    grey[i] = warm + Math.fround(blue * planes[2 * size + i]!);
  }
  return grey;
}

/** Replace the colour (H, W, C) of fully transparent pixels, in place, by that of nearby visible ones. */
export function fillTransparent(colour: Uint8Array, alpha: Uint8Array, width: number, height: number): void {
  const hidden = alpha.reduce((count, value) => count + (value === 0 ? 1 : 0), 0);
  if (hidden === 0 || hidden === alpha.length) return;
  const visible = Float32Array.from(alpha, (value) => (value === 0 ? 0 : 1));
  const channels = colour.length / alpha.length;
  const filled = pullPush(Float32Array.from(colour), visible, width, height, channels);
  for (let i = 0; i < alpha.length; i++) {
    if (alpha[i] !== 0) continue;
    for (let c = 0; c < channels; c++) colour[i * channels + c] = roundEven(filled[i * channels + c]!);
  }
}

/** Fill where `weight` is 0 from coarser weighted means: pull-push on a pyramid. */
function pullPush(colour: Float32Array, weight: Float32Array, width: number, height: number, channels: number): Float32Array {
  if (weight.length === 1 || weight.every((w) => w !== 0)) return colour;
  const [coarseWidth, coarseHeight] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const total = new Float32Array(coarseWidth * coarseHeight);
  const coarse = new Float32Array(total.length * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const w = weight[y * width + x]!;
      if (w === 0) continue;
      const at = (y >> 1) * coarseWidth + (x >> 1);
      total[at]! += w;
      for (let c = 0; c < channels; c++) coarse[at * channels + c]! += colour[(y * width + x) * channels + c]! * w;
    }
  }
  for (let i = 0; i < coarse.length; i++) coarse[i]! /= Math.max(total[Math.floor(i / channels)]!, 1);
  const known = total.map((w) => (w > 0 ? 1 : 0));
  const filled = pullPush(coarse, known, coarseWidth, coarseHeight, channels);
  const out = colour.slice();
  for (let i = 0; i < weight.length; i++) {
    if (weight[i] !== 0) continue;
    const at = (Math.floor(i / width) >> 1) * coarseWidth + ((i % width) >> 1);
    for (let c = 0; c < channels; c++) out[i * channels + c] = filled[at * channels + c]!;
  }
  return out;
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Clip rows of an upscaled plane, in place, to the range of `lr` (W, H) in the 3x3 pixels around each position, so that fully opaque or
 * transparent areas stay so. `plane` contains the output rows of the LR rows from `top` on, at `scale` px per LR px.
 */
export function holdWithinNeighbours(
  plane: Uint8Array, lr: Uint8Array, width: number, height: number, top: number, scale: number,
): void {
  const rows = plane.length / (width * scale * scale);
  for (let row = 0; row < rows; row++) {
    for (let x = 0; x < width; x++) {
      let [low, high] = [255, 0];
      for (let dy = -1; dy <= 1; dy++) {
        const y = Math.min(height - 1, Math.max(0, top + row + dy));
        for (let dx = -1; dx <= 1; dx++) {
          const value = lr[y * width + Math.min(width - 1, Math.max(0, x + dx))]!;
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
      for (let py = 0; py < scale; py++) {
        const at = ((row * scale + py) * width + x) * scale;
        for (let px = 0; px < scale; px++) plane[at + px] = Math.min(high, Math.max(low, plane[at + px]!));
      }
    }
  }
}
