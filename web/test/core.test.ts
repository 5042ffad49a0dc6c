/** The page computes what the Python package computes: to the bit where the sums are of integers, nearly so elsewhere. */

import { describe, expect, it } from "vitest";
import { readFileSync } from "node:fs";
import { interpolate, readNpz } from "../src/core/forms";
import { MAX_SCALE, MIN_SCALE, MODEL, WINDOW_PIXELS, modelFiles } from "../src/core/model";
import { noiseField } from "../src/core/noise";
import { targetSize } from "../src/core/numbers";
import { fillTransparent, holdWithinNeighbours, toGrey } from "../src/core/planes";
import { RowResampler } from "../src/core/resample";
import { CRISP, RowSharpener } from "../src/core/sharpen";
import { planExact } from "../src/core/tiling";
import { upscale, type Pixels } from "../src/core/upscale";
import golden from "./golden.json";

const bytes = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const floats = (text: string) => new Float32Array(bytes(text).buffer);

describe("as in Python", () => {
  it("knows the model", () => {
    expect(MODEL).toEqual(golden.model);
    expect({ windowPixels: WINDOW_PIXELS, minScale: MIN_SCALE, maxScale: MAX_SCALE, crispSharpness: CRISP }).toEqual(golden.limits);
  });

  it("plans the same tiles", () => {
    for (const { height, width, windowPixels, rows, columns } of golden.plans) {
      const plan = planExact(height, width, MODEL.halo, MODEL.multiple, windowPixels);
      const numbers = (spans: typeof plan.rows) => spans.map((s) => [s.start, s.stop, s.keepStart, s.keepStop]);
      expect({ rows: numbers(plan.rows), columns: numbers(plan.columns) }).toEqual({ rows, columns });
    }
  });

  it("gives results the same size, halves to the even side", () => {
    for (const [width, height, factor, outWidth, outHeight] of golden.sizes) {
      expect(targetSize(width!, height!, { scale: factor! })).toEqual({ width: outWidth, height: outHeight });
    }
  });

  it("draws the same noise", () => {
    for (const { seed, rows, columns, values } of golden.noise) {
      const eps = noiseField(seed, 16, rows as [number, number], columns as [number, number]);
      const wanted = floats(values);
      expect(eps.length).toBe(wanted.length);
      // One unit in the last place: the two languages' logarithms and cosines may round a table's value differently.
      eps.forEach((value, i) => expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(2 ** -23 * Math.abs(wanted[i]!)));
    }
  });

  it("resizes to the same bytes as Pillow, however the rows are cut", () => {
    const source = bytes(golden.planes.enlarged);
    for (const { width, height, values } of golden.resizes) {
      for (const step of [1, 7, 52]) {
        const resampler = new RowResampler({ width: 72, height: 52 }, { width, height }, 1);
        const out: number[] = [];
        for (let y = 0; y < 52; y += step) out.push(...resampler.push(source.subarray(y * 72, Math.min(52, y + step) * 72)));
        expect(out).toEqual([...bytes(values)]);
      }
    }
  });

  it("sharpens the same, however the rows are cut", () => {
    const source = bytes(golden.planes.enlarged);
    for (const { channels, values } of golden.sharpened) {
      const [stride, wanted] = [24 * channels, bytes(values)];
      for (const step of [1, 3, 200]) {
        const sharpener = new RowSharpener({ width: 24, height: source.length / stride }, channels, 0.7);
        const out: number[] = [];
        for (let at = 0; at < source.length; at += step * stride) out.push(...sharpener.push(source.subarray(at, at + step * stride)));
        expect(out.length).toBe(wanted.length);
        expect(Math.max(...out.map((value, i) => Math.abs(value - wanted[i]!)))).toBeLessThanOrEqual(1); // Python's sums are in single precision
      }
    }
    expect(new RowSharpener({ width: 24, height: 1 }, 1, 0).push(source)).toBe(source);
  });

  it("treats transparency and grey the same", () => {
    const { colour, alpha, filled, enlarged, held, planes, grey } = golden.planes;
    const inPlace = bytes(colour);
    fillTransparent(inPlace, bytes(alpha), 18, 13);
    expect([...inPlace]).toEqual([...bytes(filled)]);
    const plane = bytes(enlarged);
    holdWithinNeighbours(plane, bytes(alpha), 18, 13, 0, 4);
    expect([...plane]).toEqual([...bytes(held)]);
    expect([...toGrey(floats(planes))]).toEqual([...floats(grey)]);
  });
});

describe("the two forms", () => {
  const read = (name: string) => new Uint8Array(readFileSync(`../src/edgesr/weights/${name}`)).buffer;
  const [model, difference] = [read("tiny.onnx"), read("tiny-fidelity.npz")];

  it("are equal at fidelity 0, and differ only in the weights", async () => {
    expect(Buffer.from(await interpolate(model, difference, 0)).equals(Buffer.from(model))).toBe(true);
    const other = await interpolate(model, difference, 1);
    expect(other.length).toBe(model.byteLength);
    expect(Buffer.from(other).equals(Buffer.from(model))).toBe(false);
  });

  it("are made from the files that they need alone, in 8 bits at both ends", () => {
    const files = (fast: boolean) => [0, 0.5, 1].map((fidelity) => modelFiles(fidelity, fast).join());
    expect(files(false)).toEqual(["tiny.onnx", "tiny.onnx,tiny-fidelity.npz", "tiny.onnx,tiny-fidelity.npz"]);
    expect(files(true)).toEqual(["tiny-int8.onnx", "tiny.onnx,tiny-fidelity.npz", "tiny-fidelity-int8.onnx"]);
  });

  it("are refused if they do not belong together", async () => {
    const strange = model.slice(0);
    new Uint8Array(strange)[1000]! ^= 1;
    await expect(interpolate(strange, difference, 0.5)).rejects.toThrow("belong together");
    expect(() => readNpz(new ArrayBuffer(100))).toThrow("not an .npz");
  });
});

/** A network with a bounded receptive field: nearest neighbour plus a little noise. */
const nearest = async (lr: Float32Array, eps: Float32Array, height: number, width: number) => {
  const out = new Float32Array(lr.length * 16);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height * 4; y++) {
      for (let x = 0; x < width * 4; x++) {
        const noise = eps[(y >> 3) * (width / 2) + (x >> 3)]! * 0.02;
        const value = lr[(c * height + (y >> 2)) * width + (x >> 2)]! + noise;
        out[(c * height * 4 + y) * width * 4 + x] = Math.min(1, Math.max(0, value));
      }
    }
  }
  return out;
};

async function whole(picture: Pixels, windowPixels: number): Promise<number[]> {
  const out: number[] = [];
  await upscale(picture, nearest, windowPixels, {
    band: async (rows) => void rows.forEach((value) => out.push(value)),
    step: async () => {},
  });
  return out;
}

describe("tiles", () => {
  it.each([1, 2, 3, 4] as const)("give the same picture whatever their size, %i channels", async (channels) => {
    const [width, height] = [171, 149];
    const data = Uint8Array.from({ length: width * height * channels }, (_, i) => (i * 7919 + (i >> 5)) % 256);
    const picture = { width, height, channels, data };
    const inOne = await whole(picture, 512 * 512);
    expect(inOne.length).toBe(width * height * 16 * channels);
    expect(await whole(picture, 150 * 150)).toEqual(inOne);
  });
});
