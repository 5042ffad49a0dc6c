/** Unsharp mask on luma, as `edgesr.upscaling.sharpen`, row by row from top to bottom. */

export const CRISP = 0.4; // the default of the crisp form
const RADIUS = 2; // px of the result
const [MIDDLE, NEAR, FAR] = [6 / 16, 4 / 16, 1 / 16]; // binomial
const [RED, GREEN, BLUE] = [0.299, 0.587, 0.114]; // BT.601

/** The sharpness for a fidelity (0 to 1) where none is asked for. */
export const defaultSharpness = (fidelity: number) => CRISP * (1 - fidelity);

interface Row {
  pixels: Uint8Array;
  luma: Float32Array;
  blurred: Float32Array; // luma, along the row
}

export class RowSharpener {
  private readonly rows: Row[] = []; // from row `base` on
  private base = 0;
  private next = 0; // the next output row

  constructor(
    private readonly size: { width: number; height: number },
    private readonly channels: number,
    private readonly sharpness: number, // 0 (off) to 1
  ) {}

  /** Take the next input rows, and return the output rows that are complete with them. */
  push(band: Uint8Array): Uint8Array {
    if (this.sharpness === 0) return band;
    const stride = this.size.width * this.channels;
    for (let at = 0; at < band.length; at += stride) this.rows.push(this.row(band.subarray(at, at + stride)));
    const known = this.base + this.rows.length;
    const ready = Math.max(this.next, known === this.size.height ? known : known - RADIUS);
    const out = new Uint8ClampedArray((ready - this.next) * stride);
    for (let at = 0; this.next < ready; this.next++, at += stride) this.mask(out.subarray(at, at + stride), this.next);
    const done = Math.max(0, this.next - RADIUS - this.base);
    this.rows.splice(0, done);
    this.base += done;
    return new Uint8Array(out.buffer);
  }

  private mask(out: Uint8ClampedArray, y: number): void {
    const { channels } = this;
    const colours = channels === 2 || channels === 4 ? channels - 1 : channels;
    const at = (row: number) => this.rows[Math.min(this.size.height - 1, Math.max(0, row)) - this.base]!;
    const { pixels, luma, blurred } = at(y);
    const [above, below, farAbove, farBelow] = [at(y - 1).blurred, at(y + 1).blurred, at(y - 2).blurred, at(y + 2).blurred];
    for (let x = 0, at = 0; x < luma.length; x++, at += channels) {
      const around = MIDDLE * blurred[x]! + NEAR * (above[x]! + below[x]!) + FAR * (farAbove[x]! + farBelow[x]!);
      const change = this.sharpness * (luma[x]! - around);
      for (let c = 0; c < channels; c++) out[at + c] = c < colours ? Math.floor(pixels[at + c]! + change + 0.5) : pixels[at + c]!;
    }
  }

  private row(pixels: Uint8Array): Row {
    const { width } = this.size;
    const { channels } = this;
    const luma = new Float32Array(width);
    for (let x = 0, at = 0; x < width; x++, at += channels) {
      luma[x] = channels < 3 ? pixels[at]! : RED * pixels[at]! + GREEN * pixels[at + 1]! + BLUE * pixels[at + 2]!;
    }
    const at = (x: number) => luma[Math.min(width - 1, Math.max(0, x))]!;
    const blurred = luma.map((value, x) => MIDDLE * value + NEAR * (at(x - 1) + at(x + 1)) + FAR * (at(x - 2) + at(x + 2)));
    return { pixels, luma, blurred };
  }
}
