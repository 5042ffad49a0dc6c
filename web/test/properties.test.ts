/** The readers of files on bytes that nobody chose: they never throw, never hang, and give back what was written. */

import fc from "fast-check";
import { describe as group, expect, it } from "vitest";
import { concat, latin, through, viewOf, type Bytes } from "../src/files/bytes";
import { refreshed } from "../src/files/exif";
import { PngWriter } from "../src/files/png";
import { describe, detect } from "../src/files/read";
import { intoJpeg, intoWebp } from "../src/files/write";

const JPEG = latin("\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xd9");
const WEBP = concat(latin("RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0"), new Uint8Array(10));
const GIF = concat(latin("GIF89a\x01\0\x01\0\x80\0\0"), new Uint8Array(6), latin("!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"));
const HEADS = ["\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "RIFF\0\0\0\0WEBP", "GIF89a", "BM", "II*\0", "MM\0*", "\0\0\0\x1cftypavif"];

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((drawn): Bytes => drawn.slice());
const edits = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 12 });

async function pngOf(kept: { exif?: Bytes; icc?: Bytes; xmp?: Bytes }): Promise<Bytes> {
  const writer = await PngWriter.start(2, 3, 3, { ...kept, pngChunks: [] });
  await writer.rows(new Uint8Array(18));
  return new Uint8Array(await (await writer.finish()).arrayBuffer());
}

function edited(file: Bytes, changes: [number, number][], length: number): Bytes {
  const copy = file.slice();
  for (const [at, value] of changes) copy[at % copy.length] = value;
  return copy.slice(0, length % (copy.length + 1));
}

/** A TIFF header and a directory of these entries: tag, type, count, value. */
function block(entries: number[][], next = 0): Bytes {
  const made = new Uint8Array(14 + 12 * entries.length);
  const view = viewOf(made);
  made.set(latin("II*\0\x08\0\0\0"));
  view.setUint16(8, entries.length, true);
  entries.forEach(([tag, type, count, value], index) => {
    view.setUint16(10 + 12 * index, tag!, true);
    view.setUint16(12 + 12 * index, type!, true);
    view.setUint32(14 + 12 * index, count!, true);
    view.setUint32(18 + 12 * index, value!, true);
  });
  view.setUint32(10 + 12 * entries.length, next, true);
  return made;
}

group("any bytes", () => {
  it("are described, whatever they begin with", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...HEADS, ""), bytes(600), async (head, rest) => {
        const file = concat(latin(head), rest);
        expect((await describe(file)).format).toBe(detect(file));
      }),
      { numRuns: 400 },
    );
  });

  it("in place of some of a file's are described as well", async () => {
    const kept = { exif: block([[274, 3, 1, 6], [34665, 4, 1, 8]]), icc: latin("p".repeat(70)), xmp: latin("<x/>") };
    const files = [JPEG, WEBP, GIF, await pngOf(kept), intoJpeg(JPEG, { ...kept, pngChunks: [] }), intoWebp(WEBP, { ...kept, pngChunks: [] }, 9, 9)];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...files), edits, fc.nat(), async (file, changes, length) => {
        const described = await describe(edited(file, changes, length));
        expect(described.pngChunks).toBeInstanceOf(Array);
      }),
      { numRuns: 400 },
    );
  });

  it("are an EXIF block of the same length, or none; the source stays as it was", () => {
    const entry = fc.tuple(fc.constantFrom(256, 257, 274, 34665, 40962, 513, 514), fc.nat(5), fc.nat(2), fc.nat(200)).map((drawn) => [...drawn]);
    const blocks = fc.oneof(bytes(120), fc.tuple(fc.array(entry, { maxLength: 9 }), fc.nat(200)).map(([entries, next]) => block(entries, next)));
    fc.assert(
      fc.property(blocks, fc.nat(100_000), fc.nat(100_000), (drawn, width, height) => {
        const before = drawn.slice();
        const result = refreshed(drawn, width, height);
        expect(drawn).toEqual(before);
        if (result) expect(result.length).toBe(drawn.length);
      }),
      { numRuns: 1000 },
    );
  });
});

group("metadata", () => {
  const some = fc.record({ exif: bytes(900), icc: bytes(900), xmp: bytes(900) });
  const held = ({ exif, icc, xmp }: { exif: Bytes; icc: Bytes; xmp: Bytes }) => ({
    exif: concat(latin("II"), exif), icc: concat(latin("p"), icc), xmp: concat(latin("<"), xmp), pngChunks: [],
  });

  it("of any content comes out of each format as it went in", async () => {
    await fc.assert(
      fc.asyncProperty(some, async (drawn) => {
        const kept = held(drawn);
        for (const file of [await pngOf(kept), intoJpeg(JPEG, kept), intoWebp(WEBP, kept, 16383, 1)]) {
          const described = await describe(file);
          expect([described.exif, described.icc, described.xmp]).toEqual([kept.exif, kept.icc, kept.xmp]);
        }
      }),
      { numRuns: 40 },
    );
  });
});

it("EXIF directories that each name the next one twice take no time", () => {
  const count = 60;
  const made = new Uint8Array(8 + 30 * count + 8);
  const view = viewOf(made);
  made.set(latin("II*\0\x08\0\0\0"));
  for (let index = 0; index < count; index++) {
    const at = 8 + 30 * index;
    view.setUint16(at, 2, true);
    for (const entry of [at + 2, at + 14]) {
      view.setUint16(entry, 34665, true);
      view.setUint32(entry + 8, at + 30, true);
    }
  }
  expect(refreshed(made, 1, 1)?.length).toBe(made.length);
}, 2000);

it("a profile that unpacks to more than any real one is left out", async () => {
  const small = await through(new Uint8Array(2 ** 25), new CompressionStream("deflate"));
  expect(small.length).toBeLessThan(2 ** 16);
  const chunk = concat(new Uint8Array(4), latin("iCCP"), latin("profile\0\0"), small, new Uint8Array(4));
  viewOf(chunk).setUint32(0, chunk.length - 12);
  const file = concat((await pngOf({})).subarray(0, 33), chunk, latin("\0\0\0\0IEND\0\0\0\0"));
  expect((await describe(file)).icc).toBeUndefined();
  expect((await describe(await pngOf({ icc: latin("p".repeat(900)) }))).icc).toEqual(latin("p".repeat(900)));
});
