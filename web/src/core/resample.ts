/**
 * Lanczos resampling, identical to Pillow's for 8-bit pixels (`Image.resize(..., LANCZOS)`, which `edgesr.upscaling.planes.resize` uses),
 * but row by row from top to bottom, so that a large result is never in memory as a whole.
 */

const PRECISION = 22; // bits after the point of the coefficients, as in Pillow
const LOBES = 3;

interface Taps {
  first: Int32Array; // first input position of an output position
  count: Int32Array;
  weights: Int32Array; // `most` per output position
  most: number;
}

export class RowResampler {
  private readonly horizontal: Taps | undefined;
  private readonly vertical: Taps | undefined;
  private rows: Uint8Array[] = []; // resampled horizontally, from row `base` on
  private base = 0;
  private next = 0; // the next output row

  constructor(
    private readonly from: { width: number; height: number },
    readonly to: { width: number; height: number },
    private readonly channels: number,
  ) {
    this.horizontal = from.width === to.width ? undefined : makeTaps(from.width, to.width);
    this.vertical = from.height === to.height ? undefined : makeTaps(from.height, to.height);
  }

  /** Take the next input rows, and return the output rows that are complete with them. */
  push(band: Uint8Array): Uint8Array {
    const narrow = this.horizontal ? this.horizontally(band, this.horizontal) : band;
    if (!this.vertical) return narrow;
    const stride = this.to.width * this.channels;
    for (let at = 0; at < narrow.length; at += stride) this.rows.push(narrow.subarray(at, at + stride));
    const { first, count } = this.vertical;
    const start = this.next;
    const known = this.base + this.rows.length;
    while (this.next < this.to.height && first[this.next]! + count[this.next]! <= known) this.next++;
    const out = new Uint8Array((this.next - start) * stride);
    for (let y = start; y < this.next; y++) this.vertically(out.subarray((y - start) * stride, (y - start + 1) * stride), y);
    const needed = this.next < this.to.height ? first[this.next]! : known;
    this.rows.splice(0, Math.max(0, Math.min(this.rows.length, needed - this.base)));
    this.base = Math.max(this.base, Math.min(needed, known));
    return out;
  }

  private horizontally(band: Uint8Array, taps: Taps): Uint8Array {
    const { channels } = this;
    const [inStride, outStride] = [this.from.width * channels, this.to.width * channels];
    const rows = band.length / inStride;
    const out = new Uint8ClampedArray(rows * outStride);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < this.to.width; x++) {
        const [first, count, at] = [taps.first[x]!, taps.count[x]!, x * taps.most];
        for (let c = 0; c < channels; c++) {
          let sum = 1 << (PRECISION - 1);
          let source = y * inStride + first * channels + c;
          for (let i = 0; i < count; i++, source += channels) sum += band[source]! * taps.weights[at + i]!;
          out[y * outStride + x * channels + c] = sum >> PRECISION;
        }
      }
    }
    return new Uint8Array(out.buffer);
  }

  private vertically(out: Uint8Array, y: number): void {
    const { first, count, weights, most } = this.vertical!;
    const start = first[y]! - this.base;
    for (let x = 0; x < out.length; x++) {
      let sum = 1 << (PRECISION - 1);
      for (let i = 0; i < count[y]!; i++) sum += this.rows[start + i]![x]! * weights[y * most + i]!;
      out[x] = Math.min(255, Math.max(0, sum >> PRECISION));
    }
  }
}

function makeTaps(from: number, to: number): Taps {
  const scale = from / to;
  const filterScale = Math.max(1, scale);
  const support = LOBES * filterScale;
  const most = Math.ceil(support) * 2 + 1;
  const taps: Taps = { first: new Int32Array(to), count: new Int32Array(to), weights: new Int32Array(to * most), most };
  for (let x = 0; x < to; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - first;
    const exact = Array.from({ length: count }, (_, i) => lanczos((i + first - centre + 0.5) / filterScale));
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    exact.forEach((weight, i) => {
      const scaled = (weight / total) * (1 << PRECISION);
      taps.weights[x * most + i] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    taps.first[x] = first;
    taps.count[x] = count;
  }
  return taps;
}

function lanczos(x: number): number {
  return x >= -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
