import { MAX_SCALE } from "./model";

/** Python's `round`, half to even. Sizes and tile edges depend on it. */
export function round(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Size of the result in px, as `edgesr.upscaling.upscaler.target_size`: for a scale from 1 to 8, or the largest size within a given width,
 * height or both, which may be smaller than the input. Throws if that is more than 8 times the input.
 */
export function targetSize(width: number, height: number, wanted: WantedSize): Size {
  const within = Math.min((wanted.width ?? Infinity) / width, (wanted.height ?? Infinity) / height);
  const factor = within < Infinity ? within : wanted.scale;
  if (!(factor > 0 && factor <= MAX_SCALE)) {
    throw new Error(`the result would be larger than ${MAX_SCALE}×: choose at most ${MAX_SCALE * width} × ${MAX_SCALE * height} px`);
  }
  return { width: Math.max(1, round(width * factor)), height: Math.max(1, round(height * factor)) };
}

export interface Size {
  width: number;
  height: number;
}

export interface WantedSize {
  scale: number; // 1 to 8
  width?: number | undefined; // px of the result, instead of scale
  height?: number | undefined;
}
