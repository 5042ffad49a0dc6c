/**
 * Exact tiles, as `edgesr.upscaling.tiling.plan_exact`: every window has a halo that covers the network's receptive field, so that the
 * kept parts equal the untiled result. The blended tiles of the preset `paper` are not supported: at 600 MB it is too large for a page.
 * All lengths are in LR px.
 */

import { round } from "./numbers";

/** One axis of a tile: the computed window [start, stop), and the kept part [keepStart, keepStop). */
export interface Span {
  start: number;
  stop: number;
  keepStart: number;
  keepStop: number;
}

export interface Plan {
  rows: Span[];
  columns: Span[];
}

/** Plan the grid that computes the fewest pixels with no window larger than `windowPixels`; sides are multiples of `multiple`. */
export function planExact(height: number, width: number, halo: number, multiple: number, windowPixels: number): Plan {
  const [rows, columns] = cheapestGrid(height, width, halo, windowPixels);
  return { rows: spans(height, rows, halo, multiple), columns: spans(width, columns, halo, multiple) };
}

function cheapestGrid(height: number, width: number, halo: number, windowPixels: number): [number, number] {
  let best: [number, number] = [1, 1];
  let bestCost = Infinity;
  for (let rows = 1; rows <= Math.floor(height / 32) + 1; rows++) {
    const windowHeight = Math.min(height, Math.ceil(height / rows) + 2 * halo);
    for (let columns = 1; columns <= Math.floor(width / 32) + 1; columns++) {
      const windowWidth = Math.min(width, Math.ceil(width / columns) + 2 * halo);
      if (windowHeight * windowWidth > windowPixels) continue;
      const cost = (height + 2 * halo * (rows - 1)) * (width + 2 * halo * (columns - 1));
      if (cost < bestCost) [best, bestCost] = [[rows, columns], cost];
      break; // more columns cost more
    }
  }
  return best;
}

function spans(length: number, wanted: number, halo: number, multiple: number): Span[] {
  const units = length / multiple;
  const count = Math.min(wanted, units);
  const edge = (i: number) => round((i * units) / count) * multiple;
  return Array.from({ length: count }, (_, i) => ({
    start: Math.max(0, edge(i) - halo),
    stop: Math.min(length, edge(i + 1) + halo),
    keepStart: edge(i),
    keepStop: edge(i + 1),
  }));
}
