/**
 * The noise eps ~ N(0, I) as a function of image coordinates, identical to `edgesr.upscaling.noise`: a counter-based hash, whose halves
 * index a table of Box-Muller radii and one of angles.
 */

const HALF = 1 << 16;
let tables: { radius: Float32Array; cosine: Float32Array; sine: Float32Array } | undefined;

/** The window (channels, rows, columns) of the noise with this seed; positions are latent positions, `channels` is even. */
export function noiseField(
  seed: number,
  channels: number,
  rows: [start: number, stop: number],
  columns: [start: number, stop: number],
): Float32Array {
  const { radius, cosine, sine } = (tables ??= makeTables());
  const height = rows[1] - rows[0];
  const width = columns[1] - columns[0];
  const plane = height * width;
  const eps = new Float32Array(channels * plane);
  const seeded = mix(seed >>> 0);
  for (let pair = 0; pair < channels / 2; pair++) {
    const ofPair = mix((pair + seeded) >>> 0);
    let at = 2 * pair * plane;
    for (let row = rows[0]; row < rows[1]; row++) {
      const ofRow = mix((row + ofPair) >>> 0);
      for (let column = columns[0]; column < columns[1]; column++, at++) {
        const hashed = mix((column + ofRow) >>> 0);
        const length = radius[hashed >>> 16]!;
        const angle = hashed & (HALF - 1);
        eps[at] = length * cosine[angle]!;
        eps[at + plane] = length * sine[angle]!;
      }
    }
  }
  return eps;
}

/** Scramble 32 bits (the "lowbias32" constants of C. Wellons' hash search, public domain). */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

function makeTables() {
  const radius = new Float32Array(HALF);
  const cosine = new Float32Array(HALF);
  const sine = new Float32Array(HALF);
  for (let i = 0; i < HALF; i++) {
    const uniform = (i + 0.5) / HALF;
    radius[i] = Math.sqrt(-2 * Math.log(uniform));
    cosine[i] = Math.cos(2 * Math.PI * uniform);
    sine[i] = Math.sin(2 * Math.PI * uniform);
  }
  return { radius, cosine, sine };
}
