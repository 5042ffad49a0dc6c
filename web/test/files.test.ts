/** What files say beside their pixels survives, and what would be wrong in the result is put right. */

import { describe as group, expect, it } from "vitest";
import { ascii, concat, latin, type Bytes } from "../src/files/bytes";
import { refreshed } from "../src/files/exif";
import { PngWriter } from "../src/files/png";
import { describe } from "../src/files/read";
import { intoJpeg, intoWebp, toRgba } from "../src/files/write";

/** Orientation 6, width 100, a thumbnail of four bytes; little-endian. */
function exifBlock(): Bytes {
  const block = new Uint8Array(80);
  const view = new DataView(block.buffer);
  block.set(latin("II*\0"));
  view.setUint32(4, 8, true);
  const entry = (at: number, tag: number, type: number, value: number) => {
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, 1, true);
    view.setUint32(at + 8, value, true);
  };
  view.setUint16(8, 2, true);
  entry(10, 274, 3, 6);
  entry(22, 256, 3, 100);
  view.setUint32(34, 38, true); // the thumbnail's directory
  view.setUint16(38, 2, true);
  entry(40, 513, 4, 70);
  entry(52, 514, 4, 4);
  block.set(latin("JPEG"), 70);
  return block;
}

group("EXIF", () => {
  it("is made true for the result: upright, its size, no old thumbnail", () => {
    const block = refreshed(exifBlock(), 70000, 400)!;
    const view = new DataView(block.buffer);
    expect(view.getUint16(18, true)).toBe(1);
    expect([view.getUint16(24, true), view.getUint32(30, true)]).toEqual([4, 70000]);
    expect(view.getUint32(34, true)).toBe(0);
    expect(ascii(block, 70, 4)).toBe("\0\0\0\0");
  });

  it("is dropped when it is damaged", () => {
    expect(refreshed(latin("II*\0\xff\xff\0\0"), 1, 1)).toBeUndefined();
    expect(refreshed(latin("nonsense"), 1, 1)).toBeUndefined();
    expect(refreshed(new Uint8Array(), 1, 1)).toBeUndefined();
  });
});

const kept = { exif: exifBlock(), icc: latin("p".repeat(70000)), xmp: latin("<x/>"), pngChunks: [] };

group("metadata", () => {
  it("goes into a JPEG and comes out of it", async () => {
    const bare = latin("\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xd9");
    const described = await describe(intoJpeg(bare, kept));
    expect(described).toMatchObject({ format: "JPEG", grey: true, exif: kept.exif, icc: kept.icc, xmp: kept.xmp });
  });

  it("goes into a WebP and comes out of it", async () => {
    const bare = concat(latin("RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0"), new Uint8Array(10));
    const described = await describe(intoWebp(bare, kept, 16383, 1));
    expect(described).toMatchObject({ format: "WEBP", animated: false, exif: kept.exif, icc: kept.icc, xmp: kept.xmp });
  });

  it("goes into a PNG and comes out of it", async () => {
    const writer = await PngWriter.start(2, 3, 3, kept);
    await writer.rows(new Uint8Array(18));
    const described = await describe(new Uint8Array(await (await writer.finish()).arrayBuffer()));
    expect(described).toMatchObject({ format: "PNG", grey: false, exif: kept.exif, icc: kept.icc, xmp: kept.xmp });
  });

  it("does not trip over files cut anywhere", async () => {
    const writer = await PngWriter.start(2, 3, 4, kept);
    await writer.rows(new Uint8Array(24));
    const whole = new Uint8Array(await (await writer.finish()).arrayBuffer());
    for (let length = 0; length < whole.length; length += 13) await describe(whole.slice(0, length));
  });
});

it("transparent colours are replaced by white as in Pillow", () => {
  expect([...toRgba(Uint8Array.of(10, 20, 30, 128, 0, 0, 0, 0), 4, true)]).toEqual([132, 137, 142, 255, 255, 255, 255, 255]);
  expect([...toRgba(Uint8Array.of(7, 9), 1, false)]).toEqual([7, 7, 7, 255, 9, 9, 9, 255]);
});
