/** Python's `round`, half to even. Sizes and tile edges depend on it. */
export function round(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Size of the result in px for a factor from 1 to 8, as `edgesr.upscaling.upscaler.target_size`. */
export function targetSize(width: number, height: number, scale: number): { width: number; height: number } {
  return { width: Math.max(1, round(width * scale)), height: Math.max(1, round(height * scale)) };
}
