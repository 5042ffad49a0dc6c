/** Writes a PNG row by row, so that the result is never in memory as a whole. */

import { concat, crc32, latin, through, viewOf, type Bytes } from "./bytes";
import type { Kept } from "./kept";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const COLOUR_TYPES = [0, 4, 2, 6]; // by channels, 1 to 4
const PAETH = 4;

export class PngWriter {
  private readonly parts: Bytes[] = [];
  private readonly compression = new CompressionStream("deflate");
  private readonly writer = this.compression.writable.getWriter();
  private readonly collected = this.collect();
  private before: Uint8Array;

  private constructor(private readonly stride: number, private readonly channels: number) {
    this.before = new Uint8Array(stride);
  }

  static async start(width: number, height: number, channels: number, kept: Kept): Promise<PngWriter> {
    const writer = new PngWriter(width * channels, channels);
    const head = new Uint8Array(13);
    viewOf(head).setUint32(0, width);
    viewOf(head).setUint32(4, height);
    head.set([8, COLOUR_TYPES[channels - 1]!, 0, 0, 0], 8);
    writer.parts.push(SIGNATURE, chunk("IHDR", head));
    if (kept.icc) {
      const packed = await through(kept.icc, new CompressionStream("deflate"));
      writer.parts.push(chunk("iCCP", concat(latin("profile\0\0"), packed)));
    }
    writer.parts.push(...kept.pngChunks);
    if (kept.exif) writer.parts.push(chunk("eXIf", kept.exif));
    if (kept.xmp) writer.parts.push(chunk("iTXt", concat(latin("XML:com.adobe.xmp\0\0\0\0\0"), kept.xmp)));
    return writer;
  }

  async rows(rows: Uint8Array): Promise<void> {
    const { stride, channels } = this;
    const lines = rows.length / stride;
    const filtered = new Uint8Array(lines * (stride + 1));
    for (let y = 0; y < lines; y++) {
      const line = rows.subarray(y * stride, (y + 1) * stride);
      filterPaeth(line, this.before, filtered.subarray(y * (stride + 1), (y + 1) * (stride + 1)), channels);
      this.before = line;
    }
    this.before = this.before.slice();
    await this.writer.write(filtered);
  }

  async finish(): Promise<Blob> {
    await this.writer.close();
    await this.collected;
    return new Blob([...this.parts, chunk("IEND", new Uint8Array())], { type: "image/png" });
  }

  private async collect(): Promise<void> {
    const reader = this.compression.readable.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) this.parts.push(chunk("IDAT", next.value));
  }
}

function filterPaeth(line: Uint8Array, above: Uint8Array, out: Uint8Array, channels: number): void {
  out[0] = PAETH;
  for (let x = 0; x < line.length; x++) {
    const a = x < channels ? 0 : line[x - channels]!;
    const b = above[x]!;
    const c = x < channels ? 0 : above[x - channels]!;
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    out[x + 1] = line[x]! - (pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
  }
}

function chunk(type: string, body: Uint8Array): Bytes {
  const name = latin(type);
  const frame = new Uint8Array(8);
  viewOf(frame).setUint32(0, body.length);
  viewOf(frame).setUint32(4, crc32(name, body));
  return concat(frame.subarray(0, 4), name, body, frame.subarray(4));
}
